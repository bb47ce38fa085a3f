# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A terminal between a client far away and a command here."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import pathlib
import struct
import termios
import typing as t

from eks_sandbox.node.shim.log import Log

CHUNK = 16 * 1024


class Terminal:
    """A pseudo-terminal: the command has one side of it, the sandbox the other."""

    def __init__(self) -> None:
        self._master, self.slave = os.openpty()
        #: Where the client's keys go, once it is opened.
        self.keyboard: asyncio.StreamWriter | None = None

    async def opened(self) -> asyncio.StreamReader:
        """What the command shows; from here on only the command holds its side."""
        os.close(self.slave)
        self.slave = -1
        loop = asyncio.get_running_loop()
        screen = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(screen)
        reading = os.fdopen(os.dup(self._master), "rb", buffering=0)
        await loop.connect_read_pipe(lambda: protocol, reading)
        writing = os.fdopen(os.dup(self._master), "wb", buffering=0)
        transport, flow = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, writing)
        self.keyboard = asyncio.StreamWriter(transport, flow, None, loop)
        return screen

    def resize(self, message: bytes) -> None:
        """The client's window has another size: ``{"Width": 80, "Height": 24}``; kubelet ignores nonsense, too."""
        try:
            size = json.loads(message)
            packed = struct.pack("HHHH", int(size["Height"]), int(size["Width"]), 0, 0)
        except (ValueError, KeyError, TypeError, struct.error):
            return
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, packed)

    def close(self) -> None:
        """Hang up."""
        if self.keyboard is not None:
            self.keyboard.close()
        for descriptor in (self._master, self.slave):
            if descriptor >= 0:
                os.close(descriptor)


class Screen:
    """What the command of a container shows on its terminal: into its log, and to every attached client."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self._watchers: set[asyncio.Queue[bytes]] = set()
        self._ended = False

    async def record(self, path: pathlib.Path) -> None:
        """Wait until the command and all processes that share its terminal have ended."""
        log = Log(str(path))
        try:
            # A terminal whose last process has ended answers with an error.
            with contextlib.suppress(OSError):
                screen = await self.terminal.opened()
                while part := await screen.read(CHUNK):
                    self._show(log, part)
        finally:
            self._ended = True
            self._show(log, b"")
            self.terminal.close()

    def _show(self, log: Log, part: bytes) -> None:
        log.write("stdout", part)
        for watcher in self._watchers:
            watcher.put_nowait(part)

    async def watch(self) -> t.AsyncGenerator[bytes, None]:
        """The output from now on."""
        watcher: asyncio.Queue[bytes] = asyncio.Queue()
        self._watchers.add(watcher)
        try:
            while not self._ended or not watcher.empty():
                part = await watcher.get()
                if not part:
                    return
                yield part
        finally:
            self._watchers.discard(watcher)
