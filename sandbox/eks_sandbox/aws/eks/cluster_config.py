# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The settings of a cluster: AWS's defaults, the rules between them, and how UpdateClusterConfig may change them."""

from __future__ import annotations

import ipaddress
import json
import re
import typing as t

from eks_sandbox.aws.eks import network
from eks_sandbox.aws.eks.operations import Context
from eks_sandbox.aws.eks.state import Cluster
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.errors import ServiceError
from eks_sandbox.aws.errors import invalid_parameter
from eks_sandbox.aws.ministack import Where

LOG_TYPES = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
#: In the order in which a cluster may go through them.
AUTHENTICATION_MODES = ["CONFIG_MAP", "API_AND_CONFIG_MAP", "API"]
NODE_POOLS = {"general-purpose", "system"}

#: Members of CreateCluster and UpdateClusterConfig that the sandbox does not know the effect of.
_NOT_OFFERED = (
    "outpostConfig",
    "remoteNetworkConfig",
    "controlPlaneScalingConfig",
    "kubeApiServerConfig",
    "kubeSchedulerConfig",
    "kubeControllerManagerConfig",
)
_AUTO_MODE = ("computeConfig", "kubernetesNetworkConfig", "storageConfig")
_ENDPOINT = ("endpointPublicAccess", "endpointPrivateAccess", "publicAccessCidrs")
_PRIVATE_BLOCKS = [ipaddress.ip_network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]


class Change(t.NamedTuple):
    """What an update does to a cluster."""

    #: UpdateType of the model.
    kind: str
    #: UpdateParamType of the model -> value.
    shown: Shape
    #: What DescribeCluster shows differently afterwards.
    members: Shape


def check_offered(parameters: Shape) -> None:
    """Refuse with status 501 what the sandbox does not imitate, instead of taking it without effect."""
    asked = [name for name in _NOT_OFFERED if parameters.get(name)]
    network_config = parameters.get("kubernetesNetworkConfig", {})
    if network_config.get("ipFamily", "ipv4") != "ipv4":
        asked.append("kubernetesNetworkConfig.ipFamily=ipv6")
    if asked:
        raise ServiceError("NotImplementedInSandbox", f"The sandbox does not offer {', '.join(asked)}.", status=501)


def new_settings(context: Context, parameters: Shape, subnet_cidrs: t.Sequence[str]) -> Shape:
    """What a new cluster is set to, with AWS's defaults; raises InvalidParameterException."""
    access = parameters.get("accessConfig", {})
    mode = access.get("authenticationMode", AUTHENTICATION_MODES[0])
    if mode == AUTHENTICATION_MODES[0] and not access.get("bootstrapClusterCreatorAdminPermissions", True):
        raise invalid_parameter(
            "bootstrapClusterCreatorAdminPermissions must be true if cluster authentication mode is set to CONFIG_MAP"
        )
    auto_mode = _auto_mode(parameters, {}, mode)
    if auto_mode["computeConfig"]["enabled"] and parameters.get("bootstrapSelfManagedAddons", True):
        raise invalid_parameter("When EKS Auto Mode is enabled, bootstrapSelfManagedAddons must be set to false.")
    given = parameters.get("kubernetesNetworkConfig", {})
    settings = {
        "kubernetesNetworkConfig": {
            "serviceIpv4Cidr": _service_cidr(given.get("serviceIpv4Cidr"), subnet_cidrs),
            "ipFamily": "ipv4",
            **auto_mode["kubernetesNetworkConfig"],
        },
        "computeConfig": auto_mode["computeConfig"],
        "storageConfig": auto_mode["storageConfig"],
        "logging": _logging(parameters.get("logging", {})),
        # Afterwards EKS does not show whether the creator became an administrator.
        "accessConfig": {"authenticationMode": mode},
        "upgradePolicy": parameters.get("upgradePolicy", {"supportType": "EXTENDED"}),
        "deletionProtection": parameters.get("deletionProtection", False),
        "zonalShiftConfig": parameters.get("zonalShiftConfig"),
    }
    if parameters.get("encryptionConfig"):
        settings["encryptionConfig"] = encryption(context.caller, parameters["encryptionConfig"])
    return settings


async def change(context: Context, cluster: Cluster, parameters: Shape) -> Change:
    """The one change that the parameters of UpdateClusterConfig request.

    Raises InvalidParameterException: for no change, several kinds of it, or one that does not fit the cluster.
    """
    vpc = parameters.get("resourcesVpcConfig") or {}
    kinds = {name for name in _CHANGES if parameters.get(name) is not None}
    kinds |= {"endpoint"} if any(vpc.get(name) is not None for name in _ENDPOINT) else set()
    kinds |= {"vpc"} if vpc.get("subnetIds") or vpc.get("securityGroupIds") else set()
    kinds |= {"auto_mode"} if any(parameters.get(name) for name in _AUTO_MODE) else set()
    if not kinds:
        raise invalid_parameter("Invalid type for cluster update.", clusterName=cluster.spec.name)
    if len(kinds) > 1:
        raise invalid_parameter("Only one type of update can be allowed.", clusterName=cluster.spec.name)
    kind = kinds.pop()
    if kind == "vpc":
        return await _changed_vpc(context, cluster, vpc)
    if kind == "endpoint":
        return _changed_endpoint(cluster, vpc)
    return _changed_auto_mode(cluster, parameters) if kind == "auto_mode" else _CHANGES[kind](cluster, parameters[kind])


def encryption(where: Where, given: list[Shape]) -> list[Shape]:
    """A checked encryption configuration; the key itself cannot be looked up, for the sandbox has no KMS."""
    for one in given:
        key = one.get("provider", {}).get("keyArn", "")
        if one.get("resources") != ["secrets"]:
            raise invalid_parameter("Encryption config resources must be [secrets].")
        if not re.fullmatch(rf"arn:aws[a-z-]*:kms:{where.region}:\d{{12}}:(key|alias)/.+", key):
            raise invalid_parameter(f"The keyArn in encryptionConfig provider is invalid: {key}")
    return given


def _service_cidr(given: str | None, subnet_cidrs: t.Sequence[str]) -> str:
    """The service addresses: a private block of /12 to /24, by default one that the VPC does not use.

    https://docs.aws.amazon.com/eks/latest/APIReference/API_KubernetesNetworkConfigRequest.html
    """
    subnets = [ipaddress.ip_network(cidr) for cidr in subnet_cidrs]
    if given is None:
        in_ten = any(subnet.overlaps(_PRIVATE_BLOCKS[0]) for subnet in subnets)
        return "172.20.0.0/16" if in_ten else "10.100.0.0/16"
    try:
        block = ipaddress.ip_network(given)
    except ValueError as error:
        raise invalid_parameter(f"Invalid serviceIpv4Cidr: {given}") from error
    fits = isinstance(block, ipaddress.IPv4Network) and any(
        block.subnet_of(private) for private in _PRIVATE_BLOCKS if isinstance(private, ipaddress.IPv4Network)
    )
    if not fits or not 12 <= block.prefixlen <= 24:
        message = "must be within 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16 and between /24 and /12"
        raise invalid_parameter(f"serviceIpv4Cidr {given} {message}")
    if any(subnet.overlaps(block) for subnet in subnets):
        raise invalid_parameter(f"serviceIpv4Cidr {given} overlaps with the CIDR block of the VPC")
    return given


def _auto_mode(parameters: Shape, before: Shape, mode: str) -> Shape:
    """The three settings of EKS Auto Mode, which are all on or all off.

    https://docs.aws.amazon.com/eks/latest/userguide/automode-get-started-cli.html
    """
    compute = _compute(before.get("computeConfig", {"enabled": False}), parameters.get("computeConfig") or {})
    balancing = (parameters.get("kubernetesNetworkConfig") or {}).get("elasticLoadBalancing") or before.get(
        "kubernetesNetworkConfig", {}
    ).get("elasticLoadBalancing", {"enabled": False})
    storage = (parameters.get("storageConfig") or {}).get("blockStorage") or before.get("storageConfig", {}).get(
        "blockStorage", {"enabled": False}
    )
    switches = {part.get("enabled", False) for part in (compute, balancing, storage)}
    if len(switches) > 1:
        raise invalid_parameter(
            "For EKS Auto Mode, please ensure that all required configs, including computeConfig, "
            "kubernetesNetworkConfig, and blockStorage are all either fully enabled or fully disabled."
        )
    pools = compute.get("nodePools") or []
    if set(pools) - NODE_POOLS:
        raise invalid_parameter(f"Compute Config nodePools must be of {', '.join(sorted(NODE_POOLS))}.")
    if compute.get("nodeRoleArn") and not pools:
        raise invalid_parameter(
            "When Compute Config nodeRoleArn is not null or empty, nodePool value(s) must be provided."
        )
    if pools and not compute.get("nodeRoleArn"):
        raise invalid_parameter("When Compute Config nodePools are provided, nodeRoleArn must be provided.")
    if switches == {True} and mode == "CONFIG_MAP":
        raise invalid_parameter("EKS Auto Mode requires the authentication mode API or API_AND_CONFIG_MAP.")
    return {
        "computeConfig": compute,
        "kubernetesNetworkConfig": {"elasticLoadBalancing": balancing},
        "storageConfig": {"blockStorage": storage},
    }


def _compute(before: Shape, given: Shape) -> Shape:
    """The computing of Auto Mode; its role is that of nodes which run, so it goes only with them.

    https://docs.aws.amazon.com/eks/latest/APIReference/API_ComputeConfigRequest.html
    """
    after = {**before, **given}
    if not after.get("enabled"):
        return {"enabled": False}
    if given.get("nodePools") == [] and not given.get("nodeRoleArn"):
        after.pop("nodeRoleArn", None)
    roles = before.get("nodeRoleArn"), after.get("nodeRoleArn")
    if before.get("enabled") and all(roles) and roles[0] != roles[1]:
        raise invalid_parameter("Compute Config nodeRoleArn cannot be changed while EKS Auto Mode is enabled.")
    return after


def _logging(given: Shape) -> Shape:
    enabled = [kind for setup in given.get("clusterLogging", []) if setup.get("enabled") for kind in setup["types"]]
    return _logging_of(enabled)


def _logging_of(enabled: t.Collection[str]) -> Shape:
    on, off = ([kind for kind in LOG_TYPES if (kind in enabled) == wanted] for wanted in (True, False))
    return {
        "clusterLogging": [{"types": kinds, "enabled": kinds is on} for kinds in (on, off) if kinds],
    }


def _enabled_logs(logging: Shape) -> set[str]:
    return {kind for setup in logging["clusterLogging"] if setup["enabled"] for kind in setup["types"]}


def _changed_endpoint(cluster: Cluster, given: Shape) -> Change:
    before = cluster.shape["resourcesVpcConfig"]
    after = {**before, **{name: given[name] for name in _ENDPOINT if given.get(name) is not None}}
    network.check_endpoint_access(after)
    if after == before:
        private, public, cidrs = (
            json.dumps(before[name]) for name in ("endpointPrivateAccess", "endpointPublicAccess", "publicAccessCidrs")
        )
        raise invalid_parameter(
            "Cluster is already at the desired configuration with "
            f"endpointPrivateAccess: {private} , endpointPublicAccess: {public}, and Public Endpoint Restrictions: "
            + cidrs.replace('"', ""),
            clusterName=cluster.spec.name,
        )
    shown = {
        "EndpointPublicAccess": json.dumps(after["endpointPublicAccess"]),
        "EndpointPrivateAccess": json.dumps(after["endpointPrivateAccess"]),
        "PublicAccessCidrs": json.dumps(after["publicAccessCidrs"]),
    }
    return Change("EndpointAccessUpdate", shown, {"resourcesVpcConfig": after})


async def _changed_vpc(context: Context, cluster: Cluster, given: Shape) -> Change:
    before = cluster.shape["resourcesVpcConfig"]
    after = await network.changed_vpc(context.state.ministack, cluster.spec, before, given)
    if after == before:
        raise invalid_parameter("Cluster is already at the desired configuration.", clusterName=cluster.spec.name)
    shown = {"Subnets": json.dumps(after["subnetIds"]), "SecurityGroups": json.dumps(after["securityGroupIds"])}
    return Change("VpcConfigUpdate", shown, {"resourcesVpcConfig": after})


def _changed_logging(cluster: Cluster, given: Shape) -> Change:
    """Only the types that are named change."""
    enabled = _enabled_logs(cluster.shape["logging"])
    before = set(enabled)
    for setup in given.get("clusterLogging", []):
        enabled = enabled | set(setup["types"]) if setup.get("enabled") else enabled - set(setup["types"])
    if enabled == before:
        message = "No changes needed for the logging config provided"
        raise invalid_parameter(message, clusterName=cluster.spec.name)
    return Change("LoggingUpdate", {"ClusterLogging": json.dumps(given)}, {"logging": _logging_of(enabled)})


def _changed_access(cluster: Cluster, given: Shape) -> Change:
    """One step at a time, and never back."""
    before, after = cluster.shape["accessConfig"]["authenticationMode"], given.get("authenticationMode", "")
    steps = AUTHENTICATION_MODES.index(after) - AUTHENTICATION_MODES.index(before) if after else 0
    if steps != 1:
        message = f"Unsupported authentication mode update from {before} to {after}"
        raise invalid_parameter(message, clusterName=cluster.spec.name)
    members = {"accessConfig": {"authenticationMode": after}}
    return Change("AccessConfigUpdate", {"AuthenticationMode": after}, members)


def _changed_auto_mode(cluster: Cluster, parameters: Shape) -> Change:
    after = _auto_mode(parameters, cluster.shape, cluster.shape["accessConfig"]["authenticationMode"])
    given = {name for name in _AUTO_MODE if parameters.get(name)}
    if given != set(_AUTO_MODE) and after["computeConfig"]["enabled"] != cluster.shape["computeConfig"]["enabled"]:
        raise invalid_parameter("Exactly the three configs of EKS Auto Mode must be given.")
    members = {**after, "kubernetesNetworkConfig": {**cluster.shape["kubernetesNetworkConfig"]}}
    members["kubernetesNetworkConfig"].update(after["kubernetesNetworkConfig"])
    _require_difference(cluster, members)
    shown = {f"{name[:1].upper()}{name[1:]}": json.dumps(after[name]) for name in _AUTO_MODE}
    return Change("AutoModeUpdate", shown, members)


def _setting(member: str, kind: str, parameter: str) -> t.Callable[[Cluster, t.Any], Change]:
    """A setting that is replaced as a whole."""

    def changed(cluster: Cluster, given: t.Any) -> Change:
        _require_difference(cluster, {member: given})
        return Change(kind, {parameter: json.dumps(given)}, {member: given})

    return changed


def _require_difference(cluster: Cluster, members: Shape) -> None:
    if all(cluster.shape.get(name) == value for name, value in members.items()):
        raise invalid_parameter("Cluster is already at the desired configuration.", clusterName=cluster.spec.name)


#: Member of UpdateClusterConfig -> what it changes; the members of the VPC and of Auto Mode are treated above.
_CHANGES: dict[str, t.Callable[[Cluster, t.Any], Change]] = {
    "logging": _changed_logging,
    "accessConfig": _changed_access,
    "upgradePolicy": _setting("upgradePolicy", "UpgradePolicyUpdate", "UpgradePolicy"),
    "deletionProtection": _setting("deletionProtection", "DeletionProtectionUpdate", "DeletionProtection"),
    "zonalShiftConfig": _setting("zonalShiftConfig", "ZonalShiftConfigUpdate", "ZonalShiftConfig"),
}
