# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controllers of Kubernetes that workloads need."""

from __future__ import annotations

import asyncio
import copy
import datetime
import hashlib
import json
import typing as t

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import age
from eks_sandbox.control_plane.objects import condition
from eks_sandbox.control_plane.objects import identity
from eks_sandbox.control_plane.objects import is_owned_by
from eks_sandbox.control_plane.objects import is_true
from eks_sandbox.control_plane.objects import labels_of
from eks_sandbox.control_plane.objects import moment
from eks_sandbox.control_plane.objects import timestamp
from eks_sandbox.node.client import CONFIG_MAPS
from eks_sandbox.node.client import DAEMON_SETS
from eks_sandbox.node.client import DEPLOYMENTS
from eks_sandbox.node.client import JOBS
from eks_sandbox.node.client import NAMESPACES
from eks_sandbox.node.client import NODES
from eks_sandbox.node.client import PODS
from eks_sandbox.node.client import REPLICA_SETS
from eks_sandbox.node.client import SERVICE_ACCOUNTS
from eks_sandbox.node.client import Client
from eks_sandbox.node.client import Collection
from eks_sandbox.node.client import KubernetesError
from eks_sandbox.node.client import record_event
from eks_sandbox.node.controller import Controller
from eks_sandbox.node.controller import Informers
from eks_sandbox.node.controller import Key
from eks_sandbox.node.controller import is_alive
from eks_sandbox.node.controller import owner_reference
from eks_sandbox.node.placement import is_selected
from eks_sandbox.node.placement import untolerated

MANAGER = "kube-controller-manager"
_TEMPLATE_HASH = "pod-template-hash"
_REVISION_HASH = "controller-revision-hash"
_REVISION = "deployment.kubernetes.io/revision"
#: What a daemon's pods put up with on every node.
_DAEMON_TOLERATIONS = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)


def hash_of(value: object) -> str:
    """A short name for a pod template."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:10]


def pod_from(owner: Object, collection: Collection, kind: str, labels: t.Mapping[str, str] | None = None) -> Object:
    """A pod of the owner's template."""
    template = copy.deepcopy(owner["spec"]["template"])
    metadata = template.get("metadata") or {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{owner['metadata']['name']}-",
            "namespace": owner["metadata"]["namespace"],
            "labels": {**(metadata.get("labels") or {}), **(labels or {})},
            "annotations": metadata.get("annotations") or {},
            "ownerReferences": [owner_reference(owner, collection, kind)],
        },
        "spec": template["spec"],
    }


class WorkloadController(Controller):
    """A controller whose objects own pods or what owns pods."""

    collection: t.ClassVar[Collection]
    kind: t.ClassVar[str]

    def wake(self, obj: Object, exists: bool) -> None:
        """An object of the own kind changed."""
        if exists:
            self.enqueue(identity(obj))

    async def current(self, key: Key) -> Object | None:
        """The object, unless it is gone or going."""
        obj = await self.client.get(self.collection, *key)
        return None if obj is None or obj["metadata"].get("deletionTimestamp") else obj

    async def owned(self, obj: Object, collection: Collection = PODS) -> list[Object]:
        """What the object owns now."""
        namespace, _ = identity(obj)
        found = await self.client.select(collection, namespace)
        return [entry for entry in found if is_owned_by(entry, obj["metadata"]["uid"])]

    async def create_pod(self, owner: Object, pod: Object) -> None:
        """A new pod; a refusal is told in an event of the owner, as ``kubectl describe`` shows it."""
        try:
            created = await self.client.create(PODS, pod)
        except KubernetesError as error:
            message = f"Error creating: {error}"
            await record_event(self.client, owner, self.kind, "FailedCreate", message, component=MANAGER)
            raise
        message = f"Created pod: {created['metadata']['name']}"
        await record_event(self.client, owner, self.kind, "SuccessfulCreate", message, component=MANAGER)


class NamespaceController(Controller):
    """Every namespace gets its default service account and the cluster's CA."""

    name = "serviceaccount-controller"
    #: PEM text, set before the controller runs.
    certificate_authority = ""

    def setup(self) -> None:
        """Namespaces, and what must be in them."""
        self.follow(NAMESPACES, self._namespace_changed)
        self.follow(SERVICE_ACCOUNTS, self._content_changed)

    def _namespace_changed(self, namespace: Object, exists: bool) -> None:
        if exists:
            self.enqueue(identity(namespace))

    def _content_changed(self, account: Object, exists: bool) -> None:
        namespace, name = identity(account)
        if not exists and name == "default":
            self.enqueue(("", namespace))

    async def reconcile(self, key: Key) -> None:
        """Make what is missing."""
        namespace = await self.client.get(NAMESPACES, *key)
        if namespace is None or namespace["metadata"].get("deletionTimestamp"):
            return
        account = {"metadata": {"name": "default", "namespace": key[1]}}
        await self.client.create_if_missing(SERVICE_ACCOUNTS, account)
        root = {"metadata": {"name": "kube-root-ca.crt", "namespace": key[1]}}
        data = {"ca.crt": self.certificate_authority}
        await self.client.create_if_missing(CONFIG_MAPS, {**root, "data": data})


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
            self.enqueue(identity(pod))

    def _node_changed(self, node: Object, exists: bool) -> None:
        if not exists:
            name = node["metadata"]["name"]
            for key, pod in self._pods.objects.items():
                if pod["spec"].get("nodeName") == name:
                    self.enqueue(key)

    async def reconcile(self, key: Key) -> None:
        """Delete a pod by force, if its node is really not there."""
        pod = await self.client.get(PODS, *key)
        if pod is not None and await self.client.get(NODES, "", pod["spec"].get("nodeName", "")) is None:
            uid = {"uid": pod["metadata"]["uid"]}
            await self.client.delete(PODS, *key, gracePeriodSeconds=0, preconditions=uid)


class JobController(WorkloadController):
    """Runs the pods of Jobs until enough have succeeded or too many have failed."""

    name = "job-controller"
    collection = JOBS
    kind = "Job"

    def setup(self) -> None:
        """Jobs and their pods."""
        self.follow(JOBS, self.wake)
        self.follow_owned(PODS, "Job")

    async def reconcile(self, key: Key) -> None:
        """Count, decide, create, and write the status."""
        job = await self.current(key)
        if job is None:
            return
        if is_true(job, "Complete") or is_true(job, "Failed"):
            await self._expire(key, job)
            return
        pods = await self.owned(job)
        succeeded = _in_phase(pods, "Succeeded")
        failed = _in_phase(pods, "Failed")
        active = [pod for pod in pods if is_alive(pod)]
        outcome = self._outcome(key, job, pods, len(succeeded), len(failed))
        if outcome is not None:
            await self._delete_pods(active)
            active = []
        elif not job["spec"].get("suspend") and not any(_is_leaving(pod) for pod in pods):
            missing = self._missing(job["spec"], len(succeeded), len(active))
            await asyncio.gather(*(self.create_pod(job, pod_from(job, JOBS, "Job")) for _ in range(missing)))
            if missing:
                # Its own pods wake the controller again; the status counts what is known now.
                active = [pod for pod in await self.owned(job) if is_alive(pod)]
        await self._write(job, active, len(succeeded), len(failed), outcome)

    @staticmethod
    def _missing(spec: Object, succeeded: int, active: int) -> int:
        parallelism, completions = spec.get("parallelism", 1), spec.get("completions")
        if completions is None:
            # A work queue: when one pod has succeeded, no new ones start.
            return 0 if succeeded else int(max(parallelism - active, 0))
        return int(max(min(parallelism, completions - succeeded) - active, 0))

    def _outcome(self, key: Key, job: Object, pods: list[Object], succeeded: int, failed: int) -> Object | None:
        """The condition that ends the job, or None while it goes on."""
        spec, status = job["spec"], job.get("status") or {}
        completions = spec.get("completions")
        running = any(is_alive(pod) for pod in pods)
        # Without a number of completions, the first success and the end of the others are enough.
        if succeeded >= completions if completions is not None else succeeded and not running:
            return _job_condition("Complete", "CompletionsReached", "Reached expected number of succeeded pods")
        restarts = sum(_restarts(pod) for pod in pods if is_alive(pod))
        if failed > spec["backoffLimit"] or (restarts and failed + restarts > spec["backoffLimit"]):
            return _job_condition("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        deadline = spec.get("activeDeadlineSeconds")
        if deadline is not None and status.get("startTime"):
            left = deadline - age(status["startTime"])
            if left <= 0:
                message = "Job was active longer than specified deadline"
                return _job_condition("Failed", "DeadlineExceeded", message)
            self.enqueue_after(key, left + 0.05)
        return None

    async def _write(
        self, job: Object, active: list[Object], succeeded: int, failed: int, outcome: Object | None
    ) -> None:
        before = job.get("status") or {}
        status: Object = {
            "startTime": before.get("startTime") or timestamp(),
            "active": len(active),
            "ready": sum(1 for pod in active if is_true(pod, "Ready")),
            "succeeded": succeeded,
            "failed": failed,
            "terminating": 0,
        }
        if outcome is not None:
            # The target's condition comes first, as in the real controller.
            target = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[outcome["type"]]
            status["conditions"] = [{**outcome, "type": target}, outcome]
            if outcome["type"] == "Complete":
                status["completionTime"] = timestamp()
        await self.update_status(JOBS, job, status)
        deadline = job["spec"].get("activeDeadlineSeconds")
        if deadline is not None and outcome is None:
            self.enqueue_after(identity(job), deadline - age(status["startTime"]) + 0.05)

    async def _delete_pods(self, pods: list[Object]) -> None:
        await asyncio.gather(*(self.client.delete(PODS, *identity(pod)) for pod in pods))

    async def _expire(self, key: Key, job: Object) -> None:
        """ttlSecondsAfterFinished."""
        seconds = job["spec"].get("ttlSecondsAfterFinished")
        if seconds is None:
            return
        finished = condition(job, "Complete") or condition(job, "Failed") or {}
        due = moment(finished["lastTransitionTime"]) + datetime.timedelta(seconds=seconds)
        left = (due - datetime.datetime.now(datetime.UTC)).total_seconds()
        if left > 0:
            self.enqueue_after(key, left + 0.05)
        else:
            await self.client.delete(JOBS, *key, propagationPolicy="Background")


def _in_phase(pods: list[Object], phase: str) -> list[Object]:
    return [pod for pod in pods if (pod.get("status") or {}).get("phase") == phase]


def _is_leaving(pod: Object) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return bool(pod["metadata"].get("deletionTimestamp")) and phase not in ("Succeeded", "Failed")


def _restarts(pod: Object) -> int:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return sum(entry.get("restartCount", 0) for entry in statuses)


def _job_condition(kind: str, reason: str, message: str) -> Object:
    now = timestamp()
    times = {"lastProbeTime": now, "lastTransitionTime": now}
    return {"type": kind, "status": "True", "reason": reason, "message": message, **times}


class ReplicaSetController(WorkloadController):
    """Keeps as many pods as a ReplicaSet says."""

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
        wanted = replica_set["spec"]["replicas"]
        missing = max(wanted - len(pods), 0)
        new = [self.create_pod(replica_set, pod_from(replica_set, REPLICA_SETS, "ReplicaSet")) for _ in range(missing)]
        await asyncio.gather(*new)
        # Pods that are not ready go first.
        surplus = sorted(pods, key=_readiness)[: max(len(pods) - wanted, 0)]
        await asyncio.gather(*(self.client.delete(PODS, *identity(pod)) for pod in surplus))
        if missing or surplus:
            pods = [pod for pod in await self.owned(replica_set) if is_alive(pod)]
        ready = sum(1 for pod in pods if is_true(pod, "Ready"))
        status = {
            "replicas": len(pods),
            "fullyLabeledReplicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "observedGeneration": replica_set["metadata"]["generation"],
        }
        await self.update_status(REPLICA_SETS, replica_set, status)


def _readiness(pod: Object) -> bool:
    return is_true(pod, "Ready")


class DeploymentController(WorkloadController):
    """Rolls the ReplicaSets of Deployments."""

    name = "deployment-controller"
    collection = DEPLOYMENTS
    kind = "Deployment"

    def setup(self) -> None:
        """Deployments and their ReplicaSets."""
        self.follow(DEPLOYMENTS, self.wake)
        self.follow_owned(REPLICA_SETS, "Deployment")

    async def reconcile(self, key: Key) -> None:
        """Find or make the new ReplicaSet, move replicas to it, write the status."""
        deployment = await self.current(key)
        if deployment is None:
            return
        replica_sets = await self.owned(deployment, REPLICA_SETS)
        number = hash_of(deployment["spec"]["template"])
        newest = next((entry for entry in replica_sets if labels_of(entry).get(_TEMPLATE_HASH) == number), None)
        if newest is None:
            newest = await self._create(deployment, number, replica_sets)
        older = [entry for entry in replica_sets if entry["metadata"]["uid"] != newest["metadata"]["uid"]]
        if not deployment["spec"].get("paused"):
            await self._roll(deployment, newest, older)
        await self._tidy(deployment, older)
        await self._write(deployment, newest)

    async def _create(self, deployment: Object, number: str, known: list[Object]) -> Object:
        namespace, name = identity(deployment)
        template = copy.deepcopy(deployment["spec"]["template"])
        template.setdefault("metadata", {}).setdefault("labels", {})[_TEMPLATE_HASH] = number
        selector = copy.deepcopy(deployment["spec"]["selector"])
        selector.setdefault("matchLabels", {})[_TEMPLATE_HASH] = number
        metadata = {
            "name": f"{name}-{number}",
            "namespace": namespace,
            "labels": template["metadata"]["labels"],
            "annotations": {_REVISION: str(len(known) + 1)},
            "ownerReferences": [owner_reference(deployment, DEPLOYMENTS, "Deployment")],
        }
        spec = {"replicas": 0, "selector": selector, "template": template}
        return await self.client.create(REPLICA_SETS, {"metadata": metadata, "spec": spec})

    async def _roll(self, deployment: Object, newest: Object, older: list[Object]) -> None:
        wanted = deployment["spec"]["replicas"]
        surge, unavailable = _rolling(deployment["spec"])
        old_total = sum(entry["spec"]["replicas"] for entry in older)
        if deployment["spec"]["strategy"]["type"] == "Recreate":
            for entry in older:
                await self._scale(entry, 0)
            if not any(_replicas(entry) for entry in older):
                await self._scale(newest, wanted)
            return
        room = wanted + surge - old_total
        await self._scale(newest, min(wanted, max(room, newest["spec"]["replicas"] if room < 0 else room)))
        ready = (newest.get("status") or {}).get("readyReplicas", 0)
        # As many old pods stay as are needed to keep enough of all available.
        keep = max(wanted - unavailable - ready, 0)
        for entry in older:
            stays = min(entry["spec"]["replicas"], keep)
            keep -= stays
            await self._scale(entry, stays)

    async def _scale(self, replica_set: Object, replicas: int) -> None:
        if replica_set["spec"]["replicas"] != replicas:
            await self.client.patch(REPLICA_SETS, replica_set, {"spec": {"replicas": replicas}})

    async def _tidy(self, deployment: Object, older: list[Object]) -> None:
        empty = [entry for entry in older if not entry["spec"]["replicas"] and not _replicas(entry)]
        empty.sort(key=_revision)
        surplus = empty[: max(len(empty) - deployment["spec"].get("revisionHistoryLimit", 10), 0)]
        for entry in surplus:
            await self.client.delete(REPLICA_SETS, *identity(entry))

    async def _write(self, deployment: Object, newest: Object) -> None:
        replica_sets = await self.owned(deployment, REPLICA_SETS)
        statuses = [entry.get("status") or {} for entry in replica_sets]
        total = sum(status.get("replicas", 0) for status in statuses)
        available = sum(status.get("availableReplicas", 0) for status in statuses)
        current = next(
            (entry for entry in replica_sets if entry["metadata"]["uid"] == newest["metadata"]["uid"]), newest
        )
        updated = (current.get("status") or {}).get("replicas", 0)
        wanted = deployment["spec"]["replicas"]
        _, unavailable = _rolling(deployment["spec"])
        done = updated == total == available == wanted
        facts = [
            ("Available", available >= wanted - unavailable, "MinimumReplicasAvailable", "MinimumReplicasUnavailable"),
            ("Progressing", True, "NewReplicaSetAvailable" if done else "ReplicaSetUpdated", ""),
        ]
        status = {
            "replicas": total,
            "updatedReplicas": updated,
            "readyReplicas": available,
            "availableReplicas": available,
            "unavailableReplicas": max(wanted - available, 0),
            "observedGeneration": deployment["metadata"]["generation"],
            "conditions": [_fact(deployment, *fact) for fact in facts],
        }
        await self.update_status(DEPLOYMENTS, deployment, status)
        revision = (newest["metadata"].get("annotations") or {}).get(_REVISION)
        if (deployment["metadata"].get("annotations") or {}).get(_REVISION) != revision:
            await self.client.patch(DEPLOYMENTS, deployment, {"metadata": {"annotations": {_REVISION: revision}}})


def _replicas(replica_set: Object) -> int:
    return int((replica_set.get("status") or {}).get("replicas", 0))


def _revision(replica_set: Object) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(_REVISION, 0))


def _share(value: int | str, total: int, *, up: bool) -> int:
    """A number, or a percentage of the total."""
    if isinstance(value, int):
        return value
    exact = int(value.rstrip("%")) * total
    return -(-exact // 100) if up else exact // 100


def _rolling(spec: Object) -> tuple[int, int]:
    """maxSurge and maxUnavailable as numbers; both zero would never move."""
    settings = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    surge = _share(settings.get("maxSurge", "25%"), spec["replicas"], up=True)
    unavailable = _share(settings.get("maxUnavailable", "25%"), spec["replicas"], up=False)
    return (surge, unavailable) if surge or unavailable else (0, 1)


def _fact(obj: Object, kind: str, holds: bool, reason: str, otherwise: str) -> Object:
    """A condition, with the old time stamps while nothing has changed."""
    value, why = ("True", reason) if holds else ("False", otherwise)
    before = condition(obj, kind)
    if before is not None and before["status"] == value and before["reason"] == why:
        return before
    now = timestamp()
    times = {"lastUpdateTime": now, "lastTransitionTime": now}
    return {"type": kind, "status": value, "reason": why, "message": "", **times}


class DaemonSetController(WorkloadController):
    """One pod on each node that fits."""

    name = "daemonset-controller"
    collection = DAEMON_SETS
    kind = "DaemonSet"

    def setup(self) -> None:
        """DaemonSets, their pods, and nodes that come, change and go."""
        self._sets = self.follow(DAEMON_SETS, self.wake)
        self.follow_owned(PODS, "DaemonSet")
        self._nodes = self.follow(NODES, self._node_changed)

    def _node_changed(self, node: Object, exists: bool) -> None:
        del node, exists
        for key in self._sets.objects:
            self.enqueue(key)

    async def reconcile(self, key: Key) -> None:
        """Create what is missing, delete what is too much or old, write the status."""
        daemon_set = await self.current(key)
        if daemon_set is None:
            return
        nodes = await self.client.select(NODES)
        number = hash_of(daemon_set["spec"]["template"])
        wanted = {node["metadata"]["name"] for node in nodes if self._fits(daemon_set, node)}
        pods = await self.owned(daemon_set)
        alive = [pod for pod in pods if is_alive(pod)]
        present = {_node_of(pod) for pod in pods}
        for name in sorted(wanted - present):
            await self.create_pod(daemon_set, self._pod(daemon_set, name, number))
        misplaced = [pod for pod in alive if _node_of(pod) not in wanted]
        # A daemon's pod that has ended by itself is replaced.
        ended = [pod for pod in pods if not is_alive(pod) and not pod["metadata"].get("deletionTimestamp")]
        outdated = self._outdated(daemon_set, [pod for pod in alive if _node_of(pod) in wanted], number)
        for pod in [*misplaced, *ended, *outdated]:
            await self.client.delete(PODS, *identity(pod))
        await self._write(daemon_set, wanted, number)

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
        labels = {_REVISION_HASH: number, "pod-template-generation": generation}
        pod = pod_from(daemon_set, DAEMON_SETS, "DaemonSet", labels)
        pod["spec"] = self._spec(daemon_set)
        field = {"key": "metadata.name", "operator": "In", "values": [node]}
        affinity = pod["spec"].setdefault("affinity", {}).setdefault("nodeAffinity", {})
        # The node is chosen here; the scheduler only binds.
        affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [{"matchFields": [field]}]}
        return pod

    @staticmethod
    def _outdated(daemon_set: Object, pods: list[Object], number: str) -> list[Object]:
        """Pods of an older template that may be replaced now."""
        strategy = daemon_set["spec"]["updateStrategy"]
        if strategy["type"] != "RollingUpdate":
            return []
        old = [pod for pod in pods if labels_of(pod).get(_REVISION_HASH) != number]
        unready = [pod for pod in pods if not is_true(pod, "Ready")]
        limit = _share((strategy.get("rollingUpdate") or {}).get("maxUnavailable", 1), len(pods), up=True)
        room = max(limit - len([pod for pod in unready if pod not in old]), 0)
        first = [pod for pod in old if pod in unready]
        return first or old[:room]

    async def _write(self, daemon_set: Object, wanted: set[str], number: str) -> None:
        alive = [pod for pod in await self.owned(daemon_set) if is_alive(pod)]
        right = [pod for pod in alive if _node_of(pod) in wanted]
        ready = [pod for pod in right if is_true(pod, "Ready")]
        updated = [pod for pod in right if labels_of(pod).get(_REVISION_HASH) == number]
        status = {
            "currentNumberScheduled": len({_node_of(pod) for pod in right}),
            "desiredNumberScheduled": len(wanted),
            "numberAvailable": len(ready),
            "numberMisscheduled": len(alive) - len(right),
            "numberReady": len(ready),
            "numberUnavailable": len(wanted) - len(ready),
            "observedGeneration": daemon_set["metadata"]["generation"],
            "updatedNumberScheduled": len(updated),
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


CONTROLLERS: tuple[type[Controller], ...] = (
    NamespaceController,
    PodGarbageController,
    JobController,
    ReplicaSetController,
    DeploymentController,
    DaemonSetController,
)


def create(client: Client, certificate_authority: str) -> tuple[Informers, list[Controller]]:
    """All controllers of one cluster, and what they follow."""
    informers = Informers(client)
    controllers = [kind(client, informers) for kind in CONTROLLERS]
    for controller in controllers:
        if isinstance(controller, NamespaceController):
            controller.certificate_authority = certificate_authority
    return informers, controllers
