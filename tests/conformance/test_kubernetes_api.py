# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The API server as the official Python client sees it."""

from __future__ import annotations

import base64
import json
import typing as t

import kubernetes
import pytest
from kubernetes.client.exceptions import ApiException
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import eventually
from support.kubernetes_cluster import pod
from support.kubernetes_cluster import refused
from support.kubernetes_cluster import send
from support.sandbox_process import CONTROL_PLANE

pytestmark = pytest.mark.client("kubernetes client")


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> t.Iterator[str]:
    """A namespace of the test's own."""
    name = request.node.name.replace("_", "-")[:63].rstrip("-")
    cluster.core.create_namespace({"metadata": {"name": name}})
    eventually(lambda: cluster.core.list_namespaced_service_account(name).items)
    yield name
    cluster.core.delete_namespace(name)


def send_json(
    cluster: Cluster, method: str, path: str, body: t.Any = None, *, known: bool = True, **headers: str
) -> tuple[int, dict[str, t.Any], t.Any]:
    """The same with an answer in JSON."""
    status, text, answered = send(cluster, method, path, body, known=known, **headers)
    return status, json.loads(text), answered


def config_map(name: str, **data: str) -> dict[str, t.Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def apply(cluster: Cluster, namespace: str, body: dict[str, t.Any], manager: str, force: bool = False) -> t.Any:
    """Server-side apply, by the dynamic client."""
    dynamic = kubernetes.dynamic.DynamicClient(cluster.api)
    resource = dynamic.resources.get(api_version=body["apiVersion"], kind=body["kind"])
    return resource.server_side_apply(
        body=body, namespace=namespace, field_manager=manager, force_conflicts=force
    ).to_dict()


def test_stale_update_conflicts(cluster: Cluster, namespace: str) -> None:
    first = cluster.core.create_namespaced_config_map(namespace, config_map("one", a="1"))
    first.data["a"] = "2"
    second = cluster.core.replace_namespaced_config_map("one", namespace, first)
    assert second.metadata.resource_version != first.metadata.resource_version
    with refused(409, "the object has been modified; please apply your changes to the latest version"):
        cluster.core.replace_namespaced_config_map("one", namespace, first)


def test_names_are_unique_or_generated(cluster: Cluster, namespace: str) -> None:
    cluster.core.create_namespaced_config_map(namespace, config_map("one"))
    with refused(409, "AlreadyExists", 'configmaps \\"one\\" already exists'):
        cluster.core.create_namespaced_config_map(namespace, config_map("one"))
    made = [cluster.core.create_namespaced_config_map(namespace, {"metadata": {"generateName": "x-"}}) for _ in "ab"]
    names = {entry.metadata.name for entry in made}
    assert len(names) == 2
    assert all(len(name) == 7 and name.startswith("x-") for name in names)


def test_all_three_patch_types_work(cluster: Cluster, namespace: str) -> None:
    cluster.core.create_namespaced_config_map(namespace, config_map("one", a="1", b="2"))

    def patched(content_type: str, patch: t.Any) -> t.Any:
        return cluster.core.patch_namespaced_config_map("one", namespace, patch, _content_type=content_type).data

    assert patched("application/merge-patch+json", {"data": {"a": None, "c": "3"}}) == {"b": "2", "c": "3"}
    assert patched("application/strategic-merge-patch+json", {"data": {"d": "4"}})["d"] == "4"
    operations = [{"op": "test", "path": "/data/b", "value": "2"}, {"op": "remove", "path": "/data/b"}]
    assert patched("application/json-patch+json", operations) == {"c": "3", "d": "4"}
    with refused(422, "Invalid"):
        patched("application/json-patch+json", operations)
    path = f"/api/v1/namespaces/{namespace}/configmaps/one"
    status, refusal, _ = send_json(cluster, "PATCH", path, {"data": {}}, Content_Type="text/plain")
    assert (status, refusal["reason"]) == (415, "UnsupportedMediaType")


def test_strategic_patch_merges_lists_by_key(cluster: Cluster, namespace: str) -> None:
    spec = deployment("web", replicas=0)
    cluster.apps.create_namespaced_deployment(namespace, spec)
    change = {"spec": {"template": {"spec": {"containers": [{"name": "main", "env": [{"name": "A", "value": "1"}]}]}}}}
    strategic = "application/strategic-merge-patch+json"
    patched = cluster.apps.patch_namespaced_deployment("web", namespace, change, _content_type=strategic)
    [container] = patched.spec.template.spec.containers
    assert (container.image, container.env[0].name) == ("python:3.12", "A")
    assert patched.metadata.generation == 2


def deployment(name: str, replicas: int = 1, **template: t.Any) -> dict[str, t.Any]:
    labels = {"app": name}
    container = {"name": "main", "image": "python:3.12", "command": ["sleep", "600"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1, **template}
    selector = {"matchLabels": labels}
    pods = {"metadata": {"labels": labels}, "spec": spec}
    return {"metadata": {"name": name}, "spec": {"replicas": replicas, "selector": selector, "template": pods}}


def test_apply_owns_what_it_declares(cluster: Cluster, namespace: str) -> None:
    apply(cluster, namespace, config_map("one", a="1", b="2"), "first")
    both = apply(cluster, namespace, config_map("one", c="3"), "second")
    assert both["data"] == {"a": "1", "b": "2", "c": "3"}
    assert apply(cluster, namespace, config_map("one", a="1"), "first")["data"] == {"a": "1", "c": "3"}
    with pytest.raises(ApiException) as caught:
        apply(cluster, namespace, config_map("one", a="2"), "second")
    status = json.loads(caught.value.body)
    assert status["message"] == 'Apply failed with 1 conflict: conflict with "first": .data.a'
    assert status["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "first"', "field": ".data.a"}
    ]
    forced = apply(cluster, namespace, config_map("one", a="2"), "second", force=True)
    assert forced["data"] == {"a": "2"}, "the second manager no longer declares c"
    # The field has changed hands: the first manager may let go of it without taking it away.
    assert apply(cluster, namespace, config_map("one"), "first")["data"] == {"a": "2"}


def test_apply_conflicts_with_an_earlier_update(cluster: Cluster, namespace: str) -> None:
    apply(cluster, namespace, config_map("one", a="1"), "first")
    cluster.core.patch_namespaced_config_map("one", namespace, {"data": {"a": "2"}}, field_manager="hand")
    with refused(409, 'conflict with \\"hand\\" using v1'):
        apply(cluster, namespace, config_map("one", a="1"), "first")


def test_repeated_apply_changes_nothing(cluster: Cluster, namespace: str) -> None:
    body = {"apiVersion": "apps/v1", "kind": "Deployment", **deployment("web", replicas=0)}
    first = apply(cluster, namespace, body, "first")
    eventually(lambda: cluster.apps.read_namespaced_deployment("web", namespace).status.observed_generation)
    again = apply(cluster, namespace, body, "first")
    assert again["metadata"]["generation"] == first["metadata"]["generation"] == 1
    assert again["spec"] == first["spec"]


def test_dry_run_changes_nothing_but_is_admitted(cluster: Cluster, namespace: str) -> None:
    made = cluster.core.create_namespaced_config_map(namespace, config_map("one", a="1"), dry_run="All")
    assert made.metadata.uid
    with refused(404, 'configmaps \\"one\\" not found'):
        cluster.core.read_namespaced_config_map("one", namespace)
    cluster.core.create_namespaced_config_map(namespace, config_map("one", a="1"))
    cluster.core.patch_namespaced_config_map("one", namespace, {"data": {"a": "2"}}, dry_run="All")
    cluster.core.delete_namespaced_config_map("one", namespace, dry_run="All")
    assert cluster.core.read_namespaced_config_map("one", namespace).data == {"a": "1"}
    with refused(403, "error looking up service account"):
        cluster.core.create_namespaced_pod(namespace, pod("x", "true", serviceAccountName="nobody"), dry_run="All")


def test_label_and_field_selectors_filter_lists(cluster: Cluster, namespace: str) -> None:
    for name, labels in (("a", {"tier": "web"}), ("b", {"tier": "db", "old": "yes"}), ("c", {})):
        cluster.core.create_namespaced_config_map(namespace, {"metadata": {"name": name, "labels": labels}})

    def found(**selectors: str) -> list[str]:
        items = cluster.core.list_namespaced_config_map(namespace, **selectors).items
        return [item.metadata.name for item in items if item.metadata.name != "kube-root-ca.crt"]

    assert found(label_selector="tier=web") == ["a"]
    assert found(label_selector="tier in (web, db)") == ["a", "b"]
    assert found(label_selector="tier notin (web),!old") == ["c"]
    assert found(label_selector="tier!=web,old") == ["b"]
    assert found(field_selector="metadata.name!=a,metadata.name!=b") == ["c"]
    with refused(400, "unable to parse requirement"):
        found(label_selector="tier=(")
    with refused(400, "is not a known field selector"):
        found(field_selector="spec.nodeName=x")
    with refused(400, "field label not supported: spec.image"):
        cluster.core.list_namespaced_pod(namespace, field_selector="spec.image=x")


def test_lists_come_in_pages(cluster: Cluster, namespace: str) -> None:
    for number in range(5):
        cluster.core.create_namespaced_secret(namespace, {"metadata": {"name": f"s{number}"}})
    names: list[str] = []
    token = ""
    while True:
        page = cluster.core.list_namespaced_secret(namespace, limit=2, _continue=token)
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert names == ["s0", "s1", "s2", "s3", "s4"]


def test_watch_reports_changes_since_a_version(cluster: Cluster, namespace: str) -> None:
    cluster.core.create_namespaced_config_map(namespace, {"metadata": {"name": "old", "labels": {"seen": "no"}}})
    version = cluster.core.list_namespaced_config_map(namespace).metadata.resource_version
    seen = {"metadata": {"name": "new", "labels": {"seen": "yes"}}}
    cluster.core.create_namespaced_config_map(namespace, seen)
    cluster.core.patch_namespaced_config_map("old", namespace, {"metadata": {"labels": {"seen": "yes"}}})
    cluster.core.patch_namespaced_config_map("old", namespace, {"metadata": {"labels": {"seen": "no"}}})
    cluster.core.delete_namespaced_config_map("new", namespace)
    events = kubernetes.watch.Watch().stream(
        cluster.core.list_namespaced_config_map,
        namespace,
        label_selector="seen=yes",
        resource_version=version,
        timeout_seconds=1,
    )
    told = [(event["type"], event["object"].metadata.name) for event in events]
    # Objects enter and leave a selector's sight.
    assert told == [("ADDED", "new"), ("ADDED", "old"), ("DELETED", "old"), ("DELETED", "new")]


def config_map_names(cluster: Cluster, namespace: str) -> set[str]:
    """The ConfigMaps of a namespace, without the one that every namespace has."""
    found = {entry.metadata.name for entry in cluster.core.list_namespaced_config_map(namespace).items}
    return found - {"kube-root-ca.crt"}


def test_deleted_owner_takes_its_dependents_along(cluster: Cluster, namespace: str) -> None:
    owner = cluster.core.create_namespaced_config_map(namespace, config_map("owner"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}
    for name in ("owned", "kept"):
        body = {"metadata": {"name": name, "ownerReferences": [reference]}}
        cluster.core.create_namespaced_config_map(namespace, body)
    cluster.core.patch_namespaced_config_map("kept", namespace, {"metadata": {"finalizers": ["example.com/wait"]}})
    cluster.core.delete_namespaced_config_map("owner", namespace)
    eventually(lambda: config_map_names(cluster, namespace) == {"kept"})
    assert cluster.core.read_namespaced_config_map("kept", namespace).metadata.deletion_timestamp
    cluster.core.patch_namespaced_config_map("kept", namespace, {"metadata": {"finalizers": None}})
    with refused(404):
        cluster.core.read_namespaced_config_map("kept", namespace)


def test_orphan_deletion_keeps_dependents(cluster: Cluster, namespace: str) -> None:
    owner = cluster.core.create_namespaced_config_map(namespace, config_map("owner"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}
    cluster.core.create_namespaced_config_map(
        namespace, {"metadata": {"name": "owned", "ownerReferences": [reference]}}
    )
    cluster.core.delete_namespaced_config_map("owner", namespace, propagation_policy="Orphan")
    eventually(lambda: config_map_names(cluster, namespace) == {"owned"})
    assert not cluster.core.read_namespaced_config_map("owned", namespace).metadata.owner_references


def test_foreground_deletion_waits_for_dependents(cluster: Cluster, namespace: str) -> None:
    owner = cluster.core.create_namespaced_config_map(namespace, config_map("owner"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}
    held = {"name": "owned", "ownerReferences": [{**reference, "blockOwnerDeletion": True}], "finalizers": ["a.com/b"]}
    cluster.core.create_namespaced_config_map(namespace, {"metadata": held})
    cluster.core.delete_namespaced_config_map("owner", namespace, propagation_policy="Foreground")
    read = cluster.core.read_namespaced_config_map
    eventually(lambda: read("owned", namespace).metadata.deletion_timestamp)
    assert read("owner", namespace).metadata.finalizers == ["foregroundDeletion"]
    cluster.core.patch_namespaced_config_map("owned", namespace, {"metadata": {"finalizers": None}})
    eventually(lambda: config_map_names(cluster, namespace) == set())


def test_object_with_missing_owner_is_deleted(cluster: Cluster, namespace: str) -> None:
    gone = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "11111111-2222-3333-4444-555555555555"}
    cluster.core.create_namespaced_config_map(namespace, {"metadata": {"name": "late", "ownerReferences": [gone]}})
    eventually(lambda: config_map_names(cluster, namespace) == set())


def test_terminating_namespace_refuses_new_objects(cluster: Cluster) -> None:
    cluster.core.create_namespace({"metadata": {"name": "ending"}})
    stay = {"metadata": {"name": "stays", "finalizers": ["example.com/wait"]}}
    cluster.core.create_namespaced_config_map("ending", stay)
    cluster.core.delete_namespace("ending")
    assert cluster.core.read_namespace("ending").status.phase == "Terminating"
    with refused(403, "because it is being terminated"):
        cluster.core.create_namespaced_config_map("ending", config_map("late"))
    cluster.core.patch_namespaced_config_map("stays", "ending", {"metadata": {"finalizers": None}})
    eventually(lambda: "ending" not in [entry.metadata.name for entry in cluster.core.list_namespace().items])


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"containers": []}, "spec.containers", "Required value"),
        ({"containers": [{"name": "A_b", "image": "x"}]}, "spec.containers[0].name", "RFC 1123 label"),
        ({"containers": [{"name": "a"}]}, "spec.containers[0].image", "Required value"),
        ({"containers": [{"name": "a", "image": "x"}] * 2}, "spec.containers[1].name", "Duplicate value"),
        ({"restartPolicy": "Sometimes"}, "spec.restartPolicy", "Unsupported value"),
        (
            {"containers": [{"name": "a", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]},
            "spec.containers[0].volumeMounts[0].name",
            'Not found: "v"',
        ),
    ],
)
def test_refusal_of_invalid_pod_lists_its_causes(
    cluster: Cluster, change: dict[str, t.Any], field: str, words: str
) -> None:
    body = pod("bad", "true")
    body["spec"] |= change
    with pytest.raises(ApiException) as caught:
        cluster.core.create_namespaced_pod("default", body)
    status = json.loads(caught.value.body)
    assert (caught.value.status, status["reason"]) == (422, "Invalid")
    assert any(cause["field"] == field and words in cause["message"] for cause in status["details"]["causes"])


def test_wrong_types_and_unknown_fields_are_reported(cluster: Cluster) -> None:
    pods = "/api/v1/namespaces/default/pods"
    body = pod("bad", "true")
    body["spec"]["terminationGracePeriodSeconds"] = "soon"
    status, refusal, _ = send_json(cluster, "POST", pods, body)
    assert (status, refusal["reason"]) == (400, "BadRequest")
    assert "cannot unmarshal string" in refusal["message"] and "terminationGracePeriodSeconds" in refusal["message"]
    typo = pod("typo", "true")
    typo["spec"]["containers"][0]["comand"] = ["x"]
    status, refusal, _ = send_json(cluster, "POST", f"{pods}?fieldValidation=Strict", typo)
    assert status == 400
    assert 'strict decoding error: unknown field "spec.containers[0].comand"' in refusal["message"]
    status, stored, headers = send_json(cluster, "POST", f"{pods}?dryRun=All", typo)
    assert status == 201
    assert "comand" not in stored["spec"]["containers"][0]
    assert headers["Warning"] == '299 - "unknown field \\"spec.containers[0].comand\\""'


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 50_000, b'{"metadata": 7}', b'{"spec": []}', b'{"a": NaN}'],
)
def test_broken_body_is_refused_with_a_status(cluster: Cluster, body: bytes) -> None:
    status, refusal, _ = send_json(cluster, "POST", "/api/v1/namespaces/default/pods", body)
    assert status in (400, 422), refusal
    assert refusal["kind"] == "Status"


def test_huge_body_is_refused(cluster: Cluster) -> None:
    huge = json.dumps(config_map("huge", a="x" * 3 * 1024 * 1024)).encode()
    assert send_json(cluster, "POST", "/api/v1/namespaces/default/configmaps", huge)[0] == 413


@pytest.mark.parametrize("name", ["Upper", "under_score", "-dash", "dot.", "x" * 254, "a/b"])
def test_invalid_name_is_refused(cluster: Cluster, name: str) -> None:
    with refused(422, "metadata.name"):
        cluster.core.create_namespaced_service_account("default", {"metadata": {"name": name}})


def test_service_account_tokens_are_bound_and_reviewed(cluster: Cluster, namespace: str) -> None:
    cluster.core.create_namespaced_service_account(namespace, {"metadata": {"name": "app"}})
    bound = cluster.core.create_namespaced_pod(namespace, pod("holder", "sleep", "60", serviceAccountName="app"))
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "holder", "uid": bound.metadata.uid}
    spec = {"audiences": ["pods.eks.amazonaws.com"], "expirationSeconds": 600, "boundObjectRef": reference}
    token = cluster.core.create_namespaced_service_account_token("app", namespace, {"spec": spec}).status.token
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["aud"] == ["pods.eks.amazonaws.com"]
    assert claims["sub"] == f"system:serviceaccount:{namespace}:app"
    assert claims["kubernetes.io"]["pod"] == {"name": "holder", "uid": bound.metadata.uid}
    assert claims["exp"] - claims["iat"] == 600
    authentication = kubernetes.client.AuthenticationV1Api(cluster.api)

    def reviewed(text: str, audience: str = "pods.eks.amazonaws.com") -> t.Any:
        return authentication.create_token_review({"spec": {"token": text, "audiences": [audience]}}).status

    good = reviewed(token)
    assert good.authenticated and good.user.username == claims["sub"]
    assert good.user.extra["authentication.kubernetes.io/pod-name"] == ["holder"]
    assert not reviewed(token, "sts.amazonaws.com").authenticated
    assert not reviewed(token[:-6] + "AAAAAA").authenticated
    cluster.core.delete_namespaced_pod("holder", namespace, grace_period_seconds=0)
    eventually(lambda: not reviewed(token).authenticated)
    with refused(422, "may not specify a duration less than 10 minutes"):
        short = {"spec": {"audiences": [], "expirationSeconds": 10}}
        cluster.core.create_namespaced_service_account_token("app", namespace, short)


def test_tokens_without_permission_are_refused(cluster: Cluster, namespace: str) -> None:
    spec: dict[str, t.Any] = {"spec": {"audiences": []}}
    token = cluster.core.create_namespaced_service_account_token("default", namespace, spec).status.token
    words = f'pods is forbidden: User \\"system:serviceaccount:{namespace}:default\\" cannot list resource \\"pods\\"'
    with refused(403, words, f'in API group \\"\\" in the namespace \\"{namespace}\\"'):
        cluster.client(token).list_namespaced_pod(namespace)
    with refused(401, "Unauthorized"):
        cluster.client("nonsense").list_namespaced_pod(namespace)
    with refused(401, "Unauthorized"):
        cluster.client("k8s-aws-v1.bm9uc2Vuc2U").list_namespaced_pod(namespace)


def test_anonymous_user_may_read_only_the_version(cluster: Cluster) -> None:
    version = send_json(cluster, "GET", "/version", known=False)[1]
    assert version["major"] == "1"
    if CONTROL_PLANE == "embedded":
        assert version["minor"] == "34", "the version of the EKS cluster; envtest says what its binary is"
    status, body, _ = send_json(cluster, "GET", "/api/v1/pods", known=False)
    assert (status, body["reason"]) == (403, "Forbidden")
    assert body["message"].startswith('pods is forbidden: User "system:anonymous" cannot list resource "pods"')
    assert send_json(cluster, "GET", "/apis", known=False)[0] == 403


def test_unknown_api_is_a_plain_404(cluster: Cluster) -> None:
    status, text, headers = send(cluster, "GET", "/apis/example.com/v1/things")
    assert (status, text) == (404, b"404 page not found\n")
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    status, body, _ = send_json(cluster, "GET", "/api/v1/things")
    assert (status, body["message"]) == (404, "the server could not find the requested resource")


def test_token_keys_are_published(cluster: Cluster) -> None:
    [key] = send_json(cluster, "GET", "/openid/v1/jwks")[1]["keys"]
    assert (key["alg"], key["kty"], key["use"]) == ("RS256", "RSA", "sig")
