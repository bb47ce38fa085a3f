# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command that proves in a running container."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_proof_command
short_description: Make the command that runs a Python script in a container
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - The script and its orders become arguments of python3, compressed, so that nothing needs to be in the container but
    python3, and the command stays short enough for the URL that it becomes a part of.
  - Made for the role P(podidentity.eks.verify#role); its arguments change with that role.
positional: _input
options:
  _input:
    description: The text of the script.
    type: str
    required: true
  orders:
    description: What the script is to do; it gets this as JSON by its first argument.
    type: dict
    required: true
seealso:
  - plugin: podidentity.eks.pod_identity_proof_orders
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Run such a command here
  ansible.builtin.command:
    cmd: "{{ script | podidentity.eks.pod_identity_proof_command({'greet': 'world'}) }}"
  changed_when: false
  vars:
    script: |
      import json, sys
      print("hello", json.loads(sys.argv[1])["greet"])
"""

RETURN = r"""
_value:
  description: The command, quoted as a POSIX shell reads it.
  type: str
"""

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.executing import command


def pod_identity_proof_command(script: str, orders: t.Mapping[str, t.Any]) -> str:
    """The filter; see its documentation above."""
    return command(script, orders)


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_proof_command": pod_identity_proof_command}
