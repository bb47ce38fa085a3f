# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The declaration is the single truth: what is taken out of it, what others manage, and what must not be touched.

Told in order on one sandbox, on a cluster that something else has created.
"""

from __future__ import annotations

import json
import pathlib
import typing as t

import kubernetes
import pytest
from support.existing_cluster import ROLE_PREFIX
from support.existing_cluster import WORKLOAD
from support.existing_cluster import make_account
from support.existing_cluster import make_cluster
from support.existing_cluster import writes
from support.playbooks import Playbooks
from support.playbooks import Run
from support.playbooks import only_error
from support.sandbox_process import SandboxProcess

PLAYBOOK = "playbooks/workload.yml"
TAGS_OFF = WORKLOAD | {"disable_session_tags": True}
OTHER = WORKLOAD | {"service_account": "reports", "role": {"name": "reports"}, "prove": {}}
NAMESPACE_TAG = "aws:RequestTag/kubernetes-namespace"
#: A role for Pod Identity that only a workload of another namespace may use; and for IRSA.
MISFIT_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {
                "Federated": "arn:aws:iam::111122223333:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/EX"
            },
            "Action": "sts:AssumeRoleWithWebIdentity",
        },
        {
            "Effect": "Allow",
            "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {"StringEquals": {NAMESPACE_TAG: "kube-system"}},
        },
    ],
}


@pytest.fixture(scope="module")
def example(sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory, playbook: Playbooks) -> dict[str, t.Any]:
    """The cluster "example" with the agent; returns what a run for it is given."""
    make_cluster(sandbox, make_account(sandbox), nodes=1)
    path = tmp_path_factory.mktemp("inventory") / "hosts.json"
    connection = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    path.write_text(json.dumps({"eks_clusters": {"hosts": {"example": connection}}}), encoding="utf-8")
    given: dict[str, t.Any] = {"inventory": str(path), "eks_region": "eu-west-1", "cluster_manage": False}
    assert playbook("playbooks/site.yml", "--tags", "agent", **given).code == 0
    return given


def one_line(run: Run) -> str:
    return " ".join(run.output.split())


def association(sandbox: SandboxProcess, service_account: str) -> dict[str, t.Any]:
    eks, names = sandbox.client("eks"), {"clusterName": "example"}
    [found] = eks.list_pod_identity_associations(**names, serviceAccount=service_account)["associations"]
    described = eks.describe_pod_identity_association(**names, associationId=found["associationId"])
    answer: dict[str, t.Any] = described["association"]
    return answer


def conditions(sandbox: SandboxProcess, role: str) -> list[dict[str, t.Any]]:
    """What each trust statement of a role asks for by StringEquals."""
    document = sandbox.client("iam").get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    return [one.get("Condition", {}).get("StringEquals", {}) for one in document["Statement"]]


def test_workload_without_session_tags_is_proven(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    run = playbook(PLAYBOOK, **example, podidentity_workloads=[TAGS_OFF, OTHER])
    assert run.code == 0
    assert association(sandbox, "s3-access-sa")["disableSessionTags"] is True
    assert [NAMESPACE_TAG in one for one in conditions(sandbox, "EKS-S3-Access-Role")] == [False]


def test_check_mode_shows_session_tags_coming_back(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any], tmp_path: pathlib.Path
) -> None:
    sandbox.clear_calls()
    declared: dict[str, t.Any] = {
        "podidentity_workloads": [WORKLOAD, OTHER],
        "podidentity_plan_file": str(tmp_path / "plan.json"),
    }
    run = playbook(PLAYBOOK, "--check", "--diff", **example, **declared)
    assert run.code == 0 and writes(sandbox) == []
    [plan] = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert plan["cluster"] == "example" and [one["action"] for one in plan["associations"]] == ["update"]
    text = (tmp_path / "plan.md").read_text(encoding="utf-8")
    assert "- association default/s3-access-sa: update (disable_session_tags `True` -> `False`)" in text
    assert "- role EKS-S3-Access-Role: change trust statement" in text
    assert run.count("changed", "example") == 2, "the association, and then the role"
    assert "disable_session_tags: true" in run.output and NAMESPACE_TAG in run.output


def test_workload_is_proven_when_session_tags_are_back(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    run = playbook(PLAYBOOK, **example, podidentity_workloads=[WORKLOAD, OTHER])
    assert run.code == 0 and run.count("changed", "example") == 2
    assert association(sandbox, "s3-access-sa")["disableSessionTags"] is False
    assert [one.get(NAMESPACE_TAG) for one in conditions(sandbox, "EKS-S3-Access-Role")] == ["default"]


@pytest.mark.deep
def test_second_run_is_proven_and_changes_nothing(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    sandbox.clear_calls()
    run = playbook(PLAYBOOK, **example, podidentity_workloads=[WORKLOAD, OTHER])
    assert run.code == 0 and run.count("changed", "example") == 0 and writes(sandbox) == []
    assert "no longer declared" not in one_line(run)


@pytest.mark.parametrize(
    "arguments",
    [("--check",), pytest.param(("--tags", "iam_role,service_account,association"), marks=pytest.mark.deep)],
)
def test_undeclared_workload_is_named_in_every_run(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any], arguments: tuple[str, ...]
) -> None:
    run = playbook(PLAYBOOK, *arguments, **example, podidentity_workloads=[WORKLOAD])
    assert run.code == 0 and run.count("changed", "example") == 0
    text = one_line(run)
    assert "has associations of default/reports that were created by this collection and are no longer declared" in text
    assert "has service accounts default/reports that were created by this collection" in text
    assert "remove them with podidentity_purge: cluster" in text
    assert association(sandbox, "reports")


@pytest.mark.deep
def test_last_undeclared_workload_is_named(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    run = playbook(PLAYBOOK, "--check", **example, podidentity_workloads=[])
    assert run.code == 0
    assert "has associations of default/reports, default/s3-access-sa that were created" in one_line(run)


def test_service_account_of_a_chart_need_not_exist_yet(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    chart = {"namespace": "default", "service_account": "chart-app", "service_account_managed": False}
    chart["role"] = {"name": "chart-app", "managed_policies": ["AmazonS3ReadOnlyAccess"]}
    run = playbook(PLAYBOOK, **example, podidentity_workloads=[WORKLOAD, OTHER, chart])
    assert run.code == 0
    text = one_line(run)
    assert "Service accounts default/chart-app of cluster example do not exist yet" in text
    assert "Nothing can be proven until they are created" in text
    assert "PROVEN default/s3-access-sa" in text and "PROVEN default/chart-app" not in text
    core = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(str(sandbox.kubeconfig)))
    names = [one.metadata.name for one in core.list_namespaced_service_account("default").items]
    assert "chart-app" not in names and association(sandbox, "chart-app")


def test_pods_are_not_restarted_onto_unproven_identity(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    """A controller that runs with IRSA keeps running when its role does not trust the new way."""
    iam = sandbox.client("iam")
    iam.create_role(RoleName="lbc", AssumeRolePolicyDocument=json.dumps(MISFIT_TRUST))
    api = kubernetes.config.new_client_from_config(str(sandbox.kubeconfig))
    annotations = {"eks.amazonaws.com/role-arn": f"{ROLE_PREFIX}lbc"}
    account = {"metadata": {"name": "lbc", "annotations": annotations}}
    kubernetes.client.CoreV1Api(api).create_namespaced_service_account("default", account)
    container = {"name": "main", "image": "busybox", "command": ["sleep", "3600"]}
    template = {
        "metadata": {"labels": {"app": "lbc"}},
        "spec": {"serviceAccountName": "lbc", "terminationGracePeriodSeconds": 0, "containers": [container]},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "lbc"}}, "template": template}
    apps = kubernetes.client.AppsV1Api(api)
    apps.create_namespaced_deployment("default", {"metadata": {"name": "lbc"}, "spec": spec})
    before = apps.read_namespaced_deployment("lbc", "default").metadata.generation
    lbc = {"namespace": "default", "service_account": "lbc", "role": {"arn": f"{ROLE_PREFIX}lbc"}}
    run = playbook(PLAYBOOK, **example, verify_grace=0, podidentity_workloads=[WORKLOAD, OTHER, lbc])
    text = one_line(run)
    assert run.code != 0 and "NOT PROVEN default/lbc in cluster example: trust_refused" in text
    assert "Deployment default/lbc was not restarted" in text
    assert "new pods would not get the identity: it is not proven (trust_refused)" in text
    assert apps.read_namespaced_deployment("lbc", "default").metadata.generation == before


@pytest.mark.deep
def test_unproven_identity_is_judged_by_reading_without_jobs(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    lbc = {"namespace": "default", "service_account": "lbc", "role": {"arn": f"{ROLE_PREFIX}lbc"}}
    apps = kubernetes.client.AppsV1Api(kubernetes.config.new_client_from_config(str(sandbox.kubeconfig)))
    before = apps.read_namespaced_deployment("lbc", "default").metadata.generation
    phases = ["association", "restart"]
    run = playbook(PLAYBOOK, **example, workload_phases=phases, podidentity_workloads=[WORKLOAD, OTHER, lbc])
    text = one_line(run)
    assert run.code != 0 and f"trust_refused, EKS may not assume its role {ROLE_PREFIX}lbc" in text
    assert apps.read_namespaced_deployment("lbc", "default").metadata.generation == before
    trust = json.loads(json.dumps(MISFIT_TRUST).replace("kube-system", "default"))
    sandbox.client("iam").update_assume_role_policy(RoleName="lbc", PolicyDocument=json.dumps(trust))
    run = playbook(PLAYBOOK, **example, workload_phases=phases, podidentity_workloads=[WORKLOAD, OTHER, lbc])
    assert run.code == 0
    assert apps.read_namespaced_deployment("lbc", "default").metadata.generation == before + 1


def test_role_alone_refuses_the_current_kubeconfig(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any], tmp_path: pathlib.Path
) -> None:
    """Without module_defaults kubernetes.core would take whatever the environment names."""
    play = {"hosts": "example", "gather_facts": False, "roles": ["podidentity.eks.service_account"]}
    path = tmp_path / "play.json"
    path.write_text(json.dumps([play]), encoding="utf-8")
    env = {"K8S_AUTH_HOST": "https://127.0.0.1:1", "K8S_AUTH_API_KEY": "somebody-elses-token"}
    sandbox.clear_calls()
    run = playbook(str(path), env={**env, "AWS_REGION": "eu-west-1"}, **example, podidentity_workloads=[WORKLOAD])
    assert only_error(run).startswith(
        "The connection to Kubernetes leads to https://127.0.0.1:1, which is not the API server of cluster example"
    )
    assert writes(sandbox) == [] and "somebody-elses-token" not in run.output


def test_wrong_account_stops_the_run(playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]) -> None:
    sandbox.clear_calls()
    run = playbook(PLAYBOOK, **example, eks_account_id="444455556666", podidentity_workloads=[WORKLOAD])
    assert "are of account 111122223333, and host example has the eks_account_id 444455556666" in only_error(run)
    assert "in account 111122223333, region eu-west-1, cluster example" in one_line(run)
    assert sandbox.calls() == {"sts:GetCallerIdentity": 1}


@pytest.mark.deep
def test_mistake_in_a_template_is_reported_as_itself(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    sandbox.clear_calls()
    role = {"name": "dns", "inline_policy": "{{ 'external-dns' | podidentity.eks.pod_identity_policy }}"}
    run = playbook(PLAYBOOK, **example, podidentity_workloads=[WORKLOAD | {"role": role}])
    assert run.code != 0 and "Policy external-dns: hosted_zone_arns is missing: give a list" in one_line(run)
    run = playbook(PLAYBOOK, **example, podidentity_workloads="{{ my_workloads }}", podidentity_purge="cluster")
    assert run.code != 0 and "'my_workloads' is undefined" in one_line(run)
    assert sandbox.calls() == {}, "what is undefined counts as nothing, and nothing is removed for it"


@pytest.mark.deep
def test_misspelt_variables_are_refused_together(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    sandbox.clear_calls()
    run = playbook(PLAYBOOK, **example, podidentity_workload=[WORKLOAD], addon_list=[])
    assert [line.rpartition(": ")[2].split("?")[0] for line in only_error(run).splitlines()] == [
        "did you mean addons_list",
        "did you mean podidentity_workloads",
    ]
    assert sandbox.calls() == {}


@pytest.mark.deep
def test_access_entries_are_made_on_an_unmanaged_cluster(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    principal = f"{ROLE_PREFIX}app"
    entries = [{"principal_arn": principal, "type": "STANDARD", "kubernetes_groups": ["team"]}]
    run = playbook("playbooks/site.yml", "--tags", "cluster", **example, cluster_access_entries=entries)
    assert "has no access entries, since its authentication mode is CONFIG_MAP" in one_line(run), "refused, and why"
    eks = sandbox.client("eks")
    eks.update_cluster_config(name="example", accessConfig={"authenticationMode": "API_AND_CONFIG_MAP"})
    eks.get_waiter("cluster_active").wait(name="example", WaiterConfig={"Delay": 1})
    run = playbook("playbooks/site.yml", "--tags", "cluster", **example, cluster_access_entries=entries)
    assert run.code == 0 and run.count("changed", "example") == 1
    found = eks.describe_access_entry(clusterName="example", principalArn=principal)["accessEntry"]
    assert found["kubernetesGroups"] == ["team"] and found["tags"] == {"podidentity.eks/cluster": "example"}
    again = playbook("playbooks/site.yml", "--tags", "cluster", **example, cluster_access_entries=entries)
    assert (again.code, again.count("changed", "example")) == (0, 0)
    before = len(eks.list_access_entries(clusterName="example")["accessEntries"])
    gone = playbook("playbooks/teardown.yml", **example, podidentity_workloads=[], cluster_access_entries=entries)
    assert gone.code == 0
    assert len(eks.list_access_entries(clusterName="example")["accessEntries"]) == before - 1
    assert eks.describe_cluster(name="example")["cluster"]["status"] == "ACTIVE"


@pytest.mark.deep
def test_agent_of_a_chart_is_left_or_replaced_as_declared(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    eks, names = sandbox.client("eks"), {"clusterName": "example", "addonName": "eks-pod-identity-agent"}
    # The agent stays without its add-on, as that of a chart.
    if eks.list_addons(clusterName="example")["addons"]:
        eks.delete_addon(**names, preserve=True)
        eks.get_waiter("addon_deleted").wait(**names, WaiterConfig={"Delay": 1})
    else:
        pytest.fail("the agent was installed before")
    apps = kubernetes.client.AppsV1Api(kubernetes.config.new_client_from_config(str(sandbox.kubeconfig)))
    manager = "helm"
    for one in apps.list_namespaced_daemon_set("kube-system").items:
        body = {"spec": {"template": {"metadata": {"annotations": {"chart": "yes"}}}}}
        apps.patch_namespaced_daemon_set(one.metadata.name, "kube-system", body, field_manager=manager)
    run = playbook("playbooks/site.yml", "--tags", "agent", **example, agent_managed=False)
    assert run.code == 0 and run.count("changed", "example") == 0
    assert eks.list_addons(clusterName="example")["addons"] == []
    run = playbook("playbooks/site.yml", "--tags", "agent", **example)
    assert run.code == 0 and eks.list_addons(clusterName="example")["addons"] == ["eks-pod-identity-agent"]
