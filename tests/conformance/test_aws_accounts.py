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


class Elsewhere(Account):
    """An account seen with other keys or from another region."""

    def __init__(self, account: Account, **settings: str) -> None:
        self.sandbox = account.sandbox
        self.eks = self.sandbox.client("eks", **settings)
        self.iam = self.sandbox.client("iam", **settings)
        self.ec2 = self.sandbox.client("ec2", **settings)
        self.tagging = self.sandbox.client("resourcegroupstaggingapi", **settings)


@pytest.fixture
def other(account: Account) -> Elsewhere:
    """A second account in the same region."""
    return Elsewhere(account, **account.sandbox.add_account(OTHER)[OTHER])


@pytest.fixture
def abroad(account: Account) -> Elsewhere:
    """The first account in another region."""
    return Elsewhere(account, region_name="us-east-1")


def test_an_account_has_an_administrator_whose_keys_outlive_a_reset(account: Account, other: Elsewhere) -> None:
    keys = account.sandbox.add_account(OTHER)[OTHER]
    who = account.sandbox.client("sts", **keys).get_caller_identity()
    assert (who["Account"], who["Arn"]) == (OTHER, f"arn:aws:iam::{OTHER}:user/sandbox-admin")
    account.sandbox.reset()
    assert account.sandbox.client("sts", **keys).get_caller_identity()["Account"] == OTHER
    with pytest.raises(ValueError, match="12 digits"):
        account.sandbox.add_account("4444")


def test_accounts_share_neither_roles_nor_networks(account: Account, other: Elsewhere) -> None:
    mine, theirs = account.pod_role("workload"), other.pod_role("workload")
    assert (mine, theirs) == (f"arn:aws:iam::{MAIN}:role/workload", f"arn:aws:iam::{OTHER}:role/workload")
    vpc = other.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    assert vpc not in {one["VpcId"] for one in account.ec2.describe_vpcs()["Vpcs"]}
    other.iam.delete_role(RoleName="workload")
    assert account.iam.get_role(RoleName="workload")["Role"]["Arn"] == mine


def test_clusters_of_one_name_are_kept_apart(account: Account, other: Elsewhere, abroad: Elsewhere) -> None:
    account.cluster("one", tags={"where": "here"})
    other.cluster("one", tags={"where": "other"})
    abroad.eks.create_cluster(
        name="one",
        roleArn=f"arn:aws:iam::{MAIN}:role/one-cluster",
        resourcesVpcConfig={"subnetIds": abroad.subnets()},
        tags={"where": "abroad"},
    )
    abroad.eks.get_waiter("cluster_active").wait(name="one", WaiterConfig={"Delay": 1, "MaxAttempts": 15})
    for place, arn in (
        (account, f"arn:aws:eks:eu-west-1:{MAIN}:cluster/one"),
        (other, f"arn:aws:eks:eu-west-1:{OTHER}:cluster/one"),
        (abroad, f"arn:aws:eks:us-east-1:{MAIN}:cluster/one"),
    ):
        assert place.eks.describe_cluster(name="one")["cluster"]["arn"] == arn
        assert place.eks.list_clusters()["clusters"] == ["one"]
    found = other.tagging.get_resources(ResourceTypeFilters=["eks:cluster"])["ResourceTagMappingList"]
    assert [one["Tags"] for one in found] == [[{"Key": "where", "Value": "other"}]]
    config = yaml.safe_load(account.sandbox.kubeconfig.read_text(encoding="utf-8"))
    names = [context["name"] for context in config["contexts"]]
    assert len(set(names)) == 3


def test_associations_belong_to_the_cluster_of_their_account(account: Account, other: Elsewhere) -> None:
    account.cluster("one")
    other.cluster("one")
    mine = account.associate(account.pod_role())
    assert other.eks.list_pod_identity_associations(clusterName="one")["associations"] == []
    theirs = other.associate(other.pod_role())
    assert theirs["associationArn"].startswith(f"arn:aws:eks:eu-west-1:{OTHER}:podidentityassociation/one/")
    with refused("ResourceNotFoundException", status=404):
        other.eks.describe_pod_identity_association(clusterName="one", associationId=mine["associationId"])
    with refused("NotFoundException", status=404):
        other.eks.tag_resource(resourceArn=mine["associationArn"], tags={"a": "1"})


def test_the_role_must_be_of_the_clusters_account_and_the_target_may_be_of_any(
    account: Account, other: Elsewhere
) -> None:
    account.cluster("one")
    theirs = other.pod_role("theirs")
    with refused("InvalidParameterException", "Cross-account pass role is not allowed.", status=400):
        account.associate(theirs)
    association = account.associate(account.pod_role(), targetRoleArn=theirs)
    assert association["targetRoleArn"] == theirs


def test_a_request_token_is_good_for_one_account(account: Account, other: Elsewhere) -> None:
    account.cluster("one", clientRequestToken="once")
    assert other.cluster("one", clientRequestToken="once")["arn"].split(":")[4] == OTHER


@pytest.mark.parametrize("name", ["none", "sandbox-admin-2"])
def test_a_trust_policy_names_only_principals_that_exist(account: Account, other: Elsewhere, name: str) -> None:
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


def test_a_principal_that_is_deleted_leaves_its_id_behind(account: Account, other: Elsewhere) -> None:
    source = other.iam.create_role(
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
    other.iam.delete_role(RoleName="source")
    [kept] = account.iam.get_role(RoleName="target")["Role"]["AssumeRolePolicyDocument"]["Statement"]
    assert kept["Principal"] == {"AWS": source["RoleId"]}
