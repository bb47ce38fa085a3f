# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The option for a cluster that a check run predicts: the fragment ``podidentity.eks.planned_cluster``."""

from __future__ import annotations


class ModuleDocFragment:
    """What is predicted in a cluster that does not exist yet."""

    DOCUMENTATION = r"""
options:
  planned_cluster:
    description:
      - The cluster that the same run creates or updates before this task, as M(podidentity.eks.eks_cluster) returns it
        in check mode. C(arn) and C(version) of it are used.
      - In check mode the cluster is then taken to be this one, whether it exists or not, so that the task can predict
        what it will do. Without it, and outside of check mode, a cluster that does not exist is an error.
    type: dict
    version_added: 0.2.0
"""
