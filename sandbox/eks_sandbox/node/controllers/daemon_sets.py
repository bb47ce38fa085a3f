# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""DaemonSets."""

from __future__ import annotations

import copy
import typing as t

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import is_true
from eks_sandbox.control_plane.objects import labels_of
from eks_sandbox.node.client import DAEMON_SETS
from eks_sandbox.node.client import NODES
from eks_sandbox.node.client import PODS
from eks_sandbox.node.controller import Key
from eks_sandbox.node.controller import is_alive
from eks_sandbox.node.controllers import revisions
from eks_sandbox.node.controllers.workload import WorkloadController
from eks_sandbox.node.controllers.workload import counts
from eks_sandbox.node.controllers.workload import pod_from
from eks_sandbox.node.controllers.workload import share
from eks_sandbox.node.placement import is_selected
from eks_sandbox.node.placement import untolerated

#: What a daemon's pods put up with on every node.
_DAEMON_TOLERATIONS = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)


class DaemonSetController(WorkloadController):
    """One pod on each node that fits."""

    name = "daemonset-controller"
    collection = DAEMON_SETS
    kind = "DaemonSet"

    def setup(self) -> None:
        """DaemonSets, their pods, and new, changed and deleted nodes."""
        self._sets = self.follow(DAEMON_SETS, self.wake)
        self.follow_owned(PODS, "DaemonSet")
        self._nodes = self.follow(NODES, self._node_changed)

    def _node_changed(self, node: Object, exists: bool) -> None:
        del node, exists
        for key in self._sets.objects:
            self.enqueue(key)

    async def reconcile(self, key: Key) -> None:
        """Create missing pods, delete surplus or old ones, write the status."""
        daemon_set = await self.current(key)
        if daemon_set is None:
            return
        nodes = await self.client.select(NODES)
        revision, others = await revisions.latest(self, daemon_set)
        number = revisions.hash_label(revision)
        wanted = {node["metadata"]["name"] for node in nodes if self._fits(daemon_set, node)}
        pods = await self.owned(daemon_set)
        alive = [pod for pod in pods if is_alive(pod)]
        present = {_node_of(pod) for pod in pods}
        for name in sorted(wanted - present):
            await self.create_pod(daemon_set, self._pod(daemon_set, name, number))
        misplaced = [pod for pod in alive if _node_of(pod) not in wanted]
        # A daemon's pod that has ended by itself is replaced.
        ended = [pod for pod in pods if not is_alive(pod) and not pod["metadata"].get("deletionTimestamp")]
        outdated = self._outdated(daemon_set, [pod for pod in alive if _node_of(pod) in wanted], number, len(wanted))
        for pod in [*misplaced, *ended, *outdated]:
            await self.delete_pod(daemon_set, pod)
        await self._write(daemon_set, wanted, number)
        used = {f"{key[1]}-{labels_of(pod).get(revisions.REVISION_HASH)}" for pod in pods}
        await revisions.tidy(self, daemon_set, others, used)

    def _fits(self, daemon_set: Object, node: Object) -> bool:
        spec = self._spec(daemon_set)
        return is_selected(spec, node) and untolerated(spec, node) is None

    @staticmethod
    def _spec(daemon_set: Object) -> Object:
        spec = copy.deepcopy(daemon_set["spec"]["template"]["spec"])
        tolerations = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in _DAEMON_TOLERATIONS]
        spec["tolerations"] = [*(spec.get("tolerations") or []), *tolerations]
        return t.cast(Object, spec)

    def _pod(self, daemon_set: Object, node: str, number: str) -> Object:
        generation = str(daemon_set["metadata"]["generation"])
        labels = {revisions.REVISION_HASH: number, "pod-template-generation": generation}
        pod = pod_from(daemon_set, DAEMON_SETS, "DaemonSet", labels)
        pod["spec"] = self._spec(daemon_set)
        field = {"key": "metadata.name", "operator": "In", "values": [node]}
        affinity = pod["spec"].setdefault("affinity", {}).setdefault("nodeAffinity", {})
        # The node is chosen here; the scheduler only binds.
        affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [{"matchFields": [field]}]}
        return pod

    @staticmethod
    def _outdated(daemon_set: Object, pods: list[Object], number: str, nodes: int) -> list[Object]:
        """Pods of an older template that may be replaced now."""
        strategy = daemon_set["spec"]["updateStrategy"]
        if strategy["type"] != "RollingUpdate":
            return []
        old = [pod for pod in pods if labels_of(pod).get(revisions.REVISION_HASH) != number]
        ready = [pod for pod in pods if is_true(pod, "Ready")]
        limit = share((strategy.get("rollingUpdate") or {}).get("maxUnavailable", 1), nodes, up=True)
        # Every node without a ready pod counts, whether its pod is new, old or just gone.
        room = max(limit - (nodes - len(ready)), 0)
        useless = [pod for pod in old if pod not in ready]
        return [*useless, *[pod for pod in old if pod in ready][:room]]

    async def _write(self, daemon_set: Object, wanted: set[str], number: str) -> None:
        alive = [pod for pod in await self.owned(daemon_set) if is_alive(pod)]
        right = [pod for pod in alive if _node_of(pod) in wanted]
        ready = [pod for pod in right if is_true(pod, "Ready")]
        updated = [pod for pod in right if labels_of(pod).get(revisions.REVISION_HASH) == number]
        available = self.available(daemon_set, right)
        status = counts(
            numberAvailable=len(available),
            numberUnavailable=len(wanted) - len(available),
            updatedNumberScheduled=len(updated),
        )
        status |= {
            "currentNumberScheduled": len({_node_of(pod) for pod in right}),
            "desiredNumberScheduled": len(wanted),
            "numberMisscheduled": len(alive) - len(right),
            "numberReady": len(ready),
            "observedGeneration": daemon_set["metadata"]["generation"],
        }
        await self.update_status(DAEMON_SETS, daemon_set, status)


def _node_of(pod: Object) -> str:
    """The node of a daemon's pod, before the scheduler has bound it too."""
    if pod["spec"].get("nodeName"):
        return str(pod["spec"]["nodeName"])
    affinity = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    terms = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", [])
    fields = [field for term in terms for field in term.get("matchFields", [])]
    return str(fields[0]["values"][0]) if fields else ""
