# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why a request of a survey is refused."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_request_problems
short_description: Find why the answers of a survey are refused
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Says in one sentence why P(podidentity.eks.pod_identity_requested#filter) makes no workload of answers, for a check
    before anything is written.
positional: _input
options:
  _input:
    description: The answers, as P(podidentity.eks.pod_identity_requested#filter) takes them.
    type: dict
    required: true
  declared:
    description: The workloads that the inventory declares.
    type: list
    elements: dict
    default: []
  use:
    description: What to do with answers.
    type: str
    choices: [taken, required, refused]
    default: taken
  limits:
    description: What a request may ask for.
    type: dict
    default: {}
seealso:
  - plugin: podidentity.eks.pod_identity_requested
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Refuse a policy that nobody may request
  ansible.builtin.assert:
    that:
      - problems | length == 1
      - problems[0] is search('asks for the managed policy "AdministratorAccess"')
  vars:
    problems: "{{ answers | podidentity.eks.pod_identity_request_problems(limits={'policies': ['AmazonS3*']}) }}"
    answers:
      namespace: default
      service_account: s3-access-sa
      role: EKS-S3-Access-Role
      managed_policies: AdministratorAccess
"""

RETURN = r"""
_value:
  description: One sentence, or none when the answers are taken.
  type: list
  elements: str
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.module_utils._workload import request


def pod_identity_request_problems(
    answers: t.Mapping[str, t.Any],
    declared: t.Sequence[t.Any] | None = None,
    use: str = "taken",
    limits: t.Mapping[str, t.Any] | None = None,
) -> list[str]:
    """The filter; see its documentation above."""
    if not isinstance(answers, t.Mapping):
        raise AnsibleFilterError(f"The survey's answers are {answers!r}: give a mapping of namespace and so on.")
    try:
        request.requested(answers, request.Rules(declared or (), use, limits or {}))
    except request.RequestError as error:
        return [str(error)]
    return []


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_request_problems": pod_identity_request_problems}
