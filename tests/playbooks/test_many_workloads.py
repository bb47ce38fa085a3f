# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Five hundred workloads in one task of the role association, as a person runs them and reads about them."""

from __future__ import annotations

import collections
import json
import pathlib
import typing as t

import pytest
from support.existing_cluster import ROLE_PREFIX
from support.existing_cluster import make_account
from support.existing_cluster import make_cluster
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep

COUNT = 500
PLAY: dict[str, t.Any] = {
    "name": "Who gets which role",
    "hosts": "localhost",
    "connection": "local",
    "gather_facts": False,
    "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
    "roles": [{"role": "podidentity.eks.association", "association_cluster_name": "example"}],
}


@pytest.fixture(scope="module")
def account(sandbox: SandboxProcess) -> None:
    """An account with the cluster "example"."""
    make_cluster(sandbox, make_account(sandbox))


@pytest.fixture
def story(tmp_path: pathlib.Path) -> str:
    """A playbook whose workloads come from extra variables, as they come from an inventory."""
    path = tmp_path / "story.yml"
    path.write_text(json.dumps([PLAY]), encoding="utf-8")
    return str(path)


def workloads() -> list[dict[str, t.Any]]:
    return [
        {
            "namespace": f"team-{number % 20}",
            "service_account": f"app-{number}",
            "role": {"arn": f"{ROLE_PREFIX}app"},
            "tags": {"team": str(number % 20)},
        }
        for number in range(COUNT)
    ]


def block_lines(output: str) -> list[str]:
    """What the diff of the one task shows."""
    lines = output.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("--- before"))
    return lines[first : next(number for number in range(first, len(lines)) if not lines[number].strip())]


def test_creates_500_associations_once_then_changes_nothing(
    playbook: Playbooks, sandbox: SandboxProcess, account: None, story: str
) -> None:
    declared = workloads()
    predicted = playbook(story, "--check", "--diff", inventory="localhost,", podidentity_workloads=declared)
    assert predicted.code == 0
    assert f"+++ after: associations of cluster example: {COUNT} to create (the first 25 of" in predicted.output
    assert len(block_lines(predicted.output)) < 25 * 7

    sandbox.clear_calls()
    assert playbook(story, inventory="localhost,", podidentity_workloads=declared).count("changed", "localhost") == 1
    assert sandbox.calls()["eks:CreatePodIdentityAssociation"] == COUNT
    sandbox.clear_calls()
    again = playbook(story, "--diff", inventory="localhost,", podidentity_workloads=declared)
    assert again.count("changed", "localhost") == 0
    assert "--- before" not in again.output, "nothing changes, nothing is shown"
    looks = {"eks:ListPodIdentityAssociations": 5, "eks:DescribePodIdentityAssociation": COUNT}
    assert collections.Counter(sandbox.calls()) == looks


def test_diff_of_500_associations_shows_only_changes(
    playbook: Playbooks, sandbox: SandboxProcess, account: None, story: str
) -> None:
    declared = workloads()
    playbook(story, inventory="localhost,", podidentity_workloads=declared)
    declared[7]["role"] = {"arn": f"{ROLE_PREFIX}app-v2"}
    gone = declared.pop()
    settings: dict[str, t.Any] = {"podidentity_workloads": declared, "association_purge": "cluster"}
    run = playbook(story, "--check", "--diff", inventory="localhost,", **settings)
    assert run.code == 0
    block = block_lines(run.output)
    assert block[1].endswith(f"1 to update, 1 to delete, {COUNT - 2} unchanged")
    assert f"-        role_arn: {ROLE_PREFIX}app" in block
    assert f"+        role_arn: {ROLE_PREFIX}app-v2" in block
    assert f"-    {gone['namespace']}/{gone['service_account']}:" in block
    assert len(block) < 20
