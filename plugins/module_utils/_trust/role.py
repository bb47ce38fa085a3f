# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""An IAM role as it is or will be, and as the workloads that share it declare it together."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._trust import document as trust
from ansible_collections.podidentity.eks.plugins.module_utils._trust.document import Document
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import ACTIONS
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import SID_PREFIX
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Subject
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import made_sid
from ansible_collections.podidentity.eks.plugins.module_utils._workload.cluster import Cluster
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import Workload
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import is_present
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import made_arn
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import role_arn
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import target_role_arn

Kind = t.Literal["source", "target"]
State = t.Literal["present", "remove_only", "absent"]

#: Says that a role was made here, so that it may be deleted here and its policies are exactly the declared ones.
MANAGED_TAG = "podidentity.eks/managed"
#: Which role of an EKS cluster carries them: its trust names eks.amazonaws.com rightly.
CLUSTER_POLICY_PREFIXES = ("AmazonEKSClusterPolicy", "AmazonEKSServicePolicy", "AmazonEKSComputePolicy")
#: The inline policies that are ours: what is declared, which target roles may be assumed, whose sessions are revoked.
INLINE_POLICY_NAME = "podidentity.eks"
TARGET_POLICY_NAME = "podidentity.eks-target"
REVOKED_POLICY_NAME = "podidentity.eks-revoked"
OUR_POLICIES = (INLINE_POLICY_NAME, TARGET_POLICY_NAME, REVOKED_POLICY_NAME)
#: Where a workload has a role of each kind.
FIELD: t.Mapping[Kind, str] = {"source": "role", "target": "target_role"}
#: Fields of a role that the workloads sharing it declare once.
FIELDS = ("path", "description", "inline_policy", "boundary", "max_session_duration")
DEFAULT_SESSION_SECONDS = 3600


@dataclasses.dataclass(frozen=True, kw_only=True)
class Role:
    """A role as it is, or as it will be."""

    name: str
    arn: str
    trust: Document
    role_id: str | None = None
    #: When it was made, in ISO 8601.
    created: str | None = None
    path: str = "/"
    description: str = ""
    boundary: str | None = None
    max_session_duration: int = DEFAULT_SESSION_SECONDS
    tags: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: Names by ARN.
    managed_policies: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: Documents by name; None for one that nobody has read.
    inline_policies: t.Mapping[str, Document | None] = dataclasses.field(default_factory=dict)

    @property
    def ours(self) -> bool:
        """Whether it was made here."""
        return self.tags.get(MANAGED_TAG) == "true"

    @property
    def of_cluster(self) -> bool:
        """Whether it looks like the role of an EKS cluster."""
        return any(name.startswith(CLUSTER_POLICY_PREFIXES) for name in self.managed_policies.values())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Declared:
    """One role as all the workloads that name it declare it together."""

    name: str
    kind: Kind
    cluster: Cluster
    #: Where it is made, or where it was given.
    arn: str
    #: Those that are to be able to use it, by name; then those that are given it by its ARN.
    workloads: tuple[Workload, ...] = ()
    given: tuple[Workload, ...] = ()
    #: Those that are to be taken out, in the same way.
    leaving: tuple[Workload, ...] = ()
    leaving_given: tuple[Workload, ...] = ()

    @property
    def roles(self) -> list[Workload]:
        """What each of its workloads says about it."""
        return [workload[FIELD[self.kind]] for workload in self.workloads]

    @property
    def fields(self) -> dict[str, t.Any]:
        """Each field from whoever declares it."""
        return {key: role[key] for key in FIELDS for role in self.roles if role.get(key) is not None}

    @property
    def managed_policies(self) -> list[str]:
        """Names or ARNs of all workloads together, each once."""
        return list(dict.fromkeys(policy for role in self.roles for policy in role.get("managed_policies") or []))

    @property
    def tags(self) -> dict[str, str]:
        """Those of all workloads together."""
        return {str(key): str(value) for role in self.roles for key, value in (role.get("tags") or {}).items()}

    def subject(self, workload: Workload) -> Subject:
        return Subject(self.cluster, workload["namespace"], workload["service_account"])


def target_arns(workloads: t.Iterable[Workload], cluster: Cluster) -> list[str]:
    """ARNs of the target roles that workloads declare, each once."""
    found = (target_role_arn(workload, cluster.arn) for workload in workloads)
    return sorted({arn for arn in found if arn})


def declared_roles(
    workloads: t.Iterable[Workload],
    cluster: Cluster,
    kind: Kind = "source",
    state: State = "present",
    account: str = "",
) -> list[Declared]:
    """The roles that workloads name, in the order of their first workload.

    :param state: with ``absent`` all workloads are to be taken out.
    :param account: of target roles only those in this account.
    """
    groups: dict[str, dict[str, t.Any]] = {}
    for workload in workloads:
        role = workload.get(FIELD[kind])
        if not role:
            continue
        arn = str(role.get("arn") or made_arn(role, cluster))
        if kind == "target" and account_of(arn) != account:
            continue
        group = groups.setdefault(name_of(arn), {"arn": arn})
        here = is_present(workload) and state != "absent"
        part = ("given" if here else "leaving_given") if role.get("arn") else ("workloads" if here else "leaving")
        group[part] = (*group.get(part, ()), workload)
        if role.get("path"):
            group["arn"] = arn
    return [Declared(name=name, kind=kind, cluster=cluster, **group) for name, group in groups.items()]


def undeclared(name: str, kind: Kind, cluster: Cluster, account: str) -> Declared:
    """A role that no workload names; its ARN is as good as one can tell without its path."""
    return Declared(name=name, kind=kind, cluster=cluster, arn=f"arn:{cluster.partition}:iam::{account}:role/{name}")


def arn_of(workload: Workload, kind: Kind, cluster: Cluster) -> str | None:
    """The role of one kind that a workload has, made here or given; None where it has none."""
    if kind == "target":
        return target_role_arn(workload, cluster.arn)
    return role_arn(workload, cluster.arn) if workload.get("role") else None


def name_of(arn: str) -> str:
    """The name of a role in its ARN."""
    return arn.rpartition("/")[2]


def account_of(arn: str) -> str:
    """The account of a role in its ARN."""
    return arn.split(":")[4]


def policy_arns(declared: Declared, before: Role | None, known: t.Mapping[str, str]) -> dict[str, str]:
    """The declared managed policies, names by ARN, as far as what is attached or ``known`` tells their ARNs."""
    attached = before.managed_policies if before else {}
    by_name = {**known, **{name: arn for arn, name in attached.items()}}
    arns = (by_name.get(policy, policy) for policy in declared.managed_policies)
    return {arn: name_of(arn) for arn in arns if arn.startswith("arn:")}


def unresolved(declared: Declared, before: Role | None, known: t.Mapping[str, str]) -> list[str]:
    """Names of declared managed policies whose ARNs nobody knows."""
    found = set(policy_arns(declared, before, known).values())
    return [policy for policy in declared.managed_policies if not policy.startswith("arn:") and policy not in found]


def as_declared(
    declared: Declared,
    before: Role | None,
    document: Document,
    known: t.Mapping[str, str],
    kept_targets: t.Iterable[str] = (),
) -> Role:
    """The role with everything that is declared but its revoked sessions. What is not declared is left alone.

    :param kept_targets: ARNs of target roles that it may still assume.
    """
    fields = declared.fields
    base = before or Role(
        name=declared.name, arn=declared.arn, trust=document, path=fields.get("path") or "/", tags={MANAGED_TAG: "true"}
    )
    kept = {} if base.ours else base.managed_policies
    return dataclasses.replace(
        base,
        trust=document,
        description=fields.get("description", base.description),
        boundary=fields.get("boundary", base.boundary) or None,
        max_session_duration=fields.get("max_session_duration", base.max_session_duration),
        tags={**base.tags, **declared.tags},
        managed_policies={**kept, **policy_arns(declared, before, known)},
        inline_policies=with_policies(
            base.inline_policies,
            {
                INLINE_POLICY_NAME: fields.get("inline_policy"),
                TARGET_POLICY_NAME: target_policy(declared, base, kept_targets),
            },
        ),
    )


def with_policies(
    policies: t.Mapping[str, Document | None], wanted: t.Mapping[str, Document | None]
) -> dict[str, Document | None]:
    """Inline policies with these put in, or taken out where there is no document; one that means the same stays."""
    after = dict(policies)
    for name, document in wanted.items():
        before = after.get(name)
        if not document:
            after.pop(name, None)
        elif before is None or not trust.same(before, document):
            after[name] = document
    return after


def target_sid(cluster: Cluster) -> str:
    """The Sid of the statement that lets a role assume the target roles of a cluster's workloads."""
    return made_sid(SID_PREFIX, [cluster.name], [cluster.arn])


def target_policy(declared: Declared, before: Role, kept: t.Iterable[str]) -> Document | None:
    """What lets a role assume its target roles: one statement for each cluster, so that clusters can share a role."""
    present = before.inline_policies.get(TARGET_POLICY_NAME)
    if declared.kind == "target":
        return present
    targets = sorted({*target_arns(declared.workloads, declared.cluster), *kept})
    sid = target_sid(declared.cluster)
    if not targets:
        return trust.remove_statements(present, [sid])
    wanted = {"Sid": sid, "Effect": "Allow", "Action": list(ACTIONS), "Resource": targets}
    return trust.merge_statements(present, [wanted]).document
