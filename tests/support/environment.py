# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The environment of programs that tests start: a home of their own, and nothing of the developer's AWS or Ansible."""

from __future__ import annotations

import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
#: What was recorded from the real programs, and cases that several tests share.
DATA = ROOT / "tests" / "data"
#: What a developer's shell may hold and a test must not see; without compiled files Ansible is three times as slow.
DEVELOPER_VARIABLES = re.compile(r"(AWS|K8S_AUTH|ANSIBLE|KUBE|MOLECULE)_?.*|PYTHONDONTWRITEBYTECODE")


def clean_environment(home: pathlib.Path) -> dict[str, str]:
    """For Ansible's programs, run in the checkout, with every file outside it below ``home``."""
    env = {key: value for key, value in os.environ.items() if not DEVELOPER_VARIABLES.fullmatch(key)}
    return env | {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "ANSIBLE_HOME": str(home / "ansible"),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "NO_COLOR": "1",
        "PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
