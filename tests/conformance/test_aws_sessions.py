# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sessions of roles as STS gives them: durations, session tags, session policies, role chaining."""

from __future__ import annotations

import json
import typing as t

import pytest
from support.boto3_account import Account
from support.boto3_account import allow
from support.boto3_account import refused

pytestmark = pytest.mark.client("boto3")

MAIN = "111122223333"
ADMINISTRATOR = f"arn:aws:iam::{MAIN}:user/sandbox-admin"
ASSUME_AND_TAG = ["sts:AssumeRole", "sts:TagSession"]
#: About as much as Pod Identity passes.
POD_TAGS = {
    "eks-cluster-arn": f"arn:aws:eks:eu-west-1:{MAIN}:cluster/production",
    "eks-cluster-name": "production",
    "kubernetes-namespace": "default",
    "kubernetes-service-account": "s3-access-sa",
    "kubernetes-pod-name": "s3-access-6d5f7c9b8d-x2x4q",
    "kubernetes-pod-uid": "5e1f0a3b-27c4-4b4e-9c55-0e6f6c1d2a3b",
}


def role(account: Account, name: str, *permissions: dict[str, t.Any], **statement: t.Any) -> str:
    """A role that the account trusts for AssumeRole and TagSession, unless the statement says otherwise."""
    default = {"Effect": "Allow", "Principal": {"AWS": MAIN}, "Action": ASSUME_AND_TAG}
    document = json.dumps({"Version": "2012-10-17", "Statement": [{**default, **statement}]})
    arn: str = account.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    if permissions:
        policy = json.dumps({"Version": "2012-10-17", "Statement": list(permissions)})
        account.iam.put_role_policy(RoleName=name, PolicyName="permissions", PolicyDocument=policy)
    return arn


def assume(account: Account, arn: str, keys: dict[str, str] | None = None, **more: t.Any) -> dict[str, t.Any]:
    """The answer of AssumeRole."""
    sts = account.sandbox.client("sts", **(keys or {}))
    answer: dict[str, t.Any] = sts.assume_role(RoleArn=arn, RoleSessionName="test", **more)
    return answer


def keys_of(answer: dict[str, t.Any]) -> dict[str, str]:
    """Client settings of a session."""
    given = answer["Credentials"]
    return {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }


def tags(values: dict[str, str]) -> list[dict[str, str]]:
    """Tags as STS takes them."""
    return [{"Key": key, "Value": value} for key, value in values.items()]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"DurationSeconds": 899}, "greater than or equal to 900"),
        ({"DurationSeconds": 3601}, "exceeds the MaxSessionDuration set for this role"),
        ({"RoleSessionName": "not valid"}, "[\\w+=,.@-]*"),
        ({"ExternalId": "x"}, "greater than or equal to 2"),
    ],
)
def test_assume_role_refuses_invalid_parameters(account: Account, more: dict[str, t.Any], words: str) -> None:
    arn = role(account, "target")
    # A client that checks nothing itself.
    sts = account.sandbox.client("sts")
    sts.meta.events.register("provide-client-params.sts.AssumeRole", _remove_minimums)
    with refused("ValidationError", words, status=400):
        sts.assume_role(**{"RoleArn": arn, "RoleSessionName": "test", **more})


def _remove_minimums(model: t.Any, **_more: t.Any) -> None:
    for name in ("DurationSeconds", "ExternalId"):
        model.input_shape.members[name].metadata.pop("min", None)


def test_longer_role_maximum_allows_longer_sessions(account: Account) -> None:
    arn = role(account, "target")
    account.iam.update_role(RoleName="target", MaxSessionDuration=7200)
    assert assume(account, arn, DurationSeconds=7200)["Credentials"]


def test_chained_session_lasts_at_most_one_hour(account: Account) -> None:
    second = role(account, "second")
    account.iam.update_role(RoleName="second", MaxSessionDuration=43200)
    first = keys_of(assume(account, role(account, "first", allow("sts:*"))))
    words = "exceeds the 1 hour session limit for roles assumed by role chaining"
    with refused("ValidationError", words, status=400):
        assume(account, second, first, DurationSeconds=3601)
    assert assume(account, second, first, DurationSeconds=3600)["Credentials"]


def test_transitive_tags_pass_to_the_next_role(account: Account) -> None:
    mine = {"StringEquals": {"aws:PrincipalTag/team": "a"}}
    second = role(account, "second", allow("s3:ListAllMyBuckets", Condition=mine))
    first = role(account, "first", allow("sts:*"))
    given = assume(account, first, Tags=tags({"team": "a", "other": "b"}), TransitiveTagKeys=["team"])
    last = assume(account, second, keys_of(given))
    assert account.sandbox.client("s3", **keys_of(last)).list_buckets()["Buckets"] == []
    plain = assume(account, second, keys_of(assume(account, first, Tags=tags({"team": "a"}))))
    with refused("AccessDenied", status=403):
        account.sandbox.client("s3", **keys_of(plain)).list_buckets()
    with refused("InvalidParameterValue", "conflicts with a transitive tag key", status=400):
        assume(account, second, keys_of(given), Tags=tags({"team": "b"}))
    with refused("InvalidParameterValue", "must be included in the requested tags", status=400):
        assume(account, first, Tags=tags({"team": "a"}), TransitiveTagKeys=["another"])


@pytest.mark.parametrize(
    ("resource", "condition", "allowed"),
    [
        ("${aws:PrincipalTag/team}/*", {}, True),
        ("${aws:principaltag/TEAM}/*", {}, True),
        ("${aws:PrincipalTag/none}/*", {}, False),
        ("${aws:PrincipalTag/none, 'a'}/*", {}, True),
        ("${*}/*", {}, False),
        ("*", {"StringEquals": {"aws:PrincipalTag/team": "${aws:PrincipalTag/team}"}}, True),
        ("*", {"StringEquals": {"aws:PrincipalTag/team": ["${aws:PrincipalTag/none}", "b"]}}, False),
    ],
)
def test_policy_variables_come_from_the_session(
    account: Account, resource: str, condition: dict[str, t.Any], allowed: bool
) -> None:
    account.sandbox.client("s3").create_bucket(
        Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    for key in ("a/report", "b/report"):
        account.sandbox.client("s3").put_object(Bucket="bucket", Key=key, Body=b"x")
    permission = allow("s3:GetObject", resource=f"arn:aws:s3:::bucket/{resource}", Condition=condition)
    session = assume(account, role(account, "reader", permission), Tags=tags({"team": "a"}))
    s3 = account.sandbox.client("s3", **keys_of(session))
    if allowed:
        assert s3.get_object(Bucket="bucket", Key="a/report")["Body"].read() == b"x"
    for key in ("b/report",) if resource != "*" else ():
        with refused("AccessDenied", status=403):
            s3.get_object(Bucket="bucket", Key=key)
    if not allowed:
        with refused("AccessDenied", status=403):
            s3.get_object(Bucket="bucket", Key="a/report")


def test_transitive_tags_need_role_that_allows_session_tags(account: Account) -> None:
    closed = role(account, "closed", Action="sts:AssumeRole")
    first = role(account, "first", allow("sts:*"))
    given = keys_of(assume(account, first, Tags=tags({"team": "a"}), TransitiveTagKeys=["team"]))
    with refused("AccessDenied", "is not authorized to perform: sts:TagSession", status=403):
        assume(account, closed, given)
    untagged = keys_of(assume(account, first))
    assert assume(account, closed, untagged)["Credentials"]
    # And the caller must be allowed to pass tags, too.
    bare = keys_of(assume(account, role(account, "bare", allow("sts:AssumeRole"))))
    with refused("AccessDenied", "is not authorized to perform: sts:TagSession", status=403):
        assume(account, first, bare, Tags=tags({"team": "a"}))


def test_session_reports_packed_size_and_refuses_overflow(account: Account) -> None:
    arn = role(account, "target", allow("sts:*"))
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow("s3:*", resource=f"arn:aws:s3:::{'x' * 900}")]})
    keys = list(POD_TAGS)
    given = assume(account, arn, Tags=tags(POD_TAGS), TransitiveTagKeys=keys)
    assert 50 <= given["PackedPolicySize"] <= 90
    with refused("PackedPolicyTooLarge", "% of allotted space", status=400):
        assume(account, role(account, "second"), keys_of(given), Policy=policy)
    assert assume(account, arn, Policy=policy)["PackedPolicySize"] <= 60


def test_session_policy_narrows_and_must_be_valid(account: Account) -> None:
    arn = role(account, "target", allow("s3:*"))
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow("s3:ListAllMyBuckets")]})
    s3 = account.sandbox.client("s3", **keys_of(assume(account, arn, Policy=policy)))
    assert s3.list_buckets()["Buckets"] == []
    with refused("AccessDenied", status=403):
        s3.create_bucket(Bucket="must-not-exist")
    with refused("MalformedPolicyDocument", "must contain resources", status=400):
        assume(account, arn, Policy=policy.replace("Resource", "Condition").replace('"*"', "{}"))


def test_external_id_is_a_condition(account: Account) -> None:
    arn = role(account, "target", Condition={"StringEquals": {"sts:ExternalId": "agreed"}})
    with refused("AccessDenied", "is not authorized to perform: sts:AssumeRole", status=403):
        assume(account, arn)
    assert assume(account, arn, ExternalId="agreed")["Credentials"]


def test_permissions_boundary_limits_users_and_roles(account: Account) -> None:
    read = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
    arn = role(account, "target", allow("s3:*"))
    with refused("NoSuchEntity", status=404):
        account.iam.put_role_permissions_boundary(RoleName="target", PermissionsBoundary=f"{read}None")
    account.iam.put_role_permissions_boundary(RoleName="target", PermissionsBoundary=read)
    s3 = account.sandbox.client("s3", **keys_of(assume(account, arn)))
    assert s3.list_buckets()["Buckets"] == []
    with refused("AccessDenied", status=403):
        s3.create_bucket(Bucket="must-not-exist")
    user = account.user("bound", allow("eks:*"))
    account.iam.put_user_permissions_boundary(UserName="bound", PermissionsBoundary=read)
    with refused("AccessDeniedException", "eks:ListClusters", status=403):
        account.sandbox.client("eks", **user).list_clusters()


@pytest.mark.parametrize(
    ("kind", "explicit", "words"),
    [
        ("boundary", False, "because no permissions boundary allows the s3:CreateBucket action"),
        ("boundary", True, "with an explicit deny in a permissions boundary"),
        ("session", False, "because no session policy allows the s3:CreateBucket action"),
        ("session", True, "with an explicit deny in a session policy"),
        ("identity", False, "because no identity-based policy allows the s3:CreateBucket action"),
        ("identity", True, "with an explicit deny in an identity-based policy"),
        ("bucket", True, "with an explicit deny in a resource-based policy"),
    ],
)
def test_denial_names_the_kind_of_policy(account: Account, kind: str, explicit: bool, words: str) -> None:
    narrow = [allow("s3:ListAllMyBuckets")]
    if explicit:
        narrow = [allow("*"), {"Effect": "Deny", "Action": ["s3:CreateBucket", "s3:ListBucket"], "Resource": "*"}]
    document = json.dumps({"Version": "2012-10-17", "Statement": narrow})
    arn = role(account, "denied", *(narrow if kind == "identity" else [allow("s3:*")]))
    if kind == "boundary":
        policy = account.iam.create_policy(PolicyName="narrow", PolicyDocument=document)["Policy"]["Arn"]
        account.iam.put_role_permissions_boundary(RoleName="denied", PermissionsBoundary=policy)
    session_policy: dict[str, t.Any] = {"Policy": document} if kind == "session" else {}
    s3 = account.sandbox.client("s3", **keys_of(assume(account, arn, **session_policy)))
    assert "Buckets" in s3.list_buckets()
    if kind == "bucket":
        s3.create_bucket(Bucket="closed", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::closed"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
        account.sandbox.client("s3").put_bucket_policy(Bucket="closed", Policy=policy)
        with refused("AccessDenied", words, status=403):
            s3.list_objects_v2(Bucket="closed")
    else:
        with refused("AccessDenied", words, status=403):
            s3.create_bucket(Bucket="must-not-exist")
