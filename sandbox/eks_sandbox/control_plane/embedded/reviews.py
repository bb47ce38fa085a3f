# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Questions about identities: token requests and reviews, access reviews. None of them is stored."""

from __future__ import annotations

import datetime
import typing as t

from eks_sandbox.control_plane.embedded import schema
from eks_sandbox.control_plane.embedded.access import Authenticator
from eks_sandbox.control_plane.embedded.access import Authorizer
from eks_sandbox.control_plane.embedded.errors import Cause
from eks_sandbox.control_plane.embedded.errors import bad_request
from eks_sandbox.control_plane.embedded.errors import conflict
from eks_sandbox.control_plane.embedded.errors import invalid
from eks_sandbox.control_plane.embedded.errors import invalid_value
from eks_sandbox.control_plane.embedded.errors import not_found
from eks_sandbox.control_plane.embedded.errors import not_implemented
from eks_sandbox.control_plane.embedded.options import WriteOptions
from eks_sandbox.control_plane.embedded.requests import Request
from eks_sandbox.control_plane.embedded.requests import Target
from eks_sandbox.control_plane.embedded.resources import PODS
from eks_sandbox.control_plane.embedded.resources import SERVICE_ACCOUNTS
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.embedded.store import Store
from eks_sandbox.control_plane.embedded.tokens import DEFAULT_LIFETIME
from eks_sandbox.control_plane.embedded.tokens import LONGEST_LIFETIME
from eks_sandbox.control_plane.embedded.tokens import SHORTEST_LIFETIME
from eks_sandbox.control_plane.embedded.tokens import Tokens
from eks_sandbox.control_plane.embedded.writes import ensure_kind
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import timestamp
from eks_sandbox.interfaces import Identity
from eks_sandbox.node.authenticator import user_info
from eks_sandbox.node.authorizer import access_of

Answer = tuple[int, Object]
Review = t.Callable[[Target, Request, WriteOptions], t.Awaitable[Answer]]
_TOKEN_REQUESTS = Resource(
    "authentication.k8s.io", "tokenrequests", "TokenRequest", model="AuthenticationV1TokenRequest"
)


class Reviews:
    """Answers reviews."""

    def __init__(self, store: Store, tokens: Tokens, authenticator: Authenticator, authorizer: Authorizer) -> None:
        self._store = store
        self._tokens = tokens
        self._authenticator = authenticator
        self._authorizer = authorizer

    def review_of(self, resource: Resource) -> Review | None:
        """What answers a kind that is a question, None for ordinary kinds."""
        reviews: dict[str, Review] = {
            "TokenReview": self._review_token,
            "SelfSubjectReview": self._review_self,
            "SelfSubjectAccessReview": self._review_access,
            "SubjectAccessReview": self._review_access,
        }
        return reviews.get(resource.kind)

    async def request_token(self, target: Target, request: Request, options: WriteOptions) -> Answer:
        """A new token of a service account.

        :raises ApiError: 400, 404, 409 or 422
        """
        account = self._account(target)
        body = _checked(_TOKEN_REQUESTS, request, optional={"audiences": []})
        spec, metadata = body["spec"], body.get("metadata") or {}
        if metadata.get("namespace") not in (None, "", target.namespace):
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        lifetime = spec.setdefault("expirationSeconds", DEFAULT_LIFETIME)
        if causes := [*_name_causes(metadata, target.name), *_lifetime_causes(lifetime)]:
            raise invalid(_TOKEN_REQUESTS, target.name if metadata.get("name") else "", causes)
        pod = self._bound_pod(target, spec.setdefault("boundObjectRef", None))
        spec["audiences"] = spec["audiences"] or list(self._tokens.audiences)
        token, expires = self._tokens.issue(account, spec["audiences"], lifetime, pod)
        status = {"token": "" if options.dry_run else token, "expirationTimestamp": _at(expires)}
        identity = {key: account["metadata"][key] for key in ("name", "namespace", "uid")}
        answer: Object = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1"}
        answer |= {"metadata": {**identity, "creationTimestamp": timestamp()}, "spec": spec, "status": status}
        return 201, answer

    def _account(self, target: Target) -> Object:
        found = self._store.find(SERVICE_ACCOUNTS, target.namespace, target.name)
        if found is None:
            raise not_found(SERVICE_ACCOUNTS, target.name)
        return found

    def _bound_pod(self, target: Target, reference: Object | None) -> Object | None:
        if not reference:
            return None
        kind, version = reference.get("kind"), reference.get("apiVersion", "")
        if kind in ("Node", "Secret"):
            raise not_implemented(f"a token bound to a {kind}")
        if kind != "Pod":
            raise bad_request(f"cannot bind token to object of type /{version}, Kind={kind}")
        pod = self._store.find(PODS, target.namespace, str(reference.get("name")))
        if pod is None:
            raise not_found(PODS, str(reference.get("name")))
        if reference.get("uid") not in (None, pod["metadata"]["uid"]):
            why = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record"
            more = "The object might have been deleted and then recreated"
            raise conflict(PODS, pod["metadata"]["name"], f"{why}. {more}")
        if pod["spec"].get("serviceAccountName") != target.name:
            why = "to pod running with different serviceaccount name."
            raise bad_request(f'cannot bind token for serviceaccount "{target.name}" {why}')
        return pod

    async def _review_token(self, target: Target, request: Request, options: WriteOptions) -> Answer:
        del options
        body = _checked(target.resource, request, optional={"token": ""})
        token, audiences = body["spec"]["token"], body["spec"].get("audiences")
        if not token:
            raise bad_request("token is required for TokenReview in authentication")
        return 201, {**body, "status": self._token_status(token, audiences or list(self._tokens.audiences))}

    def _token_status(self, token: str, audiences: list[str]) -> Object:
        claims = self._tokens.review(token, audiences)
        if claims is None:
            is_ours = self._tokens.has_signed(token)
            invalidated = "[invalid bearer token, service account token has been invalidated]"
            return {"user": {}, "error": invalidated if is_ours else "invalid bearer token"}
        matching = [audience for audience in audiences if audience in claims["aud"]]
        return {"authenticated": True, "user": self._user(claims), "audiences": matching}

    def _user(self, claims: Object) -> Object:
        private = claims["kubernetes.io"]
        extra: Object = {"authentication.kubernetes.io/credential-id": [f"JTI={claims['jti']}"]}
        for kind in ("pod", "node"):
            if kind in private:
                extra[f"authentication.kubernetes.io/{kind}-name"] = [private[kind]["name"]]
                extra[f"authentication.kubernetes.io/{kind}-uid"] = [private[kind]["uid"]]
        identity = self._authenticator.service_account(claims)
        return {**(user_info(identity) if identity else {}), "uid": private["serviceaccount"]["uid"], "extra": extra}

    async def _review_self(self, target: Target, request: Request, options: WriteOptions) -> Answer:
        body = _checked(target.resource, request)
        claims = self._tokens.review(request.bearer_token or "")
        user = self._user(claims) if claims else user_info(options.identity)
        metadata = {**(body.get("metadata") or {}), "creationTimestamp": timestamp()}
        return 201, {**body, "metadata": metadata, "status": {"userInfo": user}}

    async def _review_access(self, target: Target, request: Request, options: WriteOptions) -> Answer:
        body = _checked(target.resource, request)
        spec = body["spec"]
        resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        causes = list(_subject_causes(target.resource, spec))
        if (resource is None) == (path is None):
            why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            causes.append(invalid_value("spec.resourceAttributes", resource, why))
        if causes:
            raise invalid(target.resource, "", causes)
        identity = options.identity
        if target.resource.kind == "SubjectAccessReview":
            groups = tuple(spec.get("groups") or ())
            identity = Identity(spec.get("user") or "", groups, spec.get("uid") or "", spec.get("extra") or {})
        reason = self._authorizer.reason(identity, access_of(spec))
        status = {"allowed": reason is not None, **({"reason": reason} if reason else {})}
        return 201, {**body, "status": status}


def _subject_causes(resource: Resource, spec: Object) -> t.Iterator[Cause]:
    if resource.kind == "SubjectAccessReview" and not spec.get("user") and not spec.get("groups"):
        yield invalid_value("spec.user", "", "at least one of user or group must be specified")


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
    return {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": {}, **body}


def _name_causes(metadata: Object, name: str) -> t.Iterator[Cause]:
    if metadata.get("name") not in (None, "", name):
        yield invalid_value("metadata.name", metadata["name"], "must match the service account name if specified")


def _lifetime_causes(seconds: int) -> t.Iterator[Cause]:
    if seconds < SHORTEST_LIFETIME:
        yield invalid_value("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    if seconds > LONGEST_LIFETIME:
        why = "may not specify a duration larger than 2^32 seconds"
        yield invalid_value("spec.expirationSeconds", seconds, why)


def _at(seconds: int) -> str:
    return timestamp(datetime.datetime.fromtimestamp(seconds, datetime.UTC))
