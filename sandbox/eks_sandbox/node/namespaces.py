# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pods in Linux namespaces: their own file system, processes and network, without any privilege on the machine.

A pod's network is a loopback interface and nothing else. What the pod may reach listens there: the sockets are created
in the pod's network and passed to the sandbox, which forwards each connection to the real address.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import platform
import socket
import struct
import subprocess
import sys
import tempfile
import typing as t

from eks_sandbox.node.processes import Command
from eks_sandbox.node.processes import Isolation
from eks_sandbox.node.processes import Process
from eks_sandbox.node.processes import StartError
from eks_sandbox.node.processes import shim
from eks_sandbox.node.shim.pod import MESSAGE_SIZE

Address = tuple[str, int]
#: Seconds that making namespaces may take on a busy machine.
PATIENCE = 30.0
CHUNK = 64 * 1024


class NamespaceError(Exception):
    """The machine does not allow creating namespaces; the text says why."""


class Namespaces:
    """What the containers of one pod share."""

    def __init__(self, files: dict[str, t.BinaryIO], listening: dict[Address, socket.socket]) -> None:
        self._files = files
        #: Sockets that listen in the pod's network.
        self.listening = listening

    @classmethod
    def make(cls, hostname: str, addresses: t.Sequence[str], listen: t.Sequence[Address]) -> Namespaces:
        """New ones, with a network that has these addresses; without addresses the network stays the machine's.

        :raises NamespaceError: the machine does not allow it.
        """
        answer, descriptors = _ask({"hostname": hostname, "addresses": addresses, "listen": listen})
        shared = answer["shared"]
        files: dict[str, t.BinaryIO] = {}
        for name, number in zip(shared, descriptors, strict=False):
            files[name] = os.fdopen(number, "rb")
        listening = {
            (address, port): socket.socket(fileno=descriptor)
            for (address, port), descriptor in zip(answer["listening"], descriptors[len(shared) :], strict=True)
        }
        return cls(files, listening)

    @property
    def joined(self) -> dict[str, int]:
        """Descriptors by the names of ``/proc/PID/ns``."""
        return {name: file.fileno() for name, file in self._files.items()}

    def connectable(self) -> socket.socket:
        """A socket that reaches what listens in the pod."""
        asked = {"user": self.joined["user"], "net": self.joined["net"]}
        _, [descriptor] = _ask(asked, pass_fds=tuple(asked.values()))
        return socket.socket(fileno=descriptor)

    def close(self) -> None:
        """Let them go; they end with the last process in them."""
        for file in self._files.values():
            file.close()
        for listener in self.listening.values():
            listener.close()


def _ask(asked: dict[str, t.Any], pass_fds: t.Sequence[int] = ()) -> tuple[dict[str, t.Any], list[int]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(PATIENCE)
        command = shim("pod", theirs.fileno())
        process = subprocess.Popen(
            command, env={}, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(), *pass_fds), start_new_session=True
        )
        theirs.close()
        ours.sendall(json.dumps(asked).encode())
        try:
            message, descriptors, _, _ = socket.recv_fds(ours, MESSAGE_SIZE, 64)
        finally:
            process.wait(PATIENCE)
    answer = json.loads(message or b'{"failed": "the process that makes them has ended"}')
    if "failed" in answer:
        raise NamespaceError(f"namespaces cannot be made: {answer['failed']}")
    return answer, descriptors


@contextlib.contextmanager
def entered(process: int) -> t.Iterator[dict[str, int]]:
    """Descriptors of the namespaces that a running container has for itself.

    :raises StartError: it has just ended.
    """
    opened: dict[str, int] = {}
    try:
        for name in ("mnt", "pid"):
            opened[name] = os.open(f"/proc/{process}/ns/{name}", os.O_RDONLY)
        yield opened
    except FileNotFoundError as error:
        raise StartError("the container has ended") from error
    finally:
        for descriptor in opened.values():
            os.close(descriptor)


class Forwards:
    """Connects what listens in a pod with where it really is."""

    def __init__(self, targets: t.Mapping[Address, Address]) -> None:
        #: Where a pod connects to, and where that is.
        self.targets = targets
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, listening: t.Mapping[Address, socket.socket]) -> None:
        """Accept connections from now on."""
        for address, listener in listening.items():
            self._servers.append(await asyncio.start_server(self._accepting(self.targets[address]), sock=listener))

    def close(self) -> None:
        """Stop accepting, and close all connections."""
        for server in self._servers:
            server.close()
        for connection in self._connections:
            connection.cancel()

    def _accepting(self, target: Address) -> t.Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = asyncio.get_running_loop().create_task(_connect(target, reader, writer))
            self._connections.add(connection)
            connection.add_done_callback(self._connections.discard)

        return accepted


async def _connect(target: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy both ways. If the target does not answer, reset the client's connection: the sandbox never answers."""
    far_writer = None
    try:
        far_reader, far_writer = await asyncio.open_connection(*target)
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
    except OSError:
        _reset(writer)
    finally:
        writer.close()
        if far_writer is not None:
            far_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while part := await reader.read(CHUNK):
        writer.write(part)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def available() -> str | None:
    """None when pods in namespaces work on this machine, otherwise why they do not; found by trying."""
    if sys.platform != "linux":
        return f"{platform.system() or sys.platform} has none"
    try:
        with tempfile.TemporaryDirectory(prefix="eks-sandbox-") as directory:
            return asyncio.run(_trial(pathlib.Path(directory)))
    except (NamespaceError, StartError) as error:
        return str(error)


async def _trial(directory: pathlib.Path) -> str | None:
    """Run one command as a container does."""
    from eks_sandbox.node.filesystem import base_plan

    namespaces = await asyncio.to_thread(Namespaces.make, "trial", ["127.0.0.1"], [("127.0.0.1", 1)])
    with contextlib.closing(namespaces):
        isolation = Isolation(namespaces.joined, base_plan(directory), user=1, group=1, no_new_privileges=True)
        command = Command(("/bin/sh", "-c", "exit 0"), {}, pathlib.PurePath("/"), isolation=isolation)
        process = await Process.start(command)
        status = await process.wait()
    return None if status == 0 else f"a command in namespaces ended with status {status}"
