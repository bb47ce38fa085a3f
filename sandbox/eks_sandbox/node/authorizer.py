# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The authorization webhook: what the access policies of EKS allow beyond RBAC.

It uses the AWS principal that the authenticator has put into the user's ``extra``. User name and groups do not
count, so impersonated users have only RBAC:
https://docs.aws.amazon.com/eks/latest/userguide/access-policies.html
"""

from __future__ import annotations

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.interfaces import Access
from eks_sandbox.interfaces import AwsSide
from eks_sandbox.interfaces import ClusterSpec
from eks_sandbox.interfaces import Extra


class Authorizer:
    """Answers SubjectAccessReviews of one cluster."""

    def __init__(self, aws: AwsSide, cluster: ClusterSpec) -> None:
        self._aws = aws
        self._cluster = cluster

    def reason(self, extra: Extra, access: Access) -> str | None:
        """Why this is allowed, or None: no opinion."""
        return self._aws.authorize(self._cluster, extra, access)

    async def review(self, body: Object) -> Object:
        """A SubjectAccessReview with its status, which never denies: others may still allow it."""
        spec = body["spec"]
        reason = self.reason(spec.get("extra") or {}, access_of(spec))
        status = {"allowed": False} if reason is None else {"allowed": True, "reason": reason}
        return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "status": status}


def access_of(spec: Object) -> Access:
    """What a review's ``spec`` requests."""
    path = spec.get("nonResourceAttributes")
    if path is not None:
        return Access(path.get("verb", ""), path=path.get("path", ""))
    asked = spec["resourceAttributes"]
    plural, subresource = asked.get("resource", ""), asked.get("subresource", "")
    named = f"{plural}/{subresource}" if subresource else plural
    return Access(asked.get("verb", ""), asked.get("group", ""), named, asked.get("namespace", ""))
