# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The workload that somebody asks for in a survey."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_requested
short_description: Make the answers of a survey a workload
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - A survey, of AWX for example, has fields of plain text. This filter makes them a list with one workload as the roles
    of this collection take it. Where every answer is empty or V(none) nothing is asked for, and the list is empty.
  - Of a workload that the inventory declares namespace and service account are enough; a request neither changes nor
    removes it.
  - An answer that ansible-core has read as a number, a truth value or a date is refused, because the text that was
    typed is lost. In double quotes it stays a text.
positional: _input
options:
  _input:
    description:
      - The answers. C(namespace) and C(service_account) say whose pods; C(role) is the name of a role that is made, or
        the ARN of one that exists; C(managed_policies) are names or ARNs and C(allow) are calls such as
        V(s3.list_buckets), both one on a line.
    type: dict
    required: true
  declared:
    description: The workloads that the inventory declares.
    type: list
    elements: dict
    default: []
  use:
    description:
      - What to do with answers.
      - With V(required) it is an error if there are none, with V(refused) if there are any.
    type: str
    choices: [taken, required, refused]
    default: taken
  limits:
    description:
      - What a request may ask for beyond what is declared, as patterns of a shell such as V(team-*). C(namespaces),
        C(role_names) and C(policies) are lists of them; a list that is V(none) limits nothing.
    type: dict
    default: {}
seealso:
  - plugin: podidentity.eks.pod_identity_request_problems
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Take a survey's answers
  ansible.builtin.assert:
    that:
      - workloads[0].role.managed_policies == ['AmazonS3ReadOnlyAccess']
      - workloads[0].prove.allow[0].operation == 'list_buckets'
  vars:
    workloads: "{{ answers | podidentity.eks.pod_identity_requested(limits={'namespaces': ['default', 'team-*']}) }}"
    answers:
      namespace: default
      service_account: s3-access-sa
      role: EKS-S3-Access-Role
      managed_policies: |
        AmazonS3ReadOnlyAccess
      allow: |
        s3.list_buckets
"""

RETURN = r"""
_value:
  description: One workload, or none.
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.module_utils._workload import request


def pod_identity_requested(
    answers: t.Mapping[str, t.Any],
    declared: t.Sequence[t.Any] | None = None,
    use: str = "taken",
    limits: t.Mapping[str, t.Any] | None = None,
) -> list[request.Workload]:
    """The filter; see its documentation above."""
    if not isinstance(answers, t.Mapping):
        raise AnsibleFilterError(f"The survey's answers are {answers!r}: give a mapping of namespace and so on.")
    if use not in request.USES:
        raise AnsibleFilterError(f'use is "{use}": give {", ".join(request.USES[:-1])} or {request.USES[-1]}.')
    try:
        return request.requested(answers, request.Rules(declared or (), use, limits or {}))
    except request.RequestError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_requested": pod_identity_requested}
