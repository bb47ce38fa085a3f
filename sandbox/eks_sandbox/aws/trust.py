# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules for trust policies: what IAM accepts, and what EKS Pod Identity asks of a role."""

from __future__ import annotations

import json
import re
import typing as t

POD_IDENTITY_PRINCIPAL = "pods.eks.amazonaws.com"
#: Quota "role trust policy length" of IAM, in characters without white space.
TRUST_POLICY_SIZE = 2048

_STATEMENT_KEYS = {"Sid", "Effect", "Principal", "Action", "NotAction", "Condition"}
_PRINCIPAL_TYPES = {"AWS", "Service", "Federated", "CanonicalUser"}
_OPERATORS = {
    *("StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"),
    *("StringLike", "StringNotLike", "Bool", "BinaryEquals", "Null"),
    *("NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals"),
    *("NumericGreaterThan", "NumericGreaterThanEquals", "IpAddress", "NotIpAddress"),
    *("DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals"),
    *("DateGreaterThan", "DateGreaterThanEquals"),
    *("ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"),
}


def malformed(document: str) -> str | None:
    """IAM's words for what is wrong with this trust policy (MalformedPolicyDocument), or None when it is well formed.

    The checks are those of the IAM grammar for trust policies:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
    """
    try:
        policy = json.loads(document)
    except ValueError:
        return "This policy contains invalid Json"
    if not isinstance(policy, dict) or policy.get("Version", "2012-10-17") not in ("2012-10-17", "2008-10-17"):
        return "The policy must contain a valid version string"
    found = statements(policy)
    if not found or set(policy) - {"Version", "Id", "Statement"}:
        return "Syntax errors in policy."
    for statement in found:
        problem = _statement_problem(statement)
        if problem:
            return problem
    sids = [statement["Sid"] for statement in found if statement.get("Sid")]
    if len(sids) != len(set(sids)):
        return "Statement IDs (SID) in a single policy must be unique."
    return None


def size(document: str) -> int:
    """Characters that count towards the quota: all but white space."""
    return len(re.sub(r"\s", "", document))


def statements(policy: t.Any) -> list[t.Any]:
    """A policy's statements as a list; IAM also takes a single object."""
    found = policy.get("Statement") if isinstance(policy, dict) else None
    return found if isinstance(found, list) else [found] if found else []


def as_list(value: t.Any) -> list[t.Any]:
    """IAM lets most elements be one value or a list of values."""
    return value if isinstance(value, list) else [] if value is None else [value]


def for_service(document: str, service: str) -> dict[str, t.Any]:
    """The part of a trust policy that speaks to a service principal: what names it, and what denies everybody.

    An Allow for ``*`` does not let a service in.
    """
    kept = []
    for statement in statements(json.loads(document)):
        principal = statement.get("Principal")
        named = isinstance(principal, dict) and service in as_list(principal.get("Service"))
        everybody = principal == "*" or (isinstance(principal, dict) and "*" in as_list(principal.get("AWS")))
        if named or (everybody and statement["Effect"] == "Deny"):
            kept.append({**statement, "Principal": "*"})
    return {"Version": "2012-10-17", "Statement": kept}


def names_service(document: str, service: str, actions: t.Iterable[str]) -> bool:
    """Whether a trust policy allows this service principal all these actions, conditions left aside."""
    allowed = [
        pattern
        for statement in for_service(document, service)["Statement"]
        if statement["Effect"] == "Allow"
        for pattern in as_list(statement.get("Action"))
    ]
    return all(any(_action_matches(pattern, action) for pattern in allowed) for action in actions)


def _action_matches(pattern: str, action: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, action, re.IGNORECASE) is not None


def _statement_problem(statement: t.Any) -> str | None:
    if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
        return "Syntax errors in policy."
    if "Resource" in statement or "NotResource" in statement:
        return "Has prohibited field Resource"
    if "NotPrincipal" in statement:
        return "AssumeRole policy must not contain NotPrincipal field."
    if set(statement) - _STATEMENT_KEYS:
        return "Syntax errors in policy."
    if not re.fullmatch(r"[0-9A-Za-z]*", str(statement.get("Sid", ""))):
        return (
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression "
            "[0-9A-Za-z]*"
        )
    return (
        _principal_problem(statement.get("Principal"))
        or _action_problem(statement)
        or _condition_problem(statement.get("Condition", {}))
    )


def _principal_problem(principal: t.Any) -> str | None:
    if not principal:
        return "Missing required field Principal"
    if principal == "*":
        return None
    if not isinstance(principal, dict) or set(principal) - _PRINCIPAL_TYPES:
        return "Syntax errors in policy."
    for service in as_list(principal.get("Service")):
        if not isinstance(service, str) or not re.fullmatch(r"[a-z0-9.-]+\.amazonaws\.com(\.cn)?", service):
            return f'Invalid principal in policy: "SERVICE":"{service}"'
    for account in as_list(principal.get("AWS")):
        if not re.fullmatch(r"\*|\d{12}|A[A-Z0-9]{15,}|arn:aws[a-z-]*:(iam|sts)::\d{12}:.+", str(account)):
            return f'Invalid principal in policy: "AWS":"{account}"'
    return None


def _action_problem(statement: dict[str, t.Any]) -> str | None:
    actions = as_list(statement.get("Action", statement.get("NotAction")))
    if not actions:
        return "Missing required field Action"
    if not all(isinstance(action, str) and re.match(r"(?i)sts:.|\*$", action) for action in actions):
        return "AssumeRole policy may only specify STS AssumeRole actions."
    return None


def _condition_problem(condition: t.Any) -> str | None:
    if not isinstance(condition, dict):
        return "Syntax errors in policy."
    for operator, keys in condition.items():
        plain = re.sub(r"^For(AllValues|AnyValue):|IfExists$", "", operator)
        if plain not in _OPERATORS or not isinstance(keys, dict):
            return "Syntax errors in policy."
    return None
