# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The wire: what any client of EKS may rely on."""

from __future__ import annotations

import time

import botocore.exceptions
import pytest
from support.boto3_account import Account
from support.boto3_account import wait_for
from support.raw_http import send

pytestmark = pytest.mark.client("boto3")


@pytest.mark.client("http")
def test_times_are_numbers_and_errors_have_a_type(account: Account) -> None:
    account.cluster("one")
    answer = send(account.sandbox, "GET", "/clusters/one")
    assert answer.status == 200
    assert isinstance(answer.document["cluster"]["createdAt"], float)
    assert abs(answer.document["cluster"]["createdAt"] - time.time()) < 60
    assert answer.headers["x-amzn-requestid"]
    answer = send(account.sandbox, "GET", "/clusters/none")
    assert (answer.status, answer.headers["x-amzn-errortype"]) == (404, "ResourceNotFoundException")
    assert answer.document == {"message": "No cluster found for name: none.", "clusterName": "none"}


@pytest.mark.client("http")
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
def test_invalid_requests_get_typed_errors(
    account: Account, method: str, path: str, body: bytes, status: int, code: str
) -> None:
    answer = send(account.sandbox, method, path, body)
    assert (answer.status, answer.headers["x-amzn-errortype"]) == (status, code)


def test_botocore_waiters_understand_the_states(account: Account) -> None:
    account.cluster("one")
    account.eks.get_waiter("cluster_active").wait(name="one")
    account.sandbox.knobs(addon_outcomes={"vpc-cni": "CREATE_FAILED"})
    account.eks.create_addon(clusterName="one", addonName="vpc-cni")
    wait_for(lambda: account.describe_addon("vpc-cni"), "CREATE_FAILED")
    with pytest.raises(botocore.exceptions.WaiterError, match="CREATE_FAILED"):
        account.eks.get_waiter("addon_active").wait(clusterName="one", addonName="vpc-cni")
