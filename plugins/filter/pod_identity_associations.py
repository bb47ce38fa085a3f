# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The associations that a list of workloads declares."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_associations
short_description: The associations that workloads declare
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Returns the associations to declare for workloads, in the form that
    M(podidentity.eks.eks_pod_identity_associations#module) takes.
  - A role that is declared by name has the ARN in O(role_arns), or else the one that it gets in the cluster's account
    under its path. A target role that is declared by name has the ARN that it gets in its account under its path.
  - What a workload does not say is not in its association either, so that it is left as it is.
positional: _input
options:
  _input:
    description: The workloads, as the roles of this collection take them.
    type: list
    elements: dict
    required: true
  cluster_arn:
    description:
      - The ARN of the EKS cluster, which tells account and partition of roles that are declared by name.
      - Not needed when all roles are given by their ARNs.
    type: str
    default: ''
  role_arns:
    description: ARNs of roles by name, such as the fact C(iam_role_arns) of P(podidentity.eks.iam_role#role).
    type: dict
    default: {}
seealso:
  - module: podidentity.eks.eks_pod_identity_associations
  - module: podidentity.eks.eks_pod_identity_roles
"""

EXAMPLES = r"""
- name: Show the associations of two workloads, the second of which is to go
  ansible.builtin.debug:
    msg: "{{ associations }}"
  vars:
    associations: "{{ workloads | podidentity.eks.pod_identity_associations(cluster_arn=cluster_arn) }}"
    cluster_arn: arn:aws:eks:eu-west-1:111122223333:cluster/example
    workloads:
      - namespace: default
        service_account: s3-access-sa
        role:
          name: EKS-S3-Access-Role
        target_role:
          account: "444455556666"
          name: reports-reader
      - namespace: default
        service_account: former
        state: absent
  failed_when: >-
    associations[0].role_arn != 'arn:aws:iam::111122223333:role/EKS-S3-Access-Role'
    or associations[0].target_role_arn != 'arn:aws:iam::444455556666:role/reports-reader'
    or associations[1] != {'namespace': 'default', 'service_account': 'former', 'state': 'absent'}
"""

RETURN = r"""
_value:
  description: One association for each workload, in their order.
  type: list
  elements: dict
  contains:
    namespace:
      description: The workload's namespace.
      type: str
    service_account:
      description: The workload's service account.
      type: str
    state:
      description: V(present) or V(absent). An absent one has nothing but its names.
      type: str
    role_arn:
      description: The role that EKS assumes.
      type: str
    target_role_arn:
      description: The role that EKS assumes with it, where one is declared.
      type: str
    disable_session_tags:
      description: As declared.
      type: bool
    policy:
      description: As declared.
      type: dict
    tags:
      description: As declared.
      type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.module_utils._workload.cluster import TrustError
from ansible_collections.podidentity.eks.plugins.module_utils._workload.validation import shown
from ansible_collections.podidentity.eks.plugins.module_utils._workload.validation import workload_problems
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import Workload
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import associations


def pod_identity_associations(
    workloads: t.Sequence[Workload], cluster_arn: str = "", role_arns: t.Mapping[str, str] | None = None
) -> list[dict[str, t.Any]]:
    """The filter; see its documentation above."""
    if problems := workload_problems(workloads):
        raise AnsibleFilterError("\n".join(problems))
    if not isinstance(cluster_arn, str):
        raise AnsibleFilterError(f"cluster_arn is {shown(cluster_arn)}: give the ARN of the cluster.")
    try:
        return associations(workloads, cluster_arn, role_arns)
    except TrustError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_associations": pod_identity_associations}
