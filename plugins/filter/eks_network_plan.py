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
  - Gives every zone a subnet of the network's range and says which parts are missing among the observed subnets and
    route tables. Nothing is called.
  - A zone keeps the subnet that it has. New zones get the next free part of the range, each a sixteenth of it.
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
  subnets:
    description: Observed subnets, as C(amazon.aws.ec2_vpc_subnet_info) returns them.
    type: list
    elements: dict
    required: true
  route_tables:
    description:
      - Observed route tables, as C(amazon.aws.ec2_vpc_route_table_info) returns them.
      - Left out, the routes are not looked at.
    type: list
    elements: dict
"""

EXAMPLES = r"""
- name: Compare what a new cluster needs with a network that has one subnet of the two
  ansible.builtin.assert:
    that:
      - plan.subnets[0].subnet_id == 'subnet-0a1b2c3d4e5f60718'
      - plan.subnets[1].cidr == '10.42.16.0/20'
      - plan.missing == ['subnet 10.42.16.0/20 in eu-west-1b']
  vars:
    plan: >-
      {{ ['eu-west-1a', 'eu-west-1b'] | podidentity.eks.eks_network_plan('10.42.0.0/16', subnets=subnets) }}
    # As amazon.aws.ec2_vpc_subnet_info returns them. Without route_tables the routes are not looked at.
    subnets:
      - id: subnet-0a1b2c3d4e5f60718
        availability_zone: eu-west-1a
        cidr_block: 10.42.0.0/20
        map_public_ip_on_launch: true
        tags:
          kubernetes.io/role/elb: "1"
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    subnets:
      description: One item for each zone, with C(zone), C(cidr), and C(subnet_id) where the subnet exists.
      type: list
      elements: dict
    missing:
      description: What is not there or not as it should be, one short text each; empty for a complete network.
      type: list
      elements: str
"""

import ipaddress
import typing as t

from ansible.errors import AnsibleFilterError

#: A sixteenth of the network for each subnet: room for the zones of any region, and for private subnets beside them.
SUBNET_BITS = 4
#: Sizes that EC2 allows for a subnet are /16 to /28.
LARGEST = 16 - SUBNET_BITS
SMALLEST = 28 - SUBNET_BITS
INTERNET = "0.0.0.0/0"
LOAD_BALANCER_TAG = "kubernetes.io/role/elb"
Resource = t.Mapping[str, t.Any]


def eks_network_plan(
    zones: t.Sequence[str],
    cidr: str,
    *,
    subnets: t.Sequence[Resource],
    route_tables: t.Sequence[Resource] | None = None,
) -> dict[str, t.Any]:
    """The filter; see its documentation above."""
    existing = {subnet["availability_zone"]: subnet for subnet in subnets}
    free = (part for part in parts(cidr) if part not in {subnet["cidr_block"] for subnet in subnets})
    planned = []
    for zone in dict.fromkeys(zones):
        if zone in existing:
            planned.append({"zone": zone, "cidr": existing[zone]["cidr_block"], "subnet_id": existing[zone]["id"]})
            continue
        part = next(free, None)
        if part is None:
            raise AnsibleFilterError(f"The network {cidr} has no room for a subnet in {zone}: give a larger one.")
        planned.append({"zone": zone, "cidr": part})
    routed = {subnet["id"] for subnet in subnets} if route_tables is None else routed_subnets(route_tables)
    missing = [text for subnet in planned for text in lacks(subnet, existing.get(subnet["zone"]), routed)]
    return {"subnets": planned, "missing": missing}


def parts(cidr: str) -> list[str]:
    """The sixteen parts of a network, each big enough for a subnet and not too big."""
    try:
        network = ipaddress.IPv4Network(cidr)
    except ValueError as error:
        raise AnsibleFilterError(f"The network {cidr} cannot be: {error}; give one such as 10.42.0.0/16.") from error
    if not LARGEST <= network.prefixlen <= SMALLEST:
        raise AnsibleFilterError(f"The network {cidr} must have a size of /{LARGEST} to /{SMALLEST}.")
    return [str(part) for part in network.subnets(prefixlen_diff=SUBNET_BITS)]


def routed_subnets(route_tables: t.Sequence[Resource]) -> set[str]:
    """The subnets whose route table leads to the internet by an internet gateway that is there."""
    return {
        association["subnet_id"]
        for table in route_tables
        for association in table.get("associations", [])
        if association.get("subnet_id") and any(leads_out(route) for route in table.get("routes", []))
    }


def leads_out(route: Resource) -> bool:
    """Whether a route is the working one to the internet ("blackhole" when its gateway was deleted)."""
    return (
        route.get("destination_cidr_block") == INTERNET
        and str(route.get("gateway_id") or "").startswith("igw-")
        and route.get("state", "active") == "active"
    )


def lacks(planned: Resource, subnet: Resource | None, routed: set[str]) -> t.Iterator[str]:
    """What one zone's subnet lacks."""
    if subnet is None:
        yield f"subnet {planned['cidr']} in {planned['zone']}"
        return
    where = f"subnet {subnet['id']} in {planned['zone']}"
    if subnet["id"] not in routed:
        yield f"route to the internet for {where}"
    if not subnet.get("map_public_ip_on_launch"):
        yield f"public addresses in {where}"
    if LOAD_BALANCER_TAG not in (subnet.get("tags") or {}):
        yield f"tag {LOAD_BALANCER_TAG} on {where}"


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"eks_network_plan": eks_network_plan}
