# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A sandbox as a process of its own, for tests: its clients are ordinary ones, over HTTP."""

from __future__ import annotations

import configparser
import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import typing as t
import urllib.parse

import boto3
import botocore.config
from support.environment import ROOT

#: The sandbox has a virtual environment of its own beside the one that runs the tests.
PYTHON = pathlib.Path(sys.prefix).parent / "sandbox" / "bin" / "python"
#: The whole suite can be run on another control plane, or with pods of another kind.
CONTROL_PLANE = os.environ.get("SANDBOX_CONTROL_PLANE", "embedded")
POD_MODE = os.environ.get("SANDBOX_POD_MODE", "auto")
#: Options of a sandbox whose clusters are stubs, for tests that call AWS and never Kubernetes.
STUB_CLUSTERS = ("--control-plane", "support.stub_control_plane:start_cluster")
#: Seconds for a start or a stop, on a busy machine.
PATIENCE = 30.0


class SandboxProcess:
    """Starts ``eks_sandbox run`` in a directory and talks to it."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = ["--control-plane", CONTROL_PLANE, "--pod-mode", POD_MODE, *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        # One session for all clients: it loads each service's model once.
        self._session: t.Any = boto3.session.Session()
        self.directory = pathlib.Path()
        #: What an AWS client of this sandbox has in its environment.
        self.env: dict[str, str] = {}

    def start(self, directory: pathlib.Path) -> None:
        """Start and return when it answers; fails with the sandbox's own words."""
        self.directory = directory
        command = [str(PYTHON), "-m", "eks_sandbox", "run", "--directory", str(directory), *self._arguments]
        python_path = [str(ROOT / "sandbox"), str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
        with (directory / "sandbox.log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(python_path)},
            )
        deadline = time.monotonic() + PATIENCE
        while "Sandbox:" not in self.log:
            assert self._process.poll() is None, f"The sandbox did not start:\n{self.log}"
            assert time.monotonic() < deadline, f"The sandbox is not ready after {PATIENCE} s:\n{self.log}"
            time.sleep(0.02)
        text = (directory / "env").read_text(encoding="utf-8")
        self.env = dict(re.findall(r"^export (\w+)='([^']*)'$", text, re.M))

    def stop(self) -> None:
        """End it as Ctrl-C does, and wait until it is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            assert self._process.wait(PATIENCE) == 0, self.log
            self._process = None

    def kill(self) -> None:
        """End it as the kernel does when memory runs out: without a chance to tidy up."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE)
        self._process = None

    @property
    def pid(self) -> int:
        """The sandbox's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What the sandbox has written so far."""
        return (self.directory / "sandbox.log").read_text(encoding="utf-8", errors="replace")

    @property
    def endpoint(self) -> str:
        """``http://127.0.0.1:<port>``"""
        return self.env["AWS_ENDPOINT_URL"]

    @property
    def kubeconfig(self) -> pathlib.Path:
        """A kubeconfig with one context for each cluster that runs."""
        return self.directory / "kubeconfig"

    def client(self, service: str, **settings: t.Any) -> t.Any:
        """A boto3 client of the administrator, or with other keys, region or configuration."""
        defaults = {
            "endpoint_url": self.endpoint,
            "region_name": self.env["AWS_REGION"],
            "aws_access_key_id": self.env["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": self.env["AWS_SECRET_ACCESS_KEY"],
            # A test wants to see the first answer.
            "config": botocore.config.Config(retries={"total_max_attempts": 1}),
        }
        return self._session.client(service, **{**defaults, **settings})

    def calls(self) -> dict[str, int]:
        """How often each ``service:Operation`` was called since the log was cleared."""
        counts: dict[str, int] = self.call_document()["counts"]
        return counts

    def call_log(self, **wanted: t.Any) -> list[dict[str, t.Any]]:
        """The calls in order: operation, caller and, of a refused one, the error code."""
        calls: list[dict[str, t.Any]] = self.call_document(**wanted)["calls"]
        return calls

    def call_document(self, **wanted: t.Any) -> dict[str, t.Any]:
        """All that the sandbox says about its calls, of those that are wanted (``operation="eks:*"`` and such)."""
        document: dict[str, t.Any] = self._sandbox_api("GET", f"calls?{urllib.parse.urlencode(wanted)}")
        return document

    def permissions(self, caller: str) -> dict[str, dict[str, list[str]]]:
        """The actions that callers (a pattern of ARNs) have used, each with what was ``allowed`` and ``denied``."""
        query = urllib.parse.urlencode({"caller": caller})
        used: dict[str, dict[str, list[str]]] = self._sandbox_api("GET", f"permissions?{query}")
        return used

    def clear_calls(self) -> None:
        """Forget the calls so far."""
        self._sandbox_api("DELETE", "calls")

    def reset(self) -> None:
        """End every cluster and forget everything; knobs go back to their defaults, the keys stay."""
        self._sandbox_api("POST", "reset")

    def knobs(self, **changes: t.Any) -> dict[str, t.Any]:
        """Set knobs and return all of them; raises ValueError with the sandbox's words for a wrong one."""
        knobs: dict[str, t.Any] = self._sandbox_api("PATCH", "knobs", changes)
        return knobs

    def add_account(self, account: str) -> dict[str, dict[str, str]]:
        """Make an account; the client settings of its users by profile. Raises ValueError."""
        profiles: dict[str, dict[str, str]] = self._sandbox_api("POST", "accounts", {"account": account})["profiles"]
        return profiles

    def profile(self, name: str) -> dict[str, str]:
        """Client settings of a profile in the sandbox's AWS config file."""
        config = configparser.ConfigParser()
        config.read(self.directory / "config", encoding="utf-8")
        section = config["default" if name == "default" else f"profile {name}"]
        return {key: section[key] for key in ("aws_access_key_id", "aws_secret_access_key")}

    def _sandbox_api(self, method: str, path: str, body: t.Any = None) -> t.Any:
        data = None if body is None else json.dumps(body).encode()
        # urllib would load the system's certificates for each call, for a connection that has none.
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.endpoint).netloc, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(method, f"/_sandbox/{path}", data)
            answer = connection.getresponse()
            document = json.load(answer)
        if answer.status >= 400:
            raise ValueError(document["message"])
        return document
