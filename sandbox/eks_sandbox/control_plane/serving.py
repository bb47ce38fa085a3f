# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HTTP servers on loopback: ASGI applications under hypercorn, many in one process."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import socket
import ssl
import struct
import typing as t

from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config

Scope = dict[str, t.Any]
Message = dict[str, t.Any]
Receive = t.Callable[[], t.Awaitable[Message]]
Send = t.Callable[[Message], t.Awaitable[None]]
Application = t.Callable[[Scope, Receive, Send], t.Awaitable[None]]

#: kube-apiserver's own limit for a request body, in bytes.
BODY_LIMIT = 3 * 1024 * 1024
#: Seconds that open connections get when a server stops.
GRACE = 0.5


class BodyTooLargeError(Exception):
    """A request's body is longer than kube-apiserver would read."""


def _expect_abrupt_clients(loop: asyncio.AbstractEventLoop) -> None:
    """Clients such as kubectl close TLS connections in mid-flight, which asyncio would report as an error."""
    if getattr(loop.get_exception_handler(), "expects_abrupt_clients", False):
        return
    previous = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, t.Any]) -> None:
        if _is_abrupt_end(context.get("exception")):
            return
        if previous is None:
            loop.default_exception_handler(context)
        else:
            previous(loop, context)

    handle.expects_abrupt_clients = True  # type: ignore[attr-defined]
    loop.set_exception_handler(handle)


def _is_abrupt_end(error: BaseException | None) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_is_abrupt_end(inner) for inner in error.exceptions)
    return isinstance(error, ssl.SSLError | ConnectionError)


class _Connection(TCPServer):  # type: ignore[misc]  # hypercorn is not looked into
    """A connection that does not wait for the client to close it."""

    async def _close(self) -> None:
        # asyncio says so when the client does not answer the end of TLS within GRACE; the connection is gone then.
        with contextlib.suppress(TimeoutError):
            await super()._close()


def listen(port: int = 0) -> socket.socket:
    """A socket that listens on a loopback port, or on any free one; raises OSError."""
    # Read back by its number, the socket knows that it is TCP: only then asyncio switches Nagle's algorithm off.
    return socket.socket(fileno=socket.create_server(("127.0.0.1", port)).detach())


class Server:
    """One application on one loopback port, over TLS where a certificate is given.

    A request's ``extensions`` hold ``sandbox.reset``, a function without arguments that resets its connection.
    """

    def __init__(
        self,
        application: Application,
        tls: tuple[pathlib.Path, pathlib.Path] | None = None,
        *,
        client_authority: pathlib.Path | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self._application = application
        #: Where given, only clients with a certificate of this authority are served.
        self._client_authority = client_authority
        self._socket = listener or listen()
        self.port: int = self._socket.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._tls = tls
        self._context = WorkerContext(None)
        self._listening: asyncio.Task[asyncio.Server] | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def start(self) -> None:
        """Serve from now on; the port listens already."""
        _expect_abrupt_clients(asyncio.get_running_loop())
        self._listening = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        """Close the server and its connections: idle ones immediately, others after a short time to finish."""
        if self._listening is None:
            self._socket.close()
            return
        (await self._listening).close()
        await self._context.terminated.set()
        if self._connections:
            await asyncio.wait(self._connections, timeout=GRACE)
        # A TLS connection would wait half a minute for its client to close it.
        for task, writer in self._connections.items():
            writer.transport.abort()
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=GRACE)

    async def _listen(self) -> asyncio.Server:
        """Hand each connection to hypercorn.

        Its own ``serve`` cannot be ended while connections are open: it raises InvalidStateError on Python 3.11, and
        waits for ever on 3.12.
        """
        loop = asyncio.get_running_loop()
        config = self._config()

        # Not a coroutine: Python 3.11 would run it as a task that reports its own cancellation as an error.
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            application = ASGIWrapper(t.cast(t.Any, self._with_reset(writer)))
            task = loop.create_task(_Connection(application, loop, config, self._context, {}, reader, writer).run())
            self._connections[task] = writer
            task.add_done_callback(self._disconnected)

        context = config.create_ssl_context() if self._tls else None
        patience = GRACE if context else None
        return await asyncio.start_server(
            connected, sock=self._socket, ssl=context, ssl_shutdown_timeout=patience, backlog=config.backlog
        )

    def _with_reset(self, writer: asyncio.StreamWriter) -> Application:
        """The application for one connection, which its requests can reset."""

        def reset() -> None:
            # Without lingering, the kernel sends RST instead of an orderly end.
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})["sandbox.reset"] = reset
            await self._application(scope, receive, send)

        return application

    def _disconnected(self, task: asyncio.Task[None]) -> None:
        del self._connections[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            task.get_loop().call_exception_handler({"message": "a connection failed", "exception": error})

    def _config(self) -> Config:
        config = Config()
        config.errorlog = None
        config.accesslog = None
        config.alpn_protocols = ["http/1.1"]
        config.keep_alive_timeout = 300
        config.keep_alive_max_requests = 1_000_000_000
        if self._tls:
            config.certfile, config.keyfile = (str(path) for path in self._tls)
        if self._client_authority:
            config.ca_certs = str(self._client_authority)
            config.verify_mode = ssl.VerifyMode.CERT_REQUIRED
        return config


async def read_body(receive: Receive, limit: int = BODY_LIMIT) -> bytes:
    """The whole body of a request.

    :raises BodyTooLargeError: it is longer than ``limit`` bytes.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise BodyTooLargeError
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


async def respond(
    send: Send,
    status: int,
    body: bytes,
    content_type: str = "application/json",
    headers: t.Sequence[tuple[str, str]] = (),
) -> None:
    """Send a whole answer."""
    pairs = [("content-type", content_type), ("content-length", str(len(body))), *headers]
    encoded = [(name.encode(), value.encode("utf-8")) for name, value in pairs]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
