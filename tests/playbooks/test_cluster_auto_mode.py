# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EKS Auto Mode in place of node groups: the same story, whose nodes and agent EKS provides."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from support.existing_cluster import writes
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep

CLUSTER = "eks-pod-identity-boto3"
AUTO: dict[str, t.Any] = {"cluster_auto_mode": True, "cluster_nodegroups": []}


@pytest.fixture(scope="module")
def playbook(operator: Playbooks) -> Playbooks:
    """Whatever is done, is done with the permissions of docs/permissions/operator-policy.json."""
    return operator


def policies(sandbox: SandboxProcess, role: str) -> set[str]:
    """The names of the policies that a role has."""
    attached = sandbox.client("iam").list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    return {policy["PolicyName"] for policy in attached}


def test_site_proves_workload_on_auto_mode_node(
    playbook: Playbooks, sandbox: SandboxProcess, tmp_path: pathlib.Path
) -> None:
    proof_file = tmp_path / "proof.json"
    run = playbook("playbooks/site.yml", podidentity_proof_file=str(proof_file), **AUTO)
    assert run.code == 0
    [proof] = json.loads(proof_file.read_text(encoding="utf-8"))
    assert proof["proven"] is True
    assert proof["identity"]["role"] == "EKS-S3-Access-Role"


def test_eks_provides_nodes_and_agent(sandbox: SandboxProcess) -> None:
    eks = sandbox.client("eks")
    assert eks.list_nodegroups(clusterName=CLUSTER)["nodegroups"] == []
    assert eks.list_addons(clusterName=CLUSTER)["addons"] == []
    compute = eks.describe_cluster(name=CLUSTER)["cluster"]["computeConfig"]
    assert (compute["enabled"], compute["nodePools"]) == (True, ["general-purpose", "system"])
    assert compute["nodeRoleArn"].endswith(f":role/{CLUSTER}-nodes")


def test_auto_mode_roles_have_documented_policies(sandbox: SandboxProcess) -> None:
    assert policies(sandbox, f"{CLUSTER}-cluster") == {
        "AmazonEKSClusterPolicy",
        "AmazonEKSComputePolicy",
        "AmazonEKSBlockStoragePolicy",
        "AmazonEKSLoadBalancingPolicy",
        "AmazonEKSNetworkingPolicy",
    }
    assert policies(sandbox, f"{CLUSTER}-nodes") == {
        "AmazonEKSWorkerNodeMinimalPolicy",
        "AmazonEC2ContainerRegistryPullOnly",
    }
    role = sandbox.client("iam").get_role(RoleName=f"{CLUSTER}-cluster")["Role"]
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Action"] == ["sts:AssumeRole", "sts:TagSession"]


def test_second_run_changes_nothing(playbook: Playbooks, sandbox: SandboxProcess) -> None:
    sandbox.clear_calls()
    run = playbook("playbooks/site.yml", **AUTO)
    assert (run.code, run.count("changed"), writes(sandbox)) == (0, 0, [])


def test_undeclared_auto_mode_stays_enabled(playbook: Playbooks, sandbox: SandboxProcess) -> None:
    assert playbook("playbooks/site.yml", "--tags", "cluster", cluster_nodegroups=[]).code == 0
    assert sandbox.client("eks").describe_cluster(name=CLUSTER)["cluster"]["computeConfig"]["enabled"] is True
    role = sandbox.client("iam").get_role(RoleName=f"{CLUSTER}-cluster")["Role"]
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Action"] == ["sts:AssumeRole", "sts:TagSession"]


def test_teardown_leaves_nothing(playbook: Playbooks, sandbox: SandboxProcess) -> None:
    assert playbook("playbooks/teardown.yml", **AUTO).code == 0
    assert sandbox.client("eks").list_clusters()["clusters"] == []
    left = [role["RoleName"] for role in sandbox.client("iam").list_roles()["Roles"]]
    assert left == ["AWSServiceRoleForAmazonEKS"], "which is EKS's own"
