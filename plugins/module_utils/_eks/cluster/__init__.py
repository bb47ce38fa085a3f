# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Clusters: what is declared, what is there, the plan between the two, and the calls that carry it out.

Rules that come from AWS are those of the EKS API reference (CreateCluster, UpdateClusterConfig, UpdateClusterVersion,
AssociateEncryptionConfig) and of the EKS user guide.
"""

from __future__ import annotations

from .applying import ensure
from .declared import AUTHENTICATION_MODES
from .declared import LOG_TYPES
from .declared import NODE_POOLS
from .declared import AutoMode
from .declared import ClusterSpec
from .declared import problems
from .declared import spec_from
from .observed import Cluster
from .observed import look_up
from .observed import normalized
from .observed import pod_identity
from .observed import require
from .planning import plan

__all__ = [
    "AUTHENTICATION_MODES",
    "LOG_TYPES",
    "NODE_POOLS",
    "AutoMode",
    "Cluster",
    "ClusterSpec",
    "ensure",
    "look_up",
    "normalized",
    "plan",
    "pod_identity",
    "problems",
    "require",
    "spec_from",
]
