# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pages of the documentation, their code blocks and links; a sandbox and playbooks as in tests/playbooks."""

from __future__ import annotations

from support.playbooks import playbook
from support.playbooks import sandbox

#: The fixtures are those of tests/playbooks.
__all__ = ["playbook", "sandbox"]
