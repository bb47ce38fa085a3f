# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lines for people about what failed."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_failures
short_description: Show what failed for which workloads
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Returns one line for each reason, with the workloads that it is about. Nothing is called.
positional: _input
options:
  _input:
    description: C(failed_items) of modules of this collection.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what failed
  ansible.builtin.assert:
    that:
      - items | podidentity.eks.pod_identity_failures == ['team-a/jobs, team-a/web: The role app does not exist.']
  vars:
    items:
      - workload: team-a/jobs
        namespace: team-a
        service_account: jobs
        phase: association
        reason: The role app does not exist.
      - workload: team-a/web
        namespace: team-a
        service_account: web
        phase: association
        reason: The role app does not exist.
"""

RETURN = r"""
_value:
  description: The lines, in the order of the reasons.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._workload.failure import lines


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_failures": lines}
