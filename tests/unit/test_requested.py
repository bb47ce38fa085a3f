# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A survey's answers as a workload."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
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
    with pytest.raises(AnsibleFilterError) as refused:
        pod_identity_requested(answers)
    assert sentence in str(refused.value)


@given(st.dictionaries(st.sampled_from(sorted(COMPLETE)), st.text()))
def test_any_answers_give_workload_or_filter_error(answers: dict[str, str]) -> None:
    try:
        found = pod_identity_requested(answers)
    except AnsibleFilterError:
        return
    assert len(found) == any(text.strip() for text in answers.values())
