# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a person sees while a module waits, under ansible-playbook and under ansible-runner, as AWX runs it."""

from __future__ import annotations

import json
import pathlib
import re
import typing as t

import ansible_runner
import pytest
from support.environment import ROOT
from support.existing_cluster import ROLE_PREFIX
from support.existing_cluster import make_account
from support.existing_cluster import make_cluster
from support.iam_roles import make_role
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep

HEADER: dict[str, t.Any] = {
    "name": "Wait",
    "hosts": "all",
    "connection": "local",
    "gather_facts": False,
    "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
}
ASSOCIATE = {
    "cluster_name": "example",
    "associations": [
        {"namespace": "team-a", "service_account": "{{ inventory_hostname }}", "role_arn": f"{ROLE_PREFIX}young"}
    ],
}
#: Just long enough for one line.
SECONDS = 12


@pytest.fixture(scope="module")
def subnet_ids(sandbox: SandboxProcess) -> list[str]:
    """An account with the cluster "example", and an IAM that takes its time."""
    found = make_account(sandbox)
    make_cluster(sandbox, found)
    return found


def write(folder: pathlib.Path, *tasks: dict[str, t.Any]) -> str:
    """A playbook with these tasks."""
    story = folder / "story.yml"
    story.write_text(json.dumps([{**HEADER, "tasks": list(tasks)}]), encoding="utf-8")
    return str(story)


def test_ansible_playbook_shows_what_every_fork_waits_for(
    playbook: Playbooks, sandbox: SandboxProcess, subnet_ids: list[str], tmp_path: pathlib.Path
) -> None:
    sandbox.knobs(iam_propagation_seconds=SECONDS)
    make_role(sandbox.client("iam"), "young", "pods.eks.amazonaws.com")
    story = write(tmp_path, {"podidentity.eks.eks_pod_identity_associations": ASSOCIATE})
    run = playbook(story, inventory="one,two,")
    assert run.code == 0
    for host in ("one", "two"):
        line = rf"^  \[{host}\] associations of cluster example, 10 s: 1 wait until EKS sees {ROLE_PREFIX}young; \d+ "
        assert len(re.findall(line, run.output, re.M)) == 1
    quick = playbook(story, inventory="one,two,")
    assert "  [one]" not in quick.output, "what takes no time says nothing"


def test_probe_reports_progress_and_finds_kubeconfig_in_files(
    playbook: Playbooks, sandbox: SandboxProcess, subnet_ids: list[str], tmp_path: pathlib.Path
) -> None:
    sandbox.knobs(association_delay_seconds=SECONDS)
    workload = {"namespace": "default", "service_account": "default"}
    associate = {"cluster_name": "example", **workload, "role_arn": f"{ROLE_PREFIX}app"}
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "access").write_bytes(sandbox.kubeconfig.read_bytes())
    story = write(
        tmp_path,
        {"podidentity.eks.eks_pod_identity_association": associate},
        {"podidentity.eks.eks_pod_identity_probe": {"workloads": [workload], "kubeconfig": "access"}},
    )
    run = playbook(story, inventory="one,")
    assert run.code == 0
    line = "  [one] pod identity, 10 s: 0 of 1 workloads are through, waiting for 1, such as default/default"
    assert run.output.count(line) == 1
    (tmp_path / "files" / "access").unlink()
    missing = playbook(story, inventory="one,")
    assert missing.code != 0
    assert "access" in missing.output


def test_ansible_runner_emits_progress_events(
    playbook: Playbooks, sandbox: SandboxProcess, subnet_ids: list[str], tmp_path: pathlib.Path
) -> None:
    sandbox.knobs(cluster_seconds=SECONDS)
    cluster = {"name": "slow", "role_arn": f"{ROLE_PREFIX}eks-cluster", "subnet_ids": subnet_ids}
    run = ansible_runner.run(
        private_data_dir=str(tmp_path),
        project_dir=str(ROOT),
        playbook=write(tmp_path, {"podidentity.eks.eks_cluster": cluster}),
        inventory="one",
        envvars=playbook.environment(),
        quiet=True,
    )
    assert run.status == "successful"
    said = [event["stdout"] for event in run.events if event["event"] == "verbose"]
    assert "  [one] cluster slow, 10 s: is CREATING, waiting for it to become ACTIVE" in "\n".join(said)
    # Of ansible-core 2.21, when a worker prints by itself.
    assert "errantly sent data" not in run.stdout.read()
