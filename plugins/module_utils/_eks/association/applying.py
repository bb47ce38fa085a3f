# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Carrying out a plan: in parallel, in an order where order matters, and as far as it can be done."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import time
import typing as t

from .. import codes
from .. import common
from .. import progress
from ..waiters import intervals
from . import calls
from . import causes
from .objects import Association
from .objects import Plan
from .objects import Step
from .objects import from_api
from .planning import plan

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_eks.client import EKSClient


@dataclasses.dataclass(frozen=True, kw_only=True)
class Done:
    """A step that was made."""

    step: Step
    association: Association | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attempt:
    """A step to try, again when EKS does not see its role yet, or when others changed the association meanwhile."""

    step: Step
    #: Whether some of its calls were carried out.
    written: bool = False
    #: How often it was tried, and why that was not enough.
    number: int = 0
    error: common.AnsibleEKSError | None = None

    @property
    def waits_for(self) -> str | None:
        """The role that EKS does not see yet."""
        return self.step.spec.role_arn if self.error and causes.is_not_seen_yet(self.error) else None


Outcome = Done | causes.Failure | Attempt  # pylint: disable=unsupported-binary-operation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Applied:
    """What has come of a plan."""

    done: tuple[Done, ...] = ()
    failures: tuple[causes.Failure, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Worker:
    """Carries out steps with one client and so many threads."""

    client: EKSClient
    concurrency: int
    #: Seconds to go on while EKS does not see a new role or trust policy.
    propagation_timeout: float
    report: progress.Report

    def apply(self, decided: Plan) -> Applied:
        """Make every step that can be made; one that cannot hinders no other."""
        outcomes = [
            *self._carry_out(decided.steps_that("delete")),
            *self._carry_out(decided.steps_that("replace", "update", "adopt", "create")),
        ]
        return Applied(
            done=tuple(outcome for outcome in outcomes if isinstance(outcome, Done)),
            failures=tuple(outcome for outcome in outcomes if isinstance(outcome, causes.Failure)),
        )

    def _carry_out(self, steps: c.Sequence[Step]) -> list[Done | causes.Failure]:
        """Try all steps, and those again that may succeed later, until they have or time is over."""
        deadline = time.monotonic() + self.propagation_timeout
        outcomes = self._try_all([Attempt(step=step) for step in steps])
        finished: list[Done | causes.Failure] = []
        for pause in intervals():
            remaining = deadline - time.monotonic()
            waiting: list[Attempt] = []
            for outcome in outcomes:
                if not isinstance(outcome, Attempt):
                    finished.append(outcome)
                elif remaining > 0 or (not outcome.waits_for and outcome.number < common.MOST_RACES):
                    waiting.append(outcome)
                else:
                    finished.append(self._give_up(outcome, t.cast("common.AnsibleEKSError", outcome.error)))
            if not waiting:
                break
            self.report.note = note_on(waiting)
            time.sleep(max(0.0, min(pause, remaining)))
            outcomes = self._try_again(waiting)
        self.report.note = ""
        return finished

    def _try_all(self, attempts: c.Sequence[Attempt]) -> list[Outcome]:
        with concurrent.futures.ThreadPoolExecutor(max_workers=self.concurrency) as pool:
            return list(pool.map(self._try, attempts))

    def _try_again(self, waiting: c.Sequence[Attempt]) -> list[Outcome]:
        """Of those that wait for the same role, one tries whether EKS sees it by now, before all of them do."""
        first: dict[str, Attempt] = {}
        others: list[Attempt] = []
        behind: dict[str, list[Attempt]] = collections.defaultdict(list)
        for attempt in waiting:
            role = attempt.waits_for
            if role is None:
                others.append(attempt)
            elif role not in first:
                first[role] = attempt
            else:
                behind[role].append(attempt)
        outcomes = self._try_all([*first.values(), *others])
        unseen = {outcome.waits_for for outcome in outcomes if isinstance(outcome, Attempt)}
        still = [attempt for role, attempts in behind.items() if role in unseen for attempt in attempts]
        seen = [attempt for role, attempts in behind.items() if role not in unseen for attempt in attempts]
        return [*outcomes, *self._try_all(seen), *still]

    def _try(self, attempt: Attempt) -> Outcome:
        """Make the calls of a step."""
        step, written = attempt.step, attempt.written
        association = step.after
        try:
            for call in step.calls:
                answer = common.perform(self.client, call)
                written = True
                if step.after and "association" in answer and not call.operation.startswith("delete_"):
                    association = dataclasses.replace(from_api(answer["association"]), tags=step.after.tags)
        except common.AnsibleEKSError as error:
            return self._after(dataclasses.replace(attempt, written=written, number=attempt.number + 1), error)
        return Done(step=step, association=association)

    def _after(self, attempt: Attempt, error: common.AnsibleEKSError) -> Outcome:
        """What a refused call leads to.

        Between looking and writing somebody else may have created or deleted the association, and EKS may not yet see
        what was done to a role in IAM a moment ago.
        """
        again = dataclasses.replace(attempt, error=error)
        if causes.is_not_seen_yet(error):
            return again
        step, (code, message) = attempt.step, common.error_of(error)
        taken = step.action in ("create", "replace") and code == codes.IN_USE
        vanished = step.action in ("update", "adopt") and code in codes.NOT_FOUND
        if not (taken or vanished):
            return self._give_up(attempt, error)
        try:
            anew = self._plan_anew(step, message if taken else "")
        except common.AnsibleEKSError as looking:
            return self._give_up(attempt, looking)
        if anew is None:
            return self._give_up(attempt, error)
        if anew.action == "skipped" or anew.calls:
            return Done(step=anew, association=anew.after) if not anew.calls else dataclasses.replace(again, step=anew)
        # It came to be since the task looked, by somebody else or by a call whose answer got lost.
        return Done(step=step, association=anew.after)

    def _plan_anew(self, step: Step, message: str) -> Step | None:
        """The step by what is there now, None where there is no such cluster any more.

        :param message: names the association that is in the way, as a rule.
        """
        spec = step.spec
        named = causes.ASSOCIATION_ID.search(message)
        if named:
            ids = [named.group()]
        else:
            filters = {"namespace": spec.namespace, "serviceAccount": spec.service_account}
            summaries = calls.list_associations(self.client, spec.cluster_name, **filters)
            if summaries is None:
                return None
            ids = [str(summary.association_id) for summary in summaries]
        anew = plan(calls.describe_associations(self.client, spec.cluster_name, ids), [spec])
        common.refuse(anew.problems)
        return anew.steps[0]

    def _give_up(self, attempt: Attempt, error: common.AnsibleEKSError) -> causes.Failure:
        return causes.failure(self.client, attempt.step, error, self.propagation_timeout, attempt.written)


def note_on(waiting: c.Sequence[Attempt]) -> str:
    """Why it takes so long."""
    roles = {attempt.waits_for for attempt in waiting if attempt.waits_for}
    if not roles:
        return f"{len(waiting)} to try again, since others changed them meanwhile"
    return f"{len(waiting)} wait until EKS sees {', '.join(sorted(roles))}"
