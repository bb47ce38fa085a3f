# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The accounts of target roles: which ones a task is about, and whose credentials it uses in each."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from ..._diagnosis.reading import mapping
from ..._diagnosis.reading import text
from ..._workload.workload import is_present
from .. import common
from . import calls

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import boto3

if t.TYPE_CHECKING:
    import collections.abc as c

    from ..._workload.cluster import Cluster
    from ..._workload.workload import Workload

Credentials = t.Mapping[str, t.Any]
#: The keys of one entry of ``accounts``, in the order of the fields of :class:`Way`.
WAY_KEYS = ("profile", "assume_role_arn", "assume_role_external_id")


@dataclasses.dataclass(frozen=True)
class Way:
    """How a task gets into an account; with neither a profile nor a role, by its own credentials.

    With both, the credentials of the profile assume the role.
    """

    profile: str = ""
    role_arn: str = ""
    external_id: str = ""


def ways_of(accounts: t.Mapping[t.Any, t.Any]) -> dict[str, Way]:
    """The option ``accounts``, by account ID as a text, however it was written."""
    return {str(account): Way(*(text(mapping(way).get(key)) for key in WAY_KEYS)) for account, way in accounts.items()}


def concerned(workloads: c.Iterable[Workload], cluster: Cluster, ways: c.Iterable[str], purges: bool) -> list[str]:
    """The accounts that a task is about, each once: those of target roles, and all that are known for a purge."""
    targets = [one["target_role"] for one in workloads if one.get("target_role")]
    declared = [str(target.get("account") or cluster.account) for target in targets]
    return list(dict.fromkeys([*declared, *([cluster.account, *ways] if purges else [])]))


def way_problems(accounts: c.Iterable[str], ways: t.Mapping[str, Way], cluster: Cluster) -> c.Iterator[str]:
    """Accounts without a way into them, and ways into other accounts than they are given for."""
    unknown = [
        one
        for one in accounts
        if one != cluster.account and not (ways.get(one, Way()).profile or ways.get(one, Way()).role_arn)
    ]
    if unknown:
        yield (
            f"Target roles are declared in account {' and '.join(unknown)}, and target_role_accounts does not say how "
            "to get there: give it an entry with a profile or an assume_role_arn."
        )
    for account, way in ways.items():
        if way.role_arn and (way.role_arn.split(":") + [""] * 5)[4] != account:
            yield (
                f"The role {way.role_arn} in target_role_accounts is not of account {account}, for which it is given: "
                "give a role of that account."
            )


def credentials_for(module: common.AnsibleEKSModule, way: Way) -> Credentials:
    """Settings of a client for an account; empty for the task's own credentials.

    :raises common.AnsibleEKSError: when the profile does not exist, or the role may not be assumed.
    """
    own = credentials_of_profile(way.profile) if way.profile else {}
    if not way.role_arn:
        return own
    return calls.assume(module.watched_client("sts", **own), way.role_arn, way.external_id or None)


@common.calling("use the profile")
def credentials_of_profile(profile: str) -> dict[str, t.Any]:
    """Settings of a client with the credentials of a profile, in place of the task's own.

    amazon.aws refuses a profile beside keys of the environment, which are those of the task.
    """
    found = boto3.session.Session(profile_name=profile).get_credentials()
    if found is None:
        raise common.AnsibleEKSError(f"The profile {profile} has no credentials.")
    keys = found.get_frozen_credentials()
    return {
        "profile_name": None,
        "aws_access_key_id": keys.access_key,
        "aws_secret_access_key": keys.secret_key,
        "aws_session_token": keys.token,
    }


def places(module: common.AnsibleEKSModule, cluster: Cluster) -> dict[str, Credentials]:
    """The credentials of each account that the task is about; none where it only checks.

    :raises common.AnsibleEKSError: before anything is written, with everything that is wrong with the accounts.
    """
    params = module.params
    # Without an operation everything that another task will need is checked.
    removes = "remove" in params["operations"] or not params["operations"]
    workloads = [one for one in params["workloads"] if removes or is_present(one)]
    ways = ways_of(params["accounts"])
    wanted = concerned(workloads, cluster, ways, removes and params["purge"] != "none")
    by_profile = [(one, ways[one].profile) for one in wanted if one in ways and not ways[one].role_arn]
    profiles = (problem for one, profile in by_profile for problem in profile_problems(module, one, profile))
    common.refuse([*way_problems(wanted, ways, cluster), *profiles])
    if not params["operations"]:
        return {}
    # The cluster's own account needs no way into it.
    return {account: credentials_for(module, ways.get(account, Way())) for account in wanted}


def profile_problems(module: common.AnsibleEKSModule, account: str, profile: str) -> c.Iterator[str]:
    """A profile does not tell whose credentials it has, as the ARN of a role does."""
    if not profile:
        return
    actual = calls.caller_account(module.watched_client("sts", **credentials_of_profile(profile)))
    if actual != account:
        yield (
            f"The profile {profile} in target_role_accounts has credentials of account {actual}, and is given for "
            f"{account}: give a profile of that account."
        )
