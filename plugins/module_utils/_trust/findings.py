# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What a person should know about a role, and why a plan for it cannot be carried out: one sentence each."""

from __future__ import annotations

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import mapping
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import mismatch
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import session_context
from ansible_collections.podidentity.eks.plugins.module_utils._trust import document as trust
from ansible_collections.podidentity.eks.plugins.module_utils._trust.role import Declared
from ansible_collections.podidentity.eks.plugins.module_utils._trust.role import Role
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import SERVICE
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Statement
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Subject
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import as_list
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import services
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import statement_id
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import Workload
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import tags_disabled

if t.TYPE_CHECKING:
    import collections.abc as c

    from ansible_collections.podidentity.eks.plugins.module_utils._trust.transition import Kept

#: IAM's quota for all inline policies of a role together, in characters without white space; nobody can raise it.
INLINE_LIMIT = 10240
#: How many managed policies a role can have at most, when the quota is raised.
MOST_POLICIES = 20


def path(declared: Declared, before: Role | None) -> list[str]:
    """IAM cannot move a role to another path."""
    wanted = declared.fields.get("path")
    if before is None or wanted is None or before.path == wanted:
        return []
    return [f"Role {declared.name} has the path {before.path}; IAM cannot change it to {wanted}."]


def last_statement(name: str) -> str:
    """A role of somebody else's whose last trust statement is ours."""
    return (
        f"Role {name} was not made here, so it stays, and so does its last trust statement: IAM keeps no trust policy "
        "without one. It allows nothing without an association."
    )


def still_given(name: str, users: t.Iterable[Subject]) -> str:
    """A role whose last trust statement is to go, and that other workloads are given by its ARN."""
    return (
        f"Role {name} is given to {', '.join(map(str, users))} by its ARN, so it stays, and so does its last trust "
        "statement: IAM keeps no trust policy without one."
    )


def not_revoked(name: str, subject: Subject) -> str:
    """Sessions that nobody can tell from those of others."""
    return (
        f"The sessions that {subject} has from role {name} were not revoked: nothing says that they have session tags, "
        "without which they cannot be told from those of others; they end by themselves within hours."
    )


def still_associated(name: str, subjects: t.Iterable[Subject]) -> str:
    """Workloads that nobody has declared here, and somebody else elsewhere."""
    return (
        f"Role {name} still trusts {', '.join(map(str, subjects))}, not declared here: the association belongs to an "
        "add-on, or was not made here."
    )


def needs_targets(name: str, targets: t.Iterable[str]) -> str:
    """A role that was given is not touched, so somebody else has to let it assume its target roles."""
    return (
        f"Role {name} is given, so its policies are not touched: it must allow sts:AssumeRole and sts:TagSession on "
        f"{', '.join(targets)}."
    )


def transitions(name: str, kept: Kept) -> c.Iterator[str]:
    """What a role keeps until associations are as declared."""
    if kept.subjects:
        what = [
            *(["admits sessions without session tags"] if kept.statements else []),
            *([f"may assume {' and '.join(kept.targets)}"] if kept.targets else []),
        ]
        yield (
            f"Role {name} still {' and '.join(what)} for {', '.join(map(str, kept.subjects))}, because the association "
            "needs that until it is updated."
        )


# --- statements of others that can never match ------------------------------------------------------------------------


def never_matching(declared: Declared, before: Role | None) -> list[str]:
    """Statements of others that are meant for one of the workloads and have a condition that EKS can never meet."""
    ours = {statement_id(declared.subject(workload)) for workload in declared.workloads}
    said = []
    for statement in trust.statements_of(before.trust if before else None):
        if statement.get("Sid") in ours or statement.get("Effect") != "Allow" or SERVICE not in services(statement):
            continue
        for workload in declared.workloads:
            reason = never_matches(statement, declared, workload)
            if reason:
                said.append(
                    f"Trust statement {trust.label(statement)} can never match for {declared.subject(workload)}: "
                    f"{reason}. It is not ours and was left alone."
                )
                break
    return said


def never_matches(statement: Statement, declared: Declared, workload: Workload) -> str:
    """Why a statement that is meant for a workload never matches, as a clause; empty where it may, or is not meant."""
    names = (declared.cluster.arn, workload["namespace"], workload["service_account"])
    if mismatch(addressed(statement), session_context(*names, tags=True)):
        return ""
    return mismatch(statement, session_context(*names, tags=not tags_disabled(workload)))


def addressed(statement: Statement) -> Statement:
    """A statement with just the conditions that say whom it is meant for: tags of the session, and a cluster's ARN."""
    conditions = {
        operator: {key: values for key, values in mapping(keys).items() if addresses(str(key).lower(), values)}
        for operator, keys in mapping(statement.get("Condition")).items()
    }
    return {"Condition": conditions}


def addresses(key: str, values: t.Any) -> bool:
    """Whether a condition says whom a statement is meant for."""
    is_cluster = all(":cluster/" in str(value) for value in as_list(values))
    return key.startswith("aws:requesttag/") or (key == "aws:sourcearn" and is_cluster)


# --- what forbids to start --------------------------------------------------------------------------------------------


def unknown_policies(declared: Declared, names: t.Iterable[str]) -> c.Iterator[str]:
    """Names of managed policies that nobody has."""
    for name in names:
        yield (
            f"Role {declared.name} is declared with the managed policy {name}, but neither AWS nor account "
            f"{declared.arn.split(':')[4]} has one of that name: correct the name, or make the policy first."
        )


def too_many_policies(before: Role | None, after: Role, limit: int) -> c.Iterator[str]:
    """More managed policies than the quota allows."""
    attached = set(before.managed_policies) if before else set()
    count = len(after.managed_policies)
    if count <= limit or not set(after.managed_policies) - attached:
        return
    quota = (
        f", or have the quota 'Managed policies per role' raised (to {MOST_POLICIES} at most) and say so"
        if limit < MOST_POLICIES
        else ""
    )
    yield (
        f"Role {after.name} would have {count} managed policies, IAM takes {limit}: put some of their permissions into "
        f"role.inline_policy{quota}."
    )


def too_long_policies(before: Role | None, after: Role) -> c.Iterator[str]:
    """Inline policies that are longer together than IAM allows, as far as they were read."""
    there = before.inline_policies if before else {}
    characters = sum(trust.size(document) for document in after.inline_policies.values() if document)
    if characters > INLINE_LIMIT and any(one != there.get(name) for name, one in after.inline_policies.items()):
        yield (
            f"The inline policies of role {after.name} would have {characters} characters together without white "
            f"space, IAM takes {INLINE_LIMIT}: move some of their permissions to managed policies."
        )
