# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Twenty clusters of three regions and two accounts, found by the inventory plugin and worked on in one run."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
import yaml
from support.iam_roles import make_role
from support.playbooks import Playbooks
from support.playbooks import Run
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep

HOME, OTHER = "111122223333", "444455556666"
#: How many clusters each account has in each region.
PLACES = {(HOME, "eu-west-1"): 7, (HOME, "us-east-1"): 6, (OTHER, "eu-central-1"): 7}
#: Its role is to have a policy that does not exist.
BROKEN = "us-east-1-3"
DEPLOYMENT = f"arn:aws:iam::{OTHER}:role/deployment"
INVENTORY = {
    "plugin": "podidentity.eks.aws_eks",
    "accounts": [
        {"regions": ["eu-west-1", "us-east-1"]},
        {"assume_role_arn": DEPLOYMENT, "regions": ["eu-central-1"]},
    ],
    "keyed_groups": [{"key": "eks_region", "prefix": "in"}],
    "groups": {"unlucky": f"inventory_hostname == '{BROKEN}'"},
}
GROUP_VARS: dict[str, t.Any] = {
    "eks_clusters": {
        "fleet_role": {"name": "fleet-{{ inventory_hostname }}"},
        "podidentity_workloads": [{"namespace": "default", "service_account": "app", "role": "{{ fleet_role }}"}],
        # Kubernetes of twenty clusters is another test's matter.
        "workload_phases": ["iam_role", "association"],
    },
    "unlucky": {"fleet_role": {"name": "fleet-broken", "managed_policies": ["NoSuchPolicy"]}},
}


def clusters() -> list[tuple[str, str, str]]:
    """Account, region and name of each."""
    return [
        (account, region, f"{region}-{number}")
        for (account, region), count in PLACES.items()
        for number in range(count)
    ]


class Fleet:
    """What stands in the accounts."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self.sandbox = sandbox
        self.keys = {HOME: sandbox.profile("default"), OTHER: sandbox.add_account(OTHER)[OTHER]}
        for account, keys in self.keys.items():
            make_role(sandbox.client("iam", **keys), "eks-cluster", "eks.amazonaws.com")
            for place in (region for owner, region in PLACES if owner == account):
                self.make_clusters(account, place)
        for account, region, name in clusters():
            waiter = self.eks(account, region).get_waiter("cluster_active")
            waiter.wait(name=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        self.make_deployment_role()

    def eks(self, account: str, region: str) -> t.Any:
        return self.sandbox.client("eks", **self.keys[account], region_name=region)

    def make_clusters(self, account: str, region: str) -> None:
        ec2 = self.sandbox.client("ec2", **self.keys[account], region_name=region)
        vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.7.{number}.0/24", AvailabilityZone=f"{region}{zone}")["Subnet"]
            for number, zone in enumerate("ab")
        ]
        for number in range(PLACES[account, region]):
            self.eks(account, region).create_cluster(
                name=f"{region}-{number}",
                roleArn=f"arn:aws:iam::{account}:role/eks-cluster",
                resourcesVpcConfig={"subnetIds": [subnet["SubnetId"] for subnet in subnets]},
            )

    def make_deployment_role(self) -> None:
        """The role of the other account that this one's user may assume."""
        statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{HOME}:root"}, "Action": "sts:AssumeRole"}
        iam = self.sandbox.client("iam", **self.keys[OTHER])
        trust = {"Version": "2012-10-17", "Statement": [statement]}
        iam.create_role(RoleName="deployment", AssumeRolePolicyDocument=json.dumps(trust))
        iam.attach_role_policy(RoleName="deployment", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")

    def associated(self) -> dict[str, list[str]]:
        """The roles of each cluster's associations."""
        found = {}
        for account, region, name in clusters():
            eks = self.eks(account, region)
            listed = eks.list_pod_identity_associations(clusterName=name)["associations"]
            ids = [{"clusterName": name, "associationId": item["associationId"]} for item in listed]
            described = (eks.describe_pod_identity_association(**one)["association"] for one in ids)
            found[name] = [one["roleArn"] for one in described]
        return found


@pytest.fixture(scope="module")
def fleet(sandbox: SandboxProcess) -> Fleet:
    return Fleet(sandbox)


@pytest.fixture
def inventory(tmp_path: pathlib.Path) -> str:
    (tmp_path / "group_vars").mkdir()
    for group, variables in GROUP_VARS.items():
        (tmp_path / "group_vars" / f"{group}.yml").write_text(yaml.safe_dump(variables), encoding="utf-8")
    (tmp_path / "aws_eks.yml").write_text(yaml.safe_dump(INVENTORY), encoding="utf-8")
    return str(tmp_path)


def failed(run: Run) -> set[str]:
    return {name for _account, _region, name in clusters() if run.count("failed", name)}


def test_failed_cluster_is_reported_and_stops_no_other(playbook: Playbooks, fleet: Fleet, inventory: str) -> None:
    run = playbook("playbooks/workload.yml", "--forks", "10", inventory=inventory)
    assert run.code != 0
    assert failed(run) == {BROKEN}
    assert "NoSuchPolicy" in run.output[run.output.index("Not everything could be done for the workloads") :]
    assert fleet.associated() == {
        name: [] if name == BROKEN else [f"arn:aws:iam::{account}:role/fleet-{name}"]
        for account, _region, name in clusters()
    }


def test_limited_serial_run_changes_nothing_and_hides_secrets(
    playbook: Playbooks, fleet: Fleet, inventory: str
) -> None:
    fleet.sandbox.clear_calls()
    run = playbook(
        "playbooks/workload.yml", "--limit", "in_eu_central_1[0:3]", "-vvv", inventory=inventory, podidentity_serial=2
    )
    assert run.code == 0
    assert run.output.count("PLAY [What each workload may do in AWS") == 2
    hosts = [f"eu-central-1-{number}" for number in range(4)]
    assert [run.count("changed", host) for host in hosts] == [0, 0, 0, 0]
    assert all(name not in run.output.split("PLAY RECAP")[1] for name in ("eu-central-1-4", "eu-west-1-0"))
    callers = {call["caller"] for call in fleet.sandbox.call_log(operation="eks:ListPodIdentityAssociations")}
    assert callers == {f"arn:aws:sts::{OTHER}:assumed-role/deployment/podidentity-eks"}
    # The inventory asks once, and each of the tasks that talk to AWS once more.
    assert fleet.sandbox.calls()["sts:AssumeRole"] == 1 + 4 * len(hosts)
    assert fleet.keys[HOME]["aws_secret_access_key"] not in run.output
    assert "SecretAccessKey" not in run.output
