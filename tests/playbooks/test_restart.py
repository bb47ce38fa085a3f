# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role `restart` in a play: who is restarted, when, and who is left alone.

Told in order on one sandbox. Pods are there before their association is, and the webhooks hear of it late and at
different times.
"""

from __future__ import annotations

import collections.abc
import json
import pathlib
import time
import typing as t

import kubernetes
import pytest
from support.existing_cluster import ROLE_PREFIX
from support.existing_cluster import make_account
from support.existing_cluster import make_cluster
from support.existing_cluster import play_of
from support.playbooks import Playbooks
from support.playbooks import Run
from support.playbooks import one_line
from support.sandbox_process import SandboxProcess

#: Of a pod that somebody has given one in clear text.
PASSWORD = "correct-horse-battery-staple"
TOKEN = "eks-pod-identity-token"
LATE = {"association_delay_seconds": 4.0, "webhook_replicas": 3, "webhook_spread_seconds": 3.0}
Restart = collections.abc.Callable[..., Run]


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
def team(sandbox: SandboxProcess) -> Team:
    """A cluster in which workloads run before anybody has thought of Pod Identity."""
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
    return made


@pytest.fixture
def restart(team: Team, playbook: Playbooks, tmp_path: pathlib.Path) -> Restart:
    """Runs the role for these service accounts."""
    story = tmp_path / "restart.yml"
    story.write_text(json.dumps(play_of("restart")), encoding="utf-8")

    def run(*accounts: str, arguments: tuple[str, ...] = (), **more: t.Any) -> Run:
        # As they are declared for all roles: with more than this one reads.
        role = {"arn": f"{ROLE_PREFIX}app"}
        places = [name.split("/") if "/" in name else ("default", name) for name in accounts]
        workloads = [{"namespace": space, "service_account": name, "role": role} for space, name in places]
        return playbook(str(story), *arguments, inventory="example,", podidentity_workloads=workloads, **more)

    return run


def test_check_mode_predicts_restarts_and_writes_nothing(team: Team, restart: Restart) -> None:
    team.sandbox.knobs(**LATE)
    team.associate("app")
    team.associate("other")
    before = team.generations()
    run = restart("app", arguments=("--check",))
    assert run.code == 0
    assert run.count("changed", "example") == 1
    assert "StatefulSet default/store would be restarted: pods store-0, store-1 were admitted without" in one_line(run)
    assert "Deployment default/web would be restarted" in one_line(run)
    assert "DaemonSet default/collector would be restarted" in one_line(run)
    assert "theirs" not in one_line(run)
    assert team.generations() == before


def test_restarts_each_workload_once_and_gives_it_identity(team: Team, restart: Restart) -> None:
    # The delay begins anew with this.
    team.give_another_role("app")
    single = {name: team.pods(name)[name][0].metadata.uid for name in ("shell", "import")}
    run = restart("app", arguments=("-vvv", "--diff"))
    assert run.code == 0
    assert run.count("changed", "example") == 1, "all rollouts are begun by one task"
    assert PASSWORD not in run.output
    assert "k8s-aws-v1" not in run.output, "nor the token of Kubernetes"
    assert team.with_identity("web", "store", "collector") == {"web": {True}, "store": {True}, "collector": {True}}
    # One restart of each was enough, so none came before the webhooks knew.
    assert team.generations() == {"web": 2, "store": 2, "collector": 2, "theirs": 1}
    assert "Pod default/shell is left alone: pod shell was admitted without the identity; it has no cont" in one_line(
        run
    )
    assert "Job default/import is left alone" in one_line(run)
    assert {name: team.pods(name)[name][0].metadata.uid for name in single} == single
    assert team.with_identity("theirs") == {"theirs": {False}}


def test_second_run_changes_nothing(team: Team, restart: Restart) -> None:
    before = team.generations()
    run = restart("app")
    assert (run.code, run.count("changed", "example")) == (0, 0)
    assert team.generations() == before


def test_restarts_stale_pods_only_in_default_mode(team: Team, restart: Restart) -> None:
    team.sandbox.knobs(association_delay_seconds=0.0, webhook_replicas=1, webhook_spread_seconds=0.0)
    time.sleep(1)  # Kubernetes tells whole seconds
    team.give_another_role("app")
    before = team.generations()
    for mode in ("never", "missing"):
        team.sandbox.clear_calls()
        run = restart("app", restart_mode=mode)
        assert (run.code, run.count("changed", "example")) == (0, 0)
        assert team.sandbox.call_log(operation="eks:*PodIdentityAssociation*") == [], "neither asks for dates"
    assert team.generations() == before
    run = restart("app")
    assert run.code == 0
    assert "before the association last changed (20" in one_line(run)
    assert team.generations() == {"web": 3, "store": 3, "collector": 3, "theirs": 1}
    assert restart("app").count("changed", "example") == 0


def test_effective_pods_need_few_reads_and_no_restart(team: Team, restart: Restart) -> None:
    team.account("calm")
    team.associate("calm")
    time.sleep(1)
    team.make("deployment", "calm", "calm")
    team.wait_until_ready("calm")
    team.sandbox.clear_calls()
    run = restart("calm")
    assert (run.code, run.count("changed", "example")) == (0, 0)
    calls = [call["operation"] for call in team.sandbox.call_log(operation="eks:*PodIdentityAssociation*")]
    described = ["eks:DescribePodIdentityAssociation"] * 3
    assert calls == ["eks:ListPodIdentityAssociations", *described], "all of the namespace, for their dates"
    assert "ok: [example] => (item=ReplicaSet)" not in run.output
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
    assert run.code == 2
    last = one_line(run)[one_line(run).index("Everything is as it should be") :]
    assert "Deployment default/paused was not restarted" in last
    assert "it is paused" in last
    assert "DaemonSet default/by-hand was not restarted" in last
    assert "OnDelete" in last
    assert "StatefulSet default/guarded was not restarted" in last
    assert "disruption budget one allows 0" in last
    assert team.generations() == {**before, "free": before["free"] + 1}
    assert team.with_identity("free") == {"free": {True}}


@pytest.mark.deep
def test_reports_stuck_rollout_with_kubernetes_message(team: Team, restart: Restart) -> None:
    team.make("deployment", "stuck", "broken", progressDeadlineSeconds=3)
    team.wait_until_ready("stuck")
    wrong = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "no/such-image"}]}}}}
    team.apps.patch_namespaced_deployment("stuck", "default", wrong)
    team.associate("broken")
    run = restart("broken")
    assert run.code == 2
    assert "Deployment default/stuck did not come through its restart: its rollout is stuck" in one_line(run)
    assert "has timed out progressing" in one_line(run)


def test_fails_without_association_and_restarts_nothing(team: Team, restart: Restart) -> None:
    team.account("nobody")
    team.make("deployment", "plain", "nobody")
    team.wait_until_ready("plain")
    run = restart("nobody", restart_timeout=4)
    assert run.code == 2
    assert "Pods of service account default/nobody were left alone" in one_line(run)
    assert team.generations()["plain"] == 1


@pytest.mark.deep
def test_reports_why_pods_cannot_be_listed(team: Team, restart: Restart) -> None:
    run = restart("app", arguments=("--check",), podidentity_ca_file="/nowhere.pem")
    assert run.code == 2
    assert "The pods of cluster example cannot be listed: " in one_line(run)
    assert "no_log" not in one_line(run)


@pytest.mark.deep
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
    run = restart("first/app", "second/app")
    assert (run.code, run.count("changed", "example")) == (0, 1)
    assert [team.apps.read_namespaced_deployment("web", name).metadata.generation for name in names] == [2, 2]
    assert restart("first/app", "second/app").count("changed", "example") == 0
    assert team.generations() == before
