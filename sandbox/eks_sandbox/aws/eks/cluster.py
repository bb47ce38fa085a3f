# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clusters: CreateCluster, DescribeCluster, ListClusters, UpdateCluster*, DeleteCluster, DescribeClusterVersions."""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
import typing as t

from eks_sandbox.aws import trust
from eks_sandbox.aws.eks import access_entry
from eks_sandbox.aws.eks import network
from eks_sandbox.aws.eks import versions
from eks_sandbox.aws.eks.operations import Context
from eks_sandbox.aws.eks.operations import any_resource
from eks_sandbox.aws.eks.operations import new_tags
from eks_sandbox.aws.eks.operations import operation
from eks_sandbox.aws.eks.operations import page
from eks_sandbox.aws.eks.state import Cluster
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.eks.state import new_update
from eks_sandbox.aws.eks.state import now
from eks_sandbox.aws.errors import in_use
from eks_sandbox.aws.errors import invalid_parameter
from eks_sandbox.aws.errors import invalid_request
from eks_sandbox.aws.errors import limit_exceeded
from eks_sandbox.interfaces import ClusterSpec

#: Quota "Clusters" per region: https://docs.aws.amazon.com/eks/latest/userguide/service-quotas.html
CLUSTERS_PER_REGION = 100
LOG_TYPES = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
PLATFORM_VERSION = "eks.9"

log = logging.getLogger(__name__)


@operation("CreateCluster")
async def create_cluster(context: Context, parameters: Shape) -> Shape:
    """Make a cluster; it is CREATING until its Kubernetes answers."""
    name, state = parameters["name"], context.state
    if (context.region, name) in state.clusters:
        raise in_use(f"Cluster already exists with name: {name}", clusterName=name)
    if len(state.in_region(context.region)) >= CLUSTERS_PER_REGION:
        raise limit_exceeded("Cluster limit exceeded for account.", clusterName=name)
    version = parameters.get("version", versions.DEFAULT)
    if version not in versions.VERSIONS:
        raise invalid_parameter("unsupported Kubernetes version", clusterName=name)
    _check_cluster_role(context, parameters["roleArn"])
    vpc = await network.vpc_config(state.ministack, context.region, parameters["resourcesVpcConfig"])
    tags = new_tags(parameters)
    spec = _spec(context, name, version)
    vpc["clusterSecurityGroupId"] = await network.create_cluster_security_group(state.ministack, spec, vpc["vpcId"])
    bootstraps = parameters.get("accessConfig", {}).get("bootstrapClusterCreatorAdminPermissions", True)
    cluster = Cluster(spec, _shape(spec, parameters, vpc, tags), context.caller.arn, bootstraps)
    state.clusters[context.region, name] = cluster
    if bootstraps and access_entry.has_access_entries(cluster):
        access_entry.add_administrator(cluster, access_entry.principal_of(context.caller.arn))
    state.later(_start(state, cluster))
    return {"cluster": cluster.shape}


@operation("DescribeCluster")
async def describe_cluster(context: Context, parameters: Shape) -> Shape:
    """All that EKS tells about a cluster; endpoint and certificate authority once it is ACTIVE."""
    return {"cluster": context.cluster(parameters["name"]).shape}


@operation("ListClusters", any_resource)
async def list_clusters(context: Context, parameters: Shape) -> Shape:
    """The names of the region's clusters."""
    names = sorted(cluster.spec.name for cluster in context.state.in_region(context.region))
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
    require_active(cluster)
    kinds = [name for name in _CONFIGURATIONS if parameters.get(name) is not None]
    if len(kinds) != 1:
        raise invalid_parameter("Exactly one type of update must be given.", clusterName=cluster.spec.name)
    kind, change = _CONFIGURATIONS[kinds[0]]
    changed = change(cluster, parameters[kinds[0]])
    if changed == {name: cluster.shape.get(name) for name in changed}:
        raise invalid_parameter("Cluster is already at the desired configuration.", clusterName=cluster.spec.name)
    return _begin_update(context.state, cluster, kind, {kinds[0]: parameters[kinds[0]]}, changed)


@operation("UpdateClusterVersion")
async def update_cluster_version(context: Context, parameters: Shape) -> Shape:
    """Go up one minor version of Kubernetes."""
    cluster, version = context.cluster(parameters["name"]), parameters["version"]
    require_active(cluster)
    allowed = versions.successor(cluster.shape["version"])
    if version != allowed:
        message = f"Unsupported Kubernetes minor version update from {cluster.shape['version']} to {version}"
        raise invalid_parameter(message, clusterName=cluster.spec.name)
    return _begin_update(context.state, cluster, "VersionUpdate", {"Version": version}, {"version": version})


@operation("DeleteCluster")
async def delete_cluster(context: Context, parameters: Shape) -> Shape:
    """Delete a cluster that has no node groups; what else is in it goes with it."""
    cluster = context.cluster(parameters["name"])
    name = cluster.spec.name
    if cluster.nodegroups:
        raise in_use("Cluster has nodegroups attached", clusterName=name, nodegroupName=next(iter(cluster.nodegroups)))
    if cluster.shape["deletionProtection"]:
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
        raise in_use(f"Cannot perform this operation: cluster {name} has an update in progress.", clusterName=name)
    if status != "ACTIVE":
        raise invalid_request(f"Cluster '{name}' is not in ACTIVE status", clusterName=name)


async def _start(state: State, cluster: Cluster) -> None:
    """CREATING -> ACTIVE when Kubernetes runs, FAILED when it does not start."""
    assert state.aws_side is not None
    directory = state.directory / "clusters" / cluster.spec.region / cluster.spec.name
    directory.mkdir(parents=True, exist_ok=True)
    wait = asyncio.create_task(asyncio.sleep(state.knobs.cluster_seconds))
    try:
        runtime = await state.start_cluster(cluster.spec, state.aws_side, directory)
    except Exception as error:  # whatever stops a control plane from starting, the cluster has FAILED
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


async def _delete(state: State, cluster: Cluster) -> None:
    wait = asyncio.create_task(asyncio.sleep(state.knobs.cluster_seconds))
    await state.stop_cluster(cluster)
    await wait
    group = cluster.shape["resourcesVpcConfig"]["clusterSecurityGroupId"]
    await network.delete_security_group(state.ministack, cluster.spec.region, group)
    del state.clusters[cluster.spec.region, cluster.spec.name]
    state.clusters_changed()


def _begin_update(state: State, cluster: Cluster, kind: str, shown: Shape, changed: Shape) -> Shape:
    update = new_update(kind, shown)
    cluster.updates[update.shape["id"]] = update
    cluster.shape["status"] = "UPDATING"

    async def finish() -> None:
        await asyncio.sleep(state.knobs.cluster_seconds)
        cluster.shape.update(changed, status="ACTIVE")
        update.shape["status"] = "Successful"

    state.later(finish())
    return {"update": update.shape}


def _check_cluster_role(context: Context, role_arn: str) -> None:
    message = (
        f"Role with arn: {role_arn}, could not be assumed because it does not exist or the trusted entity is not "
        "correct"
    )
    try:
        role = context.pass_role(role_arn, "eks.amazonaws.com")
    except LookupError as error:
        raise invalid_parameter(message) from error
    if not trust.names_service(role.trust_policy, "eks.amazonaws.com", ["sts:AssumeRole"]):
        raise invalid_parameter(message)


def _spec(context: Context, name: str, version: str) -> ClusterSpec:
    account, region = context.caller.account, context.region
    return ClusterSpec(
        account=account,
        region=region,
        name=name,
        arn=f"arn:aws:eks:{region}:{account}:cluster/{name}",
        version=version,
        issuer=f"https://oidc.eks.{region}.amazonaws.com/id/{secrets.token_hex(16).upper()}",
    )


def _shape(spec: ClusterSpec, parameters: Shape, vpc: Shape, tags: dict[str, str]) -> Shape:
    """What DescribeCluster answers, with AWS's defaults."""
    given, access = parameters.get("kubernetesNetworkConfig", {}), parameters.get("accessConfig", {})
    return {
        "name": spec.name,
        "arn": spec.arn,
        "createdAt": now(),
        "version": spec.version,
        "roleArn": parameters["roleArn"],
        "resourcesVpcConfig": vpc,
        "kubernetesNetworkConfig": {
            "serviceIpv4Cidr": given.get("serviceIpv4Cidr", "10.100.0.0/16"),
            "ipFamily": given.get("ipFamily", "ipv4"),
            "elasticLoadBalancing": {"enabled": False},
        },
        "logging": _logging(parameters.get("logging", {})),
        "identity": {"oidc": {"issuer": spec.issuer}},
        "status": "CREATING",
        "certificateAuthority": {},
        "platformVersion": PLATFORM_VERSION,
        "tags": tags,
        "health": {"issues": []},
        # EKS does not say afterwards whether the creator was made an administrator.
        "accessConfig": {"authenticationMode": access.get("authenticationMode", "CONFIG_MAP")},
        "upgradePolicy": parameters.get("upgradePolicy", {"supportType": "EXTENDED"}),
        "deletionProtection": parameters.get("deletionProtection", False),
    }


def _logging(given: Shape) -> Shape:
    enabled = [kind for setup in given.get("clusterLogging", []) if setup.get("enabled") for kind in setup["types"]]
    disabled = [kind for kind in LOG_TYPES if kind not in enabled]
    return {
        "clusterLogging": [
            *([{"types": enabled, "enabled": True}] if enabled else []),
            *([{"types": disabled, "enabled": False}] if disabled else []),
        ]
    }


def _changed_vpc(cluster: Cluster, given: Shape) -> Shape:
    changed = {**cluster.shape["resourcesVpcConfig"], **given}
    network.check_endpoint_access(changed)
    return {"resourcesVpcConfig": changed}


def _changed_logging(_cluster: Cluster, given: Shape) -> Shape:
    return {"logging": _logging(given)}


def _changed_access(cluster: Cluster, given: Shape) -> Shape:
    modes = ["CONFIG_MAP", "API_AND_CONFIG_MAP", "API"]
    before, after = cluster.shape["accessConfig"]["authenticationMode"], given.get("authenticationMode")
    if after is None or modes.index(after) < modes.index(before) or modes.index(after) - modes.index(before) > 1:
        raise invalid_parameter(f"Unsupported authentication mode update from {before} to {after}")
    return {"accessConfig": {"authenticationMode": after}}


def _changed_upgrade_policy(_cluster: Cluster, given: Shape) -> Shape:
    return {"upgradePolicy": given}


def _changed_deletion_protection(_cluster: Cluster, given: bool) -> Shape:
    return {"deletionProtection": given}


#: Member of UpdateClusterConfig -> (type of the update, what it changes).
_CONFIGURATIONS: dict[str, tuple[str, t.Callable[[Cluster, t.Any], Shape]]] = {
    "resourcesVpcConfig": ("VpcConfigUpdate", _changed_vpc),
    "logging": ("LoggingUpdate", _changed_logging),
    "accessConfig": ("AccessConfigUpdate", _changed_access),
    "upgradePolicy": ("UpgradePolicyUpdate", _changed_upgrade_policy),
    "deletionProtection": ("DeletionProtectionUpdate", _changed_deletion_protection),
}
