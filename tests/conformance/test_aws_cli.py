# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The commands of the sandbox, run as a user runs them."""

from __future__ import annotations

import base64
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import time
import typing as t

import boto3
import pytest
from support.boto3_account import QUICK
from support.boto3_account import Account
from support.boto3_account import wait_for
from support.environment import ROOT
from support.sandbox_process import CONTROL_PLANE
from support.sandbox_process import PYTHON
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.client("boto3")

Run = subprocess.CompletedProcess[str]


def command(name: str, directory: pathlib.Path, *arguments: str) -> Run:
    """Run one command; ``up`` and ``run`` get the control plane of this test run."""
    plane = ["--control-plane", CONTROL_PLANE] if name in ("up", "run") else []
    return subprocess.run(
        [str(PYTHON), "-m", "eks_sandbox", name, "--directory", str(directory), *plane, *arguments],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'sandbox'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> t.Iterator[pathlib.Path]:
    """A folder for a sandbox; whatever runs in it afterwards is ended."""
    yield tmp_path / "sandbox"
    command("down", tmp_path / "sandbox")


def exported(directory: pathlib.Path) -> dict[str, str]:
    """What a shell has after it sourced the file of settings."""
    shell = subprocess.run(
        ["sh", "-c", '. "$1"; env', "sh", str(directory / "env")],
        env={"AWS_PROFILE": "mine", "AWS_SESSION_TOKEN": "old", "PATH": os.environ["PATH"]},
        text=True,
        capture_output=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in shell.stdout.splitlines() if line.startswith("AWS_"))


def test_up_describes_the_sandbox_and_down_leaves_nothing(directory: pathlib.Path) -> None:
    up = command("up", directory)
    assert up.returncode == 0, up.stderr
    assert up.stdout.startswith("Sandbox: an offline AWS at http://127.0.0.1:")
    for word in ("all simulated", "account 111122223333", "region eu-west-1", "Control plane", "Pods:"):
        assert word in up.stdout
    settings = exported(directory)
    assert set(settings) == {
        "AWS_ENDPOINT_URL",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    }
    assert settings["AWS_SECRET_ACCESS_KEY"] not in up.stdout
    assert (directory / "env").stat().st_mode & 0o077 == 0
    pid = int((directory / "pid").read_text(encoding="ascii"))
    down = command("down", directory)
    assert (down.returncode, down.stdout) == (0, "The sandbox has ended.\n")
    wait_until_ended({pid})
    assert [path.name for path in directory.iterdir()] == ["sandbox.log"]
    assert command("down", directory).returncode == 0


def test_up_uses_the_requested_port_and_region(directory: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert command("up", directory, "--port", str(port), "--region", "us-west-2").returncode == 0
    settings = exported(directory)
    assert settings["AWS_ENDPOINT_URL"] == f"http://127.0.0.1:{port}"
    assert settings["AWS_REGION"] == settings["AWS_DEFAULT_REGION"] == "us-west-2"


def test_up_reports_why_it_cannot_start(directory: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        up = command("up", directory, "--port", str(port))
    assert up.returncode == 1
    assert f"Port {port} cannot be used" in up.stderr
    assert "Traceback" not in up.stderr


def test_second_up_keeps_the_running_sandbox(directory: pathlib.Path) -> None:
    assert command("up", directory).returncode == 0
    before = exported(directory)
    again = command("up", directory)
    assert again.returncode == 0
    assert "is running" in again.stdout
    assert exported(directory) == before
    assert command("run", directory).returncode == 1


def test_other_commands_need_a_running_sandbox(directory: pathlib.Path) -> None:
    directory.mkdir()
    for name in ("env", "reset", "knobs", "calls"):
        run = command(name, directory)
        assert (run.returncode, run.stdout) == (1, "")
        assert "No sandbox is running in" in run.stderr


def test_knobs_calls_and_reset_reach_the_sandbox(directory: pathlib.Path) -> None:
    assert command("up", directory).returncode == 0
    settings = exported(directory)
    session = boto3.session.Session(
        settings["AWS_ACCESS_KEY_ID"], settings["AWS_SECRET_ACCESS_KEY"], region_name=settings["AWS_REGION"]
    )
    iam = session.client("iam", endpoint_url=settings["AWS_ENDPOINT_URL"])
    iam.create_user(UserName="somebody")
    assert "iam:CreateUser" in command("calls", directory).stdout
    assert command("calls", directory, "--clear").returncode == 0
    assert "iam:CreateUser" not in command("calls", directory).stdout
    assert '"cluster_seconds": 0.5' in command("knobs", directory, "cluster_seconds=0.5").stdout
    wrong = command("knobs", directory, "nonsense=1")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "Unknown knob nonsense" in wrong.stderr
    assert command("reset", directory).returncode == 0
    assert {user["UserName"] for user in iam.list_users()["Users"]} == {"sandbox-admin", "operator"}
    assert command("env", directory).stdout == (directory / "env").read_text(encoding="utf-8")


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    stat = pathlib.Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def process_tree(pid: int) -> set[int]:
    """The process and everything below it."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid="], text=True, capture_output=True, check=True).stdout
    parents = {int(line.split()[0]): int(line.split()[1]) for line in listing.splitlines()}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def wait_until_ended(processes: set[int]) -> None:
    """All these processes are gone within a moment."""
    deadline = time.monotonic() + 5.0
    while left := {pid for pid in processes if is_running(pid)}:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_reset_ends_clusters_with_connected_clients(tmp_path: pathlib.Path) -> None:
    sandbox = SandboxProcess()
    sandbox.start(tmp_path)
    try:
        sandbox.knobs(**QUICK)
        account = Account(sandbox)
        cluster = account.cluster("one")
        address = ("127.0.0.1", int(cluster["endpoint"].rpartition(":")[2]))
        authority = base64.b64decode(cluster["certificateAuthority"]["data"]).decode()
        context = ssl.create_default_context(cadata=authority)
        with (
            socket.create_connection(address),
            socket.create_connection(address) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as half,
        ):
            half.sendall(b"GET /api HTTP/1.1\r\n")
            start = time.monotonic()
            sandbox.reset()
            # A TLS connection would wait 30 s for its client to say goodbye.
            assert time.monotonic() - start < 25.0
            assert half.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
    finally:
        sandbox.stop()
    [line] = sandbox.log.splitlines()
    assert line.startswith("Sandbox:")


@pytest.mark.skipif(not pathlib.Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_no_process_outlives_the_sandbox(tmp_path: pathlib.Path, ending: signal.Signals) -> None:
    sandbox = SandboxProcess()
    sandbox.start(tmp_path)
    try:
        sandbox.knobs(**QUICK)
        account = Account(sandbox)
        account.cluster("one")
        account.nodegroup()
        account.eks.create_addon(clusterName="one", addonName="eks-pod-identity-agent")
        wait_for(account.describe_addon, "ACTIVE", seconds=30)
        processes = process_tree(sandbox.pid)
        assert CONTROL_PLANE != "embedded" or len(processes) > 1, "agents run as processes"
        os.kill(sandbox.pid, ending)
    finally:
        if ending == signal.SIGKILL:
            sandbox.kill()
        else:
            sandbox.stop()
    wait_until_ended(processes)
