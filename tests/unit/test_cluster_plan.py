# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the planner of clusters decides, without any network."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._eks import cluster
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSError
from hypothesis import given
from hypothesis import strategies as st

ROLE = "arn:aws:iam::111122223333:role/eks-cluster"
BEFORE: dict[str, t.Any] = {
    "name": "example",
    "arn": "arn:aws:eks:eu-west-1:111122223333:cluster/example",
    "status": "ACTIVE",
    "version": "1.33",
    "role_arn": ROLE,
    "resources_vpc_config": {
        "subnet_ids": ["subnet-a", "subnet-b"],
        "security_group_ids": ["sg-a"],
        "cluster_security_group_id": "sg-own",
        "vpc_id": "vpc-a",
        "endpoint_public_access": True,
        "endpoint_private_access": False,
        "public_access_cidrs": ["0.0.0.0/0"],
    },
    "access_config": {"authentication_mode": "CONFIG_MAP", "bootstrap_cluster_creator_admin_permissions": True},
    "tags": {"team": "platform"},
}


def spec(**fields: t.Any) -> cluster.ClusterSpec:
    return cluster.ClusterSpec(name="example", **fields)


def operations(before: cluster.Cluster | None, wanted: cluster.ClusterSpec) -> list[str]:
    return [action.operation for action in cluster.plan(before, wanted).actions]


def parameters(wanted: cluster.ClusterSpec) -> list[t.Mapping[str, t.Any]]:
    return [action.parameters for action in cluster.plan(BEFORE, wanted).actions]


def refusal(before: cluster.Cluster | None, wanted: cluster.ClusterSpec) -> str:
    with pytest.raises(AnsibleEKSError) as caught:
        cluster.plan(before, wanted)
    return str(caught.value)


def test_nothing_declared_changes_nothing() -> None:
    change = cluster.plan(BEFORE, spec())
    assert not change.changed
    assert change.after == BEFORE


def test_absent_is_reached_when_there_is_none_or_when_it_is_being_deleted() -> None:
    assert operations(None, spec(present=False)) == []
    assert operations({**BEFORE, "status": "DELETING"}, spec(present=False)) == []
    assert operations(BEFORE, spec(present=False)) == ["delete_cluster"]
    assert operations({**BEFORE, "status": "FAILED"}, spec(present=False)) == ["delete_cluster"]


def test_creation_sends_what_is_declared_and_no_more() -> None:
    change = cluster.plan(None, spec(role_arn=ROLE, subnet_ids=["subnet-a", "subnet-b"], tags={"a": "b"}))
    [action] = change.actions
    assert action.operation == "create_cluster"
    assert action.parameters == {
        "name": "example",
        "roleArn": ROLE,
        "resourcesVpcConfig": {"subnetIds": ["subnet-a", "subnet-b"]},
        "tags": {"a": "b"},
    }
    assert change.before is None
    assert change.after is not None
    assert change.after["resources_vpc_config"] == {"subnet_ids": ["subnet-a", "subnet-b"]}
    assert change.after["tags"] == {"a": "b"}


def test_creation_without_role_or_subnets_names_them() -> None:
    message = refusal(None, spec())
    assert "role_arn is missing" in message
    assert "subnet_ids is missing" in message


@pytest.mark.parametrize(("version", "sentence"), [("1.32", "never goes backwards"), ("1.35", "1.34 is next")])
def test_version_goes_one_minor_step_forward(version: str, sentence: str) -> None:
    message = refusal(BEFORE, spec(version=version))
    assert sentence in message
    assert "1.33" in message
    assert version in message
    assert operations(BEFORE, spec(version="1.34")) == ["update_cluster_version"]


def test_version_compares_as_a_number() -> None:
    assert "never goes backwards" in refusal({**BEFORE, "version": "1.100"}, spec(version="1.99"))


def test_authentication_mode_goes_step_by_step_and_never_back() -> None:
    modes = [call["accessConfig"]["authenticationMode"] for call in parameters(spec(authentication_mode="API"))]
    assert modes == ["API_AND_CONFIG_MAP", "API"]
    api = {**BEFORE, "access_config": {"authentication_mode": "API"}}
    assert "is API and cannot become CONFIG_MAP" in refusal(api, spec(authentication_mode="CONFIG_MAP"))


def test_a_cluster_older_than_access_entries_counts_as_config_map() -> None:
    old = {key: value for key, value in BEFORE.items() if key != "access_config"}
    assert operations(old, spec(authentication_mode="CONFIG_MAP")) == []
    assert operations(old, spec(authentication_mode="API_AND_CONFIG_MAP")) == ["update_cluster_config"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("role_arn", "arn:aws:iam::111122223333:role/other"),
        ("bootstrap_cluster_creator_admin_permissions", False),
    ],
)
def test_what_is_set_at_creation_only_is_refused_with_old_and_new_value(option: str, value: t.Any) -> None:
    message = refusal(BEFORE, spec(**{option: value}))
    assert message.startswith(option)
    assert str(value) in message
    assert "at creation only" in message


def test_creator_permissions_are_not_compared_when_eks_does_not_tell_them() -> None:
    silent = {**BEFORE, "access_config": {"authentication_mode": "CONFIG_MAP"}}
    assert operations(silent, spec(bootstrap_cluster_creator_admin_permissions=False)) == []


def test_endpoints_and_subnets_go_in_calls_of_their_own() -> None:
    calls = parameters(spec(endpoint_private_access=True, subnet_ids=["subnet-a", "subnet-c"]))
    assert [call["resourcesVpcConfig"] for call in calls] == [
        {"endpointPublicAccess": True, "endpointPrivateAccess": True, "publicAccessCidrs": ["0.0.0.0/0"]},
        {"subnetIds": ["subnet-a", "subnet-c"], "securityGroupIds": ["sg-a"]},
    ]


def test_a_closed_public_endpoint_is_sent_without_cidrs() -> None:
    [call] = parameters(spec(endpoint_public_access=False, endpoint_private_access=True))
    assert call["resourcesVpcConfig"] == {"endpointPublicAccess": False, "endpointPrivateAccess": True}


def test_order_of_subnets_groups_and_cidrs_is_no_difference() -> None:
    assert operations(BEFORE, spec(subnet_ids=["subnet-b", "subnet-a"])) == []


@pytest.mark.parametrize("status", ["DELETING", "FAILED"])
def test_a_cluster_beyond_change_is_refused_with_the_way_out(status: str) -> None:
    message = refusal({**BEFORE, "status": status}, spec(tags={}))
    assert f"is {status}" in message
    assert "state=absent" in message


def test_long_update_comes_last() -> None:
    wanted = spec(version="1.34", tags={"new": "tag"}, endpoint_private_access=True)
    assert operations(BEFORE, wanted) == [
        "update_cluster_config",
        "untag_resource",
        "tag_resource",
        "update_cluster_version",
    ]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "no spaces"}, ["name", '"no spaces"', "letters"]),
        ({"role_arn": "eks-cluster"}, ["role_arn", '"eks-cluster"', "arn:aws:iam::"]),
        ({"version": "1.3"}, ["version", '"1.3"', '"1.34"']),
        ({"version": "latest"}, ["version", '"latest"', '"1.34"']),
        ({"subnet_ids": ["subnet-a", "subnet-a"]}, ["subnet_ids", "1", "2"]),
        (
            {"endpoint_public_access": False, "endpoint_private_access": False},
            ["endpoint_public_access", "endpoint_private_access", "both false"],
        ),
        (
            {"endpoint_public_access": False, "public_access_cidrs": ["10.0.0.0/8"]},
            ["public_access_cidrs", "endpoint_public_access is false"],
        ),
        ({"public_access_cidrs": ["10.0.0.1/8"]}, ["public_access_cidrs", "10.0.0.1/8"]),
        ({"tags": {"aws:mine": "x"}}, ["tags", "aws:mine"]),
    ],
)
def test_a_problem_is_one_sentence_with_option_and_value(fields: dict[str, t.Any], words: list[str]) -> None:
    [sentence] = cluster.problems(dataclasses.replace(spec(), **fields))
    assert all(word in sentence for word in words), sentence


SUBNETS = st.lists(st.sampled_from([f"subnet-{letter}" for letter in "abcd"]), min_size=2, max_size=4, unique=True)
GROUPS = st.lists(st.sampled_from(["sg-a", "sg-b", "sg-c"]), max_size=3, unique=True)
CIDRS = st.lists(st.sampled_from(["0.0.0.0/0", "10.0.0.0/8", "203.0.113.0/24"]), min_size=1, max_size=3, unique=True)
TAGS = st.dictionaries(st.sampled_from(["team", "stage", "Mixed-Case", "aws:owned"]), st.text(max_size=5), max_size=4)


def unset_or(values: st.SearchStrategy[t.Any]) -> st.SearchStrategy[t.Any]:
    return st.none() | values


SPECS = st.builds(
    cluster.ClusterSpec,
    name=st.just("example"),
    version=unset_or(st.sampled_from(["1.33", "1.34"])),
    subnet_ids=unset_or(SUBNETS),
    security_group_ids=unset_or(GROUPS),
    endpoint_public_access=unset_or(st.booleans()),
    endpoint_private_access=unset_or(st.booleans()),
    public_access_cidrs=unset_or(CIDRS),
    authentication_mode=unset_or(st.sampled_from(cluster.AUTHENTICATION_MODES)),
    tags=unset_or(TAGS),
    purge_tags=st.booleans(),
)


@given(SPECS)
def test_after_a_plan_there_is_nothing_left_to_do(wanted: cluster.ClusterSpec) -> None:
    change = cluster.plan(BEFORE, wanted)
    assert cluster.plan(change.after, wanted).actions == ()
    assert change.changed == (change.after != BEFORE)


OPTIONS = (
    "version",
    "authentication_mode",
    "tags",
    "subnet_ids",
    "security_group_ids",
    "endpoint_public_access",
    "endpoint_private_access",
    "public_access_cidrs",
)


def flat(found: cluster.Cluster) -> dict[str, t.Any]:
    return {**found, **found["resources_vpc_config"], **found["access_config"]}


@given(SPECS)
def test_what_is_not_declared_stays(wanted: cluster.ClusterSpec) -> None:
    after = cluster.plan(BEFORE, wanted).after
    assert after is not None
    for option in OPTIONS:
        if getattr(wanted, option) is None:
            assert flat(after)[option] == flat(BEFORE)[option]
    assert after["resources_vpc_config"]["cluster_security_group_id"] == "sg-own"
    assert after["role_arn"] == ROLE


def test_normalized_cluster_keeps_tag_keys_and_decodes_the_authority() -> None:
    found = cluster.normalized(
        {
            "name": "example",
            "certificateAuthority": {"data": "LS0tLS1CRUdJTg=="},
            "tags": {"CamelCase": "Value", "podidentity.eks/cluster": "example"},
            "resourcesVpcConfig": {"subnetIds": ["subnet-a"]},
            "clientRequestToken": "token",
        }
    )
    assert found == {
        "name": "example",
        "certificate_authority": "-----BEGIN",
        "tags": {"CamelCase": "Value", "podidentity.eks/cluster": "example"},
        "resources_vpc_config": {"subnet_ids": ["subnet-a"]},
    }
    assert cluster.normalized({"name": "new", "certificateAuthority": {}})["certificate_authority"] is None
