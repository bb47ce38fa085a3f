# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Control planes: each starts one Kubernetes cluster for the AWS side."""

from __future__ import annotations
