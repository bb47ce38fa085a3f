# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The RBAC of whoever runs the playbooks: it is enough, all of it is used, and what lacks any of it is told.

Every person here is an IAM user with an access entry, no access policy, and a group of its own. One run of a playbook
has many hosts that all mean the same cluster, each as another person: with all rights of a chapter, or without one. A
sample of the rights is taken away, or each of them with EVERY_PERMISSION=1 in the environment.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import re
import typing as t

import kubernetes
import pytest
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_operator_rbac import pod_identity_operator_rbac
from kubernetes.client.exceptions import ApiException
from support.boto3_account import allow
from support.boto3_account import wait_for
from support.boto3_account import wait_until_gone
from support.kubernetes_cluster import CLUSTER
from support.kubernetes_cluster import PATIENCE
from support.kubernetes_cluster import REGION
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import eventually
from support.pages import GUIDES
from support.pages import blocks
from support.playbooks import Playbooks
from support.playbooks import Run

Object = dict[str, t.Any]
EVERY_PERMISSION = os.environ.get("EVERY_PERMISSION") == "1"
#: How many hosts one run has, so that it ends in time.
HOSTS_PER_RUN = 7
AGENT = "eks-pod-identity-agent"
OWN = "OWN"
OPERATORS, CHECKERS = "pod-identity-operators", "pod-identity-checkers"
SLEEPING_CONTAINER = {"name": "main", "image": "busybox", "command": ["sleep", "3600"]}


class Right(t.NamedTuple):
    """A verb on a resource: in the whole cluster (``all``), in ``kube-system``, or in one's own namespace (``own``)."""

    place: str
    resource: str
    verb: str

    def is_reported_in(self, text: str) -> bool:
        """Whether a text says that somebody does not have it, in the words of the API server."""
        if self[1:] == ("pods/exec", "create"):  # for which it has none
            return "create and get pods/exec" in text
        return f'cannot {self.verb} resource "{self.resource}"' in text


# --- people -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Principal:
    """An IAM principal that may do everything in AWS, and in Kubernetes what these objects let its group do."""

    real: Cluster
    group: str
    objects: t.Sequence[Object]
    #: As in an AWS config file.
    keys: t.Mapping[str, str]

    def clean_up(self) -> None:
        """Take the objects away."""
        rbac = kubernetes.client.RbacAuthorizationV1Api(self.real.api)
        for one in self.objects:
            name, namespace = one["metadata"]["name"], one["metadata"].get("namespace")
            kind = re.sub("(?<=[a-z])(?=[A-Z])", "_", one["kind"]).lower()
            with contextlib.suppress(ApiException):  # a namespace takes its own with it
                if namespace:
                    getattr(rbac, f"delete_namespaced_{kind}")(name, namespace)
                else:
                    getattr(rbac, f"delete_{kind}")(name)

    def requests(self) -> list[Object]:
        """What this person has asked of the API server, apart from what there is to ask for."""
        [log] = self.real.sandbox.directory.glob(f"clusters/*/*/{CLUSTER}/control-plane/audit.log")
        events = map(json.loads, log.read_text(encoding="utf-8").splitlines())
        return [event for event in events if self.group in event["user"].get("groups", ()) and "objectRef" in event]

    def used_rights(self, *, refused: bool = False) -> set[Right]:
        """The rights that this person has used, or would have."""
        found = set()
        for event in self.requests():
            asked, namespace = event["objectRef"], event["objectRef"].get("namespace")
            resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
            place = "all" if not namespace or asked["resource"] == "namespaces" else _place(namespace)
            # Not by its status: quotas and missing service accounts are refused with 403 as well.
            if refused == (event["annotations"]["authorization.k8s.io/decision"] == "forbid"):
                found.add(Right(place, resource, event["verb"]))
        # A right in the whole cluster is one in its namespaces.
        granted = rights_of(self.objects)
        return {wide if (wide := right._replace(place="all")) in granted else right for right in found}


def _place(namespace: str | None) -> str:
    return "all" if namespace is None else namespace if namespace == "kube-system" else "own"


def rights_of(objects: t.Sequence[Object]) -> set[Right]:
    """What roles allow."""
    return {
        Right(_place(one["metadata"].get("namespace")), resource, verb)
        for one in objects
        for rule in one.get("rules", ())
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def without_right(objects: t.Sequence[Object], missing: Right) -> list[Object]:
    """The same objects, with one right less."""
    changed = []
    for one in objects:
        rules = []
        for rule in one.get("rules", ()):
            for resource in rule["resources"]:
                lost = (_place(one["metadata"].get("namespace")), resource) == missing[:2]
                if verbs := [verb for verb in rule["verbs"] if not (lost and verb == missing.verb)]:
                    rules.append({**rule, "resources": [resource], "verbs": verbs})
        changed.append({**one, "rules": rules} if "rules" in one else one)
    assert rights_of(objects) - rights_of(changed) == {missing}
    return changed


# --- what is there before a chapter runs ------------------------------------------------------------------------------


def create_nothing(real: Cluster, namespace: str) -> None:
    """Nothing."""


def create_service_account(real: Cluster, namespace: str) -> None:
    """A service account that was made by the role."""
    labels = {"podidentity.eks/managed": "true"}
    real.core.create_namespaced_service_account(namespace, {"metadata": {"name": "app", "labels": labels}})


def create_association(real: Cluster, namespace: str) -> None:
    """A service account with an association."""
    create_service_account(real, namespace)
    real.account.associate(real.role, "app", clusterName=CLUSTER, namespace=namespace)


def create_older_workloads(real: Cluster, namespace: str) -> None:
    """Workloads of all kinds that run since before their association."""
    create_service_account(real, namespace)
    for kind in ("deployment", "stateful_set", "daemon_set"):
        name = kind.replace("_", "-")
        spec = {"serviceAccountName": "app", "terminationGracePeriodSeconds": 0, "containers": [SLEEPING_CONTAINER]}
        template = {"metadata": {"labels": {"app": name}}, "spec": spec}
        whole: Object = {"selector": {"matchLabels": {"app": name}}, "template": template}
        if kind == "stateful_set":
            whole["serviceName"] = name
        getattr(real.apps, f"create_namespaced_{kind}")(namespace, {"metadata": {"name": name}, "spec": whole})
    # One of the Deployment, one of the StatefulSet, and one on each node.
    running = functools.partial(real.core.list_namespaced_pod, namespace, field_selector="status.phase=Running")
    eventually(lambda: len(running().items) == 2 + len(real.core.list_node().items))
    real.account.associate(real.role, "app", clusterName=CLUSTER, namespace=namespace)


def create_running_pod(real: Cluster, namespace: str) -> None:
    """A pod of the workload itself."""
    create_association(real, namespace)
    main = {"name": "main", "image": "python:3.12", "command": ["sleep", "3600"]}
    spec = {"serviceAccountName": "app", "terminationGracePeriodSeconds": 0, "containers": [main]}
    real.core.create_namespaced_pod(namespace, {"metadata": {"name": "own"}, "spec": spec})
    eventually(lambda: real.core.read_namespaced_pod("own", namespace).status.phase == "Running")


def create_broken_proofs(real: Cluster, namespace: str) -> None:
    """Associations without an agent, of which the webhook has not heard, and for a proof that needs the pod's log."""
    create_association(real, namespace)
    before = real.sandbox.knobs()["association_delay_seconds"]
    for name, delay in (("late", 3600), ("wordy", before)):
        real.service_account(name, namespace)
        real.sandbox.knobs(association_delay_seconds=delay)
        real.account.associate(real.role, name, clusterName=CLUSTER, namespace=namespace)


def create_full_quota(real: Cluster, namespace: str) -> None:
    """A namespace that takes no pods."""
    create_association(real, namespace)
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    real.core.create_namespaced_resource_quota(namespace, quota)
    eventually(lambda: (real.core.read_namespaced_resource_quota("none", namespace).status.hard or {}).get("pods"))


# --- what is run ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A run that needs rights of a chapter."""

    chapter: str
    #: Which ones, ``place resource verb`` each, in the order in which they are needed.
    needs: tuple[str, ...]
    before: t.Callable[[Cluster, str], None] = create_nothing
    #: Further variables of the host.
    settings: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    options: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    #: How it ends for who has all rights; empty for well.
    failure_message: str = ""
    #: Whether there is the namespace, so that rights can be for it alone.
    has_namespace: bool = True
    #: ``OWN`` stands for the host.
    workloads: tuple[Object, ...] = ({"service_account": "app"},)

    @property
    def rights(self) -> list[Right]:
        return [Right(*one.split()) for one in self.needs]

    def objects(self, group: str, namespace: str) -> list[Object]:
        """All RBAC of the chapter."""
        options = {"namespaces": [namespace], **self.options} if self.has_namespace else self.options
        return pod_identity_operator_rbac([self.chapter], group=group, **options)

    def variables(self, role: str, namespace: str) -> dict[str, t.Any]:
        """Of a host."""
        common, declared = {"namespace": namespace, "role": {"arn": role}}, json.dumps(self.workloads)
        return {
            "podidentity_workloads": [{**common, **one} for one in json.loads(declared.replace(OWN, namespace))],
            "workload_phases": [self.chapter],
            **self.settings,
        }


AGENT_SCENARIO = Scenario(
    "agent",
    ("kube-system daemonsets get", "all nodes list", "kube-system pods list"),
    settings={"agent_version": "keep", "agent_timeout": 5},
)
#: One that is there, and one that somebody has misspelt.
NEAR_MISS = ({"service_account": "app"}, {"service_account": "apps"})
SCENARIOS = {
    "accounts": Scenario(
        "service_account",
        (
            *("all serviceaccounts list", "all namespaces list"),
            *("all namespaces create", "all serviceaccounts create"),
        ),
        settings={"service_account_create_namespaces": True},
        options={"create_namespaces": True},
        has_namespace=False,
        # A namespace that is there is not to be touched.
        workloads=({"service_account": "app"}, {"service_account": OWN, "namespace": "default"}),
    ),
    "accounts-go": Scenario(
        "service_account",
        ("own serviceaccounts list", "own serviceaccounts delete"),
        create_service_account,
        settings={"workload_state": "absent", "workload_phases": ["service_account", "remove"]},
    ),
    "probe": Scenario(
        "probe",
        ("own pods create", "own serviceaccounts list", "all mutatingwebhookconfigurations get"),
        create_service_account,
        settings={"workload_probe_timeout": 1},
        failure_message="as far as the API server knows there is no association",
        workloads=NEAR_MISS,
    ),
    "restart": Scenario(
        "restart",
        (
            *("own pods list", "own pods create", "own replicasets list", "own poddisruptionbudgets list"),
            *("own deployments list", "own deployments patch"),
            *("own statefulsets list", "own statefulsets patch"),
            *("own daemonsets list", "own daemonsets patch"),
        ),
        create_older_workloads,
        settings={"restart_timeout": 60, "agent_managed": False},
    ),
    "restart-not": Scenario(
        "restart",
        ("own serviceaccounts list", "all mutatingwebhookconfigurations get"),
        create_service_account,
        settings={"restart_timeout": 1},
        failure_message="as new ones would have no identity either",
        workloads=NEAR_MISS,
    ),
    "job": Scenario(
        "verify",
        (
            *("own jobs create", "own pods list", "own pods/log get", "own jobs delete"),
            *("kube-system pods list", "all nodes list", "own networkpolicies list"),
            "all mutatingwebhookconfigurations get",
        ),
        create_broken_proofs,
        settings={"verify_grace": 1},
        failure_message="agent_missing",
        workloads=(
            {"service_account": "app"},
            {"service_account": "late"},
            {"service_account": "wordy", "prove": {"allow": [{"service": "s3", "operation": "list_buckets"}] * 60}},
        ),
    ),
    "job-without-pod": Scenario(
        "verify",
        ("own events list",),
        create_full_quota,
        settings={"verify_timeout": 5},
        failure_message="exceeded quota",
    ),
    "exec": Scenario(
        "verify",
        ("own pods/exec get", "own pods/exec create", "own pods list"),
        create_running_pod,
        settings={"verify_grace": 1, "verify_mode": "exec"},
        options={"verify_mode": "exec"},
        failure_message="agent_missing",
    ),
}
#: What is taken away in every run.
SAMPLE = {
    "accounts": ["all namespaces create"],
    "accounts-go": ["own serviceaccounts delete"],
    "probe": ["own pods create"],
    "restart": ["own pods list"],
    "job": ["own jobs create", "all nodes list"],
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A scenario for a person with all rights of its chapter, or all but one."""

    name: str
    scenario: Scenario
    missing: Right | None = None


def cases(scenarios: t.Mapping[str, Scenario], sample: t.Mapping[str, list[str]]) -> t.Iterator[Case]:
    for name, scenario in scenarios.items():
        yield Case(name, scenario)
        chosen = scenario.needs if EVERY_PERMISSION else sample.get(name, ())
        for number, missing in enumerate(chosen):
            yield Case(f"{name}-{number}", scenario, Right(*missing.split()))


class Fleet:
    """Runs a playbook for many people at once."""

    def __init__(self, real: Cluster, folder: pathlib.Path) -> None:
        self._real, self._folder = real, folder
        self.principals: dict[str, Principal] = {}
        self._playbooks = Playbooks(real.sandbox, folder)

    def add_user(self, name: str, objects: t.Sequence[Object]) -> None:
        """A user with an access entry, in a group of the same name."""
        keys = self._real.account.user(name, allow("*"))
        arn = f"arn:aws:iam::111122223333:user/{name}"
        self._real.account.eks.create_access_entry(clusterName=CLUSTER, principalArn=arn, kubernetesGroups=[name])
        for one in objects:
            kubernetes.utils.create_from_dict(self._real.api, one)
        self.principals[name] = Principal(self._real, name, objects, keys)

    def add_role(self, name: str, objects: t.Sequence[Object]) -> None:
        """A session of a role for whose access entry and objects somebody else cares."""
        iam, everything = self._real.account.iam, json.dumps({"Version": "2012-10-17", "Statement": [allow("*")]})
        trust = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="everything", PolicyDocument=everything)
        found = self._real.sandbox.client("sts").assume_role(RoleArn=arn, RoleSessionName="anna")["Credentials"]
        keys = {
            "aws_access_key_id": found["AccessKeyId"],
            "aws_secret_access_key": found["SecretAccessKey"],
            "aws_session_token": found["SessionToken"],
        }
        self.principals[name] = Principal(self._real, name, objects, keys)

    def prepare(self, case: Case) -> None:
        """The person, and what is there before the run."""
        if case.scenario.has_namespace:
            self.create_namespace(case.name)
            case.scenario.before(self._real, case.name)
        objects = case.scenario.objects(case.name, case.name)
        self.add_user(case.name, without_right(objects, case.missing) if case.missing else objects)

    def create_namespace(self, name: str) -> None:
        self._real.core.create_namespace({"metadata": {"name": name}})
        eventually(lambda: self._real.core.list_namespaced_service_account(name).items)

    def play(self, playbook: str, hosts: t.Mapping[str, t.Mapping[str, t.Any]], *arguments: str) -> Run:
        """Run it for these hosts, each as the person of this name."""
        common = {
            "ansible_connection": "local",
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            "eks_cluster_name": CLUSTER,
            "eks_region": REGION,
            "eks_profile": "{{ inventory_hostname }}",
        }
        inventory, config = self._folder / "hosts.json", self._folder / "config"
        inventory.write_text(json.dumps({"eks_clusters": {"vars": common, "hosts": hosts}}), encoding="utf-8")
        sections = [
            "\n".join([f"[profile {name}]", *(f"{key} = {value}" for key, value in self.principals[name].keys.items())])
            for name in hosts
        ]
        config.write_text("\n".join(sections), encoding="utf-8")
        environment = {"AWS_CONFIG_FILE": str(config)}
        return self._playbooks(playbook, "--forks", "6", *arguments, inventory=str(inventory), env=environment)

    def clear(self, name: str) -> None:
        """Remove what was made for a host."""
        with contextlib.suppress(ApiException):
            self._real.core.delete_namespace(name)
        with contextlib.suppress(ApiException):
            self._real.core.delete_namespaced_service_account(name, "default")

    def clean_up(self) -> None:
        for name, principal in self.principals.items():
            principal.clean_up()
            self.clear(name)


def output_about(run: Run, host: str) -> str:
    """All that the output says about a host, in one line."""
    parts = re.findall(rf"^\w+: \[{host}\].*?(?=^\w+: \[|^TASK |^PLAY |\Z)", run.output, re.M | re.S)
    return " ".join(" ".join(parts).replace("\\", "").split())


@pytest.fixture
def fleet(real: Cluster, tmp_path: pathlib.Path) -> t.Iterator[Fleet]:
    made = Fleet(real, tmp_path)
    yield made
    made.clean_up()


@pytest.fixture
def old_agent(real: Cluster) -> t.Iterator[None]:
    """The agent in a version that the role does not trust to be on every node, so that it looks."""
    addon = {"clusterName": CLUSTER, "addonName": AGENT}
    real.account.eks.create_addon(**addon, addonVersion="v1.1.0-eksbuild.1")
    wait_for(lambda: real.account.describe_addon(cluster=CLUSTER), "ACTIVE", seconds=PATIENCE)
    yield
    real.account.eks.delete_addon(**addon)
    wait_until_gone(lambda: real.account.describe_addon(cluster=CLUSTER), seconds=PATIENCE)


def check(run: Run, case: Case, principal: Principal) -> str:
    """What is wrong with what a person could do, or was told; empty for nothing."""
    told, refused = output_about(run, case.name), principal.used_rights(refused=True)
    if case.missing:
        return "" if case.missing.is_reported_in(told) else f"{case.name} does not tell {case.missing}: {told}"
    unused = set(case.scenario.rights) - principal.used_rights() - {Right("own", "pods/exec", "create")}
    if refused or unused:
        return f"{case.name} was refused {refused} and has not used {unused}: {told}"
    failed = run.count("failed", case.name)
    if bool(case.scenario.failure_message) != bool(failed) or case.scenario.failure_message not in told:
        return f"{case.name} ends with {failed} failures: {told}"
    return ""


def test_scenarios_cover_all_rights_of_their_chapters() -> None:
    everything = [AGENT_SCENARIO, *SCENARIOS.values()]
    for chapter in {scenario.chapter for scenario in everything}:
        ours = [scenario for scenario in everything if scenario.chapter == chapter]
        needed = {right._replace(place="") for scenario in ours for right in scenario.rights}
        granted = {right._replace(place="") for scenario in ours for right in rights_of(scenario.objects("a", "b"))}
        assert needed == granted, chapter


def test_agent_chapter_needs_all_of_its_rights(fleet: Fleet, old_agent: None) -> None:
    sample = ["kube-system daemonsets get", "kube-system pods list"]
    found = list(cases({"agent": AGENT_SCENARIO}, {"agent": sample}))
    for case in found:
        fleet.prepare(case)
    run = fleet.play("playbooks/site.yml", {case.name: case.scenario.settings for case in found}, "--tags", "agent")
    assert [problem for case in found if (problem := check(run, case, fleet.principals[case.name]))] == []
    assert fleet.principals["agent"].used_rights() == rights_of(fleet.principals["agent"].objects)


@pytest.mark.parametrize("chapter", ["service_account", "probe", "restart", "verify"])
def test_chapter_needs_all_of_its_rights(chapter: str, real: Cluster, fleet: Fleet) -> None:
    """The agent is not there, so that a proof fails and looks for the cause."""
    scenarios = {name: scenario for name, scenario in SCENARIOS.items() if scenario.chapter == chapter}
    found, problems = list(cases(scenarios, SAMPLE)), []
    for number in range(0, len(found), HOSTS_PER_RUN):
        batch = found[number : number + HOSTS_PER_RUN]
        for case in batch:
            fleet.prepare(case)
        hosts = {case.name: case.scenario.variables(real.role, case.name) for case in batch}
        run = fleet.play("playbooks/workload.yml", hosts, "--tags", f"{chapter},remove")
        problems += [problem for case in batch if (problem := check(run, case, fleet.principals[case.name]))]
        for case in batch:  # the nodes do not hold the pods of all
            fleet.clear(case.name)
        assert "HTTP response headers" not in run.output.rpartition("Everything was done")[2]
    assert problems == []
    principals = [fleet.principals[name] for name in scenarios]
    used = {right._replace(place="") for principal in principals for right in principal.used_rights()}
    granted = {right._replace(place="") for principal in principals for right in rights_of(principal.objects)}
    # The audit log does not have what the API server asks for besides the request's own verb.
    assert granted - used <= {Right("", "pods/exec", "create")}
    assert used <= granted


# --- the whole story --------------------------------------------------------------------------------------------------


@pytest.fixture
def guide_fleet(real: Cluster, fleet: Fleet, tmp_path: pathlib.Path) -> Fleet:
    """Who runs the playbooks, and who checks, as the guide makes them."""
    for name, options in ((OPERATORS, {}), (CHECKERS, {"level": "check"})):
        fleet.add_role(name, pod_identity_operator_rbac([], group=name, **options))
    [block] = [one for one in blocks(*GUIDES) if one.page.stem == "permissions" and "kube-apiserver" in one.kind]
    (tmp_path / "guide.yml").write_text(block.text, encoding="utf-8")
    host = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    inventory = {"eks_clusters": {"hosts": {CLUSTER: {**host, "eks_region": REGION}}}}
    (tmp_path / "admin.json").write_text(json.dumps(inventory), encoding="utf-8")
    run = Playbooks(real.sandbox, tmp_path)(str(tmp_path / "guide.yml"), inventory=str(tmp_path / "admin.json"))
    assert (run.code, run.count("changed", CLUSTER)) == (0, 2)
    return fleet


def test_playbooks_run_without_administrator_rights(real: Cluster, guide_fleet: Fleet) -> None:
    guide_fleet.create_namespace("story")
    create_older_workloads(real, "story")
    declared: Object = {
        "cluster_manage": False,
        "podidentity_workloads": [
            {"namespace": "story", "service_account": "app", "role": {"arn": real.role}},
            {"namespace": "default", "service_account": "new", "role": {"name": "story"}},
        ],
    }
    checked = guide_fleet.play("playbooks/site.yml", {CHECKERS: declared}, "--check")
    assert checked.code == 0
    told = output_about(checked, CHECKERS)
    assert "Service account default/new would be created. Check mode could not try it" in told
    assert "would be restarted" in told
    assert guide_fleet.principals[CHECKERS].used_rights(refused=True) == {Right("own", "serviceaccounts", "create")}
    assert guide_fleet.principals[CHECKERS].used_rights() <= rights_of(guide_fleet.principals[CHECKERS].objects)
    accounts = [one.metadata.name for one in real.core.list_namespaced_service_account("default").items]
    assert "new" not in accounts

    made = guide_fleet.play("playbooks/site.yml", {OPERATORS: declared})
    assert made.code == 0
    assert output_about(made, OPERATORS).count("PROVEN") == 2
    assert "stateful-set" in output_about(made, OPERATORS)
    removed = guide_fleet.play("playbooks/teardown.yml", {OPERATORS: declared})
    assert removed.code == 0
    accounts = [one.metadata.name for one in real.core.list_namespaced_service_account("default").items]
    assert "new" not in accounts
    operator = guide_fleet.principals[OPERATORS]
    assert operator.used_rights(refused=True) == set()
    assert operator.used_rights() <= rights_of(operator.objects)
    assert real.apps.read_namespaced_deployment("deployment", "story").status.ready_replicas == 1
