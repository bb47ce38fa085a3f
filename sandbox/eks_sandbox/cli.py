# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The commands: up, run, down, env, reset, knobs, calls."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import typing as t
import urllib.error
import urllib.request

#: Seconds that ``up`` and ``down`` wait before they give up.
PATIENCE = 30.0
DEFAULT_REGION = "eu-west-1"


class SandboxError(Exception):
    """Something that the user should read, without a traceback."""


def main(arguments: t.Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        result: int = options.command(options)
    except SandboxError as error:
        print(f"eks-sandbox: {error}", file=sys.stderr)
        return 1
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="eks_sandbox", description="An offline AWS and Kubernetes for EKS Pod Identity."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, function, text in (
        ("up", _up, "start a sandbox in the background and return when it answers"),
        ("run", _run, "run a sandbox in the foreground until SIGINT or SIGTERM"),
    ):
        command = _command(commands, name, function, text)
        command.add_argument("--port", type=int, default=0, help="port of the AWS endpoint (default: any free one)")
        command.add_argument("--region", default=DEFAULT_REGION)
        command.add_argument("--control-plane", default="embedded")
    _command(commands, "down", _down, "stop it, and every pod with it")
    _command(commands, "env", _env, "print what to export for an AWS client")
    _command(commands, "reset", _reset, "end every cluster and forget everything")
    knobs = _command(commands, "knobs", _knobs, "show the knobs, or set some: name=value, values in JSON")
    knobs.add_argument("settings", nargs="*", metavar="name=value")
    calls = _command(commands, "calls", _calls, "show the calls that were made")
    calls.add_argument("--clear", action="store_true", help="forget them instead")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    function: t.Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
    command.add_argument("--directory", type=pathlib.Path, required=True, help="where the sandbox keeps its files")
    command.set_defaults(command=function)
    return command


def _up(options: argparse.Namespace) -> int:
    directory: pathlib.Path = options.directory
    directory.mkdir(parents=True, exist_ok=True)
    if _is_running(directory):
        print(f"A sandbox is running in {directory} already; its settings are in {directory / 'env'}.")
        return 0
    command = [sys.executable, "-m", "eks_sandbox", "run", "--directory", str(directory)]
    command += ["--port", str(options.port), "--region", options.region, "--control-plane", options.control_plane]
    with (directory / "sandbox.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        text = (directory / "sandbox.log").read_text(encoding="utf-8", errors="replace")
        lines = [line for line in text.splitlines() if line.startswith("Sandbox:")]
        if lines:
            print(lines[0])
            print(f"Settings for AWS clients are in {directory / 'env'}, the kubeconfig is {directory / 'kubeconfig'}.")
            return 0
        if process.poll() is not None:
            raise SandboxError(f"The sandbox did not start:\n{text.strip()}")
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    raise SandboxError(f"The sandbox did not answer within {PATIENCE:.0f} s; see {directory / 'sandbox.log'}.")


def _run(options: argparse.Namespace) -> int:
    # Imported here, so that the other commands answer at once.
    from eks_sandbox import server

    directory: pathlib.Path = options.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    settings = server.Settings(directory, options.port, options.region, options.control_plane)
    server.quiet_logging()
    _lock(directory)

    def ready(endpoint: str) -> None:
        print(_introduction(settings, endpoint), flush=True)

    try:
        asyncio.run(server.run(settings, ready))
    except server.PortTaken as error:
        raise SandboxError(str(error)) from error
    return 0


def _introduction(settings: t.Any, endpoint: str) -> str:
    from eks_sandbox import server

    return (
        f"Sandbox: an offline AWS at {endpoint} (account {settings.account}, region {settings.region}), nothing of it "
        f"is real. Control plane: {settings.control_plane}. Pods: {server.pod_mode(settings.control_plane)}."
    )


def _down(options: argparse.Namespace) -> int:
    directory: pathlib.Path = options.directory
    if not _is_running(directory):
        print(f"No sandbox is running in {directory}.")
        return 0
    os.kill(_pid(directory), signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while _is_running(directory):
        if time.monotonic() > deadline:
            raise SandboxError(f"The sandbox in {directory} did not end within {PATIENCE:.0f} s.")
        time.sleep(0.02)
    (directory / "pid").unlink(missing_ok=True)
    print("The sandbox has ended.")
    return 0


def _env(options: argparse.Namespace) -> int:
    _require_running(options.directory)
    print((options.directory / "env").read_text(encoding="utf-8"), end="")
    return 0


def _reset(options: argparse.Namespace) -> int:
    _request(options.directory, "POST", "reset")
    return 0


def _knobs(options: argparse.Namespace) -> int:
    changes = {}
    for setting in options.settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise SandboxError(f"{setting} is not of the form name=value.")
        try:
            changes[name] = json.loads(value)
        except ValueError as error:
            raise SandboxError(f"The value of {name} is not JSON: {value}") from error
    answer = _request(options.directory, "PATCH" if changes else "GET", "knobs", changes or None)
    print(json.dumps(answer, indent=2))
    return 0


def _calls(options: argparse.Namespace) -> int:
    answer = _request(options.directory, "DELETE" if options.clear else "GET", "calls")
    if not options.clear:
        print(json.dumps(answer, indent=2))
    return 0


def _request(directory: pathlib.Path, method: str, door: str, body: t.Any = None) -> t.Any:
    """Use the side door of the sandbox that runs in this directory."""
    _require_running(directory)
    found = re.search(r"AWS_ENDPOINT_URL='([^']+)'", (directory / "env").read_text(encoding="utf-8"))
    assert found is not None
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{found[1]}/_sandbox/{door}", data, method=method)
    # A proxy from the environment must not come between us and loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PATIENCE) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise SandboxError(json.load(error)["message"]) from error


def _require_running(directory: pathlib.Path) -> None:
    if not _is_running(directory):
        raise SandboxError(f"No sandbox is running in {directory}.")


def _pid(directory: pathlib.Path) -> int:
    return int((directory / "pid").read_text(encoding="ascii"))


def _is_running(directory: pathlib.Path) -> bool:
    """Whether a process holds the lock on the pid file: true even where a process id was given to another process."""
    try:
        with (directory / "pid").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _lock(directory: pathlib.Path) -> None:
    """Hold the pid file's lock until this process ends.

    The descriptor is never closed, so that the kernel lets go of the lock when the process is gone, not before.
    """
    descriptor = os.open(directory / "pid", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SandboxError(f"A sandbox is running in {directory} already.") from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
