# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes a container's log in the format of the container runtime interface: time stamp, stream, F or P, text."""

from __future__ import annotations

import os
import pathlib
import time

#: Longest piece of a line in one entry, as containerd cuts them.
PIECE = 16 * 1024
#: Size at which a log is rotated, in bytes (kubelet's containerLogMaxSize).
SIZE_LIMIT = 10 * 2**20


class Log:
    """One log file. The one before it is kept beside it, as kubelet keeps some: ``kubectl logs`` shows the last."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = 0
        self._rest: dict[str, bytes] = {}

    def write(self, stream: str, part: bytes) -> None:
        """What came from a stream; nothing means that the stream has ended."""
        *lines, rest = (self._rest.pop(stream, b"") + part).split(b"\n")
        entries = [self._entry(stream, b"F", line) for line in lines]
        if rest and (len(rest) >= PIECE or not part):
            entries.append(self._entry(stream, b"P", rest))
        elif rest:
            self._rest[stream] = rest
        content = b"".join(entries)
        if content:
            os.write(self._file, content)
            self._size += len(content)
        if self._size >= SIZE_LIMIT:
            self._begin_anew()

    @staticmethod
    def _entry(stream: str, tag: bytes, text: bytes) -> bytes:
        seconds, nanoseconds = divmod(time.time_ns(), 10**9)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        return f"{moment}.{nanoseconds:09d}Z {stream} ".encode() + tag + b" " + text + b"\n"

    def _begin_anew(self) -> None:
        os.close(self._file)
        pathlib.Path(self._path).replace(f"{self._path}.old")
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = 0
