# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What the module ``eks_pod_identity_service_accounts`` returns: objects, lines for people, and what failed."""

from __future__ import annotations

import typing as t

from ..._workload.failure import failed_item
from .apply import CREATE
from .apply import DELETE
from .apply import Outcome
from .plan import IRSA
from .plan import LABEL
from .plan import Item
from .plan import Plan
from .plan import Request

if t.TYPE_CHECKING:
    import collections.abc as c

DONE = {CREATE: "created", DELETE: "deleted"}


def of(plan: Plan, outcomes: c.Sequence[Outcome], params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The module's result, without its diff."""
    failed = [failure_of(one) for one in outcomes if one.error and not one.untried]
    found: dict[str, t.Any] = {
        "changed": any(one.changes for one in outcomes),
        "objects": [one.render() for one in outcomes],
        "absent": list(plan.absent),
        "undeclared": list(plan.undeclared),
        "report": report(plan, outcomes, params),
        "failed_items": failed,
    }
    if failed:
        found["msg"] = "\n".join(one["reason"] for one in failed)
    return found


def failure(request: Request, problem: str) -> dict[str, t.Any]:
    """The result where the cluster could not be read, so that nothing was done."""
    names = [Item.of(name) for name in (*request.wanted, *request.unwanted)]
    return {
        "changed": False,
        "objects": [],
        "absent": [],
        "undeclared": [],
        "report": [],
        "failed_items": [item(one, problem) for one in names],
        "msg": problem,
    }


def report(plan: Plan, outcomes: c.Sequence[Outcome], params: t.Mapping[str, t.Any]) -> list[str]:
    """What people should know, one line each."""
    where = f"of cluster {params['cluster_name']}"
    lines = [
        f"Service account {name} has the IRSA annotation {IRSA}: {role}. It was kept. Pods that are admitted from now "
        "on get Pod Identity; remove the annotation when nothing needs it."
        for name, role in plan.irsa.items()
    ]
    if plan.undeclared and params["report_undeclared"] and params["purge"] == "none":
        lines.append(
            f"Cluster {params['cluster_name']} has service accounts {', '.join(plan.undeclared)} that were created by "
            "this collection and are no longer declared. Declare them again, or remove them with podidentity_purge: "
            "cluster."
        )
    if plan.absent:
        lines.append(
            f"Service accounts {', '.join(plan.absent)} {where} do not exist yet, and are declared with "
            "service_account_managed: false. Nothing can be proven until they are created."
        )
    if plan.kept:
        lines.append(
            f"Service accounts {', '.join(plan.kept)} {where} were kept: they do not have the label {LABEL}, so this "
            "collection did not create them."
        )
    return [*lines, *untried(outcomes)]


def untried(outcomes: c.Sequence[Outcome]) -> list[str]:
    """What check mode could only predict: a dry run takes the permission that the change takes."""
    return [
        f"{name(one)} would be {DONE[one.action]}. Check mode could not try it: {one.error}."
        for one in outcomes
        if one.untried
    ]


def failure_of(one: Outcome) -> dict[str, str]:
    """What could not be done with an item, and what helps."""
    advice = ""
    if one.error.startswith("namespaces ") and one.error.endswith(" not found"):
        advice = "; create the namespace, or set service_account_create_namespaces: true"
    return item(one.item, f"{name(one)} could not be {DONE[one.action]}: {one.error}{advice}.")


def item(one: Item, reason: str) -> dict[str, str]:
    """A failed item, as all modules return it; a namespace belongs to no single workload."""
    return failed_item(f"{one.namespace}/{one.name}" if one.name else "", "service_account", reason)


def name(one: Outcome) -> str:
    """An item in a sentence."""
    return f"{'Service account' if one.item.name else 'Namespace'} {one.item}"


def diff(outcomes: c.Sequence[Outcome], cluster_name: str) -> dict[str, t.Any]:
    """What is created and deleted, by name with its labels."""
    headers = dict.fromkeys(("before_header", "after_header"), f"cluster {cluster_name}")
    before, after = (
        {f"{i.kind} {i}": dict(i.labels) for i in changed(outcomes, action)} for action in (DELETE, CREATE)
    )
    return {**headers, "before": before, "after": after}


def changed(outcomes: c.Sequence[Outcome], action: str) -> list[Item]:
    """The items that were created or deleted, or would be."""
    return [one.item for one in outcomes if one.changes and one.action == action]
