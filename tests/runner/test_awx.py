# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The playbook awx: what it creates in AWX by the modules of awx.awx, once and then never again."""

from __future__ import annotations

import collections.abc
import importlib.util
import json
import pathlib
import subprocess
import typing as t

import pytest
import yaml
from support.awx_server import AwxServer
from support.environment import ROOT
from support.environment import clean_environment

PREFIX = "EKS Pod Identity"
REPOSITORY = "https://git.example.com/clusters.git"
DECLARED: dict[str, t.Any] = {
    "awx_project_url": REPOSITORY,
    "awx_aws_credential": "our keys",
    "awx_aws_region": "eu-west-1",
    "awx_aws_config": "[profile staging]\nrole_arn = arn:aws:iam::444455556666:role/deployment\n",
    "awx_execution_environment": "core 2.21",
    "awx_execution_environment_image": "registry.example.com/podidentity-eks:1",
    "awx_job_slices": 3,
    "awx_notify_approvals": ["our chat"],
    "awx_notify_failures": ["our chat"],
    "awx_access_schedule": "DTSTART;TZID=UTC:20260101T040000 RRULE:FREQ=DAILY;INTERVAL=1",
}
STORIES = ("access", "request", "site", "teardown", "verify", "workload")
NODES = "workflow_job_template_nodes"
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
        server.add("notification_templates", {"name": "our chat"})
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
            timeout=500,
            check=False,
        )
        print(done.stdout)
        return done

    return run


def words(done: subprocess.CompletedProcess[str]) -> str:
    """The output without its line breaks."""
    return " ".join(done.stdout.split())


# --- bad input and bad days, in the order in which they are told ------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        (
            {"awx_project_url": "", "awx_aws_region": "europe", "awx_execution_environment": ""},
            ["awx_project_url is empty: give", 'is "europe": give an AWS', "AWX's own has 2.15, with which this"],
        ),
        ({"awx_limit_on_launch": True}, ["awx_limit_on_launch is true and awx_job_slices is 3: take one of them"]),
        (
            {"awx_aws_credential": "theirs", "awx_execution_environment_image": "", "awx_notify_failures": ["pager"]},
            [
                'AWX has no credential "theirs", which awx_aws_credential names: create it first',
                'AWX has no execution environment "core 2.21"',
                'AWX has no notification template "pager"',
            ],
        ),
    ],
    ids=["empty", "limit and slices", "not in AWX"],
)
def test_refuses_invalid_settings_before_any_write(
    play: Play, awx: AwxServer, changes: dict[str, t.Any], sentences: list[str]
) -> None:
    run = play(**changes)
    assert run.returncode != 0
    assert [sentence for sentence in sentences if sentence not in words(run)] == []
    assert awx.writes == []


def test_check_mode_predicts_fresh_awx(play: Play, awx: AwxServer) -> None:
    run = play("--check")
    assert run.returncode == 0
    assert f"Would be created: {PREFIX}, {PREFIX} settings, {PREFIX} clusters, {PREFIX}: site, " in words(run)
    assert "changed=0" not in run.stdout
    assert awx.writes == []


def test_repository_that_cannot_be_read_is_named(play: Play) -> None:
    run = play()
    assert run.returncode != 0
    assert f"could not update the project {PREFIX} from {REPOSITORY}, branch main: see the output" in words(run)


def test_repository_without_playbooks_is_named(play: Play, awx: AwxServer) -> None:
    awx.repositories[REPOSITORY] = ["playbooks/site.yml", "playbooks/other.yml"]
    run = play()
    assert run.returncode != 0
    assert f"The repository {REPOSITORY} lacks playbooks/workload.yml, " in words(run)
    assert "write its files with the playbook podidentity.eks.awx_project, and push them" in words(run)
    assert awx.items["job_templates"] == {}


# --- what is created --------------------------------------------------------------------------------------------------


def test_next_run_completes_everything(play: Play, awx: AwxServer) -> None:
    """The project exists by now, and its failed update is tried again."""
    awx.repositories[REPOSITORY] = [f"playbooks/{name}.yml" for name in STORIES]
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
    assert awx.named("execution_environments", "core 2.21")["image"] == DECLARED["awx_execution_environment_image"]

    source = awx.named("inventory_sources", f"{PREFIX} clusters")
    assert source["source_path"] == "inventories/aws_eks.yml"
    assert source["credential"] == awx.named("credentials", "our keys")["id"]
    assert "ANSIBLE_COLLECTIONS_PATH" in source["source_vars"]
    assert awx.named("schedules", f"{PREFIX}: access")["rrule"] == DECLARED["awx_access_schedule"]
    assert awx.named("job_templates", "somebody else's") == foreign


@pytest.mark.parametrize(
    ("name", "playbook", "job_type", "tags"),
    [
        ("site", "site", "run", ""),
        ("check the declaration", "workload", "check", ""),
        ("apply the declaration", "workload", "run", ""),
        ("verify", "verify", "run", ""),
        ("check a request", "request", "check", ""),
        ("apply a request", "request", "run", ""),
        ("verify a request", "request", "run", "verify"),
        ("access", "access", "run", ""),
        ("check the teardown", "teardown", "check", ""),
        ("tear down", "teardown", "run", ""),
    ],
)
def test_template_takes_no_variables(awx: AwxServer, name: str, playbook: str, job_type: str, tags: str) -> None:
    template = awx.named("job_templates", f"{PREFIX}: {name}")
    assert (template["playbook"], template["job_type"]) == (f"playbooks/{playbook}.yml", job_type)
    assert (template["job_tags"], template["inventory"]) == (tags, awx.named("inventories", f"{PREFIX} clusters")["id"])
    asked = {key for key, value in template.items() if key.startswith(("ask_", "survey_")) and value}
    assert asked == set(), "who may only execute can hand nothing in"
    assert template["job_slice_count"] == (1 if name == "access" else DECLARED["awx_job_slices"])
    credentials = awx.names_linked("job_templates", template["name"], "credentials")
    assert sorted(credentials) == [f"{PREFIX} settings", "our keys"]
    assert awx.names_linked("job_templates", template["name"], "notification_templates_error") == ["our chat"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("declaration", ["check the declaration", "approve", "apply the declaration", "verify"]),
        ("request a workload", ["check a request", "approve", "apply a request", "verify a request"]),
        ("teardown", ["check the teardown", "approve", "tear down"]),
    ],
)
def test_workflow_has_approval_before_writing(awx: AwxServer, name: str, path: list[str]) -> None:
    workflow = awx.named("workflow_job_templates", f"{PREFIX}: {name}")
    nodes = {key: node for key, node in awx.items[NODES].items() if node["workflow_job_template"] == workflow["id"]}
    jobs = {job["id"]: job["name"].removeprefix(f"{PREFIX}: ") for job in awx.items["job_templates"].values()}
    following = {number: next(iter(awx.linked[NODES, number, "success_nodes"]), 0) for number in nodes}
    [current] = set(nodes) - set(following.values())
    found = []
    while current:
        found.append(jobs.get(nodes[current]["unified_job_template"], nodes[current]["identifier"]))
        current = following[current]
    assert found == path
    approval = awx.named("workflow_approval_templates", f"{PREFIX}: approve {name}")
    assert approval["timeout"] == 86400
    assert approval["id"] in {node["unified_job_template"] for node in nodes.values()}
    told = awx.names_linked("workflow_job_templates", workflow["name"], "notification_templates_approvals")
    assert told == ["our chat"]
    assert not workflow["ask_variables_on_launch"]
    assert bool(awx.surveys.get(("workflow_job_templates", workflow["id"]))) is (name == "request a workload")


def test_second_run_and_check_mode_write_nothing(play: Play, awx: AwxServer) -> None:
    again = play()
    assert again.returncode == 0
    assert "changed=0" in again.stdout
    assert awx.writes == []
    unchanged = play("--check")
    assert unchanged.returncode == 0
    assert "changed=0" in unchanged.stdout
    changed = play("--check", awx_forks=25)
    assert changed.returncode == 0
    assert "changed=0" not in changed.stdout
    assert awx.writes == []


def test_survey_asks_for_what_the_request_reads() -> None:
    preflight = (ROOT / "playbooks" / "tasks" / "preflight.yml").read_text(encoding="utf-8")
    survey = yaml.safe_load((ROOT / "playbooks" / "vars" / "awx.yml").read_text(encoding="utf-8"))["awx_survey"]
    required = {question["variable"]: question["required"] for question in survey["spec"]}
    assert [name for name, needed in required.items() if needed] == [
        "podidentity_request_namespace",
        "podidentity_request_service_account",
    ]
    assert len(required) == 5
    assert all(variable in preflight for variable in required)


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
