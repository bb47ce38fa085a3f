# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What differs between a role as it is and as it will be, in words and as a diff."""

from __future__ import annotations

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._trust import document as trust
from ansible_collections.podidentity.eks.plugins.module_utils._trust.role import REVOKED_POLICY_NAME
from ansible_collections.podidentity.eks.plugins.module_utils._trust.role import Role
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import canonical

if t.TYPE_CHECKING:
    import collections.abc as c

#: Settings with one value.
SETTINGS = ("description", "boundary", "max_session_duration")


def told(before: Role | None, after: Role | None) -> c.Iterator[str]:
    """One short text for each change, in the order in which they are made; nothing where nothing changes."""
    if after is None:
        if before is not None:
            yield "delete the role"
        return
    if before is None:
        yield "create the role"
    yield from (str(change) for change in trust.differences(before.trust if before else None, after.trust))
    yield from policy_changes(before, after)
    yield from (f"set tag {key}={value}" for key, value in new_tags(before, after).items() if before is not None)
    for name in SETTINGS if before is not None else ():
        value = getattr(after, name)
        if value != getattr(before, name):
            yield f"set {name} to {value}" if value is not None else f"remove {name}"


def policy_changes(before: Role | None, after: Role) -> c.Iterator[str]:
    """Managed and inline policies that come and go."""
    attached = before.managed_policies if before else {}
    yield from (f"attach {name}" for arn, name in after.managed_policies.items() if arn not in attached)
    yield from (f"detach {name}" for arn, name in attached.items() if arn not in after.managed_policies)
    inline = before.inline_policies if before else {}
    for name, document in after.inline_policies.items():
        if name not in inline or document != inline[name]:
            words = "revoke sessions by inline policy" if name == REVOKED_POLICY_NAME else "write inline policy"
            yield f"{words} {name}"
    yield from (f"remove inline policy {name}" for name in inline if name not in after.inline_policies)


def new_tags(before: Role | None, after: Role) -> dict[str, str]:
    """Tags that are to be set."""
    there = before.tags if before else {}
    return {key: value for key, value in after.tags.items() if there.get(key) != value}


def diff(before: Role | None, after: Role | None) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """Both sides of a role with the settings that differ, and policies with their unchanged statements as context."""
    return differing(shown(before), shown(after))


def shown(role: Role | None) -> dict[str, t.Any]:
    """A role as a person reads it."""
    if role is None:
        return {}
    policies = role.inline_policies.items()
    values = {
        "path": role.path,
        "description": role.description,
        "boundary": role.boundary,
        "max_session_duration": role.max_session_duration,
        "tags": dict(role.tags),
        "managed_policies": sorted(role.managed_policies),
        "inline_policies": {name: "not looked at" if one is None else trust.labelled(one) for name, one in policies},
        "trust": trust.labelled(role.trust),
    }
    return {name: value for name, value in values.items() if value}


def differing(before: t.Any, after: t.Any) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """Two mappings without what is the same in both; a policy that differs is shown whole, as one reads it."""
    left: dict[str, t.Any] = {}
    right: dict[str, t.Any] = {}
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if old == new or (is_policy(old) and is_policy(new) and canonical(old) == canonical(new)):
            continue
        if isinstance(old, dict) and isinstance(new, dict) and not is_policy({**old, **new}):
            old, new = differing(old, new)
        left |= {key: old} if key in before else {}
        right |= {key: new} if key in after else {}
    return left, right


def is_policy(value: t.Any) -> bool:
    """Whether a value is statements by their names."""
    values = value.values() if isinstance(value, t.Mapping) else ()
    return any(isinstance(one, t.Mapping) and "Effect" in one for one in values)
