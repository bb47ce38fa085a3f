# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""IAM roles of workloads: what is declared and what is there in, the roles as they will be out."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._eks.validation import tags_problems
from ansible_collections.podidentity.eks.plugins.module_utils._trust import changes
from ansible_collections.podidentity.eks.plugins.module_utils._trust import document as trust
from ansible_collections.podidentity.eks.plugins.module_utils._trust import findings
from ansible_collections.podidentity.eks.plugins.module_utils._trust import revocation
from ansible_collections.podidentity.eks.plugins.module_utils._trust import role
from ansible_collections.podidentity.eks.plugins.module_utils._trust import target
from ansible_collections.podidentity.eks.plugins.module_utils._trust import transition
from ansible_collections.podidentity.eks.plugins.module_utils._trust.role import Declared
from ansible_collections.podidentity.eks.plugins.module_utils._trust.role import Role
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import NAMESPACE_TAG
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Statement
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Subject
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import condition
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import statement_id
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import subject_of
from ansible_collections.podidentity.eks.plugins.module_utils._workload.cluster import Cluster
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import Workload
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import is_present
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import made_arn
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import tags_disabled

Action = t.Literal["create", "update", "delete", "none"]
#: Namespace and service account -> association, as ``eks_pod_identity_association_info`` returns it.
Associations = transition.Associations
#: Name of a role -> the Sids in its trust policy that nobody declares, and whose they are.
Leftovers = t.Mapping[str, t.Mapping[str, Subject]]

MANAGED_POLICIES_LIMIT = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What the task is to do."""

    cluster: Cluster
    #: The account whose roles these are; the cluster's, but for target roles.
    account: str
    workloads: tuple[Workload, ...]
    kind: role.Kind = "source"
    state: role.State = "present"
    purge: t.Literal["none", "namespace", "cluster"] = "none"
    revoke: bool = False
    #: The point in time before which revoked sessions began, see :func:`revocation.timestamp`.
    now: str = ""
    #: What is known of them; None of one that could not be read. With ``kind`` source only those that matter.
    associations: Associations = dataclasses.field(default_factory=dict)
    #: Whether associations that are not there may be predicted, as in check mode.
    predict: bool = False
    trust_limit: int = trust.SIZE_LIMIT
    policies_limit: int = MANAGED_POLICIES_LIMIT


@dataclasses.dataclass(frozen=True, kw_only=True)
class RolePlan:
    """What becomes of one role; None stands for a role that is not there."""

    name: str
    arn: str
    before: Role | None
    after: Role | None
    changes: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    #: Workloads whose associations must change before the role can be as declared.
    waiting: tuple[Subject, ...] = ()

    @property
    def action(self) -> Action:
        """What is to be done."""
        if not self.changes:
            return "none"
        return "create" if self.before is None else "delete" if self.after is None else "update"


def concerned(request: Request, leftovers: Leftovers) -> list[Declared]:
    """The roles that the request is about, those with leftovers at the end."""
    kind, cluster = request.kind, request.cluster
    declared = role.declared_roles(request.workloads, cluster, kind, request.state, request.account)
    names = {one.name for one in declared}
    rest = [role.undeclared(name, kind, cluster, request.account) for name in leftovers if name not in names]
    return [*(one for one in declared if is_concerned(one, request, leftovers)), *rest]


def is_concerned(declared: Declared, request: Request, leftovers: Leftovers) -> bool:
    """Whether there may be something to do about a role, or to say."""
    made = declared.workloads and request.state == "present"
    given = declared.given and (request.revoke or role.target_arns(declared.given, declared.cluster))
    leaves = declared.leaving or (declared.leaving_given and request.revoke)
    return bool(made or (given and request.state == "present") or leaves or declared.name in leftovers)


def is_looked_at(declared: Declared, request: Request, leftovers: Leftovers) -> bool:
    """Whether the plan has to know the role; a given one is looked at only where its sessions may be revoked."""
    return bool(declared.workloads or declared.leaving or declared.name in leftovers or request.revoke)


# --- what nobody declares ---------------------------------------------------------------------------------------------


def find_leftovers(request: Request, listed: t.Iterable[tuple[str, trust.Document]]) -> dict[str, dict[str, Subject]]:
    """The statements of this cluster's workloads that are to be purged, by the names of their roles.

    :param listed: name and trust policy of all roles of the account.
    """
    present = [one for one in request.workloads if is_present(one)] if request.state != "absent" else []
    arns = [role.arn_of(workload, request.kind, request.cluster) for workload in present]
    kept = {
        (role.name_of(arn), workload["namespace"], workload["service_account"])
        for workload, arn in zip(present, arns, strict=True)
        if arn and role.account_of(arn) == request.account
    }
    namespaces = {workload["namespace"] for workload in request.workloads}
    found: dict[str, dict[str, Subject]] = {}
    for name, document in listed:
        for statement in trust.statements_of(document):
            subject = whose(statement, request)
            if subject is None or (name, subject.namespace, subject.service_account) in kept:
                continue
            if request.purge == "cluster" or subject.namespace in namespaces:
                found.setdefault(name, {})[statement["Sid"]] = subject
    return found


def still_used(
    leftovers: Leftovers, associations: t.Container[tuple[str, str]]
) -> tuple[dict[str, dict[str, Subject]], dict[str, list[Subject]]]:
    """Leftovers by the names of their roles: those that may go, and those whose association is somebody else's."""
    going: dict[str, dict[str, Subject]] = {}
    staying: dict[str, list[Subject]] = {}
    for name, subjects in leftovers.items():
        for sid, subject in subjects.items():
            if (subject.namespace, subject.service_account) in associations:
                staying.setdefault(name, []).append(subject)
            else:
                going.setdefault(name, {})[sid] = subject
    return going, staying


def whose(statement: Statement, request: Request) -> Subject | None:
    """The workload of this cluster that a statement was made for here."""
    if request.kind == "source":
        return subject_of(statement, request.cluster)
    return target.subject_of(statement, request.cluster)


# --- one role ---------------------------------------------------------------------------------------------------------


def plan_role(
    declared: Declared,
    before: Role | None,
    request: Request,
    leftovers: Leftovers | None = None,
    known: t.Mapping[str, str] | None = None,
) -> RolePlan:
    """What becomes of one role.

    :param known: ARNs of managed policies by name, for those that are not attached to it.
    """
    leaving = {sid_of(declared.subject(one), request): declared.subject(one) for one in declared.leaving}
    leaving |= (leftovers or {}).get(declared.name, {})
    manages = bool(declared.workloads) and request.state == "present"
    if before is None and not manages:
        return RolePlan(
            name=declared.name, arn=declared.arn, before=None, after=None, findings=given_findings(declared, request)
        )
    kept = transition.kept(declared, before, request.associations) if manages else transition.Kept()
    planned = plan_trust(declared if manages else unmanaged(declared), before, request, set(leaving), kept)
    after, said = settled(declared, before, planned, request, known or {}, kept)
    if after is not None:
        after, more = revoked(declared, before, after, request, leaving)
        said += more
    base = RolePlan(
        name=declared.name,
        arn=before.arn if before else declared.arn,
        before=before,
        after=after,
        findings=(*said, *given_findings(declared, request), *findings.transitions(declared.name, kept)),
        waiting=kept.subjects,
    )
    told = tuple(changes.told(before, after))
    found = tuple(problems(base, declared, request, known or {})) if manages else ()
    return dataclasses.replace(base, changes=told, problems=found)


def unmanaged(declared: Declared) -> Declared:
    """The role without the workloads that are to be there: they are left as they are."""
    return dataclasses.replace(declared, workloads=())


def sid_of(subject: Subject, request: Request) -> str:
    return statement_id(subject) if request.kind == "source" else target.chain_id(subject)


def plan_trust(
    declared: Declared, before: Role | None, request: Request, leaving: t.Collection[str], kept: transition.Kept
) -> trust.TrustPlan:
    """The trust policy with the statements of the workloads, and without those that leave."""
    document = before.trust if before else None
    if request.kind == "target":
        chains = [chain(declared, workload, request) for workload in declared.workloads]
        return trust.TrustPlan(target.ensure_chains(document, chains, leaving))
    if not declared.workloads:
        return trust.TrustPlan(trust.remove_statements(document, leaving))
    wanted = [
        kept.statements.get(statement_id(declared.subject(workload))) or transition.wanted_statement(declared, workload)
        for workload in declared.workloads
    ]
    ensured = trust.ensure_statements(document, wanted, repair=before is None or not before.of_cluster)
    return trust.TrustPlan(trust.remove_statements(ensured.document, leaving), ensured.findings)


def chain(declared: Declared, workload: Workload, request: Request) -> target.Chain:
    """How EKS comes to a target role for a workload: by its association, and by the declaration where that is ahead."""
    subject = declared.subject(workload)
    association = request.associations.get((subject.namespace, subject.service_account)) or {}
    source = workload.get("role") or {}
    known = {role.name_of(arn): arn for arn in [association.get("role_arn")] if arn}
    return target.Chain(
        subject=subject,
        source_arn=str(source.get("arn") or known.get(source["name"]) or made_arn(source, request.cluster)),
        external_id=str(association.get("external_id") or target.external_id(subject)),
        session_tags=not tags_disabled(workload),
    )


def settled(
    declared: Declared,
    before: Role | None,
    planned: trust.TrustPlan,
    request: Request,
    known: t.Mapping[str, str],
    kept: transition.Kept,
) -> tuple[Role | None, list[str]]:
    """The role with its trust policy and settings, None where it is to go, and what is to be said about it."""
    said = list(planned.findings)
    if declared.workloads and request.state == "present" and planned.document is not None:
        said += findings.path(declared, before)
        said += findings.never_matching(declared, before) if request.kind == "source" else []
        return role.as_declared(declared, before, planned.document, known, kept.targets), said
    if before is None:
        return None, said
    if planned.document is not None:
        return dataclasses.replace(before, trust=planned.document), said
    if declared.given:
        users = [declared.subject(workload) for workload in declared.given]
        return before, [*said, findings.still_given(declared.name, users)]
    return (None, said) if before.ours else (before, [*said, findings.last_statement(declared.name)])


# --- sessions ---------------------------------------------------------------------------------------------------------


def revoked(
    declared: Declared, before: Role | None, after: Role, request: Request, leaving: t.Mapping[str, Subject]
) -> tuple[Role, list[str]]:
    """The role with the sessions of those who leave revoked, and of those who are there again no longer."""
    there = before.inline_policies.get(role.REVOKED_POLICY_NAME) if before else None
    already = {item.get("Sid") for item in trust.statements_of(there)}
    denials: list[Statement] = []
    said: list[str] = []
    for subject, scoped in who_leaves(declared, before, request, leaving) if request.revoke else ():
        sid = sid_of(subject, request)
        # The last statement of a role that somebody else made stays, and so does a role that was given.
        stays = any(item.get("Sid") == sid for item in trust.statements_of(after.trust))
        if sid in already and (stays or sid not in leaving):
            continue
        if scoped or stays:
            denials.append(revocation.denial(sid, subject, request.now, scoped))
        else:
            said.append(findings.not_revoked(declared.name, subject))
    again = (*declared.workloads, *declared.given) if request.state == "present" else ()
    lifted = {sid_of(declared.subject(workload), request) for workload in again}
    document = revocation.rewritten(there, denials, lifted, request.now)
    policies = role.with_policies(after.inline_policies, {role.REVOKED_POLICY_NAME: document})
    return dataclasses.replace(after, inline_policies=policies), said


def who_leaves(
    declared: Declared, before: Role | None, request: Request, leaving: t.Mapping[str, Subject]
) -> t.Iterator[tuple[Subject, bool]]:
    """The workloads that could use the role and are to no longer, each with whether its sessions have tags."""
    statements = trust.statements_of(before.trust if before else None)
    tags_off = {declared.subject(one) for one in declared.leaving if tags_disabled(one)}
    for statement in statements:
        subject = leaving.get(str(statement.get("Sid")))
        if subject is None:
            continue
        if request.kind == "source":
            yield subject, NAMESPACE_TAG in condition(statement, "StringEquals")
        else:
            yield subject, subject not in tags_off and target.passes_tags(before.trust if before else None, statement)
    for workload in declared.leaving_given:
        yield declared.subject(workload), not tags_disabled(workload)


# --- what is to be said -----------------------------------------------------------------------------------------------


def given_findings(declared: Declared, request: Request) -> tuple[str, ...]:
    """What a given role needs that nobody gives it here."""
    targets = role.target_arns(declared.given, declared.cluster)
    if request.state != "present" or not targets or declared.workloads:
        return ()
    return (findings.needs_targets(declared.name, targets),)


def problems(plan: RolePlan, declared: Declared, request: Request, known: t.Mapping[str, str]) -> t.Iterator[str]:
    """Why a plan cannot be carried out."""
    if plan.after is None:
        return
    if request.kind == "target":
        yield from target_problems(plan, declared, request)
    if not plan.before or not trust.same(plan.before.trust, plan.after.trust):
        yield from trust.size_problems(plan.after.trust, f"role {plan.name}", request.trust_limit)
    yield from tags_problems(declared.tags, f"role {plan.name}")
    yield from findings.unknown_policies(declared, role.unresolved(declared, plan.before, known))
    yield from findings.too_many_policies(plan.before, plan.after, request.policies_limit)
    yield from findings.too_long_policies(plan.before, plan.after)


def target_problems(plan: RolePlan, declared: Declared, request: Request) -> t.Iterator[str]:
    """What EKS could never assume: a role at another ARN than the association names, or one without an association."""
    if plan.before and plan.before.arn != declared.arn:
        yield (
            f"Target role {plan.name} has the ARN {plan.before.arn}, declared is {declared.arn}: IAM cannot move a "
            f"role, so declare target_role.path {plan.before.path}, or another name."
        )
    if request.predict:
        return
    for workload in declared.workloads:
        key = (workload["namespace"], workload["service_account"])
        if not (request.associations.get(key) or {}).get("external_id"):
            yield (
                f"Target role {plan.name} cannot trust workload {'/'.join(key)}: there is no association with its "
                "external ID among the associations; make the association first."
            )
