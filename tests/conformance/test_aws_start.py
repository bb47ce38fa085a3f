# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starting a sandbox: beside another one, and where it cannot start, which it says in one sentence."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest
from support.environment import ROOT
from support.sandbox_process import PYTHON
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.client("boto3")

PLANE = ("--control-plane", "embedded", "--pod-mode", "processes")


def run(directory: pathlib.Path, *arguments: str, command: str = "run") -> str:
    """The one line that the command says when it fails."""
    done = subprocess.run(
        [str(PYTHON), "-m", "eks_sandbox", command, "--directory", str(directory), *PLANE, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "sandbox")},
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    [line] = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--port", "1"), "Port 1 cannot be used"),
        (("--port", "65536"), "Port 65536 cannot be used"),
        (("--port", "-1"), "Port -1 cannot be used"),
        (("--control-plane", "kwok"), "The control plane must be one of embedded, envtest; got kwok."),
        (("--knob", "nonsense=1"), "Unknown knob nonsense"),
        (("--knob", "latency_seconds=slow"), "The value of latency_seconds is not JSON: slow"),
        (("--knob", 'latency_seconds="slow"'), "latency_seconds must be a number from 0 to 86400."),
        (("--knob", "latency_seconds"), "latency_seconds is not of the form name=value."),
        (("--account", "12"), "An account id must have 12 digits"),
    ],
)
@pytest.mark.parametrize("command", ["run", "up"])
def test_invalid_argument_is_reported_in_one_sentence(
    tmp_path: pathlib.Path, command: str, arguments: tuple[str, ...], words: str
) -> None:
    if arguments == ("--port", "1") and os.geteuid() == 0:
        pytest.skip("root may use any port")
    line = run(tmp_path, *arguments, command=command)
    assert line.startswith("eks-sandbox: ")
    assert words in line
    assert {path.name for path in tmp_path.iterdir()} <= {"pid", "sandbox.log"}


@pytest.mark.parametrize("command", ["run", "up"])
def test_start_refuses_file_as_directory(tmp_path: pathlib.Path, command: str) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        assert f"{path} cannot be the sandbox's directory" in run(path, command=command)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("command", ["run", "up"])
def test_start_refuses_unwritable_directory(tmp_path: pathlib.Path, command: str) -> None:
    tmp_path.chmod(0o500)
    assert f"{tmp_path} cannot be the sandbox's directory: it cannot be written." in run(tmp_path, command=command)


def test_two_sandboxes_share_nothing(tmp_path: pathlib.Path) -> None:
    one, other = SandboxProcess(*PLANE), SandboxProcess(*PLANE)
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    try:
        one.start(tmp_path / "one")
        assert "A sandbox is running in" in run(tmp_path / "one")
        port = one.endpoint.rpartition(":")[2]
        assert f"Port {port} cannot be used: Address already in use." in run(tmp_path / "other", "--port", port)
        other.start(tmp_path / "other")
        one.client("iam").create_user(UserName="somebody")
        assert "somebody" not in [user["UserName"] for user in other.client("iam").list_users()["Users"]]
        other.stop()
        assert one.client("iam").get_user(UserName="somebody")["User"]["UserName"] == "somebody"
    finally:
        one.stop()
        other.stop()
