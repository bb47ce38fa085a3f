# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bad input and bad days, as a user meets them: one sentence says what, where and what would be right.

The tests are one day: first an empty account, then one with a cluster that somebody else has made.
"""

from __future__ import annotations

import json
import pathlib
import re
import typing as t

import pytest
from support.existing_cluster import ROLE_PREFIX
from support.existing_cluster import WORKLOAD
from support.existing_cluster import make_account
from support.existing_cluster import make_cluster
from support.existing_cluster import writes
from support.iam_roles import make_role
from support.operators import EVERYTHING
from support.operators import Operators
from support.playbooks import Playbooks
from support.playbooks import Run
from support.playbooks import only_error
from support.sandbox_process import SandboxProcess

SITE = "playbooks/site.yml"
VERIFY = "playbooks/verify.yml"
AGENT = "eks-pod-identity-agent"
NAMESPACE_RULE = "use 1 to 63 lower-case letters, digits and hyphens, a letter or digit at both ends."
SERVICE_ACCOUNT_RULE = (
    "use 1 to 253 lower-case letters, digits, hyphens and dots, a letter or digit at both ends of each part between "
    "dots."
)
WRONG_WORKLOADS = [
    WORKLOAD | {"namespace": "Default"},
    WORKLOAD | {"service_account": "s3_access"},
    WORKLOAD | {"service_account": "reports", "role": {"arn": "arn:aws:iam::1111:role/reports"}},
    {
        "namespace": "team-a",
        "service_acount": "app",
        "role": {"name": "App", "managed_polices": ["AmazonS3ReadOnlyAccess"]},
        "prove": {"alow": []},
    },
]
DECLARATION_ERRORS = [
    'Host eks-pod-identity-boto3 has the agent_version "1.3": give default, latest, keep, the first '
    "numbers of a version such as v1.3, or an exact one such as v1.3.9-eksbuild.3.",
    f'Workload Default/s3-access-sa has the namespace "Default": {NAMESPACE_RULE}',
    f'Workload default/s3_access has the service_account "s3_access": {SERVICE_ACCOUNT_RULE}',
    'Workload default/reports has role.arn "arn:aws:iam::1111:role/reports": give an IAM role\'s ARN in full, such as '
    "arn:aws:iam::111122223333:role/name.",
    'Workload team-a/app has the unknown key "service_acount": did you mean service_account?',
    'The role of workload team-a/app has the unknown key "managed_polices": did you mean managed_policies?',
    "Workload team-a/app: prove is to be a mapping of allow, deny, image, node_selector, tolerations, nothing else.",
]


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The cluster "example" as a user declares it first: without a region."""
    path = tmp_path_factory.mktemp("inventory") / "hosts.json"
    connection = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    path.write_text(json.dumps({"eks_clusters": {"hosts": {"example": connection}}}), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def example(sandbox: SandboxProcess, inventory: str) -> dict[str, t.Any]:
    """The cluster "example" is there; returns what a run for it is given."""
    make_cluster(sandbox, make_account(sandbox))
    return {"inventory": inventory, "eks_region": "eu-west-1"}


@pytest.fixture(autouse=True)
def clear_call_log(sandbox: SandboxProcess) -> None:
    sandbox.clear_calls()


def test_reports_all_problems_of_a_declaration_at_once(playbook: Playbooks, sandbox: SandboxProcess) -> None:
    run = playbook(SITE, podidentity_workloads=WRONG_WORKLOADS, agent_version="1.3")
    assert only_error(run).splitlines() == DECLARATION_ERRORS
    assert sandbox.calls() == {}


def test_reports_missing_credentials(playbook: Playbooks, sandbox: SandboxProcess) -> None:
    run = playbook(SITE, env={"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None})
    assert only_error(run) == (
        "No AWS credentials were found; set access_key and secret_key, or profile, or the environment variables "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    )
    assert sandbox.calls() == {}


def test_reports_missing_region(playbook: Playbooks, sandbox: SandboxProcess, inventory: str) -> None:
    run = playbook(SITE, inventory=inventory)
    assert only_error(run) == (
        'Host example has the eks_region "": give the AWS region of the cluster, such as eu-west-1, as a host variable.'
    )
    assert sandbox.calls() == {}


@pytest.mark.parametrize("name", ["access", "site", "teardown", "verify", "workload"])
def test_reports_inventory_without_clusters(
    playbook: Playbooks, sandbox: SandboxProcess, tmp_path: pathlib.Path, name: str
) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("clusters: {hosts: {example: {eks_region: eu-west-1}}}", encoding="utf-8")
    assert only_error(playbook(f"playbooks/{name}.yml", inventory=str(inventory))) == (
        "The inventory has no host in the group eks_clusters: name an inventory with -i in which every EKS cluster is "
        "a host of that group."
    )
    assert sandbox.calls() == {}


def test_reports_denied_action_and_writes_nothing(playbook: Playbooks, sandbox: SandboxProcess) -> None:
    iam = sandbox.client("iam")
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    sandbox.clear_calls()
    keys = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    run = playbook(SITE, env=keys)
    assert only_error(run) == (
        "Failed to describe the cluster: An error occurred (AccessDeniedException) when calling the DescribeCluster "
        "operation: User: arn:aws:iam::111122223333:user/nobody is not authorized to perform: eks:DescribeCluster on "
        "resource: arn:aws:eks:eu-west-1:111122223333:cluster/eks-pod-identity-boto3 because no identity-based policy "
        "allows the eks:DescribeCluster action. The filter podidentity.eks.pod_identity_operator_policy has the "
        "permissions that a run needs."
    )
    assert writes(sandbox) == []


def test_verify_reports_missing_cluster(playbook: Playbooks, sandbox: SandboxProcess) -> None:
    assert only_error(playbook(VERIFY)) == (
        "There is no EKS cluster eks-pod-identity-boto3 in eu-west-1 for these credentials: correct eks_cluster_name "
        "or eks_region of host eks-pod-identity-boto3, or make the cluster with the playbook podidentity.eks.site."
    )
    assert writes(sandbox) == []


def test_verify_reports_when_no_workloads_are_declared(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    sandbox.clear_calls()
    run = playbook(VERIFY, **example, podidentity_workloads=[])
    assert run.code == 0
    said = (
        "Host example declares no podidentity_workloads: there is no pod whose role could be made, proven or removed."
    )
    assert said in " ".join(run.output.split())
    assert writes(sandbox) == []


@pytest.mark.deep
def test_reports_unknown_addon_version(playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]) -> None:
    run = playbook(SITE, "--tags", "agent", **example, agent_version="v9.9.9-eksbuild.1")
    error = only_error(run)
    assert error.startswith(f'version "v9.9.9-eksbuild.1" of add-on {AGENT} of cluster example does not exist: ')
    assert re.search(r"the nearest for Kubernetes \S+ are v\S+, .*; default means v\S+ and latest means v\S+\.$", error)
    assert writes(sandbox) == []


def test_reports_role_that_does_not_trust_pods(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any], tmp_path: pathlib.Path
) -> None:
    make_role(sandbox.client("iam"), "of-a-guide", "eks.amazonaws.com")
    play = {
        "name": "Associations with the patience of a test",
        "hosts": "eks_clusters",
        "gather_facts": False,
        "module_defaults": {
            "group/podidentity.eks.aws": {"region": "{{ eks_region }}"},
            "podidentity.eks.eks_pod_identity_associations": {"iam_propagation_timeout": 2},
        },
        "roles": ["podidentity.eks.association"],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    workload = WORKLOAD | {"role": {"arn": f"{ROLE_PREFIX}of-a-guide"}}
    run = playbook(str(tmp_path / "play.yml"), **example, podidentity_workloads=[workload])
    assert only_error(run).startswith(
        "default/s3-access-sa: EKS refuses the trust policy of the role "
        f"{ROLE_PREFIX}of-a-guide, after 2 seconds; it must allow the principal pods.eks.amazonaws.com both "
        "sts:AssumeRole and sts:TagSession: "
    )
    assert sandbox.client("eks").list_pod_identity_associations(clusterName="example")["associations"] == []


@pytest.mark.deep
def test_reports_failed_addon_installation(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    sandbox.knobs(addon_outcomes={AGENT: "CREATE_FAILED"}, addon_issues={AGENT: "ConfigurationConflict"})
    run = playbook(SITE, "--tags", "agent", **example)
    sandbox.knobs(addon_outcomes={}, addon_issues={})
    assert only_error(run).startswith(
        f"Waited for the add-on {AGENT} of cluster example to become ACTIVE, but it is CREATE_FAILED "
        "(ConfigurationConflict: "
    )


def secrets_in(run: Run, sandbox: SandboxProcess) -> list[str]:
    """What no output may show: tokens of the Kubernetes API, their signatures, the caller's key."""
    secrets = ["k8s-aws-v1.", "X-Amz-Signature", sandbox.env["AWS_SECRET_ACCESS_KEY"]]
    return [secret for secret in secrets if secret in run.output]


def test_verbose_output_holds_no_secret(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    # The cluster is not managed: the run uses it, and installs or repairs the agent.
    good = playbook(SITE, "-vvv", **example, podidentity_workloads=[WORKLOAD])
    assert good.code == 0
    assert "task path:" in good.output, "the output is as talkative as it gets"
    assert secrets_in(good, sandbox) == []

    too_much = WORKLOAD | {"prove": {"allow": [{"service": "iam", "operation": "list_users"}]}}
    failing = playbook(VERIFY, "-vvv", **example, podidentity_workloads=[too_much], verify_grace=0)
    assert failing.code != 0
    assert "permission_missing" in failing.output
    assert secrets_in(failing, sandbox) == []


@pytest.mark.parametrize(
    "name", [SITE, *(pytest.param(name, marks=pytest.mark.deep) for name in ("playbooks/workload.yml", VERIFY))]
)
def test_reports_principal_without_access_entry(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any], name: str
) -> None:
    """By the most talkative output: a module that fails with a traceback shows the token that it was given."""
    people, stranger = Operators(sandbox), pathlib.Path(name).stem
    people.add(stranger, EVERYTHING)
    keys = people.keys[stranger]
    sandbox.clear_calls()
    run = playbook(name, "-vvv", env=keys, **example, podidentity_workloads=[WORKLOAD])
    assert only_error(run) == (
        f"Cluster example does not know arn:aws:iam::111122223333:user/{stranger}: give this principal an access "
        "entry, by cluster_access_entries of the role podidentity.eks.cluster or the module "
        "podidentity.eks.eks_access_entry, or use credentials of one that has it."
    )
    assert writes(sandbox) == []
    assert secrets_in(run, sandbox) == []
    assert keys["AWS_SECRET_ACCESS_KEY"] not in run.output


def test_reports_unreachable_api_server(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    env = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": None, "no_proxy": None}
    run = playbook(VERIFY, "-vvv", env=env, **example, podidentity_workloads=[WORKLOAD])
    endpoint = sandbox.client("eks").describe_cluster(name="example")["cluster"]["endpoint"]
    error = only_error(run)
    assert error.startswith(f"The API server of cluster example cannot be reached at {endpoint} (Request failed: ")
    assert error.endswith(
        "Connection refused>): run this where it can be, in the cluster's VPC if its endpoint is private, and check "
        "HTTPS_PROXY and NO_PROXY."
    )
    assert secrets_in(run, sandbox) == []


@pytest.mark.deep
def test_aws_only_phases_need_no_cluster_access(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    people = Operators(sandbox)
    people.add("outsider", EVERYTHING)
    keys = people.keys["outsider"]
    run = playbook(SITE, "--tags", "iam_role", "--check", env=keys, **example, podidentity_workloads=[WORKLOAD])
    assert run.code == 0
    phases = ["iam_role", "association"]
    run = playbook(
        "playbooks/workload.yml",
        "--check",
        env=keys,
        **example,
        podidentity_workloads=[WORKLOAD],
        workload_phases=phases,
    )
    assert run.code == 0


@pytest.mark.deep
def test_reports_addon_that_stays_degraded(
    playbook: Playbooks, sandbox: SandboxProcess, example: dict[str, t.Any]
) -> None:
    addon = {"clusterName": "example", "addonName": AGENT}
    sandbox.client("eks").delete_addon(**addon)
    sandbox.client("eks").get_waiter("addon_deleted").wait(**addon, WaiterConfig={"Delay": 1})
    sandbox.knobs(addon_outcomes={AGENT: "DEGRADED"}, addon_issues={AGENT: "InsufficientNumberOfReplicas"})
    run = playbook(SITE, "--tags", "agent", **example, agent_timeout=2)
    assert only_error(run).startswith(
        f"Waited 2 seconds for the add-on {AGENT} of cluster example to become ACTIVE, but it is still DEGRADED "
        "(InsufficientNumberOfReplicas: "
    )
