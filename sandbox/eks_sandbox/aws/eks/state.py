# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What EKS keeps: clusters and everything in them."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import datetime
import logging
import pathlib
import secrets
import string
import typing as t
import uuid

from eks_sandbox.aws.errors import not_found
from eks_sandbox.aws.identities import Identities
from eks_sandbox.aws.knobs import Knobs
from eks_sandbox.aws.ministack import Ministack
from eks_sandbox.aws.ministack import Where
from eks_sandbox.interfaces import AwsSide
from eks_sandbox.interfaces import ClusterRuntime
from eks_sandbox.interfaces import ClusterSpec
from eks_sandbox.interfaces import NodeSpec
from eks_sandbox.interfaces import StartCluster

Shape = dict[str, t.Any]
log = logging.getLogger(__name__)


@dataclasses.dataclass
class Nodegroup:
    """A managed node group: its description in EKS, and its nodes."""

    shape: Shape
    nodes: list[NodeSpec] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Addon:
    """An add-on: its description in EKS, and what it created in the cluster."""

    shape: Shape
    manifests: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Association:
    """A pod identity association."""

    shape: Shape

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and service account, unique in a cluster."""
        return self.shape["namespace"], self.shape["serviceAccount"]


@dataclasses.dataclass
class AccessEntry:
    """An access entry with its associated access policies (by policy ARN)."""

    shape: Shape
    policies: dict[str, Shape] = dataclasses.field(default_factory=dict)
    #: ``AROA…`` or ``AIDA…`` of the principal of the entry; None for entries that EKS creates.
    principal_id: str | None = None


@dataclasses.dataclass
class Update:
    """An update of a cluster, node group or add-on."""

    shape: Shape
    nodegroup: str | None = None
    addon: str | None = None


@dataclasses.dataclass
class Cluster:
    """A cluster: its description in EKS, its contents, and the running Kubernetes."""

    spec: ClusterSpec
    shape: Shape
    #: The principal that created it; administrator of the cluster if there are no access entries.
    creator_arn: str
    bootstraps_creator: bool
    #: What its pod identity webhook knows of the associations.
    identities: Identities
    nodegroups: dict[str, Nodegroup] = dataclasses.field(default_factory=dict)
    addons: dict[str, Addon] = dataclasses.field(default_factory=dict)
    #: By association id.
    associations: dict[str, Association] = dataclasses.field(default_factory=dict)
    #: Association ids by namespace and service account.
    association_ids: dict[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    #: By principal ARN.
    access_entries: dict[str, AccessEntry] = dataclasses.field(default_factory=dict)
    updates: dict[str, Update] = dataclasses.field(default_factory=dict)
    #: The nodes that EKS Auto Mode has created.
    auto_nodes: list[NodeSpec] = dataclasses.field(default_factory=list)
    runtime: ClusterRuntime | None = None

    @property
    def nodes(self) -> list[NodeSpec]:
        """All nodes of all node groups, and those of Auto Mode."""
        return [*(node for nodegroup in self.nodegroups.values() for node in nodegroup.nodes), *self.auto_nodes]

    def nodegroup(self, name: str) -> Nodegroup:
        """The node group of this name; raises ResourceNotFoundException."""
        if name not in self.nodegroups:
            raise not_found(f"No node group found for name: {name}.", clusterName=self.spec.name, nodegroupName=name)
        return self.nodegroups[name]

    def addon(self, name: str) -> Addon:
        """The add-on of this name; raises ResourceNotFoundException."""
        if name not in self.addons:
            message = f"No addon: {name} found in cluster: {self.spec.name}"
            raise not_found(message, clusterName=self.spec.name, addonName=name)
        return self.addons[name]

    def association(self, association_id: str) -> Association:
        """The association with this id; raises ResourceNotFoundException."""
        if association_id not in self.associations:
            raise not_found(f"Association not found: {association_id}")
        return self.associations[association_id]

    def access_entry(self, principal: str) -> AccessEntry:
        """The access entry of this principal; raises ResourceNotFoundException."""
        if principal not in self.access_entries:
            raise not_found(
                "The specified principalArn could not be found. You can view your available access entries with "
                "'list-access-entries'."
            )
        return self.access_entries[principal]


class State:
    """All clusters of the sandbox, and what they need to run."""

    def __init__(
        self,
        ministack: Ministack,
        knobs: Knobs,
        start_cluster: StartCluster,
        directory: pathlib.Path,
        pod_mode: str,
    ) -> None:
        self.ministack = ministack
        self.knobs = knobs
        self.start_cluster = start_cluster
        self.directory = directory
        #: How the pods of every cluster run (:class:`eks_sandbox.interfaces.ClusterSpec`).
        self.pod_mode = pod_mode
        #: Set by the server once it exists.
        self.aws_side: AwsSide | None = None
        #: By ARN, which distinguishes accounts and regions.
        self.clusters: dict[str, Cluster] = {}
        #: Clusters that are or were running, so that none is left behind.
        self.runtimes: dict[str, ClusterRuntime] = {}
        #: Parameters and answers by account, region, operation and client request token.
        self.answers: dict[tuple[str, str, str, str], tuple[Shape, Shape]] = {}
        #: Called after a cluster became active or went away.
        self.clusters_changed: t.Callable[[], None] = _nothing
        self._tasks: set[asyncio.Task[None]] = set()
        self._locks: dict[str, asyncio.Lock] = collections.defaultdict(asyncio.Lock)

    def cluster(self, where: Where, name: str) -> Cluster:
        """The cluster of this name in this account and region; raises ResourceNotFoundException."""
        arn = cluster_arn(where, name)
        if arn not in self.clusters:
            raise not_found(f"No cluster found for name: {name}.", clusterName=name)
        return self.clusters[arn]

    def clusters_in(self, where: Where) -> list[Cluster]:
        """The clusters of an account in one region."""
        place = (where.account, where.region)
        return [cluster for cluster in self.clusters.values() if (cluster.spec.account, cluster.spec.region) == place]

    def later(self, work: t.Coroutine[t.Any, t.Any, None]) -> None:
        """Let something happen while the caller already has an answer."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("A change in the background failed.", exc_info=task.exception())

    async def set_nodes(self, cluster: Cluster) -> None:
        """Pass the list of nodes to Kubernetes; one list at a time, so that the newest wins."""
        async with self._locks[cluster.spec.arn]:
            if cluster.runtime is not None:
                await cluster.runtime.set_nodes(cluster.nodes)

    async def stop_cluster(self, cluster: Cluster) -> None:
        """End a cluster's processes."""
        runtime = self.runtimes.pop(cluster.spec.arn, None)
        cluster.runtime = None
        if runtime is not None:
            await _stop(runtime)

    async def clear(self) -> None:
        """Forget everything and end every cluster."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.clusters.clear()
        self.answers.clear()
        self._locks.clear()
        runtimes, self.runtimes = list(self.runtimes.values()), {}
        await asyncio.gather(*(_stop(runtime) for runtime in runtimes))
        self.clusters_changed()


async def _stop(runtime: ClusterRuntime) -> None:
    """End a cluster; an error must not keep other clusters, or the sandbox, from ending."""
    try:
        await runtime.stop()
    except Exception:
        log.exception("The cluster at %s did not end well.", runtime.endpoint)


def _nothing() -> None:
    """No listener yet."""


def now() -> datetime.datetime:
    """The time as EKS stamps its resources: UTC, milliseconds."""
    moment = datetime.datetime.now(datetime.UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def random_id(length: int = 17) -> str:
    """Lower-case letters and digits, as in association ids."""
    alphabet = string.ascii_lowercase + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(length))


def resource_arn(where: Where, kind: str, *parts: str) -> str:
    """``arn:aws:eks:<region>:<account>:<kind>/<part>/…``"""
    return f"arn:aws:eks:{where.region}:{where.account}:{kind}/{'/'.join(parts)}"


def cluster_arn(where: Where, name: str) -> str:
    """The ARN of the cluster of this name in an account and region."""
    return resource_arn(where, "cluster", name)


def new_update(kind: str, parameters: t.Mapping[str, t.Any]) -> Update:
    """An update that has just begun; ``parameters`` are shown as EKS does, by type and text."""
    shown = [{"type": name, "value": str(value)} for name, value in parameters.items()]
    return Update(
        {
            "id": str(uuid.uuid4()),
            "status": "InProgress",
            "type": kind,
            "params": shown,
            "createdAt": now(),
            "errors": [],
        }
    )
