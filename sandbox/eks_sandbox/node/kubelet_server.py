# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kubelet's own HTTPS server: logs, exec and attach, for the API server only."""

from __future__ import annotations

import asyncio
import contextlib
import json
import typing as t
import urllib.parse

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.serving import Receive
from eks_sandbox.control_plane.serving import Scope
from eks_sandbox.control_plane.serving import Send
from eks_sandbox.control_plane.serving import respond
from eks_sandbox.node import logs
from eks_sandbox.node.containers import Container
from eks_sandbox.node.processes import Process
from eks_sandbox.node.processes import StartError
from eks_sandbox.node.terminal import Terminal

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
#: Channels of the exec protocol; 255 closes another channel (v5).
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
CHUNK = 16 * 1024
#: How the kubelet reports these reasons to a client that requests a log.
_PULL_REASONS = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}
_TEXT = "text/plain; charset=utf-8"


class Worker(t.Protocol):
    """A request about a pod."""

    def container(self, name: str) -> Container | None:
        """A container by its name."""
        ...


class KubeletServer:
    """An ASGI application for one node."""

    def __init__(self, find: t.Callable[[str, str], Worker | None]) -> None:
        self._find = find

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of ASGI."""
        parts = [urllib.parse.unquote(part) for part in scope["path"].strip("/").split("/")]
        query = urllib.parse.parse_qs(scope["query_string"].decode())
        container = self._container(parts)
        if scope["type"] == "websocket":
            await receive()
            serve = {"exec": _execute, "attach": _attach}.get(parts[0])
            if container is None or serve is None:
                await _refuse(send, 404, "no such container")
                return
            await serve(container, query, scope, receive, send)
        elif container is None or parts[0] != "containerLogs":
            await respond(send, 404, b"no such container\n", _TEXT)
        else:
            await _log(container, parts[2], {key: values[0] for key, values in query.items()}, send)

    def _container(self, parts: list[str]) -> Container | None:
        if len(parts) != 4:
            return None
        worker = self._find(parts[1], parts[2])
        return worker.container(parts[3]) if worker else None


async def _log(container: Container, pod: str, query: t.Mapping[str, str], send: Send) -> None:
    try:
        options = logs.LogOptions.read(query)
    except ValueError as error:
        await respond(send, 400, f"{error}\n".encode(), _TEXT)
        return
    previous = query.get("previous") == "true"
    path = container.log_path(previous=previous)
    if not path.exists():
        named = f'"{container.name}" in pod "{pod}"'
        reason = (container.status()["state"].get("waiting") or {}).get("reason", "ContainerCreating")
        text = f"container {named} is waiting to start: {_PULL_REASONS.get(reason, reason)}"
        text = f"previous terminated container {named} not found" if previous else text
        await respond(send, 400, text.encode(), _TEXT)
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", _TEXT.encode())]})

    def is_running() -> bool:
        return container.is_running and not previous

    async with contextlib.aclosing(logs.read(path, options, is_running)) as pieces:
        async for piece in pieces:
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = reason.encode()
    headers = [(b"content-type", _TEXT.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


async def _execute(
    container: Container, query: t.Mapping[str, list[str]], scope: Scope, receive: Receive, send: Send
) -> None:
    if not query.get("command") or not await _accept(scope, send):
        await _refuse(send, 400, "you must specify a command and one of the protocols " + ", ".join(PROTOCOLS))
        return
    terminal = Terminal() if _asked(query, "tty") else None
    try:
        status = await _converse(container, query, terminal, receive, send)
        outcome = {"metadata": {}, "status": "Success"} if status == 0 else _exit_failure(status)
    except StartError as error:
        outcome = _failure("InternalError", str(error))
    finally:
        if terminal is not None:
            terminal.close()
    await _end(send, outcome)


async def _attach(
    container: Container, query: t.Mapping[str, list[str]], scope: Scope, receive: Receive, send: Send
) -> None:
    """The client at the streams of the container itself, until one of them ends."""
    if not container.is_running:
        await _refuse(send, 400, f"container {container.name} not found in pod")
        return
    if not await _accept(scope, send):
        await _refuse(send, 400, "you must specify one of the protocols " + ", ".join(PROTOCOLS))
        return
    keyboard = container.keyboard if _asked(query, "input") else None
    typing = asyncio.create_task(_type(keyboard, container.terminal, receive))
    showing = asyncio.create_task(_show(container, send))
    done, left = await asyncio.wait({typing, showing}, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    if showing in done:
        await _end(send, {"metadata": {}, "status": "Success"})


async def _show(container: Container, send: Send) -> None:
    async with contextlib.aclosing(container.output()) as pieces:
        async for piece in pieces:
            if piece:
                await _send(send, STDOUT, piece)


async def _accept(scope: Scope, send: Send) -> bool:
    """Agree on a protocol, if there is one."""
    protocol = next((name for name in PROTOCOLS if name in scope["subprotocols"]), None)
    if protocol is not None:
        await send({"type": "websocket.accept", "subprotocol": protocol})
    return protocol is not None


async def _end(send: Send, outcome: Object) -> None:
    await _send(send, ERROR, json.dumps(outcome).encode())
    await send({"type": "websocket.close", "code": 1000})


def _asked(query: t.Mapping[str, list[str]], option: str) -> bool:
    return query.get(option, [""])[0] in ("1", "true")


async def _converse(
    container: Container, query: t.Mapping[str, list[str]], terminal: Terminal | None, receive: Receive, send: Send
) -> int:
    """Run the command with the client at its streams; returns its exit status."""
    if terminal is None:
        process = await container.execute(query["command"], with_input=_asked(query, "input"))
        streams = {STDOUT: process.output, STDERR: process.errors}
        keyboard = process.input
    else:
        process = await container.execute(query["command"], terminal=terminal.slave)
        streams = {STDOUT: await terminal.opened()}
        keyboard = terminal.keyboard
    feeding = asyncio.create_task(_feed(process, keyboard, terminal, receive))
    try:
        await asyncio.gather(*(_drain(stream, channel, send) for channel, stream in streams.items()))
        return await process.wait()
    finally:
        feeding.cancel()
        await process.stop(0)


async def _send(send: Send, channel: int, content: bytes) -> None:
    await send({"type": "websocket.send", "bytes": bytes([channel]) + content})


async def _drain(stream: asyncio.StreamReader, channel: int, send: Send) -> None:
    # A terminal whose last process has ended answers with an error.
    with contextlib.suppress(OSError):
        while content := await stream.read(CHUNK):
            await _send(send, channel, content)


async def _feed(
    process: Process, keyboard: asyncio.StreamWriter | None, terminal: Terminal | None, receive: Receive
) -> None:
    """From the client to the command; it ends when the client disconnects."""
    await _type(keyboard, terminal, receive)
    process.kill()


async def _type(keyboard: asyncio.StreamWriter | None, terminal: Terminal | None, receive: Receive) -> None:
    """From the client to an input, until the client disconnects."""
    while (message := await receive())["type"] == "websocket.receive":
        # The official Python client sends input as text.
        content = message.get("bytes") or (message.get("text") or "").encode()
        if content[:1] == bytes([RESIZE]) and terminal is not None:
            terminal.resize(content[1:])
        if keyboard is None or not content:
            continue
        with contextlib.suppress(ConnectionError):
            if content[0] == STDIN:
                keyboard.write(content[1:])
                await keyboard.drain()
            elif content[0] == CLOSE and content[1:2] == bytes([STDIN]):
                keyboard.close()


def _failure(reason: str, message: str) -> Object:
    return {"metadata": {}, "status": "Failure", "reason": reason, "message": message, "code": 500}


def _exit_failure(status: int) -> Object:
    failure = _failure("NonZeroExitCode", f"command terminated with non-zero exit code: exit status {status}")
    return {**failure, "code": 0, "details": {"causes": [{"reason": "ExitCode", "message": str(status)}]}}
