# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The clusters of many accounts and regions: who is asked, what they say, and which of them are wanted."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import fnmatch
import functools
import re
import typing as t

with contextlib.suppress(ImportError):  # AWSInventoryBase reports it.
    import botocore.config
    import botocore.exceptions

from ansible.errors import AnsibleError
from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError
from ansible_collections.podidentity.eks.plugins.module_utils._eks.cluster import observed
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import CONNECT_TIMEOUT
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import NO_CREDENTIALS
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import READ_TIMEOUT
from ansible_collections.podidentity.eks.plugins.module_utils._eks.role.calls import assume
from ansible_collections.podidentity.eks.plugins.module_utils._workload.validation import shown
from ansible_collections.podidentity.eks.plugins.module_utils._workload.validation import unknown_keys

#: Makes a client: ``make("eks", region="eu-west-1", **credentials)``.
MakeClient = t.Callable[..., t.Any]
Host = t.Mapping[str, t.Any]

ACCOUNT_KEYS = ("profile", "assume_role_arn", "assume_role_external_id", "regions")
FILTER_KEYS = ("names", "statuses", "versions", "tags")
ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/.+")
#: Stands for every region that is enabled in an account.
ALL_REGIONS = "all"
#: How a session of an assumed role is called in AWS's logs.
SESSION_NAME = "podidentity-eks-inventory"
#: What boto3 calls the parts of credentials.
KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
#: How often a call is sent at most.
MOST_ATTEMPTS = 4


class FleetError(ValueError):
    """What was asked for cannot be done; the message is one sentence for the user."""


@dataclasses.dataclass(frozen=True)
class Account:
    """One account by how one gets into it; with neither profile nor role the one whose credentials are used."""

    profile: str | None = None
    assume_role_arn: str | None = None
    assume_role_external_id: str | None = None
    regions: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.assume_role_arn:
            return f"the account of role {self.assume_role_arn}"
        return f"the account of profile {self.profile}" if self.profile else "the account of the credentials in use"

    @property
    def variables(self) -> dict[str, str]:
        """What plays need to get in again."""
        return {
            f"eks_{key}": value
            for key in ("profile", "assume_role_arn", "assume_role_external_id")
            if (value := getattr(self, key))
        }


@dataclasses.dataclass(frozen=True)
class Place:
    """One region of one account, with a client for its EKS."""

    account: Account
    region: str
    client: t.Any


# --- what is declared -------------------------------------------------------------------------------------------------


def read_accounts(declared: t.Sequence[t.Any], assume_role_arn: str | None = None) -> list[Account]:
    """The accounts; where none is declared, the one of the role, or of the credentials in use."""
    if declared and assume_role_arn:
        raise FleetError("assume_role_arn stands beside accounts: give it in the item of accounts that it is for.")
    alone = {"assume_role_arn": assume_role_arn} if assume_role_arn else {}
    return [read_account(item or {}, number) for number, item in enumerate(declared or [alone], start=1)]


def read_account(declared: t.Any, number: int) -> Account:
    """One account; :class:`FleetError` for what cannot be one."""
    where = f"Number {number} of accounts"
    check_keys(declared, ACCOUNT_KEYS, where)
    regions = declared.get("regions") or []
    if not isinstance(regions, list | tuple):
        raise FleetError(f"{where} has the regions {shown(regions)}: give a list.")
    arn = declared.get("assume_role_arn")
    if arn and not ROLE_ARN.fullmatch(str(arn)):
        raise FleetError(f"{where} has the assume_role_arn {shown(arn)}: give an IAM role's ARN in full.")
    if declared.get("assume_role_external_id") and not arn:
        raise FleetError(f"{where} has an assume_role_external_id and no assume_role_arn: give the role as well.")
    texts = {key: str(declared[key]) for key in ACCOUNT_KEYS[:3] if declared.get(key)}
    return Account(**texts, regions=tuple(map(str, regions)))


def read_filters(declared: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The filters with every list of patterns as one; :class:`FleetError` for what cannot be one."""
    check_keys(declared, FILTER_KEYS, "The option filters")
    tags = declared.get("tags") or {}
    if not isinstance(tags, t.Mapping):
        raise FleetError(f"The option filters has the tags {shown(tags)}: give a mapping of keys to values.")
    lists = {key: patterns(declared[key]) for key in FILTER_KEYS[:3] if declared.get(key) is not None}
    return {**lists, "tags": {str(key): patterns(value) for key, value in tags.items()}}


def check_keys(declared: t.Any, known: t.Sequence[str], where: str) -> None:
    if not isinstance(declared, t.Mapping):
        raise FleetError(f"{where} is {shown(declared)}: give a mapping with any of {', '.join(known)}.")
    problem = next(iter(unknown_keys(declared, known, where)), None)
    if problem:
        raise FleetError(problem)


def patterns(value: t.Any) -> list[str]:
    """One pattern or several, as texts: a version in YAML may be a number."""
    return [str(item) for item in (value if isinstance(value, list | tuple) else [value])]


# --- what is there ----------------------------------------------------------------------------------------------------


def observe(
    make_client: MakeClient, accounts: t.Sequence[Account], regions: t.Sequence[str], concurrency: int
) -> dict[str, t.Any]:
    """All clusters of all accounts and regions, as plain data.

    ``hosts`` holds each cluster's variables, ``reached`` is the number of places that have answered, and
    ``unreachable`` says of each other one account, region (empty where no region could be asked) and reason.
    """
    places, unreachable = find_places(make_client, accounts, regions)
    hosts: list[Host] = []
    with concurrent.futures.ThreadPoolExecutor(max_workers=concurrency) as pool:
        listed = [(place, pool.submit(observed.names, place.client)) for place in places]
        described = []
        for place, listing in listed:
            names, reason = told(listing)
            if reason:
                unreachable.append(unreached(place.account, place.region, reason))
            described += [(place, name, pool.submit(observed.observe, place.client, name)) for name in names or []]
        for place, name, description in described:
            cluster, reason = told(description)
            if reason:
                unreachable.append(unreached(place.account, f"{place.region}, cluster {name}", reason))
            elif cluster:  # one that is gone meanwhile is none
                hosts.append(variables_of(cluster, place))
    failed = {(item["account"], item["region"]) for item in unreachable}
    reached = sum((str(place.account), place.region) not in failed for place in places)
    return {"hosts": hosts, "reached": reached, "unreachable": unreachable}


def find_places(
    make_client: MakeClient, accounts: t.Sequence[Account], regions: t.Sequence[str]
) -> tuple[list[Place], list[dict[str, str]]]:
    """Every region of every account, and the accounts that nobody gets into.

    Clients are made here and not in threads, because Ansible's options are read for each.
    """
    places: list[Place] = []
    unreachable = []
    for account in accounts:
        try:
            places += places_of(make_client, account, account.regions or regions)
        except (
            AnsibleAWSError,
            AnsibleError,
            botocore.exceptions.BotoCoreError,
            botocore.exceptions.ClientError,
        ) as error:
            unreachable.append(unreached(account, "", reason_of(error)))
    return places, unreachable


def places_of(make_client: MakeClient, account: Account, regions: t.Sequence[str]) -> list[Place]:
    """Every region of one account."""
    # An endpoint that does not answer is told in seconds and not in minutes.
    config = botocore.config.Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": MOST_ATTEMPTS},
    )
    make = functools.partial(make_client, config=config)
    credentials = credentials_of(make, account)
    if ALL_REGIONS in regions:
        answer = make("ec2", **credentials).describe_regions()
        regions = sorted(region["RegionName"] for region in answer["Regions"])
    return [Place(account, region, make("eks", region=region, **credentials)) for region in dict.fromkeys(regions)]


def credentials_of(make_client: MakeClient, account: Account) -> dict[str, t.Any]:
    """The settings of a client in an account; nothing for the account whose credentials are used.

    A profile is not mixed with the keys that the options or the environment hold.
    """
    settings: dict[str, t.Any] = {}
    if account.profile:
        settings = {"profile_name": account.profile, **dict.fromkeys(KEYS)}
    if not account.assume_role_arn:
        return settings
    return assume(
        make_client("sts", **settings), account.assume_role_arn, account.assume_role_external_id, SESSION_NAME
    )


def variables_of(cluster: t.Mapping[str, t.Any], place: Place) -> dict[str, t.Any]:
    """The variables of a cluster's host."""
    return {
        "eks_cluster_name": cluster["name"],
        "eks_region": place.region,
        "eks_account_id": cluster["arn"].split(":")[4],
        **place.account.variables,
        "eks_cluster": dict(cluster),
    }


def told(answer: concurrent.futures.Future[t.Any]) -> tuple[t.Any, str]:
    """What a look has told, or None and why it has told nothing."""
    try:
        return answer.result(), ""
    except AnsibleAWSError as error:
        return None, reason_of(error)


def reason_of(error: BaseException) -> str:
    """Why somebody could not be asked, in the words of who refused it."""
    cause = getattr(error, "exception", None) or error
    if isinstance(cause, botocore.exceptions.NoCredentialsError):
        return NO_CREDENTIALS.rstrip(".")
    return str(cause).rstrip(".")


def unreached(account: Account, region: str, reason: str) -> dict[str, str]:
    return {"account": str(account), "region": region, "reason": reason}


def describe(unreachable: t.Mapping[str, str]) -> str:
    """One sentence about somebody who could not be asked."""
    where = f", region {unreachable['region']}" if unreachable["region"] else ""
    return f"EKS clusters of {unreachable['account']}{where} are not in the inventory: {unreachable['reason']}."


# --- what is wanted ---------------------------------------------------------------------------------------------------


def select(hosts: t.Iterable[Host], filters: t.Mapping[str, t.Any]) -> list[Host]:
    """The hosts whose clusters meet every filter of :func:`read_filters`, by name, region and account."""
    wanted = [host for host in hosts if is_wanted(host["eks_cluster"], filters)]
    return sorted(wanted, key=lambda host: (host["eks_cluster_name"], host["eks_region"], host["eks_account_id"]))


def is_wanted(cluster: t.Mapping[str, t.Any], filters: t.Mapping[str, t.Any]) -> bool:
    """Whether a cluster meets every filter."""
    texts = {"names": cluster["name"], "statuses": cluster.get("status"), "versions": cluster.get("version")}
    fields = all(fits(texts[key], filters[key]) for key in texts if key in filters)
    return fields and all(fits(cluster["tags"].get(key), wanted) for key, wanted in filters["tags"].items())


def fits(value: str | None, wanted: t.Iterable[str]) -> bool:
    """Whether a text fits one of the patterns; what is not there fits none."""
    return value is not None and any(fnmatch.fnmatchcase(value, pattern) for pattern in wanted)
