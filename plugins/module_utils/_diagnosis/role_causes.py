# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Causes in the roles: EKS may not assume the association's role, or from it the target role.

EKS tells neither which role nor why, so the documents of both are read; what could not be read is said.
"""

from __future__ import annotations

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import Case
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import Cause
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import agent_answer
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import Association
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import Role
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.surroundings import RoleFacts
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import ASSUMING
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import chain_context
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import explain_refusal
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import explain_target_refusal
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import permits
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import session_context

NOT_YET = "a change of IAM needs some seconds"


def role_refused(case: Case) -> Cause | None:
    """EKS may not assume the association's role: it does not exist, or its trust policy says no."""
    association = case.association
    if association is None or "(AccessDeniedException)" not in agent_answer(case):
        return None
    name = name_of(association.role_arn)
    facts = case.surroundings.role(association.role_arn)
    if facts is not None and not facts.exists:
        return Cause(
            "role_missing",
            f"EKS cannot assume role {name} of the association, for there is no such role.",
            f"Create role {name} again (the role podidentity.eks.iam_role does), or give the association another one.",
        )
    why = explain_refusal(facts.trust, context_of(case, association)) if facts and facts.trust else ""
    if facts is None or facts.trust is None or why:
        return trust_refused(case, name, why)
    return chain_refused(case, association) if association.target_role_arn else assume_refused(case, name)


def name_of(arn: str) -> str:
    """A role as people speak of it: its name, or the ARN if it is none of a role."""
    role = Role.from_arn(arn)
    return role.name if role else arn


def context_of(case: Case, association: Association) -> dict[str, str]:
    workload = case.workload
    return session_context(
        association.cluster_arn, workload.namespace, workload.service_account, association.session_tags
    )


def trust_refused(case: Case, name: str, why: str) -> Cause:
    reason = f"because of the role's trust policy: {why}" if why else "and its trust policy could not be read"
    return Cause(
        "trust_refused",
        f"EKS may not assume role {name} for {case.workload}, {reason}.",
        f"Put the trust policy of role {name} right (the role podidentity.eks.iam_role does); {NOT_YET}.",
    )


def assume_refused(case: Case, name: str) -> Cause:
    return Cause(
        "assume_refused",
        f"EKS may not assume role {name} for {case.workload}, though its trust policy looks right.",
        f"Run again in some seconds if the trust policy was changed, for {NOT_YET}; otherwise ask whether a service "
        "or resource control policy of the organization forbids sts:AssumeRole or sts:TagSession.",
    )


def chain_refused(case: Case, association: Association) -> Cause:
    """The source role itself can be assumed: what refuses on the way from it to the target role?"""
    source, target = association.role_arn, association.target_role_arn
    facts = target_facts(case, association)
    if facts is not None and not facts.exists:
        return Cause(
            "target_role_missing",
            f"EKS cannot assume target role {target} of the association, for there is no such role.",
            "Create it (the role podidentity.eks.target_role does), or give the association another target role.",
        )
    context = chain_context(context_of(case, association), source, association.external_id)
    why = explain_target_refusal(facts.trust, context) if facts and facts.trust else ""
    if why:
        return target_trust_refused(association, f"because of the target's trust policy: {why}")
    lacking = lacks(case, association)
    if lacking and (facts is not None or not unread(case, association)):
        return target_permission_missing(association, lacking, unread(case, association))
    if lacking == [] and facts is None:
        return target_trust_refused(association, "whose trust policy could not be read; the source role itself may")
    return target_refused(association, facts)


def target_facts(case: Case, association: Association) -> RoleFacts | None:
    """What is known about the target role. That its name is unknown in the cluster's account says nothing of others."""
    facts = case.surroundings.role(association.target_role_arn)
    role, own = Role.from_arn(association.target_role_arn), Role.from_arn(association.role_arn)
    elsewhere = role is None or own is None or role.account != own.account
    return None if facts is None or (elsewhere and not facts.arn) else facts


def lacks(case: Case, association: Association) -> list[str] | None:
    """Which of the two actions the source role's inline policies do not allow on the target; None if not readable."""
    documents = case.surroundings.inline_policies.get(association.role_arn.rpartition("/")[2])
    if documents is None:
        return None
    actions = ASSUMING if association.session_tags else ASSUMING[:1]
    return [action for action in actions if not permits(documents, action, association.target_role_arn)]


def unread(case: Case, association: Association) -> t.Sequence[str]:
    """The source role's managed policies, whose documents nobody has looked at."""
    facts = case.surroundings.role(association.role_arn)
    return facts.managed if facts else ()


def target_permission_missing(association: Association, lacking: t.Sequence[str], unread: t.Sequence[str]) -> Cause:
    name, what = name_of(association.role_arn), " and ".join(lacking)
    others = f", as far as was read: not {' and '.join(unread)}" if unread else ""
    return Cause(
        "target_permission_missing",
        f"No policy of source role {name} of the association allows {what} on target role "
        f"{association.target_role_arn}{others}.",
        f"Give role {name} an inline policy that allows {what} on that ARN (the role podidentity.eks.iam_role does); "
        f"{NOT_YET}.",
    )


def target_trust_refused(association: Association, reason: str) -> Cause:
    name, condition = name_of(association.role_arn), ""
    if association.external_id:
        condition = f" where sts:ExternalId is {association.external_id}"
    return Cause(
        "target_trust_refused",
        f"EKS may assume role {name}, but from it not target role {association.target_role_arn}, {reason}.",
        f"Let the target's trust policy allow {association.role_arn} sts:AssumeRole{condition}, and sts:TagSession "
        f"(the role podidentity.eks.target_role does); {NOT_YET}.",
    )


def target_refused(association: Association, facts: RoleFacts | None) -> Cause:
    """Either side may be it."""
    looks = "the trust policies look right" if facts else "the target's trust policy could not be read"
    return Cause(
        "target_refused",
        f"EKS may assume role {name_of(association.role_arn)}, but from it not target role "
        f"{association.target_role_arn}; {looks}.",
        "Make sure that the source role is allowed sts:AssumeRole and sts:TagSession on the target, by its policies "
        "and its permissions boundary, that the target trusts it, and that no policy of the organization forbids it; "
        f"{NOT_YET}.",
    )
