# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kubelet of one node: registers the node and runs the pods that are bound to it."""

from __future__ import annotations

import asyncio
import logging
import pathlib
import typing as t
import urllib.parse

import aiohttp

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import identity
from eks_sandbox.control_plane.objects import is_finished
from eks_sandbox.control_plane.serving import Server
from eks_sandbox.interfaces import NodeSpec
from eks_sandbox.node import built_in_agent
from eks_sandbox.node.client import NODES
from eks_sandbox.node.client import PODS
from eks_sandbox.node.client import Client
from eks_sandbox.node.client import Collection
from eks_sandbox.node.client import Informer
from eks_sandbox.node.client import KubernetesError
from eks_sandbox.node.images import Images
from eks_sandbox.node.kubelet_server import KubeletServer
from eks_sandbox.node.machine import ADDRESS
from eks_sandbox.node.machine import Machine
from eks_sandbox.node.pods import PodWorker
from eks_sandbox.node.processes import Process
from eks_sandbox.node.registration import Registration

log = logging.getLogger(__name__)

#: Seconds between signs of life, as kubelet gives them.
HEARTBEAT_PERIOD = 10.0
LEASES = Collection("apis/coordination.k8s.io/v1", "leases")


class Kubelet:
    """One node."""

    def __init__(
        self,
        client: Client,
        machine: Machine,
        images: Images,
        directory: pathlib.Path,
        version: str,
        tls: tuple[pathlib.Path, pathlib.Path],
        client_authority: pathlib.Path,
    ) -> None:
        self._client = client
        self._machine = machine
        self._images = images
        self._directory = directory
        self._workers: dict[str, PodWorker] = {}
        parts = urllib.parse.urlsplit(client.endpoint)
        machine.api_server = (parts.hostname or ADDRESS, parts.port or 443)
        self._server = Server(KubeletServer(self._worker), tls, client_authority=client_authority)
        self._registration = Registration(machine.node, version, machine.pod_mode, self._server.port)
        self._informer = Informer(client, PODS, fieldSelector=f"spec.nodeName={self.node.name}")
        self._informer.listen(self._observe)
        self._tasks: list[asyncio.Task[None]] = []
        self._agent: Process | None = None

    @property
    def node(self) -> NodeSpec:
        """The instance that this is."""
        return self._machine.node

    @node.setter
    def node(self, node: NodeSpec) -> None:
        self._machine.node = node

    async def start(self) -> None:
        """Serve logs and exec, join the cluster, follow the pods."""
        self._server.start()
        if self.node.has_agent:
            self._agent = await built_in_agent.start(self._machine, self._images, self._directory)
        await self._register()
        following = (self._informer.run(), self._machine.refresh(), self._beat())
        self._tasks = [asyncio.create_task(work) for work in following]

    async def stop(self) -> None:
        """End every pod of this node; returns when all processes are gone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in self._workers.values()))
        if self._agent is not None:
            await self._agent.stop(0)
        await self._server.stop()
        self._machine.close()
        await self._client.close()

    def _worker(self, namespace: str, name: str) -> PodWorker | None:
        """The worker of a pod, for logs and exec."""
        pod = self._informer.objects.get((namespace, name))
        return self._workers.get(pod["metadata"]["uid"]) if pod else None

    def _observe(self, pod: Object, exists: bool) -> None:
        uid = pod["metadata"]["uid"]
        worker = self._workers.get(uid)
        if not exists:
            if worker is not None:
                self._let_go(uid, worker)
            return
        if worker is None:
            if is_finished(pod) and not pod["metadata"].get("deletionTimestamp"):
                return
            namespace, name = identity(pod)
            folder = self._directory / "pods" / f"{namespace}_{name}_{uid}"
            worker = PodWorker(self._client, pod, self._machine, self._images, folder)
            self._workers[uid] = worker
        if pod["metadata"].get("deletionTimestamp"):
            worker.end(pod["metadata"].get("deletionGracePeriodSeconds", 30))

    def _let_go(self, uid: str, worker: PodWorker) -> None:
        """The pod is gone from the API, perhaps by force: no part of it may keep running."""

        async def finish() -> None:
            await worker.stop()
            self._workers.pop(uid, None)

        task = asyncio.create_task(finish())
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)

    async def _register(self) -> None:
        await self._client.create_if_missing(NODES, self._registration.node())
        await self._report()

    async def _report(self) -> None:
        node = {"metadata": {"name": self.node.name}}
        await self._client.patch(NODES, node, {"status": self._registration.status(self._machine.images)}, "status")

    async def _beat(self) -> None:
        """Report repeatedly that the node is healthy, until cancelled: without it the node counts as lost."""
        while True:
            await self._try(self._renew_lease)
            await asyncio.sleep(HEARTBEAT_PERIOD)
            await self._try(self._report)

    async def _try(self, work: t.Callable[[], t.Awaitable[None]]) -> None:
        """What fails now is tried again with the next heartbeat."""
        try:
            await work()
        except (KubernetesError, aiohttp.ClientError, TimeoutError) as error:
            log.debug("heartbeat of node %s: %s", self.node.name, error)

    async def _renew_lease(self) -> None:
        lease = self._registration.lease()
        if await self._client.get(LEASES, *identity(lease)) is None:
            await self._client.create(LEASES, lease)
        else:
            await self._client.patch(LEASES, lease, {"spec": lease["spec"]})
