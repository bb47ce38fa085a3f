# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Some of the declared workloads."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_select
short_description: Select workloads by state, name and role
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Returns the workloads that match all that is given, in their order. Nothing is called.
positional: _input
options:
  _input:
    description: The workloads, as they are declared.
    type: list
    elements: dict
    required: true
  state:
    description: The state that they have, V(present) where a workload declares none.
    type: str
    choices: [present, absent]
  only:
    description: Names of workloads to return, each C(namespace/service_account).
    type: list
    elements: str
  without:
    description: Names of workloads to leave out.
    type: list
    elements: str
    default: []
  roles:
    description: Names of IAM roles. Only workloads that declare one of them as C(role.name) are returned.
    type: list
    elements: str
  has:
    description: A key that the workloads must have with a value, such as C(target_role).
    type: str
"""

EXAMPLES = r"""
- name: Show the workloads that share a role
  ansible.builtin.assert:
    that:
      - shared | map(attribute='service_account') | list == ['web']
  vars:
    shared: "{{ workloads | podidentity.eks.pod_identity_select(state='present', roles=['app']) }}"
    workloads:
      - namespace: team-a
        service_account: web
        role:
          name: app
      - namespace: team-a
        service_account: old
        state: absent
        role:
          name: app
"""

RETURN = r"""
_value:
  description: The selected workloads.
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.module_utils._workload.service_account import name_of
from ansible_collections.podidentity.eks.plugins.module_utils._workload.service_account import name_problems


def pod_identity_select(
    workloads: t.Any,
    state: str | None = None,
    only: t.Container[str] | None = None,
    without: t.Container[str] = (),
    roles: t.Container[str] | None = None,
    has: str | None = None,
) -> list[t.Any]:
    """The filter; see its documentation above."""
    problems = list(name_problems(workloads))
    if problems:
        raise AnsibleFilterError("\n".join(problems))
    return [
        one
        for one in workloads
        if state in (None, one.get("state", "present"))
        and (only is None or name_of(one) in only)
        and name_of(one) not in without
        and (roles is None or (one.get("role") or {}).get("name") in roles)
        and (has is None or one.get(has))
    ]


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_select": pod_identity_select}
