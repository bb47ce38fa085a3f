# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Session policies: read, written and compared."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies


def parse_policy(text: str) -> dict[str, t.Any] | None:
    """The policy document in a text, or None where there is none."""
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) and "Statement" in document else None


def compact(document: t.Mapping[str, t.Any]) -> str:
    """A policy as it is sent: without white space, which would count against the limit."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def policies_differ(current: str, declared: str) -> bool:
    """Whether two policies do not mean the same, whatever their text."""
    there = parse_policy(current)
    return there is None or bool(compare_policies(there, json.loads(declared)))
