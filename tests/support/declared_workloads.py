# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Workloads on the cluster "example", which something else has created, and a controller that runs with IRSA there."""

from __future__ import annotations

import json
import pathlib
import typing as t

import kubernetes
from support.existing_cluster import ROLE_PREFIX
from support.existing_cluster import WORKLOAD
from support.existing_cluster import make_account
from support.existing_cluster import make_cluster
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

PLAYBOOK = "playbooks/workload.yml"
OTHER = WORKLOAD | {"service_account": "reports", "role": {"name": "reports"}, "prove": {}}
NAMESPACE_TAG = "aws:RequestTag/kubernetes-namespace"
#: A role for Pod Identity that only a workload of another namespace may use; and for IRSA.
MISFIT_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {
                "Federated": "arn:aws:iam::111122223333:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/EX"
            },
            "Action": "sts:AssumeRoleWithWebIdentity",
        },
        {
            "Effect": "Allow",
            "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {"StringEquals": {NAMESPACE_TAG: "kube-system"}},
        },
    ],
}
#: A workload that takes over the controller's service account and role.
CONTROLLER: dict[str, t.Any] = {"namespace": "default", "service_account": "lbc", "role": {"arn": f"{ROLE_PREFIX}lbc"}}


def make_example(sandbox: SandboxProcess, playbook: Playbooks, folder: pathlib.Path) -> dict[str, t.Any]:
    """The cluster with the agent; returns what a run for it is given."""
    make_cluster(sandbox, make_account(sandbox), nodes=1)
    path = folder / "hosts.json"
    connection = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    path.write_text(json.dumps({"eks_clusters": {"hosts": {"example": connection}}}), encoding="utf-8")
    given: dict[str, t.Any] = {"inventory": str(path), "eks_region": "eu-west-1", "cluster_manage": False}
    assert playbook("playbooks/site.yml", "--tags", "agent", **given).code == 0
    return given


def make_controller(sandbox: SandboxProcess) -> None:
    """A Deployment with IRSA whose role does not trust Pod Identity for its namespace."""
    sandbox.client("iam").create_role(RoleName="lbc", AssumeRolePolicyDocument=json.dumps(MISFIT_TRUST))
    api = kubernetes.config.new_client_from_config(str(sandbox.kubeconfig))
    annotations = {"eks.amazonaws.com/role-arn": f"{ROLE_PREFIX}lbc"}
    account = {"metadata": {"name": "lbc", "annotations": annotations}}
    kubernetes.client.CoreV1Api(api).create_namespaced_service_account("default", account)
    container = {"name": "main", "image": "busybox", "command": ["sleep", "3600"]}
    template = {
        "metadata": {"labels": {"app": "lbc"}},
        "spec": {"serviceAccountName": "lbc", "terminationGracePeriodSeconds": 0, "containers": [container]},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "lbc"}}, "template": template}
    kubernetes.client.AppsV1Api(api).create_namespaced_deployment(
        "default", {"metadata": {"name": "lbc"}, "spec": spec}
    )


def controller_generation(sandbox: SandboxProcess) -> int:
    """A number that grows when the controller is restarted."""
    api = kubernetes.config.new_client_from_config(str(sandbox.kubeconfig))
    found = kubernetes.client.AppsV1Api(api).read_namespaced_deployment("lbc", "default")
    generation: int = found.metadata.generation
    return generation


def association(sandbox: SandboxProcess, service_account: str) -> dict[str, t.Any]:
    """The association of a service account, as EKS describes it."""
    eks, names = sandbox.client("eks"), {"clusterName": "example"}
    [found] = eks.list_pod_identity_associations(**names, serviceAccount=service_account)["associations"]
    described = eks.describe_pod_identity_association(**names, associationId=found["associationId"])
    answer: dict[str, t.Any] = described["association"]
    return answer
