# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The EXAMPLES of many plugins in one ansible-playbook: each plugin is a host, with a region of its own."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import pathlib
import re
import typing as t

import boto3
import yaml
from support.examples import examples_of
from support.existing_cluster import ROLE_PREFIX
from support.existing_cluster import ROLES
from support.existing_cluster import make_network
from support.iam_roles import NODE_POLICIES
from support.iam_roles import make_role
from support.playbooks import RECAP
from support.playbooks import Playbooks
from support.playbooks import Run
from support.sandbox_process import SandboxProcess

#: Where the examples that need no cluster run; the key that eks_cluster's example names is there.
HOME = "eu-west-1"
#: How many examples run at the same time: a module that waits for EKS leaves the processor to another.
FORKS = 3
#: All examples name ARNs of one account, so what keeps them apart is the region that each runs in.
PLAY = {
    "name": "EXAMPLES",
    "hosts": "all",
    "connection": "local",
    "gather_facts": False,
    # Each host runs to its end whatever happens to the others.
    "strategy": "ansible.builtin.host_pinned",
    "environment": {"AWS_REGION": "{{ own_region }}", "AWS_DEFAULT_REGION": "{{ own_region }}"},
    "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}", "ansible_pipelining": True},
    "tasks": [{"name": "Include", "ansible.builtin.include_tasks": "{{ inventory_hostname }}.yml"}],
}
#: The task of the play itself, which includes those of the example.
OK_OF_THE_PLAY = 1


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
    def needs(self) -> str:
        """What must be there before, as the comment at its top says; empty if that is nothing."""
        comment = itertools.takewhile(lambda line: line.startswith("# "), self.text.strip().splitlines())
        sentence = " ".join(line.removeprefix("# ") for line in comment)
        return sentence if sentence.startswith("Needs:") else ""

    @property
    def needs_cluster(self) -> bool:
        return 'the EKS cluster "example"' in self.needs

    @property
    def needs_nodes(self) -> bool:
        return "node group" in self.needs


@dataclasses.dataclass(frozen=True)
class Batch:
    """A finished run of many examples."""

    run: Run

    def counts(self, example: Example) -> dict[str, int]:
        """How many of its tasks ran, and how many failed."""
        counts = {what: self.run.count(what, example.name) for what in ("ok", "failed", "unreachable")}
        return {**counts, "ok": counts["ok"] - OK_OF_THE_PLAY}

    @property
    def has_failures(self) -> bool:
        """Whether a task of any example has failed."""
        return any(int(row["failed"]) or int(row["unreachable"]) for row in RECAP.finditer(self.run.output))

    def about(self, example: Example) -> str:
        """What Ansible has said about one example."""
        parts = re.split(r"^(?=TASK \[|PLAY RECAP)", self.run.output, flags=re.M)
        return "".join(part for part in parts if f"[{example.name}]" in part) or self.run.output


def run_examples(
    examples: t.Sequence[Example], sandbox: SandboxProcess, playbook: Playbooks, folder: pathlib.Path
) -> Batch:
    """Make what the examples need in an account that is empty otherwise, and run them all."""
    hosts = prepare(sandbox, examples)
    for example in examples:
        (folder / f"{example.name}.yml").write_text(example.text, encoding="utf-8")
    inventory, play = folder / "hosts.yml", folder / "play.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts}}), encoding="utf-8")
    play.write_text(yaml.safe_dump([PLAY]), encoding="utf-8")
    return Batch(playbook(str(play), "--diff", "--forks", str(FORKS), inventory=str(inventory)))


def prepare(sandbox: SandboxProcess, examples: t.Sequence[Example]) -> dict[str, dict[str, t.Any]]:
    """The hosts with their variables; each example that needs the cluster has it in a region of its own."""
    sandbox.reset()
    iam = sandbox.client("iam")
    for role, service in ROLES.items():
        make_role(iam, role, service, *(NODE_POLICIES if role == "eks-node" else ()))
    others = (region for region in boto3.session.Session().get_available_regions("eks") if region != HOME)
    regions = {example: next(others) if example.needs_cluster else HOME for example in examples}
    subnet_ids = {example: make_network(sandbox, regions[example]) for example in examples if example.needs}
    make_clusters(sandbox, regions, subnet_ids)
    return {
        example.name: {"own_region": region, "subnet_ids": subnet_ids.get(example, [])}
        for example, region in regions.items()
    }


def make_clusters(
    sandbox: SandboxProcess, regions: t.Mapping[Example, str], subnet_ids: t.Mapping[Example, list[str]]
) -> None:
    """The cluster "example" and its node group "nodes" for the examples that need them, all at the same time."""
    names = {"clusterName": "example", "nodegroupName": "nodes"}
    scaling = {"minSize": 1, "maxSize": 2, "desiredSize": 2}
    quickly = {"Delay": 1}
    clients = {
        example: sandbox.client("eks", region_name=region)
        for example, region in regions.items()
        if example.needs_cluster
    }
    with_nodes = [example for example in clients if example.needs_nodes]
    for example, eks in clients.items():
        role, network = f"{ROLE_PREFIX}eks-cluster", {"subnetIds": subnet_ids[example]}
        eks.create_cluster(name="example", roleArn=role, resourcesVpcConfig=network)
    for eks in clients.values():
        eks.get_waiter("cluster_active").wait(name="example", WaiterConfig=quickly)
    for example in with_nodes:
        role, subnets = f"{ROLE_PREFIX}eks-node", subnet_ids[example]
        clients[example].create_nodegroup(**names, nodeRole=role, subnets=subnets, scalingConfig=scaling)
    for example in with_nodes:
        clients[example].get_waiter("nodegroup_active").wait(**names, WaiterConfig=quickly)
