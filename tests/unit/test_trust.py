# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Trust policies: scoped statements, merged into what is there and taken out again."""

from __future__ import annotations

import copy
import json
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._trust import document as trust
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import ACTIONS
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import SERVICE
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Subject
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import canonical
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import statement_id
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import trust_statement
from ansible_collections.podidentity.eks.plugins.module_utils._workload.cluster import Cluster
from ansible_collections.podidentity.eks.plugins.module_utils._workload.cluster import TrustError
from hypothesis import given
from hypothesis import strategies as st

ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/shop"
SHOP = Cluster.from_arn(ARN)
S3 = Subject(SHOP, "default", "s3-access-sa")
LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
ACCOUNTS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?(\.[a-z0-9]{1,20}){0,3}", fullmatch=True)
SUBJECTS = st.builds(Subject, st.just(SHOP), LABELS, ACCOUNTS)
UNMANAGED = {
    "Sid": "Lambda",
    "Effect": "Allow",
    "Principal": {"Service": "lambda.amazonaws.com"},
    "Action": "sts:AssumeRole",
}
FEDERATED = {
    "Effect": "Allow",
    "Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/A"},
    "Action": "sts:AssumeRoleWithWebIdentity",
    "Condition": {"StringEquals": {"oidc.eks.eu-west-1.amazonaws.com/id/A:aud": "sts.amazonaws.com"}},
}
STATEMENTS = st.lists(st.sampled_from([UNMANAGED, FEDERATED, {"Effect": "Deny", "Principal": "*", "Action": "sts:*"}]))


def document(*statements: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def guide_statement(**changes: t.Any) -> dict[str, t.Any]:
    """The statement that many guides show, with the principal of the EKS control plane."""
    wrong = {"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, "Action": ["sts:AssumeRole"]}
    return wrong | changes


def test_scoped_statement_conditions_name_the_workload() -> None:
    statement = trust_statement(S3)
    assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert statement["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    assert statement["Condition"] == {
        "StringEquals": {
            "aws:SourceAccount": "111122223333",
            "aws:RequestTag/kubernetes-namespace": "default",
            "aws:RequestTag/kubernetes-service-account": "s3-access-sa",
        },
        "ArnEquals": {"aws:SourceArn": ARN},
    }


def test_statement_without_session_tags_has_source_conditions() -> None:
    condition = trust_statement(S3, session_tags=False)["Condition"]
    assert condition == {
        "StringEquals": {"aws:SourceAccount": "111122223333"},
        "ArnEquals": {"aws:SourceArn": ARN},
    }


def test_open_statement_has_no_conditions_and_same_sid() -> None:
    statement = trust_statement(S3, scoped=False)
    assert "Condition" not in statement
    assert statement["Sid"] == trust_statement(S3)["Sid"]


def test_sid_is_readable() -> None:
    assert statement_id(S3).startswith("PodIdentityDefaultS3AccessSa")


def test_sids_of_similar_subjects_differ() -> None:
    other = Cluster.from_arn(ARN.replace("eu-west-1", "eu-west-2"))
    subjects = [
        Subject(SHOP, "a-b", "c"),
        Subject(SHOP, "a", "b-c"),
        Subject(SHOP, "ab", "c"),
        Subject(other, "ab", "c"),
        Subject(SHOP, "a", "b.c"),
    ]
    assert len({statement_id(subject) for subject in subjects}) == len(subjects)


@given(SUBJECTS)
def test_sid_is_alphanumeric_and_stable(subject: Subject) -> None:
    sid = statement_id(subject)
    assert sid.isascii() and sid.isalnum() and len(sid) <= 70
    assert sid == statement_id(Subject(Cluster.from_arn(ARN), subject.namespace, subject.service_account))


@pytest.mark.parametrize("arn", ["shop", "arn:aws:eks:eu-west-1:1:cluster/shop", ARN + "/x", ""])
def test_invalid_cluster_arn_is_refused_with_example(arn: str) -> None:
    with pytest.raises(TrustError, match="such as arn:aws:eks"):
        Cluster.from_arn(arn)


@given(STATEMENTS, st.lists(SUBJECTS, unique_by=statement_id, max_size=4))
def test_unmanaged_statements_stay_unchanged_and_in_order(
    foreign: list[dict[str, t.Any]], subjects: list[Subject]
) -> None:
    observed = document(*foreign)
    before = copy.deepcopy(observed)
    planned = trust.ensure_statements(observed, [trust_statement(subject) for subject in subjects])
    assert observed == before, "the observed document is not to be changed"
    kept = (planned.document or document())["Statement"]
    assert json.dumps(kept[: len(foreign)]) == json.dumps(foreign)
    assert [statement["Sid"] for statement in kept[len(foreign) :]] == [statement_id(subject) for subject in subjects]


@given(STATEMENTS, st.lists(SUBJECTS, unique_by=statement_id, min_size=1, max_size=4))
def test_merge_is_idempotent_and_remove_restores_original(
    foreign: list[dict[str, t.Any]], subjects: list[Subject]
) -> None:
    wanted = [trust_statement(subject) for subject in subjects]
    first = trust.ensure_statements(document(*foreign), wanted)
    second = trust.ensure_statements(first.document, wanted)
    assert second.document == first.document
    removed = trust.remove_statements(first.document, {statement["Sid"] for statement in wanted})
    assert removed == (document(*foreign) if foreign else None)
    assert len(list(trust.differences(first.document, removed))) == len(wanted)


def test_single_statement_outside_list_is_kept() -> None:
    planned = trust.ensure_statements({"Version": "2012-10-17", "Statement": UNMANAGED}, [trust_statement(S3)])
    assert planned.document == document(UNMANAGED, trust_statement(S3))


def test_document_may_be_json_text() -> None:
    planned = trust.ensure_statements(json.dumps(document(UNMANAGED)), [trust_statement(S3)])
    assert planned.document == document(UNMANAGED, trust_statement(S3))
    with pytest.raises(TrustError, match="no JSON"):
        trust.ensure_statements("{", [])


def test_action_order_is_no_difference() -> None:
    stored = trust_statement(S3) | {"Action": ["sts:TagSession", "sts:AssumeRole"]}
    planned = trust.ensure_statements(document(stored), [trust_statement(S3)])
    assert planned.document == document(stored)
    assert list(trust.differences(document(trust_statement(S3)), document(stored))) == []


def test_changed_managed_statement_is_replaced_in_place() -> None:
    stale = trust_statement(S3) | {"Condition": {"StringEquals": {"aws:SourceAccount": "999999999999"}}}
    planned = trust.ensure_statements(document(stale, UNMANAGED), [trust_statement(S3)])
    assert planned.document == document(trust_statement(S3), UNMANAGED)
    told = [str(change) for change in trust.differences(document(stale, UNMANAGED), planned.document)]
    assert told == [f"change trust statement {statement_id(S3)}"]


def test_duplicate_managed_sid_is_removed() -> None:
    planned = trust.ensure_statements(document(trust_statement(S3), trust_statement(S3)), [trust_statement(S3)])
    assert planned.document == document(trust_statement(S3))


@pytest.mark.parametrize("actions", [["sts:AssumeRole"], ["sts:AssumeRole", "sts:TagSession"]])
def test_control_plane_principal_is_replaced_by_scoped_statement(actions: list[str]) -> None:
    planned = trust.ensure_statements(document(guide_statement(Action=actions)), [trust_statement(S3)])
    assert planned.document == document(trust_statement(S3))
    assert "eks.amazonaws.com, the EKS control plane" in planned.findings[0]
    assert ("lacks sts:TagSession" in planned.findings[0]) == (len(actions) == 1)


def test_control_plane_principal_with_conditions_is_corrected() -> None:
    condition = {"StringEquals": {"aws:RequestTag/kubernetes-namespace": "team-a"}}
    planned = trust.ensure_statements(
        document(guide_statement(Sid="TeamA", Condition=condition)), [trust_statement(S3)]
    )
    corrected = {
        "Sid": "TeamA",
        "Effect": "Allow",
        "Principal": {"Service": SERVICE},
        "Action": list(ACTIONS),
        "Condition": condition,
    }
    assert planned.document == document(corrected, trust_statement(S3))
    assert "TeamA" in planned.findings[0] and "put right" in planned.findings[0]


def test_missing_tag_session_is_added_and_reported() -> None:
    condition = {"ArnEquals": {"aws:SourceArn": ARN}}
    incomplete = guide_statement(Principal={"Service": [SERVICE]}, Action="sts:AssumeRole", Condition=condition)
    planned = trust.ensure_statements(document(incomplete), [trust_statement(S3)])
    assert (planned.document or {})["Statement"][0]["Action"] == list(ACTIONS)
    assert "lacks sts:TagSession" in planned.findings[0]


def test_cluster_role_keeps_control_plane_principal() -> None:
    planned = trust.ensure_statements(document(guide_statement()), [trust_statement(S3)], repair=False)
    assert planned.document == document(guide_statement(), trust_statement(S3))
    assert "looks like the role of an EKS cluster" in planned.findings[0]


def test_control_plane_principal_among_others_is_only_reported() -> None:
    mixed = guide_statement(Principal={"Service": ["eks.amazonaws.com", SERVICE]})
    planned = trust.ensure_statements(document(mixed), [trust_statement(S3)])
    assert planned.document == document(mixed, trust_statement(S3))
    assert len(planned.findings) == 1


def test_unmanaged_open_statement_is_kept_and_reported() -> None:
    open_statement = guide_statement(Sid="Plain", Principal={"Service": SERVICE}, Action=list(ACTIONS))
    planned = trust.ensure_statements(document(open_statement), [trust_statement(S3)])
    assert planned.document == document(open_statement, trust_statement(S3))
    assert "Plain has no conditions" in planned.findings[0]


def test_size_ignores_white_space() -> None:
    assert trust.size({"a": "b c\n"}) == len('{"a":"bc\\n"}')


def test_size_limit_problem_gives_remedy() -> None:
    subjects = [Subject(SHOP, "default", f"worker-{number}") for number in range(25)]
    planned = trust.ensure_statements(None, [trust_statement(subject) for subject in subjects])
    assert planned.document is not None
    (problem,) = trust.size_problems(planned.document, "role Shared")
    assert "IAM takes 2048" in problem and "a role of their own" in problem and "8192" in problem
    (problem,) = trust.size_problems(planned.document, "role Shared", limit=8192)
    assert "quota" not in problem
    assert trust.size_problems(document(trust_statement(S3)), "role Alone") == []


def test_canonical_ignores_order_and_single_value_lists() -> None:
    one = {"Principal": {"Service": ["b", "a"]}, "Action": ["x"]}
    assert canonical(one) == canonical({"Action": "x", "Principal": {"Service": ["a", "b"]}})
    assert canonical(one) != canonical(one | {"Action": "y"})
    flag: dict[str, t.Any] = {"Condition": {"Bool": {"aws:SecureTransport": True}, "NumericEquals": {"x": 1}}}
    text = {"Condition": {"Bool": {"aws:SecureTransport": ["true"]}, "NumericEquals": {"x": "1"}}}
    assert canonical(flag) == canonical(text)
