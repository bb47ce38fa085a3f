# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The declaration is the single truth: what is taken out of it, what others manage, and what must not be touched.

Told in order on one sandbox, on a cluster that something else has created.
"""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from support.declared_workloads import CONTROLLER
from support.declared_workloads import NAMESPACE_TAG
from support.declared_workloads import OTHER
from support.declared_workloads import PLAYBOOK
from support.declared_workloads import association
from support.declared_workloads import controller_generation
from support.declared_workloads import make_controller
from support.declared_workloads import make_example
from support.existing_cluster import WORKLOAD
from support.existing_cluster import writes
from support.playbooks import Playbooks
from support.playbooks import one_line
from support.playbooks import only_error
from support.sandbox_process import SandboxProcess

TAGS_OFF = WORKLOAD | {"disable_session_tags": True}


@pytest.fixture(scope="module")
def example(sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory, playbook: Playbooks) -> dict[str, t.Any]:
    return make_example(sandbox, playbook, tmp_path_factory.mktemp("inventory"))


def conditions(sandbox: SandboxProcess, role: str) -> list[dict[str, t.Any]]:
    """What each trust statement of a role asks for by StringEquals."""
    document = sandbox.client("iam").get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    return [one.get("Condition", {}).get("StringEquals", {}) for one in document["Statement"]]


def test_workload_without_session_tags_is_proven(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    run = playbook(PLAYBOOK, **example, podidentity_workloads=[TAGS_OFF, OTHER])
    assert run.code == 0
    assert association(sandbox, "s3-access-sa")["disableSessionTags"] is True
    assert [NAMESPACE_TAG in one for one in conditions(sandbox, "EKS-S3-Access-Role")] == [False]


def test_check_mode_shows_session_tags_coming_back(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any], tmp_path: pathlib.Path
) -> None:
    sandbox.clear_calls()
    declared: dict[str, t.Any] = {
        "podidentity_workloads": [WORKLOAD, OTHER],
        "podidentity_plan_file": str(tmp_path / "plan.json"),
    }
    run = playbook(PLAYBOOK, "--check", "--diff", **example, **declared)
    assert run.code == 0 and writes(sandbox) == []
    [plan] = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert plan["cluster"] == "example" and [one["action"] for one in plan["associations"]] == ["update"]
    text = (tmp_path / "plan.md").read_text(encoding="utf-8")
    assert "- association default/s3-access-sa: update (disable_session_tags `True` -> `False`)" in text
    assert "- role EKS-S3-Access-Role: change trust statement" in text
    assert run.count("changed", "example") == 2, "the association, and then the role"
    assert "disable_session_tags: true" in run.output and NAMESPACE_TAG in run.output


def test_workload_is_proven_when_session_tags_are_back(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    run = playbook(PLAYBOOK, **example, podidentity_workloads=[WORKLOAD, OTHER])
    assert run.code == 0 and run.count("changed", "example") == 2
    assert association(sandbox, "s3-access-sa")["disableSessionTags"] is False
    assert [one.get(NAMESPACE_TAG) for one in conditions(sandbox, "EKS-S3-Access-Role")] == ["default"]


def test_undeclared_workload_is_named_in_check_mode(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    run = playbook(PLAYBOOK, "--check", **example, podidentity_workloads=[WORKLOAD])
    assert run.code == 0 and run.count("changed", "example") == 0
    text = one_line(run)
    assert "has associations of default/reports that were created by this collection and are no longer declared" in text
    assert "has service accounts default/reports that were created by this collection" in text
    assert "remove them with podidentity_purge: cluster" in text
    assert association(sandbox, "reports")


def test_pods_are_not_restarted_onto_unproven_identity(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    """A controller that runs with IRSA keeps running when its role does not trust the new way."""
    make_controller(sandbox)
    before = controller_generation(sandbox)
    run = playbook(PLAYBOOK, **example, verify_grace=0, podidentity_workloads=[WORKLOAD, OTHER, CONTROLLER])
    text = one_line(run)
    assert run.code != 0 and "NOT PROVEN default/lbc in cluster example: trust_refused" in text
    assert "Deployment default/lbc was not restarted" in text
    assert "new pods would not get the identity: it is not proven (trust_refused)" in text
    assert controller_generation(sandbox) == before


def test_wrong_account_stops_the_run(playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]) -> None:
    sandbox.clear_calls()
    run = playbook(PLAYBOOK, **example, eks_account_id="444455556666", podidentity_workloads=[WORKLOAD])
    assert "are of account 111122223333, and host example has the eks_account_id 444455556666" in only_error(run)
    assert "in account 111122223333, region eu-west-1, cluster example" in one_line(run)
    assert sandbox.calls() == {"sts:GetCallerIdentity": 1}
