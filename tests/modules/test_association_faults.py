# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The fault table of associations: each operation meets each fault once, and the task ends as if nothing had been.

What lasts is told apart: what nobody can look at fails the task, what cannot be written is one failed association.
"""

from __future__ import annotations

import functools
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._eks import common
from ansible_collections.podidentity.eks.plugins.module_utils._eks import limiter
from ansible_collections.podidentity.eks.plugins.module_utils._eks import traffic
from support.associations import MANAGED_TAG
from support.associations import ROLE
from support.associations import Run
from support.associations import create_unmanaged_association
from support.associations import stored
from support.associations import stored_names
from support.aws_proxy import AwsProxy
from support.module_runs import Account
from support.module_runs import Result

MODULE = "eks_pod_identity_associations"
#: Operation -> method and path of its call.
OPERATIONS = {
    "ListPodIdentityAssociations": ("GET", r"/pod-identity-associations\?"),
    "DescribePodIdentityAssociation": ("GET", "/pod-identity-associations/a-"),
    "CreatePodIdentityAssociation": ("POST", "/pod-identity-associations$"),
    "UpdatePodIdentityAssociation": ("POST", "/pod-identity-associations/a-"),
    "DeletePodIdentityAssociation": ("DELETE", "/pod-identity-associations/a-"),
    "TagResource": ("POST", "^/tags/"),
    "UntagResource": ("DELETE", "^/tags/"),
    "GetResources": ("POST", "^/$"),
}
WRITES = [name for name in OPERATIONS if not name.startswith(("List", "Describe", "Get"))]
DECLARED: list[dict[str, t.Any]] = [
    {"namespace": "team-a", "service_account": "new", "role_arn": f"{ROLE}app"},
    {"namespace": "team-a", "service_account": "old", "role_arn": f"{ROLE}app-v2", "tags": {"new": "tag"}},
    {"namespace": "team-a", "service_account": "gone", "state": "absent"},
]


@pytest.fixture(autouse=True)
def managed_associations(example: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Associations of ours, so that one run makes every call; and no patience with a sandbox that is at hand."""
    for name in ("old", "gone"):
        create_unmanaged_association(example, f"team-a/{name}", tags={MANAGED_TAG: "example", "old": "tag"})
    monkeypatch.setattr(traffic, "FIRST_BACKOFF", 0.05)
    monkeypatch.setattr(limiter, "FIRST_LEAST", 20.0)


def reconcile(run: Run, **settings: t.Any) -> Result:
    return run(MODULE, cluster_name="example", associations=DECLARED, mode="fast", **settings)


def matches_declaration(account: Account) -> bool:
    """Whether everything is there as declared, and nothing twice."""
    old = stored(account, "team-a/old")
    tags = {name: value for name, value in old["tags"].items() if name != "podidentity.eks/spec"}
    return (
        stored_names(account) == ["team-a/new", "team-a/old"]
        and (old["roleArn"], tags) == (f"{ROLE}app-v2", {MANAGED_TAG: "example", "new": "tag"})
        and stored(account, "team-a/new")["roleArn"] == f"{ROLE}app"
    )


def reports_all_changes(result: Result) -> bool:
    made = {kind: [one["service_account"] for one in result[kind]] for kind in ("created", "updated", "deleted")}
    return not result["failed"] and made == {"created": ["new"], "updated": ["old"], "deleted": ["gone"]}


def test_reconcile_without_faults_makes_minimal_calls(run: Run, example: Account) -> None:
    result = reconcile(run)
    assert result["api_calls"] == {**dict.fromkeys(OPERATIONS, 1), "DescribePodIdentityAssociation": 2}
    assert reports_all_changes(result)
    assert matches_declaration(example)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("code", "status"), [("ThrottlingException", 429), ("ServerException", 500)])
def test_reconcile_retries_throttling_and_server_errors(
    run: Run, example: Account, operation: str, code: str, status: int
) -> None:
    example.sandbox.knobs(faults=[{"operation": operation, "code": code, "status": status, "calls": [1, 2]}])
    result = reconcile(run)
    assert reports_all_changes(result)
    assert matches_declaration(example)
    assert result["api_calls"][operation] >= 3
    throttled = result["throttled"]
    assert (throttled["calls"] == 2, throttled["seconds"] > 0) == ((True,) * 2 if status == 429 else (False,) * 2)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_reconcile_retries_after_broken_connection(
    run: Run, example: Account, aws_proxy: AwsProxy, operation: str
) -> None:
    aws_proxy.cut(*OPERATIONS[operation])
    result = reconcile(run, endpoint_url=aws_proxy.endpoint)
    assert reports_all_changes(result)
    assert matches_declaration(example)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_lost_response_causes_no_duplicate_changes(
    run: Run, example: Account, aws_proxy: AwsProxy, operation: str
) -> None:
    aws_proxy.lose_answer(*OPERATIONS[operation])
    result = reconcile(run, endpoint_url=aws_proxy.endpoint)
    assert reports_all_changes(result)
    assert matches_declaration(example)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_reconcile_retries_after_read_timeout(
    run: Run, example: Account, aws_proxy: AwsProxy, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    monkeypatch.setattr(common, "READ_TIMEOUT", 0.5)
    # AWS gets the call after all, when it has been sent again already.
    aws_proxy.stall(*OPERATIONS[operation], seconds=0.8)
    result = reconcile(run, endpoint_url=aws_proxy.endpoint)
    assert not result["failed"]
    assert matches_declaration(example)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("code", ["ThrottlingException", "ServerException", "AccessDeniedException"])
def test_lasting_fault_is_reported_and_next_run_finishes(
    run: Run, example: Account, monkeypatch: pytest.MonkeyPatch, operation: str, code: str
) -> None:
    monkeypatch.setattr(limiter, "PATIENCE", 0.5)
    status = {"ThrottlingException": 429, "AccessDeniedException": 403}.get(code, 500)
    example.sandbox.knobs(faults=[{"operation": operation, "code": code, "status": status}])
    result = reconcile(run)
    if operation == "GetResources":
        assert (result["failed"], result["mode"]) == (False, "full")
    elif operation in WRITES:
        assert [failure["code"] for failure in result["failed_associations"]] == [code]
        assert [one["service_account"] for kind in ("created", "deleted") for one in result[kind]] != []
    else:
        assert result["failed"]
        assert code in result["msg"]
        assert result["calls"].count(f"eks:{operation}") < 30
    example.sandbox.knobs(faults=[])
    assert not reconcile(run)["failed"]
    assert matches_declaration(example)


def test_all_threads_back_off_after_one_throttled_call(run: Run, example: Account) -> None:
    """No storm: after a refusal every thread waits for its turn."""
    many = [{"namespace": "many", "service_account": f"app-{number}", "role_arn": f"{ROLE}app"} for number in range(60)]
    fault = {"operation": "CreatePodIdentityAssociation", "code": "ThrottlingException", "calls": [10]}
    example.sandbox.knobs(faults=[{**fault, "status": 429}])
    result = run(MODULE, cluster_name="example", associations=many)
    assert len(result["created"]) == 60
    assert result["api_calls"]["CreatePodIdentityAssociation"] == 61
    assert result["throttled"]["seconds"] > 0


# --- others act meanwhile ---------------------------------------------------------------------------------------------


def delete_association(account: Account, name: str) -> None:
    """Somebody else deletes an association."""
    identity = {"clusterName": "example", "associationId": stored(account, name)["associationId"]}
    account.eks.delete_pod_identity_association(**identity)


@pytest.mark.parametrize("operation", ["DescribePodIdentityAssociation", "UpdatePodIdentityAssociation"])
def test_association_deleted_during_run_is_recreated(
    run: Run, example: Account, aws_proxy: AwsProxy, operation: str
) -> None:
    aws_proxy.before(*OPERATIONS[operation], functools.partial(delete_association, example, "team-a/old"))
    result = reconcile(run, endpoint_url=aws_proxy.endpoint)
    assert not result["failed"]
    assert "old" in [one["service_account"] for one in result["created"]]
    assert matches_declaration(example)


def test_delete_accepts_association_already_deleted(run: Run, example: Account, aws_proxy: AwsProxy) -> None:
    aws_proxy.before(
        *OPERATIONS["DeletePodIdentityAssociation"], functools.partial(delete_association, example, "team-a/gone")
    )
    assert not reconcile(run, endpoint_url=aws_proxy.endpoint)["failed"]
    assert matches_declaration(example)


def test_association_deleted_before_tagging_is_recreated(run: Run, example: Account, aws_proxy: AwsProxy) -> None:
    aws_proxy.before(*OPERATIONS["TagResource"], functools.partial(delete_association, example, "team-a/old"))
    result = reconcile(run, endpoint_url=aws_proxy.endpoint)
    assert not result["failed"]
    assert matches_declaration(example)


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"roleArn": f"{ROLE}app", "tags": {MANAGED_TAG: "example"}}, "created"),
        ({"roleArn": f"{ROLE}app-v2", "tags": {MANAGED_TAG: "example"}}, "updated"),
        ({"roleArn": f"{ROLE}app-v2"}, "skipped_associations"),
    ],
)
def test_create_conflict_is_resolved_by_association_id(
    run: Run, example: Account, aws_proxy: AwsProxy, fields: dict[str, t.Any], outcome: str
) -> None:
    aws_proxy.before(
        *OPERATIONS["CreatePodIdentityAssociation"],
        functools.partial(create_unmanaged_association, example, "team-a/new", **fields),
    )
    [declared] = DECLARED[:1]
    result = run(MODULE, cluster_name="example", associations=[declared], endpoint_url=aws_proxy.endpoint)
    assert [one["service_account"] for one in result[outcome]] == ["new"]
    assert result["api_calls"]["ListPodIdentityAssociations"] == 1


def test_create_retries_conflict_with_deleted_association(run: Run, example: Account) -> None:
    """The API answers 409 with the ID of what it has deleted a moment ago."""
    message = "Association already exists: a-abcdefghijklmnopq"
    fault = {"operation": "CreatePodIdentityAssociation", "code": "ResourceInUseException", "message": message}
    example.sandbox.knobs(faults=[{**fault, "calls": [1, 2, 3]}])
    result = reconcile(run)
    assert reports_all_changes(result)
    assert matches_declaration(example)
