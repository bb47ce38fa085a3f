# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""eks_pod_identity_probe against a Kubernetes API over HTTPS with EKS's webhook: yes, not yet, no and why."""

from __future__ import annotations

import base64
import collections
import collections.abc
import contextlib
import dataclasses
import pathlib
import time
import typing as t

import certifi
import kubernetes
import pytest
import yaml
from support.kubernetes_proxy import KubernetesProxy
from support.module_runs import CLUSTER_ROLE
from support.module_runs import Result
from support.module_runs import RunModule
from support.module_runs import create_network
from support.module_runs import create_roles
from support.sandbox_process import SandboxProcess

ROLE = "arn:aws:iam::111122223333:role/app"
NAME = "eks_pod_identity_probe"
QUIET = {"association_delay_seconds": 0.0, "webhook_replicas": 1, "webhook_spread_seconds": 0.0}
WEBHOOK = "pod-identity-webhook"


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A cluster with its API server, seen by its administrator."""

    sandbox: SandboxProcess
    eks: t.Any
    core: t.Any
    admission: t.Any
    #: The options of the module by which it gets there.
    connection: dict[str, str]

    def associate(self, *names: str, namespace: str = "default") -> None:
        """Associations, and the service accounts that are not there yet."""
        for name in names:
            self.service_account(name, namespace)
            self.eks.create_pod_identity_association(
                clusterName="probe", namespace=namespace, serviceAccount=name, roleArn=ROLE
            )

    def service_account(self, name: str, namespace: str = "default", **annotations: str) -> None:
        """A service account; one that is there already stays."""
        with contextlib.suppress(kubernetes.client.ApiException):
            self.core.create_namespaced_service_account(
                namespace, {"metadata": {"name": name, "annotations": annotations}}
            )

    def pods(self) -> list[str]:
        """The pods that exist."""
        return [pod.metadata.name for pod in self.core.list_pod_for_all_namespaces().items]


@pytest.fixture(scope="module")
def running_cluster(tmp_path_factory: pytest.TempPathFactory) -> collections.abc.Iterator[Cluster]:
    """One cluster for all tests of this module."""
    process = SandboxProcess()
    directory = tmp_path_factory.mktemp("probe")
    process.start(directory)
    create_roles(process.client("iam"))
    _vpc, subnets, _groups = create_network(process.client("ec2"))
    eks = process.client("eks")
    eks.create_cluster(name="probe", roleArn=CLUSTER_ROLE, resourcesVpcConfig={"subnetIds": subnets})
    eks.get_waiter("cluster_active").wait(name="probe", WaiterConfig={"Delay": 1})
    api = kubernetes.config.new_client_from_config(str(process.kubeconfig))
    described = eks.describe_cluster(name="probe")["cluster"]
    authority = directory / "ca.pem"
    authority.write_bytes(base64.b64decode(described["certificateAuthority"]["data"]))
    [user] = yaml.safe_load(process.kubeconfig.read_text(encoding="utf-8"))["users"]
    connection = {"host": described["endpoint"], "ca_cert": str(authority), "api_key": user["user"]["token"]}
    core, admission = kubernetes.client.CoreV1Api(api), kubernetes.client.AdmissionregistrationV1Api(api)
    yield Cluster(process, eks, core, admission, connection)
    process.stop()


@pytest.fixture
def cluster(running_cluster: Cluster) -> collections.abc.Iterator[Cluster]:
    """The cluster without associations and with a webhook that is quick."""
    running_cluster.sandbox.knobs(**QUIET)
    yield running_cluster
    running_cluster.sandbox.knobs(**QUIET)
    for found in running_cluster.eks.list_pod_identity_associations(clusterName="probe")["associations"]:
        running_cluster.eks.delete_pod_identity_association(clusterName="probe", associationId=found["associationId"])
    assert running_cluster.pods() == [], "a probe never creates anything"


@pytest.fixture
def probe(cluster: Cluster, run_module: RunModule) -> collections.abc.Callable[..., Result]:
    """Runs the module for service accounts, written with or without their namespace."""

    def run(*names: str, check: bool = False, **params: t.Any) -> Result:
        workloads = [
            dict(
                zip(
                    ("namespace", "service_account"),
                    (name if "/" in name else f"default/{name}").split("/"),
                    strict=True,
                )
            )
            for name in names
        ]
        return run_module(NAME, check_mode=check, workloads=workloads, **{**cluster.connection, **params})

    return run


@pytest.fixture
def counting_proxy(cluster: Cluster) -> collections.abc.Iterator[KubernetesProxy]:
    """The cluster's API behind a proxy that counts."""
    with KubernetesProxy(cluster.connection["host"], cluster.connection["ca_cert"]) as proxy:
        yield proxy


Run = collections.abc.Callable[..., Result]


def causes(result: Result) -> list[str | None]:
    return [item["cause"] for item in result["workloads"]]


def test_all_invalid_options_are_reported_before_any_call(probe: Run, counting_proxy: KubernetesProxy) -> None:
    result = probe(
        "app", "app", "Bad/x", "default/-", consecutive=0, timeout=0, concurrency=0, host=counting_proxy.host
    )
    assert result["failed"]
    told = result["msg"].splitlines()
    assert len(told) == 6
    for words in (
        "consecutive: 0",
        "timeout: 0",
        "concurrency: 0",
        "default/app is in workloads 2 times",
        '"Bad"',
        '"-"',
    ):
        assert any(words in line for line in told), (words, told)
    assert counting_proxy.calls == []


@pytest.mark.parametrize("check", [False, True], ids=["for real", "check mode"])
def test_associated_service_account_is_effective(probe: Run, cluster: Cluster, check: bool) -> None:
    cluster.associate("app")
    result = probe("app", check=check)
    assert not result["failed"]
    assert result["changed"] is False
    assert result["effective"] is True
    [item] = result["workloads"]
    seconds = item.pop("seconds")
    assert 0 < seconds < 10
    assert item == {
        "namespace": "default",
        "service_account": "app",
        "effective": True,
        "mechanism": "pod_identity",
        "attempts": 3,
        "cause": None,
        "reason": None,
    }


def test_each_attempt_uses_its_own_connection(probe: Run, cluster: Cluster, counting_proxy: KubernetesProxy) -> None:
    cluster.associate("app")
    assert probe("app", host=counting_proxy.host, consecutive=4)["effective"]
    assert [(call.method, call.path) for call in counting_proxy.calls] == [
        ("POST", "/api/v1/namespaces/default/pods")
    ] * 4
    assert {call.query for call in counting_proxy.calls} == {"dryRun=All"}
    assert len({call.connection for call in counting_proxy.calls}) == 4


def test_hundred_service_accounts_take_three_hundred_calls(
    probe: Run, cluster: Cluster, counting_proxy: KubernetesProxy
) -> None:
    names = [f"many-{number}" for number in range(100)]
    cluster.associate(*names)
    result = probe(*names, host=counting_proxy.host)
    assert result["effective"]
    assert [item["service_account"] for item in result["workloads"]] == names
    assert collections.Counter(call.method for call in counting_proxy.calls) == {"POST": 300}
    assert len({call.connection for call in counting_proxy.calls}) <= 3 * 16


def test_probe_waits_for_late_association(probe: Run, cluster: Cluster) -> None:
    cluster.sandbox.knobs(association_delay_seconds=3)
    cluster.associate("late")
    began = time.monotonic()
    result = probe("late")
    assert result["effective"]
    assert time.monotonic() - began >= 3
    [item] = result["workloads"]
    assert item["seconds"] >= 3
    assert item["attempts"] > 6


def test_probe_waits_until_webhook_replicas_agree(probe: Run, cluster: Cluster) -> None:
    """The last of three replicas hears of the associations after 2 + 3 seconds."""
    cluster.sandbox.knobs(association_delay_seconds=2, webhook_replicas=3, webhook_spread_seconds=3)
    cluster.associate("one", "two", "three", "four")
    began = time.monotonic()
    result = probe("one", "two", "three", "four")
    assert result["effective"]
    assert time.monotonic() - began >= 5


def test_probe_without_wait_never_fails(probe: Run, cluster: Cluster, counting_proxy: KubernetesProxy) -> None:
    cluster.sandbox.knobs(association_delay_seconds=60)
    cluster.associate("soon")
    cluster.sandbox.knobs(association_delay_seconds=0)
    cluster.associate("now")
    result = probe("now", "soon", "absent", wait=False, host=counting_proxy.host)
    assert not result["failed"]
    assert result["effective"] is False
    assert [item["effective"] for item in result["workloads"]] == [True, False, False]
    assert [item["attempts"] for item in result["workloads"]] == [3, 1, 1]
    assert causes(result) == [None, "not_associated", "service_account_missing"]
    # Beside the looks: the webhook's configuration, and the names of the namespace's service accounts.
    assert collections.Counter(call.method for call in counting_proxy.calls) == {"POST": 5, "GET": 2}


def test_timeout_names_every_ineffective_workload(probe: Run, cluster: Cluster) -> None:
    cluster.associate("good")
    cluster.service_account("alone")
    cluster.service_account("old", **{"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/irsa"})
    result = probe("good", "alone", "old", "god", "nowhere/app", timeout=2)
    assert result["failed"]
    assert result["effective"] is False
    assert causes(result) == [None, "not_associated", "irsa_only", "service_account_missing", "namespace_missing"]
    mechanisms = [item["mechanism"] for item in result["workloads"]]
    assert mechanisms == ["pod_identity", "none", "irsa", None, None]
    head, *told = result["msg"].splitlines()
    assert head == "4 of 5 workloads would not get EKS Pod Identity after 2 seconds:"
    assert [line.partition(": ")[0] for line in told] == ["default/alone", "default/old", "default/god", "nowhere/app"]
    assert "good is there" in result["workloads"][3]["reason"]
    assert result["workloads"][3]["seconds"] < 2


def test_missing_objects_fail_without_waiting(probe: Run, cluster: Cluster) -> None:
    began = time.monotonic()
    result = probe("absent", "nowhere/app")
    assert time.monotonic() - began < 10
    assert result["failed"]
    assert causes(result) == ["service_account_missing", "namespace_missing"]


def test_terminating_namespace_is_reported(probe: Run, cluster: Cluster) -> None:
    cluster.core.create_namespace({"metadata": {"name": "ending"}, "spec": {"finalizers": ["kubernetes"]}})
    pinned = {"metadata": {"name": "pin", "finalizers": ["example.com/pin"]}}
    cluster.core.create_namespaced_config_map("ending", pinned)
    cluster.core.delete_namespace("ending")
    try:
        assert causes(probe("ending/default")) == ["namespace_terminating"]
    finally:
        cluster.core.patch_namespaced_config_map("pin", "ending", {"metadata": {"finalizers": None}})


@contextlib.contextmanager
def webhook_removed(cluster: Cluster) -> collections.abc.Iterator[None]:
    original = cluster.admission.read_mutating_webhook_configuration(WEBHOOK)
    cluster.admission.delete_mutating_webhook_configuration(WEBHOOK)
    try:
        yield
    finally:
        original.metadata.resource_version = original.metadata.uid = None
        cluster.admission.create_mutating_webhook_configuration(original)


def test_missing_webhook_is_reported_for_all_workloads(probe: Run, cluster: Cluster) -> None:
    cluster.associate("app", "other")
    with webhook_removed(cluster):
        began = time.monotonic()
        result = probe("app", "other")
    assert time.monotonic() - began < 10
    assert result["failed"]
    assert causes(result) == ["webhook_missing"] * 2


def test_narrowed_webhook_is_reported(probe: Run, cluster: Cluster) -> None:
    cluster.associate("app")
    path = "/webhooks/0/namespaceSelector"
    narrow = [{"op": "replace", "path": path, "value": {"matchLabels": {"identity": "yes"}}}]
    cluster.admission.patch_mutating_webhook_configuration(WEBHOOK, narrow)
    try:
        assert causes(probe("app")) == ["webhook_changed"]
    finally:
        cluster.admission.patch_mutating_webhook_configuration(WEBHOOK, [{"op": "replace", "path": path, "value": {}}])


def test_missing_create_pods_permission_is_reported(probe: Run, cluster: Cluster) -> None:
    cluster.associate("app")
    token = cluster.core.create_namespaced_service_account_token("app", "default", {"spec": {}}).status.token
    result = probe("app", api_key=token)
    assert result["failed"]
    assert causes(result) == ["forbidden"]
    assert "system:serviceaccount:default:app may not create pods" in result["msg"]
    assert token not in str(result)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"api_key": "nobody"}, "unauthorized"),
        ({"host": "https://127.0.0.1:1"}, "unreachable"),
        ({"ca_cert": certifi.where()}, "certificate"),
        ({"ca_cert": "/nowhere/ca.pem"}, "certificate"),
    ],
)
def test_connection_failure_reports_its_cause(probe: Run, changes: dict[str, str], cause: str) -> None:
    result = probe("app", timeout=1, **changes)
    assert result["failed"]
    assert causes(result) == [cause]


def test_kubeconfig_can_replace_host_and_token(cluster: Cluster, run_module: RunModule) -> None:
    cluster.associate("app")
    workloads = [{"namespace": "default", "service_account": "app"}]
    assert run_module(NAME, workloads=workloads, kubeconfig=str(cluster.sandbox.kubeconfig))["effective"]


def test_missing_connection_lists_needed_options(
    run_module: RunModule, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setenv("K8S_AUTH_KUBECONFIG", str(tmp_path / "none"))
    result = run_module(NAME, workloads=[{"namespace": "default", "service_account": "app"}])
    assert result["failed"]
    assert "set host and api_key, kubeconfig" in result["msg"]
