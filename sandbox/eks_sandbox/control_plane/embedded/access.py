# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Authentication and authorisation.

RBAC is not imitated: administrators may do everything, the sandbox's own components what they need, all other users
what the access policies of EKS allow. Every refusal has a real kube-apiserver's words.
"""

from __future__ import annotations

import dataclasses
import secrets
import ssl
import time
import typing as t

import aiohttp

from eks_sandbox.control_plane.embedded.errors import ApiError
from eks_sandbox.control_plane.embedded.errors import details_of
from eks_sandbox.control_plane.embedded.errors import unauthorized
from eks_sandbox.control_plane.embedded.requests import Target
from eks_sandbox.control_plane.embedded.resources import NAMESPACES
from eks_sandbox.control_plane.embedded.tokens import Tokens
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.interfaces import Access
from eks_sandbox.interfaces import Extra
from eks_sandbox.interfaces import Identity

ADMINISTRATORS = "system:masters"
AUTHENTICATED = "system:authenticated"
ANONYMOUS = Identity("system:anonymous", ("system:unauthenticated",))
#: Seconds that an answer of the authenticator is kept; kube-apiserver keeps it two minutes, tests wait less.
REVIEW_TTL = 5.0

#: Paths that anybody may read (the cluster role system:public-info-viewer), and those of system:discovery.
PUBLIC_PATHS = ("/healthz", "/livez", "/readyz", "/version")
DISCOVERY_PATHS = ("/api", "/apis", "/openapi", "/openid", "/.well-known", *PUBLIC_PATHS)

#: What every user may read about itself (the cluster role system:basic-user).
_SELF_REVIEWS = ("selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews")

_READ = ("get", "list", "watch")
_ALL = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")


@dataclasses.dataclass(frozen=True)
class Rule:
    """Verbs on resources, written ``plural`` or ``plural/subresource``."""

    resources: tuple[str, ...]
    verbs: tuple[str, ...]


_WORKLOADS = ("daemonsets", "deployments", "jobs", "replicasets", "statefulsets")
_OBSERVED = ("nodes", "poddisruptionbudgets", "pods")

#: What the default cluster roles of the components allow, as far as the sandbox's components go.
RULES: dict[str, tuple[Rule, ...]] = {
    "system:nodes": (
        Rule(("nodes", "nodes/status"), _ALL),
        Rule(("pods",), (*_READ, "delete")),
        Rule(("pods/status",), ("get", "patch", "update")),
        Rule(("configmaps", "secrets", "services", "serviceaccounts"), _READ),
        Rule(("serviceaccounts/token",), ("create",)),
        Rule(("events",), ("create", "patch")),
        Rule(("leases",), ("get", "create", "update", "patch")),
    ),
    "system:kube-scheduler": (
        Rule(("pods", "nodes", "namespaces"), _READ),
        Rule(("pods/binding",), ("create",)),
        Rule(("pods/status",), ("patch", "update")),
        Rule(("events",), ("create", "patch")),
    ),
    "system:kube-controller-manager": (
        Rule(("namespaces",), _READ),
        Rule(("serviceaccounts", "configmaps", "pods", "nodes"), _ALL),
        Rule((*_WORKLOADS, "controllerrevisions", "poddisruptionbudgets"), _ALL),
        Rule(tuple(f"{kind}/status" for kind in (*_WORKLOADS, *_OBSERVED)), ("get", "patch", "update")),
        Rule(("events",), ("create", "patch")),
    ),
}


class Authenticator:
    """Turns a bearer token into an identity."""

    def __init__(self, tokens: Tokens, session: aiohttp.ClientSession, context: ssl.SSLContext) -> None:
        self._tokens = tokens
        self._session = session
        self._context = context
        #: Token of the sandbox's own administrator.
        self.admin_token = secrets.token_urlsafe(32)
        #: Where the token webhook answers (``node/authenticator.py``), once there is one.
        self.webhook_url = ""
        self._reviewed: dict[str, tuple[float, Identity]] = {}

    async def identify(self, token: str | None) -> Identity:
        """The user who makes a request.

        :raises ApiError: 401 for an unknown token.
        """
        if not token:
            return ANONYMOUS
        if secrets.compare_digest(token.encode(), self.admin_token.encode()):
            return Identity("kubernetes-admin", (ADMINISTRATORS, AUTHENTICATED))
        identity = self.service_account(self._tokens.review(token)) or await self._by_webhook(token)
        if identity is None:
            raise unauthorized()
        return identity

    @staticmethod
    def service_account(claims: Object | None) -> Identity | None:
        """The identity that a service account token stands for."""
        if claims is None:
            return None
        namespace = claims["kubernetes.io"]["namespace"]
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
        return Identity(claims["sub"], groups)

    async def _by_webhook(self, token: str) -> Identity | None:
        if not self.webhook_url or not token:
            return None
        now = time.monotonic()
        self._reviewed = {key: entry for key, entry in self._reviewed.items() if entry[0] > now}
        if token in self._reviewed:
            return self._reviewed[token][1]
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        try:
            async with self._session.post(self.webhook_url, json=review, ssl=self._context) as response:
                status = (await response.json()).get("status") or {}
        except (aiohttp.ClientError, ValueError, TimeoutError):
            return None
        if not status.get("authenticated"):
            return None
        user = status["user"]
        groups = tuple(dict.fromkeys((*(user.get("groups") or ()), AUTHENTICATED)))
        identity = Identity(user["username"], groups, user.get("uid", ""), user.get("extra") or {})
        self._reviewed[token] = (now + REVIEW_TTL, identity)
        return identity


#: Why something is allowed beyond the rules above, by the user's ``extra``, or None.
PolicyReason = t.Callable[[Extra, Access], str | None]


class Authorizer:
    """Decides which user may do what."""

    def __init__(self, policy_reason: PolicyReason) -> None:
        self._policy_reason = policy_reason

    def reason(self, identity: Identity, access: Access) -> str | None:
        """Why the identity may do this, perhaps without words; None when it may not."""
        is_allowed = ADMINISTRATORS in identity.groups or (
            _may_read_path(identity, access) if access.path else _is_in_rules(identity, access)
        )
        return "" if is_allowed else self._policy_reason(identity.extra, access)

    def ensure_may(self, identity: Identity, verb: str, target: Target) -> None:
        """Refuse what the identity may not do.

        :raises ApiError: 403
        """
        resource = target.resource
        named = f"{resource.plural}/{target.subresource}" if target.subresource else resource.plural
        # A request names a namespace by its name, but it counts as inside itself.
        namespace = target.name if resource is NAMESPACES else target.namespace
        if self.reason(identity, Access(verb, resource.group, named, namespace)) is not None:
            return
        where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
        subject = f'{resource.qualified} "{target.name}"' if target.name else resource.qualified
        message = (
            f'{subject} is forbidden: User "{identity.username}" cannot {verb} resource "{named}" '
            f'in API group "{resource.group}" {where}'
        )
        raise ApiError(403, "Forbidden", message, details_of(resource, target.name))

    def ensure_may_read_path(self, identity: Identity, path: str) -> None:
        """Refuse non-resource paths to users who may not read them.

        :raises ApiError: 403
        """
        if self.reason(identity, Access("get", path=path)) is None:
            message = f'forbidden: User "{identity.username}" cannot get path "{path}"'
            raise ApiError(403, "Forbidden", message, {})


def _may_read_path(identity: Identity, access: Access) -> bool:
    allowed = DISCOVERY_PATHS if AUTHENTICATED in identity.groups else PUBLIC_PATHS
    return access.verb == "get" and any(
        access.path == prefix or access.path.startswith(f"{prefix}/") for prefix in allowed
    )


def _is_in_rules(identity: Identity, access: Access) -> bool:
    if access.resource in _SELF_REVIEWS and access.verb == "create":
        return AUTHENTICATED in identity.groups
    names = (identity.username, *identity.groups)
    rules = [rule for name in names for rule in RULES.get(name, ())]
    return any(access.resource in rule.resources and access.verb in rule.verbs for rule in rules)
