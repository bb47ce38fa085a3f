# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The thread that shows what a module says must not stand between a signal and the thread that waits for the module."""

from __future__ import annotations

import pathlib
import re
import signal
import time

from ansible_collections.podidentity.eks.plugins.plugin_utils.progress import Follower


def test_signals_are_left_to_the_main_thread(tmp_path: pathlib.Path) -> None:
    wanted = 1 << (signal.SIGINT - 1) | 1 << (signal.SIGTERM - 1)
    deadline = time.monotonic() + 10
    with Follower(tmp_path / "progress", "example") as follower:
        status = pathlib.Path(f"/proc/self/task/{follower._thread.native_id}/status")
        while int(re.findall(r"^SigBlk:\s*(\w+)", status.read_text(encoding="ascii"), re.M)[0], 16) & wanted != wanted:
            assert time.monotonic() < deadline
            time.sleep(0.01)
