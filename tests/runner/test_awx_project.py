# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The playbook awx_project: the repository that it writes is a project for AWX, of an unreleased collection too."""

from __future__ import annotations

import json
import pathlib
import subprocess

import pytest
import yaml
from support.environment import ROOT
from support.environment import clean_environment

pytestmark = pytest.mark.deep

STORIES = ("access", "request", "site", "teardown", "verify", "workload")


def run(folder: pathlib.Path, *command: str, cwd: pathlib.Path = ROOT) -> str:
    """The output of a command that succeeds."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=clean_environment(folder),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The files with the tarball of this checkout."""
    home = tmp_path_factory.mktemp("home")
    run(home, "ansible-galaxy", "collection", "build", "--output-path", str(home / "dist"))
    [tarball] = (home / "dist").glob("*.tar.gz")
    folder = tmp_path_factory.mktemp("awx") / "project"
    variables = json.dumps({"awx_project_folder": str(folder), "awx_project_collection": str(tarball)})
    run(home, "ansible-playbook", "playbooks/awx_project.yml", "--extra-vars", variables)
    (folder / "inventories" / "aws_eks.yml").write_text("# mine\n", encoding="utf-8")
    again = run(home, "ansible-playbook", "playbooks/awx_project.yml", "--extra-vars", variables)
    assert "changed=0" in again
    assert (folder / "inventories" / "aws_eks.yml").read_text(encoding="utf-8") == "# mine\n"
    return folder


def test_project_has_a_playbook_for_each_story(project: pathlib.Path) -> None:
    assert sorted(path.stem for path in (project / "playbooks").iterdir()) == list(STORIES)


def test_project_and_image_install_the_unreleased_collection(project: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """As AWX does it in the project, and as the image does it in the context of ansible-builder."""
    run(tmp_path, "ansible-builder", "create", "--context", str(tmp_path / "context"), cwd=project)
    for where, requirements in (
        (project, "collections/requirements.yml"),
        (tmp_path / "context" / "_build", "requirements.yml"),
    ):
        target = tmp_path / where.name
        # Without the dependencies, for which they ask a server.
        arguments = ["-r", requirements, "--no-deps", "--force", "-p", str(target)]
        run(tmp_path, "ansible-galaxy", "collection", "install", *arguments, cwd=where)
        assert (target / "ansible_collections" / "podidentity" / "eks" / "MANIFEST.json").is_file()


def test_playbooks_of_the_project_are_those_of_the_collection(project: pathlib.Path) -> None:
    playbooks = [f"{project}/playbooks/{name}.yml" for name in STORIES]
    listed = run(project.parent, "ansible-playbook", "--list-tasks", *playbooks)
    assert [playbook for playbook in playbooks if f"playbook: {playbook}" not in listed] == []
    assert listed.count("Check what a survey or an earlier job hands over") == len(STORIES) - 1, "all but access"


def test_example_inventory_fails_where_an_account_is_silent() -> None:
    example = ROOT / "playbooks" / "files" / "awx_project" / "inventories" / "aws_eks.yml"
    assert yaml.safe_load(example.read_text(encoding="utf-8"))["fail_on_unreachable"] is True
