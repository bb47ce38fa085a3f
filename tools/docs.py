# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`make docs`: the documentation site in build/docs/html; a warning is an error, a broken internal link included.

Sphinx reads a mirror of the checkout (guides, READMEs), where relative links are the same as in the repository, and
beside it the reference of all plugins and roles, which antsibull-docs makes of what ansible-doc says.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import typing as t

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "docs"
SOURCE = BUILD / "source"
HTML = BUILD / "html"
#: What the site shows, and what its pages link to.
MIRRORED = (
    *("docs", "inventories/example", "playbooks", "roles", "sandbox/README.md", "LICENSE", "meta"),
    *(path.name for path in ROOT.glob("*.md")),
)
#: The collection as ansible-doc sees it.
COLLECTION = BUILD / "collections" / "ansible_collections" / "podidentity" / "eks"
LINKED = ("README.md", "changelogs", "galaxy.yml", "meta", "plugins")
BIN = pathlib.Path(sys.executable).parent
#: ansible-doc is that of the environment in which the collection runs.
ANSIBLE_BIN = BIN.parents[1] / "collection" / "bin"
FRONT_DOOR = (
    '<!DOCTYPE html><title>podidentity.eks</title><meta http-equiv="refresh" content="0; url=docs/index.html">\n'
)


def mirror() -> None:
    for name in MIRRORED:
        target = SOURCE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target)
        else:
            shutil.copy2(ROOT / name, target)


def lay_out_collection() -> None:
    """The checkout's collection, with role options as antsibull-docs takes them."""
    COLLECTION.mkdir(parents=True)
    for name in LINKED:
        (COLLECTION / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "roles", COLLECTION / "roles")
    for path in COLLECTION.glob("roles/*/meta/argument_specs.yml"):
        specs = yaml.safe_load(path.read_text(encoding="utf-8"))
        for entry in specs["argument_specs"].values():
            for option in entry["options"].values():
                describe_default(option)
        path.write_text(yaml.safe_dump(specs), encoding="utf-8")


def describe_default(option: dict[str, t.Any]) -> None:
    """Say in words which default a template gives, because a template is no value of a type other than str."""
    default = option.get("default")
    if option["type"] != "str" and isinstance(default, str) and "{{" in default:
        description = option["description"]
        del option["default"]
        option["description"] = [
            *([description] if isinstance(description, str) else description),
            f"The default is C({' '.join(default.split())}).",
        ]


def run(*command: str, **env: str) -> None:
    path = os.pathsep.join([str(BIN), str(ANSIBLE_BIN), os.environ["PATH"]])
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PATH": path, **env})


def main() -> int:
    shutil.rmtree(BUILD, ignore_errors=True)
    mirror()
    lay_out_collection()
    reference = SOURCE / "reference"
    reference.mkdir()
    command = ["antsibull-docs", "collection", "--use-current", "--squash-hierarchy", "--fail-on-error"]
    command += ["--no-add-antsibull-docs-version", "--dest-dir", str(reference), "podidentity.eks"]
    try:
        run(*command, ANSIBLE_COLLECTIONS_PATH=str(BUILD / "collections"))
        run("sphinx-build", "--quiet", "-W", "--keep-going", "-c", "docs", "-b", "html", str(SOURCE), str(HTML))
    except subprocess.CalledProcessError as error:
        return error.returncode
    (HTML / "index.html").write_text(FRONT_DOOR, encoding="utf-8")
    print(f"The site is in {HTML.relative_to(ROOT)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
