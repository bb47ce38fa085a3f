# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One container of a pod: pulled, started, probed, restarted, and its status."""

from __future__ import annotations

import asyncio
import dataclasses
import pathlib
import typing as t

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import timestamp
from eks_sandbox.node import logs
from eks_sandbox.node.environment import ConfigurationError
from eks_sandbox.node.environment import expand
from eks_sandbox.node.images import Image
from eks_sandbox.node.images import ImagePullError
from eks_sandbox.node.images import Images
from eks_sandbox.node.images import InvalidImageNameError
from eks_sandbox.node.places import Place
from eks_sandbox.node.places import Run
from eks_sandbox.node.probes import Prober
from eks_sandbox.node.processes import Process
from eks_sandbox.node.processes import StartError
from eks_sandbox.node.terminal import Screen
from eks_sandbox.node.terminal import Terminal

#: Seconds before a container starts again: zero after its first end, then doubling from ten up to five minutes.
FIRST_DELAY, LONGEST_DELAY = 10.0, 300.0
#: Seconds between ErrImagePull and ImagePullBackOff, and between attempts to read a missing configuration.
PULL_DELAY, CONFIGURATION_DELAY = 1.0, 1.0
#: What kubelet takes of a termination message, in bytes, and of a log in its place, in lines and bytes.
TERMINATION_LIMIT, FALLBACK_LINES, FALLBACK_LIMIT = 4096, 80, 2048
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


@dataclasses.dataclass(frozen=True)
class Sandbox:
    """What the containers of one pod share."""

    directory: pathlib.Path
    images: Images
    #: Names of the images that the node has by now.
    present_images: set[str]
    place: Place
    #: Variables of the container, as in its specification, from the API.
    variables: t.Callable[[Object], t.Awaitable[dict[str, str]]]
    #: More arguments for containers of an image, from the node.
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
        self._restart_policy = restart_policy
        self._process: Process | None = None
        #: If the container has a terminal: what it shows, and what stores that.
        self._screen: Screen | None = None
        self._recording: asyncio.Task[None] | None = None
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
        """Run, and restart according to the restart policy; returns the last exit status."""
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

    async def execute(
        self, command: t.Sequence[str], *, with_input: bool = False, terminal: int | None = None
    ) -> Process:
        """Start another command in the container.

        :raises StartError: the container does not run, or the program does not exist.
        """
        running = self._process
        if not self.is_running or running is None:
            raise StartError(f'container not found ("{self.name}")')
        translate = self._sandbox.place.translation(self.spec)
        own = await self._sandbox.variables(self.spec)
        image = self._sandbox.images.pull(self.spec["image"])
        wanted = self._sandbox.place.command(Run(self.spec, image, [translate(text) for text in command], own))
        with self._sandbox.place.beside(wanted, running.pid) as beside:
            return await Process.start(beside, with_input=with_input, terminal=terminal)

    def output(self) -> t.AsyncGenerator[bytes, None]:
        """What the container writes from now on, until it ends."""
        if self._screen is not None:
            return self._screen.watch()
        return logs.read(self.log_path(), logs.LogOptions(follow=True, tail=0), self._is_alive)

    def _is_alive(self) -> bool:
        return self.is_running

    @property
    def keyboard(self) -> asyncio.StreamWriter | None:
        """The container's input, if its specification has one."""
        if not self.spec.get("stdin") or self._process is None:
            return None
        return self._screen.terminal.keyboard if self._screen is not None else self._process.input

    @property
    def terminal(self) -> Terminal | None:
        """The container's terminal, if its specification has one."""
        return self._screen.terminal if self._screen is not None else None

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
            code = await process.wait()
            if self._recording is not None:
                await self._recording
        finally:
            for probe in probes:
                probe.cancel()
            await process.stop(0)
        reason = "OOMKilled" if process.is_out_of_memory else ""
        await self._ended(code, reason, self._last_words(code))

    def _last_words(self, code: int) -> str:
        """The termination message, or the end of a failed container's log if its policy requires that.

        The rules are kubelet's (``getTerminationMessage`` in pkg/kubelet/kuberuntime/kuberuntime_container.go).
        """
        path = self.spec.get("terminationMessagePath")
        try:
            text = self._sandbox.place.termination_log(self.spec).read_bytes()[-TERMINATION_LIMIT:] if path else b""
        except OSError as error:
            return f"Error on reading termination log {path}: {error.strerror}"
        if not text and code != 0 and self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            text = logs.ending(self.log_path(), FALLBACK_LINES)[-FALLBACK_LIMIT:]
        # Drop a character that was cut in two.
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
        """The image, once it is present. Never returns if no image has this name."""
        name = self.spec["image"]
        try:
            image = self._sandbox.images.pull(name)
        except InvalidImageNameError as error:
            await self._sandbox.event("InspectFailed", str(error))
            await self._fail_forever("InvalidImageName", str(error))
        except ImagePullError as error:
            if self.spec.get("imagePullPolicy") == "Never":
                await self._fail_forever(*_never_pulled(name))
            await self._sandbox.event("Pulling", f'Pulling image "{name}"')
            await self._sandbox.event("Failed", f'Failed to pull image "{name}": {error}')
            await self._fail("ErrImagePull", str(error))
            await asyncio.sleep(PULL_DELAY)
            await self._sandbox.event("BackOff", f'Back-off pulling image "{name}"')
            await self._fail_forever("ImagePullBackOff", f'Back-off pulling image "{name}": ErrImagePull: {error}')
        present = self._sandbox.present_images
        if name not in present and self.spec.get("imagePullPolicy") == "Never":
            await self._fail_forever(*_never_pulled(name))
        if name in present and self.spec.get("imagePullPolicy") != "Always":
            await self._sandbox.event("Pulled", f'Container image "{name}" already present on machine')
        else:
            await self._sandbox.event("Pulled", f'Successfully pulled image "{name}"')
        present.add(name)
        return image

    async def _fail(self, reason: str, message: str) -> None:
        self._waiting(reason, message)
        await self._sandbox.event("Failed", f"Error: {reason}")
        await self._sandbox.changed()

    async def _fail_forever(self, reason: str, message: str) -> t.NoReturn:
        """Report an error that waiting does not fix, and never return."""
        await self._fail(reason, message)
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def _begun(self, image: Image) -> Process | None:
        while True:
            try:
                return await self._begin(image)
            except ConfigurationError as error:
                self._waiting("CreateContainerConfigError", str(error))
                await self._sandbox.event("Failed", f"Error: {error}")
                await self._sandbox.changed()
                await asyncio.sleep(CONFIGURATION_DELAY)
            except StartError as error:
                await self._sandbox.event("Failed", f"Error: {error}")
                await self._ended(128, "StartError", f"failed to create containerd task: {error}")
                return None

    async def _begin(self, image: Image) -> Process:
        """Start the container.

        Only paths of its specification are translated: the sandbox's own paths are real already.
        """
        translate = self._sandbox.place.translation(self.spec)
        own = await self._sandbox.variables(self.spec)
        said = {
            field: [translate(expand(text, own)) for text in self.spec.get(field) or ()]
            for field in ("command", "args")
        }
        arguments = [*image.arguments(said), *self._sandbox.node_arguments(image)]
        if not arguments:
            raise StartError("no command specified")
        for path in (last := self._sandbox.place.termination_log(self.spec), self.log_path()):
            path.parent.mkdir(parents=True, exist_ok=True)
        last.write_bytes(b"")
        command = self._sandbox.place.command(Run(self.spec, image, arguments, own))
        if not self.spec.get("tty"):
            logged = dataclasses.replace(command, log=self.log_path())
            return await Process.start(logged, with_input=bool(self.spec.get("stdin")))
        self._screen = Screen(Terminal())
        try:
            process = await Process.start(command, terminal=self._screen.terminal.slave)
        except BaseException:
            self._screen.terminal.close()
            raise
        self._recording = asyncio.create_task(self._screen.record(self.log_path()))
        return process

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
            process = await self.execute([expand(text, known) for text in command])
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

        await Prober(self.spec[kind], self.spec, self._sandbox.place.connection, execute).run(report)

    def _waiting(self, reason: str, message: str = "") -> None:
        self._state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def _never_pulled(name: str) -> tuple[str, str]:
    return "ErrImageNeverPull", f'Container image "{name}" is not present with pull policy of Never'
