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
OTHER = "444455556666"
POD_SERVICE = "pods.eks.amazonaws.com"
CLUSTER_ARN = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/example"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/"
S3_READ = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
#: What each distinct role costs.
ROLE_CALLS = ("iam:GetRole", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies")

Look = t.Callable[..., Result]


def scoped(namespace: str, service_account: str, cluster_arn: str = CLUSTER_ARN) -> str:
    """The trust policy that the collection writes for one workload."""
    tags = {"kubernetes-namespace": namespace, "kubernetes-service-account": service_account}
    condition = {
        "ArnEquals": {"aws:SourceArn": cluster_arn},
        "StringEquals": {f"aws:RequestTag/{key}": value for key, value in tags.items()},
    }
    return trust_policy(POD_SERVICE, Condition=condition)


def allowing(*actions: str, resource: str = "*") -> str:
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
def look(example: Account, run_module: RunModule) -> Look:
    """The module for the cluster ``example``; ``calls`` of its result are the operations that it called."""

    def look(**params: t.Any) -> Result:
        example.sandbox.clear_calls()
        result = run_module(MODULE, **{"cluster_name": "example", **params})
        assert not result.get("changed")
        return {**result, "calls": example.sandbox.calls()}

    return look


def ids(item: dict[str, t.Any]) -> list[str]:
    return [finding["id"] for finding in item["findings"]]


def test_a_name_is_required_and_must_be_that_of_a_cluster(look: Look) -> None:
    assert "cluster_name" in look(cluster_name=None)["msg"]
    wrong = look(cluster_name="a b")
    assert wrong["failed"] and "no name of an EKS cluster" in wrong["msg"] and wrong["calls"] == {}
    missing = look(cluster_name="nowhere")
    assert missing["failed"] and 'cluster_name "nowhere" names no cluster in region eu-west-1' in missing["msg"]
    assert missing["calls"] == {"eks:ListPodIdentityAssociations": 1}


def test_a_cluster_without_associations_has_no_access(look: Look) -> None:
    found = look()
    assert (found["access"], found["orphans"], found["notes"]) == ([], [], [])
    assert found["cluster"] == {"name": "example", "arn": CLUSTER_ARN, "region": REGION, "account": ACCOUNT}
    assert found["calls"] == {"eks:ListPodIdentityAssociations": 1, "eks:DescribeCluster": 1}


def test_everything_about_one_workload(
    look: Look, associate: t.Callable[..., dict[str, t.Any]], clients: dict[str, t.Any]
) -> None:
    iam = clients["iam"]
    trust = scoped("team-a", "reader")
    boundary = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    role = {"Path": "/apps/", "RoleName": "reader", "MaxSessionDuration": 7200, "PermissionsBoundary": boundary}
    iam.create_role(**role, AssumeRolePolicyDocument=trust)
    iam.attach_role_policy(RoleName="reader", PolicyArn=S3_READ)
    iam.put_role_policy(RoleName="reader", PolicyName="more", PolicyDocument=allowing("sqs:SendMessage"))
    made = associate("team-a", "reader", "apps/reader", tags={"podidentity.eks/cluster": "example"})
    found = look()
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
    with_documents = look(policies="documents")
    told = with_documents["access"][0]["role"]
    assert told["trust_policy"] == json.loads(trust)
    assert told["inline_policies"][0]["document"] == json.loads(allowing("sqs:SendMessage"))
    assert told["managed_policies"][0]["document"]["Statement"]
    documents = {name: with_documents["calls"][f"iam:{name}"] for name in ("GetRolePolicy", "GetPolicy")}
    assert documents == {"GetRolePolicy": 1, "GetPolicy": 1}


def test_a_role_is_read_once_however_many_workloads_share_it(
    look: Look, associate: t.Callable[..., dict[str, t.Any]]
) -> None:
    for number in range(120):
        associate(f"team-{number % 3}", f"app-{number}", "app" if number % 2 else "app-v2")
    found = look()
    assert len(found["access"]) == 120
    assert found["calls"] == {
        "eks:ListPodIdentityAssociations": 2,
        "eks:DescribePodIdentityAssociation": 120,
        **dict.fromkeys(ROLE_CALLS, 2),
    }
    assert sum(found["api_calls"].values()) == 2 + 120 + 3 * 2
    keys = [(item["namespace"], item["service_account"]) for item in found["access"]]
    assert keys == sorted(keys)
    assert all(ids(item) == ["trust_open", "role_shared"] for item in found["access"])
    assert "example/team-0, example/team-1, example/team-2" in found["access"][0]["findings"][1]["text"]


def test_what_keeps_a_workload_from_its_role_is_found(
    look: Look, associate: t.Callable[..., dict[str, t.Any]], clients: dict[str, t.Any]
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
    iam.update_assume_role_policy(RoleName="refuses", PolicyDocument=scoped("b", "refuses"))
    iam.update_assume_role_policy(RoleName="tagged", PolicyDocument=scoped("a", "tagged"))
    gone, moved, refuses, tagged = look()["access"]
    assert ids(gone) == ["role_missing"] and gone["role"]["exists"] is False
    assert (gone["trust"]["scope"], gone["trust"]["reason"]) == ("none", "there is no such role")
    assert ids(moved) == ["role_missing"] and f"{ROLE}new/moved" in moved["findings"][0]["text"]
    assert ids(refuses) == ["trust_refuses"] and refuses["trust"]["scope"] == "none"
    assert "asks for b, and EKS sends a" in refuses["findings"][0]["text"]
    assert ids(tagged) == ["session_tags_off"]
    assert "Switch the session tags" in tagged["findings"][0]["advice"]


def test_the_way_to_a_target_role_is_read_where_it_is_in_the_account(
    example: Account, look: Look, associate: t.Callable[..., dict[str, t.Any]], clients: dict[str, t.Any]
) -> None:
    iam, target = clients["iam"], f"{ROLE}target"
    away = make_role(
        example.sandbox.client("iam", **example.sandbox.add_account(OTHER)[OTHER]), "away", "ec2.amazonaws.com"
    )
    associate("a", "away", targetRoleArn=away)
    made = associate("a", "near", targetRoleArn=target)
    away_item, near = look(policies="documents")["access"]
    assert (away_item["target_role"]["readable"], away_item["target_role"]["exists"]) == (False, None)
    assert f"it is in account {OTHER}" in away_item["target_role"]["note"]
    assert ids(away_item) == ["target_permission_missing", "trust_open", "target_role_unreadable"]
    assert ids(near) == ["target_permission_missing", "target_trust_refuses", "trust_open"]

    principal = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    condition = {"ArnEquals": {"aws:PrincipalArn": f"{ROLE}app"}}
    external = {**condition, "StringEquals": {"sts:ExternalId": made["externalId"]}}
    statements = [
        {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", "Condition": external},
        {"Effect": "Allow", "Principal": principal, "Action": "sts:TagSession", "Condition": condition},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.update_assume_role_policy(RoleName="target", PolicyDocument=document)
    onward = allowing("sts:AssumeRole", "sts:TagSession", resource=target)
    iam.put_role_policy(RoleName="app", PolicyName="onward", PolicyDocument=onward)
    away_item, near = look(policies="documents")["access"]
    assert ids(near) == ["trust_open"]
    assert ids(away_item) == ["target_permission_missing", "trust_open", "target_role_unreadable"]
    iam.delete_role(RoleName="target")
    assert ids(look()["access"][1])[0] == "target_role_missing"


def test_policies_that_allow_everything_are_found_unless_a_session_policy_narrows_them(
    look: Look, associate: t.Callable[..., dict[str, t.Any]], clients: dict[str, t.Any]
) -> None:
    iam = clients["iam"]
    iam.attach_role_policy(RoleName="app", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    iam.put_role_policy(RoleName="app-v2", PolicyName="all", PolicyDocument=allowing("*"))
    associate("a", "by-name")
    associate("a", "narrowed", disableSessionTags=True, policy=allowing("s3:GetObject"))
    associate("a", "inline", "app-v2")
    named = {item["service_account"]: ids(item) for item in look()["access"]}
    assert named == {
        "by-name": ["trust_open", "wildcard_permissions"],
        "narrowed": ["trust_open"],
        "inline": ["trust_open"],
    }
    read = {item["service_account"]: ids(item) for item in look(policies="documents")["access"]}
    assert read == {**named, "inline": ["trust_open", "wildcard_permissions"]}


def test_trust_that_no_association_uses_is_found_in_all_roles(
    look: Look, associate: t.Callable[..., dict[str, t.Any]], clients: dict[str, t.Any]
) -> None:
    iam = clients["iam"]
    elsewhere = CLUSTER_ARN.replace("example", "another")
    trusts = {
        "used": scoped("a", "used"),
        "retired": scoped("a", "retired"),
        "elsewhere": scoped("a", "retired", elsewhere),
        "whole": trust_policy(POD_SERVICE, Condition={"ArnEquals": {"aws:SourceArn": CLUSTER_ARN}}),
    }
    for name, trust in trusts.items():
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
    associate("a", "used", "used")
    assert look()["orphans"] == []
    found = look(orphans=True)
    assert [(item["role_name"], item["namespace"], item["service_account"]) for item in found["orphans"]] == [
        ("retired", "a", "retired"),
        ("whole", None, None),
    ]
    assert ids(found["orphans"][0]) == ["trust_left_over"]
    assert found["calls"]["iam:ListRoles"] == 1


@pytest.fixture
def restricted(example: Account, clients: dict[str, t.Any], monkeypatch: pytest.MonkeyPatch) -> t.Callable[[str], None]:
    """Lets the module run as a user whose one policy is given."""
    iam = clients["iam"]
    iam.create_user(UserName="auditor")
    key = iam.create_access_key(UserName="auditor")["AccessKey"]

    def restrict(policy: str) -> None:
        iam.put_user_policy(UserName="auditor", PolicyName="only", PolicyDocument=policy)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])

    return restrict


def test_what_may_not_be_read_is_said_and_the_rest_is_returned(
    look: Look, associate: t.Callable[..., dict[str, t.Any]], restricted: t.Callable[[str], None]
) -> None:
    associate("a", "readable", "app")
    associate("a", "secret", "app-v2")
    statements = [
        {"Effect": "Allow", "Action": ["eks:*", "iam:List*"], "Resource": "*"},
        {"Effect": "Allow", "Action": "iam:Get*", "Resource": f"{ROLE}app"},
        {"Effect": "Deny", "Action": "iam:ListRoles", "Resource": "*"},
    ]
    restricted(json.dumps({"Version": "2012-10-17", "Statement": statements}))
    found = look(orphans=True)
    readable, secret = found["access"]
    assert (ids(readable), readable["role"]["note"]) == (["trust_open"], None)
    assert (secret["role"]["readable"], secret["role"]["exists"]) == (False, None)
    assert "not authorized to perform: iam:GetRole" in secret["role"]["note"]
    assert (secret["trust"]["scope"], ids(secret)) == ("unknown", ["role_unreadable"])
    assert found["orphans"] == [] and "iam:ListRoles" in found["notes"][0]


def test_documents_that_may_not_be_read_leave_the_names(
    look: Look,
    associate: t.Callable[..., dict[str, t.Any]],
    restricted: t.Callable[[str], None],
    clients: dict[str, t.Any],
) -> None:
    clients["iam"].attach_role_policy(RoleName="app", PolicyArn=S3_READ)
    associate("a", "app")
    restricted(allowing("eks:*", "iam:GetRole", "iam:List*"))
    [item] = look(policies="documents")["access"]
    assert item["role"]["managed_policies"] == [{"name": "AmazonS3ReadOnlyAccess", "arn": S3_READ, "document": None}]
    assert "iam:GetPolicy" in item["role"]["note"]
    assert ids(item) == ["trust_open", "role_unreadable"]


def test_a_cluster_that_may_not_be_described_and_has_no_associations_is_said(
    look: Look, restricted: t.Callable[[str], None]
) -> None:
    restricted(allowing("eks:List*", "iam:*"))
    found = look(orphans=True)
    assert found["cluster"] == {"name": "example", "arn": None, "region": REGION, "account": None}
    assert "eks:DescribeCluster" in found["notes"][0]
    assert "was not looked for: its ARN is not known" in found["notes"][1]


def test_looking_writes_nothing_in_check_mode_either(
    example: Account, run_module: RunModule, associate: t.Callable[..., dict[str, t.Any]]
) -> None:
    associate("a", "app")
    params: dict[str, t.Any] = {"cluster_name": "example", "policies": "documents", "orphans": True}
    example.sandbox.clear_calls()
    checked, run = run_module(MODULE, check_mode=True, **params), run_module(MODULE, **params)
    assert {key: checked[key] for key in ("access", "orphans")} == {key: run[key] for key in ("access", "orphans")}
    looking = ("Describe", "List", "Get")
    assert [call for call in example.sandbox.calls() if not call.split(":")[1].startswith(looking)] == []
