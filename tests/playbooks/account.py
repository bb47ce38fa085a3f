# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An account in which somebody else has made a cluster by other means than ours, and what is written in it."""

from __future__ import annotations

import json

from sandbox_process import SandboxProcess

ROLE_PREFIX = "arn:aws:iam::111122223333:role/"
#: The roles that are there, and which service each one trusts.
ROLES = {
    "eks-cluster": "eks.amazonaws.com",
    "eks-node": "ec2.amazonaws.com",
    **dict.fromkeys(("app", "app-v2", "app-target"), "pods.eks.amazonaws.com"),
}
NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryReadOnly")
#: Operations that only look; everything else in the call log is a write.
LOOKS = ("Describe", "List", "Get", "Head", "AssumeRoleForPodIdentity", "Simulate")


def make_role(sandbox: SandboxProcess, name: str, service: str) -> None:
    """An IAM role that trusts a service without conditions."""
    actions = ["sts:AssumeRole", "sts:TagSession"]
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": actions}
    sandbox.client("iam").create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )


def make_account(sandbox: SandboxProcess) -> list[str]:
    """The roles and a network; returns the ids of two subnets in different zones."""
    for role, service in ROLES.items():
        make_role(sandbox, role, service)
    for policy in NODE_POLICIES:
        sandbox.client("iam").attach_role_policy(RoleName="eks-node", PolicyArn=f"arn:aws:iam::aws:policy/{policy}")
    ec2 = sandbox.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.7.{number}.0/24", AvailabilityZone=f"eu-west-1{zone}")["Subnet"]
        for number, zone in enumerate("ab")
    ]
    return [subnet["SubnetId"] for subnet in subnets]


def make_cluster(sandbox: SandboxProcess, subnet_ids: list[str]) -> None:
    """The cluster "example" with the node group "nodes"."""
    eks, quickly = sandbox.client("eks"), {"Delay": 1}
    network = {"subnetIds": subnet_ids}
    eks.create_cluster(name="example", roleArn=f"{ROLE_PREFIX}eks-cluster", resourcesVpcConfig=network)
    eks.get_waiter("cluster_active").wait(name="example", WaiterConfig=quickly)
    nodes = {"clusterName": "example", "nodegroupName": "nodes"}
    eks.create_nodegroup(**nodes, nodeRole=f"{ROLE_PREFIX}eks-node", subnets=subnet_ids)
    eks.get_waiter("nodegroup_active").wait(**nodes, WaiterConfig=quickly)


def writes(sandbox: SandboxProcess) -> list[str]:
    """The operations of the play since the log was cleared that could change something; pods and nodes are others."""
    return [
        call["operation"]
        for call in sandbox.call_log()
        if ":user/" in call["caller"] and not call["operation"].split(":", 1)[1].startswith(LOOKS)
    ]
