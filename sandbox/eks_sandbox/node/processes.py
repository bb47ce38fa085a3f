# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Processes that never outlive the sandbox: those of containers, and any other that the sandbox needs."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import pathlib
import socket
import struct
import sys
import typing as t

SOURCES = pathlib.Path(__file__).resolve().parents[2]
#: Starts quickly, and heeds nothing of the caller's environment.
PYTHON = (sys.executable, "-I", "-S", "-c")


class StartError(Exception):
    """The command cannot be started."""


def shim(module: str, descriptor: int) -> list[str]:
    """The command line of a program of ``shim/`` that talks over this descriptor."""
    program = f"import sys; sys.path.append({str(SOURCES)!r}); from eks_sandbox.node.shim import {module} as program; "
    return [*PYTHON, f"{program}sys.exit(program.main({descriptor}))"]


@dataclasses.dataclass(frozen=True)
class Isolation:
    """The namespaces that a command runs in."""

    #: Descriptors of namespaces to enter, by their names below ``/proc/PID/ns``.
    joined: t.Mapping[str, int]
    #: The file system to create if ``mnt`` is not entered (``shim/root.py`` describes it).
    root: t.Mapping[str, t.Any] | None = None
    user: int = 0
    group: int = 0
    #: Numbers of the capabilities that it may have.
    capabilities: t.Sequence[int] = ()
    no_new_privileges: bool = False
    #: How many processes there may be.
    processes: int = 0


@dataclasses.dataclass(frozen=True)
class Command:
    """What to run."""

    arguments: t.Sequence[str]
    environment: t.Mapping[str, str]
    directory: pathlib.PurePath
    #: Names of ``resource.RLIMIT_…`` and their values.
    limits: t.Mapping[str, int] = dataclasses.field(default_factory=dict)
    #: Bytes of memory after which it is killed.
    memory: int | None = None
    #: Where its output goes as a container's log; None: to :attr:`Process.output` and :attr:`Process.errors`.
    log: pathlib.Path | None = None
    isolation: Isolation | None = None

    def specification(self, *, terminal: bool) -> bytes:
        """For the launcher."""
        fields = dataclasses.asdict(self)
        if self.isolation is not None:
            fields["isolation"]["user"] = (self.isolation.user, self.isolation.group)
        document = {**fields, "command": list(self.arguments), "terminal": terminal}
        return json.dumps(document, default=str).encode()


class Process:
    """One running command, under its launcher."""

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket) -> None:
        self._process = process
        self._channel = channel
        #: The command's own process id, as this machine knows it.
        self.pid = 0
        #: Whether it was killed because it used more memory than it may.
        self.is_out_of_memory = False

    @classmethod
    async def start(cls, command: Command, *, with_input: bool = False, terminal: int | None = None) -> Process:
        """Start a command; ``terminal`` is the descriptor of one that it gets for input, output and errors.

        :raises StartError: the program does not exist, or may not be run.
        """
        ours, theirs = socket.socketpair()
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        streams = (pipe, pipe) if command.log is None else (null, None)
        joined = command.isolation.joined.values() if command.isolation else ()
        try:
            process = await asyncio.create_subprocess_exec(
                *shim("launcher", theirs.fileno()),
                env={},
                stdin=terminal or (pipe if with_input else null),
                stdout=terminal or streams[0],
                stderr=terminal or streams[1],
                pass_fds=(theirs.fileno(), *joined),
                start_new_session=True,
                limit=2**20,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        started = cls(process, ours)
        try:
            await started._specify(command.specification(terminal=terminal is not None))
        except BaseException:
            started._channel.close()
            raise
        return started

    @property
    def output(self) -> asyncio.StreamReader:
        """Standard output."""
        return t.cast(asyncio.StreamReader, self._process.stdout)

    @property
    def errors(self) -> asyncio.StreamReader:
        """Standard error."""
        return t.cast(asyncio.StreamReader, self._process.stderr)

    @property
    def input(self) -> asyncio.StreamWriter | None:
        """Standard input, if it was requested."""
        return self._process.stdin

    @property
    def is_running(self) -> bool:
        """Whether it is still running."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """The exit status, 128 and the signal's number for a killed command."""
        status = await self._process.wait()
        with contextlib.suppress(BlockingIOError, ConnectionError, OSError):
            self.is_out_of_memory |= b"out_of_memory" in self._channel.recv(4096)
        self._channel.close()
        return status if status >= 0 else 128 - status

    def terminate(self) -> None:
        """Send SIGTERM to the command."""
        self._order(b"T")

    def kill(self) -> None:
        """Kill the command and all its descendants."""
        self._order(b"K")

    async def stop(self, grace: float) -> int:
        """Send SIGTERM, wait up to ``grace`` seconds, kill; returns the exit status."""
        if grace > 0:
            self.terminate()
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(self.wait(), grace)
        self.kill()
        return await self.wait()

    async def _specify(self, specification: bytes) -> None:
        """Send the command, and wait until it runs or fails."""
        loop = asyncio.get_running_loop()
        answer = b""
        with contextlib.suppress(ConnectionError):
            await loop.sock_sendall(self._channel, struct.pack("!I", len(specification)) + specification)
            while not answer.endswith(b"\n") and (part := await loop.sock_recv(self._channel, 4096)):
                answer += part
        told = json.loads(answer or b'{"failed": "the launcher has ended"}')
        if "failed" in told:
            await self.wait()
            program = json.loads(specification)["command"][0]
            raise StartError(f'exec: "{program}": {told["failed"]}')
        self.pid = told["pid"]

    def _order(self, letter: bytes) -> None:
        if self.is_running:
            with contextlib.suppress(OSError):
                self._channel.send(letter)
