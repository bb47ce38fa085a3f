# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module eks_foundation_info: what it finds, of whom, and with how many calls."""

from __future__ import annotations

import json
import typing as t

import pytest
from support.module_runs import CLUSTER_ROLE
from support.module_runs import NODE_ROLE
from support.module_runs import Account
from support.module_runs import Result
from support.module_runs import RunModule

MANAGED_TAGS = {"podidentity.eks/cluster": "example"}
EC2_TAGS = [{"Key": key, "Value": value} for key, value in MANAGED_TAGS.items()]


@pytest.fixture
def inspect_foundation(run_module: RunModule, account: Account) -> t.Callable[..., Result]:
    """The module for the cluster ``example``; returns what it found, ``calls`` being the operations that it called."""

    def inspect_foundation(**params: t.Any) -> Result:
        account.sandbox.clear_calls()
        result = run_module("eks_foundation_info", **{"cluster_name": "example", **params})
        assert not result["changed"]
        calls = sorted(call["operation"] for call in account.sandbox.call_log())
        return {**result["foundation"], "calls": calls}

    return inspect_foundation


def tag_specifications(kind: str) -> list[dict[str, t.Any]]:
    return [{"ResourceType": kind, "Tags": EC2_TAGS}]


def test_valid_cluster_name_is_required(run_module: RunModule, account: Account) -> None:
    assert "cluster_name" in run_module("eks_foundation_info")["msg"]
    assert "no name of an EKS cluster" in run_module("eks_foundation_info", cluster_name="a b")["msg"]
    assert account.sandbox.calls() == {}


def test_nothing_is_found_before_first_run(inspect_foundation: t.Callable[..., Result]) -> None:
    found = inspect_foundation(roles=["example-cluster", "example-nodes"])
    calls = found.pop("calls")
    assert (found.pop("cluster"), found.pop("foreign")) == (None, False)
    assert {part: each for part, each in found.items() if each} == {}
    assert [call for call in calls if call.startswith("eks:")] == ["eks:DescribeCluster"]


def test_unmanaged_cluster_is_described_without_its_parts(
    inspect_foundation: t.Callable[..., Result], account: Account
) -> None:
    account.create_cluster()
    account.create_nodegroup()
    found = inspect_foundation(roles=["eks-node"], subnet_ids=account.subnet_ids, security_groups=["one"])
    assert found["foreign"] is True
    assert found["cluster"]["name"] == "example"
    assert (found["nodegroups"], found["roles"], found["given_subnets"], found["security_groups"]) == ([], [], [], [])
    assert found["calls"] == ["eks:DescribeCluster"]


#: All that the role compares: one describe for each kind, two for node groups.
CALLS = [
    "ec2:DescribeAddresses",
    "ec2:DescribeInternetGateways",
    "ec2:DescribeLaunchTemplates",
    "ec2:DescribeNatGateways",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "eks:DescribeCluster",
    "eks:DescribeNodegroup",
    "eks:ListNodegroups",
]


def create_managed_network(account: Account, ec2: t.Any) -> dict[str, list[str]]:
    """A network of ours; returns the ids that are to be found, by kind. A second NAT gateway fails: same address."""
    gateway = ec2.create_internet_gateway(TagSpecifications=tag_specifications("internet-gateway"))["InternetGateway"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=account.vpc_id)
    ec2.create_tags(Resources=[account.vpc_id, account.subnet_ids[0], account.security_group_ids[0]], Tags=EC2_TAGS)
    table = ec2.create_route_table(VpcId=account.vpc_id, TagSpecifications=tag_specifications("route-table"))[
        "RouteTable"
    ]
    address = ec2.allocate_address(Domain="vpc", TagSpecifications=tag_specifications("elastic-ip"))["AllocationId"]
    place = {"SubnetId": account.subnet_ids[0], "AllocationId": address}
    gateways = [
        ec2.create_nat_gateway(**place, TagSpecifications=tag_specifications("natgateway")) for _each in range(2)
    ]
    return {
        "vpcs": [account.vpc_id],
        "subnets": account.subnet_ids[:1],
        "security_groups": account.security_group_ids[:1],
        "internet_gateways": [gateway["InternetGatewayId"]],
        "route_tables": [table["RouteTableId"]],
        "addresses": [address],
        "nat_gateways": [gateways[0]["NatGateway"]["NatGatewayId"]],
    }


def test_managed_resources_are_found_by_tag(
    inspect_foundation: t.Callable[..., Result], account: Account, clients: dict[str, t.Any]
) -> None:
    account.sandbox.knobs(nat_gateway_seconds=0)
    account.create_cluster(tags=MANAGED_TAGS)
    account.create_nodegroup()
    made = create_managed_network(account, clients["ec2"])
    found = inspect_foundation()
    assert found["foreign"] is False
    assert [each["nodegroup_name"] for each in found["nodegroups"]] == ["general"]
    keys = {"security_groups": "group_id", "addresses": "allocation_id"}
    ids = {part: [each[keys.get(part, f"{part.removesuffix('s')}_id")] for each in found[part]] for part in made}
    assert ids == made
    assert found["subnets"][0]["tags"] == MANAGED_TAGS
    assert found["calls"] == CALLS


def test_unmanaged_resources_are_found_by_name(
    inspect_foundation: t.Callable[..., Result], account: Account, clients: dict[str, t.Any]
) -> None:
    data = {"MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}}
    clients["ec2"].create_launch_template(LaunchTemplateName="example-nodes", LaunchTemplateData={})
    clients["ec2"].create_launch_template_version(LaunchTemplateName="example-nodes", LaunchTemplateData=data)
    found = inspect_foundation(
        roles=["eks-cluster"],
        subnet_ids=account.subnet_ids[:2],
        security_groups=["one", "none"],
        launch_templates=["example-nodes"],
    )
    assert [each["group_name"] for each in found["security_groups"]] == ["one"]
    assert [each["subnet_id"] for each in found["given_subnets"]] == account.subnet_ids[:2]
    [template] = found["launch_templates"]
    assert (template["latest_version_number"], template["tags"]) == (2, {})
    options = template["data"]["metadata_options"]
    assert (options["http_tokens"], options["http_put_response_hop_limit"]) == ("required", 1)
    [role] = found["roles"]
    assert role["managed_policies"] == ["arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"]
    assert role["trust_policy"]["Statement"][0]["Principal"] == {"Service": "eks.amazonaws.com"}
    assert "pod_identity" not in role


def test_node_role_reports_pod_identity_permission(
    inspect_foundation: t.Callable[..., Result], account: Account, clients: dict[str, t.Any]
) -> None:
    [role] = inspect_foundation(node_role="eks-node")["roles"]
    assert (role["arn"], role["pod_identity"]) == (NODE_ROLE, True)
    policy = "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"
    clients["iam"].detach_role_policy(RoleName="eks-node", PolicyArn=policy)
    found = inspect_foundation(node_role="eks-node")
    assert found["roles"][0]["pod_identity"] is False
    assert "iam:SimulatePrincipalPolicy" in found["calls"], "only IAM can tell what policies of one's own allow"
    statement = {"Effect": "Allow", "Action": "eks-auth:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    clients["iam"].put_role_policy(RoleName="eks-node", PolicyName="own", PolicyDocument=document)
    assert inspect_foundation(node_role="eks-node")["roles"][0]["pod_identity"] is True


def test_missing_simulate_permission_gives_warning(run_module: RunModule, account: Account) -> None:
    fault = {"operation": "iam:SimulatePrincipalPolicy", "code": "AccessDenied", "status": 403}
    account.sandbox.knobs(faults=[fault])
    result = run_module("eks_foundation_info", cluster_name="example", node_role="app")
    assert result["foundation"]["roles"][0]["pod_identity"] is None
    told = str(result["warnings"])
    assert "role/app can get an identity is not known" in told
    assert "iam:SimulatePrincipalPolicy" in told


def test_failed_call_reports_its_purpose(run_module: RunModule, account: Account) -> None:
    account.sandbox.knobs(faults=[{"operation": "ec2:DescribeAddresses", "code": "UnauthorizedOperation"}])
    result = run_module("eks_foundation_info", cluster_name="example")
    assert result["failed"]
    assert result["msg"].startswith("Failed to describe what the cluster stands on")


def test_given_cluster_role_is_asked_for_a_new_cluster_only(
    inspect_foundation: t.Callable[..., Result], account: Account
) -> None:
    found = inspect_foundation(cluster_role="eks-cluster")
    assert [(role["name"], role["arn"]) for role in found["roles"]] == [("eks-cluster", CLUSTER_ROLE)]
    assert found["calls"].count("iam:GetRole") == 1 and "iam:ListAttachedRolePolicies" not in found["calls"]
    assert inspect_foundation(cluster_role="nobody")["roles"] == []
    account.create_cluster(tags=MANAGED_TAGS)
    assert "iam:GetRole" not in inspect_foundation(cluster_role="eks-cluster")["calls"]
