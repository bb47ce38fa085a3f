# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the knobs do to a call on its way: latency, rate limits, faults."""

from __future__ import annotations

import fnmatch
import random
import time

from eks_sandbox.aws.knobs import Fault
from eks_sandbox.aws.knobs import Knobs
from eks_sandbox.aws.knobs import RateLimit
from eks_sandbox.aws.knobs import matches


class _Bucket:
    """Holds up to ``burst`` tokens and gets ``rate`` new ones a second; each call takes one."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._tokens = float(limit.burst)
        self._filled_at = time.monotonic()

    def take(self) -> bool:
        """Whether there was a token."""
        moment = time.monotonic()
        gained = (moment - self._filled_at) * self._limit.rate
        self._tokens = min(self._tokens + gained, float(self._limit.burst))
        self._filled_at = moment
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class _Trigger:
    """Counts the calls that match a fault, and selects the calls that fail."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._count = 0
        # A seed makes a run repeatable; no secret depends on it.
        self._random = random.Random(fault.seed)

    def is_about(self, operation: str, caller: str) -> bool:
        """Whether a call of ``service:Operation`` by the principal with this ARN is meant."""
        return matches(self.fault.operation, operation) and fnmatch.fnmatchcase(caller, self.fault.caller)

    def strikes(self) -> bool:
        """Count one call; whether the fault strikes it."""
        self._count += 1
        if self.fault.calls and self._count not in self.fault.calls:
            return False
        return self.fault.probability >= 1 or self._random.random() < self.fault.probability


class Faults:
    """Latency, rate limits and faults of one sandbox, as its knobs have them."""

    def __init__(self, knobs: Knobs) -> None:
        self._knobs = knobs
        self._buckets: dict[tuple[int, str, str, str], _Bucket] = {}
        self._triggers: list[_Trigger] = []
        self.start_again()

    def start_again(self) -> None:
        """Fill the buckets and count calls from one; called whenever the knobs were set."""
        self._buckets.clear()
        self._triggers = [_Trigger(fault) for fault in self._knobs.faults]

    def latency(self, operation: str) -> float:
        """Seconds that a call of ``service:Operation`` takes."""
        for pattern, seconds in self._knobs.latencies.items():
            if matches(pattern, operation):
                return seconds
        return self._knobs.latency_seconds

    def throttles(self, operation: str, account: str, region: str) -> bool:
        """Whether a rate limit refuses this call; takes a token from every matching bucket."""
        taken = [
            self._bucket(index, limit, operation, account, region).take()
            for index, limit in enumerate(self._knobs.rate_limits)
            if matches(limit.operation, operation)
        ]
        return not all(taken)

    def due(self, operation: str, caller: str) -> Fault | None:
        """The first fault that strikes this call; every fault that is about operation and caller counts it."""
        struck = [
            trigger.fault for trigger in self._triggers if trigger.is_about(operation, caller) and trigger.strikes()
        ]
        return struck[0] if struck else None

    def _bucket(self, index: int, limit: RateLimit, operation: str, account: str, region: str) -> _Bucket:
        key = (index, "" if limit.shared else operation, account, region)
        if key not in self._buckets:
            self._buckets[key] = _Bucket(limit)
        return self._buckets[key]
