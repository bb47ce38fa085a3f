# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the planner of access entries decides, and what it refuses, without any network."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._eks import access_entry
from ansible_collections.podidentity.eks.plugins.module_utils._eks.access_entry import AccessEntrySpec
from ansible_collections.podidentity.eks.plugins.module_utils._eks.access_entry import AccessPolicy
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSError
from hypothesis import given
from hypothesis import strategies as st

ROLE = "arn:aws:iam::111122223333:role/people"
USER = "arn:aws:iam::111122223333:user/anna"
PREFIX = "arn:aws:eks::aws:cluster-access-policy/"
VIEW = AccessPolicy(arn=f"{PREFIX}AmazonEKSViewPolicy")
EDIT = AccessPolicy(arn=f"{PREFIX}AmazonEKSEditPolicy", namespaces=frozenset({"team-a", "team-b"}))
BEFORE: dict[str, t.Any] = {
    "cluster_name": "example",
    "principal_arn": ROLE,
    "access_entry_arn": "arn:aws:eks:eu-west-1:111122223333:access-entry/example/role/111122223333/people/1",
    "type": "STANDARD",
    "kubernetes_groups": ["viewers"],
    "username": "people:{{SessionName}}",
    "policies": [EDIT.render(), VIEW.render()],
    "tags": {"team": "a"},
}
NODES = {**BEFORE, "type": "EC2_LINUX", "kubernetes_groups": ["system:nodes"], "policies": None}
PARAMS: dict[str, t.Any] = {
    **dict.fromkeys(("type", "kubernetes_groups", "user_name", "policies", "tags", "creation_tags")),
    "cluster_name": "example",
    "principal_arn": ROLE,
    "state": "present",
    "purge_policies": True,
    "purge_tags": True,
}


def spec(**fields: t.Any) -> AccessEntrySpec:
    return AccessEntrySpec(**{"cluster_name": "example", "principal_arn": ROLE, **fields})


def declared(*policies: str, **params: t.Any) -> AccessEntrySpec:
    """The declaration in the module's options, with policies for the whole cluster."""
    given = [{"policy": policy, "namespaces": []} for policy in policies]
    return access_entry.spec_from({**PARAMS, "policies": given, **params})


def operations(before: access_entry.Entry | None, wanted: AccessEntrySpec, **facts: t.Any) -> list[str]:
    return [action.operation for action in access_entry.plan(before, wanted, **facts).actions]


def refusal(before: access_entry.Entry | None, wanted: AccessEntrySpec, **facts: t.Any) -> str:
    with pytest.raises(AnsibleEKSError) as caught:
        access_entry.plan(before, wanted, **facts)
    return str(caught.value)


def test_empty_spec_changes_nothing() -> None:
    for before in (BEFORE, NODES):
        change = access_entry.plan(before, spec())
        assert (change.changed, change.after) == (False, before)


def test_create_sends_only_declared_options() -> None:
    [action] = access_entry.plan(None, spec()).actions
    assert action.parameters == {"clusterName": "example", "principalArn": ROLE}
    wanted = spec(kubernetes_groups=["a", "b", "a"], policies=[EDIT, VIEW], tags={"t": "1"}, creation_tags={"c": "2"})
    create, edit, view = access_entry.plan(None, wanted).actions
    assert create.parameters["kubernetesGroups"] == ["a", "b"]
    assert create.parameters["tags"] == {"t": "1", "c": "2"}
    assert edit.parameters["accessScope"] == {"type": "namespace", "namespaces": ["team-a", "team-b"]}
    assert view.parameters["accessScope"] == {"type": "cluster"}


@pytest.mark.parametrize(
    ("principal", "kind", "name"),
    [
        (ROLE, "STANDARD", "arn:aws:sts::111122223333:assumed-role/people/{{SessionName}}"),
        (
            "arn:aws-cn:iam::111122223333:role/team/people",
            "STANDARD",
            "arn:aws-cn:sts::111122223333:assumed-role/people/{{SessionName}}",
        ),
        (USER, "STANDARD", USER),
        (ROLE, "EC2_LINUX", "system:node:{{EC2PrivateDNSName}}"),
        (ROLE, "HYBRID_LINUX", "system:node:{{SessionName}}"),
    ],
)
def test_new_entry_has_the_user_name_of_eks(principal: str, kind: str, name: str) -> None:
    after = access_entry.plan(None, spec(principal_arn=principal, type=kind)).after
    assert after is not None
    assert after["username"] == name
    assert after["kubernetes_groups"] == ([] if kind == "STANDARD" else ["system:nodes"])


def test_declared_user_name_is_kept() -> None:
    after = access_entry.plan(None, spec(user_name="people")).after
    assert after is not None and after["username"] == "people"


def test_update_sends_groups_and_user_name_together() -> None:
    [action] = access_entry.plan(BEFORE, spec(kubernetes_groups=[])).actions
    both = {"kubernetesGroups": [], "username": "people:{{SessionName}}"}
    assert action.parameters == {"clusterName": "example", "principalArn": ROLE, **both}
    [action] = access_entry.plan(BEFORE, spec(user_name="anna")).actions
    assert (action.parameters["kubernetesGroups"], action.parameters["username"]) == (["viewers"], "anna")


def test_plan_associates_policies_before_disassociating_others() -> None:
    admin = AccessPolicy(arn=f"{PREFIX}AmazonEKSAdminPolicy")
    assert operations(BEFORE, spec(policies=[admin, VIEW])) == [
        "associate_access_policy",
        "disassociate_access_policy",
    ]
    assert operations(BEFORE, spec(policies=[admin, VIEW], purge_policies=False)) == ["associate_access_policy"]


def test_replacement_keeps_undeclared_settings() -> None:
    before = {**BEFORE, "tags": {"team": "a", "aws:owner": "x"}}
    change = access_entry.plan(before, spec(policies=[VIEW]), stale=True)
    delete, create, view = change.actions
    assert (delete.operation, view.operation) == ("delete_access_entry", "associate_access_policy")
    assert create.parameters == {
        "clusterName": "example",
        "principalArn": ROLE,
        "type": "STANDARD",
        "kubernetesGroups": ["viewers"],
        "username": "people:{{SessionName}}",
        "tags": {"team": "a"},
    }
    assert change.before == {**before, "stale": True}
    assert change.after is not None
    assert change.after["policies"] == [VIEW.render()]


def test_replacement_by_node_type_omits_groups_and_user_name() -> None:
    change = access_entry.plan(BEFORE, spec(type="EC2_LINUX"), stale=True)
    assert [action.operation for action in change.actions] == ["delete_access_entry", "create_access_entry"]
    assert not {"kubernetesGroups", "username"} & set(change.actions[1].parameters)
    change = access_entry.plan(NODES, spec(), stale=True)
    assert not {"kubernetesGroups", "username"} & set(change.actions[1].parameters), "EKS gives nodes what they need"


def test_plan_refuses_type_change_and_cross_account_node_type() -> None:
    assert "is EC2_LINUX and cannot become STANDARD" in refusal(NODES, spec(type="STANDARD"))
    assert "its type is EC2_LINUX" in refusal(NODES, spec(kubernetes_groups=["a"]))
    assert "in the cluster's account 444455556666" in refusal(None, spec(type="EC2"), account="444455556666")
    assert operations(None, spec(), account="444455556666") == ["create_access_entry"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"cluster_name": "a b"}, "no name of an EKS cluster"),
        ({"principal_arn": "people"}, "no ARN of an IAM role or user"),
        ({"principal_arn": "arn:aws:iam::111122223333:root"}, "no ARN of an IAM role or user"),
        ({"principal_arn": "arn:aws:iam::111122223333:group/people"}, "no ARN of an IAM role or user"),
        (
            {"principal_arn": "arn:aws-cn:sts::111122223333:assumed-role/people/anna"},
            'the ARN of the role, "arn:aws-cn:iam::111122223333:role/people"',
        ),
        (
            {"principal_arn": "arn:aws:iam::111122223333:role/aws-service-role/eks.amazonaws.com/AWSServiceRole"},
            "is a service-linked role",
        ),
        ({"type": "EC2_LINUX", "kubernetes_groups": ["a"]}, "kubernetes_groups of"),
        ({"type": "EC2", "user_name": "a"}, "user_name of"),
        ({"type": "HYBRID_LINUX", "policies": [VIEW]}, "only STANDARD and EC2 ones have them"),
        ({"type": "EC2_LINUX", "principal_arn": USER}, "a user needs STANDARD"),
        ({"kubernetes_groups": ["system:masters"]}, 'hold "system:masters"'),
        ({"user_name": "iam:anna"}, "does not begin with system:, eks:, aws:, amazon:, iam:"),
        ({"user_name": ""}, "it is not empty"),
        ({"user_name": "anna{{SessionNameRaw}}:"}, "no colon before {{SessionNameRaw}}"),
        ({"policies": [VIEW, VIEW]}, '"AmazonEKSViewPolicy" more than once'),
        ({"policies": [dataclasses.replace(VIEW, namespaces=frozenset({"Team"}))]}, 'the namespace "Team"'),
        ({"policies": [AccessPolicy(arn="arn:aws:iam::aws:policy/ReadOnlyAccess")]}, "no access policy of EKS"),
        ({"policies": [AccessPolicy(arn=VIEW.arn.replace("aws:eks", "aws-cn:eks"))]}, "in the partition aws:"),
        ({"tags": {"aws:a": "1"}}, "reserved by AWS"),
    ],
)
def test_invalid_spec_is_one_problem(fields: dict[str, t.Any], words: str) -> None:
    [problem] = access_entry.problems(spec(**fields))
    assert words in problem


@pytest.mark.parametrize(
    "fields",
    [
        {"principal_arn": "arn:aws-us-gov:iam::111122223333:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_a_1"},
        {"principal_arn": USER, "user_name": "anna", "kubernetes_groups": ["eks-admins"]},
        {"user_name": "team:{{SessionName}}", "policies": [VIEW, EDIT]},
        {"policies": [dataclasses.replace(VIEW, namespaces=frozenset({"dev-*", "*", "a"}))]},
        {"type": "EC2", "policies": [AccessPolicy(arn=f"{PREFIX}AmazonEKSAutoNodePolicy")]},
        {"type": "EC2_LINUX", "policies": [], "kubernetes_groups": []},
    ],
)
def test_valid_spec_has_no_problems(fields: dict[str, t.Any]) -> None:
    assert list(access_entry.problems(spec(**fields))) == []


def test_policy_name_resolves_in_partition_of_principal() -> None:
    china = ROLE.replace("arn:aws:", "arn:aws-cn:")
    arn = "arn:aws-cn:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
    for policy in ("AmazonEKSViewPolicy", arn):
        wanted = declared(policy, principal_arn=china)
        assert wanted.policies == [AccessPolicy(arn=arn)]
        assert list(access_entry.problems(wanted)) == []
    [problem] = access_entry.problems(declared("AmazonEKSViewPolicy", VIEW.arn))
    assert "more than once" in problem, "by name and by ARN it is the same"


policies = st.lists(
    st.builds(
        AccessPolicy,
        arn=st.sampled_from(["A", "B", "C"]).map(lambda name: f"{PREFIX}{name}"),
        namespaces=st.frozensets(st.sampled_from(["x", "y", "z-*"])),
    ),
    unique_by=lambda policy: policy.arn,
)
specs = st.builds(
    spec,
    kubernetes_groups=st.none() | st.lists(st.sampled_from(["a", "b", "c"])),
    user_name=st.none() | st.sampled_from(["anna", "team:{{SessionName}}"]),
    policies=st.none() | policies,
    purge_policies=st.booleans(),
    tags=st.none() | st.dictionaries(st.sampled_from(["t", "u"]), st.sampled_from(["1", "2"])),
    purge_tags=st.booleans(),
)


@given(specs, policies, st.booleans())
def test_second_plan_changes_nothing(wanted: AccessEntrySpec, there: list[AccessPolicy], stale: bool) -> None:
    before = {**BEFORE, "policies": [policy.render() for policy in there]}
    for start in (None, before):
        after = access_entry.plan(start, wanted, stale=stale).after
        assert after is not None
        assert not access_entry.plan({**BEFORE, **after}, wanted).changed


@given(specs, policies)
def test_policy_calls_reach_predicted_policies(wanted: AccessEntrySpec, there: list[AccessPolicy]) -> None:
    """The calls themselves, carried out on a set, lead to what the plan says."""
    change = access_entry.plan({**BEFORE, "policies": [policy.render() for policy in there]}, wanted)
    state = {policy.arn: policy.namespaces for policy in there}
    for action in change.actions:
        if action.operation == "associate_access_policy":
            state[action.parameters["policyArn"]] = frozenset(action.parameters["accessScope"].get("namespaces", ()))
        if action.operation == "disassociate_access_policy":
            del state[action.parameters["policyArn"]]
    assert change.after is not None
    expected = {policy["policy_arn"]: frozenset(policy["namespaces"]) for policy in change.after["policies"]}
    assert state == expected
