# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One function for each thing that can be asked of a resource."""

from __future__ import annotations

import copy
import datetime
import typing as t

from eks_sandbox.control_plane.embedded import patches
from eks_sandbox.control_plane.embedded import schema
from eks_sandbox.control_plane.embedded.access import Authenticator
from eks_sandbox.control_plane.embedded.access import may
from eks_sandbox.control_plane.embedded.access import user_info
from eks_sandbox.control_plane.embedded.errors import ApiError
from eks_sandbox.control_plane.embedded.errors import Cause
from eks_sandbox.control_plane.embedded.errors import bad_request
from eks_sandbox.control_plane.embedded.errors import conflict
from eks_sandbox.control_plane.embedded.errors import invalid
from eks_sandbox.control_plane.embedded.errors import invalid_value
from eks_sandbox.control_plane.embedded.errors import method_not_allowed
from eks_sandbox.control_plane.embedded.errors import not_found
from eks_sandbox.control_plane.embedded.errors import required
from eks_sandbox.control_plane.embedded.lifecycle import DeleteOptions
from eks_sandbox.control_plane.embedded.lifecycle import Lifecycle
from eks_sandbox.control_plane.embedded.requests import Request
from eks_sandbox.control_plane.embedded.requests import Target
from eks_sandbox.control_plane.embedded.resources import PODS
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.embedded.resources import by_path
from eks_sandbox.control_plane.embedded.selectors import parse
from eks_sandbox.control_plane.embedded.store import Store
from eks_sandbox.control_plane.embedded.tokens import DEFAULT_LIFETIME
from eks_sandbox.control_plane.embedded.tokens import SHORTEST_LIFETIME
from eks_sandbox.control_plane.embedded.tokens import Tokens
from eks_sandbox.control_plane.embedded.writes import WriteOptions
from eks_sandbox.control_plane.embedded.writes import Writer
from eks_sandbox.control_plane.embedded.writes import ensure_kind
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import timestamp
from eks_sandbox.interfaces import Identity

Answer = tuple[int, Object]
_TOKEN_REQUESTS = Resource(
    "authentication.k8s.io", "tokenrequests", "TokenRequest", model="AuthenticationV1TokenRequest"
)
_BINDINGS = Resource("", "bindings", "Binding")
_DELETE_OPTIONS = Resource("meta.k8s.io", "deleteoptions", "DeleteOptions")
_PATCH_OPTIONS = Resource("meta.k8s.io", "patchoptions", "PatchOptions")


class Handlers:
    """Everything but reads and streams."""

    def __init__(
        self, store: Store, writer: Writer, lifecycle: Lifecycle, tokens: Tokens, authenticator: Authenticator
    ) -> None:
        self._store = store
        self._writer = writer
        self._lifecycle = lifecycle
        self._tokens = tokens
        self._authenticator = authenticator

    async def handle(self, verb: str, target: Target, request: Request, identity: Identity) -> tuple[Answer, list[str]]:
        """The answer to a request that is neither a read nor a stream, and warnings for its header."""
        options = _options(request, identity)
        if special := self._special(verb, target):
            return await special(target, request, options), options.warnings
        if verb == "create":
            created = await self._writer.create(target, request.object(), options)
            return (201, created), options.warnings
        if verb == "update":
            return (200, self._writer.replace(target, request.object(), options)), options.warnings
        if verb == "patch":
            return await self._patch(target, request, options), options.warnings
        if verb == "delete":
            return self._delete(target, request), options.warnings
        if verb == "deletecollection":
            return self._delete_collection(target, request), options.warnings
        raise method_not_allowed()

    def _special(
        self, verb: str, target: Target
    ) -> t.Callable[[Target, Request, WriteOptions], t.Awaitable[Answer]] | None:
        """Kinds and subresources that are not stored as they are sent."""
        reviews = {
            "TokenReview": self._review_token,
            "SelfSubjectReview": self._review_self,
            "SelfSubjectAccessReview": self._review_access,
        }
        subresources = {
            ("create", "token"): self._request_token,
            ("create", "binding"): self._bind,
            ("get", "scale"): self._read_scale,
            ("update", "scale"): self._write_scale,
            ("patch", "scale"): self._write_scale,
            ("update", "finalize"): self._finalize,
        }
        if target.subresource not in ("", "status") and (verb, target.subresource) not in subresources:
            raise method_not_allowed()
        return reviews.get(target.resource.kind) or subresources.get((verb, target.subresource))

    async def _patch(self, target: Target, request: Request, options: WriteOptions) -> Answer:
        if request.media_type not in patches.TYPES:
            request.document(patches.TYPES)
        patch = request.document(patches.TYPES)
        if request.media_type == patches.APPLY:
            return await self._apply(target, request, patch, options)

        def changed(obj: Object) -> Object:
            return patches.apply_patch(request.media_type, obj, patch)

        return 200, self._writer.change(target, changed, options)

    async def _apply(self, target: Target, request: Request, config: t.Any, options: WriteOptions) -> Answer:
        if not request.value("fieldManager"):
            raise invalid(_PATCH_OPTIONS, "", [required("fieldManager", "is required for apply patch")])
        if not isinstance(config, dict):
            raise bad_request("error decoding YAML: the body is not an object")
        for field in ("apiVersion", "kind"):
            if not config.get(field):
                raise bad_request(f"invalid object type: {field} must be set in an apply patch")
        ensure_kind(target.resource, config)
        # What is missing, or not known, is the whole object's affair; here it is about types.
        schema.check(target.resource, copy.deepcopy(config))
        metadata = config.get("metadata") or {}
        if metadata.get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        if metadata.get("name", target.name) != target.name:
            name = metadata["name"]
            raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
        obj, is_new = await self._writer.apply(target, config, options)
        return (201 if is_new else 200), obj

    def _delete(self, target: Target, request: Request) -> Answer:
        obj = self._writer.existing(target)
        options = _delete_options(request)
        left = self._lifecycle.delete(target.resource, obj, options)
        if options.dry_run or left is not None or target.resource is PODS:
            return 200, left or obj
        metadata = obj["metadata"]
        details = {"name": metadata["name"], "kind": target.resource.plural, "uid": metadata["uid"]}
        if target.resource.group:
            details["group"] = target.resource.group
        success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return 200, success

    def _delete_collection(self, target: Target, request: Request) -> Answer:
        resource = target.resource
        selector = parse(resource, request.value("labelSelector"), request.value("fieldSelector"))
        options = _delete_options(request)
        deleted = [obj for obj in self._store.select(resource, target.namespace) if selector.matches(obj)]
        for obj in deleted:
            self._lifecycle.delete(resource, obj, options)
        metadata = {"resourceVersion": str(self._store.version)}
        body = {"kind": f"{resource.kind}List", "apiVersion": resource.api_version}
        return 200, {**body, "metadata": metadata, "items": deleted}

    async def _request_token(self, target: Target, request: Request, options: WriteOptions) -> Answer:
        del options
        account = self._writer.existing(target)
        spec = _checked(_TOKEN_REQUESTS, request, optional={"audiences": []})["spec"]
        lifetime = spec.get("expirationSeconds", DEFAULT_LIFETIME)
        if lifetime < SHORTEST_LIFETIME:
            causes = [_too_short(lifetime)]
            raise invalid(_TOKEN_REQUESTS, "", causes)
        pod = self._bound_pod(target, spec.get("boundObjectRef"))
        token, expires = self._tokens.issue(account, spec.get("audiences") or [], lifetime, pod)
        spec.setdefault("expirationSeconds", lifetime)
        spec["audiences"] = spec.get("audiences") or [self._tokens.audiences[0]]
        answer = {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": target.name, "namespace": target.namespace, "creationTimestamp": timestamp()},
            "spec": spec,
            "status": {"token": token, "expirationTimestamp": _at(expires)},
        }
        return 201, answer

    def _bound_pod(self, target: Target, reference: Object | None) -> Object | None:
        if not reference:
            return None
        if reference.get("kind") != "Pod":
            raise bad_request(f"cannot bind token for serviceaccount to object of kind {reference.get('kind')}")
        pod = self._store.find(PODS, target.namespace, str(reference.get("name")))
        if pod is None:
            raise not_found(PODS, str(reference.get("name")))
        if reference.get("uid") not in (None, pod["metadata"]["uid"]):
            why = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record"
            raise conflict(PODS, pod["metadata"]["name"], why)
        if pod["spec"].get("serviceAccountName") != target.name:
            why = "to pod running with different serviceaccount name."
            raise bad_request(f'cannot bind token for serviceaccount "{target.name}" {why}')
        return pod

    async def _review_token(self, target: Target, request: Request, options: WriteOptions) -> Answer:
        del options
        body = _checked(target.resource, request)
        token, audiences = body["spec"].get("token", ""), body["spec"].get("audiences")
        return 201, {**body, "status": self._token_status(token, audiences or list(self._tokens.audiences))}

    def _token_status(self, token: str, audiences: list[str]) -> Object:
        claims = self._tokens.review(token, audiences)
        if claims is None:
            return {"user": {}, "error": "[invalid bearer token, service account token has been invalidated]"}
        private = claims["kubernetes.io"]
        extra: Object = {"authentication.kubernetes.io/credential-id": [f"JTI={claims['jti']}"]}
        for kind in ("pod", "node"):
            if kind in private:
                extra[f"authentication.kubernetes.io/{kind}-name"] = [private[kind]["name"]]
                extra[f"authentication.kubernetes.io/{kind}-uid"] = [private[kind]["uid"]]
        identity = self._authenticator.service_account(claims)
        user = {**(user_info(identity) if identity else {}), "uid": private["serviceaccount"]["uid"], "extra": extra}
        matching = [audience for audience in audiences if audience in claims["aud"]]
        return {"authenticated": True, "user": user, "audiences": matching}

    async def _review_self(self, target: Target, request: Request, options: WriteOptions) -> Answer:
        body = _checked(target.resource, request)
        return 201, {**body, "status": {"userInfo": user_info(options.identity)}}

    async def _review_access(self, target: Target, request: Request, options: WriteOptions) -> Answer:
        body = _checked(target.resource, request)
        attributes = body["spec"].get("resourceAttributes") or {}
        group, plural = attributes.get("group", ""), attributes.get("resource", "")
        resource = by_path(group, "v1", plural) or Resource(group, plural, plural)
        wanted = Target(resource, attributes.get("namespace", ""), subresource=attributes.get("subresource", ""))
        return 201, {**body, "status": {"allowed": may(options.identity, str(attributes.get("verb")), wanted)}}

    async def _bind(self, target: Target, request: Request, options: WriteOptions) -> Answer:
        del options
        body: Object = schema.without_nulls(request.object())
        if missing := schema.check(_BINDINGS, body).missing:
            raise invalid(_BINDINGS, target.name, missing)
        self._writer.bind(target, body)
        return 201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

    async def _read_scale(self, target: Target, request: Request, options: WriteOptions) -> Answer:
        del request, options
        return 200, _scale(self._writer.existing(target))

    async def _write_scale(self, target: Target, request: Request, options: WriteOptions) -> Answer:
        def scaled(obj: Object) -> Object:
            if request.method == "PUT":
                scale = request.object()
            else:
                scale = patches.apply_patch(request.media_type, _scale(obj), request.document(patches.TYPES))
            replicas = (scale.get("spec") or {}).get("replicas", 0)
            if not isinstance(replicas, int) or isinstance(replicas, bool):
                raise bad_request("json: cannot unmarshal spec.replicas into Go struct field ScaleSpec of type int32")
            version = (scale.get("metadata") or {}).get("resourceVersion")
            metadata = {**obj["metadata"], "resourceVersion": version or obj["metadata"]["resourceVersion"]}
            return {**obj, "metadata": metadata, "spec": {**obj["spec"], "replicas": replicas}}

        whole = Target(target.resource, target.namespace, target.name)
        return 200, _scale(self._writer.change(whole, scaled, options))

    async def _finalize(self, target: Target, request: Request, options: WriteOptions) -> Answer:
        del target, request, options
        raise ApiError(409, "Conflict", "the sandbox ends namespaces itself when they are empty")


def _checked(resource: Resource, request: Request, optional: Object | None = None) -> Object:
    """The body of a review, whose fields have the right types; ``optional`` are defaults of its spec.

    :raises ApiError: 400 or 422
    """
    body: Object = schema.without_nulls(request.object())
    ensure_kind(resource, body)
    spec = body.setdefault("spec", {})
    if isinstance(spec, dict):
        body["spec"] = {**(optional or {}), **spec}
    if resource.kind == "SelfSubjectReview":
        del body["spec"]
    if missing := schema.check(resource, body).missing:
        raise invalid(resource, "", missing)
    return body


def _too_short(lifetime: int) -> Cause:
    return invalid_value("spec.expirationSeconds", lifetime, "may not specify a duration less than 10 minutes")


def _at(seconds: int) -> str:
    return timestamp(datetime.datetime.fromtimestamp(seconds, datetime.UTC))


def _scale(obj: Object) -> Object:
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    labels = (obj["spec"].get("selector") or {}).get("matchLabels") or {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept},
        "spec": {"replicas": obj["spec"].get("replicas", 0)},
        "status": {
            "replicas": (obj.get("status") or {}).get("replicas", 0),
            "selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        },
    }


def _options(request: Request, identity: Identity) -> WriteOptions:
    dry_run = request.query.get("dryRun", [])
    if any(value != "All" for value in dry_run):
        raise bad_request(f'invalid dryRun: Unsupported value: "{dry_run[0]}": supported values: "All"')
    validation = request.value("fieldValidation") or "Warn"
    if validation not in ("Ignore", "Warn", "Strict"):
        raise bad_request(f'invalid fieldValidation: Unsupported value: "{validation}"')
    return WriteOptions(identity, request.manager, bool(dry_run), request.flag("force"), validation)


def _delete_options(request: Request) -> DeleteOptions:
    body: Object = schema.without_nulls(request.object()) if request.body.strip() else {}
    schema.check(_DELETE_OPTIONS, body)
    return DeleteOptions.read({key: values[0] for key, values in request.query.items()}, body)
