# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""kubectl against the cluster, where there is one on PATH."""

from __future__ import annotations

import json
import typing as t

import pytest
from support.kubectl import KUBECTL
from support.kubectl import Kubectl
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import eventually

pytestmark = [
    pytest.mark.client("kubectl"),
    pytest.mark.skipif(KUBECTL is None, reason="there is no kubectl on PATH"),
]

MANIFEST = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: app}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: app
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: python:3.12
        command: [sh, -c, "while true; do echo tick; sleep 0.2; done"]
"""


@pytest.fixture(scope="module")
def kubectl(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Kubectl]:
    """A namespace of the module's own."""
    found = Kubectl(cluster, "kubectl", tmp_path_factory.mktemp("home"))
    cluster.core.create_namespace({"metadata": {"name": "kubectl"}})
    yield found
    cluster.core.delete_namespace("kubectl")


def test_manifest_can_be_applied_changed_and_scaled(kubectl: Kubectl) -> None:
    assert "deployment.apps/web created" in kubectl.run("apply", "-f", "-", text=MANIFEST)
    assert "deployment.apps/web unchanged" in kubectl.run("apply", "-f", "-", text=MANIFEST)
    assert "condition met" in kubectl.run("wait", "--for=condition=Available", "deployment/web", "--timeout=40s")
    assert "successfully rolled out" in kubectl.run("rollout", "status", "deployment/web", "--timeout=40s")
    changed = MANIFEST.replace("echo tick", "echo tock")
    assert "deployment.apps/web configured" in kubectl.run("apply", "-f", "-", text=changed)
    kubectl.run("rollout", "status", "deployment/web", "--timeout=40s")
    # Pods of the old template go on for a moment after the rollout.
    eventually(lambda: kubectl.run("get", "pods", "-l", "app=web", "--no-headers").count("\n") == 2)
    assert "tock" in kubectl.run("logs", "deployment/web", "--tail=1")
    assert "2" in kubectl.run("get", "deployment", "web", "-o", "jsonpath={.status.availableReplicas}")
    kubectl.run("scale", "deployment/web", "--replicas=1")
    eventually(lambda: kubectl.run("get", "pods", "-l", "app=web", "--no-headers").count("\n") == 1)


def test_get_prints_useful_tables(kubectl: Kubectl) -> None:
    nodes = kubectl.run("get", "nodes")
    assert nodes.split()[:5] == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert nodes.count(" Ready ") == 2
    assert "eks-sandbox" in nodes
    everything = kubectl.run("get", "all", "-o", "wide")
    assert "deployment.apps/web" in everything
    assert "IMAGES" in everything
    assert json.loads(kubectl.run("get", "sa", "app", "-o", "json"))["metadata"]["name"] == "app"
    assert "pod/web-" in kubectl.run("get", "po", "-o", "name")


def test_watch_logs_and_exec_work(kubectl: Kubectl) -> None:
    watching = kubectl.start("get", "pods", "-w", "-o", "name")
    following = kubectl.start("logs", "-f", "deployment/web")
    try:
        assert following.stdout is not None and watching.stdout is not None
        assert following.stdout.readline() == "tock\n"
        assert watching.stdout.readline().startswith("pod/web-")
    finally:
        for process in (watching, following):
            process.kill()
            process.communicate()
    assert kubectl.run("exec", "deployment/web", "--", "sh", "-c", "echo $((6*7))") == "42\n"
    assert kubectl.run("exec", "-i", "deployment/web", "--", "cat", text="typed\n") == "typed\n"
    kubectl.run("exec", "deployment/web", "--", "sh", "-c", "exit 9", status=9)


def test_describe_pod_lists_its_events(kubectl: Kubectl) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "strange"},
        "spec": {"containers": [{"name": "main", "image": "registry.example/unknown:1"}]},
    }
    kubectl.run("apply", "-f", "-", text=json.dumps(manifest))
    eventually(lambda: "ImagePullBackOff" in kubectl.run("get", "pod", "strange"))
    story = kubectl.run("describe", "pod", "strange")
    assert "Successfully assigned kubectl/strange" in story
    assert "Failed to pull image" in story
    kubectl.run("delete", "pod", "strange", "--timeout=60s")


def test_server_side_apply_reports_conflicts(kubectl: Kubectl) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}, "data": {"a": "1"}}
    kubectl.run("apply", "--server-side", "--field-manager=one", "-f", "-", text=json.dumps(manifest))
    manifest["data"] = {"a": "2"}
    other = ("apply", "--server-side", "--field-manager=two", "-f", "-")
    assert "Apply failed with 1 conflict" in kubectl.run(*other, text=json.dumps(manifest), status=1)
    assert "serverside-applied" in kubectl.run(*other, "--force-conflicts", text=json.dumps(manifest))


def test_mistakes_are_reported_in_words_of_the_api(kubectl: Kubectl) -> None:
    typo = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "typo"}, "dta": {"a": "1"}}
    assert 'unknown field "dta"' in kubectl.run("apply", "-f", "-", text=json.dumps(typo), status=1)
    missing = kubectl.run("get", "pod", "nowhere", status=1)
    assert 'Error from server (NotFound): pods "nowhere" not found' in missing
    assert "the server doesn't have a resource type" in kubectl.run("get", "unicorns", status=1)
    assert kubectl.run("auth", "can-i", "create", "pods") == "yes\n"


def test_create_commands_work(kubectl: Kubectl) -> None:
    assert kubectl.run("create", "serviceaccount", "made") == "serviceaccount/made created\n"
    assert kubectl.run("create", "token", "made").count(".") == 2
    kubectl.run("create", "configmap", "settings", "--from-literal=a=b")
    assert kubectl.run("get", "configmap", "settings", "-o", "jsonpath={.data}") == '{"a":"b"}'
    kubectl.run("create", "secret", "generic", "hidden", "--from-literal=a=b")
    assert kubectl.run("get", "secret", "hidden", "-o", "jsonpath={.data.a}") == "Yg=="
    kubectl.run("create", "job", "once", "--image=python:3.12", "--", "python3", "-c", "print(6 * 7)")
    kubectl.run("wait", "--for=condition=complete", "job/once", "--timeout=40s")
    assert kubectl.run("logs", "job/once") == "42\n"
    kubectl.run("create", "deployment", "many", "--image=amazonlinux:2023", "--replicas=2", "--", "sleep", "600")
    kubectl.run("rollout", "status", "deployment/many", "--timeout=40s")
    assert "ServiceAccount" in kubectl.run("api-resources")
    assert "system:masters" in kubectl.run("auth", "whoami")


def script(code: str) -> list[str]:
    """A command that ends when it is asked to."""
    return ["python3", "-c", f"import signal, time; signal.signal(15, lambda *_: exit()); {code}; time.sleep(600)"]


def sleeping_workload(kind: str, name: str, **spec: t.Any) -> str:
    """A manifest of a workload whose pods sleep."""
    labels = {"app": name}
    container = {"name": "main", "image": "python:3.12", "command": script("print('first', flush=True)")}
    template = {"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}
    whole = {"selector": {"matchLabels": labels}, "template": template, **spec}
    return json.dumps({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": whole})


@pytest.mark.parametrize(
    ("kind", "spec"),
    [("Deployment", {"replicas": 1}), ("StatefulSet", {"replicas": 1, "serviceName": "x"}), ("DaemonSet", {})],
)
def test_rollout_restarts_and_rolls_back(kubectl: Kubectl, kind: str, spec: dict[str, t.Any]) -> None:
    name = f"rolls-{kind.lower()}"
    target = f"{kind.lower()}/{name}"

    def variables() -> str:
        return kubectl.run("get", target, "-o", "jsonpath={.spec.template.spec.containers[0].env}")

    def wait_for_rollout() -> None:
        assert kubectl.run("rollout", "status", target, "--timeout=60s")

    kubectl.run("apply", "-f", "-", text=sleeping_workload(kind, name, **spec))
    wait_for_rollout()
    assert "env updated" in kubectl.run("set", "env", target, "A=1")
    wait_for_rollout()
    assert "restarted" in kubectl.run("rollout", "restart", target)
    wait_for_rollout()
    annotations = kubectl.run("get", target, "-o", "jsonpath={.spec.template.metadata.annotations}")
    assert "kubectl.kubernetes.io/restartedAt" in annotations
    history = kubectl.run("rollout", "history", target)
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2", "3"]
    assert "rolled back" in kubectl.run("rollout", "undo", target, "--to-revision=1")
    wait_for_rollout()
    assert variables() == ""
    kubectl.run("delete", target, "--timeout=60s")


def test_rollout_can_be_paused_and_resumed(kubectl: Kubectl) -> None:
    kubectl.run("apply", "-f", "-", text=sleeping_workload("Deployment", "pauses", replicas=1))
    assert "paused" in kubectl.run("rollout", "pause", "deployment/pauses")
    assert "image updated" in kubectl.run("set", "image", "deployment/pauses", "main=python:3.13")
    assert "resumed" in kubectl.run("rollout", "resume", "deployment/pauses")
    kubectl.run("rollout", "status", "deployment/pauses", "--timeout=60s")
    images = kubectl.run("get", "rs", "-l", "app=pauses", "-o", "wide", "--no-headers")
    assert "python:3.12" in images and "python:3.13" in images
    kubectl.run("delete", "deployment/pauses", "--timeout=60s")


def test_labels_annotations_and_resources_can_be_set(kubectl: Kubectl) -> None:
    kubectl.run("create", "configmap", "marked")
    assert "labeled" in kubectl.run("label", "configmap/marked", "tier=web")
    assert "annotated" in kubectl.run("annotate", "configmap/marked", "note=x")
    assert kubectl.run("get", "configmap", "-l", "tier=web", "-o", "name") == "configmap/marked\n"
    assert "--overwrite" in kubectl.run("label", "configmap/marked", "tier=db", status=1)
    assert "unlabeled" in kubectl.run("label", "configmap/marked", "tier-")
    kubectl.run("apply", "-f", "-", text=sleeping_workload("Deployment", "sized", replicas=0))
    kubectl.run("set", "resources", "deployment/sized", "--limits=cpu=1500m,memory=1024Mi")
    limits = kubectl.run(
        "get", "deployment/sized", "-o", "jsonpath={.spec.template.spec.containers[0].resources.limits}"
    )
    assert json.loads(limits) == {"cpu": "1500m", "memory": "1Gi"}
    kubectl.run("set", "serviceaccount", "deployment/sized", "default")
    assert "patched" in kubectl.run("patch", "deployment", "sized", "-p", '{"spec":{"minReadySeconds":1}}')
    # Until its controller has told what it has done, which is a change as well.
    kubectl.run("rollout", "status", "deployment/sized")
    replaced = json.loads(kubectl.run("get", "deployment", "sized", "-o", "json"))
    replaced["spec"]["minReadySeconds"] = 0
    assert "replaced" in kubectl.run("replace", "-f", "-", text=json.dumps(replaced))


def test_diff_and_dry_run_change_nothing(kubectl: Kubectl) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "compared"}, "data": {"a": "1"}}
    kubectl.run("apply", "-f", "-", text=json.dumps(manifest))
    assert kubectl.run("diff", "-f", "-", text=json.dumps(manifest)) == ""
    manifest["data"] = {"a": "2"}
    shown = kubectl.run("diff", "-f", "-", text=json.dumps(manifest), status=1)
    assert '-  a: "1"' in shown and '+  a: "2"' in shown
    assert "configured (server dry run)" in kubectl.run(
        "apply", "--dry-run=server", "-f", "-", text=json.dumps(manifest)
    )
    assert kubectl.run("get", "configmap", "compared", "-o", "jsonpath={.data.a}") == "1"


def test_server_side_apply_removes_fields(kubectl: Kubectl) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned"}, "data": {"a": "1", "b": "2"}}
    apply = ("apply", "--server-side", "-f", "-")
    assert "serverside-applied" in kubectl.run(*apply, text=json.dumps(manifest))
    manifest["data"] = {"a": "1"}
    kubectl.run(*apply, text=json.dumps(manifest))
    assert json.loads(kubectl.run("get", "configmap", "owned", "-o", "jsonpath={.data}")) == {"a": "1"}
    managers = kubectl.run("get", "configmap", "owned", "-o", "json", "--show-managed-fields")
    [entry] = json.loads(managers)["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("kubectl", "Apply")
    assert entry["fieldsV1"] == {"f:data": {"f:a": {}}}


def test_nodes_can_be_cordoned_tainted_and_drained(kubectl: Kubectl) -> None:
    kubectl.run("apply", "-f", "-", text=sleeping_workload("Deployment", "moves", replicas=1))
    kubectl.run("rollout", "status", "deployment/moves", "--timeout=60s")
    budget = ("create", "poddisruptionbudget", "moves", "--selector=app=moves", "--max-unavailable=1")
    assert "created" in kubectl.run(*budget)
    # A drain asks the budget, whose controller must have seen it.
    eventually(lambda: kubectl.run("get", "pdb", "moves", "-o", "jsonpath={.status.disruptionsAllowed}") == "1")
    node = kubectl.run("get", "pods", "-l", "app=moves", "-o", "jsonpath={.items[0].spec.nodeName}")
    try:
        assert "cordoned" in kubectl.run("cordon", node)
        assert "SchedulingDisabled" in kubectl.run("get", "node", node)
        taints = ("get", "node", node, "-o", "jsonpath={.spec.taints[*].key}")
        eventually(lambda: "node.kubernetes.io/unschedulable" in kubectl.run(*taints))
        selected = ("--pod-selector=app=moves", "--timeout=60s", "--ignore-daemonsets")
        assert "evicted" in kubectl.run("drain", node, *selected)
        kubectl.run("rollout", "status", "deployment/moves", "--timeout=60s")
        running = ("get", "pods", "-l", "app=moves", "-o", "jsonpath={.items[*].spec.nodeName}")
        eventually(lambda: node not in kubectl.run(*running).split())
        assert "tainted" in kubectl.run("taint", "node", node, "special=yes:NoSchedule")
        assert "untainted" in kubectl.run("taint", "node", node, "special-")
        story = kubectl.run("describe", "node", node)
        assert "Unschedulable:      true" in story and "Non-terminated Pods" in story
    finally:
        kubectl.run("uncordon", node)
    kubectl.run("delete", "deployment/moves", "pdb/moves", "--timeout=60s")


def test_logs_follow_all_containers_to_the_end(kubectl: Kubectl) -> None:
    containers = [
        {
            "name": name,
            "image": "python:3.12",
            "command": ["python3", "-c", f"import time; time.sleep(1); print('{name}')"],
        }
        for name in ("one", "two")
    ]
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "speaks"},
        "spec": {"restartPolicy": "Never", "containers": containers},
    }
    kubectl.run("apply", "-f", "-", text=json.dumps(manifest))
    kubectl.run("wait", "--for=jsonpath={.status.phase}=Running", "pod/speaks", "--timeout=60s")
    told = kubectl.run("logs", "-f", "speaks", "--all-containers", "--prefix")
    assert sorted(told.splitlines()) == ["[pod/speaks/one] one", "[pod/speaks/two] two"]
    kubectl.run("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/speaks", "--timeout=60s")
    refusal = kubectl.run("logs", "speaks", "-c", "three", status=1)
    assert "container three is not valid for pod speaks" in refusal
    assert "deleted" in kubectl.run("delete", "pod", "speaks", "--wait=true", "--timeout=60s")


def test_auth_can_i_reports_permissions(kubectl: Kubectl) -> None:
    assert kubectl.run("auth", "can-i", "delete", "nodes") == "yes\n"
    kubectl.run("create", "serviceaccount", "powerless")
    token = kubectl.run("create", "token", "powerless", "--duration=20m", "--audience=https://kubernetes.default.svc")
    as_account = ("--token", token.strip())
    user = f"system:serviceaccount:{kubectl.namespace}:powerless"
    assert user in kubectl.run(*as_account, "auth", "whoami")
    assert kubectl.run(*as_account, "auth", "can-i", "list", "pods", status=1).startswith("no")
    refusal = kubectl.run(*as_account, "get", "pods", status=1)
    assert f'pods is forbidden: User "{user}" cannot list resource "pods" in API group ""' in refusal


def test_describe_works_for_every_kind(kubectl: Kubectl) -> None:
    kubectl.run("apply", "-f", "-", text=sleeping_workload("Deployment", "told", replicas=1))
    kubectl.run("rollout", "status", "deployment/told", "--timeout=60s")
    assert "NewReplicaSet:" in kubectl.run("describe", "deployment", "told")
    assert "Controlled By:  Deployment/told" in kubectl.run("describe", "rs", "-l", "app=told")
    kubectl.run("expose", "deployment", "told", "--port=80")
    assert "Session Affinity:" in kubectl.run("describe", "service", "told")
    assert "Mountable secrets" in kubectl.run("describe", "serviceaccount", "default")
    assert "ca.crt" in kubectl.run("describe", "configmap", "kube-root-ca.crt")
    assert "Status:       Active" in kubectl.run("describe", "namespace", kubectl.namespace)
    events = kubectl.run("get", "events", "--field-selector=reason=ScalingReplicaSet")
    assert "Scaled up replica set told-" in events
    kinds = {name.partition("/")[0] for name in kubectl.run("get", "all", "-o", "name").split()}
    assert {"pod", "service", "deployment.apps", "replicaset.apps"} <= kinds
    kubectl.run("delete", "service/told", "deployment/told", "--timeout=60s")
