# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every Molecule scenario is one test, run as a developer runs it: `molecule test --scenario-name <role>`."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest
from support.environment import ROOT
from support.environment import clean_environment

SCENARIOS = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))
RECAP = re.compile(r"^(?P<name>\S+)\s+: actions=(?P<actions>\d+)\s+successful=(?P<successful>\d+)", re.M)


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str, tmp_path: pathlib.Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "molecule", "test", "--scenario-name", name],
        cwd=ROOT,
        env=clean_environment(tmp_path) | {"MOLECULE_GLOB": "molecule/*/molecule.yml"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=300,
    )
    print(done.stdout)
    assert done.returncode == 0
    [recap] = [match for match in RECAP.finditer(done.stdout) if match["name"] == name]
    assert int(recap["actions"]) == int(recap["successful"]) >= 2
