# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The plan of a cluster's surroundings: what is created, updated or removed, and with which options.

What does not exist yet has no ID. So subnets and security groups have names in a plan, ``subnet_ids`` and
``security_group_ids`` are the IDs as far as they are known, and a run adds those that it makes. Check mode makes none
and gets IDs that cannot be, so that what comes after can still be predicted.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .. import ownership
from ..common import text_tags
from ..ownership import is_managed
from . import items
from . import network
from . import nodegroups
from . import roles
from . import security_groups
from .obstacles import groups_in_vpc

if t.TYPE_CHECKING:
    from .api import Found
    from .spec import Declaration

Resource = dict[str, t.Any]
UNKNOWN_SUBNET = "subnet-0000000{number}"
UNKNOWN_GROUP = "sg-00000000"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a cluster is created; ``None`` is an account that nothing has told, without which no ARN is predicted."""

    region: str
    account: str | None


def known_account(declared: Declaration, found: Found) -> str | None:
    """The account of the cluster, as far as a given or existing role tells it."""
    arns = [declared.role_arn, declared.node_role_arn, *(role["arn"] for role in found["roles"])]
    return next((arn.split(":")[4] for arn in arns if arn), None)


def plan(declared: Declaration, found: Found, place: Place) -> Resource:
    """What a run does, for a declaration to which :func:`.obstacles.obstacles` has nothing to say.

    :param found: of :func:`.api.look_up`.
    """
    cluster = {"cluster": found["cluster"], "managed": not found["foreign"], "notice": notice(declared, found)}
    if found["foreign"]:
        return {**cluster, "changes": {"foundation": [], "nodes": []}}
    if not declared.present:
        return {**cluster, "removal": removal(declared, found)}
    return {**cluster, **_arns(declared, found, place), **creation(declared, found)}


def creation(declared: Declaration, found: Found) -> Resource:
    """What is created and updated."""
    changed_roles = roles.changes(declared, found["roles"])
    subnets = _network(declared, found) if declared.makes_network else None
    made = subnets["subnets"] if subnets else []
    nodes = _nodes(declared, found)
    foundation = [items.of_role(role, found) for role in changed_roles]
    if subnets:
        foundation += items.of_network(subnets, found, declared.name, declared.network)
    return {
        "roles": changed_roles,
        "network": network_steps(declared, found, subnets) if subnets and subnets["missing"] else None,
        "control_plane_subnets": [*declared.subnet_ids, *map(_name, made)],
        "subnet_ids": _subnet_ids(declared, made),
        **nodes,
        "changes": {
            "foundation": foundation,
            "nodes": items.of_nodes(nodes["security_groups"], nodes["launch_templates"], found),
        },
    }


def notice(declared: Declaration, found: Found) -> str:
    """A sentence about a cluster that is not managed, empty for others."""
    if not found["foreign"]:
        return ""
    why = f"exists without the tag {ownership.TAG}" if declared.manage else "is declared with cluster_manage: false"
    done = "changed" if declared.present else "removed"
    entries = " but the declared access entries" if declared.access_entries else ""
    return (
        f"Cluster {declared.name} {why}, so it is not managed by this collection: it is used as it is, and nothing in "
        f"it or around it is {done}{entries}."
    )


def _arns(declared: Declaration, found: Found, place: Place) -> Resource:
    """ARNs of the roles that are made, by name, and of the cluster; predicted where they do not exist."""
    known = {role["name"]: role["arn"] for role in found["roles"] if role["name"] in declared.made_role_names}
    cluster_arn = (found["cluster"] or {}).get("arn")
    if place.account is None:
        return {"role_arns": known, "arn": cluster_arn}
    prefix = f"arn:{declared.partition}:iam::{place.account}:role/"
    predicted = {name: f"{prefix}{name}" for name in declared.made_role_names}
    arn = f"arn:{declared.partition}:eks:{place.region}:{place.account}:cluster/{declared.name}"
    return {"role_arns": {**predicted, **known}, "arn": cluster_arn or arn}


# --- network ----------------------------------------------------------------------------------------------------------


def _network(declared: Declaration, found: Found) -> Resource:
    return network.plan(declared.zones, declared.network, nat=declared.nat, observed=found)


def _name(subnet: t.Mapping[str, t.Any]) -> str:
    """What a subnet is called in a plan."""
    return f"{subnet['kind']} in {subnet['zone']}"


def _subnet_ids(declared: Declaration, made: t.Sequence[Resource]) -> dict[str, str]:
    """IDs by name; one that is given is its own name."""
    given = [*declared.subnet_ids, *(each for group in declared.nodegroups for each in group.get("subnet_ids", ()))]
    ids = {
        _name(each): each.get("subnet_id", UNKNOWN_SUBNET.format(number=number))
        for number, each in enumerate(made, start=1)
    }
    return {**{each: each for each in given}, **ids}


def _node_subnets(declared: Declaration, found: Found) -> list[dict[str, str]]:
    """Zone and name of each subnet for nodes."""
    if not declared.makes_network:
        return [{"zone": one["availability_zone"], "subnet_id": one["subnet_id"]} for one in found["given_subnets"]]
    kind = "public" if declared.nat == "none" else "private"
    return [{"zone": zone, "subnet_id": _name({"kind": kind, "zone": zone})} for zone in dict.fromkeys(declared.zones)]


def network_steps(declared: Declaration, found: Found, planned: Resource) -> Resource:
    """Options of the modules that make what a network lacks.

    :param planned: of :func:`.network.plan`.
    """
    name, tags = declared.name, declared.all_tags
    gateways = [each for each in planned["nat_gateways"] if "nat_gateway_id" not in each]
    return {
        "missing": planned["missing"],
        "vpc_id": next((vpc["vpc_id"] for vpc in found["vpcs"]), None),
        "tags": {**tags, "Name": name},
        "subnets": [
            {
                **each,
                "name": _name(each),
                "tags": {**tags, "Name": f"{name}-{each['kind']}-{each['zone']}", **each["tags"]},
            }
            for each in planned["subnets"]
            if each["changed"]
        ],
        "nat_gateways": [
            {**each, "subnet": _name({**each, "kind": "public"}), "tags": {**tags, "Name": f"{name}-{each['zone']}"}}
            for each in gateways
        ],
        "nat_gateway_ids": {
            each["zone"]: each["nat_gateway_id"] for each in planned["nat_gateways"] if "nat_gateway_id" in each
        },
        "route_tables": [_route_table(declared, each) for each in planned["route_tables"]],
        "surplus": _surplus(found, planned["surplus"]),
    }


def _route_table(declared: Declaration, table: t.Mapping[str, t.Any]) -> Resource:
    """A route table is found again by exactly these tags; version 0.1.0 gave the public one the cluster's name."""
    suffix = "" if table["kind"] == "public" else f"-{table['name']}"
    return {
        "name": table["name"],
        "nat_zone": table.get("nat_zone"),
        "subnets": [_name({**table, "zone": zone}) for zone in table["zones"]],
        "tags": {ownership.TAG: declared.name, "Name": f"{declared.name}{suffix}"},
    }


def _surplus(found: Found, ids: t.Sequence[str]) -> dict[str, list[Resource]]:
    """NAT gateways that no subnet needs any more, with their addresses."""
    gateways = [each for each in found["nat_gateways"] if each["nat_gateway_id"] in ids]
    held = {address.get("allocation_id") for each in gateways for address in each.get("nat_gateway_addresses") or ()}
    addresses = [each for each in found["addresses"] if each["allocation_id"] in held]
    return {"nat_gateways": gateways, "addresses": addresses}


# --- nodes ------------------------------------------------------------------------------------------------------------


def _nodes(declared: Declaration, found: Found) -> Resource:
    """Node groups with the security groups and launch templates that they need."""
    here = groups_in_vpc(found)
    ids = {each["group_name"]: each["group_id"] for each in here}
    made = {each["name"]: ids.get(each["full_name"], UNKNOWN_GROUP) for each in declared.security_groups}
    own = ((found["cluster"] or {}).get("resources_vpc_config") or {}).get("cluster_security_group_id")
    planned = nodegroups.plan(
        declared.nodegroups,
        declared.name,
        subnets=_node_subnets(declared, found),
        observed=found,
        security_groups=made,
        cluster_security_group=own or UNKNOWN_GROUP,
        tags=declared.all_tags,
    )
    given = {name: name for group in declared.nodegroups for name in nodegroups.group_names(group) if name not in made}
    return {
        "security_groups": security_groups.to_change(declared.security_groups, here),
        "security_group_ids": {**given, **made},
        "launch_templates": [_template(group) for group in planned if (group["template"] or {}).get("changed")],
        "nodegroups": [_nodegroup(declared, group) for group in planned],
    }


def _template(group: Resource) -> Resource:
    """A launch template, with the names of its security groups beside that of the cluster."""
    template = group["template"]
    data = {key: value for key, value in template["data"].items() if key != "security_group_ids"}
    return {"name": template["name"], "security_groups": nodegroups.group_names(group), **data}


def _nodegroup(declared: Declaration, group: Resource) -> Resource:
    """A node group with what it takes over from the cluster; its volume is that of its launch template, if any."""
    template = group["template"]
    unused = {"disk_size"} if template else set()
    version = group.get("version") or declared.version
    return {
        **{key: value for key, value in group.items() if key not in unused},
        "tags": {**declared.tags, **(text_tags(group.get("tags")) or {})},
        **({"version": version} if version else {}),
        "template": template and {"name": template["name"], "version": template["version"]},
    }


# --- removal ----------------------------------------------------------------------------------------------------------


def removal(declared: Declaration, found: Found) -> Resource:
    """Everything that goes with the cluster: all of its node groups, because EKS removes no cluster that has some."""
    parts = ("nodegroups", "nat_gateways", "addresses", "route_tables", "subnets", "internet_gateways", "vpcs")
    managed = ("launch_templates", "security_groups", "roles")
    return {
        **{part: found[part] for part in parts},
        **{part: [each for each in found[part] if is_managed(each, declared.name)] for part in managed},
    }
