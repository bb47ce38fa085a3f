# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""From what the module ``eks_pod_identity_verify`` observed to cases, and the questions in between."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.causes_running import RunCase
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.executing import read_executions
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import Association
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import Pod
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import read_association
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import read_document
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import read_pod
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.own_pods import Account
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.own_pods import by_account
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.own_pods import warnings_about
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.pod_causes import IMAGE_REASONS
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.pod_causes import START_REASONS
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import dig
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import listing
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import mapping
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import number
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import sentence
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import text
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.surroundings import read_surroundings
from ansible_collections.podidentity.eks.plugins.module_utils._kube.causes import Refusal
from ansible_collections.podidentity.eks.plugins.module_utils._workload.prove import Workload
from ansible_collections.podidentity.eks.plugins.module_utils._workload.prove import read_workloads

#: The label by which a pod is found again: the workload's place in the list, from 0.
INDEX_LABEL = "podidentity.eks/workload"
#: A Job whose pod is not there after so many seconds gets none: the Job controller needs less than one.
POD_PATIENCE = 20.0
#: The status of a missing permission; asking again does not help.
FORBIDDEN = 403


def find_association(associations: t.Any, workload: Workload) -> Association | None:
    """The association of a workload in the list of its cluster."""
    for described in listing(associations):
        if (dig(described, "namespace"), dig(described, "service_account")) == workload.account:
            return read_association(described)
    return None


def by_index(pods: t.Any) -> dict[int, t.Any]:
    """Pods by the place of their workload in the list."""
    found: dict[int, t.Any] = {}
    for pod in listing(pods):
        label = text(dig(pod, "metadata", "labels", INDEX_LABEL))
        if label.isdecimal():
            found[int(label)] = pod
    return found


def by_place(answers: t.Any) -> t.Mapping[int, t.Any]:
    """Answers by the place of their workload in the list."""
    return t.cast("t.Mapping[int, t.Any]", mapping(answers))


def is_settled(pods: t.Any, expected: int, elapsed: float, timeout: float) -> bool:
    """Whether waiting may end: every pod has ended or never will, they may not be listed, or the time is up."""
    if elapsed >= timeout:
        return True
    if isinstance(pods, Refusal):
        return pods.status == FORBIDDEN
    observed = [read_pod(pod) for pod in by_index(pods).values()]
    complete = len(observed) >= expected or elapsed >= POD_PATIENCE
    return complete and all(map(is_final, observed))


def count_settled(pods: t.Any) -> int:
    """How many pods need no more waiting."""
    return sum(is_final(read_pod(pod)) for pod in by_index(pods).values())


def refusal(answer: t.Any) -> str:
    """Why there is no answer, empty where there is one."""
    return sentence(answer.message) or "it gave no reason" if isinstance(answer, Refusal) else ""


def is_final(pod: Pod) -> bool:
    """Whether a pod has ended or waits for something that does not come."""
    hopeless = (IMAGE_REASONS | START_REASONS) - {"ErrImagePull"}  # one failed pull may be followed by a good one
    return pod.ended or pod.waiting_reason in hopeless


def unread_pods(pods: t.Any) -> dict[int, Pod]:
    """The pods that ended without their document in the termination message, by the place of their workload."""
    found = {place: read_pod(pod) for place, pod in by_index(pods).items()}
    return {place: pod for place, pod in found.items() if pod.ended and read_document(pod.last_words, "") is None}


def read_cases(declared: t.Any, observed: t.Mapping[str, t.Any]) -> list[RunCase]:
    """One case for each declared workload.

    ``observed`` holds ``cluster`` (name), ``timeout`` (seconds), ``associations`` (list), ``own_pods`` (list, or a
    refusal) and, after a failure, ``surroundings``. What else there is depends on its ``mode``: see :func:`of_jobs`
    and :func:`of_executions`. With ``failure``, why nothing was found out, or ``setup_failures``, why by workload,
    nothing else need be there.
    """
    workloads, surroundings = read_workloads(declared), read_surroundings(observed.get("surroundings"))
    running = by_account(observed.get("own_pods"))
    is_exec = observed.get("mode") == "exec"
    known = of_executions(workloads, running, observed) if is_exec else of_jobs(len(workloads), observed)
    cases = []
    for workload, found in zip(workloads, known, strict=True):
        association = find_association(observed.get("associations"), workload)
        case = RunCase(
            cluster=text(observed.get("cluster")),
            workload=workload,
            association=association,
            timeout=number(observed.get("timeout")) or 0,
            surroundings=surroundings,
            failure=text(observed.get("failure")),
            setup_failure=text(mapping(observed.get("setup_failures")).get(str(workload))),
            **found,
        )
        warnings = warnings_about(running.get(workload.account, []), associated=association is not None)
        cases.append(dataclasses.replace(case, warnings=(*warnings, *case.warnings)))
    return cases


def of_jobs(count: int, observed: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """What Jobs found out: ``jobs`` (their names), ``pods`` (a list, or a refusal), and by the place of the workload
    ``refused`` and ``left`` (why a Job was not created or not removed) and ``logs`` (texts or refusals).
    """
    pods, names = by_index(observed.get("pods")), listing(observed.get("jobs"))
    refused, left, logs = (by_place(observed.get(key)) for key in ("refused", "left", "logs"))
    unlisted, unseen = refusal(observed.get("pods")), refusal(observed.get("own_pods"))
    known = []
    for index in range(count):
        pod, log = read_pod(pods[index]) if index in pods else None, text(logs.get(index))
        job = text(names[index]) if index < len(names) else ""
        warnings = []
        if lost := refusal(logs.get(index)):
            warnings.append(f"The log of the pod of Job {job} could not be read: {lost}.")
        if unseen and not unlisted:
            warnings.append(f"The workload's own pods could not be listed: {unseen}.")
        if index in left:
            said = sentence(text(left[index]))
            warnings.append(f"Job {job} was not removed: {said}. Kubernetes removes it when its time is up.")
        known.append(
            {
                "job": job,
                "refused": text(refused.get(index)),
                "unlisted": unlisted,
                "pod": pod,
                "document": read_document(pod.last_words if pod else "", log),
                "log": log,
                "warnings": tuple(warnings),
            }
        )
    return known


def of_executions(
    workloads: t.Sequence[Workload], running: t.Mapping[Account, list[t.Any]], observed: t.Mapping[str, t.Any]
) -> list[dict[str, t.Any]]:
    """What the script found out in running pods: ``container`` (name), ``executed`` (by the place of the workload)."""
    container, executed = text(observed.get("container")), by_place(observed.get("executed"))
    known = []
    for workload, execution in zip(workloads, read_executions(workloads, running, container, executed), strict=True):
        pods = {text(dig(pod, "metadata", "name")): read_pod(pod) for pod in running.get(workload.account, [])}
        known.append(
            {
                "execution": execution,
                "unlisted": refusal(observed.get("own_pods")),
                "pod": pods.get(execution.target.pod) if execution.target else None,
                "document": read_document("", execution.output),
                "log": execution.output,
            }
        )
    return known


def pod_orders(
    workloads: t.Iterable[Workload], associations: t.Any, region: str, grace: int, limit: int
) -> list[dict[str, t.Any]]:
    """For each workload what its pod must do, as the script documents it."""
    orders = []
    for workload in workloads:
        association = find_association(associations, workload)
        role = association.role if association else None
        orders.append(
            {
                "expected": {"account": role.account, "role": role.name} if role else None,
                "region": region,
                "grace": grace,
                "limit": limit,
                "calls": [call.as_document() for call in workload.calls],
            }
        )
    return orders
