# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No output holds a secret, however talkative the run is and whatever becomes of the API server meanwhile."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import subprocess
import typing as t

import pytest
from support.broken_api_server import broken_api_server
from support.environment import ROOT
from support.existing_cluster import WORKLOAD
from support.existing_cluster import make_account
from support.existing_cluster import make_cluster
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

PLAYBOOKS = ("workload", "site", "verify", "teardown")
#: Roles that talk to Kubernetes.
ROLES = ("agent", "service_account", "restart", "verify", "workload")
FAILURES = ("gone", "401", "403", "500", "tls", "silent")
#: How long a run may take to notice that nothing comes of it.
QUICKLY = {
    "workload_probe_timeout": 2,
    "restart_timeout": 2,
    "verify_timeout": 2,
    "agent_timeout": 5,
    "verify_grace": 0,
}


@pytest.fixture(scope="module")
def example(sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory) -> dict[str, t.Any]:
    """The cluster "example"; returns what a run for it is given."""
    make_cluster(sandbox, make_account(sandbox), nodes=1)
    path = tmp_path_factory.mktemp("inventory") / "hosts.json"
    connection = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    path.write_text(json.dumps({"eks_clusters": {"hosts": {"example": connection}}}), encoding="utf-8")
    given = {"inventory": str(path), "eks_region": "eu-west-1", "cluster_manage": False, **QUICKLY}
    return given | {"podidentity_workloads": [WORKLOAD]}


@pytest.fixture(scope="module")
def finished(playbook: Playbooks, example: dict[str, t.Any]) -> dict[str, t.Any]:
    """The cluster with the agent and a proven workload."""
    assert playbook("playbooks/site.yml", **example | {"verify_timeout": 120, "agent_timeout": 60}).code == 0
    return example


def connection_to(host: str) -> dict[str, t.Any]:
    """What the playbooks give to all modules for Kubernetes, with another address."""
    token = "{{ lookup('podidentity.eks.eks_token', podidentity_cluster.name, region=podidentity_region) }}"
    return {"host": host, "ca_cert": "{{ podidentity_ca_file }}", "api_key": token, "validate_certs": True}


def secrets_in(output: str, sandbox: SandboxProcess) -> set[str]:
    """The kinds of secrets that an output holds: tokens of Kubernetes, signatures, the caller's key."""
    secrets = ["k8s-aws-v1.", "X-Amz-Signature", sandbox.env["AWS_SECRET_ACCESS_KEY"]]
    # A line may end anywhere in a value.
    return {secret for secret in secrets if secret in output or secret in re.sub(r"\s", "", output)}


def with_failures(failures: t.Sequence[str], first: str) -> list[t.Any]:
    """Of all failures the first is tested by every run of the tests, the others by the deep ones."""
    return [one if one == first else pytest.param(one, marks=pytest.mark.deep) for one in failures]


@pytest.mark.parametrize("failure", with_failures(FAILURES, "gone"))
def test_playbook_shows_no_token_when_api_server_fails(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any], failure: str
) -> None:
    with broken_api_server(failure) as host:
        run = playbook("playbooks/workload.yml", "-vvvv", **example, podidentity_k8s=connection_to(host))
    assert run.code != 0
    assert secrets_in(run.output, sandbox) == set()
    assert "eks_pod_identity_service_accounts.py" in run.output, "the output is as talkative as it gets"
    assert "The service accounts of cluster example cannot be listed" in " ".join(run.output.split())


@pytest.mark.deep
@pytest.mark.parametrize("failure", ["gone", "401"])
@pytest.mark.parametrize("name", PLAYBOOKS[1:])
def test_other_playbooks_show_no_token_when_api_server_fails(
    playbook: Playbooks, sandbox: SandboxProcess, finished: dict[str, t.Any], failure: str, name: str
) -> None:
    with broken_api_server(failure) as host:
        # A teardown would delete what the other tests use.
        arguments = ("-vvvv", "--check") if name == "teardown" else ("-vvvv",)
        run = playbook(f"playbooks/{name}.yml", *arguments, **finished, podidentity_k8s=connection_to(host))
    assert run.code != 0
    assert secrets_in(run.output, sandbox) == set()


@pytest.mark.deep
@pytest.mark.parametrize("failure", FAILURES)
def test_roles_alone_show_no_token_when_api_server_fails(
    playbook: Playbooks, sandbox: SandboxProcess, finished: dict[str, t.Any], tmp_path: pathlib.Path, failure: str
) -> None:
    with broken_api_server(failure) as host:
        play = tmp_path / "roles.json"
        play.write_text(json.dumps(plays(host)), encoding="utf-8")
        run = playbook(str(play), "-vvvv", **finished)
    assert run.code == 0
    assert [role for role in ROLES if f"{role} has failed" not in run.output] == []
    assert secrets_in(run.output, sandbox) == set()


def plays(host: str) -> list[dict[str, t.Any]]:
    """A play with each role by itself, connected as their READMEs say but to another address."""
    connection = connection_to(host) | {"ca_cert": "{{ ca_file }}"}
    connection["api_key"] = "{{ lookup('podidentity.eks.eks_token', 'example', region='eu-west-1') }}"
    cluster = {"podidentity.eks.eks_cluster_info": {"name": "example"}, "register": "looked_up"}
    ca_file = "{{ lookup('podidentity.eks.eks_ca_file', looked_up.clusters[0].certificate_authority) }}"
    facts = {"podidentity_cluster": "{{ looked_up.clusters[0] }}", "ca_file": ca_file}
    tasks: list[dict[str, t.Any]] = [cluster, {"ansible.builtin.set_fact": facts}]
    for role in ROLES:
        include = {"ansible.builtin.include_role": {"name": f"podidentity.eks.{role}"}}
        tasks.append({"block": [include], "rescue": [{"ansible.builtin.debug": {"msg": f"{role} has failed"}}]})
    defaults = {"group/podidentity.eks.aws": {"region": "eu-west-1"}, "group/podidentity.eks.k8s": connection}
    return [{"hosts": "example", "gather_facts": False, "module_defaults": defaults, "tasks": tasks}]


@pytest.mark.deep
@pytest.mark.parametrize("moment", ["Prove the identity of workloads", "Wait until pods admitted now"])
def test_killed_run_shows_no_token(
    playbook: Playbooks, sandbox: SandboxProcess, finished: dict[str, t.Any], moment: str
) -> None:
    command = ["ansible-playbook", "-vvvv", "-i", finished["inventory"], "playbooks/workload.yml"]
    command += ["--extra-vars", json.dumps({key: value for key, value in finished.items() if key != "inventory"})]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=playbook.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines: list[str] = []
    for line in t.cast("t.IO[str]", process.stdout):
        lines.append(line)
        if line.startswith("TASK") and moment in line:
            os.killpg(process.pid, signal.SIGTERM)
    process.wait()
    print("".join(lines))
    assert any(moment in line for line in lines)
    assert secrets_in("".join(lines), sandbox) == set()
