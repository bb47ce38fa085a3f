# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pod identity associations as EKS has them (facts 2.1 and 2.2)."""

from __future__ import annotations

import json
import re
import typing as t

import pytest
from support.boto3_account import Account
from support.boto3_account import allow
from support.boto3_account import refused
from support.iam_roles import trust_policy

pytestmark = pytest.mark.client("boto3")

TARGET = "arn:aws:iam::444455556666:role/target"
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [allow("s3:ListAllMyBuckets")]})


@pytest.fixture
def role(account: Account) -> str:
    """A workload's role, in an account with a cluster."""
    account.cluster("one")
    return account.pod_role()


def ids(association: dict[str, t.Any]) -> dict[str, str]:
    """What names an association in a call."""
    return {"clusterName": association["clusterName"], "associationId": association["associationId"]}


def test_create_and_describe_return_whole_association(account: Account, role: str) -> None:
    created = account.associate(role, tags={"team": "a"})
    assert re.fullmatch(r"a-[a-z0-9]{17}", created["associationId"])
    where = "arn:aws:eks:eu-west-1:111122223333:podidentityassociation/one/"
    assert created["associationArn"] == where + created["associationId"]
    assert created["disableSessionTags"] is False
    assert created["tags"] == {"team": "a"}
    assert {"ownerArn", "targetRoleArn", "externalId", "policy"}.isdisjoint(created)
    described = account.eks.describe_pod_identity_association(**ids(created))["association"]
    assert described == created


def test_list_returns_only_association_summaries(account: Account, role: str) -> None:
    created = account.associate(role, disableSessionTags=True, targetRoleArn=TARGET, policy=POLICY)
    [summary] = account.eks.list_pod_identity_associations(clusterName="one")["associations"]
    assert set(summary) == {"clusterName", "namespace", "serviceAccount", "associationArn", "associationId"}
    assert summary["associationId"] == created["associationId"]


def test_namespace_and_service_account_need_not_exist(account: Account, role: str) -> None:
    assert account.associate(role, "nobody", namespace="nowhere")["namespace"] == "nowhere"


def test_duplicate_is_a_conflict_that_names_the_association(account: Account, role: str) -> None:
    first = account.associate(role)
    other = account.pod_role("other")
    with refused("ResourceInUseException", f"Association already exists: {first['associationId']}", status=409):
        account.associate(other)
    assert account.associate(other, namespace="elsewhere")["roleArn"] == other


def test_cluster_must_exist(account: Account, role: str) -> None:
    with refused("ResourceNotFoundException", "No cluster found for name: none.", status=404):
        account.associate(role, clusterName="none")
    with refused("ResourceNotFoundException", status=404):
        account.eks.list_pod_identity_associations(clusterName="none")


def test_role_must_exist(account: Account, role: str) -> None:
    with refused("InvalidParameterException", "Role provided in the request does not exist.", status=400):
        account.associate(f"{role}-none")
    with refused("InvalidParameterException", "Invalid role ARN", status=400):
        account.associate("not-an-arn")
    with refused("InvalidParameterException", "Cross-account pass role is not allowed.", status=400):
        account.associate(TARGET)


def test_create_refuses_new_role_until_iam_propagates_it(account: Account, role: str) -> None:
    account.sandbox.knobs(iam_propagation_seconds=60)
    young = account.pod_role("young")
    with refused("InvalidParameterException", "Role provided in the request does not exist."):
        account.associate(young)
    account.sandbox.knobs(iam_propagation_seconds=0)
    assert account.associate(young)["roleArn"] == young


@pytest.mark.parametrize(
    ("service", "actions"),
    [
        ("eks.amazonaws.com", ["sts:AssumeRole", "sts:TagSession"]),
        ("ec2.amazonaws.com", ["sts:AssumeRole", "sts:TagSession"]),
        ("pods.eks.amazonaws.com", ["sts:AssumeRole"]),
        ("pods.eks.amazonaws.com", ["sts:TagSession"]),
    ],
)
def test_trust_policy_must_name_principal_and_both_actions(
    account: Account, role: str, service: str, actions: list[str]
) -> None:
    wrong = account.role("wrong", service, actions)
    with refused("InvalidParameterException", "Trust policy of the role provided is invalid.", status=400):
        account.associate(wrong)
    association = account.associate(role)
    with refused("InvalidParameterException", "Trust policy of the role provided is invalid.", status=400):
        account.eks.update_pod_identity_association(**ids(association), roleArn=wrong)


def test_trust_policy_may_use_a_wildcard_action(account: Account, role: str) -> None:
    assert account.associate(account.role("wide", "pods.eks.amazonaws.com", ["sts:*"]))


def test_caller_needs_permission_to_pass_role_to_pods(account: Account, role: str) -> None:
    to = {"StringEquals": {"iam:PassedToService": "pods.eks.amazonaws.com"}}
    wrong = {"StringEquals": {"iam:PassedToService": "eks.amazonaws.com"}}
    parameters = {"clusterName": "one", "namespace": "default", "serviceAccount": "app", "roleArn": role}
    look = allow("eks:*", "iam:GetRole")
    for name, statements in (("none", [look]), ("wrong", [look, allow("iam:PassRole", Condition=wrong)])):
        eks = account.sandbox.client("eks", **account.user(name, *statements))
        user = f"arn:aws:iam::111122223333:user/{name}"
        words = f"User: {user} is not authorized to perform: iam:PassRole on resource: {role}"
        with refused("AccessDeniedException", words, status=403):
            eks.create_pod_identity_association(**parameters)
    blind = account.sandbox.client("eks", **account.user("blind", allow("eks:*"), allow("iam:PassRole", Condition=to)))
    with refused("AccessDeniedException", "iam:GetRole on resource: role workload because", status=403):
        blind.create_pod_identity_association(**parameters)
    eks = account.sandbox.client("eks", **account.user("right", look, allow("iam:PassRole", Condition=to)))
    assert eks.create_pod_identity_association(**parameters)["association"]


def test_session_policy_needs_disabled_session_tags(account: Account, role: str) -> None:
    with refused("InvalidParameterException", "disableSessionTags", status=400):
        account.associate(role, policy=POLICY)
    association = account.associate(role, policy=POLICY, disableSessionTags=True)
    assert association["policy"] == POLICY
    with refused("InvalidParameterException", "disableSessionTags", status=400):
        account.eks.update_pod_identity_association(**ids(association), disableSessionTags=False)


@pytest.mark.parametrize(("policy", "words"), [("{", "Syntax errors"), ("{}", "Syntax errors"), ("x" * 2049, "2048")])
def test_session_policy_must_be_valid(account: Account, role: str, policy: str, words: str) -> None:
    with refused("InvalidParameterException", words, status=400):
        account.associate(role, policy=policy, disableSessionTags=True)


def test_target_role_adds_an_external_id(account: Account, role: str) -> None:
    association = account.associate(role, targetRoleArn=TARGET)
    assert association["targetRoleArn"] == TARGET
    assert association["externalId"] == "eu-west-1/111122223333/one/default/app"
    with refused("InvalidParameterException", "Invalid target role ARN", status=400):
        account.associate(role, "other", targetRoleArn="not-an-arn")


def test_update_unsets_empty_and_keeps_absent_parameters(account: Account, role: str) -> None:
    association = account.associate(role, targetRoleArn=TARGET, policy=POLICY, disableSessionTags=True)
    update = account.eks.update_pod_identity_association
    other = account.pod_role("other")
    kept = update(**ids(association), roleArn=other)["association"]
    assert (kept["roleArn"], kept["targetRoleArn"], kept["policy"]) == (other, TARGET, POLICY)
    assert kept["modifiedAt"] > association["modifiedAt"]
    assert kept["createdAt"] == association["createdAt"]
    after = update(**ids(association), targetRoleArn="", policy="")["association"]
    assert {"targetRoleArn", "externalId", "policy"}.isdisjoint(after)
    assert account.eks.describe_pod_identity_association(**ids(association))["association"] == after


def test_update_must_change_something(account: Account, role: str) -> None:
    association = account.associate(role)
    with refused("InvalidRequestException", "You must change at least one", status=400):
        account.eks.update_pod_identity_association(**ids(association))


def test_delete_returns_association_and_frees_its_place(account: Account, role: str) -> None:
    association = account.associate(role)
    deleted = account.eks.delete_pod_identity_association(**ids(association))["association"]
    assert deleted == association
    for call in (
        account.eks.describe_pod_identity_association,
        account.eks.delete_pod_identity_association,
        account.eks.update_pod_identity_association,
    ):
        with refused("ResourceNotFoundException", association["associationId"], status=404):
            call(**ids(association))
    assert account.associate(role)["associationId"] != association["associationId"]


def test_lists_come_in_pages_of_100_and_can_be_filtered(account: Account, role: str) -> None:
    for number in range(130):
        account.associate(role, f"app-{number:03d}", namespace="even" if number % 2 == 0 else "odd")
    first = account.eks.list_pod_identity_associations(clusterName="one")
    assert len(first["associations"]) == 100
    rest = account.eks.list_pod_identity_associations(clusterName="one", nextToken=first["nextToken"])
    assert len(rest["associations"]) == 30
    assert "nextToken" not in rest
    pages = account.eks.get_paginator("list_pod_identity_associations").paginate(clusterName="one", namespace="odd")
    found = [association["serviceAccount"] for page in pages for association in page["associations"]]
    assert found == [f"app-{number:03d}" for number in range(1, 130, 2)]
    one = account.eks.list_pod_identity_associations(clusterName="one", namespace="odd", serviceAccount="app-001")
    assert len(one["associations"]) == 1
    with refused("InvalidParameterException", "less than or equal to 100", status=400):
        account.eks.list_pod_identity_associations(clusterName="one", maxResults=101)


def test_quota_limits_associations_per_cluster(account: Account, role: str) -> None:
    assert account.sandbox.knobs()["associations_per_cluster"] == 5000
    account.sandbox.knobs(associations_per_cluster=2)
    account.associate(role, "first")
    account.associate(role, "second")
    with refused("ResourceLimitExceededException", status=400):
        account.associate(role, "third")


def test_same_request_token_creates_one_association(account: Account, role: str) -> None:
    first = account.associate(role, clientRequestToken="once")
    assert account.associate(role, clientRequestToken="once") == first
    with refused("InvalidParameterException", "request token", status=400):
        account.associate(role, "other", clientRequestToken="once")


def test_permissions_apply_to_association_or_cluster(account: Account, role: str) -> None:
    association = account.associate(role)
    arn = association["associationArn"]
    on_it = allow("eks:DescribePodIdentityAssociation", resource=arn)
    on_cluster = allow("eks:ListPodIdentityAssociations", resource="arn:aws:eks:eu-west-1:111122223333:cluster/one")
    eks = account.sandbox.client("eks", **account.user("reader", on_it, on_cluster))
    assert eks.describe_pod_identity_association(**ids(association))
    assert eks.list_pod_identity_associations(clusterName="one")["associations"]
    with refused("AccessDeniedException", "eks:DeletePodIdentityAssociation on resource: " + arn, status=403):
        eks.delete_pod_identity_association(**ids(association))


def test_request_tags_can_be_a_condition(account: Account, role: str) -> None:
    own = {"StringEquals": {"aws:RequestTag/team": "a"}}
    make = allow("eks:CreatePodIdentityAssociation", Condition=own)
    pass_on = allow("iam:PassRole", "iam:GetRole")
    tag = allow("eks:TagResource", resource="arn:aws:eks:*:*:podidentityassociation/one/*")
    eks = account.sandbox.client("eks", **account.user("tagger", make, pass_on, tag))
    silent = account.sandbox.client("eks", **account.user("silent", make, pass_on))
    parameters = {"clusterName": "one", "namespace": "default", "serviceAccount": "app", "roleArn": role}
    with refused("AccessDeniedException", status=403):
        eks.create_pod_identity_association(**parameters, tags={"team": "b"})
    with refused("AccessDeniedException", "eks:TagResource", status=403):
        silent.create_pod_identity_association(**parameters, tags={"team": "a"})
    assert eks.create_pod_identity_association(**parameters, tags={"team": "a"})["association"]


def test_deleted_cluster_takes_its_associations_along(account: Account, role: str) -> None:
    association = account.associate(role)
    account.eks.delete_cluster(name="one")
    account.eks.get_waiter("cluster_deleted").wait(name="one", WaiterConfig={"Delay": 1, "MaxAttempts": 15})
    with refused("ResourceNotFoundException", status=404):
        account.eks.describe_pod_identity_association(**ids(association))


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({f"k{number}": "" for number in range(51)}, "50"),
        ({"a" * 129: ""}, "128"),
        ({"a": "b" * 257}, "256"),
        ({"aws:mine": ""}, "aws:"),
    ],
)
def test_tags_have_limits(account: Account, role: str, tags: dict[str, str], words: str) -> None:
    with refused("InvalidParameterException", words, status=400):
        account.associate(role, tags=tags)
    assert account.eks.list_pod_identity_associations(clusterName="one")["associations"] == []


def test_trust_policy_change_takes_effect_after_propagation(account: Account) -> None:
    account.cluster("one")
    role = account.role("slow", "ec2.amazonaws.com")
    account.sandbox.knobs(iam_propagation_seconds=60)
    document = trust_policy("pods.eks.amazonaws.com")
    account.iam.update_assume_role_policy(RoleName="slow", PolicyDocument=document)
    with refused("InvalidParameterException", "Trust policy of the role provided is invalid."):
        account.associate(role)
    account.sandbox.knobs(iam_propagation_seconds=0)
    assert account.associate(role)["roleArn"] == role


@pytest.mark.parametrize("token", ["made-up", "cGFnZTotMQ==", "cGFnZTphYmM="])
def test_list_refuses_invalid_page_token(account: Account, role: str, token: str) -> None:
    with refused("InvalidParameterException", "nextToken", status=400):
        account.eks.list_pod_identity_associations(clusterName="one", nextToken=token)
