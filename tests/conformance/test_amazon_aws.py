# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""amazon.aws against the sandbox: ``amazon_aws.yml`` as an ordinary play, twice."""

from __future__ import annotations

import pathlib
import re
import subprocess

import pytest
from conformance.conftest import Account
from environment import ROOT
from environment import clean_environment

pytestmark = pytest.mark.client("amazon.aws")

PLAY = pathlib.Path(__file__).with_name("amazon_aws.yml")


def play(account: Account, home: pathlib.Path) -> dict[str, int]:
    """Run the play and return the counts of its recap."""
    env = {**clean_environment(home), **account.sandbox.env}
    command = ["ansible-playbook", "-i", "localhost,", str(PLAY)]
    ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=600)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr
    return {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", ended.stdout.rpartition("RECAP")[2])}


def test_a_second_run_changes_nothing(account: Account, tmp_path: pathlib.Path) -> None:
    first, second = play(account, tmp_path), play(account, tmp_path)
    assert first["changed"] >= 8
    assert (second["changed"], second["ok"], second["failed"]) == (0, first["ok"], 0)
