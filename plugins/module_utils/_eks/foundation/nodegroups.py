# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Declared node groups with the subnets and launch templates that they get."""

from __future__ import annotations

import typing as t

from ..nodegroup.observing import DECLARED_NAME

Resource = t.Mapping[str, t.Any]

#: What the role declares of a volume -> how EC2 names it in a launch template.
VOLUME = {
    "disk_size": "volume_size",
    "disk_type": "volume_type",
    "disk_iops": "iops",
    "disk_throughput": "throughput",
    "disk_encrypted": "encrypted",
    "disk_kms_key_id": "kms_key_id",
}
#: What EKS itself can set, without a launch template.
WITHOUT_TEMPLATE = {"disk_size"}
DEVICE = "/dev/xvda"
#: What EKS gives nodes without a launch template; EC2's own defaults are laxer and stricter than that.
METADATA_DEFAULTS = {"http_tokens": "required", "http_put_response_hop_limit": 2}
#: What EKS gives a volume that is not declared (https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html).
VOLUME_DEFAULTS = {"volume_size": 20, "volume_type": "gp3"}


def plan(
    groups: t.Sequence[Resource],
    cluster_name: str,
    *,
    subnets: t.Sequence[Resource],
    observed: Resource,
    security_groups: t.Mapping[str, str] | None = None,
    cluster_security_group: str = "",
    tags: t.Mapping[str, str] | None = None,
) -> list[dict[str, t.Any]]:
    """The node groups, each with its ``subnets``, None for those that it has, and its ``template``, None without one.

    A node group that exists keeps its subnets, because EKS cannot change them, unless subnets or other zones are
    declared for it, or ``replace``.

    :param subnets: the subnets for nodes, with ``zone`` and ``subnet_id``.
    :param observed: what exists; see :func:`.api.look_up`.
    :param security_groups: IDs of the security groups that are made, by the names under which node groups declare them.
    :param cluster_security_group: ID of the cluster's own security group, without which no node could join.
    :param tags: tags that every launch template has.
    """
    # One that has replaced another has a name of its own.
    existing = {group["tags"].get(DECLARED_NAME, group["nodegroup_name"]): group for group in observed["nodegroups"]}
    templates = {each["launch_template_name"]: each for each in observed["launch_templates"]}
    zones = {
        each["subnet_id"]: each["availability_zone"] for each in [*observed["subnets"], *observed["given_subnets"]]
    }
    planned = []
    for group in groups:
        name = template_name(cluster_name, group)
        data = template_data(group, security_groups or {}, cluster_security_group)
        template = compared(name, data, templates.get(name), tags or {}) if needs_template(group) else None
        ids = subnet_ids(group, subnets, existing.get(group["name"]), zones)
        planned.append({**group, "subnets": ids, "template": template})
    return planned


def template_name(cluster_name: str, group: Resource) -> str:
    """Name of the launch template of a node group."""
    return f"{cluster_name}-{group['name']}"


def needs_template(group: Resource) -> bool:
    """Whether a node group declares something that EKS takes from a launch template only."""
    return any(group.get(key) for key in ("additional_security_groups", "metadata_options")) or any(
        group.get(key) is not None for key in set(VOLUME) - WITHOUT_TEMPLATE
    )


def subnet_ids(
    group: Resource, subnets: t.Sequence[Resource], existing: Resource | None, zones: t.Mapping[str, str]
) -> list[str] | None:
    """The subnets that are declared to EKS; None for those that it has."""
    if group.get("subnet_ids"):
        return list(group["subnet_ids"])
    wanted = group.get("zones") or []
    if existing is not None and not group.get("replace"):
        # A subnet whose zone is not known is not managed: the module compares it then.
        here = {zones.get(subnet_id) for subnet_id in existing["subnets"]}
        if not wanted or here == set(wanted):
            return None
    return [each["subnet_id"] for each in subnets if not wanted or each["zone"] in wanted]


def template_data(group: Resource, ids: t.Mapping[str, str], cluster_security_group: str) -> dict[str, t.Any]:
    """What its launch template holds, in the form in which EC2 answers it."""
    data: dict[str, t.Any] = {}
    if group.get("additional_security_groups"):
        # With groups in a launch template EKS adds none of its own, and without the cluster's group no node can join.
        data["security_group_ids"] = [cluster_security_group, *(ids.get(name, name) for name in group_names(group))]
    volume = {VOLUME[key]: group[key] for key in VOLUME if group.get(key) is not None}
    if volume:
        ebs = {**VOLUME_DEFAULTS, **volume, "delete_on_termination": True}
        data["block_device_mappings"] = [{"device_name": group.get("disk_device") or DEVICE, "ebs": ebs}]
    if group.get("metadata_options"):
        declared = {key: value for key, value in group["metadata_options"].items() if value is not None}
        data["metadata_options"] = {**METADATA_DEFAULTS, **declared}
    return data


def group_names(group: Resource) -> list[str]:
    """Its additional security groups, those that are given by ID first, then the names of those that are made."""
    groups = group.get("additional_security_groups") or ()
    given = [each for each in groups if isinstance(each, str)]
    return given + [each["name"] for each in groups if not isinstance(each, str)]


def compared(name: str, data: Resource, found: Resource | None, tags: t.Mapping[str, str]) -> dict[str, t.Any]:
    """A launch template beside the one that exists."""
    if found is None:
        return {"name": name, "data": data, "changed": True, "version": None}
    untagged = any(found.get("tags", {}).get(key) != str(value) for key, value in tags.items())
    changed = differs(found["data"], data) or untagged
    return {"name": name, "data": data, "changed": changed, "version": found["latest_version_number"]}


def differs(found: Resource, wanted: Resource) -> bool:
    """Whether a launch template holds something else; security groups have no order, and EC2 answers options of the
    instance metadata that were not asked for."""
    options, found_options = (data.get("metadata_options") or {} for data in (wanted, found))
    known = {key: value for key, value in found_options.items() if key in METADATA_DEFAULTS}
    groups, found_groups = (sorted(data.get("security_group_ids") or []) for data in (wanted, found))
    rest, found_rest = (
        {key: value for key, value in data.items() if key not in {"metadata_options", "security_group_ids"}}
        for data in (wanted, found)
    )
    return (options, groups, rest) != (known, found_groups, found_rest)
