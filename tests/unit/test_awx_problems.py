# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the playbook awx checks before it writes anything."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.filter.awx_problems import awx_problems

SETTINGS: dict[str, t.Any] = {
    "organization": "Default",
    "project_url": "https://git.example.com/clusters.git",
    "project_credential": "",
    "aws_credential": "our keys",
    "aws_region": "us-gov-west-1",
    "execution_environment": "core 2.21",
    "execution_environment_image": "",
    "job_slices": "3",
    "limit_on_launch": False,
    "notify_approvals": ["our chat"],
    "notify_failures": [],
}
FOUND = {
    "organizations": ["Default"],
    "credentials": ["our keys"],
    "execution_environments": ["core 2.21"],
    "notification_templates": ["our chat"],
}


def test_complete_settings_have_no_problem() -> None:
    assert awx_problems(SETTINGS) == []
    assert awx_problems(SETTINGS, FOUND) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"project_url": ""}, "awx_project_url is empty: give the repository with the playbooks and inventories; "),
        ({"execution_environment": None}, "awx_execution_environment is empty: give the name of an execution"),
        ({"aws_region": "europe"}, 'awx_aws_region is "europe": give an AWS region such as eu-west-1.'),
        ({"job_slices": "many"}, "awx_job_slices is 'many': give a whole number of at least 1."),
        ({"limit_on_launch": True}, "awx_limit_on_launch is true and awx_job_slices is 3: take one of them, because"),
    ],
)
def test_invalid_settings_are_told_in_one_sentence(changes: dict[str, t.Any], sentence: str) -> None:
    [problem] = awx_problems({**SETTINGS, **changes})
    assert problem.startswith(sentence)


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("organizations", 'AWX has no organization "Default", which awx_organization names: create it first.'),
        ("credentials", 'AWX has no credential "our keys", which awx_aws_credential names: create it first.'),
        ("execution_environments", "create it first, or give its image in awx_execution_environment_image."),
        ("notification_templates", 'AWX has no notification template "our chat", which awx_notify_approvals names'),
    ],
)
def test_what_awx_lacks_is_named(place: str, sentence: str) -> None:
    [problem] = awx_problems(SETTINGS, {**FOUND, place: []})
    assert sentence in problem


def test_execution_environment_with_image_is_registered() -> None:
    settings = {**SETTINGS, "execution_environment_image": "registry.example.com/image:1"}
    assert awx_problems(settings, {**FOUND, "execution_environments": []}) == []


def test_settings_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="was given"):
        awx_problems("settings")  # type: ignore[arg-type]
