# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may do what in the sandbox: keys, signatures, policies, trust, managed policies."""

from __future__ import annotations

import json
import typing as t
import urllib.error
import urllib.request

import pytest
from support.boto3_account import Account
from support.boto3_account import allow
from support.boto3_account import refused
from support.iam_roles import trust_policy

pytestmark = pytest.mark.client("boto3")

READ_ONLY = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"


def test_administrator_is_a_user_and_not_root(account: Account) -> None:
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
def test_services_refuse_unknown_access_key(
    account: Account, key: str, service: str, operation: str, code: str
) -> None:
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
def test_services_refuse_wrong_secret(account: Account, service: str, operation: str, code: str) -> None:
    client = account.sandbox.client(service, aws_secret_access_key="wrong")
    with refused(code, status=403):
        getattr(client, operation)()


@pytest.mark.client("http")
@pytest.mark.parametrize("path", ["/", "/clusters", "/some-bucket", "/_ministack/reset"])
def test_sandbox_refuses_unsigned_request(account: Account, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(account.sandbox.endpoint + path)
    assert caught.value.code == 403


def test_sandbox_refuses_unsupported_service_by_name(account: Account) -> None:
    with refused("501", "does not offer the service sqs"):
        account.sandbox.client("sqs").list_queues()


def test_user_may_do_only_what_its_policies_allow(account: Account) -> None:
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
        (trust_policy("pods.eks"), 'Invalid principal in policy: "SERVICE":"pods.eks"'),
        (trust_policy("pod.eks.amazonaws.com"), 'Invalid principal in policy: "SERVICE":"pod.eks.amazonaws.com"'),
        (trust_policy("pods.eks.amazonaws.com", Principal={"AWS": "me"}), 'Invalid principal in policy: "AWS":"me"'),
        (trust_policy("pods.eks.amazonaws.com", Principal={}), "Missing required field Principal"),
        (trust_policy("pods.eks.amazonaws.com", []), "Missing required field Action"),
        (trust_policy("pods.eks.amazonaws.com", Sid="not valid"), "alpha-numeric"),
        (trust_policy("pods.eks.amazonaws.com", Condition={"StringEqual": {"a": "b"}}), "Syntax errors"),
        (trust_policy("pods.eks.amazonaws.com", Effect="Perhaps"), "Syntax errors"),
    ],
)
def test_role_refuses_malformed_trust_policy(account: Account, document: str, words: str) -> None:
    with refused("MalformedPolicyDocument", words, status=400):
        account.iam.create_role(RoleName="bad", AssumeRolePolicyDocument=document)
    account.pod_role("good")
    with refused("MalformedPolicyDocument", words, status=400):
        account.iam.update_assume_role_policy(RoleName="good", PolicyDocument=document)


def test_role_accepts_scoped_trust_policy(account: Account) -> None:
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


def test_trust_policy_size_limit_ignores_white_space(account: Account) -> None:
    many = [f"{number:012d}" for number in range(200)]
    document = json.loads(trust_policy("pods.eks.amazonaws.com"))
    document["Statement"][0]["Condition"] = {"StringEquals": {"aws:SourceAccount": many}}
    with refused("LimitExceeded", "ACLSizePerRole", status=409):
        account.iam.create_role(RoleName="long", AssumeRolePolicyDocument=json.dumps(document))
    account.sandbox.knobs(trust_policy_characters=8192)
    account.iam.create_role(RoleName="raised", AssumeRolePolicyDocument=json.dumps(document))
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
def test_known_managed_policies_can_be_attached(account: Account, policy: str) -> None:
    account.role("any", "ec2.amazonaws.com", ("sts:AssumeRole",), policy)
    [attached] = account.iam.list_attached_role_policies(RoleName="any")["AttachedPolicies"]
    assert attached["PolicyName"] == policy
    found = account.iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]
    version = account.iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=found["DefaultVersionId"])
    assert version["PolicyVersion"]["Document"]["Statement"]


def test_attach_refuses_unknown_managed_policy(account: Account) -> None:
    account.pod_role("any")
    missing = "arn:aws:iam::aws:policy/AmazonS3ReadOnly"
    with refused("NoSuchEntity", f"Policy {missing} does not exist or is not attachable.", status=404):
        account.iam.attach_role_policy(RoleName="any", PolicyArn=missing)


def policy(**changes: t.Any) -> str:
    """A permissions policy with a statement that is changed; None takes a member away."""
    statement = {**allow("s3:GetObject"), **changes}
    kept = {name: value for name, value in statement.items() if value is not None}
    return json.dumps({"Version": "2012-10-17", "Statement": [kept]})


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", "Syntax errors in policy."),
        (json.dumps({"Version": "2012-10-17"}), "Syntax errors in policy."),
        (json.dumps({"Version": "2012-10-18", "Statement": [allow("s3:*")]}), "valid version string"),
        (json.dumps({"Statement": [allow("s3:*")]}), "must be version 2012-10-17 or greater"),
        (policy(Effect=None), "Syntax errors in policy."),
        (policy(Action=None), "Policy statement must contain actions."),
        (policy(Resource=None), "Policy statement must contain resources."),
        (policy(NotAction="s3:PutObject"), "Syntax errors in policy."),
        (policy(Principal="*"), "Policy document should not specify a principal."),
        (policy(Action="GetObject"), "must be prefaced by a vendor"),
        (policy(Resource="my-bucket"), 'Resource my-bucket must be in ARN format or "*".'),
        (policy(Resource="arn:azure:s3:::b"), 'Partition "azure" is not valid'),
        (policy(Condition={"StringEqual": {"a": "b"}}), "Syntax errors in policy."),
        (policy(Nonsense=1), "Syntax errors in policy."),
    ],
)
def test_iam_refuses_malformed_permissions_policy(account: Account, document: str, words: str) -> None:
    account.pod_role("any")
    account.iam.create_user(UserName="any")
    with refused("MalformedPolicyDocument", words, status=400):
        account.iam.put_role_policy(RoleName="any", PolicyName="p", PolicyDocument=document)
    with refused("MalformedPolicyDocument", words, status=400):
        account.iam.put_user_policy(UserName="any", PolicyName="p", PolicyDocument=document)
    with refused("MalformedPolicyDocument", words, status=400):
        account.iam.create_policy(PolicyName="p", PolicyDocument=document)
    assert account.iam.list_role_policies(RoleName="any")["PolicyNames"] == []


def test_unknown_role_is_reported_before_malformed_policy(account: Account) -> None:
    with refused("NoSuchEntity", "The role with name none cannot be found.", status=404):
        account.iam.put_role_policy(RoleName="none", PolicyName="p", PolicyDocument="{")
    for call in (account.iam.get_role, account.iam.delete_role, account.iam.list_role_policies):
        with refused("NoSuchEntity", "The role with name none cannot be found.", status=404):
            call(RoleName="none")


def test_role_has_at_most_ten_managed_policies(account: Account) -> None:
    account.pod_role("any")
    arns = [
        account.iam.create_policy(PolicyName=f"p-{number}", PolicyDocument=policy())["Policy"]["Arn"]
        for number in range(11)
    ]
    for arn in arns[:10]:
        account.iam.attach_role_policy(RoleName="any", PolicyArn=arn)
    account.iam.attach_role_policy(RoleName="any", PolicyArn=arns[0])
    with refused("LimitExceeded", "Cannot exceed quota for PoliciesPerRole: 10", status=409):
        account.iam.attach_role_policy(RoleName="any", PolicyArn=arns[10])


def test_policies_have_size_limits(account: Account) -> None:
    account.pod_role("any")
    large = policy(Resource=f"arn:aws:s3:::{'x' * 6000}")
    account.iam.put_role_policy(RoleName="any", PolicyName="one", PolicyDocument=large)
    account.iam.put_role_policy(RoleName="any", PolicyName="one", PolicyDocument=large)
    with refused("LimitExceeded", "Maximum policy size of 10240 bytes exceeded for role any", status=409):
        account.iam.put_role_policy(RoleName="any", PolicyName="two", PolicyDocument=large)
    with refused("LimitExceeded", "Cannot exceed quota for PolicySize: 6144", status=409):
        account.iam.create_policy(PolicyName="p", PolicyDocument=policy(Resource=f"arn:aws:s3:::{'x' * 6144}"))


def test_delete_role_refuses_role_in_use(account: Account) -> None:
    account.role("any", "ec2.amazonaws.com", ("sts:AssumeRole",), "AmazonS3ReadOnlyAccess")
    account.iam.put_role_policy(RoleName="any", PolicyName="p", PolicyDocument=policy())
    account.iam.create_instance_profile(InstanceProfileName="any")
    account.iam.add_role_to_instance_profile(InstanceProfileName="any", RoleName="any")
    with refused("DeleteConflict", "must detach all policies first", status=409):
        account.iam.delete_role(RoleName="any")
    account.iam.detach_role_policy(RoleName="any", PolicyArn=READ_ONLY)
    with refused("DeleteConflict", "must delete policies first", status=409):
        account.iam.delete_role(RoleName="any")
    account.iam.delete_role_policy(RoleName="any", PolicyName="p")
    with refused("DeleteConflict", "must remove roles from instance profile first", status=409):
        account.iam.delete_role(RoleName="any")
    account.iam.remove_role_from_instance_profile(InstanceProfileName="any", RoleName="any")
    account.iam.delete_role(RoleName="any")


def test_role_names_are_unique_regardless_of_case(account: Account) -> None:
    account.pod_role("Workload")
    with refused("EntityAlreadyExists", "Role with name workload already exists.", status=409):
        account.pod_role("workload")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"RoleName": "not valid"}, "'roleName' failed to satisfy constraint"),
        ({"RoleName": "a" * 65}, "less than or equal to 64"),
        ({"Path": "team"}, "'path' failed to satisfy constraint"),
        ({"Description": "\u2014"}, "'description' failed to satisfy constraint"),
        ({"MaxSessionDuration": 43201}, "less than or equal to 43200"),
        ({"Tags": [{"Key": "a" * 129, "Value": ""}]}, "'tags.1.member.key' failed to satisfy constraint"),
        ({"Tags": [{"Key": f"k{number}", "Value": ""} for number in range(51)]}, "less than or equal to 50"),
    ],
)
def test_create_role_refuses_invalid_parameters(account: Account, changes: dict[str, t.Any], words: str) -> None:
    wanted = {"RoleName": "any", "AssumeRolePolicyDocument": trust_policy("pods.eks.amazonaws.com"), **changes}
    with refused("ValidationError", "validation error detected", words, status=400):
        account.iam.create_role(**wanted)


def test_role_has_at_most_fifty_tags(account: Account) -> None:
    account.pod_role("any")
    account.iam.tag_role(RoleName="any", Tags=[{"Key": f"k{number}", "Value": ""} for number in range(50)])
    account.iam.tag_role(RoleName="any", Tags=[{"Key": "k0", "Value": "again"}])
    with refused("LimitExceeded", status=409):
        account.iam.tag_role(RoleName="any", Tags=[{"Key": "one-more", "Value": ""}])


def test_user_has_at_most_two_access_keys(account: Account) -> None:
    account.user("any")
    account.iam.create_access_key(UserName="any")
    with refused("LimitExceeded", "AccessKeysPerUser: 2", status=409):
        account.iam.create_access_key(UserName="any")


def test_denial_names_user_action_resource_and_reason(account: Account) -> None:
    user, cluster = "arn:aws:iam::111122223333:user", "arn:aws:eks:eu-west-1:111122223333:cluster/one"
    eks = account.sandbox.client("eks", **account.user("nobody"))
    words = (
        f"User: {user}/nobody is not authorized to perform: eks:DescribeCluster on resource: {cluster} because no "
        "identity-based policy allows the eks:DescribeCluster action"
    )
    with refused("AccessDeniedException", words, status=403):
        eks.describe_cluster(name="one")
    denied = {**allow("eks:*"), "Effect": "Deny"}
    eks = account.sandbox.client("eks", **account.user("denied", allow("*"), denied))
    with refused("AccessDeniedException", "with an explicit deny in an identity-based policy", status=403):
        eks.describe_cluster(name="one")


def test_role_session_may_do_only_what_its_policies_allow(account: Account) -> None:
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


def test_regions_share_no_clusters(account: Account) -> None:
    account.cluster("one")
    assert account.eks.list_clusters()["clusters"] == ["one"]
    assert account.sandbox.client("eks", region_name="us-east-1").list_clusters()["clusters"] == []


def test_reset_removes_everything_but_the_keys(account: Account) -> None:
    sandbox = account.sandbox
    account.cluster("one")
    sandbox.knobs(association_delay_seconds=9)
    sandbox.reset()
    assert account.eks.list_clusters()["clusters"] == []
    assert account.iam.list_roles()["Roles"] == []
    assert sandbox.knobs()["association_delay_seconds"] == 0
    assert "one" not in sandbox.kubeconfig.read_text(encoding="utf-8")


def test_simulator_evaluates_conditions_and_each_resource(account: Account) -> None:
    own, other = "arn:aws:s3:::own", "arn:aws:s3:::other"
    conditions = {"StringEquals": {"aws:ResourceTag/team": "blue"}, "ForAnyValue:StringEquals": {"aws:TagKeys": "a"}}
    document = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [allow("s3:*", resource=own), allow("ec2:RunInstances", Condition=conditions)],
        }
    )

    def simulate(action: str, **more: t.Any) -> dict[str, t.Any]:
        answer = account.iam.simulate_custom_policy(PolicyInputList=[document], ActionNames=[action], **more)
        [result] = answer["EvaluationResults"]
        return dict(result)

    result = simulate("s3:GetObject", ResourceArns=[own, other])
    assert result["EvalDecision"] == "implicitDeny", "the strictest of all"
    each = {one["EvalResourceName"]: one["EvalResourceDecision"] for one in result["ResourceSpecificResults"]}
    assert each == {own: "allowed", other: "implicitDeny"}
    result = simulate("ec2:RunInstances")
    assert result["EvalDecision"] == "implicitDeny"
    assert result["MissingContextValues"] == ["aws:ResourceTag/team"]
    team = {"ContextKeyName": "aws:ResourceTag/team", "ContextKeyType": "string", "ContextKeyValues": ["blue"]}
    keys = {"ContextKeyName": "aws:TagKeys", "ContextKeyType": "stringList", "ContextKeyValues": ["b", "a"]}
    assert simulate("ec2:RunInstances", ContextEntries=[team, keys])["EvalDecision"] == "allowed"
    team["ContextKeyValues"] = ["red"]
    assert simulate("ec2:RunInstances", ContextEntries=[team, keys])["EvalDecision"] == "implicitDeny"


def test_lists_come_in_pages(account: Account) -> None:
    names = [account.pod_role(f"role-{number}").rpartition("/")[2] for number in range(5)]
    first = account.iam.list_roles(MaxItems=2)
    assert first["IsTruncated"] is True and len(first["Roles"]) == 2
    second = account.iam.list_roles(MaxItems=100, Marker=first["Marker"])
    assert second["IsTruncated"] is False and "Marker" not in second
    assert [role["RoleName"] for role in [*first["Roles"], *second["Roles"]]] == names
    paginator = account.iam.get_paginator("list_policies")
    pages = [page["Policies"] for page in paginator.paginate(PaginationConfig={"PageSize": 7})]
    assert all(len(page) == 7 for page in pages[:-1]) and len(pages) > 2
    assert READ_ONLY in {policy["Arn"] for page in pages for policy in page}
    with refused("InvalidInput", "Invalid Marker", status=400):
        account.iam.list_roles(Marker="nonsense")


def test_list_roles_omits_tags_and_boundary(account: Account) -> None:
    document = trust_policy("pods.eks.amazonaws.com")
    tags = [{"Key": "team", "Value": "a"}]
    account.iam.create_role(RoleName="app", AssumeRolePolicyDocument=document, Tags=tags, PermissionsBoundary=READ_ONLY)
    [listed] = account.iam.list_roles()["Roles"]
    assert "Tags" not in listed and "PermissionsBoundary" not in listed
    assert listed["AssumeRolePolicyDocument"] == json.loads(document)
    role = account.iam.get_role(RoleName="app")["Role"]
    assert role["Tags"] == tags and role["PermissionsBoundary"]["PermissionsBoundaryArn"] == READ_ONLY
