# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What the module for many associations returns, and what it shows in diff mode."""

from __future__ import annotations

import collections
import operator
import typing as t

from ..._workload.failure import failed_item
from ..._workload.failure import some_of
from .. import ownership
from .objects import UPDATABLE
from .objects import ActionName
from .objects import Association
from .objects import Key
from .objects import Step
from .objects import render

if t.TYPE_CHECKING:
    import collections.abc as c

    from .reconciling import Reconciled

#: How a person calls the steps of a plan.
WORDS: dict[ActionName, str] = {
    "create": "to create",
    "update": "to update",
    "adopt": "to adopt",
    "replace": "to replace",
    "delete": "to delete",
    "unchanged": "unchanged",
    "skipped": "left alone",
}
#: The list of the result that a step goes into.
LISTS: dict[ActionName, str] = {"create": "created", "update": "updated", "replace": "replaced", "delete": "deleted"}
#: How many causes, and how many names for each, the message tells; the result has all of them.
TOLD_CAUSES = 10
TOLD_NAMES = 3
#: How many associations the diff shows.
SHOWN_STEPS = 25
COMPLAINT = "{0} of {1} changes failed; everything else was done, and the next run goes on from here:"

#: Fields of an unchanged association in the result; and those that it has only where they are set.
BRIEF = ("namespace", "service_account", "association_id", "role_arn", "modified_at")
DECLARED = ("target_role_arn", "external_id", "disable_session_tags", "policy", "owner_arn")

Shown = dict[str, t.Any]


def result_of(reconciled: Reconciled) -> Shown:
    """Everything but the calls: what is there now, what was done to it and what could not be done."""
    done = {outcome.step.spec.key: outcome for outcome in reconciled.applied.done}
    failures = reconciled.applied.failures
    # What others did meanwhile may have made another step of a planned one.
    steps = [done[step.spec.key].step if step.spec.key in done else step for step in reconciled.plan.steps]
    failed = {failure.step.spec.key for failure in failures}
    now = {key: outcome.association for key, outcome in done.items()}
    # Of these only the first half was done.
    now |= {failure.step.spec.key: None for failure in failures if failure.step.action == "replace" and failure.written}
    left = [step for step in steps if step.action == "skipped"]
    made = [step for step in steps if step.spec.key not in failed and step.action != "skipped"]
    unchanged = {step.spec.key: None for step in made if step.action == "unchanged"}
    return {
        "changed": any(step.calls for step in made) or any(failure.written for failure in failures),
        "associations": [
            brief(association) if association.key in unchanged else render(association)
            for association in final(steps, now)
        ],
        **{name: [named(step, now) for step in made if step.action == action] for action, name in LISTS.items()},
        "adopted": [named(step, now) for step in made if step.adopted],
        "unchanged": ["/".join(key) for key in unchanged],
        "skipped_associations": [{**named(step, now), "reason": step.reason} for step in left],
        "failed_associations": [failure.render() for failure in failures],
        "failed_items": [
            *(failed_item(name_of(failure.step), "association", failure.explanation) for failure in failures),
            *(failed_item(name_of(step), "association", step.reason) for step in left if step.spec.present),
        ],
        "undeclared": [
            "/".join(one.key) for one in sorted(reconciled.observed.undeclared, key=operator.attrgetter("key"))
        ],
        "plan": [shown(step) for step in reconciled.plan.steps if step.action != "unchanged"],
        "mode": reconciled.observed.mode,
    }


def name_of(step: Step) -> str:
    return "/".join(step.spec.key)


def report(result: Shown, params: t.Mapping[str, t.Any]) -> list[str]:
    """What people should know, one line each."""
    where, failed = f"in cluster {params['cluster_name']}", {one["workload"] for one in result["failed_items"]}
    left = [f"{one['namespace']}/{one['service_account']}" for one in result["skipped_associations"]]
    lines = []
    if kept := [name for name in left if name not in failed]:
        lines.append(
            f"The associations of {', '.join(kept)} {where} were kept: they do not have the tag {ownership.TAG}, so "
            "this collection did not create them."
        )
    if undeclared := result["undeclared"]:
        lines.append(
            f"Cluster {params['cluster_name']} has associations of {', '.join(undeclared)} that were created by this "
            "collection and are no longer declared. Their pods keep their AWS access. Declare them again, or remove "
            "them with podidentity_purge: cluster."
        )
    return lines


def final(steps: c.Iterable[Step], now: t.Mapping[Key, Association | None]) -> list[Association]:
    """The declared associations as they are now; one that could not be made is as it was, or not there."""
    associations = (now.get(step.spec.key, step.before) for step in steps if step.spec.present)
    return sorted(filter(None, associations), key=operator.attrgetter("key"))


def brief(association: Association) -> Shown:
    """An association that is as declared: what other tasks need to know, so that hundreds of them fit into a result.

    A worker of ansible-core whose parent was killed stays for ever when its result is longer than a pipe holds.
    """
    return {name: value for name, value in render(association).items() if name in BRIEF or (name in DECLARED and value)}


def named(step: Step, now: t.Mapping[Key, Association | None]) -> Shown:
    """Which association a step was about."""
    association = now.get(step.spec.key) or step.before
    return {
        "namespace": step.spec.namespace,
        "service_account": step.spec.service_account,
        "association_id": association.association_id if association else None,
    }


def shown(step: Step) -> Shown:
    """A step of the plan: what is done to which association, what changes by it, and with which calls."""
    return {
        "action": step.action,
        "namespace": step.spec.namespace,
        "service_account": step.spec.service_account,
        "association_id": step.before.association_id if step.before else None,
        "changes": changes(step),
        "calls": [call.operation for call in step.calls],
        "reason": step.reason,
    }


def changes(step: Step) -> dict[str, Shown]:
    """The fields that a step changes, before and after; only what a declaration can say."""
    before, after = (render(one) if one else {} for one in (step.before, step.after))
    names = (*UPDATABLE, "tags")
    if step.action == "replace":
        names = ("namespace", "service_account", *names)
    found = {name: {"before": before.get(name), "after": after.get(name)} for name in names}
    return {name: values for name, values in found.items() if (values["before"] or None) != (values["after"] or None)}


# --- for people -------------------------------------------------------------------------------------------------------


def summary(reconciled: Reconciled) -> str:
    """What has to be done, and how much of it failed, in one clause."""
    counts = collections.Counter(step.action for step in reconciled.plan.steps)
    words = [f"{counts[action]} {words}" for action, words in WORDS.items() if counts[action]]
    failures = len(reconciled.applied.failures)
    return ", ".join([*words, *([f"{failures} of them failed"] if failures else [])]) or "none"


def diff(reconciled: Reconciled, cluster_name: str) -> Shown:
    """The plan as a diff: a line that sums it up, and the associations that change with the fields that do.

    Nobody reads five hundred of them, so the first ones stand for all; the result has the whole plan.
    """
    steps = [step for step in reconciled.plan.steps if step.calls]
    before: dict[str, Shown] = {}
    after: dict[str, Shown] = {}
    for step in steps[:SHOWN_STEPS]:
        name = f"{step.spec.namespace}/{step.spec.service_account}"
        fields = changes(step).items()
        if step.before:
            before[name] = {field: values["before"] for field, values in fields}
        if step.after:
            after[name] = {field: values["after"] for field, values in fields}
    total = f"associations of cluster {cluster_name}"
    more = f" (the first {SHOWN_STEPS} of {len(steps)} are shown)" if len(steps) > SHOWN_STEPS else ""
    return {
        "before_header": total,
        "after_header": f"{total}: {summary(reconciled)}{more}",
        "before": before,
        "after": after,
    }


def complaint(reconciled: Reconciled) -> str:
    """What the task fails with: every cause once, with the associations that it hit."""
    failures = reconciled.applied.failures
    planned = sum(bool(step.calls) for step in reconciled.plan.steps)
    if planned == 1:
        return f"{failures[0].step.spec}: {failures[0].explanation}"
    hit: dict[str, list[str]] = collections.defaultdict(list)
    for failure in failures:
        hit[failure.explanation].append("/".join(failure.step.spec.key))
    lines = [f"{some_of(names, TOLD_NAMES)}: {explanation}" for explanation, names in hit.items()]
    more = [f"and {len(lines) - TOLD_CAUSES} more causes, in failed_associations"] if len(lines) > TOLD_CAUSES else []
    return "\n".join([COMPLAINT.format(len(failures), planned), *lines[:TOLD_CAUSES], *more])
