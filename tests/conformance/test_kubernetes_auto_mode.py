# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EKS Auto Mode, by boto3 and the official Kubernetes client: nodes that come when pods need them, with the agent."""

from __future__ import annotations

import collections.abc
import typing as t

import kubernetes
import pytest
from support.boto3_account import QUICK
from support.boto3_account import Account
from support.boto3_account import wait_for
from support.boto3_account import wait_until_gone
from support.iam_roles import POD_ACTIONS
from support.kubernetes_cluster import eventually
from support.kubernetes_cluster import pod
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.client("boto3")

WHO_AM_I = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
TOLERATION = {"key": "CriticalAddonsOnly", "operator": "Exists"}


def auto_mode_settings(on: bool, **compute: t.Any) -> dict[str, t.Any]:
    """The three settings of Auto Mode."""
    return {
        "computeConfig": {"enabled": on, **compute},
        "kubernetesNetworkConfig": {"elasticLoadBalancing": {"enabled": on}},
        "storageConfig": {"blockStorage": {"enabled": on}},
    }


class AutoCluster:
    """The cluster "auto" with both node pools, and no node."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        account = self.account = Account(sandbox)
        self.eks = account.eks
        self.node_role = account.role("node", "ec2.amazonaws.com", POD_ACTIONS[:1], "AmazonEKSWorkerNodeMinimalPolicy")
        self.compute = {"nodePools": ["general-purpose", "system"], "nodeRoleArn": self.node_role}
        self.eks.create_cluster(
            name="auto",
            roleArn=account.role("cluster", "eks.amazonaws.com"),
            resourcesVpcConfig={"subnetIds": account.subnets()},
            accessConfig={"authenticationMode": "API"},
            bootstrapSelfManagedAddons=False,
            **auto_mode_settings(True, **self.compute),
        )
        self.settled()
        api = kubernetes.config.new_client_from_config(str(sandbox.kubeconfig))
        self.core, self.apps = kubernetes.client.CoreV1Api(api), kubernetes.client.AppsV1Api(api)

    def settled(self) -> dict[str, t.Any]:
        """The cluster, once it is ACTIVE."""
        return wait_for(lambda: self.eks.describe_cluster(name="auto")["cluster"], "ACTIVE")

    def update(self, **settings: t.Any) -> None:
        """Change Auto Mode, and wait until that is done."""
        self.eks.update_cluster_config(name="auto", **settings)
        self.settled()

    def nodes(self) -> dict[str, t.Any]:
        """The nodes by name."""
        return {node.metadata.name: node for node in self.core.list_node().items}

    def run(self, name: str, *command: str, **spec: t.Any) -> t.Any:
        """A pod that runs a command, once it has ended."""
        self.core.create_namespaced_pod("default", pod(name, *command, **spec))
        return self.ended(name)

    def ended(self, name: str) -> t.Any:
        def read() -> t.Any:
            found = self.core.read_namespaced_pod(name, "default")
            return found if found.status.phase in ("Succeeded", "Failed") else None

        return eventually(read)


@pytest.fixture(scope="module")
def auto(tmp_path_factory: pytest.TempPathFactory) -> collections.abc.Iterator[AutoCluster]:
    sandbox = SandboxProcess()
    sandbox.start(tmp_path_factory.mktemp("auto"))
    sandbox.knobs(**QUICK)
    yield AutoCluster(sandbox)
    sandbox.stop()


def test_node_role_gets_an_access_entry(auto: AutoCluster) -> None:
    where = {"clusterName": "auto", "principalArn": auto.node_role}
    assert auto.eks.describe_access_entry(**where)["accessEntry"]["type"] == "EC2"
    [policy] = auto.eks.list_associated_access_policies(**where)["associatedAccessPolicies"]
    assert policy["policyArn"] == "arn:aws:eks::aws:cluster-access-policy/AmazonEKSAutoNodePolicy"
    assert policy["accessScope"] == {"type": "cluster", "namespaces": []}


def test_pod_starts_a_node_and_needs_no_agent_addon(auto: AutoCluster) -> None:
    assert auto.nodes() == {}
    auto.account.associate(auto.account.pod_role(), clusterName="auto")
    auto.core.create_namespaced_service_account("default", {"metadata": {"name": "app"}})
    done = auto.run("who", "python3", "-c", WHO_AM_I, serviceAccountName="app")
    said = auto.core.read_namespaced_pod_log("who", "default")
    assert done.status.phase == "Succeeded", said
    assert said.startswith("arn:aws:sts::111122223333:assumed-role/workload/eks-auto-who-")
    assert auto.eks.list_addons(clusterName="auto")["addons"] == []
    assert auto.apps.list_daemon_set_for_all_namespaces().items == []

    [(name, node)] = auto.nodes().items()
    assert name.startswith("i-0")
    assert node.spec.provider_id.endswith(f"/{name}")
    assert not node.spec.taints
    labels = node.metadata.labels
    assert {
        "eks.amazonaws.com/compute-type": "auto",
        "karpenter.sh/capacity-type": "on-demand",
        "karpenter.sh/nodepool": "general-purpose",
        "node.kubernetes.io/instance-type": "c6a.large",
    }.items() <= labels.items()
    assert labels["topology.kubernetes.io/zone"].startswith(labels["topology.kubernetes.io/region"])
    assert "eks.amazonaws.com/nodegroup" not in labels


def test_node_with_room_is_reused(auto: AutoCluster) -> None:
    before = list(auto.nodes())
    assert auto.run("again", "python3", "-c", "pass").status.phase == "Succeeded"
    assert list(auto.nodes()) == before


def test_system_pool_runs_only_pods_that_tolerate_its_taint(auto: AutoCluster) -> None:
    only = {"karpenter.sh/nodepool": "system"}
    auto.core.create_namespaced_pod("default", pod("refused", "true", nodeSelector=only))
    assert auto.run("system", "true", nodeSelector=only, tolerations=[TOLERATION]).status.phase == "Succeeded"
    [node] = [node for node in auto.nodes().values() if node.metadata.labels["karpenter.sh/nodepool"] == "system"]
    assert [(taint.key, taint.effect) for taint in node.spec.taints] == [("CriticalAddonsOnly", "NoSchedule")]
    assert auto.core.read_namespaced_pod("refused", "default").status.phase == "Pending"
    auto.core.delete_namespaced_pod("refused", "default", grace_period_seconds=0)


def test_large_pod_starts_a_large_node(auto: AutoCluster) -> None:
    containers = [{"name": "main", "image": "busybox", "command": ["true"]}]
    larger = {"karpenter.sh/nodepool": "general-purpose", "eks.amazonaws.com/instance-size": "xlarge"}
    containers[0]["resources"] = {"requests": {"cpu": "3", "memory": "10Gi"}}  # type: ignore[assignment]
    assert auto.run("large", nodeSelector=larger, containers=containers).status.phase == "Succeeded"
    sizes = sorted(node.metadata.labels["node.kubernetes.io/instance-type"] for node in auto.nodes().values())
    assert sizes == ["c6a.large", "c6a.large", "m6a.xlarge"]


def test_agent_daemon_set_avoids_auto_mode_nodes(auto: AutoCluster) -> None:
    auto.eks.create_addon(clusterName="auto", addonName="eks-pod-identity-agent")
    addon = wait_for(lambda: auto.account.describe_addon(cluster="auto"), "DEGRADED", "ACTIVE")
    assert addon["status"] == "DEGRADED"
    daemon_set = auto.apps.read_namespaced_daemon_set("eks-pod-identity-agent", "kube-system")
    assert daemon_set.status.desired_number_scheduled == 0
    auto.account.nodegroup("auto")
    wait_for(lambda: auto.account.describe_addon(cluster="auto"), "ACTIVE", seconds=40)
    daemon_set = auto.apps.read_namespaced_daemon_set("eks-pod-identity-agent", "kube-system")
    assert daemon_set.status.number_ready == 2


def test_nodes_end_with_their_pool_or_with_auto_mode(auto: AutoCluster) -> None:
    def pools() -> set[str]:
        found = (node.metadata.labels.get("karpenter.sh/nodepool") for node in auto.nodes().values())
        return {pool for pool in found if pool}

    auto.update(**auto_mode_settings(True, **{**auto.compute, "nodePools": ["system"]}))
    eventually(lambda: pools() == {"system"})
    auto.update(**auto_mode_settings(False))
    eventually(lambda: not pools())
    assert auto.settled()["computeConfig"] == {"enabled": False}
    assert len(auto.nodes()) == 2, "those of the node group stay"
    auto.update(**auto_mode_settings(True, **auto.compute))
    auto.core.create_namespaced_pod(
        "default", pod("back", "true", nodeSelector={"karpenter.sh/nodepool": "system"}, tolerations=[TOLERATION])
    )
    assert auto.ended("back").status.phase == "Succeeded"
    assert pools() == {"system"}
    auto.update(**auto_mode_settings(True, nodePools=[]))
    assert auto.settled()["computeConfig"] == {"enabled": True, "nodePools": []}
    eventually(lambda: not pools())


def test_cluster_with_auto_mode_nodes_can_be_deleted(auto: AutoCluster) -> None:
    auto.update(**auto_mode_settings(True, **auto.compute))
    auto.core.create_namespaced_pod(
        "default", pod("last", "sleep", "60", image="busybox", nodeSelector={"eks.amazonaws.com/compute-type": "auto"})
    )
    eventually(lambda: auto.core.read_namespaced_pod("last", "default").status.phase == "Running")
    auto.eks.delete_nodegroup(clusterName="auto", nodegroupName="nodes")
    wait_until_gone(lambda: auto.account.describe_nodegroup("auto"))
    auto.eks.delete_cluster(name="auto")
    wait_until_gone(lambda: auto.eks.describe_cluster(name="auto"))
    assert "ERROR" not in auto.account.sandbox.log
