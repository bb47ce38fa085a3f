# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which declared security groups are not surely as declared."""

from __future__ import annotations

DOCUMENTATION = r"""
name: eks_security_groups_to_change
short_description: Pick the declared security groups that are missing or not surely as declared
version_added: 0.1.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Compares declared security groups with observed ones, so that those that are as declared need no task of their own.
    Nothing is called.
  - Rules with C(proto), C(ports) (or C(from_port) and C(to_port)) and C(cidr_ip) are compared. A group with any other
    rule is always picked, and the module C(amazon.aws.ec2_security_group) then decides.
  - Made for the role P(podidentity.eks.cluster#role); its arguments change with that role.
positional: _input, observed
options:
  _input:
    description: Declared groups, mappings with C(full_name) and C(rules).
    type: list
    elements: dict
    required: true
  observed:
    description: Groups as C(amazon.aws.ec2_security_group_info) returns them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Pick the groups that need a task
  ansible.builtin.assert:
    that: (declared | podidentity.eks.eks_security_groups_to_change(observed)) == [declared[1]]
  vars:
    declared:
      - full_name: example-node-metrics
        rules:
          - proto: tcp
            ports:
              - 9100
            cidr_ip: 10.42.0.0/16
      - full_name: example-node-ports
        rules:
          - proto: tcp
            ports:
              - 30000-32767
            cidr_ip: 10.42.0.0/16
    # As amazon.aws.ec2_security_group_info returns them: the first is as declared, the second does not exist yet.
    observed:
      - group_name: example-node-metrics
        ip_permissions:
          - ip_protocol: tcp
            from_port: 9100
            to_port: 9100
            ip_ranges:
              - cidr_ip: 10.42.0.0/16
"""

RETURN = r"""
_value:
  description: The declared groups that are missing or may differ.
  type: list
  elements: dict
"""

import typing as t

Group = t.Mapping[str, t.Any]
#: Protocol, first port, last port, source.
Rule = tuple[str, int, int, str]
COMPARED_KEYS = {"proto", "ports", "from_port", "to_port", "cidr_ip"}
COMPARED_PROTOCOLS = {"tcp", "udp"}


def eks_security_groups_to_change(groups: t.Sequence[Group], observed: t.Sequence[Group]) -> list[Group]:
    """The filter; see its documentation above."""
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


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"eks_security_groups_to_change": eks_security_groups_to_change}
