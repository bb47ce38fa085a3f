# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module eks_cluster_plan: what it refuses before any call, what it reads, and what it plans."""

from __future__ import annotations

import json
import typing as t

import pytest
from support.module_runs import ACCOUNT
from support.module_runs import CLUSTER_ROLE
from support.module_runs import NODE_ROLE
from support.module_runs import REGION
from support.module_runs import Account
from support.module_runs import Result
from support.module_runs import RunModule

MANAGED_TAGS = {"podidentity.eks/cluster": "example"}
EC2_TAGS = [{"Key": key, "Value": value} for key, value in MANAGED_TAGS.items()]
ZONES = [f"{REGION}a", f"{REGION}b"]
WORKERS: dict[str, t.Any] = {"name": "workers"}
#: Everything that a new cluster needs is given.
GIVEN: dict[str, t.Any] = {"cluster_role_arn": CLUSTER_ROLE, "cluster_node_role_arn": NODE_ROLE}


@pytest.fixture
def plan(run_module: RunModule, account: Account) -> t.Callable[..., Result]:
    """The module for the cluster ``example``; returns its plan, ``calls`` being the operations that it called."""

    def plan(*, check_mode: bool = False, **params: t.Any) -> Result:
        account.sandbox.clear_calls()
        result = run_module("eks_cluster_plan", check_mode=check_mode, cluster_name="example", **params)
        assert not result["changed"], result
        calls = sorted(call["operation"] for call in account.sandbox.call_log())
        return {**result["plan"], "calls": calls}

    return plan


def tag_specifications(kind: str) -> list[dict[str, t.Any]]:
    return [{"ResourceType": kind, "Tags": EC2_TAGS}]


def names(items: list[dict[str, t.Any]]) -> list[str]:
    return [f"{one['action']} {one['kind']} {one['name']}" for one in items]


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_everything_wrong_is_refused_before_any_call(run_module: RunModule, account: Account) -> None:
    assert "cluster_name" in run_module("eks_cluster_plan")["msg"]
    wrong: dict[str, t.Any] = {
        "cluster_version": "1",
        "cluster_zones": ["a"],
        "cluster_permissions_boundary": "boundary",
    }
    message = run_module("eks_cluster_plan", cluster_name="example", **wrong)["msg"]
    assert [line.split(" ")[0] for line in message.splitlines()] == [
        "cluster_version",
        "cluster_zones",
        "cluster_permissions_boundary",
    ]
    assert (
        "scaling is 3: give a mapping"
        in (
            run_module("eks_cluster_plan", cluster_name="example", cluster_nodegroups=[{**WORKERS, "scaling": 3}])[
                "msg"
            ]
        )
    )
    assert account.sandbox.calls() == {}


def test_obstacles_are_refused_at_once(run_module: RunModule, account: Account) -> None:
    given: dict[str, t.Any] = {
        "cluster_role_arn": f"{CLUSTER_ROLE}-none",
        "cluster_node_role_arn": f"{NODE_ROLE}-none",
    }
    result = run_module("eks_cluster_plan", cluster_name="example", cluster_nodegroups=[WORKERS], **given)
    assert [line.split(":")[0] for line in result["msg"].splitlines()] == [
        "Cluster example has no network",
        "There is no IAM role arn",
        "There is no IAM role arn",
    ]
    assert account.writes() == []


def test_unmanaged_names_are_refused(
    run_module: RunModule, account: Account, clients: dict[str, t.Any], plan: t.Callable[..., Result]
) -> None:
    clients["ec2"].create_launch_template(LaunchTemplateName="example-workers", LaunchTemplateData={})
    clients["ec2"].create_security_group(GroupName="example-one", Description="x", VpcId=account.vpc_id)
    group = {**WORKERS, "additional_security_groups": [{"name": "one"}]}
    params = {**GIVEN, "cluster_subnet_ids": account.subnet_ids[:2], "cluster_nodegroups": [group]}
    message = run_module("eks_cluster_plan", cluster_name="example", **params)["msg"]
    assert message.startswith("Launch template example-workers and Security group example-one (sg-")
    given = {**WORKERS, "additional_security_groups": account.security_group_ids[:1], "name": "others"}
    assert plan(**{**params, "cluster_nodegroups": [given]})["security_groups"] == []


def test_failed_call_reports_its_purpose(run_module: RunModule, account: Account) -> None:
    account.sandbox.knobs(faults=[{"operation": "ec2:DescribeAddresses", "code": "UnauthorizedOperation"}])
    result = run_module("eks_cluster_plan", cluster_name="example", cluster_zones=ZONES)
    assert result["failed"]
    assert result["msg"].startswith("Failed to describe what the cluster stands on")


# --- a new cluster ----------------------------------------------------------------------------------------------------


def test_new_cluster_gets_network_and_roles(plan: t.Callable[..., Result]) -> None:
    found = plan(cluster_zones=ZONES, cluster_nodegroups=[WORKERS])
    assert (found["cluster"], found["managed"], found["notice"]) == (None, True, "")
    assert [call for call in found["calls"] if not call.startswith("ec2:")] == [
        *("eks:DescribeCluster", "iam:GetRole", "iam:GetRole"),
    ]
    assert names(found["changes"]["foundation"])[:3] == [
        *("create role example-cluster", "create role example-nodes", "create VPC example"),
    ]
    assert len(found["network"]["subnets"]) == 4
    assert found["nodegroups"][0]["subnets"] == [f"private in {zone}" for zone in ZONES]
    # A run gets the ARNs from the tasks that make the roles.
    assert (found["role_arns"], found["arn"]) == ({}, None)


def test_check_mode_predicts_arns_of_the_caller(plan: t.Callable[..., Result]) -> None:
    arn = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/example"
    found = plan(check_mode=True, cluster_zones=ZONES)
    assert (found["arn"], found["calls"].count("sts:GetCallerIdentity")) == (arn, 1)
    assert found["role_arns"]["example-nodes"] == f"arn:aws:iam::{ACCOUNT}:role/example-nodes"
    known = plan(check_mode=True, cluster_zones=ZONES, account=ACCOUNT)
    assert (known["arn"], "sts:GetCallerIdentity" in known["calls"]) == (arn, False)
    given = plan(check_mode=True, cluster_zones=ZONES, **GIVEN)
    assert (given["arn"], "sts:GetCallerIdentity" in given["calls"]) == (arn, False)


def test_given_subnets_and_roles_leave_nothing_to_make(plan: t.Callable[..., Result], account: Account) -> None:
    group = {**WORKERS, "zones": ZONES[1:], "metadata_options": {"http_put_response_hop_limit": 1}}
    found = plan(**GIVEN, cluster_subnet_ids=account.subnet_ids[:2], cluster_nodegroups=[group])
    assert (found["roles"], found["network"], found["changes"]["foundation"]) == ([], None, [])
    assert names(found["changes"]["nodes"]) == ["create launch template example-workers"]
    assert found["nodegroups"][0]["subnets"] == account.subnet_ids[1:2]
    assert found["calls"].count("iam:GetRole") == 2 and found["calls"].count("iam:ListAttachedRolePolicies") == 1


def test_latest_version_of_a_launch_template_is_compared(
    plan: t.Callable[..., Result], clients: dict[str, t.Any], account: Account
) -> None:
    data = {"MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}}
    clients["ec2"].create_launch_template(
        LaunchTemplateName="example-workers",
        LaunchTemplateData={},
        TagSpecifications=tag_specifications("launch-template"),
    )
    clients["ec2"].create_launch_template_version(LaunchTemplateName="example-workers", LaunchTemplateData=data)
    group = {**WORKERS, "metadata_options": {"http_put_response_hop_limit": 1}}
    found = plan(**GIVEN, cluster_subnet_ids=account.subnet_ids[:2], cluster_nodegroups=[group])
    assert (found["launch_templates"], found["nodegroups"][0]["template"]["version"]) == ([], 2)


def test_node_role_must_allow_pod_identity(
    run_module: RunModule, plan: t.Callable[..., Result], account: Account, clients: dict[str, t.Any]
) -> None:
    params = {**GIVEN, "cluster_subnet_ids": account.subnet_ids[:2], "cluster_nodegroups": [WORKERS]}
    assert "iam:SimulatePrincipalPolicy" not in plan(**params)["calls"]
    policy = "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"
    clients["iam"].detach_role_policy(RoleName="eks-node", PolicyArn=policy)
    refused = run_module("eks_cluster_plan", cluster_name="example", **params)
    assert f"their role {NODE_ROLE} may not call eks-auth:AssumeRoleForPodIdentity" in refused["msg"]
    statement = {"Effect": "Allow", "Action": "eks-auth:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    clients["iam"].put_role_policy(RoleName="eks-node", PolicyName="own", PolicyDocument=document)
    assert "iam:SimulatePrincipalPolicy" in plan(**params)["calls"], "only IAM can tell what other policies allow"


def test_missing_simulate_permission_gives_warning(run_module: RunModule, account: Account) -> None:
    fault = {"operation": "iam:SimulatePrincipalPolicy", "code": "AccessDenied", "status": 403}
    account.sandbox.knobs(faults=[fault])
    params: dict[str, t.Any] = {"cluster_zones": ZONES, "cluster_nodegroups": [WORKERS]}
    role = NODE_ROLE.replace("eks-node", "app")
    result = run_module("eks_cluster_plan", cluster_name="example", cluster_node_role_arn=role, **params)
    told = str(result["warnings"])
    assert "role/app can get an identity is not known" in told
    assert "iam:SimulatePrincipalPolicy" in told


# --- a cluster that exists --------------------------------------------------------------------------------------------


#: All that is compared: one describe for each kind, two for node groups.
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
    """A managed network; returns the ids that are to be found, by kind. A second NAT gateway fails: same address."""
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


def test_removal_names_all_that_has_the_tag(
    plan: t.Callable[..., Result], account: Account, clients: dict[str, t.Any]
) -> None:
    account.sandbox.knobs(nat_gateway_seconds=0)
    account.create_cluster(tags=MANAGED_TAGS)
    account.create_nodegroup(tags=MANAGED_TAGS)
    made = create_managed_network(account, clients["ec2"])
    found = plan(**GIVEN, cluster_state="absent", cluster_subnet_ids=["subnet-1", "subnet-2"])
    removal = found["removal"]
    assert [each["nodegroup_name"] for each in removal["nodegroups"]] == ["general"]
    keys = {"security_groups": "group_id", "addresses": "allocation_id"}
    ids = {part: [each[keys.get(part, f"{part.removesuffix('s')}_id")] for each in removal[part]] for part in made}
    assert ids == made
    assert (removal["roles"], found["calls"]) == ([], CALLS)


def test_existing_cluster_has_its_role(plan: t.Callable[..., Result], account: Account) -> None:
    account.create_cluster(tags=MANAGED_TAGS)
    given = {"cluster_role_arn": f"{CLUSTER_ROLE}-none", "cluster_node_role_arn": NODE_ROLE}
    found = plan(**given, cluster_subnet_ids=account.subnet_ids[:2])
    assert found["cluster"]["name"] == "example" and found["arn"] == found["cluster"]["arn"]
    assert "iam:GetRole" not in found["calls"]


def test_unmanaged_cluster_is_described_alone(plan: t.Callable[..., Result], account: Account) -> None:
    account.create_cluster()
    account.create_nodegroup()
    found = plan(cluster_subnet_ids=account.subnet_ids[:2], cluster_nodegroups=[WORKERS])
    assert (found["managed"], found["cluster"]["name"]) == (False, "example")
    assert found["changes"] == {"foundation": [], "nodes": []}
    assert "exists without the tag podidentity.eks/cluster" in found["notice"]
    assert found["calls"] == ["eks:DescribeCluster"]


def test_cluster_manage_false_reads_the_cluster_alone(
    run_module: RunModule, plan: t.Callable[..., Result], account: Account
) -> None:
    missing = run_module("eks_cluster_plan", cluster_name="example", cluster_manage=False)
    assert missing["msg"].startswith("There is no cluster example, and cluster_manage is false")
    account.create_cluster(tags=MANAGED_TAGS)
    found = plan(cluster_manage=False, cluster_zones=ZONES)
    assert (found["managed"], found["calls"]) == (False, ["eks:DescribeCluster"])
