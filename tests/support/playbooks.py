# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ansible-playbook in a process of its own, as a user runs it, and its recap."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import subprocess
import typing as t

import pytest
from support.environment import ROOT
from support.environment import clean_environment
from support.sandbox_process import SandboxProcess

RECAP = re.compile(
    r"^(?P<host>\S+)\s+: ok=(?P<ok>\d+)\s+changed=(?P<changed>\d+)\s+unreachable=(?P<unreachable>\d+)"
    r"\s+failed=(?P<failed>\d+)",
    re.M,
)
#: What Ansible shows of a failed task: our words, and then where in the files they come from.
ERROR = re.compile(r"^\[ERROR\]: Task failed: (?:Action|Module) failed: (.*?)\nOrigin: ", re.M | re.S)


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished ansible-playbook."""

    code: int
    output: str

    def count(self, what: str, host: str = "eks-pod-identity-boto3") -> int:
        """A number of the recap, such as ``changed``, for a host."""
        rows = {match["host"]: match for match in RECAP.finditer(self.output)}
        assert host in rows, self.output
        return int(rows[host][what])


@dataclasses.dataclass
class Playbooks:
    """Runs playbooks of the checkout with the sandbox's environment."""

    sandbox: SandboxProcess
    home: pathlib.Path
    #: Its profile; ``operator`` has the permissions that the collection's guide names, and no others.
    user: str = "default"
    #: Seconds for one run.
    patience: float = 240

    def environment(self, **changes: str | None) -> dict[str, str]:
        keys = {name.upper(): value for name, value in self.sandbox.profile(self.user).items()}
        env = clean_environment(self.home) | self.sandbox.env | keys
        for key, value in changes.items():
            if value is None:
                env.pop(key, None)
            else:
                env[key] = value
        return env

    def __call__(
        self,
        playbook: str,
        *arguments: str,
        env: t.Mapping[str, str | None] | None = None,
        inventory: str = "inventories/sandbox",
        **extra: t.Any,
    ) -> Run:
        command = ["ansible-playbook", "-i", inventory, playbook, *arguments]
        if extra:
            command += ["--extra-vars", json.dumps(extra)]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment(**(env or {})),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=self.patience,
            check=False,
        )
        print(done.stdout)
        return Run(done.returncode, done.stdout)


def one_line(run: Run) -> str:
    """The output without its line breaks."""
    return " ".join(run.output.split())


def only_error(run: Run) -> str:
    """The message of the only failed task of a run."""
    assert run.code != 0
    [error] = ERROR.findall(run.output)
    return str(error)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[SandboxProcess]:
    """A sandbox of the module's own, with nothing in its account."""
    process = SandboxProcess()
    process.start(tmp_path_factory.mktemp("sandbox"))
    yield process
    process.stop()


@pytest.fixture(scope="module")
def operator(sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory) -> Playbooks:
    return Playbooks(sandbox, tmp_path_factory.mktemp("home"), user="operator")


@pytest.fixture(scope="module")
def playbook(sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory) -> Playbooks:
    return Playbooks(sandbox, tmp_path_factory.mktemp("home"))
