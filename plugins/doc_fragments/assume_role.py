# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options for working in another account: the documentation fragment ``podidentity.eks.assume_role``."""

from __future__ import annotations


class ModuleDocFragment:
    """A role whose credentials never leave the task."""

    DOCUMENTATION = r"""
options:
  assume_role_arn:
    description:
      - ARN of a role to assume first, in another account for example. Its credentials are used in this task only, and
        are shown nowhere.
    type: str
  assume_role_external_id:
    description:
      - The external ID that the trust policy of O(assume_role_arn) asks for.
    type: str
"""
