# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The EXAMPLES of many plugins in one ansible-playbook: each plugin is a host, with a region of its own."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import re
import typing as t

import boto3
import yaml
from support.examples import examples_of
from support.existing_cluster import ROLE_PREFIX
from support.existing_cluster import ROLES
from support.iam_roles import NODE_POLICIES
from support.iam_roles import make_role
from support.playbooks import Playbooks
from support.playbooks import Run
from support.sandbox_process import SandboxProcess

#: What the line "# Needs:" says of those that need a cluster; the example of eks_cluster makes it.
NEEDS_THE_CLUSTER = 'the EKS cluster "example"'
#: Where the examples without that line run; some name this region in an ARN.
HOME = "eu-west-1"
#: How many examples run at the same time: a module that waits for EKS leaves the processor to another.
FORKS = 3
#: All examples name ARNs of one account, so what keeps them apart is the region that each runs in. The task that
#: includes them is one more than they have.
PLAY = {
    "name": "EXAMPLES",
    "hosts": "all",
    "connection": "local",
    "gather_facts": False,
    # Each host runs to its end whatever happens to the others.
    "strategy": "ansible.builtin.host_pinned",
    "environment": {"AWS_REGION": "{{ own_region }}", "AWS_DEFAULT_REGION": "{{ own_region }}"},
    "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
    "tasks": [{"name": "Include", "ansible.builtin.include_tasks": "{{ inventory_hostname }}.yml"}],
}


@dataclasses.dataclass(frozen=True)
class Example:
    """The EXAMPLES of one plugin."""

    path: pathlib.Path

    @property
    def name(self) -> str:
        return self.path.stem

    @functools.cached_property
    def text(self) -> str:
        return examples_of(self.path)

    @property
    def tasks(self) -> list[dict[str, t.Any]]:
        tasks: list[dict[str, t.Any]] = yaml.safe_load(self.text)
        return tasks

    @property
    def needs_account(self) -> bool:
        return "# Needs:" in self.text

    @property
    def needs_cluster(self) -> bool:
        return NEEDS_THE_CLUSTER in self.text


@dataclasses.dataclass(frozen=True)
class Batch:
    """A finished run of many examples."""

    run: Run

    def counts(self, example: Example) -> dict[str, int]:
        """How many of its tasks ran, and how many failed or found no host."""
        ok, *bad = (self.run.count(what, example.name) for what in ("ok", "failed", "unreachable"))
        return {"ok": ok - 1, "bad": sum(bad)}

    def about(self, example: Example) -> str:
        """What Ansible has said about one example."""
        parts = re.split(r"^(?=TASK \[|PLAY RECAP)", self.run.output, flags=re.M)
        return "".join(part for part in parts if f"[{example.name}" in part) or self.run.output


def run_examples(
    examples: t.Sequence[Example], sandbox: SandboxProcess, playbook: Playbooks, folder: pathlib.Path
) -> Batch:
    """Make what the examples need in an account that is empty otherwise, and run them all."""
    hosts = prepare(sandbox, examples)
    for example in examples:
        (folder / f"{example.name}.yml").write_text(example.text, encoding="utf-8")
    inventory, story = folder / "hosts.yml", folder / "examples.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts}}), encoding="utf-8")
    story.write_text(yaml.safe_dump([PLAY]), encoding="utf-8")
    return Batch(playbook(str(story), "--diff", "--forks", str(FORKS), inventory=str(inventory)))


def prepare(sandbox: SandboxProcess, examples: t.Sequence[Example]) -> dict[str, dict[str, t.Any]]:
    """The hosts with their variables; each example that needs the cluster has it in a region of its own."""
    sandbox.reset()
    for role, service in ROLES.items():
        make_role(sandbox.client("iam"), role, service, *(NODE_POLICIES if role == "eks-node" else ()))
    others = (region for region in boto3.session.Session().get_available_regions("eks") if region != HOME)
    regions = {example: next(others) if example.needs_cluster else HOME for example in examples}
    hosts: dict[str, dict[str, t.Any]] = {example.name: {"own_region": where} for example, where in regions.items()}
    for example, region in regions.items():
        if example.needs_account:
            hosts[example.name]["subnet_ids"] = make_network(sandbox, region)
    clusters = {regions[example]: hosts[example.name]["subnet_ids"] for example in regions if example.needs_cluster}
    make_clusters(sandbox, clusters)
    return hosts


def make_network(sandbox: SandboxProcess, region: str) -> list[str]:
    """The ids of two subnets in different zones."""
    ec2 = sandbox.client("ec2", region_name=region)
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.7.{number}.0/24", AvailabilityZone=f"{region}{zone}")["Subnet"]
        for number, zone in enumerate("ab")
    ]
    return [subnet["SubnetId"] for subnet in subnets]


def make_clusters(sandbox: SandboxProcess, places: t.Mapping[str, list[str]]) -> None:
    """The cluster "example" with the node group "nodes" in each region with its subnets, all at the same time."""
    quickly = {"Delay": 1}
    group = {"clusterName": "example", "nodegroupName": "nodes"}
    scaling = {"minSize": 1, "maxSize": 2, "desiredSize": 2}
    clients = {region: sandbox.client("eks", region_name=region) for region in places}
    for region, subnet_ids in places.items():
        role, network = f"{ROLE_PREFIX}eks-cluster", {"subnetIds": subnet_ids}
        clients[region].create_cluster(name="example", roleArn=role, resourcesVpcConfig=network)
    for region, subnet_ids in places.items():
        clients[region].get_waiter("cluster_active").wait(name="example", WaiterConfig=quickly)
        role = f"{ROLE_PREFIX}eks-node"
        clients[region].create_nodegroup(**group, nodeRole=role, subnets=subnet_ids, scalingConfig=scaling)
    for region in places:
        clients[region].get_waiter("nodegroup_active").wait(**group, WaiterConfig=quickly)
