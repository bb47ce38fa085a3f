# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of what a cluster stands on, and what stops it: all that the role `cluster` does beside EKS."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._eks.foundation import api
from ansible_collections.podidentity.eks.plugins.module_utils._eks.foundation import options
from ansible_collections.podidentity.eks.plugins.module_utils._eks.foundation import plan as plans
from ansible_collections.podidentity.eks.plugins.module_utils._eks.foundation import roles
from ansible_collections.podidentity.eks.plugins.module_utils._eks.foundation.obstacles import obstacles
from ansible_collections.podidentity.eks.plugins.module_utils._eks.foundation.spec import Declaration
from ansible_collections.podidentity.eks.plugins.module_utils._eks.foundation.spec import spec_from
from hypothesis import given
from hypothesis import strategies as st

Mapping = dict[str, t.Any]
ACCOUNT = "111122223333"
ROLES = f"arn:aws:iam::{ACCOUNT}:role/"
TAGS = {"podidentity.eks/cluster": "example"}
ZONES = ["eu-west-1a", "eu-west-1b"]
PLACE = plans.Place("eu-west-1", ACCOUNT)
METRICS = {"name": "metrics", "rules": []}
VPC = {"vpc_id": "vpc-1", "cluster_security_group_id": "sg-own"}


def declaration(**declared: t.Any) -> Declaration:
    """A declaration with two zones, with names that have no ``cluster_``."""
    defaults = {name: option.get("default") for name, option in options.CLUSTER.items()}
    given = {"name": "example", "zones": ZONES, **declared}
    return spec_from({**defaults, **{f"cluster_{name}": value for name, value in given.items()}})


def existing(cluster: Mapping | None = None, **parts: list[Mapping]) -> api.Found:
    """What exists; nothing but the named parts."""
    return {"cluster": cluster, "foreign": False, **{part: [] for part in api.PARTS}, **parts}


def role(name: str, tags: Mapping = TAGS, **changes: t.Any) -> Mapping:
    """A role as it was made here, without Auto Mode."""
    made = {one["name"]: one for one in roles.made(declaration())}
    planned = made.get(name, {"trust": {}, "policies": []})
    return {
        "name": name,
        "arn": f"{ROLES}{name}",
        "trust_policy": planned["trust"],
        "managed_policies": planned["policies"],
        "permissions_boundary": None,
        "tags": tags,
        **changes,
    }


def cluster(**changes: t.Any) -> Mapping:
    arn = f"arn:aws:eks:eu-west-1:{ACCOUNT}:cluster/example"
    return {"name": "example", "arn": arn, "resources_vpc_config": VPC, "tags": TAGS, **changes}


def planned(declared: Declaration, found: api.Found, place: plans.Place = PLACE) -> Mapping:
    assert list(obstacles(declared, found)) == []
    return plans.plan(declared, found, place)


MADE = [role("example-cluster"), role("example-nodes")]


# --- obstacles --------------------------------------------------------------------------------------------------------

THEIR_TEMPLATE = {"launch_template_name": "example-workers", "tags": {}}
THEIR_GROUP = {"group_name": "example-metrics", "group_id": "sg-1", "vpc_id": "vpc-1", "tags": {}}
WORKERS = {"name": "workers", "metadata_options": {"http_tokens": "required"}, "additional_security_groups": [METRICS]}
GIVEN: Mapping = {"node_role_arn": f"{ROLES}given", "nodegroups": [{"name": "workers"}]}
STOPPED: list[tuple[Mapping, api.Found, str]] = [
    ({"manage": False}, existing() | {"foreign": True}, "There is no cluster example, and cluster_manage is false"),
    ({}, existing(roles=[role("example-nodes", {})]), f"{ROLES}example-nodes exist without the tag"),
    (
        {"nodegroups": [WORKERS]},
        existing(launch_templates=[THEIR_TEMPLATE], security_groups=[THEIR_GROUP], vpcs=[{"vpc_id": "vpc-1"}]),
        "Launch template example-workers and Security group example-metrics (sg-1) exist without the tag",
    ),
    ({"zones": ZONES[:1]}, existing(), "Cluster example has no network: give at least two cluster_zones"),
    ({"network": "10.0.0.0/25"}, existing(), "The network 10.0.0.0/25 must have a size of"),
    ({}, existing(cluster()), "Cluster example is in vpc-1, which is not managed by this collection"),
    ({"role_arn": f"{ROLES}none"}, existing(), f"There is no IAM role {ROLES}none: correct cluster_role_arn"),
    (GIVEN, existing(), f"There is no IAM role {ROLES}given: correct cluster_node_role_arn"),
    (
        GIVEN,
        existing(roles=[role("given", {}, pod_identity=False)]),
        "The nodes of cluster example could give no pod an identity",
    ),
    (
        {"state": "absent"},
        existing(cluster(), nodegroups=[{"nodegroup_name": "theirs", "tags": {}}]),
        "Cluster example was left with all that belongs to it: its node groups theirs do not carry the tag",
    ),
    ({"state": "absent"}, existing(cluster(deletion_protection=True)), "Cluster example was left with all that"),
]


@pytest.mark.parametrize(("declared", "found", "sentence"), STOPPED)
def test_obstacle_is_named_in_one_sentence(declared: Mapping, found: api.Found, sentence: str) -> None:
    [obstacle] = obstacles(declaration(**declared), found)
    assert obstacle.startswith(sentence)


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        ({"manage": False, "state": "absent"}, existing() | {"foreign": True}),
        ({"zones": []}, existing(cluster(tags={})) | {"foreign": True}),
        ({"zones": [], "subnet_ids": ["subnet-1", "subnet-2"]}, existing(cluster())),
        ({"role_arn": f"{ROLES}none"}, existing(cluster(), vpcs=[{"vpc_id": "vpc-1"}])),
        ({"node_role_arn": f"{ROLES}none"}, existing()),
        (GIVEN, existing(roles=[role("given", {}, pod_identity=None)])),
        ({"nodegroups": [WORKERS]}, existing(security_groups=[THEIR_GROUP])),
        ({"state": "absent", "deletion_protection": False}, existing(cluster(deletion_protection=True))),
    ],
)
def test_what_is_not_touched_is_no_obstacle(declared: Mapping, found: api.Found) -> None:
    assert list(obstacles(declaration(**declared), found)) == []


def test_all_obstacles_are_named_at_once() -> None:
    found = existing(roles=[role("example-cluster", {})])
    assert len(list(obstacles(declaration(zones=[], network="x"), found))) == 3


# --- clusters that are not managed ------------------------------------------------------------------------------------


def test_unmanaged_cluster_has_a_notice_and_no_changes() -> None:
    found = existing(cluster(tags={})) | {"foreign": True}
    plan = planned(declaration(), found)
    assert (plan["managed"], plan["changes"]) == (False, {"foundation": [], "nodes": []})
    assert plan["notice"] == (
        "Cluster example exists without the tag podidentity.eks/cluster, so it is not managed by this collection: it "
        "is used as it is, and nothing in it or around it is changed."
    )


def test_notice_names_what_is_declared() -> None:
    entries = [{"principal_arn": f"{ROLES}people"}]
    declared = declaration(manage=False, state="absent", access_entries=entries)
    notice = planned(declared, existing() | {"foreign": True})["notice"]
    assert "is declared with cluster_manage: false" in notice
    assert notice.endswith("is removed but the declared access entries.")


# --- roles ------------------------------------------------------------------------------------------------------------


def policies(plan: Mapping) -> dict[str, list[str]]:
    return {one["name"]: [arn.rsplit("/", 1)[1] for arn in one["policies"]] for one in plan["roles"]}


def test_new_cluster_gets_roles_of_the_user_guide() -> None:
    plan = planned(declaration(nodegroups=[{"name": "workers"}], permissions_boundary="arn"), existing())
    assert policies(plan) == {
        "example-cluster": ["AmazonEKSClusterPolicy"],
        "example-nodes": [
            *("AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly"),
        ],
    }
    assert {one["boundary"] for one in plan["roles"]} == {"arn"}
    principals = [one["trust"]["Statement"][0]["Principal"]["Service"] for one in plan["roles"]]
    assert principals == ["eks.amazonaws.com", "ec2.amazonaws.com"]
    assert plan["role_arns"] == {name: f"{ROLES}{name}" for name in ("example-cluster", "example-nodes")}


def test_auto_mode_has_its_own_policies() -> None:
    found = policies(planned(declaration(auto_mode=True), existing()))
    assert len(found["example-cluster"]) == 5
    assert found["example-nodes"] == ["AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly"]


def test_roles_without_drift_stay() -> None:
    plan = planned(declaration(), existing(roles=MADE))
    assert plan["roles"] == []


def test_trust_for_auto_mode_stays_without_auto_mode() -> None:
    auto_mode = roles.trust("eks.amazonaws.com", tag_session=True)
    found = existing(roles=[role("example-cluster", trust_policy=auto_mode), MADE[1]])
    assert planned(declaration(), found)["roles"] == []


@pytest.mark.parametrize(
    "drift",
    [
        {"trust_policy": roles.trust("lambda.amazonaws.com")},
        {"managed_policies": []},
        {"permissions_boundary": "arn:aws:iam::aws:policy/other"},
    ],
)
def test_role_with_drift_is_updated(drift: Mapping) -> None:
    declared = declaration(permissions_boundary=f"arn:aws:iam::{ACCOUNT}:policy/boundary")
    whole: Mapping = {"permissions_boundary": declared.permissions_boundary}
    found = existing(roles=[role("example-cluster", **(whole | drift)), role("example-nodes", **whole)])
    [changed] = planned(declared, found)["roles"]
    assert changed["name"] == "example-cluster"


def test_boundary_and_policies_of_others_stay() -> None:
    more = [*MADE[0]["managed_policies"], "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"]
    changed = role("example-cluster", managed_policies=more, permissions_boundary="arn")
    assert planned(declaration(), existing(roles=[changed, MADE[1]]))["roles"] == []


def test_given_roles_are_not_made() -> None:
    declared = declaration(role_arn=f"{ROLES}given", node_role_arn=f"{ROLES}given-too")
    plan = planned(declared, existing(roles=[role("given", {})]))
    assert (plan["roles"], plan["role_arns"]) == ([], {})


# --- ARNs -------------------------------------------------------------------------------------------------------------


def test_arns_are_predicted_in_a_known_account_only() -> None:
    found = existing(roles=MADE[:1])
    plan = planned(declaration(), found, plans.Place("eu-west-1", None))
    assert (plan["role_arns"], plan["arn"]) == ({"example-cluster": f"{ROLES}example-cluster"}, None)
    assert planned(declaration(), found)["arn"] == cluster()["arn"]


@pytest.mark.parametrize(
    ("declared", "found", "account"),
    [
        ({}, existing(), None),
        ({}, existing(roles=[{"name": "hidden", "arn": None}, *MADE]), ACCOUNT),
        ({"node_role_arn": f"{ROLES}given"}, existing(), ACCOUNT),
    ],
)
def test_account_is_that_of_roles(declared: Mapping, found: api.Found, account: str | None) -> None:
    assert plans.known_account(declaration(**declared), found) == account


# --- network ----------------------------------------------------------------------------------------------------------


def test_new_network_has_options_of_its_modules() -> None:
    network = planned(declaration(tags={"team": 1}), existing())["network"]
    tags = {**TAGS, "team": "1"}
    assert (network["vpc_id"], network["tags"]) == (None, {**tags, "Name": "example"})
    public = network["subnets"][0]
    assert (public["name"], public["cidr"]) == ("public in eu-west-1a", "10.42.0.0/20")
    assert public["tags"] == {**tags, "Name": "example-public-eu-west-1a", "kubernetes.io/role/elb": "1"}
    assert network["nat_gateways"] == [
        {"zone": "eu-west-1a", "subnet": "public in eu-west-1a", "tags": {**tags, "Name": "example-eu-west-1a"}}
    ]
    assert network["route_tables"] == [
        {
            "name": "public",
            "nat_zone": None,
            "subnets": ["public in eu-west-1a", "public in eu-west-1b"],
            "tags": {**TAGS, "Name": "example"},
        },
        *(
            {
                "name": f"private-{zone}",
                "nat_zone": "eu-west-1a",
                "subnets": [f"private in {zone}"],
                "tags": {**TAGS, "Name": f"example-private-{zone}"},
            }
            for zone in ZONES
        ),
    ]


def test_given_subnets_need_no_network() -> None:
    subnets = [{"subnet_id": f"subnet-{zone}", "availability_zone": zone, "vpc_id": "vpc-1"} for zone in ZONES]
    ids = [one["subnet_id"] for one in subnets]
    declared = declaration(subnet_ids=ids, nodegroups=[{"name": "workers", "zones": ZONES[1:]}])
    plan = planned(declared, existing(given_subnets=subnets))
    assert (plan["network"], plan["control_plane_subnets"], plan["subnet_ids"]) == (
        None,
        ids,
        {one: one for one in ids},
    )
    assert plan["nodegroups"][0]["subnets"] == ids[1:]


def test_surplus_nat_gateway_takes_its_address_along() -> None:
    addresses = [{"allocation_id": f"eipalloc-{zone}", "association_id": "a"} for zone in (*ZONES, "other")]
    gateways = [
        {
            "nat_gateway_id": f"nat-{zone}",
            "subnet_id": f"subnet-public-{zone}",
            "state": "available",
            "nat_gateway_addresses": [{"allocation_id": f"eipalloc-{zone}"}],
        }
        for zone in ZONES
    ]
    subnets = [
        {"subnet_id": f"subnet-public-{zone}", "availability_zone": zone, "cidr_block": f"10.42.{16 * number}.0/20"}
        for number, zone in enumerate(ZONES)
    ]
    found = existing(subnets=subnets, nat_gateways=gateways, addresses=addresses, vpcs=[{"vpc_id": "vpc-1"}])
    network = planned(declaration(), found)["network"]
    assert network["vpc_id"] == "vpc-1" and network["nat_gateway_ids"] == {ZONES[0]: f"nat-{ZONES[0]}"}
    assert network["surplus"] == {"nat_gateways": gateways[1:], "addresses": addresses[1:2]}


# --- nodes ------------------------------------------------------------------------------------------------------------


def test_nodegroup_takes_version_and_tags_of_the_cluster() -> None:
    groups = [{"name": "a", "disk_size": 30}, {"name": "b", "version": "1.33", "tags": {"cost": 2}}, WORKERS]
    plan = planned(declaration(version="1.34", tags={"team": "x"}, nodegroups=groups), existing())
    found = {one["name"]: one for one in plan["nodegroups"]}
    assert [one["version"] for one in found.values()] == ["1.34", "1.33", "1.34"]
    assert (found["a"]["tags"], found["b"]["tags"]) == ({"team": "x"}, {"team": "x", "cost": "2"})
    assert (found["a"]["disk_size"], found["a"]["template"]) == (30, None)
    assert found["workers"]["template"] == {"name": "example-workers", "version": None}


def test_volume_of_a_launch_template_is_not_that_of_the_group() -> None:
    group = {"name": "workers", "disk_size": 30, "disk_type": "gp3"}
    plan = planned(declaration(nodegroups=[group]), existing())
    [template] = plan["launch_templates"]
    assert template["block_device_mappings"][0]["ebs"]["volume_size"] == 30
    assert (template["security_groups"], "disk_size" in plan["nodegroups"][0]) == ([], False)


def test_security_group_is_found_in_the_vpc_of_the_cluster() -> None:
    group = {"group_name": "example-metrics", "group_id": "sg-1", "vpc_id": "vpc-1", "tags": TAGS}
    other = group | {"group_id": "sg-2", "vpc_id": "vpc-2", "tags": {}}
    data = {
        "security_group_ids": ["sg-own", "sg-1"],
        "metadata_options": {"http_tokens": "required", "http_put_response_hop_limit": 2},
    }
    template = {"launch_template_name": "example-workers", "latest_version_number": 3, "data": data, "tags": TAGS}
    found = existing(cluster(), vpcs=[{"vpc_id": "vpc-1"}], security_groups=[other, group], launch_templates=[template])
    plan = planned(declaration(nodegroups=[WORKERS]), found)
    assert (plan["security_groups"], plan["security_group_ids"]) == ([], {"metrics": "sg-1"})
    assert (plan["launch_templates"], plan["nodegroups"][0]["template"]["version"]) == ([], 3)
    alone = planned(declaration(nodegroups=[WORKERS]), {**found, "security_groups": [other]})
    assert [one["full_name"] for one in alone["security_groups"]] == ["example-metrics"]
    assert alone["launch_templates"][0]["security_groups"] == ["metrics"]


GROUPS = st.fixed_dictionaries(
    {"name": st.sampled_from("abc")},
    optional={
        "zones": st.lists(st.sampled_from(ZONES), min_size=1),
        "subnet_ids": st.just(["subnet-given"]),
        "additional_security_groups": st.lists(st.sampled_from([METRICS, {"name": "logs"}, "sg-given"])),
        "disk_type": st.just("gp3"),
    },
)


@given(
    groups=st.lists(GROUPS, unique_by=lambda group: group["name"]),
    nat=st.sampled_from(["single", "per_zone", "none"]),
    exists=st.booleans(),
)
def test_every_name_in_a_plan_has_an_id(groups: list[Mapping], nat: str, exists: bool) -> None:
    found = existing(cluster(), vpcs=[{"vpc_id": "vpc-1"}]) if exists else existing()
    plan = planned(declaration(nodegroups=groups, nat=nat), found)
    network = plan["network"]
    subnets = [*plan["control_plane_subnets"], *(one["name"] for one in network["subnets"])]
    subnets += [name for one in (*network["route_tables"], *plan["nodegroups"]) for name in one["subnets"]]
    subnets += [one["subnet"] for one in network["nat_gateways"]]
    assert set(subnets) <= set(plan["subnet_ids"])
    names = {name for one in plan["launch_templates"] for name in one["security_groups"]}
    assert names <= set(plan["security_group_ids"])
    gateways = {one["zone"] for one in network["nat_gateways"]} | set(network["nat_gateway_ids"])
    assert {one["nat_zone"] for one in network["route_tables"] if one["nat_zone"]} <= gateways
    assert [one["name"] for one in plan["security_groups"]] == [
        name for name in plan["security_group_ids"] if name != "sg-given"
    ]


# --- removal ----------------------------------------------------------------------------------------------------------


def test_removal_takes_only_what_has_the_tag() -> None:
    other = {"podidentity.eks/cluster": "other"}
    group = {"group_name": "a", "group_id": "sg-1", "vpc_id": "vpc-1"}
    found = existing(
        cluster(),
        roles=[*MADE, role("given", {}), role("theirs", other)],
        security_groups=[group | {"tags": TAGS}, group | {"tags": other}],
        nodegroups=[{"nodegroup_name": "old", "tags": TAGS}],
        vpcs=[{"vpc_id": "vpc-1"}],
    )
    removal = planned(declaration(state="absent"), found)["removal"]
    assert (removal["roles"], removal["nodegroups"]) == (MADE, found["nodegroups"])
    assert (removal["security_groups"], removal["vpcs"]) == (found["security_groups"][:1], found["vpcs"])
