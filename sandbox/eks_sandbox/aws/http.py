# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One HTTP request as the sandbox handles it, and the way answers leave it (ASGI)."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import typing as t
import urllib.parse
import uuid

Scope = dict[str, t.Any]
Message = dict[str, t.Any]
Receive = t.Callable[[], t.Awaitable[Message]]
Send = t.Callable[[Message], t.Awaitable[None]]
Application = t.Callable[[Scope, Receive, Send], t.Awaitable[None]]

_CREDENTIAL = re.compile(r"Credential=([^/,]*)/(\d{8})/([^/]*)/([^/]*)/aws4_request")


#: What the server adds to a request's ``extensions``: a function without arguments that resets the connection.
RESET = "sandbox.reset"
#: The largest body that is processed, and the largest one that is read and dropped in order to send a refusal.
BODY_LIMIT, PATIENT_BODY_LIMIT = 16 * 1024 * 1024, 256 * 1024 * 1024


class BadRequest(Exception):
    """The received data is not a request that a service could answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message


@dataclasses.dataclass(frozen=True)
class SignatureScope:
    """The contents of a SigV4 signature, not verified."""

    access_key: str
    region: str
    service: str


@dataclasses.dataclass(frozen=True)
class Request:
    """An HTTP request with its body."""

    method: str
    #: Percent-encoded, as it came over the wire.
    raw_path: str
    query: t.Mapping[str, list[str]]
    #: Lower-case names; of a repeated header the last one.
    headers: t.Mapping[str, str]
    body: bytes
    scope: Scope

    @property
    def signature(self) -> SignatureScope | None:
        """The credential scope in the Authorization header or, for presigned requests, in the query."""
        presigned = self.query.get("X-Amz-Credential")
        header = f"Credential={presigned[0]}" if presigned else self.headers.get("authorization", "")
        found = _CREDENTIAL.search(header)
        return SignatureScope(found[1], found[3], found[4]) if found else None


@dataclasses.dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: t.Mapping[str, str]
    body: bytes


async def read_request(scope: Scope, receive: Receive, seconds: float) -> Request:
    """Read a whole request, which must arrive within this many seconds.

    Raises BadRequest for one that is too slow, too large or not whole.
    """
    try:
        async with asyncio.timeout(seconds):
            body = await _read_body(receive)
    except TimeoutError as error:
        raise BadRequest(408, "RequestTimeout", f"The request was not here in whole after {seconds:g} s.") from error
    return Request(
        method=scope["method"],
        raw_path=scope["raw_path"].decode("latin-1"),
        query=urllib.parse.parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True),
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
        body=body,
        scope=scope,
    )


async def _read_body(receive: Receive) -> bytes:
    """The body; one that is too large is read to its end, because a client does not listen before it has sent all."""
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest(400, "IncompleteBody", "The connection ended before the body did.")
        part = message.get("body", b"")
        size += len(part)
        if size > PATIENT_BODY_LIMIT:
            break
        if size <= BODY_LIMIT:
            parts.append(part)
        more = message.get("more_body", False)
    if size > BODY_LIMIT:
        raise BadRequest(413, "RequestEntityTooLargeException", f"A request may hold {BODY_LIMIT} bytes.")
    return b"".join(parts)


def json_answer(status: int, document: t.Any, headers: t.Mapping[str, str] | None = None) -> Answer:
    """An answer with a JSON body and a request id, as every AWS JSON service gives."""
    all_headers = {
        "content-type": "application/json",
        "x-amzn-requestid": str(uuid.uuid4()),
        **(headers or {}),
    }
    return Answer(status, all_headers, json.dumps(document).encode())


async def send_answer(send: Send, answer: Answer) -> None:
    """Send an answer with its length, so that the connection can be kept."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    if "content-length" not in answer.headers:
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def reset_connection(scope: Scope, receive: Receive) -> None:
    """Reset the connection of a request, as a network does that loses it; returns when it is gone."""
    scope["extensions"][RESET]()
    await wait_for_disconnect(receive)


async def wait_for_disconnect(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def replay(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that returns a body that was read already, then continues with the real one."""
    pending = [body]

    async def receive_again() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return receive_again


async def call_application(application: Application, request: Request, headers: t.Mapping[str, str]) -> Answer:
    """Call an ASGI application in-process with other headers, and collect its answer."""
    scope = dict(request.scope)
    scope["headers"] = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    collected: list[Message] = []

    async def disconnected() -> Message:
        return {"type": "http.disconnect"}

    async def collect(message: Message) -> None:
        collected.append(message)

    await application(scope, replay(request.body, disconnected), collect)
    start = next(message for message in collected if message["type"] == "http.response.start")
    body = b"".join(message.get("body", b"") for message in collected if message["type"] == "http.response.body")
    answered = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], answered, body)
