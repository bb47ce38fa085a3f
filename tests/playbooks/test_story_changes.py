# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What changes after the story's first day: links that break, each with its cause and its repair, and an upgrade."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from support.existing_cluster import writes
from support.iam_roles import trust_policy
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep

CLUSTER = "eks-pod-identity-boto3"
ROLE = "EKS-S3-Access-Role"
READ_ONLY = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"


@pytest.fixture(scope="module")
def playbook(operator: Playbooks) -> Playbooks:
    """Everything runs with the permissions of docs/permissions/operator-policy.json, and the story is built."""
    assert operator("playbooks/site.yml").code == 0
    return operator


def detach_policy(sandbox: SandboxProcess) -> None:
    sandbox.client("iam").detach_role_policy(RoleName=ROLE, PolicyArn=READ_ONLY)


def replace_trust_policy(sandbox: SandboxProcess) -> None:
    sandbox.client("iam").update_assume_role_policy(RoleName=ROLE, PolicyDocument=trust_policy("eks.amazonaws.com"))


def delete_association(sandbox: SandboxProcess) -> None:
    eks = sandbox.client("eks")
    [association] = eks.list_pod_identity_associations(clusterName=CLUSTER)["associations"]
    eks.delete_pod_identity_association(clusterName=CLUSTER, associationId=association["associationId"])


def remove_agent(sandbox: SandboxProcess) -> None:
    eks = sandbox.client("eks")
    eks.delete_addon(clusterName=CLUSTER, addonName="eks-pod-identity-agent")
    eks.get_waiter("addon_deleted").wait(
        clusterName=CLUSTER, addonName="eks-pod-identity-agent", WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )


def change_nothing(sandbox: SandboxProcess) -> None:
    """The break lies in the run's own variables."""


STATIC_KEYS = {
    "verify_env": [
        {"name": "AWS_ACCESS_KEY_ID", "value": "AKIAIOSFODNN7EXAMPLE"},
        {"name": "AWS_SECRET_ACCESS_KEY", "value": "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY"},
    ]
}


@pytest.mark.parametrize(
    ("break_it", "extra", "cause", "mentions", "chapter"),
    [
        pytest.param(
            detach_policy, {}, "permission_missing", ["s3.list_buckets", ROLE], "iam_role", id="policy detached"
        ),
        pytest.param(
            replace_trust_policy, {}, "trust_refused", ["eks.amazonaws.com", ROLE], "iam_role", id="principal wrong"
        ),
        pytest.param(
            delete_association, {}, "association_missing", ["default/s3-access-sa"], "association", id="association"
        ),
        pytest.param(remove_agent, {}, "agent_missing", ["eks-pod-identity-agent"], "agent", id="add-on"),
        pytest.param(
            change_nothing, STATIC_KEYS, "credentials_shadowed", ["AWS_ACCESS_KEY_ID"], "verify", id="static keys"
        ),
    ],
)
def test_reports_cause_of_failed_proof_and_chapter_repairs_it(
    playbook: Playbooks,
    sandbox: SandboxProcess,
    tmp_path: pathlib.Path,
    break_it: t.Callable[[SandboxProcess], None],
    extra: dict[str, t.Any],
    cause: str,
    mentions: list[str],
    chapter: str,
) -> None:
    break_it(sandbox)
    proof_file = tmp_path / "proof.json"
    run = playbook("playbooks/verify.yml", podidentity_proof_file=str(proof_file), verify_grace=0, **extra)
    assert run.code != 0
    [proof] = json.loads(proof_file.read_text(encoding="utf-8"))
    assert proof["proven"] is False
    assert proof["cause"]["id"] == cause
    assert all(word in run.output for word in mentions)
    secret = STATIC_KEYS["verify_env"][1]["value"]
    assert secret not in proof_file.read_text(encoding="utf-8") + run.output
    assert playbook("playbooks/site.yml", "--tags", chapter).code == 0


def test_upgrades_control_plane_then_nodes_then_addons(playbook: Playbooks, sandbox: SandboxProcess) -> None:
    eks, proxy = sandbox.client("eks"), {"clusterName": CLUSTER, "addonName": "kube-proxy"}
    eks.create_addon(**proxy)
    eks.get_waiter("addon_active").wait(**proxy, WaiterConfig={"Delay": 1})
    upgrade: dict[str, t.Any] = {
        "cluster_version": "1.35",
        "addons_list": [{"name": "kube-proxy", "version": "default"}],
    }
    sandbox.clear_calls()
    predicted = playbook("playbooks/site.yml", "--check", "--diff", **upgrade)
    assert predicted.code == 0
    assert "-    version: '1.34'" in predicted.output
    assert "+    version: '1.35'" in predicted.output
    assert writes(sandbox) == []

    run = playbook("playbooks/site.yml", **upgrade)
    assert run.code == 0, "the proof from a pod on the new nodes included"
    updates = [operation for operation in writes(sandbox) if operation.startswith("eks:Update")]
    assert updates == ["eks:UpdateClusterVersion", "eks:UpdateNodegroupVersion", "eks:UpdateAddon"]
    assert eks.describe_addon(**proxy)["addon"]["addonVersion"].startswith("v1.35.")
    group = eks.describe_nodegroup(clusterName=CLUSTER, nodegroupName="managed-nodes")["nodegroup"]
    assert group["version"] == "1.35"
    assert playbook("playbooks/site.yml", **upgrade).count("changed") == 0
    eks.delete_addon(**proxy)
