# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Variables in policies, such as ``${aws:PrincipalTag/team}``, which ministack reads as plain text.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html: they appear in resources and in
values of conditions and may have a default value. If the request has no such key, the text matches nothing.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

#: ``${key}`` or ``${key, 'default'}``.
VARIABLE = re.compile(r"\$\{\s*(?P<key>[^},\s]+)\s*(,\s*'(?P<default>[^']*)'\s*)?\}")
#: ``${*}`` and similar variables mean the character itself.
CHARACTERS = ("*", "?", "$")
WILDCARDS = re.compile(r"[*?]")


def expand_variables(evaluator: t.Any) -> None:
    """Let ministack's evaluator see each statement with its variables replaced for the request."""
    first_match = evaluator._first_match

    def match(context: t.Any, statements: list[t.Any], effect: str) -> t.Any:
        def value_of(key: str) -> t.Any:
            return evaluator._resolve_condition_key(key, context)

        return first_match(context, [_expanded(statement, value_of) for statement in statements], effect)

    evaluator._first_match = match


def _expanded(statement: t.Any, value_of: t.Callable[[str], t.Any]) -> t.Any:
    if "${" not in f"{statement.resources}{statement.not_resources}{statement.conditions}":
        return statement
    return dataclasses.replace(
        statement,
        resources=[_replaced(text, value_of) for text in statement.resources],
        not_resources=[_replaced(text, value_of) for text in statement.not_resources],
        conditions={
            operator: {key: _values(values, value_of) for key, values in keys.items()}
            for operator, keys in statement.conditions.items()
        },
    )


def _values(values: t.Any, value_of: t.Callable[[str], t.Any]) -> t.Any:
    if isinstance(values, list):
        return [_values(value, value_of) for value in values]
    return _replaced(values, value_of) if isinstance(values, str) else values


def _replaced(text: str, value_of: t.Callable[[str], t.Any]) -> str:
    """The text for this request; what has no value stays as it is written, and so matches nothing.

    In AWS a wildcard in a value is a literal character. ministack's patterns cannot express it: it matches nothing.
    """

    def value(match: re.Match[str]) -> str:
        key = match["key"]
        found = key if key in CHARACTERS else value_of(key)
        found = match["default"] if found is None else found
        usable = isinstance(found, str) and not WILDCARDS.search(found)
        return str(found) if usable else match[0].replace("*", "").replace("?", "")

    return VARIABLE.sub(value, text)
