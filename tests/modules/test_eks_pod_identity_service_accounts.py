# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""eks_pod_identity_service_accounts against a Kubernetes API over HTTPS: what it creates, deletes, tries and keeps."""

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
HERE = {"namespace": "default", "service_account": "here"}
THERE = {"namespace": "shop", "service_account": "there"}
OURS = ("here", "there", "chart", "old")


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
            if one.metadata.name in OURS
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
    """Runs the module for these workloads."""

    def run(*workloads: dict[str, t.Any], **params: t.Any) -> Result:
        given = {"cluster_name": "one", "workloads": list(workloads), **cluster.connection}
        return run_module("eks_pod_identity_service_accounts", **{**given, **params})

    return run


Run = collections.abc.Callable[..., Result]


def told(result: Result) -> list[tuple[str, str, bool]]:
    return [(one["name"], one["action"], bool(one["error"])) for one in result["objects"]]


@pytest.mark.parametrize("wrong", [{"namespace": "default"}, {"namespace": "default", "service_account": 7}])
def test_workload_without_names_is_refused(accounts: Run, wrong: dict[str, t.Any]) -> None:
    assert accounts(HERE, wrong)["msg"] == "workloads[2] lacks namespace or service_account: give both."


def test_check_mode_predicts_the_run_by_name(accounts: Run, cluster: Cluster) -> None:
    wanted: dict[str, t.Any] = {"create_namespaces": True, "diff": True}
    predicted = accounts(HERE, THERE, **wanted, check_mode=True)
    assert cluster.accounts() == {}
    made = accounts(HERE, THERE, **wanted)
    assert cluster.accounts() == {"default/here": LABELS, "shop/there": LABELS}
    assert (predicted["objects"], predicted["diff"]) == (made["objects"], made["diff"])
    named = {"Namespace shop": {}, "ServiceAccount default/here": LABELS, "ServiceAccount shop/there": LABELS}
    assert made["changed"] and (made["diff"]["before"], made["diff"]["after"]) == ({}, named)
    again = accounts(HERE, THERE, **wanted)
    assert not again["changed"] and again["objects"] == []


def test_new_cluster_is_predicted_without_a_connection(accounts: Run) -> None:
    planned = accounts(
        HERE,
        THERE,
        create_namespaces=True,
        planned_cluster={"name": "two"},
        host="https://127.0.0.1:9",
        check_mode=True,
    )
    assert told(planned) == [
        ("shop", "create", False),
        ("default/here", "create", False),
        ("shop/there", "create", False),
    ]


def test_failure_of_one_does_not_stop_the_others(accounts: Run, cluster: Cluster) -> None:
    cluster.core.delete_namespaced_service_account("here", "default")
    lost = {"namespace": "nowhere", "service_account": "lost"}
    for check_mode in (True, False):
        result = accounts(lost, HERE, check_mode=check_mode)
        assert told(result) == [("nowhere/lost", "create", True), ("default/here", "create", False)]
        assert result["failed"] and result["changed"]
        [failed] = result["failed_items"]
        assert (failed["workload"], failed["phase"]) == ("nowhere/lost", "service_account")
        assert (
            failed["reason"]
            == result["msg"]
            == (
                'Service account nowhere/lost could not be created: namespaces "nowhere" not found; create the '
                "namespace, or set service_account_create_namespaces: true."
            )
        )


def test_existing_and_unmanaged_accounts_are_kept_as_they_are(accounts: Run, cluster: Cluster) -> None:
    irsa = {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/irsa"}
    cluster.core.create_namespaced_service_account("default", {"metadata": {"name": "old", "annotations": irsa}})
    chart = {"namespace": "default", "service_account": "chart", "service_account_managed": False}
    old = {"namespace": "default", "service_account": "old"}
    result = accounts(HERE, old, chart)
    assert not result["changed"] and result["absent"] == ["default/chart"]
    assert cluster.accounts()["default/old"] == {} and "default/chart" not in cluster.accounts()
    assert (
        "Service account default/old has the IRSA annotation eks.amazonaws.com/role-arn: arn:aws:iam::"
        in (result["report"][0])
    )
    assert result["report"][1].startswith("Service accounts default/chart of cluster one do not exist yet, and are")
    gone = accounts({**old, "state": "absent"}, {**chart, "state": "absent"}, HERE)
    assert not gone["changed"] and "default/old" in cluster.accounts()
    assert gone["report"] == [
        "Service accounts default/old of cluster one were kept: they do not have the label podidentity.eks/managed, so "
        "this collection did not create them."
    ]


def test_undeclared_accounts_are_purged_only_when_asked(accounts: Run, cluster: Cluster) -> None:
    reported = accounts(HERE, THERE)
    assert reported["undeclared"] == []
    moved = {**THERE, "namespace": "default"}
    result = accounts(HERE, moved, also_declared=["shop/there"])
    assert result["undeclared"] == [] and "default/there" in cluster.accounts()
    alone = accounts(HERE, purge="namespace", check_mode=True, diff=True)
    assert told(alone) == [("default/there", "delete", False)] and "default/there" in cluster.accounts()
    assert accounts(HERE, operations=["apply"], purge="cluster")["objects"] == []
    assert told(accounts(HERE, purge="namespace")) == [("default/there", "delete", False)]
    assert sorted(cluster.accounts()) == ["default/here", "default/old", "shop/there"]
    told_of = accounts(HERE, {"namespace": "shop", "service_account": "other", "service_account_managed": False})
    assert told_of["undeclared"] == ["shop/there"]
    assert told_of["report"][0].startswith(
        "Cluster one has service accounts shop/there that were created by this collection"
    )


def test_deletion_is_shown_by_name_and_keeps_namespaces(accounts: Run, cluster: Cluster) -> None:
    wanted: dict[str, t.Any] = {"state": "absent", "diff": True}
    assert accounts(THERE, **wanted, operations=["apply"])["objects"] == []
    predicted = accounts(THERE, **wanted, check_mode=True)
    assert "shop/there" in cluster.accounts()
    gone = accounts(THERE, **wanted)
    assert "shop/there" not in cluster.accounts()
    assert predicted["diff"] == gone["diff"] and gone["diff"]["before"] == {"ServiceAccount shop/there": LABELS}
    assert told(gone) == [("shop/there", "delete", False)]
    assert accounts(THERE, **wanted)["objects"] == []
    assert "shop" in [one.metadata.name for one in cluster.core.list_namespace().items]


def test_unknown_token_fails_all_and_is_never_shown(accounts: Run) -> None:
    result = accounts(HERE, THERE, api_key="k8s-aws-v1.secret")
    assert not result["changed"]
    assert result["msg"].startswith(
        "The service accounts of cluster one cannot be listed: The API server does not know"
    )
    assert [one["workload"] for one in result["failed_items"]] == ["default/here", "shop/there"]
    assert "k8s-aws-v1.secret" not in str({key: value for key, value in result.items() if key != "invocation"})
