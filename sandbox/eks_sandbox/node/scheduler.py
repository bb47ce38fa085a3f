# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The scheduler: binds pending pods to nodes."""

from __future__ import annotations

import asyncio
import collections

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import condition
from eks_sandbox.control_plane.objects import dig
from eks_sandbox.control_plane.objects import identity
from eks_sandbox.control_plane.objects import timestamp
from eks_sandbox.node.client import NODES
from eks_sandbox.node.client import PODS
from eks_sandbox.node.client import record_event
from eks_sandbox.node.controller import Controller
from eks_sandbox.node.controller import Key
from eks_sandbox.node.placement import obstacle

#: The maximum number of pods of a node without this setting.
DEFAULT_PODS = 110
SCHEDULER_NAME = "default-scheduler"


class Scheduler(Controller):
    """Puts each pod on the fitting node that has the fewest."""

    name = "kube-scheduler"

    def setup(self) -> None:
        """Pods wake themselves, nodes wake every pod that waits."""
        self._pods = self.follow(PODS, self._pod_changed)
        self._nodes = self.follow(NODES, self._node_changed)
        self._binding = asyncio.Lock()
        self._assumed: dict[str, str] = {}

    def _pod_changed(self, pod: Object, exists: bool) -> None:
        if not exists or pod["spec"].get("nodeName"):
            self._assumed.pop(pod["metadata"]["uid"], None)
        elif _is_waiting(pod):
            self.enqueue(identity(pod))

    def _node_changed(self, node: Object, exists: bool) -> None:
        del node, exists
        for key, pod in self._pods.objects.items():
            if _is_waiting(pod):
                self.enqueue(key)

    async def reconcile(self, key: Key) -> None:
        """Bind one pod, or say why that is not possible."""
        async with self._binding:
            pod = self._pods.objects.get(key)
            if pod is None or not _is_waiting(pod) or pod["metadata"]["uid"] in self._assumed:
                return
            await self._schedule(pod)

    async def _schedule(self, pod: Object) -> None:
        obstacles: collections.Counter[str] = collections.Counter()
        fitting = []
        for (_, name), node in self._nodes.objects.items():
            why = obstacle(pod, node)
            if why is None and self._count(name) >= int(dig(node, "status.allocatable.pods") or DEFAULT_PODS):
                why = "Too many pods"
            if why is None:
                fitting.append(name)
            else:
                obstacles[why] += 1
        if not fitting:
            await self._report(pod, obstacles)
            return
        chosen = min(fitting, key=self._count)
        self._assumed[pod["metadata"]["uid"]] = chosen
        namespace, name = identity(pod)
        target = {"apiVersion": "v1", "kind": "Node", "name": chosen}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
        try:
            await self.client.request("POST", PODS.path(namespace, name, "binding"), body)
        except BaseException:
            self._assumed.pop(pod["metadata"]["uid"], None)
            raise
        message = f"Successfully assigned {namespace}/{name} to {chosen}"
        await record_event(self.client, pod, "Pod", "Scheduled", message, component=SCHEDULER_NAME)

    def _count(self, node: str) -> int:
        """Pods of a node, those just bound included."""
        bound = sum(1 for pod in self._pods.objects.values() if pod["spec"].get("nodeName") == node)
        return bound + sum(1 for assumed in self._assumed.values() if assumed == node)

    async def _report(self, pod: Object, obstacles: collections.Counter[str]) -> None:
        total = len(self._nodes.objects)
        reasons = ", ".join(f"{count} {why}" for why, count in sorted(obstacles.items()))
        message = f"0/{total} nodes are available: {reasons}." if total else "no nodes available to schedule pods"
        known = condition(pod, "PodScheduled")
        if known is not None and known.get("message") == message:
            return
        scheduled = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": timestamp(),
        }
        await self.client.patch(PODS, pod, {"status": {"conditions": [scheduled]}}, "status")
        await record_event(self.client, pod, "Pod", "FailedScheduling", message, component=SCHEDULER_NAME)


def _is_waiting(pod: Object) -> bool:
    spec = pod["spec"]
    mine = spec.get("schedulerName", SCHEDULER_NAME) == SCHEDULER_NAME
    return mine and not spec.get("nodeName") and not pod["metadata"].get("deletionTimestamp")
