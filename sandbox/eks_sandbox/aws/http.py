# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One HTTP request as the sandbox handles it, and the way answers leave it (ASGI)."""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t
import urllib.parse
import uuid

Scope = t.MutableMapping[str, t.Any]
Message = t.MutableMapping[str, t.Any]
Receive = t.Callable[[], t.Awaitable[Message]]
Send = t.Callable[[Message], t.Awaitable[None]]
Application = t.Callable[[Scope, Receive, Send], t.Awaitable[None]]

_CREDENTIAL = re.compile(r"Credential=([^/,]*)/(\d{8})/([^/]*)/([^/]*)/aws4_request")


@dataclasses.dataclass(frozen=True)
class SignatureScope:
    """What a SigV4 signature says about itself; nothing of it is verified yet."""

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


async def read_request(scope: Scope, receive: Receive) -> Request:
    """Read a whole request; bodies in this sandbox are small."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
    raw_path: bytes = scope.get("raw_path") or urllib.parse.quote(scope["path"]).encode()
    return Request(
        method=scope["method"],
        raw_path=raw_path.split(b"?")[0].decode("ascii"),
        query=urllib.parse.parse_qs(scope["query_string"].decode(), keep_blank_values=True),
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
        body=bytes(body),
        scope=scope,
    )


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
    headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def replay(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that hands out a body that was read already, then goes on with the real one."""
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
