# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which accounts are asked and which clusters become hosts: what is declared, and what cannot be right in it."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.plugin_utils import fleet
from hypothesis import given
from hypothesis import strategies as st

ROLE = "arn:aws:iam::444455556666:role/inventory"


def host(name: str = "alpha", region: str = "eu-west-1", **cluster: t.Any) -> dict[str, t.Any]:
    return {
        "eks_cluster_name": name,
        "eks_region": region,
        "eks_account_id": "111122223333",
        "eks_cluster": {"name": name, "status": "ACTIVE", "version": "1.35", "tags": {}, **cluster},
    }


def test_no_accounts_means_current_credentials() -> None:
    assert fleet.read_accounts([]) == [fleet.Account()]
    assert fleet.read_accounts([{}, None]) == [fleet.Account(), fleet.Account()]
    assert fleet.read_accounts([], ROLE) == [fleet.Account(assume_role_arn=ROLE)]
    with pytest.raises(fleet.FleetError, match="give it in the item of accounts that it is for"):
        fleet.read_accounts([{}], ROLE)
    assert str(fleet.Account()) == "the account of the credentials in use"


def test_account_provides_its_connection_variables() -> None:
    [by_profile, by_role] = fleet.read_accounts(
        [{"profile": "production"}, {"assume_role_arn": ROLE, "assume_role_external_id": "x", "regions": ["eu-west-1"]}]
    )
    assert by_profile.variables == {"eks_profile": "production"}
    assert by_role.variables == {"eks_assume_role_arn": ROLE, "eks_assume_role_external_id": "x"}
    assert by_role.regions == ("eu-west-1",)


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ("production", 'Number 1 of accounts is "production": give a mapping with any of profile,'),
        ({"profil": "production"}, 'Number 1 of accounts has the unknown key "profil": did you mean profile?'),
        ({"region": "eu-west-1"}, 'Number 1 of accounts has the unknown key "region": did you mean regions?'),
        ({"regions": "eu-west-1"}, 'Number 1 of accounts has the regions "eu-west-1": give a list.'),
        ({"assume_role_arn": "inventory"}, 'assume_role_arn "inventory": give an IAM role\'s ARN in full.'),
        ({"assume_role_external_id": "x"}, "has an assume_role_external_id and no assume_role_arn"),
    ],
)
def test_invalid_account_is_refused(declared: t.Any, sentence: str) -> None:
    with pytest.raises(fleet.FleetError) as refused:
        fleet.read_accounts([declared])
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ({"name": ["a"]}, 'The option filters has the unknown key "name": did you mean names?'),
        ({"owner": ["a"]}, "known are names, statuses, versions, tags."),
        ({"tags": ["stage"]}, 'The option filters has the tags ["stage"]: give a mapping of keys to values.'),
    ],
)
def test_invalid_filters_are_refused(declared: dict[str, t.Any], sentence: str) -> None:
    with pytest.raises(fleet.FleetError) as refused:
        fleet.read_filters(declared)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({}, True),
        ({"names": "al*"}, True),
        ({"names": ["beta", "alpha"]}, True),
        ({"names": ["Alpha"]}, False),
        ({"names": []}, False),
        ({"statuses": ["ACTIVE", "UPDATING"]}, True),
        ({"statuses": ["CREATING"]}, False),
        ({"versions": [1.35]}, True),
        ({"versions": ["1.3"]}, False),
        ({"tags": {"stage": "prod*"}}, True),
        ({"tags": {"stage": ["staging", "production"], "team": "*"}}, True),
        ({"tags": {"stage": "production", "owner": "*"}}, False),
        ({"names": ["alpha"], "statuses": ["DELETING"]}, False),
    ],
)
def test_cluster_must_match_every_filter(filters: dict[str, t.Any], wanted: bool) -> None:
    cluster = host(tags={"stage": "production", "team": "42"})
    assert bool(fleet.select([cluster], fleet.read_filters(filters))) is wanted


@given(st.permutations([host("b"), host("a", "us-east-1"), host("a"), host("c")]))
def test_host_order_is_independent_of_answer_order(hosts: list[dict[str, t.Any]]) -> None:
    found = fleet.select(hosts, fleet.read_filters({}))
    assert [(item["eks_cluster_name"], item["eks_region"]) for item in found] == [
        ("a", "eu-west-1"),
        ("a", "us-east-1"),
        ("b", "eu-west-1"),
        ("c", "eu-west-1"),
    ]


def test_unreached_account_is_described_in_one_sentence() -> None:
    account = fleet.Account(profile="staging")
    everywhere = fleet.unreached(account, "", "The config profile (staging) could not be found")
    assert fleet.describe(everywhere) == (
        "EKS clusters of the account of profile staging are not in the inventory: The config profile (staging) could "
        "not be found."
    )
    assert ", region eu-west-1 are not in" in fleet.describe(fleet.unreached(account, "eu-west-1", "denied"))
