# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The items of a plan: one for each resource that a run creates, updates or deletes, the same in check mode."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    import collections.abc as c

Mapping = t.Mapping[str, t.Any]
#: ``kind``, ``name``, ``action`` and ``changes``, the fields that change with their values before and after.
Item = dict[str, t.Any]
#: What a module's first operations begin with, and what that is called.
ACTIONS = {"create_": "create", "delete_": "delete"}
#: What only EKS knows before it is done, or what says no more than the others.
UNTOLD = frozenset({"status", "health", "created_at", "modified_at", "pod_identity", "oidc_issuer", "auto_mode"})


def created(kind: str, name: str, **fields: t.Any) -> Item:
    """The item of a resource that does not exist yet."""
    values = {key: {"before": None, "after": value} for key, value in fields.items()}
    return {"kind": kind, "name": name, "action": "create", "changes": values}


def of_operations(kind: str, name: str, operations: t.Sequence[str], fields: Mapping) -> Item | None:
    """The item of a resource that a module of this collection changes, None where it does not.

    :param operations: the API operations, such as ``create_nodegroup``.
    :param fields: the fields that change.
    """
    if not operations:
        return None
    action = _action(operations)
    return {"kind": kind, "name": name, "action": action, "changes": dict(_told(action, fields))}


def _action(operations: t.Sequence[str]) -> str:
    """Created and deleted is replaced."""
    first = {word for operation in operations for prefix, word in ACTIONS.items() if operation.startswith(prefix)}
    return "replace" if len(first) > 1 else next(iter(first), "update")


def _told(action: str, fields: Mapping) -> c.Iterator[tuple[str, Mapping]]:
    """What is deleted goes with all its fields, and which image an update brings only EKS knows."""
    for field, values in fields.items() if action != "delete" else ():
        if field not in UNTOLD and (field != "release_version" or values["after"]):
            yield field, values
