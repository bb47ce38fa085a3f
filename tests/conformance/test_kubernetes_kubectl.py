# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""kubectl against the cluster, where there is one on PATH."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import typing as t

import pytest
from conformance.kubernetes_cluster import Cluster
from conformance.kubernetes_cluster import cluster
from conformance.kubernetes_cluster import eventually

__all__ = ["cluster"]

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="there is no kubectl on PATH")

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


class Kubectl:
    """Runs kubectl in one namespace."""

    def __init__(self, cluster: Cluster, namespace: str, home: pathlib.Path) -> None:
        self.namespace = namespace
        self._base = [str(KUBECTL), "--kubeconfig", str(cluster.kubeconfig), "-n", namespace]
        self._env = {"PATH": os.environ["PATH"], "HOME": str(home)}

    def run(self, *arguments: str, text: str | None = None, status: int = 0) -> str:
        """What it prints; its exit status must be the expected one."""
        command = [*self._base, *arguments]
        ended = subprocess.run(
            command, input=text, env=self._env, capture_output=True, text=True, check=False, timeout=60
        )
        assert ended.returncode == status, ended.stdout + ended.stderr
        return ended.stdout + (ended.stderr if status else "")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Let it run."""
        return subprocess.Popen([*self._base, *arguments], env=self._env, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def kubectl(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Kubectl]:
    """A namespace of the module's own."""
    found = Kubectl(cluster, "kubectl", tmp_path_factory.mktemp("home"))
    cluster.core.create_namespace({"metadata": {"name": "kubectl"}})
    yield found
    cluster.core.delete_namespace("kubectl")


def test_a_manifest_is_applied_twice_waited_for_and_deleted(kubectl: Kubectl) -> None:
    assert "deployment.apps/web created" in kubectl.run("apply", "-f", "-", text=MANIFEST)
    assert "deployment.apps/web unchanged" in kubectl.run("apply", "-f", "-", text=MANIFEST)
    assert "condition met" in kubectl.run("wait", "--for=condition=Available", "deployment/web", "--timeout=40s")
    assert "successfully rolled out" in kubectl.run("rollout", "status", "deployment/web", "--timeout=40s")
    changed = MANIFEST.replace("echo tick", "echo tock")
    assert "deployment.apps/web configured" in kubectl.run("apply", "-f", "-", text=changed)
    kubectl.run("rollout", "status", "deployment/web", "--timeout=40s")
    assert "tock" in kubectl.run("logs", "deployment/web", "--tail=1")
    assert "2" in kubectl.run("get", "deployment", "web", "-o", "jsonpath={.status.availableReplicas}")
    kubectl.run("scale", "deployment/web", "--replicas=1")
    eventually(lambda: kubectl.run("get", "pods", "-l", "app=web", "--no-headers").count("\n") == 1)


def test_tables_say_what_people_look_for(kubectl: Kubectl) -> None:
    nodes = kubectl.run("get", "nodes")
    assert nodes.split()[:5] == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert nodes.count(" Ready ") == 2
    assert "eks-sandbox" in nodes
    everything = kubectl.run("get", "all", "-o", "wide")
    assert "deployment.apps/web" in everything
    assert "IMAGES" in everything
    assert json.loads(kubectl.run("get", "sa", "app", "-o", "json"))["metadata"]["name"] == "app"
    assert "pod/web-" in kubectl.run("get", "po", "-o", "name")


def test_watching_following_and_running(kubectl: Kubectl) -> None:
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


def test_describe_tells_the_story_of_a_pod(kubectl: Kubectl) -> None:
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


def test_server_side_apply_conflicts_like_a_real_cluster(kubectl: Kubectl) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}, "data": {"a": "1"}}
    kubectl.run("apply", "--server-side", "--field-manager=one", "-f", "-", text=json.dumps(manifest))
    manifest["data"] = {"a": "2"}
    other = ("apply", "--server-side", "--field-manager=two", "-f", "-")
    assert "Apply failed with 1 conflict" in kubectl.run(*other, text=json.dumps(manifest), status=1)
    assert "serverside-applied" in kubectl.run(*other, "--force-conflicts", text=json.dumps(manifest))


def test_mistakes_are_told_in_the_api_s_words(kubectl: Kubectl) -> None:
    typo = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "typo"}, "dta": {"a": "1"}}
    assert 'unknown field "dta"' in kubectl.run("apply", "-f", "-", text=json.dumps(typo), status=1)
    missing = kubectl.run("get", "pod", "nowhere", status=1)
    assert 'Error from server (NotFound): pods "nowhere" not found' in missing
    assert "the server doesn't have a resource type" in kubectl.run("get", "unicorns", status=1)
    assert kubectl.run("auth", "can-i", "create", "pods") == "yes\n"


def test_kubectl_s_own_commands_create_things(kubectl: Kubectl) -> None:
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
