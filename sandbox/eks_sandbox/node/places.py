# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the containers of a pod run: in namespaces of their own, or as plain processes of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import itertools
import pathlib
import re
import socket
import typing as t

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import dig
from eks_sandbox.control_plane.objects import identity
from eks_sandbox.node import filesystem
from eks_sandbox.node.environment import ConfigurationError
from eks_sandbox.node.environment import Translation
from eks_sandbox.node.environment import inside
from eks_sandbox.node.images import Image
from eks_sandbox.node.machine import ADDRESS
from eks_sandbox.node.machine import Machine
from eks_sandbox.node.namespaces import Forwards
from eks_sandbox.node.namespaces import Namespaces
from eks_sandbox.node.namespaces import entered
from eks_sandbox.node.processes import Command
from eks_sandbox.node.processes import Isolation
from eks_sandbox.node.security import Security

#: Address space of a container beyond the memory that it may use, in bytes: what is reserved and never used.
ADDRESS_SPACE_ALLOWANCE = 2 * 2**30
#: Bytes of the largest file that a container may write, and its greatest number of processes.
FILE_LIMIT, PROCESS_LIMIT = 2 * 2**30, 1024
#: Pods' addresses, as EKS gives them with custom networking. Nothing leads there but the pod's own loopback.
_ADDRESSES = itertools.cycle(ipaddress.ip_network("100.64.0.0/10").hosts())
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def quantity(text: str) -> int:
    """A quantity of memory in bytes; 0 for an invalid one."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]*)", str(text))
    if not found or found[2] not in _UNITS:
        return 0
    return int(float(found[1]) * _UNITS[found[2]])


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a container, or another command in it."""

    container: Object
    image: Image
    arguments: t.Sequence[str]
    #: The container's own variables.
    variables: t.Mapping[str, str]


class Place:
    """Where one pod's containers run: here on the machine itself, as ordinary processes of the user."""

    def __init__(
        self, pod: Object, machine: Machine, directory: pathlib.Path, volume: t.Callable[[str], pathlib.Path]
    ) -> None:
        self._pod = pod
        self._machine = machine
        self._directory = directory
        #: The folder of a volume, by its name.
        self._volume = volume
        self._is_on_host_network = bool(pod["spec"].get("hostNetwork"))
        self._has_own_network = False
        #: The pod's IP address.
        self.address = ADDRESS

    @property
    def hostname(self) -> str:
        """The name of the machine that the pod sees."""
        if self._is_on_host_network:
            return self._machine.node.name
        return str(self._pod["spec"].get("hostname") or self._pod["metadata"]["name"])[:63]

    async def begin(self) -> None:
        """Make what the containers share; raises NamespaceError."""

    def end(self) -> None:
        """Let go of it."""

    def translation(self, container: Object) -> Translation:
        """From paths and addresses of the container to those of this machine."""
        paths = {mount["mountPath"].rstrip("/"): str(self.mounted(mount)) for mount in _mounts(container)}
        paths[container.get("terminationMessagePath") or ""] = str(self.termination_log(container))
        known = {path: real for path, real in paths.items() if path}
        return Translation.of({**self._machine.translated_addresses(), **known})

    def command(self, run: Run) -> Command:
        """What to start for a container; raises ConfigurationError."""
        Security.of(self._pod, run.container)
        translate = self.translation(run.container)
        work = self._directory / "work"
        work.mkdir(parents=True, exist_ok=True)
        said = run.container.get("workingDir")
        base = {"PATH": run.image.path, "HOME": str(work), "TMPDIR": str(work)}
        variables = {name: translate(value) for name, value in run.variables.items()}
        return Command(
            run.image.resolve(run.arguments, run.image.python),
            {**self._environment(base, run), **variables},
            pathlib.Path(translate(said)) if said else work,
            {**_limits(run.container), **_process_limit()},
            _memory(run.container),
        )

    @contextlib.contextmanager
    def beside(self, command: Command, running: int) -> t.Iterator[Command]:
        """The command as it is started in a container whose first process runs."""
        del running
        yield command

    async def connection(self, port: int) -> socket.socket:
        """A connection to a port of the pod; raises OSError."""
        here = (ADDRESS, self._machine.port(port, host_network=self._is_on_host_network))
        return await _connected(socket.socket(), here)

    def termination_log(self, container: Object) -> pathlib.Path:
        """The file that holds a container's last words."""
        return self._directory / "termination" / str(container["name"])

    def mounted(self, mount: Object) -> pathlib.Path:
        """The path of this machine that is mounted; a missing folder of the volume is created, as kubelet does.

        :raises ConfigurationError: it is not in the volume.
        """
        folder = self._volume(mount["name"])
        if not mount.get("subPath"):
            return folder
        path = inside(folder, mount["subPath"])
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ConfigurationError(f'failed to prepare subPath for volumeMount "{mount["name"]}" of the container')
        if not path.exists():
            path.mkdir(parents=True)
        return path

    def _environment(self, base: t.Mapping[str, str], run: Run) -> dict[str, str]:
        node = self._machine.environment(run.image, own_network=self._has_own_network)
        return {**base, "LANG": "C.UTF-8", **run.image.environment, "HOSTNAME": self.hostname, **node}


class Namespaced(Place):
    """Namespaces of the pod's own. Paths are the container's, and so are addresses, except in the host's network."""

    def __init__(
        self, pod: Object, machine: Machine, directory: pathlib.Path, volume: t.Callable[[str], pathlib.Path]
    ) -> None:
        super().__init__(pod, machine, directory, volume)
        self._namespaces: Namespaces | None = None
        self._forwards = Forwards(machine.forwards())
        self._has_own_network = not self._is_on_host_network
        if self._has_own_network:
            self.address = str(next(_ADDRESSES))

    async def begin(self) -> None:
        """Create the namespaces, and connect the listeners in the pod's network."""
        ports = list(self._forwards.targets) if self._has_own_network else []
        # The first address is that of the interface itself.
        addresses = list(dict.fromkeys([ADDRESS, self.address, *(address for address, _ in ports)]))
        wanted = addresses if self._has_own_network else []
        self._namespaces = await asyncio.to_thread(Namespaces.make, self.hostname, wanted, ports)
        await self._forwards.start(self._namespaces.listening)

    def end(self) -> None:
        self._forwards.close()
        if self._namespaces is not None:
            self._namespaces.close()
            self._namespaces = None

    def translation(self, container: Object) -> Translation:
        del container
        return Translation.of({} if self._has_own_network else self._machine.translated_addresses())

    def command(self, run: Run) -> Command:
        assert self._namespaces is not None
        security = Security.of(self._pod, run.container)
        translate = self.translation(run.container)
        base = {"PATH": filesystem.PATH, "HOME": "/root" if security.user == 0 else "/"}
        variables = {name: translate(value) for name, value in run.variables.items()}
        directory = pathlib.PurePosixPath(run.container.get("workingDir") or "/")
        isolation = Isolation(
            joined=self._namespaces.joined,
            root=self._root(run, security, directory),
            user=security.user,
            group=security.group,
            capabilities=security.capability_numbers,
            no_new_privileges=security.no_new_privileges,
            processes=PROCESS_LIMIT,
        )
        limits = {**_limits(run.container), "RLIMIT_NPROC": PROCESS_LIMIT}
        environment = {**self._environment(base, run), **variables}
        python = pathlib.PurePosixPath(filesystem.PYTHON) / "bin" / "python3"
        arguments = run.image.resolve(run.arguments, python if run.image.python else None)
        return Command(arguments, environment, directory, limits, _memory(run.container), isolation=isolation)

    @contextlib.contextmanager
    def beside(self, command: Command, running: int) -> t.Iterator[Command]:
        assert command.isolation is not None
        with entered(running) as own:
            isolation = dataclasses.replace(command.isolation, joined={**command.isolation.joined, **own}, root=None)
            yield dataclasses.replace(command, isolation=isolation, memory=None)

    async def connection(self, port: int) -> socket.socket:
        if not self._has_own_network or self._namespaces is None:
            return await super().connection(port)
        connectable = await asyncio.to_thread(self._namespaces.connectable)
        return await _connected(connectable, (self.address, port))

    def _root(self, run: Run, security: Security, directory: pathlib.PurePath) -> dict[str, t.Any]:
        folder = self._directory / "roots" / str(run.container["name"])
        folder.mkdir(parents=True, exist_ok=True)
        plan = filesystem.base_plan(folder)
        plan["folders"].setdefault(str(directory), 0o755)
        namespace, _ = identity(self._pod)
        hosts = {self.hostname: self.address, **self._machine.host_names()}
        plan["files"] |= filesystem.network_files(self.hostname, namespace, hosts, self._pod["spec"])
        filesystem.add_image(plan, run.image, self._machine.folders(run.image))
        plan["binds"] += self._mounts(run.container)
        plan["read_only"] = security.read_only_root
        return plan

    def _mounts(self, container: Object) -> list[filesystem.Bind]:
        writable = {volume["name"] for volume in self._pod["spec"].get("volumes") or [] if "emptyDir" in volume}
        mounts = [
            (str(self.mounted(mount)), mount["mountPath"], bool(mount.get("readOnly")) or mount["name"] not in writable)
            for mount in _mounts(container)
        ]
        if path := container.get("terminationMessagePath"):
            mounts.append((str(self.termination_log(container)), path, False))
        return mounts


def _mounts(container: Object) -> list[Object]:
    return container.get("volumeMounts") or []


async def _connected(connectable: socket.socket, address: tuple[str, int]) -> socket.socket:
    connectable.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connectable, address)
    except BaseException:
        connectable.close()
        raise
    return connectable


def _memory(container: Object) -> int | None:
    return quantity(dig(container, "resources.limits.memory") or "") or None


def _limits(container: Object) -> dict[str, int]:
    """Limits that protect the machine; the launcher enforces the container's own memory limit."""
    limits = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": FILE_LIMIT}
    memory = _memory(container)
    return {**limits, "RLIMIT_DATA": memory + ADDRESS_SPACE_ALLOWANCE} if memory else limits


def _process_limit() -> dict[str, int]:
    """Without a user namespace, all processes of the user count, regardless of what started them."""
    counts = pathlib.Path("/proc/loadavg")
    if not counts.exists():
        return {}
    running = int(counts.read_text(encoding="ascii").split()[3].partition("/")[2])
    return {"RLIMIT_NPROC": running + PROCESS_LIMIT}
