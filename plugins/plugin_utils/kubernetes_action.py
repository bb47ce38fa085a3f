# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action plugin of modules that connect to Kubernetes: progress, and a kubeconfig as kubernetes.core finds it."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.errors import AnsibleError
from ansible_collections.kubernetes.core.plugins.action.k8s_info import ActionModule as KubernetesAction

from .progress import ProgressAction


class KubernetesProgressAction(ProgressAction):
    """Finds a kubeconfig in ``files`` and decrypts it, like the action plugin of kubernetes.core's modules."""

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        arguments = self._task.args
        if kubeconfig := arguments.get("kubeconfig"):
            self._task.args = dict(arguments)
            is_remote = self._connection.transport != "local"
            try:
                KubernetesAction.get_kubeconfig(self, kubeconfig, is_remote, self._task.args)
            except AnsibleError as error:
                raise AnsibleActionFail(str(error)) from error
        try:
            return super().run(tmp, task_vars)
        finally:
            self._task.args = arguments
