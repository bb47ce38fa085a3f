# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lookup ``podidentity.eks.extra_variables``: the names of the extra variables of this run."""

from __future__ import annotations

DOCUMENTATION = r"""
---
name: extra_variables
version_added: 0.2.0
short_description: List the names of extra variables
description:
  - Extra variables win over facts, registered results, role defaults and the inventory. AWX hands over as extra
    variables what people answer in surveys and what earlier jobs of a workflow published.
  - This lookup lists their names, and never a value, so that a playbook can refuse those that would override what it
    finds out itself.
  - Made for the playbooks of this collection.
author:
  - podidentity.eks contributors (@podidentity)
options:
  _terms:
    description:
      - Regular expressions; a name is listed if one of them matches the whole name.
      - Without any every name is listed.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Refuse a proof of another job
  ansible.builtin.assert:
    that: query('podidentity.eks.extra_variables', 'podidentity_proof', '__verify_.*') | length == 0
"""

RETURN = r"""
_raw:
  description: Names, in the order of the alphabet.
  type: list
  elements: str
"""

import re
import typing as t

from ansible.plugins.lookup import LookupBase
from ansible.utils.vars import load_extra_vars


class LookupModule(LookupBase):  # type: ignore[misc]  # ansible-core has no types
    """The lookup ``podidentity.eks.extra_variables``."""

    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[str]:
        """The names that one of the expressions matches."""
        self.set_options(var_options=variables, direct=kwargs)
        return matching(load_extra_vars(self._loader), [str(term) for term in terms])


def matching(names: t.Iterable[str], expressions: t.Sequence[str]) -> list[str]:
    """Names that one of the expressions matches as a whole; without expressions all of them."""
    return sorted(name for name in names if not expressions or any(re.fullmatch(one, name) for one in expressions))
