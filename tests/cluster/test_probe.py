# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""eks_pod_identity_probe where RBAC, quotas, limits, Pod Security and webhooks of others have a say."""

from __future__ import annotations

import collections.abc
import typing as t

import kubernetes
import pytest
from support.kubernetes_cluster import CLUSTER
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import eventually
from support.module_runs import Result
from support.module_runs import RunModule
from support.module_runs import run_module
from support.third_party_webhook import ThirdPartyWebhook

__all__ = ["run_module"]

Probe = collections.abc.Callable[..., Result]


@pytest.fixture
def probe(real: Cluster, namespace: str, run_module: RunModule) -> t.Iterator[Probe]:
    """Runs the module for a service account with an association in the test's namespace."""
    real.service_account("app", namespace)
    real.account.associate(real.role, "app", clusterName=CLUSTER, namespace=namespace)

    def run(**params: t.Any) -> Result:
        workloads = [{"namespace": namespace, "service_account": "app"}]
        defaults = {"kubeconfig": str(real.kubeconfig), "timeout": 20}
        return run_module("eks_pod_identity_probe", workloads=workloads, **{**defaults, **params})

    yield run
    assert real.core.list_namespaced_pod(namespace).items == []


def cause(result: Result) -> str | None:
    [item] = result["workloads"]
    found: str | None = item["cause"]
    assert (found is None) is not result["failed"]
    return found


def test_restricted_namespace_admits_probe(real: Cluster, namespace: str, probe: Probe) -> None:
    real.core.patch_namespace(namespace, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    result = probe()
    assert cause(result) is None
    assert result["workloads"][0]["mechanism"] == "pod_identity"


def test_probe_reports_sidecar_that_violates_pod_security(real: Cluster, namespace: str, probe: Probe) -> None:
    real.core.patch_namespace(namespace, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    sidecar = {"name": "sidecar", "image": "busybox", "securityContext": {"privileged": True}}
    with ThirdPartyWebhook([{"op": "add", "path": "/spec/containers/-", "value": sidecar}]) as webhook:
        webhook.register(real, "z-privileged", namespace)
        # A new webhook is heard of after a moment.
        eventually(lambda: cause(probe()) == "pod_security")


def test_probe_reports_exhausted_quota(real: Cluster, namespace: str, probe: Probe) -> None:
    hard = {"pods": "0", "limits.cpu": "1"}
    real.core.create_namespaced_resource_quota(namespace, {"metadata": {"name": "few"}, "spec": {"hard": hard}})
    eventually(lambda: real.core.read_namespaced_resource_quota("few", namespace).status.used)
    result = probe(timeout=2)
    assert cause(result) == "quota"
    assert "The quota few leaves no room" in result["msg"]
    assert result["workloads"][0]["attempts"] > 1, "room may come"


def test_probe_reports_limit_range(real: Cluster, namespace: str, probe: Probe) -> None:
    limits = [{"type": "Container", "min": {"cpu": "100m"}}]
    real.core.create_namespaced_limit_range(namespace, {"metadata": {"name": "big"}, "spec": {"limits": limits}})
    eventually(lambda: cause(probe()) == "limits")


def test_probe_names_webhook_that_refuses(real: Cluster, namespace: str, probe: Probe) -> None:
    with ThirdPartyWebhook([], refusal="no pods on Mondays") as webhook:
        webhook.register(real, "a-calendar", namespace)
        eventually(lambda: cause(probe()) == "webhook_refused")
        assert "a-calendar.example.com refuses" in probe()["msg"]


def test_probe_needs_only_permission_to_create_pods(real: Cluster, namespace: str, probe: Probe) -> None:
    """Without the permissions for reasons, the reason says what could not be looked at."""
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}]
    somebody = {"kind": "User", "name": "somebody", "apiGroup": "rbac.authorization.k8s.io"}
    role = {"kind": "Role", "name": "prober", "apiGroup": "rbac.authorization.k8s.io"}
    result = probe(impersonate_user="somebody")
    assert cause(result) == "forbidden"
    assert "The user somebody may not create pods" in result["msg"]
    rbac = kubernetes.client.RbacAuthorizationV1Api(real.api)
    rbac.create_namespaced_role(namespace, {"metadata": {"name": "prober"}, "rules": rules})
    binding = {"metadata": {"name": "prober"}, "roleRef": role, "subjects": [somebody]}
    rbac.create_namespaced_role_binding(namespace, binding)
    eventually(lambda: cause(probe(impersonate_user="somebody")) is None)
    [association] = real.account.eks.list_pod_identity_associations(clusterName=CLUSTER, namespace=namespace)[
        "associations"
    ]
    real.account.eks.delete_pod_identity_association(clusterName=CLUSTER, associationId=association["associationId"])
    result = probe(impersonate_user="somebody", timeout=2)
    assert cause(result) == "not_associated"
    assert "could not be looked at" in result["msg"]
