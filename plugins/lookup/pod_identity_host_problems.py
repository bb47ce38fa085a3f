# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lookup ``podidentity.eks.pod_identity_host_problems``: what is wrong with a host's variables."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_host_problems
short_description: Find what is wrong with the variables of a host
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Finds variables that look like one of this collection and that nothing reads, values that no option of a role takes,
    and a region that no partition of AWS has. Nothing is called. The workloads have a check of their own,
    P(podidentity.eks.pod_identity_workload_problems#filter).
  - A value whose template needs a variable that is set later in the play is left to the role that reads it.
  - A variable of your own that looks like a misspelt one and is meant is named in C(podidentity_own_variables).
  - Made for the playbooks, so it takes no arguments.
options: {}
seealso:
  - plugin: podidentity.eks.pod_identity_workload_problems
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Find a letter that is missing and a mode that does not exist
  ansible.builtin.assert:
    that:
      - problems | length == 2
      - problems[0] is search('did you mean podidentity_workloads[?]')
      - problems[1] is search('has the restart_mode "sometimes". give never, missing or stale')
  vars:
    eks_region: eu-west-1
    podidentity_workload: []
    restart_mode: sometimes
    problems: "{{ query('podidentity.eks.pod_identity_host_problems') }}"
"""

RETURN = r"""
_raw:
  description: One sentence for each problem; empty when all is well.
  type: list
  elements: str
"""

import functools
import pathlib
import re
import typing as t

from ansible.errors import AnsibleError
from ansible.errors import AnsibleLookupError
from ansible.module_utils.common.yaml import yaml_load
from ansible.plugins.lookup import LookupBase
from ansible_collections.podidentity.eks.plugins.module_utils._workload import spec
from ansible_collections.podidentity.eks.plugins.module_utils._workload import variables as checks

ROLES = pathlib.Path(__file__).resolve().parents[2] / "roles"
#: Whatever begins like a variable of ours may be a misspelt one.
PREFIXES = re.compile(
    "podidentity|eks|cluster|agent|addon|workload|iam_role|service_account|association|target_role|restart|verify"
)


class LookupModule(LookupBase):  # type: ignore[misc]  # ansible-core has no types
    """The lookup ``podidentity.eks.pod_identity_host_problems``."""

    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[str]:
        """One sentence for each problem of the current host's variables."""
        self.set_options(var_options=variables, direct=kwargs)
        if terms:
            raise AnsibleLookupError("pod_identity_host_problems takes no arguments: it reads the host's variables.")
        given = variables or {}
        names = [name for name in given if PREFIXES.match(name)]
        options = role_options()
        values = {name: self.value_of(given[name]) for name in names if name in options or name in spec.VARIABLES}
        return host_problems(given["inventory_hostname"], names, values)

    def value_of(self, template: t.Any) -> t.Any:
        """What a variable is now; None where it cannot be evaluated yet, which its role does in its turn."""
        try:
            return self._templar.template(template)
        except AnsibleError:
            return None


def host_problems(host: str, names: t.Iterable[str], values: t.Mapping[str, t.Any]) -> list[str]:
    """What is wrong with variables of these names, of which some have a value by now."""
    where = f"Host {host}"
    options = role_options()
    return [
        *checks.region_problems(values.get("eks_region"), where),
        *checks.misspelt(names, {*spec.VARIABLES, *options}, values.get("podidentity_own_variables") or (), where),
        *checks.option_problems(options, values, where),
    ]


@functools.cache
def role_options() -> dict[str, dict[str, t.Any]]:
    """Every option of every role, by its name."""
    found: dict[str, dict[str, t.Any]] = {}
    for path in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        found |= yaml_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
    return found
