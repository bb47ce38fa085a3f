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

from ansible_collections.podidentity.eks.plugins.module_utils._eks.validation import NAMESPACE
from ansible_collections.podidentity.eks.plugins.module_utils._eks.validation import NAMESPACE_RULE
from ansible_collections.podidentity.eks.plugins.module_utils._eks.validation import ROLE_ARN
from ansible_collections.podidentity.eks.plugins.module_utils._eks.validation import SERVICE_ACCOUNT
from ansible_collections.podidentity.eks.plugins.module_utils._eks.validation import SERVICE_ACCOUNT_LIMIT
from ansible_collections.podidentity.eks.plugins.module_utils._eks.validation import SERVICE_ACCOUNT_RULE
from ansible_collections.podidentity.eks.plugins.module_utils._workload import aws_calls
from ansible_collections.podidentity.eks.plugins.module_utils._workload import spec
from ansible_collections.podidentity.eks.plugins.module_utils._workload.prove import DeclarationError
from ansible_collections.podidentity.eks.plugins.module_utils._workload.prove import read_workload
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import Workload
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import is_present
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import tags_disabled

if t.TYPE_CHECKING:
    import collections.abc as c

WORKLOAD_KEYS = tuple(spec.WORKLOAD)
ROLE_KEYS = tuple(spec.ROLE)
#: A target role trusts its source role alone, so that there is no ``trust`` to choose; it may be in another account.
TARGET_ROLE_KEYS = tuple(spec.TARGET_ROLE)
STATES = tuple(spec.WORKLOAD["state"]["choices"])
TRUSTS = tuple(spec.ROLE["trust"]["choices"])
#: Keys of other tools for what has another name here.
ELSEWHERE = {
    "create_service_account": "service_account_managed",
    "createServiceAccount": "service_account_managed",
    "serviceAccount": "service_account",
    "serviceAccountName": "service_account",
    "roleArn": "role",
    "role_arn": "role",
    "permissionPolicyARNs": "managed_policies",
    "policy_arns": "managed_policies",
    "permissions_boundary": "boundary",
    "trust_policy": "trust",
}
#: How much of a value a message shows.
SHOWN_CHARACTERS = 100
ACCOUNT = re.compile(r"[0-9]{12}")
ROLE_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
ROLE_PATH = re.compile(r"/([!-~]{1,510}/)?")
POLICY = re.compile(r"(arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/([!-~]+/)?)?[\w+=,.@-]{1,128}", re.ASCII)
POLICY_ARN = re.compile(r"arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/([!-~]+/)?[\w+=,.@-]{1,128}", re.ASCII)
#: IAM's own patterns and limits (CreateRole, ``Description`` and ``Tag``).
#: What IAM's StringLike takes, and no name in Kubernetes has.
WILDCARD = re.compile(r"[*?]")
EXACT_NAMES = (
    "an association takes exact names, so declare each workload. A role can admit a pattern by its trust policy "
    "(StringLike on aws:RequestTag/kubernetes-namespace or -service-account); give such a role by role.arn."
)
DESCRIPTION = re.compile("[\t\n\r\x20-\x7e\xa1-\xff]{0,1000}")
TAG_CHARACTERS = "_.:/=+-@"
SESSION_SECONDS = (3600, 43200)
DECLARED_ROLE_KEYS = ("path", "description", "inline_policy", "boundary", "max_session_duration", "tags")


def shown(value: object) -> str:
    """A value as a message shows it, cut where it is long."""
    text = json.dumps(readable(value), ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def readable(value: object) -> object:
    """A value with texts for keys, of which JSON takes no others."""
    if isinstance(value, t.Mapping):
        return {str(key): readable(item) for key, item in value.items()}
    return [readable(item) for item in value] if isinstance(value, (list, tuple)) else value


def workload_problems(workloads: object, account: str = "") -> list[str]:
    """Every problem of a list of workloads. With an account id, given roles must be of that account."""
    if not isinstance(workloads, (list, tuple)):
        return [f"The workloads are {shown(workloads)}: give a list, one item for each service account."]
    problems: list[str] = []
    readable_ones: list[Workload] = []
    for number, declared in enumerate(workloads, start=1):
        if not isinstance(declared, t.Mapping):
            where = f"Workload number {number}"
            problems.append(f"{where} is {shown(declared)}: give a mapping with namespace, service_account and role.")
            continue
        workload = as_meant(declared, WORKLOAD_KEYS)
        where = place(workload, number)
        problems += unknown_keys(declared, WORKLOAD_KEYS, where)
        problems += one_workload_problems(workload, where, account)
        readable_ones.append(as_readable(workload))
    return [
        *problems,
        *duplicate_problems(readable_ones),
        *shared_role_problems(readable_ones),
        *shared_target_problems(readable_ones, account),
        *letter_case_problems(readable_ones),
    ]


def one_workload_problems(workload: Workload, where: str, account: str) -> c.Iterator[str]:
    """Every problem of one workload by itself."""
    yield from key_problems(workload, where)
    yield from state_problems(workload, where)
    if is_present(workload) or workload.get("role") is not None:
        yield from role_problems(workload.get("role"), where, account)
    yield from target_role_problems(workload, where)
    yield from association_problems(workload, where)
    yield from service_account_problems(workload, where)
    yield from prove_problems(workload)


def as_readable(workload: Workload) -> Workload:
    """A workload without roles that are no mappings; that was said of each by itself."""
    wrong = [key for key in ("role", "target_role") if not isinstance(workload.get(key) or {}, t.Mapping)]
    return {key: value for key, value in workload.items() if key not in wrong}


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
    return {key: meant_by(key, known) for key in unknown}


def meant_by(key: object, known: t.Sequence[str]) -> str | None:
    """The key that was probably meant, None where none is like it."""
    if not isinstance(key, str):
        return None
    if ELSEWHERE.get(key) in known:
        return ELSEWHERE[key]
    return next(iter(difflib.get_close_matches(key, known, n=1)), None)


def as_meant(given: t.Mapping[str, t.Any], known: t.Sequence[str]) -> dict[str, t.Any]:
    """A mapping with misspelt keys put right, so that a typing error is told once and not as a missing key again."""
    meant = {key: right for key, right in misspelt(given, known).items() if right and right not in given}
    return {meant.get(key, key): value for key, value in given.items()}


def unknown_keys(given: t.Mapping[str, t.Any], known: t.Sequence[str], where: str) -> c.Iterator[str]:
    """Keys that nothing reads."""
    for key, meant in misspelt(given, known).items():
        if not isinstance(key, str):
            yield (
                f"{where} has the key {shown(key)}, which is no text: YAML reads words such as yes and off as true and "
                "false, so put the key in quotes, or take it out."
            )
            continue
        right = f"did you mean {meant}?" if meant else f"known are {', '.join(known)}."
        yield f"{where} has the unknown key {shown(key)}: {right}"


def key_problems(workload: Workload, where: str) -> c.Iterator[str]:
    """A namespace or service account that Kubernetes would refuse, so that no pod could ever match it."""
    namespace, service_account = workload.get("namespace"), workload.get("service_account")
    if not isinstance(namespace, str):
        yield f"{where} has the namespace {shown(namespace)}: give a text, in quotes where it looks like a number."
    elif WILDCARD.search(namespace):
        yield f"{where} has the namespace {shown(namespace)}: {EXACT_NAMES}"
    elif not NAMESPACE.fullmatch(namespace):
        yield f"{where} has the namespace {shown(namespace)}: {NAMESPACE_RULE}"
    if not isinstance(service_account, str):
        yield (
            f"{where} has the service_account {shown(service_account)}: give a text, in quotes where it looks like a "
            "number."
        )
    elif WILDCARD.search(service_account):
        yield f"{where} has the service_account {shown(service_account)}: {EXACT_NAMES}"
    elif len(service_account) > SERVICE_ACCOUNT_LIMIT or not SERVICE_ACCOUNT.fullmatch(service_account):
        yield f"{where} has the service_account {shown(service_account)}: {SERVICE_ACCOUNT_RULE}"


def role_problems(role: object, where: str, account: str) -> c.Iterator[str]:
    """A role that is neither to be made here (by name) nor given (by ARN), or both."""
    if role is not None and not isinstance(role, t.Mapping):
        yield f"{where} has the role {shown(role)}: give a mapping with name (created here) or arn (an existing role)."
        return
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
    others = sorted(str(key) for key in role if key in ROLE_KEYS and key != "arn")
    if others:
        yield f"{where} has role.arn, so its role is used as it is: take {', '.join(others)} out, or give role.name."


def made_role_problems(role: t.Mapping[str, t.Any], where: str, key: str = "role") -> c.Iterator[str]:
    """What IAM would refuse when it makes the role; ``key`` is where the workload has it."""
    if not isinstance(role["name"], str):
        yield f"{where} has {key}.name {shown(role['name'])}: give a text, in quotes where it looks like a number."
    elif not ROLE_NAME.fullmatch(role["name"]):
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


def dotted(key: str) -> str:
    """The key before another one in a message."""
    return f"{key}." if key else ""


def tags_problems(tags: object, where: str, key: str) -> c.Iterator[str]:
    """Tags that are none, or have characters that IAM takes in no tag."""
    if tags is None:
        return
    if not isinstance(tags, t.Mapping):
        yield f"{where} has {dotted(key)}tags {shown(tags)}: give a mapping of keys to values."
        return
    for name, value in tags.items():
        if value is None:
            yield f'{where} has no value for {shown(name)} in {dotted(key)}tags: give a text, "" for an empty one.'
    for text in (str(one) for pair in tags.items() for one in pair if one is not None):
        if any(unicodedata.category(one)[0] not in "LNZ" and one not in TAG_CHARACTERS for one in text):
            allowed = f"letters, digits, spaces and any of {TAG_CHARACTERS}"
            yield f"{where} has {shown(text)} in {dotted(key)}tags: use {allowed}"


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
    is_whole = isinstance(seconds, int) and not isinstance(seconds, bool)
    if seconds is not None and not (is_whole and low <= t.cast("int", seconds) <= high):
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
    yield from tags_problems(workload.get("tags"), where, "")
    for key in ("disable_session_tags",):
        if not isinstance(workload.get(key, False), bool):
            yield f"{where} has {key} {shown(workload[key])}: give true or false."
    if not isinstance(workload.get("policy") or {}, (t.Mapping, str)):
        yield f"{where} has the policy {shown(workload['policy'])}: give the policy document as a mapping."
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
        read = read_workload(workload, "")
    except DeclarationError as error:
        yield f"Workload {error}"
    else:
        yield from aws_calls.problems(read.calls, f"Workload {read}")


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
