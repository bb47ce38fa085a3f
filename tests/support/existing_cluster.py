# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An account in which somebody else has made a cluster by other means than ours, and what is written in it."""

from __future__ import annotations

import typing as t

from support.environment import ROOT
from support.iam_roles import NODE_POLICIES
from support.iam_roles import make_role
from support.sandbox_process import SandboxProcess

ROLE_PREFIX = "arn:aws:iam::111122223333:role/"
#: The roles that are there, and which service each one trusts.
ROLES = {
    "eks-cluster": "eks.amazonaws.com",
    "eks-node": "ec2.amazonaws.com",
    **dict.fromkeys(("app", "app-v2", "app-target"), "pods.eks.amazonaws.com"),
}
#: Operations that only look; everything else in the call log is a write.
READ_PREFIXES = ("Describe", "List", "Get", "Head", "AssumeRoleForPodIdentity", "Simulate")
#: A workload that reads S3.
WORKLOAD: dict[str, t.Any] = {
    "namespace": "default",
    "service_account": "s3-access-sa",
    "role": {"name": "EKS-S3-Access-Role", "managed_policies": ["AmazonS3ReadOnlyAccess"]},
    "prove": {"allow": [{"service": "s3", "operation": "list_buckets"}]},
}
#: The role cluster alone.
CLUSTER_PLAY: dict[str, t.Any] = {
    "name": "The role cluster alone",
    "hosts": "eks_clusters",
    "gather_facts": False,
    "module_defaults": {"group/podidentity.eks.aws": {"region": "{{ eks_region }}"}},
    "roles": ["podidentity.eks.cluster"],
}


def make_account(sandbox: SandboxProcess) -> list[str]:
    """The roles and a network; returns the ids of two subnets in different zones."""
    for role, service in ROLES.items():
        make_role(sandbox.client("iam"), role, service, *(NODE_POLICIES if role == "eks-node" else ()))
    return make_network(sandbox, "eu-west-1")


def make_network(sandbox: SandboxProcess, region: str) -> list[str]:
    """The ids of two subnets in different zones."""
    ec2 = sandbox.client("ec2", region_name=region)
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.7.{number}.0/24", AvailabilityZone=f"{region}{zone}")["Subnet"]
        for number, zone in enumerate("ab")
    ]
    return [subnet["SubnetId"] for subnet in subnets]


def make_cluster(sandbox: SandboxProcess, subnet_ids: list[str], nodes: int = 2) -> None:
    """The cluster "example" with the node group "nodes"."""
    eks, quickly = sandbox.client("eks"), {"Delay": 1}
    network = {"subnetIds": subnet_ids}
    eks.create_cluster(name="example", roleArn=f"{ROLE_PREFIX}eks-cluster", resourcesVpcConfig=network)
    eks.get_waiter("cluster_active").wait(name="example", WaiterConfig=quickly)
    group = {"clusterName": "example", "nodegroupName": "nodes"}
    scaling = {"minSize": 1, "maxSize": nodes, "desiredSize": nodes}
    eks.create_nodegroup(**group, nodeRole=f"{ROLE_PREFIX}eks-node", subnets=subnet_ids, scalingConfig=scaling)
    eks.get_waiter("nodegroup_active").wait(**group, WaiterConfig=quickly)


def play_of(role: str) -> list[dict[str, t.Any]]:
    """A playbook with one of our roles alone, on the cluster "example", connected as ours are."""
    connection = {
        "host": "{{ podidentity_cluster.endpoint }}",
        "ca_cert": "{{ podidentity_ca_file }}",
        "api_key": "{{ lookup('podidentity.eks.eks_token', 'example', region='eu-west-1') }}",
        "validate_certs": True,
    }
    play = {
        "name": f"Role {role}",
        "hosts": "example",
        "connection": "local",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}", "eks_region": "eu-west-1"},
        "module_defaults": {
            "group/podidentity.eks.aws": {"region": "eu-west-1"},
            "group/podidentity.eks.k8s": connection,
        },
        "tasks": [
            {"name": "Connect", "ansible.builtin.import_tasks": str(ROOT / "playbooks" / "tasks" / "connect.yml")},
            {"name": role, "ansible.builtin.import_role": {"name": f"podidentity.eks.{role}"}},
        ],
    }
    return [play]


def writes(sandbox: SandboxProcess) -> list[str]:
    """The operations of the play since the log was cleared that could change something; pods and nodes are others."""
    return [
        call["operation"]
        for call in sandbox.call_log()
        if ":user/" in call["caller"] and not call["operation"].split(":", 1)[1].startswith(READ_PREFIXES)
    ]
