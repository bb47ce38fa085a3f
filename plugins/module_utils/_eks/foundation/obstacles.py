# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What stops a run, once it is known what exists: one sentence each, before anything is written."""

from __future__ import annotations

import typing as t

from .. import ownership
from ..common import AnsibleEKSError
from ..ownership import is_managed
from . import network
from .spec import FEWEST_ZONES

if t.TYPE_CHECKING:
    import collections.abc as c

    from .api import Found
    from .spec import Declaration


def obstacles(declared: Declaration, found: Found) -> c.Iterator[str]:
    """Why a declaration cannot be applied to what exists.

    :param found: of :func:`.api.look_up`.
    """
    name = declared.name
    if not declared.manage and declared.present and found["cluster"] is None:
        yield (
            f"There is no cluster {name}, and cluster_manage is false, so none is made: correct cluster_name or the "
            "region, or leave cluster_manage out."
        )
    if found["foreign"]:
        return
    if declared.present:
        yield from _unmanaged_names(declared, found)
        yield from _network_obstacles(declared, found)
        yield from _role_obstacles(declared, found)
    else:
        yield from _removal_obstacles(declared, found)


def vpc_of(found: Found) -> str:
    """The VPC as far as it is known: that of the cluster, of given subnets, or of the network that exists."""
    if found["cluster"] is not None:
        return str((found["cluster"].get("resources_vpc_config") or {}).get("vpc_id", ""))
    return next((str(each["vpc_id"]) for each in (*found["given_subnets"], *found["vpcs"])), "")


def groups_in_vpc(found: Found) -> list[dict[str, t.Any]]:
    """Security groups of the cluster's VPC; those of other VPCs may have the same names."""
    vpc_id = vpc_of(found)
    return [group for group in found["security_groups"] if group["vpc_id"] == vpc_id]


def _unmanaged_names(declared: Declaration, found: Found) -> c.Iterator[str]:
    """Resources under the names of those that would be made: updating them would mean to delete them later."""
    made, tag = declared.made_role_names, ownership.TAG
    roles = [role["arn"] for role in found["roles"] if role["name"] in made and not is_managed(role, declared.name)]
    if roles:
        yield (
            f"{' and '.join(roles)} exist without the tag {tag} of cluster {declared.name}, so they are not managed by "
            "this collection: give them as cluster_role_arn or cluster_node_role_arn to use them as they are, or give "
            "cluster_role_name or cluster_node_role_name another name."
        )
    others = [
        f"Launch template {each['launch_template_name']}"
        for each in found["launch_templates"]
        if each["launch_template_name"] in declared.template_names and not is_managed(each, declared.name)
    ]
    others += [
        f"Security group {each['group_name']} ({each['group_id']})"
        for each in groups_in_vpc(found)
        if not is_managed(each, declared.name)
    ]
    if others:
        yield (
            f"{' and '.join(others)} exist without the tag {tag} of cluster {declared.name}, so they are not managed "
            "by this collection: give the node groups, or their additional_security_groups, other names; an existing "
            "security group can be given by its id."
        )


def _network_obstacles(declared: Declaration, found: Found) -> c.Iterator[str]:
    name, zones = declared.name, list(declared.zones)
    if not declared.makes_network:
        return
    if len(zones) < FEWEST_ZONES:
        yield (
            f"Cluster {name} has no network: give at least two cluster_zones to make one in (now {zones}), or "
            "cluster_subnet_ids of an existing one."
        )
    vpc_id = vpc_of(found)
    if found["cluster"] is not None and vpc_id not in {vpc["vpc_id"] for vpc in found["vpcs"]}:
        yield (
            f"Cluster {name} is in {vpc_id}, which is not managed by this collection: give its subnets as "
            "cluster_subnet_ids."
        )
    try:
        network.plan(declared.zones, declared.network, nat=declared.nat, observed=found)
    except AnsibleEKSError as error:
        yield str(error)


def _role_obstacles(declared: Declaration, found: Found) -> c.Iterator[str]:
    """Given roles that do not exist, or that give pods no identity; a cluster that exists has its role."""
    name, given = declared.name, declared.given_role_name
    if found["cluster"] is None and given and given not in {role["name"] for role in found["roles"]}:
        yield (
            f"There is no IAM role {declared.role_arn}: correct cluster_role_arn of cluster {name}, or leave it out to "
            "have a role made."
        )
    arn = declared.node_role_arn
    if not arn or not declared.needed_node_role:
        return
    role = next((role for role in found["roles"] if role["arn"] == arn), None)
    if role is None:
        yield (
            f"There is no IAM role {arn}: correct cluster_node_role_arn of cluster {name}, or leave it out to have a "
            "role made."
        )
    elif role.get("pod_identity") is False:
        yield (
            f"The nodes of cluster {name} could give no pod an identity: their role {arn} may not call "
            "eks-auth:AssumeRoleForPodIdentity. Attach AmazonEKSWorkerNodePolicy or AmazonEKSWorkerNodeMinimalPolicy "
            "to it."
        )


def _removal_obstacles(declared: Declaration, found: Found) -> c.Iterator[str]:
    """A removal is whole or not begun; with ``cluster_deletion_protection: false`` it turns the protection off."""
    name = declared.name
    others = [each["nodegroup_name"] for each in found["nodegroups"] if not is_managed(each, name)]
    if others:
        yield (
            f"Cluster {name} was left with all that belongs to it: its node groups {', '.join(others)} do not carry "
            f"the tag {ownership.TAG}, so they are not managed by this collection, and EKS removes no cluster that has "
            "node groups. Have them removed, and run again."
        )
    protected = (found["cluster"] or {}).get("deletion_protection", False)
    if protected and declared.deletion_protection is not False:
        yield (
            f"Cluster {name} was left with all that belongs to it, because its deletion protection is on: declare "
            "cluster_deletion_protection as false to have it removed all the same."
        )
