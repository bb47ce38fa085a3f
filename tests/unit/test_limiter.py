# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The limiter against token buckets, in a time of the tests' own; and what is tried again at all."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import typing as t

import botocore.exceptions
import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._eks import limiter as subject
from ansible_collections.podidentity.eks.plugins.module_utils._eks import traffic
from ansible_collections.podidentity.eks.plugins.module_utils._eks.limiter import AdaptiveLimiter
from bench.endpoint import Bucket


@dataclasses.dataclass
class Time:
    """A clock that only sleeping moves."""

    now: float = 100.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclasses.dataclass
class Race:
    """Threads that share a limiter and call a service behind a token bucket, event by event."""

    rate: float
    burst: float
    calls: int
    threads: int = 32
    latency: float = 0.06
    refused: int = 0

    def run(self) -> float:
        """Seconds until every call has got through."""
        time = RaceClock()
        limiter = AdaptiveLimiter(time.clock, time.sleep)
        bucket = Bucket(self.rate, self.burst)
        number = itertools.count()
        # When, in which order, and what: a thread that wants to call, or the answer to a call sent at some time.
        events: list[tuple[float, int, float | None]] = [(0.0, next(number), None) for _ in range(self.threads)]
        begun, done, gate_opens = self.threads, 0, 0.0
        while done < self.calls:
            time.now, _number, sent_at = heapq.heappop(events)
            if sent_at is None and time.now < gate_opens:
                heapq.heappush(events, (gate_opens, next(number), None))
            elif sent_at is None:
                time.nap = 0.0
                limiter.wait_for_turn()
                gate_opens = time.now + time.nap
                heapq.heappush(events, (gate_opens + self.latency, next(number), gate_opens))
            elif bucket.admits(time.now):
                limiter.passed()
                done += 1
                if begun < self.calls:
                    begun += 1
                    heapq.heappush(events, (time.now, next(number), None))
            else:
                self.refused += 1
                assert limiter.refuse(sent_at)
                heapq.heappush(events, (time.now, next(number), None))
        return time.now


@dataclasses.dataclass
class RaceClock:
    """A clock that the race moves; who sleeps says for how long."""

    now: float = 0.0
    nap: float = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.nap = seconds


@pytest.mark.parametrize(
    ("rate", "burst", "calls"),
    [(50, 50, 500), (50, 500, 1000), (10, 10, 200), (5, 20, 100), (100, 100, 1000), (50, 50, 5000), (20, 200, 500)],
)
def test_throttled_calls_finish_close_to_ideal_time(rate: float, burst: float, calls: int) -> None:
    race = Race(rate, burst, calls)
    ideal = (calls - burst) / rate
    assert race.run() < 1.1 * ideal
    assert race.refused < 0.2 * calls + 2 * race.threads, "no storm"


def test_limiter_does_not_wait_without_refusals() -> None:
    time = Time()
    limiter = AdaptiveLimiter(time.clock, time.sleep)
    for _ in range(1000):
        limiter.wait_for_turn()
        limiter.passed()
    assert (time.now, limiter.waited, limiter.rate) == (100.0, 0.0, None)


def test_simultaneous_refusals_reduce_rate_once() -> None:
    time = Time()
    limiter = AdaptiveLimiter(time.clock, time.sleep)
    for _ in range(100):
        limiter.passed()
    sent = [limiter.wait_for_turn() for _ in range(32)]
    time.now += 0.06
    assert all(limiter.refuse(at) for at in sent)
    assert limiter.rate == 50
    assert limiter.refused == 32


def test_retry_after_delays_all_threads_and_counts_as_waited() -> None:
    time = Time()
    limiter = AdaptiveLimiter(time.clock, time.sleep)
    limiter.refuse(limiter.wait_for_turn(), retry_after=7)
    assert limiter.wait_for_turn() == 107
    assert limiter.waited == 7


def test_retry_stops_when_no_call_passes_within_patience() -> None:
    time = Time()
    limiter = AdaptiveLimiter(time.clock, time.sleep)
    assert limiter.refuse(limiter.wait_for_turn())
    time.now += subject.PATIENCE / 2
    assert limiter.refuse(limiter.wait_for_turn())
    limiter.passed()
    time.now += subject.PATIENCE / 2
    assert limiter.refuse(limiter.wait_for_turn()), "something got through meanwhile"
    time.now += subject.PATIENCE
    assert not limiter.refuse(limiter.wait_for_turn())


@dataclasses.dataclass
class Http:
    status_code: int
    headers: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Operation:
    name: str = "CreateThing"


def answer(
    status: int = 400, code: str = "", operation: str = "CreateThing", **event: t.Any
) -> tuple[float | None, AdaptiveLimiter]:
    """What follows from an answer, and the limiter that saw it."""
    limiter = AdaptiveLimiter()
    context = {traffic.SENT_AT: limiter.wait_for_turn()}
    response = (Http(status, event.pop("headers", {})), {"Error": {"Code": code}})
    arguments = {"response": response, "caught_exception": None, "request_dict": {"context": context}, **event}
    return traffic.seconds_before_retry(limiter, operation=Operation(operation), **arguments), limiter


@pytest.mark.parametrize(
    "code", ["ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown"]
)
@pytest.mark.parametrize("status", [400, 429, 503])
def test_throttling_is_recognised_by_code_with_any_status(code: str, status: int) -> None:
    seconds, limiter = answer(status, code)
    assert (seconds, limiter.refused) == (0, 1)


def test_throttling_is_recognised_by_status_429() -> None:
    seconds, limiter = answer(429, "NewException", headers={"Retry-After": "30"})
    assert (seconds, limiter.refused) == (0, 1)


@pytest.mark.parametrize(
    ("status", "code", "again"),
    [
        (200, "", False),
        (400, "InvalidParameterException", False),
        (403, "AccessDeniedException", False),
        (404, "ResourceNotFoundException", False),
        (409, "ResourceInUseException", False),
        (428, "ResourcePropagationDelayException", True),
        (500, "ServerException", True),
        (501, "NotImplemented", False),
        (503, "ServiceUnavailableException", True),
    ],
)
def test_only_transient_errors_are_retried(status: int, code: str, again: bool) -> None:
    assert (answer(status, code)[0] is not None) is again


def test_update_retries_resource_in_use_and_delete_does_not() -> None:
    assert answer(409, "ResourceInUseException", operation="UpdateThing")[0] is not None
    assert answer(409, "ResourceInUseException", operation="DeleteThing")[0] is None


def test_lost_connection_is_retried_but_not_missing_credentials() -> None:
    lost = botocore.exceptions.ConnectionClosedError(endpoint_url="https://eks")
    late = botocore.exceptions.ReadTimeoutError(endpoint_url="https://eks")
    nobody = botocore.exceptions.NoCredentialsError()
    assert answer(response=None, caught_exception=lost)[0] is not None
    assert answer(response=None, caught_exception=late)[0] is not None
    assert answer(response=None, caught_exception=nobody)[0] is None


def test_retry_attempts_are_limited_with_growing_backoff() -> None:
    context: dict[str, t.Any] = {}
    pauses = [traffic.backoff(context, traffic.MOST_ATTEMPTS) for _ in range(traffic.MOST_ATTEMPTS)]
    assert pauses[-1] is None
    for number, pause in enumerate(pauses[:-1]):
        assert 0 <= t.cast("float", pause) <= traffic.FIRST_BACKOFF * 2**number


@pytest.mark.parametrize(("header", "seconds"), [("3", 3), ("0.5", 0.5), ("-1", 0), ("Mon, 23 Nov 2026", 0)])
def test_retry_after_is_read_in_seconds(header: str, seconds: float) -> None:
    assert traffic.retry_after({"Retry-After": header}) == seconds
    assert traffic.retry_after({}) == 0
