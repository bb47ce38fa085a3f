# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Observe, plan, apply: one association, or all that are declared for a cluster."""

from __future__ import annotations

import dataclasses
import typing as t

from .. import common
from .. import progress
from . import calls
from .applying import Applied
from .applying import Done
from .applying import Worker
from .declared import feature_problems
from .declared import problems
from .observing import Observed
from .observing import observe
from .planning import Purge
from .planning import plan

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_eks.client import EKSClient

    from ..traffic import Traffic
    from .objects import Association
    from .objects import AssociationSpec
    from .objects import Plan
    from .objects import Step

MOST_THREADS = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be reconciled, and with what."""

    client: EKSClient
    traffic: Traffic
    cluster_name: str
    specs: c.Sequence[AssociationSpec]
    check_mode: bool
    #: Seconds to go on while EKS does not see a new role or trust policy.
    propagation_timeout: float
    concurrency: int = common.CONCURRENCY
    purge: Purge = dataclasses.field(default_factory=Purge)
    #: Makes a client of the tagging API, for the fast mode.
    tagging: t.Callable[[], t.Any] | None = None
    #: Makes one to find what is no longer declared, None where that is not asked for.
    undeclared: t.Callable[[], t.Any] | None = None
    #: The cluster as a check run predicts it.
    planned_cluster: t.Mapping[str, t.Any] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reconciled:
    """What was there, what had to be done, and what was done; in check mode what would be."""

    observed: Observed
    plan: Plan
    applied: Applied


def reconcile(task: Task) -> Reconciled:
    """Make the associations of a cluster be as declared, as far as that can be done.

    In check mode nothing is written, and the result says what would be.

    :raises common.AnsibleEKSError: before the first write, with everything that cannot be right, or when nobody can
        look. What fails later is in the result.
    """
    common.refuse([*problems(task.specs), *task_problems(task), *feature_problems(task.client, task.specs)])
    subject = f"associations of cluster {task.cluster_name}"
    with progress.Report(subject, task.traffic.summary) as report:
        observed = observe(
            task.client, task.cluster_name, task.specs, task.purge, task.concurrency, task.tagging, task.undeclared
        )
        decided = plan(known(task, observed), task.specs, account(task, observed), task.purge)
        common.refuse(decided.problems)
        if task.check_mode:
            steps = [step for step in decided.steps if step.calls]
            applied = Applied(done=tuple(Done(step=step, association=step.after) for step in steps))
        else:
            worker = Worker(
                client=task.client,
                concurrency=task.concurrency,
                propagation_timeout=task.propagation_timeout,
                report=report,
            )
            applied = worker.apply(decided)
    return Reconciled(observed=observed, plan=decided, applied=applied)


def task_problems(task: Task) -> c.Iterator[str]:
    """What cannot be right about the task as a whole."""
    if not 1 <= task.concurrency <= MOST_THREADS:
        yield f"concurrency: {task.concurrency} cannot be right, it must be from 1 to {MOST_THREADS}."
    if task.purge.scope != "none" and not task.purge.marks:
        yield (
            f"purge: {task.purge.scope} needs creation_tags: they tell the associations that were made here, and may "
            "be deleted, from others."
        )


def known(task: Task, observed: Observed) -> list[Association]:
    """What is there; a cluster that does not exist has no associations, and none can be made in it."""
    if observed.associations is None and not task.planned_cluster and any(spec.present for spec in task.specs):
        raise common.AnsibleEKSError(f"{calls.missing_cluster(task.client, task.cluster_name)}.")
    return observed.associations or []


def account(task: Task, observed: Observed) -> str | None:
    """The cluster's account; only where something is made and nothing is there does somebody have to ask for it."""
    if observed.account or not any(spec.present for spec in task.specs):
        return observed.account
    if observed.associations is None and task.planned_cluster:
        arn = task.planned_cluster.get("arn")
        return str(arn).split(":")[4] if arn else None
    return calls.account_if_allowed(task.client, task.cluster_name)


def ensure_one(task: Task) -> tuple[Step, Association | None]:
    """Make the one association of a task be as declared; returns what was done and what is there now.

    :raises common.AnsibleEKSError: when it cannot be, with the cause; an association of an add-on is left alone so.
    """
    reconciled = reconcile(task)
    for failure in reconciled.applied.failures:
        raise failure.explained from failure.error
    for done in reconciled.applied.done:
        step, association = done.step, done.association
        break
    else:
        (step,) = reconciled.plan.steps
        association = step.after
    common.refuse([step.reason] if step.action == "skipped" else [])
    return step, association
