# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The module ``eks_pod_identity_role_info``, between its options and its result."""

from __future__ import annotations

import typing as t

from .. import common
from ..threads import at_once
from . import calls
from .running import account_of
from .running import other_credentials

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_iam.client import IAMClient

    from ..._trust.role import Role


def run(module: common.AnsibleEKSModule) -> dict[str, t.Any]:
    """Read the roles of a task; returns the module's result.

    :raises common.AnsibleEKSError: when the account of the credentials cannot be read.
    """
    return read_all(module, module.params["arns"], other_credentials(module))


def read_all(
    module: common.AnsibleEKSModule, arns: c.Iterable[str], credentials: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    """Read roles in threads, each once.

    :raises common.AnsibleEKSError: when the account of the credentials cannot be read.
    """
    wanted = list(dict.fromkeys(arns))
    account = account_of(module, credentials) if wanted else ""
    iam: IAMClient = module.watched_client("iam", **credentials)
    result: dict[str, t.Any] = {"roles": [], "missing": [], "unread": []}
    for key, one in at_once(lambda arn: look(iam, arn, account), wanted):
        result[key].append(one)
    return result


def look(iam: IAMClient, arn: str, account: str) -> tuple[str, t.Any]:
    """One role, and where it belongs in the result."""
    own = (arn.split(":") + [""] * 5)[4]
    if own != account:
        return "unread", {"arn": arn, "message": f"It is of account {own}, and these credentials are of {account}."}
    try:
        found = calls.look_up(iam, arn.rpartition("/")[2])
        if found is None or found.arn != arn:
            return "missing", arn
        return "roles", render(calls.with_all_inline(iam, found))
    except common.AnsibleEKSError as error:
        return "unread", {"arn": arn, "message": str(error)}


def render(role: Role) -> dict[str, t.Any]:
    """One role as the module returns it."""
    return {
        "arn": role.arn,
        "name": role.name,
        "trust_policy": role.trust,
        "managed_policies": dict(role.managed_policies),
        "inline_policies": dict(role.inline_policies),
        "boundary": role.boundary,
    }
