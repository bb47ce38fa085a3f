# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The EXAMPLES of every plugin are whole stories, and they work: each is run as it stands, in an account of its own."""

from __future__ import annotations

import ast
import json
import pathlib
import typing as t

import pytest
import yaml
from environment import ROOT
from playbooks.conftest import Playbooks
from sandbox_process import SandboxProcess

PLUGINS = sorted(path for kind in ("modules", "lookup", "filter") for path in (ROOT / "plugins" / kind).glob("*.py"))
#: What examples name as being there, and which service each role trusts.
ROLES = {
    "eks-cluster": "eks.amazonaws.com",
    "eks-node": "ec2.amazonaws.com",
    **dict.fromkeys(("app", "app-v2", "app-target"), "pods.eks.amazonaws.com"),
}
NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryReadOnly")
#: The example that makes the cluster which the others need.
MAKES_THE_CLUSTER = "eks_cluster"
HEADER = {
    "hosts": "localhost",
    "connection": "local",
    "gather_facts": False,
    "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
}


def examples_of(path: pathlib.Path) -> str:
    """The text of a plugin's EXAMPLES, which for filters stands in a file beside it where there is one."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["EXAMPLES"]:
            return str(ast.literal_eval(node.value))
    return ""


def make_account(sandbox: SandboxProcess) -> list[str]:
    """The roles that examples name; returns two subnets in different zones."""
    iam, ec2 = sandbox.client("iam"), sandbox.client("ec2")
    for role, service in ROLES.items():
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
        }
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps({"Statement": [statement]}))
    for policy in NODE_POLICIES:
        iam.attach_role_policy(RoleName="eks-node", PolicyArn=f"arn:aws:iam::aws:policy/{policy}")
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    return [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.7.{number}.0/24", AvailabilityZone=f"eu-west-1{zone}")["Subnet"][
            "SubnetId"
        ]
        for number, zone in enumerate("ab")
    ]


def make_cluster(sandbox: SandboxProcess, subnet_ids: list[str]) -> None:
    """The cluster "example" with a node group."""
    eks = sandbox.client("eks")
    role = "arn:aws:iam::111122223333:role/"
    eks.create_cluster(name="example", roleArn=f"{role}eks-cluster", resourcesVpcConfig={"subnetIds": subnet_ids})
    eks.get_waiter("cluster_active").wait(name="example", WaiterConfig={"Delay": 1})
    eks.create_nodegroup(clusterName="example", nodegroupName="nodes", nodeRole=f"{role}eks-node", subnets=subnet_ids)
    eks.get_waiter("nodegroup_active").wait(clusterName="example", nodegroupName="nodes", WaiterConfig={"Delay": 1})


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.stem)
def test_examples_run_as_they_stand(
    path: pathlib.Path, sandbox: SandboxProcess, playbook: Playbooks, tmp_path: pathlib.Path
) -> None:
    text = examples_of(path)
    tasks: list[dict[str, t.Any]] = yaml.safe_load(text)
    assert tasks, "a plugin needs examples"
    variables: dict[str, t.Any] = {}
    if "# Needs:" in text:
        sandbox.reset()
        variables["subnet_ids"] = make_account(sandbox)
        if path.stem != MAKES_THE_CLUSTER:
            make_cluster(sandbox, variables["subnet_ids"])
    story = tmp_path / "examples.yml"
    story.write_text(yaml.safe_dump([{**HEADER, "name": path.stem, "tasks": tasks}]), encoding="utf-8")
    run = playbook(str(story), "--diff", inventory="localhost,", **variables)
    assert run.code == 0
    assert run.count("ok", "localhost") == len(tasks)
