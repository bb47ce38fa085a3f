# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An API server of Kubernetes that answers every request with the same failure, or not at all."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
import typing as t

REASONS = {401: "Unauthorized", 403: "Forbidden", 500: "InternalError"}
#: Seconds until a request that is not answered ends.
SILENCE = 0.5


class _Handler(http.server.BaseHTTPRequestHandler):
    #: A status of HTTP; 0 for no answer.
    status = 0

    def do_GET(self) -> None:
        if not self.status:
            time.sleep(SILENCE)
            self.close_connection = True
            return
        reason = REASONS[self.status]
        document = {"kind": "Status", "status": "Failure", "message": reason, "reason": reason, "code": self.status}
        content = json.dumps(document).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def broken_api_server(failure: str) -> t.Iterator[str]:
    """The address of one that fails so: ``gone``, ``tls``, ``silent``, or a status of HTTP."""
    handler = type("Handler", (_Handler,), {"status": int(failure) if failure.isdigit() else 0})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    address = f"127.0.0.1:{server.server_address[1]}"
    if failure == "gone":
        server.server_close()
        yield f"https://{address}"
        return
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    # It speaks no TLS, so who expects that fails in the handshake.
    yield f"{'https' if failure == 'tls' else 'http'}://{address}"
    server.shutdown()
    thread.join()
    server.server_close()
