# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Proofs as test results that CI servers show."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_proof_junit
short_description: Show proofs as test results in the form of JUnit
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Returns an XML document as Jenkins, GitLab and other CI servers read it, with a test suite for each cluster and a
    test case for each workload.
  - A test case has the class C(cluster.namespace) and the service account as its name. Where something is not proven,
    the type of the failure is the ID of the cause. The output holds the lines of the report.
  - The role P(podidentity.eks.verify#role) writes it as O(podidentity.eks.verify#role:verify_junit_file).
positional: _input
options:
  _input:
    description: Proofs, as M(podidentity.eks.eks_pod_identity_verify) returns them.
    type: list
    elements: dict
    required: true
  timestamp:
    description: When it was tested, in UTC without a time zone, such as V(2026-11-23T10:15:30).
    type: str
    required: true
seealso:
  - plugin: podidentity.eks.pod_identity_proof_report
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Write the test results of a run
  ansible.builtin.copy:
    content: "{{ proofs | podidentity.eks.pod_identity_proof_junit(timestamp='2026-11-23T10:15:30') }}"
    dest: "{{ lookup('ansible.builtin.env', 'HOME') }}/podidentity.xml"
    mode: "0644"
  vars:
    # The form of the file that the role podidentity.eks.verify writes as verify_proof_file.
    proofs:
      - cluster: example
        namespace: default
        service_account: s3-access-sa
        association_id: null
        role_arn: null
        target_role_arn: null
        identity: null
        calls: []
        seconds: 0.41
        proven: false
        cause:
          id: association_missing
          text: There is no Pod Identity association for service account default/s3-access-sa in cluster example.
        advice: Create the association.
"""

RETURN = r"""
_value:
  description: The XML document.
  type: str
"""

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.junit import render


def pod_identity_proof_junit(proofs: t.Sequence[t.Mapping[str, t.Any]], timestamp: str) -> str:
    """The filter; see its documentation above."""
    return render(proofs, timestamp)


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_proof_junit": pod_identity_proof_junit}
