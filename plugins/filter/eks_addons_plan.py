# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What becomes of a declared list of add-ons: the plan between observing and applying."""

from __future__ import annotations

DOCUMENTATION = r"""
name: eks_addons_plan
short_description: Plan the add-ons of an EKS cluster
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Compares a declared list of add-ons with what M(podidentity.eks.eks_addon_info) has found, and says which differ,
    which are to go, and for which service accounts IAM roles are to be made. Nothing is called.
  - Made for the role P(podidentity.eks.addons#role); its arguments change with that role.
positional: _input
options:
  _input:
    description: The add-ons, as that role takes them.
    type: list
    elements: dict
    required: true
  cluster_arn:
    description: The cluster's ARN. Roles that are made here are of its account.
    type: str
    required: true
  installed:
    description: What eks_addon_info returned as C(addons).
    type: list
    elements: dict
    default: []
  available:
    description: What eks_addon_info returned as C(available).
    type: list
    elements: dict
    default: []
  role_arns:
    description: ARNs of the roles that were made, by name. One that is missing is taken to be of the cluster's account.
    type: dict
    default: {}
  tags:
    description: Tags that all of the add-ons have.
    type: dict
    default: {}
  state:
    description: V(absent) plans to remove all of them, whatever each one says.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: podidentity.eks.eks_addon_info
  - module: podidentity.eks.eks_addon
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example" with the node group "nodes".

- name: Observe
  podidentity.eks.eks_addon_info:
    cluster_name: example
    name: "{{ addons | map(attribute='name') }}"
    available: true
  register: observed
  vars: &declared
    addons:
      - name: metrics-server
        version: latest

- name: Say which would change
  ansible.builtin.debug:
    msg: "{{ plan.changes | map(attribute='name') | join(', ') }}"
  vars:
    <<: *declared
    plan: >-
      {{ addons | podidentity.eks.eks_addons_plan(
         cluster_arn='arn:aws:eks:eu-west-1:111122223333:cluster/example',
         installed=observed.addons, available=observed.available) }}
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    problems:
      description: Why nothing can be done, one sentence each.
      type: list
      elements: str
    findings:
      description: What a person should know, one sentence each.
      type: list
      elements: str
    needs_available:
      description: Whether the plan needs O(available).
      type: bool
    changes:
      description: Options of M(podidentity.eks.eks_addon) for each add-on that differs.
      type: list
      elements: dict
    removals:
      description: The same for each add-on that is to go.
      type: list
      elements: dict
    workloads:
      description: Service accounts whose roles are to be made, as the role P(podidentity.eks.iam_role#role) takes them.
      type: list
      elements: dict
    former_workloads:
      description: Service accounts whose roles are to go.
      type: list
      elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import plain
from ansible_collections.podidentity.eks.plugins.module_utils._eks.addon import many
from ansible_collections.podidentity.eks.plugins.module_utils._workload.cluster import Cluster
from ansible_collections.podidentity.eks.plugins.module_utils._workload.cluster import TrustError

Mapping = t.Mapping[str, t.Any]


def eks_addons_plan(
    addons: t.Any,
    cluster_arn: str,
    *,
    installed: t.Sequence[Mapping] = (),
    available: t.Sequence[Mapping] = (),
    role_arns: t.Mapping[str, str] | None = None,
    tags: Mapping | None = None,
    state: str = "present",
) -> dict[str, t.Any]:
    """The filter; see its documentation above."""
    try:
        cluster = Cluster.from_arn(cluster_arn)
    except TrustError as error:
        raise AnsibleFilterError(str(error)) from error
    addons, installed, available, tags = (plain(value) for value in (addons, installed, available, tags or {}))
    found = many.problems(addons, cluster)
    if found:
        return vars(many.Plan(problems=found))
    known = many.Known(
        cluster=cluster,
        installed={addon["name"]: addon for addon in installed},
        available={addon["name"]: addon for addon in available},
        role_arns=role_arns or {},
        tags={key: str(value) for key, value in (tags or {}).items()},
    )
    return vars(many.plan(addons, known, state))


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"eks_addons_plan": eks_addons_plan}
