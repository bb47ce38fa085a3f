# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may do what in the sandbox: keys, signatures, policies, trust, managed policies."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from conformance.conftest import Account
from conformance.conftest import allow
from conformance.conftest import refused
from conformance.conftest import trust_policy

READ_ONLY = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"


def test_the_administrator_is_a_user_and_never_root(account: Account) -> None:
    arn = account.sandbox.client("sts").get_caller_identity()["Arn"]
    assert arn == "arn:aws:iam::111122223333:user/sandbox-admin"
    [policy] = account.iam.list_attached_user_policies(UserName="sandbox-admin")["AttachedPolicies"]
    assert policy["PolicyName"] == "AdministratorAccess"


@pytest.mark.parametrize("key", ["test", "111122223333", "123456789012", "AKIAIOSFODNN7EXAMPLE"])
@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("eks", "list_clusters", "UnrecognizedClientException"),
        ("iam", "list_users", "InvalidClientTokenId"),
        ("sts", "get_caller_identity", "InvalidClientTokenId"),
        ("s3", "list_buckets", "InvalidAccessKeyId"),
    ],
)
def test_nobody_is_let_in_by_a_magic_key(account: Account, key: str, service: str, operation: str, code: str) -> None:
    client = account.sandbox.client(service, aws_access_key_id=key, aws_secret_access_key="test")
    with refused(code, status=403):
        getattr(client, operation)()


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("eks", "list_clusters", "InvalidSignatureException"),
        ("sts", "get_caller_identity", "SignatureDoesNotMatch"),
        ("s3", "list_buckets", "SignatureDoesNotMatch"),
    ],
)
def test_a_wrong_secret_is_refused(account: Account, service: str, operation: str, code: str) -> None:
    client = account.sandbox.client(service, aws_secret_access_key="wrong")
    with refused(code, status=403):
        getattr(client, operation)()


@pytest.mark.parametrize("path", ["/", "/clusters", "/some-bucket", "/_ministack/reset"])
def test_a_request_without_a_signature_is_refused(account: Account, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(account.sandbox.endpoint + path)
    assert caught.value.code == 403


def test_a_service_that_the_sandbox_lacks_is_refused_clearly(account: Account) -> None:
    with refused("501", "does not offer the service sqs"):
        account.sandbox.client("sqs").list_queues()


def test_a_user_may_do_in_eks_what_the_policies_allow_and_no_more(account: Account) -> None:
    arn = "arn:aws:eks:eu-west-1:111122223333:cluster/mine"
    keys = account.user("reader", allow("eks:DescribeCluster", resource=arn))
    eks = account.sandbox.client("eks", **keys)
    with refused("ResourceNotFoundException"):
        eks.describe_cluster(name="mine")
    user = "arn:aws:iam::111122223333:user/reader"
    words = [f"User: {user} is not authorized to perform: eks:DescribeCluster", "cluster/other"]
    with refused("AccessDeniedException", *words, status=403):
        eks.describe_cluster(name="other")
    with refused("AccessDeniedException", "eks:ListClusters", status=403):
        eks.list_clusters()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", "invalid Json"),
        (json.dumps({"Version": "2012-10-17"}), "Syntax errors"),
        (trust_policy("pods.eks.amazonaws.com", Resource="*"), "prohibited field Resource"),
        (trust_policy("pods.eks.amazonaws.com", ["s3:GetObject"]), "may only specify STS AssumeRole"),
        (trust_policy("pods.eks"), "Invalid principal"),
        (trust_policy("pods.eks.amazonaws.com", Sid="not valid"), "alpha-numeric"),
        (trust_policy("pods.eks.amazonaws.com", Condition={"StringEqual": {"a": "b"}}), "Syntax errors"),
        (trust_policy("pods.eks.amazonaws.com", Effect="Perhaps"), "Syntax errors"),
    ],
)
def test_a_malformed_trust_policy_is_refused(account: Account, document: str, words: str) -> None:
    with refused("MalformedPolicyDocument", words, status=400):
        account.iam.create_role(RoleName="bad", AssumeRolePolicyDocument=document)
    account.pod_role("good")
    with refused("MalformedPolicyDocument", words, status=400):
        account.iam.update_assume_role_policy(RoleName="good", PolicyDocument=document)


def test_a_scoped_trust_policy_is_accepted(account: Account) -> None:
    condition = {
        "StringEquals": {"aws:SourceAccount": "111122223333", "aws:RequestTag/kubernetes-namespace": "default"},
        "ArnEquals": {"aws:SourceArn": "arn:aws:eks:eu-west-1:111122223333:cluster/one"},
        "ForAllValues:StringLike": {"aws:TagKeys": ["kubernetes-*", "eks-*"]},
        "StringEqualsIfExists": {"aws:PrincipalTag/team": "a"},
    }
    document = trust_policy("pods.eks.amazonaws.com", Sid="one", Condition=condition)
    account.iam.create_role(RoleName="scoped", AssumeRolePolicyDocument=document)
    kept = account.iam.get_role(RoleName="scoped")["Role"]["AssumeRolePolicyDocument"]
    assert kept == json.loads(document)


def test_a_trust_policy_has_a_size_limit_that_white_space_does_not_count_for(account: Account) -> None:
    many = [f"{number:012d}" for number in range(200)]
    document = json.loads(trust_policy("pods.eks.amazonaws.com"))
    document["Statement"][0]["Condition"] = {"StringEquals": {"aws:SourceAccount": many}}
    with refused("LimitExceeded", "ACLSizePerRole", status=409):
        account.iam.create_role(RoleName="long", AssumeRolePolicyDocument=json.dumps(document))
    spread = json.dumps(json.loads(trust_policy("pods.eks.amazonaws.com")), indent=200)
    account.iam.create_role(RoleName="wide", AssumeRolePolicyDocument=spread)


@pytest.mark.parametrize(
    "policy",
    [
        "AmazonEC2ContainerRegistryPullOnly",
        "AmazonEC2ContainerRegistryReadOnly",
        "AmazonEKSClusterPolicy",
        "AmazonEKSWorkerNodeMinimalPolicy",
        "AmazonEKSWorkerNodePolicy",
        "AmazonEKS_CNI_Policy",
        "AmazonS3ReadOnlyAccess",
    ],
)
def test_the_managed_policies_of_the_story_can_be_attached(account: Account, policy: str) -> None:
    account.role("any", "ec2.amazonaws.com", ("sts:AssumeRole",), policy)
    [attached] = account.iam.list_attached_role_policies(RoleName="any")["AttachedPolicies"]
    assert attached["PolicyName"] == policy
    found = account.iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]
    version = account.iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=found["DefaultVersionId"])
    assert version["PolicyVersion"]["Document"]["Statement"]


def test_a_managed_policy_that_does_not_exist_cannot_be_attached(account: Account) -> None:
    account.pod_role("any")
    with refused("NoSuchEntity", "does not exist", status=404):
        account.iam.attach_role_policy(RoleName="any", PolicyArn="arn:aws:iam::aws:policy/AmazonS3ReadOnly")


def test_a_role_session_may_do_what_its_policies_allow(account: Account) -> None:
    s3 = account.sandbox.client("s3")
    s3.create_bucket(Bucket="reports", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    principal = {"AWS": "arn:aws:iam::111122223333:user/sandbox-admin"}
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    arn = account.iam.create_role(RoleName="reader", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    given = account.sandbox.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    reader = account.sandbox.client(
        "s3",
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
    with refused("AccessDenied", status=403):
        reader.list_buckets()
    account.iam.attach_role_policy(RoleName="reader", PolicyArn=READ_ONLY)
    assert [bucket["Name"] for bucket in reader.list_buckets()["Buckets"]] == ["reports"]
    with refused("AccessDenied", status=403):
        reader.put_object(Bucket="reports", Key="a", Body=b"a")


def test_regions_are_apart(account: Account) -> None:
    account.cluster("one")
    assert account.eks.list_clusters()["clusters"] == ["one"]
    assert account.sandbox.client("eks", region_name="us-east-1").list_clusters()["clusters"] == []


def test_reset_forgets_everything_but_the_keys(account: Account) -> None:
    sandbox = account.sandbox
    account.cluster("one")
    sandbox.knobs(association_delay_seconds=9)
    sandbox.reset()
    assert account.eks.list_clusters()["clusters"] == []
    assert account.iam.list_roles()["Roles"] == []
    assert sandbox.knobs()["association_delay_seconds"] == 0
    assert "one" not in sandbox.kubeconfig.read_text(encoding="utf-8")
