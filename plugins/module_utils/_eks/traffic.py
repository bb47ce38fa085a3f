# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""All that a task sends to AWS: paced, counted, and tried again where that can help; the one place for it.

It stands where botocore's own retries stand, inside the call: a call that is sent again carries the same idempotency
token, so that EKS does not carry it out twice.
"""

from __future__ import annotations

import collections
import random
import threading
import typing as t

from .limiter import AdaptiveLimiter

try:
    from botocore.exceptions import ConnectionError as LostConnection
    from botocore.exceptions import HTTPClientError
except ImportError:
    pass  # AnsibleAWSModule reports it.

if t.TYPE_CHECKING:
    from botocore.client import BaseClient

#: What services answer to too many calls; the status is 429 as a rule, but not everywhere.
THROTTLING_CODES = frozenset(
    {
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "Throttling",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
TOO_MANY_REQUESTS = 429
SERVER_ERROR = 500
#: A server error that trying again does not cure.
NOT_IMPLEMENTED = 501
#: Not yet seen by all parts of AWS: curable like a server error, although its status is 428.
PROPAGATION_CODE = "ResourcePropagationDelayException"
#: From an update call it means that another update of the same resource is in progress. From a create call it means
#: that the thing exists, and from a delete call that others still depend on it: there a retry would only hide it.
IN_USE_CODE = "ResourceInUseException"
UPDATES = ("Update", "AssociateEncryption")

#: How often a call is sent at most that meets a server error or a lost connection.
MOST_ATTEMPTS = 5
#: How often an update is sent at most while another one is in progress.
MOST_UPDATE_ATTEMPTS = 9
#: Seconds before the second attempt at most; twice as long before each next one, but never longer than the last.
FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 20.0

#: Keys of what is kept with a call from attempt to attempt.
SENT_AT = "podidentity_sent_at"
FAILURES = "podidentity_failures"


class Traffic:
    """Everything that one module sends to AWS."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limiters: list[AdaptiveLimiter] = []
        #: How often each operation was sent, attempts that failed included.
        self.calls: collections.Counter[str] = collections.Counter()

    @property
    def throttled(self) -> dict[str, t.Any]:
        """How many calls AWS refused as too many, and how many seconds the task was held up for that."""
        return {
            "calls": sum(limiter.refused for limiter in self._limiters),
            "seconds": round(sum(limiter.waited for limiter in self._limiters), 3),
        }

    @property
    def result(self) -> dict[str, t.Any]:
        """What modules return of it."""
        return {"api_calls": dict(sorted(self.calls.items())), "throttled": self.throttled}

    def summary(self) -> str:
        """What was sent so far, in words."""
        with self._lock:
            words = [f"{count} {operation}" for operation, count in self.calls.items()]
        throttled = self.throttled
        if throttled["calls"]:
            words.append(f"AWS refused {throttled['calls']} as too many, which has cost {throttled['seconds']:.0f} s")
        return ", ".join(words)

    def watch(self, client: BaseClient) -> None:
        """Take over the retries of a client. It gets a limiter of its own, because each service limits for itself."""
        limiter = AdaptiveLimiter()
        self._limiters.append(limiter)
        service = client.meta.service_model.service_id.hyphenize()

        def before(request: t.Any, operation_name: str, **_event: t.Any) -> None:
            request.context[SENT_AT] = limiter.wait_for_turn()
            with self._lock:
                self.calls[operation_name] += 1

        def after(**event: t.Any) -> float | None:
            return seconds_before_retry(limiter, **event)

        events = client.meta.events
        events.unregister(f"needs-retry.{service}", unique_id=f"retry-config-{service}")
        # First of all, since what is signed too early is refused as too old.
        events.register_first(f"request-created.{service}", before)
        events.register(f"needs-retry.{service}", t.cast("t.Callable[..., None]", after))


def seconds_before_retry(
    limiter: AdaptiveLimiter,
    *,
    response: tuple[t.Any, dict[str, t.Any]] | None,
    operation: t.Any,
    request_dict: dict[str, t.Any],
    caught_exception: Exception | None,
    **_event: t.Any,
) -> float | None:
    """How long to wait before a call is sent again, None when its answer is final (botocore's event needs-retry)."""
    context = request_dict["context"]
    if response is None:
        lost = isinstance(caught_exception, LostConnection | HTTPClientError)
        return backoff(context, MOST_ATTEMPTS) if lost else None
    http, parsed = response
    code = parsed.get("Error", {}).get("Code", "")
    if http.status_code == TOO_MANY_REQUESTS or code in THROTTLING_CODES:
        # The limiter lets it wait for its turn.
        return 0.0 if limiter.refuse(context[SENT_AT], retry_after(http.headers)) else None
    if code == PROPAGATION_CODE or (http.status_code >= SERVER_ERROR and http.status_code != NOT_IMPLEMENTED):
        return backoff(context, MOST_ATTEMPTS)
    limiter.passed()
    if code == IN_USE_CODE and operation.name.startswith(UPDATES):
        return backoff(context, MOST_UPDATE_ATTEMPTS)
    return None


def backoff(context: dict[str, t.Any], most_attempts: int) -> float | None:
    """Seconds of exponential back-off with full jitter, None after the last attempt."""
    failures = context[FAILURES] = context.get(FAILURES, 0) + 1
    if failures >= most_attempts:
        return None
    return random.uniform(0, min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** (failures - 1)))


def retry_after(headers: t.Mapping[str, str]) -> float:
    """The seconds of the header Retry-After; 0 where it is missing, or a date, which AWS does not send."""
    try:
        return max(0.0, float(headers.get("Retry-After", 0)))
    except ValueError:
        return 0.0
