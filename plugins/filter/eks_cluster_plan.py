# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run changes in and around a cluster, item by item."""

from __future__ import annotations

DOCUMENTATION = r"""
name: eks_cluster_plan
short_description: List what a run changes in and around a cluster
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Turns what the role P(podidentity.eks.cluster#role) has observed and planned, and what its modules returned, into
    one item for each resource. It is the same in check mode and in the run. Nothing is called.
  - Made for that role and for P(podidentity.eks.addons#role); its arguments change with them.
positional: _input, cluster_name, cidr
options:
  _input:
    description:
      - The parts C(observed), C(roles), C(network), C(cluster), C(access_entries), C(security_groups),
        C(launch_templates), C(nodegroups) and C(addons), each of which may be left out.
    type: dict
    required: true
  cluster_name:
    description: Name of the cluster.
    type: str
    required: true
  cidr:
    description: Address range of the network.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show what would change
  ansible.builtin.assert:
    that:
      - plan[0].kind == 'access entry'
      - plan[0].action == 'update'
  vars:
    plan: >-
      {{ {'access_entries': [result]} | podidentity.eks.eks_cluster_plan('example') }}
    # As podidentity.eks.eks_access_entry returns it in a loop.
    result:
      changed: true
      actions: [update_access_entry]
      changes:
        kubernetes_groups: {before: [], after: [developers]}
      item:
        principal_arn: arn:aws:iam::111122223333:role/developers
"""

RETURN = r"""
_value:
  description:
    - One item for each resource that changes, with C(kind), C(name), C(action), V(create), V(update), V(replace) or
      V(delete), and C(changes), the fields that change with their values before and after.
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import plain
from ansible_collections.podidentity.eks.plugins.module_utils._eks import cluster_plan


def eks_cluster_plan(parts: t.Mapping[str, t.Any], cluster_name: str, cidr: str = "") -> list[dict[str, t.Any]]:
    """The filter; see its documentation above."""
    return cluster_plan.plan(plain(parts), cluster_name, cidr)


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"eks_cluster_plan": eks_cluster_plan}
