# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The commands: up, run, down, env, reset, knobs, calls, control-plane."""

from __future__ import annotations

import argparse
import asyncio
import datetime
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
import urllib.parse
import urllib.request

#: Seconds that ``up`` and ``down`` wait before they give up.
PATIENCE = 30.0
DEFAULT_REGION = "eu-west-1"
POD_MODES = ("auto", "namespaces", "processes")


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
        _add_start_options(_command(commands, name, function, text))
    _command(commands, "down", _down, "stop the sandbox and every pod")
    _command(commands, "env", _env, "print the export lines for an AWS client")
    _command(commands, "reset", _reset, "delete every cluster and all data except the keys of the users")
    knobs = _command(commands, "knobs", _knobs, "show the knobs, or set some: name=value, values in JSON")
    knobs.add_argument("settings", nargs="*", metavar="name=value")
    _add_call_options(_command(commands, "calls", _calls, "show the call log"))
    text = "find or build the programs of the real control plane, and print their folder"
    command = commands.add_parser("control-plane", help=text, description=text.capitalize() + ".")
    command.set_defaults(command=_control_plane)
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


def _add_start_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--port", type=int, default=0, help="port of the AWS endpoint (default: any free one)")
    command.add_argument("--region", default=DEFAULT_REGION)
    command.add_argument("--account", action="append", default=[], metavar="ID", help="another account; repeatable")
    command.add_argument("--control-plane", default="embedded", help="embedded (default) or envtest, the real one")
    command.add_argument(
        "--pod-mode", choices=POD_MODES, default="auto", help="auto (default): namespaces if the machine has them"
    )
    command.add_argument(
        "--knob", action="append", default=[], metavar="name=value", help="a knob, its value in JSON; repeatable"
    )


def _add_call_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--clear", action="store_true", help="delete the call log")
    command.add_argument("--each", action="store_true", help="show each call instead of the counts")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--operation", metavar="PATTERN", help="such as eks:Create*")
    command.add_argument("--caller", metavar="PATTERN", help="of ARNs, such as *user/operator; for single calls")
    command.add_argument("--refused", metavar="PATTERN", help="of error codes, * for any; for single calls")
    command.add_argument("--limit", type=int, help="how many of the newest; for single calls")


def _up(options: argparse.Namespace) -> int:
    directory: pathlib.Path = options.directory
    _make_directory(directory)
    if _is_running(directory):
        print(f"A sandbox is running in {directory} already; its settings are in {directory / 'env'}.")
        return 0
    _prepare(options.control_plane)
    command = [sys.executable, "-m", "eks_sandbox", "run", *_start_arguments(options)]
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
            raise SandboxError(text.strip().removeprefix("eks-sandbox: ") or "The sandbox did not start.")
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    raise SandboxError(f"The sandbox did not answer within {PATIENCE:.0f} s; see {directory / 'sandbox.log'}.")


def _start_arguments(options: argparse.Namespace) -> list[str]:
    arguments = ["--directory", str(options.directory), "--port", str(options.port), "--region", options.region]
    arguments += ["--control-plane", options.control_plane, "--pod-mode", options.pod_mode]
    arguments += [f"--account={account}" for account in options.account]
    return arguments + [f"--knob={knob}" for knob in options.knob]


def _run(options: argparse.Namespace) -> int:
    # Imported here, so that the other commands start fast.
    from eks_sandbox import server

    server.quiet_logging()
    directory: pathlib.Path = options.directory.resolve()
    _make_directory(directory)
    _lock(directory)
    knobs = _parse_knobs(options.knob)
    _prepare(options.control_plane)
    try:
        mode, why = server.pod_mode(options.pod_mode)
        settings = server.Settings(
            directory, options.port, options.region, options.control_plane, mode, options.account, knobs
        )

        def ready(endpoint: str) -> None:
            pods = f"{mode} ({why})" if why else mode
            accounts = ", ".join([f"account {settings.account}", *settings.accounts])
            print(
                f"Sandbox: an offline AWS at {endpoint} ({accounts}, region {settings.region}), all simulated. "
                f"Control plane: {settings.control_plane}. Pods: {pods}.",
                flush=True,
            )

        asyncio.run(server.run(settings, ready))
    except server.CannotStart as error:
        raise SandboxError(str(error)) from error
    return 0


def _prepare(control_plane: str) -> None:
    """Get what a control plane needs before anything starts; the first time this can take minutes."""
    if control_plane == "envtest":
        _prepare_envtest()


def _prepare_envtest() -> pathlib.Path:
    from eks_sandbox.control_plane.envtest import binaries
    from eks_sandbox.control_plane.runtime import PreparationError

    try:
        return binaries.prepare()
    except PreparationError as error:
        raise SandboxError(str(error)) from error


def _control_plane(_options: argparse.Namespace) -> int:
    print(_prepare_envtest())
    return 0


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
    changes = _parse_knobs(options.settings)
    answer = _request(options.directory, "PATCH" if changes else "GET", "knobs", changes or None)
    print(json.dumps(answer, indent=2))
    return 0


def _parse_knobs(settings: t.Sequence[str]) -> dict[str, t.Any]:
    changes = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise SandboxError(f"{setting} is not of the form name=value.")
        try:
            changes[name] = json.loads(value)
        except ValueError as error:
            raise SandboxError(f"The value of {name} is not JSON: {value}") from error
    return changes


def _calls(options: argparse.Namespace) -> int:
    if options.clear:
        _request(options.directory, "DELETE", "calls")
        return 0
    names = ("operation", "caller", "refused", "limit")
    wanted = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    answer = _request(options.directory, "GET", f"calls?{urllib.parse.urlencode(wanted)}")
    if options.json:
        print(json.dumps(answer, indent=2))
    else:
        _print_table(_single_calls(answer) if options.each else _call_counts(answer))
    return 0


def _call_counts(answer: dict[str, t.Any]) -> list[tuple[str, ...]]:
    """How often each operation was called, refused, and refused for being called too often."""
    rows: list[tuple[str, ...]] = [("OPERATION", "CALLS", "THROTTLED", "REFUSED")]
    for operation, count in sorted(answer["counts"].items()):
        codes = answer["refused"].get(operation, {})
        refused = ", ".join(f"{code} {times}" for code, times in sorted(codes.items()))
        rows.append((operation, str(count), str(answer["throttled"].get(operation, 0)), refused))
    return rows


def _single_calls(answer: dict[str, t.Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("TIME", "OPERATION", "REGION", "CALLER", "RESULT")]
    for call in answer["calls"]:
        moment = datetime.datetime.fromtimestamp(call["time"]).strftime("%H:%M:%S.%f")[:-3]
        result = call["refused"] or ("answer lost" if call["lost"] else "done")
        rows.append((moment, call["operation"], call["region"], call["caller"] or "unknown", result))
    return rows


def _print_table(rows: t.Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _request(directory: pathlib.Path, method: str, door: str, body: t.Any = None) -> t.Any:
    """Use the side door of the sandbox that runs in this directory."""
    _require_running(directory)
    found = re.search(r"AWS_ENDPOINT_URL='([^']+)'", (directory / "env").read_text(encoding="utf-8"))
    assert found is not None
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{found[1]}/_sandbox/{door}", data, method=method)
    # Connections to loopback must not use a proxy from the environment.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PATIENCE) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise SandboxError(json.load(error)["message"]) from error


def _require_running(directory: pathlib.Path) -> None:
    if not _is_running(directory):
        raise SandboxError(f"No sandbox is running in {directory}.")


def _make_directory(directory: pathlib.Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SandboxError(f"{directory} cannot be the sandbox's directory: {error.strerror}.") from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise SandboxError(f"{directory} cannot be the sandbox's directory: it cannot be written.")


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
