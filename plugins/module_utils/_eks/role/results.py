# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What the module for roles returns, and what it shows in diff mode."""

from __future__ import annotations

import collections
import typing as t

from ..._trust import changes
from ..._workload.failure import failed_item
from ..._workload.service_account import name_of
from .causes import render

if t.TYPE_CHECKING:
    import collections.abc as c

    from ..._trust.planning import Action
    from ..._trust.planning import RolePlan
    from ..._trust.role import Kind
    from ..._workload.failure import FailedItem
    from ..._workload.workload import Workload
    from .applying import Outcome

Shown = dict[str, t.Any]

#: The list of the result that a plan's role goes into, and how a person calls it.
LISTS: dict[Action, str] = {"create": "created", "update": "updated", "delete": "deleted", "none": "unchanged"}
WORDS: dict[Action, str] = {"create": "to create", "update": "to update", "delete": "to delete", "none": "unchanged"}
#: How many roles the diff shows.
SHOWN_ROLES = 25

#: The result where there was nothing to do.
NOTHING: Shown = {
    "changed": False,
    **{
        key: []
        for key in ("roles", "findings", *LISTS.values(), "changed_roles", "waiting", "failed_roles", "failed_items")
    },
}


def result_of(outcomes: c.Sequence[Outcome], workloads: c.Sequence[Workload], kind: Kind) -> Shown:
    """Everything but the calls: what is there now, what was done to it and what could not be done."""
    failed = [(outcome.plan, outcome.failure) for outcome in outcomes if outcome.failure]
    done = [outcome.plan for outcome in outcomes if outcome.failure is None and was_looked_at(outcome.plan)]
    result: Shown = {
        "changed": any(outcome.written for outcome in outcomes),
        "roles": [shown(outcome) for outcome in outcomes if is_told(outcome)],
        "findings": [
            {"name": outcome.plan.name, "findings": list(outcome.plan.findings)}
            for outcome in outcomes
            if outcome.plan.findings
        ],
        **{name: [plan.name for plan in done if plan.action == action] for action, name in LISTS.items()},
        "changed_roles": [
            {"name": plan.name, "action": plan.action, "changes": list(plan.changes)}
            for plan in done
            if plan.action != "none"
        ],
        "waiting": [plan.name for plan in done if plan.waiting],
        "failed_roles": [render(plan, failure) for plan, failure in failed],
        "failed_items": [],
    }
    if failed:
        result["failed_items"] = failed_items(result["failed_roles"], workloads, kind)
        result["msg"] = complaint(result["failed_roles"], sum(outcome.plan.action != "none" for outcome in outcomes))
    return result


def failed(items: list[FailedItem], problem: str) -> Shown:
    """The result where nothing could be done in one account of several."""
    return {**NOTHING, "failed_items": items, "msg": problem}


def merged(found: c.Sequence[Shown]) -> Shown:
    """The results of several accounts as one."""
    result: Shown = {key: [one for part in found for one in part[key]] for key in NOTHING if key != "changed"}
    result["changed"] = any(part["changed"] for part in found)
    if problems := [part["msg"] for part in found if "msg" in part]:
        result["msg"] = "\n".join(problems)
    if diffs := [part["diff"] for part in found if "diff" in part]:
        result["diff"] = diffs
    return result


def failed_items(failures: c.Sequence[Shown], workloads: c.Sequence[Workload], kind: Kind) -> list[FailedItem]:
    """Each failure with every workload that declares the role; once without one where none does."""
    key, phase = ("role", "iam_role") if kind == "source" else ("target_role", "target_role")
    items = []
    for failure in failures:
        users = [name_of(one) for one in workloads if (one.get(key) or {}).get("name") == failure["name"]]
        items += [failed_item(name, phase, sentence_of(failure)) for name in users or [""]]
    return items


def sentence_of(failure: Shown) -> str:
    """A failed role with its cause."""
    cause = "; ".join(filter(None, [failure["cause"], failure["advice"]]))
    return f"role {failure['name']}: {cause}: {failure['message']}"


def was_looked_at(plan: RolePlan) -> bool:
    """Whether the role is, was or will be there, as far as anybody knows."""
    return plan.before is not None or plan.after is not None


def is_told(outcome: Outcome) -> bool:
    """Whether there is a role to tell about; of one that nobody looked at, only where something is to be said."""
    return outcome.role is not None or (not was_looked_at(outcome.plan) and bool(outcome.plan.findings))


def shown(outcome: Outcome) -> Shown:
    """A role as the module returns it."""
    role, plan = outcome.role, outcome.plan
    return {
        "name": plan.name,
        "arn": role.arn if role else plan.arn,
        "role_id": role.role_id if role else None,
        "create_date": role.created if role else None,
        "changes": [] if outcome.failure else list(plan.changes),
        "findings": list(plan.findings),
    }


def diff(plans: c.Sequence[RolePlan], cluster_name: str) -> Shown:
    """The plans as a diff: a line that sums them up, and the first roles that change with what changes in them."""
    changing = [plan for plan in plans if plan.action != "none"]
    sides = {plan.name: changes.diff(plan.before, plan.after) for plan in changing[:SHOWN_ROLES]}
    counts = collections.Counter(plan.action for plan in plans if was_looked_at(plan))
    total = f"roles of cluster {cluster_name}"
    summary = ", ".join(f"{counts[action]} {words}" for action, words in WORDS.items() if counts[action]) or "none"
    more = f" (the first {SHOWN_ROLES} of {len(changing)} are shown)" if len(changing) > SHOWN_ROLES else ""
    return {
        "before_header": total,
        "after_header": f"{total}: {summary}{more}",
        "before": {name: before for name, (before, _after) in sides.items() if before},
        "after": {name: after for name, (_before, after) in sides.items() if after},
    }


def complaint(failures: c.Sequence[Shown], planned: int) -> str:
    """What the task fails with: every failure with its cause."""
    lines = [sentence_of(failure) for failure in failures]
    if planned == 1:
        return lines[0]
    head = f"{len(lines)} of {planned} changes failed; everything else was done, and the next run goes on from here:"
    return "\n".join([head, *lines])
