# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where pods go and how they leave: taints, evictions, nodes that go away."""

from __future__ import annotations

import time
import typing as t

import kubernetes
import pytest
from support.kubernetes_cluster import CLUSTER
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import eventually
from support.kubernetes_cluster import pod
from support.kubernetes_cluster import refused
from support.third_party_webhook import ThirdPartyWebhook

pytestmark = pytest.mark.client("kubernetes client")

HOSTNAME = "kubernetes.io/hostname"


def pod_names(cluster: Cluster, namespace: str) -> list[str]:
    """The pods of a namespace."""
    return [entry.metadata.name for entry in cluster.core.list_namespaced_pod(namespace).items]


def test_no_execute_taint_evicts_and_blocks_pods(real: Cluster, namespace: str) -> None:
    node = real.core.list_node().items[0].metadata.name
    selector = {HOSTNAME: node}
    toleration = {"key": "closed", "operator": "Exists"}
    real.core.create_namespaced_pod(namespace, pod("leaves", "sleep", "600", nodeSelector=selector))
    stays = pod("stays", "sleep", "600", nodeSelector=selector, tolerations=[toleration])
    real.core.create_namespaced_pod(namespace, stays)
    for name in ("leaves", "stays"):
        real.phase(name, "Running", namespace=namespace)
    real.core.patch_node(node, {"spec": {"taints": [{"key": "closed", "value": "yes", "effect": "NoExecute"}]}})
    try:
        eventually(lambda: pod_names(real, namespace) == ["stays"])
        real.core.create_namespaced_pod(namespace, pod("waits", "true", nodeSelector=selector))
        events = real.core.list_namespaced_event
        eventually(lambda: [e for e in events(namespace).items if "untolerated taint" in (e.message or "")])
    finally:
        real.core.patch_node(node, {"spec": {"taints": None}})
    real.phase("waits", "Succeeded", namespace=namespace)


def test_eviction_respects_disruption_budget(real: Cluster, namespace: str) -> None:
    labels = {"app": "web"}
    spec = {"containers": pod("x", "sleep", "600")["spec"]["containers"], "terminationGracePeriodSeconds": 1}
    template = {"metadata": {"labels": labels}, "spec": spec}
    deployment = {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
    real.apps.create_namespaced_deployment(namespace, deployment)
    budget = {"metadata": {"name": "web"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}}}
    policy = kubernetes.client.PolicyV1Api(real.api)
    policy.create_namespaced_pod_disruption_budget(namespace, budget)

    def is_counted() -> bool:
        status = policy.read_namespaced_pod_disruption_budget("web", namespace).status
        return bool(status.current_healthy == 1 and status.observed_generation)

    eventually(is_counted)
    [name] = pod_names(real, namespace)
    eviction = {"metadata": {"name": name, "namespace": namespace}}
    with refused(429, "Cannot evict pod as it would violate the pod's disruption budget."):
        real.core.create_namespaced_pod_eviction(name, namespace, eviction)
    policy.delete_namespaced_pod_disruption_budget("web", namespace)
    real.core.create_namespaced_pod_eviction(name, namespace, eviction)
    eventually(lambda: pod_names(real, namespace) not in ([], [name]) and name not in pod_names(real, namespace))


def test_tainted_nodegroup_runs_only_tolerating_pods(real: Cluster, namespace: str) -> None:
    taint = {"key": "dedicated", "value": "batch", "effect": "NO_SCHEDULE"}
    size = {"minSize": 1, "maxSize": 1, "desiredSize": 1}
    real.account.nodegroup(CLUSTER, "batch", taints=[taint], labels={"pool": "batch"}, scalingConfig=size)

    def taints() -> list[tuple[str, str]]:
        [node] = real.core.list_node(label_selector="pool=batch").items
        return [(entry.key, entry.effect) for entry in node.spec.taints or []]

    # A new node has one taint more until the node controller has seen that it is ready.
    eventually(lambda: taints() == [("dedicated", "NoSchedule")])
    toleration = {"key": "dedicated", "operator": "Equal", "value": "batch", "effect": "NoSchedule"}
    selector = {"pool": "batch"}
    real.core.create_namespaced_pod(namespace, pod("stranger", "true", nodeSelector=selector))
    tolerant = pod("tolerant", "true", nodeSelector=selector, tolerations=[toleration])
    real.core.create_namespaced_pod(namespace, tolerant)
    real.phase("tolerant", "Succeeded", namespace=namespace)
    assert real.core.read_namespaced_pod("stranger", namespace).status.phase == "Pending"
    real.account.eks.delete_nodegroup(clusterName=CLUSTER, nodegroupName="batch")
    eventually(lambda: not real.core.list_node(label_selector="pool=batch").items)


class SlowStatusWebhook(ThirdPartyWebhook):
    """Lets news of ended containers take so long that the next pod of the name runs when they arrive."""

    def answer(self, review: dict[str, t.Any]) -> bytes:
        containers = review["request"]["object"]["status"].get("containerStatuses", ())
        if any("terminated" in container["state"] for container in containers):
            time.sleep(2)
        return super().answer(review)


def test_late_pod_status_leaves_recreated_pod_unchanged(real: Cluster, namespace: str) -> None:
    """Without a grace period a pod is gone from the API before its containers have ended."""
    body = pod("db-0", "sleep", "600", image="busybox", restartPolicy="Always")
    with SlowStatusWebhook([]) as webhook:
        webhook.register(real, "slow", namespace, operation="UPDATE", resource="pods/status")
        real.core.create_namespaced_pod(namespace, body)
        real.phase("db-0", "Running", namespace=namespace)
        real.core.delete_namespaced_pod("db-0", namespace, grace_period_seconds=0)
        uid = real.core.create_namespaced_pod(namespace, body).metadata.uid
        version = real.phase("db-0", "Running", namespace=namespace).metadata.resource_version
        changes = kubernetes.watch.Watch().stream(
            real.core.list_namespaced_pod, namespace, resource_version=version, timeout_seconds=4
        )
        assert [event["object"].status for event in changes] == []
        now = real.core.read_namespaced_pod("db-0", namespace)
    assert now.metadata.uid == uid
    assert [container.ready for container in now.status.container_statuses] == [True]
