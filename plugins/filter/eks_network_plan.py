# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The network of a cluster: what is there, and what its declaration lacks."""

from __future__ import annotations

DOCUMENTATION = r"""
name: eks_network_plan
short_description: Compare the network that a cluster needs with what is there
version_added: 0.1.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Gives every zone a public subnet of the network's range, and a private one where there are to be NAT gateways, and
    says which parts are missing among those that were observed. Nothing is called.
  - A zone keeps the subnets that it has. New ones get the next free part of the range, each a sixteenth of it.
  - Made for the role P(podidentity.eks.cluster#role); its arguments change with that role.
positional: _input, cidr
options:
  _input:
    description: The availability zones.
    type: list
    elements: str
    required: true
  cidr:
    description: The network's address range, V(/12) to V(/24).
    type: str
    required: true
  nat:
    description: How private subnets reach the internet; V(none) for a network that has none.
    type: str
    choices: [single, per_zone, none]
    required: true
    version_added: 0.2.0
  observed:
    description:
      - What is there, the lists C(subnets), C(route_tables), C(nat_gateways) and C(addresses) as
        M(podidentity.eks.eks_foundation_info) returns them.
    type: dict
    required: true
    version_added: 0.2.0
"""

EXAMPLES = r"""
- name: Compare what a new cluster needs with a network that has a public subnet in one zone of two
  ansible.builtin.assert:
    that:
      - plan.subnets[0].subnet_id == 'subnet-0a1b2c3d4e5f60718'
      - plan.subnets[1].cidr == '10.42.16.0/20'
      - plan.subnets | map(attribute='kind') == ['public', 'public', 'private', 'private']
      - plan.nat_gateways | map(attribute='zone') == ['eu-west-1a']
      - plan.missing[0] == 'route to the internet for subnet subnet-0a1b2c3d4e5f60718 in eu-west-1a'
      - plan.missing[1] == 'public subnet 10.42.16.0/20 in eu-west-1b'
  vars:
    plan: >-
      {{ ['eu-west-1a', 'eu-west-1b']
      | podidentity.eks.eks_network_plan('10.42.0.0/16', nat='single', observed=observed) }}
    # As podidentity.eks.eks_foundation_info returns it.
    observed:
      subnets:
        - subnet_id: subnet-0a1b2c3d4e5f60718
          availability_zone: eu-west-1a
          cidr_block: 10.42.0.0/20
          map_public_ip_on_launch: true
          tags:
            kubernetes.io/role/elb: "1"
      route_tables: []
      nat_gateways: []
      addresses: []
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    subnets:
      description:
        - One item for each zone and kind, public ones first, with C(zone), C(kind), C(cidr), the C(tags) that make it
          one, C(subnet_id) where the subnet exists, and C(changed) where something of it is missing.
      type: list
      elements: dict
    nat_gateways:
      description:
        - The NAT gateways that there are to be, with C(zone), C(nat_gateway_id) of one that exists, and
          C(allocation_id) of an address of ours that is free for a new one.
      type: list
      elements: dict
    route_tables:
      description:
        - The route tables, with C(name), C(kind), C(zones), and for private ones C(nat_zone), whose gateway leads out.
      type: list
      elements: dict
    surplus:
      description: IDs of NAT gateways of ours that are not needed any more.
      type: list
      elements: str
    missing:
      description: What is not there or not as it should be, one short text each; empty for a complete network.
      type: list
      elements: str
"""

import ipaddress
import typing as t

from ansible.errors import AnsibleFilterError

#: A sixteenth of the network for each subnet: room for the zones of any region, public and private.
SUBNET_BITS = 4
#: Sizes that EC2 allows for a subnet are /16 to /28.
LARGEST = 16 - SUBNET_BITS
SMALLEST = 28 - SUBNET_BITS
INTERNET = "0.0.0.0/0"
#: By which Kubernetes finds subnets for load balancers
#: (https://docs.aws.amazon.com/eks/latest/userguide/network-load-balancing.html).
LOAD_BALANCER_TAGS = {"public": "kubernetes.io/role/elb", "private": "kubernetes.io/role/internal-elb"}
#: By which a private subnet of ours is known again. What version 0.1.0 made carries no such tag, and is public.
KIND_TAG = "podidentity.eks/subnet"
Resource = t.Mapping[str, t.Any]
#: Zone and kind of a subnet.
Place = tuple[str, str]


def eks_network_plan(zones: t.Sequence[str], cidr: str, *, nat: str, observed: Resource) -> dict[str, t.Any]:
    """The filter; see its documentation above."""
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
    """Whether a subnet of ours is public or private."""
    return str((subnet.get("tags") or {}).get(KIND_TAG, "public"))


def refuse_stranded(nat: str, existing: t.Mapping[Place, Resource]) -> None:
    """Nodes in private subnets would lose the internet, and with it the cluster: nobody can mean that."""
    private = sorted(subnet["subnet_id"] for (_zone, kind), subnet in existing.items() if kind == "private")
    if nat == "none" and private:
        raise AnsibleFilterError(
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
            raise AnsibleFilterError(
                f"The network {cidr} has no room for a {kind} subnet in {zone}: give a larger one."
            )
        planned.append({**subnet, "cidr": part})
    return planned


def parts(cidr: str) -> list[str]:
    """The sixteen parts of a network, each big enough for a subnet and not too big."""
    try:
        network = ipaddress.IPv4Network(cidr)
    except ValueError as error:
        raise AnsibleFilterError(f"The network {cidr} cannot be: {error}; give one such as 10.42.0.0/16.") from error
    if not LARGEST <= network.prefixlen <= SMALLEST:
        raise AnsibleFilterError(f"The network {cidr} must have a size of /{LARGEST} to /{SMALLEST}.")
    return [str(part) for part in network.subnets(prefixlen_diff=SUBNET_BITS)]


def planned_gateways(zones: t.Iterable[str], nat: str, observed: Resource) -> list[dict[str, t.Any]]:
    """The NAT gateways that there are to be; a single one stays in the zone where it is."""
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
    """Subnets of ours in zones that are not declared any more: nodes may still be in them."""
    ids = {subnet.get("subnet_id") for subnet in planned}
    return [subnet for subnet in observed["subnets"] if subnet["subnet_id"] not in ids]


def surplus(gateways: t.Sequence[Resource], observed: Resource, in_use: t.Collection[str | None]) -> list[str]:
    """NAT gateways of ours that no route will lead to any more."""
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


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"eks_network_plan": eks_network_plan}
