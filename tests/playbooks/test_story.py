# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole story, told in order on one sandbox: predict, build, build again, break, tear down.

Each test starts from where the one before it left the account, as a user's day does.
"""

from __future__ import annotations

import json
import pathlib

import pytest
from support.existing_cluster import writes
from support.iam_roles import make_role
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

CLUSTER = "eks-pod-identity-boto3"
ROLE = "EKS-S3-Access-Role"
READ_ONLY = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
ACCOUNT = "111122223333"
BUCKETS = ["customer-invoices", "customer-reports"]


def account_resources(sandbox: SandboxProcess) -> dict[str, list[str]]:
    """What stands in the account, by kind."""
    ec2, iam, eks, s3 = (sandbox.client(service) for service in ("ec2", "iam", "eks", "s3"))
    return {
        "vpcs": sorted(item["VpcId"] for item in ec2.describe_vpcs()["Vpcs"]),
        "subnets": sorted(item["SubnetId"] for item in ec2.describe_subnets()["Subnets"]),
        "addresses": sorted(item["AllocationId"] for item in ec2.describe_addresses()["Addresses"]),
        "nat_gateways": sorted(
            item["NatGatewayId"]
            for item in ec2.describe_nat_gateways(Filters=[{"Name": "state", "Values": ["available"]}])["NatGateways"]
        ),
        "gateways": sorted(item["InternetGatewayId"] for item in ec2.describe_internet_gateways()["InternetGateways"]),
        "route_tables": sorted(item["RouteTableId"] for item in ec2.describe_route_tables()["RouteTables"]),
        "groups": sorted(item["GroupId"] for item in ec2.describe_security_groups()["SecurityGroups"]),
        "templates": sorted(item["LaunchTemplateId"] for item in ec2.describe_launch_templates()["LaunchTemplates"]),
        "roles": sorted(item["RoleName"] for item in iam.list_roles()["Roles"]),
        "profiles": sorted(item["InstanceProfileName"] for item in iam.list_instance_profiles()["InstanceProfiles"]),
        "clusters": eks.list_clusters()["clusters"],
        "buckets": [item["Name"] for item in s3.list_buckets()["Buckets"]],
    }


@pytest.fixture(scope="module")
def playbook(operator: Playbooks) -> Playbooks:
    """Whatever is done, is done with the permissions of docs/permissions/operator-policy.json."""
    return operator


@pytest.fixture(scope="module")
def unmanaged(sandbox: SandboxProcess) -> dict[str, list[str]]:
    """What somebody else has in the account, the role that a guide made wrongly included."""
    for bucket in BUCKETS:
        sandbox.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    make_role(sandbox.client("iam"), "somebody-elses", "pods.eks.amazonaws.com")
    vpc = sandbox.client("ec2").create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    sandbox.client("ec2").create_security_group(GroupName="somebody-elses", Description="theirs", VpcId=vpc)
    return account_resources(sandbox)


def test_check_mode_on_empty_account_writes_nothing(
    playbook: Playbooks, sandbox: SandboxProcess, unmanaged: dict[str, list[str]]
) -> None:
    sandbox.clear_calls()
    run = playbook("playbooks/site.yml", "--check", "--diff")
    assert run.code == 0
    assert run.count("changed") > 0
    assert writes(sandbox) == []
    assert account_resources(sandbox) == unmanaged


def test_site_proves_the_workload(
    playbook: Playbooks, sandbox: SandboxProcess, unmanaged: dict[str, list[str]], tmp_path: pathlib.Path
) -> None:
    # A role as many guides make it: trusting the service EKS itself, not the pods.
    make_role(sandbox.client("iam"), ROLE, "eks.amazonaws.com")
    proof_file = tmp_path / "proof.json"
    run = playbook("playbooks/site.yml", "--diff", podidentity_proof_file=str(proof_file))
    assert run.code == 0
    assert "eks.amazonaws.com" in run.output, "the mistake of the guides is named"

    [proof] = json.loads(proof_file.read_text(encoding="utf-8"))
    [association] = sandbox.client("eks").list_pod_identity_associations(clusterName=CLUSTER)["associations"]
    assert proof["cluster"] == CLUSTER
    assert (proof["namespace"], proof["service_account"]) == ("default", "s3-access-sa")
    assert proof["association_id"] == association["associationId"]
    assert proof["role_arn"] == f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
    assert proof["identity"]["role"] == ROLE
    assert proof["identity"]["account"] == ACCOUNT
    assert proof["identity"]["session_name"].startswith("eks-")
    assert proof["identity"]["arn"].startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/eks-")
    allowed, *denied = proof["calls"]
    assert (allowed["operation"], allowed["expected"], allowed["outcome"]) == ("list_buckets", "allow", "allowed")
    assert allowed["shown"] == BUCKETS
    assert denied
    assert all((call["expected"], call["outcome"]) == ("deny", "denied") for call in denied)
    assert all(call["ok"] for call in proof["calls"])
    assert proof["proven"] is True


def test_cluster_and_nodegroup_match_declaration(playbook: Playbooks, sandbox: SandboxProcess) -> None:
    eks, ec2 = sandbox.client("eks"), sandbox.client("ec2")
    group = eks.describe_nodegroup(clusterName=CLUSTER, nodegroupName="managed-nodes")["nodegroup"]
    assert group["scalingConfig"] == {"minSize": 2, "maxSize": 4, "desiredSize": 3}
    assert group["updateConfig"] == {"maxUnavailable": 3}
    assert group["instanceTypes"] == ["m5.large"]
    zones = {s["AvailabilityZone"] for s in ec2.describe_subnets(SubnetIds=group["subnets"])["Subnets"]}
    assert zones == {"eu-west-1a", "eu-west-1b"}
    data = ec2.describe_launch_template_versions(
        LaunchTemplateId=group["launchTemplate"]["id"], Versions=[group["launchTemplate"]["version"]]
    )["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    cluster_group = eks.describe_cluster(name=CLUSTER)["cluster"]["resourcesVpcConfig"]["clusterSecurityGroupId"]
    assert cluster_group in data["SecurityGroupIds"]
    assert len(data["SecurityGroupIds"]) == 3
    assert data["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 20
    assert eks.describe_addon(clusterName=CLUSTER, addonName="eks-pod-identity-agent")["addon"]["status"] == "ACTIVE"


def test_second_run_changes_nothing(playbook: Playbooks, sandbox: SandboxProcess) -> None:
    sandbox.clear_calls()
    run = playbook("playbooks/site.yml")
    assert run.code == 0
    assert run.count("changed") == 0
    assert writes(sandbox) == []
    others = {(call["operation"], call["refused"]) for call in sandbox.call_log() if ROLE in call["caller"]}
    assert others == {
        ("sts:GetCallerIdentity", None),
        ("s3:ListAllMyBuckets", None),
        ("s3:CreateBucket", "AccessDenied"),
    }


def test_check_mode_on_complete_account_predicts_nothing(playbook: Playbooks, sandbox: SandboxProcess) -> None:
    sandbox.clear_calls()
    run = playbook("playbooks/site.yml", "--check", "--diff")
    assert run.code == 0
    assert run.count("changed") == 0
    assert writes(sandbox) == []


def test_verify_reports_the_cause_and_the_chapter_repairs_it(
    playbook: Playbooks, sandbox: SandboxProcess, tmp_path: pathlib.Path
) -> None:
    sandbox.client("iam").detach_role_policy(RoleName=ROLE, PolicyArn=READ_ONLY)
    proof_file = tmp_path / "proof.json"
    run = playbook("playbooks/verify.yml", podidentity_proof_file=str(proof_file), verify_grace=0)
    assert run.code != 0
    [proof] = json.loads(proof_file.read_text(encoding="utf-8"))
    assert (proof["proven"], proof["cause"]["id"]) == (False, "permission_missing")
    assert "s3.list_buckets" in run.output
    assert playbook("playbooks/site.yml", "--tags", "iam_role").code == 0
    assert playbook("playbooks/verify.yml").code == 0


def test_teardown_deletes_managed_and_keeps_unmanaged(
    playbook: Playbooks, sandbox: SandboxProcess, unmanaged: dict[str, list[str]]
) -> None:
    run = playbook("playbooks/teardown.yml")
    assert run.code == 0
    left = account_resources(sandbox)
    # EKS-S3-Access-Role was there before us, made by the guide: it stays, and so does its last statement, without which
    # IAM keeps no trust policy. The run says so.
    assert "EKS-S3-Access-Role was not made here, so it stays" in run.output
    # The service-linked roles are EKS's own.
    linked = ["AWSServiceRoleForAmazonEKS", "AWSServiceRoleForAmazonEKSNodegroup"]
    assert left.pop("roles") == sorted([*unmanaged["roles"], ROLE, *linked])
    assert left == {kind: names for kind, names in unmanaged.items() if kind != "roles"}


def test_second_teardown_changes_nothing(playbook: Playbooks, sandbox: SandboxProcess) -> None:
    sandbox.clear_calls()
    run = playbook("playbooks/teardown.yml")
    assert run.code == 0
    assert run.count("changed") == 0
    assert writes(sandbox) == []
