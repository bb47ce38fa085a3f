# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The plan between what is declared about a cluster and what is there; how settings change is in :mod:`.settings`."""

from __future__ import annotations

import typing as t

from ..common import Action
from ..common import Change
from ..common import first_tags
from ..common import refuse
from ..common import to_ansible
from ..common import without_none
from ..validation import minor_of
from ..validation import quoted
from ..waiters import issues_of
from . import settings
from .declared import AUTHENTICATION_MODES
from .declared import auto_mode_needs_access_entries
from .observed import concluded
from .observed import has_auto_mode

if t.TYPE_CHECKING:
    import collections.abc as c

    from .declared import ClusterSpec
    from .observed import Cluster

#: States in which a cluster can be deleted whatever its deletion protection says
#: (https://docs.aws.amazon.com/eks/latest/userguide/deletion-protection.html).
UNPROTECTED = {"CREATING", "FAILED", "DELETING"}


def plan(before: Cluster | None, spec: ClusterSpec) -> Change:
    """What has to happen.

    :raises AnsibleEKSError: when EKS has no way from here to there.
    """
    if not spec.present:
        return _plan_deletion(before, spec)
    if before is None:
        return _plan_creation(spec)
    refuse(_obstacles(before, spec))
    return _plan_update(before, spec)


def _plan_deletion(before: Cluster | None, spec: ClusterSpec) -> Change:
    if before is None or before["status"] == "DELETING":
        return Change(before, None)
    protected = before.get("deletion_protection") and before["status"] not in UNPROTECTED
    if spec.deletion_protection or (protected and spec.deletion_protection is None):
        refuse([f"deletion_protection of {spec} is on: set deletion_protection: false to switch it off and delete it."])
    unprotect = settings.config_action(spec, {"deletionProtection": False})
    delete = Action("delete_cluster", {"name": spec.name})
    return Change(before, None, (unprotect, delete) if protected else (delete,))


def _plan_creation(spec: ClusterSpec) -> Change:
    refuse(_missing(spec))
    parameters: dict[str, t.Any] = without_none(
        {
            "name": spec.name,
            "version": spec.version,
            "roleArn": spec.role_arn,
            "resourcesVpcConfig": without_none(
                {**settings.network_parameters(spec), **settings.endpoint_parameters(spec)}
            ),
            "accessConfig": settings.access_parameters(spec) or None,
            "logging": settings.logging_parameters(spec.logging) if spec.logging else None,
            "encryptionConfig": settings.encryption_parameters(spec) if spec.encryption_key_arn else None,
            **settings.single_parameters(spec),
            "bootstrapSelfManagedAddons": spec.bootstrap_self_managed_addons,
            "tags": first_tags(spec.tags, spec.creation_tags) or None,
        }
    )
    kubernetes_network = without_none({"serviceIpv4Cidr": spec.service_ipv4_cidr, "ipFamily": spec.ip_family})
    if spec.wants_auto_mode:
        auto_mode = settings.auto_mode_parameters(settings.compute_parameters({}, spec))
        kubernetes_network |= auto_mode["kubernetesNetworkConfig"]
        parameters |= {**auto_mode, "bootstrapSelfManagedAddons": False}
    if kubernetes_network:
        parameters["kubernetesNetworkConfig"] = kubernetes_network
    # EKS never tells what it was told about these add-ons.
    told = {key: value for key, value in parameters.items() if key != "bootstrapSelfManagedAddons"}
    expected = concluded({"tags": {}, **to_ansible(told), "status": "ACTIVE"})
    return Change(None, expected, (Action("create_cluster", parameters),))


def _missing(spec: ClusterSpec) -> c.Iterator[str]:
    for option in ("role_arn", "subnet_ids"):
        if getattr(spec, option) is None:
            yield f"{option} is missing: {spec} does not exist, and EKS cannot make one without."
    if spec.wants_auto_mode and spec.authentication_mode is None:
        yield f"{auto_mode_needs_access_entries(spec)}: a new cluster has CONFIG_MAP where nothing else is declared."
    # CreateCluster: "bootstrapClusterCreatorAdminPermissions must be true if cluster authentication mode is set to
    # CONFIG_MAP" (terraform-aws-modules/terraform-aws-eks, issue 3026).
    if spec.bootstrap_cluster_creator_admin_permissions is False and spec.authentication_mode in (None, "CONFIG_MAP"):
        yield (
            f"bootstrap_cluster_creator_admin_permissions of {spec} is false, which EKS takes only with "
            "authentication_mode API_AND_CONFIG_MAP or API: without access entries nobody else could get in."
        )


# --- what stands in the way -------------------------------------------------------------------------------------------


def _obstacles(before: Cluster, spec: ClusterSpec) -> c.Iterator[str]:
    """Why EKS cannot go from here to there, one sentence each, naming option, old and new value."""
    yield from _state_obstacles(before, spec)
    yield from _fixed(spec, "role_arn", before.get("role_arn"), spec.role_arn)
    for option in ("service_ipv4_cidr", "ip_family"):
        yield from _fixed(spec, option, before.get("kubernetes_network_config", {}).get(option), getattr(spec, option))
    # EKS does not always tell what a cluster was created with.
    option = "bootstrap_cluster_creator_admin_permissions"
    creator = before.get("access_config", {}).get(option)
    if creator is not None:
        yield from _fixed(spec, option, creator, spec.bootstrap_cluster_creator_admin_permissions)
    yield from _version_obstacles(before, spec)
    yield from _endpoint_obstacles(before, spec)
    yield from _authentication_obstacles(before, spec)
    yield from _auto_mode_obstacles(before, spec)
    yield from _encryption_obstacles(before, spec)


def _state_obstacles(before: Cluster, spec: ClusterSpec) -> c.Iterator[str]:
    if before["status"] == "DELETING":
        yield (
            f"{spec} is DELETING: it cannot be changed any more; wait until it is gone, which state=absent does, "
            "then create it again."
        )
    if before["status"] == "FAILED":
        reasons = "; ".join(issues_of(before))
        yield (
            f"{spec} is FAILED{f' ({reasons})' if reasons else ''}: it cannot be changed any more; "
            "delete it with state=absent, then create it again."
        )


def _fixed(spec: ClusterSpec, option: str, old: object, new: object) -> c.Iterator[str]:
    if new is not None and new != old:
        yield f"{option} of {spec} is {quoted(old)} and cannot become {quoted(new)}: EKS sets it at creation only."


def _version_obstacles(before: Cluster, spec: ClusterSpec) -> c.Iterator[str]:
    if spec.version is None or "version" not in before:
        return
    old, new = minor_of(before["version"]), minor_of(spec.version)
    if new < old:
        yield (
            f"version of {spec} is {before['version']} and cannot become {spec.version}: it never goes backwards here, "
            "because nodes and add-ons have to go first; EKS can roll back for 7 days, by UpdateClusterVersion."
        )
    if new > old + 1:
        yield (
            f"version of {spec} is {before['version']} and cannot become {spec.version} at once: EKS goes one minor "
            f"version at a time, so 1.{old + 1} is next."
        )


def _endpoint_obstacles(before: Cluster, spec: ClusterSpec) -> c.Iterator[str]:
    """What is wrong only together with what is there already; the rest is in :func:`.declared.problems`."""
    network = before.get("resources_vpc_config", {})
    declared = {"public": spec.endpoint_public_access, "private": spec.endpoint_private_access}
    kept = {kind: network.get(f"endpoint_{kind}_access") for kind, wanted in declared.items() if wanted is None}
    if len(kept) == 1 and not any({**declared, **kept}.values()):
        [kind] = kept
        yield (
            f"endpoint_{kind}_access of {spec} is false already, so it would have no endpoint at all: "
            f"set endpoint_{kind}_access: true."
        )
    if spec.public_access_cidrs is not None and kept.get("public") is False:
        yield (
            f"public_access_cidrs of {spec} limit a public endpoint, but it has none: "
            "set endpoint_public_access: true, or leave them out."
        )


def _authentication_obstacles(before: Cluster, spec: ClusterSpec) -> c.Iterator[str]:
    old = before.get("access_config", {}).get("authentication_mode")
    new = spec.authentication_mode
    if old is not None and new is not None and AUTHENTICATION_MODES.index(new) < AUTHENTICATION_MODES.index(old):
        yield (
            f"authentication_mode of {spec} is {old} and cannot become {new}: EKS goes only from CONFIG_MAP to "
            "API_AND_CONFIG_MAP to API."
        )


def _auto_mode_obstacles(before: Cluster, spec: ClusterSpec) -> c.Iterator[str]:
    if spec.auto_mode is None or not spec.auto_mode.enabled:
        return
    if spec.authentication_mode is None and settings.authentication_mode(before) == "CONFIG_MAP":
        yield f"{auto_mode_needs_access_entries(spec)}, but it has CONFIG_MAP."
    old, new = before.get("compute_config", {}).get("node_role_arn"), spec.auto_mode.node_role_arn
    if has_auto_mode(before) and old and new and new != old:
        yield (
            f"auto_mode.node_role_arn of {spec} is {quoted(old)} and cannot become {quoted(new)} while Auto Mode is "
            "on: keep it, or make node classes of your own with another role."
        )


def _encryption_obstacles(before: Cluster, spec: ClusterSpec) -> c.Iterator[str]:
    old, new = settings.encryption_key(before), spec.encryption_key_arn
    if old and new == "":
        yield f"encryption_key_arn of {spec} is {quoted(old)} and cannot be taken away: EKS encrypts for good."
    elif old and new is not None and new != old:
        yield (
            f"encryption_key_arn of {spec} is {quoted(old)} and cannot become {quoted(new)}: EKS encrypts with one key "
            "for good."
        )


# --- updates ----------------------------------------------------------------------------------------------------------


def _plan_update(before: Cluster, spec: ClusterSpec) -> Change:
    changed: dict[str, t.Any] = {}
    actions: tuple[Action, ...] = ()
    for kind in settings.IN_ORDER:
        after, more = kind(before, spec)
        changed |= after
        actions += more
    return Change(before, concluded({**before, **changed}) if actions else before, actions)
