# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pods that no node runs any more."""

from __future__ import annotations

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import identity
from eks_sandbox.node.client import NODES
from eks_sandbox.node.client import PODS
from eks_sandbox.node.controller import Controller
from eks_sandbox.node.controller import Key

#: Seconds that a node may be missing before its pods are.
QUARANTINE = 40.0


class PodGarbageController(Controller):
    """Pods whose node is gone are gone."""

    name = "pod-garbage-collector"

    def setup(self) -> None:
        """Pods, and the nodes under them."""
        self._pods = self.follow(PODS, self._pod_changed)
        self._nodes = self.follow(NODES, self._node_changed)

    def _pod_changed(self, pod: Object, exists: bool) -> None:
        node = pod["spec"].get("nodeName")
        if exists and node and self._nodes.synced.is_set() and ("", node) not in self._nodes.objects:
            self.enqueue_after(identity(pod), QUARANTINE)

    def _node_changed(self, node: Object, exists: bool) -> None:
        if not exists:
            name = node["metadata"]["name"]
            for key, pod in self._pods.objects.items():
                if pod["spec"].get("nodeName") == name:
                    self.enqueue_after(key, QUARANTINE)

    async def reconcile(self, key: Key) -> None:
        """Delete a pod by force, if its node really does not exist."""
        pod = await self.client.get(PODS, *key)
        if pod is not None and await self.client.get(NODES, "", pod["spec"].get("nodeName", "")) is None:
            uid = {"uid": pod["metadata"]["uid"]}
            await self.client.delete(PODS, *key, gracePeriodSeconds=0, preconditions=uid)
