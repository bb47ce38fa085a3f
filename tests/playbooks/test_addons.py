# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role `addons` in a play: what it calls when nothing has changed, and what it does not write.

Told in order on one sandbox, as the user with the permissions that an operator needs.
"""

from __future__ import annotations

import collections
import pathlib
import typing as t

import pytest
import yaml
from support.existing_cluster import ROLE_PREFIX
from support.existing_cluster import make_account
from support.existing_cluster import make_cluster
from support.existing_cluster import writes
from support.playbooks import Playbooks
from support.playbooks import Run
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep

CLUSTER = {"eks_cluster_name": "example", "eks_region": "eu-west-1"}
ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/example"
ACCOUNT = "ebs-csi-controller-sa"
DRIVER = {"name": "aws-ebs-csi-driver", "version": "v1.39.0-eksbuild.1"}
METRICS = {"name": "metrics-server", "configuration": {"replicas": 2}}


def with_role(**role: t.Any) -> dict[str, t.Any]:
    return {**DRIVER, "service_accounts": [{"name": ACCOUNT, "role": role}]}


Addons = t.Callable[..., Run]


@pytest.fixture(scope="module")
def example(sandbox: SandboxProcess) -> SandboxProcess:
    make_cluster(sandbox, make_account(sandbox))
    return sandbox


@pytest.fixture
def addons(example: SandboxProcess, playbook: Playbooks, tmp_path: pathlib.Path) -> Addons:
    """Runs the role with these add-ons."""
    keys = example.profile("operator")
    env = {name.upper(): keys[name] for name in ("aws_access_key_id", "aws_secret_access_key")}
    play = {
        "name": "Add-ons",
        "hosts": "example",
        "connection": "local",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "tasks": [{"name": "Add-ons", "ansible.builtin.import_role": {"name": "podidentity.eks.addons"}}],
    }
    story = tmp_path / "addons.yml"
    story.write_text(yaml.safe_dump([play]), encoding="utf-8")

    def run(*declared: t.Any, arguments: tuple[str, ...] = (), **more: t.Any) -> Run:
        example.clear_calls()
        extra = {**CLUSTER, "addons_cluster_arn": ARN, "addons_list": list(declared), **more}
        return playbook(str(story), *arguments, inventory="example,", env=env, **extra)

    return run


def calls(sandbox: SandboxProcess) -> dict[str, int]:
    """How often the play called each operation."""
    found = [call["operation"] for call in sandbox.call_log() if call["caller"].endswith(":user/operator")]
    return dict(collections.Counter(found))


def installed(sandbox: SandboxProcess) -> list[str]:
    names: list[str] = sandbox.client("eks").list_addons(clusterName="example")["addons"]
    return names


def test_refuses_invalid_declarations_before_any_call(addons: Addons, example: SandboxProcess) -> None:
    run = addons({"name": "x y"}, {**DRIVER, "service_account": []}, {**METRICS, "version": 0.7})
    assert run.code != 0
    for words in ('name "x y" is no name', "did you mean service_accounts?", "has version 0.7: give a text"):
        assert words in " ".join(run.output.split())
    assert calls(example) == {}


def test_check_mode_without_cluster_predicts_installation(addons: Addons, example: SandboxProcess) -> None:
    unborn: dict[str, t.Any] = {
        "addons_cluster_name": "unborn",
        "addons_cluster_exists": False,
        "podidentity_cluster": {"arn": ARN.replace("example", "unborn"), "version": "1.34"},
    }
    run = addons(DRIVER, METRICS, arguments=("--check", "--diff"), **unborn)
    assert run.code == 0 and writes(example) == []
    for words in ("+    version: v1.39.0-eksbuild.1", "+    name: metrics-server", "+    version: v0.7"):
        assert words in run.output
    wrong = addons(DRIVER, {"name": "no-such-addon"}, arguments=("--check",), **unborn)
    assert 'name "no-such-addon" names no add-on that EKS offers' in " ".join(wrong.output.split())


def test_check_mode_shows_roles_and_addons_and_writes_nothing(addons: Addons, example: SandboxProcess) -> None:
    run = addons(with_role(name="made"), METRICS, arguments=("--check", "--diff"))
    assert run.code == 0
    assert "arn:aws:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy" in run.output
    assert f"role_arn: {ROLE_PREFIX}made" in run.output
    assert writes(example) == []
    assert installed(example) == []


def test_refuses_unknown_service_account_before_creating_role(addons: Addons, example: SandboxProcess) -> None:
    wrong = {**DRIVER, "version": "default", "service_accounts": [{"name": "nobody", "role": {"name": "made"}}]}
    run = addons(wrong, METRICS)
    assert f"{ACCOUNT} can have one" in " ".join(run.output.split())
    assert run.code != 0
    assert writes(example) == []


def test_requires_policies_when_none_are_recommended(addons: Addons, example: SandboxProcess) -> None:
    # Of another version than the default one nobody knows the service accounts before it is there.
    other = {**DRIVER, "service_accounts": [{"name": "nobody", "role": {"name": "made"}}]}
    run = addons(other, METRICS)
    assert "give role.managed_policies" in " ".join(run.output.split())
    assert run.code != 0
    assert writes(example) == []


def test_creates_new_addons_and_waits_until_active(addons: Addons, example: SandboxProcess) -> None:
    run = addons(with_role(arn=f"{ROLE_PREFIX}app"), METRICS)
    assert run.code == 0
    assert sorted(writes(example)) == ["eks:CreateAddon", "eks:CreateAddon"]
    eks = example.client("eks")
    for name in ("aws-ebs-csi-driver", "metrics-server"):
        addon = eks.describe_addon(clusterName="example", addonName=name)["addon"]
        assert (addon["status"], addon["tags"]) == ("ACTIVE", {"podidentity.eks/cluster": "example"})


def test_second_run_changes_nothing_and_reads_in_one_task(addons: Addons, example: SandboxProcess) -> None:
    run = addons(with_role(arn=f"{ROLE_PREFIX}app"), METRICS)
    assert run.code == 0
    assert run.count("changed", "example") == 0
    assert calls(example) == {"eks:DescribeAddon": 2, "eks:DescribePodIdentityAssociation": 1}
    # The validation of the arguments, two checks, and the look.
    assert run.count("ok", "example") == 4


def test_updates_only_the_addon_that_differs(addons: Addons, example: SandboxProcess) -> None:
    run = addons(with_role(name="made"), METRICS)
    assert run.code == 0
    assert [call for call in writes(example) if call.startswith("eks:")] == ["eks:UpdateAddon"]
    [one] = example.client("eks").list_pod_identity_associations(clusterName="example")["associations"]
    names = {"clusterName": "example", "associationId": one["associationId"]}
    answer = example.client("eks").describe_pod_identity_association(**names)["association"]
    assert answer["roleArn"] == f"{ROLE_PREFIX}made"
    assert addons(with_role(name="made"), METRICS).count("changed", "example") == 0
    assert writes(example) == []


def test_removal_deletes_managed_addons_and_keeps_unmanaged(addons: Addons, example: SandboxProcess) -> None:
    example.client("eks").create_addon(clusterName="example", addonName="snapshot-controller")
    declared = (with_role(name="made"), METRICS, {"name": "snapshot-controller"})
    run = addons(*declared, addons_state="absent")
    assert run.code == 0
    assert "Add-on snapshot-controller of cluster example was left" in " ".join(run.output.split())
    assert installed(example) == ["snapshot-controller"]
    roles = [role["RoleName"] for role in example.client("iam").list_roles()["Roles"]]
    assert "made" not in roles
    assert "app" in roles
    assert addons(*declared, addons_state="absent").count("changed", "example") == 0
    assert writes(example) == []
