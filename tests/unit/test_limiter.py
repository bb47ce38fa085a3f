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
        time = Standstill()
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
class Standstill:
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
def test_behind_a_bucket_all_calls_get_through_in_little_more_than_the_bucket_allows(
    rate: float, burst: float, calls: int
) -> None:
    race = Race(rate, burst, calls)
    ideal = (calls - burst) / rate
    assert race.run() < 1.1 * ideal
    assert race.refused < 0.2 * calls + 2 * race.threads, "no storm"


def test_without_a_refusal_nobody_waits() -> None:
    time = Time()
    limiter = AdaptiveLimiter(time.clock, time.sleep)
    for _ in range(1000):
        limiter.wait_for_turn()
        limiter.passed()
    assert (time.now, limiter.waited, limiter.rate) == (100.0, 0.0, None)


def test_threads_that_are_refused_together_slow_down_once() -> None:
    time = Time()
    limiter = AdaptiveLimiter(time.clock, time.sleep)
    for _ in range(100):
        limiter.passed()
    sent = [limiter.wait_for_turn() for _ in range(32)]
    time.now += 0.06
    assert all(limiter.refuse(at) for at in sent)
    assert limiter.rate == 50
    assert limiter.refused == 32


def test_retry_after_holds_everybody_back_and_counts_as_time_lost() -> None:
    time = Time()
    limiter = AdaptiveLimiter(time.clock, time.sleep)
    limiter.refuse(limiter.wait_for_turn(), retry_after=7)
    assert limiter.wait_for_turn() == 107
    assert limiter.waited == 7


def test_a_call_is_given_up_when_nothing_has_got_through_for_long() -> None:
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
def test_throttling_is_known_by_its_code_whatever_the_status(code: str, status: int) -> None:
    seconds, limiter = answer(status, code)
    assert (seconds, limiter.refused) == (0, 1)


def test_throttling_is_known_by_its_status_whatever_the_code() -> None:
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
def test_only_what_may_pass_is_tried_again(status: int, code: str, again: bool) -> None:
    assert (answer(status, code)[0] is not None) is again


def test_an_update_waits_for_another_one_and_a_creation_does_not() -> None:
    assert answer(409, "ResourceInUseException", operation="UpdateThing")[0] is not None
    assert answer(409, "ResourceInUseException", operation="DeleteThing")[0] is None


def test_a_lost_connection_is_tried_again_and_a_wrong_call_is_not() -> None:
    lost = botocore.exceptions.ConnectionClosedError(endpoint_url="https://eks")
    late = botocore.exceptions.ReadTimeoutError(endpoint_url="https://eks")
    nobody = botocore.exceptions.NoCredentialsError()
    assert answer(response=None, caught_exception=lost)[0] is not None
    assert answer(response=None, caught_exception=late)[0] is not None
    assert answer(response=None, caught_exception=nobody)[0] is None


def test_the_number_of_attempts_is_limited_and_the_pauses_grow() -> None:
    context: dict[str, t.Any] = {}
    pauses = [traffic.backoff(context, traffic.MOST_ATTEMPTS) for _ in range(traffic.MOST_ATTEMPTS)]
    assert pauses[-1] is None
    for number, pause in enumerate(pauses[:-1]):
        assert 0 <= t.cast("float", pause) <= traffic.FIRST_BACKOFF * 2**number


@pytest.mark.parametrize(("header", "seconds"), [("3", 3), ("0.5", 0.5), ("-1", 0), ("Mon, 23 Nov 2026", 0)])
def test_retry_after_is_read_in_seconds(header: str, seconds: float) -> None:
    assert traffic.retry_after({"Retry-After": header}) == seconds
    assert traffic.retry_after({}) == 0
