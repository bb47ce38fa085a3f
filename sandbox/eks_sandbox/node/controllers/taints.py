# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Nodes: the taints that their state implies, and the eviction of pods that do not tolerate a NoExecute taint."""

from __future__ import annotations

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import age
from eks_sandbox.control_plane.objects import condition
from eks_sandbox.control_plane.objects import identity
from eks_sandbox.control_plane.objects import timestamp
from eks_sandbox.node.client import NODES
from eks_sandbox.node.client import PODS
from eks_sandbox.node.client import record_event
from eks_sandbox.node.controller import Controller
from eks_sandbox.node.controller import Key
from eks_sandbox.node.controllers.workload import MANAGER
from eks_sandbox.node.placement import tolerates

_PREFIX = "node.kubernetes.io/"
_NOT_READY, _UNREACHABLE = f"{_PREFIX}not-ready", f"{_PREFIX}unreachable"
_UNSCHEDULABLE = f"{_PREFIX}unschedulable"
_KEPT_HERE = (_NOT_READY, _UNREACHABLE, _UNSCHEDULABLE)


class TaintController(Controller):
    """Taints nodes by their condition, and evicts pods from tainted ones."""

    name = "node-lifecycle-controller"

    def setup(self) -> None:
        """Nodes (keys without a namespace) and the pods on them."""
        self._pods = self.follow(PODS, self._pod_changed)
        self._nodes = self.follow(NODES, self._node_changed)

    def _pod_changed(self, pod: Object, exists: bool) -> None:
        node = self._nodes.objects.get(("", pod["spec"].get("nodeName", "")))
        if exists and node is not None and _executing(node):
            self.enqueue(identity(pod))

    def _node_changed(self, node: Object, exists: bool) -> None:
        if exists:
            self.enqueue(identity(node))

    async def reconcile(self, key: Key) -> None:
        """Reconcile a node, or a pod of a tainted node."""
        if key[0]:
            await self._evict(key)
            return
        node = await self.client.get(NODES, *key)
        if node is None:
            return
        taints = (node.get("spec") or {}).get("taints") or []
        wanted = [*(taint for taint in taints if taint["key"] not in _KEPT_HERE), *_implied(node, taints)]
        if wanted != taints:
            node = await self.client.patch(NODES, node, {"spec": {"taints": wanted or None}})
        if _executing(node):
            for pod_key, pod in self._pods.objects.items():
                if pod["spec"].get("nodeName") == key[1]:
                    self.enqueue(pod_key)

    async def _evict(self, key: Key) -> None:
        """Delete the pod, immediately or after its toleration time."""
        pod = await self.client.get(PODS, *key)
        if pod is None or pod["metadata"].get("deletionTimestamp"):
            return
        node = await self.client.get(NODES, "", pod["spec"].get("nodeName", ""))
        left = min((self._left(pod, taint) for taint in _executing(node or {})), default=None)
        if left is None or left == float("inf"):
            return
        if left > 0:
            self.enqueue_after(key, left)
            return
        message = f"Marking for deletion Pod {key[0]}/{key[1]}"
        await record_event(self.client, pod, "Pod", "TaintManagerEviction", message, component=MANAGER)
        await self.client.delete(PODS, *key)

    @staticmethod
    def _left(pod: Object, taint: Object) -> float:
        """Seconds that the pod may stay with this taint."""
        fitting = [entry for entry in pod["spec"].get("tolerations") or [] if tolerates(entry, taint)]
        if not fitting:
            return 0.0
        limits = [entry["tolerationSeconds"] for entry in fitting if "tolerationSeconds" in entry]
        if not limits:
            return float("inf")
        return float(min(limits)) - (age(taint["timeAdded"]) if taint.get("timeAdded") else 0.0)


def _executing(node: Object) -> list[Object]:
    taints = (node.get("spec") or {}).get("taints") or []
    return [taint for taint in taints if taint.get("effect") == "NoExecute"]


def _implied(node: Object, known: list[Object]) -> list[Object]:
    """The taints of an unready, unreachable or cordoned node, those that it has already as they are."""
    ready = (condition(node, "Ready") or {}).get("status", "False")
    wanted: list[Object] = []
    if ready != "True":
        key = _UNREACHABLE if ready == "Unknown" else _NOT_READY
        wanted.append({"key": key, "effect": "NoSchedule"})
        if condition(node, "Ready") is not None:
            wanted.append({"key": key, "effect": "NoExecute", "timeAdded": timestamp()})
    if (node.get("spec") or {}).get("unschedulable"):
        wanted.append({"key": _UNSCHEDULABLE, "effect": "NoSchedule"})

    def as_known(taint: Object) -> Object:
        same = (entry for entry in known if (entry["key"], entry["effect"]) == (taint["key"], taint["effect"]))
        return next(same, taint)

    return [as_known(taint) for taint in wanted]
