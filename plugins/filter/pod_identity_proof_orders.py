# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the pods of workloads are told to prove."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_proof_orders
short_description: Tell the pods of workloads what to prove
version_added: 0.1.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Returns for each workload what the script of a verification reads in the pod. Nothing is called.
  - Fails with one sentence if a workload's C(prove) cannot be read.
  - Made for the role P(podidentity.eks.verify#role); its arguments change with that role.
positional: _input
options:
  _input:
    description: The workloads, as the roles of this collection take them.
    type: list
    elements: dict
    required: true
  associations:
    description: The cluster's associations, as M(podidentity.eks.eks_pod_identity_association_info) returns them.
    type: list
    elements: dict
    required: true
  region:
    description: The region for pods that are given none, as happens when nothing is injected.
    type: str
    default: ""
  grace:
    description: For how many seconds a pod tries again what may only need time.
    type: int
    default: 0
  limit:
    description: After how many seconds the script gives up; 0 stands for never.
    type: int
    default: 0
seealso:
  - plugin: podidentity.eks.pod_identity_proof
    plugin_type: filter
"""

EXAMPLES = r"""
- name: See what the pod of a workload would be told
  ansible.builtin.assert:
    that:
      - orders[0].expected.account == '111122223333'
      - orders[0].expected.role == 'EKS-S3-Access-Role'
      - orders[0].calls[0].operation == 'list_buckets'
      - orders[0].calls[0].expected == 'allow'
  vars:
    orders: "{{ workloads | podidentity.eks.pod_identity_proof_orders(associations, region='eu-west-1', grace=10) }}"
    workloads:
      - namespace: default
        service_account: s3-access-sa
        prove:
          allow:
            - service: s3
              operation: list_buckets
              show: Buckets[].Name
    # As podidentity.eks.eks_pod_identity_association_info returns them.
    associations:
      - association_id: a-0a1b2c3d4e5f60718
        namespace: default
        service_account: s3-access-sa
        role_arn: arn:aws:iam::111122223333:role/EKS-S3-Access-Role
        target_role_arn: null
"""

RETURN = r"""
_value:
  description: One mapping for each workload, in their order.
  type: list
  elements: dict
  contains:
    expected:
      description: The C(account) and C(role) of the association or its target, null if there is no association.
      type: dict
    region:
      description: As given.
      type: str
    grace:
      description: As given.
      type: int
    limit:
      description: As given.
      type: int
    calls:
      description: The calls with C(service), C(operation), C(parameters), C(expected) and C(show).
      type: list
      elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.cases import pod_orders
from ansible_collections.podidentity.eks.plugins.module_utils._workload.prove import DeclarationError


def pod_identity_proof_orders(
    workloads: t.Any, associations: t.Any, region: str = "", grace: int = 0, limit: int = 0
) -> list[dict[str, t.Any]]:
    """The filter; see its documentation above."""
    try:
        return pod_orders(workloads, associations, region, grace, limit)
    except DeclarationError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_proof_orders": pod_identity_proof_orders}
