# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The nodes of a managed node group: how many, where, and with which names, labels and taints."""

from __future__ import annotations

import ipaddress
import itertools
import secrets

from eks_sandbox.aws.eks.state import Cluster
from eks_sandbox.aws.eks.state import Nodegroup
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.errors import invalid_request
from eks_sandbox.interfaces import NodeSpec


def nodes(cluster: Cluster, nodegroup: Nodegroup, subnets: list[Shape], *, keep: bool = True) -> list[NodeSpec]:
    """As many nodes as desired, spread over the subnets; those to keep stay, with new labels and taints."""
    taken = {node.name for node in cluster.nodes}
    wanted = nodegroup.shape["scalingConfig"]["desiredSize"]
    staying = nodegroup.nodes[:wanted] if keep else []
    kept = [_node(cluster, nodegroup, node.name, node.zone, node.instance_id) for node in staying]
    for subnet in itertools.islice(itertools.cycle(subnets), len(kept), wanted):
        name = _free_name(cluster, subnet, taken)
        taken.add(name)
        kept.append(_node(cluster, nodegroup, name, subnet["AvailabilityZone"], f"i-0{secrets.token_hex(8)}"))
    return kept


def _node(cluster: Cluster, nodegroup: Nodegroup, name: str, zone: str, instance_id: str) -> NodeSpec:
    shape = nodegroup.shape
    instance_type = shape["instanceTypes"][0] if shape["instanceTypes"] else "t3.medium"
    labels = {
        "eks.amazonaws.com/nodegroup": shape["nodegroupName"],
        "eks.amazonaws.com/capacityType": shape["capacityType"],
        "eks.amazonaws.com/nodegroup-image": "ami-0a1b2c3d4e5f60718",
        "node.kubernetes.io/instance-type": instance_type,
        "topology.kubernetes.io/region": cluster.spec.region,
        "topology.kubernetes.io/zone": zone,
        **shape["labels"],
    }
    taints = [
        {
            "key": taint["key"],
            "effect": _kubernetes_effect(taint["effect"]),
            **({"value": taint["value"]} if taint.get("value") else {}),
        }
        for taint in shape["taints"]
    ]
    role = shape["nodeRole"]
    return NodeSpec(name, instance_id, instance_type, zone, role, labels, taints)


def _free_name(cluster: Cluster, subnet: Shape, taken: set[str]) -> str:
    """The private DNS name of a free address; AWS keeps the first four of a subnet for itself."""
    addresses = ipaddress.ip_network(subnet["CidrBlock"]).hosts()
    for address in itertools.islice(addresses, 3, None):
        name = f"ip-{str(address).replace('.', '-')}.{cluster.spec.region}.compute.internal"
        if name not in taken:
            return name
    raise invalid_request(f"Subnet {subnet['SubnetId']} has no free address.")


def _kubernetes_effect(effect: str) -> str:
    """``NO_SCHEDULE`` -> ``NoSchedule``"""
    return "".join(word.capitalize() for word in effect.split("_"))
