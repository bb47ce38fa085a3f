# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Node groups in order: observe, plan, apply."""

from __future__ import annotations

import functools
import typing as t

from .. import races
from ..cluster import require
from ..common import Action
from ..common import AnsibleEKSError
from ..common import Change
from ..common import refuse
from ..common import require_parameter
from ..waiters import NODEGROUP_ACTIVE
from ..waiters import NODEGROUP_DELETED
from ..waiters import NODEGROUP_SETTLED
from ..waiters import Patience
from ..waiters import Watch
from ..waiters import carry_out
from . import observing
from . import replacing
from .declared import NodegroupSpec
from .declared import problems
from .planning import ENDED
from .settings import Nodegroup

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_eks.client import EKSClient

#: The code of the health issue of nodes that never joined the cluster.
NOT_JOINED = "NodeCreationFailure"


def ensure(
    client: EKSClient, spec: NodegroupSpec, patience: Patience, check_mode: bool
) -> tuple[replacing.NodegroupChange, Nodegroup | None]:
    """Make the node group what is declared; returns the plan, and the group as it is then (in check mode: would be).

    A cluster that does not exist has no node groups, so there ``state=absent`` is reached already.

    :raises AnsibleEKSError: for whatever goes wrong; nothing is written after a problem that can be found before.
    """
    refuse([*problems(spec), *_patience_problems(spec, patience)])
    _require_features(client, spec)

    def reconcile(done: list[Action]) -> tuple[replacing.NodegroupChange, Nodegroup | None]:
        groups = _observe(client, spec, patience, check_mode)
        version = _cluster_version(client, spec) if _asks_for_cluster(groups, spec) else None
        change = replacing.plan(groups, spec, version)
        if check_mode:
            return change, change.after
        found = _apply(client, change, spec, patience, done)
        return change.carried_out(done), found

    return races.follow(reconcile)


def _patience_problems(spec: NodegroupSpec, patience: Patience) -> c.Iterator[str]:
    if spec.present and spec.replace and not patience.wait:
        yield f"replace of {spec} needs wait=true: an old group may go only when the nodes of the new one are there."


def _require_features(client: EKSClient, spec: NodegroupSpec) -> None:
    """Of what is newer than the oldest botocore that everything else works with."""
    if not spec.present:
        return
    if spec.repair_config is not None:
        require_parameter(client, "CreateNodegroup", "nodeRepairConfig", "repair_config", "1.35.81")
    if set(spec.repair_config or ()) - {"enabled"}:
        parameter = "nodeRepairConfig.maxParallelNodesRepairedCount"
        require_parameter(client, "CreateNodegroup", parameter, "repair_config", "1.40.36")
    if "update_strategy" in (spec.update_config or ()):
        parameter, option = "updateConfig.updateStrategy", "update_config.update_strategy"
        require_parameter(client, "CreateNodegroup", parameter, option, "1.36.6")


def _observe(client: EKSClient, spec: NodegroupSpec, patience: Patience, check_mode: bool) -> list[dict[str, t.Any]]:
    """The groups that are the declared one, when nothing is going on in them any more."""

    def settled(name: str) -> dict[str, t.Any] | None:
        found = _watch(client, spec, name, patience).before()
        return None if found is None else observing.normalized(found)

    look = observing.looking(client, spec.cluster_name) if check_mode else settled
    # One that exists is the declared one, unless others may have taken its place or have to go with it.
    several = spec.replace or not spec.present
    search = observing.candidates if several else observing.one_or_candidates
    return search(client, spec.cluster_name, spec.name, look)


def _asks_for_cluster(groups: t.Sequence[Nodegroup], spec: NodegroupSpec) -> bool:
    """Whether the plan needs to know the cluster: for a new group, and for a version that is not there yet."""
    if not spec.present:
        return False
    return not groups or (spec.version is not None and any(each.get("version") != spec.version for each in groups))


def _cluster_version(client: EKSClient, spec: NodegroupSpec) -> str | None:
    return require(client, spec.cluster_name, spec.planned_cluster).get("version")


def _watch(client: EKSClient, spec: NodegroupSpec, name: str, patience: Patience) -> Watch:
    look = functools.partial(observing.describe, client, spec.cluster_name, name)
    shown = f"{name} of cluster {spec.cluster_name}"
    return Watch(shown, look, NODEGROUP_SETTLED, NODEGROUP_ACTIVE, NODEGROUP_DELETED, patience)


def _apply(
    client: EKSClient,
    change: replacing.NodegroupChange,
    spec: NodegroupSpec,
    patience: Patience,
    done: list[Action],
) -> Nodegroup | None:
    """Stage after stage; returns the group that stays, or what is left of one that goes."""
    result = change.before
    for number, stage in enumerate(change.stages):
        carry_out(client, stage.change, patience, spec.cluster_name, done, nodegroupName=stage.name)
        goes = stage.change.after is None
        # A deletion that an earlier run began is waited for, too; and nodes go only when there are others.
        depended_on = any(later.change.changed for later in change.stages[number + 1 :])
        found = stage.change.before
        if stage.change.changed or goes or depended_on:
            found = _after(_watch(client, spec, stage.name, patience), stage.change, change)
        if not goes or not spec.present:
            result = found
    return result


def _after(watch: Watch, change: Change, whole: replacing.NodegroupChange) -> dict[str, t.Any] | None:
    """The group after the calls of its stage; a failure says what became of the others, and what helps."""
    try:
        found = watch.after(change)
    except AnsibleEKSError as error:
        if error.exception is not None:
            raise
        raise AnsibleEKSError(" ".join([str(error), *_advice(str(error), change, whole)])) from error
    return None if found is None else observing.normalized(found)


def _advice(failure: str, change: Change, whole: replacing.NodegroupChange) -> c.Iterator[str]:
    if change.after is None:
        return
    if NOT_JOINED in failure:
        yield (
            f"Nodes join when their role {change.after.get('node_role')} has AmazonEKSWorkerNodePolicy, "
            "AmazonEKS_CNI_Policy and AmazonEC2ContainerRegistryPullOnly (or policies that allow the same), and when "
            "they reach the cluster's endpoint."
        )
    standing = [group["nodegroup_name"] for group in whole.leaving if group["status"] not in ENDED]
    if standing:
        yield f"{', '.join(standing)} stays as it was until then; the next run with replace=true goes on."
