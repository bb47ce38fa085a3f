# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What only a real kube-apiserver with real controllers can show; elsewhere these tests are skipped."""

from __future__ import annotations

import typing as t

import pytest
from support.boto3_account import wait_for
from support.boto3_account import wait_until_gone
from support.kubernetes_cluster import CLUSTER
from support.kubernetes_cluster import PATIENCE
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import cluster
from support.kubernetes_cluster import eventually
from support.sandbox_process import CONTROL_PLANE

__all__ = ["cluster"]


@pytest.fixture(scope="session")
def only_on_envtest() -> None:
    """Skip where another control plane was chosen."""
    if CONTROL_PLANE != "envtest":
        pytest.skip(f"the {CONTROL_PLANE} control plane does not rebuild this: set SANDBOX_CONTROL_PLANE=envtest")


@pytest.fixture(scope="session")
def real(only_on_envtest: None, request: pytest.FixtureRequest) -> Cluster:
    """The shared cluster, which must have a real API server."""
    found: Cluster = request.getfixturevalue("cluster")
    return found


@pytest.fixture
def agent(real: Cluster) -> t.Iterator[None]:
    """The Pod Identity agent on every node, by its add-on."""
    addon = {"clusterName": CLUSTER, "addonName": "eks-pod-identity-agent"}
    real.account.eks.create_addon(**addon)
    wait_for(lambda: real.account.describe_addon(cluster=CLUSTER), "ACTIVE", seconds=PATIENCE)
    yield
    real.account.eks.delete_addon(**addon)
    wait_until_gone(lambda: real.account.describe_addon(cluster=CLUSTER), seconds=PATIENCE)


@pytest.fixture
def namespace(real: Cluster, request: pytest.FixtureRequest) -> t.Iterator[str]:
    """A namespace of the test's own."""
    name = request.node.name.replace("_", "-")[:63].rstrip("-")
    real.core.create_namespace({"metadata": {"name": name}})
    eventually(lambda: real.core.list_namespaced_service_account(name).items)
    yield name
    real.core.delete_namespace(name)
