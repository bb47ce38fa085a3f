# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Showing what a module says while it works; the module's side is ``module_utils/_eks/progress.py``.

A module cannot print, and a wait of twenty minutes without a word looks like a hang. So the action plugin of a waiting
module makes a file, names it to the module in its environment, follows it and shows each line as it comes:
ansible-playbook prints it, and ansible-runner, and with it AWX, makes an event of it.
"""

from __future__ import annotations

import pathlib
import signal
import tempfile
import threading
import typing as t

from ansible import constants
from ansible.plugins.action.normal import ActionModule as NormalAction
from ansible.utils.display import Display

from ..module_utils._eks.progress import VARIABLE

#: Seconds between two looks at the file.
LOOK = 0.5


class ProgressAction(NormalAction):  # type: ignore[misc]  # ansible has no types
    """Runs the module of the same name as any module is run, and shows what it says meanwhile.

    Over a connection to another machine there is no file to follow, and the module waits in silence.
    """

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        if self._connection.transport != "local" or self._task.async_val:
            return t.cast("dict[str, t.Any]", super().run(tmp, task_vars))
        host = (task_vars or {}).get("inventory_hostname", "")
        environment = self._task.environment
        with tempfile.TemporaryDirectory(dir=constants.DEFAULT_LOCAL_TMP) as folder:
            path = pathlib.Path(folder) / "progress"
            self._task.environment = [*(environment or []), {VARIABLE: str(path)}]
            try:
                with Follower(path, host):
                    return t.cast("dict[str, t.Any]", super().run(tmp, task_vars))
            finally:
                self._task.environment = environment


class Follower:
    """Shows the lines of a file as they are written, while its block runs."""

    def __init__(self, path: pathlib.Path, host: str) -> None:
        self._path = path
        self._host = host
        self._shown = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> t.Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        # A signal that this thread takes does not wake the main thread, which waits for the module.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        while not self._over.wait(LOOK):
            self._show()
        self._show()

    def _show(self) -> None:
        if not self._path.exists():
            return
        lines = self._path.read_text(encoding="utf-8").split("\n")[:-1]
        for line in lines[self._shown :]:
            show(f"  [{self._host}] {line}")
        self._shown = len(lines)


def show(line: str) -> None:
    """Print a line as every other task's output is printed: by the process that all workers send theirs to.

    ansible-runner puts marks around whatever is displayed, in a worker as well, where ansible-core 2.21 warns that
    something "errantly sent data directly to stdout". So a worker sends the line itself.
    """
    display = Display()
    queue = getattr(display, "_final_q", None)
    if queue is None:
        display.display(line)
    else:
        queue.send_display("display", line)
