# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One sandbox: the AWS endpoint and every cluster in one process and one asyncio loop."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import importlib
import logging
import os
import pathlib
import signal
import socket
import types
import typing as t

from eks_sandbox.aws import token as eks_token
from eks_sandbox.aws.calls import CallLog
from eks_sandbox.aws.eks import access_entry
from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.faults import Faults
from eks_sandbox.aws.knobs import Knobs
from eks_sandbox.aws.knobs import WrongKnob
from eks_sandbox.aws.ministack import Ministack
from eks_sandbox.aws.ministack import prepare_environment
from eks_sandbox.aws.users import Users
from eks_sandbox.control_plane.serving import Server
from eks_sandbox.control_plane.serving import listen
from eks_sandbox.files import Files
from eks_sandbox.interfaces import Access
from eks_sandbox.interfaces import ClusterSpec
from eks_sandbox.interfaces import Credentials
from eks_sandbox.interfaces import Extra
from eks_sandbox.interfaces import Identity
from eks_sandbox.interfaces import NodeSpec
from eks_sandbox.interfaces import StartCluster
from eks_sandbox.node import namespaces

ACCOUNT = "111122223333"
#: Name of the control plane -> ``module:function`` of its StartCluster.
CONTROL_PLANES = {
    "embedded": "eks_sandbox.control_plane.embedded:start_cluster",
    "envtest": "eks_sandbox.control_plane.envtest:start_cluster",
}
#: Lifetime in seconds of the credentials of a node, as with the instance metadata service.
NODE_SESSION = 6 * 3600


class CannotStart(Exception):
    """A sandbox cannot start as requested; the text says why, in a sentence for the user."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a sandbox is started."""

    directory: pathlib.Path
    #: 0: any free port.
    port: int
    region: str
    control_plane: str
    #: ``namespaces`` or ``processes``.
    pod_mode: str
    #: Accounts besides the first.
    accounts: t.Sequence[str] = ()
    #: Knobs that differ from their defaults, also after a reset.
    knobs: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    account: str = ACCOUNT


class Aws:
    """AWS as the Kubernetes side sees it (:class:`eks_sandbox.interfaces.AwsSide`)."""

    def __init__(self, endpoint: str, state: State) -> None:
        self.endpoint = endpoint
        self._state = state

    def injects(self, cluster: ClusterSpec, namespace: str, service_account: str) -> bool:
        """Whether the replica of the webhook that answers this time knows an association of this service account."""
        found = self._state.clusters.get(cluster.arn)
        return found is not None and found.identities.injects((namespace, service_account))

    async def authenticate(self, cluster: ClusterSpec, token: str) -> Identity | None:
        """The user of this EKS token, by STS and the cluster's access entries."""
        holder = await eks_token.holder_of(self._state.ministack, self.endpoint, cluster.name, token)
        found = self._state.clusters.get(cluster.arn)
        if found is None or holder is None:
            return None
        return access_entry.identity(found, holder, self._state.ministack.principal_id)

    def authorize(self, cluster: ClusterSpec, extra: Extra, access: Access) -> str | None:
        """Why an access policy allows this to the user with this ``extra``; None if none does."""
        found = self._state.clusters.get(cluster.arn)
        if found is None:
            return None
        return access_entry.authorize(found, extra, access, self._state.ministack.principal_id)

    def node_credentials(self, node: NodeSpec, cluster: ClusterSpec) -> Credentials:
        """A session of the node's role; raises LookupError when the role is gone."""
        role = self._state.ministack.role(node.role_arn)
        if role is None:
            raise LookupError(f"The role {node.role_arn} of node {node.name} in {cluster.name} does not exist.")
        return self._state.ministack.session(role, node.instance_id, seconds=NODE_SESSION)[0]


async def run(settings: Settings, ready: t.Callable[[str], None]) -> None:
    """Run a sandbox until SIGINT or SIGTERM; ``ready`` receives the endpoint once it answers.

    When this returns, every cluster and every process of it has ended. Raises CannotStart.
    """
    start_cluster = load_control_plane(settings.control_plane)
    knobs = _knobs(settings.knobs)
    listener = _listen(settings.port)
    port = listener.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    prepare_environment(port, settings.account, settings.region)
    ministack = Ministack(settings.account, settings.region, knobs)
    await ministack.start()
    state = State(ministack, knobs, start_cluster, settings.directory, settings.pod_mode)
    state.aws_side = Aws(endpoint, state)
    files = Files(settings.directory, endpoint, settings.region)
    state.clusters_changed = functools.partial(files.write_kubeconfig, state)
    try:
        files.start_clean()
        files.write_kubeconfig(state)
        files.write_environment(ministack.administrator_keys)
        users = Users(ministack, files.write_config)
        await _add_accounts(users, settings)
        await _serve(state, users, listener, settings, functools.partial(ready, endpoint))
    finally:
        await state.clear()
        files.remove()
        listener.close()


def _knobs(changes: dict[str, t.Any]) -> Knobs:
    knobs = Knobs()
    try:
        knobs.update(changes)
    except WrongKnob as error:
        raise CannotStart(str(error)) from error
    return knobs


def _listen(port: int) -> socket.socket:
    try:
        return listen(port)
    except OverflowError as error:
        raise CannotStart(f"Port {port} cannot be used: ports are numbers from 0 to 65535.") from error
    except OSError as error:
        raise CannotStart(f"Port {port} cannot be used: {os.strerror(error.errno or 0)}.") from error


async def _add_accounts(users: Users, settings: Settings) -> None:
    try:
        for account in (settings.account, *settings.accounts):
            await users.add_account(account)
    except ValueError as error:
        raise CannotStart(str(error)) from error


async def _serve(
    state: State, users: Users, listener: socket.socket, settings: Settings, ready: t.Callable[[], None]
) -> None:
    """Serve until SIGINT or SIGTERM."""
    # Imported here, because they import all of EKS, which ``--help`` does not need.
    from eks_sandbox.aws.endpoint import Endpoint
    from eks_sandbox.aws.side_door import SideDoor

    about = {
        "status": "ready",
        "region": settings.region,
        "account": settings.account,
        "control_plane": settings.control_plane,
        "pod_mode": settings.pod_mode,
    }
    calls, faults = CallLog(), Faults(state.knobs)
    side_door = SideDoor(state, calls, faults, users, about, settings.knobs)
    server = Server(Endpoint(state, calls, faults, side_door), listener=listener)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server.start()
    # The socket listens already, so from here on a client's first request waits instead of failing.
    ready()
    try:
        await asyncio.to_thread(_preload, settings.control_plane)
        await stop.wait()
    finally:
        await server.stop()


def load_control_plane(name: str) -> StartCluster:
    """The StartCluster of this control plane (one of ``CONTROL_PLANES``, or ``module:function``), imported only now.

    Raises CannotStart for one that does not exist.
    """
    if name not in CONTROL_PLANES and ":" not in name:
        raise CannotStart(f"The control plane must be one of {', '.join(CONTROL_PLANES)}; got {name}.")
    function = CONTROL_PLANES.get(name, name).partition(":")[2]
    return t.cast("StartCluster", getattr(_module(name), function))


def _module(name: str) -> types.ModuleType:
    return importlib.import_module(CONTROL_PLANES.get(name, name).partition(":")[0])


def _preload(name: str) -> None:
    """Let the control plane load what its first cluster needs, if necessary, while the user reads the start line."""
    module = _module(name)
    if hasattr(module, "preload"):
        module.preload()


def pod_mode(wanted: str) -> tuple[str, str]:
    """The mode in which pods run here, ``namespaces`` or ``processes``, and why it is not namespaces (or empty).

    Raises CannotStart if namespaces are requested and not available.
    """
    if wanted == "processes":
        return wanted, "as requested"
    reason = namespaces.available()
    if reason is None:
        return "namespaces", ""
    if wanted == "namespaces":
        raise CannotStart(f"Pods cannot run in namespaces on this machine: {reason}.")
    return "processes", f"no namespaces: {reason}"


def quiet_logging() -> None:
    """Log the sandbox's messages, and only warnings of other loggers, without request lines."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("eks_sandbox").setLevel(logging.INFO)
    logging.getLogger("ministack").setLevel(logging.WARNING)
