# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the embedded control plane does not rebuild: asking for it gets a clear no, and never a convenient yes."""

from __future__ import annotations

import json
import typing as t

import pytest
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import pod
from support.kubernetes_cluster import send
from support.sandbox_process import CONTROL_PLANE

pytestmark = [
    pytest.mark.client("http"),
    pytest.mark.skipif(CONTROL_PLANE != "embedded", reason="a real kube-apiserver does these things"),
]

RBAC, NETWORKING = "/apis/rbac.authorization.k8s.io/v1", "/apis/networking.k8s.io/v1"
DEFAULT, APPS, BATCH = "namespaces/default", "/apis/apps/v1/namespaces/default", "/apis/batch/v1/namespaces/default"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"


def refused_as_not_implemented(
    cluster: Cluster, method: str, path: str, body: t.Any = None, **headers: t.Any
) -> dict[str, t.Any]:
    status, text, _ = send(cluster, method, path, body, **headers)
    answer: dict[str, t.Any] = json.loads(text)
    assert (status, answer["kind"], answer["reason"]) == (501, "Status", "NotImplemented"), answer
    assert "--control-plane envtest" in answer["message"]
    return answer


@pytest.mark.parametrize(
    "path",
    [
        f"{RBAC}/{DEFAULT}/roles",
        f"{RBAC}/{DEFAULT}/rolebindings",
        f"{RBAC}/clusterroles",
        f"{RBAC}/clusterrolebindings",
        f"/api/v1/{DEFAULT}/persistentvolumeclaims",
        f"{NETWORKING}/{DEFAULT}/networkpolicies",
        f"{NETWORKING}/{DEFAULT}/ingresses",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        f"{ADMISSION}/validatingwebhookconfigurations",
        f"{ADMISSION}/validatingadmissionpolicies",
        f"{BATCH}/cronjobs",
        "/apis/scheduling.k8s.io/v1/priorityclasses",
    ],
)
def test_unsupported_kinds_are_refused(cluster: Cluster, path: str) -> None:
    body = {"metadata": {"name": "x"}}
    assert path.rpartition("/")[2] in refused_as_not_implemented(cluster, "POST", path, body)["message"]
    refused_as_not_implemented(cluster, "GET", path)


@pytest.mark.parametrize("plural", ["resourcequotas", "limitranges"])
def test_kinds_that_kubectl_reads_are_empty(cluster: Cluster, plural: str) -> None:
    path = f"/api/v1/{DEFAULT}/{plural}"
    status, text, _ = send(cluster, "GET", path)
    assert (status, json.loads(text)["items"]) == (200, [])
    refused_as_not_implemented(cluster, "POST", path, {"metadata": {"name": "x"}, "spec": {"limits": []}})


def workload(**spec: t.Any) -> dict[str, t.Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    return {"metadata": {"name": "x"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template, **spec}}


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (
            "/api/v1/namespaces",
            {"metadata": {"name": "guarded", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
            "Pod Security admission",
        ),
        (f"{ADMISSION}/mutatingwebhookconfigurations", {"metadata": {"name": "foreign"}, "webhooks": []}, "EKS's own"),
        (
            f"{APPS}/statefulsets",
            workload(serviceName="x", volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": {}}]),
            "volumeClaimTemplates",
        ),
        (f"{APPS}/daemonsets", workload(updateStrategy={"rollingUpdate": {"maxSurge": 1}}), "maxSurge"),
        (f"{BATCH}/jobs", workload(completionMode="Indexed", completions=2), "Indexed"),
        (f"{BATCH}/jobs", workload(podFailurePolicy={"rules": []}), "podFailurePolicy"),
    ],
)
def test_unsupported_fields_are_refused(cluster: Cluster, path: str, body: dict[str, t.Any], words: str) -> None:
    assert words in refused_as_not_implemented(cluster, "POST", path, body)["message"]


def test_pod_security_label_in_a_patch_is_refused(cluster: Cluster) -> None:
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
    merge = "application/merge-patch+json"
    refused_as_not_implemented(cluster, "PATCH", "/api/v1/namespaces/default", label, Content_Type=merge)


def test_impersonation_is_refused(cluster: Cluster) -> None:
    refused_as_not_implemented(cluster, "GET", "/api/v1/pods", Impersonate_User="somebody")


def test_unsupported_pod_subresources_are_refused(cluster: Cluster) -> None:
    cluster.core.create_namespaced_pod("default", pod("plain", "true", schedulerName="nobody"))
    for name in ("portforward", "proxy", "ephemeralcontainers", "resize"):
        refused_as_not_implemented(cluster, "GET", f"/api/v1/{DEFAULT}/pods/plain/{name}")


def test_discovery_omits_unsupported_kinds(cluster: Cluster) -> None:
    groups = json.loads(send(cluster, "GET", "/apis")[1])["groups"]
    assert "rbac.authorization.k8s.io" not in {group["name"] for group in groups}
    batch = json.loads(send(cluster, "GET", "/apis/batch/v1")[1])["resources"]
    assert {resource["name"] for resource in batch} == {"jobs", "jobs/status"}
