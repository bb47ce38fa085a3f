# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Roles that trust a cluster's workloads which have no association any more."""

from __future__ import annotations

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import Finding
from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import Found
from ansible_collections.podidentity.eks.plugins.module_utils._access.scope import CLUSTER_ARNS
from ansible_collections.podidentity.eks.plugins.module_utils._access.scope import NAMESPACE_KEY
from ansible_collections.podidentity.eks.plugins.module_utils._access.scope import SERVICE_ACCOUNT_KEY
from ansible_collections.podidentity.eks.plugins.module_utils._access.scope import admitting_statements
from ansible_collections.podidentity.eks.plugins.module_utils._access.scope import names
from ansible_collections.podidentity.eks.plugins.module_utils._access.scope import narrowing_conditions
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import mismatch
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import session_context

#: Namespace and service account, None where a trust policy does not name them.
Workload = tuple[str | None, str | None]  # pylint: disable=unsupported-binary-operation
#: The role's name, namespace and service account of each association that there is.
Used = t.AbstractSet[tuple[str, str, str]]


def left_over(trusts: t.Iterable[tuple[str, t.Any]], cluster_arn: str, used: Used) -> list[Found]:
    """What roles trust of this cluster, by its ARN, although no association uses it, in the order of their names.

    Statements without a condition on the cluster may be meant for another one, so they are left out.

    :param trusts: name and trust policy of the roles of the cluster's account.
    """
    found = {
        (name, *workload)
        for name, trust in trusts
        for statement in admitting_statements(trust)
        for workload in trusted_workloads(statement, cluster_arn)
        if not any(matches(name, workload, one) for one in used)
    }
    return [rendered(*one) for one in sorted(found, key=lambda one: [word or "" for word in one])]


def trusted_workloads(statement: t.Mapping[str, t.Any], cluster_arn: str) -> list[Workload]:
    """The workloads of a cluster that a statement is about; none where it does not name the cluster."""
    conditions = narrowing_conditions(statement)
    if not any(cluster_arn in names(conditions, key) for key in CLUSTER_ARNS):
        return []
    namespaces: t.Sequence[str | None] = names(conditions, NAMESPACE_KEY) or [None]
    service_accounts: t.Sequence[str | None] = names(conditions, SERVICE_ACCOUNT_KEY) or [None]
    pairs = [(namespace, name) for namespace in namespaces for name in service_accounts]
    # It may be another condition that keeps them out, and then it is no trust that was left behind.
    return [pair for pair in pairs if not mismatch(statement, session_context(cluster_arn, *texts(pair), True))]


def texts(workload: Workload) -> tuple[str, str]:
    """A workload as a session has it; any name does where none is asked for."""
    namespace, service_account = workload
    return namespace or "any", service_account or "any"


def matches(role: str, workload: Workload, used: tuple[str, str, str]) -> bool:
    """Whether an association uses what a statement allows."""
    used_role, *names_used = used
    return used_role == role and all(wanted in (None, name) for wanted, name in zip(workload, names_used, strict=True))


def rendered(role: str, namespace: str | None, service_account: str | None) -> Found:
    """One of them as the module returns it."""
    whom = f"{namespace or 'any namespace'}/{service_account or 'any service account'}"
    finding = Finding(
        id="trust_left_over",
        severity="info",
        text=f"Role {role} still trusts {whom} of this cluster, which has no association with it.",
        advice="Take the statement out of the role's trust policy, or delete the role if nothing else uses it.",
    )
    return {
        "role_name": role,
        "namespace": namespace,
        "service_account": service_account,
        "findings": [finding.render()],
    }
