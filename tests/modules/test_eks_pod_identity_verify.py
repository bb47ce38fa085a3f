# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""eks_pod_identity_verify against AWS and a Kubernetes API: where it proves, what it finds out, and what it leaves.

In order on one sandbox: what is broken for one test stays broken for the next.
"""

from __future__ import annotations

import _thread
import base64
import collections
import collections.abc
import contextlib
import json
import pathlib
import threading
import time
import typing as t

import kubernetes
import pytest
import yaml
from support.broken_api_server import broken_api_server
from support.environment import ROOT
from support.existing_cluster import ROLE_PREFIX
from support.existing_cluster import make_account
from support.existing_cluster import make_cluster
from support.kubernetes_proxy import KubernetesProxy
from support.module_runs import Result
from support.module_runs import RunModule
from support.module_runs import use_environment
from support.sandbox_process import SandboxProcess

AGENT = {"clusterName": "example", "addonName": "eks-pod-identity-agent"}
OTHER_ACCOUNT = "444455556666"
SECRET = "the-secret"
#: Each node has this label, no node has the other one.
ANY_NODE, NO_NODE = {"kubernetes.io/os": "linux"}, {"nowhere": "true"}
CALLS = {"allow": [{"service": "sts", "operation": "get_caller_identity", "show": "Account"}]}
LIST_BUCKETS = {"allow": [{"service": "s3", "operation": "list_buckets"}]}
ENV = [
    {"name": "AWS_ACCESS_KEY_ID", "value": f"AKIA{SECRET}"},
    {"name": "HTTP_PROXY", "value": f"http://user:{SECRET}@proxy.example:3128"},
]
PROXY = {"http_proxy": f"http://user:{SECRET}@proxy.example:3128", "no_proxy": "127.0.0.1"}
#: Seconds that Kubernetes gets for what it should do, on a busy machine.
TIMEOUT = 60.0
Verify = collections.abc.Callable[..., Result]


class Team:
    """The cluster "example", by the official client."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self.sandbox = sandbox
        self.eks, self.iam = sandbox.client("eks"), sandbox.client("iam")
        self.api = kubernetes.config.new_client_from_config(str(sandbox.kubeconfig))
        self.core, self.batch = kubernetes.client.CoreV1Api(self.api), kubernetes.client.BatchV1Api(self.api)
        self.apps = kubernetes.client.AppsV1Api(self.api)

    def account(self, namespace: str, name: str, role: str = "app", **association: t.Any) -> None:
        """A service account with an association."""
        self.core.create_namespaced_service_account(namespace, {"metadata": {"name": name}})
        names = {"clusterName": "example", "namespace": namespace, "serviceAccount": name}
        self.eks.create_pod_identity_association(**names, roleArn=f"{ROLE_PREFIX}{role}", **association)

    def deploy(self, namespace: str, account: str, env: t.Sequence[t.Any] = ()) -> None:
        """A Deployment whose pods sleep, ready."""
        labels = {"app": account}
        main = {"name": "main", "image": "python:3.12", "env": list(env), "command": ["sleep", "3600"]}
        spec = {"serviceAccountName": account, "terminationGracePeriodSeconds": 0, "containers": [main]}
        template = {"metadata": {"labels": labels}, "spec": spec}
        deployment = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
        self.apps.create_namespaced_deployment(namespace, {"metadata": {"name": account}, "spec": deployment})
        eventually(lambda: self.apps.read_namespaced_deployment(account, namespace).status.ready_replicas == 2)

    def jobs(self) -> list[t.Any]:
        return list(self.batch.list_job_for_all_namespaces().items)

    def remove_jobs(self) -> None:
        for job in self.jobs():
            names = (job.metadata.name, job.metadata.namespace)
            self.batch.delete_namespaced_job(*names, propagation_policy="Background")
        eventually(lambda: self.leftovers() == [])

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


def eventually(look: t.Callable[[], t.Any]) -> t.Any:
    deadline = time.monotonic() + TIMEOUT
    while not (found := look()):
        assert time.monotonic() < deadline, f"nothing after {TIMEOUT} s"
        time.sleep(0.1)
    return found


def is_ready(pod: t.Any) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or [])


def policy(**statement: t.Any) -> str:
    allowed = {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], **statement}
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed]})


def workload(account: str, namespace: str = "team-a", **prove: t.Any) -> dict[str, t.Any]:
    return {"namespace": namespace, "service_account": account, "prove": {**CALLS, **prove}}


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> collections.abc.Iterator[Team]:
    """A cluster with the agent, and service accounts in two namespaces, some of them with pods."""
    sandbox = SandboxProcess()
    sandbox.start(tmp_path_factory.mktemp("verify"))
    make_cluster(sandbox, make_account(sandbox))
    team = Team(sandbox)
    team.eks.create_addon(**AGENT)
    team.eks.get_waiter("addon_active").wait(**AGENT, WaiterConfig={"Delay": 1})
    for namespace in ("team-a", "team-b"):
        team.core.create_namespace({"metadata": {"name": namespace}})
    for account in ("app", "image"):
        team.account("team-a", account)
    team.account("team-b", "keys")
    yield team
    sandbox.stop()


@pytest.fixture(scope="module")
def connection(team: Team, tmp_path_factory: pytest.TempPathFactory) -> dict[str, t.Any]:
    """The options by which the module reaches the API server."""
    described = team.eks.describe_cluster(name="example")["cluster"]
    authority = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.write_bytes(base64.b64decode(described["certificateAuthority"]["data"]))
    [user] = yaml.safe_load(team.sandbox.kubeconfig.read_text(encoding="utf-8"))["users"]
    return {"host": described["endpoint"], "ca_cert": str(authority), "api_key": user["user"]["token"]}


@pytest.fixture
def verify(team: Team, connection: dict[str, t.Any], run_module: RunModule, monkeypatch: pytest.MonkeyPatch) -> Verify:
    """Runs the module for these workloads; no secret is in its whole result, the invocation included."""
    use_environment(monkeypatch, team.sandbox.env)

    def run(*workloads: dict[str, t.Any], **options: t.Any) -> Result:
        settings = {**connection, "cluster_name": "example", "workloads": list(workloads), "grace": 0, **options}
        team.sandbox.clear_calls()
        result = run_module("eks_pod_identity_verify", **settings)
        shown = json.dumps(result)
        assert SECRET not in shown and connection["api_key"] not in shown
        assert "pod_env" not in result.get("invocation", {}).get("module_args", {})
        assert not result.get("changed")
        return result

    return run


def by_account(result: Result) -> dict[str, t.Any]:
    return {one["service_account"]: one for one in result["proofs"]}


def causes(result: Result) -> dict[str, str]:
    return {one["service_account"]: one["cause"]["id"] for one in result["proofs"] if not one["proven"]}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"workloads": [{"namespace": "default"}]}, "workload 1 lacks a namespace or a service_account."),
        ({"workloads": [workload("app", allow={})]}, "team-a/app: prove.allow"),
        ({"timeout": 0}, "timeout is 0: give a number of seconds of 1 or more."),
        ({"grace": -1}, "grace is -1: give a number of seconds of 0 or more."),
        ({"mode": "pod"}, "value of mode must be one of: job, exec, got: pod"),
        ({"cluster_name": "no/name"}, "no/name"),
    ],
)
def test_wrong_options_are_refused_before_any_call(
    team: Team, verify: Verify, wrong: dict[str, t.Any], said: str
) -> None:
    run = verify(workload("app"), **{"pod_env": ENV, **wrong}) if "workloads" not in wrong else verify(**wrong)
    if said == "team-a/app: prove.allow":
        run = verify(workload("app", allow="all"))
    assert run["failed"] and said in run["msg"]
    assert team.sandbox.call_log() == [] and team.leftovers() == []


@pytest.mark.parametrize(("mode", "where"), [("job", "a Job"), ("exec", "a ready pod")])
def test_check_mode_says_what_it_would_prove(team: Team, verify: Verify, mode: str, where: str) -> None:
    absent = workload("early") | {"state": "absent"}
    run = verify(workload("app", deny=LIST_BUCKETS["allow"]), absent, mode=mode, check_mode=True)
    assert run["report"] == [
        f"Without check mode, {where} in cluster example would prove the identity of team-a/app, allow "
        "sts.get_caller_identity, deny s3.list_buckets."
    ]
    assert (run["failed"], run["proofs"], run["failed_items"]) == (False, [], [])
    assert team.leftovers() == [] and team.sandbox.call_log() == []


def test_proves_with_one_job_each_and_few_calls(team: Team, verify: Verify, connection: dict[str, t.Any]) -> None:
    with KubernetesProxy(connection["host"], connection["ca_cert"]) as proxy:
        run = verify(workload("app"), workload("image"), workload("gone") | {"state": "absent"}, host=proxy.host)
    assert (run["failed"], run["changed"], run["failed_items"]) == (False, False, [])
    assert [(one["proven"], one["warnings"], one["calls"][0]["shown"]) for one in run["proofs"]] == [
        (True, [], "111122223333")
    ] * 2
    assert [line.split(" in ")[0] for line in run["report"] if line.startswith("PROVEN")] == [
        "PROVEN team-a/app",
        "PROVEN team-a/image",
    ]
    # All of the namespace is described; of roles, the agent and other associations nothing is read.
    assert run["api_calls"] == {"ListPodIdentityAssociations": 1, "DescribePodIdentityAssociation": 2}
    calls = collections.Counter((call.method, call.path.rpartition("/")[2].split("-")[0]) for call in proxy.calls)
    polls = calls.pop(("GET", "pods"))
    assert calls == {("POST", "jobs"): 2, ("DELETE", "verify"): 2} and polls >= 2
    assert {call.path.split("/")[-2] for call in proxy.calls if call.method == "GET"} == {"team-a"}
    eventually(lambda: team.leftovers() == [])


def test_second_run_proves_again_in_other_sessions(team: Team, verify: Verify) -> None:
    first, second = (verify(workload("app"))["proofs"][0] for _run in range(2))
    assert first["proven"] and second["proven"]
    assert first["identity"]["session_name"] != second["identity"]["session_name"]
    assert first["pod"] != second["pod"]


def test_given_associations_are_not_read_again(team: Team, verify: Verify) -> None:
    known = {"namespace": "team-a", "service_account": "app", "role_arn": f"{ROLE_PREFIX}app", "target_role_arn": None}
    run = verify(workload("app"), associations=[known])
    assert run["proofs"][0]["proven"] and run["api_calls"] == {}


def test_proves_workloads_where_placed_and_reports_warnings(team: Team, verify: Verify) -> None:
    team.deploy("team-b", "keys", ENV)
    placed = [
        workload("app", node_selector=ANY_NODE, tolerations=[{"operator": "Exists"}]),
        workload("keys", "team-b", node_selector=ANY_NODE),
        workload("image", node_selector=ANY_NODE, image="registry.example/no-such:1"),
    ]
    # No workload is proven on such a node, because each has a place of its own.
    run = verify(
        *placed, node_selector=NO_NODE, pod_proxy=PROXY, pod_env=[{"name": "TEAM", "value": SECRET}], keep=True
    )
    proofs = by_account(run)
    assert {name: proof["proven"] for name, proof in proofs.items()} == {"app": True, "keys": True, "image": False}
    assert causes(run) == {"image": "image_pull_failed"}
    [failed] = run["failed_items"]
    assert (failed["namespace"], failed["service_account"], failed["phase"]) == ("team-a", "image", "verify")
    assert failed["reason"].startswith("not proven (image_pull_failed): The node could not get the ")
    assert run["msg"] == f"team-a/image: {failed['reason']}"
    assert proofs["app"]["warnings"] == []
    stronger, proxy = proofs["keys"]["warnings"]
    assert stronger.startswith("Pods keys-") and "container main sets AWS_ACCESS_KEY_ID" in stronger
    assert "container main sets HTTP_PROXY" in proxy
    [job] = [job for job in team.jobs() if "-app-" in job.metadata.name]
    assert (job.spec.active_deadline_seconds, job.spec.ttl_seconds_after_finished) == (180, 3600)
    pod = job.spec.template.spec
    env = {entry.name: entry.value for entry in pod.containers[0].env}
    assert env["NO_PROXY"] == env["no_proxy"] == "127.0.0.1,169.254.170.23,[fd00:ec2::23]"
    assert env["HTTP_PROXY"] == env["http_proxy"] == PROXY["http_proxy"]
    assert not {"HTTPS_PROXY", "https_proxy"} & set(env) and env["TEAM"] == SECRET
    assert (pod.node_selector, pod.tolerations[0].operator) == (ANY_NODE, "Exists")
    assert len(team.jobs()) == 3
    team.remove_jobs()


def test_warning_fails_only_when_strict(team: Team, verify: Verify) -> None:
    run = verify(workload("keys", "team-b"), strict=True)
    assert run["proofs"][0]["proven"] and run["failed"]
    assert [one["reason"].split(": ")[0] for one in run["failed_items"]] == ["warning"] * 2
    unseen = verify(workload("keys", "team-b"), strict=True, inspect_pods=False)
    assert not unseen["failed"] and unseen["proofs"][0]["warnings"] == []


def test_long_result_is_read_from_the_log(team: Team, verify: Verify) -> None:
    [proof] = verify(workload("app", allow=CALLS["allow"] * 60))["proofs"]
    assert proof["proven"] and len(proof["calls"]) == 60


def test_exec_mode_proves_in_running_pods(team: Team, verify: Verify) -> None:
    team.core.create_namespaced_service_account("team-a", {"metadata": {"name": "early"}})
    team.deploy("team-a", "early")
    team.deploy("team-a", "app")
    known = {"namespace": "team-a", "role_arn": f"{ROLE_PREFIX}app", "target_role_arn": None}
    associations = [known | {"service_account": name} for name in ("app", "early", "image")]
    run = verify(workload("app"), workload("early"), workload("image"), mode="exec", associations=associations)
    proofs = by_account(run)
    assert proofs["app"]["proven"] is True and proofs["app"]["pod"].startswith("app-")
    assert (proofs["app"]["mode"], proofs["app"]["container"]) == ("exec", "main")
    assert f"  seen in   container main of pod {proofs['app']['pod']}" in run["report"]
    assert "-app-" in proofs["app"]["identity"]["session_name"]
    assert causes(run) == {"early": "not_injected", "image": "no_running_pod"}
    assert "podidentity.eks.restart" in proofs["early"]["advice"]
    assert team.jobs() == [] and run["api_calls"] == {}


def test_exec_reports_what_a_container_lacks(team: Team, verify: Verify) -> None:
    refused = verify(workload("app"), mode="exec", exec_container="nothing")
    assert causes(refused) == {"app": "not_injected"}
    main = {"name": "main", "image": "amazonlinux", "command": ["sleep", "3600"]}
    spec = {"serviceAccountName": "image", "terminationGracePeriodSeconds": 0, "containers": [main]}
    team.core.create_namespaced_pod("team-a", {"metadata": {"name": "bare"}, "spec": spec})
    eventually(lambda: is_ready(team.core.read_namespaced_pod("bare", "team-a")))
    assert causes(verify(workload("image"), mode="exec")) == {"image": "exec_without_boto3"}
    team.core.delete_namespaced_pod("bare", "team-a")


def test_failure_of_one_workload_does_not_stop_others(team: Team, verify: Verify) -> None:
    """A namespace without the service account, one that does not exist, and a pod that no node takes."""
    team.account("team-b", "missing")
    team.core.delete_namespaced_service_account("missing", "team-b")
    team.eks.create_pod_identity_association(
        clusterName="example", namespace="nowhere", serviceAccount="app", roleArn=f"{ROLE_PREFIX}app"
    )
    began = time.monotonic()
    run = verify(
        workload("keys", "team-b"),
        workload("missing", "team-b"),
        workload("image", node_selector=NO_NODE),
        workload("forgotten"),
        workload("app", "nowhere"),
        timeout=4,
    )
    assert 4 <= time.monotonic() - began < 30
    assert causes(run) == {
        "missing": "pod_not_created",
        "image": "pod_unschedulable",
        "forgotten": "association_missing",
        "app": "job_refused",
    }
    assert 'serviceaccount "missing" not found' in by_account(run)["missing"]["cause"]["text"]
    assert 'namespaces "nowhere" not found' in by_account(run)["app"]["cause"]["text"]
    assert by_account(run)["keys"]["proven"]
    # Of the whole cluster once for the workloads, and once for similar names.
    assert run["api_calls"]["ListPodIdentityAssociations"] == 2
    assert not {"GetRole", "DescribeAddon"} & set(run["api_calls"])
    eventually(lambda: team.leftovers() == [])


@pytest.mark.deep
def test_roles_are_read_with_the_credentials_of_their_account(
    team: Team, verify: Verify, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The role of the cluster's account may assume the target role, which trusts another one."""
    keys = next(iter(team.sandbox.add_account(OTHER_ACCOUNT).values()))
    iam = team.sandbox.client(
        "iam", aws_access_key_id=keys["aws_access_key_id"], aws_secret_access_key=keys["aws_secret_access_key"]
    )
    target = f"arn:aws:iam::{OTHER_ACCOUNT}:role/target"
    trust = policy(Principal={"AWS": f"{ROLE_PREFIX}app-v2"})
    iam.create_role(RoleName="target", AssumeRolePolicyDocument=trust)
    team.iam.put_role_policy(RoleName="app", PolicyName="target", PolicyDocument=policy(Resource=target))
    team.account("team-a", "chained", targetRoleArn=target)
    wrong = verify(workload("chained"), accounts={OTHER_ACCOUNT: {"profile": "nobody"}})
    assert causes(wrong) == {"chained": "target_trust_refused"} and "could not be read" in wrong["msg"]
    assert "Not looked up: " in wrong["msg"] and "The config profile (nobody) could not be found" in wrong["msg"]
    credentials = tmp_path / "credentials"
    lines = ["[other]", *(f"{name} = {value}" for name, value in keys.items())]
    credentials.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    read = verify(workload("chained"), accounts={OTHER_ACCOUNT: {"profile": "other"}})
    assert causes(read) == {"chained": "target_trust_refused"} and "Not looked up" not in read["msg"]
    assert f"no statement of it allows {ROLE_PREFIX}app" in read["msg"]


def test_missing_agent_is_read_only_after_a_failure(team: Team, verify: Verify) -> None:
    team.eks.delete_addon(**AGENT)
    while team.eks.list_addons(clusterName="example")["addons"]:
        time.sleep(0.1)
    run = verify(workload("app"))
    assert causes(run) == {"app": "agent_missing"}
    assert run["api_calls"]["DescribeAddon"] == 1 and "GetRole" not in run["api_calls"]


def test_workloads_that_were_not_set_up_are_reported(team: Team, verify: Verify) -> None:
    run = verify(workload("app"), setup_failures={"team-a/app": "EKS refuses the role."})
    assert causes(run) == {"app": "setup_failed"} and "EKS refuses the role" in run["msg"]
    assert run["api_calls"] == {} and team.leftovers() == []


def test_given_failure_is_recorded_without_a_call(team: Team, verify: Verify) -> None:
    both = (workload("app"), workload("keys", "team-b"))
    run = verify(
        *both, failure="The cluster is gone", setup_failures={"team-b/keys": "no role"}, host="https://nowhere"
    )
    assert causes(run) == {"app": "verification_failed", "keys": "setup_failed"}
    assert "The cluster is gone" in run["msg"] and run["api_calls"] == {}


@pytest.mark.parametrize("failure", ["gone", "401", "500", "tls"])
def test_api_server_that_does_not_answer_is_reported(team: Team, verify: Verify, failure: str) -> None:
    with broken_api_server(failure) as host:
        run = verify(workload("app"), host=host, timeout=5)
    if failure == "500":
        assert causes(run) == {"app": "job_refused"}
    else:
        assert causes(run) == {"app": "verification_failed"}
        assert "The Jobs of the verification cannot be created in cluster example: " in run["msg"]
    assert team.leftovers() == []


def test_aws_that_does_not_answer_is_reported(team: Team, verify: Verify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    run = verify(workload("app"))
    assert causes(run) == {"app": "verification_failed"}
    assert "Failed to list the pod identity associations" in run["msg"] and team.leftovers() == []


def test_interrupted_run_removes_its_jobs(team: Team, verify: Verify) -> None:
    began = threading.Event()

    def interrupt() -> None:
        eventually(team.jobs)
        began.set()
        _thread.interrupt_main()

    threading.Thread(target=interrupt).start()
    with contextlib.suppress(KeyboardInterrupt):
        verify(workload("image", node_selector=NO_NODE), timeout=60)
        pytest.fail("the run was not interrupted")
    assert began.is_set()
    eventually(lambda: team.leftovers() == [])


def test_role_gives_the_module_every_option() -> None:
    """Those of connections come by module_defaults."""
    module = (ROOT / "plugins" / "modules" / "eks_pod_identity_verify.py").read_text(encoding="utf-8")
    documented = yaml.safe_load(module.split('DOCUMENTATION = r"""')[1].split('"""')[0])["options"]
    [task] = [
        task["podidentity.eks.eks_pod_identity_verify"]
        for task in yaml.safe_load((ROOT / "roles" / "verify" / "tasks" / "prove.yml").read_text(encoding="utf-8"))
        if "podidentity.eks.eks_pod_identity_verify" in task
    ]
    assert set(task) == set(documented) - {"validate_certs"}
