# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Deployments: their ReplicaSets, and how one takes over from another (k8s.io/kubernetes pkg/controller/deployment)."""

from __future__ import annotations

import copy

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import age
from eks_sandbox.control_plane.objects import condition
from eks_sandbox.control_plane.objects import controller_of
from eks_sandbox.control_plane.objects import identity
from eks_sandbox.control_plane.objects import is_finished
from eks_sandbox.control_plane.objects import labels_of
from eks_sandbox.control_plane.objects import timestamp
from eks_sandbox.node.client import DEPLOYMENTS
from eks_sandbox.node.client import PODS
from eks_sandbox.node.client import REPLICA_SETS
from eks_sandbox.node.client import record_event
from eks_sandbox.node.controller import Key
from eks_sandbox.node.controller import owner_reference
from eks_sandbox.node.controllers.workload import MANAGER
from eks_sandbox.node.controllers.workload import WorkloadController
from eks_sandbox.node.controllers.workload import counts
from eks_sandbox.node.controllers.workload import hash_of
from eks_sandbox.node.controllers.workload import share
from eks_sandbox.node.controllers.workload import with_condition

_TEMPLATE_HASH = "pod-template-hash"
_PREFIX = "deployment.kubernetes.io/"
_REVISION = f"{_PREFIX}revision"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class DeploymentController(WorkloadController):
    """Rolls the ReplicaSets of Deployments."""

    name = "deployment-controller"
    collection = DEPLOYMENTS
    kind = "Deployment"

    def setup(self) -> None:
        """Deployments, their ReplicaSets, and pods, for whose end a Recreate waits."""
        self.follow(DEPLOYMENTS, self.wake)
        self._replica_sets = self.follow_owned(REPLICA_SETS, "Deployment")
        self.follow(PODS, self._pod_changed)

    def _pod_changed(self, pod: Object, exists: bool) -> None:
        owner = controller_of(pod)
        if owner is None or (exists and not is_finished(pod)):
            return
        replica_set = self._replica_sets.objects.get((pod["metadata"]["namespace"], owner["name"]), {"metadata": {}})
        maker = controller_of(replica_set)
        if maker is not None:
            self.enqueue((pod["metadata"]["namespace"], maker["name"]))

    async def reconcile(self, key: Key) -> None:
        """Find or create the new ReplicaSet, move replicas to it, write the status."""
        deployment = await self.current(key)
        if deployment is None:
            return
        replica_sets = sorted(await self.owned(deployment, REPLICA_SETS), key=_revision)
        number = hash_of(deployment["spec"]["template"])
        newest = next((entry for entry in replica_sets if labels_of(entry).get(_TEMPLATE_HASH) == number), None)
        older = [entry for entry in replica_sets if entry is not newest]
        if deployment["spec"].get("paused"):
            await self._scale_paused(deployment, newest, older)
        else:
            newest = await self._newest(deployment, newest, number, older)
            await self._roll(deployment, newest, older)
            await self._tidy(deployment, older)
        await self._write(deployment, newest)

    async def _newest(self, deployment: Object, known: Object | None, number: str, older: list[Object]) -> Object:
        """The ReplicaSet of the current template, whose revision is the highest."""
        revision = str(max(map(_revision, older), default=0) + 1)
        annotations = {
            key: value
            for key, value in (deployment["metadata"].get("annotations") or {}).items()
            if key != _LAST_APPLIED and not key.startswith(_PREFIX)
        }
        wanted, surge = deployment["spec"]["replicas"], _rolling(deployment["spec"])[0]
        annotations |= {f"{_PREFIX}desired-replicas": str(wanted), f"{_PREFIX}max-replicas": str(wanted + surge)}
        if known is None:
            return await self._create(deployment, number, {**annotations, _REVISION: revision})
        if _revision(known) < int(revision):
            annotations[_REVISION] = revision
        before = known["metadata"].get("annotations") or {}
        if {**before, **annotations} == before:
            return known
        return await self.client.patch(REPLICA_SETS, known, {"metadata": {"annotations": annotations}})

    async def _create(self, deployment: Object, number: str, annotations: Object) -> Object:
        namespace, name = identity(deployment)
        template = copy.deepcopy(deployment["spec"]["template"])
        template.setdefault("metadata", {}).setdefault("labels", {})[_TEMPLATE_HASH] = number
        selector = copy.deepcopy(deployment["spec"]["selector"])
        selector.setdefault("matchLabels", {})[_TEMPLATE_HASH] = number
        metadata = {
            "name": f"{name}-{number}",
            "namespace": namespace,
            "labels": template["metadata"]["labels"],
            "annotations": annotations,
            "ownerReferences": [owner_reference(deployment, DEPLOYMENTS, "Deployment")],
        }
        spec = {"replicas": 0, "selector": selector, "template": template}
        if seconds := deployment["spec"].get("minReadySeconds"):
            spec["minReadySeconds"] = seconds
        return await self.client.create(REPLICA_SETS, {"metadata": metadata, "spec": spec})

    async def _scale_paused(self, deployment: Object, newest: Object | None, older: list[Object]) -> None:
        """Nothing rolls, but the number of pods still follows."""
        active = [entry for entry in older if entry["spec"]["replicas"]]
        chosen = newest or next(reversed(active or older), None)
        if chosen is not None and not [entry for entry in active if entry is not chosen]:
            await self._scale(deployment, chosen, deployment["spec"]["replicas"])

    async def _roll(self, deployment: Object, newest: Object, older: list[Object]) -> None:
        wanted = deployment["spec"]["replicas"]
        if deployment["spec"]["strategy"]["type"] == "Recreate":
            for entry in older:
                await self._scale(deployment, entry, 0)
            if not await self._still_runs(older):
                await self._scale(deployment, newest, wanted)
            return
        surge, unavailable = _rolling(deployment["spec"])
        total = newest["spec"]["replicas"] + sum(entry["spec"]["replicas"] for entry in older)
        room = max(wanted + surge - total, 0)
        goal = min(newest["spec"]["replicas"] + room, wanted)
        if goal != newest["spec"]["replicas"]:
            await self._scale(deployment, newest, goal)
            return
        await self._shrink(deployment, newest, older, total - (wanted - unavailable))

    async def _shrink(self, deployment: Object, newest: Object, older: list[Object], spare: int) -> None:
        """Remove old pods: first those that do not work, then as many as are not needed."""
        spare -= newest["spec"]["replicas"] - _available(newest)
        for entry in older:
            useless = min(entry["spec"]["replicas"] - _available(entry), spare)
            if useless > 0:
                spare -= useless
                entry["spec"]["replicas"] -= useless
                await self._patch_replicas(deployment, entry, "down", entry["spec"]["replicas"])
        _, unavailable = _rolling(deployment["spec"])
        enough = deployment["spec"]["replicas"] - unavailable
        spare = min(spare, sum(map(_available, [newest, *older])) - enough)
        for entry in older:
            surplus = min(entry["spec"]["replicas"], max(spare, 0))
            spare -= surplus
            if surplus:
                await self._scale(deployment, entry, entry["spec"]["replicas"] - surplus)

    async def _still_runs(self, older: list[Object]) -> bool:
        # A pod that is being deleted still runs (oldPodsRunning in pkg/controller/deployment/recreate.go).
        return any([not is_finished(pod) for entry in older for pod in await self.owned(entry)])

    async def _scale(self, deployment: Object, replica_set: Object, replicas: int) -> None:
        before = replica_set["spec"]["replicas"]
        if before != replicas:
            await self._patch_replicas(deployment, replica_set, "up" if replicas > before else "down", replicas)

    async def _patch_replicas(self, deployment: Object, replica_set: Object, direction: str, replicas: int) -> None:
        await self.client.patch(REPLICA_SETS, replica_set, {"spec": {"replicas": replicas}})
        message = f"Scaled {direction} replica set {replica_set['metadata']['name']} to {replicas}"
        await record_event(self.client, deployment, self.kind, "ScalingReplicaSet", message, component=MANAGER)

    async def _tidy(self, deployment: Object, older: list[Object]) -> None:
        empty = [entry for entry in older if not entry["spec"]["replicas"] and not _replicas(entry)]
        surplus = empty[: max(len(empty) - deployment["spec"].get("revisionHistoryLimit", 10), 0)]
        for entry in surplus:
            await self.client.delete(REPLICA_SETS, *identity(entry))

    async def _write(self, deployment: Object, newest: Object | None) -> None:
        replica_sets = await self.owned(deployment, REPLICA_SETS)
        uid = newest["metadata"]["uid"] if newest else ""
        current = next((entry for entry in replica_sets if entry["metadata"]["uid"] == uid), newest or {})
        total, available = sum(map(_replicas, replica_sets)), sum(map(_available, replica_sets))
        wanted = deployment["spec"]["replicas"]
        status = counts(
            replicas=total,
            updatedReplicas=_replicas(current),
            readyReplicas=sum((entry.get("status") or {}).get("readyReplicas", 0) for entry in replica_sets),
            availableReplicas=available,
            unavailableReplicas=max(total - available, wanted - available, 0),
        )
        done = (status["updatedReplicas"] or 0) == total == available == wanted
        status["observedGeneration"] = deployment["metadata"]["generation"]
        status["conditions"] = self._conditions(deployment, current, status, replica_sets, done=done)
        await self.update_status(DEPLOYMENTS, deployment, status)
        revision = (current.get("metadata", {}).get("annotations") or {}).get(_REVISION)
        if revision and (deployment["metadata"].get("annotations") or {}).get(_REVISION) != revision:
            await self.client.patch(DEPLOYMENTS, deployment, {"metadata": {"annotations": {_REVISION: revision}}})

    def _conditions(
        self, deployment: Object, newest: Object, status: Object, replica_sets: list[Object], *, done: bool
    ) -> list[Object]:
        _, unavailable = _rolling(deployment["spec"])
        is_available = (status["availableReplicas"] or 0) >= deployment["spec"]["replicas"] - unavailable
        has = "has" if is_available else "does not have"
        available = {
            "type": "Available",
            "status": str(is_available),
            "reason": "MinimumReplicasAvailable" if is_available else "MinimumReplicasUnavailable",
            "message": f"Deployment {has} minimum availability.",
        }
        conditions = _updated(deployment, available, moved=False)
        progress = {**deployment, "status": {**(deployment.get("status") or {}), "conditions": conditions}}
        conditions = self._progress(progress, newest, status, done=done)
        failures = [failure for entry in replica_sets if (failure := condition(entry, "ReplicaFailure"))]
        rest = [entry for entry in conditions if entry["type"] != "ReplicaFailure"]
        return [*rest, {**failures[0], "lastUpdateTime": failures[0]["lastTransitionTime"]}] if failures else rest

    def _progress(self, deployment: Object, newest: Object, status: Object, *, done: bool) -> list[Object]:
        """The condition Progressing: the progress of the rollout, and whether it is stuck."""
        shown = f'ReplicaSet "{newest.get("metadata", {}).get("name", "")}"'
        known, before = condition(deployment, "Progressing"), deployment.get("status") or {}
        paused = deployment["spec"].get("paused")
        if paused or (known is not None and known["reason"] == "DeploymentPaused"):
            state, reason = "Unknown", "DeploymentPaused" if paused else "DeploymentResumed"
            message = "Deployment is paused" if paused else "Deployment is resumed"
            return _updated(deployment, _progressing(state, reason, message), moved=False)
        if done:
            message = f"{shown} has successfully progressed."
            return _updated(deployment, _progressing("True", "NewReplicaSetAvailable", message), moved=False)
        fields = ("updatedReplicas", "readyReplicas", "availableReplicas", "replicas")
        moved = any((before.get(field) or 0) != (status[field] or 0) for field in fields)
        moved = moved or known is None or known["reason"] == "NewReplicaSetAvailable"
        left = deployment["spec"].get("progressDeadlineSeconds", 600)
        if known is not None and not moved:
            left -= age(known["lastUpdateTime"])
            # What has timed out stays so until it moves (DeploymentTimedOut in pkg/controller/deployment/util).
            if left <= 0 or known["reason"] == "ProgressDeadlineExceeded":
                message = f"{shown} has timed out progressing."
                return _updated(deployment, _progressing("False", "ProgressDeadlineExceeded", message), moved=False)
        self.enqueue_after(identity(deployment), left + 0.1)
        message = f"{shown} is progressing."
        return _updated(deployment, _progressing("True", "ReplicaSetUpdated", message), moved=moved)


def _progressing(status: str, reason: str, message: str) -> Object:
    return {"type": "Progressing", "status": status, "reason": reason, "message": message}


def _updated(deployment: Object, new: Object, *, moved: bool) -> list[Object]:
    """The conditions with this one; its lastUpdateTime changes with it, or when the rollout has moved."""
    before = condition(deployment, new["type"])
    same = before is not None and all(before.get(key) == value for key, value in new.items())
    stamp = before["lastUpdateTime"] if same and before and not moved else timestamp()
    return with_condition(deployment, {**new, "lastUpdateTime": stamp})


def _replicas(replica_set: Object) -> int:
    return int((replica_set.get("status") or {}).get("replicas", 0))


def _available(replica_set: Object) -> int:
    return int((replica_set.get("status") or {}).get("availableReplicas", 0))


def _revision(replica_set: Object) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(_REVISION, 0))


def _rolling(spec: Object) -> tuple[int, int]:
    """maxSurge and maxUnavailable as numbers; both zero would never move."""
    if spec["strategy"]["type"] == "Recreate":
        return 0, 0
    settings = spec["strategy"].get("rollingUpdate") or {}
    surge = share(settings.get("maxSurge", "25%"), spec["replicas"], up=True)
    unavailable = share(settings.get("maxUnavailable", "25%"), spec["replicas"], up=False)
    return (surge, min(unavailable, spec["replicas"])) if surge or unavailable else (0, min(1, spec["replicas"]))
