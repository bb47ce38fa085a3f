# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role verify in a play of a user: where it proves, what it tells, and what it leaves, also when interrupted."""

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
from support.environment import ROOT
from support.existing_cluster import ROLE_PREFIX
from support.existing_cluster import make_account
from support.existing_cluster import make_cluster
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

AGENT = {"clusterName": "example", "addonName": "eks-pod-identity-agent"}
SECRET = "the-secret"
#: A node has this label, no node has the other one.
ANY_NODE, NO_NODE = {"kubernetes.io/os": "linux"}, {"nowhere": "true"}
CALLS = {"allow": [{"service": "sts", "operation": "get_caller_identity", "show": "Account"}]}
ENV = [
    {"name": "AWS_ACCESS_KEY_ID", "value": f"AKIA{SECRET}"},
    {"name": "HTTP_PROXY", "value": f"http://user:{SECRET}@proxy.example:3128"},
]
#: Seconds that Kubernetes gets for what it should do, on a busy machine.
TIMEOUT = 60.0


class Kubernetes:
    """The cluster "example", by the official client."""

    def __init__(self, kubeconfig: pathlib.Path) -> None:
        api = kubernetes.config.new_client_from_config(str(kubeconfig))
        self.core = kubernetes.client.CoreV1Api(api)
        self.batch = kubernetes.client.BatchV1Api(api)
        self.apps = kubernetes.client.AppsV1Api(api)

    def jobs(self) -> list[t.Any]:
        return list(self.batch.list_job_for_all_namespaces().items)

    def env_of(self, part: str) -> dict[str, str]:
        """The variables that the Job with this in its name gives its pod."""
        [job] = [job for job in self.jobs() if part in job.metadata.name]
        return {entry.name: entry.value for entry in job.spec.template.spec.containers[0].env}

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

    def deploy(self, namespace: str, account: str, env: t.Sequence[t.Any] = ()) -> None:
        """A Deployment whose pods sleep, ready."""
        labels = {"app": account}
        main = {"name": "main", "image": "python:3.12", "env": list(env), "command": ["sleep", "3600"]}
        spec = {"serviceAccountName": account, "terminationGracePeriodSeconds": 1, "containers": [main]}
        template = {"metadata": {"labels": labels}, "spec": spec}
        deployment = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
        self.apps.create_namespaced_deployment(namespace, {"metadata": {"name": account}, "spec": deployment})
        eventually(lambda: self.apps.read_namespaced_deployment(account, namespace).status.ready_replicas == 2)


def eventually(look: t.Callable[[], t.Any]) -> t.Any:
    deadline = time.monotonic() + TIMEOUT
    while not (found := look()):
        assert time.monotonic() < deadline, f"nothing after {TIMEOUT} s"
        time.sleep(0.1)
    return found


def workload(account: str, namespace: str = "team-a", **prove: t.Any) -> dict[str, t.Any]:
    role = {"arn": f"{ROLE_PREFIX}app"}
    return {"namespace": namespace, "service_account": account, "role": role, "prove": {**CALLS, **prove}}


PLACED = [
    workload("app", node_selector=ANY_NODE, tolerations=[{"operator": "Exists"}]),
    workload("keys", "team-b", node_selector=ANY_NODE),
    workload("image", node_selector=ANY_NODE, image="registry.example/no-such:1"),
    workload("nobody") | {"state": "absent"},
]


@pytest.fixture(scope="module")
def cluster(sandbox: SandboxProcess) -> Kubernetes:
    """The cluster "example" with the agent, and service accounts in two namespaces, some of them with pods."""
    make_cluster(sandbox, make_account(sandbox))
    eks = sandbox.client("eks")
    eks.create_addon(**AGENT)
    eks.get_waiter("addon_active").wait(**AGENT, WaiterConfig={"Delay": 1})
    cluster = Kubernetes(sandbox.kubeconfig)
    for namespace, *accounts in (("team-a", "app", "early", "image"), ("team-b", "keys")):
        cluster.core.create_namespace({"metadata": {"name": namespace}})
        for account in accounts:
            cluster.core.create_namespaced_service_account(namespace, {"metadata": {"name": account}})
            if account == "early":
                cluster.deploy(namespace, account)
            eks.create_pod_identity_association(
                clusterName="example", namespace=namespace, serviceAccount=account, roleArn=f"{ROLE_PREFIX}app"
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
    """A play with nothing but the role."""
    play = {
        "name": "The proof",
        "hosts": "eks_clusters",
        "gather_facts": False,
        "module_defaults": {
            "group/podidentity.eks.aws": {"profile": "{{ eks_profile | default(omit) }}"},
            "group/podidentity.eks.k8s": {"kubeconfig": str(sandbox.kubeconfig)},
        },
        "roles": ["podidentity.eks.verify"],
    }
    path = tmp_path_factory.mktemp("play") / "play.yml"
    path.write_text(json.dumps([play]), encoding="utf-8")
    return str(path)


@pytest.fixture
def files(tmp_path: pathlib.Path) -> dict[str, str]:
    """Where a run is to leave its proofs."""
    return {"podidentity_proof_file": str(tmp_path / "p.json"), "podidentity_junit_file": str(tmp_path / "p.xml")}


def proofs_in(files: dict[str, str]) -> dict[str, t.Any]:
    """The proofs of a run by service account."""
    proofs = json.loads(pathlib.Path(files["podidentity_proof_file"]).read_text(encoding="utf-8"))
    return {proof["service_account"]: proof for proof in proofs}


def failures_in(files: dict[str, str]) -> dict[str, str | None]:
    """The test results of a run: the type of each failure by test case, None for a success."""
    root = ET.parse(files["podidentity_junit_file"]).getroot()
    found = {}
    for case in root.iter("testcase"):
        failure = case.find("failure")
        found[f"{case.get('classname')}.{case.get('name')}"] = None if failure is None else failure.get("type")
    return found


def test_check_mode_reports_what_it_would_prove(
    playbook: Playbooks, cluster: Kubernetes, play: str, inventory: str
) -> None:
    run = playbook(
        play,
        "--check",
        "--limit=example",
        inventory=inventory,
        podidentity_workloads=[workload("app"), workload("early") | {"state": "absent"}],
        verify_mode="exec",
    )
    assert run.code == 0
    said = " ".join(run.output.split())
    assert (
        "a ready pod in cluster example would prove the identity of team-a/app, allow sts.get_caller_identity" in said
    )
    assert "team-a/early" not in said
    assert cluster.leftovers() == []


def test_proves_workloads_where_placed_and_reports_warnings(
    playbook: Playbooks, cluster: Kubernetes, play: str, inventory: str, files: dict[str, str]
) -> None:
    cluster.deploy("team-b", "keys", ENV)
    run = playbook(
        play,
        "-vvv",
        "--limit=example",
        inventory=inventory,
        podidentity_workloads=PLACED,
        # No workload is proven there, for each has a place of its own.
        verify_node_selector=NO_NODE,
        verify_proxy={"http_proxy": f"http://user:{SECRET}@proxy.example:3128", "no_proxy": "127.0.0.1"},
        verify_keep=True,
        **t.cast("dict[str, t.Any]", files),
    )
    assert run.code != 0
    assert SECRET not in run.output, "neither a password of ours nor a variable of somebody's pod"
    proofs = proofs_in(files)
    assert {name: proof["proven"] for name, proof in proofs.items()} == {"app": True, "keys": True, "image": False}
    assert proofs["app"]["calls"][0]["shown"] == "111122223333"
    assert proofs["app"]["warnings"] == []
    assert proofs["image"]["cause"]["id"] == "image_pull_failed"
    stronger, proxy = proofs["keys"]["warnings"]
    assert stronger.startswith("Pods keys-")
    assert "container main sets AWS_ACCESS_KEY_ID" in stronger
    assert "container main sets HTTP_PROXY" in proxy
    assert failures_in(files) == {
        "example.team-a.app": None,
        "example.team-b.keys": None,
        "example.team-a.image": "image_pull_failed",
    }
    assert SECRET not in "".join(pathlib.Path(path).read_text(encoding="utf-8") for path in files.values())
    env = cluster.env_of("-app-")
    assert env["NO_PROXY"] == env["no_proxy"] == "127.0.0.1,169.254.170.23,[fd00:ec2::23]"
    assert env["HTTP_PROXY"] == env["http_proxy"] == f"http://user:{SECRET}@proxy.example:3128"
    assert not {"HTTPS_PROXY", "https_proxy"} & set(env)


def test_exec_mode_proves_in_pods_without_listing_associations(
    playbook: Playbooks,
    sandbox: SandboxProcess,
    cluster: Kubernetes,
    play: str,
    inventory: str,
    files: dict[str, str],
) -> None:
    cluster.deploy("team-a", "app")
    jobs = len(cluster.jobs())
    known = {"namespace": "team-a", "role_arn": f"{ROLE_PREFIX}app", "target_role_arn": None}
    sandbox.clear_calls()
    run = playbook(
        play,
        "--limit=example",
        inventory=inventory,
        podidentity_workloads=[workload("app"), workload("early"), workload("image")],
        verify_mode="exec",
        verify_associations=[known | {"service_account": name} for name in ("app", "early", "image")],
        **t.cast("dict[str, t.Any]", files),
    )
    assert run.code != 0
    proofs = proofs_in(files)
    assert proofs["app"]["proven"] is True
    assert proofs["app"]["pod"].startswith("app-")
    assert (proofs["app"]["mode"], proofs["app"]["container"]) == ("exec", "main")
    assert f"container main of pod {proofs['app']['pod']}" in run.output
    assert "-app-" in proofs["app"]["identity"]["session_name"]
    causes = {name: proof["cause"]["id"] for name, proof in proofs.items() if not proof["proven"]}
    assert causes == {"early": "not_injected", "image": "no_running_pod"}
    assert "podidentity.eks.restart" in proofs["early"]["advice"]
    assert len(cluster.jobs()) == jobs
    assert "eks:ListPodIdentityAssociations" not in sandbox.calls()


def test_failed_verification_is_recorded_beside_the_others(
    playbook: Playbooks, cluster: Kubernetes, play: str, inventory: str, files: dict[str, str]
) -> None:
    settings: dict[str, t.Any] = {"podidentity_workloads": [workload("app")], **files}
    run = playbook(play, inventory=inventory, **settings)
    assert (run.count("failed", "example"), run.count("failed", "locked")) == (0, 1)
    assert failures_in(files) == {"example.team-a.app": None, "locked.team-a.app": "verification_failed"}
    proofs = json.loads(pathlib.Path(files["podidentity_proof_file"]).read_text(encoding="utf-8"))
    assert "profile" in proofs[1]["cause"]["text"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_aborted_run_leaves_nothing_behind(
    playbook: Playbooks, cluster: Kubernetes, play: str, inventory: str, number: signal.Signals
) -> None:
    """Its Jobs go by themselves; the test makes their times shorter and changes nothing else."""
    cluster.batch.delete_collection_namespaced_job("team-a", propagation_policy="Background")
    cluster.batch.delete_collection_namespaced_job("team-b", propagation_policy="Background")
    eventually(lambda: cluster.leftovers() == [])
    # One Job ends at once, the other never.
    settings = {"podidentity_workloads": [workload("app"), workload("image", node_selector=NO_NODE)]}
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
    if number == signal.SIGINT:
        run.send_signal(number)
    else:
        os.killpg(run.pid, number)
    assert run.wait(TIMEOUT) != 0
    for job in cluster.jobs():
        assert (job.spec.active_deadline_seconds, job.spec.ttl_seconds_after_finished) == (180, 180)
        times = {"activeDeadlineSeconds": 1, "ttlSecondsAfterFinished": 1}
        cluster.batch.patch_namespaced_job(job.metadata.name, job.metadata.namespace, {"spec": times})
    eventually(lambda: cluster.leftovers() == [])
