# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""From the registered results of the role ``verify`` to cases, proofs and the questions in between."""

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
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import kubernetes_words
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import listing
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import mapping
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import number
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import text
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.surroundings import read_surroundings
from ansible_collections.podidentity.eks.plugins.module_utils._workload.prove import Workload
from ansible_collections.podidentity.eks.plugins.module_utils._workload.prove import read_workloads

#: The label by which a pod is found again: the workload's place in the list, from 0.
INDEX_LABEL = "podidentity.eks/workload"
#: A Job whose pod is not there after so many seconds gets none: the Job controller needs less than one.
POD_PATIENCE = 20.0
#: What the API server answers to somebody who may not do what he asks for; asking again does not help.
FORBIDDEN = "Forbidden"


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


def is_settled(registered: t.Any, expected: int, elapsed: float, timeout: float) -> bool:
    """Whether waiting may end: every pod has ended or never will, they may not be listed, or the time is up."""
    if elapsed >= timeout:
        return True
    if why := refusal(registered):
        return FORBIDDEN in why
    observed = [read_pod(pod) for pod in by_index(dig(registered, "resources")).values()]
    complete = len(observed) >= expected or elapsed >= POD_PATIENCE
    return complete and all(map(is_final, observed))


def refusal(registered: t.Any) -> str:
    """Why there is no list, by the registered result of the task that should have made it."""
    return "" if isinstance(dig(registered, "resources"), (list, tuple)) else text(dig(registered, "msg"))


def is_final(pod: Pod) -> bool:
    """Whether a pod has ended or waits for something that does not come."""
    hopeless = (IMAGE_REASONS | START_REASONS) - {"ErrImagePull"}  # one failed pull may be followed by a good one
    return pod.ended or pod.waiting_reason in hopeless


def unread_pods(pods: t.Any) -> list[dict[str, str]]:
    """The pods that ended without their document in the termination message, so that their log is to be read."""
    unread = []
    for index, described in by_index(pods).items():
        pod = read_pod(described)
        if pod.ended and read_document(pod.last_words, "") is None:
            unread.append({"index": str(index), "namespace": pod.namespace, "name": pod.name})
    return unread


def read_logs(registered: t.Any) -> dict[int, str]:
    """The logs of a loop over :func:`unread_pods`, by the place of the workload."""
    logs: dict[int, str] = {}
    for result in listing(dig(registered, "results")):
        index = text(dig(result, "item", "index"))
        if index.isdecimal():
            logs[int(index)] = text(dig(result, "log"))
    return logs


def read_lost_logs(registered: t.Any) -> dict[int, str]:
    """Why the log of a workload's pod could not be read, by its place."""
    lost = {text(dig(result, "item", "index")): refusal(result) for result in listing(dig(registered, "results"))}
    return {int(index): kubernetes_words(words) for index, words in lost.items() if index.isdecimal() and words}


def read_refusals(registered: t.Any) -> dict[int, str]:
    """What the API server said against the Job of each workload; of a single one the result is the module's own."""
    results = listing(dig(registered, "result", "results")) or [registered]
    said = {place: kubernetes_words(text(dig(result, "error", "msg"))) for place, result in enumerate(results)}
    return {place: words for place, words in said.items() if words}


def read_cases(declared: t.Any, observed: t.Mapping[str, t.Any]) -> list[RunCase]:
    """One case for each declared workload, from the registered results of the role.

    ``observed`` holds ``cluster`` (name), ``timeout`` (seconds), ``associations`` (list), ``own_pods`` (registered
    result) and, after a failure, ``surroundings``. What else there is depends on its ``mode``: see :func:`of_jobs` and
    :func:`of_executions`. With ``failure``, why nothing was found out, or ``setup_failures``, why by workload, nothing
    else need be there.
    """
    workloads, surroundings = read_workloads(declared), read_surroundings(observed.get("surroundings"))
    running = by_account(dig(observed, "own_pods", "resources"))
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
    """What Jobs found out: ``jobs`` (list), ``applied``, ``pods``, ``logs`` and ``removed`` (registered results)."""
    pods, logs = by_index(dig(observed, "pods", "resources")), read_logs(observed.get("logs"))
    refused, left = read_refusals(observed.get("applied")), read_refusals(observed.get("removed"))
    unlisted, unseen = refusal(observed.get("pods")), refusal(observed.get("own_pods"))
    lost = read_lost_logs(observed.get("logs"))
    names = dict(enumerate(text(dig(job, "metadata", "name")) for job in listing(observed.get("jobs"))))
    known = []
    for index in range(count):
        pod, log, job = read_pod(pods[index]) if index in pods else None, logs.get(index, ""), names.get(index, "")
        warnings = []
        if index in lost:
            warnings.append(f"The log of the pod of Job {job} could not be read: {lost[index]}.")
        if unseen and not unlisted:
            warnings.append(f"The workload's own pods could not be looked at: {kubernetes_words(unseen)}.")
        if index in left and index not in refused:
            warnings.append(f"Job {job} was not removed: {left[index]}. Kubernetes removes it when its time is up.")
        known.append(
            {
                "job": job,
                "refused": refused.get(index, ""),
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
    """What the script found out in running pods: ``container`` (name), ``executed`` (registered result)."""
    container, registered = text(observed.get("container")), observed.get("executed")
    known = []
    for workload, execution in zip(workloads, read_executions(workloads, running, container, registered), strict=True):
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


def pod_orders(declared: t.Any, associations: t.Any, region: str, grace: float, limit: int) -> list[dict[str, t.Any]]:
    """For each workload what tells its pod what to do (the orders that prove.py documents)."""
    orders = []
    for workload in read_workloads(declared):
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
