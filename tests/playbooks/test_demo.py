# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`make demo` as a new user runs it, to its end and interrupted."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from support.environment import ROOT

pytestmark = pytest.mark.deep

DEMO = ROOT / "build" / "demo"


def start_demo() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "tools/demo.py"],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def demo_processes() -> list[str]:
    """Command lines of living processes that name the demo's folder."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue  # it ended while we looked
            if str(DEMO) in command or "tools/demo.py" in command:
                found.append(command)
    return found


def test_demo_proves_workload_and_prints_a_table() -> None:
    with start_demo() as demo:
        output, _ = demo.communicate(timeout=180)
    print(output)
    assert demo.returncode == 0
    assert "Proven from inside a pod" in output
    assert "customer-invoices" in output
    [proof] = json.loads((DEMO / "proof.json").read_text(encoding="utf-8"))
    assert proof["proven"] is True
    assert demo_processes() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_demo_leaves_no_process(number: signal.Signals) -> None:
    with start_demo() as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith("TASK"):
                break
        os.kill(demo.pid, number)
        rest = demo.stdout.read()
        code = demo.wait(timeout=60)
    assert code == 130, rest
    assert "Interrupted" in rest
    deadline = time.monotonic() + 5
    while demo_processes() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert demo_processes() == []
