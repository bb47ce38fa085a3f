# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The subnets and launch templates that the role `cluster` gives to node groups."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._eks.foundation import nodegroups

Mapping = dict[str, t.Any]
SUBNETS = [{"zone": f"eu-west-1{zone}", "subnet_id": f"subnet-private-{zone}"} for zone in "ab"]
PRIVATE = ["subnet-private-a", "subnet-private-b"]
PUBLIC = ["subnet-public-a", "subnet-public-b"]
METRICS = {"name": "metrics", "rules": []}


def observed(*nodegroups: Mapping, templates: t.Sequence[Mapping] = ()) -> Mapping:
    subnets = [
        {"subnet_id": f"subnet-{kind}-{zone}", "availability_zone": f"eu-west-1{zone}"}
        for kind in ("public", "private")
        for zone in "ab"
    ]
    return {"nodegroups": nodegroups, "subnets": subnets, "given_subnets": [], "launch_templates": templates}


def nodegroup(name: str, *subnets: str, **tags: str) -> Mapping:
    return {"nodegroup_name": name, "subnets": list(subnets), "tags": tags}


def plan(group: Mapping, found: Mapping, **more: t.Any) -> Mapping:
    groups = {"metrics": "sg-metrics"}
    (planned,) = nodegroups.plan(
        [{"name": "workers", **group}],
        "example",
        subnets=SUBNETS,
        observed=found,
        security_groups=groups,
        cluster_security_group="sg-cluster",
        **more,
    )
    return planned


def template(group: Mapping, **changes: t.Any) -> Mapping:
    """The launch template that was made for a node group."""
    data = plan(group, observed())["template"]["data"]
    return {"launch_template_name": "example-workers", "latest_version_number": 3, "data": data, "tags": {}} | changes


@pytest.mark.parametrize(
    ("group", "subnets"),
    [({}, PRIVATE), ({"zones": ["eu-west-1b"]}, PRIVATE[1:]), ({"subnet_ids": ["subnet-mine"]}, ["subnet-mine"])],
)
def test_new_nodegroup_gets_subnets_of_its_zones(group: Mapping, subnets: list[str]) -> None:
    assert plan(group, observed())["subnets"] == subnets


@pytest.mark.parametrize("zones", [{}, {"zones": ["eu-west-1a", "eu-west-1b"]}])
def test_existing_nodegroup_keeps_its_subnets(zones: Mapping) -> None:
    assert plan(zones, observed(nodegroup("workers", *PUBLIC)))["subnets"] is None


@pytest.mark.parametrize(
    ("group", "subnets"),
    [
        # What EKS cannot do is the module's to refuse.
        ({"zones": ["eu-west-1a"]}, PRIVATE[:1]),
        ({"subnet_ids": ["subnet-mine"]}, ["subnet-mine"]),
        ({"replace": True}, PRIVATE),
    ],
)
def test_explicit_change_sets_subnets_of_existing_nodegroup(group: Mapping, subnets: list[str]) -> None:
    assert plan(group, observed(nodegroup("workers", *PUBLIC)))["subnets"] == subnets


def test_replacement_nodegroup_counts_as_declared_one() -> None:
    replaced = nodegroup("workers-1a2b3c", *PRIVATE, **{"podidentity.eks/nodegroup": "workers"})
    assert plan({}, observed(replaced))["subnets"] is None


@pytest.mark.parametrize(
    "group",
    [{}, {"disk_size": 50}, {"additional_security_groups": []}, {"metadata_options": {}}, {"labels": {"a": "b"}}],
)
def test_native_eks_options_need_no_launch_template(group: Mapping) -> None:
    assert plan(group, observed())["template"] is None


def test_launch_template_includes_cluster_security_group() -> None:
    groups = {"additional_security_groups": [METRICS, "sg-given"]}
    assert plan(groups, observed())["template"] == {
        "name": "example-workers",
        "data": {"security_group_ids": ["sg-cluster", "sg-given", "sg-metrics"]},
        "changed": True,
        "version": None,
    }


@pytest.mark.parametrize(
    ("declared", "options"),
    [
        ({"http_put_response_hop_limit": 1}, {"http_tokens": "required", "http_put_response_hop_limit": 1}),
        ({"http_tokens": "optional"}, {"http_tokens": "optional", "http_put_response_hop_limit": 2}),
    ],
)
def test_undeclared_metadata_options_get_eks_defaults(declared: Mapping, options: Mapping) -> None:
    data = plan({"metadata_options": declared}, observed())["template"]["data"]
    assert data == {"metadata_options": options}, "without security groups, which EKS adds itself then"


def test_volume_has_declared_options_and_is_deleted_with_node() -> None:
    volume = {
        "disk_type": "gp3",
        "disk_iops": 4000,
        "disk_throughput": 250,
        "disk_encrypted": True,
        "disk_kms_key_id": "key",
        "disk_device": "/dev/xvdb",
    }
    [mapping] = plan(volume, observed())["template"]["data"]["block_device_mappings"]
    assert mapping == {
        "device_name": "/dev/xvdb",
        "ebs": {
            "volume_size": 20,
            "volume_type": "gp3",
            "iops": 4000,
            "throughput": 250,
            "encrypted": True,
            "kms_key_id": "key",
            "delete_on_termination": True,
        },
    }


GROUP = {"additional_security_groups": ["sg-given", METRICS], "metadata_options": {"http_tokens": "required"}}


def test_launch_template_without_drift_stays() -> None:
    found = template(GROUP, tags={"team": "one"})
    found["data"]["security_group_ids"].reverse()
    found["data"]["metadata_options"] |= {"state": "applied", "http_endpoint": "enabled"}
    planned = plan(GROUP, observed(templates=[found]), tags={"team": "one"})["template"]
    assert (planned["changed"], planned["version"]) == (False, 3)


@pytest.mark.parametrize(
    ("group", "tags"),
    [
        (GROUP | {"metadata_options": {"http_tokens": "optional"}}, {}),
        (GROUP | {"additional_security_groups": ["sg-given"]}, {}),
        (GROUP | {"disk_size": 30}, {}),
        ({"metadata_options": {"http_tokens": "required"}}, {}),
        (GROUP, {"team": "one"}),
    ],
)
def test_launch_template_with_drift_is_changed(group: Mapping, tags: dict[str, str]) -> None:
    assert plan(group, observed(templates=[template(GROUP)]), tags=tags)["template"]["changed"]
