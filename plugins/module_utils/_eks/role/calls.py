# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The calls that look: roles with their policies, all trust policies of an account, managed policies by name."""

from __future__ import annotations

import dataclasses
import typing as t

from ..._trust import document as trust
from ..._trust.role import OUR_POLICIES
from ..._trust.role import Role
from .. import common

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_iam.client import IAMClient
    from mypy_boto3_iam.type_defs import RoleTypeDef
    from mypy_boto3_sts.client import STSClient

#: The largest page that lists of IAM give.
PAGE_SIZE = 1000


def look_up(iam: IAMClient, name: str) -> Role | None:
    """A role with all that a plan compares, None where there is none."""
    found = get_role(iam, name)
    if found is None:
        return None
    attached = list_attached(iam, name) or {}
    names = list_inline(iam, name) or []
    documents = {policy: get_inline(iam, name, policy) if policy in OUR_POLICIES else None for policy in names}
    return from_api(found, attached, documents)


def from_api(found: RoleTypeDef, attached: t.Mapping[str, str], inline: t.Mapping[str, trust.Document | None]) -> Role:
    """A role as the API describes it, with its policies."""
    return Role(
        name=found["RoleName"],
        arn=found["Arn"],
        role_id=found["RoleId"],
        created=found["CreateDate"].isoformat(),
        trust=document_of(found["AssumeRolePolicyDocument"]),
        path=found["Path"],
        description=found.get("Description", ""),
        boundary=found.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
        max_session_duration=found.get("MaxSessionDuration", 3600),
        tags={tag["Key"]: tag["Value"] for tag in found.get("Tags", [])},
        managed_policies=attached,
        inline_policies=inline,
    )


def document_of(document: t.Any) -> trust.Document:
    """A policy document, which botocore has decoded where it is JSON."""
    return trust.parse(document)


@common.finding("get the role")
def get_role(iam: IAMClient, name: str) -> RoleTypeDef:
    return iam.get_role(RoleName=name)["Role"]


@common.finding("list the managed policies of the role")
def list_attached(iam: IAMClient, name: str) -> dict[str, str]:
    """Names of the attached managed policies by ARN."""
    pages = iam.get_paginator("list_attached_role_policies").paginate(
        RoleName=name, PaginationConfig={"PageSize": PAGE_SIZE}
    )
    return {policy["PolicyArn"]: policy["PolicyName"] for page in pages for policy in page["AttachedPolicies"]}


@common.finding("list the inline policies of the role")
def list_inline(iam: IAMClient, name: str) -> list[str]:
    pages = iam.get_paginator("list_role_policies").paginate(RoleName=name, PaginationConfig={"PageSize": PAGE_SIZE})
    return [policy for page in pages for policy in page["PolicyNames"]]


@common.finding("get the inline policy of the role")
def get_inline(iam: IAMClient, name: str, policy: str) -> trust.Document:
    return document_of(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])


def with_all_inline(iam: IAMClient, role: Role) -> Role:
    """The role with the documents of inline policies that nobody has read yet, since they count towards the limit."""
    documents = {
        policy: get_inline(iam, role.name, policy) if document is None else document
        for policy, document in role.inline_policies.items()
    }
    return dataclasses.replace(role, inline_policies=documents)


@common.calling("list the roles of the account")
def list_trusts(iam: IAMClient) -> list[tuple[str, trust.Document]]:
    """Name and trust policy of every role."""
    pages = iam.get_paginator("list_roles").paginate(PaginationConfig={"PageSize": PAGE_SIZE})
    return [
        (role["RoleName"], document_of(role["AssumeRolePolicyDocument"])) for page in pages for role in page["Roles"]
    ]


@common.calling("list the managed policies")
def policies_by_name(iam: IAMClient) -> dict[str, str]:
    """ARNs of the managed policies of AWS and of the account; one of the account comes before one of AWS."""
    pages = iam.get_paginator("list_policies").paginate(PaginationConfig={"PageSize": PAGE_SIZE})
    found = [policy["Arn"] for page in pages for policy in page["Policies"]]
    return {arn.rpartition("/")[2]: arn for arn in sorted(found, key=lambda arn: ":iam::aws:" not in arn)}


@common.finding("get the managed policy")
def get_policy(iam: IAMClient, arn: str) -> str:
    """The ARN of a managed policy, None where there is none."""
    return iam.get_policy(PolicyArn=arn)["Policy"].get("Arn", arn)


@common.finding("list the instance profiles of the role")
def list_profiles(iam: IAMClient, name: str) -> list[str]:
    pages = iam.get_paginator("list_instance_profiles_for_role").paginate(
        RoleName=name, PaginationConfig={"PageSize": PAGE_SIZE}
    )
    return [profile["InstanceProfileName"] for page in pages for profile in page["InstanceProfiles"]]


@common.calling("tell whose credentials these are")
def caller_account(sts: STSClient) -> str:
    return sts.get_caller_identity()["Account"]


@common.calling("tell whose credentials these are")
def caller_arn(sts: STSClient) -> str:
    return sts.get_caller_identity()["Arn"]


@common.calling("assume the role of assume_role_arn")
def assume(
    sts: STSClient, role_arn: str, external_id: str | None, session_name: str = common.COLLECTION_NAME
) -> dict[str, str | None]:
    """Settings of a client with the credentials of another role."""
    condition: dict[str, t.Any] = {"ExternalId": external_id} if external_id else {}
    answer = sts.assume_role(RoleArn=role_arn, RoleSessionName=session_name, **condition)
    return {
        "profile_name": None,
        "aws_access_key_id": answer["Credentials"]["AccessKeyId"],
        "aws_secret_access_key": answer["Credentials"]["SecretAccessKey"],
        "aws_session_token": answer["Credentials"]["SessionToken"],
    }


def unread(role: Role | None) -> c.Iterator[str]:
    """Inline policies whose documents nobody has read."""
    return (name for name, document in (role.inline_policies if role else {}).items() if document is None)
