# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the AWS side and the Kubernetes side of the sandbox meet.

The AWS side (``aws/``) owns accounts, clusters, add-ons and associations. For each cluster it starts one
:class:`ClusterRuntime`, which the Kubernetes side (``control_plane/`` and ``node/``) provides. The Kubernetes side
calls back through :class:`AwsSide`. Nothing else crosses the border, so either side can be replaced.
"""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

#: What an authenticator returns about a user besides name and groups.
Extra = t.Mapping[str, t.Sequence[str]]


@dataclasses.dataclass(frozen=True)
class ClusterSpec:
    """What the Kubernetes side needs to know about a cluster."""

    account: str
    region: str
    name: str
    arn: str
    #: Kubernetes version as EKS names it, such as ``1.34``.
    version: str
    #: The issuer of service account tokens, ``https://oidc.eks.<region>.amazonaws.com/id/<ID>``.
    issuer: str
    #: How its pods run: ``namespaces`` (user, mount, network and process namespaces of their own) or ``processes``.
    pod_mode: str


@dataclasses.dataclass(frozen=True)
class NodeSpec:
    """One EC2 instance, of a managed node group or of EKS Auto Mode."""

    #: The node's name, as EKS gives it: ``ip-10-0-1-17.eu-west-1.compute.internal``, in Auto Mode the instance's id.
    name: str
    instance_id: str
    instance_type: str
    zone: str
    role_arn: str
    labels: t.Mapping[str, str]
    #: Kubernetes form: ``{"key": ..., "value": ..., "effect": "NoSchedule"}``.
    taints: t.Sequence[t.Mapping[str, str]] = ()
    #: Whether the Pod Identity Agent is a part of the machine, as in Auto Mode.
    has_agent: bool = False


@dataclasses.dataclass(frozen=True)
class Identity:
    """The user of a Kubernetes request."""

    username: str
    groups: tuple[str, ...]
    uid: str = ""
    extra: Extra = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Access:
    """An action in a cluster, as authorisation names it."""

    verb: str
    group: str = ""
    #: ``pods``, or ``pods/log`` for a subresource.
    resource: str = ""
    #: Empty for resources in no namespace, or in all of them.
    namespace: str = ""
    #: A non-resource path; the three fields above are empty then.
    path: str = ""


@dataclasses.dataclass(frozen=True)
class Credentials:
    """A session of an IAM role; never log it."""

    access_key: str
    secret_key: str
    session_token: str


class AwsSide(t.Protocol):
    """What the Kubernetes side may request from AWS."""

    #: Where every AWS service of this sandbox answers, ``http://127.0.0.1:<port>``.
    endpoint: str

    def injects(self, cluster: ClusterSpec, namespace: str, service_account: str) -> bool:
        """Whether the Pod Identity webhook knows an effective association for this service account."""
        ...

    async def authenticate(self, cluster: ClusterSpec, token: str) -> Identity | None:
        """The user of this EKS token (``k8s-aws-v1.…``), by STS and the cluster's access entries, or None."""
        ...

    def authorize(self, cluster: ClusterSpec, extra: Extra, access: Access) -> str | None:
        """Why an access policy of the user with this ``extra`` allows this; None when none does: no opinion."""
        ...

    def node_credentials(self, node: NodeSpec, cluster: ClusterSpec) -> Credentials:
        """A session of the node's role, as the instance metadata service would hand it out."""
        ...


class ApplyConflict(Exception):
    """Another manager owns fields of an object to apply."""

    def __init__(self, fields: t.Mapping[tuple[str, str, str], t.Sequence[str]]) -> None:
        super().__init__("Another manager owns fields of these objects.")
        #: By kind, namespace and name of the object, paths such as ``.spec.template.spec.containers[name="a"].image``.
        self.fields = dict(fields)


class ClusterRuntime(t.Protocol):
    """One running Kubernetes cluster."""

    #: ``https://127.0.0.1:<port>``
    endpoint: str
    #: PEM text of the CA that signed the API server's certificate.
    certificate_authority: str
    #: Bearer token of the sandbox's own administrator (group system:masters), for the kubeconfig that `up` writes.
    admin_token: str

    async def stop(self) -> None:
        """End the API server and every pod; returns when all processes are gone."""
        ...

    async def set_nodes(self, nodes: t.Sequence[NodeSpec]) -> None:
        """Make exactly these nodes exist: new ones join (Ready within a second), missing ones leave with their pods.

        Those that stay get the labels and taints that they have now.
        """
        ...

    async def wanted_nodes(self, offers: t.Sequence[NodeSpec]) -> list[NodeSpec]:
        """Which of these nodes, that could be had, pods wait for that the scheduler can put nowhere."""
        ...

    async def apply(self, manifests: t.Sequence[dict[str, t.Any]], *, force: bool = True) -> None:
        """Create or update these objects, as the owner of an add-on (EKS) does.

        Raises ApplyConflict when ``force`` is off and others manage some of the fields: those objects are unchanged.
        """
        ...

    async def remove(self, manifests: t.Sequence[dict[str, t.Any]]) -> None:
        """Delete these objects, missing ones included; waits until dependent pods are gone."""
        ...

    async def daemon_set_status(self, namespace: str, name: str) -> dict[str, int]:
        """``status`` of a DaemonSet (``desiredNumberScheduled``, ``numberReady``, …); empty when there is none."""
        ...

    async def review_token(self, token: str, audience: str) -> dict[str, t.Any] | None:
        """Verified claims of a service account token for this audience, or None: signature, expiry, and that the
        service account and the pod still exist."""
        ...


class StartCluster(t.Protocol):
    """How the AWS side starts a cluster; provided by the chosen control plane.

    The module that provides it may also hold ``preload() -> None``, called once in a thread after the start, so that
    the first cluster starts faster.
    """

    async def __call__(self, cluster: ClusterSpec, aws: AwsSide, directory: pathlib.Path) -> ClusterRuntime: ...
