# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What a module says while it works.

A module cannot print; the action plugin of the same name (``plugins/action``, ``plugins/plugin_utils/progress.py``)
names a file, follows it, and shows its lines. Where nobody follows, over a connection to another machine for one,
nothing is written.
"""

from __future__ import annotations

import os
import pathlib
import threading
import time
import typing as t

#: The environment variable with the path of the file.
VARIABLE = "PODIDENTITY_EKS_PROGRESS"
#: Seconds until the first line, and between two.
INTERVAL = 10.0


class Report:
    """Says every ten seconds how far something is, while its block runs."""

    def __init__(self, subject: str, describe: t.Callable[[], str] = str) -> None:
        """:param describe: what to say now beside the note; called from a thread of its own."""
        self._subject = subject
        self._describe = describe
        self._file = os.environ.get(VARIABLE)
        self._began = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        #: What is going on, such as what is waited for.
        self.note = ""

    def __enter__(self) -> t.Self:
        if self._file:
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        if self._file:
            self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(INTERVAL):
            seconds = time.monotonic() - self._began
            words = "; ".join(filter(None, [self.note, self._describe()]))
            self._say(f"{self._subject}, {seconds:.0f} s: {words}")

    def _say(self, line: str) -> None:
        try:
            with pathlib.Path(str(self._file)).open("a", encoding="utf-8") as lines:
                lines.write(f"{line}\n")
        except OSError:
            # The work is what counts: who runs as another user may not write there, and waits in silence.
            self._over.set()
