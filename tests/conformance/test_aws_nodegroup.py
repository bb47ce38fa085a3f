# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Managed node groups as EKS has them."""

from __future__ import annotations

import typing as t

import botocore.exceptions
import pytest
from support.boto3_account import Account
from support.boto3_account import allow
from support.boto3_account import refused
from support.boto3_account import wait_for
from support.boto3_account import wait_until_gone
from support.iam_roles import NODE_POLICIES

pytestmark = pytest.mark.client("boto3")

ROLE = "arn:aws:iam::111122223333:role/node-role"


@pytest.fixture
def cluster_account(account: Account) -> Account:
    """An account with a cluster and a node role."""
    account.cluster("one")
    account.role("node-role", "ec2.amazonaws.com", ("sts:AssumeRole",), *NODE_POLICIES)
    return account


def create_template(account: Account, name: str = "nodes", **data: t.Any) -> dict[str, str]:
    """A launch template, as a node group names it."""
    made = account.ec2.create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData=data or {"EbsOptimized": True}
    )
    return {"id": made["LaunchTemplate"]["LaunchTemplateId"], "version": "1"}


def test_nodegroup_is_creating_and_then_active(cluster_account: Account) -> None:
    cluster_account.sandbox.knobs(nodegroup_seconds=0.3)
    parameters = {
        "clusterName": "one",
        "nodegroupName": "nodes",
        "subnets": cluster_account.subnets()[:2],
        "nodeRole": ROLE,
    }
    created = cluster_account.eks.create_nodegroup(**parameters)["nodegroup"]
    assert created["status"] == "CREATING"
    assert wait_for(cluster_account.describe_nodegroup, "ACTIVE")["nodegroupArn"] == created["nodegroupArn"]
    assert cluster_account.eks.list_nodegroups(clusterName="one")["nodegroups"] == ["nodes"]


def test_nodegroup_has_the_defaults_of_eks(cluster_account: Account) -> None:
    group = cluster_account.nodegroup(nodeRole=ROLE)
    assert group["updateConfig"] == {"maxUnavailable": 1}
    assert group["diskSize"] == 20
    assert group["instanceTypes"] == ["t3.medium"]
    assert group["capacityType"] == "ON_DEMAND"
    assert group["amiType"] == "AL2023_x86_64_STANDARD"
    assert group["scalingConfig"] == {"minSize": 1, "maxSize": 2, "desiredSize": 2}
    assert (group["labels"], group["taints"], group["tags"], group["health"]) == ({}, [], {}, {"issues": []})
    assert "launchTemplate" not in group


def test_nodegroup_creates_access_entry_for_its_role(cluster_account: Account) -> None:
    cluster_account.nodegroup(nodeRole=ROLE)
    entry = cluster_account.eks.describe_access_entry(clusterName="one", principalArn=ROLE)["accessEntry"]
    assert (entry["type"], entry["kubernetesGroups"]) == ("EC2_LINUX", ["system:nodes"])
    assert entry["username"] == "system:node:{{EC2PrivateDNSName}}"
    cluster_account.eks.delete_nodegroup(clusterName="one", nodegroupName="nodes")
    wait_until_gone(cluster_account.describe_nodegroup)
    with refused("ResourceNotFoundException"):
        cluster_account.eks.describe_access_entry(clusterName="one", principalArn=ROLE)


def test_create_nodegroup_refuses_duplicate_name(cluster_account: Account) -> None:
    cluster_account.nodegroup(nodeRole=ROLE)
    with refused("ResourceInUseException", "NodeGroup already exists with name nodes", status=409):
        cluster_account.nodegroup(nodeRole=ROLE)


def test_operations_report_unknown_nodegroup(cluster_account: Account) -> None:
    for call in (
        cluster_account.eks.describe_nodegroup,
        cluster_account.eks.delete_nodegroup,
        cluster_account.eks.update_nodegroup_config,
    ):
        with refused("ResourceNotFoundException", "No node group found for name: none.", status=404):
            call(clusterName="one", nodegroupName="none")


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"subnets": ["subnet-0000dead"]}, "InvalidParameterException", "'subnet-0000dead' does not exist"),
        ({"subnets": []}, "InvalidParameterException", "cannot be empty"),
        ({"nodeRole": f"{ROLE}-none"}, "InvalidParameterException", "node-role-none cannot be found"),
        ({"nodeRole": "not-an-arn"}, "InvalidParameterException", "Invalid role ARN"),
        ({"scalingConfig": {"minSize": 3, "maxSize": 4, "desiredSize": 2}}, "InvalidParameterException", "Minimum"),
        ({"scalingConfig": {"minSize": 1, "maxSize": 2, "desiredSize": 3}}, "InvalidParameterException", "Desired"),
        ({"amiType": "AL1"}, "InvalidParameterException", "enum value set"),
        ({"amiType": "AL2_x86_64"}, "InvalidParameterException", "AMI for this version 1.34 is not supported"),
        ({"amiType": "CUSTOM"}, "InvalidParameterException", "requires a launch template"),
        ({"version": "1.33"}, "InvalidParameterException", "must be the cluster's version 1.34"),
        (
            {"releaseVersion": "1.33.1-20251112"},
            "InvalidParameterException",
            "is not valid for kubernetes version 1.34",
        ),
        ({"instanceTypes": ["large"]}, "InvalidParameterException", "instance types do not exist: [large]"),
        ({"labels": {"node-role.kubernetes.io/a": "b"}}, "InvalidParameterException", "reserved prefixes"),
        ({"labels": {"a": "not valid"}}, "InvalidParameterException", "must consist of alphanumeric"),
        ({"remoteAccess": {"ec2SshKey": "none"}}, "InvalidParameterException", "key pair 'none' does not exist"),
        ({"remoteAccess": {"sourceSecurityGroups": ["sg-0dead"]}}, "InvalidParameterException", "'sg-0dead' does not"),
        (
            {"nodeRepairConfig": {"maxParallelNodesRepairedCount": 1, "maxParallelNodesRepairedPercentage": 10}},
            "InvalidParameterException",
            "Only one of maxParallelNodesRepairedCount",
        ),
        (
            {"taints": [{"key": "a", "effect": "NO_SCHEDULE"}, {"key": "a", "effect": "NO_SCHEDULE", "value": "b"}]},
            "InvalidParameterException",
            "unique",
        ),
        (
            {"taints": [{"key": f"k{number}", "effect": "NO_SCHEDULE"} for number in range(51)]},
            "InvalidParameterException",
            "at most 50",
        ),
        ({"taints": [{"key": "a", "effect": "NoSchedule"}]}, "InvalidParameterException", "enum value set"),
        (
            {"updateConfig": {"maxUnavailable": 1, "maxUnavailablePercentage": 10}},
            "InvalidParameterException",
            "Only one",
        ),
    ],
)
def test_create_nodegroup_refuses_invalid_parameters(
    cluster_account: Account, changes: dict[str, t.Any], code: str, words: str
) -> None:
    with refused(code, words, status=400):
        cluster_account.nodegroup(**{"nodeRole": ROLE, **changes})
    assert cluster_account.eks.list_nodegroups(clusterName="one")["nodegroups"] == []


def test_launch_template_keeps_all_volume_settings(account: Account) -> None:
    volume = {"VolumeSize": 50, "VolumeType": "gp3", "Iops": 4000, "Throughput": 250, "Encrypted": True}
    volume |= {"KmsKeyId": "arn:aws:kms:eu-west-1:111122223333:key/1234abcd", "DeleteOnTermination": True}
    data = {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": volume}]}
    account.ec2.create_launch_template(LaunchTemplateName="volumes", LaunchTemplateData=data)
    [version] = account.ec2.describe_launch_template_versions(LaunchTemplateName="volumes")["LaunchTemplateVersions"]
    assert version["LaunchTemplateData"]["BlockDeviceMappings"] == data["BlockDeviceMappings"]


def test_node_role_must_trust_ec2(cluster_account: Account) -> None:
    with refused("InvalidParameterException", "[ec2.amazonaws.com] were not found", status=400):
        cluster_account.nodegroup(nodeRole=cluster_account.pod_role())


def test_caller_needs_permission_to_pass_node_role(cluster_account: Account) -> None:
    keys = cluster_account.user("maker", allow("eks:*", "iam:GetRole", "iam:CreateServiceLinkedRole"))
    eks = cluster_account.sandbox.client("eks", **keys)
    with refused("AccessDeniedException", "iam:PassRole", status=403):
        eks.create_nodegroup(clusterName="one", nodegroupName="nodes", subnets=cluster_account.subnets(), nodeRole=ROLE)


def test_create_nodegroup_refuses_subnets_of_another_vpc(cluster_account: Account) -> None:
    vpc = cluster_account.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    foreign = cluster_account.ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    with refused("InvalidParameterException", "do not belong to the cluster's VPC", status=400):
        cluster_account.nodegroup(nodeRole=ROLE, subnets=[foreign])


@pytest.mark.parametrize(
    ("data", "changes", "words"),
    [
        ({}, {"diskSize": 20}, "Disk size must be specified within the launch template."),
        ({}, {"remoteAccess": {"ec2SshKey": "key"}}, "Remote access configuration cannot be specified"),
        ({"InstanceType": "m5.large"}, {"instanceTypes": ["m5.large"]}, "Instance type cannot be specified both"),
        ({"IamInstanceProfile": {"Name": "mine"}}, {}, "should not specify an instance profile"),
    ],
)
def test_launch_template_and_request_must_not_overlap(
    cluster_account: Account, data: dict[str, t.Any], changes: dict[str, t.Any], words: str
) -> None:
    with refused("InvalidRequestException", words, status=400):
        cluster_account.nodegroup(nodeRole=ROLE, launchTemplate=create_template(cluster_account, **data), **changes)


def test_launch_template_must_exist(cluster_account: Account) -> None:
    with refused("InvalidParameterException", "lt-0000dead, does not exist", status=400):
        cluster_account.nodegroup(nodeRole=ROLE, launchTemplate={"id": "lt-0000dead"})
    given = create_template(cluster_account)
    with refused("InvalidParameterException", "version 7", status=400):
        cluster_account.nodegroup(nodeRole=ROLE, launchTemplate={**given, "version": "7"})
    with refused("InvalidParameterException", "but not both", status=400):
        cluster_account.nodegroup(nodeRole=ROLE, launchTemplate={**given, "name": "nodes"})


def test_nodegroup_returns_template_id_name_and_version(cluster_account: Account) -> None:
    given = create_template(cluster_account, InstanceType="m5.large")
    group = cluster_account.nodegroup(nodeRole=ROLE, launchTemplate={"name": "nodes"})
    assert group["launchTemplate"] == {"id": given["id"], "name": "nodes", "version": "1"}
    assert "diskSize" not in group
    assert group["instanceTypes"] == []


def test_update_changes_only_the_launch_template_version(cluster_account: Account) -> None:
    given, other = create_template(cluster_account), create_template(cluster_account, "others")
    cluster_account.ec2.create_launch_template_version(
        LaunchTemplateId=given["id"], LaunchTemplateData={"EbsOptimized": False}
    )
    cluster_account.nodegroup(nodeRole=ROLE, launchTemplate=given)
    with refused("InvalidRequestException", "cannot change the launch template", status=400):
        cluster_account.eks.update_nodegroup_version(clusterName="one", nodegroupName="nodes", launchTemplate=other)
    wanted = {"id": given["id"], "version": "2"}
    update = cluster_account.eks.update_nodegroup_version(
        clusterName="one", nodegroupName="nodes", launchTemplate=wanted
    )
    assert update["update"]["type"] == "VersionUpdate"
    assert wait_for(cluster_account.describe_nodegroup, "ACTIVE")["launchTemplate"]["version"] == "2"


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        ((), "Instances failed to join the kubernetes cluster"),
        (("AmazonEKSWorkerNodePolicy",), "Unhealthy nodes in the kubernetes cluster"),
        (("AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy"), "Unhealthy nodes in the kubernetes cluster"),
        (("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"), "Unhealthy nodes"),
    ],
)
def test_create_nodegroup_fails_when_role_lacks_permissions(
    cluster_account: Account, policies: tuple[str, ...], message: str
) -> None:
    role = cluster_account.role("poor", "ec2.amazonaws.com", ("sts:AssumeRole",), *policies)
    cluster_account.eks.create_nodegroup(
        clusterName="one", nodegroupName="nodes", subnets=cluster_account.subnets(), nodeRole=role
    )
    [issue] = wait_for(cluster_account.describe_nodegroup, "CREATE_FAILED")["health"]["issues"]
    assert (issue["code"], len(issue["resourceIds"])) == ("NodeCreationFailure", 2)
    assert issue["message"].startswith(message)


def test_empty_nodegroup_ignores_missing_role_permissions(cluster_account: Account) -> None:
    role = cluster_account.role("poor", "ec2.amazonaws.com", ("sts:AssumeRole",))
    assert cluster_account.nodegroup(nodeRole=role, scalingConfig={"minSize": 0, "maxSize": 2, "desiredSize": 0})


def test_network_plugin_may_use_its_own_association(cluster_account: Account) -> None:
    policies = ("AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly")
    role = cluster_account.role("lean", "ec2.amazonaws.com", ("sts:AssumeRole",), *policies)
    cluster_account.associate(cluster_account.pod_role(), "aws-node", namespace="kube-system")
    assert cluster_account.nodegroup(nodeRole=role)["status"] == "ACTIVE"


def test_release_version_only_increases(cluster_account: Account) -> None:
    old, new = "1.34.1-20251112", "1.34.2-20260120"
    assert cluster_account.nodegroup(nodeRole=ROLE, releaseVersion=old)["releaseVersion"] == old
    names = {"clusterName": "one", "nodegroupName": "nodes"}
    cluster_account.eks.update_nodegroup_version(**names, releaseVersion=new)
    assert wait_for(cluster_account.describe_nodegroup, "ACTIVE")["releaseVersion"] == new
    with refused("InvalidParameterException", "cannot be rolled back", status=400):
        cluster_account.eks.update_nodegroup_version(**names, releaseVersion=old)
    with refused("InvalidParameterException", "not valid for kubernetes version 1.34", status=400):
        cluster_account.eks.update_nodegroup_version(**names, releaseVersion="1.35.2-20260120")


def test_node_version_never_exceeds_cluster_version(cluster_account: Account) -> None:
    cluster_account.cluster("two", version="1.33")
    cluster_account.nodegroup("two", nodeRole=ROLE)
    names = {"clusterName": "two", "nodegroupName": "nodes"}
    with refused("InvalidParameterException", "must be the cluster's version 1.33", status=400):
        cluster_account.eks.update_nodegroup_version(**names, version="1.34")
    cluster_account.eks.update_cluster_version(name="two", version="1.34")
    wait_for(lambda: cluster_account.eks.describe_cluster(name="two")["cluster"], "ACTIVE")
    assert cluster_account.describe_nodegroup("two")["version"] == "1.33"
    cluster_account.eks.update_nodegroup_version(**names)
    group = wait_for(lambda: cluster_account.describe_nodegroup("two"), "ACTIVE")
    assert (group["version"], group["releaseVersion"]) == ("1.34", "1.34.2-20260120")


def test_force_overrides_only_pod_eviction_failures(cluster_account: Account) -> None:
    cluster_account.nodegroup(nodeRole=ROLE, releaseVersion="1.34.1-20251112")
    names = {"clusterName": "one", "nodegroupName": "nodes"}

    def outcome(error: str, **more: t.Any) -> str:
        cluster_account.sandbox.knobs(
            update_outcomes={"VersionUpdate": "Failed"}, update_errors={"VersionUpdate": error}
        )
        update = cluster_account.eks.update_nodegroup_version(**names, **more)["update"]
        follow = {"name": "one", "nodegroupName": "nodes", "updateId": update["id"]}
        ended = wait_for(lambda: cluster_account.eks.describe_update(**follow)["update"], "Failed", "Successful")
        wait_for(cluster_account.describe_nodegroup, "ACTIVE")
        return str(ended["status"])

    assert outcome("PodEvictionFailure") == "Failed"
    assert outcome("NodeCreationFailure", force=True) == "Failed"
    assert outcome("PodEvictionFailure", force=True) == "Successful"


def test_update_strategy_keeps_default_max_unavailable(cluster_account: Account) -> None:
    group = cluster_account.nodegroup(nodeRole=ROLE, updateConfig={"updateStrategy": "MINIMAL"})
    assert group["updateConfig"] == {"maxUnavailable": 1, "updateStrategy": "MINIMAL"}


def test_nodegroup_is_updating_during_config_update(cluster_account: Account) -> None:
    taint = {"key": "gpu", "value": "yes", "effect": "NO_SCHEDULE"}
    cluster_account.nodegroup(nodeRole=ROLE, labels={"a": "1", "b": "2"}, taints=[taint])
    cluster_account.sandbox.knobs(nodegroup_seconds=0.3)
    names = {"clusterName": "one", "nodegroupName": "nodes"}
    update = cluster_account.eks.update_nodegroup_config(
        **names,
        scalingConfig={"minSize": 2, "maxSize": 4, "desiredSize": 3},
        updateConfig={"maxUnavailablePercentage": 50},
        labels={"addOrUpdateLabels": {"b": "3"}, "removeLabels": ["a"]},
        taints={"addOrUpdateTaints": [{**taint, "value": "no"}]},
    )["update"]
    assert cluster_account.describe_nodegroup()["status"] == "UPDATING"
    with refused("ResourceInUseException", status=409):
        cluster_account.eks.update_nodegroup_config(**names, labels={"removeLabels": ["b"]})
    with refused("ResourceInUseException", status=409):
        cluster_account.eks.delete_nodegroup(**names)
    group = wait_for(cluster_account.describe_nodegroup, "ACTIVE")
    assert group["scalingConfig"] == {"minSize": 2, "maxSize": 4, "desiredSize": 3}
    assert group["updateConfig"] == {"maxUnavailablePercentage": 50}
    assert group["labels"] == {"b": "3"}
    assert group["taints"] == [{**taint, "value": "no"}]
    described = cluster_account.eks.describe_update(name="one", nodegroupName="nodes", updateId=update["id"])["update"]
    assert (described["type"], described["status"]) == ("ConfigUpdate", "Successful")
    with refused("ResourceNotFoundException", status=404):
        cluster_account.eks.describe_update(name="one", updateId=update["id"])


def test_update_refuses_invalid_scaling(cluster_account: Account) -> None:
    cluster_account.nodegroup(nodeRole=ROLE)
    with refused("InvalidParameterException", "Desired capacity 9", status=400):
        cluster_account.eks.update_nodegroup_config(
            clusterName="one", nodegroupName="nodes", scalingConfig={"desiredSize": 9}
        )


def test_taints_and_labels_can_be_removed(cluster_account: Account) -> None:
    taint = {"key": "gpu", "value": "yes", "effect": "NO_SCHEDULE"}
    cluster_account.nodegroup(nodeRole=ROLE, labels={"a": "1"}, taints=[taint])
    names = {"clusterName": "one", "nodegroupName": "nodes"}
    with refused("InvalidParameterException", "reserved prefixes", status=400):
        cluster_account.eks.update_nodegroup_config(**names, labels={"addOrUpdateLabels": {"k8s.io/a": "b"}})
    update = cluster_account.eks.update_nodegroup_config(
        **names, labels={"removeLabels": ["a"]}, taints={"removeTaints": [taint]}
    )["update"]
    assert {one["type"] for one in update["params"]} == {"LabelsToRemove", "TaintsToRemove"}
    group = wait_for(cluster_account.describe_nodegroup, "ACTIVE")
    assert (group["labels"], group["taints"]) == ({}, [])
    with refused("InvalidParameterException", "No changes", status=400):
        cluster_account.eks.update_nodegroup_config(**names)


def test_knobs_make_nodegroup_fail(cluster_account: Account) -> None:
    names = {"clusterName": "one", "nodegroupName": "nodes"}
    wanted = {**names, "subnets": cluster_account.subnets(), "nodeRole": ROLE}
    cluster_account.sandbox.knobs(
        nodegroup_outcomes={"nodes": "CREATE_FAILED"}, nodegroup_issues={"nodes": "AccessDenied"}
    )
    cluster_account.eks.create_nodegroup(**wanted)
    failed = wait_for(cluster_account.describe_nodegroup, "CREATE_FAILED")
    assert [issue["code"] for issue in failed["health"]["issues"]] == ["AccessDenied"]
    with pytest.raises(botocore.exceptions.WaiterError, match="CREATE_FAILED"):
        cluster_account.eks.get_waiter("nodegroup_active").wait(**names, WaiterConfig={"Delay": 1, "MaxAttempts": 5})
    cluster_account.sandbox.knobs(nodegroup_outcomes={"nodes": "DELETE_FAILED"})
    cluster_account.eks.delete_nodegroup(**names)
    wait_for(cluster_account.describe_nodegroup, "DELETE_FAILED")
    cluster_account.sandbox.knobs(nodegroup_outcomes={})
    cluster_account.eks.delete_nodegroup(**names)
    cluster_account.eks.get_waiter("nodegroup_deleted").wait(**names, WaiterConfig={"Delay": 1, "MaxAttempts": 15})
    cluster_account.eks.create_nodegroup(**wanted)
    cluster_account.eks.get_waiter("nodegroup_active").wait(**names, WaiterConfig={"Delay": 1, "MaxAttempts": 15})


def test_knobs_make_nodegroup_update_fail(cluster_account: Account) -> None:
    cluster_account.nodegroup(nodeRole=ROLE)
    cluster_account.sandbox.knobs(
        update_outcomes={"ConfigUpdate": "Failed"}, update_errors={"ConfigUpdate": "PodEvictionFailure"}
    )
    names = {"clusterName": "one", "nodegroupName": "nodes"}
    update = cluster_account.eks.update_nodegroup_config(**names, scalingConfig={"desiredSize": 1})["update"]
    follow = {"name": "one", "nodegroupName": "nodes", "updateId": update["id"]}
    ended = wait_for(lambda: cluster_account.eks.describe_update(**follow)["update"], "Failed")
    assert ended["errors"][0]["errorCode"] == "PodEvictionFailure"
    assert wait_for(cluster_account.describe_nodegroup, "ACTIVE")["scalingConfig"]["desiredSize"] == 2
    assert cluster_account.eks.list_updates(name="one", nodegroupName="nodes")["updateIds"] == [update["id"]]


def test_nodegroups_are_limited_and_come_in_pages(cluster_account: Account) -> None:
    for number in range(30):
        cluster_account.nodegroup(
            name=f"group-{number:02d}", nodeRole=ROLE, scalingConfig={"minSize": 0, "desiredSize": 0}
        )
    with refused("ResourceLimitExceededException", status=400):
        cluster_account.nodegroup(name="one-more", nodeRole=ROLE)
    pages = cluster_account.eks.get_paginator("list_nodegroups").paginate(
        clusterName="one", PaginationConfig={"PageSize": 7}
    )
    found = [page["nodegroups"] for page in pages]
    assert [len(page) for page in found] == [7, 7, 7, 7, 2]
    assert len({name for page in found for name in page}) == 30
