# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What sandbox/README.md says, held to."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys

import pytest
from support.environment import ROOT
from support.environment import clean_environment
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.client("boto3")

README = (ROOT / "sandbox" / "README.md").read_text(encoding="utf-8")


def test_example_works_as_written(tmp_path: pathlib.Path) -> None:
    [example] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    sandbox = SandboxProcess()
    (tmp_path / "sandbox").mkdir()
    sandbox.start(tmp_path / "sandbox")
    try:
        env = clean_environment(tmp_path) | {"AWS_CONFIG_FILE": str(sandbox.directory / "config")}
        ended = subprocess.run(
            [sys.executable, "-c", example], env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 0, ended.stderr
        assert re.fullmatch(r"arn:aws:eks:eu-west-1:111122223333:podidentityassociation/try/a-\w+\n", ended.stdout)
        for name in re.findall(r"^\| `(\w+)`(?:, `([\w.]+)`)? \| [a-z]", README, re.MULTILINE):
            assert all((sandbox.directory / file).is_file() for file in name if file), name
        for name in ("env", "config", "kubeconfig"):
            assert (sandbox.directory / name).stat().st_mode & 0o077 == 0, name
    finally:
        sandbox.stop()


def test_every_knob_is_listed_with_its_default(aws_sandbox: SandboxProcess) -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+|\{\}|\[\]) \|", README, re.MULTILINE)
    aws_sandbox.reset()
    assert {name: json.loads(default) for name, default in rows} == aws_sandbox.knobs()
