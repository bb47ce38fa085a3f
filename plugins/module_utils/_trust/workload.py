# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Workloads as users declare them: what cannot be right, said before anything is written.

A problem is one sentence: what, where, and what would be right.
"""

from __future__ import annotations

import difflib
import json
import re
import typing as t
import unicodedata

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.declaration import DeclarationError
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.declaration import read_workload
from ansible_collections.podidentity.eks.plugins.module_utils._eks.validation import NAMESPACE
from ansible_collections.podidentity.eks.plugins.module_utils._eks.validation import NAMESPACE_RULE
from ansible_collections.podidentity.eks.plugins.module_utils._eks.validation import ROLE_ARN
from ansible_collections.podidentity.eks.plugins.module_utils._eks.validation import SERVICE_ACCOUNT
from ansible_collections.podidentity.eks.plugins.module_utils._eks.validation import SERVICE_ACCOUNT_LIMIT
from ansible_collections.podidentity.eks.plugins.module_utils._eks.validation import SERVICE_ACCOUNT_RULE
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Cluster

if t.TYPE_CHECKING:
    import collections.abc as c

Workload = t.Mapping[str, t.Any]

WORKLOAD_KEYS = (
    "namespace",
    "service_account",
    "service_account_managed",
    "state",
    "role",
    "target_role",
    "target_role_arn",
    "policy",
    "disable_session_tags",
    "tags",
    "prove",
)
ROLE_KEYS = (
    "name",
    "arn",
    "path",
    "description",
    "managed_policies",
    "inline_policy",
    "boundary",
    "max_session_duration",
    "tags",
    "trust",
)
#: A target role trusts its source role alone, so that there is no ``trust`` to choose; it may be in another account.
TARGET_ROLE_KEYS = (*(key for key in ROLE_KEYS if key not in ("arn", "trust")), "account")
STATES = ("present", "absent")
TRUSTS = ("scoped", "open")
ACCOUNT = re.compile(r"[0-9]{12}")
ROLE_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
ROLE_PATH = re.compile(r"/([!-~]{1,510}/)?")
POLICY = re.compile(r"(arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/([!-~]+/)?)?[\w+=,.@-]{1,128}", re.ASCII)
POLICY_ARN = re.compile(r"arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/([!-~]+/)?[\w+=,.@-]{1,128}", re.ASCII)
#: IAM's own patterns and limits (CreateRole, ``Description`` and ``Tag``).
DESCRIPTION = re.compile("[\t\n\r\x20-\x7e\xa1-\xff]{0,1000}")
TAG_CHARACTERS = "_.:/=+-@"
SESSION_SECONDS = (3600, 43200)
DECLARED_ROLE_KEYS = ("path", "description", "inline_policy", "boundary", "max_session_duration", "tags")


def shown(value: object) -> str:
    """A value as a message shows it."""
    return json.dumps(value, ensure_ascii=False, default=str)


def workload_problems(workloads: object, account: str = "") -> list[str]:
    """Every problem of a list of workloads. With an account id, given roles must be of that account."""
    if not isinstance(workloads, (list, tuple)):
        return [f"The workloads are {shown(workloads)}: give a list, one item for each service account."]
    problems: list[str] = []
    readable: list[Workload] = []
    for number, declared in enumerate(workloads, start=1):
        if not isinstance(declared, t.Mapping):
            where = f"Workload number {number}"
            problems.append(f"{where} is {shown(declared)}: give a mapping with namespace, service_account and role.")
            continue
        workload = as_meant(declared, WORKLOAD_KEYS)
        where = place(workload, number)
        problems += unknown_keys(declared, WORKLOAD_KEYS, where)
        problems += key_problems(workload, where)
        problems += state_problems(workload, where)
        if is_present(workload) or workload.get("role") is not None:
            problems += role_problems(workload.get("role"), where, account)
        problems += target_role_problems(workload, where)
        problems += association_problems(workload, where)
        problems += service_account_problems(workload, where)
        problems += prove_problems(workload)
        readable.append(workload)
    return [
        *problems,
        *duplicate_problems(readable),
        *shared_role_problems(readable),
        *shared_target_problems(readable, account),
        *letter_case_problems(readable),
    ]


def is_present(workload: Workload) -> bool:
    """Whether a workload is declared to be there; it is where nothing else is said."""
    return bool(workload.get("state", "present") == "present")


def state_problems(workload: Workload, where: str) -> c.Iterator[str]:
    """Neither there nor away."""
    if workload.get("state", "present") not in STATES:
        yield f"{where} has the state {shown(workload['state'])}: give present or absent."


def place(workload: Workload, number: int) -> str:
    """What a message calls a workload: its names where it has both, its place in the list otherwise."""
    if workload.get("namespace") and workload.get("service_account"):
        return f"Workload {workload['namespace']}/{workload['service_account']}"
    return f"Workload number {number}"


def misspelt(given: t.Mapping[str, t.Any], known: t.Sequence[str]) -> dict[str, str | None]:
    """Keys that nothing reads, each with the one that was probably meant."""
    unknown = [key for key in given if key not in known]
    return {key: next(iter(difflib.get_close_matches(str(key), known, n=1)), None) for key in unknown}


def as_meant(given: t.Mapping[str, t.Any], known: t.Sequence[str]) -> dict[str, t.Any]:
    """A mapping with misspelt keys put right, so that a typing error is told once and not as a missing key again."""
    meant = {key: right for key, right in misspelt(given, known).items() if right and right not in given}
    return {meant.get(key, key): value for key, value in given.items()}


def unknown_keys(given: t.Mapping[str, t.Any], known: t.Sequence[str], where: str) -> c.Iterator[str]:
    """Keys that nothing reads."""
    for key, meant in misspelt(given, known).items():
        right = f"did you mean {meant}?" if meant else f"known are {', '.join(known)}."
        yield f"{where} has the unknown key {shown(key)}: {right}"


def key_problems(workload: Workload, where: str) -> c.Iterator[str]:
    """A namespace or service account that Kubernetes would refuse, so that no pod could ever match it."""
    namespace, service_account = workload.get("namespace"), workload.get("service_account")
    if not isinstance(namespace, str) or not NAMESPACE.fullmatch(namespace):
        yield f"{where} has the namespace {shown(namespace)}: {NAMESPACE_RULE}"
    if (
        not isinstance(service_account, str)
        or len(service_account) > SERVICE_ACCOUNT_LIMIT
        or not SERVICE_ACCOUNT.fullmatch(service_account)
    ):
        yield f"{where} has the service_account {shown(service_account)}: {SERVICE_ACCOUNT_RULE}"


def role_problems(role: object, where: str, account: str) -> c.Iterator[str]:
    """A role that is neither to be made here (by name) nor given (by ARN), or both."""
    declared = role if isinstance(role, t.Mapping) else {}
    role = as_meant(declared, ROLE_KEYS)
    yield from unknown_keys(declared, ROLE_KEYS, f"The role of {where[0].lower()}{where[1:]}")
    if bool(role.get("name")) == bool(role.get("arn")):
        yield f"{where} needs a role: either role.name (made here) or role.arn (an existing one, used as it is)."
    elif role.get("arn"):
        yield from given_role_problems(role, where, account)
    else:
        yield from made_role_problems(role, where)


def given_role_problems(role: t.Mapping[str, t.Any], where: str, account: str) -> c.Iterator[str]:
    """The ARN of an existing role; EKS takes none of another account (CreatePodIdentityAssociation, ``roleArn``)."""
    match = ROLE_ARN.fullmatch(str(role["arn"]))
    if not match:
        yield (
            f"{where} has role.arn {shown(role['arn'])}: give an IAM role's ARN in full, such as "
            "arn:aws:iam::111122223333:role/name."
        )
    elif account and match["account"] != account:
        yield (
            f"{where} has role.arn {shown(role['arn'])} of account {match['account']}, the cluster is in {account}: "
            "give a role of the cluster's account, and the other one as target_role_arn."
        )
    others = sorted(set(role) - {"arn"})
    if others:
        yield f"{where} has role.arn, so its role is used as it is: take {', '.join(others)} out, or give role.name."


def made_role_problems(role: t.Mapping[str, t.Any], where: str, key: str = "role") -> c.Iterator[str]:
    """What IAM would refuse when it makes the role; ``key`` is where the workload has it."""
    if not ROLE_NAME.fullmatch(str(role["name"])):
        yield f"{where} has {key}.name {shown(role['name'])}: use 1 to 64 letters, digits and any of +=,.@_-"
    if role.get("path") and not ROLE_PATH.fullmatch(str(role["path"])):
        yield f"{where} has {key}.path {shown(role['path'])}: begin and end it with a slash, such as /workloads/."
    if role.get("trust", "scoped") not in TRUSTS:
        yield f"{where} has {key}.trust {shown(role['trust'])}: give scoped or open."
    yield from policies_problems(role.get("managed_policies") or [], where, key)
    if role.get("inline_policy") and not isinstance(role["inline_policy"], t.Mapping):
        yield f"{where} has {key}.inline_policy {shown(role['inline_policy'])}: give the policy document as a mapping."
    if role.get("boundary") and not POLICY_ARN.fullmatch(str(role["boundary"])):
        yield f"{where} has {key}.boundary {shown(role['boundary'])}: give the ARN of a managed policy."
    if not DESCRIPTION.fullmatch(str(role.get("description") or "")):
        yield (
            f"{where} has {key}.description {shown(role['description'])}: use up to 1000 characters, none beyond those "
            "of Latin-1 (no typographic dashes or quotes)."
        )
    yield from tags_problems(role.get("tags"), where, key)
    yield from duration_problems(role.get("max_session_duration"), where, key)


def tags_problems(tags: object, where: str, key: str) -> c.Iterator[str]:
    """Tags that are none, or have characters that IAM takes in no tag."""
    if tags is None:
        return
    if not isinstance(tags, t.Mapping):
        yield f"{where} has {key}.tags {shown(tags)}: give a mapping of keys to values."
        return
    for text in (str(one) for pair in tags.items() for one in pair):
        if any(unicodedata.category(one)[0] not in "LNZ" and one not in TAG_CHARACTERS for one in text):
            yield f"{where} has {shown(text)} in {key}.tags: use letters, digits, spaces and any of {TAG_CHARACTERS}"


def policies_problems(policies: object, where: str, key: str) -> c.Iterator[str]:
    """Managed policies that no policy can be found by."""
    if not isinstance(policies, (list, tuple)):
        yield f"{where} has {key}.managed_policies {shown(policies)}: give a list of names or ARNs."
        return
    for policy in policies:
        if not POLICY.fullmatch(str(policy)):
            yield f"{where} has the managed policy {shown(policy)}: give a policy's name or its ARN."


def duration_problems(seconds: object, where: str, key: str) -> c.Iterator[str]:
    """IAM allows sessions of one hour to twelve."""
    low, high = SESSION_SECONDS
    if seconds is not None and not (isinstance(seconds, int) and low <= seconds <= high):
        yield f"{where} has {key}.max_session_duration {shown(seconds)}: give {low} to {high} seconds."


def target_role_problems(workload: Workload, where: str) -> c.Iterator[str]:
    """A target role that cannot be made: it is declared by name, in this account or another one."""
    declared = workload.get("target_role")
    if declared is None:
        return
    if not isinstance(declared, t.Mapping):
        yield f"{where} has target_role {shown(declared)}: give a mapping with name, and account if it is another one."
        return
    role = as_meant(declared, TARGET_ROLE_KEYS)
    yield from unknown_keys(declared, TARGET_ROLE_KEYS, f"The target_role of {where[0].lower()}{where[1:]}")
    if workload.get("target_role_arn"):
        yield f"{where} has target_role and target_role_arn: give target_role to have it made, or the ARN of one."
    if role.get("account") is not None and not ACCOUNT.fullmatch(str(role["account"])):
        yield f"{where} has target_role.account {shown(role['account'])}: give the account's 12 digits, in quotes."
    if not role.get("name"):
        yield f"{where} has a target_role without name: give the name of the role to make."
    else:
        yield from made_role_problems(role, where, "target_role")


def association_problems(workload: Workload, where: str) -> c.Iterator[str]:
    """Rules between the fields of an association (EKS API reference, CreatePodIdentityAssociation)."""
    target = workload.get("target_role_arn")
    if target and not ROLE_ARN.fullmatch(str(target)):
        yield f"{where} has target_role_arn {shown(target)}: give an IAM role's ARN in full."
    if workload.get("policy") and not tags_disabled(workload):
        yield f"{where} has a session policy: EKS takes one only with disable_session_tags: true."


def service_account_problems(workload: Workload, where: str) -> c.Iterator[str]:
    """Who creates the service account."""
    managed = workload.get("service_account_managed", True)
    if not isinstance(managed, bool):
        yield f"{where} has service_account_managed {shown(managed)}: give true or false."


def prove_problems(workload: Workload) -> c.Iterator[str]:
    """Calls to prove that cannot be read; the role ``verify`` would say the same, but after everything was written."""
    if not all(isinstance(workload.get(key), str) and workload[key] for key in ("namespace", "service_account")):
        return  # told as such already
    try:
        read_workload(workload, "")
    except DeclarationError as error:
        yield f"Workload {error}"


def duplicate_problems(workloads: t.Sequence[Workload]) -> c.Iterator[str]:
    """EKS keeps one association for a service account."""
    keys = [(str(workload.get("namespace")), str(workload.get("service_account"))) for workload in workloads]
    for key in sorted(set(keys)):
        if keys.count(key) > 1:
            yield f"Workload {'/'.join(key)} is declared {keys.count(key)} times: declare a service account once."


def shared_role_problems(workloads: t.Sequence[Workload], field: str = "role") -> c.Iterator[str]:
    """Workloads that share a role may leave its settings to one of them, but must not contradict each other."""
    declared: dict[tuple[str, str, str], str] = {}
    for role in named_roles(workloads, field):
        for key in DECLARED_ROLE_KEYS:
            value = shown(role[key]) if role.get(key) is not None else None
            place = (str(role.get("account") or ""), str(role["name"]), key)
            if value is not None and declared.setdefault(place, value) != value:
                yield f"Role {role['name']} is declared with {key} {declared[place]} and with {value}: give it once."


def named_roles(workloads: t.Iterable[Workload], field: str) -> c.Iterator[Workload]:
    """The roles to be made of those workloads that are to be there."""
    for workload in workloads:
        role = workload.get(field)
        if is_present(workload) and isinstance(role, t.Mapping) and role.get("name"):
            yield role


def shared_target_problems(workloads: t.Sequence[Workload], account: str) -> c.Iterator[str]:
    """The same of target roles; and none of them can be a role that EKS assumes first.

    Account and path are part of the ARN that an association names, so that each workload says them for itself.
    """
    known = [
        {**workload, "target_role": {"path": "/", **target, "account": str(target.get("account") or account)}}
        for workload in workloads
        if isinstance(target := workload.get("target_role"), t.Mapping)
    ]
    yield from shared_role_problems(known, "target_role")
    sources = {str(role["name"]).lower() for role in named_roles(workloads, "role")}
    names = [str(role["name"]) for role in named_roles(known, "target_role") if role["account"] == account]
    for name in dict.fromkeys(names):
        if name.lower() in sources:
            yield f"Role {name} is declared as role and as target_role in one account: give one of them another name."


def letter_case_problems(workloads: t.Sequence[Workload]) -> c.Iterator[str]:
    """IAM keeps one role for a name, whatever the case of its letters."""
    spelt: dict[str, str] = {}
    for role in named_roles(workloads, "role"):
        name = str(role["name"])
        first = spelt.setdefault(name.lower(), name)
        if first != name:
            yield f"Roles {first} and {name} differ in upper and lower case only, for IAM they are one: spell it alike."


# --- what follows from a declaration ----------------------------------------------------------------------------------


def role_arn(workload: Workload, cluster_arn: str, role_arns: t.Mapping[str, str] | None = None) -> str:
    """The role that EKS assumes for a workload: the given one, the known one of that name, or the one to be made.

    :raises TrustError: when the account is needed and ``cluster_arn`` does not tell it.
    """
    role = workload["role"]
    if role.get("arn"):
        return str(role["arn"])
    known = (role_arns or {}).get(role["name"])
    return known or made_arn(role, Cluster.from_arn(cluster_arn))


def target_role_arn(workload: Workload, cluster_arn: str) -> str | None:
    """The target role of a workload, given or to be made; None where nothing is said about one.

    :raises TrustError: when the account is needed and ``cluster_arn`` does not tell it.
    """
    if workload.get("target_role"):
        return made_arn(workload["target_role"], Cluster.from_arn(cluster_arn))
    given: str | None = workload.get("target_role_arn")
    return given


def made_arn(role: t.Mapping[str, t.Any], cluster: Cluster) -> str:
    """The ARN of a role that is declared by name: in the cluster's account where nothing else is said."""
    account = role.get("account") or cluster.account
    return f"arn:{cluster.partition}:iam::{account}:role{role.get('path') or '/'}{role['name']}"


def associations(
    workloads: t.Iterable[Workload], cluster_arn: str, role_arns: t.Mapping[str, str] | None = None
) -> list[dict[str, t.Any]]:
    """The associations that workloads declare, as the module ``eks_pod_identity_associations`` takes them.

    :param role_arns: ARNs of roles by name, for those that are not under the declared path.
    :raises TrustError: when the account of a role is needed and ``cluster_arn`` does not tell it.
    """
    return [
        association(workload, cluster_arn, role_arns)
        if is_present(workload)
        else {**_picked(workload, ("namespace", "service_account")), "state": "absent"}
        for workload in workloads
    ]


def association(workload: Workload, cluster_arn: str, role_arns: t.Mapping[str, str] | None = None) -> dict[str, t.Any]:
    """The association of one workload that must be present.

    The role and the association are decided by the same declaration, so a setting that is not declared has its default
    in both: session tags on, no target role, no session policy. Only tags that are not declared stay as they are.
    """
    return {
        **_picked(workload, ("namespace", "service_account")),
        "role_arn": role_arn(workload, cluster_arn, role_arns),
        "target_role_arn": target_role_arn(workload, cluster_arn) or "",
        "disable_session_tags": tags_disabled(workload),
        "policy": workload.get("policy") or "",
        **_picked(workload, ("tags",)),
        "state": "present",
    }


def tags_disabled(workload: Workload) -> bool:
    """Whether the sessions of a workload have no session tags; EKS adds them by default."""
    return bool(workload.get("disable_session_tags"))


def _picked(workload: Workload, keys: t.Sequence[str]) -> dict[str, t.Any]:
    return {key: workload[key] for key in keys if key in workload}
