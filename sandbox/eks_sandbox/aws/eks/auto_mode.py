# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EKS Auto Mode: nodes that join when pods need them, from the built-in node pools.

https://docs.aws.amazon.com/eks/latest/userguide/set-builtin-node-pools.html
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets

from eks_sandbox.aws.eks import access_entry
from eks_sandbox.aws.eks import network
from eks_sandbox.aws.eks.state import Cluster
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.eks.state import State
from eks_sandbox.interfaces import NodeSpec

#: Seconds between looks for pods that wait for a node.
PERIOD = 0.2
#: Node pool -> taints of its nodes.
POOLS: dict[str, list[dict[str, str]]] = {
    "general-purpose": [],
    "system": [{"key": "CriticalAddonsOnly", "effect": "NoSchedule"}],
}
#: What the pools may take (families C, M and R since the fifth generation, on demand), the cheapest first.
SIZES, FAMILIES = ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge"), ("c6a", "m6a", "r6a")
_POOL = "karpenter.sh/nodepool"

log = logging.getLogger(__name__)


async def follow(state: State, cluster: Cluster) -> None:
    """Create and remove nodes while the cluster runs and Auto Mode is switched on."""
    zones: dict[str, list[str]] = {}
    while cluster.runtime is not None:
        try:
            await _look(state, cluster, zones)
        except Exception as error:  # after any error, the next check is soon
            log.warning("Auto Mode of cluster %s: %s", cluster.spec.name, error)
        await asyncio.sleep(PERIOD)


async def end(state: State, cluster: Cluster) -> None:
    """Take the nodes from a cluster that is being deleted."""
    cluster.auto_nodes = []
    await state.set_nodes(cluster)


def admit_nodes(cluster: Cluster) -> None:
    """Let the nodes of the built-in pools into the cluster, by an access entry for their role."""
    compute = cluster.shape["computeConfig"]
    if compute["enabled"] and compute.get("nodeRoleArn"):
        access_entry.add_auto_node_role(cluster, compute["nodeRoleArn"])


def _pools(cluster: Cluster) -> list[str]:
    """The node pools that may have nodes now."""
    compute = cluster.shape["computeConfig"]
    lives = cluster.shape["status"] in ("ACTIVE", "UPDATING")
    return list(compute.get("nodePools") or []) if lives and compute["enabled"] else []


async def _look(state: State, cluster: Cluster, zones: dict[str, list[str]]) -> None:
    before, wanted = cluster.auto_nodes, []
    if pools := _pools(cluster):
        ids = cluster.shape["resourcesVpcConfig"]["subnetIds"]
        if (key := " ".join(ids)) not in zones:
            subnets = await network.subnets(state.ministack, cluster.spec, ids)
            zones[key] = sorted({subnet["AvailabilityZone"] for subnet in subnets})
        wanted = await _wanted(cluster, pools, zones[key])
    # Meanwhile Auto Mode or one of its pools may have been switched off.
    allowed = _pools(cluster)
    after = [node for node in [*cluster.auto_nodes, *wanted] if node.labels[_POOL] in allowed]
    if after != before:
        cluster.auto_nodes = after
        await state.set_nodes(cluster)


async def _wanted(cluster: Cluster, pools: list[str], zones: list[str]) -> list[NodeSpec]:
    """New nodes for the pods that wait for one, in the zone that has the fewest."""
    if cluster.runtime is None:
        return []
    taken = [node.zone for node in cluster.auto_nodes]
    ordered = sorted(zones, key=taken.count)
    offers = [
        _node(cluster, pool, f"{family}.{size}", zone)
        for size, family, zone, pool in itertools.product(SIZES, FAMILIES, ordered, sorted(pools))
    ]
    return await cluster.runtime.wanted_nodes(offers)


def _node(cluster: Cluster, pool: str, instance_type: str, zone: str) -> NodeSpec:
    """A node as Auto Mode labels it: https://docs.aws.amazon.com/eks/latest/userguide/create-node-pool.html."""
    family, _, size = instance_type.partition(".")
    labels: Shape = {
        "eks.amazonaws.com/compute-type": "auto",
        "eks.amazonaws.com/instance-category": family[0],
        "eks.amazonaws.com/instance-family": family,
        "eks.amazonaws.com/instance-generation": family[1],
        "eks.amazonaws.com/instance-hypervisor": "nitro",
        "eks.amazonaws.com/instance-size": size,
        "eks.amazonaws.com/nodeclass": "default",
        "karpenter.sh/capacity-type": "on-demand",
        "karpenter.sh/initialized": "true",
        "karpenter.sh/registered": "true",
        _POOL: pool,
        "node.kubernetes.io/instance-type": instance_type,
        "topology.kubernetes.io/region": cluster.spec.region,
        "topology.kubernetes.io/zone": zone,
    }
    instance_id, role = f"i-0{secrets.token_hex(8)}", cluster.shape["computeConfig"]["nodeRoleArn"]
    return NodeSpec(instance_id, instance_id, instance_type, zone, role, labels, POOLS[pool], has_agent=True)
