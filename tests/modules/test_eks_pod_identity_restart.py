# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""eks_pod_identity_restart against AWS and a Kubernetes API: what is restarted, when, and what is left alone.

In order on one sandbox: pods exist before their association does, and the webhooks learn of it late and at different
times.
"""

from __future__ import annotations

import base64
import collections.abc
import time
import typing as t

import kubernetes
import pytest
import yaml
from support.existing_cluster import ROLE_PREFIX
from support.existing_cluster import make_account
from support.existing_cluster import make_cluster
from support.module_runs import Result
from support.module_runs import RunModule
from support.module_runs import use_environment
from support.sandbox_process import SandboxProcess

#: Of a pod that somebody has given one in clear text.
PASSWORD = "correct-horse-battery-staple"
TOKEN = "eks-pod-identity-token"
LATE = {"association_delay_seconds": 4.0, "webhook_replicas": 3, "webhook_spread_seconds": 3.0}
Restart = collections.abc.Callable[..., Result]


class Team:
    """Those who run workloads in the cluster, with the Python client of Kubernetes."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self.sandbox = sandbox
        self.eks = sandbox.client("eks")
        api = kubernetes.config.new_client_from_config(str(sandbox.kubeconfig))
        self.core, self.apps = kubernetes.client.CoreV1Api(api), kubernetes.client.AppsV1Api(api)
        self.batch, self.policy = kubernetes.client.BatchV1Api(api), kubernetes.client.PolicyV1Api(api)
        self.makers = {
            "deployment": self.apps.create_namespaced_deployment,
            "stateful_set": self.apps.create_namespaced_stateful_set,
            "daemon_set": self.apps.create_namespaced_daemon_set,
        }

    def template(self, name: str, account: str, **more: t.Any) -> dict[str, t.Any]:
        password = {"name": "PASSWORD", "value": PASSWORD}
        container = {"name": "main", "image": "busybox", "command": ["sleep", "3600"], "env": [password]}
        spec = {"serviceAccountName": account, "terminationGracePeriodSeconds": 0, "containers": [container], **more}
        return {"metadata": {"labels": {"app": name}}, "spec": spec}

    def account(self, name: str) -> None:
        self.core.create_namespaced_service_account("default", {"metadata": {"name": name}})

    def make(self, kind: str, name: str, account: str, **spec: t.Any) -> None:
        selected: dict[str, t.Any] = {
            "selector": {"matchLabels": {"app": name}},
            "template": self.template(name, account),
        }
        if kind == "stateful_set":
            selected["serviceName"] = name
        self.makers[kind]("default", {"metadata": {"name": name}, "spec": {**selected, **spec}})

    def associate(self, account: str) -> None:
        self.eks.create_pod_identity_association(
            clusterName="example", namespace="default", serviceAccount=account, roleArn=f"{ROLE_PREFIX}app"
        )

    def give_another_role(self, account: str) -> None:
        names: dict[str, t.Any] = {"clusterName": "example", "namespace": "default", "serviceAccount": account}
        [found] = self.eks.list_pod_identity_associations(**names)["associations"]
        self.eks.update_pod_identity_association(
            clusterName="example", associationId=found["associationId"], roleArn=f"{ROLE_PREFIX}app-v2"
        )

    def pods(self, *names: str) -> dict[str, list[t.Any]]:
        """The living pods by the label of who made them."""
        found: dict[str, list[t.Any]] = {name: [] for name in names}
        for pod in self.core.list_namespaced_pod("default").items:
            if pod.metadata.labels["app"] in found and not pod.metadata.deletion_timestamp:
                found[pod.metadata.labels["app"]].append(pod)
        return found

    def wait_until_ready(self, *names: str) -> None:
        deadline = time.monotonic() + 30
        while not all(pods and all(map(is_ready, pods)) for pods in self.pods(*names).values()):
            assert time.monotonic() < deadline, self.pods(*names)
            time.sleep(0.1)

    def with_identity(self, *names: str) -> dict[str, set[bool]]:
        """Whether the pods of each hold the identity."""
        return {name: set(map(has_identity, pods)) for name, pods in self.pods(*names).items()}

    def generations(self) -> dict[str, int]:
        """How often what is to run was written, by name."""
        lists = (
            self.apps.list_namespaced_deployment,
            self.apps.list_namespaced_stateful_set,
            self.apps.list_namespaced_daemon_set,
        )
        return {one.metadata.name: one.metadata.generation for look in lists for one in look("default").items}


def is_ready(pod: t.Any) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or [])


def has_identity(pod: t.Any) -> bool:
    return TOKEN in [volume.name for volume in pod.spec.volumes or []]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> collections.abc.Iterator[Team]:
    """A cluster with workloads that run without Pod Identity."""
    sandbox = SandboxProcess()
    sandbox.start(tmp_path_factory.mktemp("restart"))
    make_cluster(sandbox, make_account(sandbox))
    agent = {"clusterName": "example", "addonName": "eks-pod-identity-agent"}
    sandbox.client("eks").create_addon(**agent)
    sandbox.client("eks").get_waiter("addon_active").wait(**agent, WaiterConfig={"Delay": 1})
    made = Team(sandbox)
    for account in ("app", "other", "held", "broken"):
        made.account(account)
    made.make("deployment", "web", "app", replicas=2)
    made.make("stateful_set", "store", "app", replicas=2)
    made.make("daemon_set", "collector", "app")
    made.make("deployment", "theirs", "other")
    shell = made.template("shell", "app")
    made.core.create_namespaced_pod("default", {**shell, "metadata": {"name": "shell", **shell["metadata"]}})
    job = made.template("import", "app", restartPolicy="Never")
    made.batch.create_namespaced_job("default", {"metadata": {"name": "import"}, "spec": {"template": job}})
    made.wait_until_ready("web", "store", "collector", "theirs", "shell", "import")
    yield made
    sandbox.stop()


@pytest.fixture(scope="module")
def connection(team: Team, tmp_path_factory: pytest.TempPathFactory) -> dict[str, t.Any]:
    """The options by which the module reaches the API server."""
    described = team.eks.describe_cluster(name="example")["cluster"]
    authority = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.write_bytes(base64.b64decode(described["certificateAuthority"]["data"]))
    [user] = yaml.safe_load(team.sandbox.kubeconfig.read_text(encoding="utf-8"))["users"]
    return {"host": described["endpoint"], "ca_cert": str(authority), "api_key": user["user"]["token"]}


@pytest.fixture
def restart(
    team: Team, connection: dict[str, t.Any], run_module: RunModule, monkeypatch: pytest.MonkeyPatch
) -> Restart:
    """Runs the module for these service accounts."""
    use_environment(monkeypatch, team.sandbox.env)

    def run(*accounts: str, **options: t.Any) -> Result:
        places = [name.split("/") if "/" in name else ("default", name) for name in accounts]
        workloads = [{"namespace": space, "service_account": name, "state": "present"} for space, name in places]
        result = run_module(
            "eks_pod_identity_restart", **{**connection, "cluster_name": "example", "workloads": workloads, **options}
        )
        shown = str({key: value for key, value in result.items() if key != "invocation"})
        assert PASSWORD not in shown and connection["api_key"] not in shown
        return result

    return run


def report(result: Result) -> str:
    return "\n".join(result["report"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"workloads": [{"namespace": "default"}]}, "workloads[1] lacks namespace or service_account: give both."),
        ({"timeout": 0}, "timeout is 0: give a number of seconds of 1 or more."),
        ({"mode": "always"}, "value of mode must be one of: never, missing, stale, got: always"),
    ],
)
def test_wrong_options_are_refused_before_any_call(
    team: Team, restart: Restart, wrong: dict[str, t.Any], said: str
) -> None:
    team.sandbox.clear_calls()
    assert said in restart("app", **wrong)["msg"]
    assert team.sandbox.call_log() == []


def test_check_mode_predicts_restarts_and_writes_nothing(team: Team, restart: Restart) -> None:
    team.sandbox.knobs(**LATE)
    team.associate("app")
    team.associate("other")
    before = team.generations()
    planned = restart("app", check_mode=True, diff=True)
    assert planned["changed"] and planned["failed_items"] == []
    assert "StatefulSet default/store would be restarted: pods store-0, store-1 were admitted without" in report(
        planned
    )
    assert "Deployment default/web would be restarted" in report(planned)
    assert "DaemonSet default/collector would be restarted" in report(planned)
    assert sorted(planned["diff"]["after"]) == [
        "DaemonSet default/collector",
        "Deployment default/web",
        "StatefulSet default/store",
    ]
    assert "theirs" not in report(planned)
    assert team.generations() == before


def test_restarts_each_workload_once_and_gives_it_identity(team: Team, restart: Restart) -> None:
    # This starts the delay again.
    team.give_another_role("app")
    single = {name: team.pods(name)[name][0].metadata.uid for name in ("shell", "import")}
    run = restart("app", diff=True)
    assert run["changed"] and [one["name"] for one in run["restarts"]] == ["collector", "web", "store"]
    assert team.with_identity("web", "store", "collector") == {"web": {True}, "store": {True}, "collector": {True}}
    # One restart of each was enough, so none came before the webhooks knew.
    assert team.generations() == {"web": 2, "store": 2, "collector": 2, "theirs": 1}
    assert "Pod default/shell is left alone: pod shell was admitted without the identity; it has no con" in report(run)
    assert "Job default/import is left alone" in report(run)
    assert {name: team.pods(name)[name][0].metadata.uid for name in single} == single
    assert team.with_identity("theirs") == {"theirs": {False}}


def test_second_run_changes_nothing(team: Team, restart: Restart) -> None:
    before = team.generations()
    assert not restart("app")["changed"]
    assert team.generations() == before


def test_restarts_stale_pods_only_in_default_mode(team: Team, restart: Restart) -> None:
    team.sandbox.knobs(association_delay_seconds=0.0, webhook_replicas=1, webhook_spread_seconds=0.0)
    time.sleep(1)  # Kubernetes tells whole seconds
    team.give_another_role("app")
    before = team.generations()
    for mode in ("never", "missing"):
        team.sandbox.clear_calls()
        assert not restart("app", mode=mode)["changed"]
        assert team.sandbox.call_log(operation="eks:*") == [], "neither asks for dates"
    assert team.generations() == before
    run = restart("app")
    assert "before the association last changed (20" in report(run)
    assert team.generations() == {"web": 3, "store": 3, "collector": 3, "theirs": 1}
    assert not restart("app")["changed"]


def test_effective_pods_need_few_reads_and_no_restart(team: Team, restart: Restart) -> None:
    team.account("calm")
    team.associate("calm")
    time.sleep(1)
    team.make("deployment", "calm", "calm")
    team.wait_until_ready("calm")
    run = restart("calm")
    assert not run["changed"]
    # All of the namespace, for their dates; of the roles and the agent nothing is asked.
    assert run["api_calls"] == {"ListPodIdentityAssociations": 1, "DescribePodIdentityAssociation": 3}
    assert team.generations()["calm"] == 1


def test_reports_blocked_restarts_after_restarting_the_rest(team: Team, restart: Restart) -> None:
    team.make("deployment", "paused", "held")
    team.make("daemon_set", "by-hand", "held", updateStrategy={"type": "OnDelete"})
    team.make("stateful_set", "guarded", "held")
    team.make("deployment", "free", "held")
    budget = {"minAvailable": 1, "selector": {"matchLabels": {"app": "guarded"}}}
    team.policy.create_namespaced_pod_disruption_budget("default", {"metadata": {"name": "one"}, "spec": budget})
    team.wait_until_ready("paused", "by-hand", "guarded", "free")
    team.apps.patch_namespaced_deployment("paused", "default", {"spec": {"paused": True}})
    team.associate("held")
    before = team.generations()
    run = restart("held")
    assert run["failed"] and run["changed"]
    reasons = {one["reason"].split(": ", 1)[0]: one["reason"] for one in run["failed_items"]}
    assert "it is paused" in reasons["Deployment default/paused was not restarted"]
    assert "OnDelete" in reasons["DaemonSet default/by-hand was not restarted"]
    assert "disruption budget one allows 0" in reasons["StatefulSet default/guarded was not restarted"]
    assert {one["service_account"] for one in run["failed_items"]} == {"held"} and len(reasons) == 3
    assert run["msg"].split("\n") == [one["reason"] for one in run["failed_items"]]
    assert team.generations() == {**before, "free": before["free"] + 1}
    assert team.with_identity("free") == {"free": {True}}


def test_proof_decides_before_role_and_agent_are_read(team: Team, restart: Restart) -> None:
    team.apps.patch_namespaced_deployment("paused", "default", {"spec": {"paused": False}})
    before = team.generations()
    proof = {"namespace": "default", "service_account": "held", "proven": False, "cause": {"id": "trust_refused"}}
    refuted = restart("held", proofs=[proof], mode="missing")
    assert "new pods would not get the identity: it is not proven (trust_refused)" in refuted["msg"]
    assert team.generations() == before
    team.sandbox.client("eks").delete_addon(clusterName="example", addonName="eks-pod-identity-agent")
    while team.eks.list_addons(clusterName="example")["addons"]:
        time.sleep(0.1)
    unread = restart("held", mode="missing")
    assert "the cluster has no add-on eks-pod-identity-agent" in unread["msg"]
    assert {"GetRole", "DescribeAddon", "DescribeCluster"} <= set(unread["api_calls"])
    proven = restart("held", proofs=[{**proof, "proven": True}], mode="missing")
    assert [one["name"] for one in proven["restarts"]] == ["paused"]
    assert not {"GetRole", "DescribeAddon"} & set(proven["api_calls"])
    assert team.generations() == {**before, "paused": before["paused"] + 1}


@pytest.mark.deep
def test_reports_stuck_rollout_with_kubernetes_message(team: Team, restart: Restart) -> None:
    team.make("deployment", "stuck", "broken", progressDeadlineSeconds=3)
    team.wait_until_ready("stuck")
    wrong = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "no/such-image"}]}}}}
    team.apps.patch_namespaced_deployment("stuck", "default", wrong)
    team.associate("broken")
    run = restart("broken", agent_managed=False)
    assert "Deployment default/stuck failed to restart: its rollout is stuck" in run["msg"]
    assert "has timed out progressing" in run["msg"]


def test_rollout_that_does_not_end_is_reported_in_time(team: Team, restart: Restart) -> None:
    team.account("slow")
    team.make("deployment", "slow", "slow")
    team.wait_until_ready("slow")
    wrong = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "no/such-image"}]}}}}
    team.apps.patch_namespaced_deployment("slow", "default", wrong)
    team.associate("slow")
    began = time.monotonic()
    run = restart("slow", timeout=3, agent_managed=False)
    assert time.monotonic() - began < 30
    assert "Deployment default/slow was restarted, and its rollout has not ended after 3 s: " in run["msg"]


def test_fails_without_association_and_restarts_nothing(team: Team, restart: Restart) -> None:
    team.account("nobody")
    team.make("deployment", "plain", "nobody")
    team.wait_until_ready("plain")
    run = restart("nobody", timeout=2)
    assert "Pods of service account default/nobody were left alone" in run["msg"]
    assert not run["changed"] and team.generations()["plain"] == 1


@pytest.mark.parametrize("trouble", [{"host": "https://127.0.0.1:9"}, {"api_key": "k8s-aws-v1.wrong"}])
def test_every_workload_fails_where_pods_cannot_be_listed(
    team: Team, restart: Restart, trouble: dict[str, str]
) -> None:
    before = team.generations()
    run = restart("app", "held", check_mode=True, **trouble)
    assert run["msg"].startswith("The pods of cluster example cannot be listed: ")
    assert [one["service_account"] for one in run["failed_items"]] == ["app", "held"]
    assert {one["reason"] for one in run["failed_items"]} == {run["msg"]}
    assert "k8s-aws-v1.wrong" not in str({key: value for key, value in run.items() if key != "invocation"})
    assert team.generations() == before


def test_every_workload_fails_where_associations_cannot_be_read(team: Team, restart: Restart) -> None:
    run = restart(
        "app", endpoint_url="http://127.0.0.1:9", aws_config={"retries": {"max_attempts": 0}}, check_mode=True
    )
    assert "Could not connect to the endpoint" in run["msg"]
    assert [one["service_account"] for one in run["failed_items"]] == ["app"]


def test_restarts_workloads_of_several_namespaces_together(team: Team, restart: Restart) -> None:
    names = ("first", "second")
    for name in names:
        team.core.create_namespace({"metadata": {"name": name}})
        team.core.create_namespaced_service_account(name, {"metadata": {"name": "app"}})
        selected = {"selector": {"matchLabels": {"app": "web"}}, "template": team.template("web", "app")}
        team.apps.create_namespaced_deployment(name, {"metadata": {"name": "web"}, "spec": selected})
        while not team.core.list_namespaced_pod(name).items:
            time.sleep(0.1)
        team.eks.create_pod_identity_association(
            clusterName="example", namespace=name, serviceAccount="app", roleArn=f"{ROLE_PREFIX}app"
        )
    before = team.generations()
    run = restart("first/app", "second/app", agent_managed=False)
    assert run["changed"] and [one["namespace"] for one in run["restarts"]] == list(names)
    assert [team.apps.read_namespaced_deployment("web", name).metadata.generation for name in names] == [2, 2]
    assert not restart("first/app", "second/app", agent_managed=False)["changed"]
    assert team.generations() == before
