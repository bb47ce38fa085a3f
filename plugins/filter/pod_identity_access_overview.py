# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may do what, over several clusters."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_access_overview
short_description: Who may do what, over several clusters
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Brings what M(podidentity.eks.eks_pod_identity_access_info#module) returned for several clusters into one order, and
    adds to the findings which roles they share.
  - A failed result becomes the report of a cluster that could not be read.
  - The playbook C(podidentity.eks.access) writes it as JSON.
positional: _input
options:
  _input:
    description:
      - Results of M(podidentity.eks.eks_pod_identity_access_info#module). A failed one needs C(cluster) with C(name),
        and C(region) if it is known, to be combined with it.
    type: list
    elements: dict
    required: true
seealso:
  - plugin: podidentity.eks.pod_identity_access_csv
    plugin_type: filter
  - plugin: podidentity.eks.pod_identity_access_page
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Accept no cluster that could not be read
  ansible.builtin.assert:
    that: overview | selectattr('error') | map(attribute='cluster.name') | list == ['closed']
  vars:
    overview: "{{ results | podidentity.eks.pod_identity_access_overview }}"
    # As the module podidentity.eks.eks_pod_identity_access_info returns them, the second one for a failed task.
    results:
      - cluster:
          name: example
          arn: arn:aws:eks:eu-west-1:111122223333:cluster/example
          region: eu-west-1
          account: "111122223333"
        access: []
        orphans: []
        notes: []
      - cluster:
          name: closed
        failed: true
        msg: The security token included in the request is invalid
"""

RETURN = r"""
_value:
  description:
    - One report for each cluster, sorted by name and region.
    - C(cluster), C(access), C(orphans) and C(notes) are as the module returns them. C(error) says why a cluster could
      not be read, and is null for all others.
  type: list
  elements: dict
  sample:
    - cluster: {name: closed, arn: null, region: null, account: null}
      access: []
      orphans: []
      notes: []
      error: The security token included in the request is invalid
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.module_utils._access.reports import ReportError
from ansible_collections.podidentity.eks.plugins.module_utils._access.reports import over_clusters


def pod_identity_access_overview(results: t.Any) -> list[dict[str, t.Any]]:
    """The filter; see its documentation above."""
    try:
        return over_clusters(results)
    except ReportError as error:
        raise AnsibleFilterError(f"pod_identity_access_overview: {error}") from error


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_access_overview": pod_identity_access_overview}
