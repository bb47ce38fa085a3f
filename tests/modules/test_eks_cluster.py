# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The modules eks_cluster and eks_cluster_info: results, calls, and what they leave alone."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._eks import traffic
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import COLLECTION_VERSION
from support.aws_proxy import AwsProxy
from support.module_runs import CLUSTER_ROLE
from support.module_runs import NODE_ROLE
from support.module_runs import Account
from support.module_runs import Result
from support.module_runs import RunModule
from support.module_runs import use_environment
from support.module_runs import write_old_eks_model
from support.sandbox_process import SandboxProcess
from support.scripted_eks import scripted_eks

KEY = "arn:aws:kms:eu-west-1:111122223333:key/01234567-89ab-cdef-0123-456789abcdef"
AUTO_MODE: dict[str, t.Any] = {"enabled": True, "node_pools": ["general-purpose", "system"], "node_role_arn": NODE_ROLE}


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


def test_new_cluster_needs_role_and_subnets(cluster: t.Callable[..., Result], account: Account) -> None:
    result = cluster()
    assert result["failed"]
    assert "role_arn is missing" in result["msg"]
    assert "subnet_ids is missing" in result["msg"]
    assert account.writes() == []


def test_check_mode_predicts_create_and_writes_nothing(cluster: t.Callable[..., Result], account: Account) -> None:
    wanted = {"role_arn": CLUSTER_ROLE, "subnet_ids": account.subnet_ids, "version": "1.33", "tags": {"Team": "A"}}
    result = cluster(**wanted, check_mode=True, diff=True)
    assert result["changed"]
    assert result["actions"] == ["create_cluster"]
    assert result["cluster"]["resources_vpc_config"]["subnet_ids"] == account.subnet_ids
    assert result["cluster"]["tags"] == {"Team": "A"}
    assert result["cluster"]["auto_mode"] is False
    assert result["cluster"]["oidc_issuer"] is None
    assert result["cluster"]["pod_identity"]["supported"] is True
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
    assert found["oidc_issuer"].startswith("https://oidc.eks.eu-west-1")
    assert found["auto_mode"] is False
    reason = "This Kubernetes version has EKS Pod Identity; nodes need the add-on eks-pod-identity-agent."
    assert found["pod_identity"] == {"supported": True, "reason": reason, "agent": "add-on"}
    assert found["tags"] == {"podidentity.eks/cluster": "example", "CamelCase": "kept"}
    assert account.writes() == ["CreateCluster"]
    assert account.eks.list_access_entries(clusterName="example")["accessEntries"] == []


def test_create_sends_every_setting_in_one_call(cluster: t.Callable[..., Result], account: Account) -> None:
    wanted = {
        "role_arn": CLUSTER_ROLE,
        "subnet_ids": account.subnet_ids,
        "bootstrap_self_managed_addons": False,
        "service_ipv4_cidr": "172.30.0.0/16",
        "ip_family": "ipv4",
        "logging": ["audit", "api"],
        "encryption_key_arn": KEY,
        "support_type": "STANDARD",
        "zonal_shift": True,
        "deletion_protection": True,
        "tags": {"team": "a"},
        "creation_tags": {"made": "here"},
    }
    predicted = cluster(**wanted, check_mode=True)["cluster"]
    found = cluster(**wanted)["cluster"]
    assert account.writes() == ["CreateCluster"]
    assert found["kubernetes_network_config"]["service_ipv4_cidr"] == "172.30.0.0/16"
    assert found["logging"]["cluster_logging"][0] == {"types": ["api", "audit"], "enabled": True}
    assert found["encryption_config"] == [{"resources": ["secrets"], "provider": {"key_arn": KEY}}]
    assert found["upgrade_policy"] == {"support_type": "STANDARD"}
    assert found["zonal_shift_config"] == {"enabled": True}
    assert found["deletion_protection"] is True
    assert found["tags"] == {"team": "a", "made": "here"}
    known = {key for key, value in predicted.items() if isinstance(value, (str, list, bool)) or key == "logging"}
    assert {key: predicted[key] for key in known} == {key: found[key] for key in known}


def test_second_run_changes_nothing_in_one_call(cluster: t.Callable[..., Result], account: Account) -> None:
    wanted = {
        "role_arn": CLUSTER_ROLE,
        "subnet_ids": account.subnet_ids,
        "version": "1.33",
        "authentication_mode": "API",
        "bootstrap_self_managed_addons": False,
        "service_ipv4_cidr": "172.30.0.0/16",
        "ip_family": "ipv4",
        "auto_mode": {**AUTO_MODE, "node_pools": AUTO_MODE["node_pools"][::-1]},
        "logging": ["scheduler", "audit"],
        "encryption_key_arn": KEY,
        "support_type": "EXTENDED",
        "zonal_shift": False,
        "deletion_protection": False,
        "tags": {"a": "b"},
        "creation_tags": {"made": "here"},
    }
    first = cluster(**wanted)
    assert first["cluster"]["pod_identity"]["agent"] == "built-in"
    wanted["auto_mode"] = AUTO_MODE
    account.sandbox.clear_calls()
    second = cluster(**wanted, diff=True)
    assert not second["changed"]
    assert second["cluster"] == first["cluster"]
    assert second["diff"]["before"] == second["diff"]["after"]
    assert account.sandbox.calls() == {"eks:DescribeCluster": 1}


def test_update_runs_in_order_and_keeps_other_settings(cluster: t.Callable[..., Result], account: Account) -> None:
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
        "UntagResource",
        "TagResource",
        "UpdateClusterConfig",
        "UpdateClusterConfig",
        "UpdateClusterConfig",
        "UpdateClusterConfig",
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


@pytest.mark.parametrize(
    ("wanted", "writes", "changed"),
    [
        ({"deletion_protection": True}, ["UpdateClusterConfig"], ["deletionProtection"]),
        ({"support_type": "STANDARD"}, ["UpdateClusterConfig"], ["upgradePolicy"]),
        ({"zonal_shift": True}, ["UpdateClusterConfig"], ["zonalShiftConfig"]),
        ({"logging": ["audit"]}, ["UpdateClusterConfig"], ["logging"]),
        ({"encryption_key_arn": KEY}, ["AssociateEncryptionConfig"], ["encryptionConfig"]),
        (
            {"auto_mode": AUTO_MODE, "authentication_mode": "API_AND_CONFIG_MAP"},
            ["UpdateClusterConfig", "UpdateClusterConfig"],
            ["accessConfig", "computeConfig", "kubernetesNetworkConfig", "storageConfig"],
        ),
        ({"creation_tags": {"made": "here"}}, [], []),
        ({"bootstrap_self_managed_addons": False}, [], []),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_each_setting_changes_alone_and_only_once(
    cluster: t.Callable[..., Result],
    account: Account,
    wanted: dict[str, t.Any],
    writes: list[str],
    changed: list[str],
) -> None:
    before = account.create_cluster()
    account.sandbox.clear_calls()
    predicted = cluster(**wanted, check_mode=True)
    assert account.writes() == []
    result = cluster(**wanted)
    assert account.writes() == writes
    assert predicted["changed"] == result["changed"] == bool(writes)
    assert predicted["cluster"] == result["cluster"]
    after = account.eks.describe_cluster(name="example")["cluster"]
    assert sorted(key for key in {*before, *after} if before.get(key) != after.get(key)) == sorted(changed)
    account.sandbox.clear_calls()
    assert not cluster(**wanted)["changed"]
    assert account.sandbox.calls() == {"eks:DescribeCluster": 1}


def test_all_settings_are_updated_one_after_another(cluster: t.Callable[..., Result], account: Account) -> None:
    account.create_cluster()
    account.sandbox.clear_calls()
    wanted = {
        "version": "1.34",
        "encryption_key_arn": KEY,
        "auto_mode": AUTO_MODE,
        "authentication_mode": "API",
        "endpoint_private_access": True,
        "subnet_ids": account.subnet_ids,
        "logging": ["api", "scheduler"],
        "zonal_shift": True,
        "support_type": "STANDARD",
        "deletion_protection": True,
    }
    predicted = cluster(**wanted, check_mode=True)
    result = cluster(**wanted)
    assert result["actions"] == predicted["actions"]
    assert result["cluster"] == predicted["cluster"]
    assert account.writes() == ["UpdateClusterConfig"] * 9 + ["AssociateEncryptionConfig", "UpdateClusterVersion"]
    assert [(update["type"], update["status"]) for update in updates(account)] == [
        ("DeletionProtectionUpdate", "Successful"),
        ("UpgradePolicyUpdate", "Successful"),
        ("ZonalShiftConfigUpdate", "Successful"),
        ("LoggingUpdate", "Successful"),
        ("EndpointAccessUpdate", "Successful"),
        ("VpcConfigUpdate", "Successful"),
        ("AccessConfigUpdate", "Successful"),
        ("AccessConfigUpdate", "Successful"),
        ("AutoModeUpdate", "Successful"),
        ("AssociateEncryptionConfig", "Successful"),
        ("VersionUpdate", "Successful"),
    ]


def updates(account: Account) -> list[dict[str, t.Any]]:
    """The updates that the cluster has seen, in order."""
    ids = account.eks.list_updates(name="example")["updateIds"]
    return [account.eks.describe_update(name="example", updateId=each)["update"] for each in ids]


def test_undeclared_log_types_are_turned_off(cluster: t.Callable[..., Result], account: Account) -> None:
    account.create_cluster(logging={"clusterLogging": [{"types": ["api", "audit"], "enabled": True}]})
    assert not cluster(logging=["audit", "api"])["changed"]
    found = cluster(logging=["audit"])["cluster"]["logging"]["cluster_logging"]
    assert [setup["types"] for setup in found if setup["enabled"]] == [["audit"]]
    found = cluster(logging=[])["cluster"]["logging"]["cluster_logging"]
    assert [setup["enabled"] for setup in found] == [False]


def test_auto_mode_turns_on_changes_pools_and_turns_off(cluster: t.Callable[..., Result], account: Account) -> None:
    account.create_cluster(accessConfig={"authenticationMode": "API"})
    account.sandbox.clear_calls()
    for mode, agent in (
        (AUTO_MODE, "built-in"),
        ({**AUTO_MODE, "node_pools": ["system"]}, "built-in"),
        ({"enabled": True, "node_pools": []}, "built-in"),
        ({"enabled": False}, "add-on"),
    ):
        predicted = cluster(auto_mode=mode, check_mode=True)
        result = cluster(auto_mode=mode)
        assert result["changed"]
        assert result["cluster"] == predicted["cluster"]
        assert result["cluster"]["auto_mode"] is mode["enabled"]
        assert result["cluster"]["pod_identity"]["agent"] == agent
        assert not cluster(auto_mode=mode)["changed"]
    assert account.writes() == ["UpdateClusterConfig"] * 4


def test_new_auto_mode_cluster_has_no_self_managed_addons(cluster: t.Callable[..., Result], account: Account) -> None:
    wanted = {"role_arn": CLUSTER_ROLE, "subnet_ids": account.subnet_ids, "auto_mode": AUTO_MODE}
    refused = cluster(**wanted)
    assert refused["failed"]
    assert "authentication_mode API_AND_CONFIG_MAP or API" in refused["msg"]
    assert account.writes() == []
    # EKS refuses Auto Mode together with these add-ons, so that it worked says that they were left out.
    result = cluster(**wanted, authentication_mode="API")
    assert result["cluster"]["auto_mode"] is True
    assert result["cluster"]["compute_config"]["node_role_arn"] == NODE_ROLE
    assert account.writes() == ["CreateCluster"]


def test_check_mode_diff_of_upgrade_shows_version_only(cluster: t.Callable[..., Result], account: Account) -> None:
    account.create_cluster()
    diff = cluster(version="1.34", check_mode=True, diff=True)["diff"]
    assert diff["before"].keys() == diff["after"].keys()
    pairs = {key: (diff["before"][key], diff["after"][key]) for key in diff["after"]}
    assert {key: pair for key, pair in pairs.items() if pair[0] != pair[1]} == {"version": ("1.33", "1.34")}


def test_tags_without_purge_keep_other_tags(cluster: t.Callable[..., Result], account: Account) -> None:
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
        ("service_ipv4_cidr", "172.30.0.0/16", ["service_ipv4_cidr", "172.20.0.0/16", "172.30.0.0/16"]),
        ("ip_family", "ipv6", ["ip_family", "ipv4", "ipv6", "at creation only"]),
        ("encryption_key_arn", KEY.replace("key/0", "key/1"), ["encryption_key_arn", KEY, "for good"]),
        ("encryption_key_arn", "", ["encryption_key_arn", KEY, "taken away"]),
    ],
)
def test_impossible_change_is_refused_before_any_write(
    cluster: t.Callable[..., Result], account: Account, option: str, value: str, words: list[str]
) -> None:
    encrypted = [{"resources": ["secrets"], "provider": {"keyArn": KEY}}]
    account.create_cluster(accessConfig={"authenticationMode": "API"}, encryptionConfig=encrypted)
    account.sandbox.clear_calls()
    for check_mode in (True, False):
        result = cluster(**{option: value}, tags={"never": "set"}, check_mode=check_mode)
        assert result["failed"]
        assert all(word in result["msg"] for word in words), result["msg"]
    assert account.writes() == []


def test_delete_waits_and_second_delete_changes_nothing(cluster: t.Callable[..., Result], account: Account) -> None:
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


def test_delete_needs_deletion_protection_declared_off(cluster: t.Callable[..., Result], account: Account) -> None:
    account.create_cluster(deletionProtection=True)
    account.sandbox.clear_calls()
    for params in ({}, {"deletion_protection": True}):
        for check_mode in (True, False):
            result = cluster(state="absent", **params, check_mode=check_mode)
            assert result["failed"]
            assert result["msg"] == (
                "deletion_protection of cluster example is on: set deletion_protection: false to switch it off and "
                "delete it."
            )
    assert account.writes() == []
    # The update must be over before EKS takes the deletion, whether or not anybody waits for that.
    account.sandbox.knobs(cluster_seconds=0.2)
    result = cluster(state="absent", deletion_protection=False, wait=False)
    assert result["actions"] == ["update_cluster_config", "delete_cluster"]
    assert result["cluster"]["status"] == "DELETING"
    assert account.writes() == ["UpdateClusterConfig", "DeleteCluster"]
    assert cluster(state="absent", deletion_protection=False)["cluster"] is None


def test_delete_fails_for_cluster_with_nodegroups(cluster: t.Callable[..., Result], account: Account) -> None:
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
        ({"encryption_key_arn": "alias/mine"}, ["encryption_key_arn", '"alias/mine"', "arn:aws:kms:"]),
        ({"service_ipv4_cidr": "10.100.0.0/16", "ip_family": "ipv6"}, ["service_ipv4_cidr", "ipv6"]),
        ({"public_access_cidrs": ["10.0.0.0/8"]}, ["public_access_cidrs", '"10.0.0.0/8"', "private"]),
        ({"auto_mode": AUTO_MODE, "authentication_mode": "CONFIG_MAP"}, ["auto_mode", "API", "CONFIG_MAP"]),
        ({"auto_mode": {"enabled": True, "node_pools": ["system"]}}, ["auto_mode.node_role_arn", "missing"]),
        ({"auto_mode": {"enabled": True, "node_role_arn": NODE_ROLE}}, ["auto_mode.node_pools", "missing"]),
        ({"auto_mode": {"enabled": True, "node_pools": ["mine"]}}, ["general-purpose", "system", "mine"]),
        ({"auto_mode": {}}, ["enabled", "auto_mode"]),
        ({"logging": ["everything"]}, ["logging", "controllerManager", "everything"]),
        ({"state": "absent", "name": ""}, ["name", '""']),
    ],
)
def test_invalid_option_fails_before_any_call(
    cluster: t.Callable[..., Result], account: Account, params: dict[str, t.Any], words: list[str]
) -> None:
    for check_mode in (True, False):
        result = cluster(**params, check_mode=check_mode)
        assert result["failed"]
        assert all(word in result["msg"] for word in words), result["msg"]
        assert "\n" not in result["msg"]
    assert account.sandbox.calls() == {}


def test_all_invalid_options_are_reported_before_any_call(cluster: t.Callable[..., Result], account: Account) -> None:
    result = cluster(
        version="1",
        subnet_ids=["subnet-1"],
        auto_mode={"enabled": False, "node_pools": ["system"], "node_role_arn": "nodes"},
        encryption_key_arn="mine",
        public_access_cidrs=[],
    )
    assert len(result["msg"].splitlines()) == 7
    assert account.sandbox.calls() == {}


#: What is younger in the model of EKS than access entries.
YOUNG_MEMBERS = {
    "CreateClusterRequest": ["bootstrapSelfManagedAddons"],
    "UpdateClusterConfigRequest": ["upgradePolicy", "zonalShiftConfig", "computeConfig", "deletionProtection"],
    "UpdateClusterVersionRequest": ["force"],
}


def test_old_botocore_fails_only_for_newer_options(
    cluster: t.Callable[..., Result], account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    account.create_cluster()
    write_old_eks_model(tmp_path, YOUNG_MEMBERS)
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    account.sandbox.clear_calls()
    assert not cluster(version="1.33", logging=[], force_version_update=False)["changed"]
    assert account.sandbox.calls() == {"eks:DescribeCluster": 1}
    result = cluster(
        bootstrap_self_managed_addons=True,
        support_type="EXTENDED",
        zonal_shift=False,
        auto_mode={"enabled": False},
        force_version_update=True,
        deletion_protection=False,
    )
    needs = [line.partition(" or newer")[0] for line in result["msg"].splitlines()]
    assert needs == [
        "bootstrap_self_managed_addons needs botocore 1.34.134",
        "support_type needs botocore 1.34.149",
        "zonal_shift needs botocore 1.35.45",
        "auto_mode needs botocore 1.35.72",
        "force_version_update needs botocore 1.37.20",
        "deletion_protection needs botocore 1.40.3",
    ]
    assert account.sandbox.calls() == {"eks:DescribeCluster": 1}


def test_missing_credentials_fail_with_one_sentence(
    cluster: t.Callable[..., Result], account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_environment(monkeypatch, {"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": account.sandbox.endpoint})
    result = cluster()
    assert result["failed"]
    assert result["msg"].startswith("No AWS credentials were found; set access_key")
    assert "exception" not in result
    assert account.sandbox.calls() == {}


def test_missing_region_fails_with_one_sentence(
    cluster: t.Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_environment(monkeypatch, {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"})
    result = cluster()
    assert result["failed"]
    assert result["msg"].startswith("No AWS region is known; set the option region")


def test_refused_role_reports_eks_message(cluster: t.Callable[..., Result], account: Account) -> None:
    result = cluster(role_arn=NODE_ROLE, subnet_ids=account.subnet_ids)
    assert result["failed"]
    assert result["msg"].startswith("Failed to create cluster: ")
    assert "trusted entity" in result["msg"]
    assert result["error"]["code"] == "InvalidParameterException"
    assert account.eks.list_clusters()["clusters"] == []


def test_failed_cluster_is_reported_with_health_and_advice(cluster: t.Callable[..., Result], account: Account) -> None:
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


def test_update_waits_for_update_in_progress(cluster: t.Callable[..., Result], account: Account) -> None:
    account.create_cluster()
    account.sandbox.knobs(cluster_seconds=0.3)
    account.eks.update_cluster_version(name="example", version="1.34")
    result = cluster(version="1.34", endpoint_private_access=True)
    assert not result["failed"]
    assert result["actions"] == ["update_cluster_config"]
    assert result["cluster"]["version"] == "1.34"


def test_update_retries_resource_in_use(cluster: t.Callable[..., Result], account: Account) -> None:
    account.create_cluster()
    in_use = {"operation": "UpdateClusterConfig", "code": "ResourceInUseException", "calls": [1], "status": 409}
    account.sandbox.knobs(faults=[in_use])
    result = cluster(endpoint_private_access=True)
    assert not result["failed"]
    assert result["cluster"]["resources_vpc_config"]["endpoint_private_access"] is True


def test_update_waits_for_long_concurrent_update(
    run: t.Callable[..., Result], aws_proxy: AwsProxy, example: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if all attempts were over before the other update is.
    monkeypatch.setattr(traffic, "MOST_UPDATE_ATTEMPTS", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws_proxy.endpoint)

    def begin() -> None:
        example.sandbox.knobs(cluster_seconds=0.3)
        example.eks.update_cluster_version(name="example", version="1.34")

    aws_proxy.before("POST", "/encryption-config/associate", begin)
    result = run("eks_cluster", name="example", encryption_key_arn=KEY)
    assert not result["failed"]
    assert result["cluster"]["version"] == "1.34"
    assert result["cluster"]["encryption_config"][0]["provider"]["key_arn"] == KEY
    assert result["calls"].count("eks:AssociateEncryptionConfig") == 2


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("DeletionProtectionUpdate", {"deletion_protection": True}),
        ("UpgradePolicyUpdate", {"support_type": "STANDARD"}),
        ("ZonalShiftConfigUpdate", {"zonal_shift": True}),
        ("LoggingUpdate", {"logging": ["api"]}),
        ("EndpointAccessUpdate", {"endpoint_private_access": True}),
        ("AccessConfigUpdate", {"authentication_mode": "API_AND_CONFIG_MAP"}),
        ("AutoModeUpdate", {"auto_mode": AUTO_MODE}),
        ("AssociateEncryptionConfig", {"encryption_key_arn": KEY}),
        ("VersionUpdate", {"version": "1.34"}),
    ],
)
def test_unsuccessful_update_of_any_kind_fails_task(
    cluster: t.Callable[..., Result], account: Account, kind: str, wanted: dict[str, t.Any]
) -> None:
    outcome = "Cancelled" if kind == "VersionUpdate" else "Failed"
    modes = {"authenticationMode": "API" if "auto_mode" in wanted else "CONFIG_MAP"}
    before = account.create_cluster(accessConfig=modes)
    account.sandbox.knobs(update_outcomes={kind: outcome}, update_errors={kind: "OperationNotPermitted"})
    result = cluster(**wanted)
    assert result["failed"]
    assert f"Waited for the update {kind} of example to be done, but it is {outcome}" in result["msg"]
    assert ("OperationNotPermitted" in result["msg"]) == (outcome == "Failed")
    assert "done before it" not in result["msg"], "there was nothing else to do"
    assert account.until_active(lambda: account.eks.describe_cluster(name="example")["cluster"]) == before
    account.sandbox.knobs(update_outcomes={})
    assert cluster(**wanted)["changed"]


def test_partial_update_is_reported_and_next_run_finishes(cluster: t.Callable[..., Result], account: Account) -> None:
    account.create_cluster()
    account.sandbox.knobs(update_outcomes={"AccessConfigUpdate": "Failed"})
    wanted = {
        "tags": {"team": "a"},
        "logging": ["api"],
        "authentication_mode": "API",
        "encryption_key_arn": KEY,
        "version": "1.34",
    }
    account.sandbox.clear_calls()
    result = cluster(**wanted)
    assert result["failed"]
    assert result["msg"] == (
        "Waited for the update AccessConfigUpdate of example to be done, but it is Failed "
        "(Unknown: The sandbox was told to let AccessConfigUpdate end Failed.) "
        "(done before it: tag_resource tags, update_cluster_config logging; "
        "not begun: update_cluster_config accessConfig, associate_encryption_config encryptionConfig, "
        "update_cluster_version version; the next run does what is missing)"
    )
    assert account.writes() == ["TagResource", "UpdateClusterConfig", "UpdateClusterConfig"]
    account.sandbox.knobs(update_outcomes={})
    again = cluster(**wanted)
    assert again["actions"] == [
        "update_cluster_config",
        "update_cluster_config",
        "associate_encryption_config",
        "update_cluster_version",
    ]


def test_call_refused_after_update_keeps_eks_message(cluster: t.Callable[..., Result], account: Account) -> None:
    account.create_cluster()
    denied = {"operation": "AssociateEncryptionConfig", "code": "AccessDeniedException", "status": 403}
    account.sandbox.knobs(faults=[denied])
    result = cluster(zonal_shift=True, encryption_key_arn=KEY)
    assert result["failed"]
    assert result["msg"].startswith(
        "Failed to associate encryption config (done before it: update_cluster_config zonalShiftConfig; "
        "not begun: nothing; the next run does what is missing): An error occurred (AccessDeniedException)"
    )
    assert result["error"]["code"] == "AccessDeniedException"


def test_update_timeout_reports_progress(cluster: t.Callable[..., Result], account: Account) -> None:
    account.create_cluster()
    account.sandbox.knobs(cluster_seconds=1.5)
    wanted = {"tags": {"team": "a"}, "support_type": "STANDARD", "version": "1.34"}
    late = cluster(**wanted, wait_timeout=1)
    assert late["failed"]
    assert "Waited 1 seconds for the update UpgradePolicyUpdate of example" in late["msg"]
    assert "still InProgress" in late["msg"]
    assert "done before it: tag_resource tags; not begun: update_cluster_version version" in late["msg"]
    account.sandbox.knobs(cluster_seconds=0.02)
    result = cluster(**wanted)
    assert result["actions"] == ["update_cluster_version"]


def test_force_version_update_overrides_insights(cluster: t.Callable[..., Result], account: Account) -> None:
    account.create_cluster()
    account.sandbox.knobs(cluster_insights={"example": "ERROR"})
    result = cluster(version="1.34")
    assert result["failed"]
    assert result["error"]["code"] == "InvalidStateException"
    assert "force_version_update: true would override the checks of EKS" in result["msg"]
    assert "ListInsights" in result["msg"]
    assert cluster(version="1.34", force_version_update=True)["cluster"]["version"] == "1.34"


def test_cluster_being_deleted_is_not_changed(cluster: t.Callable[..., Result], account: Account) -> None:
    account.create_cluster()
    account.sandbox.knobs(cluster_seconds=60)
    account.eks.delete_cluster(name="example")
    account.sandbox.clear_calls()
    for check_mode in (True, False):
        result = cluster(version="1.34", check_mode=check_mode)
        assert result["failed"]
        assert "example is DELETING" in result["msg"]
        assert "state=absent" in result["msg"]
    assert account.writes() == []


def test_failed_protected_cluster_can_be_deleted(cluster: t.Callable[..., Result], account: Account) -> None:
    wanted = {"name": "broken", "role_arn": CLUSTER_ROLE, "subnet_ids": account.subnet_ids}
    account.sandbox.knobs(cluster_outcomes={"broken": "FAILED"}, cluster_issues={"broken": "IamRoleNotFound"})
    assert "is FAILED (IamRoleNotFound:" in cluster(**wanted, deletion_protection=True)["msg"]
    result = cluster(name="broken", state="absent")
    assert result["actions"] == ["delete_cluster"]
    assert result["cluster"] is None


def test_create_timeout_reports_status_and_next_run_waits(cluster: t.Callable[..., Result], account: Account) -> None:
    account.sandbox.knobs(cluster_seconds=1.5)
    wanted = {"role_arn": CLUSTER_ROLE, "subnet_ids": account.subnet_ids}
    late = cluster(**wanted, wait_timeout=1)
    assert late["failed"]
    assert "Waited 1 seconds for the cluster example to become ACTIVE, but it is still CREATING" in late["msg"]
    result = cluster(**wanted)
    assert not result["changed"]
    assert result["cluster"]["status"] == "ACTIVE"
    assert account.writes() == ["CreateCluster"]


def test_create_without_wait_returns_current_status(cluster: t.Callable[..., Result], account: Account) -> None:
    account.sandbox.knobs(cluster_seconds=0.5)
    result = cluster(role_arn=CLUSTER_ROLE, subnet_ids=account.subnet_ids, wait=False)
    assert result["changed"]
    assert result["cluster"]["status"] == "CREATING"
    assert result["cluster"]["certificate_authority"] is None


def test_wait_false_still_waits_for_all_but_last_update(cluster: t.Callable[..., Result], account: Account) -> None:
    account.create_cluster()
    account.sandbox.knobs(cluster_seconds=0.3)
    result = cluster(endpoint_private_access=True, version="1.34", wait=False)
    assert result["cluster"]["status"] == "UPDATING"
    assert result["cluster"]["resources_vpc_config"]["endpoint_private_access"] is True
    assert result["cluster"]["version"] == "1.33"


def test_absent_waits_for_delete_in_progress(cluster: t.Callable[..., Result], account: Account) -> None:
    account.create_cluster()
    account.sandbox.knobs(cluster_seconds=0.3)
    account.eks.delete_cluster(name="example")
    result = cluster(state="absent")
    assert not result["changed"]
    assert result["cluster"] is None
    assert account.eks.list_clusters()["clusters"] == []


def test_failed_update_reports_its_errors(
    cluster: t.Callable[..., Result], sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"name": "example", "arn": "arn", "status": "ACTIVE", "version": "1.33"}
    error = {"errorCode": "InsufficientFreeAddresses", "errorMessage": "No room", "resourceIds": ["subnet-a"]}
    update = {"id": "update-1", "type": "VersionUpdate", "status": "InProgress"}
    script = {
        "GET /clusters/example": {"cluster": found},
        "GET /cluster-versions": {"clusterVersions": [{"clusterVersion": "1.34"}]},
        "POST /clusters/example/updates": {"update": update},
        "GET /clusters/example/updates/update-1": {"update": {**update, "status": "Failed", "errors": [error]}},
    }
    with scripted_eks(script) as (endpoint, _handler):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        result = cluster(version="1.34")
    assert result["failed"]
    assert "VersionUpdate of example" in result["msg"]
    assert "but it is Failed (InsufficientFreeAddresses: No room [subnet-a])" in result["msg"]


def test_user_agent_names_collection(
    cluster: t.Callable[..., Result], sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted_eks({}) as (endpoint, handler):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        result = cluster(state="absent")
    assert not result["failed"]
    assert not result["changed"]
    assert [f"podidentity.eks/{COLLECTION_VERSION}" in agent for agent in handler.agents] == [True]


def test_info_always_returns_list(run_module: RunModule, account: Account) -> None:
    assert run_module("eks_cluster_info")["clusters"] == []
    account.create_cluster("one", tags={"CamelCase": "kept"})
    account.create_cluster("two")
    account.sandbox.clear_calls()
    assert run_module("eks_cluster_info", name="none")["clusters"] == []
    [one] = run_module("eks_cluster_info", name="one", check_mode=True)["clusters"]
    assert one["tags"] == {"CamelCase": "kept"}
    assert one["certificate_authority"].startswith("-----BEGIN CERTIFICATE-----")
    assert account.sandbox.calls() == {"eks:DescribeCluster": 2}
    account.sandbox.clear_calls()
    assert [found["name"] for found in run_module("eks_cluster_info")["clusters"]] == ["one", "two"]
    assert account.sandbox.calls() == {"eks:ListClusters": 1, "eks:DescribeCluster": 2}


def test_info_describes_clusters_concurrently(run_module: RunModule, account: Account) -> None:
    names = [f"cluster-{number}" for number in range(8)]
    for name in names:
        account.create_cluster(name)
    account.sandbox.knobs(latencies={"DescribeCluster": 0.2})
    with AwsProxy(account.sandbox.endpoint) as proxy:
        found = run_module("eks_cluster_info", endpoint_url=proxy.endpoint)["clusters"]
    assert [cluster["name"] for cluster in found] == names
    assert proxy.most_in_flight > 1


def test_info_reports_pod_identity_support(
    run_module: RunModule, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"name": "old", "arn": "arn", "status": "ACTIVE", "version": "1.27", "platformVersion": "eks.5"}
    with scripted_eks({"GET /clusters/old": {"cluster": found}}) as (endpoint, _handler):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        [old] = run_module("eks_cluster_info", name="old")["clusters"]
    assert old["pod_identity"] == {
        "supported": False,
        "reason": "Kubernetes 1.27 has EKS Pod Identity from platform version eks.8 on, and this cluster has eks.5.",
        "agent": None,
    }
    assert old["auto_mode"] is False
    assert old["oidc_issuer"] is None


def test_info_and_module_return_the_same_object(run_module: RunModule, account: Account) -> None:
    account.create_cluster()
    [found] = run_module("eks_cluster_info", name="example")["clusters"]
    assert run_module("eks_cluster", name="example")["cluster"] == found


def test_info_refuses_invalid_name(run_module: RunModule, account: Account) -> None:
    result = run_module("eks_cluster_info", name="a/b")
    assert result["failed"]
    assert '"a/b"' in result["msg"]
    assert account.sandbox.calls() == {}
