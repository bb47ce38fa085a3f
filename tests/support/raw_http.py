# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Requests as no AWS client would send them: signed by hand, or not at all, over plain HTTP or a bare socket."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import typing as t

import botocore.auth
import botocore.awsrequest
import botocore.credentials
from support.sandbox_process import SandboxProcess

#: Seconds that an answer may take, on a busy machine.
PATIENCE = 30.0
Headers = dict[str, str]


class Answer(t.NamedTuple):
    """What came back."""

    status: int
    #: Lower-case names.
    headers: Headers
    body: bytes

    @property
    def document(self) -> t.Any:
        """The body, which must be JSON."""
        return json.loads(self.body)


def port(sandbox: SandboxProcess) -> int:
    """The port of the sandbox's AWS endpoint."""
    return int(sandbox.endpoint.rpartition(":")[2])


def sign(
    sandbox: SandboxProcess, service: str, method: str, path: str, body: bytes = b"", headers: Headers | None = None
) -> Headers:
    """The headers of a request that is signed as the administrator does it."""
    keys = botocore.credentials.Credentials(sandbox.env["AWS_ACCESS_KEY_ID"], sandbox.env["AWS_SECRET_ACCESS_KEY"])
    request = botocore.awsrequest.AWSRequest(method, sandbox.endpoint + path, headers or {}, data=body)
    botocore.auth.SigV4Auth(keys, service, sandbox.env["AWS_REGION"]).add_auth(request)
    return dict(request.headers)


def connect(sandbox: SandboxProcess) -> http.client.HTTPConnection:
    """A connection that can be kept."""
    return http.client.HTTPConnection("127.0.0.1", port(sandbox), timeout=PATIENCE)


def send_over(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes = b"", headers: Headers | None = None
) -> Answer:
    """Send one request over a connection and read its whole answer."""
    connection.request(method, path, body or None, headers or {})
    answer = connection.getresponse()
    return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def send(sandbox: SandboxProcess, method: str, path: str, body: bytes = b"", service: str = "eks") -> Answer:
    """A signed request without a client in between."""
    with contextlib.closing(connect(sandbox)) as connection:
        return send_over(connection, method, path, body, sign(sandbox, service, method, path, body))


def exchange(sandbox: SandboxProcess, *parts: bytes) -> bytes:
    """Send bytes over a bare socket and read until the server ends the connection."""
    with socket.create_connection(("127.0.0.1", port(sandbox)), timeout=PATIENCE) as connection:
        with contextlib.suppress(ConnectionError):
            for part in parts:
                connection.sendall(part)
        return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """All that comes until the other side ends the connection, in whatever way."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            received += part
    return received
