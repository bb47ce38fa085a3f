# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every Molecule scenario is one test; Molecule itself runs once, two scenarios at a time."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from environment import ROOT
from environment import clean_environment

SCENARIOS = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))
RECAP = re.compile(
    r"^(?P<name>\S+)\s+: actions=(?P<actions>\d+)\s.*missing=(?P<missing>\d+)\s+failed=(?P<failed>\d+)", re.M
)


@pytest.fixture(scope="module")
def recap(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, int]]:
    """Rows of Molecule's recap, those of one scenario added up."""
    home = tmp_path_factory.mktemp("home")
    env = clean_environment(home) | {"MOLECULE_GLOB": "molecule/*/molecule.yml"}
    command = [sys.executable, "-m", "molecule", "test", "--all", "--workers", "2", "--continue-on-failure"]
    done = subprocess.run(
        command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    print(done.stdout)
    rows: dict[str, dict[str, int]] = {}
    for match in RECAP.finditer(done.stdout):
        row = rows.setdefault(match["name"], {"actions": 0, "missing": 0, "failed": 0})
        for key in row:
            row[key] += int(match[key])
    return rows


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(recap: dict[str, dict[str, int]], name: str) -> None:
    assert name in recap, "the scenario did not run"
    assert recap[name]["actions"] > 0
    assert recap[name]["missing"] == 0
    assert recap[name]["failed"] == 0
