# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the planner of node groups decides, without any network."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSError
from ansible_collections.podidentity.eks.plugins.module_utils._eks.nodegroup import declared
from ansible_collections.podidentity.eks.plugins.module_utils._eks.nodegroup import observing
from ansible_collections.podidentity.eks.plugins.module_utils._eks.nodegroup import planning
from ansible_collections.podidentity.eks.plugins.module_utils._eks.nodegroup import settings
from ansible_collections.podidentity.eks.plugins.module_utils._eks.nodegroup.declared import NodegroupSpec
from ansible_collections.podidentity.eks.plugins.module_utils._eks.nodegroup.settings import Nodegroup
from hypothesis import given
from hypothesis import strategies as st

ROLE = "arn:aws:iam::111122223333:role/eks-node"
BATCH = {"key": "dedicated", "value": "batch", "effect": "NO_SCHEDULE"}
SPOT = {"key": "spot", "effect": "PREFER_NO_SCHEDULE"}
BEFORE: dict[str, t.Any] = {
    "cluster_name": "example",
    "nodegroup_name": "general",
    "nodegroup_arn": "arn:aws:eks:eu-west-1:111122223333:nodegroup/example/general/1",
    "status": "ACTIVE",
    "version": "1.33",
    "release_version": "1.33.1-20251112",
    "node_role": ROLE,
    "subnets": ["subnet-a", "subnet-b"],
    "instance_types": ["m5.large"],
    "ami_type": "AL2023_x86_64_STANDARD",
    "capacity_type": "ON_DEMAND",
    "disk_size": 20,
    "scaling_config": {"min_size": 1, "max_size": 3, "desired_size": 2},
    "update_config": {"max_unavailable": 1},
    "node_repair_config": {"enabled": False},
    "labels": {"pool": "general"},
    "taints": [BATCH, SPOT],
    "tags": {"team": "platform"},
}
TEMPLATE = {"id": "lt-1", "name": "nodes", "version": "1"}
WITH_TEMPLATE = {**BEFORE, "launch_template": TEMPLATE}


def spec(**fields: t.Any) -> NodegroupSpec:
    return NodegroupSpec(cluster_name="example", name="general", **fields)


def operations(before: Nodegroup | None, wanted: NodegroupSpec) -> list[str]:
    return [action.operation for action in planning.plan(before, wanted).actions]


def config_update(**fields: t.Any) -> dict[str, t.Any]:
    """What UpdateNodegroupConfig, the one call of this plan, is told beside the names."""
    [action] = planning.plan(BEFORE, spec(**fields)).actions
    assert action.operation == "update_nodegroup_config"
    return {key: value for key, value in action.parameters.items() if key not in {"clusterName", "nodegroupName"}}


def refusal(before: Nodegroup | None, wanted: NodegroupSpec) -> str:
    with pytest.raises(AnsibleEKSError) as caught:
        planning.plan(before, wanted)
    return str(caught.value)


def test_empty_spec_changes_nothing() -> None:
    change = planning.plan(BEFORE, spec())
    assert not change.changed
    assert change.after == BEFORE


def test_absent_skips_missing_and_deleting_nodegroup() -> None:
    assert operations(None, spec(present=False)) == []
    assert operations({**BEFORE, "status": "DELETING"}, spec(present=False)) == []
    assert operations({**BEFORE, "status": "CREATE_FAILED"}, spec(present=False)) == ["delete_nodegroup"]


def test_create_sends_only_declared_options() -> None:
    change = planning.plan(
        None, spec(node_role_arn=ROLE, subnet_ids=["subnet-a"], scaling={"min_size": 2, "max_size": 4}, taints=[BATCH])
    )
    [action] = change.actions
    assert action.operation == "create_nodegroup"
    assert action.parameters == {
        "clusterName": "example",
        "nodegroupName": "general",
        "nodeRole": ROLE,
        "subnets": ["subnet-a"],
        "scalingConfig": {"minSize": 2, "maxSize": 4, "desiredSize": 2},
        "taints": [BATCH],
    }
    assert change.after is not None
    assert change.after["scaling_config"] == {"min_size": 2, "max_size": 4, "desired_size": 2}
    assert change.after["taints"] == [BATCH]


def test_create_names_all_missing_options() -> None:
    message = refusal(None, spec(scaling={"desired_size": 2}))
    for option in ("node_role_arn", "subnet_ids", "scaling.min_size", "scaling.max_size"):
        assert f"{option} is missing" in message


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("node_role_arn", "arn:aws:iam::111122223333:role/other"),
        ("subnet_ids", ["subnet-a"]),
        ("instance_types", ["m5.xlarge"]),
        ("ami_type", "BOTTLEROCKET_x86_64"),
        ("capacity_type", "SPOT"),
        ("disk_size", 30),
    ],
)
def test_change_of_creation_only_option_is_refused(option: str, value: t.Any) -> None:
    message = refusal(BEFORE, spec(**{option: value}))
    assert message.startswith(f"{option} of node group general of cluster example is ")
    old = BEFORE[planning.FIXED[option]]
    for shown in (old, value):
        assert (", ".join(shown) if isinstance(shown, list) else str(shown)) in message


def test_order_of_subnets_and_taints_is_no_difference() -> None:
    assert operations(BEFORE, spec(subnet_ids=["subnet-b", "subnet-a"], taints=[SPOT, BATCH])) == []


def test_changed_label_value_is_updated() -> None:
    assert config_update(labels={"pool": "batch"}) == {"labels": {"addOrUpdateLabels": {"pool": "batch"}}}


def test_labels_are_added_and_removed() -> None:
    assert config_update(labels={"new": "1"}) == {
        "labels": {"addOrUpdateLabels": {"new": "1"}, "removeLabels": ["pool"]}
    }
    assert config_update(labels={}) == {"labels": {"removeLabels": ["pool"]}}


def test_empty_list_removes_all_taints() -> None:
    assert config_update(taints=[]) == {"taints": {"removeTaints": [BATCH, SPOT]}}


def test_taint_with_other_value_is_updated() -> None:
    changed = {**BATCH, "value": "night"}
    assert config_update(taints=[changed, SPOT]) == {"taints": {"addOrUpdateTaints": [changed]}}


def test_taint_with_other_effect_is_replaced() -> None:
    other = {**BATCH, "effect": "NO_EXECUTE"}
    assert config_update(taints=[other, SPOT]) == {"taints": {"addOrUpdateTaints": [other], "removeTaints": [BATCH]}}


def test_empty_taint_value_equals_none() -> None:
    assert operations(BEFORE, spec(taints=[BATCH, {**SPOT, "value": ""}])) == []


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({"max_size": 5}, {"minSize": 1, "maxSize": 5, "desiredSize": 2}),
        ({"min_size": 3}, {"minSize": 3, "maxSize": 3, "desiredSize": 3}),
        ({"max_size": 1}, {"minSize": 1, "maxSize": 1, "desiredSize": 1}),
        ({"desired_size": 1}, {"minSize": 1, "maxSize": 3, "desiredSize": 1}),
    ],
)
def test_undeclared_sizes_stay_within_declared_limits(declared: dict[str, int], expected: dict[str, int]) -> None:
    assert config_update(scaling=declared) == {"scalingConfig": expected}


def test_desired_size_outside_limits_is_refused() -> None:
    message = refusal(BEFORE, spec(scaling={"desired_size": 9}))
    assert "min_size 1, desired_size 9, max_size 3" in message


def test_unavailable_percentage_replaces_unavailable_number() -> None:
    assert config_update(update_config={"max_unavailable_percentage": 50}) == {
        "updateConfig": {"maxUnavailablePercentage": 50}
    }
    assert operations(BEFORE, spec(update_config={"max_unavailable": 1})) == []


def test_update_strategy_keeps_max_unavailable_and_omits_default() -> None:
    assert operations(BEFORE, spec(update_config={"update_strategy": "DEFAULT"})) == []
    assert config_update(update_config={"update_strategy": "MINIMAL"}) == {
        "updateConfig": {"maxUnavailable": 1, "updateStrategy": "MINIMAL"}
    }


def test_repair_settings_merge_and_replace_conflicting_ones() -> None:
    assert operations(BEFORE, spec(repair_config={"enabled": False})) == []
    assert config_update(repair_config={"enabled": True}) == {"nodeRepairConfig": {"enabled": True}}
    before = {**BEFORE, "node_repair_config": {"enabled": True, "max_parallel_nodes_repaired_count": 2}}
    [action] = planning.plan(before, spec(repair_config={"max_parallel_nodes_repaired_percentage": 50})).actions
    assert action.parameters["nodeRepairConfig"] == {"enabled": True, "maxParallelNodesRepairedPercentage": 50}


def test_repair_override_order_is_no_difference() -> None:
    one, two = ({"node_unhealthy_reason": reason, "repair_action": "Reboot"} for reason in ("one", "two"))
    before = {**BEFORE, "node_repair_config": {"enabled": True, "node_repair_config_overrides": [one, two]}}
    assert operations(before, spec(repair_config={"node_repair_config_overrides": [two, one]})) == []


def version_update(before: Nodegroup = BEFORE, cluster: str | None = "1.34", **fields: t.Any) -> dict[str, t.Any]:
    """What UpdateNodegroupVersion, the one call of this plan, is told beside the names."""
    [action] = planning.plan(before, spec(**fields), cluster).actions
    assert action.operation == "update_nodegroup_version"
    return {key: value for key, value in action.parameters.items() if key not in {"clusterName", "nodegroupName"}}


def test_version_release_and_template_are_one_update() -> None:
    template = {"id": "lt-1", "version": "2"}
    wanted: dict[str, t.Any] = {"version": "1.34", "release_version": "1.34.2-20260120", "launch_template": template}
    assert version_update(WITH_TEMPLATE, **wanted, force_update=True) == {
        "version": "1.34",
        "releaseVersion": "1.34.2-20260120",
        "launchTemplate": template,
        "force": True,
    }


def test_force_alone_updates_nothing() -> None:
    assert operations(BEFORE, spec(force_update=True)) == []


def test_template_or_release_update_keeps_kubernetes_version() -> None:
    """EKS would take the cluster's when none is said."""
    assert version_update(WITH_TEMPLATE, launch_template={"id": "lt-1", "version": "2"})["version"] == "1.33"
    assert version_update(release_version="1.33.2-20260120") == {"version": "1.33", "releaseVersion": "1.33.2-20260120"}


def test_release_chosen_by_eks_is_not_predicted() -> None:
    after = planning.plan(BEFORE, spec(version="1.34"), "1.34").after
    assert after is not None
    assert after["version"] == "1.34"
    assert "release_version" not in after


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"version": "1.32"}, ["version", "1.33", "1.32", "never goes backwards"]),
        ({"version": "1.35"}, ["version", "1.33", "1.35", "its cluster has 1.34", "update the cluster first"]),
        ({"release_version": "1.33.1-20251001"}, ["release_version", "1.33.1-20251112", "never goes backwards"]),
    ],
)
def test_version_never_goes_back_or_past_control_plane(fields: dict[str, t.Any], words: list[str]) -> None:
    with pytest.raises(AnsibleEKSError) as caught:
        planning.plan(BEFORE, spec(**fields), "1.34")
    assert all(word in str(caught.value) for word in words), caught.value


def test_incomparable_releases_are_left_to_eks() -> None:
    bottlerocket = {**BEFORE, "release_version": "1.20.0-fcf71a47"}
    assert version_update(bottlerocket, release_version="1.19.0-77923e3c")["releaseVersion"] == "1.19.0-77923e3c"


def test_release_version_of_custom_ami_is_refused() -> None:
    custom = {**WITH_TEMPLATE, "ami_type": "CUSTOM", "release_version": "ami-1"}
    assert "release_version of" in refusal(custom, spec(release_version="1.33.2-20260120"))
    assert version_update(custom, launch_template={"id": "lt-1", "version": "2"}) == {
        "launchTemplate": {"id": "lt-1", "version": "2"}
    }


@pytest.mark.parametrize(
    ("declared_access", "differs"),
    [
        ({"ec2_ssh_key": "mine"}, False),
        ({"source_security_groups": ["sg-2", "sg-1"]}, False),
        ({"ec2_ssh_key": "other"}, True),
        ({"source_security_groups": ["sg-1"]}, True),
    ],
)
def test_remote_access_is_set_at_creation_only(declared_access: dict[str, t.Any], differs: bool) -> None:
    before = {**BEFORE, "remote_access": {"ec2_ssh_key": "mine", "source_security_groups": ["sg-1", "sg-2"]}}
    if differs:
        assert "remote_access." in refusal(before, spec(remote_access=declared_access))
    else:
        assert operations(before, spec(remote_access=declared_access)) == []
    assert 'is not set and cannot become "mine"' in refusal(BEFORE, spec(remote_access={"ec2_ssh_key": "mine"}))


def test_new_template_version_is_separate_update() -> None:
    [action] = planning.plan(WITH_TEMPLATE, spec(launch_template={"name": "nodes", "version": "2"})).actions
    assert action.operation == "update_nodegroup_version"
    assert action.parameters["launchTemplate"] == {"id": "lt-1", "version": "2"}


def test_template_without_version_keeps_observed_version() -> None:
    assert operations(WITH_TEMPLATE, spec(launch_template={"id": "lt-1"})) == []


def test_other_or_first_template_is_refused() -> None:
    message = refusal(WITH_TEMPLATE, spec(launch_template={"id": "lt-2"}))
    assert 'launch_template.id of node group general of cluster example is "lt-1" and cannot become "lt-2"' in message
    assert "launch_template.name" in refusal(BEFORE, spec(launch_template={"name": "nodes"}))


def test_in_place_changes_are_one_call_before_version_update() -> None:
    wanted = spec(
        labels={},
        taints=[],
        scaling={"max_size": 5},
        update_config={"max_unavailable": 2},
        tags={},
        launch_template={"id": "lt-1", "version": "2"},
    )
    assert operations(WITH_TEMPLATE, wanted) == [
        "untag_resource",
        "update_nodegroup_config",
        "update_nodegroup_version",
    ]


def test_failed_nodegroup_is_refused_with_reason_and_remedy() -> None:
    health = {"issues": [{"code": "NodeCreationFailure", "message": "Instances failed to join", "resource_ids": []}]}
    message = refusal({**BEFORE, "status": "CREATE_FAILED", "health": health}, spec(labels={}))
    assert "is CREATE_FAILED (NodeCreationFailure: Instances failed to join)" in message
    assert "state=absent" in message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"cluster_name": ""}, ["cluster_name", '""']),
        ({"name": "-x"}, ["name", '"-x"', "1 to 63"]),
        ({"node_role_arn": "eks-node"}, ["node_role_arn", '"eks-node"', "arn:aws:iam::"]),
        ({"scaling": {"min_size": -1}}, ["scaling.min_size", "-1"]),
        ({"scaling": {"min_size": 3, "max_size": 2}}, ["min_size 3", "max_size 2"]),
        ({"disk_size": 20, "launch_template": {"id": "lt-1"}}, ["disk_size", "launch_template"]),
        ({"launch_template": {"id": "lt-1", "version": "$Latest"}}, ["launch_template.version", "$Latest", "number"]),
        ({"taints": [BATCH, {**BATCH, "value": "x"}]}, ["taints", "dedicated", "NO_SCHEDULE"]),
        ({"tags": {"": "x"}}, ["tags", '""']),
        ({"version": "1.3"}, ["version", '"1.3"', "in quotes"]),
        ({"scaling": {"max_size": 0}}, ["scaling.max_size", "0"]),
        ({"update_config": {"max_unavailable_percentage": 101}}, ["update_config.max_unavailable_percentage", "100"]),
        ({"repair_config": {"max_parallel_nodes_repaired_count": 0}}, ["repair_config.max_parallel", "1 or more"]),
        ({"remote_access": {"ec2_ssh_key": "k"}, "launch_template": {"id": "lt-1"}}, ["remote_access", "template"]),
        ({"taints": [{"key": f"k{n}", "effect": "NO_EXECUTE"} for n in range(51)]}, ["taints", "51", "50"]),
        ({"taints": [settings.LEAVING]}, ["taints", "podidentity.eks/replaced"]),
    ],
)
def test_invalid_spec_is_one_problem_with_option_and_value(fields: dict[str, t.Any], words: list[str]) -> None:
    [sentence] = declared.problems(dataclasses.replace(spec(), **fields))
    assert all(word in sentence for word in words), sentence


TEXTS = st.sampled_from(["", "a", "b"])
KEYS = st.sampled_from(["pool", "Team", "dedicated", "spot"])
EFFECTS = st.sampled_from(["NO_SCHEDULE", "NO_EXECUTE", "PREFER_NO_SCHEDULE"])
TAINTS = st.lists(
    st.fixed_dictionaries({"key": KEYS, "effect": EFFECTS}, optional={"value": TEXTS}),
    max_size=4,
    unique_by=settings.taint_key,
)
SCALING = st.fixed_dictionaries(
    {}, optional={"min_size": st.integers(0, 2), "desired_size": st.just(2), "max_size": st.integers(2, 5)}
)
UPDATE_CONFIGS = st.sampled_from(
    [
        {"max_unavailable": 1},
        {"max_unavailable": 2, "update_strategy": "DEFAULT"},
        {"max_unavailable_percentage": 33},
        {"update_strategy": "MINIMAL"},
    ]
)
TEMPLATES = st.sampled_from([{"id": "lt-1"}, {"id": "lt-1", "version": "1"}, {"name": "nodes", "version": "2"}])
REPAIRS = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.booleans(),
        "max_parallel_nodes_repaired_count": st.integers(1, 2),
        "max_unhealthy_node_threshold_percentage": st.just(50),
    },
)
SPECS = st.builds(
    NodegroupSpec,
    cluster_name=st.just("example"),
    name=st.just("general"),
    scaling=st.none() | SCALING,
    update_config=st.none() | UPDATE_CONFIGS,
    repair_config=st.none() | REPAIRS,
    version=st.sampled_from([None, "1.33", "1.34"]),
    release_version=st.sampled_from([None, "1.33.1-20251112", "1.34.2-20260120"]),
    force_update=st.booleans(),
    labels=st.none() | st.dictionaries(KEYS, TEXTS),
    taints=st.none() | TAINTS,
    launch_template=st.none() | TEMPLATES,
    tags=st.none() | st.dictionaries(KEYS, TEXTS),
    purge_tags=st.booleans(),
)


@given(SPECS)
def test_second_plan_is_empty(wanted: NodegroupSpec) -> None:
    change = planning.plan(WITH_TEMPLATE, wanted)
    assert planning.plan(change.after, wanted).actions == ()
    assert change.changed == (change.after != WITH_TEMPLATE)


PLACES = {
    "scaling": "scaling_config",
    "update_config": "update_config",
    "repair_config": "node_repair_config",
    "version": "version",
    "labels": "labels",
    "taints": "taints",
    "launch_template": "launch_template",
    "tags": "tags",
}


@given(SPECS)
def test_undeclared_options_stay(wanted: NodegroupSpec) -> None:
    after = planning.plan(WITH_TEMPLATE, wanted).after
    assert after is not None
    for option, key in PLACES.items():
        if getattr(wanted, option) is None:
            assert after[key] == WITH_TEMPLATE[key]
    assert {key: after[key] for key in planning.FIXED.values()} == {
        key: WITH_TEMPLATE[key] for key in planning.FIXED.values()
    }


@given(SPECS)
def test_taint_calls_reach_predicted_taints(wanted: NodegroupSpec) -> None:
    """Plays EKS: removing by key and effect, then adding or updating, must give what is declared."""
    change = planning.plan(WITH_TEMPLATE, wanted)
    payload: dict[str, t.Any] = {}
    for action in change.actions:
        payload = action.parameters.get("taints", payload)
    taints = settings.taint_values(WITH_TEMPLATE["taints"])
    for taint in payload.get("removeTaints", []):
        del taints[settings.taint_key(taint)]
    taints.update(settings.taint_values(payload.get("addOrUpdateTaints", [])))
    assert change.after is not None
    assert taints == settings.taint_values(change.after["taints"])


def test_normalized_nodegroup_keeps_label_and_tag_keys() -> None:
    found = observing.normalized(
        {
            "nodegroupName": "general",
            "labels": {"camelCase": "Value"},
            "tags": {"CamelCase": "Value"},
            "scalingConfig": {"minSize": 1},
        }
    )
    assert found == {
        "nodegroup_name": "general",
        "labels": {"camelCase": "Value"},
        "tags": {"CamelCase": "Value"},
        "taints": [],
        "scaling_config": {"min_size": 1},
    }


def test_boolean_label_becomes_lowercase_text() -> None:
    assert declared._text_labels({"gpu": True, "count": 2}) == {"gpu": "true", "count": "2"}
