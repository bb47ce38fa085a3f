# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plans for the IAM roles of workloads: who is changed, how, and who is left alone."""

from __future__ import annotations

import copy
import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_role_plans import pod_identity_role_plans
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_trust_policy import pod_identity_trust_policy
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_workload_problems import (
    pod_identity_workload_problems,
)

ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/shop"
S3_POLICY = {
    "policy_name": "AmazonS3ReadOnlyAccess",
    "policy_arn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess",
}
Mapping = dict[str, t.Any]


def workload(service_account: str = "s3-access-sa", **role: t.Any) -> Mapping:
    declared = {"name": "EKS-S3-Access-Role", "managed_policies": ["AmazonS3ReadOnlyAccess"]} | role
    return {"namespace": "default", "service_account": service_account, "role": declared}


def plan(workloads: list[Mapping], observed: list[Mapping], **options: t.Any) -> list[Mapping]:
    return pod_identity_role_plans(workloads, observed, ARN, **options)


def made(workloads: list[Mapping], **changes: t.Any) -> Mapping:
    """The role as iam_role_info shows it after the plan for an empty account was applied."""
    (planned,) = plan(workloads, [])
    return {
        "role_name": planned["name"],
        "arn": planned["arn"],
        "assume_role_policy_document": copy.deepcopy(planned["assume_role_policy_document"]),
        "managed_policies": [S3_POLICY],
        "inline_policies": [],
        "tags": dict(planned["tags"]),
        "path": "/",
        "description": planned["description"] or "",
        "max_session_duration": 3600,
    } | changes


def test_a_role_that_is_not_there_is_created_with_our_tag() -> None:
    (planned,) = plan([workload(tags={"team": "shop"})], [])
    assert planned["action"] == "create"
    assert planned["arn"] == "arn:aws:iam::111122223333:role/EKS-S3-Access-Role"
    assert planned["tags"] == {"team": "shop", "podidentity.eks/managed": "true"}
    assert planned["managed_policies"] == ["AmazonS3ReadOnlyAccess"]
    assert planned["purge_policies"] is True


def test_a_role_under_a_path_has_it_in_its_predicted_arn() -> None:
    (planned,) = plan([workload(path="/apps/")], [])
    assert planned["arn"] == "arn:aws:iam::111122223333:role/apps/EKS-S3-Access-Role"
    assert planned["path"] == "/apps/"


def test_the_same_declaration_again_changes_nothing() -> None:
    workloads = [workload(), workload("other-sa")]
    (planned,) = plan(workloads, [made(workloads)])
    assert planned["action"] == "none"
    assert planned["changes"] == [] and planned["diff"] == [] and planned["findings"] == []


@pytest.mark.parametrize(
    ("role", "change"),
    [
        ({"description": "New"}, "set description to New"),
        ({"max_session_duration": 7200}, "set max_session_duration to 7200"),
        ({"boundary": "arn:aws:iam::111122223333:policy/edge"}, "set boundary to"),
        ({"tags": {"team": "shop"}}, "set tag team=shop"),
        ({"managed_policies": ["AmazonS3ReadOnlyAccess", "AmazonSQSFullAccess"]}, "attach AmazonSQSFullAccess"),
        ({"managed_policies": []}, "detach AmazonS3ReadOnlyAccess"),
        ({"trust": "open"}, "change trust statement"),
    ],
)
def test_a_difference_is_named(role: Mapping, change: str) -> None:
    (planned,) = plan([workload(**role)], [made([workload()])])
    assert planned["action"] == "update"
    assert len(planned["changes"]) == 1 and planned["changes"][0].startswith(change)


def test_a_policy_declared_by_its_arn_is_found_attached() -> None:
    (planned,) = plan([workload(managed_policies=[S3_POLICY["policy_arn"]])], [made([workload()])])
    assert planned["action"] == "none"


def test_a_foreign_role_keeps_its_policies_and_is_not_tagged_as_ours() -> None:
    foreign = made([workload()], tags={"owner": "them"}, managed_policies=[S3_POLICY | {"policy_name": "Theirs"}])
    (planned,) = plan([workload(managed_policies=["AmazonSQSFullAccess"])], [foreign])
    assert planned["changes"] == ["attach AmazonSQSFullAccess"]
    assert planned["purge_policies"] is False
    assert "podidentity.eks/managed" not in planned["tags"]


def test_the_role_of_a_guide_is_put_right_and_diff_shows_it() -> None:
    wrong = {"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    observed = made([workload()], assume_role_policy_document={"Version": "2012-10-17", "Statement": [wrong]}, tags={})
    (planned,) = plan([workload()], [observed])
    (statement,) = planned["assume_role_policy_document"]["Statement"]
    assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert [line for line in planned["diff"] if line.startswith("-") and "eks.amazonaws.com" in line]
    assert len(planned["findings"]) == 1


def test_a_cluster_role_keeps_its_trust() -> None:
    wrong = {"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policy = {"policy_name": "AmazonEKSClusterPolicy", "policy_arn": "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"}
    observed = made([workload()], assume_role_policy_document={"Statement": [wrong]}, managed_policies=[policy])
    (planned,) = plan([workload()], [observed])
    assert planned["assume_role_policy_document"]["Statement"][0] == wrong


def test_workloads_share_a_role_with_a_statement_each() -> None:
    other = workload("other-sa", managed_policies=["AmazonSQSFullAccess"]) | {"disable_session_tags": True}
    (planned,) = plan([workload(), other], [])
    first, second = planned["assume_role_policy_document"]["Statement"]
    assert len(first["Condition"]["StringEquals"]) == 3 and len(second["Condition"]["StringEquals"]) == 1
    assert planned["managed_policies"] == ["AmazonS3ReadOnlyAccess", "AmazonSQSFullAccess"]


def test_a_given_role_is_not_planned() -> None:
    given = {"namespace": "a", "service_account": "b", "role": {"arn": "arn:aws:iam::111122223333:role/x"}}
    assert plan([given], []) == []


def test_too_many_workloads_are_a_problem_of_the_plan() -> None:
    workloads = [workload(f"worker-{number}") for number in range(9)]
    (planned,) = plan(workloads, [])
    assert "IAM takes 2048" in planned["problems"][0]
    assert plan(workloads, [], size_limit=8192)[0]["problems"] == []


def test_an_inline_policy_is_written_and_taken_away_again() -> None:
    assert plan([workload(inline_policy={"Statement": []})], [])[0]["inline_policy_state"] == "present"
    observed = made([workload()], inline_policies=["podidentity.eks", "theirs"])
    assert plan([workload()], [observed])[0]["inline_policy_state"] == "absent"
    assert plan([workload()], [made([workload()])])[0]["inline_policy_state"] == "none"


def test_a_path_cannot_be_changed_and_that_is_said() -> None:
    (planned,) = plan([workload(path="/apps/")], [made([workload()])])
    assert planned["action"] == "none" and "IAM cannot change it" in planned["findings"][0]


def test_removal_deletes_our_role_when_nobody_is_left() -> None:
    (planned,) = plan([workload()], [made([workload()])], state="absent")
    assert planned["action"] == "delete"


def test_removal_leaves_a_shared_role_to_the_others() -> None:
    observed = made([workload(), workload("other-sa")])
    (planned,) = plan([workload()], [observed], state="absent")
    assert planned["action"] == "update"
    assert (
        planned["assume_role_policy_document"]["Statement"]
        == (observed["assume_role_policy_document"]["Statement"][1:])
    )


def test_removal_never_deletes_a_foreign_role() -> None:
    (planned,) = plan([workload()], [made([workload()], tags={})], state="absent")
    assert planned["action"] == "none" and "was not made here" in planned["findings"][0]


def test_removal_of_what_is_not_there_does_nothing() -> None:
    (planned,) = plan([workload()], [], state="absent")
    assert planned["action"] == "none" and planned["findings"] == []
    stripped = made([workload()], assume_role_policy_document={"Statement": [{"Sid": "Theirs"}]})
    (planned,) = plan([workload()], [stripped], state="absent")
    assert planned["action"] == "none"


def test_the_filter_refuses_a_wrong_cluster_arn_in_one_sentence() -> None:
    with pytest.raises(AnsibleFilterError, match="no ARN of an EKS cluster"):
        pod_identity_role_plans([workload()], [], "shop")
    with pytest.raises(AnsibleFilterError, match="no ARN of an EKS cluster"):
        pod_identity_trust_policy("shop", "a", "b")
    with pytest.raises(AnsibleFilterError, match="scoped or open"):
        pod_identity_trust_policy(ARN, "a", "b", trust="wide")


def test_the_trust_filter_merges_into_a_given_policy() -> None:
    first = pod_identity_trust_policy(ARN, "default", "a")
    second = pod_identity_trust_policy(ARN, "default", "b", into=first)
    assert second is not None and first is not None
    assert second["Statement"][0] == first["Statement"][0] and len(second["Statement"]) == 2


def test_a_right_declaration_has_no_problems() -> None:
    given = {"namespace": "a", "service_account": "b.c", "role": {"arn": "arn:aws:iam::111122223333:role/p/x"}}
    assert pod_identity_workload_problems([workload(), given], account="111122223333") == []
    assert pod_identity_workload_problems([]) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"namespace": "Default"}, 'the namespace "Default"'),
        ({"namespace": "a" * 64}, "1 to 63"),
        ({"namespace": None}, "the namespace null"),
        ({"service_account": "s3_sa"}, 'the service_account "s3_sa"'),
        ({"service_account": "a" * 254}, "1 to 253"),
        ({"role": None}, "needs a role"),
        ({"role": {"name": "a", "arn": "b"}}, "either role.name"),
        ({"role": {"arn": "EKS-S3-Access-Role"}}, "give an IAM role's ARN in full"),
        ({"role": {"arn": "arn:aws:iam::999999999999:role/x"}}, "the cluster is in 111122223333"),
        ({"role": {"arn": "arn:aws:iam::111122223333:role/x", "boundary": "y"}}, "take boundary out"),
        ({"role": {"name": "with space"}}, 'role.name "with space"'),
        ({"role": {"name": "a", "path": "apps"}}, "begin and end it with a slash"),
        ({"role": {"name": "a", "trust": "wide"}}, "give scoped or open"),
        ({"role": {"name": "a", "managed_policies": "AmazonS3ReadOnlyAccess"}}, "give a list"),
        ({"role": {"name": "a", "managed_policies": ["not a policy"]}}, 'managed policy "not a policy"'),
        ({"role": {"name": "a", "inline_policy": "{}"}}, "as a mapping"),
        ({"role": {"name": "a", "boundary": "edge"}}, "ARN of a managed policy"),
        ({"role": {"name": "a", "max_session_duration": 60}}, "3600 to 43200"),
        ({"role": {"name": "a", "managed_policy": []}}, "did you mean managed_policies?"),
        ({"target_role_arn": "x"}, "target_role_arn"),
        ({"policy": {"Statement": []}}, "disable_session_tags: true"),
        ({"serviceaccount": "x"}, "did you mean service_account?"),
        ({"prove": {"alow": []}}, "the lists allow and deny"),
        ({"prove": {"deny": [{"service": "s3"}]}}, "a service and an operation"),
    ],
)
def test_what_cannot_be_right_is_one_sentence(change: Mapping, sentence: str) -> None:
    problems = pod_identity_workload_problems([workload() | change], account="111122223333")
    assert len(problems) == 1, problems
    assert sentence in problems[0]


def test_a_misspelt_key_is_told_once_and_its_value_is_still_checked() -> None:
    given = workload() | {"role": {"nme": "a"}}
    given["service_acount"] = given.pop("service_account")
    unknown, unknown_of_role = pod_identity_workload_problems([given])
    assert unknown.startswith("Workload default/") and unknown.endswith("did you mean service_account?")
    assert unknown_of_role.endswith('the unknown key "nme": did you mean name?')
    given["service_acount"] = "S3"
    assert len(pod_identity_workload_problems([given])) == 3


def test_all_workloads_are_checked_at_once() -> None:
    wrong = [workload() | {"namespace": "A"}, "x", workload("B"), workload(), workload()]
    problems = pod_identity_workload_problems(wrong)
    assert len(problems) == 4
    assert "is declared 2 times" in problems[3]
    assert "give a list" in pod_identity_workload_problems("x")[0]


def test_workloads_that_share_a_role_must_not_contradict_each_other() -> None:
    contradicting = [workload(description="one"), workload("b", description="two")]
    (problem,) = pod_identity_workload_problems(contradicting)
    assert 'description "one" and with "two"' in problem
