# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The call log: each call, its caller, and whether it was refused."""

from __future__ import annotations

import collections
import dataclasses
import fnmatch
import typing as t

from eks_sandbox.aws.knobs import matches

#: How many calls are kept in full; all are counted.
KEPT = 100_000
#: Error codes with which services throttle callers.
THROTTLING = frozenset(
    {"RequestLimitExceeded", "SlowDown", "Throttling", "ThrottlingException", "ThrottledException"}
    | {"TooManyRequestsException"}
)


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One call; no parameters and no credentials are kept."""

    #: When it came, epoch seconds.
    time: float
    #: ``eks:CreateAddon``; for S3 the IAM action.
    operation: str
    region: str
    #: ARN; empty if the signature belongs to no principal.
    caller: str
    #: Error code of a refused call; ``ConnectionReset`` or ``Timeout`` where a fault of the sandbox answered nothing.
    refused: str | None
    #: Whether the call was done and a fault dropped the answer.
    lost: bool = False


@dataclasses.dataclass(frozen=True)
class CallFilter:
    """Which calls to show; patterns may hold ``*``."""

    operation: str = "*"
    caller: str = "*"
    #: A pattern of error codes (``*``: every refused call); None: refused or not.
    refused: str | None = None
    #: Epoch seconds.
    since: float = 0.0
    #: How many of the newest calls; None: all stored calls.
    limit: int | None = None

    def holds(self, call: Call) -> bool:
        """Whether to show a call."""
        return (
            call.time >= self.since
            and matches(self.operation, call.operation)
            and fnmatch.fnmatchcase(call.caller, self.caller)
            and (self.refused is None or (call.refused is not None and fnmatch.fnmatchcase(call.refused, self.refused)))
        )


class CallLog:
    """Calls since the start or the last clearing: the newest in full, counts of all."""

    def __init__(self) -> None:
        self._calls: collections.deque[Call] = collections.deque(maxlen=KEPT)
        self._counts: collections.Counter[str] = collections.Counter()
        self._refused: collections.Counter[tuple[str, str]] = collections.Counter()

    def add(self, call: Call) -> None:
        """Log one call."""
        self._calls.append(call)
        self._counts[call.operation] += 1
        if call.refused is not None:
            self._refused[call.operation, call.refused] += 1

    def clear(self) -> None:
        """Forget everything."""
        self._calls.clear()
        self._counts.clear()
        self._refused.clear()

    def document(self, wanted: CallFilter) -> dict[str, t.Any]:
        """What JSON shows.

        ``counts`` (per operation), ``refused`` (per operation and code) and ``throttled`` (per operation) count every
        call of the wanted operations; ``calls`` are those of the kept ones that the whole filter holds, in order.
        """
        counts = {name: count for name, count in self._counts.items() if matches(wanted.operation, name)}
        refused: dict[str, dict[str, int]] = {}
        for (name, code), count in self._refused.items():
            if name in counts:
                refused.setdefault(name, {})[code] = count
        throttled = {name: sum(codes.get(code, 0) for code in THROTTLING) for name, codes in refused.items()}
        shown = [call for call in self._calls if wanted.holds(call)]
        return {
            "counts": counts,
            "refused": refused,
            "throttled": {name: count for name, count in throttled.items() if count},
            "calls": [dataclasses.asdict(call) for call in shown[-wanted.limit if wanted.limit else 0 :]],
        }
