# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""From the registered results of the role ``verify`` to cases, proofs and the questions in between."""

from __future__ import annotations

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import Case
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.declaration import Workload
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.declaration import read_workloads
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import Association
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import Pod
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import read_association
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import read_document
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import read_pod
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.pod_causes import IMAGE_REASONS
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.pod_causes import START_REASONS
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import dig
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import listing
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import number
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import text
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.surroundings import read_surroundings

#: The label by which a pod is found again: the workload's place in the list, from 0.
INDEX_LABEL = "podidentity.eks/workload"
#: A Job whose pod is not there after so many seconds gets none: the Job controller needs less than one.
POD_PATIENCE = 20.0


def find_association(associations: t.Any, workload: Workload) -> Association | None:
    """The association of a workload in the list of its cluster."""
    key = (workload.namespace, workload.service_account)
    for described in listing(associations):
        if (dig(described, "namespace"), dig(described, "service_account")) == key:
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


def is_settled(pods: t.Any, expected: int, elapsed: float, timeout: float) -> bool:
    """Whether waiting may end: every pod has ended or never will, or the time is up."""
    observed = [read_pod(pod) for pod in by_index(pods).values()]
    complete = len(observed) >= expected or elapsed >= POD_PATIENCE
    return elapsed >= timeout or (complete and all(map(is_final, observed)))


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


def read_refusals(registered: t.Any) -> list[str]:
    """What the API server said against the objects of each workload, for they come in pairs: ConfigMap and Job."""
    results = listing(dig(registered, "result", "results"))
    errors = [text(dig(result, "error", "msg")) for result in results]
    return [next((error for error in errors[place : place + 2] if error), "") for place in range(0, len(errors), 2)]


def read_cases(declared: t.Any, observed: t.Mapping[str, t.Any]) -> list[Case]:
    """One case for each declared workload, from the registered results of the role.

    ``observed`` holds ``cluster`` (name), ``timeout`` (seconds), ``associations`` (list), ``objects`` (list of the
    ConfigMap and the Job of each workload), ``applied``, ``pods`` and ``logs`` (registered results) and, after a
    failure, ``surroundings``.
    """
    workloads = read_workloads(declared)
    pods = by_index(dig(observed, "pods", "resources"))
    logs = read_logs(observed.get("logs"))
    refusals = dict(enumerate(read_refusals(observed.get("applied"))))
    jobs = [text(dig(item, "metadata", "name")) for item in listing(observed.get("objects"))[1::2]]
    surroundings = read_surroundings(observed.get("surroundings"))
    cases = []
    for index, workload in enumerate(workloads):
        pod = read_pod(pods[index]) if index in pods else None
        log = logs.get(index, "")
        cases.append(
            Case(
                cluster=text(observed.get("cluster")),
                workload=workload,
                association=find_association(observed.get("associations"), workload),
                job=jobs[index] if index < len(jobs) else "",
                refused=refusals.get(index, ""),
                pod=pod,
                document=read_document(pod.last_words if pod else "", log),
                log=log,
                timeout=number(observed.get("timeout")) or 0,
                surroundings=surroundings,
            )
        )
    return cases


def pod_orders(declared: t.Any, associations: t.Any, region: str, grace: float) -> list[dict[str, t.Any]]:
    """For each workload the file that tells its pod what to do (the orders that prove.py documents)."""
    orders = []
    for workload in read_workloads(declared):
        association = find_association(associations, workload)
        role = association.role if association else None
        orders.append(
            {
                "expected": {"account": role.account, "role": role.name} if role else None,
                "region": region,
                "grace": grace,
                "calls": [call.as_document() for call in workload.calls],
            }
        )
    return orders
