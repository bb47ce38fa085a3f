# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Access entries: what is declared, what is there, the plan between the two, and the calls that carry it out.

Rules that come from AWS are those of the EKS API reference (CreateAccessEntry, AssociateAccessPolicy) and of the EKS
user guide's pages "Create access entries" and "Associate access policies with access entries".
"""

from __future__ import annotations

import dataclasses
import functools
import re
import time
import typing as t

from . import codes
from .cluster import require
from .common import MOST_RACES
from .common import Action
from .common import AnsibleEKSError
from .common import Change
from .common import calling
from .common import error_of
from .common import finding
from .common import first_tags
from .common import perform
from .common import plan_tags
from .common import refuse
from .common import text_tags
from .common import to_ansible
from .common import without_none
from .validation import cluster_name_problems
from .validation import quoted
from .validation import tags_problems
from .waiters import intervals
from .waiters import while_unseen

if t.TYPE_CHECKING:
    import collections.abc as c
    import datetime

    from mypy_boto3_eks.client import EKSClient
    from mypy_boto3_iam.client import IAMClient

Entry = t.Mapping[str, t.Any]

STANDARD = "STANDARD"
#: The types that access policies can be associated with; a node of Auto Mode needs AmazonEKSAutoNodePolicy
#: (https://docs.aws.amazon.com/eks/latest/userguide/create-node-class.html).
POLICY_TYPES = (STANDARD, "EC2")
TYPES = (STANDARD, "EC2", "EC2_LINUX", "EC2_WINDOWS", "FARGATE_LINUX", "HYBRID_LINUX", "HYPERPOD_LINUX")
#: Types of nodes that are known by the name of their session, and not by that of an EC2 instance.
NAMED_BY_SESSION = ("FARGATE_LINUX", "HYBRID_LINUX")
#: The group that EKS gives an entry for nodes.
NODES_GROUP = "system:nodes"

PRINCIPAL_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):iam::(?P<account>[0-9]{12}):(?P<kind>role|user)/"
    r"(?P<path>[!-~]{1,510}/)?(?P<name>[\w+=,.@-]{1,64})"
)
SESSION_ARN = re.compile(r"arn:(aws[a-z-]*):sts::([0-9]{12}):assumed-role/([^/]+)/.+")
#: IAM keeps the roles of AWS services below this path.
SERVICE_LINKED_PATH = "aws-service-role/"
POLICY_ARN = re.compile(r"arn:(?P<partition>aws[a-z-]*):eks::aws:cluster-access-policy/(?P<name>\w+)")
POLICY_NAME = re.compile(r"\w+")
#: A namespace's name, in which ``*`` stands for anything.
NAMESPACES = re.compile(r"[a-z0-9*]([-a-z0-9*]{0,61}[a-z0-9*])?")
#: How a user name must not begin.
RESERVED = ("system:", "eks:", "aws:", "amazon:", "iam:")
SESSION_NAME = re.compile(r"\{\{SessionName(Raw)?\}\}")

# EKS's messages drift, so these ask for no more than what makes them different from others.
MODE_REFUSED = re.compile(r"\bauthentication mode\b", re.IGNORECASE)
PRINCIPAL_NOT_SEEN = re.compile(r"\binvalid principal\b|\bprincipalArn\b.*\binvalid\b", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AccessPolicy:
    """An access policy and where it counts."""

    arn: str
    #: Empty for the whole cluster.
    namespaces: frozenset[str] = frozenset()

    def render(self) -> dict[str, t.Any]:
        """As our modules return it."""
        name = self.arn.rpartition("/")[2]
        return {"policy": name, "policy_arn": self.arn, "namespaces": sorted(self.namespaces)}

    @property
    def scope(self) -> dict[str, t.Any]:
        """As EKS wants it."""
        if not self.namespaces:
            return {"type": "cluster"}
        return {"type": "namespace", "namespaces": sorted(self.namespaces)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class AccessEntrySpec:
    """What is declared about an access entry; ``None`` leaves a field as it is, or to EKS's default in a new one."""

    cluster_name: str
    principal_arn: str
    present: bool = True
    type: str | None = None
    kubernetes_groups: t.Sequence[str] | None = None
    user_name: str | None = None
    policies: t.Sequence[AccessPolicy] | None = None
    #: Whether policies that are not declared go.
    purge_policies: bool = True
    tags: t.Mapping[str, str] | None = None
    purge_tags: bool = True
    #: Tags that it gets when it is made, and never later.
    creation_tags: t.Mapping[str, str] | None = None
    #: The cluster as a check run predicts it.
    planned_cluster: t.Mapping[str, t.Any] | None = None

    def __str__(self) -> str:
        return f"access entry of {self.principal_arn} in cluster {self.cluster_name}"

    @property
    def names(self) -> dict[str, str]:
        """What each call on the entry is told."""
        return {"clusterName": self.cluster_name, "principalArn": self.principal_arn}

    @property
    def principal(self) -> re.Match[str]:
        """The parts of the ARN, once :func:`problems` has none with it."""
        return t.cast("re.Match[str]", PRINCIPAL_ARN.fullmatch(self.principal_arn))


def spec_from(params: t.Mapping[str, t.Any]) -> AccessEntrySpec:
    """The declaration in the options of the module ``eks_access_entry``."""
    principal = PRINCIPAL_ARN.fullmatch(params["principal_arn"])
    prefix = f"arn:{principal['partition'] if principal else 'aws'}:eks::aws:cluster-access-policy/"
    policies = None if params["policies"] is None else [_policy_from(each, prefix) for each in params["policies"]]
    changed = {
        "policies": policies,
        "tags": text_tags(params["tags"]),
        "creation_tags": text_tags(params["creation_tags"]),
    }
    fields = {field.name for field in dataclasses.fields(AccessEntrySpec)}
    plain = {option: value for option, value in params.items() if option in fields}
    return AccessEntrySpec(present=params["state"] == "present", **{**plain, **changed})


def _policy_from(declared: t.Mapping[str, t.Any], prefix: str) -> AccessPolicy:
    policy = declared["policy"]
    arn = f"{prefix}{policy}" if POLICY_NAME.fullmatch(policy) else policy
    return AccessPolicy(arn=arn, namespaces=frozenset(declared["namespaces"]))


# --- what is declared -------------------------------------------------------------------------------------------------


def problems(spec: AccessEntrySpec) -> c.Iterator[str]:
    """Everything that cannot be right about what is declared, one sentence each, without asking AWS."""
    yield from cluster_name_problems(spec.cluster_name)
    yield from _principal_problems(spec)
    if spec.type is not None:
        yield from _type_problems(spec, spec.type)
    for group in spec.kubernetes_groups or ():
        if not group or group.startswith("system:"):
            yield (
                f"kubernetes_groups of {spec} hold {quoted(group)}: give a group of your own, since EKS keeps those "
                'that begin with "system:" to itself.'
            )
    yield from _user_name_problems(spec)
    yield from _policy_problems(spec)
    yield from tags_problems(first_tags(spec.tags, spec.creation_tags), str(spec))


def _principal_problems(spec: AccessEntrySpec) -> c.Iterator[str]:
    principal, session = PRINCIPAL_ARN.fullmatch(spec.principal_arn), SESSION_ARN.fullmatch(spec.principal_arn)
    given = f"principal_arn {quoted(spec.principal_arn)}"
    if session:
        partition, account, name = session.groups()
        yield (
            f"{given} is a session of a role: give the ARN of the role, "
            f'"arn:{partition}:iam::{account}:role/{name}", with the role\'s path before the name if it has one.'
        )
    elif not principal:
        yield (
            f'{given} is no ARN of an IAM role or user: give it in full, such as "arn:aws:iam::111122223333:role/name".'
        )
    elif principal["kind"] == "role" and (principal["path"] or "").startswith(SERVICE_LINKED_PATH):
        yield f"{given} is a service-linked role: EKS makes the access entries of those itself, so name another role."


def _type_problems(spec: AccessEntrySpec, kind: str) -> c.Iterator[str]:
    """What an entry of this type cannot have."""
    if kind != STANDARD:
        for option in ("kubernetes_groups", "user_name"):
            if getattr(spec, option):
                yield f"{option} of {spec} cannot be set, since its type is {kind}: only STANDARD ones have it."
        if spec.principal_arn.split(":")[-1].startswith("user/"):
            yield f"type of {spec} cannot be {kind}: that is for the roles of nodes, a user needs STANDARD."
    if kind not in POLICY_TYPES and spec.policies:
        yield f"policies of {spec} cannot be set, since its type is {kind}: only STANDARD and EC2 ones have them."


def _user_name_problems(spec: AccessEntrySpec) -> c.Iterator[str]:
    if spec.user_name is None:
        return
    if not spec.user_name or spec.user_name.startswith(RESERVED):
        yield (
            f"user_name {quoted(spec.user_name)} of {spec} cannot be right: it is not empty and does not begin with "
            f"{', '.join(RESERVED)}."
        )
    session_name = SESSION_NAME.search(spec.user_name)
    if session_name and ":" not in spec.user_name[: session_name.start()]:
        yield (
            f"user_name {quoted(spec.user_name)} of {spec} has no colon before {session_name.group()}: "
            "EKS wants one somewhere before it."
        )


def _policy_problems(spec: AccessEntrySpec) -> c.Iterator[str]:
    policies = spec.policies or ()
    arns = [policy.arn for policy in policies]
    principal = PRINCIPAL_ARN.fullmatch(spec.principal_arn)
    for arn in dict.fromkeys(arns):
        found = POLICY_ARN.fullmatch(arn)
        if not found:
            yield (
                f"policies of {spec} hold {quoted(arn)}, which is no access policy of EKS: give its name, such as "
                "AmazonEKSViewPolicy, or its ARN, such as "
                '"arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy".'
            )
        elif principal and principal["partition"] != found["partition"]:
            yield (
                f"policies of {spec} hold {quoted(arn)}, but the principal is in the partition "
                f"{principal['partition']}: give the policy's name alone."
            )
        if arns.count(arn) > 1:
            yield (
                f"policies of {spec} hold {quoted(arn.rpartition('/')[2])} more than once: "
                "leave one, with all its namespaces."
            )
    for namespace in sorted({namespace for policy in policies for namespace in policy.namespaces}):
        if not NAMESPACES.fullmatch(namespace):
            yield (
                f"policies of {spec} are for the namespace {quoted(namespace)}: use 1 to 63 lower-case letters, "
                'digits and hyphens, and "*" for any of them.'
            )


# --- what is there ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Observed:
    """An access entry as it is, and what is known of its principal."""

    #: None when there is none.
    entry: Entry | None = None
    #: Whether it was made for a principal that is gone since, and had the name of the one of today.
    stale: bool = False
    #: The cluster's account, None when the caller may not know.
    account: str | None = None
    warnings: tuple[str, ...] = ()


@finding("describe the access entry")
def describe(client: EKSClient, spec: AccessEntrySpec) -> t.Mapping[str, t.Any]:
    """The access entry as EKS answers it, or None."""
    return client.describe_access_entry(clusterName=spec.cluster_name, principalArn=spec.principal_arn)["accessEntry"]


@finding("list the access policies of the access entry")
def associated_policies(client: EKSClient, spec: AccessEntrySpec) -> list[AccessPolicy]:
    """The access policies of an entry, None when there is no such entry."""
    paginator = client.get_paginator("list_associated_access_policies")
    pages = paginator.paginate(clusterName=spec.cluster_name, principalArn=spec.principal_arn)
    return [
        AccessPolicy(arn=policy["policyArn"], namespaces=frozenset(policy["accessScope"].get("namespaces", ())))
        for page in pages
        for policy in page["associatedAccessPolicies"]
    ]


@calling("list the access policies of EKS")
def available_policies(client: EKSClient) -> set[str]:
    """The ARNs of all access policies that there are."""
    pages = client.get_paginator("list_access_policies").paginate()
    return {policy["arn"] for page in pages for policy in page["accessPolicies"]}


@calling("look at the principal")
def describe_principal(iam: IAMClient, kind: str, name: str) -> t.Mapping[str, t.Any]:
    """The role or user of this name in the caller's account."""
    if kind == "role":
        return iam.get_role(RoleName=name)["Role"]
    return iam.get_user(UserName=name)["User"]


def normalized(entry: t.Mapping[str, t.Any], policies: t.Iterable[AccessPolicy] | None) -> dict[str, t.Any]:
    """An access entry as our module returns it.

    :param policies: None when nobody looked.
    """
    result = to_ansible(entry)
    result["tags"] = result.get("tags") or {}
    result["kubernetes_groups"] = result.get("kubernetes_groups") or []
    result["policies"] = None if policies is None else _rendered(policies)
    return result


def _rendered(policies: t.Iterable[AccessPolicy]) -> list[dict[str, t.Any]]:
    return [policy.render() for policy in sorted(policies, key=lambda policy: policy.arn)]


def observe(client: EKSClient, spec: AccessEntrySpec, iam: t.Callable[[], IAMClient] | None) -> Observed:
    """The entry with no more than what the plan needs to know.

    :param iam: makes the client that looks at the principal; None does not look.
    :raises AnsibleEKSError: also when there is no such cluster, or no such principal.
    """
    found = _describe_if_possible(client, spec)
    if not spec.present:
        return Observed(entry=None if found is None else normalized(found, None))
    account = _account(client, spec, found)
    created, unknown = (None, "") if iam is None else _principal_created(iam(), spec, account)
    stale = found is not None and created is not None and created > found["createdAt"]
    warnings = [f"The principal of the {spec} was not looked at, since {unknown}."] if unknown else []
    if found is None:
        return Observed(account=account, warnings=tuple(warnings))
    policies = None
    if found["type"] in POLICY_TYPES and (stale or spec.policies is not None):
        policies = associated_policies(client, spec)
        if policies is None:
            # Somebody else has deleted it since the first call.
            return observe(client, spec, iam)
    if stale:
        warnings.append(
            f"The {spec} lets nobody in, since it was made for another {spec.principal['kind']} of the same name: it "
            f"is of {found['createdAt']:%Y-%m-%d %H:%M:%S} and the {spec.principal['kind']} of "
            f"{created:%Y-%m-%d %H:%M:%S}. It is deleted and made anew."
        )
    return Observed(entry=normalized(found, policies), stale=stale, account=account, warnings=tuple(warnings))


def _describe_if_possible(client: EKSClient, spec: AccessEntrySpec) -> t.Mapping[str, t.Any] | None:
    """The entry or None; a cluster without access entries is an error only where one is wanted."""
    try:
        return describe(client, spec)
    except AnsibleEKSError as error:
        if not MODE_REFUSED.search(error_of(error)[1]):
            raise
        if not spec.present:
            return None
        raise AnsibleEKSError(
            f"Cluster {spec.cluster_name} has no access entries, since its authentication mode is CONFIG_MAP: set "
            "authentication_mode of eks_cluster to API_AND_CONFIG_MAP, which keeps what the ConfigMap aws-auth "
            "allows, or to API",
            exception=error.exception,
        ) from error


def _account(client: EKSClient, spec: AccessEntrySpec, found: t.Mapping[str, t.Any] | None) -> str | None:
    """The cluster's account; only for a new entry somebody has to ask for it."""
    if found is not None:
        return str(found["accessEntryArn"]).split(":")[4]
    try:
        arn = require(client, spec.cluster_name, spec.planned_cluster).get("arn")
        return str(arn).split(":")[4] if arn else None
    except AnsibleEKSError as error:
        if error_of(error)[0] in codes.ACCESS_DENIED:
            return None
        raise


def _principal_created(
    iam: IAMClient, spec: AccessEntrySpec, account: str | None
) -> tuple[datetime.datetime | None, str]:
    """When the principal was made, in whole seconds as IAM keeps it; or None, and why that is unknown.

    :raises AnsibleEKSError: when it does not exist.
    """
    principal = spec.principal
    elsewhere = f"it is in the account {principal['account']}"
    if account not in (None, principal["account"]):
        return None, elsewhere
    missing = f"principal_arn {quoted(spec.principal_arn)} names no IAM {principal['kind']}"
    try:
        found = describe_principal(iam, principal["kind"], principal["name"])
    except AnsibleEKSError as error:
        if error_of(error)[0] != "NoSuchEntity":
            return None, f"IAM did not answer: {error.exception}"
        if account is None:
            return None, "the caller's account has none of that name"
        raise AnsibleEKSError(f"{missing}: create it first, or correct the ARN.") from error
    if found["Arn"].split(":")[4] != principal["account"]:
        return None, elsewhere
    if found["Arn"] != spec.principal_arn:
        raise AnsibleEKSError(f"{missing}: there is {quoted(found['Arn'])}, if that is meant.")
    return found["CreateDate"], ""


# --- the plan between the two -----------------------------------------------------------------------------------------


def plan(before: Entry | None, spec: AccessEntrySpec, *, stale: bool = False, account: str | None = None) -> Change:
    """What has to happen.

    :param stale: whether ``before`` was made for a principal that is gone, so that it is deleted and made anew.
    :param account: the cluster's, None when it is unknown.
    :raises AnsibleEKSError: when EKS has no way from here to there.
    """
    if not spec.present:
        return Change(before, None, () if before is None else (Action("delete_access_entry", spec.names),))
    refuse(_obstacles(before, spec, stale, account))
    if before is None:
        return _plan_creation(spec)
    return _plan_replacement(before, spec) if stale else _plan_update(before, spec)


def _obstacles(before: Entry | None, spec: AccessEntrySpec, stale: bool, account: str | None) -> c.Iterator[str]:
    """Why EKS cannot go from here to there, one sentence each."""
    kind = _type(before, spec)
    if before is not None and not stale and kind != before["type"]:
        yield (
            f"type of {spec} is {before['type']} and cannot become {kind}: EKS sets it at creation only, so delete "
            "the entry with state=absent, then create it again."
        )
    yield from _type_problems(spec, kind)
    if kind != STANDARD and account not in (None, spec.principal["account"]):
        yield f"type of {spec} cannot be {kind}: the roles of nodes are in the cluster's account {account}."


def _type(before: Entry | None, spec: AccessEntrySpec) -> str:
    return spec.type or (STANDARD if before is None else before["type"])


def _plan_creation(spec: AccessEntrySpec) -> Change:
    parameters = without_none(
        {
            **spec.names,
            "type": spec.type,
            "kubernetesGroups": list(dict.fromkeys(spec.kubernetes_groups or ())) or None,
            "username": spec.user_name,
            "tags": first_tags(spec.tags, spec.creation_tags) or None,
        }
    )
    kind = spec.type or STANDARD
    expected = {
        "kubernetes_groups": [] if kind == STANDARD else [NODES_GROUP],
        "username": default_user_name(spec.principal_arn, kind),
        "type": kind,
        "tags": {},
        **to_ansible(parameters),
        "policies": _rendered(spec.policies or ()),
    }
    actions = (Action("create_access_entry", parameters), *(_association(spec, each) for each in spec.policies or ()))
    return Change(None, expected, actions)


def default_user_name(principal_arn: str, kind: str) -> str:
    """The name that EKS gives a principal in Kubernetes where none is declared.

    Of nodes it is made of their EC2 instance or session, of a role its session without the role's path, and of a user
    its ARN: "Create access entries" in the EKS user guide
    (https://docs.aws.amazon.com/eks/latest/userguide/creating-access-entries.html).
    """
    if kind != STANDARD:
        return "system:node:{{SessionName}}" if kind in NAMED_BY_SESSION else "system:node:{{EC2PrivateDNSName}}"
    principal = PRINCIPAL_ARN.fullmatch(principal_arn)
    if principal is None or principal["kind"] == "user":
        return principal_arn
    partition, account, name = principal["partition"], principal["account"], principal["name"]
    return f"arn:{partition}:sts::{account}:assumed-role/{name}/{{{{SessionName}}}}"


def _plan_replacement(before: Entry, spec: AccessEntrySpec) -> Change:
    """A new entry with all that the old one had and that is not declared otherwise."""
    kind = _type(before, spec)
    same = kind == before["type"]
    tags, _calls = plan_tags(before["access_entry_arn"], before["tags"], spec.tags, spec.purge_tags, spec.creation_tags)
    whole = dataclasses.replace(
        spec,
        type=kind,
        **_kept_names(before, spec) if same and kind == STANDARD else {},
        policies=_policies(before, spec) if same else spec.policies,
        # Nobody can set those of AWS.
        tags={key: value for key, value in tags.items() if not key.startswith("aws:")},
        creation_tags=None,
    )
    creation = _plan_creation(whole)
    actions = (Action("delete_access_entry", spec.names), *creation.actions)
    return Change({**before, "stale": True}, creation.after, actions)


def _kept_names(before: Entry, spec: AccessEntrySpec) -> dict[str, t.Any]:
    groups = before["kubernetes_groups"] if spec.kubernetes_groups is None else spec.kubernetes_groups
    return {"kubernetes_groups": groups, "user_name": spec.user_name or before["username"]}


def _plan_update(before: Entry, spec: AccessEntrySpec) -> Change:
    arn, declared = before["access_entry_arn"], spec.tags
    tags, actions = plan_tags(arn, before["tags"], declared, spec.purge_tags, spec.creation_tags)
    groups, username = before["kubernetes_groups"], spec.user_name or before["username"]
    # Groups have no order, and those of nodes are EKS's own.
    if spec.kubernetes_groups is not None and before["type"] == STANDARD and {*spec.kubernetes_groups} != {*groups}:
        groups = list(dict.fromkeys(spec.kubernetes_groups))
    if groups != before["kubernetes_groups"] or username != before["username"]:
        # Both, since AWS does not say whether one that is left out stays.
        both = {"kubernetesGroups": groups, "username": username}
        actions += (Action("update_access_entry", {**spec.names, **both}),)
    changed = {"tags": tags, "kubernetes_groups": groups, "username": username}
    if spec.policies is not None and before["policies"] is not None:
        actions += _policy_actions(before, spec)
        changed["policies"] = _rendered(_policies(before, spec))
    return Change(before, {**before, **changed} if actions else before, actions)


def _policies(before: Entry, spec: AccessEntrySpec) -> list[AccessPolicy]:
    """The policies that the entry will have."""
    old = {policy.arn: policy for policy in _old_policies(before)}
    if spec.policies is None:
        return list(old.values())
    wanted = {policy.arn: policy for policy in spec.policies}
    return list(wanted.values() if spec.purge_policies else {**old, **wanted}.values())


def _old_policies(before: Entry) -> list[AccessPolicy]:
    return [
        AccessPolicy(arn=policy["policy_arn"], namespaces=frozenset(policy["namespaces"]))
        for policy in before["policies"] or ()
    ]


def _policy_actions(before: Entry, spec: AccessEntrySpec) -> tuple[Action, ...]:
    """What is missing first, so that nobody is shut out in between."""
    old, new = _old_policies(before), _policies(before, spec)
    kept = {policy.arn for policy in new}
    gone = [policy.arn for policy in old if policy.arn not in kept]
    return (
        *(_association(spec, policy) for policy in new if policy not in old),
        *(Action("disassociate_access_policy", {**spec.names, "policyArn": arn}) for arn in gone),
    )


def _association(spec: AccessEntrySpec, policy: AccessPolicy) -> Action:
    parameters = {**spec.names, "policyArn": policy.arn, "accessScope": policy.scope}
    return Action("associate_access_policy", parameters)


def refuse_unknown_policies(client: EKSClient, spec: AccessEntrySpec, change: Change) -> tuple[str, ...]:
    """Refuse policies that a plan would associate anew and that EKS does not have; asked only where there are new ones.

    :returns: A warning where the caller may not list them. EKS then tells, after the entry is made.
    """
    old = {policy.arn for policy in _old_policies(change.before)} if change.before else set[str]()
    new = [a.parameters["policyArn"] for a in change.actions if a.operation == "associate_access_policy"]
    if not set(new) - old:
        return ()
    try:
        available = available_policies(client)
    except AnsibleEKSError as error:
        if error_of(error)[0] in codes.ACCESS_DENIED:
            return (f"Whether EKS has the policies of {spec} was not looked at: {error_of(error)[1]}",)
        raise
    names = ", ".join(sorted(arn.rpartition("/")[2] for arn in available))
    refuse(
        f"policies of {spec} hold {quoted(arn.rpartition('/')[2])}, which EKS does not have: it has {names}."
        for arn in new
        if arn not in available
    )
    return ()


# --- carrying it out --------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be made so, and with what."""

    client: EKSClient
    #: Makes the client that looks at the principal; None does not look.
    iam: t.Callable[[], IAMClient] | None
    spec: AccessEntrySpec
    check_mode: bool
    #: Seconds to go on while EKS does not see a new principal.
    propagation_timeout: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was done, or in check mode would be."""

    change: Change
    #: As it is then, None when there is none.
    entry: Entry | None
    stale: bool
    warnings: tuple[str, ...]


def ensure(task: Task) -> Outcome:
    """Make the access entry what is declared.

    What others do to it between looking and writing is looked at again.

    :raises AnsibleEKSError: for whatever goes wrong; nothing is written after a problem that can be found before.
    """
    spec, done = task.spec, list[Action]()
    refuse(problems(spec))
    first: tuple[Observed, Change] | None = None
    for tries, pause in enumerate(intervals(), start=1):
        seen = observe(task.client, spec, task.iam)
        change = plan(seen.entry, spec, stale=seen.stale, account=seen.account)
        warnings = seen.warnings + refuse_unknown_policies(task.client, spec, change)
        first = first or (dataclasses.replace(seen, warnings=warnings), change)
        if task.check_mode:
            return Outcome(change=change, entry=change.after, stale=seen.stale, warnings=warnings)
        try:
            entry = _carry_out(task, change, done)
        except AnsibleEKSError as error:
            if tries < MOST_RACES and error_of(error)[0] in (codes.IN_USE, *codes.NOT_FOUND):
                time.sleep(pause)
                continue
            raise _with_loss(error, spec, change, done) from error
        whole = Change(first[1].before, entry, tuple(done))
        return Outcome(change=whole, entry=entry, stale=first[0].stale, warnings=first[0].warnings)
    raise AssertionError("intervals() never ends")


def _carry_out(task: Task, change: Change, done: list[Action]) -> Entry | None:
    """Make the calls of a plan and note them down in ``done``; returns the entry as it is then."""
    answered: t.Mapping[str, t.Any] = {}
    for action in change.actions:
        creates = action.operation == "create_access_entry"
        answer = _create(task, action) if creates else perform(task.client, action)
        done.append(action)
        answered = answer.get("accessEntry", answered)
    if change.after is None:
        return None
    # Neither tags nor policies are in an update's answer as they are in the end.
    final = {key: change.after[key] for key in ("tags", "policies")}
    return {**change.after, **to_ansible(answered), **final}


def _create(task: Task, action: Action) -> dict[str, t.Any]:
    """Make the entry, again while EKS does not see what IAM was told a moment ago."""
    call = functools.partial(perform, task.client, action)
    note = f"waits until EKS sees {task.spec.principal_arn}"
    try:
        return while_unseen(call, _is_not_seen_yet, task.propagation_timeout, str(task.spec), note)
    except AnsibleEKSError as error:
        if not _is_not_seen_yet(error):
            raise
        raise AnsibleEKSError(
            f"EKS did not see the principal {task.spec.principal_arn} within {task.propagation_timeout:g} seconds; "
            "create it, or correct principal_arn",
            exception=error.exception,
        ) from error


def _is_not_seen_yet(error: AnsibleEKSError) -> bool:
    code, message = error_of(error)
    return code == codes.INVALID_PARAMETER and bool(PRINCIPAL_NOT_SEEN.search(message))


def _with_loss(
    error: AnsibleEKSError, spec: AccessEntrySpec, change: Change, done: t.Sequence[Action]
) -> AnsibleEKSError:
    """The error, with what is lost when a stale entry is gone already: the next run knows only what is declared."""
    if not done or done[-1].operation != "delete_access_entry" or change.after is None:
        return error
    had = {key: change.after.get(key) for key in ("type", "kubernetes_groups", "username", "tags", "policies")}
    return AnsibleEKSError(
        f"The stale {spec} is deleted, but could not be made anew with {had}, of which the next run makes only what "
        f"is declared; {error.message}",
        exception=error.exception,
    )
