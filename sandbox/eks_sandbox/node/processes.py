# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Containers as process trees that never outlive the kubelet."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import pathlib
import sys
import typing as t

LAUNCHER = pathlib.Path(__file__).with_name("launcher.py")


class StartError(Exception):
    """The command cannot be started."""


@dataclasses.dataclass(frozen=True)
class Command:
    """What a container runs."""

    arguments: t.Sequence[str]
    environment: t.Mapping[str, str]
    directory: pathlib.Path
    #: Names of ``resource.RLIMIT_…`` and their values.
    limits: t.Mapping[str, int] = dataclasses.field(default_factory=dict)


class Process:
    """One running command, under its launcher."""

    def __init__(self, process: asyncio.subprocess.Process, control: int) -> None:
        self._process = process
        self._control: int | None = control

    @classmethod
    async def start(cls, command: Command, *, with_input: bool = False) -> Process:
        """Start a command; its standard output and error come by pipes.

        :raises StartError: there is no such program, or it may not be run.
        """
        control_read, control_write = os.pipe()
        report_read, report_write = os.pipe()
        spec = {"command": command.arguments, "directory": str(command.directory), "limits": command.limits}
        arguments = [str(LAUNCHER), str(control_read), str(report_write), json.dumps(spec)]
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                *arguments,
                env=dict(command.environment),
                stdin=pipe if with_input else null,
                stdout=pipe,
                stderr=pipe,
                pass_fds=(control_read, report_write),
                start_new_session=True,
                limit=2**20,
            )
        except BaseException:
            os.close(control_write)
            os.close(report_read)
            raise
        finally:
            os.close(control_read)
            os.close(report_write)
        started = cls(process, control_write)
        # The report ends when the command has replaced the launcher's child, or says why it could not.
        reason = await asyncio.to_thread(_read_all, report_read)
        if reason:
            await started.wait()
            program = command.arguments[0]
            raise StartError(f'exec: "{program}": {reason.decode(errors="replace")}')
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
        """Standard input, if it was asked for."""
        return self._process.stdin

    @property
    def pid(self) -> int:
        """The launcher's process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """The exit status, 128 and the signal's number for a killed command."""
        status = await self._process.wait()
        self._close_control()
        return status

    def terminate(self) -> None:
        """Ask the command to end (SIGTERM)."""
        self._order(b"T")

    def kill(self) -> None:
        """End the command and all its descendants at once."""
        self._order(b"K")

    async def stop(self, grace: float) -> int:
        """Ask, wait up to ``grace`` seconds, kill; returns the exit status."""
        if grace > 0:
            self.terminate()
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(self.wait(), grace)
        self.kill()
        return await self.wait()

    def _order(self, letter: bytes) -> None:
        if self._control is not None and self.is_running:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._control, letter)

    def _close_control(self) -> None:
        if self._control is not None:
            os.close(self._control)
            self._control = None


def _read_all(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read()
