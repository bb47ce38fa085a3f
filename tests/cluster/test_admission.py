# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is asked before a pod may exist: Pod Security, quotas, webhooks of others."""

from __future__ import annotations

import json
import typing as t

import pytest
from support.kubernetes_cluster import CLUSTER
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import eventually
from support.kubernetes_cluster import pod
from support.kubernetes_cluster import refused
from support.third_party_webhook import ThirdPartyWebhook

pytestmark = pytest.mark.client("kubernetes client")

WHO_AM_I = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
CREDENTIALS = "AWS_CONTAINER_CREDENTIALS_FULL_URI"


def restricted(body: dict[str, t.Any]) -> dict[str, t.Any]:
    """The pod, as the Pod Security Standard ``restricted`` wants it."""
    body["spec"]["securityContext"] = {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for container in body["spec"]["containers"]:
        container["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return body


def environment(container: t.Any) -> dict[str, str]:
    """The variables of a container."""
    return {variable.name: variable.value for variable in container.env or []}


def test_restricted_namespace_admits_only_compliant_pods(real: Cluster, agent: None, namespace: str) -> None:
    real.core.patch_namespace(namespace, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    real.account.associate(real.role, "app", clusterName=CLUSTER, namespace=namespace)
    real.service_account("app", namespace)
    body = pod("app", "python3", "-c", WHO_AM_I, serviceAccountName="app")
    with refused(403, "violates PodSecurity", "restricted:latest", "allowPrivilegeEscalation != false"):
        real.core.create_namespaced_pod(namespace, body)
    created = real.core.create_namespaced_pod(namespace, restricted(body))
    assert CREDENTIALS in environment(created.spec.containers[0])
    assert real.phase("app", "Succeeded", "Failed", namespace=namespace).status.phase == "Succeeded"
    assert real.log("app", namespace).startswith("arn:aws:sts::111122223333:assumed-role/workload/eks-kubernetes-app-")


def test_quota_limits_pods(real: Cluster, namespace: str) -> None:
    real.core.create_namespaced_resource_quota(
        namespace, {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}}
    )
    eventually(lambda: real.core.read_namespaced_resource_quota("few", namespace).status.used)
    real.core.create_namespaced_pod(namespace, pod("first", "sleep", "600"))
    with refused(403, "exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1"):
        real.core.create_namespaced_pod(namespace, pod("second", "sleep", "600"))
    real.core.delete_namespaced_pod("first", namespace, grace_period_seconds=0)
    eventually(lambda: real.core.read_namespaced_resource_quota("few", namespace).status.used == {"pods": "0"})
    real.core.create_namespaced_pod(namespace, pod("second", "sleep", "600"))


def test_container_added_by_another_webhook_gets_identity(real: Cluster, namespace: str) -> None:
    """EKS's webhook is asked again when a later one has changed the pod (reinvocationPolicy IfNeeded)."""
    sidecar = {"name": "sidecar", "image": "python:3.12", "command": ["true"]}
    real.account.associate(real.role, "app", clusterName=CLUSTER, namespace=namespace)
    real.service_account("app", namespace)
    patch = [{"op": "add", "path": "/spec/containers/-", "value": sidecar}]
    with ThirdPartyWebhook(patch) as webhook:
        webhook.register(real, "z-sidecars", namespace)
        body = pod("app", "true", serviceAccountName="app")

        def pod_with_sidecar() -> t.Any:
            found = real.core.create_namespaced_pod(namespace, body, dry_run="All")
            return found if len(found.spec.containers) == 2 else None

        containers = eventually(pod_with_sidecar).spec.containers
    assert [container.name for container in containers] == ["main", "sidecar"]
    assert all(CREDENTIALS in environment(container) for container in containers), json.dumps(str(containers))


def test_third_party_webhook_can_refuse_pods(real: Cluster, namespace: str) -> None:
    with ThirdPartyWebhook([], refusal="no pods on Mondays") as webhook:
        webhook.register(real, "a-calendar", namespace)

        def is_refused() -> bool:
            try:
                real.core.create_namespaced_pod(namespace, pod("late", "true"), dry_run="All")
            except Exception:
                return True
            return False

        eventually(is_refused)
        with refused(403, "admission webhook", "denied the request: no pods on Mondays"):
            real.core.create_namespaced_pod(namespace, pod("late", "true"))
