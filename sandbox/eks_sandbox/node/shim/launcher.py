# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parent of a container's first process: starts its command, and ends every descendant when it ends.

It talks with the sandbox over one socket. The sandbox first sends the command (a JSON object after its length), then
orders of one letter (``T``: terminate, ``K``: kill). If the socket closes, the sandbox is gone, even after ``kill -9``:
then the launcher kills everything here, on any operating system. It answers with lines of JSON: ``{"pid": …}`` or
``{"failed": …}``, and later ``{"out_of_memory": true}`` if that is why the container was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import resource
import select
import signal
import socket
import struct
import termios
import time
import typing as t

# Needed by os.execvpe, when this process no longer sees where Python is.
import warnings  # noqa: F401

from eks_sandbox.node.shim import kernel
from eks_sandbox.node.shim import root
from eks_sandbox.node.shim.log import Log

#: Exit status of a container whose command cannot be started, as containerd reports it.
NOT_STARTED = 128
KILLED = 128 + signal.SIGKILL
#: Seconds between memory checks of a container that has a limit.
MEMORY_PERIOD = 0.25
CHUNK = 64 * 1024
_KINDS = {
    "user": kernel.CLONE_NEWUSER,
    "net": kernel.CLONE_NEWNET,
    "ipc": kernel.CLONE_NEWIPC,
    "uts": kernel.CLONE_NEWUTS,
    "pid": kernel.CLONE_NEWPID,
    "mnt": kernel.CLONE_NEWNS,
}
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Channel:
    """The sandbox's end of a container."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.set_inheritable(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def specification(self) -> dict[str, t.Any]:
        """What to run; raises ConnectionError if the sandbox ended before it sent the command."""
        [size] = struct.unpack("!I", self._whole(4))
        document: dict[str, t.Any] = json.loads(self._whole(size))
        return document

    def _whole(self, size: int) -> bytes:
        part = self._socket.recv(size, socket.MSG_WAITALL)
        if len(part) < size:
            raise ConnectionError("the sandbox is gone")
        return part

    def order(self) -> bytes:
        """One letter; nothing when the sandbox is gone."""
        try:
            return self._socket.recv(1)
        except ConnectionError:
            return b""

    def send(self, **message: t.Any) -> None:
        """Send a message to the sandbox, if it still runs."""
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            self._socket.sendall(json.dumps(message).encode() + b"\n")


def join_namespaces(joined: dict[str, int]) -> None:
    """Enter a pod's namespaces; children of this process are in a new process namespace, or in the pod's."""
    for descriptor in joined.values():
        os.set_inheritable(descriptor, False)
    for name in ("user", "net", "ipc", "uts", "pid"):
        if name in joined:
            kernel.join(joined[name], _KINDS[name])
    if "pid" not in joined:
        kernel.unshare(kernel.CLONE_NEWPID)


def become_command(spec: dict[str, t.Any], report: int, alive: int) -> t.NoReturn:
    """In the child: turn into the container's command."""
    try:
        os.setsid()
        if spec["terminal"]:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        os.umask(0o022)
        isolation = spec["isolation"]
        if isolation:
            enter_container(isolation)
        for name, value in spec["limits"].items():
            resource.setrlimit(getattr(resource, name), (value, value))
        if isolation:
            give_up_privileges(isolation)
        die_with_parent(alive)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.chdir(spec["directory"])
        os.execvpe(spec["command"][0], spec["command"], spec["environment"])
    except BaseException as error:
        os.write(report, str(getattr(error, "strerror", None) or repr(error)).encode())
    finally:
        os._exit(NOT_STARTED)


def enter_container(isolation: dict[str, t.Any]) -> None:
    """Into the mounts of the container that runs already, or into new ones."""
    if "mnt" in isolation["joined"]:
        kernel.join(isolation["joined"]["mnt"], kernel.CLONE_NEWNS)
    else:
        root.enter(isolation["root"])
        with contextlib.suppress(OSError):
            # Since Linux 6.14 each process namespace has its own limit; before, only users have one.
            kernel.write("/proc/sys/kernel/pid_max", str(isolation["processes"]))


def give_up_privileges(isolation: dict[str, t.Any]) -> None:
    """Become the container's user, with no more capabilities than it may have."""
    for capability in range(kernel.last_capability() + 1):
        if capability not in isolation["capabilities"]:
            kernel.control_process(kernel.PR_CAPBSET_DROP, capability)
    user, group = isolation["user"]
    if (user, group) != (0, 0):
        kernel.enter_user_namespace(user, group)
    if isolation["no_new_privileges"]:
        kernel.control_process(kernel.PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent(alive: int) -> None:
    """End when the launcher is killed; ``alive`` is a pipe that only the launcher can write to."""
    kernel.control_process(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    poll = select.poll()
    poll.register(alive, 0)
    if poll.poll(0):
        os._exit(KILLED)


def descendants(process: int) -> list[int]:
    """Every process below this one, while it runs."""
    found = []
    for path in pathlib.Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, path.read_text().split()):
                found += [child, *descendants(child)]
    return found


def memory_of(processes: t.Iterable[int]) -> int:
    """Bytes of memory that these processes do not share with a file."""
    pages = 0
    for process in processes:
        with contextlib.suppress(OSError):
            _, resident, shared, *_ = pathlib.Path(f"/proc/{process}/statm").read_text().split()
            pages += int(resident) - int(shared)
    return pages * _PAGE


def children() -> list[int]:
    """Processes whose parent is this one: without a process namespace, the command's orphans become its children."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            if int(entry.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(entry.parent.name))
    return found


def kill_all(child: int) -> None:
    """Kill the command and its process group, then all remaining processes below this one."""
    for kill in (os.kill, os.killpg):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(child, signal.SIGKILL)
    while left := children():
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.005)


class Supervisor:
    """Obeys the sandbox and keeps the log until the command has ended."""

    def __init__(self, channel: Channel, spec: dict[str, t.Any], child: int, streams: dict[int, str]) -> None:
        self._channel = channel
        self._memory: int | None = spec["memory"]
        self._child = child
        self._streams = streams
        self._log = Log(spec["log"]) if spec["log"] else None
        self._wake = wake_descriptor()
        self._next_look = 0.0

    def run(self) -> int:
        """Returns the exit status when nothing of the command is left and its log is complete."""
        # It may have ended before there was anything to wake up.
        status = reaped(self._child)
        while status is None:
            status = self._step()
        kill_all(self._child)
        while self._streams:
            self._read(next(iter(self._streams)))
        return status

    def _step(self) -> int | None:
        period = MEMORY_PERIOD if self._memory else None
        orders = self._channel.fileno()
        ready, _, _ = select.select([orders, self._wake, *self._streams], [], [], period)
        for descriptor in self._streams.keys() & set(ready):
            self._read(descriptor)
        if self._wake in ready:
            os.read(self._wake, 512)
        if orders in ready:
            if self._channel.order() != b"T":
                return KILLED
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGTERM)
        return KILLED if self._is_out_of_memory() else reaped(self._child)

    def _is_out_of_memory(self) -> bool:
        if not self._memory or time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + MEMORY_PERIOD
        if memory_of([self._child, *descendants(self._child)]) <= self._memory:
            return False
        self._channel.send(out_of_memory=True)
        return True

    def _read(self, descriptor: int) -> None:
        part = os.read(descriptor, CHUNK)
        if self._log is not None:
            self._log.write(self._streams[descriptor], part)
        if not part:
            os.close(descriptor)
            del self._streams[descriptor]


def reaped(child: int) -> int | None:
    """Collect ended processes; the exit status of the command once it has ended."""
    with contextlib.suppress(ChildProcessError):
        while True:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return None
            if process == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
    return NOT_STARTED


def wake_descriptor() -> int:
    """A descriptor that becomes readable when a child ends."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    return reading


def _nothing(number: int, frame: object) -> None:
    """Signals only wake this process up."""


def start(spec: dict[str, t.Any]) -> tuple[int, str, dict[int, str]]:
    """Start the command; returns its process, why it could not be started, and its streams if there is a log."""
    report, failing = os.pipe()
    alive, living = os.pipe()
    pipes = {name: os.pipe() for name in ("stdout", "stderr")} if spec["log"] else {}
    child = os.fork()
    if child == 0:
        os.close(living)
        for number, (_, writing) in enumerate(pipes.values(), start=1):
            os.dup2(writing, number)
        become_command(spec, failing, alive)
    os.close(failing)
    os.close(alive)
    for _, writing in pipes.values():
        os.close(writing)
    with os.fdopen(report, "rb") as stream:
        reason = stream.read().decode(errors="replace")
    return child, reason, {reading: name for name, (reading, _) in pipes.items()}


def main(descriptor: int) -> int:
    """Start, supervise, clean up."""
    channel = Channel(descriptor)
    try:
        spec = channel.specification()
    except ConnectionError:
        return NOT_STARTED
    kernel.control_process(kernel.PR_SET_CHILD_SUBREAPER, 1)
    # The kubelet decides when a container ends, not a Ctrl-C at its terminal.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, _nothing)
    try:
        if spec["isolation"]:
            join_namespaces(spec["isolation"]["joined"])
        child, reason, streams = start(spec)
    except OSError as error:
        channel.send(failed=str(error.strerror or error))
        return NOT_STARTED
    if reason:
        channel.send(failed=reason)
        return NOT_STARTED
    channel.send(pid=child)
    return Supervisor(channel, spec, child, streams).run()
