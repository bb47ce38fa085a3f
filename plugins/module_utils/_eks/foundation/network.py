# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The network of a cluster: which subnets, NAT gateways and routes it needs, and what it lacks of them.

Each zone gets a public subnet, and a private one where there are NAT gateways. A zone keeps the subnets that it has,
new ones get the next free part of the range. A plan holds

* ``subnets``, for each zone and kind, public ones first: ``zone``, ``kind``, ``cidr``, the ``tags`` of its kind,
  ``subnet_id`` where it exists, and ``changed`` where it lacks something;
* ``nat_gateways``: ``zone``, ``nat_gateway_id`` of one that exists, and ``allocation_id`` of an address that is free;
* ``route_tables``: ``name``, ``kind``, ``zones``, and for private ones ``nat_zone``, whose NAT gateway leads out;
* ``surplus``: IDs of NAT gateways that no subnet needs any more;
* ``missing``: what does not exist or differs, one short text each; empty for a complete network.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ..common import AnsibleEKSError

#: A sixteenth of the network for each subnet: room for the zones of any region, public and private.
SUBNET_BITS = 4
#: Sizes that EC2 allows for a subnet are /16 to /28.
LARGEST = 16 - SUBNET_BITS
SMALLEST = 28 - SUBNET_BITS
INTERNET = "0.0.0.0/0"
#: By which Kubernetes finds subnets for load balancers
#: (https://docs.aws.amazon.com/eks/latest/userguide/network-load-balancing.html).
LOAD_BALANCER_TAGS = {"public": "kubernetes.io/role/elb", "private": "kubernetes.io/role/internal-elb"}
#: The tag of private subnets. Those that version 0.1.0 made have no such tag, and are public.
KIND_TAG = "podidentity.eks/subnet"
Resource = t.Mapping[str, t.Any]
#: Zone and kind of a subnet.
Place = tuple[str, str]


def plan(zones: t.Sequence[str], cidr: str, *, nat: str, observed: Resource) -> dict[str, t.Any]:
    """The network that a cluster needs, beside what exists of it (see :func:`.api.look_up`).

    :param cidr: its address range, /12 to /24. Each subnet gets a sixteenth of it.
    :raises AnsibleEKSError: when there can be no such network.
    """
    existing = {(subnet["availability_zone"], kind_of(subnet)): subnet for subnet in observed["subnets"]}
    kinds = ("public",) if nat == "none" else ("public", "private")
    refuse_stranded(nat, existing)
    places = [(zone, kind) for kind in kinds for zone in dict.fromkeys(zones)]
    taken = {subnet["cidr_block"] for subnet in observed["subnets"]}
    subnets = planned_subnets(places, existing, cidr, (part for part in parts(cidr) if part not in taken))
    gateways = planned_gateways(dict.fromkeys(zones), nat, observed)
    routed = routes_of(observed["route_tables"])
    lacking = [list(lacks(each, existing.get((each["zone"], each["kind"])), routed)) for each in subnets]
    missing = [text for texts in lacking for text in texts]
    missing += [f"NAT gateway in {gateway['zone']}" for gateway in gateways if "nat_gateway_id" not in gateway]
    tables = planned_tables(list(dict.fromkeys(zones)), gateways)
    missing += misrouted(tables, gateways, existing, routed)
    ended = surplus(gateways, observed, {routed.get(each["subnet_id"]) for each in undeclared(subnets, observed)})
    missing += [f"removal of NAT gateway {gateway_id}, which no subnet needs" for gateway_id in ended]
    return {
        "subnets": [{**each, "changed": bool(texts)} for each, texts in zip(subnets, lacking, strict=True)],
        "nat_gateways": gateways,
        "route_tables": tables,
        "surplus": ended,
        "missing": missing,
    }


def kind_of(subnet: Resource) -> str:
    """Whether a managed subnet is public or private."""
    return str((subnet.get("tags") or {}).get(KIND_TAG, "public"))


def refuse_stranded(nat: str, existing: t.Mapping[Place, Resource]) -> None:
    """Nodes in private subnets would lose the internet, and with it the cluster."""
    private = sorted(subnet["subnet_id"] for (_zone, kind), subnet in existing.items() if kind == "private")
    if nat == "none" and private:
        raise AnsibleEKSError(
            f"cluster_nat is none, but the network has the private subnets {', '.join(private)}, whose nodes need a "
            "NAT gateway: leave it single or per_zone, or move the nodes and remove these subnets first."
        )


def planned_subnets(
    places: t.Sequence[Place], existing: t.Mapping[Place, Resource], cidr: str, free: t.Iterator[str]
) -> list[dict[str, t.Any]]:
    """One subnet for each zone and kind; new ones take the free parts of the network in turn."""
    planned = []
    for zone, kind in places:
        tags = {LOAD_BALANCER_TAGS[kind]: "1", **({KIND_TAG: kind} if kind == "private" else {})}
        subnet = {"zone": zone, "kind": kind, "tags": tags}
        found = existing.get((zone, kind))
        if found is not None:
            planned.append({**subnet, "cidr": found["cidr_block"], "subnet_id": found["subnet_id"]})
            continue
        part = next(free, None)
        if part is None:
            raise AnsibleEKSError(f"The network {cidr} has no room for a {kind} subnet in {zone}: give a larger one.")
        planned.append({**subnet, "cidr": part})
    return planned


def parts(cidr: str) -> list[str]:
    """The sixteen parts of a network, each big enough for a subnet and not too big."""
    try:
        network = ipaddress.IPv4Network(cidr)
    except ValueError as error:
        raise AnsibleEKSError(f"The network {cidr} cannot be: {error}; give one such as 10.42.0.0/16.") from error
    if not LARGEST <= network.prefixlen <= SMALLEST:
        raise AnsibleEKSError(f"The network {cidr} must have a size of /{LARGEST} to /{SMALLEST}.")
    return [str(part) for part in network.subnets(prefixlen_diff=SUBNET_BITS)]


def planned_gateways(zones: t.Iterable[str], nat: str, observed: Resource) -> list[dict[str, t.Any]]:
    """The NAT gateways that the network needs; a single one stays in the zone where it is."""
    zone_of = {subnet["subnet_id"]: subnet["availability_zone"] for subnet in observed["subnets"]}
    living = {zone_of.get(one["subnet_id"], ""): one["nat_gateway_id"] for one in living_gateways(observed)}
    wanted = [] if nat == "none" else list(zones)
    if nat == "single":
        wanted = [*(zone for zone in living if zone), *wanted][:1]
    free = [address["allocation_id"] for address in observed["addresses"] if not address.get("association_id")]
    planned: list[dict[str, t.Any]] = []
    for zone in wanted:
        if zone in living:
            planned.append({"zone": zone, "nat_gateway_id": living[zone]})
        else:
            planned.append({"zone": zone, **({"allocation_id": free.pop(0)} if free else {})})
    return planned


def living_gateways(observed: Resource) -> list[Resource]:
    """Those that work or soon will."""
    return [gateway for gateway in observed["nat_gateways"] if gateway["state"] in {"available", "pending"}]


def undeclared(planned: t.Sequence[Resource], observed: Resource) -> list[Resource]:
    """Managed subnets in zones that are not declared any more: nodes may still be in them."""
    ids = {subnet.get("subnet_id") for subnet in planned}
    return [subnet for subnet in observed["subnets"] if subnet["subnet_id"] not in ids]


def surplus(gateways: t.Sequence[Resource], observed: Resource, in_use: t.Collection[str | None]) -> list[str]:
    """Managed NAT gateways that no route will lead to any more."""
    needed = {gateway.get("nat_gateway_id") for gateway in gateways} | set(in_use)
    return [one["nat_gateway_id"] for one in living_gateways(observed) if one["nat_gateway_id"] not in needed]


def planned_tables(zones: list[str], gateways: t.Sequence[Resource]) -> list[dict[str, t.Any]]:
    """The public route table, and a private one in each zone.

    With one private table for all zones, subnets would have to change tables when NAT gateways come or go, and
    amazon.aws 10 takes such a subnet off its old table without putting it on the new one.
    """
    ways_out = {gateway["zone"] for gateway in gateways}
    private = [
        {
            "name": f"private-{zone}",
            "kind": "private",
            "zones": [zone],
            "nat_zone": zone if zone in ways_out else gateways[0]["zone"],
        }
        for zone in zones
        if gateways
    ]
    return [{"name": "public", "kind": "public", "zones": zones}, *private]


def routes_of(route_tables: t.Sequence[Resource]) -> dict[str, str]:
    """Where the route to the internet of each subnet leads, as far as it works."""
    return {
        association["subnet_id"]: target
        for table in route_tables
        for association in table.get("associations", [])
        if association.get("subnet_id")
        for target in targets(table)
    }


def targets(table: Resource) -> t.Iterator[str]:
    """The gateway of the working route to the internet (it is a "blackhole" when its gateway was deleted)."""
    for route in table.get("routes", []):
        if route.get("destination_cidr_block") == INTERNET and route.get("state", "active") == "active":
            yield str(route.get("nat_gateway_id") or route.get("gateway_id") or "")


def lacks(planned: Resource, subnet: Resource | None, routed: t.Mapping[str, str]) -> t.Iterator[str]:
    """What one subnet lacks, but for the way out of a private one, which :func:`misrouted` knows."""
    kind, public = planned["kind"], planned["kind"] == "public"
    if subnet is None:
        yield f"{kind} subnet {planned['cidr']} in {planned['zone']}"
        return
    where = f"subnet {subnet['subnet_id']} in {planned['zone']}"
    if public and not routed.get(subnet["subnet_id"], "").startswith("igw-"):
        yield f"route to the internet for {where}"
    if bool(subnet.get("map_public_ip_on_launch")) != public:
        yield f"public addresses in {where}" if public else f"no public addresses in private {where}"
    if LOAD_BALANCER_TAGS[kind] not in (subnet.get("tags") or {}):
        yield f"tag {LOAD_BALANCER_TAGS[kind]} on {where}"


def misrouted(
    tables: t.Sequence[Resource],
    gateways: t.Sequence[Resource],
    existing: t.Mapping[Place, Resource],
    routed: t.Mapping[str, str],
) -> t.Iterator[str]:
    """Private subnets that exist and whose way out is not the planned NAT gateway."""
    ids = {gateway["zone"]: gateway.get("nat_gateway_id") for gateway in gateways}
    for table in tables:
        for zone in table["zones"]:
            subnet = existing.get((zone, "private"))
            if table["kind"] == "private" and subnet and routed.get(subnet["subnet_id"]) != ids[table["nat_zone"]]:
                yield f"route by NAT gateway for subnet {subnet['subnet_id']} in {zone}"
