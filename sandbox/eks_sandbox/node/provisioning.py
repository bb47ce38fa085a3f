# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which new nodes pods wait for, as the Karpenter in EKS Auto Mode decides it."""

from __future__ import annotations

import typing as t

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import age
from eks_sandbox.control_plane.objects import condition
from eks_sandbox.control_plane.objects import dig
from eks_sandbox.node.placement import obstacle
from eks_sandbox.node.places import quantity

#: Seconds that the scheduler gets to use a node that has just joined, before its pods are given another one.
SETTLING = 15.0


def wanted(pods: t.Sequence[Object], nodes: t.Sequence[Object], offers: t.Sequence[Object]) -> list[str]:
    """The names of the offered nodes to create for these pods, the first one that fits for each.

    Pods that the scheduler has not handled yet, and pods of DaemonSets, which are bound to an existing node, create
    no node.
    """
    coming = [_when_ready(node) for node in nodes if age(node["metadata"]["creationTimestamp"]) < SETTLING]
    room = {node["metadata"]["name"]: int(dig(node, "status.allocatable.pods")) for node in offers}
    chosen: list[Object] = []
    for pod in filter(_is_unschedulable, pods):
        if any(_fits(pod, node) for node in coming):
            continue
        # Nodes that will be created in any case come first.
        fitting = (node for node in [*chosen, *offers] if room[node["metadata"]["name"]] and _fits(pod, node))
        node = next(fitting, None)
        if node is None:
            continue
        room[node["metadata"]["name"]] -= 1
        if node not in chosen:
            chosen.append(node)
    return [node["metadata"]["name"] for node in chosen]


def _is_unschedulable(pod: Object) -> bool:
    scheduled = condition(pod, "PodScheduled") or {}
    waits = scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable"
    return waits and not pod["spec"].get("nodeName") and not pod["metadata"].get("deletionTimestamp")


def _when_ready(node: Object) -> Object:
    """The node as it will be in a moment."""
    taints = [taint for taint in node["spec"].get("taints") or [] if taint["key"] != "node.kubernetes.io/not-ready"]
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    return {**node, "spec": {**node["spec"], "taints": taints}, "status": {**(node.get("status") or {}), **ready}}


def _fits(pod: Object, node: Object) -> bool:
    """Whether the pod could have the node for itself."""
    if obstacle(pod, node) is not None:
        return False
    allocatable = dig(node, "status.allocatable") or {}
    return all(
        sum(_requested(container, resource) for container in pod["spec"]["containers"])
        <= _amount(allocatable.get(resource, "0"))
        for resource in ("cpu", "memory")
    )


def _requested(container: Object, resource: str) -> float:
    return _amount(dig(container, f"resources.requests.{resource}") or "0")


def _amount(text: str) -> float:
    """``500m`` or ``0.5`` of a processor, ``1Gi`` of memory."""
    if text.endswith("m"):
        return float(text[:-1]) / 1000
    try:
        return float(text)
    except ValueError:
        return float(quantity(text))
