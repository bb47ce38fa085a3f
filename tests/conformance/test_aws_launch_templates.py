# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Versions of launch templates, by boto3: which go, which stay, and who may delete them."""

from __future__ import annotations

import json

import pytest
from support.boto3_account import Account
from support.boto3_account import refused

pytestmark = pytest.mark.client("boto3")


def create_template(account: Account) -> str:
    """A launch template with three versions, of which the second is the default."""
    ec2, data = account.ec2, {"LaunchTemplateData": {"EbsOptimized": True}}
    made = ec2.create_launch_template(LaunchTemplateName="nodes", **data)["LaunchTemplate"]
    for _version in (2, 3):
        ec2.create_launch_template_version(LaunchTemplateName="nodes", **data)
    ec2.modify_launch_template(LaunchTemplateName="nodes", DefaultVersion="2")
    return str(made["LaunchTemplateId"])


def versions(account: Account) -> list[int]:
    found = account.ec2.describe_launch_template_versions(LaunchTemplateName="nodes")["LaunchTemplateVersions"]
    return sorted(version["VersionNumber"] for version in found)


def test_delete_versions_keeps_the_default_version(account: Account) -> None:
    template = create_template(account)
    answer = account.ec2.delete_launch_template_versions(LaunchTemplateId=template, Versions=["1", "2", "9"])
    assert [one["VersionNumber"] for one in answer["SuccessfullyDeletedLaunchTemplateVersions"]] == [1]
    left = answer["UnsuccessfullyDeletedLaunchTemplateVersions"]
    assert [(one["LaunchTemplateName"], one["VersionNumber"]) for one in left] == [("nodes", 2), ("nodes", 9)]
    assert versions(account) == [2, 3]
    with refused("InvalidLaunchTemplateId.NotFoundException"):
        account.ec2.delete_launch_template_versions(LaunchTemplateId="lt-0123456789abcdef0", Versions=["1"])


def test_delete_versions_needs_permission_on_the_template(account: Account) -> None:
    template, iam = create_template(account), account.sandbox.client("iam")
    iam.create_user(UserName="somebody")
    key = iam.create_access_key(UserName="somebody")["AccessKey"]
    keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    theirs = account.sandbox.client("ec2", **keys)
    with refused("UnauthorizedOperation", f"launch-template/{template}"):
        theirs.delete_launch_template_versions(LaunchTemplateId=template, Versions=["1"])
    assert versions(account) == [1, 2, 3]
    resource = f"arn:aws:ec2:*:*:launch-template/{template}"
    statement = {"Effect": "Allow", "Action": "ec2:DeleteLaunchTemplateVersions", "Resource": resource}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="somebody", PolicyName="delete", PolicyDocument=document)
    theirs.delete_launch_template_versions(LaunchTemplateId=template, Versions=["1"])
    assert versions(account) == [2, 3]
