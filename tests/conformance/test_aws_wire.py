# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The wire: what any client of EKS may rely on, and what the sandbox's own knobs and call log do."""

from __future__ import annotations

import json
import time
import typing as t
import urllib.error
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import botocore.exceptions
import pytest
from conformance.conftest import Account
from conformance.conftest import refused
from conformance.conftest import wait_for
from sandbox_process import SandboxProcess


def send(sandbox: SandboxProcess, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str], t.Any]:
    """A signed request to EKS without a client in between."""
    keys = botocore.credentials.Credentials(sandbox.env["AWS_ACCESS_KEY_ID"], sandbox.env["AWS_SECRET_ACCESS_KEY"])
    request = botocore.awsrequest.AWSRequest(method, sandbox.endpoint + path, data=body)
    botocore.auth.SigV4Auth(keys, "eks", sandbox.env["AWS_REGION"]).add_auth(request)
    signed = urllib.request.Request(sandbox.endpoint + path, body or None, dict(request.headers), method=method)
    try:
        with urllib.request.urlopen(signed) as answer:
            return answer.status, dict(answer.headers), json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), json.load(error)


def test_times_are_numbers_and_errors_have_a_type(account: Account) -> None:
    account.cluster("one")
    status, headers, document = send(account.sandbox, "GET", "/clusters/one")
    assert status == 200
    assert isinstance(document["cluster"]["createdAt"], float)
    assert abs(document["cluster"]["createdAt"] - time.time()) < 60
    assert headers["x-amzn-requestid"]
    status, headers, document = send(account.sandbox, "GET", "/clusters/none")
    assert (status, headers["x-amzn-errortype"]) == (404, "ResourceNotFoundException")
    assert document == {"message": "No cluster found for name: none.", "clusterName": "none"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nonsense", b"", 404, "UnknownOperationException"),
        ("GET", "/clusters//pod-identity-associations", b"", 404, "UnknownOperationException"),
        ("PUT", "/clusters/one/pod-identity-associations/a-1", b"", 404, "UnknownOperationException"),
        ("POST", "/clusters", b"{", 400, "SerializationException"),
        ("POST", "/clusters", b"[]", 400, "SerializationException"),
        ("POST", "/clusters", b"{}", 400, "InvalidParameterException"),
        (
            "POST",
            "/clusters",
            b'{"name": 1, "roleArn": "a", "resourcesVpcConfig": {}}',
            400,
            "InvalidParameterException",
        ),
        ("GET", "/clusters?maxResults=0", b"", 400, "InvalidParameterException"),
        ("GET", "/clusters?maxResults=many", b"", 400, "InvalidParameterException"),
    ],
)
def test_requests_that_no_client_should_send(
    account: Account, method: str, path: str, body: bytes, status: int, code: str
) -> None:
    answered, headers, _document = send(account.sandbox, method, path, body)
    assert (answered, headers["x-amzn-errortype"]) == (status, code)


def test_calls_are_counted_with_caller_and_refusal(account: Account) -> None:
    account.sandbox.clear_calls()
    account.eks.list_clusters()
    account.eks.list_clusters()
    with refused("ResourceNotFoundException"):
        account.eks.describe_cluster(name="none")
    with refused("NoSuchEntity"):
        account.iam.get_role(RoleName="none")
    account.sandbox.client("s3").list_buckets()
    calls = account.sandbox.calls()
    assert calls == {"eks:ListClusters": 2, "eks:DescribeCluster": 1, "iam:GetRole": 1, "s3:ListAllMyBuckets": 1}
    log = account.sandbox.call_log()
    assert {call["caller"] for call in log} == {"arn:aws:iam::111122223333:user/sandbox-admin"}
    assert [call["refused"] for call in log] == [None, None, "ResourceNotFoundException", "NoSuchEntity", None]
    account.sandbox.clear_calls()
    assert account.sandbox.calls() == {}


def test_a_fault_comes_at_the_calls_that_were_named(account: Account) -> None:
    fault = {"operation": "ListClusters", "code": "ServiceUnavailableException", "calls": [2, 3], "message": "Not now."}
    account.sandbox.knobs(faults=[fault])
    account.eks.list_clusters()
    for _attempt in range(2):
        with refused("ServiceUnavailableException", "Not now.", status=503):
            account.eks.list_clusters()
    account.eks.list_clusters()


def test_clients_ride_out_throttling_with_their_own_retries(account: Account) -> None:
    fault = {"operation": "eks:ListClusters", "code": "ThrottlingException", "calls": [1, 2]}
    account.sandbox.knobs(faults=[fault])
    account.sandbox.clear_calls()
    patient = botocore.config.Config(retries={"mode": "standard", "total_max_attempts": 3})
    account.sandbox.client("eks", config=patient).list_clusters()
    assert account.sandbox.calls() == {"eks:ListClusters": 3}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nonsense": 1}, "There is no knob nonsense"),
        ({"cluster_seconds": -1}, "cluster_seconds must be a number"),
        ({"cluster_seconds": "soon"}, "cluster_seconds must be a number"),
        ({"addon_outcomes": {"vpc-cni": "SLEEPING"}}, "not SLEEPING"),
        ({"faults": [{"operation": "ListClusters"}]}, "faults must be a list of objects"),
    ],
)
def test_a_knob_that_does_not_exist_or_fit_is_refused(account: Account, changes: dict[str, t.Any], words: str) -> None:
    before = account.sandbox.knobs()
    with pytest.raises(ValueError, match=words):
        account.sandbox.knobs(association_delay_seconds=5, **changes)
    assert account.sandbox.knobs() == before


def test_latency_is_at_least_what_it_says(account: Account) -> None:
    account.sandbox.knobs(latency_seconds=0.2)
    start = time.monotonic()
    account.eks.list_clusters()
    assert time.monotonic() - start >= 0.2


def test_waiters_of_botocore_understand_the_states(account: Account) -> None:
    account.cluster("one")
    account.eks.get_waiter("cluster_active").wait(name="one")
    account.sandbox.knobs(addon_outcomes={"vpc-cni": "CREATE_FAILED"})
    account.eks.create_addon(clusterName="one", addonName="vpc-cni")
    wait_for(lambda: account.describe_addon("vpc-cni"), "CREATE_FAILED")
    with pytest.raises(botocore.exceptions.WaiterError, match="CREATE_FAILED"):
        account.eks.get_waiter("addon_active").wait(clusterName="one", addonName="vpc-cni")
