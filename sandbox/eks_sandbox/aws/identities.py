# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the pod identity webhook of a cluster knows so far: which service accounts have an association.

The webhook runs in several replicas of the control plane. Each replica learns of a change at a different time, so for
some seconds one injects and the next does not (facts 3.4).
"""

from __future__ import annotations

import asyncio
import dataclasses
import time

from eks_sandbox.aws.knobs import Knobs

#: Namespace and service account.
Key = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class _Change:
    """An association that came or went."""

    exists: bool
    #: ``time.monotonic()`` at which the first and the last replica learn of it.
    first: float
    last: float


class Identities:
    """The service accounts that the replicas of one cluster's webhook inject for; the knobs set their delay."""

    def __init__(self, knobs: Knobs) -> None:
        self._knobs = knobs
        #: Oldest first; changes that every replica knows are superseded and dropped.
        self._changes: dict[Key, list[_Change]] = {}
        self._asked = 0

    def added(self, key: Key) -> None:
        """An association was created."""
        self._record(key, exists=True)

    def removed(self, key: Key) -> None:
        """An association was deleted; replicas that do not know it yet keep injecting."""
        self._record(key, exists=False)

    def injects(self, key: Key) -> bool:
        """Whether the replica that answers this time injects; they take turns."""
        replicas = self._knobs.webhook_replicas
        lateness = self._asked % replicas / max(replicas - 1, 1)
        self._asked += 1
        moment, exists = time.monotonic(), False
        for change in self._changes.get(key, ()):
            if change.first + (change.last - change.first) * lateness <= moment:
                exists = change.exists
        return exists

    def _record(self, key: Key, *, exists: bool) -> None:
        first = time.monotonic() + self._knobs.association_delay_seconds
        last = first + (self._knobs.webhook_spread_seconds if self._knobs.webhook_replicas > 1 else 0.0)
        change = _Change(exists, first, last)
        self._changes.setdefault(key, []).append(change)
        asyncio.get_running_loop().call_later(last - time.monotonic(), self._settle, key, change)

    def _settle(self, key: Key, change: _Change) -> None:
        """Every replica knows this change: drop what it supersedes, and the change itself if nothing is left."""
        changes = self._changes.get(key, [])
        if change not in changes:
            return
        del changes[: changes.index(change)]
        if changes == [change] and not change.exists:
            del self._changes[key]
