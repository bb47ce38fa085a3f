# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clusters as EKS has them."""

from __future__ import annotations

import base64
import typing as t

import botocore.exceptions
import pytest
import yaml
from support.boto3_account import Account
from support.boto3_account import allow
from support.boto3_account import refused
from support.boto3_account import wait_for
from support.boto3_account import wait_until_gone

pytestmark = pytest.mark.client("boto3")


def create(account: Account, **changes: t.Any) -> dict[str, t.Any]:
    """Create a cluster with these parameters changed, and do not wait."""
    parameters: dict[str, t.Any] = {"name": "one", "resourcesVpcConfig": {"subnetIds": account.subnets()}}
    if "roleArn" not in changes:
        changes["roleArn"] = account.role("cluster-role", "eks.amazonaws.com")
    cluster: dict[str, t.Any] = account.eks.create_cluster(**{**parameters, **changes})["cluster"]
    return cluster


def test_cluster_becomes_active_and_gets_an_endpoint(account: Account) -> None:
    account.sandbox.knobs(cluster_seconds=0.3)
    created = create(account, tags={"team": "a"})
    assert created["status"] == "CREATING"
    assert "endpoint" not in created
    assert created["certificateAuthority"] == {}
    active = wait_for(lambda: account.eks.describe_cluster(name="one")["cluster"], "ACTIVE")
    assert active["endpoint"].startswith("https://127.0.0.1:")
    assert b"BEGIN CERTIFICATE" in base64.b64decode(active["certificateAuthority"]["data"])
    assert active["arn"] == "arn:aws:eks:eu-west-1:111122223333:cluster/one"
    assert active["tags"] == {"team": "a"}


def test_cluster_has_the_defaults_of_eks(account: Account) -> None:
    cluster = create(account)
    vpc = cluster["resourcesVpcConfig"]
    assert cluster["accessConfig"] == {"authenticationMode": "CONFIG_MAP"}
    assert cluster["upgradePolicy"] == {"supportType": "EXTENDED"}
    assert cluster["deletionProtection"] is False
    assert (vpc["endpointPublicAccess"], vpc["endpointPrivateAccess"]) == (True, False)
    assert vpc["publicAccessCidrs"] == ["0.0.0.0/0"]
    assert vpc["securityGroupIds"] == []
    assert cluster["identity"]["oidc"]["issuer"].startswith("https://oidc.eks.eu-west-1.amazonaws.com/id/")
    assert [kind["enabled"] for kind in cluster["logging"]["clusterLogging"]] == [False]


def test_cluster_security_group_lives_as_long_as_its_cluster(account: Account) -> None:
    before = {group["GroupId"] for group in account.ec2.describe_security_groups()["SecurityGroups"]}
    group = account.cluster("one")["resourcesVpcConfig"]["clusterSecurityGroupId"]
    [found] = account.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert found["GroupName"].startswith("eks-cluster-sg-one-")
    assert {"Key": "kubernetes.io/cluster/one", "Value": "owned"} in found["Tags"]
    assert found["VpcId"] == account.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    account.eks.delete_cluster(name="one")
    wait_until_gone(lambda: account.eks.describe_cluster(name="one"))
    assert {group["GroupId"] for group in account.ec2.describe_security_groups()["SecurityGroups"]} == before


def test_create_cluster_refuses_duplicate_name(account: Account) -> None:
    account.cluster("one")
    with refused("ResourceInUseException", "Cluster already exists with name: one", status=409):
        create(account)


def test_describe_cluster_reports_unknown_cluster(account: Account) -> None:
    with refused("ResourceNotFoundException", "No cluster found for name: none.", status=404):
        account.eks.describe_cluster(name="none")


@pytest.mark.parametrize("name", ["-one", "o ne", "a" * 101, "ä"])
def test_create_cluster_refuses_invalid_name(account: Account, name: str) -> None:
    with refused("InvalidParameterException", status=400):
        create(account, name=name)


def test_role_must_exist_and_trust_eks(account: Account) -> None:
    words = "could not be assumed because it does not exist or the trusted entity is not correct"
    with refused("InvalidParameterException", words, status=400):
        create(account, roleArn="arn:aws:iam::111122223333:role/none")
    with refused("InvalidParameterException", words, status=400):
        create(account, roleArn=account.pod_role())


def test_create_refuses_new_role_until_iam_propagates_it(account: Account) -> None:
    account.sandbox.knobs(iam_propagation_seconds=60)
    role = account.role("young", "eks.amazonaws.com")
    with refused("InvalidParameterException", "does not exist"):
        create(account, roleArn=role)
    account.sandbox.knobs(iam_propagation_seconds=0)
    assert create(account, roleArn=role)["status"] == "CREATING"


def test_caller_needs_permission_to_pass_role(account: Account) -> None:
    role = account.role("cluster-role", "eks.amazonaws.com")
    to_pods = {"StringEquals": {"iam:PassedToService": "pods.eks.amazonaws.com"}}
    keys = account.user("maker", allow("eks:*"), allow("iam:PassRole", Condition=to_pods))
    with refused("AccessDeniedException", "is not authorized to perform: iam:PassRole on resource", status=403):
        account.sandbox.client("eks", **keys).create_cluster(
            name="one", roleArn=role, resourcesVpcConfig={"subnetIds": account.subnets()}
        )


def test_subnets_must_exist_in_two_zones(account: Account) -> None:
    first = account.subnets()[0]
    with refused("InvalidParameterException", "must be in at least two different AZs", status=400):
        create(account, resourcesVpcConfig={"subnetIds": [first]})
    role = "arn:aws:iam::111122223333:role/cluster-role"
    with refused("InvalidParameterException", "The subnet ID 'subnet-0000dead' does not exist", status=400):
        create(account, roleArn=role, resourcesVpcConfig={"subnetIds": [first, "subnet-0000dead"]})
    with refused("InvalidParameterException", "The security group ID 'sg-0000dead' does not exist", status=400):
        vpc = {"subnetIds": account.subnets(), "securityGroupIds": ["sg-0000dead"]}
        create(account, roleArn=role, resourcesVpcConfig=vpc)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": "1.5"}, "unsupported Kubernetes version"),
        ({"accessConfig": {"authenticationMode": "NONE"}}, "enum value set"),
        (
            {"accessConfig": {"bootstrapClusterCreatorAdminPermissions": False}},
            "must be true if cluster authentication",
        ),
        ({"tags": {f"key-{number}": "" for number in range(51)}}, "less than or equal to 50"),
        ({"tags": {"aws:mine": ""}}, "aws:"),
        ({"tags": {"a": "b" * 257}}, "less than or equal to 256"),
    ],
)
def test_create_cluster_refuses_invalid_parameters(account: Account, changes: dict[str, t.Any], words: str) -> None:
    with refused("InvalidParameterException", words, status=400):
        create(account, **changes)
    assert account.eks.list_clusters()["clusters"] == []


def test_create_cluster_refuses_unreachable_endpoint(account: Account) -> None:
    vpc = {"subnetIds": account.subnets(), "endpointPublicAccess": False, "endpointPrivateAccess": False}
    with refused("InvalidParameterException", "Private and public endpoint access cannot be false"):
        create(account, resourcesVpcConfig=vpc)


def test_delete_cluster_refuses_cluster_with_nodegroups(account: Account) -> None:
    account.cluster("one")
    account.nodegroup()
    with refused("ResourceInUseException", "Cluster has nodegroups attached", status=409):
        account.eks.delete_cluster(name="one")


def test_creating_cluster_refuses_changes_and_deletion(account: Account) -> None:
    account.sandbox.knobs(cluster_seconds=30)
    create(account)
    with refused("ResourceInUseException", status=409):
        account.eks.delete_cluster(name="one")
    with refused("InvalidRequestException", "is not in ACTIVE status", status=400):
        account.eks.create_addon(clusterName="one", addonName="eks-pod-identity-agent")


def test_deletion_protection_applies_until_it_is_disabled(account: Account) -> None:
    account.cluster("one", deletionProtection=True)
    with refused("InvalidRequestException", "deletion protection", status=400):
        account.eks.delete_cluster(name="one")
    update = account.eks.update_cluster_config(name="one", deletionProtection=False)["update"]
    wait_for(lambda: account.eks.describe_update(name="one", updateId=update["id"])["update"], "Successful")
    assert account.eks.delete_cluster(name="one")["cluster"]["status"] == "DELETING"


def test_deletion_protection_does_not_apply_to_failed_cluster(account: Account) -> None:
    account.sandbox.knobs(cluster_outcomes={"one": "FAILED"})
    create(account, deletionProtection=True)
    wait_for(lambda: account.eks.describe_cluster(name="one")["cluster"], "FAILED")
    assert account.eks.delete_cluster(name="one")["cluster"]["status"] == "DELETING"


def test_cluster_is_updating_during_config_update(account: Account) -> None:
    account.cluster("one")
    account.sandbox.knobs(cluster_seconds=0.3)
    update = account.eks.update_cluster_config(name="one", resourcesVpcConfig={"endpointPrivateAccess": True})["update"]
    assert (update["type"], update["status"]) == ("EndpointAccessUpdate", "InProgress")
    assert account.eks.describe_cluster(name="one")["cluster"]["status"] == "UPDATING"
    with refused("ResourceInUseException", f"currently has update {update['id']} in progress", status=409):
        account.eks.update_cluster_config(name="one", accessConfig={"authenticationMode": "API"})
    after = wait_for(lambda: account.eks.describe_cluster(name="one")["cluster"], "ACTIVE")
    assert after["resourcesVpcConfig"]["endpointPrivateAccess"] is True
    assert after["resourcesVpcConfig"]["endpointPublicAccess"] is True
    assert account.eks.describe_update(name="one", updateId=update["id"])["update"]["status"] == "Successful"
    assert account.eks.list_updates(name="one")["updateIds"] == [update["id"]]
    with refused("InvalidParameterException", "already at the desired configuration"):
        account.eks.update_cluster_config(name="one", resourcesVpcConfig={"endpointPrivateAccess": True})
    with refused("ResourceNotFoundException", status=404):
        account.eks.describe_update(name="one", updateId="8ab3a76f-0000-0000-0000-000000000000")


def test_version_increases_by_one_and_never_decreases(account: Account) -> None:
    account.cluster("one", version="1.33")
    for version in ("1.35", "1.33", "1.32"):
        with refused("InvalidParameterException", "from 1.33 to", status=400):
            account.eks.update_cluster_version(name="one", version=version)
    account.eks.update_cluster_version(name="one", version="1.34")
    assert wait_for(lambda: account.eks.describe_cluster(name="one")["cluster"], "ACTIVE")["version"] == "1.34"


def test_version_update_with_failed_insights_needs_force(account: Account) -> None:
    account.cluster("one", version="1.33")
    account.sandbox.knobs(cluster_insights={"one": "ERROR"})
    with refused("InvalidStateException", "Upgrade readiness issues detected", status=400):
        account.eks.update_cluster_version(name="one", version="1.34")
    update = account.eks.update_cluster_version(name="one", version="1.34", force=True)["update"]
    assert finished(account, update)["type"] == "VersionUpdate"


def test_authentication_mode_only_moves_to_access_entries(account: Account) -> None:
    account.cluster("one", mode="API_AND_CONFIG_MAP")
    with refused("InvalidParameterException", "Unsupported authentication mode update"):
        account.eks.update_cluster_config(name="one", accessConfig={"authenticationMode": "CONFIG_MAP"})
    account.eks.update_cluster_config(name="one", accessConfig={"authenticationMode": "API"})
    after = wait_for(lambda: account.eks.describe_cluster(name="one")["cluster"], "ACTIVE")
    assert after["accessConfig"]["authenticationMode"] == "API"


def test_leaving_config_map_mode_creates_entry_for_creator(account: Account) -> None:
    account.cluster("one", mode="CONFIG_MAP")
    with refused("InvalidRequestException", "authentication mode must be set"):
        account.eks.list_access_entries(clusterName="one")
    account.eks.update_cluster_config(name="one", accessConfig={"authenticationMode": "API_AND_CONFIG_MAP"})
    wait_for(lambda: account.eks.describe_cluster(name="one")["cluster"], "ACTIVE")
    [creator] = account.eks.list_access_entries(clusterName="one")["accessEntries"]
    assert creator == account.sandbox.client("sts").get_caller_identity()["Arn"]
    names = {"clusterName": "one", "principalArn": creator}
    [policy] = account.eks.list_associated_access_policies(**names)["associatedAccessPolicies"]
    assert policy["policyArn"].endswith("/AmazonEKSClusterAdminPolicy")
    # One that somebody has taken away does not come back.
    account.eks.delete_access_entry(**names)
    account.eks.update_cluster_config(name="one", accessConfig={"authenticationMode": "API"})
    wait_for(lambda: account.eks.describe_cluster(name="one")["cluster"], "ACTIVE")
    assert account.eks.list_access_entries(clusterName="one")["accessEntries"] == []


def test_versions_have_one_default(account: Account) -> None:
    found = account.eks.describe_cluster_versions()["clusterVersions"]
    numbers = [version["clusterVersion"] for version in found]
    assert numbers == sorted(numbers, reverse=True)
    assert [version["clusterVersion"] for version in found if version["defaultVersion"]] == [create(account)["version"]]


def test_same_request_token_creates_one_cluster(account: Account) -> None:
    role = account.role("cluster-role", "eks.amazonaws.com")
    first = create(account, roleArn=role, clientRequestToken="once")
    assert create(account, roleArn=role, clientRequestToken="once")["arn"] == first["arn"]
    with refused("InvalidParameterException", "request token", status=400):
        create(account, name="two", roleArn=role, clientRequestToken="once")


def test_kubeconfig_has_one_context_per_running_cluster(account: Account) -> None:
    account.cluster("one")
    account.cluster("two")
    config = yaml.safe_load(account.sandbox.kubeconfig.read_text(encoding="utf-8"))
    assert [context["name"] for context in config["contexts"]] == ["one", "two"]
    assert account.sandbox.kubeconfig.stat().st_mode & 0o077 == 0
    account.eks.delete_cluster(name="one")
    wait_until_gone(lambda: account.eks.describe_cluster(name="one"))
    config = yaml.safe_load(account.sandbox.kubeconfig.read_text(encoding="utf-8"))
    assert [context["name"] for context in config["contexts"]] == ["two"]


def test_lists_come_in_pages(account: Account) -> None:
    for name in ("one", "two", "three"):
        account.cluster(name)
    first = account.eks.list_clusters(maxResults=2)
    second = account.eks.list_clusters(maxResults=2, nextToken=first["nextToken"])
    assert sorted(first["clusters"] + second["clusters"]) == ["one", "three", "two"]
    assert "nextToken" not in second
    with refused("InvalidParameterException", "nextToken", status=400):
        account.eks.list_clusters(nextToken="made-up")


def test_sandbox_refuses_unsupported_operation_by_name(account: Account) -> None:
    account.cluster("one")
    with refused("NotImplementedInSandbox", "eks:ListFargateProfiles", status=501):
        account.eks.list_fargate_profiles(clusterName="one")


def finished(account: Account, update: dict[str, t.Any], *status: str) -> dict[str, t.Any]:
    """An update of the cluster once it has ended."""
    return wait_for(
        lambda: account.eks.describe_update(name="one", updateId=update["id"])["update"], *(status or ("Successful",))
    )


@pytest.mark.parametrize(
    ("change", "kind", "parameter"),
    [
        ({"logging": {"clusterLogging": [{"types": ["api"], "enabled": True}]}}, "LoggingUpdate", "ClusterLogging"),
        ({"resourcesVpcConfig": {"endpointPrivateAccess": True}}, "EndpointAccessUpdate", "EndpointPrivateAccess"),
        ({"accessConfig": {"authenticationMode": "API"}}, "AccessConfigUpdate", "AuthenticationMode"),
        ({"upgradePolicy": {"supportType": "STANDARD"}}, "UpgradePolicyUpdate", "UpgradePolicy"),
        ({"zonalShiftConfig": {"enabled": True}}, "ZonalShiftConfigUpdate", "ZonalShiftConfig"),
        ({"deletionProtection": True}, "DeletionProtectionUpdate", "DeletionProtection"),
    ],
)
def test_each_setting_has_its_own_update_type(
    account: Account, change: dict[str, t.Any], kind: str, parameter: str
) -> None:
    account.cluster("one", mode="API_AND_CONFIG_MAP")
    update = account.eks.update_cluster_config(name="one", **change)["update"]
    assert (update["type"], parameter in {one["type"] for one in update["params"]}) == (kind, True)
    assert finished(account, update)["errors"] == []
    cluster = account.eks.describe_cluster(name="one")["cluster"]
    [(member, value)] = change.items()
    if isinstance(value, dict) and member != "logging":
        assert value.items() <= cluster[member].items()
    elif member == "logging":
        assert cluster[member]["clusterLogging"][0] == {"types": ["api"], "enabled": True}
    else:
        assert cluster[member] == value
    with refused("InvalidParameterException", status=400):
        account.eks.update_cluster_config(name="one", **change)


def test_config_update_takes_one_kind_of_change(account: Account) -> None:
    account.cluster("one")
    private = {"endpointPrivateAccess": True}
    for change in (
        {"resourcesVpcConfig": private, "deletionProtection": True},
        {"resourcesVpcConfig": {**private, "subnetIds": account.subnets()}},
    ):
        with refused("InvalidParameterException", "Only one type of update can be allowed.", status=400):
            account.eks.update_cluster_config(name="one", **change)
    with refused("InvalidParameterException", "Invalid type for cluster update.", status=400):
        account.eks.update_cluster_config(name="one")
    assert account.eks.list_updates(name="one")["updateIds"] == []


def test_subnets_and_security_groups_change_within_the_vpc(account: Account) -> None:
    vpc = account.cluster("one")["resourcesVpcConfig"]
    group = account.ec2.create_security_group(GroupName="more", Description="more", VpcId=vpc["vpcId"])["GroupId"]
    wanted = {"subnetIds": account.subnets()[:2], "securityGroupIds": [group]}
    update = account.eks.update_cluster_config(name="one", resourcesVpcConfig=wanted)["update"]
    assert update["type"] == "VpcConfigUpdate"
    finished(account, update)
    after = account.eks.describe_cluster(name="one")["cluster"]["resourcesVpcConfig"]
    assert (after["subnetIds"], after["securityGroupIds"]) == (wanted["subnetIds"], [group])
    foreign = account.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    other = [
        account.ec2.create_subnet(VpcId=foreign, CidrBlock=f"10.9.{number}.0/24", AvailabilityZone=f"eu-west-1{zone}")
        for number, zone in enumerate("ab")
    ]
    with refused("InvalidParameterException", "different VPC", status=400):
        ids = [one["Subnet"]["SubnetId"] for one in other]
        account.eks.update_cluster_config(name="one", resourcesVpcConfig={"subnetIds": ids})


def test_update_without_change_reports_current_settings(account: Account) -> None:
    account.cluster("one")
    words = "endpointPrivateAccess: false , endpointPublicAccess: true, and Public Endpoint Restrictions: [0.0.0.0/0]"
    with refused("InvalidParameterException", words, status=400):
        account.eks.update_cluster_config(name="one", resourcesVpcConfig={"endpointPublicAccess": True})
    with refused("InvalidParameterException", "No changes needed for the logging config provided", status=400):
        logging = {"clusterLogging": [{"types": ["api"], "enabled": False}]}
        account.eks.update_cluster_config(name="one", logging=logging)


@pytest.mark.parametrize("cidr", ["10.0.0.0/8", "192.168.1.0/24", "nonsense"])
def test_public_access_cidrs_must_be_public(account: Account, cidr: str) -> None:
    vpc = {"subnetIds": account.subnets(), "publicAccessCidrs": [cidr]}
    with refused("InvalidParameterException", f"in publicAccessCidrs: [{cidr}]", status=400):
        create(account, resourcesVpcConfig=vpc)


def test_auto_mode_node_role_must_exist_and_trust_ec2(account: Account) -> None:
    compute = {"enabled": True, "nodePools": ["system"]}
    good = {**AUTO, "accessConfig": {"authenticationMode": "API"}, "bootstrapSelfManagedAddons": False}
    good["roleArn"] = account.role(*AUTO_ROLE)
    with refused("InvalidParameterException", "ec2.amazonaws.com", status=400):
        create(account, **{**good, "computeConfig": {**compute, "nodeRoleArn": account.pod_role()}})
    missing = "arn:aws:iam::111122223333:role/missing"
    with refused("InvalidParameterException", "missing cannot be found", status=400):
        create(account, **{**good, "computeConfig": {**compute, "nodeRoleArn": missing}})


def test_cluster_can_have_an_old_platform_version(account: Account) -> None:
    account.sandbox.knobs(cluster_platforms={"one": "1.28/eks.3"})
    cluster = create(account)
    assert (cluster["version"], cluster["platformVersion"]) == ("1.28", "eks.3")
    wait_for(lambda: account.eks.describe_cluster(name="one")["cluster"], "ACTIVE")
    with refused("InvalidParameterException", "Addon version specified is not supported"):
        account.eks.create_addon(clusterName="one", addonName="eks-pod-identity-agent")
    with refused("InvalidParameterException", "from 1.28 to 1.29"):
        account.eks.update_cluster_version(name="one", version="1.29")


@pytest.mark.parametrize("cidr", ["8.8.0.0/16", "10.0.0.0/8", "10.0.0.0/25", "172.31.0.0/16", "nonsense"])
def test_service_cidr_must_be_private_and_outside_the_vpc(account: Account, cidr: str) -> None:
    with refused("InvalidParameterException", cidr, status=400):
        create(account, kubernetesNetworkConfig={"serviceIpv4Cidr": cidr})
    role = "arn:aws:iam::111122223333:role/cluster-role"
    cluster = create(account, roleArn=role, kubernetesNetworkConfig={"serviceIpv4Cidr": "10.1.0.0/16"})
    assert cluster["kubernetesNetworkConfig"]["serviceIpv4Cidr"] == "10.1.0.0/16"


AUTO = {
    "computeConfig": {"enabled": True},
    "kubernetesNetworkConfig": {"elasticLoadBalancing": {"enabled": True}},
    "storageConfig": {"blockStorage": {"enabled": True}},
}
AUTO_ROLE = ("auto", "eks.amazonaws.com", ("sts:AssumeRole", "sts:TagSession"))


def test_auto_mode_needs_all_three_settings(account: Account) -> None:
    more = {"accessConfig": {"authenticationMode": "API"}, "bootstrapSelfManagedAddons": False}
    more["roleArn"] = account.role(*AUTO_ROLE)
    for left_out in AUTO:
        some = {name: value for name, value in AUTO.items() if name != left_out}
        with refused("InvalidParameterException", "are all either fully enabled or fully disabled", status=400):
            create(account, **some, **more)
    cluster = create(account, **AUTO, **more)
    assert cluster["computeConfig"] == {"enabled": True}
    assert cluster["storageConfig"] == AUTO["storageConfig"]
    assert cluster["kubernetesNetworkConfig"]["elasticLoadBalancing"] == {"enabled": True}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bootstrapSelfManagedAddons": True}, "bootstrapSelfManagedAddons must be set to false"),
        ({"accessConfig": {"authenticationMode": "CONFIG_MAP"}}, "requires the authentication mode"),
        ({"computeConfig": {"enabled": True, "nodeRoleArn": "arn"}}, "nodePool value(s) must be provided"),
        ({"computeConfig": {"enabled": True, "nodePools": ["system"]}}, "nodeRoleArn must be provided"),
        ({"computeConfig": {"enabled": True, "nodePools": ["mine"], "nodeRoleArn": "arn"}}, "nodePools must be of"),
    ],
)
def test_auto_mode_refuses_invalid_settings(account: Account, changes: dict[str, t.Any], words: str) -> None:
    default = {**AUTO, "accessConfig": {"authenticationMode": "API"}, "bootstrapSelfManagedAddons": False}
    with refused("InvalidParameterException", words, status=400):
        create(account, **{**default, "roleArn": account.role(*AUTO_ROLE), **changes})


@pytest.mark.parametrize("good", [True, False])
def test_enabling_auto_mode_needs_role_with_session_tags(account: Account, good: bool) -> None:
    role = account.role("role", "eks.amazonaws.com", AUTO_ROLE[2] if good else ("sts:AssumeRole",))
    create(account, roleArn=role, accessConfig={"authenticationMode": "API"})
    account.eks.get_waiter("cluster_active").wait(name="one", WaiterConfig={"Delay": 1, "MaxAttempts": 15})
    if good:
        update = account.eks.update_cluster_config(name="one", **AUTO)["update"]
        assert (update["type"], finished(account, update)["status"]) == ("AutoModeUpdate", "Successful")
        assert account.eks.describe_cluster(name="one")["cluster"]["computeConfig"]["enabled"] is True
    else:
        with refused("InvalidParameterException", "could not be assumed", status=400):
            account.eks.update_cluster_config(name="one", **AUTO)


def test_auto_mode_node_pools_change_but_their_role_does_not(account: Account) -> None:
    role, *others = (account.role(name, "ec2.amazonaws.com") for name in ("nodes", "others"))
    access = {"accessConfig": {"authenticationMode": "API"}, "bootstrapSelfManagedAddons": False}
    pools = {"enabled": True, "nodePools": ["system"], "nodeRoleArn": role}
    create(account, roleArn=account.role(*AUTO_ROLE), **access, **{**AUTO, "computeConfig": pools})
    account.eks.get_waiter("cluster_active").wait(name="one", WaiterConfig={"Delay": 1, "MaxAttempts": 15})

    def change(**compute: t.Any) -> dict[str, t.Any]:
        finished(account, account.eks.update_cluster_config(name="one", **compute)["update"])
        cluster: dict[str, t.Any] = account.eks.describe_cluster(name="one")["cluster"]["computeConfig"]
        return cluster

    with refused("InvalidParameterException", "nodeRoleArn cannot be changed", status=400):
        change(**{**AUTO, "computeConfig": {**pools, "nodeRoleArn": others[0]}})
    assert change(**{**AUTO, "computeConfig": {"enabled": True, "nodePools": []}}) == {"enabled": True, "nodePools": []}
    assert change(**{**AUTO, "computeConfig": pools}) == pools
    off = {"enabled": False}
    switches = {"kubernetesNetworkConfig": {"elasticLoadBalancing": off}, "storageConfig": {"blockStorage": off}}
    assert change(computeConfig=off, **switches) == off


def test_encryption_can_be_added_once(account: Account) -> None:
    account.cluster("one")
    config = [{"resources": ["secrets"], "provider": {"keyArn": "arn:aws:kms:eu-west-1:111122223333:key/abc"}}]
    with refused("InvalidParameterException", "keyArn", status=400):
        account.eks.associate_encryption_config(
            clusterName="one", encryptionConfig=[{"resources": ["secrets"], "provider": {"keyArn": "abc"}}]
        )
    update = account.eks.associate_encryption_config(clusterName="one", encryptionConfig=config)["update"]
    assert update["type"] == "AssociateEncryptionConfig"
    finished(account, update)
    assert account.eks.describe_cluster(name="one")["cluster"]["encryptionConfig"] == config
    with refused("InvalidParameterException", "Encryption is already enabled on the cluster", status=400):
        account.eks.associate_encryption_config(clusterName="one", encryptionConfig=config)


def test_knobs_make_cluster_and_update_fail(account: Account) -> None:
    account.sandbox.knobs(cluster_outcomes={"one": "FAILED"}, cluster_issues={"one": "IamRoleNotFound"})
    create(account)
    failed = wait_for(lambda: account.eks.describe_cluster(name="one")["cluster"], "FAILED")
    assert [issue["code"] for issue in failed["health"]["issues"]] == ["IamRoleNotFound"]
    with pytest.raises(botocore.exceptions.WaiterError, match="FAILED"):
        account.eks.get_waiter("cluster_active").wait(name="one", WaiterConfig={"Delay": 1, "MaxAttempts": 5})
    account.eks.delete_cluster(name="one")
    account.eks.get_waiter("cluster_deleted").wait(name="one", WaiterConfig={"Delay": 1, "MaxAttempts": 15})
    account.sandbox.knobs(cluster_outcomes={}, update_outcomes={"DeletionProtectionUpdate": "Failed"})
    create(account, roleArn="arn:aws:iam::111122223333:role/cluster-role")
    account.eks.get_waiter("cluster_active").wait(name="one", WaiterConfig={"Delay": 1, "MaxAttempts": 15})
    update = account.eks.update_cluster_config(name="one", deletionProtection=True)["update"]
    assert finished(account, update, "Failed")["errors"][0]["errorCode"] == "Unknown"
    cluster = wait_for(lambda: account.eks.describe_cluster(name="one")["cluster"], "ACTIVE")
    assert cluster["deletionProtection"] is False


def test_version_update_refuses_nodes_too_far_behind(account: Account) -> None:
    account.cluster("one", version="1.31")
    assert account.nodegroup()["version"] == "1.31"

    def go_to(version: str) -> None:
        account.eks.update_cluster_version(name="one", version=version)
        wait_for(lambda: account.eks.describe_cluster(name="one")["cluster"], "ACTIVE")

    for version in ("1.32", "1.33", "1.34"):
        go_to(version)
    with refused("InvalidRequestException", "Nodegroups nodes must be updated", status=400):
        account.eks.update_cluster_version(name="one", version="1.35")
    update = account.eks.update_nodegroup_version(clusterName="one", nodegroupName="nodes")["update"]
    assert {"type": "Version", "value": "1.34"} in update["params"]
    wait_for(account.describe_nodegroup, "ACTIVE")
    go_to("1.35")


@pytest.mark.parametrize(
    "change",
    [
        {"outpostConfig": {"outpostArns": ["a"], "controlPlaneInstanceType": "m5.large"}},
        {"remoteNetworkConfig": {"remoteNodeNetworks": [{"cidrs": ["10.1.0.0/16"]}]}},
        {"kubernetesNetworkConfig": {"ipFamily": "ipv6"}},
    ],
)
def test_create_cluster_refuses_unsupported_settings(account: Account, change: dict[str, t.Any]) -> None:
    with refused("NotImplementedInSandbox", next(iter(change)), status=501):
        create(account, **change)
