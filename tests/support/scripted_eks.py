# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An EKS that answers from a script, for days so bad that the sandbox does not have them."""

from __future__ import annotations

import collections.abc
import contextlib
import http.server
import json
import threading
import typing as t

#: ``GET /clusters/example`` -> the body of the answer; what is not in the script does not exist.
Script = collections.abc.Mapping[str, t.Any]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by method and path, and keeps who asked for what."""

    script: t.ClassVar[Script]
    requests: t.ClassVar[list[str]]
    agents: t.ClassVar[list[str]]

    def answer(self) -> None:
        request = f"{self.command} {self.path.partition('?')[0]}"
        self.requests.append(request)
        self.agents.append(self.headers["User-Agent"])
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps(self.script.get(request, {})).encode()
        self.send_response(200 if request in self.script else 404)
        if request not in self.script:
            self.send_header("x-amzn-ErrorType", "ResourceNotFoundException")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *_arguments: t.Any) -> None:
        """Nothing on standard error."""


@contextlib.contextmanager
def scripted_eks(script: Script) -> collections.abc.Iterator[tuple[str, type[Handler]]]:
    """Serve a script; gives the endpoint and the handler with what was asked."""
    handler = type("ScriptHandler", (Handler,), {"script": script, "requests": [], "agents": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", handler
        finally:
            server.shutdown()
            thread.join()
