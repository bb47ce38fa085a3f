# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Proofs as lines for a person."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_proof_report
short_description: Show proofs as lines that a person reads
version_added: 0.1.0
author:
  - The podidentity.eks founders (@podidentity)
description:
  - One line says whether a workload is proven, the next ones who the pod was and what became of each call.
  - Where something is not proven, also what was expected, what was seen, the cause and what to do.
positional: _input
options:
  _input:
    description: Proofs, as P(podidentity.eks.pod_identity_proof#filter) returns them.
    type: list
    elements: dict
    required: true
seealso:
  - plugin: podidentity.eks.pod_identity_proof
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Report
  ansible.builtin.debug:
    msg: "{{ podidentity_proof | podidentity.eks.pod_identity_proof_report }}"
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
