# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The guide from IRSA, followed step by step where a workload runs with IRSA."""

from __future__ import annotations

import json
import pathlib
import time
import typing as t

import kubernetes
import pytest
import yaml
from support.existing_cluster import ROLE_PREFIX
from support.existing_cluster import make_account
from support.existing_cluster import writes
from support.guides import HOST_VARS
from support.guides import inventory_of
from support.guides import plays_of
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep

GUIDE = "from-irsa"
ROLE = "irsa-orders"
ANNOTATION = "eks.amazonaws.com/role-arn"
PROVIDER = "oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"
IRSA = {
    "Effect": "Allow",
    "Principal": {"Federated": f"arn:aws:iam::111122223333:oidc-provider/{PROVIDER}"},
    "Action": "sts:AssumeRoleWithWebIdentity",
    "Condition": {"StringEquals": {f"{PROVIDER}:sub": "system:serviceaccount:shop:orders"}},
}
#: Policies that the declaration names, and one that it does not.
POLICIES = {"AmazonS3ReadOnlyAccess", "AmazonSQSFullAccess"}


class Shop:
    """What runs with IRSA."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self.iam, self.eks = sandbox.client("iam"), sandbox.client("eks")
        api = kubernetes.config.new_client_from_config(str(sandbox.kubeconfig))
        self.core, self.apps = kubernetes.client.CoreV1Api(api), kubernetes.client.AppsV1Api(api)

    def open(self) -> None:
        document = {"Version": "2012-10-17", "Statement": [IRSA]}
        self.iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(document))
        for policy in POLICIES:
            self.iam.attach_role_policy(RoleName=ROLE, PolicyArn=f"arn:aws:iam::aws:policy/{policy}")
        self.core.create_namespace({"metadata": {"name": "shop"}})
        for name in ("orders", "carts"):
            account = {"name": name, "annotations": {ANNOTATION: f"{ROLE_PREFIX}{ROLE}"}}
            self.core.create_namespaced_service_account("shop", {"metadata": account})
            container = {"name": "main", "image": "busybox", "command": ["sleep", "3600"]}
            pod = {"serviceAccountName": name, "terminationGracePeriodSeconds": 0, "containers": [container]}
            template = {"metadata": {"labels": {"app": name}}, "spec": pod}
            spec = {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": template}
            self.apps.create_namespaced_deployment("shop", {"metadata": {"name": name}, "spec": spec})
            self.wait_until(name, ["irsa"])

    def wait_until(self, name: str, wanted: list[str]) -> None:
        """Wait until the pods of a Deployment get their credentials so."""
        deadline = time.monotonic() + 30
        while self.variables(name) != wanted:
            assert time.monotonic() < deadline, self.variables(name)
            time.sleep(0.1)

    def variables(self, name: str) -> list[str]:
        """By what the living pods of a Deployment get their credentials."""
        known = {"AWS_WEB_IDENTITY_TOKEN_FILE": "irsa", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "pod identity"}
        pods = self.core.list_namespaced_pod("shop", label_selector=f"app={name}").items
        living = [pod for pod in pods if not pod.metadata.deletion_timestamp]
        found = {known[one.name] for pod in living for one in pod.spec.containers[0].env or [] if one.name in known}
        return sorted(found)

    def statements(self) -> list[dict[str, t.Any]]:
        found: list[dict[str, t.Any]] = self.iam.get_role(RoleName=ROLE)["Role"]["AssumeRolePolicyDocument"][
            "Statement"
        ]
        return found

    def policies(self) -> set[str]:
        attached = self.iam.list_attached_role_policies(RoleName=ROLE)["AttachedPolicies"]
        return {policy["PolicyName"] for policy in attached}

    def annotations(self, name: str) -> dict[str, str]:
        found: dict[str, str] | None = self.core.read_namespaced_service_account(name, "shop").metadata.annotations
        return found or {}


@pytest.fixture(scope="module")
def shop(sandbox: SandboxProcess) -> Shop:
    subnets, quickly = make_account(sandbox), {"Delay": 1}
    eks = sandbox.client("eks")
    eks.create_cluster(name=GUIDE, roleArn=f"{ROLE_PREFIX}eks-cluster", resourcesVpcConfig={"subnetIds": subnets})
    eks.get_waiter("cluster_active").wait(name=GUIDE, WaiterConfig=quickly)
    group = {"clusterName": GUIDE, "nodegroupName": "nodes"}
    eks.create_nodegroup(**group, nodeRole=f"{ROLE_PREFIX}eks-node", subnets=subnets)
    eks.get_waiter("nodegroup_active").wait(**group, WaiterConfig=quickly)
    agent = {"clusterName": GUIDE, "addonName": "eks-pod-identity-agent"}
    eks.create_addon(**agent)
    eks.get_waiter("addon_active").wait(**agent, WaiterConfig=quickly)
    found = Shop(sandbox)
    found.open()
    return found


@pytest.fixture
def inventory(tmp_path: pathlib.Path) -> str:
    assert GUIDE in HOST_VARS
    return inventory_of(tmp_path / "hosts.yml", [GUIDE])


def test_check_mode_predicts_restart_and_writes_nothing(
    playbook: Playbooks, sandbox: SandboxProcess, shop: Shop, inventory: str
) -> None:
    sandbox.clear_calls()
    run = playbook("playbooks/workload.yml", "--check", "--diff", inventory=inventory)
    assert run.code == 0
    assert run.count("changed", GUIDE) == 3, "the role's trust, the association, the restart"
    assert writes(sandbox) == []


def test_pods_switch_to_pod_identity_and_irsa_stays(playbook: Playbooks, shop: Shop, inventory: str) -> None:
    run = playbook("playbooks/workload.yml", inventory=inventory)
    assert run.code == 0
    assert shop.variables("orders") == ["pod identity"]
    assert shop.variables("carts") == ["irsa"], "nobody has declared it"
    [irsa, ours] = shop.statements()
    assert irsa == IRSA
    assert ours["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert shop.policies() == POLICIES
    assert shop.annotations("orders") == {ANNOTATION: f"{ROLE_PREFIX}{ROLE}"}
    assert "has the IRSA annotation" in " ".join(run.output.split())
    assert playbook("playbooks/workload.yml", inventory=inventory).count("changed", GUIDE) == 0


def test_rollback_returns_pods_to_irsa(playbook: Playbooks, shop: Shop, inventory: str) -> None:
    absent = [{**one, "state": "absent"} for one in HOST_VARS[GUIDE]["podidentity_workloads"]]
    assert playbook("playbooks/workload.yml", inventory=inventory, podidentity_workloads=absent).code == 0
    assert shop.statements() == [IRSA]
    assert shop.policies() == POLICIES
    assert shop.annotations("orders") == {ANNOTATION: f"{ROLE_PREFIX}{ROLE}"}
    shop.core.delete_collection_namespaced_pod("shop", label_selector="app=orders")
    shop.wait_until("orders", ["irsa"])


def test_guide_play_removes_only_irsa(playbook: Playbooks, shop: Shop, inventory: str, tmp_path: pathlib.Path) -> None:
    assert playbook("playbooks/workload.yml", inventory=inventory).code == 0
    [_irsa, ours] = shop.statements()
    story = tmp_path / "story.yml"
    story.write_text(yaml.safe_dump(plays_of(GUIDE)), encoding="utf-8")
    assert playbook(str(story), inventory=inventory).code == 0
    assert shop.statements() == [ours]
    assert shop.policies() == POLICIES
    assert shop.annotations("orders") == {}
    assert shop.annotations("carts") == {ANNOTATION: f"{ROLE_PREFIX}{ROLE}"}
    assert playbook(str(story), inventory=inventory).count("changed", GUIDE) == 0
    assert playbook("playbooks/verify.yml", inventory=inventory).code == 0
