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
    "kubernetes_network_config": {
        "service_ipv4_cidr": "172.20.0.0/16",
        "ip_family": "ipv4",
        "elastic_load_balancing": {"enabled": False},
    },
    "compute_config": {"enabled": False},
    "storage_config": {"block_storage": {"enabled": False}},
    "logging": {"cluster_logging": [{"types": list(cluster.LOG_TYPES), "enabled": False}]},
    "upgrade_policy": {"support_type": "EXTENDED"},
    "deletion_protection": False,
    "tags": {"team": "platform"},
}
KEY = "arn:aws:kms:eu-west-1:111122223333:key/01234567-89ab-cdef-0123-456789abcdef"
NODE_ROLE = "arn:aws:iam::111122223333:role/eks-node"
AUTO = cluster.AutoMode(enabled=True, node_pools=["general-purpose"], node_role_arn=NODE_ROLE)
#: BEFORE with Auto Mode as AUTO has it.
WITH_AUTO_MODE: dict[str, t.Any] = {
    **BEFORE,
    "access_config": {"authentication_mode": "API"},
    "compute_config": {"enabled": True, "node_pools": ["general-purpose"], "node_role_arn": NODE_ROLE},
    "kubernetes_network_config": {**BEFORE["kubernetes_network_config"], "elastic_load_balancing": {"enabled": True}},
    "storage_config": {"block_storage": {"enabled": True}},
}


def spec(**fields: t.Any) -> cluster.ClusterSpec:
    return cluster.ClusterSpec(name="example", **fields)


def operations(before: cluster.Cluster | None, wanted: cluster.ClusterSpec) -> list[str]:
    return [action.operation for action in cluster.plan(before, wanted).actions]


def parameters(wanted: cluster.ClusterSpec, before: cluster.Cluster = BEFORE) -> list[dict[str, t.Any]]:
    """What each call is told beside the cluster's name."""
    calls = [action.parameters for action in cluster.plan(before, wanted).actions]
    return [{key: value for key, value in call.items() if key not in {"name", "clusterName"}} for call in calls]


def refusal(before: cluster.Cluster | None, wanted: cluster.ClusterSpec) -> str:
    with pytest.raises(AnsibleEKSError) as caught:
        cluster.plan(before, wanted)
    return str(caught.value)


def test_empty_spec_changes_nothing() -> None:
    change = cluster.plan(BEFORE, spec())
    assert not change.changed
    assert change.after == BEFORE


def test_absent_skips_missing_and_deleting_cluster() -> None:
    assert operations(None, spec(present=False)) == []
    assert operations({**BEFORE, "status": "DELETING"}, spec(present=False)) == []
    assert operations(BEFORE, spec(present=False)) == ["delete_cluster"]
    assert operations({**BEFORE, "status": "FAILED"}, spec(present=False)) == ["delete_cluster"]


def test_create_sends_only_declared_options() -> None:
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


def test_create_without_role_or_subnets_is_refused() -> None:
    message = refusal(None, spec())
    assert "role_arn is missing" in message
    assert "subnet_ids is missing" in message


def test_deletion_protection_blocks_delete_unless_disabled() -> None:
    protected = {**BEFORE, "deletion_protection": True}
    assert "set deletion_protection: false" in refusal(protected, spec(present=False))
    assert "set deletion_protection: false" in refusal(BEFORE, spec(present=False, deletion_protection=True))
    away = spec(present=False, deletion_protection=False)
    assert operations(protected, away) == ["update_cluster_config", "delete_cluster"]
    assert parameters(away, protected) == [{"deletionProtection": False}, {}]
    assert operations(BEFORE, away) == ["delete_cluster"]
    assert operations({**protected, "status": "FAILED"}, spec(present=False)) == ["delete_cluster"]


def test_create_sends_every_option() -> None:
    wanted = spec(
        role_arn=ROLE,
        subnet_ids=["subnet-a", "subnet-b"],
        service_ipv4_cidr="10.100.0.0/16",
        ip_family="ipv4",
        logging=["audit"],
        encryption_key_arn=KEY,
        support_type="STANDARD",
        zonal_shift=True,
        deletion_protection=True,
        tags={"a": "b"},
        creation_tags={"made": "here", "a": "c"},
    )
    [action] = cluster.plan(None, wanted).actions
    assert action.parameters == {
        "name": "example",
        "roleArn": ROLE,
        "resourcesVpcConfig": {"subnetIds": ["subnet-a", "subnet-b"]},
        "kubernetesNetworkConfig": {"serviceIpv4Cidr": "10.100.0.0/16", "ipFamily": "ipv4"},
        "logging": {
            "clusterLogging": [
                {"types": ["audit"], "enabled": True},
                {"types": ["api", "authenticator", "controllerManager", "scheduler"], "enabled": False},
            ]
        },
        "encryptionConfig": [{"resources": ["secrets"], "provider": {"keyArn": KEY}}],
        "upgradePolicy": {"supportType": "STANDARD"},
        "zonalShiftConfig": {"enabled": True},
        "deletionProtection": True,
        "tags": {"made": "here", "a": "b"},
    }


def test_create_with_auto_mode_omits_self_managed_addons() -> None:
    wanted = spec(role_arn=ROLE, subnet_ids=["subnet-a", "subnet-b"], authentication_mode="API", auto_mode=AUTO)
    change = cluster.plan(None, wanted)
    [action] = change.actions
    assert action.parameters == {
        "name": "example",
        "roleArn": ROLE,
        "resourcesVpcConfig": {"subnetIds": ["subnet-a", "subnet-b"]},
        "accessConfig": {"authenticationMode": "API"},
        "computeConfig": {"enabled": True, "nodePools": ["general-purpose"], "nodeRoleArn": NODE_ROLE},
        "kubernetesNetworkConfig": {"elasticLoadBalancing": {"enabled": True}},
        "storageConfig": {"blockStorage": {"enabled": True}},
        "bootstrapSelfManagedAddons": False,
    }
    assert change.after is not None
    assert "bootstrap_self_managed_addons" not in change.after
    assert change.after["auto_mode"] is True
    assert change.after["oidc_issuer"] is None
    assert change.after["pod_identity"]["agent"] == "built-in"


def test_create_omits_options_off_by_default() -> None:
    wanted = spec(
        role_arn=ROLE,
        subnet_ids=["subnet-a", "subnet-b"],
        auto_mode=cluster.AutoMode(enabled=False),
        logging=[],
        encryption_key_arn="",
        bootstrap_self_managed_addons=False,
    )
    [action] = cluster.plan(None, wanted).actions
    assert set(action.parameters) == {"name", "roleArn", "resourcesVpcConfig", "bootstrapSelfManagedAddons"}


def test_create_with_auto_mode_needs_access_entries() -> None:
    wanted = spec(role_arn=ROLE, subnet_ids=["subnet-a", "subnet-b"], auto_mode=AUTO)
    message = refusal(None, wanted)
    assert "authentication_mode API_AND_CONFIG_MAP or API" in message
    assert "a new cluster has CONFIG_MAP" in message


@pytest.mark.parametrize("mode", [None, "CONFIG_MAP"])
def test_create_without_access_entries_needs_creator_admin(mode: str | None) -> None:
    new = {
        "role_arn": ROLE,
        "subnet_ids": ["subnet-a", "subnet-b"],
        "bootstrap_cluster_creator_admin_permissions": False,
    }
    wanted = spec(authentication_mode=mode, **new)
    assert "bootstrap_cluster_creator_admin_permissions" in refusal(None, wanted)
    with_entries = dataclasses.replace(wanted, authentication_mode="API")
    assert operations(None, with_entries) == ["create_cluster"]


@pytest.mark.parametrize(("version", "sentence"), [("1.32", "never goes backwards"), ("1.35", "1.34 is next")])
def test_version_updates_one_minor_at_a_time(version: str, sentence: str) -> None:
    message = refusal(BEFORE, spec(version=version))
    assert sentence in message
    assert "1.33" in message
    assert version in message
    assert operations(BEFORE, spec(version="1.34")) == ["update_cluster_version"]


def test_version_compares_as_a_number() -> None:
    assert "never goes backwards" in refusal({**BEFORE, "version": "1.100"}, spec(version="1.99"))


def test_authentication_mode_steps_forward_and_never_back() -> None:
    modes = [call["accessConfig"]["authenticationMode"] for call in parameters(spec(authentication_mode="API"))]
    assert modes == ["API_AND_CONFIG_MAP", "API"]
    api = {**BEFORE, "access_config": {"authentication_mode": "API"}}
    assert "is API and cannot become CONFIG_MAP" in refusal(api, spec(authentication_mode="CONFIG_MAP"))


def test_missing_access_config_counts_as_config_map() -> None:
    old = {key: value for key, value in BEFORE.items() if key != "access_config"}
    assert operations(old, spec(authentication_mode="CONFIG_MAP")) == []
    assert operations(old, spec(authentication_mode="API_AND_CONFIG_MAP")) == ["update_cluster_config"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("role_arn", "arn:aws:iam::111122223333:role/other"),
        ("bootstrap_cluster_creator_admin_permissions", False),
        ("service_ipv4_cidr", "10.100.0.0/16"),
        ("ip_family", "ipv6"),
    ],
)
def test_change_of_creation_only_option_is_refused(option: str, value: t.Any) -> None:
    message = refusal(BEFORE, spec(**{option: value}))
    assert message.startswith(option)
    assert str(value) in message
    assert "at creation only" in message


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"deletion_protection": True}, {"deletionProtection": True}),
        ({"support_type": "STANDARD"}, {"upgradePolicy": {"supportType": "STANDARD"}}),
        ({"zonal_shift": True}, {"zonalShiftConfig": {"enabled": True}}),
    ],
)
def test_single_value_option_is_separate_update(fields: dict[str, t.Any], expected: dict[str, t.Any]) -> None:
    assert parameters(spec(**fields)) == [expected]


def test_options_missing_from_eks_response_count_as_off() -> None:
    silent = {key: value for key, value in BEFORE.items() if key not in {"deletion_protection", "zonal_shift_config"}}
    wanted = spec(deletion_protection=False, zonal_shift=False, auto_mode=cluster.AutoMode(enabled=False), logging=[])
    assert operations(silent, wanted) == []
    assert operations({**silent, "zonal_shift_config": None, "logging": None, "compute_config": None}, wanted) == []


def test_exactly_declared_log_types_are_enabled() -> None:
    some = {**BEFORE, "logging": {"cluster_logging": [{"types": ["audit", "api"], "enabled": True}]}}
    assert operations(some, spec(logging=["api", "audit", "api"])) == []
    assert parameters(spec(logging=["scheduler", "api"]), some) == [
        {
            "logging": {
                "clusterLogging": [
                    {"types": ["api", "scheduler"], "enabled": True},
                    {"types": ["audit", "authenticator", "controllerManager"], "enabled": False},
                ]
            }
        }
    ]
    off = {"clusterLogging": [{"types": list(cluster.LOG_TYPES), "enabled": False}]}
    assert parameters(spec(logging=[]), some) == [{"logging": off}]


def test_encryption_is_added_but_never_changed_or_removed() -> None:
    config = [{"resources": ["secrets"], "provider": {"keyArn": KEY}}]
    assert operations(BEFORE, spec(encryption_key_arn=KEY)) == ["associate_encryption_config"]
    assert parameters(spec(encryption_key_arn=KEY)) == [{"encryptionConfig": config}]
    assert operations(BEFORE, spec(encryption_key_arn="")) == []
    encrypted = cluster.plan(BEFORE, spec(encryption_key_arn=KEY)).after
    assert encrypted is not None
    assert operations(encrypted, spec()) == []
    other = KEY.replace("key/0", "key/1")
    message = refusal(encrypted, spec(encryption_key_arn=other))
    assert KEY in message
    assert other in message
    assert "cannot be taken away" in refusal(encrypted, spec(encryption_key_arn=""))


def test_auto_mode_is_one_call_after_authentication_mode() -> None:
    assert "but it has CONFIG_MAP" in refusal(BEFORE, spec(auto_mode=AUTO))
    wanted = spec(auto_mode=AUTO, authentication_mode="API_AND_CONFIG_MAP")
    change = cluster.plan(BEFORE, wanted)
    assert parameters(wanted) == [
        {"accessConfig": {"authenticationMode": "API_AND_CONFIG_MAP"}},
        {
            "computeConfig": {"enabled": True, "nodePools": ["general-purpose"], "nodeRoleArn": NODE_ROLE},
            "kubernetesNetworkConfig": {"elasticLoadBalancing": {"enabled": True}},
            "storageConfig": {"blockStorage": {"enabled": True}},
        },
    ]
    assert change.after is not None
    assert change.after["kubernetes_network_config"] == WITH_AUTO_MODE["kubernetes_network_config"]
    assert change.after["auto_mode"] is True
    assert change.after["pod_identity"]["agent"] == "built-in"


def test_auto_mode_keeps_undeclared_and_ignores_pool_order() -> None:
    only_on = cluster.AutoMode(enabled=True)
    assert operations(WITH_AUTO_MODE, spec(auto_mode=only_on)) == []
    pools = ["system", "general-purpose"]
    both = dataclasses.replace(AUTO, node_pools=pools)
    [call] = parameters(spec(auto_mode=both), WITH_AUTO_MODE)
    assert call["computeConfig"] == {"enabled": True, "nodePools": pools, "nodeRoleArn": NODE_ROLE}
    after = cluster.plan(WITH_AUTO_MODE, spec(auto_mode=both)).after
    reordered = dataclasses.replace(AUTO, node_pools=pools[::-1])
    assert operations(after, spec(auto_mode=reordered)) == []


def test_auto_mode_without_node_pools_has_no_node_role() -> None:
    no_pools = spec(auto_mode=cluster.AutoMode(enabled=True, node_pools=[]))
    [call] = parameters(no_pools, WITH_AUTO_MODE)
    assert call["computeConfig"] == {"enabled": True, "nodePools": []}
    assert operations({**WITH_AUTO_MODE, "compute_config": {"enabled": True}}, no_pools) == []


def test_auto_mode_is_disabled_in_one_call() -> None:
    off = spec(auto_mode=cluster.AutoMode(enabled=False))
    assert parameters(off, WITH_AUTO_MODE) == [
        {
            "computeConfig": {"enabled": False},
            "kubernetesNetworkConfig": {"elasticLoadBalancing": {"enabled": False}},
            "storageConfig": {"blockStorage": {"enabled": False}},
        }
    ]
    after = cluster.plan(WITH_AUTO_MODE, off).after
    assert after is not None
    assert after["auto_mode"] is False
    assert operations(after, off) == []


def test_auto_mode_node_role_can_be_set_but_not_changed() -> None:
    other = dataclasses.replace(AUTO, node_role_arn=ROLE)
    message = refusal(WITH_AUTO_MODE, spec(auto_mode=other))
    assert NODE_ROLE in message
    assert ROLE in message
    bare = {**WITH_AUTO_MODE, "compute_config": {"enabled": True, "node_pools": []}}
    assert operations(bare, spec(auto_mode=AUTO)) == ["update_cluster_config"]


def test_force_is_sent_only_with_version_update() -> None:
    assert parameters(spec(version="1.34", force_version_update=True)) == [{"version": "1.34", "force": True}]
    assert parameters(spec(version="1.34")) == [{"version": "1.34"}]
    assert operations(BEFORE, spec(version="1.33", force_version_update=True)) == []


def test_creation_tags_are_only_for_create_and_never_purged() -> None:
    wanted = spec(tags={"team": "platform"}, creation_tags={"made": "here"})
    assert operations(BEFORE, wanted) == []
    marked = {**BEFORE, "tags": {"team": "platform", "made": "here"}}
    assert operations(marked, wanted) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"endpoint_public_access": False}, "endpoint_private_access of cluster example is false already"),
        ({"endpoint_private_access": False}, "endpoint_public_access of cluster example is false already"),
        ({"public_access_cidrs": ["203.0.113.0/24"]}, "but it has none"),
    ],
)
def test_endpoint_change_conflicting_with_cluster_is_refused(fields: dict[str, t.Any], words: str) -> None:
    closed = "endpoint_public_access" not in fields
    found = {
        **BEFORE["resources_vpc_config"],
        "endpoint_public_access": not closed,
        "endpoint_private_access": closed,
    }
    assert words in refusal({**BEFORE, "resources_vpc_config": found}, spec(**fields))


def test_all_refusals_are_reported_at_once() -> None:
    wanted = spec(version="1.35", ip_family="ipv6", role_arn=NODE_ROLE, auto_mode=AUTO)
    assert len(refusal(BEFORE, wanted).splitlines()) == 4


def test_unreported_creator_permissions_are_not_compared() -> None:
    silent = {**BEFORE, "access_config": {"authentication_mode": "CONFIG_MAP"}}
    assert operations(silent, spec(bootstrap_cluster_creator_admin_permissions=False)) == []


def test_endpoints_and_subnets_are_separate_updates() -> None:
    calls = parameters(spec(endpoint_private_access=True, subnet_ids=["subnet-a", "subnet-c"]))
    assert [call["resourcesVpcConfig"] for call in calls] == [
        {"endpointPublicAccess": True, "endpointPrivateAccess": True, "publicAccessCidrs": ["0.0.0.0/0"]},
        {"subnetIds": ["subnet-a", "subnet-c"], "securityGroupIds": ["sg-a"]},
    ]


def test_disabled_public_endpoint_is_sent_without_cidrs() -> None:
    [call] = parameters(spec(endpoint_public_access=False, endpoint_private_access=True))
    assert call["resourcesVpcConfig"] == {"endpointPublicAccess": False, "endpointPrivateAccess": True}


def test_subnet_order_is_no_difference() -> None:
    assert operations(BEFORE, spec(subnet_ids=["subnet-b", "subnet-a"])) == []


@pytest.mark.parametrize("status", ["DELETING", "FAILED"])
def test_deleting_or_failed_cluster_is_refused_with_remedy(status: str) -> None:
    issues = [{"code": "InternalFailure", "message": "It broke.", "resource_ids": []}]
    message = refusal({**BEFORE, "status": status, "health": {"issues": issues}}, spec(tags={}))
    assert f"is {status}" in message
    assert "state=absent" in message
    assert ("(InternalFailure: It broke.)" in message) == (status == "FAILED")


def test_version_update_comes_last() -> None:
    wanted = spec(version="1.34", tags={"new": "tag"}, endpoint_private_access=True)
    assert operations(BEFORE, wanted) == [
        "untag_resource",
        "tag_resource",
        "update_cluster_config",
        "update_cluster_version",
    ]


def test_irreversible_updates_come_last() -> None:
    wanted = spec(
        version="1.34",
        encryption_key_arn=KEY,
        auto_mode=AUTO,
        authentication_mode="API_AND_CONFIG_MAP",
        endpoint_private_access=True,
        logging=["api"],
        zonal_shift=True,
        support_type="STANDARD",
        deletion_protection=True,
    )
    assert [next(iter(call)) for call in parameters(wanted)] == [
        "deletionProtection",
        "upgradePolicy",
        "zonalShiftConfig",
        "logging",
        "resourcesVpcConfig",
        "accessConfig",
        "computeConfig",
        "encryptionConfig",
        "version",
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
            {"endpoint_public_access": False, "public_access_cidrs": ["203.0.113.0/24"]},
            ["public_access_cidrs", "endpoint_public_access is false"],
        ),
        ({"public_access_cidrs": []}, ["public_access_cidrs", "empty", "endpoint_public_access: false"]),
        ({"public_access_cidrs": ["10.1.0.0/16"]}, ["public_access_cidrs", '"10.1.0.0/16"', "private"]),
        ({"security_group_ids": list("abcdef")}, ["security_group_ids", "6", "at most 5"]),
        ({"encryption_key_arn": "alias/mine"}, ["encryption_key_arn", '"alias/mine"', "arn:aws:kms:"]),
        ({"service_ipv4_cidr": "8.8.0.0/16"}, ["service_ipv4_cidr", '"8.8.0.0/16"', "172.16.0.0/12"]),
        ({"service_ipv4_cidr": "10.0.0.0/25"}, ["service_ipv4_cidr", '"10.0.0.0/25"', "/24"]),
        ({"service_ipv4_cidr": "10.0.0.0/8"}, ["service_ipv4_cidr", '"10.0.0.0/8"', "/12"]),
        ({"service_ipv4_cidr": "nonsense"}, ["service_ipv4_cidr", '"nonsense"', "no IPv4 CIDR block"]),
        (
            {"service_ipv4_cidr": "10.100.0.0/16", "ip_family": "ipv6"},
            ["service_ipv4_cidr", "ip_family is ipv6"],
        ),
        ({"auto_mode": AUTO, "authentication_mode": "CONFIG_MAP"}, ["auto_mode", "API_AND_CONFIG_MAP or API"]),
        ({"auto_mode": AUTO, "bootstrap_self_managed_addons": True}, ["bootstrap_self_managed_addons", "Auto Mode"]),
        (
            {"auto_mode": cluster.AutoMode(enabled=True, node_pools=["system"])},
            ["auto_mode.node_role_arn", "missing"],
        ),
        (
            {"auto_mode": cluster.AutoMode(enabled=True, node_role_arn=NODE_ROLE)},
            ["auto_mode.node_pools", "missing"],
        ),
        (
            {"auto_mode": cluster.AutoMode(enabled=False, node_pools=["system"])},
            ["auto_mode.node_pools", "auto_mode.enabled is false"],
        ),
        (
            {"auto_mode": cluster.AutoMode(enabled=True, node_pools=["system"], node_role_arn="eks-node")},
            ["auto_mode.node_role_arn", '"eks-node"', "arn:aws:iam::"],
        ),
        ({"creation_tags": {"aws:mine": "x"}}, ["tags", "aws:mine"]),
        ({"public_access_cidrs": ["10.0.0.1/8"]}, ["public_access_cidrs", "10.0.0.1/8"]),
        ({"tags": {"aws:mine": "x"}}, ["tags", "aws:mine"]),
    ],
)
def test_invalid_spec_is_one_problem_with_option_and_value(fields: dict[str, t.Any], words: list[str]) -> None:
    [sentence] = cluster.problems(dataclasses.replace(spec(), **fields))
    assert all(word in sentence for word in words), sentence


SUBNETS = st.lists(st.sampled_from([f"subnet-{letter}" for letter in "abcd"]), min_size=2, max_size=4, unique=True)
GROUPS = st.lists(st.sampled_from(["sg-a", "sg-b", "sg-c"]), max_size=3, unique=True)
CIDRS = st.lists(st.sampled_from(["0.0.0.0/0", "10.0.0.0/8", "203.0.113.0/24"]), min_size=1, max_size=3, unique=True)
TAGS = st.dictionaries(st.sampled_from(["team", "stage", "Mixed-Case", "aws:owned"]), st.text(max_size=5), max_size=4)


def unset_or(values: st.SearchStrategy[t.Any]) -> st.SearchStrategy[t.Any]:
    return st.none() | values


MODES = st.builds(
    cluster.AutoMode,
    enabled=st.just(True),
    node_pools=st.lists(st.sampled_from(cluster.NODE_POOLS), min_size=1, unique=True),
    node_role_arn=st.just(NODE_ROLE),
) | st.sampled_from([cluster.AutoMode(enabled=False), cluster.AutoMode(enabled=True, node_pools=[])])


def is_reachable(wanted: cluster.ClusterSpec) -> bool:
    """Whether EKS has a way from BEFORE to it."""
    with_entries = wanted.authentication_mode not in {None, "CONFIG_MAP"}
    reachable = wanted.endpoint_public_access is not False or wanted.endpoint_private_access is True
    return reachable and (with_entries or not wanted.wants_auto_mode)


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
    auto_mode=unset_or(MODES),
    logging=unset_or(st.lists(st.sampled_from(cluster.LOG_TYPES))),
    encryption_key_arn=unset_or(st.sampled_from(["", KEY])),
    support_type=unset_or(st.sampled_from(["STANDARD", "EXTENDED"])),
    zonal_shift=unset_or(st.booleans()),
    deletion_protection=unset_or(st.booleans()),
    tags=unset_or(TAGS),
    purge_tags=st.booleans(),
).filter(is_reachable)


@given(SPECS)
def test_second_plan_is_empty(wanted: cluster.ClusterSpec) -> None:
    change = cluster.plan(BEFORE, wanted)
    assert cluster.plan(change.after, wanted).actions == ()
    assert change.changed == (change.after != BEFORE)
    kinds = [action.parameters.keys() - {"name"} for action in change.actions if action.operation == CONFIG]
    three = {"computeConfig", "kubernetesNetworkConfig", "storageConfig"}
    assert all(len(kind) == 1 or kind == three for kind in kinds), "EKS takes one kind of update in a call"


CONFIG = "update_cluster_config"
OPTIONS = (
    "version",
    "authentication_mode",
    "tags",
    "subnet_ids",
    "security_group_ids",
    "endpoint_public_access",
    "endpoint_private_access",
    "public_access_cidrs",
    "logging",
    "deletion_protection",
)


def flat(found: cluster.Cluster) -> dict[str, t.Any]:
    return {**found, **found["resources_vpc_config"], **found["access_config"]}


@given(SPECS)
def test_undeclared_options_stay(wanted: cluster.ClusterSpec) -> None:
    after = cluster.plan(BEFORE, wanted).after
    assert after is not None
    for option in OPTIONS:
        if getattr(wanted, option) is None:
            assert flat(after)[option] == flat(BEFORE)[option]
    assert after["resources_vpc_config"]["cluster_security_group_id"] == "sg-own"
    assert after["role_arn"] == ROLE


def test_normalized_cluster_keeps_tag_keys_and_decodes_ca() -> None:
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
        "auto_mode": False,
        "oidc_issuer": None,
        "pod_identity": cluster.pod_identity({}),
    }
    assert cluster.normalized({"name": "new", "certificateAuthority": {}})["certificate_authority"] is None


def test_normalized_cluster_shows_issuer_and_auto_mode() -> None:
    issuer = "https://oidc.eks.eu-west-1.amazonaws.com/id/A"
    api = {"identity": {"oidc": {"issuer": issuer}}, "computeConfig": {"enabled": True}}
    found = cluster.normalized(api)
    assert (found["oidc_issuer"], found["auto_mode"]) == (issuer, True)


@pytest.mark.parametrize(
    ("version", "first"), [("1.24", 13), ("1.25", 10), ("1.26", 9), ("1.27", 8), ("1.28", 4), ("1.29", 1), ("1.34", 1)]
)
def test_pod_identity_needs_minimum_platform_version(version: str, first: int) -> None:
    found = cluster.pod_identity({"version": version, "platform_version": f"eks.{first}"})
    assert (found["supported"], found["agent"]) == (True, "add-on")
    assert "the add-on eks-pod-identity-agent" in found["reason"]
    before = cluster.pod_identity({"version": version, "platform_version": f"eks.{first - 1}"})
    if first == 1:
        assert before["supported"]
        return
    assert (before["supported"], before["agent"]) == (False, None)
    assert f"from platform version eks.{first} on" in before["reason"]
    assert f"this cluster has eks.{first - 1}" in before["reason"]
    assert cluster.pod_identity({"version": version})["supported"], "what is made now has the newest one"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"version": "1.23", "platform_version": "eks.99"}, "1.24 is the first"),
        ({"version": "1.34", "outpost_config": {"outpost_arns": ["arn"]}}, "Outposts"),
        ({"version": "1.34", "connector_config": {"provider": "OTHER"}}, "only shows this cluster"),
    ],
)
def test_unsupported_clusters_have_no_pod_identity(found: dict[str, t.Any], words: str) -> None:
    answer = cluster.pod_identity(found)
    assert (answer["supported"], answer["agent"]) == (False, None)
    assert words in answer["reason"]


def test_auto_mode_has_built_in_agent() -> None:
    found = cluster.pod_identity({"version": "1.34", "compute_config": {"enabled": True}})
    assert (found["supported"], found["agent"]) == (True, "built-in")
