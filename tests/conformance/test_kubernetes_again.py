# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A cluster that is deleted and made again under the same name."""

from __future__ import annotations

import kubernetes
import pytest
from support.boto3_account import QUICK
from support.boto3_account import Account
from support.boto3_account import wait_until_gone
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.client("kubernetes client")


def core(sandbox: SandboxProcess) -> kubernetes.client.CoreV1Api:
    """A client of the one cluster."""
    return kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(str(sandbox.kubeconfig)))


def test_recreated_cluster_starts_empty(sandbox: SandboxProcess) -> None:
    sandbox.reset()
    sandbox.knobs(**QUICK)
    account = Account(sandbox)
    account.cluster("again")
    core(sandbox).create_namespaced_config_map("default", {"metadata": {"name": "old"}})
    account.eks.delete_cluster(name="again")
    wait_until_gone(lambda: account.eks.describe_cluster(name="again"))
    account.iam.delete_role(RoleName="again-cluster")
    account.cluster("again")
    names = [found.metadata.name for found in core(sandbox).list_namespaced_config_map("default").items]
    assert "old" not in names
