# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The first process of a container: starts its command, and takes every descendant with it when it ends.

Runs as ``python -I -S launcher.py CONTROL REPORT SPEC``: two inherited file descriptors and a JSON object. It uses the
standard library only and starts in about 20 ms.

The kubelet holds the other end of CONTROL. One letter there is an order (``T``: terminate, ``K``: kill), and its end
means that the kubelet is gone, be it by ``kill -9``: then everything here is killed, on any operating system. On REPORT
goes the reason when the command cannot be started.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pathlib
import resource
import select
import signal
import sys
import time
import typing as t

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
#: Exit status of a container whose command cannot be started, as containerd reports it.
NOT_STARTED = 128
#: Seconds between looks at the child.
PERIOD = 0.5


def control_process(option: int, value: int) -> None:
    """``prctl``, where there is one."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def become_command(spec: dict[str, t.Any], report: int) -> t.NoReturn:
    """In the child: turn into the container's command."""
    try:
        os.setsid()
        control_process(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        for name, value in spec["limits"].items():
            resource.setrlimit(getattr(resource, name), (value, value))
        os.chdir(spec["directory"])
        os.execvpe(spec["command"][0], spec["command"], os.environ)
    except OSError as error:
        os.write(report, f"{error.strerror or error}".encode())
    finally:
        os._exit(NOT_STARTED)


def children() -> list[int]:
    """Processes whose parent is this one: the command's orphans come here, as this is their reaper."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            if int(entry.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(entry.parent.name))
    return found


def kill_all(child: int) -> None:
    """Kill the command's process group, then whoever is left below this process, until there is nobody."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    while left := children():
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.005)


def reaped(child: int) -> int | None:
    """Collect the dead; the exit status of the command once it has ended."""
    with contextlib.suppress(ChildProcessError):
        while True:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return None
            if process == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
    return NOT_STARTED


def supervise(child: int, control: int, wake: int) -> int:
    """Obey the kubelet until the command has ended; returns its exit status."""
    while True:
        status = reaped(child)
        if status is not None:
            return status
        ready, _, _ = select.select([control, wake], [], [], PERIOD)
        if wake in ready:
            os.read(wake, 512)
        if control in ready:
            order = os.read(control, 1)
            if order == b"T":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGTERM)
            else:
                kill_all(child)
                return 128 + signal.SIGKILL


def wake_descriptor() -> int:
    """A descriptor that becomes readable when a child ends."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.signal(signal.SIGCHLD, _nothing)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    return reading


def _nothing(number: int, frame: object) -> None:
    """Signals only wake this process up."""


def main() -> int:
    """Start, supervise, clean up."""
    control, report, spec = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    control_process(PR_SET_CHILD_SUBREAPER, 1)
    os.set_inheritable(control, False)
    os.set_inheritable(report, False)
    # The kubelet decides when a container ends, not a Ctrl-C at its terminal.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    wake = wake_descriptor()
    child = os.fork()
    if child == 0:
        become_command(spec, report)
    os.close(report)
    status = supervise(child, control, wake)
    kill_all(child)
    return status


if __name__ == "__main__":
    sys.exit(main())
