# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Playbooks as a user runs them: ansible-playbook in a process of its own, against a sandbox over HTTP."""

from __future__ import annotations

from support.playbooks import operator
from support.playbooks import playbook
from support.playbooks import sandbox

__all__ = ["operator", "playbook", "sandbox"]
