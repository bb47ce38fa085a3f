# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Clusters: what is declared, what is there, the plan between the two, and the calls that carry it out.

Rules that come from AWS are those of the EKS API reference (CreateCluster, UpdateClusterConfig, UpdateClusterVersion).
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import ipaddress
import re
import typing as t

from .common import Action
from .common import AnsibleEKSError
from .common import Change
from .common import calling
from .common import finding
from .common import plan_tags
from .common import refuse
from .common import text_tags
from .common import to_ansible
from .common import without_none
from .validation import cluster_name_problems
from .validation import quoted
from .validation import role_arn_problems
from .validation import tags_problems
from .waiters import CLUSTER_ACTIVE
from .waiters import CLUSTER_DELETED
from .waiters import CLUSTER_SETTLED
from .waiters import Patience
from .waiters import Watch
from .waiters import carry_out

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_eks.client import EKSClient

Cluster = t.Mapping[str, t.Any]

#: Authentication modes in the only direction that EKS allows, one step at a time
#: (https://docs.aws.amazon.com/eks/latest/userguide/setting-up-access-entries.html).
AUTHENTICATION_MODES = ("CONFIG_MAP", "API_AND_CONFIG_MAP", "API")
KUBERNETES_VERSION = re.compile(r"1\.[1-9][0-9]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """What is declared about a cluster; ``None`` leaves a field as it is, or to EKS's default in a new cluster."""

    name: str
    present: bool = True
    role_arn: str | None = None
    version: str | None = None
    subnet_ids: t.Sequence[str] | None = None
    security_group_ids: t.Sequence[str] | None = None
    endpoint_public_access: bool | None = None
    endpoint_private_access: bool | None = None
    public_access_cidrs: t.Sequence[str] | None = None
    authentication_mode: str | None = None
    bootstrap_cluster_creator_admin_permissions: bool | None = None
    tags: t.Mapping[str, str] | None = None
    purge_tags: bool = True

    def __str__(self) -> str:
        return f"cluster {self.name}"


def spec_from(params: t.Mapping[str, t.Any]) -> ClusterSpec:
    """The declaration in the options of the module ``eks_cluster``."""
    fields = {field.name for field in dataclasses.fields(ClusterSpec)} - {"present", "tags"}
    return ClusterSpec(
        present=params["state"] == "present",
        tags=text_tags(params["tags"]),
        **{name: value for name, value in params.items() if name in fields},
    )


# --- what is declared -------------------------------------------------------------------------------------------------


def problems(spec: ClusterSpec) -> c.Iterator[str]:
    """Everything that cannot be right about what is declared, one sentence each, without asking AWS."""
    yield from cluster_name_problems(spec.name, "name")
    if spec.role_arn is not None:
        yield from role_arn_problems(spec.role_arn, "role_arn", str(spec))
    if spec.version is not None and not KUBERNETES_VERSION.fullmatch(spec.version):
        yield (
            f"version {quoted(spec.version)} of {spec} is no Kubernetes version of EKS: "
            'give it in quotes, such as "1.34".'
        )
    if spec.subnet_ids is not None and len(set(spec.subnet_ids)) < 2:
        yield f"subnet_ids of {spec} are {len(set(spec.subnet_ids))}: EKS wants at least 2, in different zones."
    yield from _endpoint_problems(spec)
    yield from tags_problems(spec.tags or {}, str(spec))


def _endpoint_problems(spec: ClusterSpec) -> c.Iterator[str]:
    if spec.endpoint_public_access is False:
        if spec.endpoint_private_access is False:
            yield (
                f"endpoint_public_access and endpoint_private_access of {spec} are both false: nobody could reach it, "
                "set one of them to true."
            )
        if spec.public_access_cidrs is not None:
            yield (
                f"public_access_cidrs of {spec} limit a public endpoint, but endpoint_public_access is false: "
                "leave one of the two out."
            )
    for cidr in spec.public_access_cidrs or ():
        try:
            ipaddress.ip_network(cidr)
        except ValueError as error:
            yield f"public_access_cidrs of {spec} hold {quoted(cidr)}, which is no CIDR block: {error}."


# --- what is there ----------------------------------------------------------------------------------------------------


@finding("describe the cluster")
def describe(client: EKSClient, name: str) -> t.Mapping[str, t.Any]:
    """The cluster as EKS answers it, or None."""
    return client.describe_cluster(name=name)["cluster"]


@calling("list the clusters")
def names(client: EKSClient) -> list[str]:
    """The names of all clusters of the region."""
    pages = client.get_paginator("list_clusters").paginate()
    return [name for page in pages for name in page["clusters"]]


def normalized(cluster: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A cluster as our modules return it; ``certificate_authority`` is PEM text, None until EKS has made it."""
    result = to_ansible({key: value for key, value in cluster.items() if key != "clientRequestToken"})
    data = cluster.get("certificateAuthority", {}).get("data")
    result["certificate_authority"] = base64.b64decode(data).decode() if data else None
    result.setdefault("tags", {})
    return result


def observe(client: EKSClient, name: str) -> dict[str, t.Any] | None:
    """The cluster as it is, or None."""
    return _normalized(describe(client, name))


def look_up(client: EKSClient, name: str | None) -> list[dict[str, t.Any]]:
    """The cluster of that name, or all clusters of the region by name; what is not there, or no longer, is left out.

    :raises AnsibleEKSError: also when the name cannot be one.
    """
    if name is not None:
        refuse(cluster_name_problems(name, "name"))
    wanted = sorted(names(client)) if name is None else [name]
    return [found for found in (observe(client, each) for each in wanted) if found is not None]


def require(client: EKSClient, name: str) -> dict[str, t.Any]:
    """The cluster that something else needs.

    :raises AnsibleEKSError: when it does not exist.
    """
    found = observe(client, name)
    if found is None:
        raise AnsibleEKSError(
            f"cluster_name {quoted(name)} names no cluster in region {client.meta.region_name}: "
            "create the cluster first, or correct the name or the region."
        )
    return found


# --- the plan between the two -----------------------------------------------------------------------------------------


def plan(before: Cluster | None, spec: ClusterSpec) -> Change:
    """What has to happen.

    :raises AnsibleEKSError: when EKS has no way from here to there.
    """
    if not spec.present:
        deletes = before is not None and before["status"] != "DELETING"
        return Change(before, None, (Action("delete_cluster", {"name": spec.name}),) if deletes else ())
    if before is None:
        return _plan_creation(spec)
    refuse(_obstacles(before, spec))
    return _plan_update(before, spec)


def _plan_creation(spec: ClusterSpec) -> Change:
    refuse(
        f"{option} is missing: {spec} does not exist, and EKS cannot make one without."
        for option in ("role_arn", "subnet_ids")
        if getattr(spec, option) is None
    )
    network = without_none(
        {
            "subnetIds": _listed(spec.subnet_ids),
            "securityGroupIds": _listed(spec.security_group_ids),
            "endpointPublicAccess": spec.endpoint_public_access,
            "endpointPrivateAccess": spec.endpoint_private_access,
            "publicAccessCidrs": _listed(spec.public_access_cidrs),
        }
    )
    access = without_none(
        {
            "authenticationMode": spec.authentication_mode,
            "bootstrapClusterCreatorAdminPermissions": spec.bootstrap_cluster_creator_admin_permissions,
        }
    )
    parameters = without_none(
        {
            "name": spec.name,
            "version": spec.version,
            "roleArn": spec.role_arn,
            "resourcesVpcConfig": network,
            "accessConfig": access or None,
            "tags": dict(spec.tags) if spec.tags else None,
        }
    )
    expected = {"tags": {}, **to_ansible(parameters), "status": "ACTIVE"}
    return Change(None, expected, (Action("create_cluster", parameters),))


def _obstacles(before: Cluster, spec: ClusterSpec) -> c.Iterator[str]:
    """Why EKS cannot go from here to there, one sentence each, naming option, old and new value."""
    if before["status"] in {"DELETING", "FAILED"}:
        yield (
            f"{spec} is {before['status']}: it cannot be changed any more; delete it with state=absent, "
            "then create it again."
        )
    yield from _fixed(spec, "role_arn", before.get("role_arn"), spec.role_arn)
    # EKS does not always tell what a cluster was created with.
    creator = before.get("access_config", {}).get("bootstrap_cluster_creator_admin_permissions")
    if creator is not None:
        option = "bootstrap_cluster_creator_admin_permissions"
        yield from _fixed(spec, option, creator, spec.bootstrap_cluster_creator_admin_permissions)
    yield from _version_obstacles(before, spec)
    yield from _authentication_obstacles(before, spec)


def _fixed(spec: ClusterSpec, option: str, old: object, new: object) -> c.Iterator[str]:
    if new is not None and new != old:
        yield f"{option} of {spec} is {quoted(old)} and cannot become {quoted(new)}: EKS sets it at creation only."


def _version_obstacles(before: Cluster, spec: ClusterSpec) -> c.Iterator[str]:
    if spec.version is None or "version" not in before:
        return
    old, new = _minor(before["version"]), _minor(spec.version)
    if new < old:
        yield f"version of {spec} is {before['version']} and cannot become {spec.version}: it never goes backwards."
    if new > old + 1:
        yield (
            f"version of {spec} is {before['version']} and cannot become {spec.version} at once: EKS goes one minor "
            f"version at a time, so 1.{old + 1} is next."
        )


def _authentication_obstacles(before: Cluster, spec: ClusterSpec) -> c.Iterator[str]:
    old = before.get("access_config", {}).get("authentication_mode")
    new = spec.authentication_mode
    if old is not None and new is not None and AUTHENTICATION_MODES.index(new) < AUTHENTICATION_MODES.index(old):
        yield (
            f"authentication_mode of {spec} is {old} and cannot become {new}: EKS goes only from CONFIG_MAP to "
            "API_AND_CONFIG_MAP to API."
        )


def _plan_update(before: Cluster, spec: ClusterSpec) -> Change:
    access, access_actions = _plan_access(before, spec)
    network, network_actions = _plan_network(before, spec)
    tags, tag_actions = plan_tags(before["arn"], before["tags"], spec.tags, spec.purge_tags)
    version = spec.version or before.get("version")
    version_actions = (
        (Action("update_cluster_version", {"name": spec.name, "version": version}),)
        if version != before.get("version")
        else ()
    )
    changed = {"access_config": access, "resources_vpc_config": network, "version": version, "tags": tags}
    # The long one comes after all that may be refused quickly.
    actions = access_actions + network_actions + tag_actions + version_actions
    return Change(before, {**before, **without_none(changed)} if actions else before, actions)


def _plan_access(before: Cluster, spec: ClusterSpec) -> tuple[dict[str, t.Any], tuple[Action, ...]]:
    """One call for each step of the authentication mode."""
    config = dict(before.get("access_config", {}))
    # Clusters that are older than access entries tell no mode.
    old = AUTHENTICATION_MODES.index(config.get("authentication_mode") or "CONFIG_MAP")
    new = old if spec.authentication_mode is None else AUTHENTICATION_MODES.index(spec.authentication_mode)
    actions = tuple(
        Action("update_cluster_config", {"name": spec.name, "accessConfig": {"authenticationMode": mode}})
        for mode in AUTHENTICATION_MODES[old + 1 : new + 1]
    )
    return ({**config, "authentication_mode": spec.authentication_mode} if actions else config), actions


def _plan_network(before: Cluster, spec: ClusterSpec) -> tuple[dict[str, t.Any], tuple[Action, ...]]:
    """One call for the endpoints and one for subnets and security groups: EKS takes one kind of update in a call."""
    config = dict(before.get("resources_vpc_config", {}))
    endpoints = without_none(
        {
            "endpoint_public_access": spec.endpoint_public_access,
            "endpoint_private_access": spec.endpoint_private_access,
            "public_access_cidrs": _listed(spec.public_access_cidrs),
        }
    )
    network = without_none(
        {"subnet_ids": _listed(spec.subnet_ids), "security_group_ids": _listed(spec.security_group_ids)}
    )
    actions = []
    if _differs(config, endpoints):
        config.update(endpoints)
        actions.append(_config_action(spec, _endpoint_parameters(config)))
    if _differs(config, network):
        config.update(network)
        parameters = {"subnetIds": config["subnet_ids"], "securityGroupIds": config.get("security_group_ids", [])}
        actions.append(_config_action(spec, parameters))
    return config, tuple(actions)


def _endpoint_parameters(config: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    parameters = {
        "endpointPublicAccess": config["endpoint_public_access"],
        "endpointPrivateAccess": config["endpoint_private_access"],
    }
    if config["endpoint_public_access"] and config.get("public_access_cidrs"):
        parameters["publicAccessCidrs"] = config["public_access_cidrs"]
    return parameters


def _config_action(spec: ClusterSpec, network: t.Mapping[str, t.Any]) -> Action:
    return Action("update_cluster_config", {"name": spec.name, "resourcesVpcConfig": dict(network)})


def _differs(config: t.Mapping[str, t.Any], wanted: t.Mapping[str, t.Any]) -> bool:
    """Whether a wanted setting is another one; lists of ids and CIDRs have no order."""
    return any(_unordered(config.get(key)) != _unordered(value) for key, value in wanted.items())


def _unordered(value: t.Any) -> t.Any:
    return frozenset(value) if isinstance(value, list) else value


def _listed(values: t.Sequence[str] | None) -> list[str] | None:
    return None if values is None else list(values)


def _minor(version: str) -> int:
    return int(version.split(".")[1])


# --- carrying it out --------------------------------------------------------------------------------------------------


def ensure(
    client: EKSClient, spec: ClusterSpec, patience: Patience, check_mode: bool
) -> tuple[Change, t.Mapping[str, t.Any] | None]:
    """Make the cluster what is declared; returns the plan, and the cluster as it is then (in check mode: would be).

    :raises AnsibleEKSError: for whatever goes wrong; nothing is written after a problem that can be found before.
    """
    refuse(problems(spec))
    look = functools.partial(describe, client, spec.name)
    watch = Watch(spec.name, look, CLUSTER_SETTLED, CLUSTER_ACTIVE, CLUSTER_DELETED, patience)
    before = _normalized(look() if check_mode else watch.before())
    change = plan(before, spec)
    if check_mode:
        return change, change.after
    carry_out(client, change, patience, spec.name)
    # A deletion that an earlier run began is waited for, too.
    if change.changed or (before is not None and change.after is None):
        return change, _normalized(watch.after(change))
    return change, before


def _normalized(cluster: t.Mapping[str, t.Any] | None) -> dict[str, t.Any] | None:
    return None if cluster is None else normalized(cluster)
