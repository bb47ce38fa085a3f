# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What a role must keep until the association of a workload is as declared.

AWS changes a role and an association one after the other, and the role comes first. A role that already refuses what
the association still asks for takes the identity of running pods: sessions without session tags, for which a statement
with ``aws:RequestTag`` conditions never matches, and a target role that the role may no longer assume. So the role
accepts both, before and after, and is narrowed when the association is as declared.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import mismatch
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import session_context
from ansible_collections.podidentity.eks.plugins.module_utils._trust import document as trust
from ansible_collections.podidentity.eks.plugins.module_utils._trust import role
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import as_list
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import statement_id
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import trust_statement
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import tags_disabled

if t.TYPE_CHECKING:
    import collections.abc as c

    from ansible_collections.podidentity.eks.plugins.module_utils._trust.role import Declared
    from ansible_collections.podidentity.eks.plugins.module_utils._trust.role import Role
    from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Statement
    from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Subject
    from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import Workload

#: Namespace and service account -> association; None where it could not be read.
Associations = t.Mapping[tuple[str, str], t.Mapping[str, t.Any] | None]  # pylint: disable=unsupported-binary-operation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kept:
    """What stays in a role although it is not declared any more."""

    #: Trust statements by their Sids.
    statements: t.Mapping[str, Statement] = dataclasses.field(default_factory=dict)
    #: ARNs of target roles that the role may still assume.
    targets: tuple[str, ...] = ()
    #: Whose associations are not as declared.
    subjects: tuple[Subject, ...] = ()


def wanted_statement(declared: Declared, workload: Workload) -> dict[str, t.Any]:
    """The trust statement that a workload declares."""
    scoped = workload["role"].get("trust", "scoped") == "scoped"
    return trust_statement(declared.subject(workload), session_tags=not tags_disabled(workload), scoped=scoped)


def unsettled(declared: Declared, before: Role | None) -> list[Workload]:
    """The workloads whose associations decide whether the role can be as declared at once."""
    if before is None or declared.kind != "source":
        return []
    if removed_targets(declared, before):
        return list(declared.workloads)
    return [workload for workload in declared.workloads if narrowed(declared, workload, before)]


def kept(declared: Declared, before: Role | None, associations: Associations) -> Kept:
    """What the associations as they are still need."""
    if before is None:
        return Kept()
    statements: dict[str, Statement] = {}
    targets: list[str] = []
    subjects: list[Subject] = []
    removed = removed_targets(declared, before)
    for workload in unsettled(declared, before):
        subject = declared.subject(workload)
        found = associations.get((subject.namespace, subject.service_account))
        old = narrowed(declared, workload, before)
        if old is not None and uses(found, declared.name) and (found is None or found.get("disable_session_tags")):
            statements[statement_id(subject)] = old
            subjects.append(subject)
        still = removed if found is None else [arn for arn in removed if arn == found.get("target_role_arn")]
        if still and uses(found, declared.name):
            targets += still
            subjects.append(subject)
    return Kept(statements=statements, targets=tuple(dict.fromkeys(targets)), subjects=tuple(dict.fromkeys(subjects)))


def uses(association: t.Mapping[str, t.Any] | None, name: str) -> bool:
    """Whether an association names a role; one that could not be read may."""
    return association is None or role.name_of(str(association.get("role_arn") or "")) == name


def narrowed(declared: Declared, workload: Workload, before: Role) -> Statement | None:
    """The statement of a workload that admits sessions without session tags, where the declared one does not."""
    subject = declared.subject(workload)
    context = session_context(declared.cluster.arn, subject.namespace, subject.service_account, tags=False)
    if not mismatch(wanted_statement(declared, workload), context):
        return None
    ours = (one for one in trust.statements_of(before.trust) if one.get("Sid") == statement_id(subject))
    return next((one for one in ours if not mismatch(one, context)), None)


def removed_targets(declared: Declared, before: Role) -> list[str]:
    """Target roles that the role may assume for this cluster and that no workload declares any more."""
    present = before.inline_policies.get(role.TARGET_POLICY_NAME)
    sid = role.target_sid(declared.cluster)
    statements: c.Iterator[Statement] = (one for one in trust.statements_of(present) if one.get("Sid") == sid)
    resources = [str(arn) for one in statements for arn in as_list(one.get("Resource"))]
    wanted = role.target_arns(declared.workloads, declared.cluster)
    return [arn for arn in resources if arn not in wanted]
