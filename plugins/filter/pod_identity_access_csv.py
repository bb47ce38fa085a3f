# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may do what, as a table for a spreadsheet."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_access_csv
short_description: Who may do what, as a table for a spreadsheet
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Returns CSV with a header, one row for each association, one for each trust that no association uses, and one for
    each cluster that could not be read; the column C(kind) says which.
  - The policies are those of the target role where there is one, as these are what the pods may do.
  - A cell that a spreadsheet would take for a formula begins with an apostrophe.
positional: _input
options:
  _input:
    description: Results of M(podidentity.eks.eks_pod_identity_access_info#module), as
      P(podidentity.eks.pod_identity_access_overview#filter) takes them, or what that returns.
    type: list
    elements: dict
    required: true
seealso:
  - plugin: podidentity.eks.pod_identity_access_page
    plugin_type: filter
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example", and the IAM role "app" in its account 111122223333.

- name: Make an association to look at
  podidentity.eks.eks_pod_identity_association:
    cluster_name: example
    namespace: team-a
    service_account: app
    role_arn: arn:aws:iam::111122223333:role/app

- name: Look up who may do what
  podidentity.eks.eks_pod_identity_access_info:
    cluster_name: example
  register: overview

- name: Write it for a spreadsheet
  ansible.builtin.copy:
    content: "{{ [overview] | podidentity.eks.pod_identity_access_csv }}"
    dest: /tmp/podidentity-access-example.csv
    mode: "0644"

- name: Delete the association
  podidentity.eks.eks_pod_identity_association:
    cluster_name: example
    namespace: team-a
    service_account: app
    state: absent
"""

RETURN = r"""
_value:
  description: The table.
  type: str
  sample: |
    kind,cluster,region,account,namespace,service_account,association_id
    association,example,eu-west-1,111122223333,team-a,app,a-abcdefghijklmnop1
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.module_utils._access.reports import ReportError
from ansible_collections.podidentity.eks.plugins.module_utils._access.table import as_csv


def pod_identity_access_csv(results: t.Any) -> str:
    """The filter; see its documentation above."""
    try:
        return as_csv(results)
    except ReportError as error:
        raise AnsibleFilterError(f"pod_identity_access_csv: {error}") from error


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_access_csv": pod_identity_access_csv}
