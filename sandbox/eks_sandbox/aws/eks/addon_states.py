# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The states of an add-on: what becomes of an installation, an update or a removal, by its pods or by the knobs."""

from __future__ import annotations

import asyncio
import logging
import typing as t

from eks_sandbox.aws.eks import addon_associations
from eks_sandbox.aws.eks import agent_manifests
from eks_sandbox.aws.eks import association
from eks_sandbox.aws.eks import conflicts
from eks_sandbox.aws.eks.state import Addon
from eks_sandbox.aws.eks.state import Cluster
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.eks.state import Update
from eks_sandbox.aws.eks.state import now
from eks_sandbox.aws.eks.update import succeeds
from eks_sandbox.interfaces import ApplyConflict

#: Seconds between two checks of an add-on's pods, while the sandbox waits for them and while all is well.
WATCH_INTERVAL, QUIET_INTERVAL = 0.2, 1.0
#: Pods that have a node get this many times the patience that an add-on without any node gets.
STARTING = 10
#: The states in which an add-on's status follows its pods.
FOLLOWED = ("CREATING", "UPDATING", "ACTIVE", "DEGRADED")

_UNREADY: Shape = {
    "code": "InsufficientNumberOfReplicas",
    "message": "The add-on is unhealthy because it doesn't have the desired number of replicas.",
    "resourceIds": [],
}


log = logging.getLogger(__name__)


class Installation(t.NamedTuple):
    """The desired state of an add-on."""

    manifests: list[dict[str, t.Any]]
    #: OVERWRITE, NONE or PRESERVE.
    resolve_conflicts: str
    #: What DescribeAddon shows differently once it has succeeded.
    changed: Shape
    update: Update | None


async def install(state: State, cluster: Cluster, addon: Addon, wanted: Installation) -> None:
    """CREATING or UPDATING -> the outcome of the knobs or the pods."""
    name, update = addon.shape["addonName"], wanted.update
    outcome = state.knobs.addon_outcomes.get(name)
    await asyncio.sleep(state.knobs.addon_seconds)
    if addon.shape["status"] not in ("CREATING", "UPDATING"):
        # A caller has begun to delete it.
        return
    # A knob for the creation does not affect an update, and vice versa.
    if outcome in ("DEGRADED", "UPDATE_FAILED" if update else "CREATE_FAILED"):
        message = f"The sandbox was told to let this add-on end {outcome}."
        _fail(addon, outcome, state.knobs.addon_issues.get(name, "InsufficientNumberOfReplicas"), message, update)
        return
    if update is not None and not succeeds(update, state.knobs):
        addon.shape["status"] = "UPDATE_FAILED" if update.shape["status"] == "Failed" else "ACTIVE"
        return
    if not await _apply(cluster, addon, wanted):
        return
    addon.manifests = wanted.manifests
    addon.shape.update(wanted.changed, modifiedAt=now())
    await _watch(state, cluster, addon, update)


async def _apply(cluster: Cluster, addon: Addon, wanted: Installation) -> bool:
    """Put the add-on's objects into the cluster; whether that went well. Where not, the add-on has failed."""
    if cluster.runtime is None or not wanted.manifests:
        return True
    failed = "UPDATE_FAILED" if wanted.update else "CREATE_FAILED"
    namespace = {"name": addon.shape["namespaceConfig"]["namespace"]}
    try:
        await cluster.runtime.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": namespace}])
        await conflicts.apply(cluster.runtime, wanted.manifests, wanted.resolve_conflicts)
    except ApplyConflict as conflict:
        _fail(addon, failed, "ConfigurationConflict", conflicts.message(conflict), wanted.update)
        return False
    except Exception as error:  # the add-on fails for every reason that the cluster may have
        log.warning("Add-on %s of %s: %s", addon.shape["addonName"], cluster.spec.name, error)
        code = "ClusterUnreachable" if isinstance(error, (OSError, TimeoutError)) else "AdmissionRequestDenied"
        _fail(addon, failed, code, str(error), wanted.update)
        return False
    return True


async def delete(state: State, cluster: Cluster, addon: Addon, preserve: bool) -> None:
    """DELETING -> gone, with software and associations unless the request preserves them."""
    name = addon.shape["addonName"]
    await asyncio.sleep(state.knobs.addon_seconds)
    if state.knobs.addon_outcomes.get(name) == "DELETE_FAILED":
        message = "The sandbox was told to let this add-on end DELETE_FAILED."
        _fail(addon, "DELETE_FAILED", state.knobs.addon_issues.get(name, "InternalFailure"), message, None)
        return
    for owned in addon_associations.owned(cluster, addon):
        if preserve:
            owned.shape.pop("ownerArn")
        else:
            association.remove(cluster, owned)
    if not preserve and cluster.runtime is not None and addon.manifests:
        await cluster.runtime.remove(addon.manifests)
    cluster.addons.pop(name, None)


async def _watch(state: State, cluster: Cluster, addon: Addon, update: Update | None) -> None:
    """Follow an add-on's pods for as long as this installation lasts: ACTIVE with them, DEGRADED without."""
    loop = asyncio.get_running_loop()
    unready_since, manifests = loop.time(), addon.manifests
    while addon.manifests is manifests and addon.shape["status"] in FOLLOWED and cluster.runtime is not None:
        pods = await _pods(cluster, addon)
        # Meanwhile a caller may have begun to delete or update it.
        if addon.manifests is not manifests or addon.shape["status"] not in FOLLOWED:
            return
        patience = state.knobs.addon_patience_seconds * (STARTING if pods.get("desiredNumberScheduled") else 1)
        if not addon.manifests or agent_manifests.is_ready(pods):
            unready_since = loop.time()
            _settle(addon, "ACTIVE", [], update)
        elif loop.time() - unready_since >= patience:
            _settle(addon, "DEGRADED", [dict(_UNREADY)], update)
        if not addon.manifests:
            return
        await asyncio.sleep(QUIET_INTERVAL if addon.shape["status"] == "ACTIVE" else WATCH_INTERVAL)


def _settle(addon: Addon, status: str, issues: list[Shape], update: Update | None) -> None:
    """The state of the pods; a later update in progress sets its own outcome."""
    if addon.shape["status"] == "UPDATING" and (update is None or update.shape["status"] != "InProgress"):
        return
    addon.shape.update(status=status, health={"issues": issues})
    _finish(update, "Successful")


async def _pods(cluster: Cluster, addon: Addon) -> dict[str, int]:
    """Status of the add-on's DaemonSet; empty for an add-on that has none."""
    if not addon.manifests or cluster.runtime is None:
        return {}
    metadata = addon.manifests[-1]["metadata"]
    return await cluster.runtime.daemon_set_status(metadata["namespace"], metadata["name"])


def _fail(addon: Addon, status: str, code: str, message: str, update: Update | None) -> None:
    addon.shape.update(status=status, health={"issues": [{"code": code, "message": message, "resourceIds": []}]})
    _finish(update, "Failed", [{"errorCode": code, "errorMessage": message, "resourceIds": []}])


def _finish(update: Update | None, status: str, errors: t.Sequence[Shape] = ()) -> None:
    if update is not None and update.shape["status"] == "InProgress":
        update.shape.update(status=status, errors=list(errors))
