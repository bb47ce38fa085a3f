# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the agent does not come from the add-on: a cluster in EKS Auto Mode, and one that is too old for Pod Identity.

The tests are one day of a cluster in Auto Mode that somebody else has made: first without any node, then with those
that pods brought, then with a node group as well.
"""

from __future__ import annotations

import json
import pathlib
import typing as t

import kubernetes
import pytest
from support.existing_cluster import ROLE_PREFIX
from support.existing_cluster import WORKLOAD
from support.existing_cluster import make_account
from support.existing_cluster import writes
from support.playbooks import Playbooks
from support.playbooks import only_error
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep

SITE = "playbooks/site.yml"
AGENT = "eks-pod-identity-agent"
EVERY_SECOND = {"Delay": 1}
SKIPPED_ADDON = (
    f"Add-on {AGENT} was passed over: cluster auto is in EKS Auto Mode, whose nodes have the agent built in, and "
)
TOO_OLD = "Kubernetes 1.28 has EKS Pod Identity from platform version eks.4 on, and this cluster has eks.3."


class Account:
    """Somebody else's clusters: "auto" in Auto Mode, and "old" of an old platform version."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self.sandbox = sandbox
        self.eks = sandbox.client("eks")
        self.subnets = make_account(sandbox)
        sandbox.knobs(cluster_platforms={"old": "1.28/eks.3"})
        on = {"enabled": True}
        pools = {"nodePools": ["general-purpose", "system"], "nodeRoleArn": f"{ROLE_PREFIX}eks-node"}
        self.make_cluster("old")
        self.make_cluster(
            "auto",
            bootstrapSelfManagedAddons=False,
            computeConfig=on | pools,
            kubernetesNetworkConfig={"elasticLoadBalancing": on},
            storageConfig={"blockStorage": on},
        )
        api = kubernetes.config.new_client_from_config(str(sandbox.kubeconfig), context="auto")
        self.core, self.apps = kubernetes.client.CoreV1Api(api), kubernetes.client.AppsV1Api(api)

    def make_cluster(self, name: str, **more: t.Any) -> None:
        self.eks.create_cluster(
            name=name,
            roleArn=f"{ROLE_PREFIX}eks-cluster",
            resourcesVpcConfig={"subnetIds": self.subnets},
            accessConfig={"authenticationMode": "API"},
            **more,
        )
        self.eks.get_waiter("cluster_active").wait(name=name, WaiterConfig=EVERY_SECOND)

    def make_nodegroup(self) -> None:
        nodes = {"clusterName": "auto", "nodegroupName": "nodes"}
        self.eks.create_nodegroup(**nodes, nodeRole=f"{ROLE_PREFIX}eks-node", subnets=self.subnets)
        self.eks.get_waiter("nodegroup_active").wait(**nodes, WaiterConfig=EVERY_SECOND)


@pytest.fixture(scope="module")
def account(sandbox: SandboxProcess) -> Account:
    return Account(sandbox)


@pytest.fixture
def declared(account: Account, tmp_path: pathlib.Path) -> t.Iterator[dict[str, t.Any]]:
    """What a run for both clusters is given, with an empty call log."""
    hosts = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    path = tmp_path / "hosts.json"
    path.write_text(json.dumps({"eks_clusters": {"hosts": {"auto": hosts, "old": hosts}}}), encoding="utf-8")
    account.sandbox.clear_calls()
    yield {"inventory": str(path), "eks_region": "eu-west-1"}


def one_line(output: str) -> str:
    """The output with its lines joined."""
    return " ".join(output.split())


def test_site_proves_workload_without_the_addon(
    playbook: Playbooks, account: Account, declared: dict[str, t.Any]
) -> None:
    run = playbook(SITE, "--limit", "auto", **declared, podidentity_workloads=[WORKLOAD])
    assert run.code == 0
    assert f"{SKIPPED_ADDON}no node has joined yet." in one_line(run.output)
    assert account.eks.list_addons(clusterName="auto")["addons"] == []
    [node] = account.core.list_node().items
    assert node.metadata.labels["eks.amazonaws.com/compute-type"] == "auto"
    assert account.sandbox.calls()["eks-auth:AssumeRoleForPodIdentity"] >= 1


def test_second_run_lists_nodes_and_only_describes_the_cluster(
    playbook: Playbooks, account: Account, declared: dict[str, t.Any]
) -> None:
    run = playbook(SITE, "--limit", "auto", "--tags", "agent", **declared, podidentity_workloads=[WORKLOAD])
    assert (run.code, run.count("changed", "auto")) == (0, 0)
    [node] = account.core.list_node().items
    name = node.metadata.name
    assert (
        f"{SKIPPED_ADDON}it has no other node: {name} is of EKS Auto Mode, which has the agent built in."
        in one_line(run.output)
    )
    asked = {operation for operation in account.sandbox.calls() if not operation.startswith("sts:")}
    assert asked == {"eks:DescribeCluster"}


def test_installs_addon_for_nodegroup_nodes(playbook: Playbooks, account: Account, declared: dict[str, t.Any]) -> None:
    account.make_nodegroup()
    run = playbook(SITE, "--limit", "auto", "--tags", "agent", **declared, agent_ipv6=False, agent_hybrid=True)
    assert run.code == 0
    addon = account.eks.describe_addon(clusterName="auto", addonName=AGENT)["addon"]
    assert addon["status"] == "ACTIVE"
    assert json.loads(addon["configurationValues"]) == {
        "agent": {"additionalArgs": {"-b": "169.254.170.23"}},
        "daemonsets": {"hybrid": {"create": True}},
    }
    status = account.apps.read_namespaced_daemon_set(AGENT, "kube-system").status
    assert (status.number_ready, len(account.core.list_node().items)) == (2, 3)
    account.sandbox.clear_calls()
    again = playbook(SITE, "--limit", "auto", "--tags", "agent", **declared, agent_ipv6=False, agent_hybrid=True)
    assert (again.code, again.count("changed", "auto")) == (0, 0)
    # One for the play, one for the add-on, whose versions depend on the cluster's; the role itself takes the first.
    assert account.sandbox.calls()["eks:DescribeCluster"] <= 2


def test_refuses_old_platform_version_before_any_write(
    playbook: Playbooks, account: Account, declared: dict[str, t.Any]
) -> None:
    run = playbook(SITE, "--limit", "old", **declared, podidentity_workloads=[WORKLOAD])
    assert only_error(run) == (
        f"Cluster old has no EKS Pod Identity, so the add-on {AGENT} was not installed: {TOO_OLD}"
    )
    assert writes(account.sandbox) == []


def test_refuses_hybrid_nodes_for_older_addon_version(
    playbook: Playbooks, account: Account, declared: dict[str, t.Any]
) -> None:
    hybrid: dict[str, t.Any] = {"agent_hybrid": True, "agent_version": "v1.3.2-eksbuild.2"}
    run = playbook(SITE, "--limit", "auto", "--tags", "agent", **declared, **hybrid)
    assert only_error(run) == (
        "agent_hybrid of cluster auto needs version v1.3.3 of the add-on or a later one, and agent_version is "
        '"v1.3.2-eksbuild.2".'
    )
    assert writes(account.sandbox) == []
