# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role `restart` with Kubernetes' own controllers: what is rolled, what a budget keeps, and what does not end."""

from __future__ import annotations

import json
import pathlib
import typing as t

import kubernetes
import pytest
from support.kubernetes_cluster import CLUSTER
from support.kubernetes_cluster import REGION
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import eventually
from support.playbooks import Playbooks

PLAY: dict[str, t.Any] = {
    "name": "Restart",
    "hosts": CLUSTER,
    "connection": "local",
    "gather_facts": False,
    "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}", "agent_managed": False},
    "module_defaults": {
        "group/podidentity.eks.aws": {"region": REGION},
        "group/podidentity.eks.k8s": {"kubeconfig": "{{ kubeconfig }}"},
    },
    "roles": ["podidentity.eks.restart"],
}


class Workloads:
    """Whose workloads they are."""

    def __init__(self, real: Cluster, namespace: str) -> None:
        self.real, self.namespace = real, namespace
        self.creators = {
            "deployment": real.apps.create_namespaced_deployment,
            "stateful_set": real.apps.create_namespaced_stateful_set,
            "daemon_set": real.apps.create_namespaced_daemon_set,
        }

    def create(self, kind: str, name: str, **spec: t.Any) -> None:
        container = {"name": "main", "image": "busybox", "command": ["sleep", "3600"]}
        pod = {"serviceAccountName": "app", "terminationGracePeriodSeconds": 0, "containers": [container]}
        template = {"metadata": {"labels": {"app": name}}, "spec": pod}
        whole = {"selector": {"matchLabels": {"app": name}}, "template": template, **spec}
        if kind == "stateful_set":
            whole["serviceName"] = name
        self.creators[kind](self.namespace, {"metadata": {"name": name}, "spec": whole})
        eventually(lambda: self.pods(name) and all(map(is_ready, self.pods(name))))

    def pods(self, name: str) -> list[t.Any]:
        found = self.real.core.list_namespaced_pod(self.namespace, label_selector=f"app={name}").items
        return [pod for pod in found if not pod.metadata.deletion_timestamp]

    def uids(self, name: str) -> set[str]:
        return {pod.metadata.uid for pod in self.pods(name)}


def is_ready(pod: t.Any) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or [])


def has_token(pod: t.Any) -> bool:
    return "eks-pod-identity-token" in [volume.name for volume in pod.spec.volumes or []]


@pytest.fixture
def workloads(real: Cluster, namespace: str) -> Workloads:
    """Workloads that run before their association is made; one of them cannot be rolled out any more."""
    made = Workloads(real, namespace)
    real.service_account("app", namespace)
    made.create("deployment", "web", replicas=2)
    made.create("stateful_set", "store", replicas=2)
    made.create("daemon_set", "collector")
    made.create("stateful_set", "guarded")
    made.create("deployment", "stuck", progressDeadlineSeconds=3)
    budget = {"minAvailable": 1, "selector": {"matchLabels": {"app": "guarded"}}}
    policy = kubernetes.client.PolicyV1Api(real.api)
    policy.create_namespaced_pod_disruption_budget(namespace, {"metadata": {"name": "one"}, "spec": budget})
    eventually(lambda: policy.read_namespaced_pod_disruption_budget("one", namespace).status.current_healthy)
    wrong = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "no/such-image"}]}}}}
    real.apps.patch_namespaced_deployment("stuck", namespace, wrong)
    real.account.associate(real.role, "app", clusterName=CLUSTER, namespace=namespace)
    return made


def test_restart_rolls_out_all_kinds_and_names_failures(workloads: Workloads, tmp_path: pathlib.Path) -> None:
    story = tmp_path / "restart.yml"
    story.write_text(json.dumps([PLAY]), encoding="utf-8")
    playbook = Playbooks(workloads.real.sandbox, tmp_path)
    settings: dict[str, t.Any] = {
        "inventory": f"{CLUSTER},",
        "podidentity_workloads": [{"namespace": workloads.namespace, "service_account": "app"}],
        "kubeconfig": str(workloads.real.kubeconfig),
    }
    guarded, stuck = workloads.uids("guarded"), workloads.uids("stuck")
    run = playbook(str(story), **settings)
    assert (run.code, run.count("changed", CLUSTER)) == (2, 1)
    last = " ".join(run.output[run.output.index("Fail if a workload lacks its identity") :].split())
    place = f"{workloads.namespace}/"
    assert f"StatefulSet {place}guarded was not restarted" in last
    assert "disruption budget one allows 0 now" in last
    assert f"Deployment {place}stuck failed to restart: its rollout is stuck" in last
    assert "web" not in last
    for name in ("web", "store", "collector"):
        assert [has_token(pod) for pod in workloads.pods(name)] == [True, True], name
    assert workloads.uids("guarded") == guarded
    assert [pod.metadata.uid for pod in workloads.pods("stuck") if is_ready(pod)] == [*stuck & workloads.uids("stuck")]

    for name in ("guarded", "stuck"):
        remove = "delete_namespaced_stateful_set" if name == "guarded" else "delete_namespaced_deployment"
        getattr(workloads.real.apps, remove)(name, workloads.namespace)
    eventually(lambda: not workloads.pods("guarded") and not workloads.pods("stuck"))
    again = playbook(str(story), **settings)
    assert (again.code, again.count("changed", CLUSTER)) == (0, 0)
