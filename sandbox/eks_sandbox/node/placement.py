# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a pod may run on a node: selectors, affinity, taints."""

from __future__ import annotations

import typing as t

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import is_true
from eks_sandbox.control_plane.objects import labels_of
from eks_sandbox.control_plane.objects import matches_expression

#: What keeps new pods away (PreferNoSchedule does not).
HARD_EFFECTS = ("NoSchedule", "NoExecute")
_UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


def tolerates(toleration: Object, taint: t.Mapping[str, str]) -> bool:
    """Whether this toleration is for that taint."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    key, operator = toleration.get("key"), toleration.get("operator") or "Equal"
    if not key:
        return bool(operator == "Exists")
    if key != taint.get("key"):
        return False
    return bool(operator == "Exists" or (toleration.get("value") or "") == (taint.get("value") or ""))


def taints_of(node: Object) -> list[t.Mapping[str, str]]:
    """The node's taints, those included that its state implies."""
    spec = node.get("spec") or {}
    taints = list(spec.get("taints") or [])
    if spec.get("unschedulable"):
        taints.append(_UNSCHEDULABLE)
    if not is_true(node, "Ready"):
        taints.append(_NOT_READY)
    return taints


def untolerated(pod: Object, node: Object) -> t.Mapping[str, str] | None:
    """The first taint that keeps the pod away, or None."""
    tolerations = pod.get("spec", pod).get("tolerations") or []
    for taint in taints_of(node):
        hard = taint.get("effect") in HARD_EFFECTS
        if hard and not any(tolerates(toleration, taint) for toleration in tolerations):
            return taint
    return None


def is_selected(spec: Object, node: Object) -> bool:
    """Whether nodeSelector and required node affinity let the pod run there."""
    labels = labels_of(node)
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return any(_term_matches(term, node) for term in required.get("nodeSelectorTerms") or [])


def _term_matches(term: Object, node: Object) -> bool:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    names = {"metadata.name": node["metadata"]["name"]}
    by_label = all(matches_expression(entry, labels_of(node)) for entry in expressions)
    return by_label and all(matches_expression(entry, names) for entry in fields)


def obstacle(pod: Object, node: Object) -> str | None:
    """Why the pod cannot run on the node, in the scheduler's words; None when it can."""
    if not is_selected(pod["spec"], node):
        return "node(s) didn't match Pod's node affinity/selector"
    taint = untolerated(pod, node)
    if taint is not None:
        value = f": {taint['value']}" if taint.get("value") else ": "
        return f"node(s) had untolerated taint {{{taint['key']}{value}}}"
    return None
