# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Broken, huge and slow requests: a clear no, never a traceback or a hang; and the sandbox goes on as before."""

from __future__ import annotations

import contextlib
import re
import socket
import typing as t

import pytest
from support.boto3_account import Account
from support.raw_http import connect
from support.raw_http import exchange
from support.raw_http import port
from support.raw_http import read_all
from support.raw_http import send
from support.raw_http import send_over
from support.raw_http import sign

pytestmark = pytest.mark.client("http")

MEBIBYTE = 1024 * 1024
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def _sandbox_keeps_working(account: Account) -> t.Iterator[None]:
    """Afterwards the sandbox answers, and its log has no traceback."""
    before = len(account.sandbox.log)
    yield
    account.eks.list_clusters()
    assert account.sandbox.log[before:] == ""


def status(answer: bytes) -> int:
    """The status of the first answer in what a socket received; 0 where there is none."""
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(found[1]) if found else 0


@pytest.mark.parametrize("service", ["eks", "eks-auth", "tagging", "iam", "sts", "ec2", "s3"])
def test_client_of_huge_body_receives_the_refusal(account: Account, service: str) -> None:
    body = b"x" * (20 * MEBIBYTE)
    headers = {**sign(account.sandbox, service, "POST", "/clusters"), "content-length": str(len(body))}
    with contextlib.closing(connect(account.sandbox)) as connection:
        answer = send_over(connection, "POST", "/clusters", body, headers)
    assert (answer.status, answer.headers["x-amzn-errortype"]) == (413, "RequestEntityTooLargeException")
    assert str(16 * MEBIBYTE) in answer.document["message"]


def test_slow_client_receives_request_timeout(account: Account) -> None:
    account.sandbox.knobs(request_seconds=0.3)
    head = b"POST /clusters HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"
    answer = exchange(account.sandbox, head, b'{"name"')
    assert status(answer) == 408
    assert b"RequestTimeout" in answer


def test_client_may_disconnect_in_mid_request(account: Account) -> None:
    for _time in range(20):
        with socket.create_connection(("127.0.0.1", port(account.sandbox))) as connection:
            connection.sendall(b"POST /clusters HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")


@pytest.mark.parametrize(
    "rubbish",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
        pytest.param(b"GET / HTTP/9.9\r\nConnection: close\r\n\r\n", id="version"),
        pytest.param(b"GET\r\n\r\n", id="no address"),
        pytest.param(b"G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n", id="method"),
        pytest.param("GET /ä HTTP/1.1\r\nHost: a\r\n\r\n".encode(), id="address"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", id="two hosts"),
        pytest.param(b"GET / HTTP/1.1\r\nBad Header: a\r\n\r\n", id="header name"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", id="length"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", id="lengths"),
        pytest.param(CHUNKED + b"zz\r\n\r\n", id="chunk size"),
        pytest.param(CHUNKED + b"-5\r\nhello", id="chunk below zero"),
        pytest.param(CHUNKED + b"1\r\nab", id="chunk end"),
        pytest.param(CHUNKED + b"fffffffffffffffffffff\r\n", id="chunk too long"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: brotli\r\n\r\n", id="encoding"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"a" * 200_000 + b"\r\n\r\n", id="long header"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 20_000 + b"\r\n", id="many headers"),
        pytest.param(b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", id="long address"),
    ],
)
def test_invalid_http_is_a_bad_request(account: Account, rubbish: bytes) -> None:
    answer = exchange(account.sandbox, rubbish)
    # A client that is still sending when the answer comes may see its connection end instead.
    assert 400 <= status(answer) < 500 or status(answer) == 501 or (answer == b"" and len(rubbish) > 65536)


def test_sandbox_refuses_websocket(account: Account) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n"
    assert status(exchange(account.sandbox, b"GET / HTTP/1.1\r\nHost: a\r\n" + upgrade + b"\r\n")) in (400, 403)


@pytest.mark.parametrize(
    "path",
    [
        "/clusters/../../etc/passwd",
        "/clusters/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/clusters/..%00",
        "/clusters/%ff%fe",
        "/clusters/%zz",
        "//clusters",
        "/clusters/one/pod-identity-associations/%2e%2e",
        "/tags/arn%3Aaws%3Aeks%3A%3A%3A",
        "/tags/not-an-arn",
        "/clusters/" + "a" * 5000,
    ],
)
def test_odd_path_is_refused_and_reads_no_file(account: Account, path: str) -> None:
    answer = send(account.sandbox, "GET", path)
    assert 400 <= answer.status < 500
    assert b"root:" not in answer.body


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "", "\t"])
def test_broken_body_is_refused_whatever_its_content_type(account: Account, kind: str) -> None:
    headers = sign(account.sandbox, "eks", "POST", "/clusters", b"<name>one</name>")
    with contextlib.closing(connect(account.sandbox)) as connection:
        answer = send_over(connection, "POST", "/clusters", b"<name>one</name>", {**headers, "content-type": kind})
    assert (answer.status, answer.headers["x-amzn-errortype"]) == (400, "SerializationException")


DEEP = b"[" * 100_000
BODIES = [
    b"\xff\xfe",
    b"{",
    b"null",
    b"1",
    b'"text"',
    b"[]",
    b'{"name":1e999}',
    b'{"name":NaN}',
    DEEP,
    b'{"a":' * 20_000,
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize(
    ("service", "path"),
    [("eks", "/clusters"), ("eks-auth", "/clusters/one/assume-role-for-pod-identity"), ("tagging", "/")],
)
def test_services_refuse_unreadable_body(account: Account, service: str, path: str, body: bytes) -> None:
    target = {"X-Amz-Target": "ResourceGroupsTaggingAPI_20170126.GetResources"} if service == "tagging" else {}
    headers = sign(account.sandbox, service, "POST", path, body, target)
    with contextlib.closing(connect(account.sandbox)) as connection:
        answer = send_over(connection, "POST", path, body, headers)
    assert answer.status == 400
    assert answer.document.get("message") or answer.document["__type"]


SIGNATURES = [
    "",
    "AWS4-HMAC-SHA256",
    "Basic YTpi",
    "AWS4-HMAC-SHA256 Credential=",
    "AWS4-HMAC-SHA256 Credential={key}/20200101/eu-west-1/eks/aws4_request",
    "AWS4-HMAC-SHA256 Credential={key}/20200101/eu-west-1/eks/aws4_request, SignedHeaders=host, Signature=00",
    "AWS4-HMAC-SHA256 Credential={key}/99999999/eu-west-1/eks/aws4_request, SignedHeaders=, Signature=zz",
    "AWS4-HMAC-SHA256 Credential={key}/20200101//eks/aws4_request, SignedHeaders=;;;, Signature=" + "0" * 64,
    "AWS4-HMAC-SHA256 Credential=nobody/20200101/eu-west-1/eks/aws4_request, SignedHeaders=host, Signature=" + "0" * 64,
    "AWS4-HMAC-SHA256 Credential=%ff%00/20200101/eu-west-1/eks/aws4_request, SignedHeaders=host, Signature=" + "0" * 64,
    "AWS4-ECDSA-P256-SHA256 Credential={key}/20200101/eks/aws4_request, SignedHeaders=host, Signature=00",
]


@pytest.mark.parametrize("signature", SIGNATURES, ids=range(len(SIGNATURES)))
@pytest.mark.parametrize("dated", [True, False], ids=["dated", "undated"])
def test_sandbox_refuses_malformed_signature(account: Account, signature: str, dated: bool) -> None:
    headers = {"authorization": signature.format(key=account.sandbox.env["AWS_ACCESS_KEY_ID"])}
    if dated:
        headers["x-amz-date"] = "20200101T000000Z"
    with contextlib.closing(connect(account.sandbox)) as connection:
        answer = send_over(connection, "GET", "/clusters", headers=headers)
    assert answer.status == 403


def test_refusal_names_the_unsupported_service(account: Account) -> None:
    answer = send(account.sandbox, "GET", "/2015-03-31/functions", service="lambda")
    assert (answer.status, answer.headers["x-amzn-errortype"]) == (501, "NotImplementedInSandbox")
    assert "lambda" in answer.document["message"]


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", "/_sandbox/nonsense", b"", 404),
        ("DELETE", "/_sandbox/knobs", b"", 404),
        ("PATCH", "/_sandbox/knobs", b"{", 400),
        ("PATCH", "/_sandbox/knobs", b"[]", 400),
        ("PATCH", "/_sandbox/knobs", b'{"faults": "no"}', 400),
        ("PATCH", "/_sandbox/knobs", b"\xff", 400),
        ("PATCH", "/_sandbox/knobs", b'{"latency_seconds": Infinity}', 400),
        ("POST", "/_sandbox/accounts", b"null", 400),
    ],
)
def test_sandbox_api_reports_what_is_wrong(
    account: Account, method: str, path: str, body: bytes, expected: int
) -> None:
    answer = send(account.sandbox, method, path, body)
    assert (answer.status, list(answer.document)) == (expected, ["message"])


def test_connection_stays_usable_after_a_refusal(account: Account) -> None:
    with contextlib.closing(connect(account.sandbox)) as connection:
        for _time in range(3):
            headers = sign(account.sandbox, "eks", "POST", "/clusters", b"{")
            assert send_over(connection, "POST", "/clusters", b"{", headers).status == 400
            answer = send_over(connection, "GET", "/clusters", headers=sign(account.sandbox, "eks", "GET", "/clusters"))
            assert (answer.status, answer.document) == (200, {"clusters": []})


def test_pipelined_requests_are_all_answered(account: Account) -> None:
    request = b"GET /_sandbox/health HTTP/1.1\r\nHost: a\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port(account.sandbox)), timeout=30) as connection:
        connection.sendall(request * 3 + request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert read_all(connection).count(b'"status": "ready"') == 4
