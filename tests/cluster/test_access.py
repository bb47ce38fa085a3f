# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may do what: access entries and RBAC."""

from __future__ import annotations

import json
import typing as t

import kubernetes
import pytest
from conformance.kubernetes_cluster import CLUSTER
from conformance.kubernetes_cluster import Cluster
from conformance.kubernetes_cluster import refused
from conformance.test_aws_credentials import eks_token
from conformance.test_aws_credentials import settings

pytestmark = pytest.mark.client("kubernetes client")


def session(cluster: Cluster, name: str) -> tuple[str, dict[str, str]]:
    """A new role that the administrator may take on: its ARN, and the client settings of a session."""
    trust = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn = cluster.account.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    keys = cluster.sandbox.client("sts").assume_role(RoleArn=arn, RoleSessionName="anna")["Credentials"]
    return arn, settings(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])


def reader(cluster: Cluster, name: str, **entry: t.Any) -> t.Any:
    """A Kubernetes client of a session of a new role that has this access entry."""
    arn, keys = session(cluster, name)
    cluster.account.eks.create_access_entry(clusterName=CLUSTER, principalArn=arn, **entry)
    return cluster.client(eks_token(cluster.account, CLUSTER, keys=keys))


def allow_reading(cluster: Cluster, namespace: str, group: str) -> None:
    """Let a group read the config maps of a namespace."""
    rbac = kubernetes.client.RbacAuthorizationV1Api(cluster.api)
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}
    rbac.create_namespaced_role(namespace, {"metadata": {"name": "reader"}, "rules": [rule]})
    api_group = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": "readers"},
        "roleRef": {"apiGroup": api_group, "kind": "Role", "name": "reader"},
        "subjects": [{"apiGroup": api_group, "kind": "Group", "name": group}],
    }
    rbac.create_namespaced_role_binding(namespace, binding)


def test_a_group_of_an_access_entry_may_do_what_its_role_binding_says(real: Cluster, namespace: str) -> None:
    allow_reading(real, namespace, "readers")
    client = reader(real, "config-reader", kubernetesGroups=["readers"])
    assert [entry.metadata.name for entry in client.list_namespaced_config_map(namespace).items] == ["kube-root-ca.crt"]
    user = "arn:aws:sts::111122223333:assumed-role/config-reader/anna"
    with refused(403, "Forbidden", user, r"cannot create resource \"configmaps\" in API group \"\"", namespace):
        client.create_namespaced_config_map(namespace, {"metadata": {"name": "mine"}})
    with refused(403, r"cannot list resource \"secrets\""):
        client.list_namespaced_secret(namespace)
    with refused(403, r"cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\""):
        client.list_namespaced_config_map("default")


def test_an_access_entry_without_groups_and_policies_knows_who_one_is_and_no_more(real: Cluster) -> None:
    client = reader(real, "nobody")
    review = kubernetes.client.AuthenticationV1Api(client.api_client).create_self_subject_review({})
    assert review.status.user_info.username == "arn:aws:sts::111122223333:assumed-role/nobody/anna"
    with refused(403, r"cannot list resource \"pods\""):
        client.list_namespaced_pod("default")


def test_a_node_may_touch_what_is_its_own_and_no_more(real: Cluster, namespace: str) -> None:
    """The node authorizer and NodeRestriction, asked as the administrator in the place of a node."""
    node, other = (entry.metadata.name for entry in real.core.list_node().items[:2])
    client = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(str(real.kubeconfig)))
    client.api_client.set_default_header("Impersonate-User", f"system:node:{node}")
    client.api_client.set_default_header("Impersonate-Group", "system:nodes")
    with refused(403, rf"node \"{node}\" is not allowed to modify node \"{other}\""):
        client.patch_node(other, {"metadata": {"labels": {"mine": "yes"}}})
    real.core.create_namespaced_secret(namespace, {"metadata": {"name": "hidden"}})
    with refused(403, "no relationship found between node"):
        client.read_namespaced_secret("hidden", namespace)
