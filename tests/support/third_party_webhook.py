# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A mutating admission webhook that is not the sandbox's: an HTTPS server with a certificate of its own."""

from __future__ import annotations

import base64
import datetime
import http.server
import ipaddress
import json
import pathlib
import ssl
import tempfile
import threading
import typing as t

import kubernetes
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.kubernetes_cluster import Cluster


class ThirdPartyWebhook:
    """Answers every review with the same patch or refusal, while the ``with`` block runs."""

    def __init__(self, patch: list[dict[str, t.Any]], refusal: str = "") -> None:
        self._patch = patch
        self._refusal = refusal
        self._registered: t.Callable[[], object] | None = None

    def __enter__(self) -> t.Self:
        certificate, key = self_signed()
        self._authority = base64.b64encode(certificate).decode()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:
            pathlib.Path(file.name).write_bytes(certificate + key)
            context.load_cert_chain(file.name)
        answer = self.answer

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._registered is not None:
            self._registered()
        self._server.shutdown()
        self._server.server_close()

    def register(
        self, cluster: Cluster, name: str, namespace: str, *, operation: str = "CREATE", resource: str = "pods"
    ) -> None:
        """Ask it about pods of this namespace; that it cannot be asked is an error."""
        admission = kubernetes.client.AdmissionregistrationV1Api(cluster.api)
        webhook = {
            "name": f"{name}.example.com",
            "admissionReviewVersions": ["v1"],
            "clientConfig": self.address(),
            "failurePolicy": "Fail",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": [operation], "resources": [resource]}],
            "sideEffects": "None",
        }
        admission.create_mutating_webhook_configuration({"metadata": {"name": name}, "webhooks": [webhook]})

        def remove() -> None:
            admission.delete_mutating_webhook_configuration(name)

        self._registered = remove

    def address(self) -> dict[str, str]:
        """Where it is and by whose certificate, as a webhook's configuration has it."""
        return {"url": f"https://127.0.0.1:{self._server.server_address[1]}/", "caBundle": self._authority}

    def answer(self, review: dict[str, t.Any]) -> bytes:
        """The AdmissionReview with its response."""
        response: dict[str, t.Any] = {"uid": review["request"]["uid"], "allowed": not self._refusal}
        if self._refusal:
            response["status"] = {"message": self._refusal, "code": 403}
        elif len(review["request"]["object"]["spec"]["containers"]) == 1:
            patch = base64.b64encode(json.dumps(self._patch).encode()).decode()
            response |= {"patchType": "JSONPatch", "patch": patch}
        return json.dumps({**review, "response": response}).encode()


def self_signed() -> tuple[bytes, bytes]:
    """Certificate and key, in PEM, of a server on loopback that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "foreign webhook")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    return certificate.public_bytes(encoding), key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
