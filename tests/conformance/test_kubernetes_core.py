# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""kubernetes.core against the cluster: ``kubernetes_core.yml`` as an ordinary play."""

from __future__ import annotations

import pathlib
import subprocess

import pytest
from support.environment import ROOT
from support.environment import clean_environment
from support.kubernetes_cluster import Cluster

pytestmark = pytest.mark.client("kubernetes.core")

PLAY = pathlib.Path(__file__).with_name("kubernetes_core.yml")


def test_kubernetes_core_play_succeeds(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    env = {**clean_environment(tmp_path), "K8S_AUTH_KUBECONFIG": str(cluster.kubeconfig)}
    command = ["ansible-playbook", "-i", "objects,pods,", str(PLAY)]
    ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=600)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr
    assert ended.stdout.count("failed=0") == 2
