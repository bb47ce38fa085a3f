# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Node groups as the role `cluster` declares them, with the subnets and launch templates that they will have."""

from __future__ import annotations

DOCUMENTATION = r"""
name: eks_nodegroup_plan
short_description: Give declared node groups their subnets and launch templates
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Adds to every declared node group the subnets that it gets, and the launch template that it needs, compared with
    those that were observed. Nothing is called.
  - A node group that exists keeps its subnets, because EKS cannot change them, unless subnets or other zones are
    declared for it, or C(replace).
  - A launch template is needed for additional security groups, for metadata options, and for what is declared of the
    volume beside its size.
  - Made for the role P(podidentity.eks.cluster#role); its arguments change with that role.
positional: _input, cluster_name
options:
  _input:
    description: The node groups, as the role's C(cluster_nodegroups).
    type: list
    elements: dict
    required: true
  cluster_name:
    description: Name of the cluster, with which the names of launch templates begin.
    type: str
    required: true
  subnets:
    description: The subnets for nodes, with C(zone) and C(subnet_id).
    type: list
    elements: dict
    required: true
  observed:
    description:
      - What is there, the lists C(nodegroups), C(subnets), C(given_subnets) and C(launch_templates) as
        M(podidentity.eks.eks_foundation_info) returns them.
    type: dict
    required: true
  security_groups:
    description: IDs of security groups that the role makes, by the names under which node groups declare them.
    type: dict
    default: {}
  cluster_security_group:
    description: ID of the cluster's own security group, without which no node could join.
    type: str
    default: ""
  tags:
    description: Tags that every launch template is to have.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Give a new node group a private subnet, and a launch template for the hop limit of its instance metadata
  ansible.builtin.assert:
    that:
      - plan[0].subnet_ids == ['subnet-0a1b2c3d4e5f60718']
      - plan[0].template.name == 'example-workers'
      - plan[0].template.data.metadata_options.http_put_response_hop_limit == 1
      - plan[0].template.data.metadata_options.http_tokens == 'required'
      - plan[0].template.changed
  vars:
    plan: >-
      {{ declared | podidentity.eks.eks_nodegroup_plan('example', subnets=subnets, observed=observed) }}
    declared:
      - name: workers
        zones:
          - eu-west-1a
        metadata_options:
          http_put_response_hop_limit: 1
    subnets:
      - zone: eu-west-1a
        subnet_id: subnet-0a1b2c3d4e5f60718
      - zone: eu-west-1b
        subnet_id: subnet-0f9e8d7c6b5a40312
    observed:
      nodegroups: []
      subnets: []
      given_subnets: []
      launch_templates: []
"""

RETURN = r"""
_value:
  description:
    - The node groups, each with C(subnet_ids), null for one that keeps its own, and C(template), null or a mapping with
      C(name), C(data), C(changed) and the C(version) that is there.
  type: list
  elements: dict
"""

import typing as t

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
#: By which the module eks_nodegroup knows a node group that has replaced the one of this name.
REPLACES_TAG = "podidentity.eks/nodegroup"
#: What EKS gives a volume that is not declared (https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html).
VOLUME_DEFAULTS = {"volume_size": 20, "volume_type": "gp3"}


def eks_nodegroup_plan(
    groups: t.Sequence[Resource],
    cluster_name: str,
    *,
    subnets: t.Sequence[Resource],
    observed: Resource,
    security_groups: t.Mapping[str, str] | None = None,
    cluster_security_group: str = "",
    tags: t.Mapping[str, str] | None = None,
) -> list[dict[str, t.Any]]:
    """The filter; see its documentation above."""
    # One that has replaced another has a name of its own.
    existing = {group["tags"].get(REPLACES_TAG, group["nodegroup_name"]): group for group in observed["nodegroups"]}
    templates = {each["launch_template_name"]: each for each in observed["launch_templates"]}
    zones = {
        each["subnet_id"]: each["availability_zone"] for each in [*observed["subnets"], *observed["given_subnets"]]
    }
    planned = []
    for group in groups:
        name = f"{cluster_name}-{group['name']}"
        data = template_data(group, security_groups or {}, cluster_security_group)
        template = compared(name, data, templates.get(name), tags or {}) if needs_template(group) else None
        ids = subnet_ids(group, subnets, existing.get(group["name"]), zones)
        planned.append({**group, "subnet_ids": ids, "template": template})
    return planned


def needs_template(group: Resource) -> bool:
    """Whether a node group declares something that EKS takes from a launch template only."""
    return any(group.get(key) for key in ("additional_security_groups", "metadata_options")) or any(
        group.get(key) is not None for key in set(VOLUME) - WITHOUT_TEMPLATE
    )


def subnet_ids(
    group: Resource, subnets: t.Sequence[Resource], existing: Resource | None, zones: t.Mapping[str, str]
) -> list[str] | None:
    """The subnets to be declared; None for those that it has."""
    if group.get("subnet_ids"):
        return list(group["subnet_ids"])
    wanted = group.get("zones") or []
    if existing is not None and not group.get("replace"):
        # A subnet whose zone is not known is not one of ours: the module compares it then.
        here = {zones.get(subnet_id) for subnet_id in existing["subnets"]}
        if not wanted or here == set(wanted):
            return None
    return [each["subnet_id"] for each in subnets if not wanted or each["zone"] in wanted]


def template_data(group: Resource, ids: t.Mapping[str, str], cluster_security_group: str) -> dict[str, t.Any]:
    """What its launch template holds, in the form in which EC2 answers it."""
    data: dict[str, t.Any] = {}
    if group.get("additional_security_groups"):
        # With groups in a launch template EKS adds none of its own, and without the cluster's group no node can join.
        others = [each if isinstance(each, str) else ids.get(each["name"], "") for each in by_kind(group)]
        data["security_group_ids"] = [cluster_security_group, *others]
    volume = {VOLUME[key]: group[key] for key in VOLUME if group.get(key) is not None}
    if volume:
        ebs = {**VOLUME_DEFAULTS, **volume, "delete_on_termination": True}
        data["block_device_mappings"] = [{"device_name": group.get("disk_device") or DEVICE, "ebs": ebs}]
    if group.get("metadata_options"):
        declared = {key: value for key, value in group["metadata_options"].items() if value is not None}
        data["metadata_options"] = {**METADATA_DEFAULTS, **declared}
    return data


def by_kind(group: Resource) -> list[t.Any]:
    """Its additional security groups, those that are given by ID first."""
    return sorted(group["additional_security_groups"], key=lambda each: not isinstance(each, str))


def compared(name: str, data: Resource, found: Resource | None, tags: t.Mapping[str, str]) -> dict[str, t.Any]:
    """A launch template beside the one that is there."""
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


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"eks_nodegroup_plan": eks_nodegroup_plan}
