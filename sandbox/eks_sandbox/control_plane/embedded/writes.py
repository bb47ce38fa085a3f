# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Creating and changing objects: decode, default, admit, validate, store."""

from __future__ import annotations

import copy
import dataclasses
import typing as t
import uuid

from eks_sandbox.control_plane.embedded import managed_fields
from eks_sandbox.control_plane.embedded import schema
from eks_sandbox.control_plane.embedded.admission import AdmissionRequest
from eks_sandbox.control_plane.embedded.admission import Webhooks
from eks_sandbox.control_plane.embedded.admission import admit_pod_basics
from eks_sandbox.control_plane.embedded.admission import admit_service_account
from eks_sandbox.control_plane.embedded.admission import ensure_namespace_takes
from eks_sandbox.control_plane.embedded.defaults import random_suffix
from eks_sandbox.control_plane.embedded.defaults import set_defaults
from eks_sandbox.control_plane.embedded.errors import Cause
from eks_sandbox.control_plane.embedded.errors import already_exists
from eks_sandbox.control_plane.embedded.errors import bad_request
from eks_sandbox.control_plane.embedded.errors import conflict
from eks_sandbox.control_plane.embedded.errors import invalid
from eks_sandbox.control_plane.embedded.errors import not_found
from eks_sandbox.control_plane.embedded.managed_fields import Manager
from eks_sandbox.control_plane.embedded.requests import Target
from eks_sandbox.control_plane.embedded.resources import PODS
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.embedded.store import Store
from eks_sandbox.control_plane.embedded.validation import validate
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import timestamp
from eks_sandbox.interfaces import Identity

#: How often a patch starts again when the object changes under it, as in kube-apiserver.
PATCH_ATTEMPTS = 5
#: Names get a random end; the whole may not be longer than this.
GENERATED_BASE_LIMIT = 58
#: What the status of a new object says, where Go's zero values show.
FIRST_STATUS: dict[str, Object] = {
    "DaemonSet": {
        "currentNumberScheduled": 0,
        "desiredNumberScheduled": 0,
        "numberMisscheduled": 0,
        "numberReady": 0,
    },
    "ReplicaSet": {"replicas": 0},
    "Service": {"loadBalancer": {}},
}
#: Metadata that a client cannot change.
_FIXED = (
    "uid",
    "creationTimestamp",
    "name",
    "namespace",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)


@dataclasses.dataclass(frozen=True)
class WriteOptions:
    """How a write was asked for."""

    identity: Identity
    manager: str
    dry_run: bool = False
    force: bool = False
    #: ``Ignore``, ``Warn`` or ``Strict``: what happens to unknown fields.
    field_validation: str = "Warn"
    #: Filled with what the client should be told.
    warnings: list[str] = dataclasses.field(default_factory=list)


class Writer:
    """Writes to the store what passes admission and validation."""

    def __init__(self, store: Store, webhooks: Webhooks, on_delete: t.Callable[[Resource, Object], None]) -> None:
        self._store = store
        self._webhooks = webhooks
        self._on_delete = on_delete

    async def create(self, target: Target, body: Object, options: WriteOptions, *, record: bool = True) -> Object:
        """A new object.

        :raises ApiError: whatever kube-apiserver would refuse it for.
        """
        resource = target.resource
        obj = _prepared(target, body)
        missing = _decode(resource, obj, options)
        set_defaults(resource, obj)
        name = obj["metadata"].get("name", "")
        if resource.namespaced:
            ensure_namespace_takes(self._store, resource, target.namespace, name)
        obj = await self._admit(resource, obj, missing, options)
        set_defaults(resource, obj)
        _ensure_valid(resource, obj, missing)
        if self._store.find(resource, target.namespace, name) is not None:
            raise already_exists(resource, name)
        if record:
            obj = managed_fields.record_update(None, obj, Manager(options.manager, "Update", resource.api_version))
        return obj if options.dry_run else self._store.put(resource, obj)

    async def _admit(self, resource: Resource, obj: Object, missing: list[Cause], options: WriteOptions) -> Object:
        if resource is PODS and not missing:
            admit_service_account(self._store, resource, obj)
            admit_pod_basics(obj)
            obj["status"]["qosClass"] = _quality(obj["spec"])
        return await self._webhooks.mutate(AdmissionRequest(resource, "CREATE", obj, options.identity, options.dry_run))

    def replace(self, target: Target, body: Object, options: WriteOptions) -> Object:
        """PUT: the object (or its status) becomes what the body says."""
        old = self.existing(target)
        return self._update(target, old, copy.deepcopy(body), options)

    def change(self, target: Target, patch: t.Callable[[Object], Object], options: WriteOptions) -> Object:
        """PATCH: the object becomes what ``patch`` makes of a copy of it."""
        old = self.existing(target)
        return self._update(target, old, patch(copy.deepcopy(old)), options)

    async def apply(self, target: Target, config: Object, options: WriteOptions) -> tuple[Object, bool]:
        """Server-side apply; returns the object and whether it is new."""
        resource = target.resource
        manager = Manager(options.manager, "Apply", resource.api_version, target.subresource)
        config = schema.without_nulls(config)
        live = self._store.find(resource, target.namespace, target.name)
        if live is None:
            created = {**config, "metadata": {**config.get("metadata", {}), "name": target.name}}
            created = managed_fields.apply(None, created, manager, force=options.force)
            return await self.create(target, created, options, record=False), True
        merged = managed_fields.apply(live, config, manager, force=options.force)
        return self._update(target, live, copy.deepcopy(merged), options, record=False), False

    def existing(self, target: Target) -> Object:
        """The object that the target names.

        :raises ApiError: 404
        """
        found = self._store.find(target.resource, target.namespace, target.name)
        if found is None:
            raise not_found(target.resource, target.name)
        return found

    def _update(
        self, target: Target, old: Object, new: Object, options: WriteOptions, *, record: bool = True
    ) -> Object:
        resource = target.resource
        _ensure_same_object(target, old, new)
        new["metadata"] |= {key: old["metadata"][key] for key in _FIXED if key in old["metadata"]}
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        new |= {"apiVersion": resource.api_version, "kind": resource.kind}
        new = _only_what_may_change(target, old, new)
        missing = _decode(resource, new, options)
        if target.subresource != "status":
            set_defaults(resource, new)
            _ensure_valid(resource, new, missing, old)
            _count_generation(old, new)
        if record:
            manager = Manager(options.manager, "Update", resource.api_version, target.subresource)
            new = managed_fields.record_update(old, new, manager)
        if new == old or options.dry_run:
            return new
        stored = self._store.put(resource, new)
        if stored["metadata"].get("deletionTimestamp") and not stored["metadata"].get("finalizers"):
            self._on_delete(resource, stored)
        return stored

    def bind(self, target: Target, body: Object) -> None:
        """What the scheduler does: a pod gets its node.

        :raises ApiError: 409 when it has one already.
        """
        pod = self.existing(target)
        node = (body.get("target") or {}).get("name")
        if not node:
            raise bad_request("binding without a target")
        if pod["spec"].get("nodeName"):
            why = f'pod {target.name} is already assigned to node "{pod["spec"]["nodeName"]}"'
            raise conflict(PODS, target.name, why)
        status = dict(pod.get("status") or {})
        conditions = [entry for entry in status.get("conditions") or [] if entry["type"] != "PodScheduled"]
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": timestamp()}
        status["conditions"] = [*conditions, scheduled]
        self._store.put(PODS, {**pod, "spec": {**pod["spec"], "nodeName": node}, "status": status})


def _prepared(target: Target, body: Object) -> Object:
    """A copy of the body with the metadata that only the server sets."""
    resource = target.resource
    obj: Object = schema.without_nulls(copy.deepcopy(body))
    ensure_kind(resource, obj)
    obj |= {"apiVersion": resource.api_version, "kind": resource.kind}
    metadata = obj.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise bad_request("json: cannot unmarshal metadata into Go struct field ObjectMeta")
    if metadata.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    _set_namespace(target, metadata)
    if not metadata.get("name") and isinstance(metadata.get("generateName"), str):
        metadata["name"] = metadata["generateName"][:GENERATED_BASE_LIMIT] + random_suffix()
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        metadata.pop(key, None)
    metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": timestamp()}
    if resource.has_status:
        obj["status"] = dict(FIRST_STATUS.get(resource.kind, {}))
    if resource is PODS:
        obj["status"] = {"phase": "Pending"}
    if "spec" in obj and resource.kind not in ("Namespace", "Node", "Service"):
        metadata["generation"] = 1
    return obj


def _set_namespace(target: Target, metadata: Object) -> None:
    if not target.resource.namespaced:
        metadata.pop("namespace", None)
    elif metadata.setdefault("namespace", target.namespace) != target.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")


def ensure_kind(resource: Resource, obj: Object) -> None:
    """Refuse another kind than the URL's.

    :raises ApiError: 400
    """
    kind, version = obj.get("kind"), obj.get("apiVersion")
    if kind not in (None, "", resource.kind) or version not in (None, "", resource.api_version):
        group, _, name = str(version or "").rpartition("/")
        sent = f"{group}/{name}, Kind={kind}"
        raise bad_request(
            f"the API version in the data ({version}) does not match the expected API version ({resource.api_version})"
            if kind in (None, "", resource.kind)
            else f"no kind {kind!r} is registered here: {sent} sent where {resource.kind} is expected"
        )


def _quality(spec: Object) -> str:
    """The quality of service class of a pod."""
    resources = [entry.get("resources") or {} for entry in spec.get("containers") or []]
    if not any(entry.get("requests") or entry.get("limits") for entry in resources):
        return "BestEffort"
    return "Guaranteed" if all(_is_guaranteed(entry) for entry in resources) else "Burstable"


def _is_guaranteed(resources: Object) -> bool:
    limits = resources.get("limits") or {}
    return {"cpu", "memory"} <= set(limits) and bool(resources.get("requests", limits) == limits)


def _decode(resource: Resource, obj: Object, options: WriteOptions) -> list[Cause]:
    checked = schema.check(resource, obj)
    if checked.unknown and options.field_validation == "Strict":
        listed = ", ".join(f'unknown field "{field}"' for field in checked.unknown)
        raise bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
            f"strict decoding error: {listed}"
        )
    if options.field_validation == "Warn":
        options.warnings.extend(f'unknown field "{field}"' for field in checked.unknown)
    return checked.missing


def _ensure_valid(resource: Resource, obj: Object, missing: list[Cause], old: Object | None = None) -> None:
    causes = list(missing)
    known = {cause.field for cause in missing}
    causes += [cause for cause in validate(resource, obj, old) if cause.field not in known]
    if causes:
        raise invalid(resource, obj["metadata"].get("name", ""), causes)


def _ensure_same_object(target: Target, old: Object, new: Object) -> None:
    resource = target.resource
    ensure_kind(resource, new)
    metadata = new.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise bad_request("json: cannot unmarshal metadata into Go struct field ObjectMeta")
    name = metadata.get("name") or target.name
    if name != target.name:
        raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
    if metadata.get("namespace", target.namespace) not in ("", target.namespace):
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    version = metadata.get("resourceVersion")
    if version not in (None, "", old["metadata"]["resourceVersion"]):
        raise conflict(resource, target.name)
    if metadata.get("uid") not in (None, "", old["metadata"]["uid"]):
        why = (
            f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {old['metadata']['uid']}"
        )
        raise conflict(resource, target.name, why)


def _only_what_may_change(target: Target, old: Object, new: Object) -> Object:
    """The status changes through its subresource only, and through it nothing else does."""
    new = t.cast(Object, schema.without_nulls(new))
    if target.subresource == "status":
        kept = {key: value for key, value in old.items() if key != "status"}
        return {**kept, "status": new["status"]} if "status" in new else kept
    if target.resource.has_status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    return new


def _count_generation(old: Object, new: Object) -> None:
    if "generation" in old["metadata"] and new.get("spec") != old.get("spec"):
        new["metadata"]["generation"] = old["metadata"]["generation"] + 1
