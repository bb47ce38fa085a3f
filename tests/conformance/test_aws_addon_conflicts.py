# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""resolveConflicts of an add-on, in a cluster where somebody else has changed its DaemonSet."""

from __future__ import annotations

import typing as t

import kubernetes
import pytest
from support.boto3_account import QUICK
from support.boto3_account import Account
from support.boto3_account import wait_for
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.client("boto3")

AGENT = "eks-pod-identity-agent"
NAMES = {"clusterName": "one", "addonName": AGENT}
FIELD = f'.spec.template.spec.containers[name="{AGENT}"].image'
OLD, NEW = "v1.3.8-eksbuild.2", "v1.3.9-eksbuild.3"
CUSTOM_IMAGE = "example.com/my-agent:1"


@pytest.fixture(scope="module")
def cluster_account(sandbox: SandboxProcess) -> Account:
    """An account with a cluster without nodes: what is looked at here is the DaemonSet, not its pods."""
    sandbox.reset()
    sandbox.knobs(**QUICK)
    account = Account(sandbox)
    account.cluster("one")
    return account


@pytest.fixture
def daemon_sets(cluster_account: Account) -> t.Iterator[t.Any]:
    """The add-on in its old version, with an image that somebody else has set; the client of DaemonSets."""
    apps = kubernetes.client.AppsV1Api(
        kubernetes.config.new_client_from_config(str(cluster_account.sandbox.kubeconfig))
    )
    cluster_account.eks.create_addon(**NAMES, addonVersion=OLD)
    wait_for(cluster_account.describe_addon, "DEGRADED")
    change = {"spec": {"template": {"spec": {"containers": [{"name": AGENT, "image": CUSTOM_IMAGE}]}}}}
    apps.patch_namespaced_daemon_set(AGENT, "kube-system", change, field_manager="somebody")
    yield apps
    cluster_account.eks.delete_addon(**NAMES)
    cluster_account.eks.get_waiter("addon_deleted").wait(**NAMES, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def image(daemon_sets: t.Any) -> str:
    """The image that the DaemonSet has now."""
    [container] = daemon_sets.read_namespaced_daemon_set(AGENT, "kube-system").spec.template.spec.containers
    return str(container.image)


@pytest.mark.parametrize("mode", [{}, {"resolveConflicts": "NONE"}])
def test_update_without_resolution_fails_and_names_field(
    cluster_account: Account, daemon_sets: t.Any, mode: dict[str, str]
) -> None:
    update = cluster_account.eks.update_addon(**NAMES, addonVersion=NEW, **mode)["update"]
    failed = wait_for(cluster_account.describe_addon, "UPDATE_FAILED")
    [issue] = failed["health"]["issues"]
    assert issue["code"] == "ConfigurationConflict"
    assert f"DaemonSet.apps {AGENT} - {FIELD}" in issue["message"]
    told = cluster_account.eks.describe_update(name="one", addonName=AGENT, updateId=update["id"])["update"]
    assert (told["status"], told["errors"][0]["errorCode"]) == ("Failed", "ConfigurationConflict")
    assert (failed["addonVersion"], image(daemon_sets)) == (OLD, CUSTOM_IMAGE)


@pytest.mark.parametrize(("mode", "kept"), [("PRESERVE", True), ("OVERWRITE", False)])
def test_update_preserves_or_overwrites_changed_field(
    cluster_account: Account, daemon_sets: t.Any, mode: str, kept: bool
) -> None:
    cluster_account.eks.update_addon(**NAMES, addonVersion=NEW, resolveConflicts=mode)
    after = wait_for(cluster_account.describe_addon, "DEGRADED", "UPDATE_FAILED")
    assert (after["status"], after["addonVersion"]) == ("DEGRADED", NEW)
    assert (image(daemon_sets) == CUSTOM_IMAGE) is kept


def test_create_addon_fails_on_conflicting_daemon_set(cluster_account: Account, daemon_sets: t.Any) -> None:
    cluster_account.eks.delete_addon(**NAMES, preserve=True)
    cluster_account.eks.get_waiter("addon_deleted").wait(**NAMES, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    assert image(daemon_sets) == CUSTOM_IMAGE
    cluster_account.eks.create_addon(**NAMES, addonVersion=NEW)
    failed = wait_for(cluster_account.describe_addon, "CREATE_FAILED")
    assert [issue["code"] for issue in failed["health"]["issues"]] == ["ConfigurationConflict"]
    cluster_account.eks.delete_addon(**NAMES)
    cluster_account.eks.get_waiter("addon_deleted").wait(**NAMES, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    cluster_account.eks.create_addon(**NAMES, addonVersion=NEW, resolveConflicts="OVERWRITE")
    wait_for(cluster_account.describe_addon, "DEGRADED")
    assert image(daemon_sets) != CUSTOM_IMAGE


def test_addon_creates_its_own_namespace(cluster_account: Account) -> None:
    core = kubernetes.client.CoreV1Api(
        kubernetes.config.new_client_from_config(str(cluster_account.sandbox.kubeconfig))
    )
    apps = kubernetes.client.AppsV1Api(core.api_client)
    cluster_account.eks.create_addon(**NAMES, namespaceConfig={"namespace": "identity"})
    wait_for(cluster_account.describe_addon, "DEGRADED")
    assert apps.read_namespaced_daemon_set(AGENT, "identity").metadata.name == AGENT
    cluster_account.eks.delete_addon(**NAMES)
    cluster_account.eks.get_waiter("addon_deleted").wait(**NAMES, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    assert apps.list_namespaced_daemon_set("identity").items == []
