# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role `cluster` through the years of one cluster: an older network, every option, upgrade, protection, removal.

Told in order on one sandbox; each test starts from where the one before it left the account.
"""

from __future__ import annotations

import json
import typing as t

import pytest
from support.existing_cluster import CLUSTER_PLAY
from support.existing_cluster import writes
from support.iam_roles import make_role
from support.operators import EVERYTHING
from support.playbooks import Playbooks
from support.playbooks import Run
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep

CLUSTER = "eks-pod-identity-boto3"
OWN_TAG = "podidentity.eks/cluster"
ACCOUNT = "arn:aws:iam::111122223333"
KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OLD_GROUP = {"name": "general", "instance_types": ["m5.large"], "scaling": {"min_size": 1, "max_size": 2}}
#: As version 0.1.0 made it: public subnets only.
OLDER: dict[str, t.Any] = {"cluster_nat": "none", "cluster_version": "1.34", "cluster_nodegroups": [OLD_GROUP]}
WORKERS = {
    "name": "workers",
    "instance_types": ["m5.large", "m5a.large"],
    "ami_type": "AL2023_x86_64_STANDARD",
    "capacity_type": "SPOT",
    "zones": ["eu-west-1b"],
    "scaling": {"min_size": 1, "desired_size": 2, "max_size": 3},
    "update_config": {"max_unavailable_percentage": 50, "update_strategy": "MINIMAL"},
    "repair_config": {"enabled": True, "max_parallel_nodes_repaired_count": 1},
    "disk_size": 50,
    "disk_type": "gp3",
    "disk_iops": 4000,
    "disk_throughput": 250,
    "disk_encrypted": True,
    "disk_kms_key_id": KEY,
    "metadata_options": {"http_tokens": "required", "http_put_response_hop_limit": 1},
    "additional_security_groups": [
        {"name": "metrics", "rules": [{"proto": "tcp", "ports": [9100], "cidr_ip": "10.42.0.0/16"}]}
    ],
    "labels": {"pool": "workers"},
    "taints": [{"key": "dedicated", "value": "batch", "effect": "NO_SCHEDULE"}],
    "tags": {"cost": "batch"},
}
REACHABLE = {
    "name": "reachable",
    "disk_size": 30,
    "scaling": {"min_size": 1, "max_size": 1},
    "remote_access": {"ec2_ssh_key": "operators"},
    "force_update": True,
}
FULL: dict[str, t.Any] = {
    "cluster_nat": "per_zone",
    "cluster_version": "1.35",
    "cluster_logging": ["api", "audit"],
    "cluster_encryption_key_arn": KEY,
    "cluster_support_type": "STANDARD",
    "cluster_zonal_shift": True,
    "cluster_permissions_boundary": f"{ACCOUNT}:policy/boundary",
    "cluster_deletion_protection": True,
    "cluster_public_access_cidrs": ["203.0.113.0/24"],
    "cluster_tags": {"team": "platform"},
    "cluster_access_entries": [
        {
            "principal_arn": f"{ACCOUNT}:role/developers",
            "kubernetes_groups": ["developers"],
            "user_name": "developer",
            "policies": [
                {"policy": "AmazonEKSViewPolicy"},
                {"policy": "AmazonEKSEditPolicy", "namespaces": ["shop"]},
            ],
        }
    ],
    "cluster_nodegroups": [OLD_GROUP, WORKERS, REACHABLE],
}
#: What the observation, the cluster, three node groups and an access entry ask EKS when nothing changes.
UNCHANGED = {
    "eks:DescribeCluster": 2,
    "eks:ListNodegroups": 1,
    "eks:DescribeNodegroup": 6,
    "eks:DescribeAccessEntry": 1,
    "eks:ListAssociatedAccessPolicies": 1,
}


@pytest.fixture(scope="module")
def playbook(operator: Playbooks) -> Playbooks:
    """Whatever is done, is done with the permissions of docs/permissions/operator-policy.json."""
    return operator


@pytest.fixture(scope="module")
def role(
    playbook: Playbooks, sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory
) -> t.Callable[..., Run]:
    """Runs the role with these variables, with a new call log."""
    play = tmp_path_factory.mktemp("play") / "play.yml"
    play.write_text(json.dumps([CLUSTER_PLAY]), encoding="utf-8")
    make_role(sandbox.client("iam"), "developers", "ec2.amazonaws.com")
    sandbox.client("iam").create_policy(PolicyName="boundary", PolicyDocument=json.dumps(EVERYTHING))
    sandbox.client("ec2").create_key_pair(KeyName="operators")

    def run(*arguments: str, **variables: t.Any) -> Run:
        sandbox.clear_calls()
        return playbook(str(play), *arguments, **variables)

    return run


@pytest.fixture(scope="module")
def ec2(sandbox: SandboxProcess) -> t.Any:
    return sandbox.client("ec2")


@pytest.fixture(scope="module")
def eks(sandbox: SandboxProcess) -> t.Any:
    return sandbox.client("eks")


def subnets(ec2: t.Any, *, public: bool) -> set[str]:
    """The ids of our public or private subnets."""
    ours = [{"Name": f"tag:{OWN_TAG}", "Values": [CLUSTER]}]
    found = ec2.describe_subnets(Filters=ours)["Subnets"]
    return {subnet["SubnetId"] for subnet in found if subnet["MapPublicIpOnLaunch"] is public}


def gateways(ec2: t.Any) -> list[dict[str, t.Any]]:
    """The NAT gateways that work."""
    found: list[dict[str, t.Any]] = ec2.describe_nat_gateways(Filters=[{"Name": "state", "Values": ["available"]}])[
        "NatGateways"
    ]
    return found


def nodegroup(eks: t.Any, name: str) -> dict[str, t.Any]:
    group: dict[str, t.Any] = eks.describe_nodegroup(clusterName=CLUSTER, nodegroupName=name)["nodegroup"]
    return group


def errors(run: Run) -> str:
    """What a failed run says, in one line."""
    assert run.code != 0
    return " ".join(run.output.split())


def test_refuses_invalid_declaration_before_any_call(role: t.Callable[..., Run], sandbox: SandboxProcess) -> None:
    closed = {**WORKERS, "remote_access": {"ec2_ssh_key": "operators"}}
    wrong = {
        "cluster_authentication_mode": "CONFIG_MAP",
        "cluster_creator_is_admin": False,
        "cluster_nodegroups": [closed],
        "cluster_permissions_boundary": "boundary",
    }
    message = errors(role(**{**FULL, **wrong}))
    assert "Node groups ['workers'] of cluster eks-pod-identity-boto3 have remote_access together with" in message
    assert "cluster_access_entries of cluster eks-pod-identity-boto3 have no effect" in message
    assert "cluster_creator_is_admin of cluster eks-pod-identity-boto3 is false, which EKS takes only with" in message
    assert 'cluster_permissions_boundary of cluster eks-pod-identity-boto3 is "boundary": give the ARN' in message
    assert sandbox.calls() == {}


def test_refuses_node_role_without_pod_identity_before_writing(
    role: t.Callable[..., Run], sandbox: SandboxProcess
) -> None:
    make_role(sandbox.client("iam"), "bare-nodes", "ec2.amazonaws.com", "AmazonEKS_CNI_Policy")
    message = errors(role(**OLDER, cluster_node_role_arn=f"{ACCOUNT}:role/bare-nodes"))
    assert f"their role {ACCOUNT}:role/bare-nodes may not call eks-auth:AssumeRoleForPodIdentity" in message
    message = errors(role(**OLDER, cluster_node_role_arn=f"{ACCOUNT}:role/nobody"))
    assert f"There is no IAM role {ACCOUNT}:role/nobody" in message
    assert writes(sandbox) == []


def test_cluster_manage_false_requires_existing_cluster(role: t.Callable[..., Run], sandbox: SandboxProcess) -> None:
    message = errors(role(**FULL, cluster_manage=False))
    assert f"There is no cluster {CLUSTER}, and cluster_manage is false" in message
    assert list(sandbox.calls()) == ["eks:DescribeCluster"]


def test_check_mode_alone_predicts_arns_of_the_caller(role: t.Callable[..., Run], sandbox: SandboxProcess) -> None:
    run = role("--check", "--diff", **OLDER)
    assert (run.code, writes(sandbox)) == (0, [])
    assert f"{ACCOUNT}:role/{CLUSTER}-cluster" in run.output and "000000000000" not in run.output


def test_network_without_nat_has_only_public_subnets(role: t.Callable[..., Run], ec2: t.Any) -> None:
    assert role(**OLDER).code == 0
    assert (len(subnets(ec2, public=True)), subnets(ec2, public=False), gateways(ec2)) == (2, set(), [])


def test_second_run_changes_nothing(role: t.Callable[..., Run], sandbox: SandboxProcess) -> None:
    run = role(**OLDER)
    assert (run.code, run.count("changed"), writes(sandbox)) == (0, 0, [])


def test_check_mode_predicts_the_upgrade_and_writes_nothing(
    role: t.Callable[..., Run], sandbox: SandboxProcess
) -> None:
    run = role("--check", "--diff", **FULL)
    assert run.code == 0
    assert "private subnet 10.42.32.0/20 in eu-west-1a" in run.output
    assert "-    version: '1.34'" in run.output
    assert "+    version: '1.35'" in run.output
    assert run.output.count("+    version: '1.35'") >= 2, "the control plane, and the node group after it"
    assert writes(sandbox) == []


def test_updates_control_plane_before_nodegroups(role: t.Callable[..., Run], sandbox: SandboxProcess) -> None:
    assert role(**FULL).code == 0
    calls = [operation.removeprefix("eks:") for operation in writes(sandbox) if operation.startswith("eks:")]
    nodes = ["CreateNodegroup", "UpdateNodegroupVersion", "UpdateNodegroupConfig"]
    first_of_nodes = min(calls.index(each) for each in nodes if each in calls)
    assert "UpdateClusterVersion" in calls[:first_of_nodes]
    assert "CreateAccessEntry" in calls[:first_of_nodes]
    assert [each for each in calls[first_of_nodes:] if "Cluster" in each] == []
    assert calls.count("UpdateNodegroupVersion") == 1, "new node groups have the new version"


def test_cluster_has_every_declared_option(eks: t.Any) -> None:
    cluster = eks.describe_cluster(name=CLUSTER)["cluster"]
    assert cluster["version"] == "1.35"
    assert cluster["upgradePolicy"] == {"supportType": "STANDARD"}
    assert cluster["zonalShiftConfig"] == {"enabled": True}
    assert cluster["deletionProtection"] is True
    assert cluster["encryptionConfig"][0]["provider"]["keyArn"] == KEY
    entry = {"clusterName": CLUSTER, "principalArn": f"{ACCOUNT}:role/developers"}
    assert eks.describe_access_entry(**entry)["accessEntry"]["kubernetesGroups"] == ["developers"]
    policies = eks.list_associated_access_policies(**entry)["associatedAccessPolicies"]
    assert sorted(policy["accessScope"]["type"] for policy in policies) == ["cluster", "namespace"]


def test_cluster_roles_have_permissions_boundary(sandbox: SandboxProcess) -> None:
    roles = [sandbox.client("iam").get_role(RoleName=f"{CLUSTER}-{of}")["Role"] for of in ("cluster", "nodes")]
    boundaries = {role["PermissionsBoundary"]["PermissionsBoundaryArn"] for role in roles}
    assert boundaries == {f"{ACCOUNT}:policy/boundary"}


def test_old_nodegroup_stays_public_and_new_ones_are_private(eks: t.Any, ec2: t.Any) -> None:
    public, private = subnets(ec2, public=True), subnets(ec2, public=False)
    assert (len(public), len(private)) == (2, 2)
    assert set(nodegroup(eks, "general")["subnets"]) == public
    assert set(nodegroup(eks, "reachable")["subnets"]) == private
    [subnet] = ec2.describe_subnets(SubnetIds=nodegroup(eks, "workers")["subnets"])["Subnets"]
    assert (subnet["AvailabilityZone"], subnet["SubnetId"] in private) == ("eu-west-1b", True)
    assert {nodegroup(eks, name)["version"] for name in ("general", "workers", "reachable")} == {"1.35"}


def test_each_zone_routes_through_its_own_nat_gateway(ec2: t.Any) -> None:
    zones = {each["SubnetId"]: each["AvailabilityZone"] for each in ec2.describe_subnets()["Subnets"]}
    nat_zones = {each["NatGatewayId"]: zones[each["SubnetId"]] for each in gateways(ec2)}
    assert sorted(nat_zones.values()) == ["eu-west-1a", "eu-west-1b"]
    ways_out = {
        zones[association["SubnetId"]]: nat_zones[route["NatGatewayId"]]
        for table in ec2.describe_route_tables()["RouteTables"]
        for route in table["Routes"]
        for association in table["Associations"]
        if "NatGatewayId" in route and "SubnetId" in association
    }
    assert ways_out == {"eu-west-1a": "eu-west-1a", "eu-west-1b": "eu-west-1b"}


def test_launch_template_has_volume_and_metadata_options(eks: t.Any, ec2: t.Any) -> None:
    template = nodegroup(eks, "workers")["launchTemplate"]
    data = ec2.describe_launch_template_versions(LaunchTemplateId=template["id"], Versions=[template["version"]])[
        "LaunchTemplateVersions"
    ][0]["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    volume = data["BlockDeviceMappings"][0]["Ebs"]
    assert (volume["VolumeSize"], volume["Iops"], volume["Throughput"]) == (50, 4000, 250)
    assert (volume["Encrypted"], volume["KmsKeyId"]) == (True, KEY)
    assert len(data["SecurityGroupIds"]) == 2


def test_second_run_with_every_option_changes_nothing(role: t.Callable[..., Run], sandbox: SandboxProcess) -> None:
    run = role(**FULL)
    assert (run.code, run.count("changed"), writes(sandbox)) == (0, 0, [])
    assert {name: count for name, count in sandbox.calls().items() if name.startswith("eks:")} == UNCHANGED


def test_cluster_manage_false_changes_nothing(role: t.Callable[..., Run], sandbox: SandboxProcess) -> None:
    unmanaged = {**FULL, "cluster_manage": False, "cluster_access_entries": []}
    run = role(**{**unmanaged, "cluster_tags": {"team": "other"}, "cluster_logging": []})
    assert (run.code, run.count("changed")) == (0, 0)
    assert sandbox.calls() == {"eks:DescribeCluster": 1}
    assert role(**unmanaged, cluster_state="absent").code == 0
    assert sandbox.calls() == {"eks:DescribeCluster": 1}


def test_removes_surplus_nat_gateways_and_their_addresses(
    role: t.Callable[..., Run], sandbox: SandboxProcess, ec2: t.Any
) -> None:
    fewer = {**FULL, "cluster_nat": "single"}
    assert role(**fewer).code == 0
    calls = [operation for operation in writes(sandbox) if operation.startswith("ec2:")]
    order = ["ec2:ReplaceRoute", "ec2:DeleteNatGateway", "ec2:ReleaseAddress"]
    assert [each for each in dict.fromkeys(calls) if each in order] == order
    assert (len(gateways(ec2)), len(ec2.describe_addresses()["Addresses"])) == (1, 1)
    run = role(**fewer)
    assert (run.code, run.count("changed"), writes(sandbox)) == (0, 0, [])


def test_refuses_to_strand_private_subnets(role: t.Callable[..., Run], sandbox: SandboxProcess) -> None:
    assert "whose nodes need a NAT gateway" in errors(role(**{**FULL, "cluster_nat": "none"}))
    assert writes(sandbox) == []


def test_refuses_removal_of_protected_cluster(role: t.Callable[..., Run], sandbox: SandboxProcess) -> None:
    assert "its deletion protection is on" in errors(role(**FULL, cluster_state="absent"))
    assert writes(sandbox) == []


def test_removal_deletes_managed_resources_in_order(
    role: t.Callable[..., Run], sandbox: SandboxProcess, ec2: t.Any, eks: t.Any
) -> None:
    foreign = ec2.allocate_address(Domain="vpc")["AllocationId"]
    removed = {**FULL, "cluster_state": "absent", "cluster_deletion_protection": False}
    assert role(**removed).code == 0
    order = [
        "eks:DeleteNodegroup",
        "eks:DeleteCluster",
        "ec2:DeleteLaunchTemplate",
        "ec2:DeleteNatGateway",
        "ec2:ReleaseAddress",
        "ec2:DeleteSubnet",
        "ec2:DetachInternetGateway",
        "ec2:DeleteVpc",
    ]
    calls = writes(sandbox)
    assert [each for each in dict.fromkeys(calls) if each in order] == order
    assert (eks.list_clusters()["clusters"], gateways(ec2), subnets(ec2, public=False)) == ([], [], set())
    assert [each["AllocationId"] for each in ec2.describe_addresses()["Addresses"]] == [foreign]
    run = role(**removed)
    assert (run.code, run.count("changed"), writes(sandbox)) == (0, 0, [])


def test_cluster_without_ownership_tag_is_never_changed(
    role: t.Callable[..., Run], sandbox: SandboxProcess, ec2: t.Any, eks: t.Any
) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    subnet_ids = [
        ec2.create_subnet(VpcId=vpc_id, CidrBlock=f"10.99.{number}.0/24", AvailabilityZone=f"eu-west-1{zone}")
        for number, zone in enumerate("ab")
    ]
    arn = make_role(sandbox.client("iam"), "their-cluster", "eks.amazonaws.com")
    network = {"subnetIds": [each["Subnet"]["SubnetId"] for each in subnet_ids]}
    eks.create_cluster(name=CLUSTER, roleArn=arn, resourcesVpcConfig=network)
    eks.get_waiter("cluster_active").wait(name=CLUSTER, WaiterConfig={"Delay": 1})
    for state in ("present", "absent"):
        run = role(**{**FULL, "cluster_access_entries": []}, cluster_state=state)
        assert (run.code, run.count("changed")) == (0, 0)
        assert f"Cluster {CLUSTER} exists without the tag podidentity.eks/cluster" in run.output
        assert sandbox.calls() == {"eks:DescribeCluster": 1}
