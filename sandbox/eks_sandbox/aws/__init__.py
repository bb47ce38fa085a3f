# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The AWS side of the sandbox: accounts, IAM, STS, S3, EC2, and EKS."""

from __future__ import annotations
