# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""amazon.aws against the sandbox: ``amazon_aws.yml`` as an ordinary play, and single modules with few permissions."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import typing as t

import pytest
from support.boto3_account import Account
from support.boto3_account import allow
from support.environment import ROOT
from support.environment import clean_environment
from support.iam_roles import trust_policy

pytestmark = pytest.mark.client("amazon.aws")

PLAY = pathlib.Path(__file__).with_name("amazon_aws.yml")


def play(account: Account, home: pathlib.Path) -> dict[str, int]:
    """Run the play and return the counts of its recap."""
    env = {**clean_environment(home), **account.sandbox.env}
    command = ["ansible-playbook", "-i", "localhost,", str(PLAY)]
    ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=600)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr
    return {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", ended.stdout.rpartition("RECAP")[2])}


def test_second_run_changes_nothing(account: Account, tmp_path: pathlib.Path) -> None:
    first, second = play(account, tmp_path), play(account, tmp_path)
    assert first["changed"] >= 8
    assert (second["changed"], second["ok"], second["failed"]) == (0, first["ok"], 0)


def run(
    account: Account, home: pathlib.Path, keys: dict[str, str], module: str, **arguments: t.Any
) -> tuple[bool, str]:
    """Run one module with the keys of a user; whether it succeeded, and what it printed."""
    given = {name.upper(): value for name, value in keys.items()}
    env = {**clean_environment(home), **account.sandbox.env, **given}
    command = ["ansible", "localhost", "-m", f"amazon.aws.{module}", "-a", json.dumps(arguments)]
    ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=600)
    return ended.returncode == 0, ended.stdout


def test_iam_role_with_tags_needs_tag_permission(account: Account, tmp_path: pathlib.Path) -> None:
    read = allow("iam:Get*", "iam:List*")
    keys = account.user("limited", read, allow("iam:CreateRole"))
    role = {
        "name": "mine",
        "assume_role_policy_document": trust_policy("pods.eks.amazonaws.com"),
        "create_instance_profile": False,
        "tags": {"owner": "me"},
    }
    done, printed = run(account, tmp_path, keys, "iam_role", **role)
    arn = "arn:aws:iam::111122223333:role/mine"
    assert (done, f"not authorized to perform: iam:TagRole on resource: {arn} because" in printed) == (False, True)
    assert [one for one in account.iam.list_roles()["Roles"] if one["Arn"] == arn] == []
    document = {"Version": "2012-10-17", "Statement": [read, allow("iam:CreateRole", "iam:TagRole", resource=arn)]}
    account.iam.put_user_policy(UserName="limited", PolicyName="permissions", PolicyDocument=json.dumps(document))
    done, printed = run(account, tmp_path, keys, "iam_role", **role)
    assert done, printed
    assert account.iam.get_role(RoleName="mine")["Role"]["Tags"] == [{"Key": "owner", "Value": "me"}]


def test_vpc_permissions_can_depend_on_its_tags(account: Account, tmp_path: pathlib.Path) -> None:
    made = {"StringEquals": {"aws:RequestTag/owner": "me"}}
    mine = {"StringEquals": {"aws:ResourceTag/owner": "me"}}
    keys = account.user(
        "limited",
        allow("ec2:Describe*"),
        allow("ec2:CreateVpc", "ec2:CreateTags", Condition=made),
        allow("ec2:ModifyVpcAttribute", "ec2:DeleteVpc", Condition=mine),
    )
    vpc = {"name": "one", "cidr_block": "10.9.0.0/16"}
    done, printed = run(account, tmp_path, keys, "ec2_vpc_net", **vpc, tags={"owner": "you"})
    assert (done, "not authorized to perform: ec2:CreateVpc on resource: arn:aws:ec2" in printed) == (False, True)
    done, printed = run(account, tmp_path, keys, "ec2_vpc_net", **vpc, tags={"owner": "me"})
    assert done, printed
    theirs = account.ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    done, printed = run(account, tmp_path, keys, "ec2_vpc_net", vpc_id=theirs, state="absent")
    assert (done, f"ec2:DeleteVpc on resource: arn:aws:ec2:eu-west-1:111122223333:vpc/{theirs}" in printed) == (
        False,
        True,
    )
    done, printed = run(account, tmp_path, keys, "ec2_vpc_net", **vpc, state="absent")
    assert done, printed
    blocks = [one["CidrBlock"] for one in account.ec2.describe_vpcs()["Vpcs"]]
    assert ("10.8.0.0/16" in blocks, "10.9.0.0/16" in blocks) == (True, False)
