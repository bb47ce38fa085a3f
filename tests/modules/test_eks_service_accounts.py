# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""eks_service_accounts against a Kubernetes API over HTTPS: what is created and deleted, by name, and what is tried."""

from __future__ import annotations

import base64
import collections.abc
import dataclasses
import typing as t

import kubernetes
import pytest
import yaml
from support.module_runs import CLUSTER_ROLE
from support.module_runs import Result
from support.module_runs import RunModule
from support.module_runs import create_network
from support.module_runs import create_roles
from support.sandbox_process import SandboxProcess

LABELS = {"podidentity.eks/managed": "true"}
HERE, THERE = {"namespace": "default", "name": "here"}, {"namespace": "shop", "name": "there"}


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A cluster's API, and the options of the module by which it gets there."""

    core: t.Any
    connection: dict[str, t.Any]

    def accounts(self) -> dict[str, dict[str, str]]:
        """Labels by name, without those that Kubernetes makes itself."""
        found = self.core.list_service_account_for_all_namespaces().items
        return {
            f"{one.metadata.namespace}/{one.metadata.name}": one.metadata.labels or {}
            for one in found
            if one.metadata.name in (HERE["name"], THERE["name"])
        }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> collections.abc.Iterator[Cluster]:
    process = SandboxProcess()
    directory = tmp_path_factory.mktemp("accounts")
    process.start(directory)
    create_roles(process.client("iam"))
    _vpc, subnets, _groups = create_network(process.client("ec2"))
    eks = process.client("eks")
    eks.create_cluster(name="one", roleArn=CLUSTER_ROLE, resourcesVpcConfig={"subnetIds": subnets})
    eks.get_waiter("cluster_active").wait(name="one", WaiterConfig={"Delay": 1})
    described = eks.describe_cluster(name="one")["cluster"]
    authority = directory / "ca.pem"
    authority.write_bytes(base64.b64decode(described["certificateAuthority"]["data"]))
    [user] = yaml.safe_load(process.kubeconfig.read_text(encoding="utf-8"))["users"]
    connection = {"host": described["endpoint"], "ca_cert": str(authority), "api_key": user["user"]["token"]}
    yield Cluster(
        kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(str(process.kubeconfig))), connection
    )
    process.stop()


@pytest.fixture
def accounts(cluster: Cluster, run_module: RunModule) -> collections.abc.Callable[..., Result]:
    """Runs the module for service accounts with our label."""

    def run(*items: dict[str, str], **params: t.Any) -> Result:
        given = {"cluster_name": "one", "service_accounts": list(items), "labels": LABELS, **cluster.connection}
        return run_module("eks_service_accounts", **{**given, **params})

    return run


Run = collections.abc.Callable[..., Result]


def told(result: Result) -> list[tuple[str, str, bool]]:
    return [(one["name"], one["action"], bool(one["error"])) for one in result["objects"]]


def test_check_mode_predicts_the_run_by_name(accounts: Run, cluster: Cluster) -> None:
    wanted: dict[str, t.Any] = {"namespaces": ["shop"], "diff": True}
    predicted = accounts(HERE, THERE, **wanted, check_mode=True)
    assert cluster.accounts() == {}
    made = accounts(HERE, THERE, **wanted)
    assert cluster.accounts() == {"default/here": LABELS, "shop/there": LABELS}
    assert (predicted["objects"], predicted["diff"]) == (made["objects"], made["diff"])
    named = {"Namespace shop": {}, "ServiceAccount default/here": LABELS, "ServiceAccount shop/there": LABELS}
    assert made["changed"] and (made["diff"]["before"], made["diff"]["after"]) == ({}, named)
    again = accounts(HERE, THERE, **wanted)
    assert not again["changed"] and {one["action"] for one in again["objects"]} == {"none"}


def test_failure_of_one_does_not_stop_the_others(accounts: Run) -> None:
    lost = {"namespace": "nowhere", "name": "lost"}
    for check_mode in (True, False):
        result = accounts(lost, HERE, check_mode=check_mode)
        assert told(result) == [("nowhere/lost", "create", True), ("default/here", "none", False)]
        assert 'namespaces "nowhere" not found' in result["objects"][0]["error"]
        assert not result["changed"]


def test_deletion_is_shown_by_name_and_keeps_namespaces(accounts: Run, cluster: Cluster) -> None:
    wanted: dict[str, t.Any] = {"state": "absent", "namespaces": ["shop"], "diff": True}
    predicted = accounts(THERE, **wanted, check_mode=True)
    assert "shop/there" in cluster.accounts()
    gone = accounts(THERE, **wanted)
    assert list(cluster.accounts()) == ["default/here"]
    assert predicted["diff"] == gone["diff"] and gone["diff"]["before"] == {"ServiceAccount shop/there": LABELS}
    assert told(gone) == [("shop/there", "delete", False)]
    assert told(accounts(THERE, **wanted)) == [("shop/there", "none", False)]
    assert "shop" in [one.metadata.name for one in cluster.core.list_namespace().items]


def test_unknown_token_is_told_and_never_shown(accounts: Run, cluster: Cluster) -> None:
    result = accounts(HERE, api_key="k8s-aws-v1.secret")
    assert not result["changed"] and [one["error"] for one in result["objects"]] == ["Unauthorized"]
    assert "k8s-aws-v1.secret" not in str({key: value for key, value in result.items() if key != "invocation"})
