# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tarball: holds what it should and nothing else, and works where there is no checkout."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tarfile

import pytest
from playbooks.conftest import Playbooks

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(sys.executable).parent
#: Everything that may stand at the top of the collection.
TOP = {
    *("FILES.json", "MANIFEST.json", "LICENSE", "README.md", "CHANGELOG.md", "bindep.txt", "requirements.txt"),
    *("changelogs", "docs", "inventories", "meta", "playbooks", "plugins", "roles"),
}


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory, playbook: Playbooks) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [str(BIN / "ansible-galaxy"), "collection", "build", "--output-path", str(folder)]
    subprocess.run(command, cwd=ROOT, env=playbook.environment(), check=True)
    [built] = folder.iterdir()
    return built


def test_tarball_holds_what_it_should_and_nothing_else(tarball: pathlib.Path) -> None:
    with tarfile.open(tarball) as archive:
        names = archive.getnames()
    assert {name.split("/")[0] for name in names} <= TOP
    assert [name for name in names if "__pycache__" in name or "sandbox" in name] == []
    assert "roles/verify/files/prove.py" in names
    assert "playbooks/site.yml" in names
    assert "plugins/plugin_utils/policies/velero.json" in names


def test_installed_collection_runs_outside_the_checkout(
    tarball: pathlib.Path, playbook: Playbooks, tmp_path: pathlib.Path
) -> None:
    env = playbook.environment(ANSIBLE_CONFIG=None, ANSIBLE_COLLECTIONS_PATH=str(tmp_path / "collections"))
    install = ["ansible-galaxy", "collection", "install", "--offline", "--no-deps"]
    install += ["--collections-path", str(tmp_path / "collections"), str(tarball)]
    subprocess.run(install, cwd=tmp_path, env=env, check=True)
    inventory = tmp_path / "collections/ansible_collections/podidentity/eks/inventories/example"
    run = subprocess.run(
        ["ansible-playbook", "-i", str(inventory), "podidentity.eks.site", "--check"],
        cwd=tmp_path,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=180,
    )
    print(run.stdout)
    assert run.returncode == 0
    assert "failed=0" in run.stdout
