# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may do what: access entries and RBAC."""

from __future__ import annotations

import kubernetes
import pytest
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import refused
from support.principals import SESSION
from support.principals import Principal

pytestmark = pytest.mark.client("kubernetes client")


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


def test_access_entry_group_has_its_role_binding_permissions(real: Cluster, namespace: str) -> None:
    allow_reading(real, namespace, "readers")
    principal = Principal(real, kubernetesGroups=["readers"])
    client = principal.core
    assert [entry.metadata.name for entry in client.list_namespaced_config_map(namespace).items] == ["kube-root-ca.crt"]
    user = f"{SESSION}{principal.role}/anna"
    with refused(403, "Forbidden", user, r"cannot create resource \"configmaps\" in API group \"\"", namespace):
        client.create_namespaced_config_map(namespace, {"metadata": {"name": "mine"}})
    with refused(403, r"cannot list resource \"secrets\""):
        client.list_namespaced_secret(namespace)
    with refused(403, r"cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\""):
        client.list_namespaced_config_map("default")


def test_group_and_policy_of_access_entry_both_apply(real: Cluster, namespace: str) -> None:
    allow_reading(real, namespace, "readers")
    principal = Principal(real, kubernetesGroups=["readers"]).associate("AmazonEKSSecretReaderPolicy", namespace)
    assert principal.core.list_namespaced_config_map(namespace).items
    assert principal.core.list_namespaced_secret(namespace).items == []
    with refused(403, r"cannot list resource \"pods\""):
        principal.core.list_namespaced_pod(namespace)


def test_impersonation_uses_permissions_of_the_other_user(real: Cluster, namespace: str) -> None:
    allow_reading(real, namespace, "readers")
    client = Principal(real).associate("AmazonEKSClusterAdminPolicy").core
    other = {"Impersonate-User": "bob", "Impersonate-Group": "readers"}
    assert client.list_namespaced_config_map(namespace, _headers=other).items
    with refused(403, r"User \"bob\" cannot list resource \"secrets\""):
        client.list_namespaced_secret(namespace, _headers=other)


def test_only_cluster_admin_policy_allows_rbac_escalation(real: Cluster, namespace: str) -> None:
    """The check of escalation asks RBAC, which knows nothing of access policies; ``escalate`` is only for
    AmazonEKSClusterAdminPolicy."""
    role = {"metadata": {"name": "mine"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}
    for policy, is_allowed in (("AmazonEKSAdminPolicy", False), ("AmazonEKSClusterAdminPolicy", True)):
        principal = Principal(real).associate(policy, namespace)
        rbac = kubernetes.client.RbacAuthorizationV1Api(principal.core.api_client)
        if is_allowed:
            rbac.create_namespaced_role(namespace, role)
        else:
            with refused(403, "attempting to grant RBAC permissions not currently held"):
                rbac.create_namespaced_role(namespace, role)


def test_empty_access_entry_authenticates_without_permissions(real: Cluster) -> None:
    principal = Principal(real)
    client = principal.core
    review = kubernetes.client.AuthenticationV1Api(client.api_client).create_self_subject_review({})
    assert review.status.user_info.username == f"{SESSION}{principal.role}/anna"
    with refused(403, r"cannot list resource \"pods\""):
        client.list_namespaced_pod("default")


def test_node_may_access_only_its_own_objects(real: Cluster, namespace: str) -> None:
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
