# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Access entries and tags as EKS has them."""

from __future__ import annotations

import json
import time
import typing as t

import pytest
from support.boto3_account import Account
from support.boto3_account import allow
from support.boto3_account import refused

pytestmark = pytest.mark.client("boto3")

POLICY = "arn:aws:eks::aws:cluster-access-policy/"
ADMINISTRATOR = "arn:aws:iam::111122223333:user/sandbox-admin"
SCOPE = {"type": "cluster"}


@pytest.fixture
def names(account: Account) -> dict[str, str]:
    """A cluster and a role that has no access entry yet."""
    account.cluster("one")
    return {"clusterName": "one", "principalArn": account.role("people", "ec2.amazonaws.com")}


def test_cluster_creator_is_its_administrator(account: Account, names: dict[str, str]) -> None:
    assert account.eks.list_access_entries(clusterName="one")["accessEntries"] == [ADMINISTRATOR]
    policies = account.eks.list_associated_access_policies(clusterName="one", principalArn=ADMINISTRATOR)
    [policy] = policies["associatedAccessPolicies"]
    assert policy["policyArn"] == f"{POLICY}AmazonEKSClusterAdminPolicy"
    assert policy["accessScope"] == {"type": "cluster", "namespaces": []}


def test_cluster_creator_can_decline_administrator_access(account: Account) -> None:
    account.eks.create_cluster(
        name="closed",
        roleArn=account.role("closed", "eks.amazonaws.com"),
        resourcesVpcConfig={"subnetIds": account.subnets()},
        accessConfig={"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False},
    )
    assert account.eks.list_access_entries(clusterName="closed")["accessEntries"] == []


def test_config_map_mode_refuses_access_entries(account: Account) -> None:
    account.cluster("one", mode="CONFIG_MAP")
    entry = {"clusterName": "one", "principalArn": ADMINISTRATOR}
    calls: list[t.Callable[[], object]] = [
        lambda: account.eks.create_access_entry(**entry),
        lambda: account.eks.describe_access_entry(**entry),
        lambda: account.eks.list_access_entries(clusterName="one"),
        lambda: account.eks.list_associated_access_policies(**entry),
        lambda: account.eks.delete_access_entry(**entry),
    ]
    for call in calls:
        with refused("InvalidRequestException", "authentication mode must be set to one of", status=400):
            call()


def test_access_entry_can_be_created_updated_and_deleted(account: Account, names: dict[str, str]) -> None:
    created = account.eks.create_access_entry(**names, kubernetesGroups=["viewers"], tags={"team": "a"})["accessEntry"]
    assert created["type"] == "STANDARD"
    assert created["username"] == "arn:aws:sts::111122223333:assumed-role/people/{{SessionName}}"
    with refused("ResourceInUseException", status=409):
        account.eks.create_access_entry(**names)
    updated = account.eks.update_access_entry(**names, kubernetesGroups=["editors"])["accessEntry"]
    assert (updated["kubernetesGroups"], updated["username"]) == (["editors"], created["username"])
    assert account.eks.describe_access_entry(**names)["accessEntry"] == updated
    account.eks.delete_access_entry(**names)
    for call in (account.eks.describe_access_entry, account.eks.delete_access_entry):
        with refused("ResourceNotFoundException", status=404):
            call(**names)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"principalArn": "arn:aws:iam::111122223333:role/none"}, "invalid principal"),
        ({"principalArn": "nobody"}, "invalid principal"),
        ({"kubernetesGroups": ["system:masters"]}, "cannot start with system:"),
        ({"username": "system:node"}, "must not begin with system:"),
        ({"username": "anna{{SessionName}}"}, "colon before {{SessionName}}"),
        ({"principalArn": "arn:aws:iam::111122223333:role/aws-service-role/a.amazonaws.com/a"}, "invalid principal"),
        ({"type": "EC2_LINUX", "kubernetesGroups": ["a"]}, "cannot be set for an access entry of type EC2_LINUX"),
    ],
)
def test_create_access_entry_refuses_invalid_values(
    account: Account, names: dict[str, str], changes: dict[str, t.Any], words: str
) -> None:
    with refused("InvalidParameterException", words, status=400):
        account.eks.create_access_entry(**{**names, **changes})


def test_second_association_of_access_policy_changes_its_scope(account: Account, names: dict[str, str]) -> None:
    account.eks.create_access_entry(**names)
    view = f"{POLICY}AmazonEKSViewPolicy"
    associate = account.eks.associate_access_policy
    first = associate(**names, policyArn=view, accessScope=SCOPE)["associatedAccessPolicy"]
    scope = {"type": "namespace", "namespaces": ["default"]}
    again = associate(**names, policyArn=view, accessScope=scope)["associatedAccessPolicy"]
    assert (again["associatedAt"], again["accessScope"]) == (first["associatedAt"], scope)
    listed = account.eks.list_associated_access_policies(**names)["associatedAccessPolicies"]
    assert [policy["policyArn"] for policy in listed] == [view]
    found = account.eks.list_access_entries(clusterName="one", associatedPolicyArn=view)["accessEntries"]
    assert found == [names["principalArn"]]
    account.eks.disassociate_access_policy(**names, policyArn=view)
    assert account.eks.list_associated_access_policies(**names)["associatedAccessPolicies"] == []


def test_access_policy_must_exist_and_fit_its_scope(account: Account, names: dict[str, str]) -> None:
    account.eks.create_access_entry(**names)
    with refused("InvalidParameterException", "is not valid", status=400):
        account.eks.associate_access_policy(**names, policyArn=f"{POLICY}Mine", accessScope=SCOPE)
    with refused("InvalidParameterException", "Namespaces must be given", status=400):
        view = f"{POLICY}AmazonEKSViewPolicy"
        account.eks.associate_access_policy(**names, policyArn=view, accessScope={"type": "namespace"})
    listed = account.eks.list_access_policies()["accessPolicies"]
    assert {"name": "AmazonEKSViewPolicy", "arn": f"{POLICY}AmazonEKSViewPolicy"} in listed


def test_every_resource_with_an_arn_can_be_tagged(account: Account, names: dict[str, str]) -> None:
    account.eks.create_addon(clusterName="one", addonName="eks-pod-identity-agent")
    arns = [
        account.eks.describe_cluster(name="one")["cluster"]["arn"],
        account.nodegroup()["nodegroupArn"],
        account.describe_addon()["addonArn"],
        account.associate(account.pod_role())["associationArn"],
        account.eks.create_access_entry(**names)["accessEntry"]["accessEntryArn"],
    ]
    for arn in arns:
        account.eks.tag_resource(resourceArn=arn, tags={"a": "1", "b": "2"})
        account.eks.tag_resource(resourceArn=arn, tags={"b": "3"})
        assert account.eks.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "1", "b": "3"}
        account.eks.untag_resource(resourceArn=arn, tagKeys=["a", "never-there"])
        assert account.eks.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "3"}


def test_tag_operations_have_their_own_error_codes(account: Account, names: dict[str, str]) -> None:
    arn = "arn:aws:eks:eu-west-1:111122223333:cluster/"
    with refused("NotFoundException", status=404):
        account.eks.list_tags_for_resource(resourceArn=f"{arn}none")
    with refused("BadRequestException", "Invalid resource ARN", status=400):
        account.eks.tag_resource(resourceArn="arn:aws:s3:::bucket", tags={"a": "1"})
    account.eks.tag_resource(resourceArn=f"{arn}one", tags={f"key-{number}": "" for number in range(40)})
    with refused("BadRequestException", "at most 50", status=400):
        account.eks.tag_resource(resourceArn=f"{arn}one", tags={f"more-{number}": "" for number in range(40)})


def test_tagging_api_finds_associations_in_pages(account: Account, names: dict[str, str]) -> None:
    role = account.pod_role()
    for number in range(105):
        account.associate(role, f"app-{number}", tags={"owner": "a" if number else "b", "number": str(number)})
    tagging = account.sandbox.client("resourcegroupstaggingapi")
    query = {
        "ResourceTypeFilters": ["eks:podidentityassociation"],
        "TagFilters": [{"Key": "owner", "Values": ["a"]}, {"Key": "number"}],
    }
    first = tagging.get_resources(**query)
    assert len(first["ResourceTagMappingList"]) == 100
    rest = tagging.get_resources(**query, PaginationToken=first["PaginationToken"])
    assert (len(rest["ResourceTagMappingList"]), rest["PaginationToken"]) == (4, "")
    assert {"Key": "owner", "Value": "a"} in rest["ResourceTagMappingList"][0]["Tags"]
    with refused("NotImplementedInSandbox", "not s3", status=501):
        tagging.get_resources(ResourceTypeFilters=["s3"])
    keys = account.user("reader", allow("eks:*"))
    with refused("AccessDeniedException", "tag:GetResources"):
        account.sandbox.client("resourcegroupstaggingapi", **keys).get_resources()


@pytest.mark.parametrize("kind", ["EC2_LINUX", "EC2_WINDOWS", "FARGATE_LINUX", "HYBRID_LINUX", "HYPERPOD_LINUX", "EC2"])
def test_node_access_entry_has_nodes_group_and_is_immutable(account: Account, names: dict[str, str], kind: str) -> None:
    entry = account.eks.create_access_entry(**names, type=kind)["accessEntry"]
    assert (entry["type"], entry["kubernetesGroups"]) == (kind, ["system:nodes"])
    session = "{{SessionName}}" if kind in ("FARGATE_LINUX", "HYBRID_LINUX") else "{{EC2PrivateDNSName}}"
    assert entry["username"] == f"system:node:{session}"
    with refused("InvalidParameterException", 'a type of "STANDARD"', status=400):
        account.eks.update_access_entry(**names, kubernetesGroups=["a"])


def test_only_auto_mode_node_entries_take_access_policies(account: Account, names: dict[str, str]) -> None:
    policy = {"policyArn": f"{POLICY}AmazonEKSAutoNodePolicy", "accessScope": SCOPE}
    account.eks.create_access_entry(**names, type="EC2_LINUX")
    with refused("InvalidParameterException", 'a type of "STANDARD"', status=400):
        account.eks.associate_access_policy(**names, **policy)
    account.eks.delete_access_entry(**names)
    account.eks.create_access_entry(**names, type="EC2")
    account.eks.associate_access_policy(**names, **policy)
    listed = account.eks.list_associated_access_policies(**names)["associatedAccessPolicies"]
    assert [each["policyArn"] for each in listed] == [policy["policyArn"]]


def test_node_access_entry_needs_role_of_cluster_account(account: Account, names: dict[str, str]) -> None:
    keys = account.sandbox.add_account("444455556666")["444455556666"]
    trust = account.iam.get_role(RoleName="people")["Role"]["AssumeRolePolicyDocument"]
    iam = account.sandbox.client("iam", **keys)
    foreign = iam.create_role(RoleName="people", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    user = account.iam.create_user(UserName="anna")["User"]["Arn"]
    for principal in (user, foreign):
        with refused("InvalidParameterException", "must be an IAM role in the cluster's account", status=400):
            account.eks.create_access_entry(clusterName="one", principalArn=principal, type="EC2_LINUX")
    account.eks.create_access_entry(clusterName="one", principalArn=foreign)


def test_access_entry_refuses_role_until_iam_propagates_it(account: Account, names: dict[str, str]) -> None:
    account.sandbox.knobs(iam_propagation_seconds=0.5)
    young = {"clusterName": "one", "principalArn": account.role("young", "ec2.amazonaws.com")}
    with refused("InvalidParameterException", "invalid principal", status=400):
        account.eks.create_access_entry(**young)
    time.sleep(0.6)
    account.eks.create_access_entry(**young)


def test_access_entry_refuses_service_linked_role(account: Account, names: dict[str, str]) -> None:
    role = account.iam.create_service_linked_role(AWSServiceName="autoscaling.amazonaws.com")["Role"]
    with refused("InvalidParameterException", "Service Linked Role", status=400):
        account.eks.create_access_entry(clusterName="one", principalArn=role["Arn"])


def test_lists_of_entries_and_policies_come_in_pages(account: Account, names: dict[str, str]) -> None:
    for number in range(4):
        account.iam.create_user(UserName=f"user-{number}")
        principal = f"arn:aws:iam::111122223333:user/user-{number}"
        account.eks.create_access_entry(clusterName="one", principalArn=principal)
    pages = account.eks.get_paginator("list_access_entries").paginate(
        clusterName="one", PaginationConfig={"PageSize": 2}
    )
    assert [len(page["accessEntries"]) for page in pages] == [2, 2, 1]
    policies = account.eks.get_paginator("list_access_policies").paginate(PaginationConfig={"PageSize": 4})
    assert len([policy for page in policies for policy in page["accessPolicies"]]) == 7
    for token in ("made-up", "cGFnZTotMQ=="):
        with refused("InvalidParameterException", "nextToken", status=400):
            account.eks.list_access_entries(clusterName="one", nextToken=token)


def test_tagging_api_finds_and_changes_tags_of_every_kind(account: Account, names: dict[str, str]) -> None:
    tagging = account.sandbox.client("resourcegroupstaggingapi")
    association = account.associate(account.pod_role(), tags={"kind": "association"})["associationArn"]
    cluster = "arn:aws:eks:eu-west-1:111122223333:cluster/one"
    missing = f"{cluster}-none"
    answer = tagging.tag_resources(ResourceARNList=[association, cluster, missing], Tags={"team": "a"})
    assert answer["FailedResourcesMap"][missing]["ErrorCode"] == "InvalidParameterException"
    assert set(answer["FailedResourcesMap"]) == {missing}
    assert account.eks.list_tags_for_resource(resourceArn=association)["tags"] == {"kind": "association", "team": "a"}
    pages = tagging.get_paginator("get_resources").paginate(
        TagFilters=[{"Key": "team"}], PaginationConfig={"PageSize": 1}
    )
    found = [mapping["ResourceARN"] for page in pages for mapping in page["ResourceTagMappingList"]]
    assert sorted(found) == sorted([association, cluster])
    [one] = tagging.get_resources(ResourceARNList=[cluster])["ResourceTagMappingList"]
    assert one["Tags"] == [{"Key": "team", "Value": "a"}]
    assert tagging.get_tag_keys()["TagKeys"] == ["kind", "team"]
    assert tagging.get_tag_values(Key="kind")["TagValues"] == ["association"]
    assert tagging.untag_resources(ResourceARNList=[association], TagKeys=["kind"])["FailedResourcesMap"] == {}
    assert account.eks.list_tags_for_resource(resourceArn=association)["tags"] == {"team": "a"}


def test_tagging_api_needs_permission_of_the_service_too(account: Account, names: dict[str, str]) -> None:
    keys = account.user("tagger", allow("tag:*"))
    tagging = account.sandbox.client("resourcegroupstaggingapi", **keys)
    cluster = "arn:aws:eks:eu-west-1:111122223333:cluster/one"
    failed = tagging.tag_resources(ResourceARNList=[cluster], Tags={"team": "a"})["FailedResourcesMap"][cluster]
    assert (failed["ErrorCode"], failed["StatusCode"]) == ("AccessDeniedException", 403)
    assert "eks:TagResource" in failed["ErrorMessage"]


@pytest.mark.parametrize(
    "query",
    [
        {"ResourcesPerPage": 101},
        {"ResourceARNList": ["arn:aws:eks:eu-west-1:111122223333:cluster/one"], "TagFilters": [{"Key": "a"}]},
        {"TagFilters": [{"Key": f"k{number}"} for number in range(51)]},
    ],
)
def test_tagging_api_refuses_invalid_query(account: Account, query: dict[str, t.Any]) -> None:
    with refused("InvalidParameterException", status=400):
        account.sandbox.client("resourcegroupstaggingapi").get_resources(**query)
    with refused("PaginationTokenExpiredException", status=400):
        account.sandbox.client("resourcegroupstaggingapi").get_resources(PaginationToken="made-up")
