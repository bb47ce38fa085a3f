# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Roles as they decide about Pod Identity: those that are there, those that are not, those that may not be seen."""

from __future__ import annotations

import json
import typing as t

import pytest
from support.iam_roles import make_role
from support.module_runs import Account
from support.module_runs import RunModule

PREFIX = "arn:aws:iam::111122223333:role/"
OTHER_ACCOUNT = "444455556666"
DOCUMENT = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]}


@pytest.fixture
def role_info(run_module: RunModule, account: Account) -> t.Callable[..., dict[str, t.Any]]:
    def role_info(*arns: str, **more: t.Any) -> dict[str, t.Any]:
        return run_module("eks_pod_identity_role_info", arns=list(arns), **more)

    return role_info


RoleInfo = t.Callable[..., dict[str, t.Any]]


def test_role_is_returned_with_policies_and_boundary(role_info: RoleInfo, account: Account) -> None:
    iam = account.sandbox.client("iam")
    make_role(iam, "reader", "pods.eks.amazonaws.com", "AmazonS3ReadOnlyAccess")
    iam.put_role_policy(RoleName="reader", PolicyName="own", PolicyDocument=json.dumps(DOCUMENT))
    boundary = "arn:aws:iam::aws:policy/AmazonS3FullAccess"
    iam.put_role_permissions_boundary(RoleName="reader", PermissionsBoundary=boundary)
    account.sandbox.clear_calls()
    result = role_info(f"{PREFIX}reader", f"{PREFIX}reader")
    assert result["changed"] is False
    [role] = result["roles"]
    assert role.pop("trust_policy")["Statement"][0]["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert role == {
        "arn": f"{PREFIX}reader",
        "name": "reader",
        "managed_policies": {"arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess": "AmazonS3ReadOnlyAccess"},
        "inline_policies": {"own": DOCUMENT},
        "boundary": boundary,
    }
    calls = ("sts:GetCallerIdentity", "iam:GetRole", "iam:GetRolePolicy")
    lists = ("iam:ListAttachedRolePolicies", "iam:ListRolePolicies")
    assert account.sandbox.calls() == dict.fromkeys((*calls, *lists), 1)


def test_absent_role_or_other_path_is_missing(role_info: RoleInfo, account: Account) -> None:
    result = role_info(f"{PREFIX}app", f"{PREFIX}forgotten", f"{PREFIX}teams/app")
    assert [role["name"] for role in result["roles"]] == ["app"]
    assert result["missing"] == [f"{PREFIX}forgotten", f"{PREFIX}teams/app"], "a path makes another role"
    assert result["unread"] == []


def test_role_of_other_account_is_unread(role_info: RoleInfo, account: Account) -> None:
    arn = f"arn:aws:iam::{OTHER_ACCOUNT}:role/app"
    result = role_info(arn)
    assert result["failed"] is False
    assert result["roles"] == result["missing"] == []
    told = f"It is of account {OTHER_ACCOUNT}, and these credentials are of 111122223333."
    assert result["unread"] == [{"arn": arn, "message": told}]
    assert set(account.sandbox.calls()) == {"sts:GetCallerIdentity"}


def test_assume_role_arn_reads_other_account(role_info: RoleInfo, account: Account) -> None:
    settings = account.sandbox.add_account(OTHER_ACCOUNT)[OTHER_ACCOUNT]
    keys = {key: settings[key] for key in ("aws_access_key_id", "aws_secret_access_key")}
    iam = account.sandbox.client("iam", **keys)
    trust = {"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.create_role(RoleName="auditor", AssumeRolePolicyDocument=document)
    iam.attach_role_policy(RoleName="auditor", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    auditor = f"arn:aws:iam::{OTHER_ACCOUNT}:role/auditor"
    assert [role["arn"] for role in role_info(auditor, assume_role_arn=auditor)["roles"]] == [auditor]


def test_forbidden_role_is_unread_and_others_are_returned(
    role_info: RoleInfo, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    iam = account.sandbox.client("iam")
    make_role(iam, "secret", "pods.eks.amazonaws.com")
    iam.create_user(UserName="narrow")
    statement = [
        {"Effect": "Allow", "Action": ["iam:Get*", "iam:List*"], "Resource": "*"},
        {"Effect": "Deny", "Action": "iam:GetRole", "Resource": f"{PREFIX}secret"},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    iam.put_user_policy(UserName="narrow", PolicyName="look", PolicyDocument=document)
    key = iam.create_access_key(UserName="narrow")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    result = role_info(f"{PREFIX}secret", f"{PREFIX}app")
    assert [role["name"] for role in result["roles"]] == ["app"]
    [unread] = result["unread"]
    assert unread["arn"] == f"{PREFIX}secret"
    assert "iam:GetRole" in unread["message"]
