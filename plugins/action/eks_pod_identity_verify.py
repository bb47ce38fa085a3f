# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shows what the module eks_pod_identity_verify says while it waits, and finds a kubeconfig."""

from __future__ import annotations

from ..plugin_utils.kubernetes_action import KubernetesProgressAction


class ActionModule(KubernetesProgressAction):
    """Nothing of its own."""
