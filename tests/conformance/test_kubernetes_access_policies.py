# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the access policies of EKS let people do in Kubernetes."""

from __future__ import annotations

import pathlib
import typing as t

import kubernetes
import pytest
from kubernetes.client.exceptions import ApiException
from support.kubectl import KUBECTL
from support.kubectl import Kubectl
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import eventually
from support.kubernetes_cluster import refused
from support.kubernetes_cluster import send
from support.principals import POLICY
from support.principals import SESSION
from support.principals import Principal
from support.sandbox_process import CONTROL_PLANE

pytestmark = pytest.mark.client("kubernetes client")

DEV, OTHER_DEV, LIVE = "dev-a", "dev-b", "live"
RBAC, APPS = "rbac.authorization.k8s.io", "apps"
#: What one may ask for in the whole cluster.
CLUSTER_WIDE = {
    "read pods": {"resourceAttributes": {"verb": "list", "resource": "pods"}},
    "read namespaces": {"resourceAttributes": {"verb": "list", "resource": "namespaces"}},
    "read secrets": {"resourceAttributes": {"verb": "get", "resource": "secrets", "namespace": LIVE}},
    "write pods": {"resourceAttributes": {"verb": "create", "resource": "pods", "namespace": DEV}},
    "write roles": {"resourceAttributes": {"verb": "create", "resource": "roles", "group": RBAC, "namespace": DEV}},
    "read nodes": {"resourceAttributes": {"verb": "list", "resource": "nodes"}},
    "write nodes": {"resourceAttributes": {"verb": "delete", "resource": "nodes"}},
    "read metrics": {"nonResourceAttributes": {"verb": "get", "path": "/metrics"}},
}


@pytest.fixture
def principal(cluster: Cluster) -> Principal:
    """Somebody with an access entry and no policy."""
    return Principal(cluster)


@pytest.fixture(scope="module", autouse=True)
def namespaces(cluster: Cluster) -> t.Iterator[None]:
    """Two namespaces that begin alike, and another one."""
    for name in (DEV, OTHER_DEV, LIVE):
        cluster.core.create_namespace({"metadata": {"name": name}})
        cluster.core.create_namespaced_secret(name, {"metadata": {"name": "hidden"}, "stringData": {"a": "1"}})
    yield
    for name in (DEV, OTHER_DEV, LIVE):
        cluster.core.delete_namespace(name)


def is_refused(call: t.Callable[[], object]) -> bool:
    """Whether the API server forbids a call."""
    try:
        call()
    except ApiException as error:
        assert error.status == 403, error
        return True
    return False


def test_access_entry_without_policy_allows_nothing(principal: Principal, cluster: Cluster) -> None:
    user = f"{SESSION}{principal.role}/anna"
    message = rf"pods is forbidden: User \"{user}\" cannot list resource \"pods\" in API group \"\" in the namespace"
    with refused(403, "Forbidden", rf"{message} \"{DEV}\""):
        principal.core.list_namespaced_pod(DEV)
    # Kinds that the embedded control plane lacks are no exception, nor is acting as somebody else.
    for path in (f"/apis/networking.k8s.io/v1/namespaces/{DEV}/ingresses", f"/api/v1/namespaces/{DEV}/pods/a/proxy"):
        assert send(cluster, "GET", path, known=False, Authorization=f"Bearer {principal.token}")[0] == 403
    with refused(403, r"users \"bob\" is forbidden", r"cannot impersonate resource \"users\" in API group \"\""):
        principal.core.list_namespaced_pod(DEV, _headers={"Impersonate-User": "bob"})
    assert not principal.may("list", "pods", DEV)
    assert not principal.reviewed(nonResourceAttributes={"verb": "get", "path": "/metrics"}).allowed
    assert principal.reviewed(nonResourceAttributes={"verb": "get", "path": "/version"}).allowed


def test_identity_has_its_principal_and_no_admin_group(principal: Principal) -> None:
    principal.associate("AmazonEKSClusterAdminPolicy")
    user = (
        kubernetes.client.AuthenticationV1Api(principal.core.api_client).create_self_subject_review({}).status.user_info
    )
    unique_id = user.extra["principalId"][0]
    assert (user.username, user.groups) == (f"{SESSION}{principal.role}/anna", ["system:authenticated"])
    assert (user.uid, unique_id[:4]) == (f"aws-iam-authenticator:111122223333:{unique_id}", "AROA")
    assert user.extra == {
        "accessKeyId": [principal.access_key],
        "arn": [f"{SESSION}{principal.role}/anna"],
        "canonicalArn": [principal.arn],
        "principalId": [unique_id],
        "sessionName": ["anna"],
        "sigs.k8s.io/aws-iam-authenticator/principalId": [unique_id],
    }


def test_view_policy_in_one_namespace(principal: Principal) -> None:
    core = principal.associate("AmazonEKSViewPolicy", DEV).core
    assert core.list_namespaced_pod(DEV).items == []
    # A namespace counts as being in itself.
    assert core.read_namespace(DEV).metadata.name == DEV
    calls: dict[str, t.Callable[[], object]] = {
        "write": lambda: core.create_namespaced_config_map(DEV, {"metadata": {"name": "mine"}}),
        "secrets": lambda: core.list_namespaced_secret(DEV),
        "another namespace": lambda: core.list_namespaced_pod(OTHER_DEV),
        "all namespaces": core.list_pod_for_all_namespaces,
        "namespaces": core.list_namespace,
        "nodes": core.list_node,
    }
    assert [name for name, call in calls.items() if not is_refused(call)] == []
    review = principal.reviewed(resourceAttributes={"verb": "get", "resource": "pods", "namespace": DEV})
    policy = f"{POLICY}AmazonEKSViewPolicy"
    binding = f'RoleBinding "{principal.arn}+{policy}/{DEV}" of ClusterRole "{policy}"'
    assert review.reason.startswith(f'EKS Access Policy: allowed by {binding} to User "AROA')


def test_edit_policy_in_one_namespace(principal: Principal) -> None:
    core = principal.associate("AmazonEKSEditPolicy", DEV).core
    core.create_namespaced_config_map(DEV, {"metadata": {"name": "mine"}, "data": {"a": "1"}})
    core.patch_namespaced_config_map("mine", DEV, {"data": {"a": "2"}})
    core.delete_namespaced_config_map("mine", DEV)
    assert [secret.metadata.name for secret in core.list_namespaced_secret(DEV).items] == ["hidden"]
    assert principal.may("create", "pods/exec", DEV) and principal.may("create", "deployments", DEV, APPS)
    assert not principal.may("create", "roles", DEV, RBAC)
    assert is_refused(lambda: core.delete_namespace(DEV))
    assert is_refused(lambda: core.create_namespaced_config_map(LIVE, {"metadata": {"name": "mine"}}))


def test_admin_policy_in_one_namespace(principal: Principal) -> None:
    principal.associate("AmazonEKSAdminPolicy", DEV)
    assert principal.may("create", "rolebindings", DEV, RBAC) and principal.may("delete", "secrets", DEV)
    assert not principal.may("create", "rolebindings", LIVE, RBAC)
    assert not principal.may("create", "clusterrolebindings", group=RBAC)
    # AWS's table has neither tokens nor quotas to write.
    assert not principal.may("create", "serviceaccounts/token", DEV)
    assert not principal.may("create", "resourcequotas", DEV)


@pytest.mark.parametrize("policy", ["View", "Edit", "Admin"])
def test_wildcard_scope_covers_matching_namespaces(principal: Principal, policy: str) -> None:
    principal.associate(f"AmazonEKS{policy}Policy", "dev-*", "prod")
    asked = (DEV, OTHER_DEV, "prod", "dev", "my-dev-a", LIVE, "")
    assert [name for name in asked if principal.may("list", "pods", name)] == [DEV, OTHER_DEV, "prod"]
    assert principal.core.list_namespaced_pod(OTHER_DEV).items == []
    assert is_refused(lambda: principal.core.list_namespaced_pod(LIVE))


def test_scope_of_all_namespaces_excludes_the_cluster(principal: Principal) -> None:
    core = principal.associate("AmazonEKSClusterAdminPolicy", "*").core
    assert core.list_namespaced_secret(LIVE).items
    assert is_refused(core.list_node) and is_refused(core.list_pod_for_all_namespaces)
    assert not principal.reviewed(nonResourceAttributes={"verb": "get", "path": "/metrics"}).allowed


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("View", ["read pods", "read namespaces"]),
        ("Edit", ["read pods", "read namespaces", "read secrets", "write pods"]),
        ("Admin", ["read pods", "read namespaces", "read secrets", "write pods", "write roles"]),
        ("AdminView", ["read pods", "read namespaces", "read secrets", "read nodes"]),
        ("SecretReader", ["read secrets"]),
        ("AutoNode", ["read pods", "read namespaces", "read nodes"]),
        ("ClusterAdmin", list(CLUSTER_WIDE)),
    ],
)
def test_policy_applies_to_the_whole_cluster(principal: Principal, policy: str, expected: list[str]) -> None:
    core = principal.associate(f"AmazonEKS{policy}Policy").core
    assert [name for name, asked in CLUSTER_WIDE.items() if principal.reviewed(**asked).allowed] == expected
    calls = {"read namespaces": core.list_namespace, "read secrets": core.list_secret_for_all_namespaces}
    calls["read nodes"] = core.list_node
    assert [name for name, call in calls.items() if not is_refused(call)] == [
        name for name in calls if name in expected
    ]


def test_secrets_need_a_policy_that_reads_them(principal: Principal) -> None:
    principal.associate("AmazonEKSViewPolicy", DEV, LIVE)
    assert is_refused(lambda: principal.core.read_namespaced_secret("hidden", DEV))
    principal.associate("AmazonEKSSecretReaderPolicy", DEV)
    eventually(lambda: not is_refused(lambda: principal.core.read_namespaced_secret("hidden", DEV)))
    assert is_refused(lambda: principal.core.read_namespaced_secret("hidden", LIVE))
    assert principal.core.list_namespaced_pod(LIVE).items == []


def test_policy_scope_can_be_changed_and_removed(principal: Principal) -> None:
    core = principal.associate("AmazonEKSViewPolicy", DEV).core
    assert core.list_namespaced_pod(DEV).items == []
    assert is_refused(lambda: core.list_namespaced_pod(LIVE))
    principal.associate("AmazonEKSViewPolicy", LIVE)
    eventually(lambda: is_refused(lambda: core.list_namespaced_pod(DEV)))
    eventually(lambda: not is_refused(lambda: core.list_namespaced_pod(LIVE)))
    principal.disassociate("AmazonEKSViewPolicy")
    eventually(lambda: is_refused(lambda: core.list_namespaced_pod(LIVE)))


def test_policies_belong_to_principal_and_not_to_username(cluster: Cluster) -> None:
    one, other = (Principal(cluster, username="team:anna") for _ in range(2))
    one.associate("AmazonEKSViewPolicy")
    assert one.may("list", "pods", DEV)
    assert not other.may("list", "pods", DEV)
    reviews = kubernetes.client.AuthorizationV1Api(cluster.api)
    asked = {"user": "team:anna", "resourceAttributes": {"verb": "list", "resource": "pods"}}
    for extra, allowed in (({}, False), ({"canonicalArn": ["nobody"]}, False), ({"canonicalArn": [one.arn]}, True)):
        review = reviews.create_subject_access_review({"spec": {**asked, "extra": extra}})
        assert review.status.allowed is allowed


def test_impersonation_ignores_access_policies(principal: Principal) -> None:
    """https://docs.aws.amazon.com/eks/latest/userguide/access-policies.html: RBAC alone counts."""
    principal.associate("AmazonEKSClusterAdminPolicy")
    assert principal.core.list_node().items
    status = 403 if CONTROL_PLANE == "envtest" else 501
    with refused(status):
        principal.core.list_node(_headers={"Impersonate-User": "bob"})


def test_auto_mode_node_has_its_policy(cluster: Cluster) -> None:
    node = Principal(cluster, type="EC2")
    slices = ("list", "endpointslices", "", "discovery.k8s.io")
    assert not node.may(*slices)
    node.associate("AmazonEKSAutoNodePolicy")
    eventually(lambda: node.may(*slices))


@pytest.mark.client("kubectl")
@pytest.mark.skipif(KUBECTL is None, reason="there is no kubectl on PATH")
def test_kubectl_respects_access_policy(principal: Principal, cluster: Cluster, tmp_path: pathlib.Path) -> None:
    principal.associate("AmazonEKSViewPolicy", DEV)
    kubectl, token = Kubectl(cluster, DEV, tmp_path), ("--token", principal.token)
    assert kubectl.run(*token, "auth", "can-i", "list", "deployments.apps") == "yes\n"
    assert kubectl.run(*token, "auth", "can-i", "create", "deployments.apps", status=1).startswith("no")
    assert "configmap/kube-root-ca.crt" in kubectl.run(*token, "get", "configmaps", "-o", "name")
    assert principal.arn in kubectl.run(*token, "auth", "whoami")
    assert "secrets is forbidden" in kubectl.run(*token, "get", "secrets", status=1)
    assert "pods is forbidden" in kubectl.run(*token, "get", "pods", "-n", LIVE, status=1)
