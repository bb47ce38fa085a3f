# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The plan for one node group: from how it is to what is declared, in place."""

from __future__ import annotations

import typing as t

from ..common import Action
from ..common import Change
from ..common import first_tags
from ..common import plan_tags
from ..common import refuse
from ..common import to_ansible
from ..common import unordered
from ..common import without_none
from ..validation import minor_of
from ..validation import quoted
from ..waiters import issues_of
from . import settings
from .declared import RIVALS
from .declared import NodegroupSpec
from .declared import scaling_problems
from .settings import Nodegroup

if t.TYPE_CHECKING:
    import collections.abc as c

#: What EKS sets at creation only: our option, and the key of a node group as our modules return it.
FIXED = {
    "node_role_arn": "node_role",
    "subnet_ids": "subnets",
    "instance_types": "instance_types",
    "ami_type": "ami_type",
    "capacity_type": "capacity_type",
    "disk_size": "disk_size",
}
#: States in which EKS changes nothing any more.
ENDED = frozenset({"CREATE_FAILED", "DELETE_FAILED", "DELETING"})
#: The image is that of the launch template, so EKS knows no version of it.
CUSTOM = "CUSTOM"
WAY_OUT = "replace=true makes another node group that takes the place of this one."


def plan(before: Nodegroup | None, spec: NodegroupSpec, cluster_version: str | None = None) -> Change:
    """What has to happen.

    :param cluster_version: Kubernetes version of the control plane; only needed when the declared one is not there yet.
    :raises AnsibleEKSError: when EKS has no way from here to there.
    """
    names = {"clusterName": spec.cluster_name, "nodegroupName": spec.name}
    if not spec.present:
        deletes = before is not None and before["status"] != "DELETING"
        return Change(before, None, (Action("delete_nodegroup", names),) if deletes else ())
    if before is None:
        refuse([*_missing(spec), *_first_version_obstacles(spec, cluster_version)])
        return _plan_creation(spec, names)
    refuse(_obstacles(before, spec, cluster_version))
    return _plan_update(before, spec, names)


# --- a new one --------------------------------------------------------------------------------------------------------


def _plan_creation(spec: NodegroupSpec, names: t.Mapping[str, str]) -> Change:
    parameters = without_none(
        {
            **names,
            "nodeRole": spec.node_role_arn,
            "subnets": list(spec.subnet_ids or ()),
            "instanceTypes": list(spec.instance_types) if spec.instance_types else None,
            "amiType": spec.ami_type,
            "capacityType": spec.capacity_type,
            "diskSize": spec.disk_size,
            "remoteAccess": settings.parameters(spec.remote_access),
            "version": spec.version,
            "releaseVersion": spec.release_version,
            "scalingConfig": settings.parameters(settings.first_scaling(spec.scaling)),
            "updateConfig": settings.parameters(spec.update_config),
            "nodeRepairConfig": settings.parameters(spec.repair_config),
            "labels": dict(spec.labels) if spec.labels else None,
            "taints": [dict(taint) for taint in spec.taints] if spec.taints else None,
            "launchTemplate": dict(spec.launch_template) if spec.launch_template else None,
            "tags": first_tags(spec.tags, spec.creation_tags) or None,
        }
    )
    expected = {"labels": {}, "taints": [], "tags": {}, **to_ansible(parameters), "status": "ACTIVE"}
    return Change(None, expected, (Action("create_nodegroup", parameters),))


def _missing(spec: NodegroupSpec) -> c.Iterator[str]:
    for option in ("node_role_arn", "subnet_ids"):
        if not getattr(spec, option):
            yield f"{option} is missing: {spec} does not exist, and EKS cannot make one without."
    for option in ("min_size", "max_size"):
        if spec.scaling is not None and option not in spec.scaling:
            yield f"scaling.{option} is missing: {spec} does not exist, and a new one needs both limits."


def _first_version_obstacles(spec: NodegroupSpec, cluster_version: str | None) -> c.Iterator[str]:
    if spec.version is not None and cluster_version is not None and spec.version != cluster_version:
        yield (
            f"version of {spec} cannot be {spec.version}: a new node group gets its cluster's version "
            f"{cluster_version}, and EKS accepts no other."
        )


# --- one that is there ------------------------------------------------------------------------------------------------


def _obstacles(before: Nodegroup, spec: NodegroupSpec, cluster_version: str | None) -> c.Iterator[str]:
    """Why EKS cannot go from here to there, one sentence each, naming option, old and new value."""
    if before["status"] in ENDED:
        reasons = "; ".join(issues_of(before))
        yield (
            f"{spec} is {before['status']}{f' ({reasons})' if reasons else ''}: it cannot be changed any more; "
            f"delete it with state=absent, then create it again, or {WAY_OUT}"
        )
    for option, old, new in differences(before, spec):
        yield (
            f"{option} of {spec} is {shown(old)} and cannot become {shown(new)}: EKS sets it at creation only; "
            f"{WAY_OUT}"
        )
    yield from _version_obstacles(before, spec, cluster_version)
    yield from scaling_problems(spec, settings.scaled(before.get("scaling_config"), spec.scaling) or {})


def differences(before: Nodegroup, spec: NodegroupSpec) -> c.Iterator[tuple[str, t.Any, t.Any]]:
    """What is declared otherwise and can be set at creation only: option, old value, new value."""
    for option, key in FIXED.items():
        # No instance types means those of the launch template, which EKS does not tell.
        yield from _difference(option, before.get(key), None if getattr(spec, option) == [] else getattr(spec, option))
    access = before.get("remote_access") or {}
    declared = spec.remote_access or {}
    yield from _difference("remote_access.ec2_ssh_key", access.get("ec2_ssh_key"), declared.get("ec2_ssh_key"))
    yield from _difference(
        "remote_access.source_security_group_ids",
        access.get("source_security_groups") or [],
        declared.get("source_security_groups"),
    )
    for key in ("id", "name"):
        template = before.get("launch_template") or {}
        yield from _difference(f"launch_template.{key}", template.get(key), (spec.launch_template or {}).get(key))


def _difference(option: str, old: t.Any, new: t.Any) -> c.Iterator[tuple[str, t.Any, t.Any]]:
    if new is not None and unordered(new) != unordered(old):
        yield option, old, new


def _version_obstacles(before: Nodegroup, spec: NodegroupSpec, cluster_version: str | None) -> c.Iterator[str]:
    """Nodes follow the control plane and never go back (UpdateNodegroupVersion; the Kubernetes version skew policy)."""
    old, new = before.get("version"), spec.version
    if before.get("ami_type") == CUSTOM:
        for option in ("version", "release_version"):
            wanted = getattr(spec, option)
            if wanted is not None and wanted != before.get(option):
                yield (
                    f"{option} of {spec} cannot be set: its image is that of its launch template, so another image "
                    "takes another launch_template.version."
                )
        return
    if new is not None and old is not None:
        if minor_of(new) < minor_of(old):
            yield f"version of {spec} is {old} and cannot become {new}: it never goes backwards."
        elif new != old and cluster_version is not None and minor_of(new) > minor_of(cluster_version):
            yield (
                f"version of {spec} is {old} and cannot become {new}: its cluster has {cluster_version}, and nodes are "
                "never newer than their control plane, so update the cluster first."
            )
    image, wanted = before.get("release_version"), spec.release_version
    if image is not None and wanted is not None and _goes_back(image, wanted):
        yield f"release_version of {spec} is {image} and cannot become {wanted}: it never goes backwards."


def _goes_back(old: str, new: str) -> bool:
    """Of Amazon Linux images, such as 1.34.2-20260120; those of other systems are for EKS to compare."""
    parts = [text.replace("-", ".").split(".") for text in (old, new)]
    if any(len(numbers) != 4 or not all(number.isdigit() for number in numbers) for numbers in parts):
        return False
    before, after = ([int(number) for number in numbers] for numbers in parts)
    return after < before


def _plan_update(before: Nodegroup, spec: NodegroupSpec, names: t.Mapping[str, str]) -> Change:
    wanted = {
        "scaling_config": settings.scaled(before.get("scaling_config"), spec.scaling),
        "update_config": _merged(before, "update_config", spec.update_config),
        "node_repair_config": _merged(before, "node_repair_config", spec.repair_config),
        "labels": before["labels"] if spec.labels is None else dict(spec.labels),
        "taints": settings.tainted(before["taints"], spec.taints),
    }
    parameters = _config_parameters(before, wanted)
    image, image_parameters = _plan_image(before, spec)
    arn = before["nodegroup_arn"]
    tags, actions = plan_tags(arn, before["tags"], spec.tags, spec.purge_tags, spec.creation_tags)
    if parameters:
        actions += (Action("update_nodegroup_config", {**names, **parameters}),)
    # The long one, which replaces every node, comes after all that may be refused quickly.
    if image_parameters:
        actions += (Action("update_nodegroup_version", {**names, **image_parameters}),)
    if not actions:
        return Change(before, before)
    # Without a declared release only EKS knows which image the new nodes get.
    unknown = {"release_version"} if image_parameters and "release_version" not in image else set()
    kept = {key: value for key, value in before.items() if key not in unknown}
    return Change(before, {**kept, **without_none(wanted), **image, "tags": tags}, actions)


def _merged(before: Nodegroup, key: str, declared: settings.Settings | None) -> dict[str, t.Any] | None:
    old = before.get(key)
    return old if declared is None else settings.merged(old, declared, RIVALS)


def _config_parameters(before: Nodegroup, wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What UpdateNodegroupConfig is to be told, in one call."""
    names = {
        "scaling_config": "scalingConfig",
        "update_config": "updateConfig",
        "node_repair_config": "nodeRepairConfig",
    }
    changed = {name: settings.parameters(wanted[key]) for key, name in names.items() if wanted[key] != before.get(key)}
    return {
        **settings.label_parameters(before["labels"], wanted["labels"]),
        **settings.taint_parameters(before["taints"], wanted["taints"]),
        **without_none(changed),
    }


def _plan_image(before: Nodegroup, spec: NodegroupSpec) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """What the nodes will be made from as far as it changes, and what UpdateNodegroupVersion is to be told of it."""
    image: dict[str, t.Any] = {}
    parameters: dict[str, t.Any] = {}
    template, version = before.get("launch_template"), (spec.launch_template or {}).get("version")
    if template and version is not None and version != template.get("version"):
        image["launch_template"] = {**template, "version": version}
        # EKS wants either id or name; it answers with both.
        parameters["launchTemplate"] = {"id": template["id"], "version": version}
    for option, name in (("version", "version"), ("release_version", "releaseVersion")):
        wanted = getattr(spec, option)
        if wanted is not None and wanted != before.get(option):
            image[option] = parameters[name] = wanted
    if not parameters:
        return {}, {}
    # Left out, EKS takes the cluster's version: what is not declared would change.
    if before.get("ami_type") != CUSTOM and "version" in before:
        parameters.setdefault("version", before["version"])
    if spec.release_version is not None:
        image["release_version"] = parameters["releaseVersion"] = spec.release_version
    if spec.force_update:
        parameters["force"] = True
    return image, parameters


def shown(value: t.Any) -> str:
    """A value of an option as it is shown in a message."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "empty"
    return "not set" if value is None else quoted(value)
