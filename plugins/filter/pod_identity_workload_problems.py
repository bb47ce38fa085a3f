# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What cannot be right in a list of workloads."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_workload_problems
short_description: Say what cannot be right in a list of workloads
version_added: 0.1.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Checks all workloads at once, before anything is written, and returns one sentence for each problem. The sentence
    says what is wrong, where, and what would be right.
  - Every role of this collection that takes workloads begins with it.
positional: _input
options:
  _input:
    description: The workloads, as the roles of this collection take them.
    type: list
    elements: dict
    required: true
  account:
    description: The account of the cluster; with it, a role given by ARN must be of that account.
    type: str
    default: ''
"""

EXAMPLES = r"""
- name: Check a declaration, in a pipeline for example
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems | join('\n') }}"
  vars:
    problems: "{{ workloads | podidentity.eks.pod_identity_workload_problems(account='111122223333') }}"
    workloads:
      - namespace: default
        service_account: s3-access-sa
        role:
          arn: arn:aws:iam::111122223333:role/EKS-S3-Access-Role
"""

RETURN = r"""
_value:
  description: One sentence for each problem; empty when all is well.
  type: list
  elements: str
  sample:
    - >-
      Workload Default/s3-access-sa has the namespace "Default": use 1 to 63 lower-case letters, digits and hyphens,
      a letter or digit at both ends.
"""

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._trust import lengths
from ansible_collections.podidentity.eks.plugins.module_utils._workload.validation import workload_problems


def pod_identity_workload_problems(workloads: object, account: str = "") -> list[str]:
    """The filter; see its documentation above."""
    problems = workload_problems(workloads, account)
    # What has another problem cannot be measured.
    return problems or list(lengths.problems(t.cast("list[t.Any]", workloads), account))


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_workload_problems": pod_identity_workload_problems}
