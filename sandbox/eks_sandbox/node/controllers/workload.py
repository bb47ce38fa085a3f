# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the controllers of workloads share."""

from __future__ import annotations

import copy
import hashlib
import json
import typing as t

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import age
from eks_sandbox.control_plane.objects import condition
from eks_sandbox.control_plane.objects import identity
from eks_sandbox.control_plane.objects import is_owned_by
from eks_sandbox.control_plane.objects import is_true
from eks_sandbox.control_plane.objects import timestamp
from eks_sandbox.node.client import PODS
from eks_sandbox.node.client import Collection
from eks_sandbox.node.client import KubernetesError
from eks_sandbox.node.client import record_event
from eks_sandbox.node.controller import Controller
from eks_sandbox.node.controller import Key
from eks_sandbox.node.controller import owner_reference

MANAGER = "kube-controller-manager"


def hash_of(value: object) -> str:
    """A short name for a pod template."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:10]


def share(value: int | str, total: int, *, up: bool) -> int:
    """A number, or a percentage of the total."""
    if isinstance(value, int):
        return value
    exact = int(value.rstrip("%")) * total
    return -(-exact // 100) if up else exact // 100


def counts(**numbers: int) -> Object:
    """Counts of a status; as in Go, zero counts are omitted."""
    return {name: number or None for name, number in numbers.items()}


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


def with_condition(obj: Object, new: Object) -> list[Object]:
    """The object's conditions with one replaced; its time stamps stay while its status does."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    before, now = condition(obj, new["type"]), timestamp()
    same = before is not None and before["status"] == new["status"]
    changed = {**new, "lastTransitionTime": before["lastTransitionTime"] if same and before else now}
    if before is not None and {**before, **changed} == before:
        return list(conditions)
    return [*(entry for entry in conditions if entry["type"] != new["type"]), changed]


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

    def available(self, owner: Object, pods: t.Iterable[Object]) -> list[Object]:
        """The pods that have been ready for ``minReadySeconds``; looks again when others could be."""
        wanted = owner["spec"].get("minReadySeconds", 0)
        found = []
        for pod in pods:
            if not is_true(pod, "Ready"):
                continue
            left = wanted - age((condition(pod, "Ready") or {})["lastTransitionTime"]) if wanted else 0
            if left <= 0:
                found.append(pod)
            else:
                self.enqueue_after(identity(owner), left + 0.05)
        return found

    async def create_pod(self, owner: Object, pod: Object) -> None:
        """A new pod; an event of the owner reports a refusal, as ``kubectl describe`` shows it."""
        try:
            created = await self.client.create(PODS, pod)
        except KubernetesError as error:
            message = f"Error creating: {error}"
            await record_event(self.client, owner, self.kind, "FailedCreate", message, component=MANAGER)
            raise
        message = f"Created pod: {created['metadata']['name']}"
        await record_event(self.client, owner, self.kind, "SuccessfulCreate", message, component=MANAGER)

    async def delete_pod(self, owner: Object, pod: Object) -> None:
        """A pod that is too much or too old."""
        await self.client.delete(PODS, *identity(pod))
        message = f"Deleted pod: {pod['metadata']['name']}"
        await record_event(self.client, owner, self.kind, "SuccessfulDelete", message, component=MANAGER)
