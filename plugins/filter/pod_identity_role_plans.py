# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What becomes of the IAM roles of workloads: the plan between observing and applying."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_role_plans
short_description: Plan the IAM roles of workloads for EKS Pod Identity
version_added: 0.1.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Compares the roles that workloads declare by C(role.name) with the roles that exist, and returns one plan for each.
  - The plan is data. It says what C(amazon.aws.iam_role) and C(amazon.aws.iam_policy) are to be given, what changes,
    and what was noticed. Nothing is called.
  - Statements of others in a trust policy stay as they are. Those that are meant for Pod Identity but cannot work are
    put right and named in RV(_value[].findings).
  - Made for the role P(podidentity.eks.iam_role#role); its arguments change with that role.
positional: _input
options:
  _input:
    description: The workloads, as the roles of this collection take them.
    type: list
    elements: dict
    required: true
  roles:
    description: The roles that exist, items of C(iam_roles) as returned by C(amazon.aws.iam_role_info).
    type: list
    elements: dict
    required: true
  cluster_arn:
    description: The ARN of the EKS cluster.
    type: str
    required: true
  state:
    description: V(absent) plans to take the workloads out of the roles, and to delete the roles made here.
    type: str
    choices: [present, absent]
    default: present
  size_limit:
    description: The account's quota for a trust policy, in characters without white space.
    type: int
    default: 2048
seealso:
  - plugin: podidentity.eks.pod_identity_trust_policy
    plugin_type: filter
"""

EXAMPLES = r"""
# Needs: an AWS account.

- name: Observe the role
  amazon.aws.iam_role_info:
    name: EKS-S3-Access-Role
  register: observed

- name: Say what would change
  ansible.builtin.debug:
    msg: "{{ plans | map(attribute='changes') | flatten }}"
  vars:
    plans: >-
      {{ workloads | podidentity.eks.pod_identity_role_plans(observed.iam_roles,
         cluster_arn='arn:aws:eks:eu-west-1:111122223333:cluster/example') }}
    workloads:
      - namespace: default
        service_account: s3-access-sa
        role:
          name: EKS-S3-Access-Role
          managed_policies:
            - AmazonS3ReadOnlyAccess
"""

RETURN = r"""
_value:
  description: One plan for each role, in the order of the workloads.
  type: list
  elements: dict
  contains:
    name:
      description: The role's name.
      type: str
    arn:
      description: The role's ARN, predicted where it does not exist yet.
      type: str
    action:
      description: One of V(create), V(update), V(delete), V(none).
      type: str
    assume_role_policy_document:
      description: The trust policy as it will be; none when no statement is left.
      type: dict
    managed_policies:
      description: Names or ARNs of the policies to attach.
      type: list
      elements: str
    purge_policies:
      description: Whether other policies are detached, which is so for roles made here only.
      type: bool
    inline_policy:
      description: The inline policy's document.
      type: dict
    inline_policy_name:
      description: Its name.
      type: str
    inline_policy_state:
      description: One of V(present), V(absent), V(none).
      type: str
    path:
      description: The path of a role that is to be made.
      type: str
    description:
      description: The declared description.
      type: str
    boundary:
      description: The declared permissions boundary.
      type: str
    max_session_duration:
      description: The declared longest session, in seconds.
      type: int
    tags:
      description: Tags to set.
      type: dict
    changes:
      description: What changes, one short text for each change.
      type: list
      elements: str
    diff:
      description: The change of the trust policy, statement by statement, as lines marked with C(-) and C(+).
      type: list
      elements: str
    findings:
      description: What was noticed, one sentence each.
      type: list
      elements: str
    problems:
      description: Why the plan cannot be applied, one sentence each.
      type: list
      elements: str
"""

import dataclasses
import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.module_utils._trust.document import SIZE_LIMIT
from ansible_collections.podidentity.eks.plugins.module_utils._trust.role import Observed
from ansible_collections.podidentity.eks.plugins.module_utils._trust.role import RolePlan
from ansible_collections.podidentity.eks.plugins.module_utils._trust.role import Workload
from ansible_collections.podidentity.eks.plugins.module_utils._trust.role import plan_roles
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import TrustError


def pod_identity_role_plans(
    workloads: t.Sequence[Workload],
    roles: t.Sequence[Observed],
    cluster_arn: str,
    state: t.Literal["present", "absent"] = "present",
    size_limit: int = SIZE_LIMIT,
) -> list[dict[str, t.Any]]:
    """The filter; see its documentation above."""
    try:
        plans = plan_roles(workloads, roles, cluster_arn, state=state, size_limit=size_limit)
    except TrustError as error:
        raise AnsibleFilterError(str(error)) from error
    return [as_data(plan) for plan in plans]


def as_data(plan: RolePlan) -> dict[str, t.Any]:
    """A plan as Ansible takes it: mappings and lists. The observed parts in it stay the objects that they were."""
    values = {field.name: getattr(plan, field.name) for field in dataclasses.fields(plan)}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_role_plans": pod_identity_role_plans}
