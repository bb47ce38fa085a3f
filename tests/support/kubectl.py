# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""kubectl as a user runs it."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

from support.kubernetes_cluster import Cluster

KUBECTL = shutil.which("kubectl")


class Kubectl:
    """Runs kubectl in one namespace."""

    def __init__(self, cluster: Cluster, namespace: str, home: pathlib.Path) -> None:
        self.namespace = namespace
        self._base = [str(KUBECTL), "--kubeconfig", str(cluster.kubeconfig), "-n", namespace]
        self._env = {"PATH": os.environ["PATH"], "HOME": str(home)}

    def run(self, *arguments: str, text: str | None = None, status: int = 0) -> str:
        """What it prints; its exit status must be the expected one."""
        command = [*self._base, *arguments]
        ended = subprocess.run(
            command, input=text, env=self._env, capture_output=True, text=True, check=False, timeout=60
        )
        assert ended.returncode == status, ended.stdout + ended.stderr
        return ended.stdout + (ended.stderr if status else "")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Let it run."""
        return subprocess.Popen([*self._base, *arguments], env=self._env, stdout=subprocess.PIPE, text=True)
