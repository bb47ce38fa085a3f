# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with the variables of a host, beside its workloads."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_host_problems
short_description: Find misspelt variables and unknown regions
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Finds variables that look like one of this collection and that nothing reads, and a region that no partition of AWS
    has. Nothing is called.
  - Made for the playbooks; its arguments change with them.
positional: _input
options:
  _input:
    description: The names of the host's variables.
    type: list
    elements: str
    required: true
  host:
    description: The host, for the sentences.
    type: str
    required: true
  region:
    description: Its C(eks_region).
    type: raw
    required: true
  own:
    description: Names of variables that look like misspelt ones and are meant.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Find a letter that is missing
  ansible.builtin.assert:
    that:
      - problems | length == 1
      - problems[0] is search('did you mean podidentity_workloads[?]')
  vars:
    problems: >-
      {{ ['podidentity_workload'] | podidentity.eks.pod_identity_host_problems(host='example', region='eu-west-1') }}
"""

RETURN = r"""
_value:
  description: One sentence for each problem; empty when all is well.
  type: list
  elements: str
"""

import functools
import pathlib
import typing as t

import yaml
from ansible_collections.podidentity.eks.plugins.module_utils._workload import variables

ROLES = pathlib.Path(__file__).resolve().parents[2] / "roles"


def pod_identity_host_problems(
    names: t.Iterable[str], host: str, region: t.Any, own: t.Iterable[str] = ()
) -> list[str]:
    """The filter; see its documentation above."""
    where = f"Host {host}"
    return [
        *variables.region_problems(region, where),
        *variables.misspelt(names, known(), list(own or ()), where),
    ]


@functools.cache
def known() -> set[str]:
    """Every variable that a user may set."""
    files = ROLES.glob("*/meta/argument_specs.yml")
    specs = (yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"] for path in files)
    return variables.known_variables(name for one in specs for name in one["options"])


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_host_problems": pod_identity_host_problems}
