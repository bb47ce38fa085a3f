# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A workload whose pods read what belongs to another account: made, kept, broken by somebody else, taken away."""

from __future__ import annotations

import json
import pathlib
import typing as t

import kubernetes
import pytest
from support.existing_cluster import make_account
from support.existing_cluster import make_cluster
from support.playbooks import Playbooks
from support.playbooks import Run
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep

Json = dict[str, t.Any]

OWN, OTHER = "111122223333", "444455556666"
CLUSTER_ARN = f"arn:aws:eks:eu-west-1:{OWN}:cluster/example"
TARGET = f"arn:aws:iam::{OTHER}:role/Reports"
LIST_OBJECTS = {"service": "s3", "operation": "list_objects_v2", "parameters": {"Bucket": "reports"}}
WORKLOAD: Json = {
    "namespace": "reports",
    "service_account": "reader",
    "role": {"name": "reports-source"},
    "target_role": {
        "name": "Reports",
        "account": OTHER,
        "inline_policy": {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::reports"}],
        },
    },
    "prove": {"allow": [LIST_OBJECTS]},
}
BY_PROFILE = {OTHER: {"profile": OTHER}}
BY_ROLE = {OTHER: {"assume_role_arn": f"arn:aws:iam::{OTHER}:role/deployer", "assume_role_external_id": "of-the-play"}}
#: Of somebody else, in the trust policy of the target role.
UNMANAGED_STATEMENT = {"Sid": "Theirs", "Effect": "Allow", "Principal": {"AWS": OTHER}, "Action": "sts:AssumeRole"}


@pytest.fixture(scope="module")
def other(sandbox: SandboxProcess) -> t.Any:
    """IAM of the other account, which has a bucket and a role for whoever deploys to it."""
    settings = sandbox.add_account(OTHER)[OTHER]
    keys = {key: settings[key] for key in ("aws_access_key_id", "aws_secret_access_key")}
    where = {"LocationConstraint": "eu-west-1"}
    sandbox.client("s3", **keys).create_bucket(Bucket="reports", CreateBucketConfiguration=where)
    iam = sandbox.client("iam", **keys)
    condition = {"StringEquals": {"sts:ExternalId": "of-the-play"}}
    trust = {"Effect": "Allow", "Principal": {"AWS": OWN}, "Action": "sts:AssumeRole", "Condition": condition}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.create_role(RoleName="deployer", AssumeRolePolicyDocument=document)
    iam.attach_role_policy(RoleName="deployer", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    return iam


@pytest.fixture(scope="module")
def cluster(sandbox: SandboxProcess) -> SandboxProcess:
    """A cluster with an agent, and the workload's service account."""
    make_cluster(sandbox, make_account(sandbox))
    eks, addon = sandbox.client("eks"), {"clusterName": "example", "addonName": "eks-pod-identity-agent"}
    eks.create_addon(**addon)
    eks.get_waiter("addon_active").wait(**addon, WaiterConfig={"Delay": 1})
    core = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(str(sandbox.kubeconfig)))
    core.create_namespace({"metadata": {"name": "reports"}})
    core.create_namespaced_service_account("reports", {"metadata": {"name": "reader"}})
    return sandbox


Play = t.Callable[..., Run]


@pytest.fixture
def play(playbook: Playbooks, tmp_path: pathlib.Path) -> Play:
    """Runs some of the roles, one after another."""

    def run(*roles: str, arguments: t.Sequence[str] = (), **extra: t.Any) -> Run:
        definition = {
            "name": "The way to another account",
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "module_defaults": {"group/podidentity.eks.aws": {"region": "eu-west-1"}},
            "vars": {
                "ansible_python_interpreter": "{{ ansible_playbook_python }}",
                "eks_cluster_name": "example",
                "podidentity_cluster": {"arn": CLUSTER_ARN},
                "podidentity_workloads": [WORKLOAD],
            },
            "roles": [{"role": f"podidentity.eks.{role}"} for role in roles],
        }
        (tmp_path / "play.yml").write_text(json.dumps([definition]), encoding="utf-8")
        env = {"AWS_CONFIG_FILE": str(playbook.sandbox.directory / "config")}
        playbook.sandbox.clear_calls()
        return playbook(str(tmp_path / "play.yml"), *arguments, inventory="localhost,", env=env, **extra)

    return run


ALL = ("iam_role", "association", "target_role")


def statements(iam: t.Any, role: str = "Reports") -> list[Json]:
    """The trust policy of a role."""
    document: Json = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    return list(document["Statement"])


def change_trust(iam: t.Any, changed: t.Sequence[Json]) -> None:
    document = json.dumps({"Version": "2012-10-17", "Statement": list(changed)})
    iam.update_assume_role_policy(RoleName="Reports", PolicyDocument=document)


def changes(sandbox: SandboxProcess) -> list[str]:
    """What was written."""
    looks = ("Describe", "List", "Get", "AssumeRole")
    return [
        call["operation"] for call in sandbox.call_log() if not call["operation"].split(":", 1)[1].startswith(looks)
    ]


def error_of(run: Run) -> str:
    assert run.code != 0
    return " ".join(run.output.split())


def test_refuses_missing_or_wrong_accounts_before_writing(play: Play, cluster: SandboxProcess, other: t.Any) -> None:
    assert f"Target roles are declared in account {OTHER}, and target_role_accounts does not say" in error_of(
        play("target_role")
    )
    assert changes(cluster) == []
    wrong = {OTHER: {"profile": "default"}, "555566667777": BY_ROLE[OTHER]}
    said = error_of(play("target_role", podidentity_accounts=wrong))
    assert f"The profile default in target_role_accounts has credentials of account {OWN}" in said
    assert "deployer in target_role_accounts is not of account 555566667777" in said
    assert changes(cluster) == []


def test_check_mode_predicts_chain_and_writes_nothing(play: Play, cluster: SandboxProcess, other: t.Any) -> None:
    run = play(*ALL, arguments=["--check", "--diff"], podidentity_accounts=BY_PROFILE)
    assert run.code == 0
    assert run.count("changed", "localhost") == 3
    assert f"eu-west-1/{OWN}/example/reports/reader" in run.output, "the external ID that EKS will make"
    assert changes(cluster) == []


def test_pod_assumes_target_role_in_other_account(
    play: Play, playbook: Playbooks, cluster: SandboxProcess, other: t.Any, tmp_path: pathlib.Path
) -> None:
    assert play(*ALL, podidentity_accounts=BY_PROFILE).count("changed", "localhost") == 3
    [association] = cluster.client("eks").list_pod_identity_associations(clusterName="example")["associations"]
    described = cluster.client("eks").describe_pod_identity_association(
        clusterName="example", associationId=association["associationId"]
    )["association"]
    assert described["targetRoleArn"] == TARGET
    external = [item["Condition"]["StringEquals"] for item in statements(other) if item["Action"] == "sts:AssumeRole"]
    assert external == [{"sts:ExternalId": described["externalId"]}]
    proof = prove(playbook, tmp_path)
    assert proof["proven"] is True
    assert proof["identity"]["account"] == OTHER
    assert proof["identity"]["role"] == "Reports"


def prove(playbook: Playbooks, directory: pathlib.Path, **extra: t.Any) -> Json:
    """What the verification says of the workload."""
    inventory = directory / "hosts.json"
    host = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    inventory.write_text(json.dumps({"eks_clusters": {"hosts": {"example": host}}}), encoding="utf-8")
    settings: Json = {
        "eks_region": "eu-west-1",
        "podidentity_workloads": [WORKLOAD],
        "podidentity_proof_file": str(directory / "proof.json"),
        "verify_grace": 0,
        **extra,
    }
    env = {"AWS_CONFIG_FILE": str(playbook.sandbox.directory / "config")}
    playbook("playbooks/verify.yml", inventory=str(inventory), env=env, **settings)
    [proof] = json.loads((directory / "proof.json").read_text(encoding="utf-8"))
    return dict(proof)


def test_second_run_changes_nothing_and_makes_few_calls(play: Play, cluster: SandboxProcess, other: t.Any) -> None:
    run = play("target_role", podidentity_accounts=BY_ROLE)
    assert run.code == 0
    assert run.count("changed", "localhost") == 0
    assert cluster.calls() == {
        "eks:ListPodIdentityAssociations": 1,
        "eks:DescribePodIdentityAssociation": 1,
        "sts:AssumeRole": 1,
        "sts:GetCallerIdentity": 1,
        "iam:GetRole": 1,
        "iam:ListAttachedRolePolicies": 1,
        "iam:ListRolePolicies": 1,
        "iam:GetRolePolicy": 1,
    }
    without = {key: value for key, value in WORKLOAD.items() if key != "target_role"}
    assert play("target_role", podidentity_workloads=[without]).count("changed", "localhost") == 0
    assert cluster.calls() == {}, "without a target role nothing is asked"


def test_reports_and_repairs_target_trust_drift(
    play: Play, playbook: Playbooks, cluster: SandboxProcess, other: t.Any, tmp_path: pathlib.Path
) -> None:
    broken = statements(other)
    [chained] = [item for item in broken if item["Action"] == "sts:AssumeRole"]
    chained["Condition"]["StringEquals"]["sts:ExternalId"] = "somebody-elses"
    change_trust(other, [UNMANAGED_STATEMENT, *broken])

    blind = prove(playbook, tmp_path)
    assert blind["cause"]["id"] == "target_trust_refused"
    assert "could not be read" in blind["cause"]["text"]
    assert f"It is of account {OTHER}" in blind["advice"], "what could not be looked up is told"
    seeing = prove(playbook, tmp_path, podidentity_accounts=BY_ROLE)
    assert seeing["cause"]["id"] == "target_trust_refused"
    assert (
        "its condition on sts:ExternalId asks for somebody-elses, and EKS sends eu-west-1/" in seeing["cause"]["text"]
    )

    run = play("target_role", podidentity_accounts=BY_ROLE)
    assert run.count("changed", "localhost") == 1
    assert changes(cluster) == ["iam:UpdateAssumeRolePolicy"]
    assert UNMANAGED_STATEMENT in statements(other), "what is somebody else's stays"


def test_removal_deletes_managed_roles_and_association(play: Play, cluster: SandboxProcess, other: t.Any) -> None:
    going = {"association_state": "absent", "target_role_state": "absent", "iam_role_state": "absent"}
    change_trust(other, [item for item in statements(other) if item["Sid"] != "Theirs"])
    run = play("association", "target_role", "iam_role", podidentity_accounts=BY_PROFILE, **going)
    assert run.code == 0
    assert cluster.client("eks").list_pod_identity_associations(clusterName="example")["associations"] == []
    assert [role["RoleName"] for role in other.list_roles()["Roles"]] == ["deployer"]
    assert "reports-source" not in {role["RoleName"] for role in cluster.client("iam").list_roles()["Roles"]}
    again = play("association", "target_role", "iam_role", podidentity_accounts=BY_PROFILE, **going)
    assert again.count("changed", "localhost") == 0
