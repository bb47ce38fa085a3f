# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clusters as EKS has them."""

from __future__ import annotations

import base64
import typing as t

import pytest
import yaml
from conformance.conftest import Account
from conformance.conftest import allow
from conformance.conftest import refused
from conformance.conftest import wait_for
from conformance.conftest import wait_until_gone


def create(account: Account, **changes: t.Any) -> dict[str, t.Any]:
    """Create a cluster with these parameters changed, and do not wait."""
    parameters: dict[str, t.Any] = {"name": "one", "resourcesVpcConfig": {"subnetIds": account.subnets()}}
    if "roleArn" not in changes:
        changes["roleArn"] = account.role("cluster-role", "eks.amazonaws.com")
    cluster: dict[str, t.Any] = account.eks.create_cluster(**{**parameters, **changes})["cluster"]
    return cluster


def test_a_cluster_is_creating_and_then_active_with_an_endpoint(account: Account) -> None:
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


def test_a_cluster_has_the_defaults_of_eks(account: Account) -> None:
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


def test_the_cluster_security_group_comes_and_goes_with_the_cluster(account: Account) -> None:
    before = {group["GroupId"] for group in account.ec2.describe_security_groups()["SecurityGroups"]}
    group = account.cluster("one")["resourcesVpcConfig"]["clusterSecurityGroupId"]
    [found] = account.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert found["GroupName"].startswith("eks-cluster-sg-one-")
    assert {"Key": "kubernetes.io/cluster/one", "Value": "owned"} in found["Tags"]
    assert found["VpcId"] == account.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    account.eks.delete_cluster(name="one")
    wait_until_gone(lambda: account.eks.describe_cluster(name="one"))
    assert {group["GroupId"] for group in account.ec2.describe_security_groups()["SecurityGroups"]} == before


def test_a_second_cluster_of_the_same_name_is_a_conflict(account: Account) -> None:
    account.cluster("one")
    with refused("ResourceInUseException", "Cluster already exists with name: one", status=409):
        create(account)


def test_a_cluster_that_does_not_exist_is_not_found(account: Account) -> None:
    with refused("ResourceNotFoundException", "No cluster found for name: none.", status=404):
        account.eks.describe_cluster(name="none")


@pytest.mark.parametrize("name", ["-one", "o ne", "a" * 101, "ä"])
def test_a_name_that_cannot_be_is_refused(account: Account, name: str) -> None:
    with refused("InvalidParameterException", status=400):
        create(account, name=name)


def test_a_role_must_exist_and_trust_eks(account: Account) -> None:
    words = "could not be assumed because it does not exist or the trusted entity is not correct"
    with refused("InvalidParameterException", words, status=400):
        create(account, roleArn="arn:aws:iam::111122223333:role/none")
    with refused("InvalidParameterException", words, status=400):
        create(account, roleArn=account.pod_role())


def test_a_new_role_is_not_there_until_iam_has_spread_it(account: Account) -> None:
    account.sandbox.knobs(iam_propagation_seconds=60)
    role = account.role("young", "eks.amazonaws.com")
    with refused("InvalidParameterException", "does not exist"):
        create(account, roleArn=role)
    account.sandbox.knobs(iam_propagation_seconds=0)
    assert create(account, roleArn=role)["status"] == "CREATING"


def test_the_caller_must_be_allowed_to_pass_the_role(account: Account) -> None:
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
        ({"tags": {f"key-{number}": "" for number in range(51)}}, "less than or equal to 50"),
        ({"tags": {"aws:mine": ""}}, "aws:"),
        ({"tags": {"a": "b" * 257}}, "less than or equal to 256"),
    ],
)
def test_parameters_that_eks_refuses(account: Account, changes: dict[str, t.Any], words: str) -> None:
    with refused("InvalidParameterException", words, status=400):
        create(account, **changes)
    assert account.eks.list_clusters()["clusters"] == []


def test_an_api_server_that_nobody_could_reach_is_refused(account: Account) -> None:
    vpc = {"subnetIds": account.subnets(), "endpointPublicAccess": False, "endpointPrivateAccess": False}
    with refused("InvalidParameterException", "Private and public endpoint access cannot be false"):
        create(account, resourcesVpcConfig=vpc)


def test_a_cluster_with_node_groups_cannot_be_deleted(account: Account) -> None:
    account.cluster("one")
    account.nodegroup()
    with refused("ResourceInUseException", "Cluster has nodegroups attached", status=409):
        account.eks.delete_cluster(name="one")


def test_a_cluster_that_is_being_made_cannot_be_changed_or_deleted(account: Account) -> None:
    account.sandbox.knobs(cluster_seconds=30)
    create(account)
    with refused("ResourceInUseException", status=409):
        account.eks.delete_cluster(name="one")
    with refused("InvalidRequestException", "is not in ACTIVE status", status=400):
        account.eks.create_addon(clusterName="one", addonName="eks-pod-identity-agent")


def test_deletion_protection_holds_until_it_is_taken_off(account: Account) -> None:
    account.cluster("one", deletionProtection=True)
    with refused("InvalidRequestException", "deletion protection", status=400):
        account.eks.delete_cluster(name="one")
    update = account.eks.update_cluster_config(name="one", deletionProtection=False)["update"]
    wait_for(lambda: account.eks.describe_update(name="one", updateId=update["id"])["update"], "Successful")
    assert account.eks.delete_cluster(name="one")["cluster"]["status"] == "DELETING"


def test_a_configuration_update_goes_through_updating(account: Account) -> None:
    account.cluster("one")
    account.sandbox.knobs(cluster_seconds=0.3)
    update = account.eks.update_cluster_config(name="one", resourcesVpcConfig={"endpointPrivateAccess": True})["update"]
    assert (update["type"], update["status"]) == ("VpcConfigUpdate", "InProgress")
    assert account.eks.describe_cluster(name="one")["cluster"]["status"] == "UPDATING"
    with refused("ResourceInUseException", status=409):
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


def test_a_version_goes_up_by_one_and_never_down(account: Account) -> None:
    account.cluster("one", version="1.33")
    for version in ("1.35", "1.33", "1.32"):
        with refused("InvalidParameterException", "from 1.33 to", status=400):
            account.eks.update_cluster_version(name="one", version=version)
    account.eks.update_cluster_version(name="one", version="1.34")
    assert wait_for(lambda: account.eks.describe_cluster(name="one")["cluster"], "ACTIVE")["version"] == "1.34"


def test_the_authentication_mode_only_moves_towards_access_entries(account: Account) -> None:
    account.cluster("one", mode="API_AND_CONFIG_MAP")
    with refused("InvalidParameterException", "Unsupported authentication mode update"):
        account.eks.update_cluster_config(name="one", accessConfig={"authenticationMode": "CONFIG_MAP"})
    account.eks.update_cluster_config(name="one", accessConfig={"authenticationMode": "API"})
    after = wait_for(lambda: account.eks.describe_cluster(name="one")["cluster"], "ACTIVE")
    assert after["accessConfig"]["authenticationMode"] == "API"


def test_versions_have_one_default(account: Account) -> None:
    found = account.eks.describe_cluster_versions()["clusterVersions"]
    numbers = [version["clusterVersion"] for version in found]
    assert numbers == sorted(numbers, reverse=True)
    assert [version["clusterVersion"] for version in found if version["defaultVersion"]] == [create(account)["version"]]


def test_the_same_request_token_makes_one_cluster(account: Account) -> None:
    role = account.role("cluster-role", "eks.amazonaws.com")
    first = create(account, roleArn=role, clientRequestToken="once")
    assert create(account, roleArn=role, clientRequestToken="once")["arn"] == first["arn"]
    with refused("InvalidParameterException", "request token", status=400):
        create(account, name="two", roleArn=role, clientRequestToken="once")


def test_the_kubeconfig_has_one_context_for_each_running_cluster(account: Account) -> None:
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


def test_an_operation_that_the_sandbox_lacks_is_refused_clearly(account: Account) -> None:
    account.cluster("one")
    with refused("NotImplementedInSandbox", "eks:ListFargateProfiles", status=501):
        account.eks.list_fargate_profiles(clusterName="one")
