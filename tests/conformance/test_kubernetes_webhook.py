# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the pod identity webhook makes of pods, by server-side dry run, compared with the real webhook's results."""

from __future__ import annotations

import copy
import json
import typing as t

import kubernetes
import pytest
from support.environment import DATA
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import eventually
from support.kubernetes_cluster import pod
from support.kubernetes_cluster import refused

pytestmark = pytest.mark.client("kubernetes client")

CASES = json.loads((DATA / "webhook-cases.json").read_text(encoding="utf-8"))
ROLE_ARN = "arn:aws:iam::111122223333:role/irsa"
#: The admission of service accounts adds these to every pod, real cluster or not.
API_TOKEN_VOLUME = "kube-api-access-"


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
    volumes = [volume for volume in spec.get("volumes", []) if not volume["name"].startswith(API_TOKEN_VOLUME)]
    for volume in volumes:
        for source in volume.get("projected", {}).get("sources", []):
            token = source["serviceAccountToken"]
            if 79200 <= token["expirationSeconds"] <= 86400:
                token["expirationSeconds"] = "default (79200..86400)"
    containers = {}
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        mounts = [
            mount for mount in container.get("volumeMounts", []) if not mount["name"].startswith(API_TOKEN_VOLUME)
        ]
        containers[container["name"]] = {"env": container.get("env", []), "mounts": mounts}
    return {"labels": stored["metadata"].get("labels", {}), "containers": containers, "volumes": volumes}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_webhook_changes_pods_like_the_real_one(cluster: Cluster, case: dict[str, t.Any]) -> None:
    if "error" in case["result"]:
        # kubectl prints the API's message behind a preamble of its own.
        message = case["result"]["error"].partition('"STDIN": ')[2]
        with refused(403, json.dumps(message).strip('"')):
            admitted(cluster, case["pod"])
        return
    assert summary(admitted(cluster, case["pod"])) == case["result"]


def test_dry_run_stores_nothing(cluster: Cluster) -> None:
    body = pod("dry", "true", serviceAccountName="s3-access-sa")
    assert admitted(cluster, body)["metadata"]["labels"] == {"eks.amazonaws.com/pod-identity": "enabled"}
    with refused(404, "not found"):
        cluster.core.read_namespaced_pod("dry", "default")


def test_webhook_is_registered_as_in_eks(cluster: Cluster) -> None:
    admission = kubernetes.client.AdmissionregistrationV1Api(cluster.api)
    [webhook] = admission.read_mutating_webhook_configuration("pod-identity-webhook").webhooks
    assert webhook.name == "iam-for-pods.amazonaws.com"
    assert (webhook.failure_policy, webhook.side_effects, webhook.timeout_seconds) == ("Ignore", "None", 10)
    assert webhook.reinvocation_policy == "IfNeeded"
    [expression] = webhook.object_selector.match_expressions
    assert (expression.key, expression.operator) == ("eks.amazonaws.com/skip-pod-identity-webhook", "DoesNotExist")


def test_unreachable_webhook_admits_pods_without_identity(cluster: Cluster) -> None:
    admission = kubernetes.client.AdmissionregistrationV1Api(cluster.api)
    name = "pod-identity-webhook"
    original = admission.read_mutating_webhook_configuration(name)
    broken = [{"op": "replace", "path": "/webhooks/0/clientConfig/url", "value": "https://127.0.0.1:1/mutate"}]
    admission.patch_mutating_webhook_configuration(name, broken)
    alone = pod("alone", "true", serviceAccountName="s3-access-sa")

    def is_refused() -> bool:
        try:
            admitted(cluster, alone)
        except kubernetes.client.ApiException as error:
            return error.status == 500 and "failed calling webhook" in error.body
        return False

    # kube-apiserver follows its webhooks by a watch, so each change takes it a moment.
    try:
        eventually(lambda: "labels" not in admitted(cluster, alone)["metadata"])
        failing = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}]
        admission.patch_mutating_webhook_configuration(name, failing)
        eventually(is_refused)
    finally:
        current = admission.read_mutating_webhook_configuration(name)
        # These configurations are replaced only by who says which state they replace.
        original.metadata.resource_version = current.metadata.resource_version
        admission.replace_mutating_webhook_configuration(name, original)
    eventually(lambda: not is_refused() and "labels" in admitted(cluster, alone)["metadata"])


CREDENTIALS = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
POD_VOLUME, ROLE_VOLUME = "eks-pod-identity-token", "aws-iam-token"


def container(name: str = "c", **more: t.Any) -> dict[str, t.Any]:
    return {"name": name, "image": "amazonlinux", **more}


def stored(
    cluster: Cluster, account: str = "s3-access-sa", annotations: dict[str, str] | None = None, **spec: t.Any
) -> dict[str, t.Any]:
    """The summary of an admitted pod."""
    metadata = {"name": "p", "namespace": "default", "annotations": annotations or {}}
    whole = {"serviceAccountName": account, "containers": [container()], **spec}
    return summary(admitted(cluster, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": whole}))


def variables(result: dict[str, t.Any], name: str = "c") -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in result["containers"][name]["env"]}


def expiration(result: dict[str, t.Any]) -> t.Any:
    [token] = [source["serviceAccountToken"] for source in result["volumes"][0]["projected"]["sources"]]
    return token["expirationSeconds"]


def test_every_container_gets_identity_unless_skipped(cluster: Cluster) -> None:
    several = [container("a"), container("b"), container("c")]
    named = {"eks.amazonaws.com/skip-containers": "a,i"}
    result = stored(cluster, annotations=named, containers=several, initContainers=[container("i"), container("j")])
    assert {name for name in "abcij" if CREDENTIALS[0] in variables(result, name)} == {"b", "c", "j"}
    # The list is CSV: a space is part of a name, which then is nobody's.
    spaced = {"eks.amazonaws.com/skip-containers": "a, b"}
    result = stored(cluster, annotations=spaced, containers=several)
    assert CREDENTIALS[0] not in variables(result, "a")
    assert CREDENTIALS[0] in variables(result, "b")


@pytest.mark.parametrize("name", CREDENTIALS)
def test_container_keeps_its_own_credential_variable(cluster: Cluster, name: str) -> None:
    result = stored(cluster, containers=[container(env=[{"name": name, "value": "own"}])])
    found = variables(result)
    assert {key: found.get(key) for key in CREDENTIALS} == {**dict.fromkeys(CREDENTIALS), name: "own"}
    assert found["AWS_REGION"] == "us-west-2"
    assert [mount["name"] for mount in result["containers"]["c"]["mounts"]] == [POD_VOLUME]


def test_fully_configured_container_is_unchanged(cluster: Cluster) -> None:
    own = [CREDENTIALS[0], "AWS_REGION", "AWS_STS_REGIONAL_ENDPOINTS"]
    result = stored(cluster, containers=[container(env=[{"name": name, "value": "own"} for name in own])])
    assert variables(result) == dict.fromkeys(own, "own")
    assert result["containers"]["c"]["mounts"] == []


def test_webhook_ignores_env_from_sources(cluster: Cluster) -> None:
    source = {"configMapRef": {"name": "settings", "optional": True}}
    assert CREDENTIALS[0] in variables(stored(cluster, containers=[container(envFrom=[source])]))


def test_own_token_volume_stays_beside_injected_one(cluster: Cluster) -> None:
    token = {"audience": "pods.eks.amazonaws.com", "path": "own", "expirationSeconds": 3600}
    own = {"name": "own", "projected": {"sources": [{"serviceAccountToken": token}]}}
    mount = {"name": "own", "mountPath": "/own"}
    result = stored(cluster, volumes=[own], containers=[container(volumeMounts=[mount])])
    # The webhook puts its volume before all others.
    assert [volume["name"] for volume in result["volumes"]] == [POD_VOLUME, "own"]
    assert [entry["name"] for entry in result["containers"]["c"]["mounts"]] == ["own", POD_VOLUME]
    assert CREDENTIALS[1] in variables(result)


def test_occupied_mount_path_makes_pod_invalid(cluster: Cluster) -> None:
    path = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
    taken = container(volumeMounts=[{"name": "own", "mountPath": path}])
    with refused(422, "must be unique"):
        stored(cluster, volumes=[{"name": "own", "emptyDir": {}}], containers=[taken])


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("3600", 3600),
        ("599", 600),
        ("-5", 600),
        ("+700", 700),
        ("200000", 200000),
        ("", "default (79200..86400)"),
        ("1h", "default (79200..86400)"),
        ("86400", "default (79200..86400)"),
    ],
)
def test_annotation_sets_token_expiration(cluster: Cluster, asked: str, seconds: int | str) -> None:
    annotation = {"eks.amazonaws.com/token-expiration": asked}
    assert expiration(stored(cluster, annotations=annotation)) == seconds


def test_pod_expiration_overrides_that_of_service_account(cluster: Cluster) -> None:
    annotation = "eks.amazonaws.com/token-expiration"
    cluster.core.patch_namespaced_service_account(
        "exp-sa", "default", {"metadata": {"annotations": {annotation: "1800"}}}
    )
    assert expiration(eventually(lambda: _with_expiration(stored(cluster, "exp-sa"), 1800))) == 1800
    assert expiration(stored(cluster, "exp-sa", {annotation: "900"})) == 900
    assert expiration(stored(cluster, "exp-sa", {annotation: "soon"})) == 1800
    cluster.core.patch_namespaced_service_account(
        "exp-sa", "default", {"metadata": {"annotations": {annotation: None}}}
    )


def _with_expiration(result: dict[str, t.Any], seconds: int) -> dict[str, t.Any] | None:
    return result if expiration(result) == seconds else None


def test_service_account_may_choose_global_sts_endpoint(cluster: Cluster) -> None:
    annotations = {"eks.amazonaws.com/sts-regional-endpoints": "false", "eks.amazonaws.com/role-arn": ROLE_ARN}
    cluster.service_account("global-sa", **annotations)
    assert "AWS_STS_REGIONAL_ENDPOINTS" not in variables(stored(cluster, "global-sa"))


def test_pod_identity_overrides_role_annotation(cluster: Cluster) -> None:
    result = stored(cluster, "both-sa")
    assert [volume["name"] for volume in result["volumes"]] == [POD_VOLUME]
    assert "AWS_ROLE_ARN" not in variables(result)
    alone = stored(cluster, "irsa-sa")
    assert [volume["name"] for volume in alone["volumes"]] == [ROLE_VOLUME]
    assert variables(alone)["AWS_ROLE_ARN"] == ROLE_ARN
    assert variables(alone)["AWS_WEB_IDENTITY_TOKEN_FILE"].endswith("/eks.amazonaws.com/serviceaccount/token")
    assert "eks.amazonaws.com/pod-identity" not in alone["labels"]


@pytest.mark.parametrize("label", ["kubernetes.io/os", "beta.kubernetes.io/os"])
def test_windows_pods_get_windows_paths(cluster: Cluster, label: str) -> None:
    result = stored(cluster, nodeSelector={label: "windows"})
    assert variables(result)[CREDENTIALS[1]].startswith("C:\\var\\run\\secrets\\pods.eks.amazonaws.com")


def test_host_network_pod_gets_identity(cluster: Cluster) -> None:
    assert CREDENTIALS[0] in variables(stored(cluster, hostNetwork=True))


@pytest.mark.parametrize("value", ["", "true", "false"])
def test_skip_label_applies_with_any_value(cluster: Cluster, value: str) -> None:
    body = pod("p", "true", serviceAccountName="s3-access-sa")
    body["metadata"]["labels"] = {"eks.amazonaws.com/skip-pod-identity-webhook": value}
    assert summary(admitted(cluster, body))["volumes"] == []


def test_workload_pods_are_injected_only_at_creation(cluster: Cluster) -> None:
    spec = {"serviceAccountName": "s3-access-sa", "schedulerName": "nobody", "containers": [container()]}
    labels = {"app": "injected"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    workload = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    for create, more in (
        (cluster.apps.create_namespaced_deployment, {}),
        (cluster.apps.create_namespaced_stateful_set, {"serviceName": "injected"}),
    ):
        create("default", {"metadata": {"name": "injected"}, "spec": {**workload, **more}})
    job = {
        "metadata": {"name": "injected"},
        "spec": {"template": {**template, "spec": {**spec, "restartPolicy": "Never"}}},
    }
    cluster.batch.create_namespaced_job("default", job)

    def found() -> t.Any:
        pods = cluster.core.list_namespaced_pod("default", label_selector="app=injected").items
        return pods if len(pods) == 3 else None

    try:
        for made in eventually(found):
            assert made.metadata.labels["eks.amazonaws.com/pod-identity"] == "enabled"
            assert made.spec.volumes[0].name == POD_VOLUME
        name = found()[0].metadata.name
        change = {"metadata": {"labels": {"eks.amazonaws.com/pod-identity": None}}}
        changed = cluster.core.patch_namespaced_pod(name, "default", change)
        assert "eks.amazonaws.com/pod-identity" not in changed.metadata.labels, "updates do not pass the webhook"
    finally:
        background = {"propagation_policy": "Background"}
        cluster.apps.delete_namespaced_deployment("injected", "default", **background)
        cluster.apps.delete_namespaced_stateful_set("injected", "default", **background)
        cluster.batch.delete_namespaced_job("injected", "default", **background)
