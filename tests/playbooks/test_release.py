# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`make release`, in a clone: what it does, what its rehearsal leaves alone, and when it refuses."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
import tarfile
import typing as t

import pytest
import yaml
from support.environment import ROOT
from support.environment import clean_environment

pytestmark = pytest.mark.deep

VERSION = "77.8.9"


class Clone:
    """A clone of the checkout with the tool as it is now, in which nothing is lost."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.tree = folder / "clone"
        self._env = clean_environment(folder) | {
            **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "Somebody"),
            **dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "somebody@example.com"),
        }
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(self.tree)], check=True)
        shutil.copy2(ROOT / "tools" / "release.py", self.tree / "tools")
        link = self.tree / ".cache" / "collections" / "ansible_collections" / "podidentity" / "eks"
        link.parent.mkdir(parents=True)
        link.symlink_to("../../../..")
        (self.tree / "changelogs" / "fragments" / "test-release.yml").write_text(
            "---\nminor_changes:\n  - something new.\n", encoding="utf-8"
        )
        self.commit()

    def commit(self) -> None:
        self.git("add", "--all", ".")
        self.git("commit", "--quiet", "--allow-empty", "--message", "now")

    def git(self, *arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(
            command, cwd=self.tree, env=self._env, check=True, text=True, stdout=subprocess.PIPE
        ).stdout

    def release(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "tools/release.py", *arguments]
        return subprocess.run(command, cwd=self.tree, env=self._env, check=False, text=True, capture_output=True)

    def load(self, name: str) -> t.Any:
        return yaml.safe_load((self.tree / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return Clone(tmp_path_factory.mktemp("release"))


@pytest.mark.parametrize(
    ("version", "message"),
    [("v1", "three numbers"), ("", "three numbers"), ("0.0.1", "older than the version in galaxy.yml")],
)
def test_refuses_invalid_version(clone: Clone, version: str, message: str) -> None:
    refused = clone.release(version)
    assert refused.returncode == 1
    assert message in refused.stderr
    assert clone.git("status", "--porcelain") == ""


def test_refuses_uncommitted_changes(clone: Clone) -> None:
    note = clone.tree / "note.txt"
    note.write_text("not committed\n", encoding="utf-8")
    refused = clone.release(VERSION)
    note.unlink()
    assert refused.returncode == 1
    assert "note.txt" in refused.stderr


def test_dry_run_shows_the_release_and_changes_nothing(clone: Clone) -> None:
    before = clone.git("rev-parse", "HEAD")
    shown = clone.release("--dry-run", VERSION)
    assert shown.returncode == 0, shown.stderr
    assert f"Would be released: build/release/build/dist/podidentity-eks-{VERSION}.tar.gz" in shown.stdout
    assert "CHANGELOG.md" in shown.stdout
    assert clone.git("rev-parse", "HEAD") == before
    assert clone.git("tag", "--list", VERSION) == ""
    assert clone.git("status", "--porcelain") == ""


def test_release_has_version_changelog_commit_tag_and_tarball(clone: Clone) -> None:
    done = clone.release(VERSION)
    assert done.returncode == 0, done.stderr
    assert clone.load("galaxy.yml")["version"] == VERSION
    common = (clone.tree / "plugins" / "module_utils" / "_eks" / "common.py").read_text(encoding="utf-8")
    assert f'COLLECTION_VERSION = "{VERSION}"' in common
    assert "something new." in clone.load("changelogs/changelog.yaml")["releases"][VERSION]["changes"]["minor_changes"]
    assert list((clone.tree / "changelogs" / "fragments").glob("*.yml")) == []
    assert f"v{VERSION.replace('.', chr(92) + '.')}" in (clone.tree / "CHANGELOG.md").read_text(encoding="utf-8")
    assert clone.git("log", "-1", "--format=%s", VERSION) == f"Release {VERSION}\n"
    assert clone.git("status", "--porcelain") == ""
    with tarfile.open(clone.tree / "build" / "dist" / f"podidentity-eks-{VERSION}.tar.gz") as archive:
        assert "plugins/modules/eks_cluster.py" in archive.getnames()
    again = clone.release(VERSION)
    assert again.returncode == 1
    assert "there is such a release already" in again.stderr
