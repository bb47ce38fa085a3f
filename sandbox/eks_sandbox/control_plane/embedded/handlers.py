# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One function for each request to a resource."""

from __future__ import annotations

import copy
import typing as t

from eks_sandbox.control_plane.embedded import patches
from eks_sandbox.control_plane.embedded import schema
from eks_sandbox.control_plane.embedded.errors import ApiError
from eks_sandbox.control_plane.embedded.errors import UndecodableError
from eks_sandbox.control_plane.embedded.errors import bad_request
from eks_sandbox.control_plane.embedded.errors import invalid
from eks_sandbox.control_plane.embedded.errors import invalid_patch
from eks_sandbox.control_plane.embedded.errors import invalid_value
from eks_sandbox.control_plane.embedded.errors import method_not_allowed
from eks_sandbox.control_plane.embedded.evictions import Evictions
from eks_sandbox.control_plane.embedded.lifecycle import Lifecycle
from eks_sandbox.control_plane.embedded.negotiation import Form
from eks_sandbox.control_plane.embedded.options import DeleteOptions
from eks_sandbox.control_plane.embedded.options import WriteOptions
from eks_sandbox.control_plane.embedded.requests import Request
from eks_sandbox.control_plane.embedded.requests import Target
from eks_sandbox.control_plane.embedded.resources import JOBS
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.embedded.reviews import Answer
from eks_sandbox.control_plane.embedded.reviews import Reviews
from eks_sandbox.control_plane.embedded.selectors import parse
from eks_sandbox.control_plane.embedded.store import Store
from eks_sandbox.control_plane.embedded.writes import Writer
from eks_sandbox.control_plane.embedded.writes import ensure_kind
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.interfaces import Identity

_BINDINGS = Resource("", "bindings", "Binding")
_DELETE_OPTIONS = Resource("meta.k8s.io", "deleteoptions", "DeleteOptions")
_SCALES = Resource("autoscaling", "scales", "Scale")
#: Kinds whose deletion answers with the object that was.
_RETURNED = ("Pod", "Service", "ServiceAccount")
_JOB_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them "
    "or set propagationPolicy=Orphan to suppress this warning"
)


class Handlers:
    """Everything but reads and streams."""

    def __init__(self, store: Store, writer: Writer, lifecycle: Lifecycle, reviews: Reviews) -> None:
        self._store = store
        self._writer = writer
        self._lifecycle = lifecycle
        self._reviews = reviews
        self._evictions = Evictions(store, writer, lifecycle)

    async def handle(self, verb: str, target: Target, request: Request, identity: Identity) -> tuple[Answer, list[str]]:
        """The answer to a request that is neither a read nor a stream, and warnings for its header."""
        if verb == "delete":
            return self._delete(target, request)
        if verb == "deletecollection":
            return self._delete_collection(target, request), []
        options = WriteOptions.read(request, identity)
        if special := self._special(verb, target):
            return await special(target, request, options), options.warnings
        if verb == "create":
            created = await self._writer.create(target, request.object(), options)
            return (201, created), options.warnings
        if verb == "update":
            return (200, self._writer.replace(target, request.object(), options)), options.warnings
        return await self._patch(target, request, options), options.warnings

    def _special(
        self, verb: str, target: Target
    ) -> t.Callable[[Target, Request, WriteOptions], t.Awaitable[Answer]] | None:
        """Kinds and subresources that are not stored as they are sent."""
        subresources = {
            ("create", "token"): self._reviews.request_token,
            ("create", "binding"): self._bind,
            ("create", "eviction"): self._evictions.evict,
            ("get", "scale"): self._read_scale,
            ("update", "scale"): self._write_scale,
            ("patch", "scale"): self._write_scale,
            ("update", "finalize"): self._finalize,
        }
        special = subresources.get((verb, target.subresource)) or self._reviews.review_of(target.resource)
        is_ordinary = not target.subresource or (target.subresource == "status" and verb in ("update", "patch"))
        if special is None and not is_ordinary:
            raise method_not_allowed()
        return special

    async def _patch(self, target: Target, request: Request, options: WriteOptions) -> Answer:
        if request.media_type not in patches.TYPES:
            raise ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
        patch = request.document(patches.TYPES)
        if request.media_type == patches.APPLY:
            return await self._apply(target, patch, options)

        def changed(obj: Object) -> Object:
            return patches.apply_patch(request.media_type, obj, patch)

        return 200, self._writer.change(target, changed, options)

    async def _apply(self, target: Target, config: t.Any, options: WriteOptions) -> Answer:
        if not isinstance(config, dict):
            raise bad_request("error decoding YAML: the body is not an object")
        if not config.get("apiVersion") or not config.get("kind"):
            raise bad_request(f"invalid object type: /, Kind={config.get('kind', '')}")
        ensure_kind(target.resource, config)
        self._ensure_typed(target, config)
        metadata = config.get("metadata") or {}
        if not metadata.get("name"):
            based = f"{target.name} based on URL"
            raise bad_request(f"the name of the object ({based}) was undeterminable: name must be provided")
        if metadata.get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        if metadata["name"] != target.name:
            name = metadata["name"]
            raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
        obj, is_new = await self._writer.apply(target, config, options)
        return (201 if is_new else 200), obj

    @staticmethod
    def _ensure_typed(target: Target, config: Object) -> None:
        """Check types and unknown fields; missing fields are checked for the whole object elsewhere."""
        resource = target.resource
        prefix = f"failed to create typed patch object (/{target.name}; {resource.api_version}, Kind={resource.kind})"
        try:
            checked = schema.check(resource, copy.deepcopy(config))
        except UndecodableError as error:
            raise bad_request(f"{prefix}: {error.message}") from error
        if checked.unknown:
            raise bad_request(f"{prefix}: .{checked.unknown[0]}: field not declared in schema")

    def _delete(self, target: Target, request: Request) -> tuple[Answer, list[str]]:
        obj = self._writer.existing(target)
        options = _delete_options(request)
        warnings = [_JOB_WARNING] if target.resource is JOBS and not options.policy else []
        left = self._lifecycle.delete(target.resource, obj, options)
        if left is not None or target.resource.kind in _RETURNED:
            return (200, left or obj), warnings
        metadata = obj["metadata"]
        details = {"name": metadata["name"], "kind": target.resource.plural, "uid": metadata["uid"]}
        if target.resource.group:
            details["group"] = target.resource.group
        success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return (200, success), warnings

    def _delete_collection(self, target: Target, request: Request) -> Answer:
        resource = target.resource
        selector = parse(resource, request.value("labelSelector"), request.value("fieldSelector"))
        options = _delete_options(request)
        deleted = [obj for obj in self._store.select(resource, target.namespace) if selector.matches(obj)]
        for obj in deleted:
            self._lifecycle.delete(resource, obj, options)
        return 200, Form().many(resource, deleted, {"resourceVersion": str(self._store.version)})

    async def _bind(self, target: Target, request: Request, options: WriteOptions) -> Answer:
        del options
        body: Object = schema.without_nulls(request.object())
        name = (body.get("metadata") or {}).get("name")
        if name not in (None, "", target.name):
            raise bad_request("name in URL does not match name in Binding object")
        if missing := schema.check(_BINDINGS, body).missing:
            raise invalid(_BINDINGS, target.name, missing)
        self._writer.bind(target, body)
        return 201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

    async def _read_scale(self, target: Target, request: Request, options: WriteOptions) -> Answer:
        del request, options
        return 200, _scale(self._writer.existing(target))

    async def _write_scale(self, target: Target, request: Request, options: WriteOptions) -> Answer:
        def scaled(obj: Object) -> Object:
            scale = self._scale_sent(target, request, obj)
            replicas = (scale.get("spec") or {}).get("replicas", 0)
            if replicas < 0:
                causes = [invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")]
                raise invalid(_SCALES, target.name, causes)
            version = scale["metadata"].get("resourceVersion")
            metadata = {**obj["metadata"], "resourceVersion": version or obj["metadata"]["resourceVersion"]}
            return {**obj, "metadata": metadata, "spec": {**obj["spec"], "replicas": replicas}}

        whole = Target(target.resource, target.namespace, target.name)
        return 200, _scale(self._writer.change(whole, scaled, options))

    @staticmethod
    def _scale_sent(target: Target, request: Request, obj: Object) -> Object:
        """The Scale that a PUT holds, or that a PATCH makes."""
        is_patch = request.method == "PATCH"
        if is_patch:
            scale = patches.apply_patch(request.media_type, _scale(obj), request.document(patches.TYPES))
        else:
            scale = request.object()
        ensure_kind(_SCALES, scale)
        scale = schema.without_nulls(scale)
        patched = copy.deepcopy(scale)
        try:
            schema.check(_SCALES, scale)
        except UndecodableError as error:
            if is_patch:
                raise invalid_patch(patched, error) from error
            raise
        name = (scale.get("metadata") or {}).get("name")
        if not name:
            based = f"{target.name} based on URL"
            raise bad_request(f"the name of the object ({based}) was undeterminable: name must be provided")
        if name != target.name:
            raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
        return t.cast(Object, scale)

    async def _finalize(self, target: Target, request: Request, options: WriteOptions) -> Answer:
        del target, request, options
        raise ApiError(409, "Conflict", "the sandbox ends namespaces itself when they are empty")


def _scale(obj: Object) -> Object:
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    labels = (obj["spec"].get("selector") or {}).get("matchLabels") or {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept},
        "spec": {"replicas": replicas} if (replicas := obj["spec"].get("replicas", 0)) else {},
        "status": {
            "replicas": (obj.get("status") or {}).get("replicas", 0),
            "selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        },
    }


def _delete_options(request: Request) -> DeleteOptions:
    body: Object = schema.without_nulls(request.object()) if request.body.strip() else {}
    if body.get("kind") not in (None, "", "DeleteOptions"):
        raise bad_request(f'no kind "{body["kind"]}" is registered for version "{body.get("apiVersion", "")}"')
    schema.check(_DELETE_OPTIONS, body)
    return DeleteOptions.read(request, body)
