# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role iam_role as a person runs it: one task for all roles, facts for other roles, and the way back."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from support.existing_cluster import writes
from support.playbooks import Playbooks
from support.playbooks import Run
from support.sandbox_process import SandboxProcess

CLUSTER = "arn:aws:eks:eu-west-1:111122223333:cluster/shop"
PLAY: dict[str, t.Any] = {
    "name": "Roles",
    "hosts": "localhost",
    "connection": "local",
    "gather_facts": False,
    "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
    "roles": [{"role": "podidentity.eks.iam_role", "iam_role_cluster_arn": CLUSTER}],
    "tasks": [
        {
            "name": "Facts",
            "ansible.builtin.debug": {"msg": "FACTS {{ [iam_role_arns, iam_role_dates] | to_json }} END"},
            "when": "'apply' in iam_role_operations",
        }
    ],
}


def workload(number: int, **more: t.Any) -> dict[str, t.Any]:
    role = {"name": f"app-{number}", "managed_policies": ["AmazonS3ReadOnlyAccess"]}
    return {"namespace": "team-a", "service_account": f"app-{number}", "role": role, **more}


def facts(run: Run) -> list[dict[str, str]]:
    """What the role has published."""
    text = " ".join(run.output.split()).partition("FACTS ")[2].partition(" END")[0]
    found: list[dict[str, str]] = json.loads(text.replace('\\"', '"'))
    return found


@pytest.fixture
def story(tmp_path: pathlib.Path, sandbox: SandboxProcess) -> str:
    sandbox.reset()
    path = tmp_path / "story.yml"
    path.write_text(json.dumps([PLAY]), encoding="utf-8")
    return str(path)


def test_creates_keeps_and_deletes_twenty_roles(playbook: Playbooks, sandbox: SandboxProcess, story: str) -> None:
    def run(*arguments: str, **variables: t.Any) -> Run:
        sandbox.clear_calls()
        done = playbook(story, *arguments, inventory="localhost,", **variables)
        assert done.code == 0
        return done

    iam = sandbox.client("iam")
    declared = [workload(number) for number in range(20)]
    gone = [{**declared[0], "state": "absent"}, *declared[1:-1]]
    predicted = run("--check", "--diff", podidentity_workloads=declared)
    assert "+++ after: roles of cluster shop: 20 to create" in predicted.output and writes(sandbox) == []
    arns, dates = facts(predicted)
    assert arns["app-7"] == "arn:aws:iam::111122223333:role/app-7" and dates == {}
    made = run(podidentity_workloads=declared)
    arns, dates = facts(made)
    assert list(arns) == [f"app-{number}" for number in range(20)]
    assert dates[arns["app-7"]] == iam.get_role(RoleName="app-7")["Role"]["CreateDate"].isoformat()

    apply = {"podidentity_workloads": gone, "podidentity_purge": "cluster", "iam_role_operations": ["apply"]}
    assert run("--diff", **apply).count("changed", "localhost") == 0, "applying removes nothing"
    assert sandbox.calls() == {
        "iam:GetRole": 18,
        "iam:ListAttachedRolePolicies": 18,
        "iam:ListRolePolicies": 18,
    }
    cleaned = run("--diff", podidentity_workloads=gone, podidentity_purge="cluster", iam_role_operations=["remove"])
    assert "+++ after: roles of cluster shop: 2 to delete" in cleaned.output
    left = sorted(role["RoleName"] for role in iam.list_roles()["Roles"])
    assert left == sorted(f"app-{number}" for number in range(1, 19))
    run(podidentity_workloads=gone, iam_role_state="absent")
    assert iam.list_roles()["Roles"] == []
