# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Service accounts and the cluster's CA for every namespace."""

from __future__ import annotations

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import identity
from eks_sandbox.node.client import CONFIG_MAPS
from eks_sandbox.node.client import NAMESPACES
from eks_sandbox.node.client import SERVICE_ACCOUNTS
from eks_sandbox.node.controller import Controller
from eks_sandbox.node.controller import Key

_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class NamespaceController(Controller):
    """Every namespace gets its default service account and the cluster's CA."""

    name = "serviceaccount-controller"
    #: PEM text, set before the controller runs.
    certificate_authority = ""

    def setup(self) -> None:
        """Namespaces, and what must be in them."""
        self.follow(NAMESPACES, self._namespace_changed)
        self.follow(SERVICE_ACCOUNTS, self._content_changed)

    def _namespace_changed(self, namespace: Object, exists: bool) -> None:
        if exists:
            self.enqueue(identity(namespace))

    def _content_changed(self, account: Object, exists: bool) -> None:
        namespace, name = identity(account)
        if not exists and name == "default":
            self.enqueue(("", namespace))

    async def reconcile(self, key: Key) -> None:
        """Create missing objects."""
        namespace = await self.client.get(NAMESPACES, *key)
        if namespace is None or namespace["metadata"].get("deletionTimestamp"):
            return
        account = {"metadata": {"name": "default", "namespace": key[1]}}
        await self.client.create_if_missing(SERVICE_ACCOUNTS, account)
        metadata: Object = {"name": "kube-root-ca.crt", "namespace": key[1]}
        metadata["annotations"] = {"kubernetes.io/description": _DESCRIPTION}
        data = {"ca.crt": self.certificate_authority}
        await self.client.create_if_missing(CONFIG_MAPS, {"metadata": metadata, "data": data})
