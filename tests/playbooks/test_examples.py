# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The EXAMPLES of every plugin are whole stories, and they work: each is run as it stands, in an account of its own."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
import yaml
from support.environment import ROOT
from support.examples import examples_of
from support.existing_cluster import make_account
from support.existing_cluster import make_cluster
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

PLUGINS = sorted(path for kind in ("modules", "lookup", "filter") for path in (ROOT / "plugins" / kind).glob("*.py"))
#: What the line "# Needs:" says of those that need a cluster; the example of eks_cluster makes it.
NEEDS_THE_CLUSTER = 'the EKS cluster "example"'
HEADER = {
    "hosts": "localhost",
    "connection": "local",
    "gather_facts": False,
    "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
}


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.stem)
def test_examples_run_as_they_stand(
    path: pathlib.Path, sandbox: SandboxProcess, playbook: Playbooks, tmp_path: pathlib.Path
) -> None:
    text = examples_of(path)
    tasks: list[dict[str, t.Any]] = yaml.safe_load(text)
    assert tasks, "a plugin needs examples"
    variables: dict[str, t.Any] = {}
    if "# Needs:" in text:
        sandbox.reset()
        variables["subnet_ids"] = make_account(sandbox)
        if NEEDS_THE_CLUSTER in text:
            make_cluster(sandbox, variables["subnet_ids"])
    story = tmp_path / "examples.yml"
    story.write_text(yaml.safe_dump([{**HEADER, "name": path.stem, "tasks": tasks}]), encoding="utf-8")
    run = playbook(str(story), "--diff", inventory="localhost,", **variables)
    assert run.code == 0
    assert run.count("ok", "localhost") == len(tasks)
