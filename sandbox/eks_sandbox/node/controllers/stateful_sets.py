# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""StatefulSets: pods with names of their own, one after another. Volumes of their own do not exist here."""

from __future__ import annotations

import asyncio
import copy

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import is_true
from eks_sandbox.control_plane.objects import labels_of
from eks_sandbox.node.client import PODS
from eks_sandbox.node.client import STATEFUL_SETS
from eks_sandbox.node.controller import Key
from eks_sandbox.node.controller import is_alive
from eks_sandbox.node.controllers import revisions
from eks_sandbox.node.controllers.workload import WorkloadController
from eks_sandbox.node.controllers.workload import counts
from eks_sandbox.node.controllers.workload import pod_from


class StatefulSetController(WorkloadController):
    """Keeps the pods of StatefulSets."""

    name = "statefulset-controller"
    collection = STATEFUL_SETS
    kind = "StatefulSet"

    def setup(self) -> None:
        """StatefulSets and their pods."""
        self.follow(STATEFUL_SETS, self.wake)
        self.follow_owned(PODS, "StatefulSet")

    async def reconcile(self, key: Key) -> None:
        """Start or end pods in order, then replace those of an older template."""
        stateful_set = await self.current(key)
        if stateful_set is None:
            return
        update, others = await revisions.latest(self, stateful_set)
        name = (stateful_set.get("status") or {}).get("currentRevision") or update["metadata"]["name"]
        current = next((entry for entry in others if entry["metadata"]["name"] == name), update)
        pods = {_ordinal(pod): pod for pod in await self.owned(stateful_set)}
        wanted = range(_start(stateful_set), _start(stateful_set) + stateful_set["spec"]["replicas"])
        if await self._start_missing(stateful_set, pods, wanted, current, update):
            surplus = sorted((ordinal for ordinal in pods if ordinal not in wanted), reverse=True)
            if await self._end(stateful_set, [pods[ordinal] for ordinal in surplus]):
                await self._replace(stateful_set, [pods[ordinal] for ordinal in wanted if ordinal in pods], update)
        await self._write(stateful_set, current, update)
        await revisions.tidy(self, stateful_set, others, {name, *map(_revision_of, pods.values())})

    async def _start_missing(
        self, stateful_set: Object, pods: dict[int, Object], wanted: range, current: Object, update: Object
    ) -> bool:
        """Create missing pods; returns whether all pods exist and are healthy."""
        ordered = _is_ordered(stateful_set)
        missing = []
        for ordinal in wanted:
            pod = pods.get(ordinal)
            if pod is None:
                revision = current if ordinal < _partition(stateful_set) else update
                missing.append(self._pod(stateful_set, ordinal, revision))
            elif not is_alive(pod) and not pod["metadata"].get("deletionTimestamp"):
                # A pod that has ended by itself makes room for its successor.
                await self.delete_pod(stateful_set, pod)
            if ordered and (pod is None or not _is_healthy(pod)):
                break
        await asyncio.gather(*(self.create_pod(stateful_set, pod) for pod in missing))
        return not ordered or all(ordinal in pods and _is_healthy(pods[ordinal]) for ordinal in wanted)

    async def _end(self, stateful_set: Object, surplus: list[Object]) -> bool:
        """Delete surplus pods, the last one first; returns whether none remain."""
        chosen = surplus[:1] if _is_ordered(stateful_set) else surplus
        alive = [pod for pod in chosen if not pod["metadata"].get("deletionTimestamp")]
        await asyncio.gather(*(self.delete_pod(stateful_set, pod) for pod in alive))
        return not surplus

    async def _replace(self, stateful_set: Object, pods: list[Object], update: Object) -> None:
        """A rolling update: from the last pod down to the partition, each when those after it are well."""
        if stateful_set["spec"]["updateStrategy"]["type"] != "RollingUpdate":
            return
        for pod in reversed(pods):
            if _ordinal(pod) < _partition(stateful_set):
                return
            if _revision_of(pod) != update["metadata"]["name"] and is_alive(pod):
                await self.delete_pod(stateful_set, pod)
                return
            if not _is_healthy(pod):
                return

    def _pod(self, stateful_set: Object, ordinal: int, revision: Object) -> Object:
        name = f"{stateful_set['metadata']['name']}-{ordinal}"
        template = copy.deepcopy(revision["data"]["spec"]["template"])
        template.pop("$patch", None)
        owner = {**stateful_set, "spec": {**stateful_set["spec"], "template": template}}
        labels = {
            "apps.kubernetes.io/pod-index": str(ordinal),
            "controller-revision-hash": revision["metadata"]["name"],
            "statefulset.kubernetes.io/pod-name": name,
        }
        pod = pod_from(owner, STATEFUL_SETS, "StatefulSet", labels)
        pod["metadata"]["name"] = name
        pod["metadata"]["generateName"] = f"{stateful_set['metadata']['name']}-"
        pod["spec"] |= {"hostname": name, "subdomain": stateful_set["spec"].get("serviceName", "")}
        return pod

    async def _write(self, stateful_set: Object, current: Object, update: Object) -> None:
        pods = [pod for pod in await self.owned(stateful_set) if is_alive(pod)]
        name, old = update["metadata"]["name"], current["metadata"]["name"]
        updated = [pod for pod in pods if _revision_of(pod) == name]
        ready = [pod for pod in pods if is_true(pod, "Ready")]
        complete = len(updated) == len(pods) == len(ready) == stateful_set["spec"]["replicas"]
        if complete and stateful_set["spec"]["updateStrategy"]["type"] == "RollingUpdate":
            old = name
        status = counts(
            readyReplicas=len(ready),
            currentReplicas=sum(1 for pod in pods if _revision_of(pod) == old),
            updatedReplicas=len(updated),
        )
        status |= {
            "availableReplicas": len(self.available(stateful_set, pods)),
            "collisionCount": 0,
            "currentRevision": old,
            "observedGeneration": stateful_set["metadata"]["generation"],
            "replicas": len(pods),
            "updateRevision": name,
        }
        await self.update_status(STATEFUL_SETS, stateful_set, status)


def _ordinal(pod: Object) -> int:
    return int(pod["metadata"]["name"].rpartition("-")[2])


def _start(stateful_set: Object) -> int:
    return int((stateful_set["spec"].get("ordinals") or {}).get("start", 0))


def _partition(stateful_set: Object) -> int:
    return int((stateful_set["spec"]["updateStrategy"].get("rollingUpdate") or {}).get("partition", 0))


def _is_ordered(stateful_set: Object) -> bool:
    return bool(stateful_set["spec"]["podManagementPolicy"] == "OrderedReady")


def _is_healthy(pod: Object) -> bool:
    return is_alive(pod) and is_true(pod, "Ready")


def _revision_of(pod: Object) -> str:
    return labels_of(pod).get(revisions.REVISION_HASH, "")
