# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What EKS does in its caller's name, and refuses a caller who may not: one permission after another is taken away."""

from __future__ import annotations

import typing as t

import pytest
from support.boto3_account import Account
from support.boto3_account import allow
from support.boto3_account import refused
from support.boto3_account import wait_for
from support.iam_roles import NODE_POLICIES

pytestmark = pytest.mark.client("boto3")

ACCOUNT = "111122223333"
EC2 = f"arn:aws:ec2:eu-west-1:{ACCOUNT}:"
EKS = f"arn:aws:eks:eu-west-1:{ACCOUNT}:"
NODES = "arn:aws:iam::111122223333:role/nodes"
LINKED = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/"
CLUSTER_ROLE = f"{LINKED}eks.amazonaws.com/AWSServiceRoleForAmazonEKS"
NODEGROUP_ROLE = f"{LINKED}eks-nodegroup.amazonaws.com/AWSServiceRoleForAmazonEKSNodegroup"
TO_EKS: dict[str, t.Any] = {"Condition": {"StringEquals": {"iam:PassedToService": "eks.amazonaws.com"}}}
#: What the maker of a node group needs, each by itself.
NODEGROUP = {
    "eks:CreateNodegroup": allow("eks:CreateNodegroup"),
    "iam:PassRole": allow("iam:PassRole", resource=NODES, **TO_EKS),
    "iam:GetRole": allow("iam:GetRole"),
    "iam:ListAttachedRolePolicies": allow("iam:ListAttachedRolePolicies", resource=NODES),
    "iam:CreateServiceLinkedRole": allow("iam:CreateServiceLinkedRole", resource=NODEGROUP_ROLE),
    "ec2:DescribeSubnets": allow("ec2:DescribeSubnets"),
    "ec2:RunInstances": allow("ec2:RunInstances"),
}


@pytest.fixture
def cluster_account(account: Account) -> Account:
    """An account with a cluster and a node role."""
    account.cluster("one")
    account.role("nodes", "ec2.amazonaws.com", ("sts:AssumeRole",), *NODE_POLICIES)
    return account


def eks_client(account: Account, *statements: dict[str, t.Any]) -> t.Any:
    """A client for EKS with these permissions, with nothing in the record of permissions."""
    eks = account.sandbox.client("eks", **account.user("maker", *statements))
    account.sandbox.clear_calls()
    return eks


def allowed_permissions(account: Account) -> dict[str, list[str]]:
    """What the maker was asked for and allowed, by action; nothing was denied."""
    used = account.sandbox.permissions("*:user/maker")
    assert not [action for action, answers in used.items() if answers["denied"]]
    return {action: answers["allowed"] for action, answers in used.items()}


def linked_roles(account: Account) -> list[str]:
    """The service-linked roles of the account."""
    return [role["Arn"] for role in account.iam.list_roles(PathPrefix="/aws-service-role/")["Roles"]]


# --- clusters ---------------------------------------------------------------------------------------------------------


def cluster_parameters(account: Account, name: str) -> dict[str, t.Any]:
    """The parameters of a new cluster."""
    role = f"arn:aws:iam::{ACCOUNT}:role/plane"
    return {"name": name, "roleArn": role, "resourcesVpcConfig": {"subnetIds": account.subnets()}}


def test_only_first_cluster_creates_the_service_linked_role(account: Account) -> None:
    role = account.role("plane", "eks.amazonaws.com", ("sts:AssumeRole",))
    eks = eks_client(account, allow("eks:CreateCluster"), allow("iam:PassRole", resource=role, **TO_EKS))
    words = f"iam:CreateServiceLinkedRole on resource: {CLUSTER_ROLE}"
    with refused("AccessDeniedException", words, status=403):
        eks.create_cluster(**cluster_parameters(account, "first"))
    assert (account.eks.list_clusters()["clusters"], linked_roles(account)) == ([], [])
    account.eks.create_cluster(**cluster_parameters(account, "first"))
    assert linked_roles(account) == [CLUSTER_ROLE]
    account.sandbox.clear_calls()
    eks.create_cluster(**cluster_parameters(account, "second"))
    assert allowed_permissions(account) == {"eks:CreateCluster": [f"{EKS}cluster/second"], "iam:PassRole": [role]}


def test_service_linked_role_permission_can_name_eks_only(account: Account) -> None:
    role = account.role("plane", "eks.amazonaws.com", ("sts:AssumeRole",))
    condition = {"StringEquals": {"iam:AWSServiceName": "eks.amazonaws.com"}}
    linked = allow("iam:CreateServiceLinkedRole", Condition=condition)
    eks = eks_client(account, allow("eks:CreateCluster"), allow("iam:PassRole", resource=role, **TO_EKS), linked)
    eks.create_cluster(**cluster_parameters(account, "first"))
    assert allowed_permissions(account)["iam:CreateServiceLinkedRole"] == [CLUSTER_ROLE]
    assert linked_roles(account) == [CLUSTER_ROLE]


# --- node groups ------------------------------------------------------------------------------------------------------


def nodegroup_parameters(account: Account, name: str = "nodes", **more: t.Any) -> dict[str, t.Any]:
    """The parameters of a new node group."""
    return {"clusterName": "one", "nodegroupName": name, "subnets": account.subnets()[:1], "nodeRole": NODES, **more}


def create_launch_template(account: Account) -> str:
    """The id of a launch template that names no security groups."""
    made = account.ec2.create_launch_template(LaunchTemplateName="nodes", LaunchTemplateData={"EbsOptimized": True})
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


@pytest.mark.parametrize(
    ("missing", "code", "words"),
    [
        ("eks:CreateNodegroup", "AccessDeniedException", "eks:CreateNodegroup on resource"),
        ("iam:PassRole", "AccessDeniedException", f"iam:PassRole on resource: {NODES}"),
        (
            "iam:GetRole",
            "InvalidRequestException",
            "Failed to validate if SLR: AWSServiceRoleForAmazonEKSNodegroup already exists due to missing permissions "
            "for 'iam:GetRole'",
        ),
        (
            "iam:ListAttachedRolePolicies",
            "AccessDeniedException",
            "iam:ListAttachedRolePolicies on resource: role nodes",
        ),
        (
            "iam:CreateServiceLinkedRole",
            "InvalidRequestException",
            "Failed to create service linked role: AWSServiceRoleForAmazonEKSNodegroup due to missing permissions for "
            "'iam:CreateServiceLinkedRole'",
        ),
        ("ec2:DescribeSubnets", "InvalidRequestException", "You are not authorized to perform ec2:DescribeSubnets."),
        (
            "ec2:RunInstances",
            "InvalidRequestException",
            "You are not authorized to launch instances with this launch template.",
        ),
    ],
)
def test_create_nodegroup_needs_each_permission(cluster_account: Account, missing: str, code: str, words: str) -> None:
    eks = eks_client(cluster_account, *(statement for action, statement in NODEGROUP.items() if action != missing))
    template = {"id": create_launch_template(cluster_account)}
    with refused(code, words):
        eks.create_nodegroup(**nodegroup_parameters(cluster_account, launchTemplate=template))
    assert [
        action for action, used in cluster_account.sandbox.permissions("*:user/maker").items() if used["denied"]
    ] == [missing]
    assert cluster_account.eks.list_nodegroups(clusterName="one")["nodegroups"] == []


def test_create_nodegroup_needs_no_other_permission(cluster_account: Account) -> None:
    eks = eks_client(cluster_account, *NODEGROUP.values())
    [subnet], template = cluster_account.subnets()[:1], create_launch_template(cluster_account)
    eks.create_nodegroup(**nodegroup_parameters(cluster_account, launchTemplate={"id": template}))
    group = cluster_account.eks.describe_cluster(name="one")["cluster"]["resourcesVpcConfig"]["clusterSecurityGroupId"]
    assert allowed_permissions(cluster_account) == {
        "eks:CreateNodegroup": [f"{EKS}cluster/one"],
        "ec2:DescribeSubnets": ["*"],
        "ec2:RunInstances": sorted(
            [
                *(f"{EC2}{kind}/*" for kind in ("instance", "network-interface", "volume")),
                "arn:aws:ec2:eu-west-1::image/*",
                f"{EC2}launch-template/{template}",
                f"{EC2}security-group/{group}",
                f"{EC2}subnet/{subnet}",
            ]
        ),
        "iam:CreateServiceLinkedRole": [NODEGROUP_ROLE],
        # IAM is asked for the service-linked role before it is there, and has no path.
        "iam:GetRole": [f"arn:aws:iam::{ACCOUNT}:role/AWSServiceRoleForAmazonEKSNodegroup", NODES],
        "iam:ListAttachedRolePolicies": [NODES],
        "iam:PassRole": [NODES],
    }
    assert sorted(linked_roles(cluster_account)) == sorted([CLUSTER_ROLE, NODEGROUP_ROLE])


def test_second_nodegroup_needs_fewer_permissions(cluster_account: Account) -> None:
    cluster_account.nodegroup(name="first")
    unneeded = ("iam:CreateServiceLinkedRole", "ec2:RunInstances")
    eks = eks_client(cluster_account, *(statement for action, statement in NODEGROUP.items() if action not in unneeded))
    eks.create_nodegroup(**nodegroup_parameters(cluster_account))
    assert allowed_permissions(cluster_account)["iam:GetRole"] == [NODEGROUP_ROLE, NODES]


def test_node_role_is_passed_to_eks_and_not_to_ec2(cluster_account: Account) -> None:
    to_ec2: dict[str, t.Any] = {"Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}}
    eks = eks_client(cluster_account, *{**NODEGROUP, "iam:PassRole": allow("iam:PassRole", **to_ec2)}.values())
    with refused("AccessDeniedException", f"iam:PassRole on resource: {NODES}", status=403):
        eks.create_nodegroup(**nodegroup_parameters(cluster_account))


def test_run_instances_can_be_limited_to_one_template(cluster_account: Account) -> None:
    mine, data = create_launch_template(cluster_account), {"EbsOptimized": True}
    theirs = cluster_account.ec2.create_launch_template(LaunchTemplateName="theirs", LaunchTemplateData=data)[
        "LaunchTemplate"
    ]
    condition = {"ArnEquals": {"ec2:LaunchTemplate": f"{EC2}launch-template/{mine}"}}
    eks = eks_client(
        cluster_account, *{**NODEGROUP, "ec2:RunInstances": allow("ec2:RunInstances", Condition=condition)}.values()
    )
    words = "You are not authorized to launch instances with this launch template."
    with refused("InvalidRequestException", words, f"launch-template/{theirs['LaunchTemplateId']}"):
        eks.create_nodegroup(**nodegroup_parameters(cluster_account, launchTemplate={"id": theirs["LaunchTemplateId"]}))
    eks.create_nodegroup(**nodegroup_parameters(cluster_account, launchTemplate={"id": mine}))


def test_new_launch_template_version_needs_run_instances(cluster_account: Account) -> None:
    template = create_launch_template(cluster_account)
    cluster_account.nodegroup(nodeRole=NODES, launchTemplate={"id": template, "version": "1"})
    cluster_account.ec2.create_launch_template_version(
        LaunchTemplateId=template, LaunchTemplateData={"EbsOptimized": False}
    )
    update = {"clusterName": "one", "nodegroupName": "nodes", "launchTemplate": {"id": template, "version": "2"}}
    keys = cluster_account.user("poor", allow("eks:UpdateNodegroupVersion"))
    with refused("InvalidRequestException", "You are not authorized to launch instances", status=400):
        cluster_account.sandbox.client("eks", **keys).update_nodegroup_version(**update)
    assert cluster_account.describe_nodegroup()["launchTemplate"]["version"] == "1"
    eks = eks_client(cluster_account, allow("eks:UpdateNodegroupVersion", "ec2:RunInstances"))
    eks.update_nodegroup_version(**update)
    assert wait_for(cluster_account.describe_nodegroup, "ACTIVE")["launchTemplate"]["version"] == "2"


# --- add-ons ----------------------------------------------------------------------------------------------------------


def test_addon_associations_need_their_own_permissions(cluster_account: Account) -> None:
    role, other = cluster_account.pod_role("cni"), cluster_account.pod_role("other")
    name = {"clusterName": "one", "addonName": "vpc-cni"}
    own = {"podIdentityAssociations": [{"serviceAccount": "aws-node", "roleArn": role}]}
    changed = {"podIdentityAssociations": [{"serviceAccount": "aws-node", "roleArn": other}]}
    poor = [allow("eks:CreateAddon", "eks:UpdateAddon", "eks:DeleteAddon"), allow("iam:PassRole", "iam:GetRole")]
    eks = eks_client(cluster_account, *poor)
    with refused(
        "AccessDeniedException", f"eks:CreatePodIdentityAssociation on resource: {EKS}cluster/one", status=403
    ):
        eks.create_addon(**name, **own)
    assert cluster_account.eks.list_addons(clusterName="one")["addons"] == []
    cluster_account.eks.create_addon(**name, **own)
    [arn] = wait_for(lambda: cluster_account.describe_addon("vpc-cni"), "ACTIVE", "DEGRADED")["podIdentityAssociations"]
    refusals: list[tuple[str, dict[str, t.Any], str]] = [
        ("update_addon", changed, "eks:UpdatePodIdentityAssociation"),
        ("update_addon", {"podIdentityAssociations": []}, "eks:DeletePodIdentityAssociation"),
        ("delete_addon", {}, "eks:DeletePodIdentityAssociation"),
    ]
    for operation, parameters, action in refusals:
        with refused("AccessDeniedException", f"{action} on resource: {arn}", status=403):
            getattr(eks, operation)(**name, **parameters)
    [kept] = cluster_account.eks.list_pod_identity_associations(clusterName="one")["associations"]
    assert kept["associationArn"] == arn
    eks.delete_addon(**name, preserve=True)


def test_addon_without_associations_needs_only_addon_actions(cluster_account: Account) -> None:
    eks = eks_client(cluster_account, allow("eks:CreateAddon", "eks:DeleteAddon"))
    eks.create_addon(clusterName="one", addonName="vpc-cni")
    wait_for(lambda: cluster_account.describe_addon("vpc-cni"), "ACTIVE", "DEGRADED")
    eks.delete_addon(clusterName="one", addonName="vpc-cni")
    assert allowed_permissions(cluster_account) == {
        "eks:CreateAddon": [f"{EKS}cluster/one"],
        "eks:DeleteAddon": [f"{EKS}addon/one/vpc-cni/*"],
    }
