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

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.declaration import DeclarationError
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.declaration import read_workload
from ansible_collections.podidentity.eks.plugins.module_utils._eks.validation import NAMESPACE
from ansible_collections.podidentity.eks.plugins.module_utils._eks.validation import ROLE_ARN
from ansible_collections.podidentity.eks.plugins.module_utils._eks.validation import SERVICE_ACCOUNT
from ansible_collections.podidentity.eks.plugins.module_utils._eks.validation import SERVICE_ACCOUNT_LIMIT

if t.TYPE_CHECKING:
    import collections.abc as c

Workload = t.Mapping[str, t.Any]

WORKLOAD_KEYS = (
    "namespace",
    "service_account",
    "role",
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
TRUSTS = ("scoped", "open")
ROLE_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
ROLE_PATH = re.compile(r"/([!-~]{1,510}/)?")
POLICY = re.compile(r"(arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/([!-~]+/)?)?[\w+=,.@-]{1,128}", re.ASCII)
POLICY_ARN = re.compile(r"arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/([!-~]+/)?[\w+=,.@-]{1,128}", re.ASCII)
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
        problems += role_problems(workload.get("role"), where, account)
        problems += association_problems(workload, where)
        problems += prove_problems(workload)
        readable.append(workload)
    return [*problems, *duplicate_problems(readable), *shared_role_problems(readable)]


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
        yield (
            f"{where} has the namespace {shown(namespace)}: use 1 to 63 lower-case letters, digits and hyphens, a "
            "letter or digit at both ends."
        )
    if (
        not isinstance(service_account, str)
        or len(service_account) > SERVICE_ACCOUNT_LIMIT
        or not SERVICE_ACCOUNT.fullmatch(service_account)
    ):
        yield (
            f"{where} has the service_account {shown(service_account)}: use 1 to {SERVICE_ACCOUNT_LIMIT} lower-case "
            "letters, digits, hyphens and dots, a letter or digit at both ends of each part between dots."
        )


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


def made_role_problems(role: t.Mapping[str, t.Any], where: str) -> c.Iterator[str]:
    """What IAM would refuse when it makes the role."""
    if not ROLE_NAME.fullmatch(str(role["name"])):
        yield f"{where} has role.name {shown(role['name'])}: use 1 to 64 letters, digits and any of +=,.@_-"
    if role.get("path") and not ROLE_PATH.fullmatch(str(role["path"])):
        yield f"{where} has role.path {shown(role['path'])}: begin and end it with a slash, such as /workloads/."
    if role.get("trust", "scoped") not in TRUSTS:
        yield f"{where} has role.trust {shown(role['trust'])}: give scoped or open."
    policies = role.get("managed_policies") or []
    if not isinstance(policies, (list, tuple)):
        yield f"{where} has role.managed_policies {shown(policies)}: give a list of names or ARNs."
        policies = []
    for policy in policies:
        if not POLICY.fullmatch(str(policy)):
            yield f"{where} has the managed policy {shown(policy)}: give a policy's name or its ARN."
    if role.get("inline_policy") and not isinstance(role["inline_policy"], t.Mapping):
        yield f"{where} has role.inline_policy {shown(role['inline_policy'])}: give the policy document as a mapping."
    if role.get("boundary") and not POLICY_ARN.fullmatch(str(role["boundary"])):
        yield f"{where} has role.boundary {shown(role['boundary'])}: give the ARN of a managed policy."
    yield from duration_problems(role.get("max_session_duration"), where)


def duration_problems(seconds: object, where: str) -> c.Iterator[str]:
    """IAM allows sessions of one hour to twelve."""
    low, high = SESSION_SECONDS
    if seconds is not None and not (isinstance(seconds, int) and low <= seconds <= high):
        yield f"{where} has role.max_session_duration {shown(seconds)}: give {low} to {high} seconds."


def association_problems(workload: Workload, where: str) -> c.Iterator[str]:
    """Rules between the fields of an association (EKS API reference, CreatePodIdentityAssociation)."""
    target = workload.get("target_role_arn")
    if target and not ROLE_ARN.fullmatch(str(target)):
        yield f"{where} has target_role_arn {shown(target)}: give an IAM role's ARN in full."
    if workload.get("policy") and not workload.get("disable_session_tags"):
        yield f"{where} has a session policy: EKS takes one only with disable_session_tags: true."


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


def shared_role_problems(workloads: t.Sequence[Workload]) -> c.Iterator[str]:
    """Workloads that share a role may leave its settings to one of them, but must not contradict each other."""
    declared: dict[tuple[str, str], str] = {}
    for workload in workloads:
        role = workload.get("role")
        if not isinstance(role, t.Mapping) or not role.get("name"):
            continue
        for key in DECLARED_ROLE_KEYS:
            value = shown(role[key]) if role.get(key) is not None else None
            if value is not None and declared.setdefault((str(role["name"]), key), value) != value:
                first = declared[str(role["name"]), key]
                yield f"Role {role['name']} is declared with {key} {first} and with {value}: give it once."
