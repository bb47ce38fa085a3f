# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module eks_nodegroup: results, calls, and what it leaves alone."""

from __future__ import annotations

import typing as t

import pytest
from support.iam_roles import make_role
from support.module_runs import NODE_ROLE
from support.module_runs import Account
from support.module_runs import Result
from support.module_runs import RunModule
from support.sandbox_process import SandboxProcess
from support.scripted_eks import scripted_eks

BATCH = {"key": "dedicated", "value": "batch", "effect": "NO_SCHEDULE"}
#: The images that there are for the cluster's Kubernetes version.
OLD_IMAGE, NEW_IMAGE = "1.33.1-20251112", "1.33.2-20260120"
REPAIR = {
    "enabled": True,
    "max_unhealthy_node_threshold_count": 3,
    "max_parallel_nodes_repaired_percentage": 50,
    "node_repair_config_overrides": [
        {
            "node_monitoring_condition": "AcceleratedInstanceNotReady",
            "node_unhealthy_reason": "NvidiaXID13Error",
            "min_repair_wait_time_mins": 10,
            "repair_action": "Reboot",
        }
    ],
}
NAMES = {"clusterName": "example", "nodegroupName": "general"}
#: What an update changes beside what it was asked for.
TIMESTAMPS = {"modifiedAt"}


@pytest.fixture
def nodegroup(run_module: RunModule) -> t.Callable[..., Result]:
    """The module eks_nodegroup for the node group ``general`` of the cluster ``example``."""

    def run(**params: t.Any) -> Result:
        return run_module("eks_nodegroup", **{"cluster_name": "example", "name": "general", **params})

    return run


@pytest.fixture
def cluster(account: Account) -> Account:
    """An account with the cluster ``example``, and an empty call log."""
    account.create_cluster()
    account.sandbox.clear_calls()
    return account


def declaration(account: Account) -> dict[str, t.Any]:
    """A node group with every option set."""
    return {
        "node_role_arn": NODE_ROLE,
        "subnet_ids": account.subnet_ids[:2],
        "instance_types": ["m5.large"],
        "ami_type": "AL2023_x86_64_STANDARD",
        "capacity_type": "ON_DEMAND",
        "disk_size": 20,
        "scaling": {"min_size": 2, "desired_size": 3, "max_size": 4},
        "version": "1.33",
        "release_version": OLD_IMAGE,
        "update_config": {"max_unavailable": 3, "update_strategy": "MINIMAL"},
        "repair_config": REPAIR,
        "labels": {"pool": "general", "camelCase": "Value"},
        "taints": [BATCH],
        "tags": {"podidentity.eks/cluster": "example", "CamelCase": "kept"},
    }


def described(account: Account) -> dict[str, t.Any]:
    found: dict[str, t.Any] = account.eks.describe_nodegroup(**NAMES)["nodegroup"]
    return found


def launch_template(account: Account, clients: dict[str, t.Any]) -> str:
    """A launch template with two versions; returns its ID."""
    ec2 = clients["ec2"]
    groups = {"SecurityGroupIds": account.security_group_ids}
    template = ec2.create_launch_template(LaunchTemplateName="nodes", LaunchTemplateData=groups)["LaunchTemplate"]
    ec2.create_launch_template_version(LaunchTemplateName="nodes", LaunchTemplateData=groups)
    account.sandbox.clear_calls()
    template_id: str = template["LaunchTemplateId"]
    return template_id


def test_cluster_name_and_name_are_required(run_module: RunModule, account: Account) -> None:
    result = run_module("eks_nodegroup")
    assert result["failed"]
    assert "cluster_name, name" in result["msg"]
    assert account.sandbox.calls() == {}


def test_missing_cluster_fails_with_one_sentence(nodegroup: t.Callable[..., Result], account: Account) -> None:
    for check_mode in (True, False):
        result = nodegroup(**declaration(account), check_mode=check_mode)
        assert result["failed"]
        assert result["msg"] == (
            'cluster_name "example" names no cluster in region eu-west-1: create the cluster first, '
            "or correct the name or the region."
        )
    assert account.writes() == []


def test_new_nodegroup_needs_role_and_subnets(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    result = nodegroup()
    assert result["failed"]
    assert "node_role_arn is missing" in result["msg"]
    assert "subnet_ids is missing" in result["msg"]
    assert cluster.writes() == []


def test_check_mode_predicts_create_and_writes_nothing(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    result = nodegroup(**declaration(cluster), check_mode=True, diff=True)
    assert result["changed"]
    assert result["actions"] == ["create_nodegroup"]
    assert result["nodegroup"]["labels"] == {"pool": "general", "camelCase": "Value"}
    assert result["nodegroup"]["scaling_config"] == {"min_size": 2, "desired_size": 3, "max_size": 4}
    assert result["diff"] == {"before": {}, "after": result["nodegroup"]}
    assert cluster.writes() == []
    assert cluster.eks.list_nodegroups(clusterName="example")["nodegroups"] == []


def test_create_does_what_check_mode_predicted(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    predicted = nodegroup(**declaration(cluster), check_mode=True)["nodegroup"]
    result = nodegroup(**declaration(cluster))
    assert result["changed"]
    assert cluster.writes() == ["CreateNodegroup"]
    found = result["nodegroup"]
    assert found["status"] == "ACTIVE"
    assert {key: found[key] for key in predicted} == predicted
    assert found["nodegroup_arn"].startswith("arn:aws:eks:eu-west-1:111122223333:nodegroup/example/general/")


def test_second_run_changes_nothing_in_one_call(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    first = nodegroup(**declaration(cluster))
    cluster.sandbox.clear_calls()
    second = nodegroup(**declaration(cluster), diff=True)
    assert not second["changed"]
    assert second["nodegroup"] == first["nodegroup"]
    assert second["diff"]["before"] == second["diff"]["after"]
    assert cluster.sandbox.calls() == {"eks:DescribeNodegroup": 1}


def test_second_run_leaves_default_nodegroup_unchanged(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    wanted = {"node_role_arn": NODE_ROLE, "subnet_ids": cluster.subnet_ids}
    assert nodegroup(**wanted)["changed"]
    assert not nodegroup(**wanted)["changed"]
    assert not nodegroup()["changed"]


def test_update_changes_only_declared_options(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    nodegroup(**declaration(cluster))
    before = described(cluster)
    cluster.sandbox.clear_calls()
    wanted: dict[str, t.Any] = {
        "labels": {"pool": "batch", "new": 1},
        "taints": [{**BATCH, "value": "night"}, {"key": "spot", "effect": "PREFER_NO_SCHEDULE"}],
        "scaling": {"max_size": 6},
        "update_config": {"max_unavailable_percentage": 50},
        "tags": {"CamelCase": "changed"},
    }
    predicted = nodegroup(**wanted, check_mode=True, diff=True)
    assert predicted["changed"]
    assert cluster.writes() == []
    result = nodegroup(**wanted)
    assert result["actions"] == predicted["actions"]
    assert cluster.writes() == ["UntagResource", "TagResource", "UpdateNodegroupConfig"]
    stamped = {"modified_at"}
    assert {key: value for key, value in result["nodegroup"].items() if key not in stamped} == {
        key: value for key, value in predicted["nodegroup"].items() if key not in stamped
    }
    after = described(cluster)
    assert after["labels"] == {"pool": "batch", "new": "1"}
    assert after["taints"] == wanted["taints"]
    assert after["scalingConfig"] == {"minSize": 2, "maxSize": 6, "desiredSize": 3}
    assert after["updateConfig"] == {"maxUnavailablePercentage": 50, "updateStrategy": "MINIMAL"}
    assert after["tags"] == {"CamelCase": "changed"}
    touched = {"labels", "taints", "scalingConfig", "updateConfig", "tags"} | TIMESTAMPS
    assert {key: value for key, value in after.items() if key not in touched} == {
        key: value for key, value in before.items() if key not in touched
    }
    assert not nodegroup(**wanted)["changed"]


def test_creation_tags_mark_created_nodegroups_only(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    marked = {**declaration(cluster), "tags": {"team": "a"}, "creation_tags": {"made": "here"}}
    assert nodegroup(**marked)["nodegroup"]["tags"] == {"team": "a", "made": "here"}
    assert not nodegroup(**marked)["changed"], "purging leaves them"
    cluster.create_nodegroup(name="others", tags={"team": "b"})
    result = nodegroup(name="others", tags={"team": "a"}, creation_tags={"made": "here"})
    assert result["nodegroup"]["tags"] == {"team": "a"}


@pytest.mark.parametrize(
    ("option", "value", "key"),
    [("labels", {}, "labels"), ("taints", [], "taints"), ("tags", {}, "tags")],
)
def test_empty_value_clears_only_its_option(
    nodegroup: t.Callable[..., Result], cluster: Account, option: str, value: t.Any, key: str
) -> None:
    nodegroup(**declaration(cluster))
    before = described(cluster)
    assert nodegroup(**{option: value})["changed"]
    after = described(cluster)
    assert after[key] == value
    untouched = set(after) - {key} - TIMESTAMPS
    assert {name: after[name] for name in untouched} == {name: before[name] for name in untouched}


def test_check_mode_detects_changed_label_value(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    cluster.create_nodegroup(labels={"pool": "general"})
    cluster.sandbox.clear_calls()
    result = nodegroup(labels={"pool": "batch"}, check_mode=True, diff=True)
    assert result["changed"]
    assert result["diff"]["before"]["labels"] == {"pool": "general"}
    assert result["diff"]["after"]["labels"] == {"pool": "batch"}
    assert cluster.writes() == []


def test_undeclared_desired_size_stays(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    cluster.create_nodegroup(scalingConfig={"minSize": 1, "maxSize": 5, "desiredSize": 4})
    assert not nodegroup(scaling={"min_size": 1, "max_size": 5})["changed"]
    assert nodegroup(scaling={"max_size": 6})["nodegroup"]["scaling_config"]["desired_size"] == 4


def test_launch_template_version_change_updates_nodegroup(
    nodegroup: t.Callable[..., Result], cluster: Account, clients: dict[str, t.Any]
) -> None:
    template_id = launch_template(cluster, clients)
    wanted: dict[str, t.Any] = {"node_role_arn": NODE_ROLE, "subnet_ids": cluster.subnet_ids}
    first = nodegroup(**wanted, launch_template={"id": template_id, "version": 1})
    assert first["nodegroup"]["launch_template"] == {"id": template_id, "name": "nodes", "version": "1"}
    assert not nodegroup(**wanted, launch_template={"name": "nodes"})["changed"]
    cluster.sandbox.clear_calls()
    second = nodegroup(**wanted, launch_template={"name": "nodes", "version": 2})
    assert second["nodegroup"]["launch_template"] == {"id": template_id, "name": "nodes", "version": "2"}
    assert cluster.writes() == ["UpdateNodegroupVersion"]
    refused = nodegroup(launch_template={"id": "lt-0123456789abcdef0"})
    assert refused["failed"]
    assert "launch_template.id" in refused["msg"]
    assert template_id in refused["msg"]


def update_control_plane(account: Account, version: str) -> None:
    account.eks.update_cluster_version(name="example", version=version)
    account.until_active(lambda: account.eks.describe_cluster(name="example")["cluster"])
    account.sandbox.clear_calls()


def test_release_version_updates_within_kubernetes_version(
    nodegroup: t.Callable[..., Result], cluster: Account
) -> None:
    nodegroup(**declaration(cluster))
    update_control_plane(cluster, "1.34")
    result = nodegroup(release_version=NEW_IMAGE)
    assert cluster.writes() == ["UpdateNodegroupVersion"]
    found = result["nodegroup"]
    assert (found["version"], found["release_version"]) == ("1.33", NEW_IMAGE), "the control plane's stays its own"
    assert not nodegroup(release_version=NEW_IMAGE)["changed"]
    refused = nodegroup(release_version=OLD_IMAGE)
    assert f"is {NEW_IMAGE} and cannot become {OLD_IMAGE}: it never goes backwards" in refused["msg"]


def test_version_and_launch_template_update_in_one_call(
    nodegroup: t.Callable[..., Result], cluster: Account, clients: dict[str, t.Any]
) -> None:
    template_id = launch_template(cluster, clients)
    wanted: dict[str, t.Any] = {"node_role_arn": NODE_ROLE, "subnet_ids": cluster.subnet_ids, "version": "1.33"}
    nodegroup(**wanted, launch_template={"id": template_id, "version": 1})
    early = nodegroup(version="1.34", check_mode=True)
    assert early["failed"]
    assert "its cluster has 1.33, and nodes are never newer" in early["msg"]
    update_control_plane(cluster, "1.34")
    assert not nodegroup(version="1.33")["changed"], "EKS allows nodes to be older"
    assert cluster.sandbox.calls() == {"eks:DescribeNodegroup": 1}
    both = {"version": "1.34", "launch_template": {"id": template_id, "version": 2}, "labels": {"a": "b"}}
    predicted = nodegroup(**both, check_mode=True, diff=True)
    assert predicted["diff"]["after"]["version"] == "1.34"
    result = nodegroup(**both)
    assert result["actions"] == predicted["actions"] == ["update_nodegroup_config", "update_nodegroup_version"]
    found = result["nodegroup"]
    assert (found["version"], found["release_version"]) == ("1.34", "1.34.2-20260120")
    assert found["launch_template"]["version"] == "2"
    assert len(cluster.eks.list_updates(name="example", nodegroupName="general")["updateIds"]) == 2
    assert "never goes backwards" in nodegroup(version="1.33")["msg"]


def test_launch_template_update_keeps_kubernetes_version(
    nodegroup: t.Callable[..., Result], cluster: Account, clients: dict[str, t.Any]
) -> None:
    template_id = launch_template(cluster, clients)
    template = {"id": template_id, "version": 1}
    nodegroup(node_role_arn=NODE_ROLE, subnet_ids=cluster.subnet_ids, launch_template=template)
    update_control_plane(cluster, "1.34")
    assert nodegroup(launch_template={"id": template_id, "version": 2})["nodegroup"]["version"] == "1.33"


def test_new_nodegroup_must_have_cluster_version(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    result = nodegroup(**{**declaration(cluster), "version": "1.32"}, check_mode=True)
    assert result["failed"]
    assert "cannot be 1.32: a new node group gets its cluster's version 1.33" in result["msg"]


def test_pod_eviction_failure_needs_force_update(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    nodegroup(**declaration(cluster))
    errors = {"VersionUpdate": "PodEvictionFailure"}
    cluster.sandbox.knobs(update_outcomes={"VersionUpdate": "Failed"}, update_errors=errors)
    failed = nodegroup(release_version=NEW_IMAGE)
    assert failed["failed"]
    assert "VersionUpdate of general to be done, but it is Failed (PodEvictionFailure: " in failed["msg"]
    assert described(cluster)["releaseVersion"] == OLD_IMAGE
    assert nodegroup(release_version=NEW_IMAGE, force_update=True)["nodegroup"]["release_version"] == NEW_IMAGE


def test_partial_repair_and_update_config_keep_the_rest(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    nodegroup(**declaration(cluster))
    result = nodegroup(
        repair_config={"max_unhealthy_node_threshold_percentage": 20}, update_config={"update_strategy": "DEFAULT"}
    )
    assert result["actions"] == ["update_nodegroup_config"]
    kept = {key: value for key, value in REPAIR.items() if key != "max_unhealthy_node_threshold_count"}
    assert result["nodegroup"]["node_repair_config"] == {**kept, "max_unhealthy_node_threshold_percentage": 20}
    assert result["nodegroup"]["update_config"] == {"max_unavailable": 3, "update_strategy": "DEFAULT"}
    assert nodegroup(repair_config={"enabled": False})["nodegroup"]["node_repair_config"]["enabled"] is False


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("node_role_arn", "arn:aws:iam::111122223333:role/app"),
        ("instance_types", ["m5.xlarge"]),
        ("ami_type", "BOTTLEROCKET_x86_64"),
        ("capacity_type", "SPOT"),
        ("disk_size", 30),
    ],
)
def test_immutable_option_is_refused_before_any_write(
    nodegroup: t.Callable[..., Result], cluster: Account, option: str, value: t.Any
) -> None:
    cluster.create_nodegroup()
    cluster.sandbox.clear_calls()
    for check_mode in (True, False):
        result = nodegroup(**{option: value}, tags={"never": "set"}, check_mode=check_mode)
        assert result["failed"]
        assert result["msg"].startswith(f"{option} of node group general of cluster example is ")
        assert "cannot become" in result["msg"]
        assert "\n" not in result["msg"]
    assert cluster.writes() == []


def test_other_subnets_are_refused_before_any_write(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    cluster.create_nodegroup()
    cluster.sandbox.clear_calls()
    result = nodegroup(subnet_ids=cluster.subnet_ids[2:])
    assert result["failed"]
    assert result["msg"].startswith("subnet_ids of node group general")
    assert all(subnet in result["msg"] for subnet in cluster.subnet_ids)
    assert cluster.writes() == []


def test_delete_waits_and_second_delete_changes_nothing(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    cluster.create_nodegroup()
    cluster.create_nodegroup(name="foreign")
    cluster.sandbox.clear_calls()
    assert nodegroup(state="absent", check_mode=True)["changed"]
    assert cluster.writes() == []
    result = nodegroup(state="absent")
    assert result["changed"]
    assert result["nodegroup"] is None
    assert cluster.writes() == ["DeleteNodegroup"]
    assert cluster.eks.list_nodegroups(clusterName="example")["nodegroups"] == ["foreign"]
    cluster.sandbox.clear_calls()
    assert not nodegroup(state="absent")["changed"]
    assert cluster.sandbox.calls() == {"eks:ListNodegroups": 1}


def test_absent_accepts_missing_cluster(nodegroup: t.Callable[..., Result], account: Account) -> None:
    result = nodegroup(state="absent")
    assert not result["failed"]
    assert not result["changed"]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"name": "no spaces"}, ["name", '"no spaces"', "1 to 63"]),
        ({"cluster_name": "a/b"}, ["cluster_name", '"a/b"']),
        ({"node_role_arn": "eks-node"}, ["node_role_arn", '"eks-node"', "arn:aws:iam::"]),
        ({"scaling": {"min_size": 3, "max_size": 2}}, ["scaling", "min_size 3", "max_size 2"]),
        ({"disk_size": 20, "launch_template": {"name": "nodes"}}, ["disk_size", "launch_template"]),
        ({"launch_template": {"name": "nodes", "version": "$Latest"}}, ["launch_template.version", "$Latest"]),
        ({"launch_template": {"version": "1"}}, ["launch_template", "id, name"]),
        ({"launch_template": {"id": "lt-1", "name": "nodes"}}, ["id|name", "launch_template"]),
        (
            {"update_config": {"max_unavailable": 1, "max_unavailable_percentage": 50}},
            ["max_unavailable|max_unavailable_percentage"],
        ),
        (
            {"repair_config": {"max_parallel_nodes_repaired_count": 1, "max_parallel_nodes_repaired_percentage": 5}},
            ["max_parallel_nodes_repaired_count|max_parallel_nodes_repaired_percentage"],
        ),
        ({"repair_config": {}}, ["repair_config", "enabled"]),
        ({"remote_access": {"ec2_ssh_key": "a"}, "launch_template": {"id": "lt-1"}}, ["remote_access", "template"]),
        ({"subnet_ids": []}, ["subnet_ids", "empty"]),
        ({"version": 1.3}, ["version", '"1.3"', "in quotes"]),
        ({"taints": [BATCH, BATCH]}, ["taints", "dedicated", "more than once"]),
        ({"taints": [{"key": "a", "effect": "NoSchedule"}]}, ["effect", "NO_SCHEDULE", "NoSchedule"]),
        ({"wait_timeout": -1}, ["wait_timeout", "-1"]),
    ],
)
def test_invalid_option_fails_before_any_call(
    nodegroup: t.Callable[..., Result], account: Account, params: dict[str, t.Any], words: list[str]
) -> None:
    result = nodegroup(**params)
    assert result["failed"]
    assert all(word in result["msg"] for word in words), result["msg"]
    assert "\n" not in result["msg"]
    assert account.sandbox.calls() == {}


def test_eks_refusal_is_reported_with_eks_message(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    result = nodegroup(node_role_arn="arn:aws:iam::111122223333:role/app", subnet_ids=cluster.subnet_ids)
    assert result["failed"]
    assert result["msg"].startswith("Failed to create nodegroup: ")
    assert "ec2.amazonaws.com" in result["msg"]
    assert cluster.eks.list_nodegroups(clusterName="example")["nodegroups"] == []


HEALTH = {"issues": [{"code": "NodeCreationFailure", "message": "No node joined", "resourceIds": ["i-1"]}]}


def test_failed_nodegroup_is_reported_with_advice(
    nodegroup: t.Callable[..., Result], sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = {**NAMES, "status": "CREATE_FAILED", "health": HEALTH}
    with scripted_eks({"GET /clusters/example/node-groups/general": {"nodegroup": failed}}) as (endpoint, handler):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        result = nodegroup(labels={"new": "1"})
    assert result["failed"]
    assert "general of cluster example is CREATE_FAILED (NodeCreationFailure: No node joined" in result["msg"]
    assert "state=absent" in result["msg"]
    assert {request.split()[0] for request in handler.requests} == {"GET"}


@pytest.mark.parametrize(
    ("status", "words"),
    [("Failed", "but it is Failed (NodeCreationFailure: No node joined)"), ("Cancelled", "but it is Cancelled")],
)
def test_failed_or_cancelled_update_is_reported(
    nodegroup: t.Callable[..., Result],
    sandbox: SandboxProcess,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    words: str,
) -> None:
    path = "/clusters/example/node-groups/general"
    errors = [{"errorCode": "NodeCreationFailure", "errorMessage": "No node joined"}] if status == "Failed" else []
    update = {"id": "update-1", "type": "ConfigUpdate", "status": "InProgress"}
    script = {
        f"GET {path}": {"nodegroup": {**NAMES, "nodegroupArn": "arn", "status": "ACTIVE"}},
        f"POST {path}/update-config": {"update": update},
        "GET /clusters/example/updates/update-1": {"update": {**update, "status": status, "errors": errors}},
    }
    with scripted_eks(script) as (endpoint, _handler):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        result = nodegroup(labels={"new": "1"})
    assert result["failed"]
    assert "ConfigUpdate of general" in result["msg"]
    assert words in result["msg"]


@pytest.mark.parametrize(
    ("status", "issue", "words"),
    [
        ("CREATE_FAILED", "AsgInstanceLaunchFailures", "but it is CREATE_FAILED (AsgInstanceLaunchFailures: "),
        ("DEGRADED", "InsufficientFreeAddresses", "but it is still DEGRADED (InsufficientFreeAddresses: "),
    ],
)
def test_unhealthy_new_nodegroup_reports_its_issues(
    nodegroup: t.Callable[..., Result], cluster: Account, status: str, issue: str, words: str
) -> None:
    cluster.sandbox.knobs(nodegroup_outcomes={"general": status}, nodegroup_issues={"general": issue})
    result = nodegroup(**declaration(cluster), wait_timeout=1)
    assert result["failed"]
    assert words in result["msg"]
    assert "Nodes join" not in result["msg"], "the role is not to blame"


def test_delete_failure_is_reported_and_can_be_retried(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    cluster.create_nodegroup()
    cluster.sandbox.knobs(nodegroup_outcomes={"general": "DELETE_FAILED"})
    result = nodegroup(state="absent")
    assert "general of cluster example to be deleted, but it is DELETE_FAILED (" in result["msg"]
    assert "is DELETE_FAILED" in nodegroup(labels={"a": "b"})["msg"]
    cluster.sandbox.knobs(nodegroup_outcomes={})
    assert nodegroup(state="absent")["nodegroup"] is None


def test_unhealthy_nodes_report_needed_role_policies(
    nodegroup: t.Callable[..., Result], cluster: Account, clients: dict[str, t.Any]
) -> None:
    role = make_role(clients["iam"], "poor-node", "ec2.amazonaws.com", "AmazonEKSWorkerNodePolicy")
    result = nodegroup(**{**declaration(cluster), "node_role_arn": role})
    assert "NodeCreationFailure: Unhealthy nodes in the kubernetes cluster" in result["msg"]
    assert f"Nodes join when their role {role} has AmazonEKSWorkerNodePolicy, AmazonEKS_CNI_Policy" in result["msg"]


def test_update_waits_for_update_in_progress(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    cluster.create_nodegroup()
    cluster.sandbox.knobs(nodegroup_seconds=0.3)
    cluster.eks.update_nodegroup_config(**NAMES, labels={"addOrUpdateLabels": {"by": "others"}})
    result = nodegroup(labels={"by": "us"}, diff=True)
    assert not result["failed"]
    assert result["diff"]["before"]["labels"] == {"by": "others"}
    assert result["nodegroup"]["labels"] == {"by": "us"}


def test_delete_waits_for_create_in_progress(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    cluster.sandbox.knobs(nodegroup_seconds=0.3)
    wanted = {"node_role_arn": NODE_ROLE, "subnet_ids": cluster.subnet_ids}
    assert nodegroup(**wanted, wait=False)["nodegroup"]["status"] == "CREATING"
    assert nodegroup(state="absent")["changed"]
    assert cluster.eks.list_nodegroups(clusterName="example")["nodegroups"] == []


def test_create_timeout_reports_status_and_next_run_waits(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    cluster.sandbox.knobs(nodegroup_seconds=1.5)
    late = nodegroup(**declaration(cluster), wait_timeout=1)
    assert late["failed"]
    assert (
        "Waited 1 seconds for the node group general of cluster example to become ACTIVE, but it is still CREATING"
        in late["msg"]
    )
    result = nodegroup(**declaration(cluster))
    assert not result["changed"]
    assert result["nodegroup"]["status"] == "ACTIVE"
    assert cluster.writes() == ["CreateNodegroup"]


def test_update_without_wait_returns_current_status(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    cluster.create_nodegroup()
    cluster.sandbox.knobs(nodegroup_seconds=0.5)
    result = nodegroup(labels={"new": "1"}, wait=False)
    assert result["changed"]
    assert result["nodegroup"]["status"] == "UPDATING"


def test_info_always_returns_list(run_module: RunModule, cluster: Account) -> None:
    for cluster_name, name in (("elsewhere", None), ("example", None), ("example", "none")):
        assert run_module("eks_nodegroup_info", cluster_name=cluster_name, name=name)["nodegroups"] == []
    cluster.create_nodegroup(name="two", tags={"CamelCase": "kept"})
    cluster.create_nodegroup(name="one")
    cluster.sandbox.clear_calls()
    found = run_module("eks_nodegroup_info", cluster_name="example", check_mode=True)["nodegroups"]
    assert [group["nodegroup_name"] for group in found] == ["one", "two"]
    assert found[1]["tags"] == {"CamelCase": "kept"}
    assert cluster.sandbox.calls() == {"eks:ListNodegroups": 1, "eks:DescribeNodegroup": 2}
    assert run_module("eks_nodegroup_info", cluster_name="example", name="two")["nodegroups"] == [found[1]]


def test_info_and_module_return_the_same_object(
    run_module: RunModule, nodegroup: t.Callable[..., Result], cluster: Account
) -> None:
    cluster.create_nodegroup()
    [found] = run_module("eks_nodegroup_info", cluster_name="example")["nodegroups"]
    assert nodegroup()["nodegroup"] == found


def test_info_refuses_invalid_names(run_module: RunModule, account: Account) -> None:
    result = run_module("eks_nodegroup_info", cluster_name="a/b", name="")
    assert result["failed"]
    assert '"a/b"' in result["msg"]
    assert 'name ""' in result["msg"]
    assert account.sandbox.calls() == {}
