# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One pod on its node, from its first volume to its last container."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pathlib
import shutil

import aiohttp

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import condition
from eks_sandbox.control_plane.objects import identity
from eks_sandbox.control_plane.objects import timestamp
from eks_sandbox.node.client import PODS
from eks_sandbox.node.client import Client
from eks_sandbox.node.client import KubernetesError
from eks_sandbox.node.client import record_event
from eks_sandbox.node.containers import Container
from eks_sandbox.node.containers import Sandbox
from eks_sandbox.node.environment import ConfigurationError
from eks_sandbox.node.environment import variables_of
from eks_sandbox.node.images import Images
from eks_sandbox.node.machine import ADDRESS
from eks_sandbox.node.machine import Machine
from eks_sandbox.node.namespaces import NamespaceError
from eks_sandbox.node.places import Namespaced
from eks_sandbox.node.places import Place
from eks_sandbox.node.volumes import Volumes

log = logging.getLogger(__name__)

#: Seconds between attempts to create volumes that are not ready.
VOLUME_DELAY = 0.5
#: Seconds between attempts at a place to run that the machine does not give.
PLACE_DELAY = 2.0
#: Seconds between attempts to send the API a status that it did not accept.
STATUS_DELAY = 0.5


class PodWorker:
    """Runs one pod."""

    def __init__(self, client: Client, pod: Object, machine: Machine, images: Images, directory: pathlib.Path) -> None:
        self._client = client
        self._pod = pod
        self._machine = machine
        self._directory = directory
        self._volumes = Volumes(client, pod, directory / "volumes")
        place = Namespaced if machine.pod_mode == "namespaces" else Place
        self._place = place(pod, machine, directory, self._volumes.folder)
        self._started = timestamp()
        self._end: Object = {}
        self._publishing = asyncio.Lock()
        self._told: Object = {}
        self._is_abandoned = False
        spec = pod["spec"]
        sandbox = self._sandbox(images)
        policy = spec.get("restartPolicy", "Always")
        initial = "OnFailure" if policy != "Never" else "Never"
        self.init_containers = [Container(entry, sandbox, initial) for entry in spec.get("initContainers") or []]
        self.containers = [Container(entry, sandbox, policy) for entry in spec["containers"]]
        self._task = asyncio.create_task(self._run(), name=f"pod-{pod['metadata']['name']}")
        self._ending: asyncio.Task[None] | None = None

    @property
    def uid(self) -> str:
        return str(self._pod["metadata"]["uid"])

    def container(self, name: str) -> Container | None:
        """A container by its name."""
        everything = [*self.init_containers, *self.containers]
        return next((container for container in everything if container.name == name), None)

    def end(self, grace: float) -> None:
        """The pod is being deleted: end it, then let it go."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._terminate(grace))

    async def stop(self) -> None:
        """Kill every process: the node leaves, the sandbox stops, or the pod is gone. Send nothing more to the API."""
        self._is_abandoned = True
        if self._ending is not None:
            self._ending.cancel()
        await self._stop_containers(0)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

    def _sandbox(self, images: Images) -> Sandbox:
        return Sandbox(
            directory=self._directory,
            images=images,
            present_images=self._machine.images,
            place=self._place,
            variables=self._variables,
            node_arguments=self._machine.agent_arguments,
            changed=self.publish,
            event=self._event,
        )

    async def _variables(self, container: Object) -> dict[str, str]:
        status = {**(self._pod.get("status") or {}), **self._addresses()}
        return await variables_of(self._client, {**self._pod, "status": status}, container)

    def _addresses(self) -> Object:
        here, own = ADDRESS, self._place.address
        return {"hostIP": here, "hostIPs": [{"ip": here}], "podIP": own, "podIPs": [{"ip": own}]}

    async def _run(self) -> None:
        await self.publish()
        deadline = asyncio.create_task(self._deadline())
        refreshing: asyncio.Task[None] | None = None
        try:
            await self._prepare_place()
            await self._prepare_volumes()
            refreshing = asyncio.create_task(self._refresh())
            for container in self.init_containers:
                if await container.run() != 0:
                    self._end = {"phase": "Failed"}
                    return
            codes = await asyncio.gather(*(container.run() for container in self.containers))
            if not self._end:
                self._end = {"phase": "Failed" if any(codes) else "Succeeded"}
        finally:
            deadline.cancel()
            if refreshing is not None:
                refreshing.cancel()
            self._place.end()
            await self.publish()

    async def _prepare_place(self) -> None:
        while True:
            try:
                await self._place.begin()
                return
            except NamespaceError as error:
                await self._event("FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            await asyncio.sleep(PLACE_DELAY)

    async def _prepare_volumes(self) -> None:
        while True:
            try:
                await self._volumes.prepare()
                return
            except (ConfigurationError, KubernetesError, aiohttp.ClientError) as error:
                await self._event("FailedMount", f"MountVolume.SetUp failed: {error}")
            await asyncio.sleep(VOLUME_DELAY)

    async def _refresh(self) -> None:
        while True:
            try:
                await self._volumes.refresh()
            except (ConfigurationError, KubernetesError, aiohttp.ClientError) as error:
                log.warning("volumes of pod %s: %s", self._pod["metadata"]["name"], error)

    async def _deadline(self) -> None:
        seconds = self._pod["spec"].get("activeDeadlineSeconds")
        if seconds is None:
            return
        await asyncio.sleep(seconds)
        message = "Pod was active on the node longer than the specified deadline"
        self._end = {"phase": "Failed", "reason": "DeadlineExceeded", "message": message}
        await self._stop_containers(self._pod["spec"].get("terminationGracePeriodSeconds", 30))
        # Containers that never began have nothing to end.
        self._task.cancel()

    async def _stop_containers(self, grace: float) -> None:
        running = [*self.init_containers, *self.containers]
        await asyncio.gather(*(container.stop(grace) for container in running))

    async def _terminate(self, grace: float) -> None:
        await self._event("Killing", "Stopping containers")
        await self._stop_containers(grace)
        # What still runs now waits for a restart, an image or a volume.
        done, _ = await asyncio.wait([self._task], timeout=0.2)
        if not done:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.publish()
        uid = {"uid": self.uid}
        with contextlib.suppress(aiohttp.ClientError):
            await self._client.delete(PODS, *identity(self._pod), gracePeriodSeconds=0, preconditions=uid)
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

    async def _event(self, reason: str, message: str) -> None:
        await record_event(self._client, self._pod, "Pod", reason, message, component="kubelet")

    async def publish(self) -> None:
        """Send the pod's status to the API, if it has changed and the pod still exists."""
        async with self._publishing:
            while not self._is_abandoned and (status := self._status()) != self._told:
                try:
                    # As kubelet's patch, it is refused where another pod has the name by now.
                    change = {"metadata": {"uid": self.uid}, "status": status}
                    await self._client.patch(PODS, self._pod, change, "status")
                    self._told = status
                    continue
                except KubernetesError as error:
                    if _is_gone(error):
                        return
                    log.warning("status of pod %s: %s", self._pod["metadata"]["name"], error)
                except (aiohttp.ClientError, TimeoutError) as error:
                    log.debug("status of pod %s: %s", self._pod["metadata"]["name"], error)
                await asyncio.sleep(STATUS_DELAY)

    def _status(self) -> Object:
        initialized = all(container.exit_code == 0 for container in self.init_containers)
        ready = bool(self.containers) and all(container.is_ready for container in self.containers)
        finished = bool(self._end)
        facts = {
            "PodReadyToStartContainers": not finished,
            "Initialized": initialized,
            "Ready": ready and not finished,
            "ContainersReady": ready and not finished,
            "PodScheduled": True,
        }
        reason = "PodCompleted" if self._end.get("phase") == "Succeeded" else "ContainersNotReady"
        status: Object = {
            "phase": "Pending",
            **self._addresses(),
            "startTime": self._started,
            "conditions": [self._condition(kind, fact, reason) for kind, fact in facts.items()],
            "containerStatuses": [container.status() for container in self.containers],
        }
        if self.init_containers:
            status["initContainerStatuses"] = [container.status() for container in self.init_containers]
        if any("waiting" not in container.status()["state"] for container in self.containers):
            status["phase"] = "Running"
        return {**status, **self._end}

    def _condition(self, kind: str, holds: bool, reason: str) -> Object:
        value = "True" if holds else "False"
        for known in (self._told, self._pod.get("status") or {}):
            before = condition({"status": known}, kind)
            if before is not None and before["status"] == value and before.get("reason", reason) == reason:
                return before
        entry = {"type": kind, "status": value, "lastTransitionTime": timestamp()}
        return entry if holds else {**entry, "reason": reason}


def _is_gone(error: KubernetesError) -> bool:
    """Whether the pod does not exist any more, or another pod has its name."""
    return error.code == 404 or any(cause.get("field") == "metadata.uid" for cause in error.causes)
