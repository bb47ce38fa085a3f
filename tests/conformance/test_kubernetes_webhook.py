# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the pod identity webhook makes of pods, by server-side dry run, compared with the real webhook's results."""

from __future__ import annotations

import copy
import json
import pathlib
import typing as t

import kubernetes
import pytest
from conformance.kubernetes_cluster import Cluster
from conformance.kubernetes_cluster import cluster
from conformance.kubernetes_cluster import pod
from conformance.kubernetes_cluster import refused

__all__ = ["cluster"]

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"
CASES = json.loads((DATA / "webhook-cases.json").read_text(encoding="utf-8"))
ROLE_ARN = "arn:aws:iam::111122223333:role/irsa"
#: The admission of service accounts adds these to every pod, real cluster or not.
OWN_VOLUME = "kube-api-access-"


@pytest.fixture(scope="module", autouse=True)
def accounts(cluster: Cluster) -> None:
    """The service accounts that the cases name."""
    cluster.core.create_namespace({"metadata": {"name": "team-a"}})
    for name in ("s3-access-sa", "exp-sa"):
        cluster.service_account(name)
    for name in ("both-sa", "irsa-sa"):
        cluster.service_account(name, **{"eks.amazonaws.com/role-arn": ROLE_ARN})
    cluster.service_account("app", "team-a")


def admitted(cluster: Cluster, body: dict[str, t.Any]) -> dict[str, t.Any]:
    """The pod as it would be stored."""
    namespace = body["metadata"].get("namespace", "default")
    answer = cluster.core.create_namespaced_pod(namespace, copy.deepcopy(body), dry_run="All")
    result: dict[str, t.Any] = cluster.api.sanitize_for_serialization(answer)
    return result


def summary(stored: dict[str, t.Any]) -> dict[str, t.Any]:
    """The parts of a pod that the cases record."""
    spec = stored["spec"]
    volumes = [volume for volume in spec.get("volumes", []) if not volume["name"].startswith(OWN_VOLUME)]
    for volume in volumes:
        for source in volume.get("projected", {}).get("sources", []):
            token = source["serviceAccountToken"]
            if 79200 <= token["expirationSeconds"] <= 86400:
                token["expirationSeconds"] = "default (79200..86400)"
    containers = {}
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        mounts = [mount for mount in container.get("volumeMounts", []) if not mount["name"].startswith(OWN_VOLUME)]
        containers[container["name"]] = {"env": container.get("env", []), "mounts": mounts}
    return {"labels": stored["metadata"].get("labels", {}), "containers": containers, "volumes": volumes}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_pod_becomes_what_the_real_webhook_makes_of_it(cluster: Cluster, case: dict[str, t.Any]) -> None:
    if "error" in case["result"]:
        # kubectl prints the API's message behind a preamble of its own.
        message = case["result"]["error"].partition('"STDIN": ')[2]
        with refused(403, json.dumps(message).strip('"')):
            admitted(cluster, case["pod"])
        return
    assert summary(admitted(cluster, case["pod"])) == case["result"]


def test_a_dry_run_stores_nothing(cluster: Cluster) -> None:
    body = pod("dry", "true", serviceAccountName="s3-access-sa")
    assert admitted(cluster, body)["metadata"]["labels"] == {"eks.amazonaws.com/pod-identity": "enabled"}
    with refused(404, "not found"):
        cluster.core.read_namespaced_pod("dry", "default")


def test_the_webhook_is_registered_as_eks_does_it(cluster: Cluster) -> None:
    admission = kubernetes.client.AdmissionregistrationV1Api(cluster.api)
    [webhook] = admission.read_mutating_webhook_configuration("pod-identity-webhook").webhooks
    assert webhook.name == "iam-for-pods.amazonaws.com"
    assert (webhook.failure_policy, webhook.side_effects, webhook.timeout_seconds) == ("Ignore", "None", 10)
    assert webhook.reinvocation_policy == "IfNeeded"
    [expression] = webhook.object_selector.match_expressions
    assert (expression.key, expression.operator) == ("eks.amazonaws.com/skip-pod-identity-webhook", "DoesNotExist")


def test_a_pod_is_admitted_without_identity_when_the_webhook_does_not_answer(cluster: Cluster) -> None:
    admission = kubernetes.client.AdmissionregistrationV1Api(cluster.api)
    name = "pod-identity-webhook"
    original = admission.read_mutating_webhook_configuration(name)
    broken = [{"op": "replace", "path": "/webhooks/0/clientConfig/url", "value": "https://127.0.0.1:1/mutate"}]
    admission.patch_mutating_webhook_configuration(name, broken)
    try:
        stored = admitted(cluster, pod("alone", "true", serviceAccountName="s3-access-sa"))
        assert "labels" not in stored["metadata"]
        failing = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}]
        admission.patch_mutating_webhook_configuration(name, failing)
        with refused(500, "failed calling webhook"):
            admitted(cluster, pod("alone", "true", serviceAccountName="s3-access-sa"))
    finally:
        original.metadata.resource_version = None
        original.metadata.managed_fields = None
        admission.replace_mutating_webhook_configuration(name, original)
