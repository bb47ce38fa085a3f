# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What is wrong, or should be known, about one workload and its roles."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import Finding
from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import Policy
from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import Role
from ansible_collections.podidentity.eks.plugins.module_utils._access.permissions import may_assume
from ansible_collections.podidentity.eks.plugins.module_utils._access.permissions import wildcards
from ansible_collections.podidentity.eks.plugins.module_utils._access.scope import Scope
from ansible_collections.podidentity.eks.plugins.module_utils._access.scope import trust_scope
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import chain_context
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import explain_refusal
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import explain_target_refusal
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import session_context

if t.TYPE_CHECKING:
    import collections.abc as c

#: What EKS does to a role.
ASSUME, TAG = "sts:AssumeRole", "sts:TagSession"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """One association with its roles: what is judged."""

    cluster_arn: str
    namespace: str
    service_account: str
    session_tags: bool
    #: Whether a session policy narrows what the pods may do.
    session_policy: bool
    external_id: str
    role: Role
    target: Role | None = None

    def context(self, session_tags: bool) -> dict[str, str]:
        """What EKS sends when it assumes the role."""
        return session_context(self.cluster_arn, self.namespace, self.service_account, session_tags)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service_account}"


def scope_of(subject: Subject) -> Scope:
    """How far the trust policy of the role goes, seen from this association."""
    role = subject.role
    if role.exists is False:
        return Scope("none", "there is no such role")
    if role.trust is None:
        return Scope("unknown", role.note or "its trust policy could not be read")
    return trust_scope(role.trust, subject.context(subject.session_tags))


def findings_of(subject: Subject) -> c.Iterator[Finding]:
    """Everything that is to be said about a workload and its roles."""
    yield from role_findings(subject)
    if subject.target:
        yield from target_findings(subject, subject.target)
    for role in filter(None, (subject.role, subject.target)):
        # A session policy narrows the session that the pods get in the end.
        narrowed = subject.session_policy and role is (subject.target or subject.role)
        if not narrowed:
            yield from wildcard_findings(role)


def undeclared_finding(subject: Subject) -> Finding:
    """An association that was created here, and that is no longer declared."""
    return Finding(
        id="undeclared",
        severity="warning",
        text=f"The association of {subject} was created by this collection and is no longer declared: its pods keep "
        f"the access of role {subject.role.name}.",
        advice="Declare the workload again, or remove it with podidentity_purge: cluster.",
    )


# --- the role ---------------------------------------------------------------------------------------------------------


def role_findings(subject: Subject) -> c.Iterator[Finding]:
    """Whether EKS may assume the role, and who else may have it."""
    role = subject.role
    if role.exists is False:
        yield Finding(
            id="role_missing",
            severity="error",
            text=f"Role {role.arn} does not exist{f' ({role.note})' if role.note else ''}: pods get no credentials.",
            advice="Create the role (the role podidentity.eks.iam_role does), or give the association another one.",
        )
    elif role.note:
        yield unreadable("role_unreadable", f"Role {role.name}", role)
    if role.exists and role.trust is not None:
        yield from trust_findings(subject, trust_scope(role.trust, subject.context(subject.session_tags)))


def trust_findings(subject: Subject, scope: Scope) -> c.Iterator[Finding]:
    """What the trust policy of the role does to this workload, and to others."""
    role = subject.role
    if scope.scope == "none":
        yield refusal(subject, scope)
    elif scope.scope == "open":
        yield Finding(
            id="trust_open",
            severity="warning",
            text=f"Whoever may pass role {role.name} can use it for any workload of any cluster in account "
            f"{role.account}: {scope.reason} ({role.arn}).",
            advice="Name the cluster, the namespace and the service account in the conditions of its trust policy (the "
            "filter podidentity.eks.pod_identity_trust_policy writes them), and take the open statement out.",
        )
    elif scope.scope == "account":
        yield Finding(
            id="trust_account",
            severity="info",
            text=f"Role {role.name} can be used in every cluster of account {role.account}: {scope.reason} "
            f"({role.arn}).",
            advice="Name the cluster in the conditions of its trust policy, as aws:SourceArn.",
        )


def refusal(subject: Subject, scope: Scope) -> Finding:
    """The role's trust policy keeps EKS out; whether that is because of the session tags, which are off."""
    role = subject.role
    text = f"EKS may not assume role {role.name} for {subject}: {scope.reason}."
    if not subject.session_tags and not explain_refusal(role.trust, subject.context(True)):
        return Finding(
            id="session_tags_off",
            severity="error",
            text=text,
            advice="Switch the session tags of the association on, or take the conditions on aws:RequestTag out of the "
            "role's trust policy and keep those on aws:SourceArn and aws:SourceAccount.",
        )
    return Finding(
        id="trust_refuses",
        severity="error",
        text=text,
        advice=f"Put the trust policy of role {role.name} right; the filter podidentity.eks.pod_identity_trust_policy "
        "writes it for this workload.",
    )


def unreadable(name: str, what: str, role: Role) -> Finding:
    """A role that could not be read, as a whole or in part."""
    return Finding(
        id=name,
        severity="info",
        text=f"{what} could not be read{' in full' if role.exists else ''}: {role.note}.",
        advice="Run with credentials that may call iam:GetRole, iam:ListAttachedRolePolicies and iam:ListRolePolicies "
        "there, and for the documents also iam:GetRolePolicy, iam:GetPolicy and iam:GetPolicyVersion.",
    )


# --- the target role --------------------------------------------------------------------------------------------------


def target_findings(subject: Subject, target: Role) -> c.Iterator[Finding]:
    """Whether EKS gets from the role to the target role, as far as both can be read."""
    if target.exists is False:
        yield Finding(
            id="target_role_missing",
            severity="error",
            text=f"Target role {target.arn} does not exist{f' ({target.note})' if target.note else ''}: pods get no "
            "credentials.",
            advice="Create the target role, or give the association another one.",
        )
    elif target.note:
        yield unreadable("target_role_unreadable", f"Target role {target.arn}", target)
    if target.trust is not None:
        yield from target_trust_findings(subject, target)
    yield from permission_findings(subject, target)


def target_trust_findings(subject: Subject, target: Role) -> c.Iterator[Finding]:
    """Whether the target role's trust policy lets the role in."""
    session = subject.context(subject.session_tags)
    context = chain_context(session, subject.role.arn, subject.external_id)
    why = explain_target_refusal(target.trust, context)
    if why:
        yield Finding(
            id="target_trust_refuses",
            severity="error",
            text=f"Role {subject.role.name} may not assume target role {target.name} for {subject}: {why}.",
            advice=f"Let the trust policy of {target.arn} allow {subject.role.arn} {ASSUME} and {TAG}"
            + (f", with sts:ExternalId {subject.external_id} if it asks for one." if subject.external_id else "."),
        )


def permission_findings(subject: Subject, target: Role) -> c.Iterator[Finding]:
    """Whether the policies of the role allow it to assume the target role."""
    lacking = may_assume(subject.role, target.arn, (ASSUME, TAG) if subject.session_tags else (ASSUME,))
    if lacking:
        yield Finding(
            id="target_permission_missing",
            severity="error",
            text=f"No policy of role {subject.role.name} allows {' and '.join(lacking)} on target role {target.arn}.",
            advice=f"Give role {subject.role.name} a policy that allows {ASSUME} and {TAG} on that ARN.",
        )


# --- permissions ------------------------------------------------------------------------------------------------------


def wildcard_findings(role: Role) -> c.Iterator[Finding]:
    """Policies that allow everything; a permissions boundary may narrow them."""
    boundary = role.permissions_boundary
    for policy in role.policies:
        allowed = wildcards(policy.name, policy.arn, policy.document)
        if allowed:
            yield Finding(
                id="wildcard_permissions",
                severity="info" if boundary else "warning",
                text=f"{told(policy)} of role {role.name} {allowed}"
                f"{f', within the permissions boundary {boundary}' if boundary else ''} ({role.arn}).",
                advice="Allow the actions and resources that the workload uses; the filter "
                "podidentity.eks.pod_identity_policy has policies for well-known controllers.",
            )


def told(policy: Policy) -> str:
    return f"Policy {policy.name}" if policy.arn else f"Inline policy {policy.name}"
