# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every Molecule scenario is one test; the scenarios of a test process share one sandbox, as Molecule shares it."""

from __future__ import annotations

import collections.abc as c
import pathlib
import re
import subprocess
import sys

import pytest
from support.environment import ROOT
from support.environment import clean_environment

#: The scenarios of one role each; `default` is only the sandbox that they share.
ROLES = {path.parent.name for path in ROOT.glob("molecule/*/molecule.yml")} - {"default"}
#: The scenarios with the longest way through the roles; the others run before a release.
ON_EACH_PUSH = {"addons", "cluster", "workload"}
SCENARIOS = [
    # A scenario that is to run on each push and is not there fails, instead of being left out.
    pytest.param(name, id=name, marks=[] if name in ON_EACH_PUSH else pytest.mark.deep)
    for name in sorted(ROLES | ON_EACH_PUSH)
]
ACTION = re.compile(r"^(?P<scenario>\S+) > (?P<action>\S+): Executed: (?P<result>.*)$", re.M)


class Molecule:
    """Molecule in the checkout, with a state, and so a sandbox, of its own."""

    def __init__(self, home: pathlib.Path) -> None:
        self.state = home / "state"
        self._env = clean_environment(home) | {
            "MOLECULE_GLOB": "molecule/*/molecule.yml",
            "MOLECULE_EPHEMERAL_DIRECTORY": str(self.state),
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "molecule", *arguments],
            cwd=ROOT,
            env=self._env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=300,
        )
        print(done.stdout)
        return done


def results(output: str, name: str) -> dict[str, str]:
    """What Molecule reports of each action of a scenario."""
    return {match["action"]: match["result"].strip() for match in ACTION.finditer(output) if match["scenario"] == name}


@pytest.fixture(scope="session")
def molecule(tmp_path_factory: pytest.TempPathFactory) -> c.Iterator[Molecule]:
    """The sandbox runs; one for each process of pytest, so that two of them do not wait for each other."""
    shared = Molecule(tmp_path_factory.mktemp("molecule"))
    try:
        done = shared.run("create")
        assert done.returncode == 0
        assert results(done.stdout, "default") == {"create": "Successful"}
        yield shared
    finally:
        done = shared.run("destroy")
    assert done.returncode == 0
    assert results(done.stdout, "default") == {"destroy": "Successful"}
    assert not (shared.state / "sandbox").exists()


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str, molecule: Molecule) -> None:
    done = molecule.run("test", "--scenario-name", name, "--destroy", "never")
    assert done.returncode == 0
    assert results(done.stdout, name) == dict.fromkeys(("converge", "idempotence", "verify"), "Successful")
    # What is to be checked was checked: of what the role did, and of what is left when it has removed that.
    checks = {path.stem for path in ROOT.glob(f"molecule/{name}/tasks/*.yml")}
    assert "verify" in checks
    assert {check for check in checks if f"TASK [{check} | " not in done.stdout} == set()


@pytest.mark.deep
def test_a_scenario_that_fails_leaves_no_sandbox(tmp_path: pathlib.Path) -> None:
    """As a developer runs one: `molecule test` alone starts and stops the sandbox."""
    molecule = Molecule(tmp_path)
    done = molecule.run("test", "--scenario-name", "iam_role", "--", "--extra-vars", "iam_role_state=wrong")
    assert done.returncode != 0
    assert results(done.stdout, "default") == {"create": "Successful", "destroy": "Successful"}
    assert results(done.stdout, "iam_role")["converge"].startswith("Failed")
    assert not (molecule.state / "sandbox").exists()
