# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jobs as AWX runs them: by ansible-runner, with the answers of a survey and nothing else, in AWX's environment."""

from __future__ import annotations

import json
import pathlib
import typing as t

import ansible_runner
import pytest
from support.environment import ROOT
from support.existing_cluster import make_account
from support.existing_cluster import make_cluster
from support.existing_cluster import writes
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep

HOST = "example"
ANSWERS = {
    "podidentity_request_namespace": "default",
    "podidentity_request_service_account": "from-a-survey",
    "podidentity_request_role": "asked-for",
    "podidentity_request_managed_policies": "AmazonS3ReadOnlyAccess\n",
    "podidentity_request_allow": "s3.list_buckets",
}
#: As AWX hands a survey over that nobody has filled in.
EMPTY = dict.fromkeys(ANSWERS, "")
#: What AWX's credential for Kubernetes puts into the environment: another cluster, without its certificate.
OTHER_CLUSTER = {
    "K8S_AUTH_HOST": "https://127.0.0.1:1",
    "K8S_AUTH_API_KEY": "somebody-elses-token",
    "K8S_AUTH_VERIFY_SSL": "False",
}


class Job(t.Protocol):
    """Runs a playbook as a job; the finished runner and the folder with all that it has left."""

    def __call__(
        self, name: str, answers: dict[str, str], *, check: bool = False, verbosity: int = 0
    ) -> tuple[ansible_runner.Runner, pathlib.Path]: ...


@pytest.fixture(scope="module")
def account(sandbox: SandboxProcess) -> None:
    """The cluster "example" with the agent."""
    make_cluster(sandbox, make_account(sandbox))
    eks, agent = sandbox.client("eks"), {"clusterName": HOST, "addonName": "eks-pod-identity-agent"}
    eks.create_addon(**agent)
    eks.get_waiter("addon_active").wait(**agent, WaiterConfig={"Delay": 1})


@pytest.fixture
def job(playbook: Playbooks, account: None, tmp_path: pathlib.Path) -> Job:
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "eks_region": "eu-west-1",
    }

    def run(
        name: str, answers: dict[str, str], *, check: bool = False, verbosity: int = 0
    ) -> tuple[ansible_runner.Runner, pathlib.Path]:
        finished = ansible_runner.run(
            private_data_dir=str(tmp_path),
            project_dir=str(ROOT),
            playbook=f"playbooks/{name}.yml",
            inventory={"eks_clusters": {"hosts": {HOST: {}}, "vars": variables}},
            extravars=answers,
            envvars=playbook.environment(**OTHER_CLUSTER),
            cmdline="--check --diff" if check else "",
            verbosity=verbosity,
            quiet=True,
        )
        print(finished.stdout.read())
        return finished, tmp_path

    return run


def artifacts(run: ansible_runner.Runner) -> dict[str, t.Any]:
    """What the job hands on to the next node of a workflow."""
    [stats] = [event for event in run.events if event["event"] == "playbook_on_stats"]
    found: dict[str, t.Any] = stats["event_data"].get("artifact_data", {})
    return found


def test_refuses_incomplete_answers_before_any_call(job: Job, sandbox: SandboxProcess) -> None:
    sandbox.clear_calls()
    run, _folder = job("workload", {**EMPTY, "podidentity_request_namespace": "default"})
    assert run.status == "failed"
    words = " ".join(run.stdout.read().split())
    assert "The survey's answers lack a service account and an IAM role: answer" in words
    assert sandbox.calls() == {}


def test_empty_survey_falls_back_to_the_inventory(job: Job, sandbox: SandboxProcess) -> None:
    sandbox.clear_calls()
    run, _folder = job("workload", EMPTY)
    assert run.status == "successful"
    assert "declares no podidentity_workloads" in run.stdout.read()
    assert writes(sandbox) == []


def test_check_mode_predicts_and_writes_nothing(job: Job, sandbox: SandboxProcess) -> None:
    sandbox.clear_calls()
    run, _folder = job("workload", ANSWERS, check=True)
    assert run.status == "successful"
    assert run.stats["changed"] == {HOST: 3}, "a role, a service account and an association"
    assert writes(sandbox) == []


def test_proof_is_an_artifact_and_artifacts_hold_no_secret(job: Job, sandbox: SandboxProcess) -> None:
    run, folder = job("workload", ANSWERS, verbosity=4)
    assert run.status == "successful"
    [proof] = artifacts(run)["podidentity_proof"]
    assert proof["proven"] is True
    assert (proof["service_account"], proof["identity"]["role"]) == ("from-a-survey", "asked-for")
    left = "".join(path.read_text(errors="replace") for path in (folder / "artifacts").rglob("*") if path.is_file())
    # The environment of the job is the one thing that runner keeps as it was; AWX hides it by itself.
    [kept] = (folder / "artifacts").rglob("command")
    left = left.replace(kept.read_text(encoding="utf-8"), "")
    for secret in (sandbox.env["AWS_SECRET_ACCESS_KEY"], "k8s-aws-v1.", OTHER_CLUSTER["K8S_AUTH_API_KEY"]):
        assert secret not in left


def test_verify_job_proves_again_and_changes_nothing(job: Job, sandbox: SandboxProcess) -> None:
    sandbox.clear_calls()
    run, _folder = job("verify", ANSWERS)
    assert run.status == "successful"
    assert run.stats["changed"] == {}
    assert writes(sandbox) == []
    assert json.dumps(artifacts(run)["podidentity_proof"][0]["proven"]) == "true"
