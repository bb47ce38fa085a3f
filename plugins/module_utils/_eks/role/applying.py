# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Carrying out the plan of one role, as far as it can be done."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import time
import typing as t

from ..._trust.planning import RolePlan
from ..._trust.role import Role
from .. import codes
from .. import common
from .. import progress
from ..waiters import while_unseen
from . import calls
from . import shared
from . import steps

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_iam.client import IAMClient

EXISTS = "EntityAlreadyExists"
CONFLICT = "DeleteConflict"
#: Somebody else, or IAM itself, is at work on the same thing; that passes.
PASSING = ("ConcurrentModification", "ConcurrentModificationException", "EntityTemporarilyUnmodifiable")
#: Seconds until all parts of IAM have seen a change, with much to spare.
PATIENCE = 30.0
#: What NoSuchEntity is about. IAM's messages drift, so this asks for no more than what makes it different from others.
ABOUT_POLICY = re.compile(r"\bpolicy\b", re.IGNORECASE)
#: The calls whose purpose is reached when the thing is gone already.
REMOVING = ("delete_", "detach_", "remove_")
OVERWRITTEN = (
    "Other runs have overwritten the trust policy or an inline policy of role {name} {rounds} times; run it again when "
    "they are done"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failure:
    """A call that failed for good."""

    operation: str
    error: common.AnsibleEKSError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What has come of a plan."""

    plan: RolePlan
    #: The role as it is now; None where it is gone, or was never there.
    role: Role | None
    #: Whether any call was carried out.
    written: bool = False
    failure: Failure | None = None


class Worker:
    """Carries out the plan of one role, and plans again when others have changed the role meanwhile."""

    def __init__(
        self, iam: IAMClient, plan: RolePlan, replan: c.Callable[[Role | None], RolePlan], policies_limit: int
    ) -> None:
        """:param replan: plans the role again by what is there now."""
        self._iam = iam
        self._plan = plan
        self._replan = replan
        self._policies_limit = policies_limit
        self._made: Role | None = None
        self._written = False
        #: Shared documents that were written and not confirmed yet.
        self._unconfirmed: set[str] = set()
        self._operation = ""

    def apply(self) -> Outcome:
        """Make all calls; the outcome names the one that failed for good."""
        try:
            plan = self._until_confirmed(self._plan)
            return Outcome(plan=self._plan, role=self._final(plan), written=self._written)
        except common.AnsibleEKSError as failed:
            failure = Failure(operation=self._operation, error=failed)
            before = self._made or self._plan.before
            return Outcome(plan=self._plan, role=before, written=self._written, failure=failure)

    def _until_confirmed(self, plan: RolePlan) -> RolePlan:
        """Carry out the plan, again while other runs overwrite what was written; returns the last plan."""
        for number in range(1, shared.MOST_ROUNDS + 1):
            plan = self._until_carried_out(plan)
            lost = self._lost(plan)
            if lost is None:
                return plan
            time.sleep(shared.pause(number))
            plan = lost
        raise common.AnsibleEKSError(OVERWRITTEN.format(name=plan.name, rounds=shared.MOST_ROUNDS))

    def _until_carried_out(self, plan: RolePlan) -> RolePlan:
        """Carry out the plan, or the next one when others have created or deleted the role; returns the last plan."""
        races = 0
        while True:
            # Under the lock no other run of this controller adds a statement to a role that is deleted.
            with shared.lock(plan.arn) if plan.action == "delete" else contextlib.nullcontext():
                if plan.action == "delete":
                    plan = self._planned_again(plan.before, {shared.TRUST})
                error = self._carry_out(plan)
            if error is None:
                return plan
            races += 1
            if races == common.MOST_RACES:
                raise error
            plan = self._plan_anew(error)

    def _carry_out(self, plan: RolePlan) -> common.AnsibleEKSError | None:
        """Make the calls of a plan; returns the error when others have created or deleted the role meanwhile."""
        for action in self._calls(plan):
            self._operation = action.operation
            try:
                answer = self._perform(plan, action)
            except common.AnsibleEKSError as error:
                code, message = common.error_of(error)
                vanished = code == codes.NO_SUCH_ENTITY and not ABOUT_POLICY.search(message)
                if vanished or (code == EXISTS and action.operation == "create_role"):
                    return error
                raise
            if answer is None:
                continue
            self._written = True
            if action.operation == "create_role":
                self._made = calls.from_api(answer["Role"], {}, {})
        return None

    def _merge(self, plan: RolePlan, action: common.Action, document: str) -> dict[str, t.Any] | None:
        """Write a document that others write too, as it follows from what it is now; None where nothing is missing."""
        self._unconfirmed.add(document)
        with shared.lock(plan.arn):
            again = self._planned_again(plan.before or self._made, {document})
            if again.before is None:
                return self._call(action)  # IAM says that the role is gone
            now = self._calls(again) if again.after is not None else []
            return next((self._call(one) for one in now if shared.document(one) == document), None)

    def _planned_again(self, role: Role | None, documents: c.Collection[str]) -> RolePlan:
        """The plan by these documents as they are now."""
        again = self._replan(role and shared.refreshed(self._iam, role, documents))
        common.refuse(again.problems)
        return again

    def _lost(self, plan: RolePlan) -> RolePlan | None:
        """The plan that restores what other runs have overwritten; None where everything was confirmed."""
        documents, self._unconfirmed = self._unconfirmed, set()
        if not documents:
            return None
        with progress.Report(f"role {plan.name}") as report:
            report.note = "waits to confirm that no other run has overwritten what was written"
            time.sleep(shared.SETTLE_SECONDS)
        again = self._planned_again(self._final(plan), documents)
        if again.before is None:
            self._made = None
        return again if again.changes else None

    def _calls(self, plan: RolePlan) -> list[common.Action]:
        if plan.action == "none":
            return []
        if plan.after is not None:
            return steps.calls(plan.before, plan.after, self._policies_limit)
        if plan.before is None:
            return []
        self._operation = "list_instance_profiles_for_role"
        return steps.deletion(plan.before, calls.list_profiles(self._iam, plan.name) or [])

    def _perform(self, plan: RolePlan, action: common.Action) -> dict[str, t.Any] | None:
        """Make one call, again while IAM says what passes by itself; None where there is nothing left to do."""
        document = shared.document(action) if plan.after is not None else None

        def passes(error: common.AnsibleEKSError) -> bool:
            code, message = common.error_of(error)
            unseen = self._made is not None and code == codes.NO_SUCH_ENTITY and not ABOUT_POLICY.search(message)
            undone = action.operation == "delete_role" and code == CONFLICT
            return code in PASSING or unseen or undone

        def make() -> dict[str, t.Any] | None:
            return self._call(action) if document is None else self._merge(plan, action, document)

        return while_unseen(make, passes, PATIENCE, f"role {plan.name}", "waits until IAM has seen its changes")

    def _call(self, action: common.Action) -> dict[str, t.Any]:
        method = getattr(self._iam, action.operation)
        wrap = common.finding if action.operation.startswith(REMOVING) else common.calling
        return wrap(action.operation.replace("_", " "))(method)(**action.parameters) or {}

    def _plan_anew(self, error: common.AnsibleEKSError) -> RolePlan:
        """The plan by what is there now; the error where a role of that name exists and yet cannot be seen."""
        found = calls.look_up(self._iam, self._plan.name)
        if found is None and common.error_of(error)[0] == EXISTS:
            raise error
        self._made = None
        anew = self._replan(found)
        common.refuse(anew.problems)
        return anew

    def _final(self, plan: RolePlan) -> Role | None:
        """The role after its plan, with what only IAM knows."""
        if plan.after is None or self._made is None:
            return plan.after
        made = self._made
        return dataclasses.replace(plan.after, arn=made.arn, role_id=made.role_id, created=made.created)
