# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The programs of real clusters: they live as long as their cluster, and not a moment longer."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import typing as t

import kubernetes
import pytest
from support.boto3_account import QUICK
from support.boto3_account import Account
from support.kubernetes_cluster import eventually
from support.sandbox_process import SandboxProcess

pytestmark = [pytest.mark.client("kubernetes client"), pytest.mark.usefixtures("only_on_envtest")]

PROGRAMS = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]


@pytest.fixture
def account(only_on_envtest: None, tmp_path: pathlib.Path) -> t.Iterator[Account]:
    """The account of a sandbox of the test's own."""
    sandbox = SandboxProcess()
    sandbox.start(tmp_path)
    sandbox.knobs(**QUICK)
    yield Account(sandbox)
    sandbox.stop()


def running_programs(sandbox: SandboxProcess) -> dict[int, str]:
    """The programs that this sandbox has started, by process id."""
    command = ["ps", "-eo", "pid=,ppid=,comm="]
    rows = [row.split(None, 2) for row in subprocess.check_output(command, text=True).splitlines()]
    return {int(pid): name for pid, parent, name in rows if int(parent) == sandbox.pid and name[:15] in SHORT_NAMES}


#: The kernel keeps 15 characters of a name.
SHORT_NAMES = [name[:15] for name in PROGRAMS]


def test_clusters_run_side_by_side_until_a_reset(account: Account) -> None:
    account.cluster("one")
    account.cluster("two")
    assert sorted(running_programs(account.sandbox).values()) == sorted(SHORT_NAMES * 2)
    uids = set()
    for name in ("one", "two"):
        api = kubernetes.config.new_client_from_config(str(account.sandbox.kubeconfig), context=name)
        uids.add(kubernetes.client.CoreV1Api(api).read_namespace("kube-system").metadata.uid)
    assert len(uids) == 2
    account.sandbox.reset()
    assert running_programs(account.sandbox) == {}


def test_killed_sandbox_leaves_no_programs_running(account: Account) -> None:
    account.cluster("one")
    programs = running_programs(account.sandbox)
    assert sorted(programs.values()) == sorted(SHORT_NAMES)
    account.sandbox.kill()
    eventually(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in programs))


def test_log_reports_program_that_exits_unexpectedly(account: Account) -> None:
    account.cluster("one")
    [scheduler] = [pid for pid, name in running_programs(account.sandbox).items() if name == "kube-scheduler"]
    os.kill(scheduler, signal.SIGKILL)
    eventually(lambda: "kube-scheduler has ended with status -9" in account.sandbox.log)
