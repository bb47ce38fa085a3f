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
def ground(account: Account) -> Account:
    """An account with a cluster and a node role."""
    account.cluster("one")
    account.role("node-role", "ec2.amazonaws.com", ("sts:AssumeRole",), *NODE_POLICIES)
    return account


def template(account: Account, name: str = "nodes", **data: t.Any) -> dict[str, str]:
    """A launch template, as a node group names it."""
    made = account.ec2.create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData=data or {"EbsOptimized": True}
    )
    return {"id": made["LaunchTemplate"]["LaunchTemplateId"], "version": "1"}


def test_a_node_group_is_creating_and_then_active(ground: Account) -> None:
    ground.sandbox.knobs(nodegroup_seconds=0.3)
    parameters = {"clusterName": "one", "nodegroupName": "nodes", "subnets": ground.subnets()[:2], "nodeRole": ROLE}
    created = ground.eks.create_nodegroup(**parameters)["nodegroup"]
    assert created["status"] == "CREATING"
    assert wait_for(ground.describe_nodegroup, "ACTIVE")["nodegroupArn"] == created["nodegroupArn"]
    assert ground.eks.list_nodegroups(clusterName="one")["nodegroups"] == ["nodes"]


def test_a_node_group_has_the_defaults_of_eks(ground: Account) -> None:
    group = ground.nodegroup(nodeRole=ROLE)
    assert group["updateConfig"] == {"maxUnavailable": 1}
    assert group["diskSize"] == 20
    assert group["instanceTypes"] == ["t3.medium"]
    assert group["capacityType"] == "ON_DEMAND"
    assert group["amiType"] == "AL2023_x86_64_STANDARD"
    assert group["scalingConfig"] == {"minSize": 1, "maxSize": 2, "desiredSize": 2}
    assert (group["labels"], group["taints"], group["tags"], group["health"]) == ({}, [], {}, {"issues": []})
    assert "launchTemplate" not in group


def test_a_node_group_gives_its_role_access_to_the_cluster(ground: Account) -> None:
    ground.nodegroup(nodeRole=ROLE)
    entry = ground.eks.describe_access_entry(clusterName="one", principalArn=ROLE)["accessEntry"]
    assert (entry["type"], entry["kubernetesGroups"]) == ("EC2_LINUX", ["system:nodes"])
    assert entry["username"] == "system:node:{{EC2PrivateDNSName}}"
    ground.eks.delete_nodegroup(clusterName="one", nodegroupName="nodes")
    wait_until_gone(ground.describe_nodegroup)
    with refused("ResourceNotFoundException"):
        ground.eks.describe_access_entry(clusterName="one", principalArn=ROLE)


def test_a_second_node_group_of_the_same_name_is_a_conflict(ground: Account) -> None:
    ground.nodegroup(nodeRole=ROLE)
    with refused("ResourceInUseException", "NodeGroup already exists with name nodes", status=409):
        ground.nodegroup(nodeRole=ROLE)


def test_a_node_group_that_does_not_exist_is_not_found(ground: Account) -> None:
    for call in (ground.eks.describe_nodegroup, ground.eks.delete_nodegroup, ground.eks.update_nodegroup_config):
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
def test_parameters_that_eks_refuses(ground: Account, changes: dict[str, t.Any], code: str, words: str) -> None:
    with refused(code, words, status=400):
        ground.nodegroup(**{"nodeRole": ROLE, **changes})
    assert ground.eks.list_nodegroups(clusterName="one")["nodegroups"] == []


def test_a_launch_template_keeps_all_of_its_volume(account: Account) -> None:
    volume = {"VolumeSize": 50, "VolumeType": "gp3", "Iops": 4000, "Throughput": 250, "Encrypted": True}
    volume |= {"KmsKeyId": "arn:aws:kms:eu-west-1:111122223333:key/1234abcd", "DeleteOnTermination": True}
    data = {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": volume}]}
    account.ec2.create_launch_template(LaunchTemplateName="volumes", LaunchTemplateData=data)
    [version] = account.ec2.describe_launch_template_versions(LaunchTemplateName="volumes")["LaunchTemplateVersions"]
    assert version["LaunchTemplateData"]["BlockDeviceMappings"] == data["BlockDeviceMappings"]


def test_the_node_role_must_trust_ec2(ground: Account) -> None:
    with refused("InvalidParameterException", "[ec2.amazonaws.com] were not found", status=400):
        ground.nodegroup(nodeRole=ground.pod_role())


def test_the_caller_must_be_allowed_to_pass_the_node_role(ground: Account) -> None:
    keys = ground.user("maker", allow("eks:*", "iam:GetRole", "iam:CreateServiceLinkedRole"))
    eks = ground.sandbox.client("eks", **keys)
    with refused("AccessDeniedException", "iam:PassRole", status=403):
        eks.create_nodegroup(clusterName="one", nodegroupName="nodes", subnets=ground.subnets(), nodeRole=ROLE)


def test_subnets_of_another_vpc_are_refused(ground: Account) -> None:
    vpc = ground.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    foreign = ground.ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    with refused("InvalidParameterException", "do not belong to the cluster's VPC", status=400):
        ground.nodegroup(nodeRole=ROLE, subnets=[foreign])


@pytest.mark.parametrize(
    ("data", "changes", "words"),
    [
        ({}, {"diskSize": 20}, "Disk size must be specified within the launch template."),
        ({}, {"remoteAccess": {"ec2SshKey": "key"}}, "Remote access configuration cannot be specified"),
        ({"InstanceType": "m5.large"}, {"instanceTypes": ["m5.large"]}, "Instance type cannot be specified both"),
        ({"IamInstanceProfile": {"Name": "mine"}}, {}, "should not specify an instance profile"),
    ],
)
def test_a_launch_template_and_the_request_must_not_overlap(
    ground: Account, data: dict[str, t.Any], changes: dict[str, t.Any], words: str
) -> None:
    with refused("InvalidRequestException", words, status=400):
        ground.nodegroup(nodeRole=ROLE, launchTemplate=template(ground, **data), **changes)


def test_a_launch_template_must_exist(ground: Account) -> None:
    with refused("InvalidParameterException", "lt-0000dead, does not exist", status=400):
        ground.nodegroup(nodeRole=ROLE, launchTemplate={"id": "lt-0000dead"})
    given = template(ground)
    with refused("InvalidParameterException", "version 7", status=400):
        ground.nodegroup(nodeRole=ROLE, launchTemplate={**given, "version": "7"})
    with refused("InvalidParameterException", "but not both", status=400):
        ground.nodegroup(nodeRole=ROLE, launchTemplate={**given, "name": "nodes"})


def test_a_launch_template_is_told_with_id_name_and_version(ground: Account) -> None:
    given = template(ground, InstanceType="m5.large")
    group = ground.nodegroup(nodeRole=ROLE, launchTemplate={"name": "nodes"})
    assert group["launchTemplate"] == {"id": given["id"], "name": "nodes", "version": "1"}
    assert "diskSize" not in group
    assert group["instanceTypes"] == []


def test_the_version_of_the_launch_template_can_change_but_not_the_template(ground: Account) -> None:
    given, other = template(ground), template(ground, "others")
    ground.ec2.create_launch_template_version(LaunchTemplateId=given["id"], LaunchTemplateData={"EbsOptimized": False})
    ground.nodegroup(nodeRole=ROLE, launchTemplate=given)
    with refused("InvalidRequestException", "cannot change the launch template", status=400):
        ground.eks.update_nodegroup_version(clusterName="one", nodegroupName="nodes", launchTemplate=other)
    wanted = {"id": given["id"], "version": "2"}
    update = ground.eks.update_nodegroup_version(clusterName="one", nodegroupName="nodes", launchTemplate=wanted)
    assert update["update"]["type"] == "VersionUpdate"
    assert wait_for(ground.describe_nodegroup, "ACTIVE")["launchTemplate"]["version"] == "2"


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        ((), "Instances failed to join the kubernetes cluster"),
        (("AmazonEKSWorkerNodePolicy",), "Unhealthy nodes in the kubernetes cluster"),
        (("AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy"), "Unhealthy nodes in the kubernetes cluster"),
        (("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"), "Unhealthy nodes"),
    ],
)
def test_nodes_whose_role_lacks_permissions_do_not_come_up(
    ground: Account, policies: tuple[str, ...], message: str
) -> None:
    role = ground.role("poor", "ec2.amazonaws.com", ("sts:AssumeRole",), *policies)
    ground.eks.create_nodegroup(clusterName="one", nodegroupName="nodes", subnets=ground.subnets(), nodeRole=role)
    [issue] = wait_for(ground.describe_nodegroup, "CREATE_FAILED")["health"]["issues"]
    assert (issue["code"], len(issue["resourceIds"])) == ("NodeCreationFailure", 2)
    assert issue["message"].startswith(message)


def test_a_group_without_nodes_does_not_show_what_its_role_lacks(ground: Account) -> None:
    role = ground.role("poor", "ec2.amazonaws.com", ("sts:AssumeRole",))
    assert ground.nodegroup(nodeRole=role, scalingConfig={"minSize": 0, "maxSize": 2, "desiredSize": 0})


def test_the_network_plugin_may_have_an_identity_of_its_own(ground: Account) -> None:
    policies = ("AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly")
    role = ground.role("lean", "ec2.amazonaws.com", ("sts:AssumeRole",), *policies)
    ground.associate(ground.pod_role(), "aws-node", namespace="kube-system")
    assert ground.nodegroup(nodeRole=role)["status"] == "ACTIVE"


def test_an_image_goes_forward_within_its_kubernetes_version(ground: Account) -> None:
    old, new = "1.34.1-20251112", "1.34.2-20260120"
    assert ground.nodegroup(nodeRole=ROLE, releaseVersion=old)["releaseVersion"] == old
    names = {"clusterName": "one", "nodegroupName": "nodes"}
    ground.eks.update_nodegroup_version(**names, releaseVersion=new)
    assert wait_for(ground.describe_nodegroup, "ACTIVE")["releaseVersion"] == new
    with refused("InvalidParameterException", "cannot be rolled back", status=400):
        ground.eks.update_nodegroup_version(**names, releaseVersion=old)
    with refused("InvalidParameterException", "not valid for kubernetes version 1.34", status=400):
        ground.eks.update_nodegroup_version(**names, releaseVersion="1.35.2-20260120")


def test_nodes_follow_the_control_plane_and_never_lead_it(ground: Account) -> None:
    ground.cluster("two", version="1.33")
    ground.nodegroup("two", nodeRole=ROLE)
    names = {"clusterName": "two", "nodegroupName": "nodes"}
    with refused("InvalidParameterException", "must be the cluster's version 1.33", status=400):
        ground.eks.update_nodegroup_version(**names, version="1.34")
    ground.eks.update_cluster_version(name="two", version="1.34")
    wait_for(lambda: ground.eks.describe_cluster(name="two")["cluster"], "ACTIVE")
    assert ground.describe_nodegroup("two")["version"] == "1.33"
    ground.eks.update_nodegroup_version(**names)
    group = wait_for(lambda: ground.describe_nodegroup("two"), "ACTIVE")
    assert (group["version"], group["releaseVersion"]) == ("1.34", "1.34.2-20260120")


def test_force_overrides_pods_that_cannot_be_evicted_and_nothing_else(ground: Account) -> None:
    ground.nodegroup(nodeRole=ROLE, releaseVersion="1.34.1-20251112")
    names = {"clusterName": "one", "nodegroupName": "nodes"}

    def outcome(error: str, **more: t.Any) -> str:
        ground.sandbox.knobs(update_outcomes={"VersionUpdate": "Failed"}, update_errors={"VersionUpdate": error})
        update = ground.eks.update_nodegroup_version(**names, **more)["update"]
        follow = {"name": "one", "nodegroupName": "nodes", "updateId": update["id"]}
        ended = wait_for(lambda: ground.eks.describe_update(**follow)["update"], "Failed", "Successful")
        wait_for(ground.describe_nodegroup, "ACTIVE")
        return str(ended["status"])

    assert outcome("PodEvictionFailure") == "Failed"
    assert outcome("NodeCreationFailure", force=True) == "Failed"
    assert outcome("PodEvictionFailure", force=True) == "Successful"


def test_the_strategy_of_updates_keeps_the_number_of_nodes(ground: Account) -> None:
    group = ground.nodegroup(nodeRole=ROLE, updateConfig={"updateStrategy": "MINIMAL"})
    assert group["updateConfig"] == {"maxUnavailable": 1, "updateStrategy": "MINIMAL"}


def test_configuration_changes_go_through_updating(ground: Account) -> None:
    taint = {"key": "gpu", "value": "yes", "effect": "NO_SCHEDULE"}
    ground.nodegroup(nodeRole=ROLE, labels={"a": "1", "b": "2"}, taints=[taint])
    ground.sandbox.knobs(nodegroup_seconds=0.3)
    names = {"clusterName": "one", "nodegroupName": "nodes"}
    update = ground.eks.update_nodegroup_config(
        **names,
        scalingConfig={"minSize": 2, "maxSize": 4, "desiredSize": 3},
        updateConfig={"maxUnavailablePercentage": 50},
        labels={"addOrUpdateLabels": {"b": "3"}, "removeLabels": ["a"]},
        taints={"addOrUpdateTaints": [{**taint, "value": "no"}]},
    )["update"]
    assert ground.describe_nodegroup()["status"] == "UPDATING"
    with refused("ResourceInUseException", status=409):
        ground.eks.update_nodegroup_config(**names, labels={"removeLabels": ["b"]})
    with refused("ResourceInUseException", status=409):
        ground.eks.delete_nodegroup(**names)
    group = wait_for(ground.describe_nodegroup, "ACTIVE")
    assert group["scalingConfig"] == {"minSize": 2, "maxSize": 4, "desiredSize": 3}
    assert group["updateConfig"] == {"maxUnavailablePercentage": 50}
    assert group["labels"] == {"b": "3"}
    assert group["taints"] == [{**taint, "value": "no"}]
    described = ground.eks.describe_update(name="one", nodegroupName="nodes", updateId=update["id"])["update"]
    assert (described["type"], described["status"]) == ("ConfigUpdate", "Successful")
    with refused("ResourceNotFoundException", status=404):
        ground.eks.describe_update(name="one", updateId=update["id"])


def test_a_bad_scaling_is_refused_in_an_update_too(ground: Account) -> None:
    ground.nodegroup(nodeRole=ROLE)
    with refused("InvalidParameterException", "Desired capacity 9", status=400):
        ground.eks.update_nodegroup_config(clusterName="one", nodegroupName="nodes", scalingConfig={"desiredSize": 9})


def test_taints_and_labels_can_be_removed(ground: Account) -> None:
    taint = {"key": "gpu", "value": "yes", "effect": "NO_SCHEDULE"}
    ground.nodegroup(nodeRole=ROLE, labels={"a": "1"}, taints=[taint])
    names = {"clusterName": "one", "nodegroupName": "nodes"}
    with refused("InvalidParameterException", "reserved prefixes", status=400):
        ground.eks.update_nodegroup_config(**names, labels={"addOrUpdateLabels": {"k8s.io/a": "b"}})
    update = ground.eks.update_nodegroup_config(
        **names, labels={"removeLabels": ["a"]}, taints={"removeTaints": [taint]}
    )["update"]
    assert {one["type"] for one in update["params"]} == {"LabelsToRemove", "TaintsToRemove"}
    group = wait_for(ground.describe_nodegroup, "ACTIVE")
    assert (group["labels"], group["taints"]) == ({}, [])
    with refused("InvalidParameterException", "No changes", status=400):
        ground.eks.update_nodegroup_config(**names)


def test_a_node_group_can_be_told_to_fail(ground: Account) -> None:
    names = {"clusterName": "one", "nodegroupName": "nodes"}
    wanted = {**names, "subnets": ground.subnets(), "nodeRole": ROLE}
    ground.sandbox.knobs(nodegroup_outcomes={"nodes": "CREATE_FAILED"}, nodegroup_issues={"nodes": "AccessDenied"})
    ground.eks.create_nodegroup(**wanted)
    failed = wait_for(ground.describe_nodegroup, "CREATE_FAILED")
    assert [issue["code"] for issue in failed["health"]["issues"]] == ["AccessDenied"]
    with pytest.raises(botocore.exceptions.WaiterError, match="CREATE_FAILED"):
        ground.eks.get_waiter("nodegroup_active").wait(**names, WaiterConfig={"Delay": 1, "MaxAttempts": 5})
    ground.sandbox.knobs(nodegroup_outcomes={"nodes": "DELETE_FAILED"})
    ground.eks.delete_nodegroup(**names)
    wait_for(ground.describe_nodegroup, "DELETE_FAILED")
    ground.sandbox.knobs(nodegroup_outcomes={})
    ground.eks.delete_nodegroup(**names)
    ground.eks.get_waiter("nodegroup_deleted").wait(**names, WaiterConfig={"Delay": 1, "MaxAttempts": 15})
    ground.eks.create_nodegroup(**wanted)
    ground.eks.get_waiter("nodegroup_active").wait(**names, WaiterConfig={"Delay": 1, "MaxAttempts": 15})


def test_an_update_of_a_node_group_can_be_told_to_fail(ground: Account) -> None:
    ground.nodegroup(nodeRole=ROLE)
    ground.sandbox.knobs(
        update_outcomes={"ConfigUpdate": "Failed"}, update_errors={"ConfigUpdate": "PodEvictionFailure"}
    )
    names = {"clusterName": "one", "nodegroupName": "nodes"}
    update = ground.eks.update_nodegroup_config(**names, scalingConfig={"desiredSize": 1})["update"]
    follow = {"name": "one", "nodegroupName": "nodes", "updateId": update["id"]}
    ended = wait_for(lambda: ground.eks.describe_update(**follow)["update"], "Failed")
    assert ended["errors"][0]["errorCode"] == "PodEvictionFailure"
    assert wait_for(ground.describe_nodegroup, "ACTIVE")["scalingConfig"]["desiredSize"] == 2
    assert ground.eks.list_updates(name="one", nodegroupName="nodes")["updateIds"] == [update["id"]]


def test_node_groups_are_limited_and_come_in_pages(ground: Account) -> None:
    for number in range(30):
        ground.nodegroup(name=f"group-{number:02d}", nodeRole=ROLE, scalingConfig={"minSize": 0, "desiredSize": 0})
    with refused("ResourceLimitExceededException", status=400):
        ground.nodegroup(name="one-more", nodeRole=ROLE)
    pages = ground.eks.get_paginator("list_nodegroups").paginate(clusterName="one", PaginationConfig={"PageSize": 7})
    found = [page["nodegroups"] for page in pages]
    assert [len(page) for page in found] == [7, 7, 7, 7, 2]
    assert len({name for page in found for name in page}) == 30
