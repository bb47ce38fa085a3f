# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module eks_pod_identity_roles, over HTTP: results, calls, and what is in IAM afterwards."""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import json
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._eks import limiter
from ansible_collections.podidentity.eks.plugins.module_utils._eks import traffic
from ansible_collections.podidentity.eks.plugins.module_utils._eks.role import applying
from iam_roles import make_role
from modules.conftest import Result
from modules.conftest import RunModule
from sandbox_process import SandboxProcess

MODULE = "eks_pod_identity_roles"
CLUSTER = "arn:aws:eks:eu-west-1:111122223333:cluster/shop"
ROLE = "arn:aws:iam::111122223333:role/"
READ_ONLY = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Sid": "Read", "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "*"}],
}
#: What an unchanged role costs.
LOOKS = ("GetRole", "ListAttachedRolePolicies", "ListRolePolicies")
READING = ("Get", "List", "AssumeRole")


@dataclasses.dataclass(frozen=True)
class Iam:
    """The account: runs the module, and sees what is in IAM."""

    sandbox: SandboxProcess
    run_module: RunModule
    client: t.Any

    def run(self, *workloads: dict[str, t.Any], check: bool = False, **options: t.Any) -> Result:
        """The module's result in diff mode; ``writes`` are the operations that write which it called."""
        self.sandbox.clear_calls()
        options = {"cluster_arn": CLUSTER, "workloads": list(workloads), **options}
        result = self.run_module(MODULE, check_mode=check, diff=True, **options)
        called = [call["operation"].partition(":")[2] for call in self.sandbox.call_log()]
        return {**result, "writes": [one for one in called if not one.startswith(READING)]}

    def role(self, name: str) -> dict[str, t.Any]:
        found: dict[str, t.Any] = self.client.get_role(RoleName=name)["Role"]
        return found

    def names(self) -> list[str]:
        return sorted(role["RoleName"] for role in self.client.list_roles()["Roles"])

    def statements(self, name: str) -> list[dict[str, t.Any]]:
        found: list[dict[str, t.Any]] = self.role(name)["AssumeRolePolicyDocument"]["Statement"]
        return found

    def attached(self, name: str) -> list[str]:
        policies = self.client.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        return sorted(policy["PolicyName"] for policy in policies)

    def inline(self, name: str) -> dict[str, t.Any]:
        names = self.client.list_role_policies(RoleName=name)["PolicyNames"]
        get = self.client.get_role_policy
        return {one: get(RoleName=name, PolicyName=one)["PolicyDocument"] for one in names}


@pytest.fixture
def iam(
    sandbox: SandboxProcess, run_module: RunModule, clients: dict[str, t.Any], monkeypatch: pytest.MonkeyPatch
) -> Iam:
    monkeypatch.setattr(traffic, "FIRST_BACKOFF", 0.05)
    monkeypatch.setattr(limiter, "FIRST_LEAST", 20.0)
    return Iam(sandbox, run_module, clients["iam"])


def workload(service_account: str = "reader", namespace: str = "team-a", **role: t.Any) -> dict[str, t.Any]:
    declared = {"name": "app", "managed_policies": ["AmazonS3ReadOnlyAccess"]} | role
    return {"namespace": namespace, "service_account": service_account, "role": declared}


def many(count: int) -> list[dict[str, t.Any]]:
    return [workload(f"app-{number}", name=f"app-{number}", inline_policy=POLICY) for number in range(count)]


# --- made, left alone, changed ----------------------------------------------------------------------------------------


def test_roles_are_made_and_then_left_alone(iam: Iam) -> None:
    plain = workload(name="plain")
    settings = {
        "path": "/apps/",
        "description": "Reads",
        "boundary": READ_ONLY,
        "max_session_duration": 7200,
        "tags": {"team": "a", "number": 7},
        "inline_policy": POLICY,
    }
    whole = workload("writer", name="whole", **settings)
    predicted = iam.run(plain, whole, check=True)
    assert predicted["writes"] == [] and predicted["changed"]
    assert iam.names() == []
    made = iam.run(plain, whole)
    assert made["created"] == predicted["created"] == ["plain", "whole"]
    assert made["diff"] == predicted["diff"]
    assert [role["changes"] for role in made["roles"]] == [role["changes"] for role in predicted["roles"]]
    assert collections.Counter(made["writes"]) == {"CreateRole": 2, "AttachRolePolicy": 2, "PutRolePolicy": 1}
    role = iam.role("whole")
    assert role["Arn"] == f"{ROLE}apps/whole" == made["roles"][1]["arn"]
    assert (role["Description"], role["MaxSessionDuration"]) == ("Reads", 7200)
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == READ_ONLY
    tags = {tag["Key"]: tag["Value"] for tag in role["Tags"]}
    assert tags == {"team": "a", "number": "7", "podidentity.eks/managed": "true"}
    assert iam.inline("whole") == {"podidentity.eks": POLICY}
    assert iam.attached("whole") == ["AmazonS3ReadOnlyAccess"]
    assert (made["roles"][1]["role_id"], made["roles"][1]["create_date"]) == (
        role["RoleId"],
        role["CreateDate"].isoformat(),
    )
    again = iam.run(plain, whole)
    assert not again["changed"] and again["unchanged"] == ["plain", "whole"] and again["writes"] == []
    assert again["api_calls"] == {**dict.fromkeys(LOOKS, 2), "GetRolePolicy": 1}
    assert again["diff"]["before"] == again["diff"]["after"] == {}
    assert [role["create_date"] for role in again["roles"]] == [role["create_date"] for role in made["roles"]]


def test_an_unchanged_role_costs_three_calls_and_one_for_each_inline_policy_of_ours(iam: Iam) -> None:
    workloads = many(12)
    iam.run(*workloads)
    iam.client.put_role_policy(RoleName="app-3", PolicyName="theirs", PolicyDocument=json.dumps(POLICY))
    again = iam.run(*workloads)
    assert not again["changed"]
    assert again["api_calls"] == {**dict.fromkeys(LOOKS, 12), "GetRolePolicy": 12}
