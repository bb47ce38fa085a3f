# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What kube-apiserver 1.35.4 answers to requests that are wrong in one way, and what it makes of half-filled objects.

``tests/data/kubernetes-answers.json`` was recorded from it: the status, the reason, the fields and reasons of the
causes, and of a dry run the whole object with its defaults.
"""

from __future__ import annotations

import json
import re
import typing as t

import pytest
from support.environment import DATA
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import eventually
from support.kubernetes_cluster import send

pytestmark = pytest.mark.client("http")

CASES = json.loads((DATA / "kubernetes-answers.json").read_text(encoding="utf-8"))
NAMESPACE = "answers"
#: What is different each time.
_VARYING = ("uid", "resourceVersion", "creationTimestamp", "namespace", "managedFields")
_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def workload(**spec: t.Any) -> dict[str, t.Any]:
    """The spec of a Deployment or StatefulSet without pods."""
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}}
    return {"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": template, **spec}


@pytest.fixture(scope="module", autouse=True)
def objects(cluster: Cluster) -> None:
    """What the cases are about."""
    cluster.core.create_namespace({"metadata": {"name": NAMESPACE}})
    eventually(lambda: cluster.core.list_namespaced_service_account(NAMESPACE).items)
    core, container = cluster.core, {"name": "c", "image": "busybox"}
    core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "one"}, "data": {"a": "1"}})
    core.create_namespaced_config_map(
        NAMESPACE, {"metadata": {"name": "frozen"}, "data": {"a": "b"}, "immutable": True}
    )
    pod = {"metadata": {"name": "p1"}, "spec": {"schedulerName": "nobody", "containers": [container]}}
    core.create_namespaced_pod(NAMESPACE, pod)
    core.create_namespaced_service_account(NAMESPACE, {"metadata": {"name": "app"}})
    cluster.apps.create_namespaced_deployment(NAMESPACE, {"metadata": {"name": "d1"}, "spec": workload()})
    stateful = {"metadata": {"name": "s1"}, "spec": workload(serviceName="s")}
    cluster.apps.create_namespaced_stateful_set(NAMESPACE, stateful)
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    job = {"metadata": {"name": "j1"}, "spec": {"suspend": True, "template": template}}
    cluster.batch.create_namespaced_job(NAMESPACE, job)


def summary(case: dict[str, t.Any], status: int, body: bytes) -> dict[str, t.Any]:
    """The parts of an answer that are recorded."""
    try:
        document = json.loads(body)
    except ValueError:
        return {"status": status, "text": body.decode("latin-1")[:60]}
    kind = document.get("kind", "")
    if kind == "Status":
        causes = (document.get("details") or {}).get("causes") or []
        found = sorted({(cause.get("field", ""), cause["reason"]) for cause in causes})
        return {"status": status, "reason": document.get("reason", ""), "causes": [list(cause) for cause in found]}
    if status in (200, 201) and "dryRun=All" in case["path"]:
        for field in _VARYING:
            document["metadata"].pop(field, None)
        text = re.sub(r"kube-api-access-\w{5}", "kube-api-access-", json.dumps(document))
        return {"status": status, "object": json.loads(_UID.sub("<uid>", text))}
    if kind.endswith("Review"):
        return {"status": status, "answer": document["status"]}
    return {"status": status, **({"items": len(document["items"])} if kind.endswith("List") else {})}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_answer_equals_that_of_kube_apiserver(cluster: Cluster, case: dict[str, t.Any]) -> None:
    headers = {name.replace("-", "_"): value for name, value in case.get("headers", {}).items()}
    body = case.get("body")
    sent = body.encode() if isinstance(body, str) else body
    path = case["path"].replace("{namespace}", NAMESPACE)
    status, answer, _ = send(cluster, case["method"], path, sent, **headers)
    assert summary(case, status, answer) == case["answer"]
