# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What a check run would change, as Markdown."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    import collections.abc as c

Plan = t.Mapping[str, t.Any]
NOTHING = "nothing"


def markdown(plans: t.Iterable[Plan]) -> str:
    """One section for each cluster, in which nothing is left out."""
    lines = ["# Plan of podidentity.eks"]
    for plan in plans:
        found = list(changes(plan))
        lines += ["", f"## Cluster {plan.get('cluster', '')}", ""]
        lines += [f"- {line}" for line in found] or ["Nothing would change."]
        if plan.get("undeclared"):
            lines += ["", "No longer declared, and left: " + ", ".join(map(code, plan["undeclared"])) + "."]
    return "\n".join(lines) + "\n"


def changes(plan: Plan) -> c.Iterator[str]:
    """One line for each change, in the order in which a run makes them."""
    for one in [*(plan.get("resources") or ()), *(plan.get("addons") or ())]:
        fields = fields_of(one.get("changes"))
        yield f"{one['kind']} {one['name']}: {one['action']}{f' ({fields})' if fields else ''}"
    for role in plan.get("roles") or ():
        yield f"role {role['name']}: {'; '.join(role['changes'])}"
    for one in plan.get("service_accounts") or ():
        yield f"{one['kind']} {one['name']}: {one['action']}"
    for step in plan.get("associations") or ():
        fields = fields_of(step.get("changes")) if step["action"] != "delete" else ""
        name = f"{step['namespace']}/{step['service_account']}"
        yield f"association {name}: {step['action']}{f' ({fields})' if fields else ''}"
    for one in plan.get("restarts") or ():
        yield f"{one['kind']} {one['namespace']}/{one['name']}: restart, {one['reason']}"


def fields_of(changes: t.Mapping[str, Plan] | None) -> str:
    """The fields that change, with their values before and after; of a new thing, those that have a value."""
    sides = {
        field: (code(values.get("before")), code(values.get("after"))) for field, values in (changes or {}).items()
    }
    return ", ".join(
        f"{field} {after}" if before == NOTHING else f"{field} {before} -> {after}"
        for field, (before, after) in sides.items()
        if before != after
    )


def code(value: object) -> str:
    """A value as it stands in a line of Markdown."""
    return NOTHING if value in (None, "", {}, []) else f"`{value}`"
