# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Print the newest Python of this machine that ansible-core 2.21 runs on; nothing where there is none."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import sys

#: What ansible-core 2.21 runs on.
LEAST, MOST = (3, 12), (3, 14)
SAY_VERSION = "import sys; print(*sys.version_info[:2])"


def candidates() -> list[str]:
    """Programs that may be a Python: of the path, and of pyenv, whose versions need not be on the path."""
    minors = range(LEAST[1], MOST[1] + 1)
    named = [path for minor in minors if (path := shutil.which(f"python3.{minor}"))]
    pyenv = pathlib.Path.home() / ".pyenv" / "versions"
    installed = [str(path / "bin" / "python3") for path in pyenv.glob("3.*") if re.fullmatch(r"3\.\d+\.\d+", path.name)]
    return [sys.executable, *named, *installed]


def version(python: str) -> tuple[int, ...]:
    """Major and minor number, or nothing when it does not run, as a shim of pyenv may not."""
    try:
        said = subprocess.run([python, "-c", SAY_VERSION], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(map(int, said.stdout.split()))


def main() -> None:
    found = {python: version(python) for python in candidates()}
    fitting = [python for python, number in found.items() if LEAST <= number <= MOST]
    if fitting:
        print(max(fitting, key=lambda python: found[python]))


if __name__ == "__main__":
    main()
