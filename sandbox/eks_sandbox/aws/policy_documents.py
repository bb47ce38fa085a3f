# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The grammar of IAM's policy documents, with IAM's own messages for errors (MalformedPolicyDocument).

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

from __future__ import annotations

import json
import re
import typing as t

#: Older documents may have this version, or none.
VERSIONS = ("2012-10-17", "2008-10-17")
SYNTAX = "Syntax errors in policy."

Statement = dict[str, t.Any]

_TOP_ELEMENTS = {"Version", "Id", "Statement"}
_PERMISSION_ELEMENTS = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}
_OPERATORS = {
    *("StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"),
    *("StringLike", "StringNotLike", "Bool", "BinaryEquals", "Null"),
    *("NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals"),
    *("NumericGreaterThan", "NumericGreaterThanEquals", "IpAddress", "NotIpAddress"),
    *("DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals"),
    *("DateGreaterThan", "DateGreaterThanEquals"),
    *("ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"),
}


class Malformed(ValueError):
    """A document that IAM refuses; the text is IAM's."""


def statements(policy: t.Any) -> list[t.Any]:
    """A policy's statements as a list; IAM also takes a single object."""
    found = policy.get("Statement") if isinstance(policy, dict) else None
    return found if isinstance(found, list) else [found] if found else []


def as_list(value: t.Any) -> list[t.Any]:
    """IAM lets most elements be one value or a list of values."""
    return value if isinstance(value, list) else [] if value is None else [value]


def size(document: str) -> int:
    """Characters that count towards IAM's quotas: all but white space."""
    return len(re.sub(r"\s", "", document))


def parse(document: str, elements: t.Collection[str], not_json: str = SYNTAX) -> dict[str, t.Any]:
    """The document as an object whose statements have these elements only, an effect and known conditions.

    ``not_json``: the message for invalid JSON, which differs between the kinds of policies.
    Raises Malformed.
    """
    try:
        policy = json.loads(document)
    except ValueError as error:
        raise Malformed(not_json) from error
    if not isinstance(policy, dict) or policy.get("Version", VERSIONS[0]) not in VERSIONS:
        raise Malformed("The policy must contain a valid version string")
    found = statements(policy)
    if not found or set(policy) - _TOP_ELEMENTS:
        raise Malformed(SYNTAX)
    for statement in found:
        _check_statement(statement, elements)
    identifiers = [statement["Sid"] for statement in found if statement.get("Sid")]
    if len(identifiers) != len(set(identifiers)):
        raise Malformed("Statement IDs (SID) in a single policy must be unique.")
    return policy


def check_permissions(document: str) -> None:
    """Refuse what IAM refuses as a permissions policy, a permissions boundary or a session policy; raises Malformed."""
    policy = parse(document, {*_PERMISSION_ELEMENTS, "Principal", "NotPrincipal"})
    if policy.get("Version") != VERSIONS[0]:
        raise Malformed("Policy document must be version 2012-10-17 or greater.")
    for statement in statements(policy):
        if {"Principal", "NotPrincipal"} & set(statement):
            raise Malformed("Policy document should not specify a principal.")
        _check_actions(_texts(statement, "Action"))
        _check_resources(_texts(statement, "Resource"))


def _check_statement(statement: t.Any, elements: t.Collection[str]) -> None:
    if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
        raise Malformed(SYNTAX)
    if set(statement) - set(elements):
        raise Malformed(SYNTAX)
    if not re.fullmatch(r"[0-9A-Za-z]*", str(statement.get("Sid", ""))):
        raise Malformed(
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression "
            "[0-9A-Za-z]*"
        )
    conditions = statement.get("Condition", {})
    if not isinstance(conditions, dict):
        raise Malformed(SYNTAX)
    for operator, keys in conditions.items():
        plain = re.sub(r"^For(AllValues|AnyValue):|IfExists$", "", operator)
        if plain not in _OPERATORS or not isinstance(keys, dict):
            raise Malformed(SYNTAX)


def _texts(statement: Statement, element: str) -> list[str]:
    """The values of an element or of its negation; exactly one of the two is given, as a text or a list of texts."""
    given = [name for name in (element, f"Not{element}") if name in statement]
    if len(given) > 1:
        raise Malformed(SYNTAX)
    values = as_list(statement[given[0]]) if given else []
    if not values:
        raise Malformed(f"Policy statement must contain {element.lower()}s.")
    if not all(isinstance(value, str) for value in values):
        raise Malformed(SYNTAX)
    return values


def _check_actions(actions: t.Iterable[str]) -> None:
    for action in actions:
        vendor, colon, name = action.partition(":")
        if action != "*" and not colon:
            raise Malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
        if ":" in name:
            raise Malformed("Actions/Condition can contain only one colon.")
        if vendor != "*" and not re.fullmatch(r"[A-Za-z0-9.-]+", vendor):
            raise Malformed(f"Vendor {vendor} is not valid")


def _check_resources(resources: t.Iterable[str]) -> None:
    for resource in resources:
        if resource == "*":
            continue
        parts = resource.split(":", 5)
        if parts[0] != "arn":
            raise Malformed(f'Resource {resource} must be in ARN format or "*".')
        if len(parts) > 1 and not re.fullmatch(r"aws(-[a-z]+)*|\*", parts[1]):
            padded = [*parts, "*", "*", "*", "*"][:6]
            raise Malformed(f'Partition "{parts[1]}" is not valid for resource "{":".join(padded)}".')
        if len(parts) < 6:
            raise Malformed("The policy failed legacy parsing")
        if parts[2] == "iam" and parts[3]:
            raise Malformed(f"IAM resource {resource} cannot contain region information.")
        if (
            parts[2] == "s3"
            and (parts[3] or parts[4])
            and not parts[5].startswith(("accesspoint", "storage-lens", "job"))
        ):
            raise Malformed(f"Resource {resource} can not contain region information.")
