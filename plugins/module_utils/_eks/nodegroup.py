# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Managed node groups: what is declared, what is there, the plan between the two, and the calls that carry it out.

Rules that come from AWS are those of the EKS API reference (CreateNodegroup, UpdateNodegroupConfig,
UpdateNodegroupVersion).
"""

from __future__ import annotations

import dataclasses
import functools
import re
import typing as t

from .cluster import require
from .common import Action
from .common import Change
from .common import finding
from .common import first_tags
from .common import plan_tags
from .common import refuse
from .common import text_tags
from .common import to_ansible
from .common import without_none
from .validation import cluster_name_problems
from .validation import quoted
from .validation import role_arn_problems
from .validation import tags_problems
from .waiters import NODEGROUP_ACTIVE
from .waiters import NODEGROUP_DELETED
from .waiters import NODEGROUP_SETTLED
from .waiters import Patience
from .waiters import Watch
from .waiters import carry_out
from .waiters import issues_of

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_eks.client import EKSClient

Nodegroup = t.Mapping[str, t.Any]
Taint = t.Mapping[str, t.Any]

NODEGROUP_NAME = re.compile(r"[0-9A-Za-z][A-Za-z0-9_-]{0,62}")
#: What EKS sets at creation only: our option, and the key of a node group as our modules return it.
FIXED = {
    "node_role_arn": "node_role",
    "subnet_ids": "subnets",
    "instance_types": "instance_types",
    "ami_type": "ami_type",
    "capacity_type": "capacity_type",
    "disk_size": "disk_size",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodegroupSpec:
    """What is declared about a node group; ``None`` leaves a field as it is, or to EKS's default in a new one."""

    cluster_name: str
    name: str
    present: bool = True
    node_role_arn: str | None = None
    subnet_ids: t.Sequence[str] | None = None
    instance_types: t.Sequence[str] | None = None
    ami_type: str | None = None
    capacity_type: str | None = None
    #: In GiB.
    disk_size: int | None = None
    #: ``min_size``, ``max_size`` and ``desired_size``; those that are left out stay.
    scaling: t.Mapping[str, int] | None = None
    #: ``max_unavailable`` (nodes) or ``max_unavailable_percentage``.
    update_config: t.Mapping[str, int] | None = None
    labels: t.Mapping[str, str] | None = None
    #: ``key``, ``value`` and ``effect``, as the API spells it.
    taints: t.Sequence[Taint] | None = None
    #: ``id`` or ``name``, and ``version``.
    launch_template: t.Mapping[str, str] | None = None
    tags: t.Mapping[str, str] | None = None
    purge_tags: bool = True
    #: Tags that it gets when it is made, and never later.
    creation_tags: t.Mapping[str, str] | None = None

    def __str__(self) -> str:
        return f"node group {self.name} of cluster {self.cluster_name}"


def spec_from(params: t.Mapping[str, t.Any]) -> NodegroupSpec:
    """The declaration in the options of the module ``eks_nodegroup``."""
    nested = {"scaling", "update_config", "launch_template"}
    changed: dict[str, t.Any] = {
        "tags": text_tags(params["tags"]),
        "creation_tags": text_tags(params["creation_tags"]),
        "labels": _text_labels(params["labels"]),
        "taints": None if params["taints"] is None else [without_none(taint) for taint in params["taints"]],
        **{option: without_none(params[option]) for option in nested if params[option] is not None},
    }
    fields = {field.name for field in dataclasses.fields(NodegroupSpec)}
    plain = {option: value for option, value in params.items() if option in fields}
    return NodegroupSpec(present=params["state"] == "present", **{**plain, **changed})


def _text_labels(labels: t.Mapping[str, t.Any] | None) -> dict[str, str] | None:
    """Labels as declared in YAML, where ``gpu: true`` means the label's text ``true``."""
    if labels is None:
        return None
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in labels.items()}


# --- what is declared -------------------------------------------------------------------------------------------------


def problems(spec: NodegroupSpec) -> c.Iterator[str]:
    """Everything that cannot be right about what is declared, one sentence each, without asking AWS."""
    yield from cluster_name_problems(spec.cluster_name)
    yield from _name_problems(spec.name)
    if spec.node_role_arn is not None:
        yield from role_arn_problems(spec.node_role_arn, "node_role_arn", str(spec))
    if spec.disk_size is not None and spec.launch_template is not None:
        yield f"disk_size of {spec} cannot be set next to launch_template: set the size of the volume in the template."
    yield from _scaling_problems(spec)
    yield from _taint_problems(spec)
    version = (spec.launch_template or {}).get("version")
    if version is not None and not version.isdigit():
        yield (
            f"launch_template.version {quoted(version)} of {spec} is no number: EKS keeps a version's number, "
            "so nothing else could be compared."
        )
    yield from tags_problems(first_tags(spec.tags, spec.creation_tags), str(spec))


def _name_problems(name: str) -> c.Iterator[str]:
    if not NODEGROUP_NAME.fullmatch(name):
        yield (
            f"name {quoted(name)} is no name of a node group: use 1 to 63 letters, digits, hyphens and "
            "underscores, the first one a letter or digit."
        )


def _scaling_problems(spec: NodegroupSpec) -> c.Iterator[str]:
    scaling = spec.scaling or {}
    for option, size in scaling.items():
        if size < 0:
            yield f"scaling.{option} of {spec} is {size}: a node group has 0 nodes or more."
    yield from _order_problems(spec, scaling)


def _order_problems(spec: NodegroupSpec, scaling: t.Mapping[str, int]) -> c.Iterator[str]:
    sizes = {option: scaling[option] for option in ("min_size", "desired_size", "max_size") if option in scaling}
    if list(sizes.values()) != sorted(sizes.values()):
        shown = ", ".join(f"{option} {size}" for option, size in sizes.items())
        yield f"scaling of {spec} would be {shown}: min_size <= desired_size <= max_size must hold."


def _taint_problems(spec: NodegroupSpec) -> c.Iterator[str]:
    keys = [_taint_key(taint) for taint in spec.taints or ()]
    for key in sorted({key for key in keys if keys.count(key) > 1}):
        yield f"taints of {spec} hold the key {quoted(key[0])} with the effect {key[1]} more than once: leave one."


# --- what is there ----------------------------------------------------------------------------------------------------


@finding("describe the node group")
def describe(client: EKSClient, cluster_name: str, name: str) -> t.Mapping[str, t.Any]:
    """The node group as EKS answers it, or None."""
    return client.describe_nodegroup(clusterName=cluster_name, nodegroupName=name)["nodegroup"]


@finding("list the node groups")
def names(client: EKSClient, cluster_name: str) -> list[str]:
    """The names of all node groups of a cluster, None where there is no such cluster."""
    pages = client.get_paginator("list_nodegroups").paginate(clusterName=cluster_name)
    return [name for page in pages for name in page["nodegroups"]]


def look_up(client: EKSClient, cluster_name: str, name: str | None) -> list[dict[str, t.Any]]:
    """The node group of that name, or all of the cluster by name; what is not there, or no longer, is left out.

    :raises AnsibleEKSError: also when a name cannot be one.
    """
    refuse([*cluster_name_problems(cluster_name), *(() if name is None else _name_problems(name))])
    wanted = sorted(names(client, cluster_name) or ()) if name is None else [name]
    found = [_normalized(describe(client, cluster_name, each)) for each in wanted]
    return [nodegroup for nodegroup in found if nodegroup is not None]


def normalized(nodegroup: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A node group as our module returns it."""
    result = to_ansible(nodegroup)
    for key in ("tags", "labels"):
        result[key] = result.get(key) or {}
    result["taints"] = result.get("taints") or []
    return result


# --- the plan between the two -----------------------------------------------------------------------------------------


def plan(before: Nodegroup | None, spec: NodegroupSpec) -> Change:
    """What has to happen.

    :raises AnsibleEKSError: when EKS has no way from here to there.
    """
    names = {"clusterName": spec.cluster_name, "nodegroupName": spec.name}
    if not spec.present:
        deletes = before is not None and before["status"] != "DELETING"
        return Change(before, None, (Action("delete_nodegroup", names),) if deletes else ())
    if before is None:
        return _plan_creation(spec, names)
    refuse(_obstacles(before, spec))
    return _plan_update(before, spec, names)


def _plan_creation(spec: NodegroupSpec, names: t.Mapping[str, str]) -> Change:
    refuse(_missing(spec))
    parameters = without_none(
        {
            **names,
            "nodeRole": spec.node_role_arn,
            "subnets": _listed(spec.subnet_ids),
            "instanceTypes": _listed(spec.instance_types),
            "amiType": spec.ami_type,
            "capacityType": spec.capacity_type,
            "diskSize": spec.disk_size,
            "scalingConfig": _scaling_parameters(_first_scaling(spec)),
            "updateConfig": _update_parameters(spec.update_config),
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


def _first_scaling(spec: NodegroupSpec) -> dict[str, int] | None:
    return None if spec.scaling is None else {"desired_size": spec.scaling["min_size"], **spec.scaling}


def _obstacles(before: Nodegroup, spec: NodegroupSpec) -> c.Iterator[str]:
    """Why EKS cannot go from here to there, one sentence each, naming option, old and new value."""
    if before["status"] in {"DELETING", "CREATE_FAILED", "DELETE_FAILED"}:
        reasons = "; ".join(issues_of(before))
        yield (
            f"{spec} is {before['status']}{f' ({reasons})' if reasons else ''}: it cannot be changed any more; "
            "delete it with state=absent, then create it again."
        )
    for option, key in FIXED.items():
        old, new = before.get(key), getattr(spec, option)
        if new is not None and _unordered(new) != _unordered(old):
            yield _fixed(spec, option, old, new)
    yield from _launch_template_obstacles(before, spec)
    yield from _order_problems(spec, _scaling(before, spec) or {})


def _fixed(spec: NodegroupSpec, option: str, old: t.Any, new: t.Any) -> str:
    return (
        f"{option} of {spec} is {_shown(old)} and cannot become {_shown(new)}: EKS sets it at creation only, "
        "so it takes another node group."
    )


def _launch_template_obstacles(before: Nodegroup, spec: NodegroupSpec) -> c.Iterator[str]:
    old = before.get("launch_template") or {}
    for key in ("id", "name"):
        new = (spec.launch_template or {}).get(key)
        if new is not None and new != old.get(key):
            yield _fixed(spec, f"launch_template.{key}", old.get(key), new)


def _plan_update(before: Nodegroup, spec: NodegroupSpec, names: t.Mapping[str, str]) -> Change:
    template, template_parameters = _plan_template(before, spec)
    wanted = {
        "scaling_config": _scaling(before, spec),
        "update_config": _update_config(before, spec),
        "labels": before["labels"] if spec.labels is None else dict(spec.labels),
        "taints": _taints(before, spec),
    }
    parameters = _config_parameters(before, wanted)
    arn, declared = before["nodegroup_arn"], spec.tags
    tags, tag_actions = plan_tags(arn, before["tags"], declared, spec.purge_tags, spec.creation_tags)
    actions: tuple[Action, ...] = tag_actions
    if parameters:
        actions += (Action("update_nodegroup_config", {**names, **parameters}),)
    # The long one, which replaces every node, comes after all that may be refused quickly.
    if template_parameters:
        actions += (Action("update_nodegroup_version", {**names, "launchTemplate": template_parameters}),)
    after = {**before, **without_none(wanted), **without_none({"launch_template": template}), "tags": tags}
    return Change(before, after if actions else before, actions)


def _plan_template(before: Nodegroup, spec: NodegroupSpec) -> tuple[dict[str, str] | None, dict[str, str]]:
    """The launch template that the nodes will have, and what UpdateNodegroupVersion is to be told of it."""
    old = before.get("launch_template")
    version = (spec.launch_template or {}).get("version")
    if not old or version is None or version == old.get("version"):
        return old, {}
    # EKS wants either id or name; it answers with both.
    return {**old, "version": version}, {"id": old["id"], "version": version}


def _scaling(before: Nodegroup, spec: NodegroupSpec) -> dict[str, int] | None:
    """The sizes that it will have. A desired size that is not declared belongs to others (an autoscaler): it moves only
    where the new limits leave it no choice."""
    old = before.get("scaling_config")
    if not spec.scaling:
        return old
    new: dict[str, int] = {**(old or {}), **spec.scaling}
    if "desired_size" not in spec.scaling and old:
        new["desired_size"] = min(max(old["desired_size"], new["min_size"]), new["max_size"])
    return new


def _update_config(before: Nodegroup, spec: NodegroupSpec) -> dict[str, int] | None:
    """Number and percentage exclude each other; what else EKS keeps there stays."""
    old = before.get("update_config") or {}
    if not spec.update_config:
        return before.get("update_config")
    kept = {key: value for key, value in old.items() if key not in {"max_unavailable", "max_unavailable_percentage"}}
    return {**kept, **spec.update_config}


def _taints(before: Nodegroup, spec: NodegroupSpec) -> list[dict[str, t.Any]]:
    """The taints that it will have; as they are when only their order differs."""
    old = [dict(taint) for taint in before["taints"]]
    if spec.taints is None or _taint_values(spec.taints) == _taint_values(old):
        return old
    return [dict(taint) for taint in spec.taints]


def _config_parameters(before: Nodegroup, wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What UpdateNodegroupConfig is to be told, in one call."""
    return {
        **_label_parameters(before["labels"], wanted["labels"]),
        **_taint_parameters(before["taints"], wanted["taints"]),
        **(
            {"scalingConfig": _scaling_parameters(wanted["scaling_config"])}
            if wanted["scaling_config"] != before.get("scaling_config")
            else {}
        ),
        **(
            {"updateConfig": _update_parameters(wanted["update_config"])}
            if wanted["update_config"] != before.get("update_config")
            else {}
        ),
    }


def _label_parameters(old: t.Mapping[str, str], new: t.Mapping[str, str]) -> dict[str, t.Any]:
    changed = {key: value for key, value in new.items() if old.get(key) != value}
    removed = sorted(set(old) - set(new))
    payload = {"addOrUpdateLabels": changed, "removeLabels": removed}
    return _unless_empty("labels", payload)


def _taint_parameters(old: t.Sequence[Taint], new: t.Sequence[Taint]) -> dict[str, t.Any]:
    old_values, new_values = _taint_values(old), _taint_values(new)
    changed = [dict(taint) for taint in new if old_values.get(_taint_key(taint)) != (taint.get("value") or "")]
    removed = [dict(taint) for taint in old if _taint_key(taint) not in new_values]
    return _unless_empty("taints", {"addOrUpdateTaints": changed, "removeTaints": removed})


def _unless_empty(name: str, payload: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    filled = {key: value for key, value in payload.items() if value}
    return {name: filled} if filled else {}


def _taint_key(taint: Taint) -> tuple[str, str]:
    return taint["key"], taint["effect"]


def _taint_values(taints: t.Sequence[Taint]) -> dict[tuple[str, str], str]:
    return {_taint_key(taint): taint.get("value") or "" for taint in taints}


def _scaling_parameters(scaling: t.Mapping[str, int] | None) -> dict[str, int] | None:
    names = {"min_size": "minSize", "max_size": "maxSize", "desired_size": "desiredSize"}
    return None if scaling is None else {names[key]: value for key, value in scaling.items()}


def _update_parameters(update_config: t.Mapping[str, t.Any] | None) -> dict[str, t.Any] | None:
    names = {
        "max_unavailable": "maxUnavailable",
        "max_unavailable_percentage": "maxUnavailablePercentage",
        "update_strategy": "updateStrategy",
    }
    return None if update_config is None else {names[key]: value for key, value in update_config.items()}


def _unordered(value: t.Any) -> t.Any:
    return frozenset(value) if isinstance(value, list | tuple) else value


def _shown(value: t.Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else quoted("" if value is None else value)


def _listed(values: t.Sequence[str] | None) -> list[str] | None:
    return None if values is None else list(values)


# --- carrying it out --------------------------------------------------------------------------------------------------


def ensure(
    client: EKSClient, spec: NodegroupSpec, patience: Patience, check_mode: bool
) -> tuple[Change, t.Mapping[str, t.Any] | None]:
    """Make the node group what is declared; returns the plan, and the group as it is then (in check mode: would be).

    A cluster that does not exist has no node groups, so there ``state=absent`` is reached already.

    :raises AnsibleEKSError: for whatever goes wrong; nothing is written after a problem that can be found before.
    """
    refuse(problems(spec))
    look = functools.partial(describe, client, spec.cluster_name, spec.name)
    name = str(spec).removeprefix("node group ")
    watch = Watch(name, look, NODEGROUP_SETTLED, NODEGROUP_ACTIVE, NODEGROUP_DELETED, patience)
    before = _normalized(look() if check_mode else watch.before())
    if before is None and spec.present:
        require(client, spec.cluster_name)
    change = plan(before, spec)
    if check_mode:
        return change, change.after
    carry_out(client, change, patience, spec.cluster_name, nodegroupName=spec.name)
    # A deletion that an earlier run began is waited for, too.
    if change.changed or (before is not None and change.after is None):
        return change, _normalized(watch.after(change))
    return change, before


def _normalized(nodegroup: t.Mapping[str, t.Any] | None) -> dict[str, t.Any] | None:
    return None if nodegroup is None else normalized(nodegroup)
