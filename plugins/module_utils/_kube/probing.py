# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Looking again and again whether pods would get their identity, until all of them would.

After a change the pod identity webhooks of a cluster disagree for some seconds (aws/amazon-eks-pod-identity-webhook
#174, #264), so one good answer says little. What counts is several in a row; and once there was a sign of change, an
answer that was no for the first time or no after yes, that they have held for a while, too. All workloads of a task
share such signs, since the same webhooks answer for all of them.
"""

from __future__ import annotations

import dataclasses
import random
import time
import typing as t

from .causes import Cause

if t.TYPE_CHECKING:
    import collections.abc as c

#: Seconds for which answers must have been good after a sign of change.
SETTLE = 3.0
#: Seconds between two rounds while answers are good, and how the pause grows while none is.
PAUSE = 0.3
PAUSE_GROWTH = 1.2
LONGEST_PAUSE = 3.0


@dataclasses.dataclass(frozen=True)
class Workload:
    """Whose pods are looked at."""

    namespace: str
    service_account: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service_account}"


@dataclasses.dataclass(frozen=True)
class Look:
    """What one look at a workload has told; no cause means that the pod has Pod Identity."""

    #: None where no pod was admitted.
    mechanism: str | None = None
    cause: Cause | None = None


@dataclasses.dataclass
class Progress:
    """How far one workload is."""

    workload: Workload
    attempts: int = 0
    #: Good answers in a row, and when the first of them came.
    good: int = 0
    good_since: float = 0.0
    last: Look | None = None
    effective: bool = False
    #: When there was nothing more to look at.
    ended: float | None = None


class Probe:
    """Takes the answers and says who is effective; time is given to it."""

    def __init__(self, workloads: c.Sequence[Workload], consecutive: int, waits: bool, began: float) -> None:
        """:param waits: whether a no that may pass is no reason to stop looking."""
        self.progress = [Progress(workload) for workload in workloads]
        self._consecutive = consecutive
        self._waits = waits
        self._began = began
        #: When there was the last sign that the webhooks are hearing of something new.
        self.changed: float | None = None

    @property
    def pending(self) -> list[Progress]:
        """The workloads to look at again."""
        return [one for one in self.progress if one.ended is None]

    def take(self, one: Progress, look: Look, now: float) -> None:
        """An answer has come."""
        said_no = one.last is not None and one.last.cause is not None
        one.attempts += 1
        one.last = look
        if look.cause is not None:
            one.good = 0
            if not (self._waits and look.cause.passes):
                one.ended = now
            elif look.mechanism and not said_no:
                self.changed = now
            return
        if one.good == 0:
            one.good_since = now
        one.good += 1

    def settle(self, now: float) -> None:
        """A round is over: whose answers have held long enough is effective."""
        for one in self.pending:
            if one.good >= self._consecutive and self._has_held(one, now):
                one.effective, one.ended = True, now

    def _has_held(self, one: Progress, now: float) -> bool:
        return self.changed is None or now - max(self.changed, one.good_since) >= SETTLE

    def give_up(self, now: float) -> None:
        """Nobody looks any more: signs that others gave do not count against who has always said yes."""
        for one in self.pending:
            one.effective = self._consecutive <= one.good == one.attempts
            one.ended = now

    def result(self, one: Progress) -> dict[str, t.Any]:
        """What is returned for a workload."""
        look = one.last or Look()
        cause = None if one.effective else look.cause or unsettled(one)
        return {
            "namespace": one.workload.namespace,
            "service_account": one.workload.service_account,
            "effective": one.effective,
            "mechanism": look.mechanism,
            "attempts": one.attempts,
            "seconds": round((one.ended or self._began) - self._began, 3),
            "cause": cause.name if cause else None,
            "reason": cause.reason if cause else None,
        }


def unsettled(one: Progress) -> Cause:
    """The last answers were good, but not enough of them."""
    reason = (
        f"Only the last {one.good} of {one.attempts} looks said yes, so not all webhooks of the cluster have heard of "
        "the association yet: wait some seconds and look again."
    )
    return Cause("unsettled", reason, passes=True)


def pauses(probe: Probe) -> c.Iterator[float]:
    """Seconds until the next round: none while nobody has said no, and ever longer while all do."""
    longer = PAUSE
    while True:
        if any(one.good for one in probe.pending):
            longer = PAUSE
            yield 0.0 if probe.changed is None else PAUSE
        else:
            yield longer
            longer = min(longer * PAUSE_GROWTH, LONGEST_PAUSE)


def run(
    probe: Probe,
    look_at: c.Callable[[c.Sequence[Progress]], c.Iterable[Look]],
    timeout: float,
    *,
    clock: c.Callable[[], float] = time.monotonic,
    sleep: c.Callable[[float], None] = time.sleep,
) -> None:
    """Look until every workload is effective, or cannot become so, or time is up.

    :param look_at: looks at some workloads at once; the answers come in their order.
    :param timeout: seconds; the last look is made when they are over.
    """
    deadline = clock() + timeout
    waiting = pauses(probe)
    while pending := probe.pending:
        # In the same order every time, a workload could meet the same webhook every time.
        random.shuffle(pending)
        for one, look in zip(pending, look_at(pending), strict=True):
            probe.take(one, look, clock())
        probe.settle(clock())
        remaining = deadline - clock()
        if remaining <= 0:
            probe.give_up(clock())
            return
        if probe.pending and (pause := next(waiting)):
            sleep(min(pause, remaining))
