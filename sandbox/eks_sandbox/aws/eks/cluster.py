# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clusters: CreateCluster, DescribeCluster, ListClusters, UpdateCluster*, DeleteCluster, DescribeClusterVersions."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import pathlib
import secrets
import shutil

from eks_sandbox.aws import trust
from eks_sandbox.aws.eks import access_entry
from eks_sandbox.aws.eks import auto_mode
from eks_sandbox.aws.eks import cluster_config
from eks_sandbox.aws.eks import dependent_actions
from eks_sandbox.aws.eks import network
from eks_sandbox.aws.eks import node_role
from eks_sandbox.aws.eks import versions
from eks_sandbox.aws.eks.operations import Context
from eks_sandbox.aws.eks.operations import any_resource
from eks_sandbox.aws.eks.operations import new_tags
from eks_sandbox.aws.eks.operations import operation
from eks_sandbox.aws.eks.operations import page
from eks_sandbox.aws.eks.state import Cluster
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.eks.state import cluster_arn
from eks_sandbox.aws.eks.state import new_update
from eks_sandbox.aws.eks.state import now
from eks_sandbox.aws.eks.update import succeeds
from eks_sandbox.aws.errors import in_use
from eks_sandbox.aws.errors import invalid_parameter
from eks_sandbox.aws.errors import invalid_request
from eks_sandbox.aws.errors import invalid_state
from eks_sandbox.aws.errors import limit_exceeded
from eks_sandbox.aws.identities import Identities
from eks_sandbox.interfaces import ClusterSpec

#: Quota "Clusters" per region: https://docs.aws.amazon.com/eks/latest/userguide/service-quotas.html
CLUSTERS_PER_REGION = 100
#: Minor versions that nodes may be behind the control plane.
NODE_SKEW = 3
#: States in which deletion protection does not hold:
#: https://docs.aws.amazon.com/eks/latest/userguide/deletion-protection.html
UNPROTECTED = ("CREATING", "FAILED", "DELETING")
PLATFORM_VERSION = "eks.9"

log = logging.getLogger(__name__)


@operation("CreateCluster")
async def create_cluster(context: Context, parameters: Shape) -> Shape:
    """Create a cluster; it is CREATING until its Kubernetes answers."""
    name, state = parameters["name"], context.state
    if cluster_arn(context.caller, name) in state.clusters:
        raise in_use(f"Cluster already exists with name: {name}", clusterName=name)
    if len(state.clusters_in(context.caller)) >= CLUSTERS_PER_REGION:
        raise limit_exceeded("Cluster limit exceeded for account.", clusterName=name)
    version = parameters.get("version", versions.DEFAULT)
    if version not in versions.VERSIONS:
        raise invalid_parameter("unsupported Kubernetes version", clusterName=name)
    cluster_config.check_offered(parameters)
    _check_cluster_role(context, parameters["roleArn"], _role_actions(parameters))
    vpc, subnets = await network.vpc_config(state.ministack, context.caller, parameters["resourcesVpcConfig"])
    settings = cluster_config.new_settings(context, parameters, [subnet["CidrBlock"] for subnet in subnets])
    _check_auto_node_role(context, settings)
    # No cluster of an old version can be created, but one may exist.
    version, _, platform = state.knobs.cluster_platforms.get(name, f"{version}/{PLATFORM_VERSION}").partition("/")
    settings |= {"tags": new_tags(parameters), "platformVersion": platform}
    await dependent_actions.make_cluster_role(context)
    spec = _spec(context, name, version)
    vpc["clusterSecurityGroupId"] = await network.create_cluster_security_group(state.ministack, spec, vpc["vpcId"])
    bootstraps = parameters.get("accessConfig", {}).get("bootstrapClusterCreatorAdminPermissions", True)
    cluster = Cluster(
        spec, _shape(spec, parameters, vpc, settings), context.caller.arn, bootstraps, Identities(state.knobs)
    )
    state.clusters[spec.arn] = cluster
    access_entry.add_administrator(cluster)
    auto_mode.admit_nodes(cluster)
    state.later(_start(state, cluster))
    return {"cluster": cluster.shape}


@operation("DescribeCluster")
async def describe_cluster(context: Context, parameters: Shape) -> Shape:
    """What DescribeCluster returns; endpoint and certificate authority once it is ACTIVE."""
    return {"cluster": context.cluster(parameters["name"]).shape}


@operation("ListClusters", any_resource)
async def list_clusters(context: Context, parameters: Shape) -> Shape:
    """The names of the region's clusters."""
    names = sorted(cluster.spec.name for cluster in context.state.clusters_in(context.caller))
    found, token = page(names, parameters)
    return {"clusters": found, "nextToken": token}


@operation("DescribeClusterVersions", any_resource)
async def describe_cluster_versions(_context: Context, parameters: Shape) -> Shape:
    """The Kubernetes versions that a cluster can have."""
    found, token = page(versions.describe(parameters), parameters)
    return {"clusterVersions": found, "nextToken": token}


@operation("UpdateClusterConfig")
async def update_cluster_config(context: Context, parameters: Shape) -> Shape:
    """Change one kind of setting, such as endpoint access, logging or the authentication mode."""
    cluster = context.cluster(parameters["name"])
    cluster_config.check_offered(parameters)
    require_active(cluster)
    change = await cluster_config.change(context, cluster, parameters)
    if change.kind == "AutoModeUpdate" and change.members["computeConfig"]["enabled"]:
        _check_cluster_role(context, cluster.shape["roleArn"], _role_actions(parameters))
        _check_auto_node_role(context, change.members)
    return _begin_update(context.state, cluster, change)


@operation("UpdateClusterVersion")
async def update_cluster_version(context: Context, parameters: Shape) -> Shape:
    """Go up one minor version of Kubernetes."""
    cluster, version = context.cluster(parameters["name"]), parameters["version"]
    require_active(cluster)
    allowed = versions.successor(cluster.shape["version"])
    if version != allowed:
        message = f"Unsupported Kubernetes minor version update from {cluster.shape['version']} to {version}"
        raise invalid_parameter(message, clusterName=cluster.spec.name)
    _check_skew(cluster, version)
    if context.state.knobs.cluster_insights.get(cluster.spec.name) == "ERROR" and not parameters.get("force"):
        raise invalid_state(
            "Upgrade readiness issues detected. Call the EKS ListInsights API to view upgrade blocking issues detected "
            "by EKS. Pass the force flag to override upgrade readiness errors and proceed with upgrade.",
            clusterName=cluster.spec.name,
        )
    change = cluster_config.Change("VersionUpdate", {"Version": version}, {"version": version})
    return _begin_update(context.state, cluster, change)


@operation("AssociateEncryptionConfig")
async def associate_encryption_config(context: Context, parameters: Shape) -> Shape:
    """Begin to encrypt secrets; it cannot be taken back or changed."""
    cluster = context.cluster(parameters["clusterName"])
    require_active(cluster)
    if cluster.shape.get("encryptionConfig"):
        raise invalid_parameter("Encryption is already enabled on the cluster", clusterName=cluster.spec.name)
    config = cluster_config.encryption(context.caller, parameters["encryptionConfig"])
    shown = {"EncryptionConfig": json.dumps(config)}
    change = cluster_config.Change("AssociateEncryptionConfig", shown, {"encryptionConfig": config})
    return _begin_update(context.state, cluster, change)


@operation("DeleteCluster")
async def delete_cluster(context: Context, parameters: Shape) -> Shape:
    """Delete a cluster that has no node groups, with everything else in it."""
    cluster = context.cluster(parameters["name"])
    name = cluster.spec.name
    if cluster.nodegroups:
        raise in_use("Cluster has nodegroups attached", clusterName=name, nodegroupName=next(iter(cluster.nodegroups)))
    if cluster.shape["deletionProtection"] and cluster.shape["status"] not in UNPROTECTED:
        raise invalid_request(f"Cluster {name} has deletion protection enabled.", clusterName=name)
    if cluster.shape["status"] in ("CREATING", "UPDATING"):
        raise in_use(f"Cluster {name} is in {cluster.shape['status']} state.", clusterName=name)
    if cluster.shape["status"] != "DELETING":
        cluster.shape["status"] = "DELETING"
        context.state.later(_delete(context.state, cluster))
    return {"cluster": cluster.shape}


def require_active(cluster: Cluster) -> None:
    """Refuse changes in a cluster that is not ACTIVE; an update in progress is a conflict."""
    status, name = cluster.shape["status"], cluster.spec.name
    if status == "UPDATING":
        running = next(update for update, one in cluster.updates.items() if one.shape["status"] == "InProgress")
        raise in_use(f"Cluster {name} currently has update {running} in progress", clusterName=name)
    if status != "ACTIVE":
        raise invalid_request(f"Cluster '{name}' is not in ACTIVE status", clusterName=name)


async def _start(state: State, cluster: Cluster) -> None:
    """CREATING -> ACTIVE when Kubernetes runs, FAILED when it does not start."""
    assert state.aws_side is not None
    directory = state.directory / "clusters" / cluster.spec.account / cluster.spec.region / cluster.spec.name
    wait = asyncio.create_task(asyncio.sleep(state.knobs.cluster_seconds))
    outcome = state.knobs.cluster_outcomes.get(cluster.spec.name)
    if outcome is not None:
        await wait
        code = state.knobs.cluster_issues.get(cluster.spec.name, "InternalFailure")
        issue = {"code": code, "message": f"The sandbox was told to let this cluster end {outcome}.", "resourceIds": []}
        cluster.shape.update(status=outcome, health={"issues": [issue]})
        return
    try:
        await asyncio.to_thread(_make_fresh, directory)
        runtime = await state.start_cluster(cluster.spec, state.aws_side, directory)
    except Exception as error:  # the cluster is FAILED for every reason that stops its control plane
        log.exception("Cluster %s did not start.", cluster.spec.name)
        issue = {"code": "InternalFailure", "message": f"The sandbox's control plane did not start: {error}"}
        cluster.shape.update(status="FAILED", health={"issues": [issue]})
        return
    finally:
        await wait
    state.runtimes[cluster.spec.arn] = runtime
    cluster.runtime = runtime
    authority = base64.b64encode(runtime.certificate_authority.encode()).decode()
    cluster.shape.update(status="ACTIVE", endpoint=runtime.endpoint, certificateAuthority={"data": authority})
    state.clusters_changed()
    state.later(auto_mode.follow(state, cluster))


def _make_fresh(directory: pathlib.Path) -> None:
    """A cluster of the same name that was deleted has left its data and its logs."""
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)


async def _delete(state: State, cluster: Cluster) -> None:
    wait = asyncio.create_task(asyncio.sleep(state.knobs.cluster_seconds))
    await auto_mode.end(state, cluster)
    await state.stop_cluster(cluster)
    await wait
    group = cluster.shape["resourcesVpcConfig"]["clusterSecurityGroupId"]
    await network.delete_security_group(state.ministack, cluster.spec, group)
    del state.clusters[cluster.spec.arn]
    state.clusters_changed()


def _begin_update(state: State, cluster: Cluster, change: cluster_config.Change) -> Shape:
    update = new_update(change.kind, change.shown)
    cluster.updates[update.shape["id"]] = update
    cluster.shape["status"] = "UPDATING"

    async def finish() -> None:
        await asyncio.sleep(state.knobs.cluster_seconds)
        if succeeds(update, state.knobs):
            had_entries = access_entry.has_access_entries(cluster)
            cluster.shape.update(change.members)
            if not had_entries:
                access_entry.add_administrator(cluster)
            auto_mode.admit_nodes(cluster)
            update.shape["status"] = "Successful"
        cluster.shape["status"] = "ACTIVE"

    state.later(finish())
    return {"update": update.shape}


def _check_skew(cluster: Cluster, version: str) -> None:
    """Nodes may be at most three minor versions behind the control plane.

    https://docs.aws.amazon.com/eks/latest/userguide/update-cluster.html
    """
    oldest = versions.minor(version) - NODE_SKEW
    old = [name for name, group in cluster.nodegroups.items() if versions.minor(group.shape["version"]) < oldest]
    if old:
        message = f"Nodegroups {', '.join(old)} must be updated before the cluster is updated to {version}"
        raise invalid_request(message, clusterName=cluster.spec.name)


def _role_actions(parameters: Shape) -> list[str]:
    """What the role of a cluster must let EKS do; with Auto Mode EKS tags its sessions."""
    auto_mode = (parameters.get("computeConfig") or {}).get("enabled", False)
    return ["sts:AssumeRole", *(["sts:TagSession"] if auto_mode else [])]


def _check_auto_node_role(context: Context, settings: Shape) -> None:
    role_arn = settings["computeConfig"].get("nodeRoleArn")
    if role_arn:
        node_role.check(context, role_arn)


def _check_cluster_role(context: Context, role_arn: str, actions: list[str]) -> None:
    message = (
        f"Role with arn: {role_arn}, could not be assumed because it does not exist or the trusted entity is not "
        "correct"
    )
    try:
        role = context.pass_role(role_arn, "eks.amazonaws.com")
    except LookupError as error:
        raise invalid_parameter(message) from error
    if not trust.names_service(role.trust_policy, "eks.amazonaws.com", actions):
        raise invalid_parameter(message)


def _spec(context: Context, name: str, version: str) -> ClusterSpec:
    account, region = context.caller.account, context.region
    return ClusterSpec(
        account=account,
        region=region,
        name=name,
        arn=cluster_arn(context.caller, name),
        version=version,
        issuer=f"https://oidc.eks.{region}.amazonaws.com/id/{secrets.token_hex(16).upper()}",
        pod_mode=context.state.pod_mode,
    )


def _shape(spec: ClusterSpec, parameters: Shape, vpc: Shape, settings: Shape) -> Shape:
    """What DescribeCluster answers."""
    return {
        "name": spec.name,
        "arn": spec.arn,
        "createdAt": now(),
        "version": spec.version,
        "roleArn": parameters["roleArn"],
        "resourcesVpcConfig": vpc,
        "identity": {"oidc": {"issuer": spec.issuer}},
        "status": "CREATING",
        "certificateAuthority": {},
        "health": {"issues": []},
        **settings,
    }
