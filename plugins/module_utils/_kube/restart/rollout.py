# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Rollouts of Deployments, StatefulSets and DaemonSets: what stands in their way, and how far they are.

Source of the rules: k8s.io/kubectl ``pkg/polymorphichelpers`` (``objectrestarter.go``, ``rollout_status.go``).
"""

from __future__ import annotations

import dataclasses
import math
import typing as t

from ..._diagnosis.reading import dig
from ..._diagnosis.reading import listing
from ..._diagnosis.reading import mapping
from ..._diagnosis.reading import number
from ..._diagnosis.reading import sentence
from ..._diagnosis.reading import text

if t.TYPE_CHECKING:
    from ..causes import Refusal

DONE, FAILED, WAITING = "done", "failed", "waiting"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an object is found."""

    kind: str
    namespace: str
    name: str


def place_of(found: t.Any, kind: str = "") -> Place:
    """The place of an object, with its kind where it does not tell one itself."""
    name, namespace = (text(dig(found, "metadata", key)) for key in ("name", "namespace"))
    return Place(text(dig(found, "kind")) or kind, namespace, name)


def count(found: t.Any, *keys: str, default: int = 0) -> int:
    """A number of an object."""
    value = number(dig(found, *keys))
    return default if value is None else value


def obstacle(workload: t.Any, budgets: t.Sequence[t.Any]) -> str:
    """Why a restart would not replace the pods, or would take more of them than a budget allows; else empty."""
    if dig(workload, "spec", "paused"):
        return "it is paused: resume it first (kubectl rollout resume)"
    strategy = dig(workload, "spec", "updateStrategy")
    if dig(strategy, "type") == "OnDelete":
        return "its update strategy is OnDelete, so its pods are replaced only when somebody deletes them"
    if partition := count(strategy, "rollingUpdate", "partition"):
        return f"its update strategy has the partition {partition}, so pods with a lower number are not replaced"
    taken = disruption(workload)
    for budget in budgets:
        allowed = count(budget, "status", "disruptionsAllowed")
        if taken > allowed and guards(budget, workload):
            name = text(dig(budget, "metadata", "name"))
            return f"its rollout takes away {taken} at a time, and disruption budget {name} allows {allowed} now"
    return ""


def disruption(workload: t.Any) -> int:
    """How many ready pods its rollout takes away at once. What is not ready is no loss."""
    kind, spec = text(dig(workload, "kind")), dig(workload, "spec")
    if kind == "DaemonSet":
        nodes, ready = (count(workload, "status", key) for key in ("desiredNumberScheduled", "numberReady"))
        return min(share(dig(spec, "updateStrategy", "rollingUpdate", "maxUnavailable"), nodes, 1, math.ceil), ready)
    replicas, ready = count(spec, "replicas", default=1), count(workload, "status", "readyReplicas")
    if kind == "StatefulSet":
        return min(share(dig(spec, "updateStrategy", "rollingUpdate", "maxUnavailable"), replicas, 1, math.ceil), ready)
    if dig(spec, "strategy", "type") == "Recreate":
        return ready
    settings = dig(spec, "strategy", "rollingUpdate")
    taken = share(dig(settings, "maxUnavailable"), replicas, "25%", math.floor)
    # Where both are nothing, Kubernetes takes one away (ResolveFenceposts in pkg/controller/deployment/util).
    if not taken and not share(dig(settings, "maxSurge"), replicas, "25%", math.ceil):
        taken = 1
    return min(taken, ready)


def share(value: t.Any, of: int, default: int | str, rounded: t.Callable[[float], int]) -> int:
    """A number, or a percentage of a number."""
    value = default if value is None else value
    if isinstance(value, str) and value.endswith("%") and value[:-1].isdecimal():
        return rounded(int(value[:-1]) * of / 100)
    return number(value) or 0


def guards(budget: t.Any, workload: t.Any) -> bool:
    """Whether a disruption budget is about the pods of a workload."""
    if dig(budget, "metadata", "namespace") != dig(workload, "metadata", "namespace"):
        return False
    labels = mapping(dig(workload, "spec", "template", "metadata", "labels"))
    selector = dig(budget, "spec", "selector")
    equal = mapping(dig(selector, "matchLabels"))
    return all(labels.get(key) == value for key, value in equal.items()) and all(
        matches(labels, term) for term in listing(dig(selector, "matchExpressions"))
    )


def matches(labels: t.Mapping[str, t.Any], term: t.Any) -> bool:
    """One term of ``matchExpressions``."""
    value, values = labels.get(text(dig(term, "key"))), listing(dig(term, "values"))
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }.get(text(dig(term, "operator")), False)


def progress(workload: t.Any) -> tuple[str, str]:
    """How far a rollout is, and why it is no further."""
    if workload is None:
        return FAILED, "it was deleted meanwhile"
    if dig(workload, "spec", "paused"):
        return FAILED, "somebody paused it meanwhile"
    if count(workload, "status", "observedGeneration") < count(workload, "metadata", "generation"):
        return WAITING, "its controller has not begun"
    conditions = {text(dig(one, "type")): one for one in listing(dig(workload, "status", "conditions"))}
    progressing = conditions.get("Progressing")
    if dig(progressing, "reason") == "ProgressDeadlineExceeded":
        failure = conditions.get("ReplicaFailure") or progressing
        return FAILED, f"its rollout is stuck: {sentence(text(dig(failure, 'message')))}"
    return replaced(workload)


def replaced(workload: t.Any) -> tuple[str, str]:
    """The same by the numbers of its pods."""
    spec, status = dig(workload, "spec"), dig(workload, "status")
    wanted, old = count(spec, "replicas", default=1), 0
    if dig(workload, "kind") == "DaemonSet":
        wanted = count(status, "desiredNumberScheduled")
        new, ready = count(status, "updatedNumberScheduled"), count(status, "numberAvailable")
    elif dig(workload, "kind") == "StatefulSet":
        # Only when the last pod is replaced, the revisions become the same.
        all_new = dig(status, "updateRevision") == dig(status, "currentRevision")
        new, ready = wanted if all_new else count(status, "updatedReplicas"), count(status, "readyReplicas")
        old = 0 if all_new else 1
    else:
        new, ready = count(status, "updatedReplicas"), count(status, "availableReplicas")
        old = count(status, "replicas") - new
    if new >= wanted and ready >= wanted and old <= 0:
        return DONE, ""
    told = f"{new} of {wanted} pods are new, {ready} are ready"
    if dig(workload, "kind") == "StatefulSet" and ready < wanted and dig(spec, "podManagementPolicy") != "Parallel":
        # https://github.com/kubernetes/kubernetes/issues/67250
        told += "; it waits for old pods to get ready before it replaces them: delete one that never does"
    return WAITING, told


def outcome(
    restarts: t.Sequence[t.Mapping[str, t.Any]], refusals: t.Sequence[Refusal | None], objects: t.Any
) -> list[dict[str, t.Any]]:
    """The state of each restart, by the API server's refusal of it, in the same order, and by the objects since then.

    Returns the restarts with ``state``, ``reason`` and ``refused``.
    """
    known = {place_of(one): one for one in listing(objects)}
    told = []
    for restart, refusal in zip(restarts, refusals, strict=True):
        place = Place(*(text(dig(restart, key)) for key in ("kind", "namespace", "name")))
        state, reason = progress(known.get(place))
        if refusal is not None:
            state, reason = FAILED, f"its restart was refused: {sentence(refusal.message)}"
        told.append({**restart, "state": state, "reason": reason, "refused": refusal is not None})
    return told
