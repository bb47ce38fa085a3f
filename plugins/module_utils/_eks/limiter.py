# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""How fast a task may ask AWS: as fast as it can until AWS says that it is too fast, then as fast as AWS lets it.

AWS publishes no rates for the EKS API. Its limits are token buckets: so many calls at once, then so many a second. The
limiter finds that rate by additive growth and multiplicative cuts, as TCP does. botocore's own adaptive mode cuts once
for every refused call, so that thirty-two threads that are refused together end up at a crawl; this one cuts once for
all of them. The figures are in docs/performance.md.
"""

from __future__ import annotations

import collections
import threading
import time
import typing as t

#: The first cut: to this share of what got through in the last second, most of which was the bucket's reserve.
FIRST_CUT = 0.5
#: Every later cut: to this share of the rate.
CUT = 0.85
#: How much the rate grows in a second in which calls get through.
GROWTH = 1.4
#: Calls a second: the least after the first cut, and the least at all.
FIRST_LEAST = 2.0
LEAST = 1.0
#: Seconds for which nothing may get through before a call is given up.
PATIENCE = 60.0


class AdaptiveLimiter:
    """One for all threads of a task that call the same service. Times are in seconds of a monotonic clock."""

    def __init__(
        self, clock: t.Callable[[], float] = time.monotonic, sleep: t.Callable[[float], None] = time.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        #: Held by the one thread whose turn comes next while it waits, so that waiting times add up to real time.
        self._gate = threading.Lock()
        self._state = threading.Lock()
        #: Calls a second; None as long as nothing was refused.
        self.rate: float | None = None
        #: How many calls were refused, and for how long all threads together were held up.
        self.refused = 0
        self.waited = 0.0
        #: When answers came in the last second.
        self._answers: collections.deque[float] = collections.deque()
        self._last_turn = 0.0
        self._not_before = 0.0
        self._changed_at = 0.0
        #: Calls that were sent before the last cut say nothing about the rate after it.
        self._cut_at = float("-inf")
        #: When the first call was refused since one got through; None where one did.
        self._quiet_since: float | None = None

    def wait_for_turn(self) -> float:
        """Wait until a call may be sent; returns the time when it is."""
        with self._gate:
            pause = self._pause()
            if pause > 0:
                self._sleep(pause)
                self.waited += pause
            return self._clock()

    def passed(self) -> None:
        """A call got through."""
        now = self._clock()
        with self._state:
            if self.rate is not None:
                self._grow(now)
            self._quiet_since = None
            self._answers.append(now)
            self._forget(now)

    def refuse(self, sent_at: float, retry_after: float = 0.0) -> bool:
        """A call was refused because there are too many; returns whether there is a point in sending it again.

        :param sent_at: what :meth:`wait_for_turn` returned for it.
        :param retry_after: seconds, where the answer says so: nothing is sent before they are over.
        """
        now = self._clock()
        with self._state:
            self.refused += 1
            self._not_before = max(self._not_before, now + retry_after)
            if sent_at >= self._cut_at:
                self._cut(now)
            self._quiet_since = now if self._quiet_since is None else self._quiet_since
            return now - self._quiet_since < PATIENCE

    def _cut(self, now: float) -> None:
        if self.rate is None:
            self._forget(now)
            self.rate = max(FIRST_LEAST, FIRST_CUT * len(self._answers))
        else:
            self._grow(now)
            self.rate = max(LEAST, CUT * self.rate)
        self._cut_at = self._changed_at = self._last_turn = now

    def _grow(self, now: float) -> None:
        if self.rate is not None and self._quiet_since is None:
            self.rate *= GROWTH ** (now - self._changed_at)
        self._changed_at = now

    def _pause(self) -> float:
        """Seconds until the next turn, which is taken herewith."""
        now = self._clock()
        with self._state:
            turn = max(now, self._not_before)
            if self.rate is not None:
                self._grow(now)
                turn = max(turn, self._last_turn + 1 / self.rate)
            self._last_turn = turn
            return turn - now

    def _forget(self, now: float) -> None:
        while self._answers and self._answers[0] < now - 1:
            self._answers.popleft()
