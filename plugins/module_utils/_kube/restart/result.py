# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What the module ``eks_pod_identity_restart`` returns: lines for people, and what failed by workload."""

from __future__ import annotations

import typing as t

from ..._workload.failure import failed_item
from .plan import Plan
from .rollout import DONE
from .rollout import FAILED
from .rollout import WAITING

if t.TYPE_CHECKING:
    import collections.abc as c

Entry = t.Mapping[str, t.Any]


def of(
    plan: Plan,
    failed: c.Sequence[t.Mapping[str, str]],
    problem: str = "",
    *,
    outcome: c.Sequence[Entry] = (),
    check_mode: bool = False,
) -> dict[str, t.Any]:
    """The module's result.

    :param problem: why nothing could be decided at all, in place of a sentence for each of ``failed``.
    """
    begun = plan.restarts if check_mode else [one for one in outcome if not one["refused"]]
    found: dict[str, t.Any] = {
        "changed": bool(begun),
        "restarts": plan.restarts,
        "blocked": plan.blocked,
        "reported": plan.reported,
        "report": report(plan, check_mode),
        "failed_items": list(failed),
    }
    if failed:
        found["msg"] = problem or "\n".join(one["reason"] for one in failed)
    return found


def report(plan: Plan, check_mode: bool) -> list[str]:
    """What is restarted, what is not and why."""
    return [
        *(f"{name(one)} is left alone: {one['reason']}." for one in plan.reported),
        *(f"{name(one)} cannot be restarted: {one['reason']}." for one in plan.blocked),
        *(f"{name(one)} {'would be' if check_mode else 'is'} restarted: {one['reason']}." for one in plan.restarts),
    ]


def failed_items(
    ineffective: c.Iterable[Entry],
    plan: Plan,
    outcome: c.Sequence[Entry] = (),
    lacking: c.Iterable[Entry] = (),
    timeout: int = 0,
) -> list[dict[str, str]]:
    """What does not hold its identity after all, with a sentence each.

    :param ineffective: what the probe returned for service accounts whose new pods would have no identity.
    :param outcome: of the restarts of the plan.
    :param lacking: what lacks its identity although its rollout is done.
    """
    return [
        *(item(one, untouched(one)) for one in ineffective),
        *(item(one, f"{name(one)} was not restarted: {one['reason']}.") for one in plan.blocked),
        *(item(one, f"{name(one)} failed to restart: {one['reason']}.") for one in outcome if one["state"] == FAILED),
        *(
            item(one, f"{name(one)} was restarted, and its rollout has not ended after {timeout} s: {one['reason']}.")
            for one in outcome
            if one["state"] == WAITING
        ),
        *(item(one, f"{name(one)} was restarted, and still: {one['reason']}.") for one in lacking),
    ]


def lacking_after(plan: Plan, outcome: c.Sequence[Entry]) -> list[Entry]:
    """What a plan made after the restarts would restart again, of what has ended its rollout."""
    done = {name(one) for one in outcome if one["state"] == DONE}
    return [one for one in (*plan.restarts, *plan.blocked) if name(one) in done]


def untouched(one: Entry) -> str:
    """Why the pods of a service account that is not effective were not replaced."""
    return (
        f"Pods of service account {one['namespace']}/{one['service_account']} were left alone, as new ones would have "
        f"no identity either: {one['reason']}"
    )


def item(one: Entry, reason: str) -> dict[str, str]:
    """A failed item, as all modules return it."""
    return failed_item(f"{one['namespace']}/{one['service_account']}", "restart", reason)


def name(one: Entry) -> str:
    """An object of a plan in a sentence."""
    return f"{one['kind']} {one['namespace']}/{one['name']}"


def diff(restarts: c.Sequence[Entry], cluster_name: str) -> dict[str, t.Any]:
    """What is restarted and why."""
    headers = dict.fromkeys(("before_header", "after_header"), f"restarts in cluster {cluster_name}")
    return {**headers, "before": {}, "after": {name(one): one["reason"] for one in restarts}}
