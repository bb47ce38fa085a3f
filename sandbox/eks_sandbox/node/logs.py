# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads container logs in the format of the container runtime interface, as ``shim/log.py`` writes them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import os
import pathlib
import typing as t

#: Seconds between reads of a log that is followed.
FOLLOW_PERIOD = 0.05


@dataclasses.dataclass(frozen=True)
class LogOptions:
    """The requested part of a log."""

    tail: int | None = None
    since: datetime.datetime | None = None
    timestamps: bool = False
    limit: int | None = None
    follow: bool = False

    @classmethod
    def read(cls, query: t.Mapping[str, str]) -> LogOptions:
        """From the query of a request.

        :raises ValueError: a number or a time stamp is none.
        """
        since = None
        if text := query.get("sinceSeconds"):
            since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=int(text))
        elif text := query.get("sinceTime"):
            since = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
        tail, limit = query.get("tailLines"), query.get("limitBytes")
        return cls(
            tail=int(tail) if tail else None,
            since=since,
            timestamps=query.get("timestamps") == "true",
            limit=int(limit) if limit else None,
            follow=query.get("follow") == "true",
        )

    def shown(self, line: bytes) -> bytes:
        """A line of the file as the reader gets it; empty when it is too old."""
        moment, _, rest = line.rstrip(b"\n").partition(b" ")
        _, _, rest = rest.partition(b" ")
        tag, _, text = rest.partition(b" ")
        if self.since and datetime.datetime.fromisoformat(moment.decode()[:26] + "+00:00") < self.since:
            return b""
        ending = b"\n" if tag == b"F" else b""
        return (moment + b" " if self.timestamps else b"") + text + ending


async def read(
    path: pathlib.Path, options: LogOptions, is_running: t.Callable[[], bool]
) -> t.AsyncGenerator[bytes, None]:
    """Pieces of a log; one that is followed ends after the container has ended."""
    left = options.limit
    async with contextlib.aclosing(_lines(path, options, is_running)) as pieces:
        async for piece in pieces:
            yield piece[:left]
            left = None if left is None else left - len(piece)
            if left is not None and left <= 0:
                return


def ending(path: pathlib.Path, lines: int) -> bytes:
    """The last lines of the log of a container that has ended."""
    with path.open("rb") as file:
        return b"".join(LogOptions().shown(line) for line in file.readlines()[-lines:])


async def _lines(
    path: pathlib.Path, options: LogOptions, is_running: t.Callable[[], bool]
) -> t.AsyncGenerator[bytes, None]:
    file = path.open("rb")
    try:
        first = file.readlines()
        begun = first.pop() if first and not first[-1].endswith(b"\n") else b""
        if options.tail is not None:
            first = first[-options.tail :] if options.tail else []
        yield b"".join(options.shown(line) for line in first)
        while options.follow:
            # Checked before reading, so that nothing written in between is lost.
            running, is_old = is_running(), _is_old(file, path)
            *lines, begun = (begun + file.read()).split(b"\n")
            if lines:
                yield b"".join(options.shown(line) for line in lines)
            if is_old:
                file.close()
                file = path.open("rb")
            elif not running:
                return
            else:
                await asyncio.sleep(FOLLOW_PERIOD)
    finally:
        file.close()


def _is_old(file: t.BinaryIO, path: pathlib.Path) -> bool:
    """Whether the log was rotated since the file was opened."""
    return os.fstat(file.fileno()).st_ino != path.stat().st_ino
