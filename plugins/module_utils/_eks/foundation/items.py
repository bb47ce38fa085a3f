# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The items of a plan for everything that a cluster stands on, in the order of a run."""

from __future__ import annotations

import typing as t

from ..plan_items import Item
from ..plan_items import created

if t.TYPE_CHECKING:
    import collections.abc as c

Resource = t.Mapping[str, t.Any]
INTERNET = "0.0.0.0/0"


def of_network(plan: Resource, observed: Resource, cluster_name: str, cidr: str) -> list[Item]:
    """One item for each resource: kind, name, action and its fields; nothing where nothing is missing.

    :param plan: of :func:`.network.plan`.
    :param observed: what exists; see :func:`.api.look_up`.
    """
    if not plan["missing"]:
        return []
    found: list[Item] = []
    if not observed.get("vpcs"):
        found.append(created("VPC", cluster_name, cidr_block=cidr))
    # What a subnet lacks may be the route, which is the matter of its table.
    subnets = [_subnet(one, observed) for one in plan["subnets"] if one["changed"]]
    found += [one for one in subnets if one["changes"]]
    if not observed.get("internet_gateways"):
        found.append(created("internet gateway", cluster_name))
    for one in plan["nat_gateways"]:
        if "nat_gateway_id" not in one:
            found += [] if "allocation_id" in one else [created("Elastic IP address", one["zone"])]
            found.append(created("NAT gateway", one["zone"]))
    found += list(_route_tables(plan, observed, cluster_name))
    return found + list(_surplus(plan, observed))


def of_role(role: Resource, observed: Resource) -> Item:
    """A role of the cluster or of its nodes that is missing or differs; policies that others have attached stay.

    :param role: one of :func:`.roles.changes`.
    """
    found = next((one for one in observed["roles"] if one["name"] == role["name"]), None)
    before = found or {}
    attached = list(before.get("managed_policies") or ())
    boundary = before.get("permissions_boundary")
    sides = {
        "trust_policy": (before.get("trust_policy"), role["trust"]),
        "managed_policies": (attached, sorted({*attached, *role["policies"]})),
        "permissions_boundary": (boundary, role["boundary"] or boundary),
    }
    values = {key: {"before": old, "after": new} for key, (old, new) in sides.items() if old != new}
    return {"kind": "role", "name": role["name"], "action": "update" if found else "create", "changes": values}


def of_nodes(security_groups: t.Sequence[Resource], templates: t.Sequence[Resource], observed: Resource) -> list[Item]:
    """The security groups and launch templates of node groups that are missing or differ."""
    groups = {one["group_name"] for one in observed["security_groups"]}
    found = [_named("security group", one["full_name"], groups) for one in security_groups]
    existing = {one["launch_template_name"] for one in observed["launch_templates"]}
    return found + [_named("launch template", one["name"], existing) for one in templates]


def _named(kind: str, name: str, existing: t.Container[str]) -> Item:
    return {"kind": kind, "name": name, "action": "update" if name in existing else "create", "changes": {}}


def _subnet(planned: Resource, observed: Resource) -> Item:
    name, public = f"{planned['kind']} in {planned['zone']}", planned["kind"] == "public"
    if "subnet_id" not in planned:
        return created("subnet", name, cidr_block=planned["cidr"], public_addresses=public, tags=planned["tags"])
    [found] = [one for one in observed["subnets"] if one["subnet_id"] == planned["subnet_id"]]
    tags = found.get("tags") or {}
    sides = {
        "public_addresses": (bool(found.get("map_public_ip_on_launch")), public),
        "tags": (tags, {**tags, **planned["tags"]}),
    }
    values = {key: {"before": old, "after": new} for key, (old, new) in sides.items() if old != new}
    return {"kind": "subnet", "name": name, "action": "update", "changes": values}


def _route_tables(plan: Resource, observed: Resource, cluster_name: str) -> c.Iterator[Item]:
    """Route tables are found again by their name."""
    by_name = {(table.get("tags") or {}).get("Name"): table for table in observed["route_tables"]}
    gateways = {one["zone"]: one.get("nat_gateway_id", "new NAT gateway") for one in plan["nat_gateways"]}
    internet = next((one["internet_gateway_id"] for one in observed.get("internet_gateways") or ()), "internet gateway")
    for table in plan["route_tables"]:
        public = table["kind"] == "public"
        where = [f"{table['kind']} in {zone}" for zone in table["zones"]]
        found = by_name.get(cluster_name if public else f"{cluster_name}-{table['name']}")
        if found is None:
            route = "internet gateway" if public else f"NAT gateway in {table['nat_zone']}"
            yield created("route table", table["name"], subnets=where, route=route)
            continue
        ids = {one.get("subnet_id") for one in plan["subnets"] if f"{one['kind']} in {one['zone']}" in where}
        wanted = internet if public else gateways[table["nat_zone"]]
        values = dict(_differences(found, ids, wanted))
        if values:
            yield {"kind": "route table", "name": table["name"], "action": "update", "changes": values}


def _differences(table: Resource, ids: set[str | None], wanted: str) -> c.Iterator[tuple[str, dict[str, t.Any]]]:
    """Subnets that the table does not have yet, and another way out of the network."""
    here = {one["subnet_id"] for one in table.get("associations") or () if one.get("subnet_id")}
    if not ids <= here:
        after = sorted(here | {one or "new subnet" for one in ids})
        yield "subnets", {"before": sorted(here), "after": after}
    routes = [one for one in table.get("routes") or () if one.get("destination_cidr_block") == INTERNET]
    active = [one for one in routes if one.get("state", "active") == "active"]
    old = next((one.get("nat_gateway_id") or one.get("gateway_id") for one in active), None)
    if old != wanted:
        yield "route", {"before": old, "after": wanted}


def _surplus(plan: Resource, observed: Resource) -> c.Iterator[Item]:
    """NAT gateways that no subnet needs any more, with their addresses."""
    zones = {one["subnet_id"]: one["availability_zone"] for one in observed["subnets"]}
    for gateway in observed["nat_gateways"]:
        if gateway["nat_gateway_id"] not in plan["surplus"]:
            continue
        name = zones.get(gateway["subnet_id"], gateway["nat_gateway_id"])
        yield {"kind": "NAT gateway", "name": name, "action": "delete", "changes": {}}
        managed = {one["allocation_id"] for one in observed["addresses"]}
        for address in gateway.get("nat_gateway_addresses") or ():
            if address.get("allocation_id") in managed:
                yield {"kind": "Elastic IP address", "name": name, "action": "delete", "changes": {}}
