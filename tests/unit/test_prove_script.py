# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The script that runs in pods, as a process of its own, against a small HTTP stand-in for AWS and for the agent."""

from __future__ import annotations

import ast
import dataclasses
import http.server
import json
import pathlib
import subprocess
import sys
import threading
import typing as t
import urllib.parse

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import read_document
from support.environment import ROOT

SCRIPT = ROOT / "plugins" / "module_utils" / "_kube" / "verify" / "script.py"
SECRETS = ("the-secret-key", "the-session-token", "the-service-account-token", "the-parameter-value", "AKIASTATIC")
ROLE = {"account": "111122223333", "role": "app-role"}
LIST = {"service": "s3", "operation": "list_buckets", "expected": "allow", "parameters": {}, "show": "Buckets[].Name"}
CREATE = {
    "service": "s3",
    "operation": "create_bucket",
    "expected": "deny",
    "parameters": {"Bucket": "must-not-exist"},
    "show": "",
}
CREDENTIALS = {
    "AccessKeyId": "ASIAPOD",
    "SecretAccessKey": "the-secret-key",
    "Token": "the-session-token",
    "AccountId": "111122223333",
    "Expiration": "2099-01-01T00:00:00Z",
}
IDENTITY = (
    "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>{arn}</Arn><UserId>u</UserId>"
    "<Account>111122223333</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
)
BUCKETS = (
    "<ListAllMyBucketsResult><Buckets><Bucket><Name>invoices</Name></Bucket><Bucket><Name>reports</Name></Bucket>"
    "</Buckets></ListAllMyBucketsResult>"
)
DENIED = "<Error><Code>AccessDenied</Code><Message>no identity-based policy allows it</Message></Error>"
BUSY = "<Error><Code>OperationAborted</Code><Message>try later</Message></Error>"


@dataclasses.dataclass
class Cloud:
    """What the stand-in answers, and what it was asked."""

    url: str = ""
    arn: str = "arn:aws:sts::111122223333:assumed-role/app-role/eks-example-pod-1"
    agent: tuple[int, str] = (200, json.dumps(CREDENTIALS))
    #: Answers to PUT of a bucket and to GET of the bucket list, the last one again and again.
    put: list[tuple[int, str]] = dataclasses.field(default_factory=lambda: [(403, DENIED)])
    get: list[tuple[int, str]] = dataclasses.field(default_factory=lambda: [(200, BUCKETS)])
    asked: list[str] = dataclasses.field(default_factory=list)

    def answer(self, method: str, path: str, body: str, target: str) -> tuple[int, str]:
        self.asked.append(f"{method} {path}")
        if path == "/v1/credentials":
            return self.agent
        if "GetCallerIdentity" in body:
            return 200, IDENTITY.format(arn=self.arn)
        if "GetParameter" in target:
            return 200, json.dumps({"Parameter": {"Name": "n", "Value": "the-parameter-value"}})
        if "DryRun" in body:
            return 412, "<Response><Errors><Error><Code>DryRunOperation</Code></Error></Errors></Response>"
        queue = self.put if method == "PUT" else self.get
        return queue.pop(0) if len(queue) > 1 else queue[0]


def handler_for(cloud: Cloud) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode()
            path = urllib.parse.urlsplit(self.path).path
            status, text = cloud.answer(self.command, path, body, self.headers.get("X-Amz-Target", ""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_PUT = do_POST = handle_any

        def log_message(self, *_arguments: t.Any, **_named: t.Any) -> None:  # keeps the test's output readable
            return

    return Handler


@pytest.fixture
def cloud() -> t.Iterator[Cloud]:
    cloud = Cloud()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler_for(cloud))
    cloud.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield cloud
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def pod(cloud: Cloud, tmp_path: pathlib.Path) -> dict[str, str]:
    """The environment that the webhook gives to a pod."""
    token = tmp_path / "pods.eks.amazonaws.com" / "serviceaccount" / "eks-pod-identity-token"
    token.parent.mkdir(parents=True)
    token.write_text("the-service-account-token", encoding="utf-8")
    return {
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": cloud.url,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{cloud.url}/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


Prove = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def prove(pod: dict[str, str], tmp_path: pathlib.Path) -> Prove:
    """Runs the script with the pod's environment and returns its document; no secret may be in what it prints."""

    def run(*calls: dict[str, t.Any], environment: dict[str, str] | None = None, **orders: t.Any) -> dict[str, t.Any]:
        told = json.dumps({"expected": ROLE, "region": "", "grace": 0, "limit": 60, "calls": calls} | orders)
        termination_log = tmp_path / "termination-log"
        termination_log.touch()
        command = [sys.executable, str(SCRIPT), told, str(termination_log)]
        env = pod if environment is None else environment
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert [secret for secret in SECRETS if secret in done.stdout] == []
        assert read_document("", done.stdout) is not None
        text = done.stdout.splitlines()[-2]
        assert termination_log.read_text(encoding="utf-8") == (text if len(text) <= 4096 else "")
        document: dict[str, t.Any] = json.loads(text)
        return document

    return run


def outcomes(document: dict[str, t.Any]) -> list[tuple[str, bool]]:
    return [(call["outcome"], call["ok"]) for call in document["calls"]]


def test_script_reports_identity_and_calls(prove: Prove) -> None:
    document = prove(LIST, CREATE)
    assert document["identity"] == {
        "arn": "arn:aws:sts::111122223333:assumed-role/app-role/eks-example-pod-1",
        "account": "111122223333",
        "role": "app-role",
        "session_name": "eks-example-pod-1",
    }
    assert document["credentials"] == {"method": "container-role", "error": None}
    assert document["pod_identity_injected"] is True
    assert outcomes(document) == [("allowed", True), ("denied", True)]
    assert document["calls"][0]["shown"] == ["invoices", "reports"]
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" in document["variables"]


def test_long_document_is_only_in_log(prove: Prove, cloud: Cloud) -> None:
    names = [f"bucket-{number:04}" for number in range(500)]
    entries = "".join(f"<Bucket><Name>{name}</Name></Bucket>" for name in names)
    cloud.get = [(200, f"<ListAllMyBucketsResult><Buckets>{entries}</Buckets></ListAllMyBucketsResult>")]
    assert prove(LIST)["calls"][0]["shown"] == names


def test_unexpected_identity_makes_no_calls(prove: Prove, cloud: Cloud) -> None:
    cloud.arn = "arn:aws:sts::111122223333:assumed-role/node-role/i-1"
    document = prove(LIST, CREATE)
    assert document["identity"]["role"] == "node-role"
    assert outcomes(document) == [("not_tried", False), ("not_tried", False)]
    assert [request for request in cloud.asked if request.startswith("PUT")] == []


def test_static_keys_override_and_are_named(prove: Prove, pod: dict[str, str], cloud: Cloud) -> None:
    cloud.arn = "arn:aws:iam::111122223333:user/somebody"
    keys = {"AWS_ACCESS_KEY_ID": "AKIASTATIC", "AWS_SECRET_ACCESS_KEY": "the-secret-key"}
    document = prove(CREATE, environment=pod | keys)
    assert document["credentials"]["method"] == "env"
    assert set(keys) <= set(document["variables"])
    assert document["identity"]["role"] is None
    assert outcomes(document) == [("not_tried", False)]


def test_only_access_denied_meets_expected_denial(prove: Prove, cloud: Cloud) -> None:
    cloud.put = [(409, BUSY)]
    document = prove(CREATE)
    assert outcomes(document) == [("error", False)]
    assert document["calls"][0]["error"]["code"] == "OperationAborted"


def test_allowed_call_fails_expected_denial(prove: Prove, cloud: Cloud) -> None:
    cloud.put = [(200, "")]
    assert outcomes(prove(CREATE)) == [("allowed", False)]


def test_denied_call_is_retried_within_grace(prove: Prove, cloud: Cloud) -> None:
    cloud.get = [(403, DENIED), (200, BUCKETS)]
    assert outcomes(prove(LIST, grace=8)) == [("allowed", True)]


def test_denied_call_is_not_retried_without_grace(prove: Prove, cloud: Cloud) -> None:
    cloud.get = [(403, DENIED), (200, BUCKETS)]
    document = prove(LIST)
    assert outcomes(document) == [("denied", False)]
    assert "no identity-based policy" in document["calls"][0]["error"]["message"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"service": "s3", "operation": "list_buckts"}, "no operation 'list_buckts'"),
        ({"service": "s33", "operation": "list_buckets"}, "s33"),
        ({"service": "s3", "operation": "get_object", "parameters": {"Bucket": "b"}}, "Key"),
    ],
)
def test_invalid_call_reports_reason(prove: Prove, call: dict[str, t.Any], words: str) -> None:
    document = prove({"expected": "deny", **call})
    assert outcomes(document) == [("error", False)]
    assert words in document["calls"][0]["error"]["message"]


def test_invalid_show_expression_keeps_outcome(prove: Prove) -> None:
    document = prove({**LIST, "show": "Buckets[?"})
    assert outcomes(document) == [("allowed", True)]
    assert document["calls"][0]["show_error"]


def test_sensitive_output_is_hidden(prove: Prove) -> None:
    call = {"service": "ssm", "operation": "get_parameter", "parameters": {"Name": "n"}, "show": "Parameter"}
    document = prove({"expected": "allow", **call})
    assert document["calls"][0]["shown"] == {"Name": "n", "Value": "(hidden)"}


def test_successful_dry_run_counts_as_allowed(prove: Prove) -> None:
    call = {"service": "ec2", "operation": "create_vpc", "parameters": {"CidrBlock": "10.0.0.0/16", "DryRun": True}}
    assert outcomes(prove({"expected": "deny", **call})) == [("allowed", False)]


def test_agent_refusal_is_quoted(prove: Prove, cloud: Cloud) -> None:
    cloud.agent = (400, "[r]: (AccessDeniedException): Unauthorized Exception! EKS does not have permissions")
    document = prove(CREATE)
    assert document["credentials"]["method"] is None
    assert document["credentials"]["error"]["type"] == "CredentialRetrievalError"
    assert "(AccessDeniedException): Unauthorized Exception!" in document["credentials"]["error"]["message"]
    assert document["identity"] is None


def test_document_is_printed_without_injection_or_region(prove: Prove, cloud: Cloud, tmp_path: pathlib.Path) -> None:
    bare = {"HOME": str(tmp_path), "AWS_ENDPOINT_URL": cloud.url, "AWS_EC2_METADATA_DISABLED": "true"}
    document = prove(CREATE, environment=bare, region="eu-west-1")
    assert document["pod_identity_injected"] is False
    assert document["credentials"] == {"method": None, "error": None}
    assert document["region"] == "eu-west-1"
    assert outcomes(document) == [("not_tried", False)]


def test_missing_profile_is_reported(prove: Prove, pod: dict[str, str]) -> None:
    document = prove(LIST, environment=pod | {"AWS_PROFILE": "nobody"})
    assert document["credentials"]["error"]["type"] == "ProfileNotFound"


def test_image_without_boto3_is_reported() -> None:
    orders = json.dumps({"expected": ROLE, "calls": [LIST]})
    # -S and -I: no site packages, as in a plain image with python3.
    command = [sys.executable, "-I", "-S", str(SCRIPT), orders]
    done = subprocess.run(command, env={}, capture_output=True, text=True, timeout=60, check=False)
    document = read_document("", done.stdout)
    assert document is not None
    assert document.fault is not None
    assert "boto3" in document.fault.message


def test_script_parses_as_python_3_9() -> None:
    """Images may hold an older Python than the collection runs on; at least its grammar is to be the old one's."""
    ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 9))
