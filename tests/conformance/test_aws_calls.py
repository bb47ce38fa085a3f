# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The call log: what was called, by whom, and what was refused, over HTTP and by command."""

from __future__ import annotations

import json
import os
import subprocess
import time

import botocore.exceptions
import pytest
from support.boto3_account import Account
from support.boto3_account import allow
from support.boto3_account import refused
from support.environment import ROOT
from support.raw_http import send
from support.sandbox_process import PYTHON

pytestmark = pytest.mark.client("boto3")

ADMINISTRATOR = "arn:aws:iam::111122223333:user/sandbox-admin"
READER = "arn:aws:iam::111122223333:user/reader"


@pytest.fixture
def log(account: Account) -> Account:
    """An account with a known history."""
    reader = account.user("reader", allow("eks:ListClusters"))
    account.sandbox.knobs(rate_limits=[{"operation": "eks:DescribeAddonVersions", "rate": 0, "burst": 1}])
    account.sandbox.clear_calls()
    account.eks.list_clusters()
    account.sandbox.client("eks", region_name="us-east-1", **reader).list_clusters()
    with refused("AccessDeniedException"):
        account.sandbox.client("eks", **reader).describe_cluster(name="one")
    with refused("ResourceNotFoundException"):
        account.eks.describe_cluster(name="one")
    account.eks.describe_addon_versions()
    with refused("ThrottlingException"):
        account.eks.describe_addon_versions()
    with refused("NoSuchEntity"):
        account.iam.get_role(RoleName="none")
    account.sandbox.client("s3").list_buckets()
    return account


def run(account: Account, *arguments: str) -> list[str]:
    """The lines that the command prints."""
    done = subprocess.run(
        [str(PYTHON), "-m", "eks_sandbox", "calls", "--directory", str(account.sandbox.directory), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "sandbox")},
        text=True,
        capture_output=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_log_counts_calls_and_refusals(log: Account) -> None:
    document = log.sandbox.call_document()
    assert document["counts"] == {
        "eks:ListClusters": 2,
        "eks:DescribeCluster": 2,
        "eks:DescribeAddonVersions": 2,
        "iam:GetRole": 1,
        "s3:ListAllMyBuckets": 1,
    }
    assert document["refused"] == {
        "eks:DescribeCluster": {"AccessDeniedException": 1, "ResourceNotFoundException": 1},
        "eks:DescribeAddonVersions": {"ThrottlingException": 1},
        "iam:GetRole": {"NoSuchEntity": 1},
    }
    assert document["throttled"] == {"eks:DescribeAddonVersions": 1}


def test_each_call_has_its_time_region_and_caller(log: Account) -> None:
    calls = log.sandbox.call_log()
    assert [call["time"] for call in calls] == sorted(call["time"] for call in calls)
    assert abs(calls[-1]["time"] - time.time()) < 60
    assert [call["caller"] for call in calls[:4]] == [ADMINISTRATOR, READER, READER, ADMINISTRATOR]
    assert [call["region"] for call in calls[:3]] == ["eu-west-1", "us-east-1", "eu-west-1"]


def test_unknown_caller_is_logged_without_a_name(account: Account) -> None:
    account.sandbox.clear_calls()
    keys = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "none"}
    for service, method in (("eks", "list_clusters"), ("iam", "list_users")):
        with pytest.raises(botocore.exceptions.ClientError):
            getattr(account.sandbox.client(service, **keys), method)()
    assert [(call["operation"], call["caller"], call["refused"]) for call in account.sandbox.call_log()] == [
        ("eks:ListClusters", "", "UnrecognizedClientException"),
        ("iam:ListUsers", "", "InvalidClientTokenId"),
    ]


def test_calls_can_be_filtered(log: Account) -> None:
    def operations(**wanted: object) -> list[str]:
        return [call["operation"].partition(":")[2] for call in log.sandbox.call_log(**wanted)]

    assert operations(operation="eks:List*") == ["ListClusters", "ListClusters"]
    assert operations(operation="ListClusters") == ["ListClusters", "ListClusters"]
    assert operations(caller="*:user/reader") == ["ListClusters", "DescribeCluster"]
    assert operations(refused="*") == ["DescribeCluster", "DescribeCluster", "DescribeAddonVersions", "GetRole"]
    assert operations(refused="*NotFound*") == ["DescribeCluster"]
    assert operations(limit=1) == ["ListAllMyBuckets"]
    assert operations(since=time.time() + 60) == []
    assert set(log.sandbox.call_document(operation="iam:*")["counts"]) == {"iam:GetRole"}


@pytest.mark.client("http")
@pytest.mark.parametrize("query", ["nonsense=1", "limit=many", "since=soon"])
def test_log_refuses_invalid_filter(account: Account, query: str) -> None:
    answer = send(account.sandbox, "GET", f"/_sandbox/calls?{query}")
    assert (answer.status, list(answer.document)) == (400, ["message"])


def test_log_can_be_cleared(log: Account) -> None:
    log.sandbox.clear_calls()
    assert log.sandbox.call_document() == {"counts": {}, "refused": {}, "throttled": {}, "calls": []}


@pytest.mark.client("http")
def test_unknown_operations_are_counted_together(account: Account) -> None:
    account.sandbox.clear_calls()
    for number in range(3):
        assert send(account.sandbox, "GET", f"/nonsense-{number}").status == 404
        assert send(account.sandbox, "POST", "/", f"Action=Nonsense{number}".encode(), "iam").status == 400
    assert account.sandbox.calls() == {"eks:unknown": 3, "iam:unknown": 3}


def test_command_prints_a_table(log: Account) -> None:
    lines = run(log)
    assert lines[0].split() == ["OPERATION", "CALLS", "THROTTLED", "REFUSED"]
    table = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert table["eks:DescribeAddonVersions"] == ["2", "1", "ThrottlingException", "1"]
    assert table["s3:ListAllMyBuckets"] == ["1", "0"]


def test_command_prints_each_call(log: Account) -> None:
    lines = run(log, "--each", "--operation", "eks:Describe*", "--caller", READER)
    assert [line.split()[1:] for line in lines] == [
        ["OPERATION", "REGION", "CALLER", "RESULT"],
        ["eks:DescribeCluster", "eu-west-1", READER, "AccessDeniedException"],
    ]
    assert len(run(log, "--each", "--limit", "2")) == 3


def test_command_prints_json(log: Account) -> None:
    document = json.loads("\n".join(run(log, "--json", "--refused", "NoSuchEntity")))
    assert [call["operation"] for call in document["calls"]] == ["iam:GetRole"]
