# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What somebody else made is used as declared, but never becomes ours: no mark of ours is put on it, and it stays.

Told in order on one sandbox: the cluster that the inventory declares is somebody else's, then there is one of ours.
"""

from __future__ import annotations

import json
import pathlib
import typing as t

import kubernetes
import pytest
from support.existing_cluster import writes
from support.iam_roles import NODE_POLICIES
from support.iam_roles import POD_ACTIONS
from support.iam_roles import make_role
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

CLUSTER = "eks-pod-identity-boto3"
MANAGED = "ours"
OWNERSHIP_TAG = "podidentity.eks/cluster"
AGENT = "eks-pod-identity-agent"
ROLES = "arn:aws:iam::111122223333:role/"
UNMANAGED_TAGS = {"team": "theirs"}
#: What they have for the declared service account: the same thing with a role of theirs.
ASSOCIATION = {"clusterName": CLUSTER, "namespace": "default", "serviceAccount": "s3-access-sa"}


class OtherTeam:
    """Somebody else, who works with boto3 and the Python client of Kubernetes."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self.sandbox = sandbox
        self.ec2, self.iam, self.eks = (sandbox.client(service) for service in ("ec2", "iam", "eks"))
        self.make_roles()
        self.vpc_id = self.ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
        self.subnet_ids = [self.subnet(number, zone) for number, zone in enumerate("ab")]

    def make_roles(self) -> None:
        make_role(self.iam, "their-cluster", "eks.amazonaws.com", actions=POD_ACTIONS[:1])
        make_role(self.iam, "their-nodes", "ec2.amazonaws.com", *NODE_POLICIES, actions=POD_ACTIONS[:1])
        make_role(self.iam, "their-app", "pods.eks.amazonaws.com")

    def subnet(self, number: int, zone: str) -> str:
        answer = self.ec2.create_subnet(
            VpcId=self.vpc_id, CidrBlock=f"10.99.{number}.0/24", AvailabilityZone=f"eu-west-1{zone}"
        )
        return str(answer["Subnet"]["SubnetId"])

    def make_cluster(self, name: str, tags: dict[str, str]) -> None:
        network = {"subnetIds": self.subnet_ids}
        self.eks.create_cluster(name=name, roleArn=f"{ROLES}their-cluster", resourcesVpcConfig=network, tags=tags)
        self.eks.get_waiter("cluster_active").wait(name=name, WaiterConfig={"Delay": 1})

    def make_nodegroup(self, cluster: str, name: str, tags: dict[str, str]) -> None:
        names = {"clusterName": cluster, "nodegroupName": name}
        self.eks.create_nodegroup(**names, nodeRole=f"{ROLES}their-nodes", subnets=self.subnet_ids, tags=tags)
        self.eks.get_waiter("nodegroup_active").wait(**names, WaiterConfig={"Delay": 1})

    def make_group(self, name: str) -> str:
        group = self.ec2.create_security_group(GroupName=name, Description="theirs", VpcId=self.vpc_id)
        return str(group["GroupId"])

    def core(self) -> t.Any:
        """The Kubernetes API of their cluster."""
        api = kubernetes.config.new_client_from_config(str(self.sandbox.kubeconfig))
        return kubernetes.client.CoreV1Api(api)

    def marks(self) -> dict[str, t.Any]:
        """Who made it, as each thing says."""
        names = {"clusterName": CLUSTER, "nodegroupName": "theirs"}
        service_account = self.core().read_namespaced_service_account("s3-access-sa", "default")
        group_filter = {"Name": "vpc-id", "Values": [self.vpc_id]}
        groups = self.ec2.describe_security_groups(Filters=[group_filter])["SecurityGroups"]
        return {
            "cluster": self.eks.describe_cluster(name=CLUSTER)["cluster"]["tags"],
            "nodegroups": self.eks.list_nodegroups(clusterName=CLUSTER)["nodegroups"],
            "nodegroup": self.eks.describe_nodegroup(**names)["nodegroup"]["tags"],
            "add-on": self.eks.describe_addon(clusterName=CLUSTER, addonName=AGENT)["addon"]["tags"],
            "association": (self.association()["associationId"], self.association()["tags"]),
            "service account": (service_account.metadata.uid, service_account.metadata.labels),
            "security groups": {group["GroupName"]: group.get("Tags", []) for group in groups},
            "networks": sorted(vpc["VpcId"] for vpc in self.ec2.describe_vpcs()["Vpcs"]),
            "launch templates": self.ec2.describe_launch_templates()["LaunchTemplates"],
        }

    def association(self) -> dict[str, t.Any]:
        """The association of the declared service account."""
        [summary] = self.eks.list_pod_identity_associations(**ASSOCIATION)["associations"]
        answer = self.eks.describe_pod_identity_association(clusterName=CLUSTER, associationId=summary["associationId"])
        association: dict[str, t.Any] = answer["association"]
        return association


@pytest.fixture(scope="module")
def other_team(sandbox: SandboxProcess) -> OtherTeam:
    """All that the inventory declares exists already, made by another team in a network of their own."""
    team = OtherTeam(sandbox)
    team.make_cluster(CLUSTER, UNMANAGED_TAGS)
    team.make_group(f"{CLUSTER}-node-ports")
    team.make_nodegroup(CLUSTER, "theirs", UNMANAGED_TAGS)
    team.eks.create_addon(clusterName=CLUSTER, addonName=AGENT, addonVersion="v1.0.0-eksbuild.1", tags=UNMANAGED_TAGS)
    team.eks.get_waiter("addon_active").wait(clusterName=CLUSTER, addonName=AGENT, WaiterConfig={"Delay": 1})
    team.eks.create_pod_identity_association(**ASSOCIATION, roleArn=f"{ROLES}their-app", tags=UNMANAGED_TAGS)
    metadata = {"name": "s3-access-sa", "labels": UNMANAGED_TAGS}
    team.core().create_namespaced_service_account("default", {"metadata": metadata})
    return team


@pytest.fixture(scope="module")
def before(other_team: OtherTeam) -> dict[str, t.Any]:
    """The marks as they were before the first run."""
    return other_team.marks()


def test_updates_unmanaged_resources_without_adopting_them(
    playbook: Playbooks, other_team: OtherTeam, before: dict[str, t.Any]
) -> None:
    # test_story.py has the proof.
    run = playbook("playbooks/site.yml", "--skip-tags", "verify")
    assert run.code == 0
    assert f"Cluster {CLUSTER} exists without the tag" in run.output
    assert other_team.association()["roleArn"] == f"{ROLES}EKS-S3-Access-Role"
    addon = other_team.eks.describe_addon(clusterName=CLUSTER, addonName=AGENT)["addon"]
    assert addon["addonVersion"] != "v1.0.0-eksbuild.1"
    assert other_team.marks() == before


def test_teardown_keeps_unmanaged_resources_and_reports_them(
    playbook: Playbooks, other_team: OtherTeam, before: dict[str, t.Any]
) -> None:
    run = playbook("playbooks/teardown.yml")
    assert run.code == 0
    assert other_team.marks() == before
    words = " ".join(run.output.split())
    assert f"associations of default/s3-access-sa in cluster {CLUSTER} were kept" in words
    assert f"Service accounts default/s3-access-sa of cluster {CLUSTER} were kept" in words
    assert f"Add-on {AGENT} of cluster {CLUSTER} was left" in words
    assert "EKS-S3-Access-Role" not in [role["RoleName"] for role in other_team.iam.list_roles()["Roles"]], "ours"


def test_refuses_names_of_unmanaged_resources_before_writing(
    playbook: Playbooks, sandbox: SandboxProcess, other_team: OtherTeam
) -> None:
    group = other_team.make_group(f"{MANAGED}-node-ports")
    template = f"{MANAGED}-managed-nodes"
    data = {"InstanceType": "m5.large"}
    other_team.ec2.create_launch_template(LaunchTemplateName=template, LaunchTemplateData=data)
    sandbox.clear_calls()
    run = playbook("playbooks/site.yml", eks_cluster_name=MANAGED, cluster_subnet_ids=other_team.subnet_ids)
    assert run.code != 0
    words = " ".join(run.output.split())
    assert (
        f"Launch template {template} and Security group {MANAGED}-node-ports ({group}) exist without the tag" in words
    )
    assert writes(sandbox) == []


REMOVE = {
    "name": "The role cluster alone",
    "hosts": "eks_clusters",
    "gather_facts": False,
    "roles": [{"role": "podidentity.eks.cluster", "cluster_state": "absent", "cluster_name": MANAGED}],
}


def test_managed_cluster_stays_while_unmanaged_nodegroups_exist(
    playbook: Playbooks, other_team: OtherTeam, tmp_path: pathlib.Path
) -> None:
    other_team.make_cluster(MANAGED, {OWNERSHIP_TAG: MANAGED})
    other_team.make_nodegroup(MANAGED, "not-declared-any-more", {OWNERSHIP_TAG: MANAGED})
    other_team.make_nodegroup(MANAGED, "theirs", UNMANAGED_TAGS)
    story = tmp_path / "remove.yml"
    story.write_text(json.dumps([REMOVE]), encoding="utf-8")
    roles: dict[str, t.Any] = {
        "cluster_role_arn": f"{ROLES}their-cluster",
        "cluster_node_role_arn": f"{ROLES}their-nodes",
    }
    run = playbook(str(story), **roles)
    assert run.code != 0
    assert "its node groups theirs do not carry the tag" in " ".join(run.output.split())
    assert other_team.eks.list_nodegroups(clusterName=MANAGED)["nodegroups"] == ["not-declared-any-more", "theirs"]

    names = {"clusterName": MANAGED, "nodegroupName": "theirs"}
    other_team.eks.delete_nodegroup(**names)
    other_team.eks.get_waiter("nodegroup_deleted").wait(**names, WaiterConfig={"Delay": 1})
    assert playbook(str(story), **roles).code == 0
    assert other_team.eks.list_clusters()["clusters"] == [CLUSTER]
    groups = other_team.ec2.describe_security_groups(
        Filters=[{"Name": "group-name", "Values": [f"{MANAGED}-node-ports"]}]
    )
    assert len(groups["SecurityGroups"]) == 1, "theirs"
