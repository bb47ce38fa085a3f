# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Whether network policies keep a pod from the Pod Identity agent's address.

Policies add up: once one with egress selects a pod, only what some such policy allows goes out.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import dig
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import listing
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import mapping
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import number
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import text

AGENT_ADDRESSES = ("169.254.170.23", "fd00:ec2::23")
AGENT_PORT = 80

Policy = t.Mapping[str, t.Any]


def in_the_way(policies: t.Iterable[Policy], namespace: str, labels: t.Mapping[str, str]) -> list[str]:
    """The names of the policies that select a pod, if none of them lets it reach the agent; otherwise none."""
    selecting = [policy for policy in policies if limits_egress(policy) and selects(policy, namespace, labels)]
    if any(lets_out(rule) for policy in selecting for rule in listing(dig(policy, "spec", "egress"))):
        return []
    return [text(dig(policy, "metadata", "name")) for policy in selecting]


def limits_egress(policy: Policy) -> bool:
    """Without policyTypes a policy is about egress if it has rules for it."""
    kinds = listing(dig(policy, "spec", "policyTypes"))
    return "Egress" in kinds if kinds else dig(policy, "spec", "egress") is not None


def selects(policy: Policy, namespace: str, labels: t.Mapping[str, str]) -> bool:
    return dig(policy, "metadata", "namespace") == namespace and matches(dig(policy, "spec", "podSelector"), labels)


def matches(selector: t.Any, labels: t.Mapping[str, str]) -> bool:
    """Whether a label selector of Kubernetes selects something with these labels; an empty one selects everything."""
    exact = all(labels.get(key) == value for key, value in mapping(dig(selector, "matchLabels")).items())
    return exact and all(meets(item, labels) for item in listing(dig(selector, "matchExpressions")))


def meets(expression: t.Any, labels: t.Mapping[str, str]) -> bool:
    """One expression of a label selector; NotIn and DoesNotExist hold for what lacks the label."""
    key, values = text(dig(expression, "key")), listing(dig(expression, "values"))
    operator = dig(expression, "operator")
    if operator in ("In", "Exists"):
        return key in labels and (operator == "Exists" or labels[key] in values)
    return key not in labels or (operator == "NotIn" and labels[key] not in values)


def lets_out(rule: t.Any) -> bool:
    """Whether an egress rule covers the agent's address and port; without peers or ports it covers all."""
    peers, ports = listing(dig(rule, "to")), listing(dig(rule, "ports"))
    return (not peers or any(map(is_agent, peers))) and (not ports or any(map(is_agent_port, ports)))


def is_agent(peer: t.Any) -> bool:
    """Pods and namespaces never are the agent, whose address is one of the node."""
    block = dig(peer, "ipBlock")
    return covers(dig(block, "cidr")) and not any(map(covers, listing(dig(block, "except"))))


def covers(block: t.Any) -> bool:
    try:
        network = ipaddress.ip_network(text(block), strict=False)
    except ValueError:
        return False
    return any(ipaddress.ip_address(address) in network for address in AGENT_ADDRESSES)


def is_agent_port(port: t.Any) -> bool:
    first, last = number(dig(port, "port")), number(dig(port, "endPort"))
    if dig(port, "protocol") not in (None, "TCP"):
        return False
    return dig(port, "port") is None or (first is not None and first <= AGENT_PORT <= (last or first))
