# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role verify where Pod Security and RBAC have a say."""

from __future__ import annotations

import collections.abc
import json
import pathlib
import typing as t

import kubernetes
import pytest
from support.kubernetes_cluster import CLUSTER
from support.kubernetes_cluster import REGION
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import eventually
from support.playbooks import Playbooks

Proof = dict[str, t.Any]
Verify = collections.abc.Callable[..., list[Proof]]

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
#: What a container must say where the Pod Security standard "restricted" is enforced.
RESTRICTED_CONTEXT = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture
def verify(real: Cluster, agent: None, namespace: str, tmp_path: pathlib.Path) -> Verify:
    """Runs the role for the service account "app" with an association, in the test's namespace and in those given."""
    playbooks = Playbooks(real.sandbox, tmp_path)
    real.service_account("app", namespace)
    real.account.associate(real.role, "app", clusterName=CLUSTER, namespace=namespace)
    host = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": {CLUSTER: host}}}), encoding="utf-8")

    def run(*others: str, user: str | None = None, **settings: t.Any) -> list[Proof]:
        connection = as_user(real, namespace, user) if user else {"kubeconfig": str(real.kubeconfig)}
        defaults = {"group/podidentity.eks.aws": {"region": REGION}, "group/podidentity.eks.k8s": connection}
        play = {"name": "The proof", "hosts": "all", "gather_facts": False, "module_defaults": defaults}
        path, proofs = tmp_path / "play.yml", tmp_path / "proofs.json"
        path.write_text(json.dumps([play | {"roles": ["podidentity.eks.verify"]}]), encoding="utf-8")
        workloads = [{"namespace": place, "service_account": "app"} for place in (namespace, *others)]
        settings = {"verify_workloads": workloads, "verify_proof_file": str(proofs), **settings}
        playbooks(str(path), inventory=str(tmp_path / "hosts.json"), **settings)
        found: list[Proof] = json.loads(proofs.read_text(encoding="utf-8"))
        return found

    return run


def as_user(cluster: Cluster, namespace: str, name: str) -> dict[str, str]:
    """Connection settings of a service account as a user. (What exec is done by, knows nothing of impersonation.)"""
    cluster.service_account(name, namespace)
    token = cluster.core.create_namespaced_service_account_token(name, namespace, {"spec": {}}).status.token
    configuration = cluster.api.configuration
    return {"host": configuration.host, "ca_cert": configuration.ssl_ca_cert, "api_key": token}


def allow(cluster: Cluster, namespace: str, *rules: tuple[str, str, list[str]]) -> None:
    """Let the service account "verifier" do something in its namespace."""
    rbac = kubernetes.client.RbacAuthorizationV1Api(cluster.api)
    listed = [{"apiGroups": [group], "resources": [resource], "verbs": verbs} for group, resource, verbs in rules]
    rbac.create_namespaced_role(namespace, {"metadata": {"name": "verifier"}, "rules": listed})
    api_group = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": "verifier"},
        "roleRef": {"apiGroup": api_group, "kind": "Role", "name": "verifier"},
        "subjects": [{"kind": "ServiceAccount", "name": "verifier", "namespace": namespace}],
    }
    rbac.create_namespaced_role_binding(namespace, binding)


def create_pod(cluster: Cluster, namespace: str) -> None:
    """A pod of the workload itself, ready."""
    main = {"name": "main", "image": "python:3.12", "command": ["sleep", "3600"], "securityContext": RESTRICTED_CONTEXT}
    spec = {"serviceAccountName": "app", "terminationGracePeriodSeconds": 1, "containers": [main]}
    cluster.core.create_namespaced_pod(namespace, {"metadata": {"name": "own"}, "spec": spec})
    eventually(lambda: cluster.core.read_namespaced_pod("own", namespace).status.phase == "Running")


def test_job_and_exec_prove_in_restricted_namespace(real: Cluster, namespace: str, verify: Verify) -> None:
    real.core.patch_namespace(namespace, {"metadata": {"labels": RESTRICTED}})
    [proof] = verify()
    assert proof["proven"] is True
    assert real.batch.list_namespaced_job(namespace).items == []
    eventually(lambda: real.core.list_namespaced_pod(namespace).items == [])

    create_pod(real, namespace)
    [proof] = verify(verify_mode="exec")
    assert (proof["proven"], proof["mode"], proof["pod"]) == (True, "exec", "own")
    assert "-own-" in proof["identity"]["session_name"]


def test_proof_reports_why_kubernetes_refuses_the_job(namespace: str, verify: Verify) -> None:
    [proof] = verify(user="nobody")
    assert proof["cause"]["id"] == "job_refused"
    assert (
        f'User "system:serviceaccount:{namespace}:nobody" cannot create resource "jobs" in API group "batch"'
        in proof["cause"]["text"]
    )


def test_role_of_one_namespace_proves_only_that_namespace(real: Cluster, namespace: str, verify: Verify) -> None:
    jobs, pods = ("batch", "jobs", ["create", "delete"]), ("", "pods", ["list"])
    allow(real, namespace, jobs, pods)
    [proof] = verify(user="verifier")
    assert proof["proven"] is True
    assert proof["warnings"] == []
    own, _other = verify("default", user="verifier")
    assert own["cause"]["id"] == "pods_not_listed"
    assert 'verifier" cannot list resource "pods" in API group "" at the cluster scope' in own["cause"]["text"]
    create_pod(real, namespace)
    [proof] = verify(user="verifier", verify_mode="exec")
    assert proof["cause"]["id"] == "exec_refused"
    assert 'verifier" cannot' in proof["cause"]["text"]
    assert 'resource "pods/exec"' in proof["cause"]["text"]
