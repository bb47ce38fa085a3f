# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What EC2 and IAM ask about a request: on which resource, with which condition keys, and what else it needs.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html and
list_awsidentityandaccessmanagementiam.html
"""

from __future__ import annotations

import json
import typing as t

import pytest
from support.boto3_account import Account
from support.boto3_account import allow
from support.boto3_account import refused
from support.iam_roles import trust_policy

pytestmark = pytest.mark.client("boto3")

EC2 = "arn:aws:ec2:eu-west-1:111122223333:"
IAM = "arn:aws:iam::111122223333:"
OWNER_TAG = {"owner": "me"}
TRUST = trust_policy("pods.eks.amazonaws.com")
S3 = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
READ_S3 = json.dumps({"Version": "2012-10-17", "Statement": [allow("s3:Get*")]})


def tagged(kind: str, **tags: str) -> list[dict[str, t.Any]]:
    """TagSpecifications for one new resource."""
    return [{"ResourceType": kind, "Tags": pairs(tags)}]


def pairs(tags: dict[str, str]) -> list[dict[str, str]]:
    """Tags as EC2 and IAM take them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def as_user(account: Account, service: str, *statements: dict[str, t.Any]) -> t.Any:
    """A client of a new user with these permissions, with nothing in the record of permissions."""
    keys = account.user("limited", *statements)
    account.sandbox.clear_calls()
    return account.sandbox.client(service, **keys)


def allowed_permissions(account: Account) -> dict[str, list[str]]:
    """What the new user was asked for and allowed, by action; nothing was denied."""
    used = account.sandbox.permissions("*:user/limited")
    assert not [action for action, answers in used.items() if answers["denied"]]
    return {action: answers["allowed"] for action, answers in used.items()}


# --- EC2 --------------------------------------------------------------------------------------------------------------


def create_network(ec2: t.Any) -> dict[str, str]:
    """A VPC with a subnet that reaches out by an internet gateway, and a NAT gateway; returns the ARNs by kind."""
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=tagged("vpc", **OWNER_TAG))["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]["NatGatewayId"]
    group = ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc)["GroupId"]
    return {
        "vpc": f"{EC2}vpc/{vpc}",
        "subnet": f"{EC2}subnet/{subnet}",
        "gateway": f"{EC2}internet-gateway/{gateway}",
        "table": f"{EC2}route-table/{table}",
        "address": f"{EC2}elastic-ip/{address}",
        "nat": f"{EC2}natgateway/{nat}",
        "group": f"{EC2}security-group/{group}",
    }


def remove_network(ec2: t.Any, ids: dict[str, str]) -> None:
    """Remove it again, by its ids."""
    [table] = ec2.describe_route_tables(RouteTableIds=[ids["table"]])["RouteTables"]
    ec2.disassociate_route_table(AssociationId=table["Associations"][0]["RouteTableAssociationId"])
    ec2.delete_nat_gateway(NatGatewayId=ids["nat"])
    ec2.delete_route(RouteTableId=ids["table"], DestinationCidrBlock="0.0.0.0/0")
    ec2.delete_route_table(RouteTableId=ids["table"])
    ec2.delete_security_group(GroupId=ids["group"])
    waiter = ec2.get_waiter("nat_gateway_deleted")
    waiter.wait(NatGatewayIds=[ids["nat"]], WaiterConfig={"Delay": 1, "MaxAttempts": 5})
    ec2.release_address(AllocationId=ids["address"])
    ec2.detach_internet_gateway(InternetGatewayId=ids["gateway"], VpcId=ids["vpc"])
    ec2.delete_internet_gateway(InternetGatewayId=ids["gateway"])
    ec2.delete_subnet(SubnetId=ids["subnet"])
    ec2.delete_vpc(VpcId=ids["vpc"])


def test_creating_network_needs_permission_on_each_resource(account: Account) -> None:
    ec2 = as_user(account, "ec2", allow("ec2:*"))
    made = create_network(ec2)
    assert allowed_permissions(account) == {
        "ec2:AllocateAddress": [f"{EC2}elastic-ip/*"],
        "ec2:AssociateRouteTable": [made["table"], made["subnet"]],
        "ec2:AttachInternetGateway": [made["gateway"], made["vpc"]],
        "ec2:CreateInternetGateway": [f"{EC2}internet-gateway/*"],
        "ec2:CreateNatGateway": [made["address"], f"{EC2}natgateway/*", made["subnet"]],
        "ec2:CreateRoute": [made["table"]],
        "ec2:CreateRouteTable": [f"{EC2}route-table/*", made["vpc"]],
        "ec2:CreateSecurityGroup": [f"{EC2}security-group/*", made["vpc"]],
        "ec2:CreateSubnet": [f"{EC2}subnet/*", made["vpc"]],
        "ec2:CreateTags": [f"{EC2}vpc/*"],
        "ec2:CreateVpc": [f"{EC2}vpc/*"],
        "ec2:ModifySubnetAttribute": [made["subnet"]],
        "ec2:ModifyVpcAttribute": [made["vpc"]],
    }


def test_removing_network_needs_permission_on_each_resource(account: Account) -> None:
    ec2 = as_user(account, "ec2", allow("ec2:*"))
    made = create_network(ec2)
    account.sandbox.clear_calls()
    remove_network(ec2, {part: arn.rpartition("/")[2] for part, arn in made.items()})
    assert allowed_permissions(account) == {
        "ec2:DeleteInternetGateway": [made["gateway"]],
        "ec2:DeleteNatGateway": [made["nat"]],
        "ec2:DeleteRoute": [made["table"]],
        "ec2:DeleteRouteTable": [made["table"]],
        "ec2:DeleteSecurityGroup": [made["group"]],
        "ec2:DeleteSubnet": [made["subnet"]],
        "ec2:DeleteVpc": [made["vpc"]],
        "ec2:DescribeNatGateways": ["*"],
        "ec2:DescribeRouteTables": ["*"],
        "ec2:DetachInternetGateway": [made["gateway"], made["vpc"]],
        "ec2:DisassociateRouteTable": [made["table"], made["subnet"]],
        "ec2:ReleaseAddress": [made["address"]],
    }


def test_rules_and_tags_need_permission_on_their_resource(account: Account) -> None:
    ec2 = as_user(account, "ec2", allow("ec2:*"))
    group = ec2.create_security_group(GroupName="g", Description="d")["GroupId"]
    rule = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]
    account.sandbox.clear_calls()
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rule)
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=rule)
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=rule)
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=rule)
    ec2.create_tags(Resources=[group], Tags=pairs(OWNER_TAG))
    ec2.delete_tags(Resources=[group], Tags=[{"Key": "owner"}])
    wanted = [f"{verb}SecurityGroup{way}" for verb in ("Authorize", "Revoke") for way in ("Ingress", "Egress")]
    arn = f"{EC2}security-group/{group}"
    assert allowed_permissions(account) == {f"ec2:{action}": [arn] for action in [*wanted, "CreateTags", "DeleteTags"]}


def test_permission_on_resource_given_by_name_is_for_its_id(account: Account) -> None:
    ec2 = as_user(account, "ec2", allow("ec2:*"))
    data = {"InstanceType": "t3.large"}
    specification = tagged("launch-template", **OWNER_TAG)
    ec2.create_launch_template(LaunchTemplateName="one", LaunchTemplateData=data, TagSpecifications=specification)
    template = ec2.create_launch_template_version(LaunchTemplateName="one", LaunchTemplateData=data)
    one = f"{EC2}launch-template/{template['LaunchTemplateVersion']['LaunchTemplateId']}"
    ec2.modify_launch_template(LaunchTemplateName="one", DefaultVersion="2")
    ec2.delete_launch_template(LaunchTemplateName="one")
    group = f"{EC2}security-group/{ec2.create_security_group(GroupName='g', Description='d')['GroupId']}"
    ec2.delete_security_group(GroupName="g")
    assert allowed_permissions(account) == {
        "ec2:CreateLaunchTemplate": [f"{EC2}launch-template/*"],
        "ec2:CreateLaunchTemplateVersion": [one],
        "ec2:CreateSecurityGroup": [f"{EC2}security-group/*"],
        "ec2:CreateTags": [f"{EC2}launch-template/*"],
        "ec2:DeleteLaunchTemplate": [one],
        "ec2:DeleteSecurityGroup": [group],
        "ec2:ModifyLaunchTemplate": [one],
    }


def test_tags_at_creation_need_ec2_create_tags(account: Account) -> None:
    ec2 = as_user(account, "ec2", allow("ec2:CreateVpc", "ec2:DescribeVpcs"))
    before = ec2.describe_vpcs()["Vpcs"]
    words = (
        "You are not authorized to perform this operation. "
        f"User: {IAM}user/limited is not authorized to perform: ec2:CreateTags on resource: {EC2}vpc/* "
        "because no identity-based policy allows the ec2:CreateTags action"
    )
    with refused("UnauthorizedOperation", words, status=403):
        ec2.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=tagged("vpc", **OWNER_TAG))
    assert ec2.describe_vpcs()["Vpcs"] == before
    ec2.create_vpc(CidrBlock="10.9.0.0/16")
    assert account.sandbox.permissions("*:user/limited")["ec2:CreateTags"] == {
        "allowed": [],
        "denied": [f"{EC2}vpc/*"],
    }


def test_create_tags_can_be_limited_to_creation(account: Account) -> None:
    condition = {"StringEquals": {"ec2:CreateAction": "CreateVpc"}}
    create = allow("ec2:CreateVpc", "ec2:CreateSubnet")
    ec2 = as_user(account, "ec2", create, allow("ec2:CreateTags", Condition=condition))
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=tagged("vpc", **OWNER_TAG))["Vpc"]["VpcId"]
    with refused("UnauthorizedOperation", f"ec2:CreateTags on resource: {EC2}vpc/{vpc}"):
        ec2.create_tags(Resources=[vpc], Tags=pairs({"owner": "you"}))
    with refused("UnauthorizedOperation", f"ec2:CreateTags on resource: {EC2}subnet/*"):
        ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24", TagSpecifications=tagged("subnet", **OWNER_TAG))
    [kept] = account.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    assert kept["Tags"] == pairs(OWNER_TAG)


@pytest.mark.parametrize("space", ["aws", "ec2"])
def test_tag_condition_protects_other_resources(account: Account, space: str) -> None:
    theirs = account.ec2.create_vpc(CidrBlock="10.8.0.0/16", TagSpecifications=tagged("vpc", owner="you"))["Vpc"]
    mine = account.ec2.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=tagged("vpc", **OWNER_TAG))["Vpc"]
    condition = {"StringEquals": {f"{space}:ResourceTag/owner": "me"}}
    ec2 = as_user(
        account, "ec2", allow("ec2:*", Condition=condition), allow("ec2:CreateSubnet", resource=f"{EC2}subnet/*")
    )
    ec2.create_subnet(VpcId=mine["VpcId"], CidrBlock="10.9.1.0/24")
    with refused("UnauthorizedOperation", f"ec2:CreateSubnet on resource: {EC2}vpc/{theirs['VpcId']}"):
        ec2.create_subnet(VpcId=theirs["VpcId"], CidrBlock="10.8.1.0/24")
    refusals: list[tuple[str, dict[str, t.Any]]] = [
        ("delete_vpc", {"VpcId": theirs["VpcId"]}),
        ("create_tags", {"Resources": [theirs["VpcId"]], "Tags": pairs(OWNER_TAG)}),
        ("create_tags", {"Resources": [mine["VpcId"], theirs["VpcId"]], "Tags": pairs({"a": "b"})}),
        ("delete_tags", {"Resources": [theirs["VpcId"]], "Tags": [{"Key": "owner"}]}),
    ]
    for operation, wanted in refusals:
        with refused("UnauthorizedOperation", f"on resource: {EC2}vpc/{theirs['VpcId']}"):
            getattr(ec2, operation)(**wanted)
    assert account.ec2.describe_vpcs(VpcIds=[theirs["VpcId"]])["Vpcs"][0]["Tags"] == pairs({"owner": "you"})
    assert account.ec2.describe_vpcs(VpcIds=[mine["VpcId"]])["Vpcs"][0]["Tags"] == pairs(OWNER_TAG)
    filters = [{"Name": "vpc-id", "Values": [theirs["VpcId"]]}]
    assert account.ec2.describe_subnets(Filters=filters)["Subnets"] == []


def test_request_tags_are_conditions_of_created_resource_only(account: Account) -> None:
    vpc = account.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    condition = {"StringEquals": {"aws:RequestTag/owner": "me"}, "ForAllValues:StringEquals": {"aws:TagKeys": "owner"}}
    made = allow("ec2:CreateSubnet", "ec2:CreateTags", resource=f"{EC2}subnet/*", Condition=condition)
    ec2 = as_user(account, "ec2", made)
    request = {"VpcId": vpc, "CidrBlock": "10.9.1.0/24"}
    with refused("UnauthorizedOperation", f"ec2:CreateSubnet on resource: {EC2}vpc/{vpc}"):
        ec2.create_subnet(**request, TagSpecifications=tagged("subnet", **OWNER_TAG))
    document = {"Version": "2012-10-17", "Statement": [allow("ec2:CreateSubnet", resource=f"{EC2}vpc/{vpc}"), made]}
    account.iam.put_user_policy(UserName="limited", PolicyName="permissions", PolicyDocument=json.dumps(document))
    for tags in ({}, {"owner": "you"}, {**OWNER_TAG, "more": "x"}):
        specification = {"TagSpecifications": tagged("subnet", **tags)} if tags else {}
        with refused("UnauthorizedOperation", f"ec2:CreateSubnet on resource: {EC2}subnet/*"):
            ec2.create_subnet(**request, **specification)
    made_subnet = ec2.create_subnet(**request, TagSpecifications=tagged("subnet", **OWNER_TAG))["Subnet"]
    assert made_subnet["Tags"] == pairs(OWNER_TAG)


@pytest.mark.parametrize("key", ["aws:RequestedRegion", "ec2:Region"])
def test_ec2_can_be_allowed_in_one_region(account: Account, key: str) -> None:
    keys = account.user("limited", allow("ec2:*", Condition={"StringEquals": {key: "eu-west-1"}}))
    for region, allowed in (("eu-west-1", True), ("us-east-1", False)):
        ec2 = account.sandbox.client("ec2", region_name=region, **keys)
        if allowed:
            ec2.create_vpc(CidrBlock="10.9.0.0/16")
            continue
        with refused("UnauthorizedOperation", "ec2:CreateVpc", "arn:aws:ec2:us-east-1:111122223333:vpc/*"):
            ec2.create_vpc(CidrBlock="10.9.0.0/16")
        with refused("UnauthorizedOperation", "not authorized to perform: ec2:DescribeVpcs because"):
            ec2.describe_vpcs()


# --- IAM --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "wanted", "resource"),
    [
        ("Role", {"RoleName": "new", "AssumeRolePolicyDocument": TRUST}, "role/new"),
        ("Role", {"RoleName": "new", "AssumeRolePolicyDocument": TRUST, "Path": "/team/"}, "role/team/new"),
        ("User", {"UserName": "new"}, "user/new"),
        ("InstanceProfile", {"InstanceProfileName": "new"}, "instance-profile/new"),
        (
            "Policy",
            {
                "PolicyName": "new",
                "PolicyDocument": json.dumps({"Version": "2012-10-17", "Statement": [allow("s3:*")]}),
            },
            "policy/new",
        ),
    ],
)
def test_iam_tags_at_creation_need_their_own_permission(
    account: Account, kind: str, wanted: dict[str, str], resource: str
) -> None:
    iam = as_user(account, "iam", allow(f"iam:Create{kind}", resource=f"{IAM}{resource}"))
    create = getattr(iam, {"InstanceProfile": "create_instance_profile"}.get(kind, f"create_{kind.lower()}"))
    words = (
        f"User: {IAM}user/limited is not authorized to perform: iam:Tag{kind} on resource: {IAM}{resource} "
        f"because no identity-based policy allows the iam:Tag{kind} action"
    )
    with refused("AccessDenied", words, status=403):
        create(**wanted, Tags=pairs(OWNER_TAG))
    create(**wanted)
    assert account.sandbox.permissions("*:user/limited") == {
        f"iam:Create{kind}": {"allowed": [f"{IAM}{resource}"], "denied": []},
        f"iam:Tag{kind}": {"allowed": [], "denied": [f"{IAM}{resource}"]},
    }


def test_create_role_with_tags_needs_both_permissions(account: Account) -> None:
    condition = {"StringEquals": {"aws:RequestTag/owner": "me"}}
    iam = as_user(account, "iam", allow("iam:CreateRole", "iam:TagRole", Condition=condition))
    with refused("AccessDenied", "iam:CreateRole"):
        iam.create_role(RoleName="new", AssumeRolePolicyDocument=TRUST, Tags=pairs({"owner": "you"}))
    role = iam.create_role(RoleName="new", AssumeRolePolicyDocument=TRUST, Tags=pairs(OWNER_TAG))["Role"]
    assert account.iam.get_role(RoleName="new")["Role"]["Tags"] == pairs(OWNER_TAG)
    assert account.sandbox.permissions("*:user/limited")["iam:TagRole"] == {"allowed": [role["Arn"]], "denied": []}


def test_permission_on_role_includes_its_path(account: Account) -> None:
    role = account.iam.create_role(RoleName="app", Path="/team/", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    assert role == f"{IAM}role/team/app"
    iam = as_user(account, "iam", allow("iam:*", resource=f"{IAM}role/team/*"))
    iam.get_role(RoleName="app")
    iam.list_attached_role_policies(RoleName="app")
    iam.delete_role(RoleName="app")
    wanted = ("iam:DeleteRole", "iam:GetRole", "iam:ListAttachedRolePolicies")
    assert allowed_permissions(account) == {action: [role] for action in wanted}
    words = "is not authorized to perform: iam:GetRole on resource: role other because no identity-based policy allows"
    account.pod_role("other")
    with refused("AccessDenied", words, status=403):
        iam.get_role(RoleName="other")


@pytest.mark.parametrize("space", ["aws", "iam"])
def test_tag_condition_protects_other_roles(account: Account, space: str) -> None:
    for name, owner in (("mine", "me"), ("theirs", "you")):
        account.iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST, Tags=pairs({"owner": owner}))
    condition = {"StringEquals": {f"{space}:ResourceTag/owner": "me"}}
    iam = as_user(account, "iam", allow("iam:*", Condition=condition))
    iam.put_role_policy(RoleName="mine", PolicyName="p", PolicyDocument=READ_S3)
    refusals: list[tuple[str, dict[str, t.Any]]] = [
        ("put_role_policy", {"PolicyName": "p", "PolicyDocument": READ_S3}),
        ("attach_role_policy", {"PolicyArn": S3}),
        ("update_assume_role_policy", {"PolicyDocument": TRUST}),
        ("tag_role", {"Tags": pairs(OWNER_TAG)}),
        ("delete_role", {}),
    ]
    for operation, wanted in refusals:
        with refused("AccessDenied"):
            getattr(iam, operation)(RoleName="theirs", **wanted)
    kept = account.iam.get_role(RoleName="theirs")["Role"]
    assert kept["Tags"] == pairs({"owner": "you"})
    assert account.iam.list_role_policies(RoleName="theirs")["PolicyNames"] == []


def test_role_changes_can_require_a_permissions_boundary(account: Account) -> None:
    """The guard against somebody who gives a role more than they have themselves."""
    boundary = account.iam.create_policy(PolicyName="boundary", PolicyDocument=READ_S3)["Policy"]["Arn"]
    account.pod_role("unbounded")
    condition = {"StringEquals": {"iam:PermissionsBoundary": boundary}}
    bounded = ("CreateRole", "PutRolePermissionsBoundary", "AttachRolePolicy", "DetachRolePolicy", "PutRolePolicy")
    changes = [f"iam:{action}" for action in (*bounded, "DeleteRolePolicy", "DeleteRole")]
    iam = as_user(account, "iam", allow(*changes, Condition=condition))
    for parameters in ({}, {"PermissionsBoundary": S3}):
        with refused("AccessDenied", "iam:CreateRole"):
            iam.create_role(RoleName="app", AssumeRolePolicyDocument=TRUST, **parameters)
    iam.create_role(RoleName="app", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=boundary)
    with refused("AccessDenied", "iam:PutRolePermissionsBoundary"):
        iam.put_role_permissions_boundary(RoleName="app", PermissionsBoundary=S3)
    iam.put_role_permissions_boundary(RoleName="app", PermissionsBoundary=boundary)
    with refused("AccessDenied", "iam:DeleteRolePermissionsBoundary"):
        iam.delete_role_permissions_boundary(RoleName="app")
    for role, expected in (("app", True), ("unbounded", False)):
        for operation, wanted in (
            ("attach_role_policy", {"PolicyArn": S3}),
            ("detach_role_policy", {"PolicyArn": S3}),
            ("put_role_policy", {"PolicyName": "p", "PolicyDocument": READ_S3}),
            ("delete_role_policy", {"PolicyName": "p"}),
            ("delete_role", {}),
        ):
            if expected:
                getattr(iam, operation)(RoleName=role, **wanted)
                continue
            with refused("AccessDenied"):
                getattr(iam, operation)(RoleName=role, **wanted)
    assert account.iam.list_attached_role_policies(RoleName="unbounded")["AttachedPolicies"] == []


def test_attach_can_be_limited_to_some_policies(account: Account) -> None:
    account.pod_role("app")
    account.iam.attach_role_policy(RoleName="app", PolicyArn=ADMINISTRATOR)
    condition = {"ArnEquals": {"iam:PolicyARN": S3}}
    iam = as_user(account, "iam", allow("iam:AttachRolePolicy", "iam:DetachRolePolicy", Condition=condition))
    iam.attach_role_policy(RoleName="app", PolicyArn=S3)
    iam.detach_role_policy(RoleName="app", PolicyArn=S3)
    for operation in ("attach_role_policy", "detach_role_policy"):
        with refused("AccessDenied", f"iam:{operation[:6].title()}RolePolicy on resource: role app"):
            getattr(iam, operation)(RoleName="app", PolicyArn=ADMINISTRATOR)
    [kept] = account.iam.list_attached_role_policies(RoleName="app")["AttachedPolicies"]
    assert kept["PolicyArn"] == ADMINISTRATOR


def test_adding_role_to_instance_profile_needs_pass_role(account: Account) -> None:
    role = account.pod_role("nodes")
    account.iam.create_instance_profile(InstanceProfileName="nodes")
    add = allow("iam:AddRoleToInstanceProfile", resource=f"{IAM}instance-profile/nodes")
    passed = {"StringEquals": {"iam:PassedToService": "eks.amazonaws.com"}}
    iam = as_user(account, "iam", add, allow("iam:PassRole", Condition=passed))
    with refused("AccessDenied", f"iam:PassRole on resource: {role} because"):
        iam.add_role_to_instance_profile(InstanceProfileName="nodes", RoleName="nodes")
    passed["StringEquals"]["iam:PassedToService"] = "ec2.amazonaws.com"
    document = {"Version": "2012-10-17", "Statement": [add, allow("iam:PassRole", Condition=passed)]}
    account.iam.put_user_policy(UserName="limited", PolicyName="permissions", PolicyDocument=json.dumps(document))
    iam.add_role_to_instance_profile(InstanceProfileName="nodes", RoleName="nodes")
    [kept] = account.iam.get_instance_profile(InstanceProfileName="nodes")["InstanceProfile"]["Roles"]
    assert kept["Arn"] == role


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ("eks.amazonaws.com", "AWSServiceRoleForAmazonEKS"),
        ("eks-nodegroup.amazonaws.com", "AWSServiceRoleForAmazonEKSNodegroup"),
    ],
)
def test_service_linked_role_can_be_limited_to_one_service(account: Account, service: str, name: str) -> None:
    arn = f"{IAM}role/aws-service-role/{service}/{name}"
    condition = {"StringEquals": {"iam:AWSServiceName": service}}
    iam = as_user(account, "iam", allow("iam:CreateServiceLinkedRole", resource=arn, Condition=condition))
    with refused("AccessDenied", "aws-service-role/elasticloadbalancing.amazonaws.com/"):
        iam.create_service_linked_role(AWSServiceName="elasticloadbalancing.amazonaws.com")
    made = iam.create_service_linked_role(AWSServiceName=service)["Role"]
    assert (made["Arn"], made["RoleName"]) == (arn, name)
    assert account.iam.get_role(RoleName=name)["Role"] == made
    with refused("InvalidInput", f"Service role name {name} has been taken in this account"):
        iam.create_service_linked_role(AWSServiceName=service)
