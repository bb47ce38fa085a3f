# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jobs and workflows as AWX runs them: what surveys and earlier jobs hand over decides no more than it may."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from support.awx_jobs import APPROVED
from support.awx_jobs import DENIED
from support.awx_jobs import Awx
from support.awx_jobs import Job
from support.awx_jobs import Template
from support.existing_cluster import make_account
from support.existing_cluster import make_cluster
from support.existing_cluster import writes
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep

HOST = "example"
ANSWERS = {
    "podidentity_request_namespace": "default",
    "podidentity_request_service_account": "from-a-survey",
    "podidentity_request_role": "asked-for",
    "podidentity_request_managed_policies": "AmazonS3ReadOnlyAccess\n",
    "podidentity_request_allow": "s3.list_buckets",
}
#: As AWX hands a survey over that nobody has filled in.
EMPTY = dict.fromkeys(ANSWERS, "")
#: What AWX's credential for Kubernetes puts into the environment: another cluster, without its certificate.
OTHER_CLUSTER = {
    "K8S_AUTH_HOST": "https://127.0.0.1:1",
    "K8S_AUTH_API_KEY": "somebody-elses-token",
    "K8S_AUTH_VERIFY_SSL": "False",
}
DECLARED = [
    {
        "namespace": "default",
        "service_account": name,
        "role": {"name": "declared", "managed_policies": ["AmazonS3ReadOnlyAccess"]},
        "prove": {"allow": [{"service": "s3", "operation": "list_buckets"}]},
    }
    for name in ("declared-a", "declared-b")
]
#: What an earlier job of a workflow might have published, about another cluster or as somebody else wants it.
FOREIGN = {
    "podidentity_proof": [
        {"cluster": HOST, "namespace": "default", "service_account": name, "proven": True, "warnings": [], "calls": []}
        for name in ("declared-a", "declared-b", "elsewhere")
    ],
    "podidentity_undeclared": [f"{HOST}/default/declared-a"],
    "podidentity_summary": {HOST: "Nothing would change."},
    "podidentity_access_findings": ["Nothing was found."],
}
DECLARATION = Template("playbooks/workload.yml")
REQUEST = Template("playbooks/request.yml")


@pytest.fixture(scope="module")
def account(sandbox: SandboxProcess) -> None:
    """The cluster "example" with the agent."""
    make_cluster(sandbox, make_account(sandbox))
    eks, agent = sandbox.client("eks"), {"clusterName": HOST, "addonName": "eks-pod-identity-agent"}
    eks.create_addon(**agent)
    eks.get_waiter("addon_active").wait(**agent, WaiterConfig={"Delay": 1})


@pytest.fixture(scope="module")
def awx(playbook: Playbooks, account: None, tmp_path_factory: pytest.TempPathFactory) -> Awx:
    """An inventory that declares two workloads, and purges what is no longer declared."""
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "eks_region": "eu-west-1",
        "podidentity_workloads": DECLARED,
        "podidentity_purge": "cluster",
    }
    return Awx(tmp_path_factory.mktemp("awx"), playbook.environment(**OTHER_CLUSTER), {HOST: {}}, variables)


def associated(sandbox: SandboxProcess) -> set[str]:
    """The service accounts that have an association."""
    found = sandbox.client("eks").list_pod_identity_associations(clusterName=HOST)["associations"]
    return {one["serviceAccount"] for one in found}


def proven(job: Job) -> dict[str, bool]:
    """What a job published as its proof."""
    return {one["service_account"]: one["proven"] for one in job.artifacts["podidentity_proof"]}


# --- the declaration --------------------------------------------------------------------------------------------------


def test_unanswered_survey_applies_the_declaration(awx: Awx, sandbox: SandboxProcess) -> None:
    [job] = awx.launch(DECLARATION, EMPTY)
    assert job.successful
    assert proven(job) == {"declared-a": True, "declared-b": True}
    assert associated(sandbox) == {"declared-a", "declared-b"}


@pytest.mark.parametrize("answer", [[], None])
def test_empty_list_from_a_survey_removes_nothing(awx: Awx, sandbox: SandboxProcess, answer: t.Any) -> None:
    sandbox.clear_calls()
    [job] = awx.launch(DECLARATION, {"podidentity_workloads": answer})
    assert job.successful is (answer == [])  # what is no list is refused
    assert writes(sandbox) == []
    assert associated(sandbox) == {"declared-a", "declared-b"}


# --- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        (EMPTY, "No workload is requested: answer at least namespace and service account."),
        ({**EMPTY, "podidentity_request_namespace": "default"}, "lack a service account and an IAM role: answer"),
        ({**ANSWERS, "podidentity_request_namespace": "007"}, 'The answer "namespace" arrived as 7 and not as a text'),
        (
            {**ANSWERS, "podidentity_allowed_policies": ["AmazonSQS*"]},
            'The request asks for the managed policy "AmazonS3ReadOnlyAccess", which podidentity_allowed_policies does',
        ),
        ({**ANSWERS, "workload_state": "absent"}, "workload_state is absent, and a request removes nothing"),
    ],
    ids=["unanswered", "incomplete", "typed", "not allowed", "removal"],
)
def test_request_is_refused_before_any_call(
    awx: Awx, sandbox: SandboxProcess, answers: dict[str, t.Any], sentence: str
) -> None:
    sandbox.clear_calls()
    [job] = awx.launch(REQUEST, answers)
    assert not job.successful
    assert sentence in job.words
    assert sandbox.calls() == {}


def test_denied_request_writes_nothing(awx: Awx, sandbox: SandboxProcess) -> None:
    sandbox.clear_calls()
    check = Template(REQUEST.playbook, check=True)
    [[job]] = awx.workflow([check, DENIED, REQUEST], ANSWERS)
    assert job.successful
    assert job.changed == {HOST: 3}, "a role, a service account and an association"
    summary = job.artifacts["podidentity_summary"][HOST]
    assert "- ServiceAccount default/from-a-survey: create" in summary
    assert "- association default/from-a-survey: create" in summary
    assert writes(sandbox) == []


def test_approved_request_is_proven_and_purges_nothing(awx: Awx, sandbox: SandboxProcess) -> None:
    check, verify = Template(REQUEST.playbook, check=True), Template(REQUEST.playbook, tags="verify")
    [_, [applied], [again]] = awx.workflow([check, APPROVED, Template(REQUEST.playbook, verbosity=4), verify], ANSWERS)
    assert associated(sandbox) == {"declared-a", "declared-b", "from-a-survey"}
    assert "podidentity_undeclared" not in applied.artifacts, "a request says nothing about other workloads"
    [first], [second] = applied.artifacts["podidentity_proof"], again.artifacts["podidentity_proof"]
    assert (first["identity"]["role"], first["proven"], second["proven"]) == ("asked-for", True, True)
    assert first["identity"]["session_name"] != second["identity"]["session_name"], "each node asks a pod of its own"
    assert again.changed == {}
    assert_no_secret(applied, sandbox)


def assert_no_secret(job: Job, sandbox: SandboxProcess) -> None:
    """Nothing that the job left holds one."""
    left = "".join(path.read_text(errors="replace") for path in (job.folder / "artifacts").rglob("*") if path.is_file())
    # The environment of the job is the one thing that runner keeps as it was; AWX hides it by itself.
    [kept] = (job.folder / "artifacts").rglob("command")
    left = left.replace(kept.read_text(encoding="utf-8"), "")
    for secret in (sandbox.env["AWS_SECRET_ACCESS_KEY"], "k8s-aws-v1.", OTHER_CLUSTER["K8S_AUTH_API_KEY"]):
        assert secret not in left


def test_request_of_declared_workload_applies_it_alone(awx: Awx, sandbox: SandboxProcess) -> None:
    answers = {**EMPTY, "podidentity_request_namespace": "default", "podidentity_request_service_account": "declared-b"}
    [job] = awx.launch(REQUEST, answers)
    assert job.successful
    assert proven(job) == {"declared-b": True}
    assert job.changed == {}


@pytest.mark.parametrize("story", ["site", "teardown"])
def test_playbook_for_whole_clusters_refuses_answers(awx: Awx, sandbox: SandboxProcess, story: str) -> None:
    sandbox.clear_calls()
    [job] = awx.launch(Template(f"playbooks/{story}.yml"), ANSWERS)
    assert not job.successful
    assert "takes no answers of a survey, and got podidentity_request_namespace, podidentity_request_" in job.words
    assert sandbox.calls() == {}


# --- the other stories ------------------------------------------------------------------------------------------------


def test_check_of_site_writes_nothing(awx: Awx, sandbox: SandboxProcess) -> None:
    sandbox.clear_calls()
    [job] = awx.launch(
        Template("playbooks/site.yml", check=True, variables={"cluster_manage": False}), artifacts=FOREIGN
    )
    assert job.successful
    assert writes(sandbox) == []


def test_check_of_teardown_names_what_would_go(awx: Awx, sandbox: SandboxProcess) -> None:
    sandbox.clear_calls()
    [job] = awx.launch(Template("playbooks/teardown.yml", check=True), artifacts=FOREIGN)
    assert job.successful
    assert "workloads declared-a, declared-b, add-ons" in job.artifacts["podidentity_summary"][HOST]
    assert writes(sandbox) == []


def test_access_publishes_its_findings(awx: Awx, sandbox: SandboxProcess) -> None:
    sandbox.clear_calls()
    [job] = awx.launch(Template("playbooks/access.yml"), artifacts=FOREIGN)
    assert job.successful
    assert job.artifacts["podidentity_access_findings"] != FOREIGN["podidentity_access_findings"]
    assert writes(sandbox) == []


# --- bad days ---------------------------------------------------------------------------------------------------------


def test_relaunch_completes_cancelled_job(awx: Awx, sandbox: SandboxProcess) -> None:
    answers = {**ANSWERS, "podidentity_request_service_account": "cancelled"}
    cut = Template(REQUEST.playbook, cancelled_at="TASK [podidentity.eks.association")
    [job] = awx.launch(cut, answers)
    assert job.runner.status == "canceled"
    [again] = awx.launch(REQUEST, answers)
    assert again.successful
    assert proven(again) == {"cancelled": True}


def test_empty_inventory_fails(awx: Awx) -> None:
    [job] = dataclasses.replace(awx, hosts={}).launch(DECLARATION)
    assert not job.successful
    assert "The inventory has no host in the group eks_clusters" in job.words


def test_slice_without_a_host_fails(awx: Awx) -> None:
    """Each slice has its own hosts, so a limit is no good beside slices."""
    hosts: dict[str, t.Any] = {name: {"eks_cluster_name": HOST} for name in ("one", "two")}
    sliced = Template("playbooks/verify.yml", check=True, slices=2, limit="one")
    first, second = dataclasses.replace(awx, hosts=hosts).launch(sliced)
    assert first.successful
    assert "would prove the identity of default/declared-a" in first.words
    assert not second.successful
    assert "leaves us with no hosts to target" in second.words


# --- artifacts --------------------------------------------------------------------------------------------------------


def test_foreign_artifacts_change_no_outcome(awx: Awx, sandbox: SandboxProcess) -> None:
    """The audit: every published name with wrong content, once where all is well and once where nothing is."""
    verify = Template("playbooks/verify.yml")
    [well] = awx.launch(verify, artifacts=FOREIGN)
    assert well.successful
    assert proven(well) == {"declared-a": True, "declared-b": True}
    assert "elsewhere" not in well.words

    eks = sandbox.client("eks")
    associations = eks.list_pod_identity_associations(clusterName=HOST, serviceAccount="declared-a")["associations"]
    eks.delete_pod_identity_association(clusterName=HOST, associationId=associations[0]["associationId"])
    [ill] = awx.launch(verify, artifacts=FOREIGN)
    assert not ill.successful
    assert proven(ill) == {"declared-a": False, "declared-b": True}
    assert "declared-a PROVEN" not in ill.words


def test_foreign_artifacts_neither_hinder_nor_steer_apply(awx: Awx, sandbox: SandboxProcess) -> None:
    [job] = awx.launch(DECLARATION, artifacts=FOREIGN)
    assert job.successful
    assert proven(job) == {"declared-a": True, "declared-b": True}
    # What a request made is not declared, so the declaration with its purge removes it.
    assert associated(sandbox) == {"declared-a", "declared-b"}


def test_names_that_a_playbook_sets_are_refused(awx: Awx, sandbox: SandboxProcess) -> None:
    sandbox.clear_calls()
    [job] = awx.launch(
        DECLARATION, artifacts={"association_current": [], "verify_proofs": FOREIGN["podidentity_proof"]}
    )
    assert not job.successful
    assert "The playbook itself sets association_current, verify_proofs: take them out" in job.words
    assert sandbox.calls() == {}
