# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module eks_pod_identity_access_info: who may do what, with which calls, and what may not be read."""

from __future__ import annotations

import json
import typing as t

import pytest
from support.iam_roles import make_role
from support.iam_roles import trust_policy
from support.module_runs import ACCOUNT
from support.module_runs import REGION
from support.module_runs import Account
from support.module_runs import Result
from support.module_runs import RunModule

MODULE = "eks_pod_identity_access_info"
OTHER_ACCOUNT = "444455556666"
POD_SERVICE = "pods.eks.amazonaws.com"
CLUSTER_ARN = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/example"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/"
S3_READ = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
#: What each distinct role costs.
ROLE_CALLS = ("iam:GetRole", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies")

AccessInfo = t.Callable[..., Result]


def scoped_trust(namespace: str, service_account: str, cluster_arn: str = CLUSTER_ARN) -> str:
    """The trust policy that the collection writes for one workload."""
    tags = {"kubernetes-namespace": namespace, "kubernetes-service-account": service_account}
    condition = {
        "ArnEquals": {"aws:SourceArn": cluster_arn},
        "StringEquals": {f"aws:RequestTag/{key}": value for key, value in tags.items()},
    }
    return trust_policy(POD_SERVICE, Condition=condition)


def allow_policy(*actions: str, resource: str = "*") -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def associate(example: Account) -> t.Callable[..., dict[str, t.Any]]:
    """Makes an association in the cluster ``example``, without our modules."""

    def associate(namespace: str, service_account: str, role: str = "app", **more: t.Any) -> dict[str, t.Any]:
        names = {"clusterName": "example", "namespace": namespace, "serviceAccount": service_account}
        made: dict[str, t.Any] = example.eks.create_pod_identity_association(**names, roleArn=f"{ROLE}{role}", **more)[
            "association"
        ]
        return made

    return associate


@pytest.fixture
def access_info(example: Account, run_module: RunModule) -> AccessInfo:
    """The module for the cluster ``example``; ``calls`` of its result are the operations that it called."""

    def access_info(**params: t.Any) -> Result:
        example.sandbox.clear_calls()
        result = run_module(MODULE, **{"cluster_name": "example", **params})
        assert not result.get("changed")
        return {**result, "calls": example.sandbox.calls()}

    return access_info


def finding_ids(item: dict[str, t.Any]) -> list[str]:
    return [finding["id"] for finding in item["findings"]]


def test_name_of_existing_cluster_is_required(access_info: AccessInfo) -> None:
    assert "cluster_name" in access_info(cluster_name=None)["msg"]
    wrong = access_info(cluster_name="a b")
    assert wrong["failed"] and "no name of an EKS cluster" in wrong["msg"] and wrong["calls"] == {}
    missing = access_info(cluster_name="nowhere")
    assert missing["failed"] and 'cluster_name "nowhere" names no cluster in region eu-west-1' in missing["msg"]
    assert missing["calls"] == {"eks:ListPodIdentityAssociations": 1}


def test_cluster_without_associations_has_no_access(access_info: AccessInfo) -> None:
    found = access_info()
    assert (found["access"], found["orphans"], found["notes"]) == ([], [], [])
    assert found["cluster"] == {"name": "example", "arn": CLUSTER_ARN, "region": REGION, "account": ACCOUNT}
    assert found["calls"] == {"eks:ListPodIdentityAssociations": 1, "eks:DescribeCluster": 1}


def test_report_covers_one_workload_in_full(
    access_info: AccessInfo, associate: t.Callable[..., dict[str, t.Any]], clients: dict[str, t.Any]
) -> None:
    iam = clients["iam"]
    trust = scoped_trust("team-a", "reader")
    boundary = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    role = {"Path": "/apps/", "RoleName": "reader", "MaxSessionDuration": 7200, "PermissionsBoundary": boundary}
    iam.create_role(**role, AssumeRolePolicyDocument=trust)
    iam.attach_role_policy(RoleName="reader", PolicyArn=S3_READ)
    iam.put_role_policy(RoleName="reader", PolicyName="more", PolicyDocument=allow_policy("sqs:SendMessage"))
    made = associate("team-a", "reader", "apps/reader", tags={"podidentity.eks/cluster": "example"})
    found = access_info()
    [item] = found["access"]
    assert item["cluster"] == found["cluster"] and found["cluster"]["arn"] == CLUSTER_ARN
    assert (item["association_id"], item["association_arn"]) == (made["associationId"], made["associationArn"])
    assert (item["managed"], item["owner"], item["session_tags"], item["session_policy"]) == (True, None, True, None)
    assert item["created_at"] == item["modified_at"]
    told = item["role"]
    assert (told["arn"], told["name"], told["path"]) == (f"{ROLE}apps/reader", "reader", "/apps/")
    assert (told["exists"], told["readable"], told["note"], told["trust_policy"]) == (True, True, None, None)
    assert (told["permissions_boundary"], told["max_session_duration"]) == (boundary, 7200)
    assert told["managed_policies"] == [{"name": "AmazonS3ReadOnlyAccess", "arn": S3_READ, "document": None}]
    assert told["inline_policies"] == [{"name": "more", "document": None}]
    assert told["create_date"] and told["last_used"] is None
    assert (item["trust"]["scope"], item["findings"], item["target_role"]) == ("workload", [], None)
    assert found["calls"] == {
        "eks:ListPodIdentityAssociations": 1,
        "eks:DescribePodIdentityAssociation": 1,
        **dict.fromkeys(ROLE_CALLS, 1),
    }
    with_documents = access_info(policies="documents")
    told = with_documents["access"][0]["role"]
    assert told["trust_policy"] == json.loads(trust)
    assert told["inline_policies"][0]["document"] == json.loads(allow_policy("sqs:SendMessage"))
    assert told["managed_policies"][0]["document"]["Statement"]
    documents = {name: with_documents["calls"][f"iam:{name}"] for name in ("GetRolePolicy", "GetPolicy")}
    assert documents == {"GetRolePolicy": 1, "GetPolicy": 1}


def test_shared_role_is_read_once(access_info: AccessInfo, associate: t.Callable[..., dict[str, t.Any]]) -> None:
    for number in range(120):
        associate(f"team-{number % 3}", f"app-{number}", "app" if number % 2 else "app-v2")
    found = access_info()
    assert len(found["access"]) == 120
    assert found["calls"] == {
        "eks:ListPodIdentityAssociations": 2,
        "eks:DescribePodIdentityAssociation": 120,
        **dict.fromkeys(ROLE_CALLS, 2),
    }
    assert sum(found["api_calls"].values()) == 2 + 120 + 3 * 2
    keys = [(item["namespace"], item["service_account"]) for item in found["access"]]
    assert keys == sorted(keys)
    assert all(finding_ids(item) == ["trust_open", "role_shared"] for item in found["access"])
    assert "example/team-0, example/team-1, example/team-2" in found["access"][0]["findings"][1]["text"]


def test_findings_explain_why_role_is_unavailable(
    access_info: AccessInfo, associate: t.Callable[..., dict[str, t.Any]], clients: dict[str, t.Any]
) -> None:
    iam = clients["iam"]
    for name in ("gone", "moved", "refuses", "tagged"):
        make_role(iam, name, POD_SERVICE)
    associate("a", "gone", "gone")
    associate("a", "moved", "moved")
    associate("a", "refuses", "refuses")
    associate("a", "tagged", "tagged", disableSessionTags=True)
    for name in ("gone", "moved"):
        iam.delete_role(RoleName=name)
    iam.create_role(RoleName="moved", Path="/new/", AssumeRolePolicyDocument=trust_policy(POD_SERVICE))
    iam.update_assume_role_policy(RoleName="refuses", PolicyDocument=scoped_trust("b", "refuses"))
    iam.update_assume_role_policy(RoleName="tagged", PolicyDocument=scoped_trust("a", "tagged"))
    gone, moved, refuses, tagged = access_info()["access"]
    assert finding_ids(gone) == ["role_missing"] and gone["role"]["exists"] is False
    assert (gone["trust"]["scope"], gone["trust"]["reason"]) == ("none", "there is no such role")
    assert finding_ids(moved) == ["role_missing"] and f"{ROLE}new/moved" in moved["findings"][0]["text"]
    assert finding_ids(refuses) == ["trust_refuses"] and refuses["trust"]["scope"] == "none"
    assert "asks for b, and EKS sends a" in refuses["findings"][0]["text"]
    assert finding_ids(tagged) == ["session_tags_off"]
    assert "Switch the session tags" in tagged["findings"][0]["advice"]


def test_target_role_is_checked_within_same_account(
    example: Account, access_info: AccessInfo, associate: t.Callable[..., dict[str, t.Any]], clients: dict[str, t.Any]
) -> None:
    iam, target = clients["iam"], f"{ROLE}target"
    away = make_role(
        example.sandbox.client("iam", **example.sandbox.add_account(OTHER_ACCOUNT)[OTHER_ACCOUNT]),
        "away",
        "ec2.amazonaws.com",
    )
    associate("a", "away", targetRoleArn=away)
    made = associate("a", "near", targetRoleArn=target)
    away_item, near = access_info(policies="documents")["access"]
    assert (away_item["target_role"]["readable"], away_item["target_role"]["exists"]) == (False, None)
    assert f"it is in account {OTHER_ACCOUNT}" in away_item["target_role"]["note"]
    assert finding_ids(away_item) == ["target_permission_missing", "trust_open", "target_role_unreadable"]
    assert finding_ids(near) == ["target_permission_missing", "target_trust_refuses", "trust_open"]

    principal = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    condition = {"ArnEquals": {"aws:PrincipalArn": f"{ROLE}app"}}
    external = {**condition, "StringEquals": {"sts:ExternalId": made["externalId"]}}
    statements = [
        {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", "Condition": external},
        {"Effect": "Allow", "Principal": principal, "Action": "sts:TagSession", "Condition": condition},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.update_assume_role_policy(RoleName="target", PolicyDocument=document)
    onward = allow_policy("sts:AssumeRole", "sts:TagSession", resource=target)
    iam.put_role_policy(RoleName="app", PolicyName="onward", PolicyDocument=onward)
    away_item, near = access_info(policies="documents")["access"]
    assert finding_ids(near) == ["trust_open"]
    assert finding_ids(away_item) == ["target_permission_missing", "trust_open", "target_role_unreadable"]
    iam.delete_role(RoleName="target")
    assert finding_ids(access_info()["access"][1])[0] == "target_role_missing"


def test_wildcard_permissions_are_found_without_session_policy(
    access_info: AccessInfo, associate: t.Callable[..., dict[str, t.Any]], clients: dict[str, t.Any]
) -> None:
    iam = clients["iam"]
    iam.attach_role_policy(RoleName="app", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    iam.put_role_policy(RoleName="app-v2", PolicyName="all", PolicyDocument=allow_policy("*"))
    associate("a", "by-name")
    associate("a", "narrowed", disableSessionTags=True, policy=allow_policy("s3:GetObject"))
    associate("a", "inline", "app-v2")
    named = {item["service_account"]: finding_ids(item) for item in access_info()["access"]}
    assert named == {
        "by-name": ["trust_open", "wildcard_permissions"],
        "narrowed": ["trust_open"],
        "inline": ["trust_open"],
    }
    read = {item["service_account"]: finding_ids(item) for item in access_info(policies="documents")["access"]}
    assert read == {**named, "inline": ["trust_open", "wildcard_permissions"]}


def test_orphans_lists_trust_without_association(
    access_info: AccessInfo, associate: t.Callable[..., dict[str, t.Any]], clients: dict[str, t.Any]
) -> None:
    iam = clients["iam"]
    elsewhere = CLUSTER_ARN.replace("example", "another")
    trusts = {
        "used": scoped_trust("a", "used"),
        "retired": scoped_trust("a", "retired"),
        "elsewhere": scoped_trust("a", "retired", elsewhere),
        "whole": trust_policy(POD_SERVICE, Condition={"ArnEquals": {"aws:SourceArn": CLUSTER_ARN}}),
    }
    for name, trust in trusts.items():
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
    associate("a", "used", "used")
    assert access_info()["orphans"] == []
    found = access_info(orphans=True)
    assert [(item["role_name"], item["namespace"], item["service_account"]) for item in found["orphans"]] == [
        ("retired", "a", "retired"),
        ("whole", None, None),
    ]
    assert finding_ids(found["orphans"][0]) == ["trust_left_over"]
    assert found["calls"]["iam:ListRoles"] == 1


@pytest.fixture
def restrict_caller(
    example: Account, clients: dict[str, t.Any], monkeypatch: pytest.MonkeyPatch
) -> t.Callable[[str], None]:
    """Lets the module run as a user whose one policy is given."""
    iam = clients["iam"]
    iam.create_user(UserName="auditor")
    key = iam.create_access_key(UserName="auditor")["AccessKey"]

    def restrict(policy: str) -> None:
        iam.put_user_policy(UserName="auditor", PolicyName="only", PolicyDocument=policy)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])

    return restrict


def test_unreadable_role_is_noted_and_the_rest_returned(
    access_info: AccessInfo, associate: t.Callable[..., dict[str, t.Any]], restrict_caller: t.Callable[[str], None]
) -> None:
    associate("a", "readable", "app")
    associate("a", "secret", "app-v2")
    statements = [
        {"Effect": "Allow", "Action": ["eks:*", "iam:List*"], "Resource": "*"},
        {"Effect": "Allow", "Action": "iam:Get*", "Resource": f"{ROLE}app"},
        {"Effect": "Deny", "Action": "iam:ListRoles", "Resource": "*"},
    ]
    restrict_caller(json.dumps({"Version": "2012-10-17", "Statement": statements}))
    found = access_info(orphans=True)
    readable, secret = found["access"]
    assert (finding_ids(readable), readable["role"]["note"]) == (["trust_open"], None)
    assert (secret["role"]["readable"], secret["role"]["exists"]) == (False, None)
    assert "not authorized to perform: iam:GetRole" in secret["role"]["note"]
    assert (secret["trust"]["scope"], finding_ids(secret)) == ("unknown", ["role_unreadable"])
    assert found["orphans"] == [] and "iam:ListRoles" in found["notes"][0]


def test_unreadable_documents_leave_policy_names(
    access_info: AccessInfo,
    associate: t.Callable[..., dict[str, t.Any]],
    restrict_caller: t.Callable[[str], None],
    clients: dict[str, t.Any],
) -> None:
    clients["iam"].attach_role_policy(RoleName="app", PolicyArn=S3_READ)
    associate("a", "app")
    restrict_caller(allow_policy("eks:*", "iam:GetRole", "iam:List*"))
    [item] = access_info(policies="documents")["access"]
    assert item["role"]["managed_policies"] == [{"name": "AmazonS3ReadOnlyAccess", "arn": S3_READ, "document": None}]
    assert "iam:GetPolicy" in item["role"]["note"]
    assert finding_ids(item) == ["trust_open", "role_unreadable"]


def test_undescribable_cluster_without_associations_is_noted(
    access_info: AccessInfo, restrict_caller: t.Callable[[str], None]
) -> None:
    restrict_caller(allow_policy("eks:List*", "iam:*"))
    found = access_info(orphans=True)
    assert found["cluster"] == {"name": "example", "arn": None, "region": REGION, "account": None}
    assert "eks:DescribeCluster" in found["notes"][0]
    assert "was not looked for: its ARN is not known" in found["notes"][1]


def test_info_writes_nothing_with_or_without_check_mode(
    example: Account, run_module: RunModule, associate: t.Callable[..., dict[str, t.Any]]
) -> None:
    associate("a", "app")
    params: dict[str, t.Any] = {"cluster_name": "example", "policies": "documents", "orphans": True}
    example.sandbox.clear_calls()
    checked, run = run_module(MODULE, check_mode=True, **params), run_module(MODULE, **params)
    assert {key: checked[key] for key in ("access", "orphans")} == {key: run[key] for key in ("access", "orphans")}
    looking = ("Describe", "List", "Get")
    assert [call for call in example.sandbox.calls() if not call.split(":")[1].startswith(looking)] == []


def test_undeclared_association_of_ours_is_a_finding(
    access_info: AccessInfo, associate: t.Callable[..., dict[str, t.Any]]
) -> None:
    for account in ("app", "old"):
        associate("team-a", account, tags={"podidentity.eks/cluster": "example"})
    associate("team-a", "theirs")
    declared = [{"namespace": "team-a", "service_account": "app", "role": {"name": "app"}}]
    found = {
        one["service_account"]: "undeclared" in finding_ids(one) for one in access_info(declared=declared)["access"]
    }
    assert found == {"app": False, "old": True, "theirs": False}
    assert not any("undeclared" in finding_ids(one) for one in access_info()["access"])
