# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of a check run as Markdown, for a pull request."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_plan_markdown
short_description: Show the plan of a check run as Markdown
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Turns the plans of clusters, as a check run of the playbooks writes them to C(podidentity_plan_file), into Markdown.
positional: _input
options:
  _input:
    description:
      - A plan for each cluster, with C(cluster), and lists under C(resources), what is in and around the cluster,
        C(addons), C(roles), C(service_accounts), C(associations), C(restarts) and C(undeclared).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what would change
  ansible.builtin.assert:
    that:
      - text is search('## Cluster example')
      - text is search('- role reader[:] create the role')
  vars:
    text: >-
      {{ [{'cluster': 'example', 'roles': [{'name': 'reader', 'changes': ['create the role']}]}]
      | podidentity.eks.pod_identity_plan_markdown }}
"""

RETURN = r"""
_value:
  description: The Markdown.
  type: str
"""

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._workload.plan_file import markdown


def pod_identity_plan_markdown(plans: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    """The filter; see its documentation above."""
    return markdown(plans)


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_plan_markdown": pod_identity_plan_markdown}
