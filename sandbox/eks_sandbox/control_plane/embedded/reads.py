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
from eks_sandbox.control_plane.embedded.negotiation import Form
from eks_sandbox.control_plane.embedded.options import ensure_list_options
from eks_sandbox.control_plane.embedded.options import version_too_large
from eks_sandbox.control_plane.embedded.requests import Request
from eks_sandbox.control_plane.embedded.requests import Target
from eks_sandbox.control_plane.embedded.selectors import Selector
from eks_sandbox.control_plane.embedded.store import Event
from eks_sandbox.control_plane.embedded.store import Store
from eks_sandbox.control_plane.embedded.store import Watch
from eks_sandbox.control_plane.embedded.store import select_events
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import identity
from eks_sandbox.control_plane.serving import Receive
from eks_sandbox.control_plane.serving import Send

#: Seconds a watch lasts when the client names no time (kube-apiserver: 30 to 60 minutes).
WATCH_LIFETIME = 1800
_INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}


class Reader:
    """Answers lists and watches."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def listed(self, target: Target, request: Request, form: Form) -> Object:
        """A list, in pages when the client sets a limit.

        :raises ApiError: 400 or 422 for parameters that mean nothing, 410 for a page of a list that is too old.
        """
        ensure_list_options(request, is_watch=False)
        resource = target.resource
        selector = selectors.parse(resource, request.value("labelSelector"), request.value("fieldSelector"))
        version, after = self._start(request)
        everything = self._at(target, version)
        found = [obj for obj in everything if identity(obj) > after and selector.matches(obj)]
        limit = request.number("limit") or 0
        page = found[:limit] if limit > 0 else found
        metadata: Object = {"resourceVersion": str(version)}
        if rest := len(found) - len(page):
            token = json.dumps([version, *identity(page[-1])]).encode()
            metadata["continue"] = base64.urlsafe_b64encode(token).decode()
            if not selector:
                metadata["remainingItemCount"] = rest
        return form.many(resource, page, metadata)

    def _start(self, request: Request) -> tuple[int, tuple[str, str]]:
        """Which state a list shows, and behind which object it begins."""
        if text := request.value("continue"):
            try:
                version, namespace, name = json.loads(base64.urlsafe_b64decode(text))
                return int(version), (str(namespace), str(name))
            except (ValueError, binascii.Error, TypeError) as error:
                raise bad_request("invalid continue token: continue key is not valid") from error
        asked = request.number("resourceVersion") or 0
        if asked > self._store.version:
            raise version_too_large(asked, self._store.version)
        is_exact = request.value("resourceVersionMatch") == "Exact"
        return (asked if is_exact else self._store.version), ("", "")

    def _at(self, target: Target, version: int) -> list[Object]:
        if version == self._store.version:
            return self._store.select(target.resource, target.namespace)
        return self._store.as_of(target.resource, target.namespace, version)

    async def watch(self, target: Target, request: Request, form: Form, receive: Receive, send: Send) -> None:
        """Stream changes until the time is over, the client leaves or the server stops.

        :raises ApiError: 400 for bad parameters, 410 when the resource version is too old.
        """
        ensure_list_options(request, is_watch=True)
        resource = target.resource
        selector = selectors.parse(resource, request.value("labelSelector"), request.value("fieldSelector"))
        version = request.number("resourceVersion")
        lifetime = request.number("timeoutSeconds") or WATCH_LIFETIME
        wants_state = not version or request.flag("sendInitialEvents")
        initial = self._store.select(resource, target.namespace) if wants_state else []
        try:
            watch = self._store.watch(resource, None if wants_state else version)
        except ApiError as error:
            # A watch that is too old begins well and ends with an error event.
            await _begin(send)
            await send(_line({"type": "ERROR", "object": error.status()}, more=False))
            return
        try:
            await _begin(send)
            stream = _Stream(target, form, selector, send)
            for obj in initial:
                await stream.send_object("ADDED", obj)
            if request.flag("sendInitialEvents") and request.flag("allowWatchBookmarks"):
                await stream.send_bookmark(self._store.version)
            await _pump(watch, stream, receive, time.monotonic() + lifetime)
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._store.unwatch(resource, watch)


async def _begin(send: Send) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    # Clients such as kubectl wait for the headers, which go out with the first piece of the body.
    await send({"type": "http.response.body", "body": b"", "more_body": True})


def _line(document: Object, *, more: bool = True) -> Object:
    return {"type": "http.response.body", "body": json.dumps(document).encode() + b"\n", "more_body": more}


class _Stream:
    """Writes the events of one watch."""

    def __init__(self, target: Target, form: Form, selector: Selector, send: Send) -> None:
        self._target = target
        self._form = form
        self._selector = selector
        self._send = send

    def _wanted(self, obj: Object) -> bool:
        namespace, name = identity(obj)
        if self._target.namespace not in ("", namespace) or self._target.name not in ("", name):
            return False
        return self._selector.matches(obj)

    async def send_event(self, event: Event) -> None:
        seen = select_events(event, self._wanted)
        if seen:
            await self._send(_line({"type": seen[0], "object": self._form.one(self._target.resource, seen[1])}))

    async def send_object(self, kind: str, obj: Object) -> None:
        if self._wanted(obj):
            await self._send(_line({"type": kind, "object": self._form.one(self._target.resource, obj)}))

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
