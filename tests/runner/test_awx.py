# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The playbook awx: what it makes in AWX by the modules of awx.awx, once and then never again."""

from __future__ import annotations

import collections.abc
import importlib.util
import json
import pathlib
import subprocess
import typing as t

import pytest
from support.awx_server import AwxServer
from support.environment import ROOT
from support.environment import clean_environment

PREFIX = "EKS Pod Identity"
DECLARED: dict[str, t.Any] = {
    "awx_project_url": "https://git.example.com/clusters.git",
    "awx_aws_credential": "our keys",
    "awx_aws_region": "eu-west-1",
    "awx_aws_config": "[profile staging]\nrole_arn = arn:aws:iam::444455556666:role/deployment\n",
    "awx_job_slices": 3,
}
pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(
        importlib.util.find_spec("ansible_collections.awx") is None,
        reason="the package ansible of this Python carries no awx.awx",
    ),
]


class Play(t.Protocol):
    """Runs the playbook."""

    def __call__(self, *arguments: str, **changes: t.Any) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="module")
def awx() -> collections.abc.Iterator[AwxServer]:
    with AwxServer() as server:
        yield server


@pytest.fixture(scope="module")
def play(awx: AwxServer, tmp_path_factory: pytest.TempPathFactory) -> Play:
    env = clean_environment(tmp_path_factory.mktemp("home"))

    def run(*arguments: str, **changes: t.Any) -> subprocess.CompletedProcess[str]:
        awx.writes.clear()
        command = ["ansible-playbook", "playbooks/awx.yml", *arguments, "--extra-vars", json.dumps(DECLARED | changes)]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**env, "CONTROLLER_HOST": awx.url, "CONTROLLER_OAUTH_TOKEN": "a-secret-token"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        print(done.stdout)
        return done

    return run


def test_refuses_invalid_settings_before_any_write(play: Play, awx: AwxServer) -> None:
    run = play(awx_project_url="", awx_aws_credential="", awx_aws_region="europe")
    assert run.returncode != 0
    for sentence in ("awx_project_url is empty: give", "awx_aws_credential is empty: give", 'is "europe": give an AWS'):
        assert sentence in run.stdout
    assert awx.writes == []


def test_creates_everything_in_one_run(play: Play, awx: AwxServer) -> None:
    foreign = awx.add("job_templates", {"name": "somebody else's"}) | {}
    run = play("-vvv")
    assert run.returncode == 0
    assert "a-secret-token" not in run.stdout

    kind = awx.named("credential_types", f"{PREFIX} settings")
    assert kind["injectors"]["env"] == {
        "AWS_REGION": "{{ region }}",
        "AWS_CONFIG_FILE": "{{ tower.filename.config }}",
    }
    assert kind["injectors"]["file"] == {"template.config": "{{ config | default('') }}"}
    settings = awx.named("credentials", f"{PREFIX} settings")
    assert settings["credential_type"] == kind["id"]
    assert settings["inputs"] == {"region": "eu-west-1", "config": DECLARED["awx_aws_config"]}

    source = awx.named("inventory_sources", f"{PREFIX} clusters")
    assert source["source_path"] == "inventories/fleet/aws_eks.yml"
    assert source["credential"] == awx.named("credentials", "our keys")["id"]
    assert "ANSIBLE_COLLECTIONS_PATH" in source["source_vars"]
    assert awx.named("job_templates", "somebody else's") == foreign


@pytest.mark.parametrize(
    ("name", "playbook", "job_type"),
    [("check", "workload.yml", "check"), ("apply", "workload.yml", "run"), ("verify", "verify.yml", "run")],
)
def test_template_runs_playbook_over_inventory_slices(awx: AwxServer, name: str, playbook: str, job_type: str) -> None:
    template = awx.named("job_templates", f"{PREFIX}: {name}")
    assert (template["playbook"], template["job_type"]) == (f"playbooks/{playbook}", job_type)
    assert template["job_slice_count"] == DECLARED["awx_job_slices"]
    assert template["inventory"] == awx.named("inventories", f"{PREFIX} clusters")["id"]
    credentials = awx.names_linked("job_templates", template["name"], "credentials")
    assert sorted(credentials) == [f"{PREFIX} settings", "our keys"]
    questions = awx.surveys["job_templates", template["id"]]["spec"]
    assert all(question["variable"].startswith("podidentity_request_") for question in questions)


def test_workflow_checks_approves_applies_and_verifies(awx: AwxServer) -> None:
    nodes = "workflow_job_template_nodes"
    assert awx.names_linked(nodes, "check", "success_nodes") == ["approve"]
    assert awx.names_linked(nodes, "approve", "success_nodes") == ["apply"]
    assert awx.names_linked(nodes, "apply", "success_nodes") == ["verify"]
    assert awx.names_linked(nodes, "verify", "success_nodes") == []
    approval = awx.named("workflow_approval_templates", f"{PREFIX}: approve the change")
    assert awx.named(nodes, "approve")["unified_job_template"] == approval["id"]
    assert approval["timeout"] == 86400
    workflow = awx.named("workflow_job_templates", PREFIX)
    assert awx.surveys["workflow_job_templates", workflow["id"]]["spec"]


def test_second_run_and_check_mode_write_nothing(play: Play, awx: AwxServer) -> None:
    again = play()
    assert again.returncode == 0
    assert "changed=0" in again.stdout
    assert awx.writes == []
    checked = play("--check", awx_forks=25)
    assert checked.returncode == 0
    assert "changed=0" not in checked.stdout
    assert awx.writes == []


def test_playbooks_know_every_survey_answer() -> None:
    preflight = (ROOT / "playbooks" / "tasks" / "preflight.yml").read_text(encoding="utf-8")
    survey = (ROOT / "playbooks" / "vars" / "awx.yml").read_text(encoding="utf-8")
    asked = {line.split()[-1] for line in survey.splitlines() if "variable: podidentity_request_" in line}
    assert len(asked) == 5
    assert all(variable in preflight for variable in asked)


def test_repository_installs_itself_as_awx_project(tmp_path: pathlib.Path) -> None:
    command = ["ansible-galaxy", "collection", "install", "--requirements-file", "collections/requirements.yml"]
    # As AWX does it, but without the dependencies, for which it asks a server.
    done = subprocess.run(
        [*command, "--no-deps", "--force", "--collections-path", str(tmp_path)],
        cwd=ROOT,
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ansible_collections" / "podidentity" / "eks" / "plugins" / "inventory" / "aws_eks.py").exists()
