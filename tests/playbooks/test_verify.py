# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role verify in a play of a user: files, facts and tags, and what it leaves when it is interrupted.

What it proves is tested with its module.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import time
import typing as t
import xml.etree.ElementTree as ET

import kubernetes
import pytest
import yaml
from support.environment import ROOT
from support.existing_cluster import ROLE_PREFIX
from support.existing_cluster import make_account
from support.existing_cluster import make_cluster
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

AGENT = {"clusterName": "example", "addonName": "eks-pod-identity-agent"}
SECRET = "the-secret"
#: No node has this label.
NO_NODE = {"nowhere": "true"}
CALLS = {"allow": [{"service": "sts", "operation": "get_caller_identity", "show": "Account"}]}
#: Seconds that Kubernetes gets for what it should do, on a busy machine.
TIMEOUT = 60.0


class Kubernetes:
    """The cluster "example", by the official client."""

    def __init__(self, kubeconfig: pathlib.Path) -> None:
        api = kubernetes.config.new_client_from_config(str(kubeconfig))
        self.core = kubernetes.client.CoreV1Api(api)
        self.batch = kubernetes.client.BatchV1Api(api)

    def jobs(self) -> list[t.Any]:
        return list(self.batch.list_job_for_all_namespaces().items)

    def leftovers(self) -> list[str]:
        """What there is of verifications, whatever its kind."""
        selector = {"label_selector": "app.kubernetes.io/name=podidentity-verify"}
        lists = (
            self.batch.list_job_for_all_namespaces,
            self.core.list_pod_for_all_namespaces,
            self.core.list_config_map_for_all_namespaces,
            self.core.list_secret_for_all_namespaces,
        )
        return [item.metadata.name for each in lists for item in each(**selector).items]


def eventually(look: t.Callable[[], t.Any]) -> t.Any:
    deadline = time.monotonic() + TIMEOUT
    while not (found := look()):
        assert time.monotonic() < deadline, f"nothing after {TIMEOUT} s"
        time.sleep(0.1)
    return found


def workload(account: str, namespace: str = "team-a", **prove: t.Any) -> dict[str, t.Any]:
    role = {"arn": f"{ROLE_PREFIX}app"}
    return {"namespace": namespace, "service_account": account, "role": role, "prove": {**CALLS, **prove}}


@pytest.fixture(scope="module")
def cluster(sandbox: SandboxProcess) -> Kubernetes:
    """The cluster "example" with the agent, and two service accounts."""
    make_cluster(sandbox, make_account(sandbox))
    eks = sandbox.client("eks")
    eks.create_addon(**AGENT)
    eks.get_waiter("addon_active").wait(**AGENT, WaiterConfig={"Delay": 1})
    cluster = Kubernetes(sandbox.kubeconfig)
    cluster.core.create_namespace({"metadata": {"name": "team-a"}})
    for account in ("app", "image"):
        cluster.core.create_namespaced_service_account("team-a", {"metadata": {"name": account}})
        eks.create_pod_identity_association(
            clusterName="example", namespace="team-a", serviceAccount=account, roleArn=f"{ROLE_PREFIX}app"
        )
    return cluster


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The cluster "example", and one of an account to which nobody has the keys."""
    path = tmp_path_factory.mktemp("inventory") / "hosts.json"
    connection = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    hosts = {"example": connection, "locked": connection | {"eks_profile": "nobody"}}
    path.write_text(json.dumps({"eks_clusters": {"hosts": hosts, "vars": {"eks_region": "eu-west-1"}}}))
    return str(path)


@pytest.fixture(scope="module")
def play(sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A play with the role alone, and a look at its facts."""
    play = {
        "name": "The proof",
        "hosts": "eks_clusters",
        "gather_facts": False,
        "module_defaults": {
            "group/podidentity.eks.aws": {"profile": "{{ eks_profile | default(omit) }}"},
            "group/podidentity.eks.k8s": {"kubeconfig": str(sandbox.kubeconfig)},
        },
        "roles": ["podidentity.eks.verify"],
        "post_tasks": [
            {
                "name": "The facts",
                "ansible.builtin.assert": {
                    "that": [
                        "podidentity_proof == verify_proofs",
                        "verify_proofs | map(attribute='service_account') | list == ['app']",
                        "verify_failed_items == []",
                    ]
                },
                "when": "not ansible_check_mode",
            }
        ],
    }
    path = tmp_path_factory.mktemp("play") / "play.yml"
    path.write_text(json.dumps([play]), encoding="utf-8")
    return str(path)


@pytest.fixture
def files(tmp_path: pathlib.Path) -> dict[str, str]:
    """Where a run is to leave its proofs."""
    return {"podidentity_proof_file": str(tmp_path / "p.json"), "podidentity_junit_file": str(tmp_path / "p.xml")}


def failures_in(files: dict[str, str]) -> dict[str, str | None]:
    """The test results of a run: the type of each failure by test case, None for a success."""
    root = ET.parse(files["podidentity_junit_file"]).getroot()
    found = {}
    for case in root.iter("testcase"):
        failure = case.find("failure")
        found[f"{case.get('classname')}.{case.get('name')}"] = None if failure is None else failure.get("type")
    return found


@pytest.mark.parametrize("step", ["plan", "observe", "prove", "judge", "report"])
def test_each_step_can_be_chosen_by_its_tag(step: str) -> None:
    """All of them are one task."""
    [reconcile, judged] = yaml.safe_load((ROOT / "roles" / "verify" / "tasks" / "main.yml").read_text(encoding="utf-8"))
    assert f"verify_{step}" in reconcile["tags"] and f"verify_{step}" in judged["tags"]


def test_check_mode_reports_what_it_would_prove(
    playbook: Playbooks, cluster: Kubernetes, play: str, inventory: str, files: dict[str, str]
) -> None:
    run = playbook(
        play,
        "--check",
        "--limit=example",
        "--tags=verify_plan",
        inventory=inventory,
        podidentity_workloads=[workload("app"), workload("early") | {"state": "absent"}],
        verify_mode="exec",
        **t.cast("dict[str, t.Any]", files),
    )
    assert (run.code, run.count("changed", "example")) == (0, 0)
    said = " ".join(run.output.split())
    assert (
        "a ready pod in cluster example would prove the identity of team-a/app, allow sts.get_caller_identity" in said
    )
    assert "team-a/early" not in said
    assert cluster.leftovers() == [] and not any(pathlib.Path(path).exists() for path in files.values())


def test_publishes_proofs_and_why_there_are_none(
    playbook: Playbooks, cluster: Kubernetes, play: str, inventory: str, files: dict[str, str]
) -> None:
    """One cluster is proven, and nothing of the other can be read; no secret of the pods is shown meanwhile."""
    run = playbook(
        play,
        "-vvv",
        inventory=inventory,
        env={"ANSIBLE_SHOW_CUSTOM_STATS": "1"},
        podidentity_workloads=[workload("app")],
        verify_proxy={"http_proxy": f"http://user:{SECRET}@proxy.example:3128", "no_proxy": "127.0.0.1"},
        verify_env=[{"name": "TEAM", "value": SECRET}],
        **t.cast("dict[str, t.Any]", files),
    )
    assert (run.count("failed", "example"), run.count("failed", "locked")) == (0, 1)
    assert run.count("changed", "example") == 0
    assert SECRET not in run.output
    assert "PROVEN team-a/app in cluster example" in run.output
    proofs = json.loads(pathlib.Path(files["podidentity_proof_file"]).read_text(encoding="utf-8"))
    assert [(one["cluster"], one["proven"]) for one in proofs] == [("example", True), ("locked", False)]
    assert proofs[0]["calls"][0]["shown"] == "111122223333"
    assert proofs[1]["cause"]["id"] == "verification_failed" and "profile" in proofs[1]["cause"]["text"]
    assert failures_in(files) == {"example.team-a.app": None, "locked.team-a.app": "verification_failed"}
    stats = run.output[run.output.index("CUSTOM STATS") :]
    assert [word for word in ("podidentity_proof", "cluster: example", "cluster: locked") if word not in stats] == []
    assert cluster.leftovers() == []


def processes_of(pid: int) -> list[int]:
    """A process and all that it has started; a worker of Ansible and its module have sessions of their own."""
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    return [pid, *(one for child in children for one in processes_of(int(child)))]


@pytest.fixture
def verifying(
    playbook: Playbooks, cluster: Kubernetes, play: str, inventory: str
) -> t.Iterator[subprocess.Popen[bytes]]:
    """A run that waits for two Jobs, of which one has ended and the other one never does."""
    cluster.batch.delete_collection_namespaced_job("team-a", propagation_policy="Background")
    eventually(lambda: cluster.leftovers() == [])
    workloads = [workload("app"), workload("image", node_selector=NO_NODE)]
    settings = {"podidentity_workloads": workloads, "verify_timeout": 30}
    command = ["ansible-playbook", "-i", inventory, play, "--limit=example", "--extra-vars", json.dumps(settings)]
    run = subprocess.Popen(
        command,
        cwd=ROOT,
        env=playbook.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    eventually(lambda: [job for job in cluster.jobs() if job.status.succeeded] and len(cluster.leftovers()) == 4)
    yield run
    assert run.wait(TIMEOUT) != 0
    eventually(lambda: cluster.leftovers() == [])


def test_interrupted_run_removes_its_jobs(cluster: Kubernetes, verifying: subprocess.Popen[bytes]) -> None:
    """As with Ctrl-C; the Jobs would end by themselves after the test's patience only."""
    for job in cluster.jobs():
        assert (job.spec.active_deadline_seconds, job.spec.ttl_seconds_after_finished) == (90, 90)
    verifying.send_signal(signal.SIGINT)


def test_jobs_of_killed_run_go_by_themselves(cluster: Kubernetes, verifying: subprocess.Popen[bytes]) -> None:
    """The test makes their times shorter and changes nothing else."""
    for pid in processes_of(verifying.pid):
        os.kill(pid, signal.SIGKILL)
    verifying.wait(TIMEOUT)
    assert len(cluster.jobs()) == 2
    for job in cluster.jobs():
        assert (job.spec.active_deadline_seconds, job.spec.ttl_seconds_after_finished) == (90, 90)
        times = {"activeDeadlineSeconds": 1, "ttlSecondsAfterFinished": 1}
        cluster.batch.patch_namespaced_job(job.metadata.name, job.metadata.namespace, {"spec": times})
