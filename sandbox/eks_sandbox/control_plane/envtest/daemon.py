# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Programs that run as long as a cluster does, and never longer than the sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pathlib
import sys
import typing as t

log = logging.getLogger(__name__)

GUARD = pathlib.Path(__file__).with_name("guard.py")
#: How many lines of a program's log are repeated when it ends by itself.
LAST_WORDS = 5


class DaemonError(Exception):
    """A program has ended that should run; the text has its last words."""


class Daemon:
    """One running program; it writes to its own log file."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log_path: pathlib.Path) -> None:
        self._name = name
        self._process = process
        self._log_path = log_path
        self._watch: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, program: pathlib.Path, arguments: t.Sequence[str], directory: pathlib.Path) -> Daemon:
        """Start a program in this directory; it logs to ``<program>.log`` there."""
        log_path = directory / f"{program.name}.log"
        with log_path.open("wb") as stream:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(GUARD), str(os.getpid()), str(program), *arguments),
                cwd=directory,
                env={},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                # Ctrl-C at the sandbox's terminal is for the sandbox, which stops its programs in the right order.
                start_new_session=True,
            )
        return cls(program.name, process, log_path)

    def ensure_running(self) -> None:
        """See that it has not ended.

        :raises DaemonError: it has.
        """
        if self._process.returncode is not None:
            raise DaemonError(self._obituary())

    def watch(self) -> None:
        """From now on, log if the program ends by itself."""
        self._watch = asyncio.create_task(self._report_end(), name=f"watch-{self._name}")

    async def stop(self) -> None:
        """Kill it immediately: its data is deleted with the cluster."""
        if self._watch is not None:
            self._watch.cancel()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def _report_end(self) -> None:
        await self._process.wait()
        log.error("%s", self._obituary())

    def _obituary(self) -> str:
        lines = self._log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        last = "\n".join(lines[-LAST_WORDS:])
        return f"{self._name} has ended with status {self._process.returncode}; {self._log_path} ends with:\n{last}"
