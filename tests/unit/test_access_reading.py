# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Roles as IAM describes them, with what the sandbox's IAM does not tell."""

from __future__ import annotations

import datetime
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import Role
from ansible_collections.podidentity.eks.plugins.module_utils._eks.access import described_role
from support.access_reports import OTHER_ACCOUNT
from support.access_reports import document
from support.access_reports import statement

#: The example of GetRole in IAM's API reference.
DESCRIBED: dict[str, t.Any] = {
    "RoleName": "S3Access",
    "Arn": f"arn:aws:iam::{OTHER_ACCOUNT}:role/application_abc/component_xyz/S3Access",
    "RoleId": "AROADBQP57FF2AEXAMPLE",
    "Path": "/application_abc/component_xyz/",
    "CreateDate": datetime.datetime(2012, 5, 8, 23, 34, 1, tzinfo=datetime.UTC),
    "AssumeRolePolicyDocument": document(statement()),
    "MaxSessionDuration": 3600,
}
NOVEMBER = datetime.datetime(2019, 11, 20, 17, 9, 20, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("told", "last_used"),
    [
        (
            {"LastUsedDate": NOVEMBER, "Region": "us-east-1"},
            {"date": "2019-11-20T17:09:20+00:00", "region": "us-east-1"},
        ),
        ({}, None),
    ],
    ids=["used", "never, or so long ago that IAM has forgotten"],
)
def test_role_shows_last_use(told: dict[str, t.Any], last_used: dict[str, str] | None) -> None:
    found = described_role({**DESCRIBED, "RoleLastUsed": told}, [], "")  # type: ignore[typeddict-item]
    shown = found.render(documents=False)
    assert (shown["last_used"], shown["note"]) == (last_used, None)
    assert (shown["path"], shown["name"], shown["account"]) == (
        *("/application_abc/component_xyz/", "S3Access", OTHER_ACCOUNT),
    )


@pytest.mark.parametrize("arn", ["", "role", "arn:aws:iam", "arn:aws:iam::1:role/a"])
def test_unread_role_shows_any_arn_unchanged(arn: str) -> None:
    shown = Role(arn=arn).render(documents=True)
    assert shown["arn"] == arn and shown["readable"] is False
