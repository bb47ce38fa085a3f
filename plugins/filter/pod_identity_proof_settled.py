# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the pods of a verification need no more waiting."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_proof_settled
short_description: Tell whether pods of a verification have settled
version_added: 0.1.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - True when every pod has ended or waits for what never comes, such as an image that does not exist, when the pods may
    not be listed, and when the time is up.
  - Made for the role P(podidentity.eks.verify#role); its arguments change with that role.
positional: _input
options:
  _input:
    description: The registered result of M(kubernetes.core.k8s_info) that lists the pods of one run.
    type: dict
    required: true
  expected:
    description: How many pods there are to be.
    type: int
    required: true
  elapsed:
    description: Seconds since the Jobs were made.
    type: float
    required: true
  timeout:
    description: Seconds after which nothing more is waited for.
    type: float
    required: true
seealso:
  - plugin: podidentity.eks.pod_identity_proof
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Wait no longer for a pod whose image does not exist
  ansible.builtin.assert:
    that: listed | podidentity.eks.pod_identity_proof_settled(expected=1, elapsed=3.5, timeout=120)
  vars:
    # As a task with kubernetes.core.k8s_info registers it.
    listed:
      resources:
        - metadata:
            name: verify-s3-access-sa-x7k2m9qa-0-bx4tz
            namespace: default
            labels:
              podidentity.eks/workload: "0"
          status:
            phase: Pending
            containerStatuses:
              - name: prove
                state:
                  waiting:
                    reason: ImagePullBackOff
"""

RETURN = r"""
_value:
  description: Whether waiting may end.
  type: bool
"""

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.cases import is_settled


def pod_identity_proof_settled(listed: t.Any, expected: int, elapsed: float, timeout: float) -> bool:
    """The filter; see its documentation above."""
    return is_settled(listed, expected, elapsed, timeout)


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_proof_settled": pod_identity_proof_settled}
