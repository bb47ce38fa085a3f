# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What a run of the role ``cluster`` changes, item by item, in check mode as in the run."""

from __future__ import annotations

import typing as t

from . import network

if t.TYPE_CHECKING:
    import collections.abc as c

Mapping = t.Mapping[str, t.Any]
Change = dict[str, t.Any]
#: What a module's first operations begin with, and what that is called.
ACTIONS = {"create_": "create", "delete_": "delete"}
#: What EKS keeps to itself before it is done, or what says no more than the others.
UNTOLD = frozenset({"status", "health", "created_at", "modified_at", "pod_identity", "oidc_issuer", "auto_mode"})


def plan(parts: Mapping, cluster_name: str, cidr: str) -> list[Change]:
    """One item for each resource, in the order of the run.

    :param parts: ``observed``; ``roles``, ``security_groups`` and ``launch_templates`` that differ; the ``network``
        plan, None where none is made; and the results of the modules: ``cluster``, ``access_entries``, ``nodegroups``
        and ``addons``.
    """
    observed = parts.get("observed") or {}
    found = [_role(one, observed) for one in parts.get("roles") or ()]
    if parts.get("network"):
        found += network.changes(parts["network"], observed, cluster_name, cidr)
    found += results([parts.get("cluster") or {}], "cluster", lambda _result: cluster_name)
    found += results(parts.get("access_entries"), "access entry", lambda result: result["item"]["principal_arn"])
    there = {one["group_name"] for one in observed.get("security_groups") or ()}
    found += [_named(one["full_name"], "security group", there) for one in parts.get("security_groups") or ()]
    templates = {one["launch_template_name"] for one in observed.get("launch_templates") or ()}
    found += [_named(one["name"], "launch template", templates) for one in parts.get("launch_templates") or ()]
    for part, kind in (("nodegroups", "node group"), ("addons", "add-on")):
        found += results(parts.get(part), kind, lambda result: result["item"]["name"])
    return found


def results(answers: object, kind: str, name: t.Callable[[Mapping], str]) -> list[Change]:
    """The items for what modules of this collection did, or would do in check mode."""
    found = []
    for one in answers if isinstance(answers, list) else ():
        if one.get("changed") and "actions" in one:
            action = _action(one["actions"])
            changes = dict(_told(action, one["changes"]))
            found.append({"kind": kind, "name": name(one), "action": action, "changes": changes})
    return found


def _action(operations: t.Sequence[str]) -> str:
    """Deleted and created is replaced: that the role has begun with the other says so."""
    first = {word for operation in operations for prefix, word in ACTIONS.items() if operation.startswith(prefix)}
    return "replace" if len(first) > 1 else next(iter(first), "update")


def _told(action: str, changes: Mapping) -> c.Iterator[tuple[str, Mapping]]:
    """What is deleted goes with all its fields, and which image an update brings only EKS knows."""
    for field, values in changes.items() if action != "delete" else ():
        if field not in UNTOLD and (field != "release_version" or values["after"]):
            yield field, values


def _named(name: str, kind: str, there: t.Collection[str]) -> Change:
    return {"kind": kind, "name": name, "action": "update" if name in there else "create", "changes": {}}


def _role(declared: Mapping, observed: Mapping) -> Change:
    """A role of the cluster or of its nodes; policies of others that are attached to it stay."""
    found = next((one for one in observed.get("roles") or () if one["name"] == declared["name"]), None)
    before = found or {}
    attached = list(before.get("managed_policies") or ())
    boundary = before.get("permissions_boundary")
    sides = {
        "trust_policy": (before.get("trust_policy"), declared["trust"]),
        "managed_policies": (attached, sorted({*attached, *declared["policies"]})),
        "permissions_boundary": (boundary, declared.get("boundary") or boundary),
    }
    values = {key: {"before": old, "after": new} for key, (old, new) in sides.items() if old != new}
    return {"kind": "role", "name": declared["name"], "action": "update" if found else "create", "changes": values}
