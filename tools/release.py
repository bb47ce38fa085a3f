# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`make release VERSION=1.2.3`: sets the version, makes the changelog, commits, tags and builds the tarball.

With ``--dry-run`` all of it happens in a clone below build/, whose changes are shown; the checkout stays as it is.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = pathlib.Path(sys.executable).parent
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
#: Where the version stands: file, and the line up to it and after it.
PLACES = (
    ("galaxy.yml", re.compile(r"^(version: )(\S+)()$", re.M)),
    ("plugins/module_utils/_eks/common.py", re.compile(r'^(COLLECTION_VERSION = ")([^"]+)(")$', re.M)),
)


class Refused(Exception):
    """Says why there is no release."""


def run(*command: str, cwd: pathlib.Path) -> str:
    """What a command prints; its failure ends the release."""
    env = {**os.environ, "ANSIBLE_CONFIG": str(cwd / "ansible.cfg")}
    done = subprocess.run(command, cwd=cwd, env=env, text=True, capture_output=True, check=False)
    if done.returncode:
        raise Refused(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split("-", maxsplit=1)[0].split(".")))


def check(version: str, tree: pathlib.Path) -> None:
    """Whether this version can be released from this tree now; raises Refused."""
    if not VERSION.fullmatch(version):
        raise Refused(f'VERSION is "{version}": give it as three numbers, such as make release VERSION=1.2.3.')
    name, pattern = PLACES[0]
    found = pattern.search((tree / name).read_text(encoding="utf-8"))
    if found is None or numbers(version) < numbers(found[2]):
        raise Refused(f"VERSION {version} is older than the version in {name}{f', {found[2]}' if found else ''}.")
    if run("git", "tag", "--list", version, cwd=tree):
        raise Refused(f"The tag {version} exists: there is such a release already.")
    if not list((tree / "changelogs" / "fragments").glob("*.yml")):
        raise Refused("There is nothing in changelogs/fragments, so there is nothing to release.")
    if changed := run("git", "status", "--porcelain", cwd=tree):
        raise Refused(f"The work tree has changes that are not committed:\n{changed}")


def set_version(version: str, tree: pathlib.Path) -> None:
    for name, pattern in PLACES:
        path = tree / name
        text, count = pattern.subn(rf"\g<1>{version}\g<3>", path.read_text(encoding="utf-8"))
        if count != 1:
            raise Refused(f"{name} has {count} lines with the version; there should be one.")
        path.write_text(text, encoding="utf-8")


def release(version: str, tree: pathlib.Path) -> pathlib.Path:
    """Make the release in this tree; returns its tarball."""
    set_version(version, tree)
    run(str(BIN / "antsibull-changelog"), "release", "--version", version, cwd=tree)
    run("git", "add", "--all", ".", cwd=tree)
    run("git", "commit", "--quiet", "--message", f"Release {version}", cwd=tree)
    run("git", "tag", "--annotate", "--message", f"Release {version}", version, cwd=tree)
    dist = tree / "build" / "dist"
    dist.mkdir(parents=True, exist_ok=True)
    run(str(BIN / "ansible-galaxy"), "collection", "build", "--force", "--output-path", str(dist), cwd=tree)
    return dist / f"podidentity-eks-{version}.tar.gz"


def rehearsal() -> pathlib.Path:
    """A clone to release from and to forget."""
    clone = ROOT / "build" / "release"
    shutil.rmtree(clone, ignore_errors=True)
    run("git", "clone", "--quiet", str(ROOT), str(clone), cwd=ROOT)
    links = clone / ".cache" / "collections" / "ansible_collections" / "podidentity"
    links.mkdir(parents=True)
    (links / "eks").symlink_to("../../../..")
    for key in ("user.name", "user.email"):
        if value := run("git", "config", "--get", "--default", "", key, cwd=ROOT).strip():
            run("git", "config", key, value, cwd=clone)
    return clone


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("version")
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args()
    try:
        check(options.version, ROOT)
        tree = rehearsal() if options.dry_run else ROOT
        tarball = release(options.version, tree)
        print(run("git", "show", "--stat", "--format=%D%n%s", "HEAD", cwd=tree))
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    print(f"{'Would be' if options.dry_run else 'Is'} released: {tarball.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
