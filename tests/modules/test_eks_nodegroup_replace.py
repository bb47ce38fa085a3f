# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module eks_nodegroup when a node group gives way to another one: results, calls, and what it leaves alone."""

from __future__ import annotations

import contextlib
import re
import typing as t

import botocore.httpsession
import pytest
from support.iam_roles import make_role
from support.module_runs import NODE_ROLE
from support.module_runs import Account
from support.module_runs import Result
from support.module_runs import RunModule

LARGE = {"instance_types": ["m5.xlarge"]}
TAG = "podidentity.eks/nodegroup"
REPLACEMENT_NAME = re.compile(r"general-[0-9a-f]{8}")
#: The calls that write of a whole replacement.
REPLACEMENT_CALLS = ["CreateNodegroup", "UpdateNodegroupConfig", "DeleteNodegroup"]


@pytest.fixture
def cluster(account: Account) -> Account:
    """An account with the cluster ``example`` and the groups ``general`` and ``foreign``; an empty call log."""
    account.create_cluster()
    account.create_nodegroup(labels={"pool": "general"}, tags={"team": "platform"}, diskSize=30)
    account.create_nodegroup(name="foreign")
    account.sandbox.clear_calls()
    return account


@pytest.fixture
def nodegroup(run_module: RunModule) -> t.Callable[..., Result]:
    """The module eks_nodegroup for the node group ``general`` of the cluster ``example``."""

    def run(**params: t.Any) -> Result:
        return run_module("eks_nodegroup", **{"cluster_name": "example", "name": "general", **params})

    return run


def nodegroup_names(account: Account) -> list[str]:
    """The node groups of the cluster, without the one of others."""
    found: list[str] = account.eks.list_nodegroups(clusterName="example")["nodegroups"]
    assert "foreign" in found
    return [name for name in found if name != "foreign"]


def described(account: Account, name: str) -> dict[str, t.Any]:
    found: dict[str, t.Any] = account.eks.describe_nodegroup(clusterName="example", nodegroupName=name)["nodegroup"]
    return found


def statuses(account: Account) -> list[str]:
    """Of the node groups that are there; one that is being deleted may be gone by the time it is described."""
    found = []
    for name in nodegroup_names(account):
        with contextlib.suppress(account.eks.exceptions.ResourceNotFoundException):
            found.append(described(account, name)["status"])
    return found


def test_refusal_without_replace_suggests_replace(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    result = nodegroup(**LARGE)
    assert result["failed"]
    assert "replace=true makes another node group that takes the place of this one" in result["msg"]
    assert cluster.sandbox.calls() == {"eks:DescribeNodegroup": 1}


def test_check_mode_diff_shows_both_nodegroups(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    result = nodegroup(**LARGE, replace=True, check_mode=True, diff=True)
    assert result["changed"]
    assert result["actions"] == ["create_nodegroup", "update_nodegroup_config", "delete_nodegroup"]
    assert result["replaced"] == ["general"]
    [(old, before)], [(new, after)] = (result["diff"][side].items() for side in ("before", "after"))
    assert (old, before["instance_types"]) == ("general", ["m5.large"])
    assert REPLACEMENT_NAME.fullmatch(new)
    assert after["instance_types"] == LARGE["instance_types"]
    assert cluster.writes() == []
    assert cluster.sandbox.calls() == {"eks:ListNodegroups": 1, "eks:DescribeNodegroup": 1}
    assert nodegroup_names(cluster) == ["general"]


def test_replacement_keeps_settings_of_old_nodegroup(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    predicted = nodegroup(**LARGE, replace=True, check_mode=True)
    before, foreign = described(cluster, "general"), described(cluster, "foreign")
    result = nodegroup(**LARGE, replace=True)
    assert result["changed"]
    assert cluster.writes() == REPLACEMENT_CALLS
    assert result["replaced"] == predicted["replaced"] == ["general"]
    found = result["nodegroup"]
    expected = predicted["nodegroup"]
    assert {key: found[key] for key in expected} == expected
    after = described(cluster, found["nodegroup_name"])
    assert after["status"] == "ACTIVE"
    assert after["tags"] == {"team": "platform", TAG: "general"}
    same = {"nodeRole", "subnets", "labels", "taints", "diskSize", "scalingConfig", "updateConfig", "capacityType"}
    assert {key: after[key] for key in same} == {key: before[key] for key in same}
    assert nodegroup_names(cluster) == [found["nodegroup_name"]]
    assert described(cluster, "foreign") == foreign


def test_second_run_changes_nothing_with_or_without_replace(
    nodegroup: t.Callable[..., Result], cluster: Account
) -> None:
    wanted = {**LARGE, "tags": {"team": "platform"}}
    first = nodegroup(**wanted, replace=True)["nodegroup"]
    cluster.sandbox.clear_calls()
    again = nodegroup(**wanted, replace=True)
    assert (again["changed"], again["nodegroup"], again["replaced"]) == (False, first, [])
    assert cluster.sandbox.calls() == {"eks:ListNodegroups": 1, "eks:DescribeNodegroup": 1}
    cluster.sandbox.clear_calls()
    without = nodegroup(**wanted)
    assert (without["changed"], without["nodegroup"]) == (False, first)
    assert cluster.sandbox.calls() == {"eks:ListNodegroups": 1, "eks:DescribeNodegroup": 2}
    assert nodegroup(labels={"pool": "batch"})["nodegroup"]["labels"] == {"pool": "batch"}


def test_info_finds_the_replacement_by_the_declared_name(
    nodegroup: t.Callable[..., Result], run_module: RunModule, cluster: Account
) -> None:
    new = nodegroup(**LARGE, replace=True)["nodegroup"]
    assert run_module("eks_nodegroup_info", cluster_name="example", name="general")["nodegroups"] == [new]


def test_absent_removes_the_replacement_too(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    nodegroup(**LARGE, replace=True)
    cluster.create_nodegroup()
    cluster.sandbox.clear_calls()
    result = nodegroup(state="absent")
    assert (result["changed"], result["nodegroup"]) == (True, None)
    assert cluster.writes() == ["DeleteNodegroup"] * 2
    assert nodegroup_names(cluster) == []
    assert not nodegroup(state="absent")["changed"]


def test_unmanaged_nodegroup_with_similar_name_stays(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    cluster.create_nodegroup(name="general-0123abcd", tags={TAG: "another"})
    nodegroup(**LARGE, replace=True)
    assert "general-0123abcd" in nodegroup_names(cluster)
    nodegroup(state="absent")
    assert nodegroup_names(cluster) == ["general-0123abcd"]


@pytest.mark.parametrize(
    ("option", "value", "key"),
    [
        ("subnet_ids", None, "subnets"),
        ("ami_type", "BOTTLEROCKET_x86_64", "amiType"),
        ("capacity_type", "SPOT", "capacityType"),
        ("disk_size", 50, "diskSize"),
        ("node_role_arn", None, "nodeRole"),
    ],
)
def test_replace_changes_immutable_options(
    nodegroup: t.Callable[..., Result],
    cluster: Account,
    clients: dict[str, t.Any],
    option: str,
    value: t.Any,
    key: str,
) -> None:
    if option == "subnet_ids":
        value = cluster.subnet_ids[1:]
    if option == "node_role_arn":
        policies = ("AmazonEKSWorkerNodeMinimalPolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly")
        value = make_role(clients["iam"], "other-node", "ec2.amazonaws.com", *policies, actions=["sts:AssumeRole"])
    result = nodegroup(**{option: value}, replace=True)
    assert cluster.writes() == REPLACEMENT_CALLS
    assert described(cluster, result["nodegroup"]["nodegroup_name"])[key] == value
    assert not nodegroup(**{option: value}, replace=True)["changed"]


def test_replace_changes_launch_template_and_remote_access(
    nodegroup: t.Callable[..., Result], cluster: Account, clients: dict[str, t.Any]
) -> None:
    clients["ec2"].create_key_pair(KeyName="operators")
    access = {"ec2_ssh_key": "operators", "source_security_group_ids": cluster.security_group_ids[:1]}
    first = nodegroup(remote_access=access, replace=True)["nodegroup"]
    expected = {"ec2_ssh_key": "operators", "source_security_groups": cluster.security_group_ids[:1]}
    assert first["remote_access"] == expected
    assert not nodegroup(remote_access=access)["changed"]
    template = clients["ec2"].create_launch_template(LaunchTemplateName="nodes", LaunchTemplateData={"KeyName": "k"})
    wanted = {"launch_template": {"id": template["LaunchTemplate"]["LaunchTemplateId"], "version": "1"}}
    second = nodegroup(**wanted, replace=True)
    assert second["replaced"] == [first["nodegroup_name"]]
    assert second["nodegroup"]["launch_template"]["name"] == "nodes"
    assert "remote_access" not in second["nodegroup"]
    assert nodegroup_names(cluster) == [second["nodegroup"]["nodegroup_name"]]


def test_replace_creates_missing_nodegroup_by_declared_name(
    nodegroup: t.Callable[..., Result], cluster: Account
) -> None:
    result = nodegroup(name="fresh", node_role_arn=NODE_ROLE, subnet_ids=cluster.subnet_ids, replace=True)
    assert result["nodegroup"]["nodegroup_name"] == "fresh"
    assert result["replaced"] == []


def test_replace_needs_to_wait(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    result = nodegroup(**LARGE, replace=True, wait=False)
    assert result["failed"]
    assert "replace of node group general of cluster example needs wait=true" in result["msg"]
    assert cluster.sandbox.calls() == {}


# --- bad days ---------------------------------------------------------------------------------------------------------


def test_replace_without_capacity_keeps_old_nodegroup(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    new = nodegroup(**LARGE, replace=True, check_mode=True)["nodegroup"]["nodegroup_name"]
    issues = {new: "AsgInstanceLaunchFailures"}
    cluster.sandbox.knobs(nodegroup_outcomes={new: "CREATE_FAILED"}, nodegroup_issues=issues)
    before = described(cluster, "general")
    for _attempt in range(2):
        result = nodegroup(**LARGE, replace=True)
        assert result["failed"]
        assert f"{new} of cluster example to become ACTIVE, but it is CREATE_FAILED (AsgInstanceLaunch" in result["msg"]
        assert "general stays as it was until then; the next run with replace=true goes on." in result["msg"]
        assert described(cluster, "general") == before
        assert nodegroup_names(cluster) == ["general", new], "what failed does not pile up"
    cluster.sandbox.knobs(nodegroup_outcomes={})
    cluster.sandbox.clear_calls()
    assert nodegroup(**LARGE, replace=True)["nodegroup"]["status"] == "ACTIVE"
    assert cluster.writes() == ["DeleteNodegroup", *REPLACEMENT_CALLS]
    assert nodegroup_names(cluster) == [new]


def test_replace_replaces_failed_nodegroup(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    wanted = {"name": "broken", "node_role_arn": NODE_ROLE, "subnet_ids": cluster.subnet_ids}
    cluster.sandbox.knobs(nodegroup_outcomes={"broken": "CREATE_FAILED"})
    failed = nodegroup(**wanted)
    assert failed["failed"]
    assert "NodeCreationFailure" in failed["msg"]
    refused = nodegroup(**wanted)
    assert all(words in refused["msg"] for words in ("is CREATE_FAILED", "state=absent", "replace=true"))
    result = nodegroup(**wanted, replace=True)
    assert result["replaced"] == ["broken"]
    assert result["nodegroup"]["status"] == "ACTIVE"
    assert not nodegroup(**wanted)["changed"]


def test_nodes_that_cannot_join_report_needed_role_policies(
    nodegroup: t.Callable[..., Result], cluster: Account, clients: dict[str, t.Any]
) -> None:
    role = make_role(clients["iam"], "poor-node", "ec2.amazonaws.com", actions=["sts:AssumeRole"])
    result = nodegroup(node_role_arn=role, replace=True)
    assert result["failed"]
    assert "NodeCreationFailure: Instances failed to join the kubernetes cluster" in result["msg"]
    assert f"Nodes join when their role {role} has AmazonEKSWorkerNodePolicy" in result["msg"]
    assert "general stays as it was" in result["msg"]
    assert described(cluster, "general")["status"] == "ACTIVE"


def test_delete_failure_is_reported_and_retried(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    cluster.sandbox.knobs(nodegroup_outcomes={"general": "DELETE_FAILED"})
    result = nodegroup(**LARGE, replace=True)
    assert result["failed"]
    assert "general of cluster example to be deleted, but it is DELETE_FAILED" in result["msg"]
    cluster.sandbox.knobs(nodegroup_outcomes={})
    cluster.sandbox.clear_calls()
    again = nodegroup(**LARGE, replace=True)
    assert (again["changed"], again["replaced"]) == (True, ["general"])
    assert cluster.writes() == ["DeleteNodegroup"]


def test_timeout_is_reported_and_next_run_continues(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    cluster.sandbox.knobs(nodegroup_seconds=1.5)
    late = nodegroup(**LARGE, replace=True, wait_timeout=1)
    assert "to become ACTIVE, but it is still CREATING" in late["msg"]
    assert "general stays as it was until then" in late["msg"]
    assert cluster.writes() == ["CreateNodegroup"]
    cluster.sandbox.knobs(nodegroup_seconds=0.02)
    assert nodegroup(**LARGE, replace=True)["changed"]
    assert cluster.writes() == REPLACEMENT_CALLS
    assert len(nodegroup_names(cluster)) == 1


INTERRUPTED_CALLS = [
    ("POST", r"/node-groups$"),
    ("GET", r"/node-groups/general-[0-9a-f]+$"),
    ("POST", r"/general/update-config$"),
    ("GET", r"/updates/"),
    ("DELETE", r"/general$"),
]


class Killed(BaseException):
    """The end of a run, as the kernel ends one: nothing of it is caught."""


@pytest.mark.parametrize("is_carried_out", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("method", "path"), INTERRUPTED_CALLS)
def test_interrupted_replace_converges_and_keeps_nodes(
    nodegroup: t.Callable[..., Result],
    cluster: Account,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    is_carried_out: bool,
) -> None:
    original = botocore.httpsession.URLLib3Session.send

    def cut(session: t.Any, request: t.Any) -> t.Any:
        hit = request.method == method and re.search(path, request.url.partition("?")[0])
        if hit and not is_carried_out:
            raise Killed
        answer = original(session, request)
        if hit:
            raise Killed
        return answer

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(botocore.httpsession.URLLib3Session, "send", cut)
        nodegroup(**LARGE, replace=True)
    assert any(status in {"ACTIVE", "UPDATING"} for status in statuses(cluster))
    result = nodegroup(**LARGE, replace=True)
    assert not result["failed"]
    assert result["nodegroup"]["instance_types"] == LARGE["instance_types"]
    assert nodegroup_names(cluster) == [result["nodegroup"]["nodegroup_name"]]
    assert cluster.writes().count("CreateNodegroup") == 1
    assert not nodegroup(**LARGE, replace=True)["changed"]
