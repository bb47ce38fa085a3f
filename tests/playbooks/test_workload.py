# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`playbooks/workload.yml` on a cluster that somebody else has made and runs workloads in, told in order.

The webhooks hear of an association late and at different times, and pods are there before it.
"""

from __future__ import annotations

import collections
import json
import pathlib
import re
import time
import typing as t

import kubernetes
import pytest
from support.existing_cluster import make_account
from support.existing_cluster import make_cluster
from support.existing_cluster import writes
from support.iam_roles import make_role
from support.playbooks import Playbooks
from support.playbooks import Run
from support.sandbox_process import SandboxProcess

HOST = "example"
TEAMS = ("team-0", "team-1", "team-2", "team-3")
COUNT = 10
#: Workloads that run already, with service accounts that their teams have made.
EARLY = ("app-0", "app-1", "app-2", "app-3")
LATE = {"association_delay_seconds": 8.0, "webhook_replicas": 3, "webhook_spread_seconds": 5.0}
MANAGED_LABEL = "podidentity.eks/managed"
VOLUME = "eks-pod-identity-token"
INVENTORY = {
    "eks_clusters": {
        "hosts": {HOST: {}},
        "vars": {
            "ansible_connection": "local",
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            "eks_region": "eu-west-1",
        },
    }
}
Workload = dict[str, t.Any]


def workload(number: int, **more: t.Any) -> Workload:
    return {
        "namespace": TEAMS[number % len(TEAMS)],
        "service_account": f"app-{number}",
        "role": {"name": f"role-{number}", "managed_policies": ["AmazonS3ReadOnlyAccess"]},
        "prove": {"allow": [{"service": "s3", "operation": "list_buckets", "show": "Buckets[].Name"}]},
        **more,
    }


def declared() -> list[Workload]:
    """Ten workloads of four namespaces; the last two share a role."""
    shared = {"name": "role-shared", "managed_policies": ["AmazonS3ReadOnlyAccess"]}
    return [workload(number, **({"role": shared} if number >= COUNT - 2 else {})) for number in range(COUNT)]


class Account:
    """What stands in the account and in the cluster."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self.sandbox = sandbox
        self.eks, self.iam = sandbox.client("eks"), sandbox.client("iam")
        api = kubernetes.config.new_client_from_config(str(sandbox.kubeconfig))
        self.core, self.apps = kubernetes.client.CoreV1Api(api), kubernetes.client.AppsV1Api(api)

    def deploy(self, namespace: str, account: str) -> None:
        container = {"name": "main", "image": "busybox", "command": ["sleep", "3600"]}
        spec = {"serviceAccountName": account, "terminationGracePeriodSeconds": 0, "containers": [container]}
        template = {"metadata": {"labels": {"app": account}}, "spec": spec}
        selected = {"selector": {"matchLabels": {"app": account}}, "template": template}
        self.apps.create_namespaced_deployment(namespace, {"metadata": {"name": account}, "spec": selected})

    def pods(self, account: str) -> list[t.Any]:
        found = self.core.list_pod_for_all_namespaces(label_selector=f"app={account}").items
        return [pod for pod in found if not pod.metadata.deletion_timestamp]

    def have_identity(self, account: str) -> set[bool]:
        return {VOLUME in [one.name for one in pod.spec.volumes or []] for pod in self.pods(account)}

    def generations(self) -> dict[str, int]:
        found = self.apps.list_deployment_for_all_namespaces().items
        return {one.metadata.name: one.metadata.generation for one in found if one.metadata.namespace in TEAMS}

    def associations(self) -> set[str]:
        pages = self.eks.get_paginator("list_pod_identity_associations").paginate(clusterName="example")
        return {f"{one['namespace']}/{one['serviceAccount']}" for page in pages for one in page["associations"]}

    def roles(self) -> set[str]:
        return {one["RoleName"] for page in self.iam.get_paginator("list_roles").paginate() for one in page["Roles"]}

    def service_accounts(self) -> dict[str, bool]:
        """Those of the teams, and whether each was made here."""
        found = self.core.list_service_account_for_all_namespaces().items
        return {
            f"{one.metadata.namespace}/{one.metadata.name}": (one.metadata.labels or {}).get(MANAGED_LABEL) == "true"
            for one in found
            if one.metadata.namespace in TEAMS and one.metadata.name != "default"
        }

    def everything(self) -> tuple[t.Any, ...]:
        return self.associations(), self.roles(), self.service_accounts(), self.generations()


@pytest.fixture(scope="module")
def account(sandbox: SandboxProcess) -> Account:
    """A cluster in which workloads run before anybody has thought of Pod Identity."""
    make_cluster(sandbox, make_account(sandbox), nodes=4)  # enough for fifty pods at once
    made, agent = Account(sandbox), {"clusterName": "example", "addonName": "eks-pod-identity-agent"}
    made.eks.create_addon(**agent)
    made.eks.get_waiter("addon_active").wait(**agent, WaiterConfig={"Delay": 1})
    for team in TEAMS:
        made.core.create_namespace({"metadata": {"name": team}})
    for team, name in zip(TEAMS, EARLY, strict=True):
        made.core.create_namespaced_service_account(team, {"metadata": {"name": name}})
        made.deploy(team, name)
    # What others have of the same kinds.
    make_role(made.iam, "somebody-elses", "pods.eks.amazonaws.com")
    made.core.create_namespaced_service_account("team-0", {"metadata": {"name": "theirs"}})
    made.eks.create_pod_identity_association(
        clusterName="example",
        namespace="team-0",
        serviceAccount="theirs",
        roleArn="arn:aws:iam::111122223333:role/somebody-elses",
    )
    deadline = time.monotonic() + 30
    while not all(made.pods(name) for name in EARLY):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return made


class Story:
    """Runs the playbook, and keeps what was proven."""

    def __init__(self, playbook: Playbooks, directory: pathlib.Path) -> None:
        self.playbook, self.proof_file = playbook, directory / "proof.json"
        self.inventory = directory / "hosts.json"
        self.inventory.write_text(json.dumps(INVENTORY), encoding="utf-8")

    def __call__(self, workloads: list[Workload], *arguments: str, **more: t.Any) -> Run:
        self.proof_file.unlink(missing_ok=True)
        began = time.monotonic()
        run = self.playbook(
            "playbooks/workload.yml",
            *arguments,
            inventory=str(self.inventory),
            podidentity_workloads=workloads,
            podidentity_proof_file=str(self.proof_file),
            **more,
        )
        print(f"workload.yml with {len(workloads)} workloads: {time.monotonic() - began:.1f} s")
        return run

    @property
    def proven(self) -> dict[str, bool]:
        proofs = json.loads(self.proof_file.read_text(encoding="utf-8"))
        return {f"{one['namespace']}/{one['service_account']}": one["proven"] for one in proofs}


@pytest.fixture(scope="module")
def story(playbook: Playbooks, tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(playbook, tmp_path_factory.mktemp("story"))


def names(workloads: list[Workload]) -> set[str]:
    return {f"{one['namespace']}/{one['service_account']}" for one in workloads}


def test_check_mode_predicts_and_writes_nothing(account: Account, story: Story) -> None:
    before = account.everything()
    account.sandbox.clear_calls()
    run = story(declared(), "--check", "--diff")
    assert run.code == 0
    assert run.count("changed", HOST) == 4, "roles, service accounts, associations and restarts"
    assert f"{COUNT} to create" in run.output
    assert writes(account.sandbox) == []
    assert account.everything() == before


def test_proves_all_workloads_with_one_restart_each(account: Account, story: Story) -> None:
    account.sandbox.knobs(**LATE)
    run = story(declared())
    assert run.code == 0
    assert run.count("changed", HOST) == 4, "as predicted"
    assert story.proven == dict.fromkeys(names(declared()), True)
    # One restart of each was enough, so none came before the webhooks knew.
    assert account.generations() == dict.fromkeys(EARLY, 2)
    assert [account.have_identity(name) for name in EARLY] == [{True}] * len(EARLY)
    assert account.associations() == names(declared()) | {"team-0/theirs"}
    ours = {name for name, made in account.service_accounts().items() if made}
    assert ours == {name for name in names(declared()) if name.partition("/")[2] not in EARLY}


def test_second_run_changes_nothing_and_reads_once(account: Account, story: Story) -> None:
    account.sandbox.clear_calls()
    run = story(declared())
    assert (run.code, run.count("changed", HOST)) == (0, 0)
    assert writes(account.sandbox) == []
    calls = collections.Counter(call["operation"] for call in account.sandbox.call_log() if ":user/" in call["caller"])
    roles = COUNT - 1
    assert calls == {
        "eks:DescribeCluster": 1,
        "iam:GetRole": roles,
        "iam:ListAttachedRolePolicies": roles,
        "iam:ListRolePolicies": roles,
        "eks:ListPodIdentityAssociations": 1,
        "eks:DescribePodIdentityAssociation": COUNT,
        # Whose credentials these are; and since one association is not declared, whether it is ours.
        "sts:GetCallerIdentity": 1,
        "tagging:GetResources": 1,
    }
    assert set(story.proven.values()) == {True}


def changed() -> list[Workload]:
    """Three more, one that goes and whose role others use, one that goes with its role, and one that is forgotten."""
    workloads = [one for one in declared() if one["service_account"] != "app-6"]
    for one in workloads:
        if one["service_account"] in ("app-7", f"app-{COUNT - 1}"):
            one["state"] = "absent"
    return [*workloads, *added()]


def added() -> list[Workload]:
    return [workload(number) for number in range(COUNT, COUNT + 3)]


def role_of(name: str) -> str:
    return f"role-{name.rpartition('-')[2]}"


GONE = {"team-2/app-6", "team-3/app-7", f"{TEAMS[(COUNT - 1) % len(TEAMS)]}/app-{COUNT - 1}"}
SETTINGS: dict[str, t.Any] = {"podidentity_purge": "cluster", "podidentity_revoke_sessions": True, "verify_grace": 0}


def test_check_mode_predicts_changes_in_all_layers(account: Account, story: Story) -> None:
    before = account.everything()
    account.sandbox.clear_calls()
    run = story(changed(), "--check", "--diff", **SETTINGS)
    assert run.code == 0
    assert "3 to create, 3 to delete" in run.output
    assert run.count("changed", HOST) == 5, "roles, service accounts, associations; service accounts and roles that go"
    assert writes(account.sandbox) == []
    assert account.everything() == before


def test_partial_failure_reports_each_item_and_applies_the_rest(account: Account, story: Story) -> None:
    fault = {"outcome": "error", "calls": [1]}
    account.sandbox.knobs(
        association_delay_seconds=0.0,
        webhook_replicas=1,
        webhook_spread_seconds=0.0,
        faults=[
            {**fault, "operation": "iam:CreateRole", "code": "AccessDenied"},
            {**fault, "operation": "eks:CreatePodIdentityAssociation", "code": "ResourceLimitExceededException"},
        ],
    )
    before = account.everything()
    run = story(changed(), **SETTINGS)
    account.sandbox.knobs(faults=[])
    assert run.code == 2
    new = names(added())
    made = account.associations() & new
    [roleless] = [name for name in new if role_of(name) not in account.roles()]
    [refused] = new - made - {roleless}
    last = " ".join(run.output[run.output.index("Not everything could be done") :].split())
    assert f"{roleless}: role {role_of(roleless)}: " in last
    assert re.search(rf"{refused}: [^/]*ResourceLimitExceededException|{refused}: [^/]*quota", last), last
    assert not [name for name in names(changed()) - {roleless, refused} if f"{name}: " in last]
    assert story.proven == {name: name not in (roleless, refused) for name in names(changed()) - GONE}
    # What is declared to go is gone; what is forgotten waits for a run without failures.
    assert account.associations() == (before[0] | made) - GONE | {"team-2/app-6"}
    assert set(account.service_accounts()) == (set(before[2]) | new) - GONE | {"team-2/app-6"}
    assert account.roles() >= {"role-6", "role-shared", "somebody-elses"}
    assert "role-7" not in account.roles()
    assert account.generations() == before[3]


def test_revokes_only_sessions_of_removed_workloads(account: Account) -> None:
    [policy] = account.iam.list_role_policies(RoleName="role-shared")["PolicyNames"]
    document = account.iam.get_role_policy(RoleName="role-shared", PolicyName=policy)["PolicyDocument"]
    [statement] = document["Statement"]
    assert statement["Effect"] == "Deny"
    assert f"app-{COUNT - 1}" in json.dumps(statement["Condition"])
    assert f"app-{COUNT - 2}" not in json.dumps(document)


def test_next_run_completes_the_rest_and_purges(account: Account, story: Story) -> None:
    run = story(changed(), **SETTINGS)
    assert run.code == 0
    left = names(changed()) - GONE
    assert story.proven == dict.fromkeys(left, True), "the neighbour with the same role as well"
    assert account.associations() == left | {"team-0/theirs"}
    assert set(account.service_accounts()) == left | {"team-0/theirs"}
    assert not {"role-6", "role-7"} & account.roles()
    assert account.roles() >= {"role-shared", "somebody-elses", *map(role_of, names(added()))}
    assert account.generations() == dict.fromkeys(EARLY, 2)


def test_removal_deletes_managed_and_keeps_unmanaged(account: Account, story: Story) -> None:
    before = account.everything()
    run = story(changed(), workload_state="absent")
    assert run.code == 0
    assert account.associations() == {"team-0/theirs"}
    assert set(account.service_accounts()) == {
        "team-0/theirs",
        *(f"{team}/{name}" for team, name in zip(TEAMS, EARLY, strict=True)),
    }
    assert not [role for role in account.roles() if role.startswith("role-")]
    assert "somebody-elses" in account.roles()
    assert account.generations() == before[3]


@pytest.mark.deep
def test_proves_fifty_new_workloads_at_once(account: Account, story: Story) -> None:
    workloads = [workload(number) for number in range(100, 150)]
    run = story(workloads)
    assert run.code == 0
    assert story.proven == dict.fromkeys(names(workloads), True)
