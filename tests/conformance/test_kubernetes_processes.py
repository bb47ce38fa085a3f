# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pods as plain processes, as they run where a machine has no namespaces; and that no pod outlives its sandbox."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile
import typing as t

import kubernetes
import pytest
from support.boto3_account import QUICK
from support.boto3_account import Account
from support.boto3_account import wait_for
from support.kubernetes_cluster import CLUSTER
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import eventually
from support.kubernetes_cluster import pod
from support.pods import execute
from support.pods import run_pod
from support.pods import running_processes
from support.sandbox_process import POD_MODE
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.client("kubernetes client")


@pytest.fixture(scope="module")
def cluster() -> t.Iterator[Cluster]:
    """A cluster whose pods are processes, whatever this machine could do.

    Its folder is below /tmp, wherever the tests run: pods mount volumes there, and paths must not be mistaken.
    """
    sandbox = SandboxProcess("--pod-mode", "processes")
    with tempfile.TemporaryDirectory(prefix="sandbox-processes-", dir="/tmp") as directory:
        sandbox.start(pathlib.Path(directory))
        try:
            sandbox.knobs(**QUICK)
            yield Cluster(sandbox)
        finally:
            sandbox.stop()


def test_node_reports_process_runtime(cluster: Cluster) -> None:
    for node in cluster.core.list_node().items:
        assert node.status.node_info.container_runtime_version.startswith("processes://")


def test_volume_at_tmp_leaves_other_paths_unchanged(cluster: Cluster, namespace: str) -> None:
    # The sandbox's own folder is below /tmp: its paths must not be taken for the pod's.
    assert cluster.sandbox.directory.is_relative_to("/tmp")
    script = "echo $A > /tmp/a; cat /tmp/a; echo /tmpfoo /var/tmp /tmp-x /tmp; pwd; test -d /tmp/../tmp; echo $(B)"
    volumes = [{"name": "tmp", "emptyDir": {}}, {"name": "deep", "emptyDir": {}}]
    body = pod("tmp", "sh", "-c", script, volumes=volumes)
    mounts = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "deep", "mountPath": "/tmp/deep/"}]
    variables = [{"name": "A", "value": "/tmp/x:/var/tmp:/tmp/deep/y"}, {"name": "B", "value": "--to=/tmp/deep"}]
    body["spec"]["containers"][0] |= {"volumeMounts": mounts, "env": variables, "workingDir": "/tmp"}
    assert run_pod(cluster, namespace, body).status.phase == "Succeeded"
    listed, plain, folder, expanded = cluster.log("tmp", namespace).splitlines()
    _, _, _, real = plain.split()
    deep = str(pathlib.Path(real).with_name("deep"))
    assert real.endswith("/volumes/tmp")
    assert plain == f"/tmpfoo /var/tmp /tmp-x {real}"
    assert listed == f"{real}/x:/var/tmp:{deep}/y"
    assert folder == real
    assert expanded == f"--to={deep}"


def test_each_container_has_its_own_mounts(cluster: Cluster, namespace: str) -> None:
    volumes: list[dict[str, t.Any]] = [{"name": name, "emptyDir": {}} for name in ("one", "two")]
    body = pod("mounts", "sh", "-c", "echo /data", volumes=volumes)
    [first] = body["spec"]["containers"]
    body["spec"]["containers"] = [
        {**first, "name": name, "volumeMounts": [{"name": name, "mountPath": "/data"}]} for name in ("one", "two")
    ]
    assert run_pod(cluster, namespace, body).status.phase == "Succeeded"
    for name in ("one", "two"):
        log = cluster.core.read_namespaced_pod_log("mounts", namespace, container=name)
        assert log.endswith(f"/volumes/{name}\n")


def test_exec_runs_beside_its_container(cluster: Cluster, namespace: str) -> None:
    cluster.core.create_namespaced_pod(namespace, pod("open", "sleep", "60"))
    cluster.phase("open", "Running", namespace=namespace)
    session = execute(cluster, "open", namespace, "sh", "-c", "echo $HOSTNAME; exit 3")
    session.run_forever(timeout=20)
    assert (session.read_stdout(), session.returncode) == ("open\n", 3)


def test_pod_gets_its_role_from_agent_on_loopback(cluster: Cluster) -> None:
    program = "import boto3, os; print(boto3.client('sts').get_caller_identity()['Arn'])"
    cluster.service_account("s3-access-sa")
    cluster.account.eks.create_addon(clusterName=CLUSTER, addonName="eks-pod-identity-agent")
    wait_for(lambda: cluster.account.describe_addon(cluster=CLUSTER), "ACTIVE")
    body = pod("chain", "python3", "-c", program, serviceAccountName="s3-access-sa")
    assert run_pod(cluster, "default", body).status.phase == "Succeeded", cluster.log("chain")
    assert cluster.log("chain").startswith("arn:aws:sts::111122223333:assumed-role/workload/eks-")


#: A pod that would stay: a child of its own, one in another session, and one without a parent.
STUBBORN = (
    "import os, sys\n"
    "for number in sys.argv[1:3]:\n"
    "    if os.fork() == 0:\n"
    "        os.setsid()\n"
    "        if os.fork() == 0: os.execvp('sleep', ['sleep', number])\n"
    "        os._exit(0)\n"
    "os.execvp('sleep', ['sleep', sys.argv[3]])"
)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux has them")
@pytest.mark.parametrize("mode", ["processes", "auto"])
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_no_pod_outlives_its_sandbox(tmp_path: pathlib.Path, mode: str, end: str) -> None:
    if POD_MODE == "processes" and mode == "auto":
        pytest.skip("this run is about processes")
    numbers = [f"{471 + len(mode) + len(end)}{digit}.5" for digit in range(3)]
    sandbox = SandboxProcess("--pod-mode", mode)
    sandbox.start(tmp_path)
    try:
        sandbox.knobs(**QUICK)
        account = Account(sandbox)
        account.cluster("doomed")
        account.nodegroup("doomed")
        core = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(str(sandbox.kubeconfig)))
        core.create_namespaced_pod("default", pod("doomed", "python3", "-c", STUBBORN, *numbers))
        eventually(lambda: all(running_processes(f"sleep {number}") for number in numbers))
    finally:
        getattr(sandbox, end)()
    if end == "stop":
        assert not any(running_processes(f"sleep {number}") for number in numbers)
    eventually(lambda: not any(running_processes(f"sleep {number}") for number in numbers), seconds=10)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux has them")
def test_sandbox_killed_while_pods_start_leaves_none(tmp_path: pathlib.Path) -> None:
    sandbox = SandboxProcess()
    sandbox.start(tmp_path)
    try:
        sandbox.knobs(**QUICK)
        account = Account(sandbox)
        account.cluster("doomed")
        account.nodegroup("doomed")
        core = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(str(sandbox.kubeconfig)))
        for number in range(8):
            core.create_namespaced_pod("default", pod(f"pod-{number}", "sleep", "4719.5"))
        # Some run by now, some are being started.
        eventually(lambda: running_processes("4719.5"))
        started = children_of(sandbox.pid)
        assert started
    finally:
        sandbox.kill()
    eventually(lambda: not running_processes("4719.5"), seconds=10)
    eventually(lambda: not any(pathlib.Path(f"/proc/{process}").exists() for process in started), seconds=10)


def children_of(process: int) -> list[int]:
    """Processes that this one has started."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=True)
    return [int(number) for number in listed.stdout.split()]
