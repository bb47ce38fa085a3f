# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The modules eks_pod_identity_association and eks_pod_identity_association_info, over HTTP: results and calls."""

from __future__ import annotations

import functools
import json
import pathlib
import typing as t

import pytest
from support.associations import CLUSTER
from support.associations import CREATE
from support.associations import DELETE
from support.associations import DESCRIBE
from support.associations import LIST
from support.associations import ROLE
from support.associations import UPDATE
from support.associations import WRITE_REQUESTS
from support.associations import Run
from support.associations import create_unmanaged_association
from support.associations import limited_caller
from support.associations import stored
from support.aws_proxy import AwsProxy
from support.iam_roles import make_role
from support.iam_roles import trust_policy
from support.module_runs import Account
from support.module_runs import write_old_eks_model

MODULE = "eks_pod_identity_association"
INFO = "eks_pod_identity_association_info"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}],
}
PATH = r"/pod-identity-associations"
#: A service account of the tests' own.
APP = "team-a/app"
KEY: dict[str, t.Any] = {"cluster_name": "example", "namespace": "team-a", "service_account": "app"}


@pytest.fixture(autouse=True)
def other_association_stays_unchanged(example: Account) -> t.Iterator[None]:
    """Whatever a test does to its service account, the association of a namesake elsewhere stays as it is."""
    bystander = create_unmanaged_association(example, "team-b/app")
    yield
    identity = {"clusterName": "example", "associationId": bystander["associationId"]}
    assert example.eks.describe_pod_identity_association(**identity)["association"] == bystander


def delete_association(account: Account) -> None:
    """Somebody else deletes the association."""
    identity = {"clusterName": "example", "associationId": stored(account, APP)["associationId"]}
    account.eks.delete_pod_identity_association(**identity)


# --- missing parameters, check mode, create, idempotence --------------------------------------------------------------


def test_missing_parameters_are_named_before_any_call(run: Run) -> None:
    for missing in KEY:
        result = run(MODULE, **{name: value for name, value in KEY.items() if name != missing}, role_arn=f"{ROLE}app")
        assert result["failed"]
        assert missing in result["msg"]
        assert result["calls"] == []
    result = run(MODULE, **KEY)
    assert "role_arn" in result["msg"]
    assert result["calls"] == []


def test_check_mode_predicts_create_and_writes_nothing(run: Run, example: Account) -> None:
    result = run(MODULE, check=True, **KEY, role_arn=f"{ROLE}app", tags={"team": "a"})
    assert result["changed"]
    assert result["association"] | KEY == result["association"]
    assert result["association"]["role_arn"] == f"{ROLE}app"
    assert result["association"]["association_id"] is None
    assert result["diff"] == {"before": {}, "after": result["association"]}
    assert result["calls"] == [LIST, CLUSTER]
    assert stored(example, APP) == {}


def test_create_does_what_check_mode_predicted(run: Run, example: Account) -> None:
    declared = {
        **KEY,
        "role_arn": f"{ROLE}app",
        "target_role_arn": f"{ROLE}target",
        "disable_session_tags": True,
        "policy": POLICY,
        "tags": {"team": "a", "Cost-Center": 42},
    }
    predicted = run(MODULE, check=True, **declared)
    result = run(MODULE, **declared)
    assert result["changed"]
    assert result["actions"] == ["create_pod_identity_association"]
    assert result["calls"] == [LIST, CLUSTER, CREATE]
    real = stored(example, APP)
    assert result["association"]["association_id"] == real["associationId"]
    assert result["association"]["association_arn"] == real["associationArn"]
    assert result["association"]["external_id"] == real["externalId"]
    assert real["tags"] == {"team": "a", "Cost-Center": "42"}
    assert json.loads(real["policy"]) == POLICY == result["association"]["policy"]
    known = {name: value for name, value in predicted["association"].items() if value is not None}
    assert result["association"] | known == result["association"]
    assert result["diff"] == predicted["diff"]


def test_second_run_changes_nothing_in_two_calls(run: Run) -> None:
    declared = {**KEY, "role_arn": f"{ROLE}app", "tags": {"team": "a"}}
    first = run(MODULE, **declared)
    for check in (False, True):
        again = run(MODULE, check=check, **declared)
        assert not again["changed"]
        assert again["association"] == first["association"]
        assert again["diff"]["before"] == again["diff"]["after"]
        assert again["calls"] == [LIST, DESCRIBE]


def test_unset_options_leave_association_settings_alone(run: Run, example: Account) -> None:
    everything = {"targetRoleArn": f"{ROLE}target", "disableSessionTags": True, "policy": json.dumps(POLICY)}
    before = create_unmanaged_association(example, APP, **everything, tags={"team": "a"})
    assert not run(MODULE, **KEY, role_arn=f"{ROLE}app")["changed"]
    assert stored(example, APP) == before
    assert run(MODULE, **KEY, role_arn=f"{ROLE}app-v2")["calls"] == [LIST, DESCRIBE, UPDATE]
    after = stored(example, APP)
    assert after == {**before, "roleArn": f"{ROLE}app-v2", "modifiedAt": after["modifiedAt"]}


def test_equivalent_policy_is_unchanged(run: Run, example: Account) -> None:
    create_unmanaged_association(example, APP, disableSessionTags=True, policy=json.dumps(POLICY, indent=2))
    statement = {"Resource": "*", "Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetObject"]}
    policy = json.dumps({"Statement": statement, "Version": "2012-10-17"}, indent=4)
    result = run(MODULE, **KEY, role_arn=f"{ROLE}app", disable_session_tags=True, policy=policy)
    assert not result["changed"]
    assert result["calls"] == [LIST, DESCRIBE]


# --- update -----------------------------------------------------------------------------------------------------------


def test_update_in_place_matches_prediction(run: Run, example: Account) -> None:
    before = create_unmanaged_association(example, APP)
    declared = {
        **KEY,
        "role_arn": f"{ROLE}app-v2",
        "target_role_arn": f"{ROLE}target",
        "disable_session_tags": True,
        "policy": POLICY,
    }
    predicted = run(MODULE, check=True, **declared)
    assert predicted["calls"] == [LIST, DESCRIBE]
    assert stored(example, APP) == before
    result = run(MODULE, **declared)
    assert result["calls"] == [LIST, DESCRIBE, UPDATE]
    assert result["diff"] == predicted["diff"]
    assert result["diff"]["before"]["role_arn"] == f"{ROLE}app"
    only_eks_knows = {name: result["association"][name] for name in ("external_id", "modified_at")}
    assert result["association"] == {**predicted["association"], **only_eks_knows}
    after = stored(example, APP)
    assert (after["associationId"], after["roleArn"]) == (before["associationId"], f"{ROLE}app-v2")
    assert run(MODULE, **declared)["changed"] is False


def test_empty_strings_remove_target_role_and_policy(run: Run, example: Account) -> None:
    everything = {"targetRoleArn": f"{ROLE}target", "disableSessionTags": True, "policy": json.dumps(POLICY)}
    create_unmanaged_association(example, APP, **everything)
    declared = {**KEY, "role_arn": f"{ROLE}app", "target_role_arn": "", "policy": "", "disable_session_tags": False}
    result = run(MODULE, **declared)
    assert result["calls"] == [LIST, DESCRIBE, UPDATE]
    after = stored(example, APP)
    assert not {"targetRoleArn", "policy", "externalId"} & set(after)
    assert after["disableSessionTags"] is False
    assert run(MODULE, **declared)["calls"] == [LIST, DESCRIBE]


def test_tags_are_added_purged_and_kept_as_declared(run: Run, example: Account) -> None:
    create_unmanaged_association(example, APP, tags={"team": "a", "Name": "x"})
    declared = {**KEY, "role_arn": f"{ROLE}app"}
    kept = run(MODULE, **declared, tags={"team": "b", "Cost_Center": 7}, purge_tags=False)
    assert kept["calls"] == [LIST, DESCRIBE, "eks:TagResource"]
    assert kept["association"]["tags"] == {"team": "b", "Name": "x", "Cost_Center": "7"}
    predicted = run(MODULE, check=True, **declared, tags={"team": "b"})
    assert predicted["actions"] == ["untag_resource"]
    purged = run(MODULE, **declared, tags={"team": "b"})
    assert purged["calls"] == [LIST, DESCRIBE, "eks:UntagResource"]
    assert purged["association"]["tags"] == predicted["association"]["tags"] == {"team": "b"}
    assert run(MODULE, **declared)["changed"] is False
    assert stored(example, APP)["tags"] == {"team": "b"}
    assert run(MODULE, **declared, tags={})["association"]["tags"] == {}


def test_creation_tags_mark_created_association_and_stay(run: Run, example: Account) -> None:
    marked = {**KEY, "role_arn": f"{ROLE}app", "tags": {"team": "a"}, "creation_tags": {"made": "here"}}
    predicted = run(MODULE, check=True, **marked)
    assert predicted["association"]["tags"] == {"team": "a", "made": "here"}
    assert run(MODULE, **marked)["association"]["tags"] == {"team": "a", "made": "here"}
    assert stored(example, APP)["tags"] == {"team": "a", "made": "here"}
    assert run(MODULE, **marked)["calls"] == [LIST, DESCRIBE], "purging leaves them"
    assert run(MODULE, **{**marked, "creation_tags": {"made": "again"}})["changed"] is False


@pytest.mark.parametrize("purge", [False, True])
def test_creation_tags_never_mark_existing_association(run: Run, example: Account, purge: bool) -> None:
    create_unmanaged_association(example, APP, tags={"team": "b"})
    marked = {**KEY, "role_arn": f"{ROLE}app-v2", "tags": {"team": "a"}, "creation_tags": {"made": "here"}}
    assert run(MODULE, **marked, purge_tags=purge)["association"]["tags"] == {"team": "a"}
    assert (stored(example, APP)["roleArn"], stored(example, APP)["tags"]) == (f"{ROLE}app-v2", {"team": "a"})


def test_creation_tags_never_mark_concurrent_association(run: Run, example: Account, aws_proxy: AwsProxy) -> None:
    aws_proxy.before("POST", PATH, functools.partial(create_unmanaged_association, example, APP))
    marked = {**KEY, "role_arn": f"{ROLE}app-v2", "creation_tags": {"made": "here"}}
    assert run(MODULE, endpoint_url=aws_proxy.endpoint, **marked)["actions"] == ["update_pod_identity_association"]
    assert stored(example, APP)["tags"] == {}


def test_changed_service_account_replaces_association(run: Run, example: Account) -> None:
    made = create_unmanaged_association(example, APP, tags={"team": "a"})
    moved = {**KEY, "service_account": "frontend", "association_id": made["associationId"], "role_arn": f"{ROLE}app"}
    predicted = run(MODULE, check=True, **moved)
    assert predicted["calls"] == [LIST, DESCRIBE]
    result = run(MODULE, **moved)
    assert result["actions"] == ["delete_pod_identity_association", "create_pod_identity_association"]
    assert result["calls"] == [LIST, DESCRIBE, DELETE, CREATE]
    assert result["diff"] == predicted["diff"]
    assert result["diff"]["before"]["service_account"] == "app"
    assert stored(example, APP) == {}
    assert result["association"]["association_id"] == stored(example, "team-a/frontend")["associationId"]
    assert run(MODULE, **moved)["changed"] is False


# --- delete, delete again ---------------------------------------------------------------------------------------------


def test_delete_matches_prediction_and_runs_once(run: Run, example: Account) -> None:
    before = create_unmanaged_association(example, APP)
    predicted = run(MODULE, check=True, **KEY, state="absent")
    assert (predicted["changed"], predicted["association"]) == (True, None)
    assert predicted["calls"] == [LIST, DESCRIBE]
    assert stored(example, APP) == before
    result = run(MODULE, **KEY, state="absent")
    assert (result["changed"], result["association"]) == (True, None)
    assert result["diff"] == predicted["diff"]
    assert result["diff"]["before"]["association_id"] == before["associationId"]
    assert result["calls"] == [LIST, DESCRIBE, DELETE]
    assert stored(example, APP) == {}
    again = run(MODULE, **KEY, state="absent")
    assert (again["changed"], again["calls"]) == (False, [LIST])


def test_absent_accepts_missing_cluster(run: Run) -> None:
    result = run(MODULE, **{**KEY, "cluster_name": "elsewhere"}, state="absent")
    assert (result["changed"], result["association"], result["calls"]) == (False, None, [LIST])


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [False, True])
def test_all_invalid_options_are_reported_before_any_call(run: Run, check: bool) -> None:
    result = run(
        MODULE,
        check=check,
        cluster_name="../example",
        namespace="Team_A",
        service_account="app/x",
        role_arn="app",
        target_role_arn="target",
        policy="{",
        tags={"aws:team": "a"},
    )
    assert result["failed"]
    assert result["calls"] == []
    lines = result["msg"].splitlines()
    named = ["cluster_name", "namespace", "service_account", "role_arn", "target_role_arn", "policy", "policy", "tags"]
    assert [line.split()[0] for line in lines] == named
    assert all(line.endswith(".") for line in lines)


def test_missing_cluster_fails_with_one_sentence(run: Run) -> None:
    result = run(MODULE, **{**KEY, "cluster_name": "elsewhere"}, role_arn=f"{ROLE}app")
    assert result["failed"]
    assert '"elsewhere" names no cluster in region eu-west-1' in result["msg"]
    assert result["calls"] == [LIST]


@pytest.mark.parametrize("check", [False, True])
def test_role_of_other_account_fails_before_any_write(run: Run, example: Account, check: bool) -> None:
    foreign = "arn:aws:iam::444455556666:role/app"
    result = run(MODULE, check=check, **KEY, role_arn=foreign)
    assert "444455556666" in result["msg"]
    assert "target_role_arn" in result["msg"]
    assert result["calls"] == [LIST, CLUSTER]
    before = create_unmanaged_association(example, APP)
    result = run(MODULE, check=check, **KEY, role_arn=foreign)
    assert "444455556666" in result["msg"]
    assert result["calls"] == [LIST, DESCRIBE]
    assert stored(example, APP) == before


@pytest.mark.parametrize("check", [False, True])
def test_session_tags_cannot_be_enabled_with_policy(run: Run, example: Account, check: bool) -> None:
    before = create_unmanaged_association(example, APP, disableSessionTags=True, policy=json.dumps(POLICY))
    result = run(MODULE, check=check, **KEY, role_arn=f"{ROLE}app", disable_session_tags=False)
    assert 'policy: ""' in result["msg"]
    assert result["calls"] == [LIST, DESCRIBE]
    assert stored(example, APP) == before


@pytest.mark.parametrize(
    ("option", "value", "member", "since"),
    [
        ("target_role_arn", f"{ROLE}target", "targetRoleArn", "1.38.35"),
        ("disable_session_tags", True, "disableSessionTags", "1.38.35"),
        ("policy", POLICY, "policy", "1.42.46"),
    ],
)
def test_old_botocore_fails_with_needed_version(
    run: Run,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    value: t.Any,
    member: str,
    since: str,
) -> None:
    write_old_eks_model(tmp_path, {key: [member] for key in WRITE_REQUESTS})
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    declared = {**KEY, "role_arn": f"{ROLE}app", "disable_session_tags": True if option == "policy" else None}
    result = run(MODULE, **{**declared, option: value})
    assert f"{option} needs botocore {since}" in result["msg"]
    assert result["calls"] == []
    assert run(MODULE, **KEY, role_arn=f"{ROLE}app")["changed"]


# --- failure states ---------------------------------------------------------------------------------------------------


def test_create_retries_until_role_exists(run: Run, example: Account, clients: dict[str, t.Any]) -> None:
    example.sandbox.knobs(iam_propagation_seconds=2)
    make_role(clients["iam"], "young", "pods.eks.amazonaws.com")
    result = run(MODULE, **KEY, role_arn=f"{ROLE}young")
    assert result["changed"]
    assert result["calls"][:2] == [LIST, CLUSTER]
    assert set(result["calls"][2:]) == {CREATE}
    assert len(result["calls"]) > 3
    assert stored(example, APP)["roleArn"] == f"{ROLE}young"


def test_missing_role_fails_after_propagation_timeout(run: Run, example: Account) -> None:
    before = create_unmanaged_association(example, APP)
    result = run(MODULE, **KEY, role_arn=f"{ROLE}missing", iam_propagation_timeout=1)
    assert result["failed"]
    assert f"did not see the role {ROLE}missing" in result["msg"]
    assert "within 1 seconds" in result["msg"]
    assert result["calls"][:2] == [LIST, DESCRIBE]
    assert set(result["calls"][2:]) == {UPDATE}
    assert stored(example, APP) == before


def test_refused_trust_policy_fails_with_advice(run: Run, example: Account) -> None:
    result = run(MODULE, **KEY, role_arn=f"{ROLE}eks-trust", iam_propagation_timeout=0)
    assert f"refuses the trust policy of the role {ROLE}eks-trust" in result["msg"]
    assert "pods.eks.amazonaws.com" in result["msg"]
    assert "sts:TagSession" in result["msg"]
    assert result["calls"] == [LIST, CLUSTER, CREATE]
    assert stored(example, APP) == {}


def test_create_retries_until_trust_policy_is_corrected(
    run: Run, example: Account, clients: dict[str, t.Any], aws_proxy: AwsProxy
) -> None:
    def correct_trust_policy() -> None:
        document = trust_policy("pods.eks.amazonaws.com")
        clients["iam"].update_assume_role_policy(RoleName="eks-trust", PolicyDocument=document)

    aws_proxy.after("POST", PATH, correct_trust_policy)
    result = run(MODULE, endpoint_url=aws_proxy.endpoint, **KEY, role_arn=f"{ROLE}eks-trust")
    assert result["changed"]
    assert result["calls"] == [LIST, CLUSTER, CREATE, "iam:UpdateAssumeRolePolicy", CREATE]
    assert stored(example, APP)["roleArn"] == f"{ROLE}eks-trust"


def test_missing_pass_role_permission_is_reported(run: Run, example: Account) -> None:
    result = run(MODULE, **KEY, role_arn=f"{ROLE}app", **limited_caller(example, deny="iam:PassRole"))
    assert "may not pass the role" in result["msg"]
    assert "iam:PassRole" in result["msg"]
    assert result["calls"] == [LIST, CLUSTER, CREATE]
    assert stored(example, APP) == {}


def test_create_works_without_describe_cluster_permission(run: Run, example: Account) -> None:
    result = run(MODULE, **KEY, role_arn=f"{ROLE}app", **limited_caller(example, deny="eks:DescribeCluster"))
    assert result["changed"]
    assert result["calls"] == [LIST, CLUSTER, CREATE]


def test_association_quota_is_reported(run: Run, example: Account) -> None:
    example.sandbox.knobs(associations_per_cluster=1)
    result = run(MODULE, **KEY, role_arn=f"{ROLE}app")
    assert "as many associations as EKS allows" in result["msg"]
    assert stored(example, APP) == {}


@pytest.mark.parametrize("code", ["ThrottlingException", "ServerException"])
def test_list_retries_throttling_and_server_errors(run: Run, example: Account, code: str) -> None:
    example.sandbox.knobs(faults=[{"operation": "ListPodIdentityAssociations", "code": code, "calls": [1, 2]}])
    assert run(MODULE, **KEY, role_arn=f"{ROLE}app")["changed"]
    assert stored(example, APP)["roleArn"] == f"{ROLE}app"


# --- others act meanwhile ---------------------------------------------------------------------------------------------


def test_association_created_concurrently_is_adopted(run: Run, example: Account, aws_proxy: AwsProxy) -> None:
    aws_proxy.before("POST", PATH, functools.partial(create_unmanaged_association, example, APP))
    result = run(MODULE, endpoint_url=aws_proxy.endpoint, **KEY, role_arn=f"{ROLE}app")
    assert result["changed"]
    theirs = stored(example, APP)
    assert result["association"]["association_id"] == theirs["associationId"]
    assert [call for call in result["calls"] if call == UPDATE] == []


def test_different_concurrent_association_is_updated(run: Run, example: Account, aws_proxy: AwsProxy) -> None:
    aws_proxy.before("POST", PATH, functools.partial(create_unmanaged_association, example, APP))
    result = run(MODULE, endpoint_url=aws_proxy.endpoint, **KEY, role_arn=f"{ROLE}app-v2")
    assert result["actions"] == ["update_pod_identity_association"]
    assert stored(example, APP)["roleArn"] == f"{ROLE}app-v2"


def test_create_finds_association_after_lost_response(run: Run, example: Account, aws_proxy: AwsProxy) -> None:
    aws_proxy.lose_answer("POST", PATH)
    result = run(MODULE, endpoint_url=aws_proxy.endpoint, **KEY, role_arn=f"{ROLE}app")
    assert result["changed"]
    ours = stored(example, APP)
    assert result["association"]["association_id"] == ours["associationId"]


def test_association_deleted_before_describe_is_created(run: Run, example: Account, aws_proxy: AwsProxy) -> None:
    create_unmanaged_association(example, APP)
    aws_proxy.before("GET", f"{PATH}/a-", functools.partial(delete_association, example))
    result = run(MODULE, endpoint_url=aws_proxy.endpoint, **KEY, role_arn=f"{ROLE}app")
    assert result["actions"] == ["create_pod_identity_association"]
    assert stored(example, APP) != {}


def test_association_deleted_before_update_is_recreated(run: Run, example: Account, aws_proxy: AwsProxy) -> None:
    gone = create_unmanaged_association(example, APP)
    aws_proxy.before("POST", f"{PATH}/a-", functools.partial(delete_association, example))
    result = run(MODULE, endpoint_url=aws_proxy.endpoint, **KEY, role_arn=f"{ROLE}app-v2")
    assert result["actions"] == ["create_pod_identity_association"]
    after = stored(example, APP)
    assert after["associationId"] != gone["associationId"]
    assert after["roleArn"] == f"{ROLE}app-v2"


def test_absent_accepts_association_deleted_concurrently(run: Run, example: Account, aws_proxy: AwsProxy) -> None:
    create_unmanaged_association(example, APP)
    aws_proxy.before("DELETE", PATH, functools.partial(delete_association, example))
    result = run(MODULE, endpoint_url=aws_proxy.endpoint, **KEY, state="absent")
    assert not result.get("failed")
    assert stored(example, APP) == {}


# --- associations of add-ons ------------------------------------------------------------------------------------------


@pytest.fixture
def addon_owned_key(example: Account) -> dict[str, t.Any]:
    """The key of an association that belongs to an add-on."""
    own = [{"serviceAccount": "aws-node", "roleArn": f"{ROLE}app"}]
    example.eks.create_addon(clusterName="example", addonName="vpc-cni", podIdentityAssociations=own)
    return {"cluster_name": "example", "namespace": "kube-system", "service_account": "aws-node"}


@pytest.mark.parametrize("check", [False, True])
def test_addon_owned_association_is_refused_with_reason(
    run: Run, example: Account, addon_owned_key: dict[str, t.Any], check: bool
) -> None:
    before = stored(example, "kube-system/aws-node")
    for declared in (
        {"role_arn": f"{ROLE}app-v2"},
        {"role_arn": f"{ROLE}app", "tags": {"a": "b"}},
        {"state": "absent"},
    ):
        result = run(MODULE, check=check, **addon_owned_key, **declared)
        assert result["failed"]
        assert before["ownerArn"] in result["msg"]
        assert "force_owned" in result["msg"]
        assert result["calls"] == [LIST, DESCRIBE]
    assert stored(example, "kube-system/aws-node") == before
    same = run(MODULE, check=check, **addon_owned_key, role_arn=f"{ROLE}app")
    assert (same["changed"], same["association"]["owner_arn"]) == (False, before["ownerArn"])


def test_force_owned_changes_addon_owned_association(
    run: Run, example: Account, addon_owned_key: dict[str, t.Any]
) -> None:
    assert run(MODULE, **addon_owned_key, role_arn=f"{ROLE}app-v2", force_owned=True)["changed"]
    assert stored(example, "kube-system/aws-node")["roleArn"] == f"{ROLE}app-v2"
    assert run(MODULE, **addon_owned_key, state="absent", force_owned=True)["changed"]
    assert stored(example, "kube-system/aws-node") == {}


# --- looking only -----------------------------------------------------------------------------------------------------


def test_info_returns_the_same_objects_as_the_module(run: Run) -> None:
    made = run(MODULE, **KEY, role_arn=f"{ROLE}app", tags={"team": "a"})["association"]
    found = run(INFO, **KEY)
    assert (found["changed"], found["associations"]) == (False, [made])
    assert found["calls"] == [LIST, DESCRIBE]
    by_id = run(INFO, cluster_name="example", association_ids=[made["association_id"], "a-doesnotexist00000"])
    assert by_id["associations"] == [made]
    assert by_id["calls"] == [DESCRIBE, DESCRIBE]
    elsewhere = run(INFO, cluster_name="example", namespace="team-b", association_ids=[made["association_id"]])
    assert elsewhere["associations"] == []


def test_info_reads_every_page(run: Run, example: Account) -> None:
    names = [f"page-{number:03}" for number in range(101)]
    for name in names:
        create_unmanaged_association(example, f"paged/{name}")
    found = run(INFO, cluster_name="example", namespace="paged")
    assert [one["service_account"] for one in found["associations"]] == names
    assert sorted(found["calls"]) == sorted([LIST] * 2 + [DESCRIBE] * 101)
    one = run(INFO, cluster_name="example", service_account="page-007")
    assert [each["namespace"] for each in one["associations"]] == ["paged"]


def test_info_without_describe_makes_one_list_call(run: Run, example: Account) -> None:
    create_unmanaged_association(example, APP, tags={"team": "a"})
    full = run(INFO, **KEY)["associations"][0]
    found = run(INFO, **KEY, describe=False)
    assert (found["calls"], found["api_calls"]) == ([LIST], {"ListPodIdentityAssociations": 1})
    [cheap] = found["associations"]
    assert set(cheap) == set(full)
    known = ("cluster_name", "namespace", "service_account", "association_id", "association_arn")
    assert {name: value for name, value in cheap.items() if value is not None} == {name: full[name] for name in known}
    by_id = run(INFO, cluster_name="example", association_ids=[full["association_id"]], describe=False)
    assert by_id["associations"] == [cheap]


def test_info_filters_by_role_tags_and_owner(run: Run, example: Account, addon_owned_key: dict[str, t.Any]) -> None:
    create_unmanaged_association(
        example, APP, roleArn=f"{ROLE}app-v2", targetRoleArn=f"{ROLE}target", tags={"team": "a", "x": "y"}
    )

    def find(**wanted: t.Any) -> list[str]:
        return [one["service_account"] for one in run(INFO, cluster_name="example", **wanted)["associations"]]

    assert find() == ["aws-node", "app", "app"]
    assert find(role_arn=f"{ROLE}app-v2") == find(role_arn=f"{ROLE}target") == ["app"]
    assert find(tags={"team": "a"}) == ["app"]
    assert find(tags={"team": "b"}) == []
    assert find(owner="vpc-cni") == find(owner=stored(example, "kube-system/aws-node")["ownerArn"]) == ["aws-node"]
    assert find(owner="", describe=False) == ["app", "app"]
    assert find(owner="coredns") == []
    assert run(INFO, cluster_name="example", owner="vpc-cni")["calls"] == [LIST, DESCRIBE]


def test_info_refuses_filters_that_need_describe(run: Run) -> None:
    result = run(INFO, cluster_name="example", describe=False, role_arn=f"{ROLE}app", tags={"a": "b"})
    assert [line.split()[0] for line in result["msg"].splitlines()] == ["role_arn", "tags"]
    assert result["calls"] == []


def test_info_returns_empty_list_for_no_matches(run: Run) -> None:
    assert run(INFO, cluster_name="example", namespace="empty")["associations"] == []
    assert run(INFO, cluster_name="elsewhere")["associations"] == []
    assert run(INFO, cluster_name="example", association_ids=[])["associations"] == []


def test_info_omits_association_deleted_concurrently(run: Run, example: Account, aws_proxy: AwsProxy) -> None:
    create_unmanaged_association(example, APP)
    aws_proxy.before("GET", f"{PATH}/a-", functools.partial(delete_association, example))
    assert run(INFO, endpoint_url=aws_proxy.endpoint, **KEY)["associations"] == []


def test_info_refuses_empty_cluster_name(run: Run) -> None:
    result = run(INFO, cluster_name="")
    assert "cluster_name" in result["msg"]
    assert result["calls"] == []
