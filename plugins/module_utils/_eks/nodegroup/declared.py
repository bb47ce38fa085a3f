# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What is declared about a node group, and what cannot be right about it."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ..common import first_tags
from ..common import text_tags
from ..common import without_none
from ..validation import KUBERNETES_VERSION
from ..validation import cluster_name_problems
from ..validation import quoted
from ..validation import role_arn_problems
from ..validation import tags_problems
from .settings import LEAVING
from .settings import Taint
from .settings import taint_key

if t.TYPE_CHECKING:
    import collections.abc as c

NODEGROUP_NAME = re.compile(r"[0-9A-Za-z][A-Za-z0-9_-]{0,62}")
#: Limits of EKS (UpdateNodegroupConfig, ``taints``; CreateNodegroup, ``tags``).
TAINTS_LIMIT = 50
#: Pairs of settings of which EKS takes one at a time.
UPDATE_RIVALS = (("max_unavailable", "max_unavailable_percentage"),)
REPAIR_RIVALS = (
    ("max_unhealthy_node_threshold_count", "max_unhealthy_node_threshold_percentage"),
    ("max_parallel_nodes_repaired_count", "max_parallel_nodes_repaired_percentage"),
)
RIVALS = (*UPDATE_RIVALS, *REPAIR_RIVALS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodegroupSpec:
    """What is declared about a node group; ``None`` leaves a field as it is, or to EKS's default in a new one."""

    cluster_name: str
    name: str
    present: bool = True
    #: Whether a group that EKS cannot change as declared gives way to a new one.
    replace: bool = False
    node_role_arn: str | None = None
    subnet_ids: t.Sequence[str] | None = None
    instance_types: t.Sequence[str] | None = None
    ami_type: str | None = None
    capacity_type: str | None = None
    #: In GiB.
    disk_size: int | None = None
    #: ``ec2_ssh_key`` and ``source_security_groups``.
    remote_access: t.Mapping[str, t.Any] | None = None
    #: Of Kubernetes, such as ``1.34``.
    version: str | None = None
    #: Of the machine image.
    release_version: str | None = None
    #: Whether an update of the version may end pods that cannot be evicted.
    force_update: bool = False
    #: ``min_size``, ``max_size`` and ``desired_size``; those that are left out stay.
    scaling: t.Mapping[str, int] | None = None
    #: ``max_unavailable`` (nodes) or ``max_unavailable_percentage``, and ``update_strategy``.
    update_config: t.Mapping[str, t.Any] | None = None
    #: As in the API's NodeRepairConfig, in snake_case.
    repair_config: t.Mapping[str, t.Any] | None = None
    labels: t.Mapping[str, str] | None = None
    #: ``key``, ``value`` and ``effect``, as the API spells it.
    taints: t.Sequence[Taint] | None = None
    #: ``id`` or ``name``, and ``version``.
    launch_template: t.Mapping[str, str] | None = None
    tags: t.Mapping[str, str] | None = None
    purge_tags: bool = True
    #: Tags that it gets when it is made, and never later.
    creation_tags: t.Mapping[str, str] | None = None
    #: The cluster as a check run predicts it.
    planned_cluster: t.Mapping[str, t.Any] | None = None

    def __str__(self) -> str:
        return f"node group {self.name} of cluster {self.cluster_name}"


def spec_from(params: t.Mapping[str, t.Any]) -> NodegroupSpec:
    """The declaration in the options of the module ``eks_nodegroup``."""
    nested = {"scaling", "update_config", "repair_config", "launch_template"}
    changed: dict[str, t.Any] = {
        "tags": text_tags(params["tags"]),
        "creation_tags": text_tags(params["creation_tags"]),
        "labels": _text_labels(params["labels"]),
        "taints": None if params["taints"] is None else [without_none(taint) for taint in params["taints"]],
        "remote_access": _remote_access(params["remote_access"]),
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


def _remote_access(given: t.Mapping[str, t.Any] | None) -> dict[str, t.Any] | None:
    """As the API names it, so that it can be compared with what is there."""
    if given is None:
        return None
    return without_none(
        {"ec2_ssh_key": given["ec2_ssh_key"], "source_security_groups": given["source_security_group_ids"]}
    )


def problems(spec: NodegroupSpec) -> c.Iterator[str]:
    """Everything that cannot be right about what is declared, one sentence each, without asking AWS."""
    yield from cluster_name_problems(spec.cluster_name)
    yield from name_problems(spec.name)
    if spec.node_role_arn is not None:
        yield from role_arn_problems(spec.node_role_arn, "node_role_arn", str(spec))
    if spec.version is not None and not KUBERNETES_VERSION.fullmatch(spec.version):
        yield f'version {quoted(spec.version)} of {spec} is no Kubernetes version: give it in quotes, such as "1.34".'
    if spec.subnet_ids is not None and not spec.subnet_ids:
        yield f"subnet_ids of {spec} are empty: name one or more, or leave them out."
    yield from _launch_template_problems(spec)
    yield from scaling_problems(spec, spec.scaling or {})
    yield from _rival_problems(spec)
    yield from _taint_problems(spec)
    yield from tags_problems(first_tags(spec.tags, spec.creation_tags), str(spec))


def name_problems(name: str) -> c.Iterator[str]:
    """A text that is no name of a node group."""
    if not NODEGROUP_NAME.fullmatch(name):
        yield (
            f"name {quoted(name)} is no name of a node group: use 1 to 63 letters, digits, hyphens and "
            "underscores, the first one a letter or digit."
        )


def _launch_template_problems(spec: NodegroupSpec) -> c.Iterator[str]:
    """https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html"""
    if spec.launch_template is None:
        return
    if spec.disk_size is not None:
        yield f"disk_size of {spec} cannot be set next to launch_template: set the size of the volume in the template."
    if spec.remote_access is not None:
        yield (
            f"remote_access of {spec} cannot be set next to launch_template: set key and security groups in the "
            "template."
        )
    version = spec.launch_template.get("version")
    if version is not None and not version.isdigit():
        yield (
            f"launch_template.version {quoted(version)} of {spec} is no number: EKS keeps a version's number, "
            "so nothing else could be compared."
        )


def scaling_problems(spec: NodegroupSpec, scaling: t.Mapping[str, int]) -> c.Iterator[str]:
    """Sizes that cannot be, or not together."""
    for option, size in scaling.items():
        least = 1 if option == "max_size" else 0
        if size < least:
            yield f"scaling.{option} of {spec} is {size}: it must be {least} or more."
    sizes = {option: scaling[option] for option in ("min_size", "desired_size", "max_size") if option in scaling}
    if list(sizes.values()) != sorted(sizes.values()):
        shown = ", ".join(f"{option} {size}" for option, size in sizes.items())
        yield f"scaling of {spec} would be {shown}: min_size <= desired_size <= max_size must hold."


def _rival_problems(spec: NodegroupSpec) -> c.Iterator[str]:
    """Numbers of nodes out of range (EKS API reference, NodegroupUpdateConfig and NodeRepairConfig)."""
    for option in ("update_config", "repair_config"):
        settings = getattr(spec, option) or {}
        for key in (key for pair in RIVALS for key in pair if key in settings):
            most = 100 if key.endswith("_percentage") else None
            if settings[key] < 1 or (most is not None and settings[key] > most):
                right = "from 1 to 100" if most else "1 or more"
                yield f"{option}.{key} of {spec} is {settings[key]}: it must be {right}."


def _taint_problems(spec: NodegroupSpec) -> c.Iterator[str]:
    taints = spec.taints or ()
    if len(taints) > TAINTS_LIMIT:
        yield f"taints of {spec} are {len(taints)}: EKS keeps at most {TAINTS_LIMIT} on a node group."
    keys = [taint_key(taint) for taint in taints]
    for key in sorted({key for key in keys if keys.count(key) > 1}):
        yield f"taints of {spec} hold the key {quoted(key[0])} with the effect {key[1]} more than once: leave one."
    if taint_key(LEAVING) in keys:
        yield f"taints of {spec} hold {quoted(LEAVING['key'])}, which marks node groups that go: leave it out."
