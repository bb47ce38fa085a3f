# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A proxy in front of a Kubernetes API that passes everything on and remembers what was asked."""

from __future__ import annotations

import dataclasses
import http.client
import http.server
import ssl
import threading
import typing as t
import urllib.parse


@dataclasses.dataclass(frozen=True)
class Call:
    """A request that somebody has made."""

    method: str
    path: str
    query: str
    #: Port of the caller's end: the same for what came over the same connection.
    connection: int


class KubernetesProxy:
    """Answers over plain HTTP, while its block runs."""

    def __init__(self, host: str, ca_cert: str) -> None:
        self.target = urllib.parse.urlsplit(host).netloc
        self.context = ssl.create_default_context(cafile=ca_cert)
        self.calls: list[Call] = []
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def host(self) -> str:
        """``http://127.0.0.1:<port>``"""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> t.Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    proxy: KubernetesProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        path, _, query = self.path.partition("?")
        self.proxy.calls.append(Call(self.command, path, query, self.client_address[1]))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        upstream = http.client.HTTPSConnection(self.proxy.target, timeout=30, context=self.proxy.context)
        upstream.request(self.command, self.path, body or None, headers)
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.getheader("Content-Type", ""))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""
