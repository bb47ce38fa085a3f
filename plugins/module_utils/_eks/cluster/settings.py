# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The settings of a cluster: the parameters of each, for a new cluster and for an update, and the update's plan.

EKS takes one kind of setting in a call of UpdateClusterConfig, so each kind has a function of its own. It returns what
the cluster will show otherwise afterwards, and the calls that bring it there; both are empty where nothing changes.
"""

from __future__ import annotations

import typing as t

from ..common import Action
from ..common import plan_tags
from ..common import to_ansible
from ..common import unordered
from ..common import without_none
from .declared import AUTHENTICATION_MODES
from .declared import LOG_TYPES
from .observed import has_auto_mode

if t.TYPE_CHECKING:
    import collections.abc as c

    from .declared import ClusterSpec
    from .observed import Cluster

Parameters = dict[str, t.Any]
#: What changes in the cluster as our modules return it, and the calls.
Part = tuple[dict[str, t.Any], tuple[Action, ...]]
NOTHING: Part = ({}, ())

#: What it means when EKS tells nothing about a setting.
UNTOLD = {"deletion_protection": False, "zonal_shift_config": {"enabled": False}}


def config_action(spec: ClusterSpec, parameters: t.Mapping[str, t.Any]) -> Action:
    """A call of UpdateClusterConfig."""
    return Action("update_cluster_config", {"name": spec.name, **parameters})


# --- tags and version -------------------------------------------------------------------------------------------------


def tags(before: Cluster, spec: ClusterSpec) -> Part:
    """Tags take effect at once."""
    after, actions = plan_tags(before["arn"], before["tags"], spec.tags, spec.purge_tags, spec.creation_tags)
    return ({"tags": after}, actions) if actions else NOTHING


def version(before: Cluster, spec: ClusterSpec) -> Part:
    """The version of Kubernetes, by a call of its own."""
    if spec.version is None or spec.version == before.get("version"):
        return NOTHING
    force = {"force": True} if spec.force_version_update else {}
    action = Action("update_cluster_version", {"name": spec.name, "version": spec.version, **force})
    return {"version": spec.version}, (action,)


# --- settings of one value --------------------------------------------------------------------------------------------


def single_parameters(spec: ClusterSpec) -> Parameters:
    """The settings of one value that are declared."""
    support, shift = spec.support_type, spec.zonal_shift
    return without_none(
        {
            "deletionProtection": spec.deletion_protection,
            "upgradePolicy": None if support is None else {"supportType": support},
            "zonalShiftConfig": None if shift is None else {"enabled": shift},
        }
    )


def single(before: Cluster, spec: ClusterSpec) -> Part:
    """Deletion protection, the type of support, and zonal shift."""
    changed: dict[str, t.Any] = {}
    actions: tuple[Action, ...] = ()
    for parameter, value in single_parameters(spec).items():
        [(key, wanted)] = to_ansible({parameter: value}).items()
        if (before.get(key) or UNTOLD.get(key)) != wanted:
            changed[key] = wanted
            actions += (config_action(spec, {parameter: value}),)
    return changed, actions


# --- logging ----------------------------------------------------------------------------------------------------------


def logging_parameters(enabled: t.Collection[str]) -> Parameters:
    """These types of log on, and all others off; without the others EKS would leave them as they are."""
    states = {True: [kind for kind in LOG_TYPES if kind in enabled]}
    states[False] = [kind for kind in LOG_TYPES if kind not in enabled]
    return {"clusterLogging": [{"types": kinds, "enabled": on} for on, kinds in states.items() if kinds]}


def logging(before: Cluster, spec: ClusterSpec) -> Part:
    """Exactly the declared types of log."""
    setups = (before.get("logging") or {}).get("cluster_logging") or []
    enabled = {kind for setup in setups if setup.get("enabled") for kind in setup["types"]}
    if spec.logging is None or set(spec.logging) == enabled:
        return NOTHING
    parameters = {"logging": logging_parameters(spec.logging)}
    return to_ansible(parameters), (config_action(spec, parameters),)


# --- who gets in ------------------------------------------------------------------------------------------------------


def access_parameters(spec: ClusterSpec) -> Parameters:
    """The access configuration of a new cluster."""
    return without_none(
        {
            "authenticationMode": spec.authentication_mode,
            "bootstrapClusterCreatorAdminPermissions": spec.bootstrap_cluster_creator_admin_permissions,
        }
    )


def authentication_mode(before: Cluster) -> str:
    """The mode that a cluster has; those that are older than access entries tell none."""
    return str(before.get("access_config", {}).get("authentication_mode") or AUTHENTICATION_MODES[0])


def access(before: Cluster, spec: ClusterSpec) -> Part:
    """One call for each step of the authentication mode."""
    old = AUTHENTICATION_MODES.index(authentication_mode(before))
    new = old if spec.authentication_mode is None else AUTHENTICATION_MODES.index(spec.authentication_mode)
    actions = tuple(
        config_action(spec, {"accessConfig": {"authenticationMode": mode}})
        for mode in AUTHENTICATION_MODES[old + 1 : new + 1]
    )
    config = {**before.get("access_config", {}), "authentication_mode": spec.authentication_mode}
    return ({"access_config": config}, actions) if actions else NOTHING


# --- network ----------------------------------------------------------------------------------------------------------


def endpoint_parameters(spec: ClusterSpec) -> Parameters:
    """What is declared about the endpoints of the Kubernetes API."""
    return without_none(
        {
            "endpointPublicAccess": spec.endpoint_public_access,
            "endpointPrivateAccess": spec.endpoint_private_access,
            "publicAccessCidrs": _listed(spec.public_access_cidrs),
        }
    )


def network_parameters(spec: ClusterSpec) -> Parameters:
    """What is declared about the network interfaces of the control plane."""
    return without_none({"subnetIds": _listed(spec.subnet_ids), "securityGroupIds": _listed(spec.security_group_ids)})


def network(before: Cluster, spec: ClusterSpec) -> Part:
    """One call for the endpoints and one for subnets and security groups."""
    config = dict(before.get("resources_vpc_config", {}))
    endpoints, interfaces = to_ansible(endpoint_parameters(spec)), to_ansible(network_parameters(spec))
    actions = []
    if _differs(config, endpoints):
        config.update(endpoints)
        actions.append(config_action(spec, {"resourcesVpcConfig": _whole_endpoints(config)}))
    if _differs(config, interfaces):
        config.update(interfaces)
        parameters = {"subnetIds": config["subnet_ids"], "securityGroupIds": config.get("security_group_ids", [])}
        actions.append(config_action(spec, {"resourcesVpcConfig": parameters}))
    return ({"resources_vpc_config": config}, tuple(actions)) if actions else NOTHING


def _whole_endpoints(config: t.Mapping[str, t.Any]) -> Parameters:
    parameters = {
        "endpointPublicAccess": config["endpoint_public_access"],
        "endpointPrivateAccess": config["endpoint_private_access"],
    }
    if config["endpoint_public_access"] and config.get("public_access_cidrs"):
        parameters["publicAccessCidrs"] = config["public_access_cidrs"]
    return parameters


def _differs(config: t.Mapping[str, t.Any], wanted: t.Mapping[str, t.Any]) -> bool:
    """Whether a wanted setting is another one; lists of ids and CIDRs have no order."""
    return any(unordered(config.get(key)) != unordered(value) for key, value in wanted.items())


def _listed(values: t.Sequence[str] | None) -> list[str] | None:
    return None if values is None else list(values)


# --- Auto Mode --------------------------------------------------------------------------------------------------------


def compute_parameters(old: t.Mapping[str, t.Any], spec: ClusterSpec) -> Parameters:
    """The computeConfig that is declared, on top of the old one as our modules return it.

    EKS takes a role only together with node pools of its own.
    """
    mode = spec.auto_mode
    if mode is None or not mode.enabled:
        return {"enabled": False}
    pools = old.get("node_pools") if mode.node_pools is None else list(mode.node_pools)
    role = (mode.node_role_arn or old.get("node_role_arn")) if pools else None
    return without_none({"enabled": True, "nodePools": pools, "nodeRoleArn": role})


def auto_mode_parameters(compute: t.Mapping[str, t.Any]) -> Parameters:
    """The three settings of Auto Mode, which EKS takes only together: all on or all off.

    https://docs.aws.amazon.com/eks/latest/userguide/automode-get-started-cli.html
    """
    switch = {"enabled": compute["enabled"]}
    return {
        "computeConfig": dict(compute),
        "kubernetesNetworkConfig": {"elasticLoadBalancing": switch},
        "storageConfig": {"blockStorage": switch},
    }


def auto_mode(before: Cluster, spec: ClusterSpec) -> Part:
    """Auto Mode on or off, and its node pools."""
    old = before.get("compute_config") or {}
    on, wanted = has_auto_mode(before), spec.wants_auto_mode
    if spec.auto_mode is None or (not on and not wanted):
        return NOTHING
    compute = compute_parameters(old if on else {}, spec)
    if on and wanted and not _differs({"node_pools": [], **old}, to_ansible(compute)):
        return NOTHING
    parameters = auto_mode_parameters(compute)
    after = to_ansible(parameters)
    kubernetes_network = {**before.get("kubernetes_network_config", {}), **after["kubernetes_network_config"]}
    return {**after, "kubernetes_network_config": kubernetes_network}, (config_action(spec, parameters),)


# --- encryption -------------------------------------------------------------------------------------------------------


def encryption_parameters(spec: ClusterSpec) -> list[Parameters]:
    """The encryptionConfig that is declared."""
    return [{"resources": ["secrets"], "provider": {"keyArn": spec.encryption_key_arn}}]


def encryption_key(before: Cluster) -> str | None:
    """The ARN of the key with which a cluster encrypts, None where that is AWS's own."""
    for config in before.get("encryption_config") or ():
        return t.cast("str | None", (config.get("provider") or {}).get("key_arn"))
    return None


def encryption(before: Cluster, spec: ClusterSpec) -> Part:
    """Encryption with a key of one's own can only be added."""
    if not spec.encryption_key_arn or spec.encryption_key_arn == encryption_key(before):
        return NOTHING
    config = {"encryptionConfig": encryption_parameters(spec)}
    return to_ansible(config), (Action("associate_encryption_config", {"clusterName": spec.name, **config}),)


#: What is refused or done at once comes first, what can never be taken back late, and the longest last. Auto Mode comes
#: after the authentication mode that it needs.
IN_ORDER: tuple[c.Callable[[Cluster, ClusterSpec], Part], ...] = (
    tags,
    single,
    logging,
    network,
    access,
    auto_mode,
    encryption,
    version,
)
