# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What all controllers share: follow kinds, queue names, reconcile one name at a time until it succeeds."""

from __future__ import annotations

import abc
import asyncio
import logging
import typing as t

import aiohttp

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import controller_of
from eks_sandbox.control_plane.objects import is_finished
from eks_sandbox.node.client import Client
from eks_sandbox.node.client import Collection
from eks_sandbox.node.client import Informer
from eks_sandbox.node.client import KubernetesError

log = logging.getLogger(__name__)

#: Namespace and name of the object to reconcile.
Key = tuple[str, str]
#: Seconds before a failed name is tried again: doubling, from the first to the second.
FIRST_RETRY, LAST_RETRY = 0.05, 5.0
#: After this many failures the longest delay is reached; more are not counted, to limit the power of two.
MOST_FAILURES = 7


class Informers:
    """One informer for each kind, shared by the controllers of a client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informers: dict[Collection, Informer] = {}

    def get(self, collection: Collection) -> Informer:
        """The kind's informer."""
        if collection not in self._informers:
            self._informers[collection] = Informer(self._client, collection)
        return self._informers[collection]

    async def run(self) -> None:
        """Follow all kinds until cancelled."""
        await asyncio.gather(*(informer.run() for informer in self._informers.values()))

    async def synced(self) -> None:
        """Wait until every first list has arrived."""
        await asyncio.gather(*(informer.synced.wait() for informer in self._informers.values()))


class Controller(abc.ABC):
    """Reconciles the objects of one kind with their desired state.

    Changes only wake a controller; what it decides on, it reads from the API at that moment.
    """

    name: t.ClassVar[str]

    def __init__(self, client: Client, informers: Informers) -> None:
        self.client = client
        self._informers = informers
        self._queue: asyncio.Queue[Key] = asyncio.Queue()
        self._queued: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self.setup()

    @abc.abstractmethod
    def setup(self) -> None:
        """Follow the kinds that matter."""

    @abc.abstractmethod
    async def reconcile(self, key: Key) -> None:
        """Compare one object with its desired state, and do what is missing."""

    def follow(self, collection: Collection, listener: t.Callable[[Object, bool], None]) -> Informer:
        """Handle each change of a kind."""
        informer = self._informers.get(collection)
        informer.listen(listener)
        return informer

    def follow_owned(self, collection: Collection, kind: str) -> Informer:
        """Queue the owner (of this kind) of each object that changes."""

        def changed(obj: Object, exists: bool) -> None:
            del exists
            owner = controller_of(obj)
            if owner is not None and owner["kind"] == kind:
                self.enqueue((obj["metadata"]["namespace"], owner["name"]))

        return self.follow(collection, changed)

    def enqueue(self, key: Key) -> None:
        """Queue this object for now."""
        if key not in self._queued:
            self._queued.add(key)
            self._queue.put_nowait(key)

    def enqueue_after(self, key: Key, seconds: float) -> None:
        """Queue this object for later, unless an earlier time is set."""
        loop = asyncio.get_running_loop()
        due = loop.time() + max(seconds, 0)
        known = self._timers.get(key)
        if known is not None and not known.cancelled() and loop.time() < known.when() <= due:
            return
        if known is not None:
            known.cancel()
        self._timers[key] = loop.call_later(max(seconds, 0), self.enqueue, key)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                key = await self._queue.get()
                self._queued.discard(key)
                await self._look_at(key)
        finally:
            for timer in self._timers.values():
                timer.cancel()

    async def _look_at(self, key: Key) -> None:
        try:
            await self.reconcile(key)
        except (KubernetesError, aiohttp.ClientError, TimeoutError) as error:
            failures = self._failures[key] = min(self._failures.get(key, 0) + 1, MOST_FAILURES)
            log.debug("%s: %s/%s: %s", self.name, *key, error)
            self.enqueue_after(key, min(FIRST_RETRY * 2**failures, LAST_RETRY))
        except Exception:
            # One object that a controller cannot handle must not stop it for all others.
            log.exception("%s: %s/%s", self.name, *key)
            self.enqueue_after(key, LAST_RETRY)
        else:
            self._failures.pop(key, None)

    async def update_status(self, collection: Collection, obj: Object, status: Object) -> None:
        """Write a status if it has changed."""
        current = obj.get("status") or {}
        if all(current.get(key) == value for key, value in status.items()):
            return
        await self.client.patch(collection, obj, {"status": status}, "status")


def owner_reference(obj: Object, collection: Collection, kind: str) -> Object:
    """The owner reference of an object that a controller created."""
    return {
        "apiVersion": collection.api_version,
        "kind": kind,
        "name": obj["metadata"]["name"],
        "uid": obj["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_alive(pod: Object) -> bool:
    """Whether a pod runs, or will, and is not being deleted."""
    return not is_finished(pod) and not pod["metadata"].get("deletionTimestamp")
