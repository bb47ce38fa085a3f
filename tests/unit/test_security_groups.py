# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which declared security groups of node groups need a task, because they are missing or may differ."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._eks.foundation import security_groups

Mapping = dict[str, t.Any]
DECLARED = {
    "full_name": "shop-ports",
    "rules": [{"proto": "tcp", "ports": [9100, "30000-32767"], "cidr_ip": "10.0.0.0/8"}],
}


def permission(first: int, last: int, **changes: t.Any) -> Mapping:
    ranges = [{"cidr_ip": "10.0.0.0/8"}]
    return {"ip_protocol": "tcp", "from_port": first, "to_port": last, "ip_ranges": ranges} | changes


def needs_change(declared: Mapping, *permissions: Mapping, name: str = "shop-ports") -> bool:
    observed = [{"group_name": name, "ip_permissions": list(permissions)}]
    return bool(security_groups.to_change([declared], observed))


def test_security_group_without_drift_needs_no_change() -> None:
    assert not needs_change(DECLARED, permission(30000, 32767), permission(9100, 9100))
    ranged = {"full_name": "shop-ports", "rules": [{"from_port": 1, "to_port": 2, "cidr_ip": ["10.0.0.0/8"]}]}
    assert not needs_change(ranged, permission(1, 2))
    assert not needs_change({"full_name": "shop-ports"})


@pytest.mark.parametrize(
    "permissions",
    [
        (),
        (permission(9100, 9100),),
        (permission(9100, 9100), permission(30000, 32766)),
        (permission(9100, 9100), permission(30000, 32767), permission(22, 22)),
        (permission(9100, 9100, ip_protocol="udp"), permission(30000, 32767)),
        (permission(9100, 9100, ipv6_ranges=[{"cidr_ipv6": "::/0"}]), permission(30000, 32767)),
    ],
)
def test_security_group_with_other_rules_needs_change(permissions: tuple[Mapping, ...]) -> None:
    assert needs_change(DECLARED, *permissions)


@pytest.mark.parametrize(
    "rule",
    [
        {"proto": "all", "cidr_ip": "10.0.0.0/8"},
        {"proto": "tcp", "ports": [22], "group_id": "sg-1"},
        {"proto": "tcp", "cidr_ip": "10.0.0.0/8"},
        {"proto": "tcp", "ports": ["http"], "cidr_ip": "10.0.0.0/8"},
    ],
)
def test_incomparable_security_group_rule_is_left_to_module(rule: Mapping) -> None:
    assert needs_change({"full_name": "shop-ports", "rules": [rule]}, permission(22, 22))


def test_missing_security_group_needs_change() -> None:
    assert needs_change(DECLARED, permission(9100, 9100), permission(30000, 32767), name="other")
