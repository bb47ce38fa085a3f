# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Causes that lie in how a verification runs: it did not come to its end, or it ran in a pod that is not its own.

They come before those of :mod:`causes`, of which some mean the same with other words.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import Case
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import Cause
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.own_pods import Target
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.pod_causes import OLDEST_BOTOCORE
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.pod_causes import sdk_too_old
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import kubernetes_words
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import sentence

#: Exit codes of programs that could not be started, and of a script that its own clock has ended.
NOT_STARTED, TIME_IS_UP = (126, 127), 128 + 14
#: How container runtimes and the script's first line say that there is no such program, or an old one.
WITHOUT_PYTHON = ("executable file not found", "no such file or directory", "is older than Python 3.9")


@dataclasses.dataclass(frozen=True)
class Execution:
    """The script in a running pod of the workload."""

    #: None if no pod is ready; then so many are not.
    target: Target | None = None
    unready: int = 0
    code: int | None = None
    output: str = ""
    errors: str = ""
    #: Why it has no exit code.
    failure: str = ""
    #: Whether the API server let nothing run.
    refused: bool = False

    @property
    def place(self) -> str:
        """The container, for a message."""
        return f"container {self.target.container} of pod {self.target.pod}" if self.target else "no pod"


@dataclasses.dataclass(frozen=True)
class RunCase(Case):
    """All that is known about one verification, and about how it ran."""

    #: Why the verification came to no result for any workload.
    failure: str = ""
    #: Why this workload was not verified: what failed in this run before.
    setup_failure: str = ""
    #: Why the pods could not be listed.
    unlisted: str = ""
    #: None if the proof ran in a Job.
    execution: Execution | None = None
    #: What is so and does no harm to the proof.
    warnings: tuple[str, ...] = ()


def setup_failed(case: RunCase) -> Cause | None:
    if not case.setup_failure:
        return None
    return Cause(
        "setup_failed",
        f"It was not verified, because it could not be set up in this run: "
        f"{sentence(kubernetes_words(case.setup_failure))}.",
        "Put right what the message names, and run it again.",
    )


def verification_failed(case: RunCase) -> Cause | None:
    if not case.failure:
        return None
    return Cause(
        "verification_failed",
        f"The verification came to no result: {kubernetes_words(case.failure)}.",
        "Put right what the message names, and run the verification again.",
    )


def pods_not_listed(case: RunCase) -> Cause | None:
    if not case.unlisted:
        return None
    return Cause(
        "pods_not_listed",
        f"Kubernetes did not let the verification list pods: {sentence(case.unlisted)}.",
        "Let the user who verifies list pods of all namespaces, or verify the workloads of one namespace at a time, for"
        " which that permission in this namespace is enough.",
    )


def no_running_pod(case: RunCase) -> Cause | None:
    if case.execution is None or case.execution.target is not None:
        return None
    others = f"; {case.execution.unready} that run are not ready" if case.execution.unready else ""
    return Cause(
        "no_running_pod",
        f"No pod of service account {case.workload} is ready{others}.",
        "Start one, or prove in a Job with verify_mode set to job.",
    )


def exec_not_injected(case: RunCase) -> Cause | None:
    execution, document = case.execution, case.document
    if execution is None or execution.target is None:
        return None
    if document.injected if document else execution.target.injected:
        return None
    held = f"; it was {document.identity.arn} instead" if document and document.identity else ""
    return Cause(
        "not_injected",
        f"The association exists, but {execution.place} has no Pod Identity credentials, so its pod was admitted too "
        f"early or is kept from them by its own label, annotation or variables{held}.",
        "Restart what the pod belongs to; the role podidentity.eks.restart does that once new pods would get their "
        "credentials, and names what keeps a pod from them.",
    )


def exec_refused(case: RunCase) -> Cause | None:
    execution = case.execution
    if execution is None or not execution.refused:
        return None
    return Cause(
        "exec_refused",
        f"Kubernetes refused to run the script in {execution.place}: {sentence(execution.failure)}.",
        f"Let the user who verifies create and get pods/exec in namespace {case.workload.namespace}, look at "
        "verify_exec_container, or prove in a Job with verify_mode set to job.",
    )


def exec_without_python(case: RunCase) -> Cause | None:
    execution = case.execution
    if execution is None or case.document is not None:
        return None
    said = sentence(execution.failure or execution.errors or execution.output)
    if execution.code not in NOT_STARTED and not any(words in said for words in WITHOUT_PYTHON):
        return None
    return Cause(
        "exec_without_python",
        f"{execution.place.capitalize()} has no python3 of version 3.9 or newer: {said or 'no message'}.",
        "Name a container that has one with verify_exec_container, or prove in a Job with verify_mode set to job.",
    )


def exec_without_boto3(case: RunCase) -> Cause | None:
    fault = case.document.fault if case.document else None
    if case.execution is None or fault is None:
        return None
    return Cause(
        "exec_without_boto3",
        f"The Python of {case.execution.place} has no usable boto3: {sentence(fault.message)}.",
        "Name a container that has it with verify_exec_container, or prove in a Job with verify_mode set to job.",
    )


def exec_failed(case: RunCase) -> Cause | None:
    execution = case.execution
    if execution is None or case.document is not None:
        return None
    said = sentence(execution.failure or execution.errors[-400:] or execution.output[-400:])
    ended = f"within {case.timeout} s" if execution.code == TIME_IS_UP else f"(exit code {execution.code})"
    return Cause(
        "exec_failed",
        f"The script in {execution.place} gave no result {ended}{f': {said}' if said else ''}.",
        "Look at that pod and its limits, or prove in a Job with verify_mode set to job.",
    )


def exec_sdk_too_old(case: RunCase) -> Cause | None:
    if case.execution is None or case.document is None or sdk_too_old(case) is None:
        return None
    oldest = ".".join(map(str, OLDEST_BOTOCORE))
    return Cause(
        "sdk_too_old",
        f"botocore {case.document.botocore} of {case.execution.place} does not know the Pod Identity agent's address.",
        f"Build the workload's image with botocore {oldest} or newer.",
    )


CAUSES: tuple[t.Callable[[RunCase], Cause | None], ...] = (
    pods_not_listed,
    no_running_pod,
    exec_not_injected,
    exec_refused,
    exec_without_python,
    exec_without_boto3,
    exec_failed,
    exec_sdk_too_old,
)


def find_running_cause(case: RunCase) -> Cause | None:
    """The cause if it lies in how the verification ran; None leaves it to the causes of everything else."""
    if case.setup_failure:
        return setup_failed(case)
    if case.failure:
        return verification_failed(case)
    if case.association is None or case.refused:
        return None
    return next((cause for cause in (recognise(case) for recognise in CAUSES) if cause is not None), None)
