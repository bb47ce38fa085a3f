# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pods of a verification whose result is in their log only."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_proof_unread
short_description: List pods of a verification whose log is to be read
version_added: 0.1.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - A pod's result fits as a rule into its termination message, which comes with the pod itself. The log is read
    where it does not, or where the pod ended without a result.
  - Made for the role P(podidentity.eks.verify#role); its arguments change with that role.
positional: _input
options:
  _input:
    description: The pods of one run, as M(kubernetes.core.k8s_info) returns them.
    type: list
    elements: dict
    required: true
seealso:
  - plugin: podidentity.eks.pod_identity_proof
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Find the pod that ended without a result
  ansible.builtin.assert:
    that: (pods | podidentity.eks.pod_identity_proof_unread)[0].name == 'verify-s3-access-sa-x7k2m9qa-0-bx4tz'
  vars:
    # As kubernetes.core.k8s_info returns them.
    pods:
      - metadata:
          name: verify-s3-access-sa-x7k2m9qa-0-bx4tz
          namespace: default
          labels:
            podidentity.eks/workload: "0"
        status:
          phase: Failed
          containerStatuses:
            - name: prove
              state:
                terminated:
                  exitCode: 1
                  message: python3 not found
"""

RETURN = r"""
_value:
  description: For each such pod its C(namespace), C(name) and C(index), the place of its workload.
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.cases import unread_pods


def pod_identity_proof_unread(pods: t.Any) -> list[dict[str, str]]:
    """The filter; see its documentation above."""
    return unread_pods(pods)


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_proof_unread": pod_identity_proof_unread}
