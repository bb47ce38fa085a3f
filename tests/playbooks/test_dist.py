# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tarball: holds what it should and nothing else, and works where there is no checkout."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import typing as t

import pytest
import yaml
from support.environment import ROOT
from support.existing_cluster import make_account
from support.existing_cluster import make_cluster
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep

BIN = pathlib.Path(sys.executable).parent
#: Everything that may stand at the top of the collection.
TOP = {
    *("FILES.json", "MANIFEST.json", "LICENSE", "README.md", "CHANGELOG.md", "bindep.txt", "requirements.txt"),
    *("changelogs", "docs", "inventories", "meta", "playbooks", "plugins", "roles"),
}


#: The variables of a host whose cluster is there.
HOST_VARS = {
    "ansible_connection": "local",
    "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    "eks_region": "eu-west-1",
    "cluster_manage": False,
}


def workload(name: str) -> dict[str, t.Any]:
    role = {"name": f"story-{name}", "managed_policies": ["AmazonS3ReadOnlyAccess"]}
    prove = {"allow": [{"service": "s3", "operation": "list_buckets"}]}
    return {"namespace": "default", "service_account": f"story-{name}", "role": role, "prove": prove}


def command(*words: str, **settings: t.Any) -> subprocess.CompletedProcess[str]:
    """Run a program that must succeed, and show what it says."""
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240, check=False, **settings
    )
    print(done.stdout)
    assert done.returncode == 0
    return done


@pytest.fixture(scope="module")
def account(sandbox: SandboxProcess) -> None:
    """An account with the cluster "example"."""
    make_cluster(sandbox, make_account(sandbox))


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory, playbook: Playbooks) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("dist")
    build = ("collection", "build", "--output-path", str(folder))
    command(str(BIN / "ansible-galaxy"), *build, cwd=ROOT, env=playbook.environment())
    [built] = folder.iterdir()
    return built


def test_tarball_holds_only_expected_files(tarball: pathlib.Path) -> None:
    with tarfile.open(tarball) as archive:
        names = archive.getnames()
    assert {name.split("/")[0] for name in names} <= TOP
    assert [name for name in names if "__pycache__" in name or "sandbox" in name] == []
    assert "plugins/module_utils/_kube/verify/script.py" in names
    assert "playbooks/site.yml" in names
    assert "plugins/plugin_utils/policies/velero.json" in names
    assert "docs/start.md" in names
    assert "docs/conf.py" not in names


def test_galaxy_importer_accepts_the_tarball(
    tarball: pathlib.Path, playbook: Playbooks, tmp_path: pathlib.Path
) -> None:
    # ansible-lint runs over the checkout already.
    env = playbook.environment(ANSIBLE_CONFIG=None, GALAXY_IMPORTER_RUN_ANSIBLE_LINT="False")
    done = command(sys.executable, "-m", "galaxy_importer.main", str(tarball), cwd=tmp_path, env=env)
    assert "Importer processing completed successfully" in done.stdout
    assert re.findall(r"^(?:ERROR|WARNING).*", done.stdout, re.M) == []


@pytest.mark.parametrize("versions", ["lowest", "newest"])
def test_site_works_from_the_installed_tarball(
    versions: str, tarball: pathlib.Path, playbook: Playbooks, account: None, tmp_path: pathlib.Path
) -> None:
    binaries = pathlib.Path(sys.prefix).parent / versions / "bin"
    if not binaries.exists():
        pytest.skip(f"make .venv/*/.{versions} has made no environment: this machine has no Python for it")
    env = playbook.environment(
        ANSIBLE_CONFIG=None,
        ANSIBLE_COLLECTIONS_PATH=str(tmp_path / "collections"),
        PATH=f"{binaries}{os.pathsep}{os.environ['PATH']}",
    )
    install = ["collection", "install", "--offline", "--collections-path", str(tmp_path / "collections")]
    # Its dependencies are those that `ansible` carries; they must do.
    command(str(binaries / "ansible-galaxy"), *install, str(tarball), cwd=tmp_path, env=env)
    inventory = tmp_path / "hosts.yml"
    host = {**HOST_VARS, "podidentity_proof_file": str(tmp_path / "proof.json")}
    host["podidentity_workloads"] = [workload(versions)]
    inventory.write_text(yaml.safe_dump({"eks_clusters": {"hosts": {"example": host}}}), encoding="utf-8")
    site = ("-i", str(inventory), "podidentity.eks.site")
    command(str(binaries / "ansible-playbook"), *site, cwd=tmp_path, env=env)
    [proof] = json.loads((tmp_path / "proof.json").read_text(encoding="utf-8"))
    assert proof["proven"] is True
    assert proof["identity"]["role"] == f"story-{versions}"
