# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How an operation of EKS is registered, and what several resources need."""

from __future__ import annotations

import base64
import dataclasses
import typing as t

from eks_sandbox.aws import trust
from eks_sandbox.aws.eks.state import Cluster
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.eks.state import cluster_arn
from eks_sandbox.aws.eks.state import resource_arn
from eks_sandbox.aws.errors import invalid_parameter
from eks_sandbox.aws.ministack import Caller
from eks_sandbox.aws.ministack import Role

PAGE = 100


@dataclasses.dataclass(frozen=True)
class Context:
    """What an operation works with: the caller and the state."""

    state: State
    caller: Caller

    @property
    def region(self) -> str:
        """The region that the request was signed for."""
        return self.caller.region

    def cluster(self, name: str) -> Cluster:
        """The cluster of this name; raises ResourceNotFoundException."""
        return self.state.cluster(self.caller, name)

    def authorise(self, action: str, resource: str, keys: t.Mapping[str, t.Any] | None = None) -> None:
        """Whether the caller may do what EKS does in their name; raises AccessDeniedException."""
        self.state.ministack.authorise(self.caller, action, resource, keys)

    def pass_role(self, role_arn: str, service: str) -> Role:
        """The role, if the caller may hand it to this service and it exists.

        Raises InvalidParameterException for a role of another account and AccessDeniedException without iam:PassRole,
        or, for the roles of associations, iam:GetRole (dependent actions of the service authorization reference).
        Returns the role; raises LookupError when there is none, for which every operation has its own words.
        """
        if not is_role_arn(role_arn):
            raise invalid_parameter(f"Invalid role ARN: {role_arn}")
        if role_arn.split(":")[4] != self.caller.account:
            raise invalid_parameter("Cross-account pass role is not allowed.")
        self.authorise("iam:PassRole", role_arn, {"iam:PassedToService": service})
        if service == trust.POD_IDENTITY_PRINCIPAL:
            self.authorise("iam:GetRole", role_arn)
        role = self.state.ministack.role(role_arn)
        if role is None:
            raise LookupError(role_arn)
        return role


Handler = t.Callable[[Context, Shape], t.Awaitable[Shape]]
#: From the account, the region and the parameters to the ARN that the caller needs the permission on.
ResourceOf = t.Callable[[State, Caller, Shape], str]


@dataclasses.dataclass(frozen=True)
class Operation:
    """A registered operation."""

    handler: Handler
    resource: ResourceOf


OPERATIONS: dict[str, Operation] = {}


def any_resource(_state: State, _caller: Caller, _parameters: Shape) -> str:
    """For operations that IAM knows no resource for."""
    return "*"


def cluster_resource(_state: State, caller: Caller, parameters: Shape) -> str:
    """The cluster that the parameters name."""
    return cluster_arn(caller, parameters.get("clusterName") or parameters["name"])


def child_resource(kind: str, member: str) -> ResourceOf:
    """A node group, add-on or such of a cluster; its last part, which the caller cannot know, is left open."""

    def resource(_state: State, caller: Caller, parameters: Shape) -> str:
        return resource_arn(caller, kind, parameters["clusterName"], parameters[member], "*")

    return resource


def operation(name: str, resource: ResourceOf = cluster_resource) -> t.Callable[[Handler], Handler]:
    """Register the handler of an operation of EKS, by its name in the model."""

    def register(handler: Handler) -> Handler:
        OPERATIONS[name] = Operation(handler, resource)
        return handler

    return register


def page(items: t.Sequence[t.Any], parameters: Shape) -> tuple[list[t.Any], str | None]:
    """One page of a list and the token of the next one; pages hold 100, or ``maxResults`` if that is less."""
    start = _decode_token(parameters.get("nextToken"))
    end = start + min(parameters.get("maxResults") or PAGE, PAGE)
    token = base64.urlsafe_b64encode(f"page:{end}".encode()).decode() if end < len(items) else None
    return list(items[start:end]), token


def _decode_token(token: str | None) -> int:
    if not token:
        return 0
    try:
        kind, _, start = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
        if kind != "page" or not start.isdigit():
            raise ValueError(token)
        return int(start)
    except ValueError as error:
        raise invalid_parameter("Invalid nextToken.") from error


def require_pod_identity_trust(role: Role) -> None:
    """What EKS checks of a role for a new association: the principal and both actions (facts 2.1, 4)."""
    if not trust.names_service(role.trust_policy, trust.POD_IDENTITY_PRINCIPAL, ["sts:AssumeRole", "sts:TagSession"]):
        raise invalid_parameter(
            "Trust policy of the role provided is invalid. Follow the official documentation to configure the trust "
            "policy: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-association.html"
        )


def is_role_arn(arn: str) -> bool:
    """Whether this is the ARN of an IAM role, in any account."""
    parts = arn.split(":")
    return (
        len(parts) == 6
        and parts[0] == "arn"
        and parts[2] == "iam"
        and len(parts[4]) == 12
        and parts[4].isdigit()
        and parts[5].startswith("role/")
        and not parts[5].endswith("/")
    )


def new_tags(parameters: Shape) -> dict[str, str]:
    """The tags of a new resource, checked against the limit of 50."""
    tags = dict(parameters.get("tags") or {})
    check_tags(tags)
    return tags


def check_tags(tags: t.Mapping[str, str]) -> None:
    """At most 50 tags, and no key of AWS's own."""
    if len(tags) > 50:
        raise invalid_parameter("Too many tags: a resource can have at most 50.")
    if any(key.lower().startswith("aws:") for key in tags):
        raise invalid_parameter("Tag keys may not begin with aws:.")
