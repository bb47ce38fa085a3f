# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs between the kubelet and a container, in a separate process: standard library only, quick to start."""

from __future__ import annotations
