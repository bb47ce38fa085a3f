# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EKS, one file per resource. Each file registers its operations with :mod:`eks_sandbox.aws.eks.operations`."""

from __future__ import annotations
