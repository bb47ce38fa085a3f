# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Managed node groups: CreateNodegroup, DescribeNodegroup, ListNodegroups, UpdateNodegroup*, DeleteNodegroup."""

from __future__ import annotations

import asyncio
import json
import typing as t

from eks_sandbox.aws.eks import access_entry
from eks_sandbox.aws.eks import dependent_actions
from eks_sandbox.aws.eks import network
from eks_sandbox.aws.eks import node_role
from eks_sandbox.aws.eks import nodegroup_config
from eks_sandbox.aws.eks import versions
from eks_sandbox.aws.eks.cluster import require_active
from eks_sandbox.aws.eks.nodes import nodes
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
from eks_sandbox.aws.eks.update import succeeds
from eks_sandbox.aws.errors import in_use
from eks_sandbox.aws.errors import invalid_parameter
from eks_sandbox.aws.errors import invalid_request
from eks_sandbox.aws.errors import limit_exceeded
from eks_sandbox.aws.knobs import Knobs
from eks_sandbox.interfaces import NodeSpec

#: Quota "Managed node groups per cluster".
NODEGROUPS_PER_CLUSTER = 30

_resource = child_resource("nodegroup", "nodegroupName")


@operation("CreateNodegroup")
async def create_nodegroup(context: Context, parameters: Shape) -> Shape:
    """Create a node group; it is CREATING until its nodes have joined."""
    cluster, name, state = context.cluster(parameters["clusterName"]), parameters["nodegroupName"], context.state
    if name in cluster.nodegroups:
        message = f"NodeGroup already exists with name {name} and cluster name {cluster.spec.name}"
        raise in_use(message, clusterName=cluster.spec.name, nodegroupName=name)
    if len(cluster.nodegroups) >= NODEGROUPS_PER_CLUSTER:
        raise limit_exceeded("Nodegroup limit exceeded for cluster.", clusterName=cluster.spec.name)
    require_active(cluster)
    nodegroup_config.check(cluster, parameters)
    await dependent_actions.make_nodegroup_role(context)
    node_role.check(context, parameters["nodeRole"])
    dependent_actions.read_node_role(context, parameters["nodeRole"])
    subnets = await nodegroup_config.subnets(state, cluster, parameters["subnets"])
    template, data = await nodegroup_config.launch_template(state, cluster, parameters)
    if template is not None:
        dependent_actions.launch(context, cluster, template, data, parameters["subnets"])
    access = parameters.get("remoteAccess", {})
    await network.check_key_pair(state.ministack, cluster.spec, access.get("ec2SshKey"))
    await network.check_security_groups(state.ministack, cluster.spec, access.get("sourceSecurityGroups", []))
    scaling = {**nodegroup_config.DEFAULT_SCALING, **parameters.get("scalingConfig", {})}
    shape = nodegroup_config.new_shape(cluster, parameters, template, data)
    shape.update(scalingConfig=nodegroup_config.checked_scaling(scaling), tags=new_tags(parameters))
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
    changed = _changed_settings(nodegroup.shape, parameters)
    if not changed:
        raise invalid_parameter("No changes were given.", nodegroupName=parameters["nodegroupName"])
    return _begin_update(context.state, cluster, nodegroup, "ConfigUpdate", changed, _shown_settings(parameters))


@operation("UpdateNodegroupVersion", _resource)
async def update_nodegroup_version(context: Context, parameters: Shape) -> Shape:
    """Change the Kubernetes version, the image or the launch template's version; nodes are replaced."""
    cluster = context.cluster(parameters["clusterName"])
    nodegroup = cluster.nodegroup(parameters["nodegroupName"])
    _require_settled(nodegroup)
    template = await _changed_template(context, cluster, nodegroup, parameters.get("launchTemplate"))
    custom = nodegroup.shape["amiType"] == "CUSTOM"
    if custom and {"version", "releaseVersion"} & set(parameters):
        raise invalid_request("You cannot specify version or release version with an image in the launch template.")
    version = parameters.get("version", cluster.shape["version"])
    if version not in (nodegroup.shape["version"], cluster.shape["version"]):
        message = f"Nodegroup version {version} must be the cluster's version {cluster.shape['version']}"
        raise invalid_parameter(message, nodegroupName=parameters["nodegroupName"])
    release = parameters.get("releaseVersion", versions.release(version))
    nodegroup_config.check_release(release, version, nodegroup.shape["releaseVersion"])
    changed: Shape = {"launchTemplate": template} if template else {}
    shown = {"LaunchTemplateVersion": template["version"]} if template else {}
    if not custom:
        changed |= {"version": version, "releaseVersion": release}
        shown |= {"Version": version, "ReleaseVersion": release}
    forced = bool(parameters.get("force"))
    return _begin_update(context.state, cluster, nodegroup, "VersionUpdate", changed, shown, forced)


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


def _changed_settings(shape: Shape, parameters: Shape) -> Shape:
    """The settings of a node group after UpdateNodegroupConfig."""
    changed: Shape = {}
    if "scalingConfig" in parameters:
        scaling = {**shape["scalingConfig"], **parameters["scalingConfig"]}
        changed["scalingConfig"] = nodegroup_config.checked_scaling(scaling)
    if "updateConfig" in parameters:
        changed["updateConfig"] = nodegroup_config.update_config(parameters["updateConfig"])
    if "nodeRepairConfig" in parameters:
        nodegroup_config.check_repair(parameters["nodeRepairConfig"])
        changed["nodeRepairConfig"] = parameters["nodeRepairConfig"]
    if "labels" in parameters:
        changed["labels"] = nodegroup_config.changed_labels(shape["labels"], parameters["labels"])
    if "taints" in parameters:
        changed["taints"] = nodegroup_config.changed_taints(shape["taints"], parameters["taints"])
    return changed


def _shown_settings(parameters: Shape) -> Shape:
    """The parameters of an update by the names that the model has for them."""
    labels, taints = parameters.get("labels", {}), parameters.get("taints", {})
    given = {
        "LabelsToAdd": labels.get("addOrUpdateLabels"),
        "LabelsToRemove": labels.get("removeLabels"),
        "TaintsToAdd": taints.get("addOrUpdateTaints"),
        "TaintsToRemove": taints.get("removeTaints"),
        "NodeRepairConfig": parameters.get("nodeRepairConfig"),
    }
    shown = {name: json.dumps(value) for name, value in given.items() if value}
    for member in ("scalingConfig", "updateConfig"):
        shown |= {name[:1].upper() + name[1:]: value for name, value in parameters.get(member, {}).items()}
    return shown


async def _changed_template(
    context: Context, cluster: Cluster, nodegroup: Nodegroup, given: Shape | None
) -> Shape | None:
    """The launch template's other version; another template, or the first one, cannot be taken."""
    if given is None:
        return None
    before = nodegroup.shape.get("launchTemplate")
    template, data = await network.launch_template(context.state.ministack, context.caller, given)
    if before is None or before["id"] != template["id"]:
        raise invalid_request("You cannot change the launch template of a node group, only its version.")
    dependent_actions.launch(context, cluster, template, data, nodegroup.shape["subnets"])
    return template


async def _start(state: State, cluster: Cluster, nodegroup: Nodegroup, subnets: list[Shape]) -> None:
    """CREATING -> ACTIVE when its nodes have joined, or the outcome of the knobs."""
    outcome = state.knobs.nodegroup_outcomes.get(nodegroup.shape["nodegroupName"])
    joining = nodes(cluster, nodegroup, subnets)
    failure = node_role.failure(state.ministack, cluster, nodegroup.shape["nodeRole"]) if joining else None
    if outcome == "CREATE_FAILED" or failure is not None:
        await asyncio.sleep(state.knobs.nodegroup_seconds)
        _fail(state, nodegroup, "CREATE_FAILED", failure, joining)
        return
    nodegroup.nodes = joining
    await asyncio.gather(state.set_nodes(cluster), asyncio.sleep(state.knobs.nodegroup_seconds))
    if outcome == "DEGRADED":
        _fail(state, nodegroup, outcome)
    else:
        nodegroup.shape["status"] = "ACTIVE"


async def _delete(state: State, cluster: Cluster, nodegroup: Nodegroup) -> None:
    """DELETING -> gone, with its nodes and, if no other node group uses its role, the role's access entry."""
    if state.knobs.nodegroup_outcomes.get(nodegroup.shape["nodegroupName"]) == "DELETE_FAILED":
        await asyncio.sleep(state.knobs.nodegroup_seconds)
        _fail(state, nodegroup, "DELETE_FAILED")
        return
    nodegroup.nodes = []
    await asyncio.gather(state.set_nodes(cluster), asyncio.sleep(state.knobs.nodegroup_seconds))
    del cluster.nodegroups[nodegroup.shape["nodegroupName"]]
    role = nodegroup.shape["nodeRole"]
    if not any(other.shape["nodeRole"] == role for other in cluster.nodegroups.values()):
        cluster.access_entries.pop(role, None)


def _fail(
    state: State, nodegroup: Nodegroup, status: str, reason: str | None = None, joining: t.Sequence[NodeSpec] = ()
) -> None:
    code = state.knobs.nodegroup_issues.get(nodegroup.shape["nodegroupName"], "NodeCreationFailure")
    message = reason or f"The sandbox was told to let this node group end {status}."
    instances = [node.instance_id for node in joining or nodegroup.nodes]
    issue = {"code": code, "message": message, "resourceIds": instances}
    nodegroup.shape.update(status=status, health={"issues": [issue]})


def _begin_update(
    state: State, cluster: Cluster, nodegroup: Nodegroup, kind: str, changed: Shape, shown: Shape, forced: bool = False
) -> Shape:
    update = new_update(kind, shown)
    update.nodegroup = nodegroup.shape["nodegroupName"]
    cluster.updates[update.shape["id"]] = update
    nodegroup.shape["status"] = "UPDATING"

    async def finish() -> None:
        wait = asyncio.create_task(asyncio.sleep(state.knobs.nodegroup_seconds))
        if (forced and _only_evictions_fail(kind, state.knobs)) or succeeds(update, state.knobs):
            nodegroup.shape.update(changed)
            await _change_nodes(state, cluster, nodegroup, replace=kind == "VersionUpdate")
        await wait
        nodegroup.shape.update(status="ACTIVE", modifiedAt=now())
        if update.shape["status"] == "InProgress":
            update.shape["status"] = "Successful"

    state.later(finish())
    return {"update": update.shape}


def _only_evictions_fail(kind: str, knobs: Knobs) -> bool:
    """Whether the update would fail because of pods that cannot be evicted, which force overrides."""
    return knobs.update_errors.get(kind) == "PodEvictionFailure"


async def _change_nodes(state: State, cluster: Cluster, nodegroup: Nodegroup, *, replace: bool) -> None:
    """Nodes for the current settings; a version update creates all nodes again, before it removes the old ones.

    https://docs.aws.amazon.com/eks/latest/userguide/managed-node-update-behavior.html
    """
    subnets = await network.subnets(state.ministack, cluster.spec, nodegroup.shape["subnets"])
    after = nodes(cluster, nodegroup, subnets, keep=not replace)
    if replace and nodegroup.shape["updateConfig"].get("updateStrategy") != "MINIMAL":
        nodegroup.nodes = [*nodegroup.nodes, *after]
        await state.set_nodes(cluster)
    nodegroup.nodes = after
    await state.set_nodes(cluster)


def _require_settled(nodegroup: Nodegroup) -> None:
    name, status = nodegroup.shape["nodegroupName"], nodegroup.shape["status"]
    if status != "ACTIVE":
        raise in_use(f"Nodegroup {name} is in {status} state and cannot be updated.", nodegroupName=name)
