# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ReplicaSets."""

from __future__ import annotations

import asyncio

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import condition
from eks_sandbox.control_plane.objects import is_true
from eks_sandbox.node.client import PODS
from eks_sandbox.node.client import REPLICA_SETS
from eks_sandbox.node.client import KubernetesError
from eks_sandbox.node.controller import Key
from eks_sandbox.node.controller import is_alive
from eks_sandbox.node.controllers.workload import WorkloadController
from eks_sandbox.node.controllers.workload import counts
from eks_sandbox.node.controllers.workload import pod_from
from eks_sandbox.node.controllers.workload import with_condition

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


class ReplicaSetController(WorkloadController):
    """Keeps the number of pods of a ReplicaSet."""

    name = "replicaset-controller"
    collection = REPLICA_SETS
    kind = "ReplicaSet"

    def setup(self) -> None:
        """ReplicaSets and their pods."""
        self.follow(REPLICA_SETS, self.wake)
        self.follow_owned(PODS, "ReplicaSet")

    async def reconcile(self, key: Key) -> None:
        """Create or delete pods, and write the status."""
        replica_set = await self.current(key)
        if replica_set is None:
            return
        pods = [pod for pod in await self.owned(replica_set) if is_alive(pod)]
        missing = replica_set["spec"]["replicas"] - len(pods)
        try:
            new = [pod_from(replica_set, REPLICA_SETS, "ReplicaSet") for _ in range(missing)]
            await asyncio.gather(*(self.create_pod(replica_set, pod) for pod in new))
        except KubernetesError as error:
            # As in Kubernetes the first message stays: each one names another pod, and a change wakes this controller.
            if condition(replica_set, "ReplicaFailure") is None:
                failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": str(error)}
                await self._write(replica_set, pods, with_condition(replica_set, failure))
            raise
        # Those that do least go first, and of equals the youngest.
        young = sorted(pods, key=_created, reverse=True)
        surplus = sorted(young, key=_usefulness)[: max(-missing, 0)]
        await asyncio.gather(*(self.delete_pod(replica_set, pod) for pod in surplus))
        if missing:
            pods = [pod for pod in await self.owned(replica_set) if is_alive(pod)]
        known = (replica_set.get("status") or {}).get("conditions") or []
        await self._write(replica_set, pods, [entry for entry in known if entry["type"] != "ReplicaFailure"])

    async def _write(self, replica_set: Object, pods: list[Object], conditions: list[Object]) -> None:
        status = counts(
            fullyLabeledReplicas=len(pods),
            readyReplicas=sum(1 for pod in pods if is_true(pod, "Ready")),
            availableReplicas=len(self.available(replica_set, pods)),
        )
        status |= {"replicas": len(pods), "observedGeneration": replica_set["metadata"]["generation"]}
        await self.update_status(REPLICA_SETS, replica_set, {**status, "conditions": conditions or None})


def _created(pod: Object) -> str:
    return str(pod["metadata"]["creationTimestamp"])


def _usefulness(pod: Object) -> tuple[bool, int, bool]:
    phase = (pod.get("status") or {}).get("phase", "Pending")
    return bool(pod["spec"].get("nodeName")), _PHASES.get(phase, 0), is_true(pod, "Ready")
