# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Which declared security groups are missing or not surely as declared.

A task of amazon.aws costs about a second, so one is only run where it may change something.
"""

from __future__ import annotations

import typing as t

Group = t.Mapping[str, t.Any]
#: Protocol, first port, last port, source.
Rule = tuple[str, int, int, str]
COMPARED_KEYS = {"proto", "ports", "from_port", "to_port", "cidr_ip"}
COMPARED_PROTOCOLS = {"tcp", "udp"}


def to_change(groups: t.Sequence[Group], observed: t.Sequence[Group]) -> list[Group]:
    """The declared groups that are missing or may differ.

    Rules with ``proto``, ``ports`` (or ``from_port`` and ``to_port``) and ``cidr_ip`` are compared. A group with any
    other rule is always one of them, and the module ``amazon.aws.ec2_security_group`` decides.

    :param groups: mappings with ``full_name`` and ``rules``.
    :param observed: groups as EC2 describes them, in snake_case.
    """
    existing = {group["group_name"]: group for group in observed}
    return [group for group in groups if not surely_equal(group, existing.get(group["full_name"]))]


def surely_equal(declared: Group, observed: Group | None) -> bool:
    """Whether the rules of two groups are the same, as far as that can be told."""
    if observed is None:
        return False
    rules = declared.get("rules") or []
    if any(set(rule) - COMPARED_KEYS or rule.get("proto", "tcp") not in COMPARED_PROTOCOLS for rule in rules):
        return False
    permissions = observed.get("ip_permissions") or []
    kinds = ("ipv6_ranges", "prefix_list_ids", "user_id_group_pairs")
    if any(permission.get(kind) for permission in permissions for kind in kinds):
        return False
    try:
        return {item for rule in rules for item in declared_rules(rule)} == set(observed_rules(permissions))
    except (KeyError, TypeError, ValueError):
        return False  # a form that only the module knows


def declared_rules(rule: t.Mapping[str, t.Any]) -> t.Iterator[Rule]:
    """One rule for each range of ports and each source."""
    ports = rule.get("ports", [f"{rule.get('from_port')}-{rule.get('to_port')}"])
    sources = rule["cidr_ip"] if isinstance(rule["cidr_ip"], (list, tuple)) else [rule["cidr_ip"]]
    for port in ports if isinstance(ports, (list, tuple)) else [ports]:
        first, _dash, last = str(port).partition("-")
        for source in sources:
            yield rule.get("proto", "tcp"), int(first), int(last or first), str(source)


def observed_rules(permissions: t.Sequence[t.Mapping[str, t.Any]]) -> t.Iterator[Rule]:
    """The same of an existing group."""
    for permission in permissions:
        for source in permission.get("ip_ranges") or []:
            ports = int(permission["from_port"]), int(permission["to_port"])
            yield permission["ip_protocol"], *ports, source["cidr_ip"]
