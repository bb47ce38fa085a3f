# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The plan for a node group and those that replace it, which are all found by the name that is declared.

What EKS sets at creation only takes another group: the new one first, and when its nodes are there the old one goes.
EKS itself drains the nodes of a group that is deleted, for five minutes at most
(https://docs.aws.amazon.com/eks/latest/userguide/delete-managed-node-group.html); the taint before that keeps what is
evicted from one old node off the next.

A run that was killed leaves several groups. The one that fits is the one to stay, the others go, so every run ends
where an undisturbed one does.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import typing as t

from ..common import Action
from ..common import Change
from ..common import refuse
from . import planning
from . import settings
from .declared import RIVALS
from .declared import NodegroupSpec
from .observing import DECLARED_NAME
from .observing import HASH_LENGTH
from .observing import NAME_LENGTH
from .settings import Nodegroup

if t.TYPE_CHECKING:
    import collections.abc as c


@dataclasses.dataclass(frozen=True)
class Stage:
    """What happens to one group, until it is as it should be or gone; the next stage waits for that."""

    name: str
    change: Change


@dataclasses.dataclass(frozen=True)
class NodegroupChange(Change):
    """A plan for everything that goes by one declared name."""

    stages: tuple[Stage, ...] = ()
    #: The groups that give way.
    leaving: tuple[Nodegroup, ...] = ()

    def diff(self) -> dict[str, t.Any]:
        """Both sides; by name where there is more than one group."""
        if not self.leaving:
            return super().diff()
        staying = [] if self.before is None else [self.before]
        before = {group["nodegroup_name"]: dict(group) for group in (*staying, *self.leaving)}
        after = {} if self.after is None else {self.after["nodegroup_name"]: dict(self.after)}
        return {"before": dict(sorted(before.items())), "after": after}


def plan(groups: t.Sequence[Nodegroup], spec: NodegroupSpec, cluster_version: str | None = None) -> NodegroupChange:
    """What has to happen to the groups that are the declared one.

    :param cluster_version: see :func:`.planning.plan`.
    :raises AnsibleEKSError: when EKS has no way from here to there.
    """
    ranked = sorted(groups, key=lambda group: _rank(group, spec))
    first = ranked[0] if ranked else None
    if not spec.present:
        return _together(None, (), ranked, (_deletion(spec, group) for group in ranked))
    if first is None or not spec.replace or _fits(first, spec):
        main = _stage(first, spec if first is None else _for(spec, first["nodegroup_name"]), cluster_version)
        others = ranked[1:] if spec.replace else []
        return _together(main, (), others, (_departure(spec, group) for group in others))
    wanted = inheriting(spec, first)
    name, obstructing = _free_name(spec.name, wanted, ranked)
    main = _stage(None, _for(wanted, name), cluster_version)
    # What failed before makes room first, whatever it was declared as, where something else is left meanwhile.
    spare = first["status"] not in planning.ENDED
    cleared = [each for each in ranked if each["nodegroup_name"] == obstructing or (spare and _has_failed(each))]
    others = [each for each in ranked if each not in cleared]
    return _together(
        main, [_deletion(spec, each) for each in cleared], ranked, (_departure(spec, each) for each in others)
    )


def _together(
    main: Stage | None, cleared: t.Sequence[Stage], leaving: t.Sequence[Nodegroup], departures: t.Iterable[Stage]
) -> NodegroupChange:
    """One plan out of the stages. Without a main one everything goes, and the first group stands for all."""
    goes = tuple(departures)
    if main is None:
        before, after, leaving = (leaving[0] if leaving else None), None, leaving[1:]
    else:
        before, after = main.change.before, main.change.after
    stages = (*cleared, *((main,) if main else ()), *goes)
    actions = tuple(action for stage in stages for action in stage.change.actions)
    return NodegroupChange(before, after, actions, stages, tuple(leaving))


# --- which group ------------------------------------------------------------------------------------------------------


def _fits(group: Nodegroup, spec: NodegroupSpec) -> bool:
    """Whether it can become what is declared in place."""
    return group["status"] not in planning.ENDED and not any(planning.differences(group, spec))


def _rank(group: Nodegroup, spec: NodegroupSpec) -> tuple[t.Any, ...]:
    """The group to stay comes first: what fits, is healthy, and was not about to go."""
    return (
        not _fits(group, spec),
        group["status"] in planning.ENDED,
        group["status"] != "ACTIVE",
        _is_marked(group),
        group["nodegroup_name"],
    )


def _has_failed(group: Nodegroup) -> bool:
    """Whether it never came up. One whose deletion failed would hold up everything that waits for its end."""
    return bool(group["status"] == "CREATE_FAILED")


def _is_marked(group: Nodegroup) -> bool:
    return settings.taint_key(settings.LEAVING) in settings.taint_values(group["taints"])


def _free_name(declared: str, wanted: NodegroupSpec, groups: t.Sequence[Nodegroup]) -> tuple[str, str | None]:
    """The name of the new group, and that of the failed one that has to make room for it.

    Another one than the first choice is taken only where nothing else would be left: failures that go on must not fill
    the cluster with groups.

    :raises AnsibleEKSError: when the group that was made for this declaration is not as declared; the next would not
        be, either.
    """
    taken = {group["nodegroup_name"]: group for group in groups}
    name = replacement_name(declared, wanted)
    if name in taken:
        refuse(_never_fits(taken[name], wanted))
        if len(groups) > 1:
            return name, name
    choices = (replacement_name(declared, wanted, attempt) for attempt in itertools.count())
    return next(choice for choice in choices if choice not in taken), None


def _never_fits(group: Nodegroup, wanted: NodegroupSpec) -> c.Iterator[str]:
    if group["status"] not in planning.ENDED:
        for option, found, declared in planning.differences(group, wanted):
            yield (
                f"{option} of {wanted} is declared as {planning.shown(declared)}, but the node group "
                f"{group['nodegroup_name']}, which was made for that, has {planning.shown(found)}: declare what EKS "
                "makes of it."
            )


def replacement_name(declared: str, spec: NodegroupSpec, attempt: int = 0) -> str:
    """``<name>-<hash of the settings that EKS sets at creation only>``, at most 63 characters."""
    fixed = {option: _canonical(getattr(spec, option)) for option in (*planning.FIXED, "remote_access")}
    template = {key: value for key, value in (spec.launch_template or {}).items() if key != "version"}
    text = json.dumps([declared, fixed, template, attempt], sort_keys=True)
    return f"{declared[:NAME_LENGTH]}-{hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]}"


def _canonical(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {key: _canonical(each) for key, each in value.items()}
    return sorted(value) if isinstance(value, list | tuple) else value


# --- what happens to it -----------------------------------------------------------------------------------------------


def _stage(before: Nodegroup | None, spec: NodegroupSpec, cluster_version: str | None) -> Stage:
    return Stage(spec.name, planning.plan(before, spec, cluster_version))


def _for(spec: NodegroupSpec, name: str) -> NodegroupSpec:
    """The declaration for the group of that name, which keeps the tag that tells whose place it has taken."""
    if name == spec.name:
        return spec
    tags = {**(spec.creation_tags or {}), DECLARED_NAME: spec.name}
    return dataclasses.replace(spec, name=name, creation_tags=tags)


def _deletion(spec: NodegroupSpec, group: Nodegroup) -> Stage:
    return _stage(group, dataclasses.replace(spec, name=group["nodegroup_name"], present=False), None)


def _departure(spec: NodegroupSpec, group: Nodegroup) -> Stage:
    """Nothing new comes to its nodes, then it is deleted. What is not ACTIVE takes no update, and is just deleted."""
    deletion = _deletion(spec, group)
    if group["status"] != "ACTIVE" or _is_marked(group):
        return deletion
    names = {"clusterName": spec.cluster_name, "nodegroupName": group["nodegroup_name"]}
    taint = Action("update_nodegroup_config", {**names, "taints": {"addOrUpdateTaints": [dict(settings.LEAVING)]}})
    return Stage(deletion.name, Change(group, None, (taint, *deletion.change.actions)))


def inheriting(spec: NodegroupSpec, old: Nodegroup) -> NodegroupSpec:
    """The declaration for a new group in the place of an old one: what is not declared stays as it was there.

    The Kubernetes version does not: EKS makes new groups with the cluster's.
    """
    image = None if old.get("ami_type") == planning.CUSTOM else old.get("ami_type")
    access, template = _inherited_access(spec, old)
    values = {
        "node_role_arn": old.get("node_role"),
        "subnet_ids": old.get("subnets"),
        "instance_types": old.get("instance_types"),
        "ami_type": image,
        "capacity_type": old.get("capacity_type"),
        "labels": old["labels"],
        "taints": settings.tainted(old["taints"], None),
        "disk_size": None if template else old.get("disk_size"),
    }
    kept = {option: value for option, value in values.items() if getattr(spec, option) is None}
    return dataclasses.replace(
        spec,
        **kept,
        remote_access=access,
        launch_template=template,
        scaling=settings.scaled(old.get("scaling_config"), spec.scaling),
        update_config=settings.merged(old.get("update_config"), spec.update_config, RIVALS) or None,
        repair_config=settings.merged(old.get("node_repair_config"), spec.repair_config, RIVALS) or None,
        tags=_inherited_tags(spec, old),
    )


def _inherited_access(
    spec: NodegroupSpec, old: Nodegroup
) -> tuple[dict[str, t.Any] | None, t.Mapping[str, str] | None]:
    """Remote access and launch template, of which EKS takes one only, the template also in place of the disk size."""
    before = old.get("launch_template")
    if spec.launch_template is not None:
        keeps = before is not None and not any(planning.differences(old, _only_template(spec)))
        version = {"version": before["version"]} if keeps and before else {}
        return None, {**version, **spec.launch_template}
    if before is not None and spec.disk_size is None and spec.remote_access is None:
        return None, {"id": before["id"], "version": before["version"]}
    access = {**(old.get("remote_access") or {}), **(spec.remote_access or {})}
    return access or None, None


def _only_template(spec: NodegroupSpec) -> NodegroupSpec:
    return NodegroupSpec(cluster_name=spec.cluster_name, name=spec.name, launch_template=spec.launch_template)


def _inherited_tags(spec: NodegroupSpec, old: Nodegroup) -> dict[str, str]:
    """Tags of AWS's own cannot be set."""
    kept = {key: value for key, value in old["tags"].items() if not key.startswith("aws:") and key != DECLARED_NAME}
    if spec.tags is None:
        return kept
    return dict(spec.tags) if spec.purge_tags else {**kept, **spec.tags}
