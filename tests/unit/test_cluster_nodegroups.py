# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The subnets and launch templates that the role `cluster` gives to node groups."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.filter.eks_nodegroup_plan import eks_nodegroup_plan

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
    (planned,) = eks_nodegroup_plan(
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
def test_a_new_node_group_gets_the_subnets_of_its_zones(group: Mapping, subnets: list[str]) -> None:
    assert plan(group, observed())["subnet_ids"] == subnets


@pytest.mark.parametrize("zones", [{}, {"zones": ["eu-west-1a", "eu-west-1b"]}])
def test_a_node_group_of_an_older_network_stays_where_it_is(zones: Mapping) -> None:
    assert plan(zones, observed(nodegroup("workers", *PUBLIC)))["subnet_ids"] is None


@pytest.mark.parametrize(
    ("group", "subnets"),
    [
        # What EKS cannot do is the module's to refuse.
        ({"zones": ["eu-west-1a"]}, PRIVATE[:1]),
        ({"subnet_ids": ["subnet-mine"]}, ["subnet-mine"]),
        ({"replace": True}, PRIVATE),
    ],
)
def test_subnets_are_declared_where_they_are_meant(group: Mapping, subnets: list[str]) -> None:
    assert plan(group, observed(nodegroup("workers", *PUBLIC)))["subnet_ids"] == subnets


def test_a_node_group_that_has_replaced_another_is_the_declared_one() -> None:
    replaced = nodegroup("workers-1a2b3c", *PRIVATE, **{"podidentity.eks/nodegroup": "workers"})
    assert plan({}, observed(replaced))["subnet_ids"] is None


@pytest.mark.parametrize(
    "group",
    [{}, {"disk_size": 50}, {"additional_security_groups": []}, {"metadata_options": {}}, {"labels": {"a": "b"}}],
)
def test_what_eks_sets_itself_needs_no_launch_template(group: Mapping) -> None:
    assert plan(group, observed())["template"] is None


def test_a_launch_template_with_security_groups_names_the_clusters_own_too() -> None:
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
def test_options_of_the_metadata_that_are_not_declared_are_as_eks_has_them(declared: Mapping, options: Mapping) -> None:
    data = plan({"metadata_options": declared}, observed())["template"]["data"]
    assert data == {"metadata_options": options}, "without security groups, which EKS adds itself then"


def test_a_volume_is_as_declared_and_goes_with_its_node() -> None:
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


def test_a_launch_template_as_declared_stays() -> None:
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
def test_a_launch_template_that_differs_is_changed(group: Mapping, tags: dict[str, str]) -> None:
    assert plan(group, observed(templates=[template(GROUP)]), tags=tags)["template"]["changed"]
