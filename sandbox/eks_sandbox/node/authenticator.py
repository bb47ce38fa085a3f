# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The token webhook: the user of a bearer token that the API server does not know itself.

The AWS side reviews EKS tokens (STS and access entries). The tokens of the sandbox's own components are issued here.
"""

from __future__ import annotations

import secrets

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.interfaces import AwsSide
from eks_sandbox.interfaces import ClusterSpec
from eks_sandbox.interfaces import Identity

EKS_TOKEN_PREFIX = "k8s-aws-v1."


def user_info(identity: Identity) -> Object:
    """The identity as reviews and admission requests show it."""
    user: Object = {"username": identity.username, "groups": list(identity.groups)}
    if identity.uid:
        user["uid"] = identity.uid
    if identity.extra:
        user["extra"] = {key: list(values) for key, values in identity.extra.items()}
    return user


class Authenticator:
    """Answers TokenReviews of one cluster."""

    def __init__(self, aws: AwsSide, cluster: ClusterSpec) -> None:
        self._aws = aws
        self._cluster = cluster
        self._components: dict[str, Identity] = {}

    def issue(self, username: str, *groups: str) -> str:
        """A new token for one of the sandbox's own components."""
        token = secrets.token_urlsafe(32)
        self._components[token] = Identity(username, groups)
        return token

    def revoke(self, token: str) -> None:
        """Forget a component's token."""
        self._components.pop(token, None)

    async def review(self, body: Object) -> Object:
        """A TokenReview with its status."""
        identity = await self._identify(str((body.get("spec") or {}).get("token", "")))
        status: Object = {"authenticated": False}
        if identity is not None:
            status = {"authenticated": True, "user": user_info(identity)}
        return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "status": status}

    async def _identify(self, token: str) -> Identity | None:
        if token in self._components:
            return self._components[token]
        if not token.startswith(EKS_TOKEN_PREFIX):
            return None
        return await self._aws.authenticate(self._cluster, token)
