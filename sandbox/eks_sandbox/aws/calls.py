# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The call log: what was called, by whom, and what was refused."""

from __future__ import annotations

import collections
import dataclasses
import typing as t


@dataclasses.dataclass(frozen=True)
class Call:
    """One call; no parameters and no credentials are kept."""

    #: ``eks:CreateAddon``; for S3 the IAM action.
    operation: str
    caller: str
    #: Error code of a refused call.
    refused: str | None


class CallLog:
    """Calls since the start or the last clearing; the newest 10,000 in full, counts of all."""

    def __init__(self) -> None:
        self._calls: collections.deque[Call] = collections.deque(maxlen=10_000)
        self._counts: collections.Counter[str] = collections.Counter()

    def add(self, operation: str, caller: str, refused: str | None) -> None:
        """Log one call."""
        self._calls.append(Call(operation, caller, refused))
        self._counts[operation] += 1

    def clear(self) -> None:
        """Forget everything."""
        self._calls.clear()
        self._counts.clear()

    def document(self) -> dict[str, t.Any]:
        """``counts`` per operation and ``calls`` in order, as JSON shows them."""
        return {"counts": dict(self._counts), "calls": [dataclasses.asdict(call) for call in self._calls]}
