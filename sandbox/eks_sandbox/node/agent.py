# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pod identity agent of one node: trades a pod's token for credentials of its role.

Behaves as aws/eks-pod-identity-agent 0.1 does (``tests/data/agent-cases.json`` holds its answers), as a light,
separate process: standard library, urllib3 and botocore's signer.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import configparser
import dataclasses
import datetime
import http.server
import json
import os
import pathlib
import signal
import sys
import threading
import time
import typing as t
import urllib.parse

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

BIND_HOSTS = "169.254.170.23,[fd00:ec2::23]"
CREDENTIALS_PATH = "/v1/credentials"
#: Attempts at EKS Auth where it is busy or broken, and seconds before the second one; then it doubles.
ATTEMPTS, FIRST_PAUSE = 3, 0.1
#: Seconds: the agent's own limits for reaching EKS Auth, and how long credentials are kept without another request.
CONNECT_TIMEOUT, READ_TIMEOUT, RETENTION = 0.5, 5.0, 3 * 3600
#: Answers after which kept credentials are dropped.
IRRECOVERABLE = (
    "AccessDeniedException",
    "ExpiredTokenException",
    "InvalidTokenException",
    "ResourceNotFoundException",
)
_TEXT = "text/plain; charset=utf-8"


class RefusedError(Exception):
    """The answer to the pod instead of credentials."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def check_token(token: str) -> None:
    """Refuse what is not a currently valid service account token; the signature is not checked here.

    :raises RefusedError: with status 400.
    """
    if not token:
        raise RefusedError(400, "Service account token cannot be empty")
    parts = token.split(".")
    if len(parts) != 3:
        why = "token is malformed: token contains an invalid number of segments"
        raise RefusedError(400, f"Service account token cannot be parsed: {why}")
    claims = [_decoded(part, name) for part, name in zip(parts[:2], ("header", "claims"), strict=True)][1]
    now = time.time()
    if isinstance(claims.get("exp"), int | float) and claims["exp"] <= now:
        raise RefusedError(400, "Service account token failed basic claim validations: token is expired")
    if isinstance(claims.get("nbf"), int | float) and claims["nbf"] > now:
        raise RefusedError(400, "Service account token failed basic claim validations: token is not valid yet")


def _decoded(part: str, name: str) -> dict[str, t.Any]:
    prefix = "Service account token cannot be parsed: token is malformed: could not"
    try:
        content = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(400, f"{prefix} base64 decode {name}: illegal base64 data at input byte 0") from error
    try:
        decoded = json.loads(content)
    except ValueError as error:
        raise RefusedError(400, f"{prefix} JSON decode {name}: invalid character") from error
    if not isinstance(decoded, dict):
        raise RefusedError(400, f"{prefix} JSON decode {name}: cannot unmarshal")
    return decoded


@dataclasses.dataclass(frozen=True)
class Session:
    """Credentials of a pod's role, as the SDKs expect them."""

    body: bytes
    expires: float
    fetched: float

    @property
    def is_fresh(self) -> bool:
        """Whether no new request to EKS Auth is needed."""
        now = time.time()
        return now < self.expires and now < self.fetched + RETENTION

    @property
    def is_valid(self) -> bool:
        return time.time() < self.expires


def node_credentials() -> Credentials:
    """The node role's credentials, from the file that the kubelet keeps fresh.

    :raises RefusedError: there are none.
    """
    path = pathlib.Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", ""))
    parser = configparser.RawConfigParser()
    parser.read(path if path.is_file() else [])
    if "default" not in parser:
        raise RefusedError(500, "unable to find the credentials of the node's role")
    section = parser["default"]
    return Credentials(section["aws_access_key_id"], section["aws_secret_access_key"], section.get("aws_session_token"))


class EksAuth:
    """AssumeRoleForPodIdentity for one cluster."""

    def __init__(self, cluster: str, endpoint: str, region: str) -> None:
        self._url = f"{endpoint.rstrip('/')}/clusters/{urllib.parse.quote(cluster)}/assume-role-for-pod-identity"
        self._region = region
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT)
        self._pool = urllib3.PoolManager(retries=False, timeout=timeout, maxsize=8)

    def session(self, token: str) -> Session:
        """Credentials for the pod with this token.

        :raises RefusedError: EKS Auth refuses, or cannot be reached.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._once(token)
            except RefusedError as error:
                if attempt == ATTEMPTS or not (error.status == 429 or error.status >= 500):
                    raise
            time.sleep(FIRST_PAUSE * 2 ** (attempt - 1))
        raise AssertionError("unreachable")

    def _once(self, token: str) -> Session:
        headers = {"Content-Type": "application/json"}
        request = AWSRequest("POST", self._url, headers=headers, data=json.dumps({"token": token}))
        SigV4Auth(node_credentials(), "eks-auth", self._region).add_auth(request)
        try:
            answer = self._pool.request("POST", self._url, body=request.data, headers=dict(request.headers.items()))
        except urllib3.exceptions.HTTPError as error:
            raise RefusedError(500, f"unable to reach EKS Auth: {type(error).__name__}") from error
        try:
            document = json.loads(answer.data)
            return self._kept(document) if answer.status == 200 else self._refuse(answer, document)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RefusedError(500, "EKS Auth gave an answer that cannot be read") from error

    @staticmethod
    def _kept(document: dict[str, t.Any]) -> Session:
        credentials = document["credentials"]
        expiration = credentials["expiration"]
        moment = (
            datetime.datetime.fromtimestamp(expiration, datetime.UTC)
            if isinstance(expiration, int | float)
            else datetime.datetime.fromisoformat(expiration.replace("Z", "+00:00"))
        )
        body = {
            "AccessKeyId": credentials["accessKeyId"],
            "SecretAccessKey": credentials["secretAccessKey"],
            "Token": credentials["sessionToken"],
            "AccountId": document["assumedRoleUser"]["arn"].split(":")[4],
            "Expiration": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return Session(json.dumps(body).encode(), moment.timestamp(), time.time())

    @staticmethod
    def _refuse(answer: urllib3.BaseHTTPResponse, document: dict[str, t.Any]) -> t.NoReturn:
        kind = str(answer.headers.get("x-amzn-errortype") or document.get("__type") or document.get("code") or "")
        code = kind.partition(":")[0].rpartition("#")[2]
        message = document.get("message") or document.get("Message") or ""
        request_id = answer.headers.get("x-amzn-requestid", "")
        fault = "server" if answer.status >= 500 else "client"
        raise RefusedError(answer.status, f"[{request_id}]: ({code}): {message}, fault: {fault}", code)


class Keeper:
    """Keeps each token's credentials, with at most one request for each token at a time."""

    def __init__(self, service: EksAuth, size: int) -> None:
        self._service = service
        self._size = size
        self._sessions: dict[str, Session] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def credentials(self, token: str) -> bytes:
        """The body of the answer.

        :raises RefusedError: this token gets no credentials.
        """
        with self._guard:
            lock = self._locks.setdefault(token, threading.Lock())
        with lock:
            known = self._sessions.get(token)
            if known is not None and known.is_fresh:
                return known.body
            try:
                session = self._service.session(token)
            except RefusedError as error:
                if known is not None and known.is_valid and error.code not in IRRECOVERABLE:
                    return known.body
                self._forget(token)
                raise
            self._keep(token, session)
            return session.body

    def _keep(self, token: str, session: Session) -> None:
        with self._guard:
            self._sessions[token] = session
            gone = [key for key, kept in self._sessions.items() if not kept.is_valid]
            surplus = list(self._sessions)[: max(len(self._sessions) - self._size, 0)]
            for key in {*gone, *surplus}:
                self._sessions.pop(key, None)
                self._locks.pop(key, None)

    def _forget(self, token: str) -> None:
        with self._guard:
            self._sessions.pop(token, None)
            self._locks.pop(token, None)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    # One write per answer: otherwise a kept connection waits 40 ms for an acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = 30
    server: Agent

    def version_string(self) -> str:
        """The agent does not name itself."""
        return "eks-pod-identity-agent"

    def do_GET(self) -> None:
        """Credentials, or why not."""
        try:
            self._check_host()
            if self.path.partition("?")[0] != CREDENTIALS_PATH:
                raise RefusedError(404, "404 page not found")
            token = self.headers.get("Authorization", "")
            check_token(token)
            self._answer(200, "application/json", self.server.keeper.credentials(token))
        except RefusedError as error:
            self._answer(error.status, _TEXT, f"{error}\n".encode())

    def _check_host(self) -> None:
        host = urllib.parse.urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
        allowed = self.server.hosts
        if host not in [*allowed, *self.server.extra_hosts]:
            listed = f"[{' '.join(allowed)}]"
            why = f"Called agent through invalid address, please use either {listed} address not {host}"
            raise RefusedError(403, f"Access Denied. {why}")

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: t.Any) -> None:
        """One JSON line per request, without token and credentials."""
        line = {"level": "info", "msg": format % args, "time": datetime.datetime.now(datetime.UTC).isoformat()}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


class ProbeHandler(Handler):
    """Answers the kubelet's probes."""

    def do_GET(self) -> None:
        """Healthy and ready as soon as there is an answer."""
        known = self.path in ("/healthz", "/readyz")
        self._answer(200 if known else 404, _TEXT, b"ok" if known else b"404 page not found\n")

    def log_message(self, format: str, *args: t.Any) -> None:
        """Probes are not worth a line."""


class Agent(http.server.ThreadingHTTPServer):
    """The server; shares its port with the kubelet, which keeps it while the agent is away."""

    daemon_threads = True
    request_queue_size = 128
    allow_reuse_port = True

    def __init__(self, address: tuple[str, int], keeper: Keeper, hosts: list[str], extra_hosts: list[str]) -> None:
        super().__init__(address, Handler)
        self.keeper = keeper
        self.hosts = hosts
        self.extra_hosts = extra_hosts


class Probes(http.server.ThreadingHTTPServer):
    """The server of the probes."""

    daemon_threads = True
    allow_reuse_port = True


def parse(arguments: t.Sequence[str]) -> argparse.Namespace:
    """The flags of the real agent, and two of the sandbox: where to listen instead of the link-local address."""
    parser = argparse.ArgumentParser(prog="eks-pod-identity-agent", allow_abbrev=False)
    parser.add_argument("command", nargs="?", choices=("server", "initialize"), default="server")
    parser.add_argument("-c", "--cluster-name")
    parser.add_argument("-p", "--port", type=int, default=80)
    parser.add_argument("--probe-port", type=int, default=2703)
    parser.add_argument("--metrics-port", "--metrics-address", default="2705")
    parser.add_argument("-b", "--bind-hosts", default=BIND_HOSTS)
    parser.add_argument("--endpoint", default=os.environ.get("AWS_ENDPOINT_URL_EKS_AUTH", ""))
    parser.add_argument("--max-credential-retention-before-renewal", default="3h")
    parser.add_argument("--max-cache-size", type=int, default=2000)
    parser.add_argument("--max-service-qps", type=int, default=3)
    parser.add_argument("--rotate-credentials", nargs="?", const="true", default="false")
    parser.add_argument("-v", "--verbosity", default="info")
    parser.add_argument("--listen")
    parser.add_argument("--probe-listen")
    return parser.parse_args(arguments)


def _address(text: str | None, host: str, port: int) -> tuple[str, int]:
    if not text:
        return host, port
    listen_host, _, listen_port = text.rpartition(":")
    return listen_host, int(listen_port)


def _end(number: int, frame: object) -> t.NoReturn:
    """Connections are short: nothing is lost."""
    del number, frame
    sys.exit(0)


def main(arguments: t.Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    if options.command == "initialize":
        # The real agent creates a network link with the two addresses; here the kubelet does that.
        return 0
    if not options.cluster_name:
        sys.stderr.write('Error: required flag(s) "cluster-name" not set\n')
        return 1
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "")
    endpoint = options.endpoint or os.environ.get("AWS_ENDPOINT_URL") or f"https://eks-auth.{region}.api.aws"
    keeper = Keeper(EksAuth(options.cluster_name, endpoint, region), options.max_cache_size)
    hosts = [host.strip("[]") for host in options.bind_hosts.split(",")]
    address = _address(options.listen, hosts[0], options.port)
    agent = Agent(address, keeper, hosts, [address[0]] if options.listen else [])
    probe_address = _address(options.probe_listen, "127.0.0.1", options.probe_port)
    probes = Probes(probe_address, ProbeHandler)
    threading.Thread(target=probes.serve_forever, daemon=True).start()
    # The first process of a container does not receive the signal otherwise.
    signal.signal(signal.SIGTERM, _end)
    sys.stdout.write(json.dumps({"level": "info", "msg": f"Starting server on {address[0]}:{address[1]}"}) + "\n")
    sys.stdout.flush()
    agent.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
