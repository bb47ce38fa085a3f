# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`make sanity`: ansible-test sanity, all of its tests, with the ansible-core of the Python that runs this.

ansible-test wants a collection at ansible_collections/NAMESPACE/NAME and nothing in it but the collection, so it gets a
copy of what git knows. It makes virtual environments for its tests below ``HOME``, which is a folder of the cache here,
and installs in them what ansible-core pins. Its arguments, such as ``--test pylint``, can be given.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig

ROOT = pathlib.Path(__file__).resolve().parents[1]
LINE = f"{sys.version_info.major}.{sys.version_info.minor}"
COPY = ROOT / "build" / "sanity" / LINE / "ansible_collections"
HOME = ROOT / ".cache" / "sanity" / LINE
#: Code beside the collection, which ruff and mypy judge.
NOT_SHIPPED = ("molecule/", "sandbox/", "tests/", "tools/")
#: ansible-test runs this in its virtual environments to get pip; its own comes from no package index.
GET_PIP = "import ensurepip\n\nensurepip.bootstrap(default_pip=True)\n"
#: Which one ansible-core 2.19 and 2.21 ask for.
PIP_VERSIONS = ("24_2", "25_2")


def copy_collection() -> pathlib.Path:
    """The files that git knows and that are shipped or say something about them, and its dependencies beside it."""
    shutil.rmtree(COPY, ignore_errors=True)
    collection = COPY / "podidentity" / "eks"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        source, target = ROOT / name, collection / name
        if source.exists() and not name.startswith(NOT_SHIPPED):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    # Without a repository of its own the copy would count as ignored by the one around it.
    subprocess.run(["git", "init", "--quiet", "."], cwd=collection, check=True)
    installed = pathlib.Path(sysconfig.get_path("purelib"), "ansible_collections")
    for dependency in ("amazon/aws", "kubernetes/core"):
        link = COPY / dependency
        link.parent.mkdir(parents=True)
        link.symlink_to(installed / dependency)
    return collection


def environment() -> dict[str, str]:
    """Without what leads Ansible elsewhere."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "AWS_", "K8S_AUTH_"))}
    return env | {
        "HOME": str(HOME),
        # pip's own settings stay the user's.
        "XDG_CONFIG_HOME": os.environ.get("XDG_CONFIG_HOME", str(pathlib.Path.home() / ".config")),
        "PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def main() -> int:
    cache = HOME / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in PIP_VERSIONS:
        (cache / f"get_pip_{version}.py").write_text(GET_PIP, encoding="utf-8")
    command = [str(pathlib.Path(sys.executable).with_name("ansible-test")), "sanity", "--local", "--requirements"]
    command += ["--python", LINE, "--color", "no", *sys.argv[1:]]
    return subprocess.run(command, cwd=copy_collection(), env=environment(), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
