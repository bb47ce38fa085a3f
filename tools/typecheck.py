# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""mypy --strict over each of the project's three worlds, each with the interpreter and the path that it runs with."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
COLLECTIONS = ".cache/collections"
SANDBOX_PYTHON = pathlib.Path(sys.prefix).parent / "sandbox" / "bin" / "python"
COLLECTION = "ansible_collections.podidentity.eks.plugins"

CHECKS: tuple[tuple[str, list[str]], ...] = (
    (COLLECTIONS, ["-p", COLLECTION]),
    ("sandbox", ["--python-executable", str(SANDBOX_PYTHON), "-p", "eks_sandbox"]),
    (f"{COLLECTIONS}:tests", ["tests", "tools"]),
)


def main() -> int:
    failed = 0
    for path, arguments in CHECKS:
        env = {**os.environ, "MYPYPATH": path}
        command = [sys.executable, "-m", "mypy", *arguments]
        failed |= subprocess.run(command, cwd=ROOT, env=env, check=False).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
