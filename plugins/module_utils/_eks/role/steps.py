# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""From a role as it is to the role as it will be: the calls of IAM in between, in an order in which nobody is left out.

What a workload needs comes before what it no longer needs goes. Sessions are revoked before the statement goes that
says whose they are: a run that ends between the two finds it again.
"""

from __future__ import annotations

import json
import typing as t

from ..._trust import changes
from ..._trust import document as trust
from ..._trust.findings import INLINE_LIMIT
from ..._trust.role import DEFAULT_SESSION_SECONDS
from ..._trust.role import REVOKED_POLICY_NAME
from ..._trust.role import Role
from ..common import Action

if t.TYPE_CHECKING:
    import collections.abc as c


def calls(before: Role | None, after: Role, policies_limit: int) -> list[Action]:
    """The calls that make a role, or change it."""
    coming, going = policies(before, after)
    room = has_room(before, after, policies_limit)
    if before is None:
        return [creation(after), *coming]
    name = before.name
    revoking = [call for call in coming if call.parameters.get("PolicyName") == REVOKED_POLICY_NAME]
    coming = [call for call in coming if call not in revoking]
    return [
        *revoking,
        *settings(before, after),
        *([*coming, *going] if room else [*going, *coming]),
        *(
            [Action("update_assume_role_policy", {"RoleName": name, "PolicyDocument": text(after.trust)})]
            if not trust.same(before.trust, after.trust)
            else []
        ),
    ]


def text(document: trust.Document) -> str:
    """A document as it is sent: white space would make it longer."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def creation(after: Role) -> Action:
    """The call that makes a role with everything but its policies."""
    parameters: dict[str, t.Any] = {
        "RoleName": after.name,
        "Path": after.path,
        "AssumeRolePolicyDocument": text(after.trust),
        "Tags": tag_list(after.tags),
    }
    if after.description:
        parameters["Description"] = after.description
    if after.boundary:
        parameters["PermissionsBoundary"] = after.boundary
    if after.max_session_duration != DEFAULT_SESSION_SECONDS:
        parameters["MaxSessionDuration"] = after.max_session_duration
    return Action("create_role", parameters)


def tag_list(tags: t.Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def settings(before: Role, after: Role) -> c.Iterator[Action]:
    """Boundary, description, longest session and tags."""
    name = {"RoleName": before.name}
    if after.boundary and after.boundary != before.boundary:
        yield Action("put_role_permissions_boundary", {**name, "PermissionsBoundary": after.boundary})
    elif before.boundary and not after.boundary:
        yield Action("delete_role_permissions_boundary", name)
    described = {"Description": after.description} if after.description != before.description else {}
    if described or after.max_session_duration != before.max_session_duration:
        # The API reference says that a duration that is left out becomes an hour.
        yield Action("update_role", {**name, **described, "MaxSessionDuration": after.max_session_duration})
    tags = changes.new_tags(before, after)
    if tags:
        yield Action("tag_role", {**name, "Tags": tag_list(tags)})


def policies(before: Role | None, after: Role) -> tuple[list[Action], list[Action]]:
    """The calls for policies that come, and for those that go."""
    name = {"RoleName": after.name}
    attached = before.managed_policies if before else {}
    inline = before.inline_policies if before else {}
    coming = [
        Action("attach_role_policy", {**name, "PolicyArn": arn})
        for arn in after.managed_policies
        if arn not in attached
    ]
    coming += [
        Action("put_role_policy", {**name, "PolicyName": policy, "PolicyDocument": text(document)})
        for policy, document in after.inline_policies.items()
        if document is not None and document != inline.get(policy)
    ]
    going = [
        Action("detach_role_policy", {**name, "PolicyArn": arn})
        for arn in attached
        if arn not in after.managed_policies
    ]
    going += [
        Action("delete_role_policy", {**name, "PolicyName": policy})
        for policy in inline
        if policy not in after.inline_policies
    ]
    return coming, going


def has_room(before: Role | None, after: Role, policies_limit: int) -> bool:
    """Whether everything that comes fits beside what is still to go."""
    if before is None:
        return True
    documents = {**before.inline_policies, **after.inline_policies}.values()
    characters = sum(trust.size(document) for document in documents if document)
    return len({**before.managed_policies, **after.managed_policies}) <= policies_limit and characters <= INLINE_LIMIT


def deletion(before: Role, profiles: t.Iterable[str]) -> list[Action]:
    """The calls that delete a role: IAM takes only one that has nothing any more and is in no instance profile."""
    name = {"RoleName": before.name}
    return [
        *(
            Action("remove_role_from_instance_profile", {**name, "InstanceProfileName": profile})
            for profile in profiles
        ),
        *(Action("detach_role_policy", {**name, "PolicyArn": arn}) for arn in before.managed_policies),
        *(Action("delete_role_policy", {**name, "PolicyName": policy}) for policy in before.inline_policies),
        Action("delete_role", name),
    ]
