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
from ansible_collections.podidentity.eks.plugins.module_utils._eks import waiters
from ansible_collections.podidentity.eks.plugins.module_utils._eks.role import applying
from support.associations import limited_caller
from support.iam_roles import make_role
from support.module_runs import Result
from support.module_runs import RunModule
from support.sandbox_process import SandboxProcess

MODULE = "eks_pod_identity_roles"
CLUSTER = "arn:aws:eks:eu-west-1:111122223333:cluster/shop"
ROLE = "arn:aws:iam::111122223333:role/"
READ_ONLY = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
POLICY: dict[str, t.Any] = {
    "Version": "2012-10-17",
    "Statement": [{"Sid": "Read", "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "*"}],
}
#: What an unchanged role costs.
ROLE_READS = ("GetRole", "ListAttachedRolePolicies", "ListRolePolicies")
READ_PREFIXES = ("Get", "List", "AssumeRole")


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
        return {**result, "writes": [one for one in called if not one.startswith(READ_PREFIXES)]}

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


def many_workloads(count: int) -> list[dict[str, t.Any]]:
    return [workload(f"app-{number}", name=f"app-{number}", inline_policy=POLICY) for number in range(count)]


# --- made, left alone, changed ----------------------------------------------------------------------------------------


def test_create_matches_prediction_and_is_idempotent(iam: Iam) -> None:
    plain = workload(name="plain")
    settings: dict[str, t.Any] = {
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
    assert (made["diff"], made["changed_roles"]) == (predicted["diff"], predicted["changed_roles"])
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
    assert again["api_calls"] == {**dict.fromkeys(ROLE_READS, 2), "GetRolePolicy": 1}
    assert again["diff"]["before"] == again["diff"]["after"] == {}
    assert [role["create_date"] for role in again["roles"]] == [role["create_date"] for role in made["roles"]]


def test_unchanged_roles_take_minimal_calls(iam: Iam) -> None:
    workloads = many_workloads(12)
    iam.run(*workloads)
    iam.client.put_role_policy(RoleName="app-3", PolicyName="theirs", PolicyDocument=json.dumps(POLICY))
    again = iam.run(*workloads)
    assert not again["changed"]
    assert again["api_calls"] == {**dict.fromkeys(ROLE_READS, 12), "GetRolePolicy": 12}
    # Each role takes as much room as the next, and 200 fit into what a pipe holds.
    size = len(json.dumps({key: value for key, value in again.items() if key != "warnings"}))
    assert size / 12 * 200 < 64 * 1024


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
def test_drift_of_each_setting_is_shown_and_corrected(
    iam: Iam, drift: t.Callable[[t.Any], t.Any], change: str, writes: list[str]
) -> None:
    settings: dict[str, t.Any] = {
        "description": "Reads",
        "max_session_duration": 7200,
        "boundary": READ_ONLY,
        "tags": {"team": "a"},
    }
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


def test_diff_shows_changed_settings_and_whole_policies(iam: Iam) -> None:
    read, keep = POLICY["Statement"][0], {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}
    declared = workload(inline_policy={**POLICY, "Statement": [read, keep]}, description="Reads", tags={"team": "a"})
    iam.run(declared)
    changed = {**read, "Resource": "arn:aws:s3:::bucket/*"}
    other = workload(inline_policy={**POLICY, "Statement": [changed, keep]}, description="Reads", tags={"team": "b"})
    result = iam.run(other, workload("other"))
    before, after = result["diff"]["before"]["app"], result["diff"]["after"]["app"]
    assert set(before) == set(after) == {"tags", "trust", "inline_policies"}
    assert (before["tags"], after["tags"]) == ({"team": "a"}, {"team": "b"})
    kept = "without Sid that allows s3:ListBucket on *"
    assert before["inline_policies"] == {"podidentity.eks": {"Read": read, kept: keep}}
    assert after["inline_policies"] == {"podidentity.eks": {"Read": changed, kept: keep}}
    [first] = before["trust"].items()
    [kept_statement, (_name, statement)] = after["trust"].items()
    assert kept_statement == first
    assert statement["Condition"]["StringEquals"]["aws:RequestTag/kubernetes-service-account"] == "other"
    assert result["diff"]["after_header"] == "roles of cluster shop: 1 to update"


def test_equivalent_policy_is_not_written(iam: Iam) -> None:
    iam.run(workload(inline_policy=POLICY))
    same = {"Version": "2012-10-17", "Statement": {**POLICY["Statement"][0], "Action": "s3:GetObject"}}
    assert not iam.run(workload(inline_policy=same))["changed"]


def test_unmanaged_role_keeps_its_policies_and_trust(iam: Iam) -> None:
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


def test_wrong_service_in_trust_policy_is_corrected(iam: Iam) -> None:
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


def sized_policy(size: int) -> dict[str, t.Any]:
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
        ([workload(inline_policy=sized_policy(10240))], {}, ["IAM takes 10240"]),
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
def test_invalid_option_fails_before_any_write(
    iam: Iam, workloads: list[dict[str, t.Any]], options: dict[str, t.Any], sentences: list[str], check: bool
) -> None:
    result = iam.run(workload("fine", name="fine"), *workloads, check=check, **options)
    assert result["failed"] and result["writes"] == []
    for sentence in sentences:
        assert sentence in result["msg"]
    assert iam.names() == []


def test_unmanaged_inline_policies_count_towards_limit(iam: Iam) -> None:
    iam.run(workload())
    statement = {"Effect": "Allow", "Action": f"s3:{'x' * 9000}", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.client.put_role_policy(RoleName="app", PolicyName="theirs", PolicyDocument=document)
    result = iam.run(workload(inline_policy=sized_policy(2000)))
    assert result["failed"] and "IAM takes 10240" in result["msg"] and result["writes"] == []


def test_credentials_of_other_account_are_refused(iam: Iam) -> None:
    other = CLUSTER.replace("111122223333", "999999999999")
    result = iam.run(workload(), cluster_arn=other)
    assert result["failed"] and "credentials are of account 111122223333" in result["msg"]
    assert result["writes"] == [] and iam.names() == []


# --- what goes wrong on the way ---------------------------------------------------------------------------------------


def test_failed_role_does_not_stop_the_others(iam: Iam) -> None:
    workloads = many_workloads(5)
    limited: dict[str, t.Any] = limited_caller(t.cast("t.Any", iam), "iam:AttachRolePolicy", f"{ROLE}app-2")
    iam.sandbox.clear_calls()
    result = iam.run(*workloads, **limited)
    assert result["failed"] and result["changed"]
    assert result["created"] == ["app-0", "app-1", "app-3", "app-4"]
    [failure] = result["failed_roles"]
    assert (failure["name"], failure["action"], failure["operation"]) == ("app-2", "create", "attach_role_policy")
    assert failure["code"] == "AccessDenied"
    assert failure["cause"] == "The caller may not call iam:AttachRolePolicy"
    assert failure["advice"] == f"allow it on {ROLE}app-2"
    assert result["msg"].startswith("1 of 5 changes failed; everything else was done, and the next run goes on")
    assert limited["secret_key"] not in json.dumps(result)
    again = iam.run(*workloads)
    assert again["updated"] == ["app-2"]
    assert again["roles"][2]["changes"] == ["attach AmazonS3ReadOnlyAccess", "write inline policy podidentity.eks"]
    assert not iam.run(*workloads)["changed"]


OPERATIONS = ("CreateRole", "AttachRolePolicy", "PutRolePolicy", "GetRole", "ListRolePolicies")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("code", "status"), [("Throttling", 400), ("ServiceFailure", 500)])
def test_throttling_and_server_errors_are_retried(iam: Iam, operation: str, code: str, status: int) -> None:
    iam.run(workload(name="there"))
    fault = {"operation": operation, "code": code, "status": status, "calls": [1, 2]}
    iam.sandbox.knobs(faults=[fault])
    result = iam.run(workload(name="there"), workload("new", name="new", inline_policy=POLICY))
    assert result["created"] == ["new"] and result["api_calls"][operation] >= 3
    assert result["throttled"]["calls"] == (2 if code == "Throttling" else 0)
    iam.sandbox.knobs(faults=[])
    assert not iam.run(workload(name="there"), workload("new", name="new", inline_policy=POLICY))["changed"]


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("AttachRolePolicy", "NoSuchEntity"),
        ("PutRolePolicy", "NoSuchEntity"),
        ("PutRolePolicy", "ConcurrentModification"),
        ("CreateRole", "ConcurrentModification"),
    ],
)
def test_temporary_errors_are_retried(iam: Iam, monkeypatch: pytest.MonkeyPatch, operation: str, code: str) -> None:
    monkeypatch.setattr(waiters, "FIRST_INTERVAL", 0.01)
    message = "The role with name app cannot be found."
    iam.sandbox.knobs(
        faults=[{"operation": operation, "code": code, "status": 404, "calls": [1, 2], "message": message}]
    )
    result = iam.run(workload(inline_policy=POLICY))
    assert result["created"] == ["app"] and result["api_calls"][operation] == 3


def test_role_created_concurrently_is_kept_unmanaged(iam: Iam) -> None:
    make_role(iam.client, "app", "lambda.amazonaws.com")
    # The first look finds nothing, as if the role had been made a moment later.
    message = "The role with name app cannot be found."
    iam.sandbox.knobs(
        faults=[{"operation": "GetRole", "code": "NoSuchEntity", "status": 404, "calls": [1], "message": message}]
    )
    result = iam.run(workload())
    assert not result["failed"] and len(iam.statements("app")) == 2
    assert result["writes"] == ["CreateRole", "AttachRolePolicy", "UpdateAssumeRolePolicy"]
    assert "Tags" not in iam.role("app")
    iam.sandbox.knobs(faults=[])
    assert not iam.run(workload())["changed"]


def test_role_name_differing_in_case_is_reported(iam: Iam) -> None:
    make_role(iam.client, "App", "lambda.amazonaws.com")
    result = iam.run(workload())
    assert result["failed"] and result["failed_roles"][0]["code"] == "EntityAlreadyExists"
    assert "but for upper and lower case; spell role.name as that role is spelt" in result["msg"]


def test_missing_managed_policy_arn_is_reported(iam: Iam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "PATIENCE", 0.1)
    declared = workload(managed_policies=["arn:aws:iam::111122223333:policy/none"])
    for check in (True, False):
        result = iam.run(declared, check=check)
        assert result["failed"] and result["writes"] == []
        assert "policy/none, which does not exist: correct its ARN, or create the policy first." in result["msg"]
    # Who may not look it up learns it from the call that attaches it.
    iam.sandbox.knobs(faults=[{"operation": "GetPolicy", "code": "AccessDenied", "status": 403}])
    result = iam.run(declared)
    assert result["failed"] and "A managed policy does not exist; correct its ARN" in result["msg"]


def test_missing_boundary_is_refused_before_any_write(iam: Iam) -> None:
    boundary = "arn:aws:iam::111122223333:policy/none"
    for check in (True, False):
        result = iam.run(workload(boundary=boundary), check=check)
        assert result["failed"] and result["writes"] == []
        assert f"Role app is declared with the permissions boundary {boundary}, which does not exist" in result["msg"]


def test_missing_given_role_is_refused_in_check_mode(iam: Iam) -> None:
    given = {"namespace": "a", "service_account": "b", "role": {"arn": f"{ROLE}none"}}
    result = iam.run(given, check=True)
    assert result["failed"]
    assert result["msg"] == (
        f"Workload a/b has role.arn {ROLE}none, which does not exist: create the role, or correct the ARN."
    )
    make_role(iam.client, "none", "pods.eks.amazonaws.com")
    assert not iam.run(given, check=True)["failed"]


# --- taken away -------------------------------------------------------------------------------------------------------


def test_managed_role_is_deleted_with_its_policies(iam: Iam) -> None:
    declared = workload(inline_policy=POLICY)
    iam.run(declared, workload("other", name="other"))
    iam.client.put_role_policy(RoleName="app", PolicyName="theirs", PolicyDocument=json.dumps(POLICY))
    iam.client.create_instance_profile(InstanceProfileName="nodes")
    iam.client.add_role_to_instance_profile(InstanceProfileName="nodes", RoleName="app")
    gone = declared | {"state": "absent"}
    predicted = iam.run(gone, check=True)
    assert predicted["deleted"] == ["app"] and predicted["writes"] == [] and predicted["roles"] == []
    done = iam.run(gone)
    assert done["deleted"] == ["app"] and done["diff"] == predicted["diff"]
    changes = [{"name": "app", "action": "delete", "changes": ["delete the role"]}]
    assert done["changed_roles"] == predicted["changed_roles"] == changes
    assert done["diff"]["after"] == {} and "trust" in done["diff"]["before"]["app"]
    assert collections.Counter(done["writes"]) == {
        "RemoveRoleFromInstanceProfile": 1,
        "DetachRolePolicy": 1,
        "DeleteRolePolicy": 2,
        "DeleteRole": 1,
    }
    assert iam.names() == ["other"]
    again = iam.run(gone)
    assert not again["changed"] and again["api_calls"] == {"GetRole": 1}


def test_absent_workload_is_removed_from_shared_role(iam: Iam) -> None:
    iam.run(workload("a"), workload("b"))
    result = iam.run(workload("a"), workload("b") | {"state": "absent"})
    assert result["writes"] == ["UpdateAssumeRolePolicy"]
    [statement] = iam.statements("app")
    assert statement["Sid"].startswith("PodIdentityTeamAA")
    assert iam.attached("app") == ["AmazonS3ReadOnlyAccess"]


def test_operation_remove_only_removes(iam: Iam) -> None:
    iam.run(workload("a"), workload("b"), workload("c", name="c"))
    iam.client.detach_role_policy(RoleName="app", PolicyArn=READ_ONLY)
    declared = [workload("a"), workload("b") | {"state": "absent"}, workload("new", name="new")]
    result = iam.run(*declared, operations=["remove"], purge="cluster")
    assert (result["updated"], result["deleted"], result["created"]) == (["app"], ["c"], [])
    assert iam.attached("app") == [] and iam.names() == ["app"]
    assert not iam.run(*declared, operations=["remove"], purge="cluster")["changed"]


def test_purge_removes_only_managed_undeclared_workloads(iam: Iam) -> None:
    other: dict[str, t.Any] = {"cluster_arn": CLUSTER.replace("shop", "other")}
    iam.run(workload("a"), workload("x", name="x"), workload("y", namespace="team-b", name="y"))
    iam.run(workload("z", name="z"), workload("x", name="x"), **other)
    lookalike = {**iam.statements("y")[0], "Sid": "PodIdentityTeamBY00000000"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [lookalike]})
    iam.client.create_role(RoleName="lookalike", AssumeRolePolicyDocument=document)
    narrow = iam.run(workload("a"), purge="namespace")
    assert (narrow["updated"], narrow["deleted"]) == (["x"], [])
    assert len(iam.statements("x")) == 1
    wide = iam.run(workload("a"), purge="cluster")
    assert (wide["updated"], wide["deleted"]) == ([], ["y"])
    assert iam.names() == ["app", "lookalike", "x", "z"]
    last = iam.run(workload("a"), purge="cluster")
    assert not last["changed"]
    assert last["api_calls"] == {"ListRoles": 1, **dict.fromkeys(ROLE_READS, 1)}
    everything = iam.run(workload("a"), state="absent", purge="cluster")
    assert everything["deleted"] == ["app"]


def test_purge_deletes_old_role_of_moved_workload(iam: Iam) -> None:
    iam.run(workload(name="first"))
    moved = workload(name="second")
    assert iam.run(moved)["created"] == ["second"]
    assert iam.run(moved, operations=["remove"], purge="cluster")["deleted"] == ["first"]
    given = moved | {"role": {"arn": f"{ROLE}second"}}
    assert not iam.run(given, operations=["remove"], purge="cluster")["changed"], "it is in use as it is"


# --- target roles of a source role ------------------------------------------------------------------------------------


def test_role_may_assume_only_declared_target_roles(iam: Iam) -> None:
    targets = {"account": "444455556666", "name": "reports", "path": "/shared/"}
    first = workload("a") | {"target_role": targets}
    second = workload("b") | {"target_role_arn": "arn:aws:iam::444455556666:role/other"}
    iam.run(first, second)
    [statement] = iam.inline("app")["podidentity.eks-target"]["Statement"]
    assert statement["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    assert statement["Resource"] == [
        "arn:aws:iam::444455556666:role/other",
        "arn:aws:iam::444455556666:role/shared/reports",
    ]
    assert not iam.run(first, second)["changed"]
    # Another cluster that shares the role has a statement of its own.
    iam.run(second, cluster_arn=CLUSTER.replace("shop", "other"))
    assert len(iam.inline("app")["podidentity.eks-target"]["Statement"]) == 2
    iam.run(workload("a"), workload("b"))
    assert len(iam.inline("app")["podidentity.eks-target"]["Statement"]) == 1
    result = iam.run(workload("b"), cluster_arn=CLUSTER.replace("shop", "other"))
    assert result["writes"] == ["DeleteRolePolicy"] and iam.inline("app") == {}


def test_role_given_by_arn_stays_and_reports_its_needs(iam: Iam) -> None:
    given = workload() | {"role": {"arn": f"{ROLE}theirs"}, "target_role_arn": f"{ROLE}target"}
    result = iam.run(given)
    assert not result["changed"] and result["api_calls"] == {}
    [role] = result["roles"]
    assert role["arn"] == f"{ROLE}theirs" and role["role_id"] is None
    assert f"must allow sts:AssumeRole and sts:TagSession on {ROLE}target" in role["findings"][0]


# --- limits of the account --------------------------------------------------------------------------------------------


def test_exceeded_trust_quota_is_reported(iam: Iam) -> None:
    workloads = [workload(f"app-{number}") for number in range(9)]
    iam.run(workloads[0])
    result = iam.run(*workloads, trust_size_limit=8192)
    assert result["failed"] and result["failed_roles"][0]["code"] == "LimitExceeded"
    assert "A quota of IAM is used up; set trust_size_limit to the account's quota" in result["msg"]
    assert len(iam.statements("app")) == 1
