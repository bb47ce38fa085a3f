# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A survey's answers as a workload."""

from __future__ import annotations

import datetime
import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_request_problems import (
    pod_identity_request_problems,
)
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_requested import pod_identity_requested
from ansible_collections.podidentity.eks.plugins.module_utils._workload.validation import workload_problems
from hypothesis import given
from hypothesis import strategies as st

COMPLETE = {
    "namespace": " team-a ",
    "service_account": "app",
    "role": "app-role",
    "managed_policies": "AmazonS3ReadOnlyAccess\r\n\n  arn:aws:iam::aws:policy/AmazonSQSReadOnlyAccess\n",
    "allow": "s3.list_buckets\nsqs.list_queues",
}


def test_all_answers_become_workload() -> None:
    [workload] = pod_identity_requested(COMPLETE)
    assert workload == {
        "namespace": "team-a",
        "service_account": "app",
        "role": {
            "name": "app-role",
            "managed_policies": ["AmazonS3ReadOnlyAccess", "arn:aws:iam::aws:policy/AmazonSQSReadOnlyAccess"],
        },
        "prove": {
            "allow": [
                {"service": "s3", "operation": "list_buckets"},
                {"service": "sqs", "operation": "list_queues"},
            ]
        },
    }
    assert workload_problems([workload]) == []


def test_role_arn_is_used_unchanged() -> None:
    arn = "arn:aws:iam::111122223333:role/app"
    assert pod_identity_requested({"namespace": "a", "service_account": "b", "role": arn}) == [
        {"namespace": "a", "service_account": "b", "role": {"arn": arn}}
    ]


@pytest.mark.parametrize("answers", [{}, {"namespace": "", "role": None, "allow": " \n "}])
def test_empty_survey_requests_nothing(answers: dict[str, t.Any]) -> None:
    assert pod_identity_requested(answers) == []


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ({"namespace": "a"}, "The survey's answers lack a service account and an IAM role: answer"),
        ({"allow": "s3.list_buckets"}, "lack a namespace and a service account and an IAM role"),
        ({**COMPLETE, "allow": "s3:ListBuckets"}, 'names the call "s3:ListBuckets": give service and operation, as'),
    ],
)
def test_invalid_answers_are_refused(answers: dict[str, t.Any], sentence: str) -> None:
    assert sentence in refusal(answers)


def refusal(answers: dict[str, t.Any], **rules: t.Any) -> str:
    """The sentence, which both filters have."""
    with pytest.raises(AnsibleFilterError) as refused:
        pod_identity_requested(answers, **rules)
    assert pod_identity_request_problems(answers, **rules) == [str(refused.value)]
    return str(refused.value)


# --- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", [7, True, 1.1, datetime.date(2024, 1, 2), {"a": 1}])
@pytest.mark.parametrize("key", sorted(COMPLETE))
def test_answer_whose_text_is_lost_is_refused(key: str, typed: object) -> None:
    assert "and not as a text, so that leading zeros or the word that was typed" in refusal({**COMPLETE, key: typed})


@pytest.mark.parametrize(("answer", "text"), [('"007"', "007"), (" 'on' ", "on"), ("null-a", "null-a"), ('"', '"')])
def test_quotes_keep_an_answer_a_text(answer: str, text: str) -> None:
    [workload] = pod_identity_requested({**COMPLETE, "namespace": answer})
    assert workload["namespace"] == text


def test_several_choices_are_lines() -> None:
    [workload] = pod_identity_requested({**COMPLETE, "managed_policies": ["A", "B"], "allow": []})
    assert workload["role"]["managed_policies"] == ["A", "B"]
    assert "prove" not in workload


# --- with a declaration -----------------------------------------------------------------------------------------------

DECLARED = [
    {"namespace": 7, "service_account": "app", "role": {"name": "r"}, "tags": {"a": "b"}},
    {"namespace": "a", "service_account": "gone", "role": {"name": "r"}, "state": "absent"},
    "unreadable",
]


def test_declared_workload_is_applied_as_declared() -> None:
    answers = {"namespace": "7", "service_account": "app", "role": None}
    assert pod_identity_requested(answers, DECLARED) == [DECLARED[0]]


def test_request_does_not_change_declared_workload() -> None:
    answers = {"namespace": "7", "service_account": "app", "role": "other"}
    assert "The inventory declares 7/app: leave the other answers empty" in refusal(answers, declared=DECLARED)


def test_request_does_not_remove_declared_workload() -> None:
    answers = {"namespace": "a", "service_account": "gone"}
    assert "declares a/gone as absent, and a request removes nothing" in refusal(answers, declared=DECLARED)


def test_undeclared_workload_needs_a_role() -> None:
    answers = {"namespace": "007", "service_account": "app"}
    assert "The survey's answers lack an IAM role" in refusal(answers, declared=DECLARED)


@pytest.mark.parametrize(("answers", "use"), [({"namespace": None}, "required"), ({"namespace": "a"}, "refused")])
def test_playbook_needs_or_refuses_answers(answers: dict[str, t.Any], use: str) -> None:
    sentence = {
        "required": "No workload is requested: answer at least namespace and service account.",
        "refused": "This playbook takes no answers of a survey, and got podidentity_request_namespace: take them out",
    }
    assert sentence[use] in refusal(answers, use=use)


# --- limits -----------------------------------------------------------------------------------------------------------

#: What COMPLETE asks for, and a little more.
LIMITS = {
    "namespaces": ["team-*"],
    "role_names": ["app-*"],
    "policies": ["arn:aws-cn:iam::aws:policy/AmazonS3ReadOnlyAccess", "AmazonSQS*"],
}


def test_limits_allow_what_a_pattern_matches() -> None:
    assert pod_identity_requested(COMPLETE, limits=LIMITS) == pod_identity_requested(COMPLETE)
    assert pod_identity_requested(COMPLETE, limits=dict.fromkeys(LIMITS)) == pod_identity_requested(COMPLETE)


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ({"namespace": "kube-system"}, 'the namespace "kube-system", which podidentity_allowed_namespaces does not'),
        ({"role": "admin"}, 'the role "admin", which podidentity_allowed_role_names does not allow: ask for app-*.'),
        ({"role": "arn:aws:iam::111122223333:role/app-/admin"}, 'the role "admin", which'),
        (
            {"managed_policies": "AdministratorAccess"},
            'the managed policy "AdministratorAccess", which podid',
        ),
        ({"managed_policies": "arn:aws:iam::111122223333:policy/AmazonSQSMine"}, "policy/AmazonSQSMine"),
    ],
)
def test_limits_refuse_in_one_sentence(answers: dict[str, t.Any], sentence: str) -> None:
    assert sentence in refusal({**COMPLETE, **answers}, limits=LIMITS)


def test_empty_limit_allows_nothing() -> None:
    assert "does not allow: ask for none." in refusal(COMPLETE, limits={"policies": []})


@pytest.mark.parametrize("limit", ["team-*", [7], {"a": 1}])
def test_limit_that_is_no_list_of_texts_is_refused(limit: t.Any) -> None:
    assert "podidentity_allowed_namespaces must be a list of texts; got" in refusal(
        COMPLETE, limits={"namespaces": limit}
    )


@given(st.dictionaries(st.sampled_from(sorted(COMPLETE)), st.text()))
def test_any_answers_give_workload_or_filter_error(answers: dict[str, str]) -> None:
    try:
        found = pod_identity_requested(answers)
    except AnsibleFilterError:
        return
    assert len(found) == any(text.strip() not in ("", "''", '""') for text in answers.values())
