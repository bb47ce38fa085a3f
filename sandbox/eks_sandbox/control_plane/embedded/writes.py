# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Creating and changing objects: decode, default, admit, validate, store."""

from __future__ import annotations

import copy
import typing as t
import uuid

from eks_sandbox.control_plane.embedded import managed_fields
from eks_sandbox.control_plane.embedded import schema
from eks_sandbox.control_plane.embedded.admission import AdmissionRequest
from eks_sandbox.control_plane.embedded.admission import Webhooks
from eks_sandbox.control_plane.embedded.admission import admit_node
from eks_sandbox.control_plane.embedded.admission import admit_priority
from eks_sandbox.control_plane.embedded.admission import admit_service_account
from eks_sandbox.control_plane.embedded.admission import admit_tolerations
from eks_sandbox.control_plane.embedded.admission import ensure_namespace_takes
from eks_sandbox.control_plane.embedded.defaults import random_suffix
from eks_sandbox.control_plane.embedded.defaults import set_defaults
from eks_sandbox.control_plane.embedded.errors import Cause
from eks_sandbox.control_plane.embedded.errors import UndecodableError
from eks_sandbox.control_plane.embedded.errors import already_exists
from eks_sandbox.control_plane.embedded.errors import bad_request
from eks_sandbox.control_plane.embedded.errors import conflict
from eks_sandbox.control_plane.embedded.errors import invalid
from eks_sandbox.control_plane.embedded.errors import invalid_patch
from eks_sandbox.control_plane.embedded.errors import invalid_value
from eks_sandbox.control_plane.embedded.errors import not_found
from eks_sandbox.control_plane.embedded.errors import required
from eks_sandbox.control_plane.embedded.errors import unsupported_value
from eks_sandbox.control_plane.embedded.lifecycle import Lifecycle
from eks_sandbox.control_plane.embedded.managed_fields import Manager
from eks_sandbox.control_plane.embedded.options import WriteOptions
from eks_sandbox.control_plane.embedded.rebuilt import ensure_rebuilt
from eks_sandbox.control_plane.embedded.requests import Target
from eks_sandbox.control_plane.embedded.resources import NODES
from eks_sandbox.control_plane.embedded.resources import PODS
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.embedded.store import Store
from eks_sandbox.control_plane.embedded.validation import validate
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import labels_of
from eks_sandbox.control_plane.objects import timestamp

#: As messages name it.
_BINDINGS = Resource("", "pods/binding", "Binding")
#: Names get a random end; the whole may not be longer than this.
GENERATED_BASE_LIMIT = 58
#: The status of a new object, where Go's zero values are visible.
FIRST_STATUS: dict[str, Object] = {
    "DaemonSet": {
        "currentNumberScheduled": 0,
        "desiredNumberScheduled": 0,
        "numberMisscheduled": 0,
        "numberReady": 0,
    },
    "ReplicaSet": {"replicas": 0},
    "StatefulSet": {"replicas": 0, "availableReplicas": 0},
    "PodDisruptionBudget": {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0},
    "Service": {"loadBalancer": {}},
}
_MAPS, _LABELS, _LISTS = ("data", "binaryData"), ("annotations", "labels"), ("finalizers", "ownerReferences")
#: Kinds that a PUT replaces only if it names the version that it replaces.
_CONDITIONAL = ("Lease", "MutatingWebhookConfiguration", "PodDisruptionBudget")
#: Kinds whose generation counts the changes of their desired state.
_COUNTED = (
    "DaemonSet",
    "Deployment",
    "Job",
    "MutatingWebhookConfiguration",
    "Pod",
    "PodDisruptionBudget",
    "ReplicaSet",
    "StatefulSet",
)
_TEMPLATE = ("spec", "template", "spec")
_STRUCTURES: dict[str, tuple[str, ...]] = {
    "Pod": ("spec",),
    "PodDisruptionBudget": ("spec",),
    "Service": ("spec",),
    **dict.fromkeys(("DaemonSet", "Deployment", "Job", "ReplicaSet", "StatefulSet"), _TEMPLATE),
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


class Writer:
    """Writes to the store what passes admission and validation."""

    def __init__(self, store: Store, webhooks: Webhooks, lifecycle: Lifecycle) -> None:
        self._store = store
        self._webhooks = webhooks
        self._lifecycle = lifecycle

    async def create(self, target: Target, body: Object, options: WriteOptions, *, record: bool = True) -> Object:
        """A new object.

        :raises ApiError: for every reason for which kube-apiserver would refuse it.
        """
        resource = target.resource
        obj = _prepared(target, body)
        missing = _decode(resource, obj, options)
        ensure_rebuilt(resource, obj)
        set_defaults(resource, obj)
        name = obj["metadata"].get("name", "")
        if resource.namespaced:
            ensure_namespace_takes(self._store, resource, target.namespace, name)
        if record:
            # Fields that admission adds have no owner.
            obj = managed_fields.record_update(None, obj, Manager(options.manager, "Update", resource.api_version))
        obj = await self._admit(resource, obj, missing, options)
        set_defaults(resource, obj)
        _ensure_valid(resource, obj, missing)
        if self._store.find(resource, target.namespace, name) is not None:
            raise already_exists(resource, name)
        if options.dry_run:
            return obj
        stored = self._store.put(resource, obj)
        self._lifecycle.created(resource, stored)
        return stored

    async def _admit(self, resource: Resource, obj: Object, missing: list[Cause], options: WriteOptions) -> Object:
        if resource is PODS and not missing:
            admit_service_account(self._store, resource, obj)
            admit_priority(resource, obj)
            admit_tolerations(obj)
            obj["status"]["qosClass"] = _quality(obj["spec"])
        if resource is NODES:
            admit_node(obj)
        return await self._webhooks.mutate(AdmissionRequest(resource, "CREATE", obj, options.identity, options.dry_run))

    def replace(self, target: Target, body: Object, options: WriteOptions) -> Object:
        """PUT: the body replaces the object (or its status)."""
        _ensure_named(target, body)
        old = self.existing(target)
        if target.resource.kind in _CONDITIONAL and not body["metadata"].get("resourceVersion"):
            cause = invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
            raise invalid(target.resource, target.name, [cause])
        return self._update(target, old, copy.deepcopy(body), options)

    def change(self, target: Target, patch: t.Callable[[Object], Object], options: WriteOptions) -> Object:
        """PATCH: the result of ``patch`` on a copy replaces the object."""
        old = self.existing(target)
        new = patch(copy.deepcopy(old))
        metadata = new.get("metadata")
        if isinstance(metadata, dict) and metadata.get("uid") not in (None, old["metadata"]["uid"]):
            causes = [invalid_value("metadata.uid", metadata["uid"], "field is immutable")]
            raise invalid(target.resource, target.name, causes)
        _ensure_named(target, new)
        patched = copy.deepcopy(new)
        try:
            return self._update(target, old, new, options)
        except UndecodableError as error:
            raise invalid_patch(patched, error) from error

    async def apply(self, target: Target, config: Object, options: WriteOptions) -> tuple[Object, bool]:
        """Server-side apply; returns the object and whether it is new."""
        resource = target.resource
        manager = Manager(options.manager, "Apply", resource.api_version, target.subresource)
        config = schema.without_nulls(config)
        live = self._store.find(resource, target.namespace, target.name)
        if live is None:
            if target.subresource:
                raise not_found(resource, target.name)
            if uid := config["metadata"].get("uid"):
                why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                raise conflict(resource, target.name, why)
            metadata = {key: value for key, value in config["metadata"].items() if key != "resourceVersion"}
            created = managed_fields.apply(None, {**config, "metadata": metadata}, manager, force=options.force)
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
            ensure_rebuilt(resource, new)
        set_defaults(resource, new)
        if record:
            manager = Manager(options.manager, "Update", resource.api_version, target.subresource)
            new = managed_fields.record_update(old, new, manager)
        if target.subresource != "status":
            if resource is PODS and not missing:
                admit_tolerations(new)
            _ensure_valid(resource, new, missing, old)
            _count_generation(old, new)
        if new == old or options.dry_run:
            return new
        stored = self._store.put(resource, new)
        if stored["metadata"].get("deletionTimestamp") and not stored["metadata"].get("finalizers"):
            self._lifecycle.finish(resource, stored)
        return stored

    def bind(self, target: Target, body: Object) -> None:
        """What the scheduler does: a pod gets its node.

        :raises ApiError: 409 when it has one already.
        """
        pod = self.existing(target)
        goal = body.get("target") or {}
        node = goal.get("name")
        if not node:
            raise invalid(_BINDINGS, target.name, [required("target.name")])
        if goal.get("kind") not in (None, "", "Node"):
            raise invalid(_BINDINGS, target.name, [unsupported_value("target.kind", goal["kind"], ("Node", "<empty>"))])
        if pod["spec"].get("nodeName"):
            why = f'pod {target.name} is already assigned to node "{pod["spec"]["nodeName"]}"'
            raise conflict(_BINDINGS, target.name, why)
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
    _tidy(obj)
    metadata = obj.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise bad_request("json: cannot unmarshal metadata into Go struct field ObjectMeta")
    if metadata.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    _set_namespace(target, metadata)
    _fill_in(resource, obj)
    if not metadata.get("name") and isinstance(metadata.get("generateName"), str):
        metadata["name"] = metadata["generateName"][:GENERATED_BASE_LIMIT] + random_suffix()
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        metadata.pop(key, None)
    metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": timestamp()}
    if resource.has_status:
        obj["status"] = dict(FIRST_STATUS.get(resource.kind, {}))
    if resource is PODS:
        obj["status"] = {"phase": "Pending"}
    if resource.kind in _COUNTED:
        metadata["generation"] = 1
    return obj


def _tidy(obj: Object) -> None:
    """Go leaves out maps and lists that are empty."""
    metadata = obj.get("metadata")
    for place, fields, nothing in ((obj, _MAPS, {}), (metadata, _LABELS, {}), (metadata, _LISTS, [])):
        for field in fields:
            if isinstance(place, dict) and place.get(field) == nothing:
                del place[field]


def _fill_in(resource: Resource, obj: Object) -> None:
    """Structures that Go has even if they are not written, so that the error names the field missing inside."""
    place = obj
    for field in _STRUCTURES.get(resource.kind, ()):
        inner = place.setdefault(field, {})
        if not isinstance(inner, dict):
            return
        place = inner


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
    if kind in (None, "", resource.kind) and version in (None, "", resource.api_version):
        return
    kind, version = kind or resource.kind, version or resource.api_version
    short = str(version).rpartition("/")[2]
    raise UndecodableError(
        f'{kind} in version "{short}" cannot be handled as a {resource.kind}: '
        f'no kind "{kind}" is registered for version "{version}" at this address'
    )


def _ensure_named(target: Target, obj: Object) -> None:
    metadata = obj.get("metadata") or {}
    if isinstance(metadata, dict) and not metadata.get("name"):
        based = f"{target.name} based on URL"
        raise bad_request(f"the name of the object ({based}) was undeterminable: name must be provided")


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
    mistakes = [*(f'unknown field "{field}"' for field in checked.unknown), *options.mistakes]
    if mistakes and options.field_validation == "Strict":
        raise UndecodableError(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
            f"strict decoding error: {', '.join(mistakes)}"
        )
    if options.field_validation == "Warn":
        options.warnings.extend(mistakes)
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
    """The status changes through its subresource only, and through it the spec does not."""
    new = t.cast(Object, schema.without_nulls(new))
    _tidy(new)
    if target.subresource == "status":
        metadata = new["metadata"]
        if target.resource.group in ("apps", "batch"):
            metadata["labels"] = labels_of(old)
            if not metadata["labels"]:
                del metadata["labels"]
        kept = {key: value for key, value in old.items() if key not in ("metadata", "status")}
        status = new.get("status")
        if target.resource is PODS and isinstance(status, dict) and "qosClass" in old.get("status", {}):
            status.setdefault("qosClass", old["status"]["qosClass"])
        return {**kept, "metadata": metadata, **({"status": status} if status is not None else {})}
    if target.resource.has_status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    return new


def _count_generation(old: Object, new: Object) -> None:
    wanted = ("spec", "webhooks")
    if "generation" in old["metadata"] and any(new.get(field) != old.get(field) for field in wanted):
        new["metadata"]["generation"] = old["metadata"]["generation"] + 1
