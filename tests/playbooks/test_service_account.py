# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role `service_account` in a play of its own: what can be made is made, the rest said in a sentence each.

Told in order on one sandbox.
"""

from __future__ import annotations

import json
import pathlib
import re
import typing as t

import kubernetes
import pytest
from support.existing_cluster import ROLE_PREFIX
from support.existing_cluster import make_account
from support.existing_cluster import make_cluster
from support.existing_cluster import play_of
from support.operators import Operators
from support.playbooks import Playbooks
from support.playbooks import Run
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep

VIEW = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
NAMES = ["default/first", "nowhere/second", "default/third"]


def workloads(*names: str) -> list[dict[str, t.Any]]:
    parts = [name.split("/") for name in names]
    role = {"arn": f"{ROLE_PREFIX}app"}
    return [{"namespace": namespace, "service_account": name, "role": role} for namespace, name in parts]


class Story:
    """The declared service accounts of cluster "example", and who makes them."""

    def __init__(self, sandbox: SandboxProcess, playbook: Playbooks, folder: pathlib.Path) -> None:
        api = kubernetes.config.new_client_from_config(str(sandbox.kubeconfig))
        self.core = kubernetes.client.CoreV1Api(api)
        self._sandbox, self._playbook, self._path = sandbox, playbook, folder / "play.yml"
        self._people = Operators(sandbox)
        self._path.write_text(json.dumps(play_of("service_account")), encoding="utf-8")

    def __call__(self, *arguments: str, env: t.Mapping[str, str] | None = None, **settings: t.Any) -> Run:
        declared = {"podidentity_workloads": workloads(*NAMES), **settings}
        return self._playbook(str(self._path), *arguments, inventory="example,", env=env, **declared)

    def managed(self) -> set[str]:
        found = self.core.list_service_account_for_all_namespaces(label_selector="podidentity.eks/managed=true").items
        return {f"{one.metadata.namespace}/{one.metadata.name}" for one in found}

    def unknown_principal(self, name: str = "stranger") -> dict[str, str]:
        """The keys of somebody who may look at the cluster from outside."""
        statement = {"Effect": "Allow", "Action": "eks:DescribeCluster", "Resource": "*"}
        self._people.add(name, {"Version": "2012-10-17", "Statement": [statement]})
        return self._people.keys[name]

    def reader(self) -> dict[str, str]:
        """The keys of somebody who may only look, and into no namespace but one."""
        keys, eks = self.unknown_principal("reader"), self._sandbox.client("eks")
        entry = {"clusterName": "example", "principalArn": "arn:aws:iam::111122223333:user/reader"}
        eks.create_access_entry(**entry)
        scope = {"type": "namespace", "namespaces": ["default"]}
        eks.associate_access_policy(**entry, policyArn=VIEW, accessScope=scope)
        return keys


@pytest.fixture(scope="module")
def story(sandbox: SandboxProcess, playbook: Playbooks, tmp_path_factory: pytest.TempPathFactory) -> Story:
    make_cluster(sandbox, make_account(sandbox), nodes=1)
    eks = sandbox.client("eks")
    eks.update_cluster_config(name="example", accessConfig={"authenticationMode": "API_AND_CONFIG_MAP"})
    eks.get_waiter("cluster_active").wait(name="example", WaiterConfig={"Delay": 1})
    return Story(sandbox, playbook, tmp_path_factory.mktemp("story"))


@pytest.fixture(scope="module")
def reader(story: Story) -> dict[str, str]:
    return story.reader()


def words(run: Run) -> str:
    assert "HTTP response headers" not in run.output
    return " ".join(run.output.replace("\\", "").split())


def test_failed_service_account_does_not_stop_the_others(story: Story) -> None:
    checked = story("--check")
    made = story()
    for run in (checked, made):
        assert (run.code, run.count("changed", "example")) == (2, 1)
        assert (
            'Service account nowhere/second could not be created: namespaces "nowhere" not found; create the '
            "namespace, or set service_account_create_namespaces: true."
        ) in words(run)
        assert "default/third could not" not in words(run)
    assert story.managed() == {"default/first", "default/third"}


def test_next_run_creates_the_rest(story: Story) -> None:
    run = story(service_account_create_namespaces=True)
    assert (run.code, run.count("changed", "example")) == (0, 1)
    assert story.managed() == set(NAMES)
    again = story(service_account_create_namespaces=True)
    assert (again.code, again.count("changed", "example")) == (0, 0)


def test_reports_unknown_principal_in_one_sentence(story: Story) -> None:
    run = story(env=story.unknown_principal())
    assert run.code == 2
    # Whether it is asked for its kinds first, which ends with a traceback, depends on what an earlier run has left.
    sentence = r"cluster example cannot be listed: [Tt]he API server (cannot be reached, or )?does not know these cred"
    assert re.search(sentence, words(run))


def test_reports_principal_that_may_not_list(story: Story, reader: dict[str, str]) -> None:
    run = story(env=reader)
    assert run.code == 2
    assert 'The service accounts of cluster example cannot be listed: serviceaccounts is forbidden: User "' in words(
        run
    )
    # Ansible itself says it twice.
    assert words(run).count("allow it by RBAC, which the filter podidentity.eks.pod_identity_operator_rbac makes.") == 2


def test_check_mode_reports_what_a_reader_cannot_try(story: Story, reader: dict[str, str]) -> None:
    here = workloads("default/first", "default/fourth")
    checked = story("--check", env=reader, podidentity_workloads=here)
    assert (checked.code, checked.count("changed", "example")) == (0, 1)
    assert (
        "Service account default/fourth would be created. Check mode could not try it: serviceaccounts is forbidden"
    ) in words(checked)
    run = story(env=reader, podidentity_workloads=here)
    assert (run.code, run.count("changed", "example")) == (2, 0)
    assert "Service account default/fourth could not be created: serviceaccounts is forbidden" in words(run)
    gone = story("--check", env=reader, podidentity_workloads=here, service_account_state="absent")
    assert (gone.code, gone.count("changed", "example")) == (0, 1)
    assert "Service account default/first would be deleted. Check mode could not try it" in words(gone)
    kept = story(env=reader, podidentity_workloads=here, service_account_state="absent")
    assert (kept.code, kept.count("changed", "example")) == (2, 0)
    assert "Service account default/first could not be deleted: serviceaccounts" in words(kept)
    assert story.managed() == set(NAMES)


def test_removal_deletes_service_accounts_and_keeps_namespace(story: Story) -> None:
    run = story(service_account_state="absent")
    assert (run.code, run.count("changed", "example")) == (0, 1)
    assert story.managed() == set()
    assert "nowhere" in [one.metadata.name for one in story.core.list_namespace().items]
