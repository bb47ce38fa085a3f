# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Print a Python of this machine: the newest that the collection supports, or the oldest, which runs ansible-core 2.19.

Usage: find_python.py newest|oldest. It prints nothing where there is none. The newest Python brings the newest
ansible-core: 2.21 needs Python 3.12.
"""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import sys

#: The Python versions that an ansible-core line supports: all that the collection supports, and those of 2.19.
SUPPORTED = {"newest": ((3, 11), (3, 14)), "oldest": ((3, 11), (3, 13))}
#: Debian packages venv apart from Python; without it no environment can be created.
PRINT_VERSION = "import ensurepip, sys, venv; print(*sys.version_info[:2])"


def candidates() -> list[str]:
    """The Python that runs this, those on the path, and those of pyenv, which need not be on the path."""
    named = [path for minor in range(11, 15) if (path := shutil.which(f"python3.{minor}"))]
    pyenv = pathlib.Path.home() / ".pyenv" / "versions"
    installed = [str(path / "bin" / "python3") for path in pyenv.glob("3.*") if re.fullmatch(r"3\.\d+\.\d+", path.name)]
    return [sys.executable, *named, *installed]


def version(python: str) -> tuple[int, ...]:
    """Major and minor number; nothing where it does not run, as a shim of pyenv may not."""
    try:
        done = subprocess.run([python, "-c", PRINT_VERSION], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(map(int, done.stdout.split()))


def main() -> None:
    wanted = sys.argv[1]
    least, most = SUPPORTED[wanted]
    found = {python: version(python) for python in candidates()}
    supported = [python for python, number in found.items() if least <= number <= most]
    if supported:
        choose = max if wanted == "newest" else min
        print(choose(supported, key=lambda python: found[python]))


if __name__ == "__main__":
    main()
