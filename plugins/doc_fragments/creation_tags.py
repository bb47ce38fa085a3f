# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The option for marks of who made something: the documentation fragment ``podidentity.eks.creation_tags``."""

from __future__ import annotations


class ModuleDocFragment:
    """Tags for creation only."""

    DOCUMENTATION = r"""
options:
  creation_tags:
    description:
      - Tags for what this task creates, beside O(tags). What exists already never gets them, and O(purge_tags) leaves
        them where they are. So they tell what was made here from what somebody else made.
    type: dict
"""
