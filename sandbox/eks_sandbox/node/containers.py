# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One container of a pod: pulled, started, probed, restarted, and what its status says."""

from __future__ import annotations

import asyncio
import dataclasses
import pathlib
import re
import typing as t

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import timestamp
from eks_sandbox.node import logs
from eks_sandbox.node.environment import ConfigurationError
from eks_sandbox.node.environment import Translation
from eks_sandbox.node.environment import expand
from eks_sandbox.node.images import Image
from eks_sandbox.node.images import ImagePullError
from eks_sandbox.node.images import Images
from eks_sandbox.node.probes import PortMap
from eks_sandbox.node.probes import Prober
from eks_sandbox.node.processes import Command
from eks_sandbox.node.processes import Process
from eks_sandbox.node.processes import StartError

#: Seconds before a container starts again: at once after its first end, then doubling from ten up to five minutes.
FIRST_DELAY, LONGEST_DELAY = 10.0, 300.0
#: Seconds between ErrImagePull and ImagePullBackOff, and between attempts at a configuration that is not there yet.
PULL_DELAY, CONFIGURATION_DELAY = 1.0, 1.0
#: A process needs more address space than the memory a container would be charged for.
MEMORY_ALLOWANCE = 256 * 2**20
#: What kubelet takes of a termination message, in bytes, and of a log in its place, in lines and bytes.
TERMINATION_LIMIT, FALLBACK_LINES, FALLBACK_LIMIT = 4096, 80, 2048
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


@dataclasses.dataclass(frozen=True)
class Sandbox:
    """What the containers of one pod share."""

    directory: pathlib.Path
    images: Images
    #: Where a volume is, by its name.
    volume: t.Callable[[str], pathlib.Path]
    #: Addresses of the node, and what they are for a process of this machine.
    addresses: t.Mapping[str, str]
    ports: PortMap
    #: Variables of the container, as its specification says them, from the API.
    variables: t.Callable[[Object], t.Awaitable[dict[str, str]]]
    #: Variables and arguments that every process of this image gets from the node.
    node_environment: t.Callable[[Image], t.Awaitable[dict[str, str]]]
    node_arguments: t.Callable[[Image], list[str]]
    #: Called after each change of a status.
    changed: t.Callable[[], t.Awaitable[None]]
    event: t.Callable[[str, str], t.Awaitable[None]]


class Container:
    """Runs one container until it is done."""

    def __init__(self, spec: Object, sandbox: Sandbox, restart_policy: str) -> None:
        self.spec = spec
        self.name: str = spec["name"]
        self._sandbox = sandbox
        self._translate = self._translation()
        self._restart_policy = restart_policy
        self._process: Process | None = None
        self._state: Object = {"waiting": {"reason": "ContainerCreating"}}
        self._last: Object = {}
        self._restarts = 0
        self._ready = False
        self._started = False
        self._stopping = False

    @property
    def exit_code(self) -> int | None:
        """The exit status of a container that has ended."""
        ended = self._state.get("terminated")
        return int(ended["exitCode"]) if ended else None

    @property
    def is_running(self) -> bool:
        return "running" in self._state

    @property
    def is_ready(self) -> bool:
        return self._ready and self.is_running

    def log_path(self, *, previous: bool = False) -> pathlib.Path:
        """The log of the present run, or of the one before."""
        number = self._restarts - 1 if previous else self._restarts
        return self._sandbox.directory / "logs" / self.name / f"{number}.log"

    def status(self) -> Object:
        """The ContainerStatus."""
        status: Object = {
            "name": self.name,
            "image": self.spec["image"],
            "imageID": "" if "waiting" in self._state and not self._restarts else f"sandbox://{self.spec['image']}",
            "ready": self.is_ready,
            "restartCount": self._restarts,
            "started": self._started and self.is_running,
            "state": self._state,
            "lastState": self._last,
        }
        if self._process is not None:
            status["containerID"] = f"process://{self._process.pid}"
        return status

    async def run(self) -> int:
        """Run, and run again as the restart policy says; returns the last exit status."""
        ends = 0
        while True:
            await self._run_once()
            code = self.exit_code or 0
            again = self._restart_policy == "Always" or (self._restart_policy == "OnFailure" and code != 0)
            if self._stopping or not again:
                return code
            ends += 1
            await self._back_off(ends)

    async def stop(self, grace: float) -> None:
        """End the container; it does not start again."""
        self._stopping = True
        if self._process is not None and self._process.is_running:
            await self._process.stop(grace)

    async def execute(self, command: t.Sequence[str], *, with_input: bool) -> Process:
        """Start another command in the container.

        :raises StartError: the container does not run, or there is no such program.
        """
        if not self.is_running:
            raise StartError(f'container not found ("{self.name}")')
        own = await self._sandbox.variables(self.spec)
        arguments = [self._translate(text) for text in command]
        return await Process.start(await self._in_container(arguments, own, self._image()), with_input=with_input)

    @property
    def _termination_log(self) -> pathlib.Path:
        return self._sandbox.directory / "termination" / self.name

    def _translation(self) -> Translation:
        """From paths and addresses of this container to those of this machine."""
        paths = {}
        for mount in self.spec.get("volumeMounts") or []:
            folder = self._sandbox.volume(mount["name"]) / (mount.get("subPath") or "")
            paths[mount["mountPath"].rstrip("/")] = str(folder)
        paths[self.spec.get("terminationMessagePath") or ""] = str(self._termination_log)
        return Translation.of({**self._sandbox.addresses, **{path: real for path, real in paths.items() if path}})

    def _image(self) -> Image:
        return self._sandbox.images.pull(self.spec["image"])

    async def _run_once(self) -> None:
        image = await self._pulled()
        process = await self._begun(image)
        if process is None:
            return
        self._process = process
        self._state = {"running": {"startedAt": timestamp()}}
        self._ready = "readinessProbe" not in self.spec
        self._started = "startupProbe" not in self.spec
        await self._sandbox.event("Started", f"Container started: {self.name}")
        await self._sandbox.changed()
        probes = [asyncio.create_task(self._probe(kind)) for kind in _PROBES if kind in self.spec]
        try:
            streams = {"stdout": process.output, "stderr": process.errors}
            await logs.record(self.log_path(), streams)
            code = await process.wait()
        finally:
            for probe in probes:
                probe.cancel()
            await process.stop(0)
        await self._ended(code, message=self._last_words(code))

    def _last_words(self, code: int) -> str:
        """The termination message, or the end of a failed container's log where its policy says so.

        The rules are kubelet's (``getTerminationMessage`` in pkg/kubelet/kuberuntime/kuberuntime_container.go).
        """
        path = self.spec.get("terminationMessagePath")
        try:
            text = self._termination_log.read_bytes()[-TERMINATION_LIMIT:] if path else b""
        except OSError as error:
            return f"Error on reading termination log {path}: {error.strerror}"
        if not text and code != 0 and self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            text = logs.ending(self.log_path(), FALLBACK_LINES)[-FALLBACK_LIMIT:]
        # A character that was cut in two is of no use.
        return text.decode(errors="ignore")

    async def _ended(self, code: int, reason: str = "", message: str = "") -> None:
        started = (self._state.get("running") or {}).get("startedAt") or timestamp()
        ended: Object = {"exitCode": code, "reason": reason or ("Completed" if code == 0 else "Error")}
        ended |= {"startedAt": started, "finishedAt": timestamp()}
        if message:
            ended["message"] = message
        self._state = {"terminated": ended}
        self._ready = self._started = False
        await self._sandbox.changed()

    async def _pulled(self) -> Image:
        try:
            return self._image()
        except ImagePullError as error:
            self._waiting("ErrImagePull", str(error))
            await self._sandbox.event("Failed", f'Failed to pull image "{self.spec["image"]}": {error}')
            await self._sandbox.changed()
        await asyncio.sleep(PULL_DELAY)
        self._waiting("ImagePullBackOff", f'Back-off pulling image "{self.spec["image"]}"')
        await self._sandbox.changed()
        # Nothing that this pod could wait for would bring the image.
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def _begun(self, image: Image) -> Process | None:
        while True:
            try:
                command = await self._command(image)
                if not command.arguments:
                    raise StartError("no command specified")
                self._termination_log.parent.mkdir(parents=True, exist_ok=True)
                self._termination_log.write_bytes(b"")
                return await Process.start(command)
            except ConfigurationError as error:
                self._waiting("CreateContainerConfigError", str(error))
                await self._sandbox.changed()
                await asyncio.sleep(CONFIGURATION_DELAY)
            except StartError as error:
                await self._sandbox.event("Failed", f"Error: {error}")
                await self._ended(128, "StartError", f"failed to create containerd task: {error}")
                return None

    async def _command(self, image: Image) -> Command:
        """What the container runs. Only what its specification says is translated: our own paths are real already."""
        own = await self._sandbox.variables(self.spec)
        said = {
            field: [self._translate(expand(text, own)) for text in self.spec.get(field) or ()]
            for field in ("command", "args")
        }
        arguments = [*image.arguments(said), *self._sandbox.node_arguments(image)]
        return await self._in_container(arguments, own, image)

    async def _in_container(self, arguments: t.Sequence[str], own: t.Mapping[str, str], image: Image) -> Command:
        variables = {name: self._translate(value) for name, value in own.items()}
        work = self._sandbox.directory / "work"
        work.mkdir(parents=True, exist_ok=True)
        base = {"PATH": image.path, "HOME": str(work), "TMPDIR": str(work), "LANG": "C.UTF-8", **image.environment}
        environment = {**base, **await self._sandbox.node_environment(image), **variables}
        said = self.spec.get("workingDir")
        directory = pathlib.Path(self._translate(said)) if said else work
        return Command(image.resolve(arguments), environment, directory, _limits(self.spec))

    async def _back_off(self, ends: int) -> None:
        self._last = self._state
        if ends > 1:
            seconds = min(FIRST_DELAY * 2 ** (ends - 2), LONGEST_DELAY)
            shown = f"back-off {int(seconds)}s restarting failed container={self.name}"
            self._waiting("CrashLoopBackOff", shown)
            await self._sandbox.event("BackOff", f"Back-off restarting failed container {self.name}")
            await self._sandbox.changed()
            await asyncio.sleep(seconds)
        self._restarts += 1

    async def _probe(self, kind: str) -> None:
        async def execute(command: t.Sequence[str]) -> int:
            # Of a probe's command, kubelet expands what the specification itself knows.
            known = {entry["name"]: entry["value"] for entry in self.spec.get("env") or [] if "value" in entry}
            process = await self.execute([expand(text, known) for text in command], with_input=False)
            await asyncio.gather(process.output.read(), process.errors.read())
            return await process.wait()

        async def report(good: bool) -> None:
            if kind == "readinessProbe":
                self._ready = good
            elif kind == "startupProbe":
                self._started = good
            if not good:
                await self._sandbox.event("Unhealthy", f"{kind} of container {self.name} failed")
            if not good and kind != "readinessProbe" and self._process is not None:
                await self._process.stop(1)
            await self._sandbox.changed()

        await Prober(self.spec[kind], self.spec, self._sandbox.ports, execute).run(report)

    def _waiting(self, reason: str, message: str = "") -> None:
        self._state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def quantity(text: str) -> int:
    """A quantity of memory in bytes; 0 for what cannot be read."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]*)", str(text))
    if not found or found[2] not in _UNITS:
        return 0
    return int(float(found[1]) * _UNITS[found[2]])


def _limits(container: Object) -> dict[str, int]:
    """Resource limits of the process: no core files, and a bound for memory that runs away."""
    limits = {"RLIMIT_CORE": 0}
    memory = quantity(((container.get("resources") or {}).get("limits") or {}).get("memory", ""))
    if memory:
        limits["RLIMIT_DATA"] = memory + MEMORY_ALLOWANCE
    return limits
