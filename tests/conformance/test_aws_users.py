# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The users that the sandbox hands out, in one account and in several."""

from __future__ import annotations

import os
import pathlib
import subprocess
import typing as t

import boto3
import pytest
from support.boto3_account import Account
from support.boto3_account import refused
from support.iam_roles import POD_ACTIONS
from support.iam_roles import trust_policy
from support.sandbox_process import PYTHON
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.client("boto3")

OTHER = "444455556666"


def test_operator_may_do_only_what_the_collection_does(account: Account) -> None:
    account.cluster("one")
    role = account.pod_role()
    keys = account.sandbox.profile("operator")
    eks, iam = account.sandbox.client("eks", **keys), account.sandbox.client("iam", **keys)
    assert account.sandbox.client("sts", **keys).get_caller_identity()["Arn"].endswith(":user/operator")
    wanted = {"clusterName": "one", "namespace": "default", "serviceAccount": "app", "roleArn": role}
    association = eks.create_pod_identity_association(**wanted, tags={"owner": "me"})["association"]
    names = {"clusterName": "one", "associationId": association["associationId"]}
    eks.update_pod_identity_association(**names, disableSessionTags=True)
    eks.describe_pod_identity_association(**names)
    eks.list_pod_identity_associations(clusterName="one")
    tagging = account.sandbox.client("resourcegroupstaggingapi", **keys)
    assert len(tagging.get_resources(ResourceTypeFilters=["eks:podidentityassociation"])["ResourceTagMappingList"]) == 1
    eks.delete_pod_identity_association(**names)
    iam.create_role(RoleName="other", AssumeRolePolicyDocument=trust_policy("pods.eks.amazonaws.com", POD_ACTIONS))
    with refused("AccessDenied", "iam:CreateUser"):
        iam.create_user(UserName="friend")
    assert eks.list_clusters()["clusters"] == ["one"]
    with refused("AccessDeniedException", "eks:ListUpdates"):
        eks.list_updates(name="one")
    with refused("AccessDenied"):
        account.sandbox.client("s3", **keys).list_buckets()


def test_sandbox_reports_used_permissions(account: Account) -> None:
    account.cluster("one")
    role = account.pod_role()
    keys = account.sandbox.profile("operator")
    account.sandbox.clear_calls()
    eks = account.sandbox.client("eks", **keys)
    eks.create_pod_identity_association(clusterName="one", namespace="default", serviceAccount="app", roleArn=role)
    with refused("AccessDenied"):
        account.sandbox.client("s3", **keys).list_buckets()
    cluster = "arn:aws:eks:eu-west-1:111122223333:cluster/one"
    assert account.sandbox.permissions("*:user/operator") == {
        "eks:CreatePodIdentityAssociation": {"allowed": [cluster], "denied": []},
        "iam:GetRole": {"allowed": [role], "denied": []},
        "iam:PassRole": {"allowed": [role], "denied": []},
        "s3:ListAllMyBuckets": {"allowed": [], "denied": ["*"]},
    }
    account.sandbox.clear_calls()
    assert account.sandbox.permissions("*") == {}


def test_operator_may_pass_roles_only_to_eks(account: Account) -> None:
    simulated = account.iam.simulate_principal_policy(
        PolicySourceArn="arn:aws:iam::111122223333:user/operator",
        ActionNames=["iam:PassRole"],
        ContextEntries=[
            {
                "ContextKeyName": "iam:PassedToService",
                "ContextKeyType": "string",
                "ContextKeyValues": ["lambda.amazonaws.com"],
            }
        ],
    )
    assert [one["EvalDecision"] for one in simulated["EvaluationResults"]] == ["implicitDeny"]


def test_operator_keys_survive_a_reset(account: Account) -> None:
    before = account.sandbox.profile("operator")
    account.sandbox.reset()
    assert account.sandbox.profile("operator") == before
    assert account.sandbox.client("sts", **before).get_caller_identity()["Account"] == "111122223333"


def test_accounts_share_no_users(account: Account) -> None:
    profiles = account.sandbox.add_account(OTHER)
    assert profiles == account.sandbox.add_account(OTHER), "an account is made once"
    assert set(profiles) == {OTHER, f"{OTHER}-operator"}
    keys = profiles[OTHER]
    assert account.sandbox.profile(OTHER) == keys
    assert account.sandbox.client("sts", **keys).get_caller_identity()["Arn"] == (
        f"arn:aws:iam::{OTHER}:user/sandbox-admin"
    )
    account.sandbox.client("iam", **keys).create_user(UserName="theirs")
    with refused("NoSuchEntity"):
        account.iam.get_user(UserName="theirs")
    operator = account.sandbox.client("iam", **profiles[f"{OTHER}-operator"])
    with refused("AccessDenied"):
        operator.create_user(UserName="friend")


def test_another_account_can_have_a_cluster_of_the_same_name(account: Account) -> None:
    account.cluster("one")
    theirs = other_account(account)
    theirs.cluster("one")
    arns = [one.eks.describe_cluster(name="one")["cluster"]["arn"] for one in (account, theirs)]
    assert [arn.split(":")[4] for arn in arns] == ["111122223333", OTHER]
    association = theirs.associate(theirs.pod_role())
    assert association["associationArn"].split(":")[4] == OTHER
    assert account.eks.list_pod_identity_associations(clusterName="one")["associations"] == []


def other_account(account: Account) -> Account:
    """The same things as the first account offers, done in another one."""
    keys = account.sandbox.add_account(OTHER)[OTHER]
    other = Account(account.sandbox)
    for service in ("eks", "iam", "ec2"):
        setattr(other, service, account.sandbox.client(service, **keys))
    return other


@pytest.mark.parametrize("name", ["", "12345", "1234567890123", "11112222333x", 111122223333, None])
def test_account_id_has_twelve_digits(account: Account, name: t.Any) -> None:
    with pytest.raises(ValueError, match="An account id must have 12 digits"):
        account.sandbox.add_account(name)


def test_command_line_accounts_become_config_profiles(tmp_path: pathlib.Path) -> None:
    sandbox = SandboxProcess("--account", OTHER, "--account", "777788889999")
    sandbox.start(tmp_path)
    try:
        assert f"account 111122223333, {OTHER}, 777788889999" in sandbox.log
        with pytest.MonkeyPatch.context() as environment:
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                environment.delenv(name)
            environment.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
            for profile, wanted in (("default", "111122223333"), (OTHER, OTHER), ("777788889999", "777788889999")):
                client = boto3.session.Session(profile_name=profile).client("sts")
                assert client.get_caller_identity()["Account"] == wanted
            assert aws_cli_identity("--profile", f"{OTHER}-operator") == f"arn:aws:iam::{OTHER}:user/operator"
        assert (tmp_path / "config").stat().st_mode & 0o077 == 0
    finally:
        sandbox.stop()


def aws_cli_identity(*arguments: str) -> str:
    """The caller's ARN by the aws CLI, which the sandbox's environment has for its pods."""
    query = ["sts", "get-caller-identity", "--query", "Arn", "--output", "text"]
    command = [str(PYTHON), str(PYTHON.with_name("aws")), *arguments, *query]
    return subprocess.run(command, text=True, capture_output=True, check=True).stdout.strip()
