# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The agent against a scripted EKS Auth: every answer that the real agent gave (``tests/data/agent-cases.json``)."""

from __future__ import annotations

import base64
import collections
import http.server
import json
import os
import socket
import subprocess
import threading
import time
import typing as t

import pytest
import urllib3
from support.environment import ROOT
from support.sandbox_process import PYTHON

pytestmark = pytest.mark.client("http")

CASES = json.loads((ROOT / "tests" / "data" / "agent-cases.json").read_text(encoding="utf-8"))
#: What the scripted service says to a token, by the name in the token.
REFUSALS = {
    "denied": (
        400,
        "AccessDeniedException",
        "Unauthorized Exception! EKS does not have permissions to assume the associated role.",
    ),
    "notfound": (404, "ResourceNotFoundException", "No associated role found for the specified service account"),
    "expiredtoken": (400, "ExpiredTokenException", "Token is expired"),
    "throttle": (429, "ThrottlingException", "Rate exceeded"),
    "internal": (500, "InternalServerException", "internal"),
    "param": (400, "InvalidParameterException", "bad"),
}
GOOD_ANSWER = {
    "subject": {"namespace": "default", "serviceAccount": "app"},
    "assumedRoleUser": {"arn": "arn:aws:sts::111122223333:assumed-role/r/eks-c-p-1", "assumeRoleId": "A:b"},
    "credentials": {"accessKeyId": "ASIA1", "secretAccessKey": "s", "sessionToken": "t"},
}


class Service(http.server.BaseHTTPRequestHandler):
    """EKS Auth, as the token says."""

    calls: t.ClassVar[collections.Counter[str]] = collections.Counter()
    requests: t.ClassVar[list[tuple[str, str]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        payload = body["token"].split(".")[1]
        name = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["name"]
        self.calls[name] += 1
        self.requests.append((self.path, self.headers["Authorization"]))
        if name in REFUSALS:
            status, code, message = REFUSALS[name]
            self.answer(status, {"message": message}, {"x-amzn-ErrorType": code})
            return
        credentials = {**GOOD_ANSWER["credentials"], "expiration": int(time.time()) + 6 * 3600}
        self.answer(200, {**GOOD_ANSWER, "credentials": credentials}, {})

    def answer(self, status: int, document: dict[str, t.Any], headers: dict[str, str]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {**headers, "x-amzn-RequestId": "req-1", "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: t.Any) -> None:
        """Tests say themselves what they saw."""


def token(name: str, lifetime: int = 3600) -> str:
    """A token that nobody signed: the agent does not look at signatures."""
    claims = {"exp": int(time.time()) + lifetime, "name": name}
    parts = [{"alg": "RS256", "typ": "JWT"}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "c2ln"])


@pytest.fixture(scope="module")
def service() -> t.Iterator[str]:
    """The scripted service's address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def agent(service: str, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[str]:
    """The agent's address."""
    credentials = tmp_path_factory.mktemp("agent") / "credentials"
    credentials.write_text("[default]\naws_access_key_id = NODEKEY\naws_secret_access_key = x\n", encoding="utf-8")
    port, probe = free_port(), free_port()
    command = [str(PYTHON), "-m", "eks_sandbox.node.agent", "--cluster-name", "one", "--endpoint", service]
    listen = ["--listen", f"127.0.0.1:{port}", "--probe-listen", f"127.0.0.1:{probe}"]
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "sandbox"),
        "AWS_REGION": "us-west-2",
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
    }
    process = subprocess.Popen([*command, *listen], env=env, stdout=subprocess.DEVNULL)
    try:
        wait_until_ready(f"http://127.0.0.1:{probe}/readyz")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            if urllib3.request("GET", url, retries=False).status == 200:
                return
        except urllib3.exceptions.HTTPError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def request_credentials(
    agent: str, authorization: str | None, path: str = "/v1/credentials", host: str = "169.254.170.23"
) -> t.Any:
    headers = {"Host": host, **({"Authorization": authorization} if authorization is not None else {})}
    return urllib3.request("GET", agent + path, headers=headers, retries=False)


#: Case -> what is asked; by default with a token of the case's name.
REQUESTS: dict[str, dict[str, t.Any]] = {
    "ok": {"authorization": token("good")},
    "ok_again_cached": {"authorization": token("cached")},
    "no_authorization": {"authorization": None},
    "garbage": {"authorization": "garbage"},
    "expired": {"authorization": token("good", lifetime=-5)},
    "wrong_host": {"authorization": token("good"), "host": "localhost"},
    "wrong_path": {"authorization": token("good"), "path": "/v1/other"},
}


@pytest.mark.parametrize("name", CASES)
def test_agent_answers_like_the_real_one(agent: str, name: str) -> None:
    expected = CASES[name]
    asked = REQUESTS.get(name, {"authorization": token(name)})
    if name == "ok_again_cached":
        assert request_credentials(agent, **asked).status == 200
    Service.calls.clear()
    answer = request_credentials(agent, **asked)
    assert (answer.status, answer.headers["Content-Type"]) == (expected["status"], expected["content_type"])
    assert sum(Service.calls.values()) == expected["upstream_calls"]
    if isinstance(expected["body"], str):
        assert answer.data.decode() == expected["body"]
        return
    body = json.loads(answer.data)
    assert time.strptime(body.pop("Expiration"), "%Y-%m-%dT%H:%M:%SZ")
    assert body == {key: value for key, value in expected["body"].items() if key != "Expiration"}


def test_agent_signs_eks_auth_requests_as_the_node(agent: str) -> None:
    Service.requests.clear()
    assert request_credentials(agent, token("signed")).status == 200
    [(path, authorization)] = Service.requests
    assert path == "/clusters/one/assume-role-for-pod-identity"
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=NODEKEY/")
    assert "/us-west-2/eks-auth/aws4_request" in authorization


def test_agent_does_not_cache_refusals(agent: str) -> None:
    Service.calls.clear()
    same = token("denied")
    assert [request_credentials(agent, same).status for _ in range(2)] == [400, 400]
    assert Service.calls["denied"] == 2


def test_concurrent_requests_share_one_eks_auth_call(agent: str) -> None:
    Service.calls.clear()
    same = token("crowd")
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.append(request_credentials(agent, same).status)) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [200] * 20
    assert Service.calls["crowd"] == 1, "the same token is traded once, however many ask"


def test_agent_refuses_malformed_tokens(agent: str) -> None:
    for authorization in ("a.b", "a.b.c", "..", "é.é.é".encode().decode("latin-1"), "x" * 20_000, "{}.{}.{}"):
        answer = request_credentials(agent, authorization)
        assert answer.status == 400, authorization
        assert answer.data.decode().startswith("Service account token cannot be parsed: token is malformed")


def test_agent_reports_missing_arguments() -> None:
    command = [str(PYTHON), "-m", "eks_sandbox.node.agent"]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "sandbox")}
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert 'required flag(s) "cluster-name" not set' in ended.stderr


def test_every_recorded_case_has_a_request() -> None:
    assert set(CASES) == {*REQUESTS, *REFUSALS}
