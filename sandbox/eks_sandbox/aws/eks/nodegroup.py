# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Managed node groups: CreateNodegroup, DescribeNodegroup, ListNodegroups, UpdateNodegroup*, DeleteNodegroup."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import secrets
import typing as t
import uuid

from eks_sandbox.aws import trust
from eks_sandbox.aws.eks import access_entry
from eks_sandbox.aws.eks import network
from eks_sandbox.aws.eks.cluster import require_active
from eks_sandbox.aws.eks.operations import Context
from eks_sandbox.aws.eks.operations import child_resource
from eks_sandbox.aws.eks.operations import new_tags
from eks_sandbox.aws.eks.operations import operation
from eks_sandbox.aws.eks.operations import page
from eks_sandbox.aws.eks.state import Cluster
from eks_sandbox.aws.eks.state import Nodegroup
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.eks.state import new_update
from eks_sandbox.aws.eks.state import now
from eks_sandbox.aws.eks.state import resource_arn
from eks_sandbox.aws.errors import in_use
from eks_sandbox.aws.errors import invalid_parameter
from eks_sandbox.aws.errors import invalid_request
from eks_sandbox.aws.errors import limit_exceeded
from eks_sandbox.aws.ministack import Role
from eks_sandbox.interfaces import NodeSpec

#: Quota "Managed node groups per cluster".
NODEGROUPS_PER_CLUSTER = 30
DEFAULT_SCALING = {"minSize": 1, "maxSize": 2, "desiredSize": 2}
DEFAULT_AMI_TYPE = "AL2023_x86_64_STANDARD"

_resource = child_resource("nodegroup", "nodegroupName")


@operation("CreateNodegroup")
async def create_nodegroup(context: Context, parameters: Shape) -> Shape:
    """Make a node group; it is CREATING until its nodes have joined."""
    cluster, name, state = context.cluster(parameters["clusterName"]), parameters["nodegroupName"], context.state
    if name in cluster.nodegroups:
        message = f"NodeGroup already exists with name {name} and cluster name {cluster.spec.name}"
        raise in_use(message, clusterName=cluster.spec.name, nodegroupName=name)
    if len(cluster.nodegroups) >= NODEGROUPS_PER_CLUSTER:
        raise limit_exceeded("Nodegroup limit exceeded for cluster.", clusterName=cluster.spec.name)
    require_active(cluster)
    _check_node_role(context, parameters["nodeRole"])
    subnets = await _subnets(state, cluster, parameters["subnets"])
    template, data = await _launch_template(state, cluster, parameters)
    scaling = checked_scaling({**DEFAULT_SCALING, **parameters.get("scalingConfig", {})})
    shape = _shape(cluster, parameters, template, data)
    shape.update(scalingConfig=scaling, tags=new_tags(parameters))
    nodegroup = Nodegroup(shape)
    cluster.nodegroups[name] = nodegroup
    access_entry.add_node_role(cluster, parameters["nodeRole"])
    state.later(_start(state, cluster, nodegroup, subnets))
    return {"nodegroup": shape}


@operation("DescribeNodegroup", _resource)
async def describe_nodegroup(context: Context, parameters: Shape) -> Shape:
    """One node group."""
    return {"nodegroup": context.cluster(parameters["clusterName"]).nodegroup(parameters["nodegroupName"]).shape}


@operation("ListNodegroups")
async def list_nodegroups(context: Context, parameters: Shape) -> Shape:
    """The names of a cluster's node groups."""
    found, token = page(sorted(context.cluster(parameters["clusterName"]).nodegroups), parameters)
    return {"nodegroups": found, "nextToken": token}


@operation("UpdateNodegroupConfig", _resource)
async def update_nodegroup_config(context: Context, parameters: Shape) -> Shape:
    """Change labels, taints, scaling or update configuration."""
    cluster = context.cluster(parameters["clusterName"])
    nodegroup = cluster.nodegroup(parameters["nodegroupName"])
    _require_settled(nodegroup)
    changed: Shape = {}
    if "scalingConfig" in parameters:
        changed["scalingConfig"] = checked_scaling({**nodegroup.shape["scalingConfig"], **parameters["scalingConfig"]})
    if "updateConfig" in parameters:
        changed["updateConfig"] = _update_config(parameters["updateConfig"])
    if "labels" in parameters:
        changed["labels"] = _changed_labels(nodegroup.shape["labels"], parameters["labels"])
    if "taints" in parameters:
        changed["taints"] = _changed_taints(nodegroup.shape["taints"], parameters["taints"])
    if not changed:
        raise invalid_parameter("No changes were given.", nodegroupName=parameters["nodegroupName"])
    return _begin_update(context.state, cluster, nodegroup, "ConfigUpdate", changed)


@operation("UpdateNodegroupVersion", _resource)
async def update_nodegroup_version(context: Context, parameters: Shape) -> Shape:
    """Change the Kubernetes version or the launch template's version; nodes are replaced."""
    cluster = context.cluster(parameters["clusterName"])
    nodegroup = cluster.nodegroup(parameters["nodegroupName"])
    _require_settled(nodegroup)
    changed: Shape = {"version": parameters.get("version", cluster.shape["version"])}
    if "launchTemplate" in parameters:
        before = nodegroup.shape.get("launchTemplate")
        template, _data = await network.launch_template(
            context.state.ministack, context.region, parameters["launchTemplate"]
        )
        if before is None or before["id"] != template["id"]:
            raise invalid_request("You cannot change the launch template of a node group, only its version.")
        changed["launchTemplate"] = template
    return _begin_update(context.state, cluster, nodegroup, "VersionUpdate", changed)


@operation("DeleteNodegroup", _resource)
async def delete_nodegroup(context: Context, parameters: Shape) -> Shape:
    """Delete a node group: its nodes leave with their pods."""
    cluster = context.cluster(parameters["clusterName"])
    nodegroup = cluster.nodegroup(parameters["nodegroupName"])
    if nodegroup.shape["status"] in ("CREATING", "UPDATING"):
        message = f"Nodegroup {parameters['nodegroupName']} is in {nodegroup.shape['status']} state."
        raise in_use(message, clusterName=cluster.spec.name, nodegroupName=parameters["nodegroupName"])
    if nodegroup.shape["status"] != "DELETING":
        nodegroup.shape["status"] = "DELETING"
        context.state.later(_delete(context.state, cluster, nodegroup))
    return {"nodegroup": nodegroup.shape}


def checked_scaling(scaling: Shape) -> Shape:
    """A scaling configuration with minimum <= desired <= maximum."""
    smallest, wanted, largest = scaling["minSize"], scaling["desiredSize"], scaling["maxSize"]
    if smallest > largest:
        raise invalid_parameter(f"Minimum capacity {smallest} can't be greater than maximum size {largest}")
    if smallest > wanted:
        raise invalid_parameter(f"Minimum capacity {smallest} can't be greater than desired size {wanted}")
    if wanted > largest:
        raise invalid_parameter(f"Desired capacity {wanted} can't be greater than max size {largest}")
    return scaling


async def _start(state: State, cluster: Cluster, nodegroup: Nodegroup, subnets: list[Shape]) -> None:
    nodegroup.nodes = _nodes(cluster, nodegroup, subnets)
    await asyncio.gather(state.set_nodes(cluster), asyncio.sleep(state.knobs.nodegroup_seconds))
    nodegroup.shape["status"] = "ACTIVE"


async def _delete(state: State, cluster: Cluster, nodegroup: Nodegroup) -> None:
    nodegroup.nodes = []
    await asyncio.gather(state.set_nodes(cluster), asyncio.sleep(state.knobs.nodegroup_seconds))
    del cluster.nodegroups[nodegroup.shape["nodegroupName"]]
    role = nodegroup.shape["nodeRole"]
    if not any(other.shape["nodeRole"] == role for other in cluster.nodegroups.values()):
        cluster.access_entries.pop(role, None)


def _begin_update(state: State, cluster: Cluster, nodegroup: Nodegroup, kind: str, changed: Shape) -> Shape:
    update = new_update(kind, changed)
    update.nodegroup = nodegroup.shape["nodegroupName"]
    cluster.updates[update.shape["id"]] = update
    nodegroup.shape["status"] = "UPDATING"

    async def finish() -> None:
        nodegroup.shape.update(changed)
        subnets = await network.subnets(state.ministack, cluster.spec.region, nodegroup.shape["subnets"])
        nodegroup.nodes = _nodes(cluster, nodegroup, subnets)
        await asyncio.gather(state.set_nodes(cluster), asyncio.sleep(state.knobs.nodegroup_seconds))
        nodegroup.shape.update(status="ACTIVE", modifiedAt=now())
        update.shape["status"] = "Successful"

    state.later(finish())
    return {"update": update.shape}


def _nodes(cluster: Cluster, nodegroup: Nodegroup, subnets: list[Shape]) -> list[NodeSpec]:
    """As many nodes as desired, spread over the subnets; those that are there stay, with new labels and taints."""
    taken = {node.name for node in cluster.nodes}
    wanted = nodegroup.shape["scalingConfig"]["desiredSize"]
    kept = [_node(cluster, nodegroup, node.name, node.zone, node.instance_id) for node in nodegroup.nodes[:wanted]]
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
    return NodeSpec(name, shape["nodegroupName"], instance_id, instance_type, zone, role, labels, taints)


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


def _shape(cluster: Cluster, parameters: Shape, template: Shape | None, data: Shape) -> Shape:
    """What DescribeNodegroup answers, with AWS's defaults."""
    name = parameters["nodegroupName"]
    custom = "ImageId" in data
    in_template = [data["InstanceType"]] if "InstanceType" in data else []
    instance_types = parameters.get("instanceTypes") or ([] if in_template else ["t3.medium"])
    shape = {
        "nodegroupName": name,
        "nodegroupArn": resource_arn(cluster.spec, "nodegroup", cluster.spec.name, name, str(uuid.uuid4())),
        "clusterName": cluster.spec.name,
        "version": parameters.get("version", cluster.shape["version"]),
        "releaseVersion": data["ImageId"] if custom else f"{cluster.shape['version']}.2-20260120",
        "createdAt": now(),
        "modifiedAt": now(),
        "status": "CREATING",
        "capacityType": parameters.get("capacityType", "ON_DEMAND"),
        "instanceTypes": instance_types,
        "subnets": list(parameters["subnets"]),
        "amiType": "CUSTOM" if custom else parameters.get("amiType", DEFAULT_AMI_TYPE),
        "nodeRole": parameters["nodeRole"],
        "labels": dict(parameters.get("labels", {})),
        "taints": list(parameters.get("taints", [])),
        "resources": {"autoScalingGroups": [{"name": f"eks-{name}-{uuid.uuid4()}"}]},
        "health": {"issues": []},
        "updateConfig": _update_config(parameters.get("updateConfig", {})),
        "remoteAccess": parameters.get("remoteAccess"),
    }
    # The disk belongs to the launch template where there is one.
    return shape | ({"launchTemplate": template} if template else {"diskSize": parameters.get("diskSize", 20)})


def _update_config(given: Shape) -> Shape:
    if {"maxUnavailable", "maxUnavailablePercentage"} <= set(given):
        raise invalid_parameter("Only one of maxUnavailable and maxUnavailablePercentage can be given.")
    return {key: value for key, value in given.items() if value is not None} or {"maxUnavailable": 1}


def _check_node_role(context: Context, role_arn: str) -> None:
    try:
        role: Role = context.pass_role(role_arn, "ec2.amazonaws.com")
    except LookupError as error:
        name = role_arn.rsplit("/", 1)[-1]
        raise invalid_parameter(f"The role with name {name} cannot be found.") from error
    if not trust.names_service(role.trust_policy, "ec2.amazonaws.com", ["sts:AssumeRole"]):
        raise invalid_parameter(
            "Following required service principals [ec2.amazonaws.com] were not found in the trust relationships of "
            f"nodeRole {role_arn}"
        )


async def _subnets(state: State, cluster: Cluster, ids: t.Sequence[str]) -> list[Shape]:
    if not ids:
        raise invalid_parameter("Subnets cannot be empty.", clusterName=cluster.spec.name)
    subnets = await network.subnets(state.ministack, cluster.spec.region, ids)
    vpc = cluster.shape["resourcesVpcConfig"]["vpcId"]
    foreign = [subnet["SubnetId"] for subnet in subnets if subnet["VpcId"] != vpc]
    if foreign:
        raise invalid_parameter(f"Subnets {', '.join(foreign)} do not belong to the cluster's VPC {vpc}.")
    return subnets


async def _launch_template(state: State, cluster: Cluster, parameters: Shape) -> tuple[Shape | None, Shape]:
    """The launch template, and the rules that come with one.

    https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html
    """
    if "launchTemplate" not in parameters:
        return None, {}
    template, data = await network.launch_template(state.ministack, cluster.spec.region, parameters["launchTemplate"])
    if "diskSize" in parameters:
        raise invalid_request("Disk size must be specified within the launch template.")
    if "remoteAccess" in parameters:
        raise invalid_request("Remote access configuration cannot be specified with a launch template.")
    if "InstanceType" in data and parameters.get("instanceTypes"):
        raise invalid_request("Instance type cannot be specified both in the launch template and in the request.")
    if "ImageId" in data and {"amiType", "version", "releaseVersion"} & set(parameters):
        raise invalid_request(
            "AMI type, version and release version cannot be specified with an image in the launch template."
        )
    if "IamInstanceProfile" in data:
        raise invalid_request(
            "Launch template should not specify an instance profile. The noderole in your request will be used to "
            "construct an instance profile."
        )
    if any(interface.get("SubnetId") for interface in data.get("NetworkInterfaces", [])):
        raise invalid_request("Launch template should not specify a subnet.")
    return template, data


def _require_settled(nodegroup: Nodegroup) -> None:
    name, status = nodegroup.shape["nodegroupName"], nodegroup.shape["status"]
    if status != "ACTIVE":
        raise in_use(f"Nodegroup {name} is in {status} state and cannot be updated.", nodegroupName=name)


def _changed_labels(before: dict[str, str], change: Shape) -> dict[str, str]:
    removed = set(change.get("removeLabels", []))
    kept = {key: value for key, value in before.items() if key not in removed}
    return {**kept, **change.get("addOrUpdateLabels", {})}


def _changed_taints(before: list[Shape], change: Shape) -> list[Shape]:
    """Taints are known by key and effect."""
    removed = [_taint_key(taint) for taint in change.get("removeTaints", []) + change.get("addOrUpdateTaints", [])]
    kept = [taint for taint in before if _taint_key(taint) not in removed]
    return [*kept, *change.get("addOrUpdateTaints", [])]


def _taint_key(taint: Shape) -> tuple[str, str]:
    return taint["key"], taint["effect"]
