# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The modules eks_cluster and eks_cluster_info: results, calls, and what they leave alone."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import COLLECTION_VERSION
from modules.conftest import CLUSTER_ROLE
from modules.conftest import NODE_ROLE
from modules.conftest import Account
from modules.conftest import Result
from modules.conftest import RunModule
from modules.conftest import use_environment
from modules.scripted_eks import scripted_eks
from sandbox_process import SandboxProcess


@pytest.fixture
def cluster(run_module: RunModule) -> t.Callable[..., Result]:
    """The module eks_cluster for the cluster ``example``."""

    def run(**params: t.Any) -> Result:
        return run_module("eks_cluster", **{"name": "example", **params})

    return run


def test_name_is_required(run_module: RunModule, account: Account) -> None:
    result = run_module("eks_cluster")
    assert result["failed"]
    assert "name" in result["msg"]
    assert account.sandbox.calls() == {}


def test_a_new_cluster_needs_role_and_subnets(cluster: t.Callable[..., Result], account: Account) -> None:
    result = cluster()
    assert result["failed"]
    assert "role_arn is missing" in result["msg"]
    assert "subnet_ids is missing" in result["msg"]
    assert account.writes() == []


def test_check_mode_predicts_a_new_cluster_and_makes_none(cluster: t.Callable[..., Result], account: Account) -> None:
    wanted = {"role_arn": CLUSTER_ROLE, "subnet_ids": account.subnet_ids, "version": "1.33", "tags": {"Team": "A"}}
    result = cluster(**wanted, check_mode=True, diff=True)
    assert result["changed"]
    assert result["actions"] == ["create_cluster"]
    assert result["cluster"]["resources_vpc_config"]["subnet_ids"] == account.subnet_ids
    assert result["cluster"]["tags"] == {"Team": "A"}
    assert result["diff"] == {"before": {}, "after": result["cluster"]}
    assert account.writes() == []
    assert account.eks.list_clusters()["clusters"] == []


def test_create_waits_and_returns_the_cluster(cluster: t.Callable[..., Result], account: Account) -> None:
    result = cluster(
        role_arn=CLUSTER_ROLE,
        version="1.33",
        subnet_ids=account.subnet_ids[:2],
        security_group_ids=account.security_group_ids[:1],
        endpoint_private_access=True,
        public_access_cidrs=["203.0.113.0/24"],
        authentication_mode="API_AND_CONFIG_MAP",
        bootstrap_cluster_creator_admin_permissions=False,
        tags={"podidentity.eks/cluster": "example", "CamelCase": "kept"},
    )
    assert result["changed"]
    found = result["cluster"]
    assert found["status"] == "ACTIVE"
    assert found["arn"] == "arn:aws:eks:eu-west-1:111122223333:cluster/example"
    assert found["version"] == "1.33"
    assert found["certificate_authority"].startswith("-----BEGIN CERTIFICATE-----")
    assert found["endpoint"].startswith("https://")
    assert found["resources_vpc_config"]["vpc_id"] == account.vpc_id
    assert found["resources_vpc_config"]["security_group_ids"] == account.security_group_ids[:1]
    assert found["resources_vpc_config"]["public_access_cidrs"] == ["203.0.113.0/24"]
    assert found["access_config"]["authentication_mode"] == "API_AND_CONFIG_MAP"
    assert found["identity"]["oidc"]["issuer"].startswith("https://oidc.eks.eu-west-1")
    assert found["tags"] == {"podidentity.eks/cluster": "example", "CamelCase": "kept"}
    assert account.writes() == ["CreateCluster"]
    assert account.eks.list_access_entries(clusterName="example")["accessEntries"] == []


def test_a_second_run_changes_nothing_with_one_call(cluster: t.Callable[..., Result], account: Account) -> None:
    wanted = {"role_arn": CLUSTER_ROLE, "subnet_ids": account.subnet_ids, "version": "1.33", "tags": {"a": "b"}}
    first = cluster(**wanted)
    account.sandbox.clear_calls()
    second = cluster(**wanted, diff=True)
    assert not second["changed"]
    assert second["cluster"] == first["cluster"]
    assert second["diff"]["before"] == second["diff"]["after"]
    assert account.sandbox.calls() == {"eks:DescribeCluster": 1}


def test_update_goes_one_by_one_and_leaves_the_rest(cluster: t.Callable[..., Result], account: Account) -> None:
    before = account.create_cluster(tags={"team": "a", "stage": "test"})
    account.sandbox.clear_calls()
    wanted = {
        "version": "1.34",
        "authentication_mode": "API",
        "endpoint_private_access": True,
        "subnet_ids": account.subnet_ids,
        "tags": {"team": "b"},
    }
    predicted = cluster(**wanted, check_mode=True, diff=True)
    assert predicted["changed"]
    assert account.writes() == []
    result = cluster(**wanted)
    assert result["changed"]
    assert result["actions"] == predicted["actions"]
    assert account.writes() == [
        "UpdateClusterConfig",
        "UpdateClusterConfig",
        "UpdateClusterConfig",
        "UpdateClusterConfig",
        "UntagResource",
        "TagResource",
        "UpdateClusterVersion",
    ]
    assert result["cluster"] == predicted["cluster"]
    after = account.eks.describe_cluster(name="example")["cluster"]
    assert after["version"] == "1.34"
    assert after["accessConfig"]["authenticationMode"] == "API"
    assert after["tags"] == {"team": "b"}
    changed = {"version", "accessConfig", "resourcesVpcConfig", "tags"}
    assert {key: value for key, value in after.items() if key not in changed} == {
        key: value for key, value in before.items() if key not in changed
    }
    assert not cluster(**wanted)["changed"]


def test_tags_without_purge_leave_the_others(cluster: t.Callable[..., Result], account: Account) -> None:
    account.create_cluster(tags={"team": "a"})
    assert cluster(tags={"stage": "test"}, purge_tags=False)["cluster"]["tags"] == {"team": "a", "stage": "test"}
    assert not cluster()["changed"]
    assert cluster(tags={})["cluster"]["tags"] == {}


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("version", "1.32", ["1.33", "1.32", "never goes backwards"]),
        ("version", "1.35", ["1.33", "1.35", "1.34 is next"]),
        ("role_arn", NODE_ROLE, ["role_arn", CLUSTER_ROLE, NODE_ROLE, "at creation only"]),
        ("authentication_mode", "CONFIG_MAP", ["authentication_mode", "API", "CONFIG_MAP"]),
    ],
)
def test_what_cannot_change_in_place_is_refused_before_any_write(
    cluster: t.Callable[..., Result], account: Account, option: str, value: str, words: list[str]
) -> None:
    account.create_cluster(accessConfig={"authenticationMode": "API"})
    account.sandbox.clear_calls()
    for check_mode in (True, False):
        result = cluster(**{option: value}, tags={"never": "set"}, check_mode=check_mode)
        assert result["failed"]
        assert all(word in result["msg"] for word in words), result["msg"]
    assert account.writes() == []


def test_delete_waits_until_it_is_gone_and_again_is_no_change(
    cluster: t.Callable[..., Result], account: Account
) -> None:
    account.create_cluster()
    account.create_cluster("foreign")
    account.sandbox.clear_calls()
    predicted = cluster(state="absent", check_mode=True)
    assert predicted["changed"]
    assert predicted["cluster"] is None
    assert account.writes() == []
    result = cluster(state="absent", diff=True)
    assert result["changed"]
    assert result["cluster"] is None
    assert result["diff"]["after"] == {}
    assert account.eks.list_clusters()["clusters"] == ["foreign"]
    account.sandbox.clear_calls()
    assert not cluster(state="absent")["changed"]
    assert account.sandbox.calls() == {"eks:DescribeCluster": 1}


def test_delete_of_a_cluster_with_node_groups_says_so_at_once(
    cluster: t.Callable[..., Result], account: Account
) -> None:
    account.create_cluster()
    account.create_nodegroup()
    result = cluster(state="absent")
    assert result["failed"]
    assert "nodegroups attached" in result["msg"]
    assert account.eks.describe_cluster(name="example")["cluster"]["status"] == "ACTIVE"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"name": "no spaces"}, ["name", '"no spaces"', "letters, digits"]),
        ({"role_arn": "eks-cluster"}, ["role_arn", '"eks-cluster"', "arn:aws:iam::"]),
        ({"version": 1.3}, ["version", '"1.3"', "in quotes"]),
        ({"subnet_ids": ["subnet-1"]}, ["subnet_ids", "at least 2"]),
        ({"tags": {"aws:mine": "x"}}, ["tags", "aws:mine"]),
        ({"wait_timeout": 0}, ["wait_timeout", "0"]),
        ({"state": "absent", "name": ""}, ["name", '""']),
    ],
)
def test_bad_input_is_named_and_no_call_is_made(
    cluster: t.Callable[..., Result], account: Account, params: dict[str, t.Any], words: list[str]
) -> None:
    result = cluster(**params)
    assert result["failed"]
    assert all(word in result["msg"] for word in words), result["msg"]
    assert "\n" not in result["msg"]
    assert account.sandbox.calls() == {}


def test_no_credentials_is_one_sentence(
    cluster: t.Callable[..., Result], account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_environment(monkeypatch, {"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": account.sandbox.endpoint})
    result = cluster()
    assert result["failed"]
    assert result["msg"].startswith("No AWS credentials were found; set access_key")
    assert "exception" not in result
    assert account.sandbox.calls() == {}


def test_no_region_is_one_sentence(cluster: t.Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    use_environment(monkeypatch, {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"})
    result = cluster()
    assert result["failed"]
    assert result["msg"].startswith("No AWS region is known; set the option region")


def test_a_role_that_eks_cannot_assume_is_told_in_eks_words(cluster: t.Callable[..., Result], account: Account) -> None:
    result = cluster(role_arn=NODE_ROLE, subnet_ids=account.subnet_ids)
    assert result["failed"]
    assert result["msg"].startswith("Failed to create cluster: ")
    assert "trusted entity" in result["msg"]
    assert result["error"]["code"] == "InvalidParameterException"
    assert account.eks.list_clusters()["clusters"] == []


def test_a_cluster_that_fails_is_told_with_its_health_and_the_way_out(
    cluster: t.Callable[..., Result], account: Account
) -> None:
    wanted = {"name": "broken", "role_arn": CLUSTER_ROLE, "subnet_ids": account.subnet_ids}
    first = cluster(**wanted)
    assert first["failed"]
    assert "but it is FAILED (InternalFailure:" in first["msg"]
    again = cluster(**wanted)
    assert again["failed"]
    assert "broken is FAILED" in again["msg"]
    assert "state=absent" in again["msg"]
    assert cluster(name="broken", state="absent")["changed"]


def test_throttling_and_server_errors_are_retried(cluster: t.Callable[..., Result], account: Account) -> None:
    account.sandbox.knobs(
        faults=[
            {"operation": "DescribeCluster", "code": "ThrottlingException", "calls": [1], "status": 429},
            {"operation": "CreateCluster", "code": "ServerException", "calls": [1], "status": 500},
        ]
    )
    # botocore's own retries are off, to see that ours do it.
    once = {"retries": {"total_max_attempts": 1}}
    result = cluster(role_arn=CLUSTER_ROLE, subnet_ids=account.subnet_ids, aws_config=once)
    assert not result["failed"]
    assert result["cluster"]["status"] == "ACTIVE"


def test_an_update_in_progress_is_waited_for(cluster: t.Callable[..., Result], account: Account) -> None:
    account.create_cluster()
    account.sandbox.knobs(cluster_seconds=0.3)
    account.eks.update_cluster_version(name="example", version="1.34")
    result = cluster(version="1.34", endpoint_private_access=True)
    assert not result["failed"]
    assert result["actions"] == ["update_cluster_config"]
    assert result["cluster"]["version"] == "1.34"


def test_an_update_that_begins_meanwhile_is_waited_for(cluster: t.Callable[..., Result], account: Account) -> None:
    account.create_cluster()
    in_use = {"operation": "UpdateClusterConfig", "code": "ResourceInUseException", "calls": [1], "status": 409}
    account.sandbox.knobs(faults=[in_use])
    result = cluster(endpoint_private_access=True)
    assert not result["failed"]
    assert result["cluster"]["resources_vpc_config"]["endpoint_private_access"] is True


def test_a_time_out_says_what_was_reached_and_the_next_run_goes_on(
    cluster: t.Callable[..., Result], account: Account
) -> None:
    account.sandbox.knobs(cluster_seconds=1.5)
    wanted = {"role_arn": CLUSTER_ROLE, "subnet_ids": account.subnet_ids}
    late = cluster(**wanted, wait_timeout=1)
    assert late["failed"]
    assert "Waited 1 seconds for the cluster example to become ACTIVE, but it is still CREATING" in late["msg"]
    result = cluster(**wanted)
    assert not result["changed"]
    assert result["cluster"]["status"] == "ACTIVE"
    assert account.writes() == ["CreateCluster"]


def test_without_wait_the_state_is_told_as_it_is(cluster: t.Callable[..., Result], account: Account) -> None:
    account.sandbox.knobs(cluster_seconds=0.5)
    result = cluster(role_arn=CLUSTER_ROLE, subnet_ids=account.subnet_ids, wait=False)
    assert result["changed"]
    assert result["cluster"]["status"] == "CREATING"
    assert result["cluster"]["certificate_authority"] is None


def test_without_wait_only_the_last_update_is_left_to_itself(
    cluster: t.Callable[..., Result], account: Account
) -> None:
    account.create_cluster()
    account.sandbox.knobs(cluster_seconds=0.3)
    result = cluster(endpoint_private_access=True, version="1.34", wait=False)
    assert result["cluster"]["status"] == "UPDATING"
    assert result["cluster"]["resources_vpc_config"]["endpoint_private_access"] is True
    assert result["cluster"]["version"] == "1.33"


def test_a_deletion_by_others_is_waited_for_but_is_not_our_change(
    cluster: t.Callable[..., Result], account: Account
) -> None:
    account.create_cluster()
    account.sandbox.knobs(cluster_seconds=0.3)
    account.eks.delete_cluster(name="example")
    result = cluster(state="absent")
    assert not result["changed"]
    assert result["cluster"] is None
    assert account.eks.list_clusters()["clusters"] == []


def test_an_update_that_eks_gives_up_is_told_with_its_errors(
    cluster: t.Callable[..., Result], sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"name": "example", "arn": "arn", "status": "ACTIVE", "version": "1.33"}
    error = {"errorCode": "InsufficientFreeAddresses", "errorMessage": "No room", "resourceIds": ["subnet-a"]}
    update = {"id": "update-1", "type": "VersionUpdate", "status": "InProgress"}
    script = {
        "GET /clusters/example": {"cluster": found},
        "POST /clusters/example/updates": {"update": update},
        "GET /clusters/example/updates/update-1": {"update": {**update, "status": "Failed", "errors": [error]}},
    }
    with scripted_eks(script) as (endpoint, _handler):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        result = cluster(version="1.34")
    assert result["failed"]
    assert "VersionUpdate of example" in result["msg"]
    assert "but it is Failed (InsufficientFreeAddresses: No room [subnet-a])" in result["msg"]


def test_the_user_agent_names_the_collection(
    cluster: t.Callable[..., Result], sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted_eks({}) as (endpoint, handler):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        result = cluster(state="absent")
    assert not result["failed"]
    assert not result["changed"]
    assert [f"podidentity.eks/{COLLECTION_VERSION}" in agent for agent in handler.agents] == [True]


def test_info_returns_a_list_always(run_module: RunModule, account: Account) -> None:
    assert run_module("eks_cluster_info")["clusters"] == []
    account.create_cluster("one", tags={"CamelCase": "kept"})
    account.create_cluster("two")
    account.sandbox.clear_calls()
    assert run_module("eks_cluster_info", name="none")["clusters"] == []
    [one] = run_module("eks_cluster_info", name="one", check_mode=True)["clusters"]
    assert one["tags"] == {"CamelCase": "kept"}
    assert one["certificate_authority"].startswith("-----BEGIN CERTIFICATE-----")
    assert account.sandbox.calls() == {"eks:DescribeCluster": 2}
    assert [found["name"] for found in run_module("eks_cluster_info")["clusters"]] == ["one", "two"]


def test_info_and_module_return_the_same_object(run_module: RunModule, account: Account) -> None:
    account.create_cluster()
    [found] = run_module("eks_cluster_info", name="example")["clusters"]
    assert run_module("eks_cluster", name="example")["cluster"] == found


def test_info_refuses_a_name_that_cannot_be(run_module: RunModule, account: Account) -> None:
    result = run_module("eks_cluster_info", name="a/b")
    assert result["failed"]
    assert '"a/b"' in result["msg"]
    assert account.sandbox.calls() == {}
