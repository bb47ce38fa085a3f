# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finds a kubeconfig for the module eks_pod_identity_service_accounts."""

from __future__ import annotations

from ..plugin_utils.kubernetes_action import KubernetesProgressAction


class ActionModule(KubernetesProgressAction):
    """Nothing of its own."""
