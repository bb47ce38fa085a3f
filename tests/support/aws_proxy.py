# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An HTTP proxy in front of an AWS endpoint that acts between two calls of a client.

It does what the sandbox's fault table cannot: something just before a call reaches AWS, or in place of its answer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import http.client
import http.server
import re
import threading
import time
import typing as t
import urllib.parse

Headers = list[tuple[str, str]]


@dataclasses.dataclass
class Intervention:
    """What to do at the first call that matches."""

    method: str
    path: re.Pattern[str]
    before: t.Callable[[], object] | None = None
    after: t.Callable[[], object] | None = None
    #: Whether the caller never gets the answer to its call, which AWS has carried out.
    loses_answer: bool = False
    #: Whether the call never reaches AWS.
    cuts: bool = False
    done: bool = False


class AwsProxy:
    """Forwards every call unchanged, signature included, and carries out its interventions on the way."""

    def __init__(self, endpoint: str) -> None:
        self._target = urllib.parse.urlsplit(endpoint).netloc
        self._interventions: list[Intervention] = []
        self._lock = threading.Lock()
        self._in_flight = 0
        #: The most calls that were under way at the same time.
        self.most_in_flight = 0
        handler = type("Handler", (_Handler,), {"aws_proxy": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def endpoint(self) -> str:
        """``http://127.0.0.1:<port>``"""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def before(self, method: str, path: str, act: t.Callable[[], object]) -> None:
        """Do something before the first call with this method and a path that contains this pattern."""
        self._interventions.append(Intervention(method, re.compile(path), before=act))

    def after(self, method: str, path: str, act: t.Callable[[], object]) -> None:
        """Do something after the first such call, before the caller has its answer."""
        self._interventions.append(Intervention(method, re.compile(path), after=act))

    def lose_answer(self, method: str, path: str) -> None:
        """Cut the connection in place of the answer to the first such call."""
        self._interventions.append(Intervention(method, re.compile(path), loses_answer=True))

    def cut(self, method: str, path: str) -> None:
        """Cut the connection in place of the first such call, which AWS never sees."""
        self._interventions.append(Intervention(method, re.compile(path), cuts=True))

    def stall(self, method: str, path: str, seconds: float) -> None:
        """Let the first such call wait before it is passed on, longer than its caller will."""
        self._interventions.append(
            Intervention(method, re.compile(path), before=functools.partial(time.sleep, seconds))
        )

    def __enter__(self) -> AwsProxy:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop answering; an intervention that never happened means that the test checked nothing."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        assert [intervention for intervention in self._interventions if not intervention.done] == []

    def due(self, method: str, path: str) -> Intervention | None:
        """The intervention that this call sets off, if any."""
        for intervention in self._interventions:
            if not intervention.done and intervention.method == method and intervention.path.search(path):
                intervention.done = True
                return intervention
        return None

    def forward(self, method: str, path: str, headers: Headers, body: bytes) -> tuple[int, Headers, bytes]:
        """The real endpoint's answer. The Host header stays, since the caller has signed it."""
        with self._counted(), contextlib.closing(http.client.HTTPConnection(self._target, timeout=30)) as connection:
            return self._answer(connection, method, path, headers, body)

    @contextlib.contextmanager
    def _counted(self) -> t.Iterator[None]:
        with self._lock:
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    @staticmethod
    def _answer(
        connection: http.client.HTTPConnection, method: str, path: str, headers: Headers, body: bytes
    ) -> tuple[int, Headers, bytes]:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()


class _Handler(http.server.BaseHTTPRequestHandler):
    aws_proxy: AwsProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        intervention = self.aws_proxy.due(self.command, self.path)
        if intervention is not None and intervention.cuts:
            self.close_connection = True
            return
        if intervention is not None and intervention.before is not None:
            intervention.before()
        status, headers, content = self.aws_proxy.forward(self.command, self.path, self.headers.items(), body)
        if intervention is not None and intervention.after is not None:
            intervention.after()
        self.close_connection = True
        if intervention is not None and intervention.loses_answer:
            return
        with contextlib.suppress(ConnectionError):  # of a caller that has not waited
            self._pass_back(status, headers, content)

    def _pass_back(self, status: int, headers: Headers, content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("connection", "content-length", "date", "server", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = do_PUT = _handle

    def log_message(self, format: str, *args: t.Any) -> None:
        """Say nothing."""
