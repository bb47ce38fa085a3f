# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kubelet of one node: registers the node and runs the pods that are bound to it."""

from __future__ import annotations

import asyncio
import logging
import os
import pathlib
import platform
import typing as t
import uuid

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import identity
from eks_sandbox.control_plane.objects import timestamp
from eks_sandbox.control_plane.serving import Server
from eks_sandbox.interfaces import NodeSpec
from eks_sandbox.node.client import NODES
from eks_sandbox.node.client import PODS
from eks_sandbox.node.client import Client
from eks_sandbox.node.client import Informer
from eks_sandbox.node.images import Images
from eks_sandbox.node.kubelet_server import KubeletServer
from eks_sandbox.node.machine import Machine
from eks_sandbox.node.pods import ADDRESS
from eks_sandbox.node.pods import PodWorker
from eks_sandbox.node.pods import is_finished

log = logging.getLogger(__name__)

#: Pods per node of the instance types that the sandbox knows (the limit of network interfaces on AWS).
POD_CAPACITY = {"t3.medium": 17, "t3.large": 35, "m5.large": 29, "m5.xlarge": 58}
#: vCPUs and GiB of the same.
SIZES = {"t3.medium": (2, 4), "t3.large": (2, 8), "m5.large": (2, 8), "m5.xlarge": (4, 16)}


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
        self._version = version
        self._workers: dict[str, PodWorker] = {}
        self._server = Server(KubeletServer(self._worker), tls, client_authority=client_authority)
        self._informer = Informer(client, PODS, fieldSelector=f"spec.nodeName={self.node.name}")
        self._informer.listen(self._observe)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def node(self) -> NodeSpec:
        """The instance that this is."""
        return self._machine.node

    async def start(self) -> None:
        """Serve logs and exec, join the cluster, follow the pods."""
        self._server.start()
        await self._register()
        following = (self._informer.run(), self._machine.refresh())
        self._tasks = [asyncio.create_task(work) for work in following]

    async def stop(self) -> None:
        """End every pod of this node; returns when all processes are gone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in self._workers.values()))
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
        """The pod is gone from the API, perhaps by force: nothing of it may go on."""

        async def finish() -> None:
            await worker.stop()
            self._workers.pop(uid, None)

        task = asyncio.create_task(finish())
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)

    async def _register(self) -> None:
        node = self._node()
        await self._client.create_if_missing(NODES, {key: node[key] for key in ("metadata", "spec")})
        await self._client.patch(NODES, node, {"status": node["status"]}, "status")

    def _node(self) -> Object:
        spec = self.node
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        labels = {
            "beta.kubernetes.io/arch": machine,
            "beta.kubernetes.io/os": "linux",
            "eks.amazonaws.com/nodegroup": spec.nodegroup,
            "kubernetes.io/arch": machine,
            "kubernetes.io/hostname": spec.name,
            "kubernetes.io/os": "linux",
            "node.kubernetes.io/instance-type": spec.instance_type,
            "topology.kubernetes.io/region": spec.zone.rstrip("abcdef"),
            "topology.kubernetes.io/zone": spec.zone,
            **spec.labels,
        }
        taints = [dict(taint) for taint in spec.taints]
        provider = f"aws:///{spec.zone}/{spec.instance_id}"
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": spec.name, "labels": labels},
            "spec": {"providerID": provider, **({"taints": taints} if taints else {})},
            "status": self._status(machine),
        }

    def _status(self, machine: str) -> Object:
        processors, memory = SIZES.get(self.node.instance_type, (2, 8))
        capacity = {
            "cpu": str(processors),
            "memory": f"{memory}Gi",
            "pods": str(POD_CAPACITY.get(self.node.instance_type, 29)),
            "ephemeral-storage": "20Gi",
        }
        return {
            "addresses": [
                {"type": "InternalIP", "address": ADDRESS},
                {"type": "Hostname", "address": self.node.name},
                {"type": "InternalDNS", "address": self.node.name},
            ],
            "allocatable": capacity,
            "capacity": capacity,
            "conditions": _conditions(),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._server.port}},
            "nodeInfo": {
                "architecture": machine,
                "bootID": str(uuid.uuid4()),
                "containerRuntimeVersion": "process://1.0",
                "kernelVersion": os.uname().release,
                "kubeProxyVersion": "",
                "kubeletVersion": f"v{self._version}.0-eks-sandbox",
                "machineID": self.node.instance_id,
                "operatingSystem": "linux",
                "osImage": "EKS sandbox (local processes)",
                "systemUUID": self.node.instance_id,
            },
        }


def _conditions() -> list[Object]:
    now = timestamp()
    pressures: t.Sequence[tuple[str, str]] = (
        ("MemoryPressure", "KubeletHasSufficientMemory"),
        ("DiskPressure", "KubeletHasNoDiskPressure"),
        ("PIDPressure", "KubeletHasSufficientPID"),
    )
    times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
    conditions = [{"type": kind, "status": "False", "reason": reason, **times} for kind, reason in pressures]
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}
    return [*conditions, {**ready, **times}]
