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


@pytest.mark.parametrize(
    ("drift", "change", "writes"),
    [
        pytest.param(
            lambda iam: iam.update_role(RoleName="app", Description="theirs"),
            "set description to Reads",
            ["UpdateRole"],
            id="description",
        ),
        pytest.param(
            lambda iam: iam.update_role(RoleName="app", MaxSessionDuration=3600),
            "set max_session_duration to 7200",
            ["UpdateRole"],
            id="longest session",
        ),
        pytest.param(
            lambda iam: iam.delete_role_permissions_boundary(RoleName="app"),
            f"set boundary to {READ_ONLY}",
            ["PutRolePermissionsBoundary"],
            id="boundary",
        ),
        pytest.param(
            lambda iam: iam.tag_role(RoleName="app", Tags=[{"Key": "team", "Value": "b"}]),
            "set tag team=a",
            ["TagRole"],
            id="tag",
        ),
        pytest.param(
            lambda iam: iam.detach_role_policy(RoleName="app", PolicyArn=READ_ONLY),
            "attach AmazonS3ReadOnlyAccess",
            ["AttachRolePolicy"],
            id="policy detached",
        ),
        pytest.param(
            lambda iam: iam.attach_role_policy(RoleName="app", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess"),
            "detach AdministratorAccess",
            ["DetachRolePolicy"],
            id="policy attached",
        ),
        pytest.param(
            lambda iam: iam.put_role_policy(
                RoleName="app",
                PolicyName="podidentity.eks",
                PolicyDocument=json.dumps(POLICY).replace("GetObject", "PutObject"),
            ),
            "write inline policy podidentity.eks",
            ["PutRolePolicy"],
            id="inline policy",
        ),
        pytest.param(
            lambda iam: iam.delete_role_policy(RoleName="app", PolicyName="podidentity.eks"),
            "write inline policy podidentity.eks",
            ["PutRolePolicy"],
            id="inline policy deleted",
        ),
    ],
)
def test_drift_of_each_setting_is_seen_shown_and_put_right(
    iam: Iam, drift: t.Callable[[t.Any], t.Any], change: str, writes: list[str]
) -> None:
    settings = {"description": "Reads", "max_session_duration": 7200, "boundary": READ_ONLY, "tags": {"team": "a"}}
    declared = workload(**settings, inline_policy=POLICY)
    iam.run(declared)
    drift(iam.client)
    predicted = iam.run(declared, check=True)
    assert predicted["changed"] and predicted["writes"] == []
    done = iam.run(declared)
    assert done["updated"] == ["app"]
    assert done["roles"][0]["changes"] == predicted["roles"][0]["changes"] == [change]
    assert done["writes"] == writes
    assert done["diff"] == predicted["diff"] and list(done["diff"]["after"]) == ["app"]
    assert not iam.run(declared)["changed"]


def test_the_diff_shows_statements_and_settings_that_change_and_no_others(iam: Iam) -> None:
    declared = workload(inline_policy=POLICY, description="Reads", tags={"team": "a"})
    iam.run(declared)
    changed = {**POLICY, "Statement": [{**POLICY["Statement"][0], "Resource": "arn:aws:s3:::bucket/*"}]}
    result = iam.run(workload(inline_policy=changed, description="Reads", tags={"team": "b"}), workload("other"))
    before, after = result["diff"]["before"]["app"], result["diff"]["after"]["app"]
    assert before == {
        "tags": {"team": "a"},
        "trust": {},
        "inline_policies": {"podidentity.eks": {"Read": POLICY["Statement"][0]}},
    }
    assert after["tags"] == {"team": "b"}
    assert after["inline_policies"] == {"podidentity.eks": {"Read": changed["Statement"][0]}}
    [statement] = after["trust"].values()
    assert statement["Condition"]["StringEquals"]["aws:RequestTag/kubernetes-service-account"] == "other"
    assert result["diff"]["after_header"] == "roles of cluster shop: 1 to update"


def test_a_policy_that_means_the_same_is_not_written(iam: Iam) -> None:
    iam.run(workload(inline_policy=POLICY))
    same = {"Version": "2012-10-17", "Statement": {**POLICY["Statement"][0], "Action": "s3:GetObject"}}
    assert not iam.run(workload(inline_policy=same))["changed"]


def test_the_role_of_somebody_else_keeps_all_that_it_has(iam: Iam) -> None:
    make_role(iam.client, "app", "lambda.amazonaws.com", "AdministratorAccess")
    iam.client.put_role_policy(RoleName="app", PolicyName="theirs", PolicyDocument=json.dumps(POLICY))
    [theirs] = iam.statements("app")
    declared = workload(inline_policy=POLICY)
    done = iam.run(declared)
    assert done["writes"] == ["AttachRolePolicy", "PutRolePolicy", "UpdateAssumeRolePolicy"]
    assert iam.attached("app") == ["AdministratorAccess", "AmazonS3ReadOnlyAccess"]
    assert set(iam.inline("app")) == {"theirs", "podidentity.eks"}
    assert iam.statements("app")[0] == theirs and len(iam.statements("app")) == 2
    assert "Tags" not in iam.role("app")
    assert not iam.run(declared)["changed"]
    gone = iam.run(declared, state="absent")
    assert gone["updated"] == ["app"] and iam.statements("app") == [theirs]
    assert not iam.run(declared, state="absent")["changed"]


def test_the_trust_policy_of_a_guide_is_put_right_and_shown(iam: Iam) -> None:
    make_role(iam.client, "app", "eks.amazonaws.com")
    done = iam.run(workload())
    [old] = done["diff"]["before"]["app"]["trust"].values()
    [new] = done["diff"]["after"]["app"]["trust"].values()
    assert old["Principal"] == {"Service": "eks.amazonaws.com"}
    assert new["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    [finding] = done["roles"][0]["findings"]
    assert "trusts eks.amazonaws.com, the EKS control plane" in finding
    assert iam.statements("app") == [new]


# --- refused before anything is written -------------------------------------------------------------------------------


def inline(size: int) -> dict[str, t.Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "x" * size}]}


@pytest.mark.parametrize(
    ("workloads", "options", "sentences"),
    [
        ([workload(managed_policies=["NoSuchPolicy"])], {}, ["neither AWS nor account 111122223333 has one"]),
        ([workload(f"app-{number}") for number in range(9)], {}, ["IAM takes 2048"]),
        (
            [workload(managed_policies=[f"arn:aws:iam::111122223333:policy/p{number}" for number in range(11)])],
            {},
            ["would have 11 managed policies, IAM takes 10"],
        ),
        ([workload(inline_policy=inline(10240))], {}, ["IAM takes 10240"]),
        ([workload(name="a"), workload("b", name="A")], {}, ["differ in upper and lower case only"]),
        ([], {"cluster_arn": "shop"}, ["cluster_arn: ", "no ARN of an EKS cluster"]),
        ([], {"concurrency": 0}, ["concurrency: 0"]),
        ([], {"trust_size_limit": 8193}, ["trust_size_limit: 8193"]),
        ([], {"assume_role_external_id": "x"}, ["of no use without assume_role_arn"]),
        ([], {"associations": [{"namespace": "a"}]}, ["associations: number 1 lacks"]),
        ([workload() | {"state": "gone"}], {}, ["give present or absent"]),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_what_cannot_be_right_is_told_before_the_first_write(
    iam: Iam, workloads: list[dict[str, t.Any]], options: dict[str, t.Any], sentences: list[str], check: bool
) -> None:
    result = iam.run(workload("fine", name="fine"), *workloads, check=check, **options)
    assert result["failed"] and result["writes"] == []
    for sentence in sentences:
        assert sentence in result["msg"]
    assert iam.names() == []


def test_inline_policies_of_others_count_towards_the_limit(iam: Iam) -> None:
    iam.run(workload())
    theirs = json.dumps(inline(9000) | {"Statement": [{"Effect": "Allow", "Action": "s3:" + "x" * 9000, "Resource": "*"}]})
    iam.client.put_role_policy(RoleName="app", PolicyName="theirs", PolicyDocument=theirs)
    result = iam.run(workload(inline_policy=inline(2000)))
    assert result["failed"] and "IAM takes 10240" in result["msg"] and result["writes"] == []


def test_credentials_of_another_account_make_no_roles(iam: Iam) -> None:
    other = CLUSTER.replace("111122223333", "999999999999")
    result = iam.run(workload(), cluster_arn=other)
    assert result["failed"] and "credentials are of account 111122223333" in result["msg"]
    assert result["writes"] == [] and iam.names() == []
