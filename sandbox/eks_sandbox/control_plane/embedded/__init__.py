# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The embedded control plane: a small Kubernetes API server in this process."""

from __future__ import annotations

import asyncio
import pathlib
import ssl
import uuid

import aiohttp

from eks_sandbox.control_plane.certificates import CertificateAuthority
from eks_sandbox.control_plane.embedded import schema
from eks_sandbox.control_plane.embedded.access import Authenticator
from eks_sandbox.control_plane.embedded.access import Authorizer
from eks_sandbox.control_plane.embedded.access import PolicyReason
from eks_sandbox.control_plane.embedded.admission import Webhooks
from eks_sandbox.control_plane.embedded.defaults import set_defaults
from eks_sandbox.control_plane.embedded.discovery import Discovery
from eks_sandbox.control_plane.embedded.handlers import Handlers
from eks_sandbox.control_plane.embedded.lifecycle import Lifecycle
from eks_sandbox.control_plane.embedded.reads import Reader
from eks_sandbox.control_plane.embedded.resources import NAMESPACES
from eks_sandbox.control_plane.embedded.resources import SERVICES
from eks_sandbox.control_plane.embedded.reviews import Reviews
from eks_sandbox.control_plane.embedded.server import ApiServer
from eks_sandbox.control_plane.embedded.store import Store
from eks_sandbox.control_plane.embedded.streams import Kubelets
from eks_sandbox.control_plane.embedded.tokens import Tokens
from eks_sandbox.control_plane.embedded.writes import Writer
from eks_sandbox.control_plane.objects import timestamp
from eks_sandbox.control_plane.runtime import Reviewer
from eks_sandbox.control_plane.runtime import Runtime
from eks_sandbox.control_plane.serving import Server
from eks_sandbox.interfaces import AwsSide
from eks_sandbox.interfaces import ClusterRuntime
from eks_sandbox.interfaces import ClusterSpec

FIRST_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


class EmbeddedControlPlane:
    """One API server with its store."""

    has_controllers = has_scheduler = False

    def __init__(
        self,
        cluster: ClusterSpec,
        authority: CertificateAuthority,
        store: Store,
        tokens: Tokens,
        policy_reason: PolicyReason,
    ) -> None:
        self._store = store
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_connect=5))
        self._authenticator = Authenticator(tokens, self._session, authority.client_context())
        authorizer = Authorizer(policy_reason)
        self._lifecycle = Lifecycle(store)
        writer = Writer(store, Webhooks(store, self._session), self._lifecycle)
        reviews = Reviews(store, tokens, self._authenticator, authorizer)
        application = ApiServer(
            authenticator=self._authenticator,
            authorizer=authorizer,
            discovery=Discovery(cluster.version, tokens),
            reader=Reader(store),
            writer=writer,
            handlers=Handlers(store, writer, self._lifecycle, reviews),
            kubelets=Kubelets(store, self._session, _kubelet_context(authority)),
        )
        certificate = authority.issue("kube-apiserver", ("localhost", "kubernetes", "kubernetes.default.svc"))
        self._server = Server(application, certificate)
        self.endpoint = self._server.url
        self.admin_token = self._authenticator.admin_token

    def start(self, authentication_url: str) -> None:
        """Serve; this address reviews tokens that are not Kubernetes' own."""
        self._authenticator.webhook_url = authentication_url
        for name in FIRST_NAMESPACES:
            _create_namespace(self._store, name)
        _create_api_service(self._store)
        self._server.start()

    async def stop(self) -> None:
        """End watches, then the server."""
        await self._lifecycle.stop()
        self._store.end_watches()
        await self._server.stop()
        await self._session.close()


def _kubelet_context(authority: CertificateAuthority) -> ssl.SSLContext:
    """The API server presents its own certificate to kubelets, so that no other client gets logs and commands."""
    context = authority.client_context()
    certificate, key = authority.issue("kube-apiserver-kubelet-client")
    context.load_cert_chain(certificate, key)
    return context


def _create_namespace(store: Store, name: str) -> None:
    metadata = {"name": name, "uid": str(uuid.uuid4()), "creationTimestamp": timestamp()}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    set_defaults(NAMESPACES, namespace)
    store.put(NAMESPACES, namespace)


def _create_api_service(store: Store) -> None:
    metadata = {
        "name": "kubernetes",
        "namespace": "default",
        "uid": str(uuid.uuid4()),
        "creationTimestamp": timestamp(),
        "labels": {"component": "apiserver", "provider": "kubernetes"},
    }
    ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 443}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata}
    service["spec"] = {"clusterIP": "10.100.0.1", "clusterIPs": ["10.100.0.1"], "ports": ports}
    set_defaults(SERVICES, service)
    store.put(SERVICES, service)


def preload() -> None:
    """Load in the background what the first cluster needs, so that it starts faster."""
    schema.preload()


async def start_cluster(cluster: ClusterSpec, aws: AwsSide, directory: pathlib.Path) -> ClusterRuntime:
    """Start a cluster without nodes; a StartCluster of ``interfaces``.

    ``directory`` holds its certificates and the files of its pods; it may be deleted when the cluster has stopped.
    """
    schema.preload()
    authority = await asyncio.to_thread(CertificateAuthority, directory / "tls")
    store = Store()
    tokens = await Tokens.create(store, cluster.issuer)
    reviewer = Reviewer(cluster, aws, authority)
    plane = EmbeddedControlPlane(cluster, authority, store, tokens, reviewer.authorizer.reason)
    reviewer.start()
    plane.start(reviewer.authentication_url)
    runtime = Runtime(cluster, aws, directory, authority, plane, reviewer)
    try:
        await runtime.start()
    except BaseException:
        await runtime.stop()
        raise
    return runtime
