# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The items of a plan: everything that the role `cluster` changes, from what was observed, planned and returned."""

from __future__ import annotations

import typing as t

from ansible_collections.podidentity.eks.plugins.filter.eks_cluster_plan import eks_cluster_plan
from ansible_collections.podidentity.eks.plugins.filter.eks_network_plan import eks_network_plan

Mapping = dict[str, t.Any]
ZONES = ["eu-west-1a", "eu-west-1b"]
CIDR = "10.42.0.0/16"
PARTS = ("vpcs", "subnets", "route_tables", "internet_gateways", "nat_gateways", "addresses")
EMPTY: Mapping = {part: [] for part in PARTS}


def items(observed: Mapping, nat: str = "per_zone") -> list[Mapping]:
    network = eks_network_plan(ZONES, CIDR, nat=nat, observed=observed)
    return eks_cluster_plan({"observed": observed, "network": network}, "example", CIDR)


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
    role = {"name": "nodes", "trust": trust, "policies": ["a"]}
    [one] = eks_cluster_plan({"observed": {"roles": [found]}, "roles": [role]}, "example")
    assert one == {
        "kind": "role",
        "name": "nodes",
        "action": "update",
        "changes": {"managed_policies": {"before": ["b"], "after": ["a", "b"]}},
    }
    [new] = eks_cluster_plan({"roles": [role]}, "example")
    assert new["action"] == "create"


def test_results_of_modules_become_items() -> None:
    def result(*actions: str, changes: Mapping | None = None) -> Mapping:
        item = {"name": "general"}
        return {"changed": bool(actions), "actions": list(actions), "changes": changes or {}, "item": item}

    parts = {
        "cluster": result("update_cluster_version", changes={"version": {"before": "1.33", "after": "1.34"}}),
        "nodegroups": [result(), result("create_nodegroup", "delete_nodegroup"), {"skipped": True, "changed": False}],
        "addons": [result("delete_addon", changes={"version": {"before": "v1", "after": None}})],
    }
    found = eks_cluster_plan(parts, "example")
    assert named(found) == ["update cluster example", "replace node group general", "delete add-on general"]
    assert found[0]["changes"] == {"version": {"before": "1.33", "after": "1.34"}} and found[2]["changes"] == {}
