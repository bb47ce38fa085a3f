# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check mode predicts the run item by item, or fails as the run does, and writes nothing.

Each declaration is a host of one inventory. Its account is read before and after the run by ordinary clients, and what
differs is compared with the plan of the check run. ``pytest -s`` prints the table of declarations; it is written to
``check-predicts.md`` in the folder of the test as well.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing as t

import pytest
from support import declarations
from support.account_state import AccountReader
from support.account_state import differences
from support.declarations import Case
from support.declarations import Place
from support.environment import ROOT
from support.existing_cluster import make_account
from support.existing_cluster import writes
from support.iam_roles import make_role
from support.iam_roles import trust_policy
from support.playbooks import Playbooks
from support.predictions import Changes
from support.predictions import contradictions
from support.predictions import predicted
from support.predictions import sentences
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep

CONNECTION = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
FORKS = "4"
#: Seconds for a run of many declarations, on a busy machine.
PATIENCE = 900


@dataclasses.dataclass
class Outcome:
    """What became of the declarations of one cluster."""

    host: str
    cases: list[Case]
    check_failed: str = ""
    run_failed: str = ""
    said: Changes = dataclasses.field(default_factory=dict)
    done: Changes = dataclasses.field(default_factory=dict)
    again: Changes = dataclasses.field(default_factory=dict)

    def rows(self) -> t.Iterator[str]:
        for case in self.cases:
            said, done = (self._of(case, changes) for changes in (self.said, self.done))
            check = self.check_failed or "; ".join(said) or "no change"
            run = "the same changes" if said == done else "; ".join(done) or "no change"
            if self.run_failed:
                run = "the same sentence" if self.run_failed == self.check_failed else self.run_failed
            yield f"| {case.name} | {case.state} | {case.what} | {check} | {run} |".replace("\n", " ")

    def _of(self, case: Case, changes: Changes) -> list[str]:
        """The changes of one declaration, where there are others."""
        return [one for one in sentences(changes) if len(self.cases) == 1 or case.name.removesuffix("-1") in one]


class Comparison:
    """Runs a playbook in check mode, for real, and once more, for many declarations at once."""

    def __init__(self, sandbox: SandboxProcess, playbook: Playbooks, folder: pathlib.Path) -> None:
        self._sandbox, self._folder = sandbox, folder
        self._playbook = dataclasses.replace(playbook, patience=PATIENCE)
        self._reader = AccountReader(sandbox)
        self.rows: list[str] = []

    def compare(self, name: str, cases: t.Sequence[Case], *arguments: str) -> list[Outcome]:
        """The outcomes; asserts that the check run has written nothing."""
        for case in cases:
            case.before(Place(self._sandbox, case.host, case.name))
        names = list(dict.fromkeys(case.host for case in cases))
        before = self._reader.read(names)
        self._sandbox.clear_calls()
        plans, refused = self._run(name, cases, "--check", *arguments)
        assert writes(self._sandbox) == []
        checked = self._reader.read(names)
        assert [sentences(differences(before[host], checked[host])) for host in names] == [[]] * len(names)
        _plans, failed = self._run(name, cases, *arguments)
        after = self._reader.read(names)
        found = [Outcome(host, [case for case in cases if case.host == host]) for host in names]
        for outcome in found:
            host = outcome.host
            outcome.check_failed, outcome.run_failed = refused.get(host, ""), failed.get(host, "")
            outcome.said = predicted(plans[host]) if host in plans else {}
            outcome.done = differences(before[host], after[host])
        whole = [outcome for outcome in found if not outcome.run_failed]
        if whole:
            self._run(name, [case for outcome in whole for case in outcome.cases], *arguments)
            final = self._reader.read(names)
            for outcome in whole:
                outcome.again = differences(after[outcome.host], final[outcome.host])
        self.rows += [row for outcome in found for row in outcome.rows()]
        return found

    def _run(self, name: str, cases: t.Sequence[Case], *arguments: str) -> tuple[dict[str, t.Any], dict[str, str]]:
        """The plans and the last failure of each host."""
        names = list(dict.fromkeys(case.host for case in cases))
        usual = {**CONNECTION, "eks_region": declarations.REGION}
        hosts = {host: usual | declarations.merged(case for case in cases if case.host == host) for host in names}
        inventory = self._folder / f"{name}.json"
        inventory.write_text(json.dumps({"eks_clusters": {"hosts": hosts}}), encoding="utf-8")
        failures, plan = self._folder / "failures", self._folder / "plan.json"
        for path in (failures, plan):
            path.unlink(missing_ok=True)
        env = {
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests" / "support" / "callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "failures",
            "ANSIBLE_PIPELINING": "1",
            "FAILURES_FILE": str(failures),
        }
        playbook, *more = arguments[::-1]
        run = self._playbook(
            playbook, *more[::-1], "--forks", FORKS, env=env, inventory=str(inventory), podidentity_plan_file=str(plan)
        )
        lines = failures.read_text(encoding="utf-8").splitlines() if failures.exists() else []
        last = {one["host"]: one["msg"] for one in map(json.loads, lines)}
        failed = {host: last[host] for host in names if run.count("failed", host)}
        found = json.loads(plan.read_text(encoding="utf-8")) if plan.exists() else []
        return {one["cluster"]: one for one in found}, failed


@pytest.fixture(scope="module")
def comparison(
    sandbox: SandboxProcess, playbook: Playbooks, tmp_path_factory: pytest.TempPathFactory
) -> t.Iterator[Comparison]:
    """The account with the clusters of others, and what the declarations name; prints the table at the end."""
    folder = tmp_path_factory.mktemp("comparison")
    sandbox.knobs(cluster_seconds=0.1, nodegroup_seconds=0.1, addon_seconds=0.1, nat_gateway_seconds=0.1)
    subnets, eks = make_account(sandbox), sandbox.client("eks")
    make_role(sandbox.client("iam"), "people", "ec2.amazonaws.com")
    sandbox.client("iam").create_user(UserName="anna")
    sandbox.client("iam").create_role(
        RoleName="operators", Path="/path/", AssumeRolePolicyDocument=trust_policy("ec2.amazonaws.com")
    )
    names = [declarations.THEIRS, *dict.fromkeys(case.host for case in declarations.ON_CLUSTERS)]
    for name in names:
        eks.create_cluster(
            name=name,
            roleArn=f"arn:aws:iam::{declarations.ACCOUNT}:role/eks-cluster",
            resourcesVpcConfig={"subnetIds": subnets},
            accessConfig={"authenticationMode": "API_AND_CONFIG_MAP"},
        )
    for name in names:
        Place(sandbox, name).active()
    found = Comparison(sandbox, playbook, folder)
    yield found
    head = "| declaration | state | what | check | run |\n|---|---|---|---|---|"
    table = "\n".join([head, *found.rows])
    (folder / "check-predicts.md").write_text(f"{table}\n", encoding="utf-8")
    print(f"\n{table}")


def complaints(outcomes: t.Sequence[Outcome]) -> dict[str, list[str]]:
    """By declaration, everything in which the run was not what the check run has said."""
    found = {}
    for outcome in outcomes:
        lines = []
        if outcome.check_failed != outcome.run_failed:
            lines.append(f"check: {outcome.check_failed or 'ok'} / run: {outcome.run_failed or 'ok'}")
        lines += [
            f"{case.name} was to fail with {case.fails!r}: {outcome.run_failed or 'ok'}"
            for case in outcome.cases
            if case.fails not in outcome.run_failed or bool(case.fails) != bool(outcome.run_failed)
        ]
        if not outcome.run_failed:
            lines += contradictions(outcome.said, outcome.done)
        lines += [f"second run: {line}" for line in sentences(outcome.again)]
        if lines:
            found[outcome.host] = lines
            print("\n".join([f"CONTRADICTIONS of {outcome.host}:", *lines]), flush=True)
    return found


def changing(cases: t.Sequence[Case], **more: t.Any) -> list[Case]:
    """The same without the phases that prove."""
    given = {"workload_phases": declarations.PHASES, **more}
    return [dataclasses.replace(case, declared={**given, **case.declared}) for case in cases]


def test_workloads_change_as_predicted(comparison: Comparison) -> None:
    outcomes = comparison.compare("workloads", changing(declarations.ON_CLUSTERS), "playbooks/workload.yml")
    assert complaints(outcomes) == {}


def test_complete_workloads_change_as_predicted(comparison: Comparison) -> None:
    cases = [declarations.afterwards(case) for case in declarations.ON_CLUSTERS]
    outcomes = comparison.compare("workloads", changing(cases), "playbooks/workload.yml")
    assert complaints(outcomes) == {}


def test_refusals_are_those_of_the_run(comparison: Comparison) -> None:
    outcomes = comparison.compare(
        "refused", changing(declarations.REFUSED, eks_cluster_name=declarations.THEIRS), "playbooks/workload.yml"
    )
    assert complaints(outcomes) == {}
    # An association needs no service account, so a role is created for what lacks a namespace.
    assert {outcome.host for outcome in outcomes if outcome.done} == {"f-space"}


def test_new_clusters_are_as_predicted(comparison: Comparison) -> None:
    outcomes = comparison.compare("created", changing(declarations.CREATED), "playbooks/site.yml")
    assert complaints(outcomes) == {}


def test_changed_clusters_are_as_predicted(comparison: Comparison) -> None:
    outcomes = comparison.compare("changed", changing(declarations.CHANGED), "playbooks/site.yml")
    assert complaints(outcomes) == {}


def test_clusters_that_cannot_be_are_refused_alike(comparison: Comparison) -> None:
    outcomes = comparison.compare("unborn", changing(declarations.UNBORN), "playbooks/site.yml")
    assert complaints(outcomes) == {}
