# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Getting, listing and watching objects."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
import typing as t

from eks_sandbox.control_plane.embedded import selectors
from eks_sandbox.control_plane.embedded.errors import ApiError
from eks_sandbox.control_plane.embedded.errors import bad_request
from eks_sandbox.control_plane.embedded.requests import Request
from eks_sandbox.control_plane.embedded.requests import Target
from eks_sandbox.control_plane.embedded.selectors import Selector
from eks_sandbox.control_plane.embedded.store import Event
from eks_sandbox.control_plane.embedded.store import Store
from eks_sandbox.control_plane.embedded.store import Watch
from eks_sandbox.control_plane.embedded.store import select_events
from eks_sandbox.control_plane.embedded.tables import table
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import identity
from eks_sandbox.control_plane.serving import Receive
from eks_sandbox.control_plane.serving import Send

#: Seconds a watch lasts when the client names no time (kube-apiserver: 30 to 60 minutes).
WATCH_LIFETIME = 1800
_INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}


def shown(target: Target, request: Request, obj: Object) -> Object:
    """One object in the form that the client prefers."""
    if not request.wants_table:
        return obj
    metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
    return table(target.resource, [obj], metadata, request.value("includeObject", "Metadata"))


class Reader:
    """Answers lists and watches."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def listed(self, target: Target, request: Request) -> Object:
        """A list, in pages when the client sets a limit.

        :raises ApiError: 400 for a bad selector or a bad continue token.
        """
        resource = target.resource
        selector = selectors.parse(resource, request.value("labelSelector"), request.value("fieldSelector"))
        found = [obj for obj in self._store.select(resource, target.namespace) if selector.matches(obj)]
        found, rest = _page(found, request)
        metadata: Object = {"resourceVersion": str(self._store.version)}
        if rest:
            token = json.dumps(identity(found[-1])).encode()
            metadata |= {"continue": base64.urlsafe_b64encode(token).decode(), "remainingItemCount": rest}
        if request.wants_table:
            return table(resource, found, metadata, request.value("includeObject", "Metadata"))
        # Items of a list carry neither kind nor version, as in kube-apiserver.
        items = [{key: value for key, value in obj.items() if key not in ("kind", "apiVersion")} for obj in found]
        kind = f"{resource.kind}List"
        return {"kind": kind, "apiVersion": resource.api_version, "metadata": metadata, "items": items}

    async def watch(self, target: Target, request: Request, receive: Receive, send: Send) -> None:
        """Stream changes until the time is over, the client leaves or the server stops.

        :raises ApiError: 400 for bad parameters, 410 when the resource version is too old.
        """
        resource = target.resource
        selector = selectors.parse(resource, request.value("labelSelector"), request.value("fieldSelector"))
        version = request.number("resourceVersion")
        lifetime = request.number("timeoutSeconds") or WATCH_LIFETIME
        initial = [] if version else self._store.select(resource, target.namespace)
        try:
            watch = self._store.watch(resource, version or None)
        except ApiError as error:
            # A watch that is too old begins well and ends with an error event.
            await _begin(send)
            await send(_line({"type": "ERROR", "object": error.status()}, more=False))
            return
        try:
            await _begin(send)
            stream = _Stream(target, request, selector, send)
            for obj in initial:
                await stream.send_object("ADDED", obj)
            if request.flag("sendInitialEvents"):
                await stream.send_bookmark(self._store.version)
            await _pump(watch, stream, receive, time.monotonic() + lifetime)
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._store.unwatch(resource, watch)


def _page(found: list[Object], request: Request) -> tuple[list[Object], int]:
    """This page's objects, and how many come after."""
    if text := request.value("continue"):
        try:
            namespace, name = json.loads(base64.urlsafe_b64decode(text))
        except (ValueError, binascii.Error, TypeError) as error:
            raise bad_request("continue key is not valid: illegal base64 data") from error
        found = [obj for obj in found if identity(obj) > (str(namespace), str(name))]
    limit = request.number("limit") or len(found)
    return found[:limit], max(len(found) - limit, 0)


async def _begin(send: Send) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    # Clients such as kubectl wait for the headers, which go out with the first piece of the body.
    await send({"type": "http.response.body", "body": b"", "more_body": True})


def _line(document: Object, *, more: bool = True) -> Object:
    return {"type": "http.response.body", "body": json.dumps(document).encode() + b"\n", "more_body": more}


class _Stream:
    """Writes the events of one watch."""

    def __init__(self, target: Target, request: Request, selector: Selector, send: Send) -> None:
        self._target = target
        self._request = request
        self._selector = selector
        self._send = send

    def _wanted(self, obj: Object) -> bool:
        namespace = self._target.namespace
        if namespace and obj["metadata"].get("namespace") != namespace:
            return False
        return self._selector.matches(obj)

    async def send_event(self, event: Event) -> None:
        seen = select_events(event, self._wanted)
        if seen:
            await self._send(_line({"type": seen[0], "object": shown(self._target, self._request, seen[1])}))

    async def send_object(self, kind: str, obj: Object) -> None:
        if self._wanted(obj):
            await self._send(_line({"type": kind, "object": shown(self._target, self._request, obj)}))

    async def send_bookmark(self, version: int) -> None:
        resource = self._target.resource
        metadata = {"resourceVersion": str(version), "annotations": _INITIAL_EVENTS_END}
        bookmark = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        await self._send(_line({"type": "BOOKMARK", "object": bookmark}))


async def _pump(watch: Watch, stream: _Stream, receive: Receive, end: float) -> None:
    left = asyncio.create_task(_client_left(receive))
    try:
        while (seconds := end - time.monotonic()) > 0:
            waiting = asyncio.create_task(watch.queue.get())
            tasks: set[asyncio.Task[t.Any]] = {waiting, left}
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
                return
            event = waiting.result()
            if event is None or left.done():
                return
            await stream.send_event(event)
    finally:
        left.cancel()


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
