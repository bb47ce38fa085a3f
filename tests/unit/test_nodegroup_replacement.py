# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the planner decides when a node group gives way to another one, without any network."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import Action
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSError
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import to_ansible
from ansible_collections.podidentity.eks.plugins.module_utils._eks.nodegroup import declared
from ansible_collections.podidentity.eks.plugins.module_utils._eks.nodegroup import replacing
from ansible_collections.podidentity.eks.plugins.module_utils._eks.nodegroup.declared import NodegroupSpec
from ansible_collections.podidentity.eks.plugins.module_utils._eks.nodegroup.observing import DECLARED_NAME
from ansible_collections.podidentity.eks.plugins.module_utils._eks.nodegroup.settings import LEAVING
from hypothesis import given
from hypothesis import strategies as st

ROLE = "arn:aws:iam::111122223333:role/eks-node"
BATCH = {"key": "dedicated", "value": "batch", "effect": "NO_SCHEDULE"}
OLD: dict[str, t.Any] = {
    "cluster_name": "example",
    "nodegroup_name": "general",
    "nodegroup_arn": "arn:general",
    "status": "ACTIVE",
    "version": "1.33",
    "release_version": "1.33.2-20260120",
    "node_role": ROLE,
    "subnets": ["subnet-a", "subnet-b"],
    "instance_types": ["m5.large"],
    "ami_type": "AL2023_x86_64_STANDARD",
    "capacity_type": "ON_DEMAND",
    "disk_size": 20,
    "scaling_config": {"min_size": 1, "max_size": 5, "desired_size": 4},
    "update_config": {"max_unavailable": 2},
    "node_repair_config": {"enabled": True},
    "labels": {"pool": "general"},
    "taints": [BATCH],
    "tags": {"team": "platform", "aws:eks:x": "y"},
}
LARGE = {"instance_types": ["m5.xlarge"]}


def spec(**fields: t.Any) -> NodegroupSpec:
    return NodegroupSpec(cluster_name="example", name="general", **{"replace": True, **fields})


def operations(change: replacing.NodegroupChange) -> list[tuple[str, str]]:
    return [(action.operation, action.parameters["nodegroupName"]) for action in change.actions]


def name_of(**fields: t.Any) -> str:
    """The name of the group that replaces ``OLD``."""
    return replacing.replacement_name("general", replacing.inheriting(spec(**fields), OLD))


def replacement(**changes: t.Any) -> dict[str, t.Any]:
    """The group that has replaced ``OLD`` for larger instances."""
    tags = {"team": "platform", DECLARED_NAME: "general"}
    return {**OLD, **LARGE, "nodegroup_name": name_of(**LARGE), "nodegroup_arn": "arn:new", "tags": tags, **changes}


def test_replacement_creates_new_then_taints_and_deletes_old() -> None:
    change = replacing.plan([OLD], spec(**LARGE))
    new = name_of(**LARGE)
    assert operations(change) == [
        ("create_nodegroup", new),
        ("update_nodegroup_config", "general"),
        ("delete_nodegroup", "general"),
    ]
    assert change.actions[1].parameters["taints"] == {"addOrUpdateTaints": [LEAVING]}
    assert [stage.name for stage in change.stages] == [new, "general"]
    assert change.diff() == {"before": {"general": OLD}, "after": {new: change.after}}


def test_replacement_inherits_undeclared_options() -> None:
    parameters = replacing.plan([OLD], spec(**LARGE)).actions[0].parameters
    assert parameters == {
        "clusterName": "example",
        "nodegroupName": name_of(**LARGE),
        "nodeRole": ROLE,
        "subnets": ["subnet-a", "subnet-b"],
        "instanceTypes": ["m5.xlarge"],
        "amiType": "AL2023_x86_64_STANDARD",
        "capacityType": "ON_DEMAND",
        "diskSize": 20,
        "scalingConfig": {"minSize": 1, "maxSize": 5, "desiredSize": 4},
        "updateConfig": {"maxUnavailable": 2},
        "nodeRepairConfig": {"enabled": True},
        "labels": {"pool": "general"},
        "taints": [BATCH],
        "tags": {"team": "platform", DECLARED_NAME: "general"},
    }


def test_replacement_keeps_desired_size_within_declared_limits() -> None:
    parameters = replacing.plan([OLD], spec(**LARGE, scaling={"max_size": 3})).actions[0].parameters
    assert parameters["scalingConfig"] == {"minSize": 1, "maxSize": 3, "desiredSize": 3}


def test_launch_template_and_disk_options_replace_each_other() -> None:
    old = {**OLD, "remote_access": {"ec2_ssh_key": "key"}}
    template = {"id": "lt-1", "version": "3"}
    parameters = replacing.plan([old], spec(launch_template=template)).actions[0].parameters
    assert parameters["launchTemplate"] == template
    assert not {"diskSize", "remoteAccess"} & set(parameters)
    with_template = {**OLD, "disk_size": None, "launch_template": {"id": "lt-1", "name": "nodes", "version": "3"}}
    kept = replacing.plan([with_template], spec(**LARGE)).actions[0].parameters
    assert kept["launchTemplate"] == template
    gone = replacing.plan([with_template], spec(disk_size=50)).actions[0].parameters
    assert "launchTemplate" not in gone
    assert gone["diskSize"] == 50


def test_custom_ami_type_is_not_inherited() -> None:
    custom = {**OLD, "ami_type": "CUSTOM", "launch_template": {"id": "lt-1", "name": "nodes", "version": "3"}}
    assert "amiType" not in replacing.plan([custom], spec(**LARGE)).actions[0].parameters


def test_declared_tags_replace_inherited_ones() -> None:
    def tags(**fields: t.Any) -> dict[str, str]:
        found: dict[str, str] = replacing.plan([OLD], spec(**LARGE, **fields)).actions[0].parameters["tags"]
        return found

    mark = {DECLARED_NAME: "general"}
    assert tags(tags={"a": "b"}) == {"a": "b", **mark}
    assert tags(tags={"a": "b"}, purge_tags=False) == {"team": "platform", "a": "b", **mark}
    assert tags(creation_tags={"made": "here"}) == {"team": "platform", "made": "here", **mark}


def test_in_place_change_does_not_replace() -> None:
    assert operations(replacing.plan([OLD], spec(labels={}))) == [("update_nodegroup_config", "general")]


def test_second_plan_is_empty_with_and_without_replace() -> None:
    for replace in (True, False):
        change = replacing.plan([replacement()], spec(**LARGE, replace=replace, tags={"team": "platform"}))
        assert not change.changed
        assert change.after == replacement(), "the tag by which it is found is not purged"


def test_refusal_names_replace_option() -> None:
    with pytest.raises(AnsibleEKSError, match=r"instance_types of node group general .*replace=true makes another"):
        replacing.plan([OLD], spec(**LARGE, replace=False))


def test_replacement_can_be_replaced() -> None:
    change = replacing.plan([replacement()], spec(instance_types=["m5.2xlarge"]))
    assert [name for _operation, name in operations(change)[1:]] == [replacement()["nodegroup_name"]] * 2
    assert operations(change)[0][1] not in {"general", replacement()["nodegroup_name"]}


def test_failed_nodegroup_is_replaced_and_deleted_without_taint() -> None:
    failed = {**OLD, "status": "CREATE_FAILED"}
    new = name_of()
    assert operations(replacing.plan([failed], spec())) == [("create_nodegroup", new), ("delete_nodegroup", "general")]


def test_matching_nodegroup_stays_and_other_is_deleted() -> None:
    new = replacement()["nodegroup_name"]
    change = replacing.plan([OLD, replacement()], spec(**LARGE))
    assert operations(change) == [("update_nodegroup_config", "general"), ("delete_nodegroup", "general")]
    closed = {**OLD, "taints": [*OLD["taints"], dict(LEAVING)]}
    assert operations(replacing.plan([closed, replacement()], spec(**LARGE))) == [("delete_nodegroup", "general")]
    deleting = {**OLD, "status": "DELETING"}
    waits = replacing.plan([deleting, replacement()], spec(**LARGE))
    assert not waits.changed
    assert [stage.name for stage in waits.stages] == [new, "general"]


def test_reverted_spec_untaints_old_nodegroup_and_deletes_new() -> None:
    closed = {**OLD, "taints": [*OLD["taints"], dict(LEAVING)]}
    change = replacing.plan([closed, replacement()], spec(instance_types=["m5.large"]))
    new = replacement()["nodegroup_name"]
    assert operations(change) == [
        ("update_nodegroup_config", "general"),
        ("update_nodegroup_config", new),
        ("delete_nodegroup", new),
    ]
    assert change.actions[0].parameters["taints"] == {"removeTaints": [LEAVING]}


def test_failed_replacement_is_deleted_before_retry() -> None:
    failed = replacement(status="CREATE_FAILED")
    new = failed["nodegroup_name"]
    assert operations(replacing.plan([OLD, failed], spec(**LARGE))) == [
        ("delete_nodegroup", new),
        ("create_nodegroup", new),
        ("update_nodegroup_config", "general"),
        ("delete_nodegroup", "general"),
    ]


def test_failed_replacement_of_other_spec_is_deleted_first() -> None:
    failed = replacement(status="CREATE_FAILED")
    new = name_of(capacity_type="SPOT")
    assert operations(replacing.plan([OLD, failed], spec(capacity_type="SPOT"))) == [
        ("delete_nodegroup", failed["nodegroup_name"]),
        ("create_nodegroup", new),
        ("update_nodegroup_config", "general"),
        ("delete_nodegroup", "general"),
    ]
    stuck = replacement(status="DELETE_FAILED")
    assert operations(replacing.plan([OLD, stuck], spec(capacity_type="SPOT")))[0] == ("create_nodegroup", new)


def test_absent_deletes_all_nodegroups() -> None:
    new = replacement()["nodegroup_name"]
    change = replacing.plan([OLD, replacement()], spec(present=False, replace=False))
    assert sorted(operations(change)) == [("delete_nodegroup", "general"), ("delete_nodegroup", new)]
    assert change.after is None
    assert set(change.diff()["before"]) == {"general", new}
    assert not replacing.plan([], spec(present=False)).changed


def test_replacement_version_must_match_cluster() -> None:
    with pytest.raises(AnsibleEKSError, match=r"cannot be 1\.33: a new node group gets its cluster's version 1\.34"):
        replacing.plan([OLD], spec(**LARGE, version="1.33"), "1.34")
    change = replacing.plan([OLD], spec(**LARGE, version="1.34"), "1.34")
    assert change.actions[0].parameters["version"] == "1.34"


def test_replacement_names_fit_and_differ_by_fixed_options() -> None:
    long = "n" * 63
    wanted = replacing.inheriting(spec(**LARGE), OLD)
    assert declared.NODEGROUP_NAME.fullmatch(replacing.replacement_name(long, wanted))
    assert replacing.replacement_name(long, wanted) != replacing.replacement_name(long[:60], wanted)
    variants = [
        wanted,
        dataclasses.replace(wanted, disk_size=50),
        dataclasses.replace(wanted, capacity_type="SPOT"),
        dataclasses.replace(wanted, remote_access={"ec2_ssh_key": "key"}),
        dataclasses.replace(wanted, launch_template={"id": "lt-1", "version": "1"}),
    ]
    assert len({replacing.replacement_name("general", each) for each in variants}) == len(variants)
    same = dataclasses.replace(wanted, subnet_ids=["subnet-b", "subnet-a"], labels={"other": "label"})
    assert replacing.replacement_name("general", same) == replacing.replacement_name("general", wanted)


def test_replacement_that_still_differs_is_refused() -> None:
    other = replacement(instance_types=["m5.2xlarge"])
    with pytest.raises(AnsibleEKSError, match=r"instance_types .* is declared as m5\.xlarge, but .* has m5\.2xlarge"):
        replacing.plan([other], spec(**LARGE))


def test_empty_instance_types_defer_to_launch_template() -> None:
    wanted = spec(instance_types=[], launch_template={"id": "lt-1", "version": "1"})
    assert "instanceTypes" not in replacing.plan([OLD], wanted).actions[0].parameters
    template = {"id": "lt-1", "name": "nodes", "version": "1"}
    assert not replacing.plan([replacement(launch_template=template, instance_types=[])], wanted).changed


class FakeEks:
    """Does what EKS does with the calls of a plan, and looks that nodes are always there."""

    def __init__(self, groups: t.Sequence[t.Mapping[str, t.Any]]) -> None:
        self.groups = {group["nodegroup_name"]: dict(group) for group in groups}

    def apply(self, action: Action, *, creation: str = "ACTIVE") -> None:
        name = action.parameters["nodegroupName"]
        if action.operation == "create_nodegroup":
            assert name not in self.groups
            made = {"labels": {}, "taints": [], "tags": {}, **to_ansible(action.parameters)}
            self.groups[name] = {**made, "nodegroup_arn": name, "version": "1.33", "status": creation}
        elif action.operation == "delete_nodegroup":
            del self.groups[name]
        else:
            taints = action.parameters["taints"]
            removed = [taint["key"] for taint in taints.get("removeTaints", [])]
            kept = [taint for taint in self.groups[name]["taints"] if taint["key"] not in removed]
            self.groups[name]["taints"] = [*kept, *taints.get("addOrUpdateTaints", [])]

    def run(self, wanted: NodegroupSpec, calls: int | None = None, creation: str = "ACTIVE") -> None:
        """A run that is killed after so many calls, or that ends because a new group fails."""
        for action in replacing.plan(list(self.groups.values()), wanted).actions[:calls]:
            self.apply(action, creation=creation)
            assert any(group["status"] == "ACTIVE" for group in self.groups.values()), "a moment without nodes"
            if action.operation == "create_nodegroup" and creation != "ACTIVE":
                return


WANTED = st.sampled_from(
    [
        spec(**LARGE),
        spec(instance_types=["m5.large"]),
        spec(capacity_type="SPOT"),
        spec(disk_size=50, instance_types=["m5.large"]),
        spec(launch_template={"id": "lt-1", "version": "1"}),
    ]
)
RUNS = st.lists(st.tuples(WANTED, st.none() | st.integers(0, 3), st.sampled_from(["ACTIVE", "CREATE_FAILED"])))


@given(RUNS, WANTED)
def test_interrupted_runs_converge_and_always_keep_active_nodes(
    runs: list[tuple[NodegroupSpec, int | None, str]], last: NodegroupSpec
) -> None:
    eks = FakeEks([OLD])
    for wanted, calls, creation in runs:
        eks.run(wanted, calls, creation)
        assert len(eks.groups) <= 5
    eks.run(last)
    assert len(eks.groups) == 1
    again = replacing.plan(list(eks.groups.values()), last)
    assert again.actions == ()
    assert replacing.plan(list(eks.groups.values()), dataclasses.replace(last, replace=False)).actions == ()
    gone = replacing.plan(list(eks.groups.values()), dataclasses.replace(last, present=False))
    assert [action.operation for action in gone.actions] == ["delete_nodegroup"]
