# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The items of a plan: everything that the role `cluster` changes, from what was observed, planned and returned."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._eks import plan_items
from ansible_collections.podidentity.eks.plugins.module_utils._eks.foundation import items as foundation_items
from ansible_collections.podidentity.eks.plugins.module_utils._eks.foundation import network

Mapping = dict[str, t.Any]
ZONES = ["eu-west-1a", "eu-west-1b"]
CIDR = "10.42.0.0/16"
PARTS = ("vpcs", "subnets", "route_tables", "internet_gateways", "nat_gateways", "addresses")
EMPTY: Mapping = {part: [] for part in PARTS}


def items(observed: Mapping, nat: str = "per_zone") -> list[Mapping]:
    planned = network.plan(ZONES, CIDR, nat=nat, observed=observed)
    return foundation_items.of_network(planned, observed, "example", CIDR)


def named(found: list[Mapping]) -> list[str]:
    return [f"{one['action']} {one['kind']} {one['name']}" for one in found]


def complete() -> Mapping:
    """A network with public subnets only."""
    subnets = [
        {
            "subnet_id": f"subnet-{zone}",
            "availability_zone": zone,
            "cidr_block": f"10.42.{16 * number}.0/20",
            "map_public_ip_on_launch": True,
            "tags": {"kubernetes.io/role/elb": "1"},
        }
        for number, zone in enumerate(ZONES)
    ]
    table = {
        "tags": {"Name": "example"},
        "associations": [{"subnet_id": one["subnet_id"]} for one in subnets],
        "routes": [{"destination_cidr_block": "0.0.0.0/0", "gateway_id": "igw-1", "state": "active"}],
    }
    gateway = {"internet_gateway_id": "igw-1"}
    more = {"vpcs": [{}], "internet_gateways": [gateway], "route_tables": [table]}
    return {**EMPTY, **more, "subnets": subnets}


def test_empty_account_gets_each_resource_of_the_network() -> None:
    found = items(EMPTY)
    assert named(found) == [
        "create VPC example",
        *(f"create subnet {kind} in {zone}" for kind in ("public", "private") for zone in ZONES),
        "create internet gateway example",
        *(f"create {kind} {zone}" for zone in ZONES for kind in ("Elastic IP address", "NAT gateway")),
        "create route table public",
        *(f"create route table private-{zone}" for zone in ZONES),
    ]
    assert found[1]["changes"]["cidr_block"] == {"before": None, "after": "10.42.0.0/20"}
    assert found[-1]["changes"]["route"]["after"] == "NAT gateway in eu-west-1b"


def test_complete_network_has_no_items() -> None:
    assert items(complete(), nat="none") == []


def test_changed_subnet_and_lost_route_are_updates() -> None:
    observed = complete()
    observed["subnets"][0]["map_public_ip_on_launch"] = False
    observed["route_tables"][0]["routes"] = []
    subnet, table = items(observed, nat="none")
    assert subnet["changes"] == {"public_addresses": {"before": False, "after": True}}
    assert table["changes"] == {"route": {"before": None, "after": "igw-1"}}


def test_surplus_nat_gateway_goes_with_its_address() -> None:
    observed = complete()
    addresses = [{"allocation_id": "eipalloc-1"}]
    gateway = {"nat_gateway_id": "nat-1", "subnet_id": "subnet-eu-west-1a", "state": "available"}
    observed |= {"addresses": addresses, "nat_gateways": [gateway | {"nat_gateway_addresses": addresses}]}
    assert named(items(observed, nat="none")) == [
        "delete NAT gateway eu-west-1a",
        "delete Elastic IP address eu-west-1a",
    ]


def test_role_keeps_policies_of_others() -> None:
    trust: Mapping = {"Statement": []}
    found = {"name": "nodes", "trust_policy": trust, "managed_policies": ["b"], "permissions_boundary": None}
    role = {"name": "nodes", "trust": trust, "policies": ["a"], "boundary": ""}
    assert foundation_items.of_role(role, {"roles": [found]}) == {
        "kind": "role",
        "name": "nodes",
        "action": "update",
        "changes": {"managed_policies": {"before": ["b"], "after": ["a", "b"]}},
    }
    assert foundation_items.of_role(role, {"roles": []})["action"] == "create"


def test_security_groups_and_templates_are_named() -> None:
    observed = {"security_groups": [{"group_name": "example-a"}], "launch_templates": []}
    found = foundation_items.of_nodes([{"full_name": "example-a"}], [{"name": "example-workers"}], observed)
    assert named(found) == ["update security group example-a", "create launch template example-workers"]


@pytest.mark.parametrize(
    ("operations", "action"),
    [
        (["update_cluster_version"], "update"),
        (["tag_resource"], "update"),
        (["create_nodegroup"], "create"),
        (["create_nodegroup", "delete_nodegroup"], "replace"),
        (["update_cluster_config", "delete_cluster"], "delete"),
    ],
)
def test_operations_of_a_module_become_one_action(operations: list[str], action: str) -> None:
    item = plan_items.of_operations("cluster", "example", operations, {})
    assert item == {"kind": "cluster", "name": "example", "action": action, "changes": {}}


def test_item_has_the_fields_that_a_run_can_know() -> None:
    version = {"before": "1.33", "after": "1.34"}
    fields = {"version": version, "status": {"before": "ACTIVE", "after": "UPDATING"}}
    image = {"release_version": {"before": "1.33-1", "after": None}}
    item = plan_items.of_operations("node group", "general", ["update_nodegroup_version"], fields | image)
    assert item and item["changes"] == {"version": version}
    deleted = plan_items.of_operations("node group", "general", ["delete_nodegroup"], fields)
    assert deleted and deleted["changes"] == {}


def test_unchanged_resource_has_no_item() -> None:
    assert plan_items.of_operations("cluster", "example", [], {}) is None
