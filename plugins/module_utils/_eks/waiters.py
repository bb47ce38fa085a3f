# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Waiting for EKS: for each resource a description of its states, and one loop for all of them.

botocore's own waiters do not serve: AddonActive fails on DEGRADED, which an add-on without nodes passes through, none
knows UPDATE_FAILED, none shows health issues, and all sleep 10 or 30 seconds. The states are those of the API reference
(https://docs.aws.amazon.com/eks/latest/APIReference/, ``status`` of each object); which of them are terminal follows
botocore's waiters except where noted.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .common import Action
from .common import AnsibleEKSError
from .common import Change
from .common import finding
from .common import perform
from .progress import Report

if t.TYPE_CHECKING:
    from mypy_boto3_eks.client import EKSClient

R = t.TypeVar("R")

#: The state of what EKS says does not exist.
ABSENT = "ABSENT"

#: Seconds between two looks: first, growth, last.
FIRST_INTERVAL = 1.0
INTERVAL_GROWTH = 1.5
LONGEST_INTERVAL = 15.0


@dataclasses.dataclass(frozen=True)
class Wait:
    """What to wait for. A state that is in neither set is pending, those that AWS may invent included."""

    #: As it reads in a message: ``cluster``, ``add-on``.
    resource: str
    #: What is waited for, as it reads after "to".
    goal: str
    success: frozenset[str]
    failure: frozenset[str]


@dataclasses.dataclass(frozen=True)
class State:
    """How a resource was found: its status, and what EKS says is wrong with it."""

    status: str
    issues: tuple[str, ...] = ()
    #: The object itself, as the API answered it.
    resource: t.Mapping[str, t.Any] | None = dataclasses.field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.status} ({'; '.join(self.issues)})" if self.issues else self.status


#: Nothing is going on any more; whether that is good is for the plan to say.
CLUSTER_SETTLED = Wait("cluster", "come to rest", frozenset({"ACTIVE", "FAILED", "DELETING", ABSENT}), frozenset[str]())
CLUSTER_ACTIVE = Wait("cluster", "become ACTIVE", frozenset({"ACTIVE"}), frozenset({"FAILED", "DELETING", ABSENT}))
#: After a deletion was accepted these say that it was not carried out.
CLUSTER_DELETED = Wait("cluster", "be deleted", frozenset({ABSENT}), frozenset({"ACTIVE", "CREATING", "PENDING"}))
NODEGROUP_SETTLED = Wait(
    "node group",
    "come to rest",
    frozenset({"ACTIVE", "DEGRADED", "CREATE_FAILED", "DELETE_FAILED", "DELETING", ABSENT}),
    frozenset[str](),
)
#: DEGRADED is no end: nodes that come up later cure it.
NODEGROUP_ACTIVE = Wait(
    "node group",
    "become ACTIVE",
    frozenset({"ACTIVE"}),
    frozenset({"CREATE_FAILED", "DELETE_FAILED", "DELETING", ABSENT}),
)
NODEGROUP_DELETED = Wait("node group", "be deleted", frozenset({ABSENT}), frozenset({"DELETE_FAILED"}))
#: DEGRADED is no end: an add-on is DEGRADED for minutes while its nodes are new (aws/eks-hybrid #522).
ADDON_ACTIVE = Wait(
    "add-on",
    "become ACTIVE",
    frozenset({"ACTIVE"}),
    frozenset({"CREATE_FAILED", "UPDATE_FAILED", "DELETE_FAILED", "DELETING", ABSENT}),
)
ADDON_DELETED = Wait("add-on", "be deleted", frozenset({ABSENT}), frozenset({"DELETE_FAILED"}))
UPDATE_DONE = Wait("update", "be done", frozenset({"Successful"}), frozenset({"Failed", "Cancelled", ABSENT}))


@dataclasses.dataclass(frozen=True)
class Patience:
    """Whether to wait, and how many seconds at most; shared by all waits of one task."""

    wait: bool
    timeout: float


def issues_of(resource: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """The health issues of an object of the EKS API, or the errors of an update, one sentence each."""
    issues = resource.get("health", {}).get("issues", []) + resource.get("errors", [])
    return tuple(
        f"{issue.get('code') or issue.get('errorCode')}: {issue.get('message') or issue.get('errorMessage')}"
        + (f" [{', '.join(issue['resourceIds'])}]" if issue.get("resourceIds") else "")
        for issue in issues
    )


def state_of(resource: t.Mapping[str, t.Any] | None) -> State:
    """The state of an object of the EKS API, None being one that does not exist."""
    return State(ABSENT) if resource is None else State(resource["status"], issues_of(resource), resource)


def intervals() -> t.Iterator[float]:
    """Seconds to sleep between looks: short at first, because small changes take seconds, then ever longer."""
    interval = FIRST_INTERVAL
    while True:
        yield interval
        interval = min(interval * INTERVAL_GROWTH, LONGEST_INTERVAL)


def wait_for(
    wait: Wait,
    name: str,
    look: t.Callable[[], State],
    timeout: float,
    *,
    clock: t.Callable[[], float] = time.monotonic,
    sleep: t.Callable[[float], None] = time.sleep,
) -> State:
    """Look until a state of success; returns it.

    :param name: of the resource, for messages.
    :param timeout: seconds; the last look is made when they are over.
    :raises AnsibleEKSError: on a state of failure, with EKS's reasons, and after ``timeout``, with the state reached.
    """
    deadline = clock() + timeout
    with Report(f"{wait.resource} {name}") as report:
        for interval in intervals():
            state = look()
            report.note = f"is {state}, waiting for it to {wait.goal}"
            if state.status in wait.success:
                return state
            if state.status in wait.failure:
                raise AnsibleEKSError(f"Waited for the {wait.resource} {name} to {wait.goal}, but it is {state}.")
            remaining = deadline - clock()
            if remaining <= 0:
                raise AnsibleEKSError(
                    f"Waited {timeout:g} seconds for the {wait.resource} {name} to {wait.goal}, but it is still "
                    f"{state}; the next run goes on from there, and wait_timeout sets how long it waits."
                )
            sleep(min(interval, remaining))
    raise AssertionError("intervals() never ends")


def while_unseen(
    make: t.Callable[[], R], is_unseen: t.Callable[[AnsibleEKSError], bool], timeout: float, subject: str, note: str
) -> R:
    """Make calls, again while EKS does not see yet what IAM was told a moment ago; returns what they gave.

    :param is_unseen: whether an error may mean that.
    :param timeout: seconds to go on.
    :param subject: who waits, and ``note`` for what, for those who watch.
    :raises AnsibleEKSError: the error of the last attempt.
    """
    deadline = time.monotonic() + timeout
    for pause in intervals():
        try:
            return make()
        except AnsibleEKSError as error:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not is_unseen(error):
                raise
        with Report(subject) as report:
            report.note = note
            time.sleep(min(pause, remaining))
    raise AssertionError("intervals() never ends")


@finding("describe the update")
def describe_update(client: EKSClient, name: str, update_id: str, **scope: str) -> dict[str, t.Any]:
    """An update of the cluster ``name``, or with ``nodegroupName`` or ``addonName`` of one of its parts."""
    return t.cast("dict[str, t.Any]", client.describe_update(name=name, updateId=update_id, **scope)["update"])


def wait_for_update(client: EKSClient, name: str, update: t.Mapping[str, t.Any], timeout: float, **scope: str) -> None:
    """Wait until an update, as an update call answered it, is done; its errors become the message if it fails."""

    def look() -> State:
        return state_of(describe_update(client, name, update["id"], **scope))

    subject = next(iter(scope.values()), name)
    wait_for(UPDATE_DONE, f"{update.get('type', 'update')} of {subject}", look, timeout)


@dataclasses.dataclass(frozen=True)
class Watch:
    """Keeps an eye on one resource of a task."""

    name: str
    #: Asks EKS for the object; None when it does not exist.
    describe: t.Callable[[], t.Mapping[str, t.Any] | None]
    settled: Wait
    active: Wait
    deleted: Wait
    patience: Patience

    def before(self) -> t.Mapping[str, t.Any] | None:
        """The object when nothing is going on any more that others, or an earlier run, have begun."""
        return self._until(self.settled) if self.patience.wait else self.describe()

    def after(self, change: Change) -> t.Mapping[str, t.Any] | None:
        """The object after the calls of a plan: when it is ready or gone, or at once when nobody wants to wait."""
        if not self.patience.wait:
            return self.describe()
        return self._until(self.deleted if change.after is None else self.active)

    def _until(self, goal: Wait) -> t.Mapping[str, t.Any] | None:
        return wait_for(goal, self.name, self._look, self.patience.timeout).resource

    def _look(self) -> State:
        return state_of(self.describe())


def carry_out(
    client: EKSClient, change: Change, patience: Patience, cluster_name: str, done: list[Action], **scope: str
) -> None:
    """Make the calls of a plan one after another, and wait for each update by its id.

    EKS takes one update of a resource at a time, so only the last one can be left to itself when nobody wants to wait.

    :param done: gets each call that was made.
    :param scope: ``nodegroupName`` or ``addonName`` when the updates are those of a part of the cluster.
    """
    updates = [action for action in change.actions if action.operation.startswith("update_")]
    for action in change.actions:
        answer = perform(client, action)
        done.append(action)
        if "update" in answer and (patience.wait or action is not updates[-1]):
            wait_for_update(client, cluster_name, answer["update"], patience.timeout, **scope)
