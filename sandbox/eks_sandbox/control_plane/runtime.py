# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A running cluster, with either API server: the sandbox's components around a Kubernetes API."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import pathlib
import time
import typing as t

from eks_sandbox.control_plane.certificates import CertificateAuthority
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import identity
from eks_sandbox.control_plane.objects import is_owned_by
from eks_sandbox.control_plane.serving import Server
from eks_sandbox.interfaces import ApplyConflict
from eks_sandbox.interfaces import AwsSide
from eks_sandbox.interfaces import ClusterSpec
from eks_sandbox.interfaces import NodeSpec
from eks_sandbox.node import client as api
from eks_sandbox.node import controllers
from eks_sandbox.node import provisioning
from eks_sandbox.node import webhook
from eks_sandbox.node.applications import Reviews
from eks_sandbox.node.authenticator import Authenticator
from eks_sandbox.node.authorizer import Authorizer
from eks_sandbox.node.client import Client
from eks_sandbox.node.client import Collection
from eks_sandbox.node.client import KubernetesError
from eks_sandbox.node.controller import Controller
from eks_sandbox.node.controller import Informers
from eks_sandbox.node.images import Images
from eks_sandbox.node.kubelet import Kubelet
from eks_sandbox.node.machine import Machine
from eks_sandbox.node.registration import Registration
from eks_sandbox.node.scheduler import Scheduler

ADMISSION_PATH, AUTHENTICATION_PATH, AUTHORIZATION_PATH = "/mutate", "/authenticate", "/authorize"
#: Seconds between checks while waiting.
PERIOD = 0.05
#: Seconds that the removal of objects may take.
REMOVAL_TIMEOUT = 60.0
#: How AWS's own software names itself as the manager of an add-on's fields.
ADDON_MANAGER = "eks"
_APPLY = "application/apply-patch+yaml"


class PreparationError(Exception):
    """A control plane cannot be started on this machine; the text says why, for the user."""


class ControlPlane(t.Protocol):
    """An API server that runs, perhaps with its own controllers and scheduler."""

    endpoint: str
    admin_token: str
    #: Whether it brings these itself; else the sandbox's own take their place.
    has_controllers: bool
    has_scheduler: bool

    async def stop(self) -> None:
        """End it."""
        ...


def _plural(kind: str) -> str:
    lower = kind.lower()
    if lower.endswith(("s", "x", "ch")):
        return f"{lower}es"
    return f"{lower[:-1]}ies" if lower.endswith("y") else f"{lower}s"


#: Kinds without a namespace that an add-on's manifests may hold.
CLUSTER_WIDE = ("Namespace", "Node", "ClusterRole", "ClusterRoleBinding", "MutatingWebhookConfiguration", "CSIDriver")


def collection_of(manifest: Object) -> Collection:
    """Where an object of a manifest belongs."""
    version, kind = manifest["apiVersion"], manifest["kind"]
    prefix = f"apis/{version}" if "/" in version else f"api/{version}"
    return Collection(prefix, _plural(kind), namespaced=kind not in CLUSTER_WIDE)


class Reviewer:
    """The server that reviews pods, tokens and permissions for the API server."""

    def __init__(self, cluster: ClusterSpec, aws: AwsSide, authority: CertificateAuthority) -> None:
        self._cluster = cluster
        self._aws = aws
        self.authenticator = Authenticator(aws, cluster)
        self.authorizer = Authorizer(aws, cluster)
        self._client: Client | None = None
        hook = webhook.Webhook(cluster.region, self._is_associated, self._annotations)
        reviews = {
            ADMISSION_PATH: hook.review,
            AUTHENTICATION_PATH: self.authenticator.review,
            AUTHORIZATION_PATH: self.authorizer.review,
        }
        self._server = Server(Reviews(reviews), authority.issue("reviewer"))
        self.admission_url = self._server.url + ADMISSION_PATH
        self.authentication_url = self._server.url + AUTHENTICATION_PATH
        self.authorization_url = self._server.url + AUTHORIZATION_PATH

    def start(self) -> None:
        """Answer from now on."""
        self._server.start()

    def use(self, client: Client) -> None:
        """Read service accounts with this client."""
        self._client = client

    async def stop(self) -> None:
        """Stop answering."""
        await self._server.stop()

    def _is_associated(self, namespace: str, account: str) -> bool:
        return self._aws.injects(self._cluster, namespace, account)

    async def _annotations(self, namespace: str, name: str) -> t.Mapping[str, str]:
        if self._client is None:
            return {}
        account = await self._client.get(api.SERVICE_ACCOUNTS, namespace, name)
        return (account or {}).get("metadata", {}).get("annotations") or {}


class Runtime:
    """A ClusterRuntime."""

    def __init__(
        self,
        cluster: ClusterSpec,
        aws: AwsSide,
        directory: pathlib.Path,
        authority: CertificateAuthority,
        plane: ControlPlane,
        reviewer: Reviewer,
    ) -> None:
        self._cluster = cluster
        self._aws = aws
        self._directory = directory
        self._authority = authority
        self._plane = plane
        self._reviewer = reviewer
        self.endpoint = plane.endpoint
        self.certificate_authority = authority.pem
        self.admin_token = plane.admin_token
        self._kubelets: dict[str, Kubelet] = {}
        self._images = Images(directory / "images")
        self._tasks: list[asyncio.Task[None]] = []
        self._clients: list[Client] = []
        self._admin = self._client(plane.admin_token, ADDON_MANAGER)

    async def start(self) -> None:
        """Register the webhook, start controllers and scheduler, wait until pods can be created."""
        self._reviewer.use(self._admin)
        configuration = webhook.configuration(self._reviewer.admission_url, self._authority.pem)
        await self._admin.create_if_missing(api.MUTATING_WEBHOOKS, configuration)
        if not self._plane.has_controllers:
            await self._start_controllers()
        if not self._plane.has_scheduler:
            await self._start_scheduler()
        await self._wait_for(self._has_service_accounts)

    async def _start_controllers(self) -> None:
        token = self._reviewer.authenticator.issue("system:kube-controller-manager")
        informers, workers = controllers.create(self._client(token, controllers.MANAGER), self._authority.pem)
        await self._run(informers, workers)

    async def _start_scheduler(self) -> None:
        client = self._client(self._reviewer.authenticator.issue("system:kube-scheduler"), Scheduler.name)
        informers = Informers(client)
        await self._run(informers, [Scheduler(client, informers)])

    async def _run(self, informers: Informers, workers: t.Sequence[Controller]) -> None:
        """Begin the work, once everything that it reads is known."""
        self._tasks += [asyncio.create_task(work) for work in (informers.run(), *(worker.run() for worker in workers))]
        await informers.synced()

    async def stop(self) -> None:
        """End pods, components and the API server; returns when all processes are gone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(kubelet.stop() for kubelet in self._kubelets.values()))
        self._kubelets.clear()
        await self._plane.stop()
        await self._reviewer.stop()
        await asyncio.gather(*(client.close() for client in self._clients))

    async def set_nodes(self, nodes: t.Sequence[NodeSpec]) -> None:
        """Make exactly these nodes exist: new ones join, missing ones leave with their pods, others change."""
        wanted = {node.name: node for node in nodes}
        leaving = [self._kubelets.pop(name) for name in list(self._kubelets) if name not in wanted]
        joining = [node for name, node in wanted.items() if name not in self._kubelets]
        changing = [(kubelet, wanted[name]) for name, kubelet in self._kubelets.items() if kubelet.node != wanted[name]]
        await asyncio.gather(
            *(self._leave(kubelet) for kubelet in leaving),
            *(self._join(node) for node in joining),
            *(self._change(kubelet, node) for kubelet, node in changing),
        )

    async def wanted_nodes(self, offers: t.Sequence[NodeSpec]) -> list[NodeSpec]:
        """Which of these nodes, that could be had, pods wait for that the scheduler can put nowhere."""
        pods = await self._admin.select(api.PODS, fieldSelector="spec.nodeName=,status.phase=Pending")
        if not pods:
            return []
        by_name = {node.name: node for node in offers}
        objects = [Registration(node, self._cluster.version, self._cluster.pod_mode, 0).ready() for node in offers]
        names = provisioning.wanted(pods, await self._admin.select(api.NODES), objects)
        return [by_name[name] for name in names]

    async def apply(self, manifests: t.Sequence[dict[str, t.Any]], *, force: bool = True) -> None:
        """Create or update these objects, as the owner of an add-on (EKS) does.

        :raises KubernetesError: the API refuses one of them.
        :raises ApplyConflict: others manage some of the fields, and ``force`` is off.
        """
        conflicts: dict[tuple[str, str, str], list[str]] = {}
        for manifest in manifests:
            path = collection_of(manifest).path(*identity(manifest))
            query = {"fieldManager": ADDON_MANAGER, "force": str(force).lower()}
            try:
                await self._admin.request("PATCH", path, manifest, query=query, content_type=_APPLY)
            except KubernetesError as error:
                if error.code != 409 or not error.causes:
                    raise
                conflicts[(manifest["kind"], *identity(manifest))] = [cause["field"] for cause in error.causes]
        if conflicts:
            raise ApplyConflict(conflicts)

    async def remove(self, manifests: t.Sequence[dict[str, t.Any]]) -> None:
        """Delete these objects, missing ones included; waits until dependent pods are gone."""
        owners = set()
        for manifest in reversed(manifests):
            collection = collection_of(manifest)
            found = await self._admin.get(collection, *identity(manifest))
            if found is not None:
                owners.add(found["metadata"]["uid"])
                await self._admin.delete(collection, *identity(manifest), propagationPolicy="Background")

        async def nobody_is_left() -> bool:
            pods = await self._admin.select(api.PODS)
            return not any(is_owned_by(pod, uid) for pod in pods for uid in owners)

        await self._wait_for(nobody_is_left)

    async def daemon_set_status(self, namespace: str, name: str) -> dict[str, int]:
        """``status`` of a DaemonSet; empty when there is none."""
        found = await self._admin.get(api.DAEMON_SETS, namespace, name)
        return dict((found or {}).get("status") or {})

    async def review_token(self, token: str, audience: str) -> dict[str, t.Any] | None:
        """Verified claims of a service account token for this audience, or None."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "metadata": {},
            "spec": {"token": token, "audiences": [audience]},
        }
        review = await self._admin.request("POST", api.TOKEN_REVIEWS.path(), body)
        status = review.get("status") or {}
        if not status.get("authenticated") or audience not in (status.get("audiences") or []):
            return None
        # The API server has checked the signature, so the claims may be read without another check.
        payload = token.split(".")[1]
        claims: dict[str, t.Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return claims

    def _client(self, token: str, agent: str) -> Client:
        client = Client(self.endpoint, self._authority.pem, token, agent)
        self._clients.append(client)
        return client

    async def _join(self, node: NodeSpec) -> None:
        folder = self._directory / "nodes" / node.name
        token = self._reviewer.authenticator.issue(f"system:node:{node.name}", "system:nodes")
        kubelet = Kubelet(
            Client(self.endpoint, self._authority.pem, token, "kubelet"),
            Machine(node, self._cluster, self._aws, folder),
            self._images,
            folder,
            self._cluster.version,
            self._authority.issue(f"kubelet-{node.name}", (node.name, "localhost")),
            self._authority.path,
        )
        self._kubelets[node.name] = kubelet
        await kubelet.start()

    async def _change(self, kubelet: Kubelet, after: NodeSpec) -> None:
        """Give a node the labels and taints that its group has now; what others have put on it stays."""
        before, kubelet.node = kubelet.node, after
        found = await self._admin.request("GET", api.NODES.path("", after.name))
        ours = {(taint["key"], taint["effect"]) for taint in (*before.taints, *after.taints)}
        foreign = [each for each in found["spec"].get("taints", []) if (each["key"], each["effect"]) not in ours]
        labels = {**dict.fromkeys(before.labels), **after.labels}
        change = {"metadata": {"labels": labels}, "spec": {"taints": [*foreign, *map(dict, after.taints)] or None}}
        await self._admin.patch(api.NODES, found, change)

    async def _leave(self, kubelet: Kubelet) -> None:
        await self._admin.delete(api.NODES, "", kubelet.node.name)
        await kubelet.stop()
        pods = await self._admin.select(api.PODS, fieldSelector=f"spec.nodeName={kubelet.node.name}")
        for pod in pods:
            await self._admin.delete(api.PODS, *identity(pod), gracePeriodSeconds=0)

    async def _has_service_accounts(self) -> bool:
        namespaces = await self._admin.select(api.NAMESPACES)
        accounts = await self._admin.select(api.SERVICE_ACCOUNTS)
        have = {identity(account)[0] for account in accounts if account["metadata"]["name"] == "default"}
        return {namespace["metadata"]["name"] for namespace in namespaces} <= have

    @staticmethod
    async def _wait_for(holds: t.Callable[[], t.Awaitable[bool]]) -> None:
        """Until it holds.

        :raises TimeoutError: it does not within a minute.
        """
        end = time.monotonic() + REMOVAL_TIMEOUT
        while time.monotonic() < end:
            with contextlib.suppress(KubernetesError):
                if await holds():
                    return
            await asyncio.sleep(PERIOD)
        raise TimeoutError("the cluster has not reached the expected state within a minute")
