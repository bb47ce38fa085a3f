# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A sandbox, and its environment, as the tests of playbooks have them."""

from __future__ import annotations

from support.playbooks import playbook
from support.playbooks import sandbox

__all__ = ["playbook", "sandbox"]
