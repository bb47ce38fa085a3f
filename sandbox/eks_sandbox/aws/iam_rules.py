# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What IAM refuses beyond its model: documents, quotas, entities that exist or do not.

Quotas: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
"""

from __future__ import annotations

import typing as t

from eks_sandbox.aws import trust
from eks_sandbox.aws.errors import ServiceError
from eks_sandbox.aws.model import Parameters
from eks_sandbox.aws.policy_documents import Malformed
from eks_sandbox.aws.policy_documents import check_permissions
from eks_sandbox.aws.policy_documents import size

MANAGED_POLICIES = 10
MANAGED_POLICY_SIZE = 6144
#: Characters of all inline policies together.
INLINE_SIZE = {"Role": 10240, "User": 2048, "Group": 5120}
ACCESS_KEYS = 2
TAGS = 50


class Directory(t.Protocol):
    """What the rules read from the account of the request."""

    @property
    def trust_policy_characters(self) -> int:
        """The quota "Role trust policy length"."""
        ...

    def role_names(self) -> list[str]: ...

    def principal_exists(self, arn: str) -> bool:
        """Whether a user or role exists; of accounts that the sandbox does not know it is taken for granted."""
        ...

    def is_policy(self, arn: str) -> bool: ...

    def attached_policies(self, kind: str, name: str) -> list[str]: ...

    def inline_policies(self, kind: str, name: str) -> dict[str, str] | None:
        """Documents by name; None if the role, user or group does not exist."""
        ...

    def access_keys(self, user: str) -> int: ...

    def role_tags(self, role: str) -> list[str]: ...


def check(operation: str, parameters: Parameters, directory: Directory) -> None:
    """Refuse a request that IAM refuses; raises ServiceError."""
    rule = _RULES.get(operation)
    if rule is None:
        return
    try:
        rule(parameters, directory)
    except Malformed as error:
        raise ServiceError("MalformedPolicyDocument", str(error), status=400) from error


def _limit(message: str) -> ServiceError:
    return ServiceError("LimitExceeded", message, status=409)


def _create_role(parameters: Parameters, directory: Directory) -> None:
    name = parameters["RoleName"]
    # Names are unique, ignoring case.
    if name.lower() in {other.lower() for other in directory.role_names()}:
        raise ServiceError("EntityAlreadyExists", f"Role with name {name} already exists.", status=409)
    _check_trust(parameters["AssumeRolePolicyDocument"], directory)


def _update_assume_role_policy(parameters: Parameters, directory: Directory) -> None:
    if parameters["RoleName"] in directory.role_names():
        _check_trust(parameters["PolicyDocument"], directory)


def _check_trust(document: str, directory: Directory) -> None:
    trust.check(document, directory.principal_exists)
    if size(document) > directory.trust_policy_characters:
        raise _limit(f"Cannot exceed quota for ACLSizePerRole: {directory.trust_policy_characters}")


def _tag_role(parameters: Parameters, directory: Directory) -> None:
    keys = {tag["Key"] for tag in parameters["Tags"]}
    if len(keys | set(directory.role_tags(parameters["RoleName"]))) > TAGS:
        raise _limit(f"Cannot exceed quota for TagsPerRole: {TAGS}")


def _create_policy(parameters: Parameters, _directory: Directory) -> None:
    check_permissions(parameters["PolicyDocument"])
    if size(parameters["PolicyDocument"]) > MANAGED_POLICY_SIZE:
        raise _limit(f"Cannot exceed quota for PolicySize: {MANAGED_POLICY_SIZE}")


def _create_access_key(parameters: Parameters, directory: Directory) -> None:
    if directory.access_keys(parameters.get("UserName", "")) >= ACCESS_KEYS:
        raise _limit(f"Cannot exceed quota for AccessKeysPerUser: {ACCESS_KEYS}")


Rule = t.Callable[[Parameters, Directory], None]


def _attach(kind: str) -> Rule:
    def rule(parameters: Parameters, directory: Directory) -> None:
        arn, attached = parameters["PolicyArn"], directory.attached_policies(kind, parameters[f"{kind}Name"])
        if not directory.is_policy(arn):
            raise ServiceError("NoSuchEntity", f"Policy {arn} does not exist or is not attachable.", status=404)
        if arn not in attached and len(attached) >= MANAGED_POLICIES:
            raise _limit(f"Cannot exceed quota for PoliciesPer{kind}: {MANAGED_POLICIES}")

    return rule


def _put_inline(kind: str) -> Rule:
    def rule(parameters: Parameters, directory: Directory) -> None:
        name, document = parameters[f"{kind}Name"], parameters["PolicyDocument"]
        policies = directory.inline_policies(kind, name)
        # IAM looks for the entity before it reads the document.
        if policies is None:
            return
        check_permissions(document)
        together = {**policies, parameters["PolicyName"]: document}
        if sum(size(one) for one in together.values()) > INLINE_SIZE[kind]:
            raise _limit(f"Maximum policy size of {INLINE_SIZE[kind]} bytes exceeded for {kind.lower()} {name}")

    return rule


_RULES: dict[str, Rule] = {
    "CreateRole": _create_role,
    "UpdateAssumeRolePolicy": _update_assume_role_policy,
    "TagRole": _tag_role,
    "CreatePolicy": _create_policy,
    "CreatePolicyVersion": _create_policy,
    "CreateAccessKey": _create_access_key,
    **{f"Attach{kind}Policy": _attach(kind) for kind in INLINE_SIZE},
    **{f"Put{kind}Policy": _put_inline(kind) for kind in INLINE_SIZE},
}
