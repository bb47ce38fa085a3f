# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the programs of the real control plane come from; a script stands in for the Go compiler."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest
from support.environment import ROOT
from support.sandbox_process import PYTHON

PROGRAMS = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
WORKING_COMPILER = 'for last; do [ "$previous" = -o ] && echo program > "$last"; previous=$last; done'
FAILING_COMPILER = "echo go: downloading k8s.io/api >&2; echo 'dial tcp: no route to host' >&2; exit 1"


def prepare(**environment: str) -> subprocess.CompletedProcess[str]:
    """``eks_sandbox control-plane`` with these variables."""
    kept = {name: value for name, value in os.environ.items() if name != "KUBEBUILDER_ASSETS"}
    env = {**kept, "PYTHONPATH": str(ROOT / "sandbox"), **environment}
    return subprocess.run(
        [PYTHON, "-m", "eks_sandbox", "control-plane"], env=env, capture_output=True, text=True, check=False
    )


@pytest.fixture
def machine(tmp_path: pathlib.Path) -> dict[str, str]:
    """The environment of a machine with an empty cache, and with a Go of the test's own on its path."""
    (tmp_path / "bin").mkdir()
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {"SANDBOX_CONTROL_PLANE_CACHE": str(tmp_path / "cache"), "PATH": path}


def install_compiler(machine: dict[str, str], behaviour: str) -> None:
    """A Go that is new enough, and behaves like this when it is to build."""
    script = f'#!/bin/sh\nif [ "$1" = version ]; then echo go version go1.99.0 linux/amd64; exit; fi\n{behaviour}\n'
    path = pathlib.Path(machine["PATH"].partition(os.pathsep)[0]) / "go"
    path.write_text(script, encoding="utf-8")
    path.chmod(0o755)


def test_control_plane_uses_the_named_folder(tmp_path: pathlib.Path) -> None:
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / name).touch()
    done = prepare(KUBEBUILDER_ASSETS=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert str(tmp_path) in done.stdout


def test_control_plane_refuses_folder_without_programs(tmp_path: pathlib.Path) -> None:
    (tmp_path / "etcd").touch()
    done = prepare(KUBEBUILDER_ASSETS=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == f"eks-sandbox: KUBEBUILDER_ASSETS names {tmp_path}, where there is no kube-apiserver.\n"


def test_second_run_uses_the_programs_built_before(machine: dict[str, str]) -> None:
    install_compiler(machine, WORKING_COMPILER)
    first = prepare(**machine)
    assert first.returncode == 0, first.stderr
    assert [f"Building {name} ..." in first.stdout for name in PROGRAMS] == [True] * 4
    cache = pathlib.Path(machine["SANDBOX_CONTROL_PLANE_CACHE"])
    [folder] = [path for path in cache.iterdir() if path.is_dir()]
    assert folder.name.startswith("v1.35.")
    assert sorted(path.name for path in folder.iterdir()) == PROGRAMS
    second = prepare(**machine)
    assert "Building" not in second.stdout
    assert str(folder) in second.stdout


def test_failed_build_reports_its_cause_and_can_be_retried(machine: dict[str, str]) -> None:
    install_compiler(machine, FAILING_COMPILER)
    failed = prepare(**machine)
    assert failed.returncode == 1
    assert failed.stderr.startswith("eks-sandbox: etcd cannot be built; ")
    assert failed.stderr.endswith("dial tcp: no route to host\n")
    install_compiler(machine, WORKING_COMPILER)
    assert prepare(**machine).returncode == 0


def test_concurrent_builds_build_each_program_once(machine: dict[str, str], tmp_path: pathlib.Path) -> None:
    install_compiler(machine, f"echo built >> {tmp_path / 'count'}; sleep 0.2; {WORKING_COMPILER}")
    env = {**os.environ, "PYTHONPATH": str(ROOT / "sandbox"), **machine}
    env.pop("KUBEBUILDER_ASSETS", None)
    command = [str(PYTHON), "-m", "eks_sandbox", "control-plane"]
    both = [subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert len((tmp_path / "count").read_text(encoding="utf-8").splitlines()) == len(PROGRAMS)
