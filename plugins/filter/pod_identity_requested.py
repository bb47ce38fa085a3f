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
    of this collection take it. Where every answer is empty nothing is asked for, and the list is empty.
positional: _input
options:
  _input:
    description:
      - The answers. C(namespace) and C(service_account) say whose pods; C(role) is the name of a role that is made, or
        the ARN of one that exists; C(managed_policies) are names or ARNs and C(allow) are calls such as
        V(s3.list_buckets), both one on a line.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Take a survey's answers
  ansible.builtin.assert:
    that:
      - workloads[0].role.managed_policies == ['AmazonS3ReadOnlyAccess']
      - workloads[0].prove.allow[0].operation == 'list_buckets'
  vars:
    workloads: "{{ answers | podidentity.eks.pod_identity_requested }}"
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

import re
import typing as t

from ansible.errors import AnsibleFilterError

#: Answers without which no workload can be meant.
NEEDED = {"namespace": "a namespace", "service_account": "a service account", "role": "an IAM role"}
CALL = re.compile(r"(?P<service>[a-z0-9-]+)\.(?P<operation>[a-z0-9_]+)")


def pod_identity_requested(answers: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """The filter; see its documentation above."""
    if not isinstance(answers, t.Mapping):
        raise AnsibleFilterError(f"The survey's answers are {answers!r}: give a mapping of namespace and so on.")
    given = {key: str(answer or "").strip() for key, answer in answers.items()}
    if not any(given.values()):
        return []
    missing = [what for key, what in NEEDED.items() if not given.get(key)]
    if missing:
        raise AnsibleFilterError(
            f"The survey's answers lack {' and '.join(missing)}: answer namespace, service account and IAM role, or "
            "leave every answer empty for the workloads that the inventory declares."
        )
    policies = lines(given.get("managed_policies", ""))
    role: dict[str, t.Any] = {"arn" if given["role"].startswith("arn:") else "name": given["role"]}
    if policies:
        role["managed_policies"] = policies
    workload: dict[str, t.Any] = {key: given[key] for key in ("namespace", "service_account")}
    calls = [read_call(line) for line in lines(given.get("allow", ""))]
    return [workload | {"role": role} | ({"prove": {"allow": calls}} if calls else {})]


def lines(answer: str) -> list[str]:
    """What stands on the lines of an answer."""
    return [line.strip() for line in answer.splitlines() if line.strip()]


def read_call(line: str) -> dict[str, str]:
    match = CALL.fullmatch(line)
    if not match:
        raise AnsibleFilterError(f'The survey names the call "{line}": give service and operation, as s3.list_buckets.')
    return match.groupdict()


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_requested": pod_identity_requested}
