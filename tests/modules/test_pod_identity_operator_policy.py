# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the parameters of an operator's policy keep from its user, asked of IAM, EC2 and EKS over HTTP.

That the policy is enough is told by tests/playbooks/test_operator.py.
"""

from __future__ import annotations

import json
import typing as t

import botocore.exceptions
import pytest
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_operator_policy import pod_identity_operator_policy
from support.iam_roles import make_role
from support.iam_roles import trust_policy
from support.module_runs import ACCOUNT
from support.module_runs import Account
from support.sandbox_process import SandboxProcess

POLICY = f"arn:aws:iam::{ACCOUNT}:policy/"
BOUNDARY = f"{POLICY}boundary"
READ_ONLY = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
ALL = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
PODS = trust_policy("pods.eks.amazonaws.com")
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")

Client = t.Callable[[str], t.Any]


@pytest.fixture
def client(account: Account) -> t.Callable[..., Client]:
    """Makes a user whose policy has these chapters and parameters; returns what makes the user's clients."""

    def make(*chapters: str, **parameters: t.Any) -> Client:
        iam = account.sandbox.client("iam")
        for name in ("boundary", "shop-read"):
            iam.create_policy(PolicyName=name, PolicyDocument=ALL)
        document = json.dumps(pod_identity_operator_policy(list(chapters), **parameters))
        iam.create_user(UserName="somebody")
        arn = iam.create_policy(PolicyName="somebody", PolicyDocument=document)["Policy"]["Arn"]
        iam.attach_user_policy(UserName="somebody", PolicyArn=arn)
        key = iam.create_access_key(UserName="somebody")["AccessKey"]
        keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        return lambda service: account.sandbox.client(service, **keys)

    return make


def denied(call: t.Callable[..., t.Any], **parameters: t.Any) -> bool:
    """Whether a call is refused for want of permission; any other failure is one of the test."""
    try:
        call(**parameters)
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] in DENIED, error
        return True
    return False


def test_role_changes_need_permissions_boundary(account: Account, client: t.Callable[..., Client]) -> None:
    iam = client("iam_role", permissions_boundary=BOUNDARY)("iam")
    make_role(account.sandbox.client("iam"), "powerful", "ec2.amazonaws.com", "AdministratorAccess")
    assert denied(iam.create_role, RoleName="free", AssumeRolePolicyDocument=PODS)
    assert denied(iam.create_role, RoleName="free", AssumeRolePolicyDocument=PODS, PermissionsBoundary=READ_ONLY)
    assert not denied(iam.create_role, RoleName="bound", AssumeRolePolicyDocument=PODS, PermissionsBoundary=BOUNDARY)
    for role, expected in (("powerful", True), ("bound", False)):
        assert denied(iam.put_role_policy, RoleName=role, PolicyName="x", PolicyDocument=ALL) == expected
        assert denied(iam.attach_role_policy, RoleName=role, PolicyArn=READ_ONLY) == expected
        assert denied(iam.update_assume_role_policy, RoleName=role, PolicyDocument=PODS) == expected
    assert denied(iam.delete_role_permissions_boundary, RoleName="bound")
    assert denied(iam.put_role_permissions_boundary, RoleName="bound", PermissionsBoundary=READ_ONLY)


def test_only_named_policies_attach_to_named_roles(account: Account, client: t.Callable[..., Client]) -> None:
    iam = client("iam_role", "association", role_names=["shop-*"], policy_arns=[f"{POLICY}shop-*"])("iam")
    assert denied(iam.create_role, RoleName="other", AssumeRolePolicyDocument=PODS)
    assert not denied(iam.create_role, RoleName="shop-app", AssumeRolePolicyDocument=PODS)
    assert denied(iam.attach_role_policy, RoleName="shop-app", PolicyArn=READ_ONLY)
    assert not denied(iam.attach_role_policy, RoleName="shop-app", PolicyArn=f"{POLICY}shop-read")


def test_unmanaged_role_cannot_be_deleted(account: Account, client: t.Callable[..., Client]) -> None:
    iam = client("iam_role")("iam")
    make_role(account.sandbox.client("iam"), "theirs", "pods.eks.amazonaws.com")
    assert denied(iam.delete_role, RoleName="theirs")
    tags = [{"Key": "podidentity.eks/managed", "Value": "true"}]
    iam.create_role(RoleName="ours", AssumeRolePolicyDocument=PODS, Tags=tags)
    assert not denied(iam.delete_role, RoleName="ours")


def test_cluster_roles_take_only_eks_policies(account: Account, client: t.Callable[..., Client]) -> None:
    iam = client("cluster", cluster_role_names=["shop-*"])("iam")
    assert denied(iam.create_role, RoleName="other", AssumeRolePolicyDocument=PODS)
    iam.create_role(RoleName="shop-nodes", AssumeRolePolicyDocument=PODS)
    assert denied(iam.attach_role_policy, RoleName="shop-nodes", PolicyArn=READ_ONLY)
    policy = "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"
    assert not denied(iam.attach_role_policy, RoleName="shop-nodes", PolicyArn=policy)


def test_other_clusters_are_denied(account: Account, client: t.Callable[..., Client]) -> None:
    account.create_cluster("shop-one", tags={"podidentity.eks/cluster": "shop-one"})
    account.create_cluster("other", tags={"podidentity.eks/cluster": "other"})
    account.create_cluster("shop-theirs")
    eks = client("cluster", "association", cluster_names=["shop-*"], region="eu-west-1")("eks")
    assert not denied(eks.describe_cluster, name="shop-one")
    assert denied(eks.describe_cluster, name="other")
    assert denied(eks.list_pod_identity_associations, clusterName="other")
    assert denied(eks.delete_cluster, name="other")
    assert denied(eks.delete_cluster, name="shop-theirs"), "it does not carry our tag"
    assert not denied(eks.delete_cluster, name="shop-one")


def test_other_region_is_denied(account: Account, client: t.Callable[..., Client]) -> None:
    account.create_cluster("shop")
    eks = client("inventory", region="eu-central-1")("eks")
    assert denied(eks.describe_cluster, name="shop")


def test_unmanaged_networks_cannot_be_changed(account: Account, client: t.Callable[..., Client]) -> None:
    ec2 = client("cluster", cluster_names=["shop-*"])("ec2")

    def tags(cluster: str, kind: str = "vpc") -> list[dict[str, t.Any]]:
        return [{"ResourceType": kind, "Tags": [{"Key": "podidentity.eks/cluster", "Value": cluster}]}]

    assert denied(ec2.create_vpc, CidrBlock="10.8.0.0/16")
    assert denied(ec2.create_vpc, CidrBlock="10.8.0.0/16", TagSpecifications=tags("other"))
    ours = ec2.create_vpc(CidrBlock="10.8.0.0/16", TagSpecifications=tags("shop-one"))["Vpc"]["VpcId"]
    subnet = {"CidrBlock": "10.7.9.0/24", "TagSpecifications": tags("shop-one", "subnet")}
    assert denied(ec2.create_subnet, VpcId=account.vpc_id, **subnet)
    mark = [{"Key": "podidentity.eks/cluster", "Value": "shop-one"}]
    assert denied(ec2.create_tags, Resources=[account.vpc_id], Tags=mark), "or it would be ours"
    assert denied(ec2.delete_vpc, VpcId=account.vpc_id)
    assert denied(ec2.delete_subnet, SubnetId=account.subnet_ids[0])
    assert not denied(ec2.delete_vpc, VpcId=ours)


def test_only_named_roles_of_other_accounts_are_assumable(
    sandbox: SandboxProcess, account: Account, client: t.Callable[..., Client]
) -> None:
    sandbox.add_account("444455556666")
    iam = sandbox.client("iam", **sandbox.profile("444455556666"))
    statement = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    arns = [iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"] for name in ("one", "two")]
    sts = client("inventory", assume_role_arns=arns[:1])("sts")
    assert [denied(sts.assume_role, RoleArn=arn, RoleSessionName="job") for arn in arns] == [False, True]
