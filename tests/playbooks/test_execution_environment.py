# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Execution environments: what ansible-builder makes of ours, and what it finds that the collection needs."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest
import yaml
from support.environment import ROOT
from support.environment import clean_environment

pytestmark = pytest.mark.deep
BUILDER = str(pathlib.Path(sys.executable).with_name("ansible-builder"))


def builder(*arguments: str, home: pathlib.Path) -> str:
    done = subprocess.run(
        [BUILDER, *arguments], cwd=ROOT, env=clean_environment(home), text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_context_installs_collection_and_dependencies(tmp_path: pathlib.Path) -> None:
    context = tmp_path / "context"
    builder("create", "--context", str(context), "--output-filename", "Containerfile", home=tmp_path)
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    wanted = yaml.safe_load((context / "_build" / "requirements.yml").read_text(encoding="utf-8"))
    versions = {entry["name"]: entry.get("version") for entry in wanted["collections"]}
    assert versions == {"podidentity.eks": None, **galaxy["dependencies"]}
    needed = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))["requires_ansible"]
    container = (context / "Containerfile").read_text(encoding="utf-8")
    assert f'ARG ANSIBLE_INSTALL_REFS="ansible-core{needed.removesuffix(".0")},' in container
    assert 'ARG PYCMD="/usr/bin/python3.12"' in container


def test_introspection_finds_python_requirements(tmp_path: pathlib.Path) -> None:
    found = yaml.safe_load(builder("introspect", ".cache/collections", home=tmp_path))
    needed = [
        line
        for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
        # ansible-core brings PyYAML.
        if not line.startswith(("#", "PyYAML"))
    ]
    assert [line.partition("  #")[0] for line in found["python"]] == needed
    assert found["system"] == []
