# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Several accounts and regions in one sandbox: the same names in each, and nothing shared."""

from __future__ import annotations

import json
import typing as t

import pytest
import yaml
from support.boto3_account import Account
from support.boto3_account import refused

pytestmark = pytest.mark.client("boto3")

MAIN, OTHER = "111122223333", "444455556666"


class AccountView(Account):
    """An account seen with other keys or from another region."""

    def __init__(self, account: Account, **settings: str) -> None:
        self.sandbox = account.sandbox
        self.eks = self.sandbox.client("eks", **settings)
        self.iam = self.sandbox.client("iam", **settings)
        self.ec2 = self.sandbox.client("ec2", **settings)
        self.tagging = self.sandbox.client("resourcegroupstaggingapi", **settings)


@pytest.fixture
def other_account(account: Account) -> AccountView:
    """A second account in the same region."""
    return AccountView(account, **account.sandbox.add_account(OTHER)[OTHER])


@pytest.fixture
def other_region(account: Account) -> AccountView:
    """The first account in another region."""
    return AccountView(account, region_name="us-east-1")


def test_account_administrator_keys_survive_a_reset(account: Account, other_account: AccountView) -> None:
    keys = account.sandbox.add_account(OTHER)[OTHER]
    who = account.sandbox.client("sts", **keys).get_caller_identity()
    assert (who["Account"], who["Arn"]) == (OTHER, f"arn:aws:iam::{OTHER}:user/sandbox-admin")
    account.sandbox.reset()
    assert account.sandbox.client("sts", **keys).get_caller_identity()["Account"] == OTHER
    with pytest.raises(ValueError, match="12 digits"):
        account.sandbox.add_account("4444")


def test_accounts_share_neither_roles_nor_networks(account: Account, other_account: AccountView) -> None:
    mine, theirs = account.pod_role("workload"), other_account.pod_role("workload")
    assert (mine, theirs) == (f"arn:aws:iam::{MAIN}:role/workload", f"arn:aws:iam::{OTHER}:role/workload")
    vpc = other_account.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    assert vpc not in {one["VpcId"] for one in account.ec2.describe_vpcs()["Vpcs"]}
    other_account.iam.delete_role(RoleName="workload")
    assert account.iam.get_role(RoleName="workload")["Role"]["Arn"] == mine


def test_accounts_and_regions_share_no_clusters(
    account: Account, other_account: AccountView, other_region: AccountView
) -> None:
    account.cluster("one", tags={"where": "here"})
    other_account.cluster("one", tags={"where": "other"})
    other_region.eks.create_cluster(
        name="one",
        roleArn=f"arn:aws:iam::{MAIN}:role/one-cluster",
        resourcesVpcConfig={"subnetIds": other_region.subnets()},
        tags={"where": "abroad"},
    )
    other_region.eks.get_waiter("cluster_active").wait(name="one", WaiterConfig={"Delay": 1, "MaxAttempts": 15})
    for place, arn in (
        (account, f"arn:aws:eks:eu-west-1:{MAIN}:cluster/one"),
        (other_account, f"arn:aws:eks:eu-west-1:{OTHER}:cluster/one"),
        (other_region, f"arn:aws:eks:us-east-1:{MAIN}:cluster/one"),
    ):
        assert place.eks.describe_cluster(name="one")["cluster"]["arn"] == arn
        assert place.eks.list_clusters()["clusters"] == ["one"]
    found = other_account.tagging.get_resources(ResourceTypeFilters=["eks:cluster"])["ResourceTagMappingList"]
    assert [one["Tags"] for one in found] == [[{"Key": "where", "Value": "other"}]]
    config = yaml.safe_load(account.sandbox.kubeconfig.read_text(encoding="utf-8"))
    names = [context["name"] for context in config["contexts"]]
    assert len(set(names)) == 3


def test_associations_belong_to_cluster_of_their_account(account: Account, other_account: AccountView) -> None:
    account.cluster("one")
    other_account.cluster("one")
    mine = account.associate(account.pod_role())
    assert other_account.eks.list_pod_identity_associations(clusterName="one")["associations"] == []
    theirs = other_account.associate(other_account.pod_role())
    assert theirs["associationArn"].startswith(f"arn:aws:eks:eu-west-1:{OTHER}:podidentityassociation/one/")
    with refused("ResourceNotFoundException", status=404):
        other_account.eks.describe_pod_identity_association(clusterName="one", associationId=mine["associationId"])
    with refused("NotFoundException", status=404):
        other_account.eks.tag_resource(resourceArn=mine["associationArn"], tags={"a": "1"})


def test_only_target_role_may_be_in_another_account(account: Account, other_account: AccountView) -> None:
    account.cluster("one")
    theirs = other_account.pod_role("theirs")
    with refused("InvalidParameterException", "Cross-account pass role is not allowed.", status=400):
        account.associate(theirs)
    association = account.associate(account.pod_role(), targetRoleArn=theirs)
    assert association["targetRoleArn"] == theirs


def test_request_token_applies_to_one_account(account: Account, other_account: AccountView) -> None:
    account.cluster("one", clientRequestToken="once")
    assert other_account.cluster("one", clientRequestToken="once")["arn"].split(":")[4] == OTHER


@pytest.mark.parametrize("name", ["none", "sandbox-admin-2"])
def test_trust_policy_refuses_unknown_principals(account: Account, other_account: AccountView, name: str) -> None:
    def trusting(principal: str) -> dict[str, t.Any]:
        statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        return {"RoleName": "trusting", "AssumeRolePolicyDocument": document}

    for account_id in (MAIN, OTHER):
        for kind in ("role", "user"):
            principal = f"arn:aws:iam::{account_id}:{kind}/{name}"
            with refused("MalformedPolicyDocument", f'Invalid principal in policy: "AWS":"{principal}"', status=400):
                account.iam.create_role(**trusting(principal))
    assert account.iam.create_role(**trusting(f"arn:aws:iam::{OTHER}:user/sandbox-admin"))


def test_deleted_principal_leaves_its_id_in_trust_policy(account: Account, other_account: AccountView) -> None:
    source = other_account.iam.create_role(
        RoleName="source",
        AssumeRolePolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Principal": {"AWS": OTHER}, "Action": "sts:AssumeRole"}],
            }
        ),
    )["Role"]
    statement = {"Effect": "Allow", "Principal": {"AWS": source["Arn"]}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    account.iam.create_role(RoleName="target", AssumeRolePolicyDocument=document)
    other_account.iam.delete_role(RoleName="source")
    [kept] = account.iam.get_role(RoleName="target")["Role"]["AssumeRolePolicyDocument"]["Statement"]
    assert kept["Principal"] == {"AWS": source["RoleId"]}
