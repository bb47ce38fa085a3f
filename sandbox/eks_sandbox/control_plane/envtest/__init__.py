# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The real control plane: etcd and kube-apiserver, with the real controllers and scheduler if they are installed."""

from __future__ import annotations

import asyncio
import logging
import pathlib

from eks_sandbox.control_plane.certificates import CertificateAuthority
from eks_sandbox.control_plane.envtest.binaries import prepare
from eks_sandbox.control_plane.envtest.plane import RealControlPlane
from eks_sandbox.control_plane.runtime import Reviewer
from eks_sandbox.control_plane.runtime import Runtime
from eks_sandbox.interfaces import AwsSide
from eks_sandbox.interfaces import ClusterRuntime
from eks_sandbox.interfaces import ClusterSpec

__all__ = ["prepare", "start_cluster"]

log = logging.getLogger(__name__)

#: Real controllers have a service account each; the sandbox's own replacements share the manager's user.
_CONTROLLERS_MAY_EVERYTHING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "eks-sandbox:controllers"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:kube-controller-manager"}],
}


async def start_cluster(cluster: ClusterSpec, aws: AwsSide, directory: pathlib.Path) -> ClusterRuntime:
    """Start a cluster without nodes; a StartCluster of ``interfaces``.

    ``directory`` holds its certificates, its data and logs (``control-plane``) and the files of its pods; it may be
    deleted when the cluster has stopped.
    """
    binaries = await asyncio.to_thread(prepare)
    authority = await asyncio.to_thread(CertificateAuthority, directory / "tls")
    reviewer = Reviewer(cluster, aws, authority)
    plane = RealControlPlane(cluster, directory / "control-plane", authority, binaries)
    runtime = Runtime(cluster, aws, directory, authority, plane, reviewer)
    reviewer.start()
    try:
        await plane.start(reviewer.authentication_url, reviewer.authorization_url)
        if not plane.has_controllers:
            log.warning(
                "%s has no kube-controller-manager: what belongs to deleted objects and namespaces stays", binaries
            )
            await runtime.apply([_CONTROLLERS_MAY_EVERYTHING])
        await runtime.start()
    except BaseException:
        await runtime.stop()
        raise
    return runtime
