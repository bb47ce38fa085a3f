# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""How far a role's trust policy lets EKS Pod Identity go: to one workload, a cluster, an account, or everywhere."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import mapping
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import explain_refusal
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import mismatch
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import statements_of
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import SERVICE
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import allows
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import as_list
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import services

ScopeName = t.Literal["workload", "cluster", "account", "open", "none", "unknown"]

#: The narrowest first.
WIDTHS: tuple[ScopeName, ...] = ("workload", "cluster", "account", "open")
#: Operators that narrow a statement to their values. Negated ones leave everything else in.
NARROWING = {"stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike"}
TAG = "aws:requesttag/"
#: Which condition keys name what.
CLUSTER_ARNS = ("aws:sourcearn", f"{TAG}eks-cluster-arn")
CLUSTER_KEYS = (*CLUSTER_ARNS, f"{TAG}eks-cluster-name")
NAMESPACE_KEY = f"{TAG}kubernetes-namespace"
SERVICE_ACCOUNT_KEY = f"{TAG}kubernetes-service-account"
ACCOUNT_KEYS = ("aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths")

#: Condition keys in lower case, each with the values of all its tests, every one of which must hold.
Conditions = dict[str, list[list[str]]]


@dataclasses.dataclass(frozen=True)
class Scope:
    """Whom a trust policy lets in beside the association that was asked about, and how that is known."""

    scope: ScopeName
    reason: str


def trust_scope(document: t.Any, context: t.Mapping[str, str]) -> Scope:
    """How far a trust policy goes that is read for the association with this session context.

    It is as wide as the widest of the statements that let this association in.
    """
    refusal = explain_refusal(document, context)
    if refusal:
        return Scope("none", refusal)
    found = [
        statement_scope(statement) for statement in admitting_statements(document) if not mismatch(statement, context)
    ]
    widest = max(found, key=lambda scope: WIDTHS.index(scope.scope))
    if any(item.get("Effect") == "Deny" for item in statements_of(document)):
        return Scope(widest.scope, f"{widest.reason}; a Deny in it, which is not judged here, may narrow that")
    return widest


def admitting_statements(document: t.Any) -> list[t.Mapping[str, t.Any]]:
    """The statements that let EKS Pod Identity assume the role, whatever their conditions."""
    return [
        statement
        for statement in statements_of(document)
        if statement.get("Effect") == "Allow" and SERVICE in services(statement) and allows(statement, "sts:AssumeRole")
    ]


def statement_scope(statement: t.Mapping[str, t.Any]) -> Scope:
    """How far one statement goes."""
    conditions = narrowing_conditions(statement)
    named = {
        "the cluster": any(names(conditions, key) for key in CLUSTER_KEYS),
        "the namespace": bool(names(conditions, NAMESPACE_KEY)),
        "the service account": bool(names(conditions, SERVICE_ACCOUNT_KEY)),
    }
    told = [what for what, is_named in named.items() if is_named]
    untold = [what for what, is_named in named.items() if not is_named]
    if not untold:
        return Scope("workload", f"its conditions name {joined(told)}")
    if named["the cluster"]:
        return Scope("cluster", f"its conditions name {joined(told)}, but not {joined(untold, 'or')}")
    if told:
        return Scope("account", f"its conditions name {joined(told)}, but not {joined(untold, 'or')}")
    if names_account(conditions):
        return Scope("account", "its conditions name the account or the organization, but no cluster")
    return Scope("open", "no condition of it names a cluster, a namespace, a service account or an account")


def narrowing_conditions(statement: t.Mapping[str, t.Any]) -> Conditions:
    """What a statement's conditions narrow it to."""
    found: Conditions = {}
    for operator, tests in mapping(statement.get("Condition")).items():
        name = str(operator).lower().removeprefix("foranyvalue:")
        for key, values in mapping(tests).items():
            # Without session tags the key is missing, and then such a condition lets everybody in.
            optional = name.endswith("ifexists") and str(key).lower().startswith(TAG)
            if name.removesuffix("ifexists") in NARROWING and not optional:
                found.setdefault(str(key).lower(), []).append([str(value) for value in as_list(values)])
    return found


def names(conditions: Conditions, key: str) -> list[str]:
    """The names that a condition key is narrowed to, empty where there are none, or only patterns."""
    return next((values for values in conditions.get(key, []) if values and not any(map(is_pattern, values))), [])


def is_pattern(value: str) -> bool:
    return "*" in value or "?" in value


def names_account(conditions: Conditions) -> bool:
    """Whether conditions name an account, on its own or in the pattern of a cluster's ARN, or an organization."""
    tests = [arns for key in CLUSTER_ARNS for arns in conditions.get(key, []) if arns]
    return any(names(conditions, key) for key in ACCOUNT_KEYS) or any(
        not any(is_pattern((arn.split(":") + ["*"] * 5)[4]) for arn in arns) for arns in tests
    )


def joined(words: t.Sequence[str], conjunction: str = "and") -> str:
    """Words as in a sentence."""
    return f" {conjunction} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
