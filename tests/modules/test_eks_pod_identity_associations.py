# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module eks_pod_identity_associations, over HTTP: results and calls."""

from __future__ import annotations

import collections
import json
import pathlib
import typing as t

import pytest
from support.associations import CLUSTER
from support.associations import CREATE
from support.associations import DELETE
from support.associations import DESCRIBE
from support.associations import GET_RESOURCES
from support.associations import LIST
from support.associations import MANAGED_TAG
from support.associations import ROLE
from support.associations import TAG
from support.associations import UNTAG
from support.associations import UPDATE
from support.associations import WRITE_REQUESTS
from support.associations import Run
from support.associations import create_role
from support.associations import create_unmanaged_association
from support.associations import limited_caller
from support.associations import stored
from support.associations import stored_names
from support.module_runs import Account
from support.module_runs import Result
from support.module_runs import write_old_eks_model

MODULE = "eks_pod_identity_associations"
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
SPEC = "podidentity.eks/spec"


def declared(*names: str, **fields: t.Any) -> list[dict[str, t.Any]]:
    """Declarations of ``namespace/service_account``."""
    pairs = (name.split("/") for name in names)
    return [
        {"namespace": namespace, "service_account": account, "role_arn": f"{ROLE}app", **fields}
        for namespace, account in pairs
    ]


def names(associations: list[t.Any]) -> list[str]:
    return [one if isinstance(one, str) else f"{one['namespace']}/{one['service_account']}" for one in associations]


def brief(association: dict[str, t.Any]) -> dict[str, t.Any]:
    """An association as the result has it when it is as declared."""
    always = ("namespace", "service_account", "association_id", "role_arn", "modified_at")
    where_set = ("target_role_arn", "external_id", "disable_session_tags", "policy", "owner_arn")
    return {name: value for name, value in association.items() if name in always or (name in where_set and value)}


def nonempty_lists(result: Result) -> dict[str, list[str]]:
    """The lists of a result that are not empty, by name."""
    done = ("created", "updated", "replaced", "deleted", "adopted", "unchanged")
    kinds = (*done, "skipped_associations", "failed_associations")
    return {kind: names(result[kind]) for kind in kinds if result[kind]}


@pytest.fixture(autouse=True)
def other_association_stays_unchanged(example: Account) -> t.Iterator[None]:
    """Whatever a test does, what somebody else made in a namespace that no test declares stays as it is."""
    bystander = create_unmanaged_association(example, "elsewhere/app", tags={"team": "theirs"})
    yield
    assert stored(example, "elsewhere/app") == bystander


# --- missing parameters, check mode, create, idempotence --------------------------------------------------------------


def test_missing_parameters_are_named_before_any_call(run: Run) -> None:
    for missing in ("namespace", "service_account"):
        [item] = declared("team-a/app")
        del item[missing]
        result = run(MODULE, cluster_name="example", associations=[item])
        assert missing in result["msg"]
        assert result["calls"] == []
    assert "associations" in run(MODULE, cluster_name="example")["msg"]


@pytest.mark.parametrize("check", [False, True])
def test_all_invalid_options_are_reported_before_any_call(run: Run, check: bool) -> None:
    wrong = [
        *declared("team-a/app", "team-a/app"),
        *declared("Team_B/app"),
        *declared("team-a/policy", policy=POLICY),
        *declared("team-a/role", role_arn="app"),
        *declared("team-a/none", role_arn=None),
        *declared("team-a/moved", association_id="app"),
    ]
    result = run(
        MODULE,
        check=check,
        cluster_name="example",
        associations=wrong,
        concurrency=0,
        purge="cluster",
        creation_tags={},
    )
    assert result["failed"]
    assert result["calls"] == []
    lines = result["msg"].splitlines()
    assert len(lines) == 8
    assert all(line.endswith(".") for line in lines)
    for words in (
        "declared 2 times",
        '"Team_B"',
        "disable_session_tags",
        '"app" of',
        "missing",
        "concurrency",
        "purge",
    ):
        assert words in result["msg"]


def test_role_of_other_account_fails_before_any_write(run: Run, example: Account) -> None:
    foreign = declared("team-a/foreign", role_arn="arn:aws:iam::444455556666:role/app")
    for check in (False, True):
        result = run(MODULE, check=check, cluster_name="example", associations=declared("team-a/app") + foreign)
        assert "444455556666" in result["msg"]
        assert result["calls"] == [LIST, CLUSTER]
    assert stored_names(example) == ["elsewhere/app"]


def test_check_mode_predicts_everything_and_writes_nothing(run: Run, example: Account) -> None:
    everything = declared("team-a/app", "team-b/job")
    predicted = run(MODULE, check=True, cluster_name="example", associations=everything)
    assert predicted["changed"]
    assert predicted["calls"] == [LIST]
    assert nonempty_lists(predicted) == {"created": ["team-a/app", "team-b/job"]}
    assert [one["association_id"] for one in predicted["associations"]] == [None, None]
    assert stored_names(example) == ["elsewhere/app"]
    made = run(MODULE, cluster_name="example", associations=everything)
    assert made["plan"] == predicted["plan"]
    assert made["diff"] == predicted["diff"]
    assert nonempty_lists(made) == nonempty_lists(predicted)


def test_created_associations_carry_creation_tag(run: Run, example: Account) -> None:
    special = declared(
        "team-b/job", target_role_arn=f"{ROLE}target", disable_session_tags=True, policy=POLICY, tags={"cost": 7}
    )
    result = run(MODULE, cluster_name="example", associations=declared("team-a/app") + special, tags={"team": "a"})
    assert sorted(result["calls"]) == sorted([LIST, CREATE, CREATE])
    assert result["api_calls"] == {"CreatePodIdentityAssociation": 2, "ListPodIdentityAssociations": 1}
    assert result["throttled"] == {"calls": 0, "seconds": 0}
    assert stored(example, "team-a/app")["tags"] == {"team": "a", MANAGED_TAG: "example"}
    job = stored(example, "team-b/job")
    assert job["tags"] == {"team": "a", "cost": "7", MANAGED_TAG: "example"}
    assert (job["targetRoleArn"], json.loads(job["policy"])) == (f"{ROLE}target", POLICY)
    assert names(result["associations"]) == ["team-a/app", "team-b/job"]
    assert result["associations"][1]["external_id"] == job["externalId"]
    assert result["created"][0]["association_id"] == stored(example, "team-a/app")["associationId"]


def test_second_run_describes_each_once_and_changes_nothing(run: Run) -> None:
    everything = declared("team-a/app", "team-a/job", "team-b/app")
    first = run(MODULE, cluster_name="example", associations=everything, tags={"team": "a"})
    for check in (False, True):
        again = run(MODULE, check=check, cluster_name="example", associations=everything, tags={"team": "a"})
        assert not again["changed"]
        assert nonempty_lists(again) == {"unchanged": ["team-a/app", "team-a/job", "team-b/app"]}
        assert again["associations"] == [brief(one) for one in first["associations"]]
        assert again["plan"] == []
        assert again["diff"]["before"] == again["diff"]["after"] == {}
        assert sorted(again["calls"]) == sorted([LIST, DESCRIBE, DESCRIBE, DESCRIBE])


def test_single_namespace_narrows_list_call(run: Run, example: Account) -> None:
    for number in range(101):
        create_unmanaged_association(example, f"elsewhere/app-{number}")
    result = run(MODULE, cluster_name="example", associations=declared("team-a/app", "team-a/job"))
    assert result["calls"].count(LIST) == 1
    both = run(MODULE, cluster_name="example", associations=declared("team-a/app", "team-b/job"))
    assert both["calls"].count(LIST) == 2, "every page is read"
    for number in range(101):
        example.eks.delete_pod_identity_association(
            clusterName="example", associationId=stored(example, f"elsewhere/app-{number}")["associationId"]
        )


# --- update -----------------------------------------------------------------------------------------------------------


def test_update_changes_and_shows_only_differences(run: Run, example: Account) -> None:
    everything = declared("team-a/app", "team-a/job", "team-a/web")
    run(MODULE, cluster_name="example", associations=everything, tags={"team": "a"})
    everything[1]["role_arn"] = f"{ROLE}app-v2"
    everything[2]["tags"] = {"team": "b"}
    predicted = run(MODULE, check=True, cluster_name="example", associations=everything, tags={"team": "a"})
    result = run(MODULE, cluster_name="example", associations=everything, tags={"team": "a"})
    assert collections.Counter(result["calls"]) == {LIST: 1, DESCRIBE: 3, UPDATE: 1, TAG: 1}
    assert nonempty_lists(result) == {"updated": ["team-a/job", "team-a/web"], "unchanged": ["team-a/app"]}
    assert predicted["plan"] == result["plan"]
    assert [(step["action"], list(step["changes"])) for step in result["plan"]] == [
        ("update", ["role_arn"]),
        ("update", ["tags"]),
    ]
    assert result["diff"] == predicted["diff"]
    assert result["diff"]["before"]["team-a/job"] == {"role_arn": f"{ROLE}app"}
    assert result["diff"]["after"]["team-a/job"] == {"role_arn": f"{ROLE}app-v2"}
    assert set(result["diff"]["after"]) == {"team-a/job", "team-a/web"}
    assert result["diff"]["after_header"].endswith("2 to update, 1 unchanged")
    assert stored(example, "team-a/job")["roleArn"] == f"{ROLE}app-v2"
    assert stored(example, "team-a/web")["tags"] == {"team": "b", MANAGED_TAG: "example"}


def test_changed_service_account_replaces_association(run: Run, example: Account) -> None:
    [made] = run(MODULE, cluster_name="example", associations=declared("team-a/app"))["created"]
    moved = declared("team-b/frontend", association_id=made["association_id"])
    predicted = run(MODULE, check=True, cluster_name="example", associations=moved)
    assert nonempty_lists(predicted) == {"replaced": ["team-b/frontend"]}
    result = run(MODULE, cluster_name="example", associations=moved)
    assert nonempty_lists(result) == {"replaced": ["team-b/frontend"]}
    assert result["calls"] == [LIST, DESCRIBE, DELETE, CREATE]
    assert result["plan"][0]["changes"]["service_account"] == {"before": "app", "after": "frontend"}
    assert stored_names(example) == ["elsewhere/app", "team-b/frontend"]
    again = run(MODULE, cluster_name="example", associations=moved)
    assert nonempty_lists(again) == {"unchanged": ["team-b/frontend"]}, "an ID that is gone is no error"


def test_move_from_declared_service_account_is_refused(run: Run, example: Account) -> None:
    [made] = run(MODULE, cluster_name="example", associations=declared("team-a/app"))["created"]
    both = declared("team-b/app", association_id=made["association_id"]) + declared("team-a/app")
    result = run(MODULE, cluster_name="example", associations=both)
    assert "which is declared too" in result["msg"]
    assert stored_names(example) == ["elsewhere/app", "team-a/app"]


# --- delete and purge -------------------------------------------------------------------------------------------------


def test_state_absent_deletes_declared_association_once(run: Run, example: Account) -> None:
    run(MODULE, cluster_name="example", associations=declared("team-a/app", "team-a/job"))
    gone = [*declared("team-a/app"), {"namespace": "team-a", "service_account": "job", "state": "absent"}]
    predicted = run(MODULE, check=True, cluster_name="example", associations=gone)
    assert nonempty_lists(predicted) == {"deleted": ["team-a/job"], "unchanged": ["team-a/app"]}
    assert names(predicted["associations"]) == ["team-a/app"]
    result = run(MODULE, cluster_name="example", associations=gone)
    assert nonempty_lists(result) == nonempty_lists(predicted)
    assert collections.Counter(result["calls"]) == {LIST: 1, DESCRIBE: 2, DELETE: 1}
    again = run(MODULE, cluster_name="example", associations=gone)
    assert (again["changed"], collections.Counter(again["calls"])) == (False, {LIST: 1, DESCRIBE: 1})


@pytest.mark.parametrize(
    ("purge", "left"),
    [
        ("none", ["team-a/app", "team-a/job", "team-b/app"]),
        ("namespace", ["team-a/app", "team-b/app"]),
        ("cluster", ["team-a/app"]),
    ],
)
def test_purge_deletes_managed_undeclared_associations(run: Run, example: Account, purge: str, left: list[str]) -> None:
    run(MODULE, cluster_name="example", associations=declared("team-a/app", "team-a/job", "team-b/app"))
    predicted = run(MODULE, check=True, cluster_name="example", associations=declared("team-a/app"), purge=purge)
    result = run(MODULE, cluster_name="example", associations=declared("team-a/app"), purge=purge)
    assert nonempty_lists(predicted) == nonempty_lists(result)
    assert stored_names(example) == ["elsewhere/app", *left]
    assert "team-a/app" in names(result["associations"])


def test_purge_skips_unmanaged_associations_with_reason(run: Run, example: Account) -> None:
    create_unmanaged_association(example, "team-a/theirs")
    create_unmanaged_association(example, "team-a/lookalike", tags={MANAGED_TAG: "another-cluster"})
    result = run(MODULE, cluster_name="example", associations=declared("team-a/app"), purge="namespace")
    assert sorted(names(result["skipped_associations"])) == ["team-a/lookalike", "team-a/theirs"]
    assert all("was not made here" in one["reason"] for one in result["skipped_associations"])
    assert stored_names(example) == ["elsewhere/app", "team-a/app", "team-a/lookalike", "team-a/theirs"]


def test_purge_with_empty_list_deletes_all_managed(run: Run, example: Account) -> None:
    run(MODULE, cluster_name="example", associations=declared("team-a/app", "team-b/app"))
    assert run(MODULE, cluster_name="example", associations=[])["calls"] == []
    result = run(MODULE, cluster_name="example", associations=[], purge="cluster")
    assert nonempty_lists(result)["deleted"] == ["team-a/app", "team-b/app"]
    assert stored_names(example) == ["elsewhere/app"]


def test_purge_selects_by_creation_tags(run: Run, example: Account) -> None:
    run(MODULE, cluster_name="example", associations=declared("team-a/app"), creation_tags={"made": "here"})
    assert stored(example, "team-a/app")["tags"] == {"made": "here"}
    run(MODULE, cluster_name="example", associations=[], purge="cluster")
    assert stored_names(example) == ["elsewhere/app", "team-a/app"]
    run(MODULE, cluster_name="example", associations=[], purge="cluster", creation_tags={"made": "here"})
    assert stored_names(example) == ["elsewhere/app"]


def test_missing_cluster_fails_unless_all_is_absent(run: Run) -> None:
    result = run(MODULE, cluster_name="nowhere", associations=declared("team-a/app"))
    assert '"nowhere" names no cluster in region eu-west-1' in result["msg"]
    assert result["calls"] == [LIST]
    gone = [{"namespace": "team-a", "service_account": "app", "state": "absent"}]
    assert run(MODULE, cluster_name="nowhere", associations=gone, purge="cluster")["changed"] is False


# --- whose they are ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [False, True])
def test_unmanaged_association_is_skipped_and_reported(run: Run, example: Account, check: bool) -> None:
    create_unmanaged_association(example, "team-a/same")
    create_unmanaged_association(example, "team-a/other", tags={"team": "theirs"})
    before = stored(example, "team-a/other")
    changed = declared("team-a/same") + declared("team-a/other", role_arn=f"{ROLE}app-v2")
    result = run(MODULE, check=check, cluster_name="example", associations=changed)
    assert nonempty_lists(result) == {"unchanged": ["team-a/same"], "skipped_associations": ["team-a/other"]}
    assert "adopt: true" in result["skipped_associations"][0]["reason"]
    assert not result["changed"]
    assert stored(example, "team-a/other") == before
    gone = [{"namespace": "team-a", "service_account": "other", "state": "absent"}]
    result = run(MODULE, check=check, cluster_name="example", associations=gone, update_foreign=True)
    assert nonempty_lists(result) == {"skipped_associations": ["team-a/other"]}
    assert stored(example, "team-a/other") == before


def test_adopt_tags_unmanaged_association(run: Run, example: Account) -> None:
    create_unmanaged_association(example, "team-a/same", tags={"team": "theirs"})
    create_unmanaged_association(example, "team-a/other")
    both = declared("team-a/same") + declared("team-a/other", role_arn=f"{ROLE}app-v2")
    predicted = run(MODULE, check=True, cluster_name="example", associations=both, adopt=True)
    result = run(MODULE, cluster_name="example", associations=both, adopt=True)
    assert nonempty_lists(result) == nonempty_lists(predicted)
    assert sorted(nonempty_lists(result)["adopted"]) == ["team-a/other", "team-a/same"]
    assert nonempty_lists(result)["updated"] == ["team-a/other"]
    assert collections.Counter(result["calls"]) == {LIST: 1, DESCRIBE: 2, UPDATE: 1, TAG: 2}
    assert stored(example, "team-a/same")["tags"] == {"team": "theirs", MANAGED_TAG: "example"}
    again = run(MODULE, cluster_name="example", associations=both, adopt=True)
    assert (again["changed"], list(nonempty_lists(again))) == (False, ["unchanged"])
    run(MODULE, cluster_name="example", associations=[], purge="cluster")
    assert stored_names(example) == ["elsewhere/app"], "now they are ours"


def test_unmanaged_association_is_updated_without_adopting(run: Run, example: Account) -> None:
    create_unmanaged_association(example, "team-a/one")
    create_unmanaged_association(example, "team-a/two")
    changed = declared("team-a/one", role_arn=f"{ROLE}app-v2")
    assert nonempty_lists(run(MODULE, cluster_name="example", associations=changed, update_foreign=True)) == {
        "updated": ["team-a/one"]
    }
    named = declared("team-a/two", role_arn=f"{ROLE}app-v2", force_owned=True)
    assert nonempty_lists(run(MODULE, cluster_name="example", associations=named)) == {"updated": ["team-a/two"]}
    for name in ("team-a/one", "team-a/two"):
        assert (stored(example, name)["roleArn"], stored(example, name)["tags"]) == (f"{ROLE}app-v2", {})


def test_addon_owned_association_needs_force_owned(run: Run, example: Account) -> None:
    own = [{"serviceAccount": "aws-node", "roleArn": f"{ROLE}app"}]
    example.eks.create_addon(clusterName="example", addonName="vpc-cni", podIdentityAssociations=own)
    before = stored(example, "kube-system/aws-node")
    changed = declared("kube-system/aws-node", role_arn=f"{ROLE}app-v2")
    for settings in ({}, {"adopt": True}, {"update_foreign": True}):
        result = run(MODULE, cluster_name="example", associations=changed, **settings)
        assert before["ownerArn"] in result["skipped_associations"][0]["reason"]
    result = run(MODULE, cluster_name="example", associations=[], purge="cluster")
    assert "kube-system/aws-node" in names(result["skipped_associations"])
    assert stored(example, "kube-system/aws-node") == before
    named = [{**changed[0], "force_owned": True}]
    assert nonempty_lists(run(MODULE, cluster_name="example", associations=named)) == {
        "updated": ["kube-system/aws-node"]
    }
    gone = {"namespace": "kube-system", "service_account": "aws-node", "state": "absent", "force_owned": True}
    assert nonempty_lists(run(MODULE, cluster_name="example", associations=[gone]))["deleted"] == [
        "kube-system/aws-node"
    ]


# --- partial failure --------------------------------------------------------------------------------------------------


def test_failed_changes_do_not_stop_the_others(run: Run, example: Account) -> None:
    run(MODULE, cluster_name="example", associations=declared("team-a/old"))
    bad = declared("team-a/b", "team-a/c", role_arn=f"{ROLE}missing") + declared(
        "team-a/d", role_arn=f"{ROLE}eks-trust"
    )
    everything = declared("team-a/a") + bad + declared("team-a/e")
    settings: dict[str, t.Any] = {"cluster_name": "example", "associations": everything, "purge": "namespace"}
    result = run(MODULE, **settings, iam_propagation_timeout=0)
    assert result["failed"] is True
    assert result["changed"]
    assert nonempty_lists(result) == {
        "created": ["team-a/a", "team-a/e"],
        "deleted": ["team-a/old"],
        "failed_associations": ["team-a/b", "team-a/c", "team-a/d"],
    }
    assert [failure["code"] for failure in result["failed_associations"]] == ["InvalidParameterException"] * 3
    first, _second, third = result["failed_associations"]
    assert first["message"] == "Role provided in the request does not exist."
    assert (f"{ROLE}missing" in first["cause"], first["advice"]) == (True, "create the role, or correct role_arn")
    assert "sts:TagSession" in third["advice"]
    assert "3 of 6 changes failed; everything else was done" in result["msg"]
    assert result["msg"].count("did not see the role") == 1, "a cause is told once"
    assert "team-a/b, team-a/c: EKS did not see" in result["msg"]
    assert names(result["associations"]) == ["team-a/a", "team-a/e"]
    create_role(example, "missing")
    create_role(example, "eks-trust", replaces=True)
    rest = run(MODULE, **settings)
    assert nonempty_lists(rest)["created"] == ["team-a/b", "team-a/c", "team-a/d"]
    assert rest["calls"].count(CREATE) == 3


def test_half_failed_replacement_reports_changed(run: Run, example: Account) -> None:
    [made] = run(MODULE, cluster_name="example", associations=declared("team-a/app"))["created"]
    moved = declared("team-b/app", association_id=made["association_id"], role_arn=f"{ROLE}missing")
    result = run(MODULE, cluster_name="example", associations=moved, iam_propagation_timeout=0)
    assert (result["failed"], result["changed"]) == (True, True)
    assert result["failed_associations"][0]["action"] == "replace"
    assert stored_names(example) == ["elsewhere/app"]
    create_role(example, "missing")
    assert nonempty_lists(run(MODULE, cluster_name="example", associations=moved)) == {"created": ["team-b/app"]}


def test_one_association_retries_for_all_with_unseen_role(run: Run, example: Account) -> None:
    example.sandbox.knobs(iam_propagation_seconds=2)
    create_role(example, "young")
    young = declared(*(f"team-a/app-{number}" for number in range(20)), role_arn=f"{ROLE}young")
    result = run(MODULE, cluster_name="example", associations=young + declared("team-a/old"))
    assert not result["failed"]
    assert len(result["created"]) == 21
    # All try once, then one of them at a time until EKS sees the role; all of them each time would be 200 calls.
    assert result["calls"].count(CREATE) < 60


def test_missing_pass_role_permission_fails_one_association(run: Run, example: Account) -> None:
    keys = limited_caller(example, deny="iam:PassRole", resource=f"{ROLE}app-v2")
    both = declared("team-a/app") + declared("team-a/job", role_arn=f"{ROLE}app-v2")
    result = run(MODULE, cluster_name="example", associations=both, **keys)
    assert nonempty_lists(result) == {"created": ["team-a/app"], "failed_associations": ["team-a/job"]}
    assert result["failed_associations"][0]["code"] == "AccessDeniedException"
    assert "may not pass the role" in result["failed_associations"][0]["cause"]


def test_purge_frees_quota_for_new_associations(run: Run, example: Account) -> None:
    example.sandbox.knobs(associations_per_cluster=3)
    run(MODULE, cluster_name="example", associations=declared("team-a/a", "team-a/b"))
    others = declared("team-a/c", "team-a/d")
    assert len(run(MODULE, cluster_name="example", associations=others, purge="namespace")["created"]) == 2
    result = run(MODULE, cluster_name="example", associations=others + declared("team-a/e"))
    assert "as many associations as EKS allows" in result["failed_associations"][0]["cause"]


def test_old_botocore_fails_with_needed_versions(
    run: Run, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_old_eks_model(tmp_path, {key: ["targetRoleArn", "policy"] for key in WRITE_REQUESTS})
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    both = declared("team-a/app", target_role_arn=f"{ROLE}target", disable_session_tags=True, policy=POLICY)
    result = run(MODULE, cluster_name="example", associations=both)
    assert [line.split(",")[0] for line in result["msg"].splitlines()] == [
        "target_role_arn needs botocore 1.38.35 or newer",
        "policy needs botocore 1.42.46 or newer",
    ]
    assert result["calls"] == []
    assert run(MODULE, cluster_name="example", associations=declared("team-a/app"))["changed"]


# --- fast mode --------------------------------------------------------------------------------------------------------


def run_fast(run: Run, associations: list[dict[str, t.Any]], **settings: t.Any) -> Result:
    return run(MODULE, cluster_name="example", associations=associations, mode="fast", **settings)


def test_fast_mode_describes_nothing_when_unchanged(run: Run, example: Account) -> None:
    many = declared(*(f"team-a/app-{number:03}" for number in range(120)), tags={"team": "a"})
    many += declared("team-b/job", target_role_arn=f"{ROLE}target", disable_session_tags=True, policy=POLICY)
    made = run_fast(run, many)
    assert SPEC in stored(example, "team-b/job")["tags"]
    again = run_fast(run, many)
    assert again["mode"] == "fast"
    assert len(again["unchanged"]) == 121
    assert collections.Counter(again["calls"]) == {LIST: 2, GET_RESOURCES: 2}
    only_eks_knows = ("modified_at", "external_id", "owner_arn")
    for before, after in zip(made["associations"], again["associations"], strict=True):
        expected = {name: value for name, value in brief(before).items() if name not in only_eks_knows}
        # What neither the tags nor the list tell, such as a policy, is not known.
        assert {name: value for name, value in after.items() if value is not None} == {
            name: value for name, value in expected.items() if name in after
        }
        assert after.keys() >= {"namespace", "service_account", "association_id", "role_arn"}


def test_fast_mode_describes_only_changed_declarations(run: Run, example: Account) -> None:
    many = declared("team-a/one", "team-a/two", "team-b/three", tags={"team": "a"})
    run_fast(run, many)
    many[0]["role_arn"] = f"{ROLE}app-v2"
    result = run_fast(run, many)
    assert nonempty_lists(result)["updated"] == ["team-a/one"]
    assert collections.Counter(result["calls"]) == {LIST: 1, GET_RESOURCES: 1, DESCRIBE: 1, UNTAG: 1, UPDATE: 1, TAG: 1}
    assert run_fast(run, many)["changed"] is False
    many[1]["tags"] = {"team": "b"}
    tagged = run_fast(run, many)
    assert collections.Counter(tagged["calls"]) == {LIST: 1, GET_RESOURCES: 1, DESCRIBE: 1, TAG: 1}
    assert run_fast(run, many)["changed"] is False


def test_only_full_mode_detects_drift(run: Run, example: Account) -> None:
    one = declared("team-a/app", "team-b/app")
    run_fast(run, one)
    identity = {"clusterName": "example", "associationId": stored(example, "team-a/app")["associationId"]}
    example.eks.update_pod_identity_association(**identity, roleArn=f"{ROLE}app-v2")
    assert run_fast(run, one)["changed"] is False
    assert nonempty_lists(run(MODULE, cluster_name="example", associations=one))["updated"] == ["team-a/app"]


def test_other_managed_updates_keep_spec_hash_correct(run: Run, example: Account) -> None:
    original, changed = declared("team-a/app"), declared("team-a/app", role_arn=f"{ROLE}app-v2")
    run_fast(run, original)
    run(MODULE, cluster_name="example", associations=changed)
    assert nonempty_lists(run_fast(run, original)) == {"updated": ["team-a/app"]}
    key: dict[str, t.Any] = {"cluster_name": "example", "namespace": "team-a", "service_account": "app"}
    ours: dict[str, t.Any] = {"tags": {"team": "a"}, "creation_tags": {MANAGED_TAG: "example"}}
    run("eks_pod_identity_association", **key, role_arn=f"{ROLE}app-v2", **ours)
    assert SPEC in stored(example, "team-a/app")["tags"], "purging tags leaves it"
    assert nonempty_lists(run_fast(run, original)) == {"updated": ["team-a/app"]}
    assert stored(example, "team-a/app")["roleArn"] == f"{ROLE}app"


def test_fast_mode_adds_missing_spec_tags(run: Run, example: Account) -> None:
    both = declared("team-a/app", "team-b/app")
    run(MODULE, cluster_name="example", associations=both)
    create_unmanaged_association(example, "team-b/theirs")
    first = run_fast(run, both + declared("team-b/theirs"))
    assert nonempty_lists(first) == {"updated": ["team-a/app", "team-b/app"], "unchanged": ["team-b/theirs"]}
    second = run_fast(run, both + declared("team-b/theirs"))
    assert not second["changed"]
    assert second["calls"].count(DESCRIBE) == 1, "what is not ours gets no tag of ours, and is looked at"


def test_fast_mode_falls_back_when_tagging_api_refuses(run: Run, example: Account) -> None:
    both = declared("team-a/app", "team-b/app")
    run_fast(run, both)
    result = run_fast(run, both, **limited_caller(example, deny="tag:GetResources"))
    assert (result["mode"], result["changed"], result["calls"].count(DESCRIBE)) == ("full", False, 2)
    assert "tag:GetResources" in str(result["warnings"])


def test_fast_purge_describes_before_delete(run: Run, example: Account) -> None:
    run_fast(run, declared("team-a/app", "team-a/job", "team-b/app"))
    create_unmanaged_association(example, "team-a/theirs")
    result = run_fast(run, declared("team-a/app"), purge="cluster")
    assert nonempty_lists(result)["deleted"] == ["team-a/job", "team-b/app"]
    assert collections.Counter(result["calls"]) == {LIST: 1, GET_RESOURCES: 1, DESCRIBE: 2, DELETE: 2}
    assert stored_names(example) == ["elsewhere/app", "team-a/app", "team-a/theirs"]


# --- what is no longer declared ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [False, True])
def test_undeclared_associations_of_ours_are_named(run: Run, example: Account, check: bool) -> None:
    run(MODULE, cluster_name="example", associations=declared("team-a/app", "team-a/old", "team-b/old"))
    options: dict[str, t.Any] = {"cluster_name": "example", "associations": declared("team-a/app")}
    result = run(MODULE, check=check, **options, report_undeclared=True)
    assert not result["changed"] and result["undeclared"] == ["team-a/old", "team-b/old"]
    assert collections.Counter(result["calls"]) == {LIST: 1, DESCRIBE: 1, GET_RESOURCES: 1}
    result = run(MODULE, check=check, **options, report_undeclared=True, purge="namespace")
    assert result["undeclared"] == ["team-b/old"] and names(result["deleted"]) == ["team-a/old"]


def test_undeclared_associations_cost_no_call_without_any(run: Run, example: Account) -> None:
    everything = declared("team-a/app", "elsewhere/app")
    run(MODULE, cluster_name="example", associations=everything)
    result = run(MODULE, cluster_name="example", associations=everything, report_undeclared=True)
    assert result["undeclared"] == [] and collections.Counter(result["calls"]) == {LIST: 1, DESCRIBE: 2}


def test_undeclared_associations_are_found_without_tagging_api(run: Run, example: Account) -> None:
    run(MODULE, cluster_name="example", associations=declared("team-a/app", "team-a/old"))
    denied = {"operation": "tagging:GetResources", "code": "AccessDeniedException", "status": 400}
    example.sandbox.knobs(faults=[denied])
    result = run(MODULE, cluster_name="example", associations=declared("team-a/app"), report_undeclared=True)
    assert not result["failed"] and result["undeclared"] == ["team-a/old"]


# --- workloads --------------------------------------------------------------------------------------------------------

CLUSTER_ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/example"


def workload(name: str, **more: t.Any) -> dict[str, t.Any]:
    return {"namespace": "default", "service_account": name, "role": {"name": "app"}, **more}


def test_workloads_are_the_same_as_their_associations(run: Run, example: Account) -> None:
    planned = run(MODULE, cluster_name="example", cluster_arn=CLUSTER_ARN, workloads=[workload("web")], check=True)
    assert names(planned["created"]) == ["default/web"] and stored_names(example) == ["elsewhere/app"]
    made = run(MODULE, cluster_name="example", cluster_arn=CLUSTER_ARN, workloads=[workload("web")])
    assert stored(example, "default/web")["roleArn"] == f"{ROLE}app"
    assert (made["failed_items"], made["report"]) == ([], [])
    by_name = run(MODULE, cluster_name="example", associations=declared("default/web"))
    assert names(by_name["unchanged"]) == ["default/web"]
    given = workload("web", role={"arn": f"{ROLE}app-v2"}, disable_session_tags=True, policy=POLICY)
    changed = run(MODULE, cluster_name="example", workloads=[given])
    assert names(changed["updated"]) == ["default/web"]
    assert changed["plan"][0]["changes"]["policy"]["after"] == POLICY
    gone = run(MODULE, cluster_name="example", workloads=[given], state="absent")
    assert names(gone["deleted"]) == ["default/web"]


def test_role_arn_is_needed_where_the_account_is_unknown(run: Run) -> None:
    result = run(MODULE, cluster_name="example", workloads=[workload("web")])
    assert "give role_arns, or role.arn in place of role.name" in result["msg"]
    assert [one["workload"] for one in result["failed_items"]] == ["default/web"]
    assert result["calls"] == []
    known = run(
        MODULE, cluster_name="example", workloads=[workload("web")], role_arns={"app": f"{ROLE}app"}, check=True
    )
    assert names(known["created"]) == ["default/web"]


def test_invalid_workloads_are_refused_before_any_call(run: Run) -> None:
    result = run(MODULE, cluster_name="example", cluster_arn=CLUSTER_ARN, workloads=[{"namespace": "a", "role": 7}])
    assert "service_account" in result["msg"] and result["calls"] == []


def test_also_declared_is_neither_purged_nor_reported(run: Run, example: Account) -> None:
    run(MODULE, cluster_name="example", associations=declared("default/held", "default/old", "default/web"))
    rest: dict[str, t.Any] = {
        "cluster_name": "example",
        "associations": declared("default/web"),
        "also_declared": ["default/held"],
    }
    reported = run(MODULE, **rest, report_undeclared=True)
    assert reported["undeclared"] == ["default/old"]
    [line] = reported["report"]
    assert "associations of default/old that were created by this collection and are no longer declared" in line
    purged = run(MODULE, **rest, purge="cluster")
    assert names(purged["deleted"]) == ["default/old"]
    assert stored_names(example) == ["default/held", "default/web", "elsewhere/app"]


def test_failed_items_name_failures_and_kept_declarations(run: Run, example: Account) -> None:
    create_unmanaged_association(example, "default/theirs", tags={"team": "theirs"})
    wanted = [workload("theirs", role={"arn": f"{ROLE}app-v2"}), workload("lost", role={"name": "missing"})]
    absent = {"namespace": "default", "service_account": "theirs", "state": "absent"}
    result = run(MODULE, cluster_name="example", cluster_arn=CLUSTER_ARN, workloads=wanted, iam_propagation_timeout=0)
    reasons = {one["workload"]: one["reason"] for one in result["failed_items"]}
    assert set(reasons) == {"default/theirs", "default/lost"}
    assert "EKS did not see the role" in reasons["default/lost"]
    assert "podidentity.eks/cluster" in reasons["default/theirs"]
    kept = run(MODULE, cluster_name="example", cluster_arn=CLUSTER_ARN, workloads=[absent])
    assert kept["failed_items"] == [] and not kept["failed"]
    assert kept["report"] == [
        "The associations of default/theirs in cluster example were kept: they do not have the tag "
        "podidentity.eks/cluster, so this collection did not create them."
    ]


def test_every_workload_fails_where_nothing_can_be_listed(run: Run, example: Account) -> None:
    example.sandbox.knobs(
        faults=[{"operation": LIST, "outcome": "error", "code": "AccessDeniedException", "calls": [1]}]
    )
    result = run(MODULE, cluster_name="example", cluster_arn=CLUSTER_ARN, workloads=[workload("a"), workload("b")])
    assert [one["workload"] for one in result["failed_items"]] == ["default/a", "default/b"]
    assert {one["reason"] for one in result["failed_items"]} == {result["msg"]}
    assert "pod_identity_operator_policy" in result["msg"]


def test_check_mode_dates_predicted_changes(run: Run, example: Account) -> None:
    made = run(MODULE, cluster_name="example", associations=declared("default/web"))
    before = made["associations"][0]["modified_at"]
    changed = declared("default/web", role_arn=f"{ROLE}app-v2")
    predicted = run(MODULE, cluster_name="example", associations=changed, check=True)
    assert predicted["associations"][0]["modified_at"] > before, "so that a restart of older pods is predicted"
