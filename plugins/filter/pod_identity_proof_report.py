# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Proofs as lines for a person."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_proof_report
short_description: Show proofs as lines that a person reads
version_added: 0.1.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - One line says whether a workload is proven, the next ones who the pod was and what became of each call.
  - Where something is not proven, also what was expected, what was seen, the cause and what to do.
  - The role P(podidentity.eks.verify#role) ends with it. It also shows the proofs that a run has left in a file.
positional: _input
options:
  _input:
    description: Proofs, as M(podidentity.eks.eks_pod_identity_verify) returns them.
    type: list
    elements: dict
    required: true
seealso:
  - module: podidentity.eks.eks_pod_identity_verify
"""

EXAMPLES = r"""
- name: Show what is not proven
  ansible.builtin.debug:
    msg: "{{ proofs | rejectattr('proven') | podidentity.eks.pod_identity_proof_report }}"
  vars:
    # The form of the file that playbook podidentity.eks.verify writes as podidentity_proof_file.
    proofs:
      - cluster: example
        namespace: default
        service_account: s3-access-sa
        association_id: a-0a1b2c3d4e5f60718
        role_arn: arn:aws:iam::111122223333:role/EKS-S3-Access-Role
        target_role_arn: null
        identity:
          arn: arn:aws:sts::111122223333:assumed-role/EKS-S3-Access-Role/eks-example-verify-s3-0b3c
          account: "111122223333"
          role: EKS-S3-Access-Role
          session_name: eks-example-verify-s3-0b3c
        calls:
          - service: s3
            operation: list_buckets
            expected: allow
            outcome: denied
            ok: false
        proven: false
        cause:
          id: permission_missing
          text: Role EKS-S3-Access-Role may not call s3.list_buckets.
        advice: Attach a policy that allows s3:ListAllMyBuckets.
"""

RETURN = r"""
_value:
  description: The lines, failures last.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.report import report


def pod_identity_proof_report(proofs: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """The filter; see its documentation above."""
    return report(proofs)


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_proof_report": pod_identity_proof_report}
