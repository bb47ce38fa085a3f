# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may do what, as a page for a browser."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_access_page
short_description: Who may do what, as a page for a browser
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Returns one HTML text that holds everything it shows and loads nothing, so that it opens offline and can be sent by
    mail. It has a summary, the findings, a picture of clusters, workloads, roles and policies, and a table.
  - Above 60 workloads the picture groups them by namespace, and roles and policies by what they have in common. The
    table has all of them.
  - A box filters by words. The page follows the light or dark setting of the reader, and prints on A4 in landscape.
  - The same input gives the same text.
positional: _input
options:
  _input:
    description: Results of M(podidentity.eks.eks_pod_identity_access_info#module), as
      P(podidentity.eks.pod_identity_access_overview#filter) takes them, or what that returns.
    type: list
    elements: dict
    required: true
  title:
    description: The heading.
    type: str
    default: Who may do what
  generated:
    description: When the results were gathered, as it is to be shown. Nothing is shown when it is empty.
    type: str
    default: ""
seealso:
  - plugin: podidentity.eks.pod_identity_access_csv
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
    policies: documents
    orphans: true
  register: overview

- name: Write it for a browser
  ansible.builtin.copy:
    content: >-
      {{ [overview] | podidentity.eks.pod_identity_access_page(
         title='Who may do what in cluster example', generated=now(utc=true).strftime('%Y-%m-%d %H:%M UTC')) }}
    dest: /tmp/podidentity-access-example.html
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
  description: The page.
  type: str
  sample: "<!DOCTYPE html> ..."
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.module_utils._access.reports import ReportError
from ansible_collections.podidentity.eks.plugins.plugin_utils.access_page import as_page


def pod_identity_access_page(results: t.Any, title: str = "Who may do what", generated: str = "") -> str:
    """The filter; see its documentation above."""
    try:
        return as_page(results, title, generated)
    except ReportError as error:
        raise AnsibleFilterError(f"pod_identity_access_page: {error}") from error


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_access_page": pod_identity_access_page}
