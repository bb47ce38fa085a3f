# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Objects, their versions, and their watchers."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import typing as t

from eks_sandbox.control_plane.embedded.errors import ApiError
from eks_sandbox.control_plane.embedded.resources import REGISTRY
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import identity

Key = tuple[str, str]
#: Events kept per kind for watchers that come back; older resource versions get 410, as from etcd after compaction.
HISTORY = 2_000


@dataclasses.dataclass(frozen=True)
class Event:
    """One change of one object."""

    version: int
    type: str
    object: Object
    #: The object before the change; selectors of watchers need it.
    previous: Object | None


class Watch:
    """A queue of events of one kind; None ends it."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Event | None] = asyncio.Queue()


class Store:
    """All objects of one cluster.

    A stored object is never changed in place: every write replaces it, so readers need no copies.
    """

    def __init__(self) -> None:
        self.version = 1
        self._objects: dict[Resource, dict[Key, Object]] = {resource: {} for resource in REGISTRY}
        self._history: dict[Resource, collections.deque[Event]] = {
            resource: collections.deque(maxlen=HISTORY) for resource in REGISTRY
        }
        self._watches: dict[Resource, set[Watch]] = {resource: set() for resource in REGISTRY}

    def find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """One object, or None."""
        return self._objects[resource].get((namespace, name))

    def select(self, resource: Resource, namespace: str = "") -> list[Object]:
        """All objects of a kind (in one namespace), ordered by namespace and name."""
        found = self._objects[resource]
        return [found[key] for key in sorted(found) if not namespace or key[0] == namespace]

    def as_of(self, resource: Resource, namespace: str, version: int) -> list[Object]:
        """What ``select`` gave at an earlier resource version.

        :raises ApiError: 410 when the version is too old to know.
        """
        self._ensure_known(resource, version)
        found = dict(self._objects[resource])
        for event in reversed(self._history[resource]):
            if event.version <= version:
                break
            key = identity(event.object)
            if event.previous is None:
                found.pop(key, None)
            else:
                found[key] = event.previous
        return [found[key] for key in sorted(found) if not namespace or key[0] == namespace]

    def _ensure_known(self, resource: Resource, version: int) -> None:
        history = self._history[resource]
        if len(history) == HISTORY and version < history[0].version - 1:
            raise ApiError(410, "Expired", f"too old resource version: {version} ({history[0].version})")

    def everything(self) -> list[tuple[Resource, Object]]:
        """All objects of all kinds."""
        return [(resource, obj) for resource, found in self._objects.items() for obj in list(found.values())]

    def put(self, resource: Resource, obj: Object) -> Object:
        """Create or replace; the object gets the next resource version."""
        key = identity(obj)
        previous = self._objects[resource].get(key)
        self.version += 1
        stored = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}
        self._objects[resource][key] = stored
        self._publish(resource, Event(self.version, "MODIFIED" if previous else "ADDED", stored, previous))
        return stored

    def drop(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """Remove; returns the last state, or None when there was nothing."""
        previous = self._objects[resource].pop((namespace, name), None)
        if previous is None:
            return None
        self.version += 1
        last = {**previous, "metadata": {**previous["metadata"], "resourceVersion": str(self.version)}}
        self._publish(resource, Event(self.version, "DELETED", last, previous))
        return last

    def watch(self, resource: Resource, since: int | None) -> Watch:
        """Follow a kind from a resource version on (None: from now on).

        :raises ApiError: 410 when the version is too old to know what happened since.
        """
        watch = Watch()
        history = self._history[resource]
        if since is not None:
            self._ensure_known(resource, since)
            for event in history:
                if event.version > since:
                    watch.queue.put_nowait(event)
        self._watches[resource].add(watch)
        return watch

    def unwatch(self, resource: Resource, watch: Watch) -> None:
        """Stop following."""
        self._watches[resource].discard(watch)

    def end_watches(self) -> None:
        """Notify every watcher that the server ends."""
        for watches in self._watches.values():
            for watch in watches:
                watch.queue.put_nowait(None)

    def _publish(self, resource: Resource, event: Event) -> None:
        self._history[resource].append(event)
        for watch in self._watches[resource]:
            watch.queue.put_nowait(event)


def select_events(event: Event, wanted: t.Callable[[Object], bool]) -> tuple[str, Object] | None:
    """What a watcher with a selector sees of an event: objects enter and leave its sight."""
    after = event.type != "DELETED" and wanted(event.object)
    before = event.previous is not None and wanted(event.previous)
    if after:
        return ("MODIFIED" if before else "ADDED"), event.object
    return ("DELETED", event.object) if before else None
