# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What others manage beside the declaration, mistakes in it, and identities that no pod has proven.

Told in order on one sandbox, on a cluster that something else has created.
"""

from __future__ import annotations

import json
import pathlib
import sys
import typing as t

import kubernetes
import pytest
from support.declared_workloads import CONTROLLER
from support.declared_workloads import MISFIT_TRUST
from support.declared_workloads import OTHER
from support.declared_workloads import PLAYBOOK
from support.declared_workloads import association
from support.declared_workloads import controller_generation
from support.declared_workloads import make_controller
from support.declared_workloads import make_example
from support.existing_cluster import ROLE_PREFIX
from support.existing_cluster import WORKLOAD
from support.existing_cluster import writes
from support.playbooks import Playbooks
from support.playbooks import one_line
from support.playbooks import only_error
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep


@pytest.fixture(scope="module")
def example(sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory, playbook: Playbooks) -> dict[str, t.Any]:
    return make_example(sandbox, playbook, tmp_path_factory.mktemp("inventory"))


def test_second_run_is_proven_and_changes_nothing(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    assert playbook(PLAYBOOK, **example, podidentity_workloads=[WORKLOAD, OTHER]).code == 0
    sandbox.clear_calls()
    run = playbook(PLAYBOOK, **example, podidentity_workloads=[WORKLOAD, OTHER])
    assert run.code == 0 and run.count("changed", "example") == 0 and writes(sandbox) == []
    assert "no longer declared" not in one_line(run)


def test_undeclared_workload_is_named_where_tags_choose_steps(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    steps = ("--tags", "iam_role,service_account,association")
    run = playbook(PLAYBOOK, *steps, **example, podidentity_workloads=[WORKLOAD])
    assert run.code == 0 and run.count("changed", "example") == 0
    text = one_line(run)
    assert "has associations of default/reports that were created by this collection and are no longer declared" in text
    assert "has service accounts default/reports that were created by this collection" in text
    assert association(sandbox, "reports")


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


def test_unproven_identity_is_judged_by_reading_without_jobs(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    make_controller(sandbox)
    before = controller_generation(sandbox)
    phases = ["association", "restart"]
    run = playbook(PLAYBOOK, **example, workload_phases=phases, podidentity_workloads=[WORKLOAD, OTHER, CONTROLLER])
    text = one_line(run)
    assert run.code != 0 and f"trust_refused, EKS may not assume its role {ROLE_PREFIX}lbc" in text
    assert controller_generation(sandbox) == before
    trust = json.loads(json.dumps(MISFIT_TRUST).replace("kube-system", "default"))
    sandbox.client("iam").update_assume_role_policy(RoleName="lbc", PolicyDocument=json.dumps(trust))
    eks = sandbox.client("eks")
    agent = {"clusterName": "example", "addonName": "eks-pod-identity-agent"}
    eks.delete_addon(**agent)
    eks.get_waiter("addon_deleted").wait(**agent, WaiterConfig={"Delay": 1})
    run = playbook(PLAYBOOK, **example, workload_phases=phases, podidentity_workloads=[WORKLOAD, OTHER, CONTROLLER])
    assert (
        run.code != 0
        and "new pods would not get the identity: the cluster has no add-on eks-pod-identity-agent" in one_line(run)
    )
    assert controller_generation(sandbox) == before
    eks.create_addon(**agent)
    eks.get_waiter("addon_active").wait(**agent, WaiterConfig={"Delay": 1})
    run = playbook(PLAYBOOK, **example, workload_phases=phases, podidentity_workloads=[WORKLOAD, OTHER, CONTROLLER])
    assert run.code == 0
    assert controller_generation(sandbox) == before + 1


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


def test_missing_python_library_is_named(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any], tmp_path: pathlib.Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['kubernetes'] = None\n", encoding="utf-8")
    bare = str(pathlib.Path(sys.prefix).parent / "uv" / "bin" / "python")
    sandbox.clear_calls()
    for python, env, missing in ((bare, {}, "boto3"), (sys.executable, {"PYTHONPATH": str(tmp_path)}, "kubernetes")):
        given: dict[str, t.Any] = {"ansible_python_interpreter": python, "podidentity_workloads": [WORKLOAD]}
        run = playbook(PLAYBOOK, env=env, **example, **given)
        assert f"{python} lacks {missing}: install it there" in one_line(run)
    assert set(sandbox.calls()) <= {"sts:GetCallerIdentity"}


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


def test_misspelt_variables_are_refused_together(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    sandbox.clear_calls()
    wrong: dict[str, t.Any] = {"podidentity_workload": [WORKLOAD], "addon_list": [], "restart_mode": "sometimes"}
    run = playbook(PLAYBOOK, **example, **wrong)
    assert [line.rpartition(": ")[2].split("?")[0] for line in only_error(run).splitlines()] == [
        "did you mean addons_list",
        "did you mean podidentity_workloads",
        "give never, missing or stale.",
    ]
    assert sandbox.calls() == {}


def test_agent_of_a_chart_is_left_or_replaced_as_declared(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    eks, names = sandbox.client("eks"), {"clusterName": "example", "addonName": "eks-pod-identity-agent"}
    # The agent stays without its add-on, as that of a chart.
    eks.delete_addon(**names, preserve=True)
    eks.get_waiter("addon_deleted").wait(**names, WaiterConfig={"Delay": 1})
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
