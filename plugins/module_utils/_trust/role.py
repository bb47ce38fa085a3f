# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""IAM roles of workloads: declared workloads and observed roles in, one plan for each role out.

An observed role is an item of ``iam_roles`` as :ansplugin:`amazon.aws.iam_role_info#module` returns it.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._trust import document as trust
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Cluster
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Subject
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import statement_id
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import trust_statement

Observed = t.Mapping[str, t.Any]
Workload = t.Mapping[str, t.Any]
Action = t.Literal["create", "update", "delete", "none"]

#: Says that a role was made here, so that it may be deleted here and its policies are exactly the declared ones.
MANAGED_TAG = "podidentity.eks/managed"
#: Which role of an EKS cluster carries them: its trust names eks.amazonaws.com rightly.
CLUSTER_POLICY_PREFIXES = ("AmazonEKSClusterPolicy", "AmazonEKSServicePolicy", "AmazonEKSComputePolicy")
INLINE_POLICY_NAME = "podidentity.eks"
#: Fields of a role that the workloads sharing it declare once.
FIELDS = ("path", "description", "inline_policy", "boundary", "max_session_duration")


@dataclasses.dataclass(frozen=True)
class Declared:
    """One role as all the workloads that name it declare it together."""

    name: str
    workloads: tuple[Workload, ...]
    fields: t.Mapping[str, t.Any]
    managed_policies: tuple[str, ...]
    tags: t.Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class RolePlan:
    """What becomes of one role; the fields after ``action`` are what amazon.aws.iam_role is to be given."""

    name: str
    arn: str
    action: Action
    assume_role_policy_document: dict[str, t.Any] | None = None
    managed_policies: tuple[str, ...] = ()
    purge_policies: bool = False
    path: str | None = None
    description: str | None = None
    boundary: str | None = None
    max_session_duration: int | None = None
    tags: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    inline_policy: t.Mapping[str, t.Any] | None = None
    inline_policy_name: str = INLINE_POLICY_NAME
    inline_policy_state: t.Literal["present", "absent", "none"] = "none"
    changes: tuple[str, ...] = ()
    diff: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def declared_roles(workloads: t.Iterable[Workload]) -> list[Declared]:
    """The roles to be made here, in the order of their first workload; given roles (by ARN) are not among them."""
    by_name: dict[str, list[Workload]] = {}
    for workload in workloads:
        if workload["role"].get("name"):
            by_name.setdefault(workload["role"]["name"], []).append(workload)
    return [merged(name, tuple(sharing)) for name, sharing in by_name.items()]


def merged(name: str, workloads: tuple[Workload, ...]) -> Declared:
    """Policies and tags of all workloads that share a role, together; each other field from whoever declares it."""
    roles = [workload["role"] for workload in workloads]
    fields = {key: role[key] for key in FIELDS for role in roles if role.get(key) is not None}
    policies = dict.fromkeys(policy for role in roles for policy in role.get("managed_policies") or [])
    tags = {key: str(value) for role in roles for key, value in (role.get("tags") or {}).items()}
    return Declared(name, workloads, fields, tuple(policies), tags)


def plan_roles(
    workloads: t.Iterable[Workload],
    observed: t.Iterable[Observed],
    cluster_arn: str,
    state: t.Literal["present", "absent"] = "present",
    size_limit: int = trust.SIZE_LIMIT,
) -> list[RolePlan]:
    """One plan for each role that the workloads name. :class:`TrustError` when the cluster's ARN is none."""
    cluster = Cluster.from_arn(cluster_arn)
    by_name = {role["role_name"]: role for role in observed}
    return [
        plan_present(role, by_name.get(role.name), cluster, size_limit)
        if state == "present"
        else plan_absent(role, by_name.get(role.name), cluster)
        for role in declared_roles(workloads)
    ]


def subject(workload: Workload, cluster: Cluster) -> Subject:
    return Subject(cluster, workload["namespace"], workload["service_account"])


def statements(role: Declared, cluster: Cluster) -> list[dict[str, t.Any]]:
    """The trust statements of the workloads that share a role."""
    return [
        trust_statement(
            subject(workload, cluster),
            session_tags=not workload.get("disable_session_tags"),
            scoped=workload["role"].get("trust", "scoped") == "scoped",
        )
        for workload in role.workloads
    ]


def plan_present(role: Declared, before: Observed | None, cluster: Cluster, size_limit: int) -> RolePlan:
    """Make the role, or bring an existing one to what is declared.

    A role that somebody else made gets the trust statements and the declared policies, and keeps all that it has.
    """
    observed = before or {}
    attached = observed.get("managed_policies") or []
    of_cluster = any(policy["policy_name"].startswith(CLUSTER_POLICY_PREFIXES) for policy in attached)
    document = observed.get("assume_role_policy_document")
    planned = trust.ensure_statements(document, statements(role, cluster), repair=not of_cluster)
    changes = [str(change) for change in planned.changes] + field_changes(role, before)
    ours = before is None or is_ours(before)
    return RolePlan(
        name=role.name,
        arn=observed.get("arn") or predicted_arn(role, cluster),
        action="create" if before is None else "update" if changes else "none",
        assume_role_policy_document=planned.document,
        managed_policies=role.managed_policies,
        purge_policies=ours,
        path=role.fields.get("path") if before is None else None,
        description=role.fields.get("description"),
        boundary=role.fields.get("boundary"),
        max_session_duration=role.fields.get("max_session_duration"),
        tags={**role.tags, MANAGED_TAG: "true"} if ours else role.tags,
        inline_policy=role.fields.get("inline_policy"),
        inline_policy_state=inline_policy_state(role, before),
        changes=tuple(changes) if before is not None else ("create the role", *changes),
        diff=tuple(trust.diff_lines(planned.changes)),
        findings=(*planned.findings, *path_findings(role, before)),
        problems=tuple(trust.size_problems(planned.document or {}, f"role {role.name}", size_limit)),
    )


def plan_absent(role: Declared, before: Observed | None, cluster: Cluster) -> RolePlan:
    """Take the workloads' statements out; delete the role when it is ours and trusts nobody any more."""
    if before is None:
        return RolePlan(role.name, predicted_arn(role, cluster), "none")
    document = before["assume_role_policy_document"]
    sids = {statement_id(subject(workload, cluster)) for workload in role.workloads}
    planned = trust.remove_statements(document, sids)
    base = RolePlan(
        role.name,
        before["arn"],
        "update" if planned.changes else "none",
        assume_role_policy_document=planned.document,
        changes=tuple(str(change) for change in planned.changes),
        diff=tuple(trust.diff_lines(planned.changes)),
    )
    if planned.document is not None:
        return base
    if is_ours(before):
        return dataclasses.replace(base, action="delete", changes=(*base.changes, "delete the role"))
    finding = (
        f"Role {role.name} was not made here, so it stays, and so does its last trust statement: IAM keeps no trust "
        "policy without one. It allows nothing without an association."
    )
    return dataclasses.replace(
        base, action="none", assume_role_policy_document=document, changes=(), diff=(), findings=(finding,)
    )


def inline_policy_state(role: Declared, before: Observed | None) -> t.Literal["present", "absent", "none"]:
    """Whether our inline policy is to be written (what it says now is not observed), taken away, or not looked at."""
    if role.fields.get("inline_policy"):
        return "present"
    return "absent" if INLINE_POLICY_NAME in ((before or {}).get("inline_policies") or []) else "none"


def is_ours(role: Observed) -> bool:
    """Whether the role was made here."""
    return bool((role.get("tags") or {}).get(MANAGED_TAG) == "true")


def predicted_arn(role: Declared, cluster: Cluster) -> str:
    """The ARN of a role that does not exist yet: it is made in the cluster's account."""
    return f"arn:{cluster.partition}:iam::{cluster.account}:role{role.fields.get('path') or '/'}{role.name}"


def field_changes(role: Declared, before: Observed | None) -> list[str]:
    """What differs besides the trust. Fields that are not declared are left alone."""
    observed = before or {}
    return [
        *policy_changes(role, before),
        *tag_changes(role, before),
        *(
            f"set {key} to {role.fields[key]}"
            for key, current in (
                ("description", observed.get("description")),
                ("boundary", (observed.get("permissions_boundary") or {}).get("permissions_boundary_arn")),
                ("max_session_duration", observed.get("max_session_duration")),
            )
            if key in role.fields and role.fields[key] != current
        ),
    ]


def policy_changes(role: Declared, before: Observed | None) -> list[str]:
    """Managed policies to attach, and for a role of ours those to detach."""
    attached = (before or {}).get("managed_policies") or []
    present = {name for policy in attached for name in (policy["policy_name"], policy["policy_arn"])}
    changes = [f"attach {policy}" for policy in role.managed_policies if policy not in present]
    if before is None or not is_ours(before):
        return changes
    wanted = set(role.managed_policies)
    extra = [policy for policy in attached if not wanted & {policy["policy_name"], policy["policy_arn"]}]
    return changes + [f"detach {policy['policy_name']}" for policy in extra]


def tag_changes(role: Declared, before: Observed | None) -> list[str]:
    """Declared tags that are missing or different; other tags are left alone."""
    present = (before or {}).get("tags") or {}
    return [f"set tag {key}={value}" for key, value in role.tags.items() if present.get(key) != value]


def path_findings(role: Declared, before: Observed | None) -> list[str]:
    """IAM cannot move a role to another path."""
    path = role.fields.get("path")
    if before is None or path is None or before.get("path") == path:
        return []
    return [f"Role {role.name} has the path {before.get('path')}; IAM cannot change it to {path}."]
