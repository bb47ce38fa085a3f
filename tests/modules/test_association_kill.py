# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run that the kernel ends at any moment, in a process of its own: the next run converges."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time
import typing as t

import pytest
from support.associations import MANAGED_TAG
from support.associations import ROLE
from support.associations import Run
from support.associations import create_unmanaged_association
from support.associations import stored
from support.associations import stored_names
from support.environment import ROOT
from support.module_runs import Account

MODULE = "eks_pod_identity_associations"
MAIN = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.podidentity.eks.plugins.modules import eks_pod_identity_associations
with patch_module_args(json.load(open(sys.argv[1], encoding="utf-8"))):
    eks_pod_identity_associations.main()
"""
COUNT = 40


def start(folder: pathlib.Path, **params: t.Any) -> subprocess.Popen[bytes]:
    """The module in a process of its own, with the environment of the test."""
    arguments = folder / "arguments.json"
    arguments.write_text(json.dumps(params), encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(ROOT / ".cache" / "collections")}
    return subprocess.Popen([sys.executable, "-c", MAIN, str(arguments)], env=env, stdout=subprocess.DEVNULL)


def kill_after(process: subprocess.Popen[bytes], account: Account, operation: str, calls: int) -> None:
    """Kill a module that has made so many calls of an operation."""
    deadline = time.monotonic() + 60
    while account.sandbox.calls().get(operation, 0) < calls:
        assert process.poll() is None, "it has ended before"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.wait()


def declared(role: str) -> list[dict[str, t.Any]]:
    accounts = [f"app-{number:02}" for number in range(COUNT)]
    return [{"namespace": "team-a", "service_account": account, "role_arn": f"{ROLE}{role}"} for account in accounts]


@pytest.mark.parametrize("calls", [1, COUNT // 2, COUNT - 10])
def test_next_run_finishes_killed_creates(run: Run, example: Account, tmp_path: pathlib.Path, calls: int) -> None:
    settings: dict[str, t.Any] = {"cluster_name": "example", "associations": declared("app"), "concurrency": 2}
    example.sandbox.knobs(latency_seconds=0.05)
    kill_after(start(tmp_path, **settings), example, "eks:CreatePodIdentityAssociation", calls)
    example.sandbox.knobs(latency_seconds=0)
    made = len(stored_names(example))
    assert 0 < made < COUNT
    result = run(MODULE, **settings)
    # What was under way when the caller was killed may still be carried out.
    assert len(result["created"]) + len(result["unchanged"]) == COUNT
    assert made <= len(result["unchanged"]) <= made + settings["concurrency"]
    assert run(MODULE, **settings)["changed"] is False


@pytest.mark.parametrize("operation", ["UntagResource", "UpdatePodIdentityAssociation", "TagResource"])
@pytest.mark.parametrize("next_role", ["app", "app-v2"])
def test_killed_fast_mode_update_leaves_no_wrong_spec_hash(
    run: Run, example: Account, tmp_path: pathlib.Path, operation: str, next_role: str
) -> None:
    settings: dict[str, t.Any] = {"cluster_name": "example", "mode": "fast", "concurrency": 2}
    run(MODULE, **settings, associations=declared("app"))
    example.sandbox.clear_calls()
    example.sandbox.knobs(latency_seconds=0.05)
    kill_after(start(tmp_path, **settings, associations=declared("app-v2")), example, f"eks:{operation}", 5)
    example.sandbox.knobs(latency_seconds=0)
    # Forward to what the killed run wanted, or back to what was there before it.
    assert not run(MODULE, **settings, associations=declared(next_role))["failed"]
    names = stored_names(example)
    assert {stored(example, name)["roleArn"] for name in names} == {f"{ROLE}{next_role}"}
    assert run(MODULE, **settings, associations=declared(next_role))["changed"] is False


def test_next_run_finishes_killed_purge(run: Run, example: Account, tmp_path: pathlib.Path) -> None:
    run(MODULE, cluster_name="example", associations=declared("app"))
    create_unmanaged_association(example, "team-b/theirs")
    settings: dict[str, t.Any] = {"cluster_name": "example", "associations": [], "purge": "cluster", "concurrency": 2}
    example.sandbox.clear_calls()
    example.sandbox.knobs(latency_seconds=0.05)
    kill_after(start(tmp_path, **settings), example, "eks:DeletePodIdentityAssociation", 5)
    example.sandbox.knobs(latency_seconds=0)
    left = [name for name in stored_names(example) if stored(example, name)["tags"].get(MANAGED_TAG)]
    assert 0 < len(left) < COUNT
    assert len(left) - settings["concurrency"] <= len(run(MODULE, **settings)["deleted"]) <= len(left)
    assert stored_names(example) == ["team-b/theirs"]
