# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One sandbox: the AWS endpoint and every cluster in one process and one asyncio loop."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib
import logging
import os
import pathlib
import shutil
import signal
import socket
import types
import typing as t

import yaml
from hypercorn.asyncio import serve
from hypercorn.config import Config

from eks_sandbox.aws import token as eks_token
from eks_sandbox.aws.calls import CallLog
from eks_sandbox.aws.eks import access_entry
from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.faults import FaultTable
from eks_sandbox.aws.faults import Knobs
from eks_sandbox.aws.ministack import Ministack
from eks_sandbox.aws.ministack import prepare_environment
from eks_sandbox.interfaces import ClusterSpec
from eks_sandbox.interfaces import Credentials
from eks_sandbox.interfaces import Identity
from eks_sandbox.interfaces import NodeSpec
from eks_sandbox.interfaces import StartCluster

ACCOUNT = "111122223333"
#: Name of the control plane -> ``module:function`` of its StartCluster.
CONTROL_PLANES = {"embedded": "eks_sandbox.control_plane.embedded:start_cluster"}
#: Seconds that credentials of a node live, as those of the instance metadata service do.
NODE_SESSION = 6 * 3600
#: Seconds that open connections get when the sandbox stops.
GRACE = 0.5


class PortTaken(Exception):
    """The port of the AWS endpoint cannot be used; the text says which and why."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a sandbox is started."""

    directory: pathlib.Path
    #: 0: any free port.
    port: int
    region: str
    control_plane: str
    account: str = ACCOUNT


class Aws:
    """AWS as the Kubernetes side sees it (:class:`eks_sandbox.interfaces.AwsSide`)."""

    def __init__(self, endpoint: str, state: State) -> None:
        self.endpoint = endpoint
        self._state = state

    def injects(self, cluster: ClusterSpec, namespace: str, service_account: str) -> bool:
        """Whether the webhook knows an association of this service account that is effective by now."""
        found = self._state.clusters.get((cluster.region, cluster.name))
        association_id = found.association_ids.get((namespace, service_account)) if found else None
        if found is None or association_id is None:
            return False
        return asyncio.get_running_loop().time() >= found.associations[association_id].effective_at

    async def authenticate(self, cluster: ClusterSpec, token: str) -> Identity | None:
        """Who holds this EKS token, by STS and the cluster's access entries."""
        arn = await eks_token.caller_of(self._state.ministack, self.endpoint, cluster.name, token)
        found = self._state.clusters.get((cluster.region, cluster.name))
        return access_entry.identity(found, arn) if found is not None and arn is not None else None

    def node_credentials(self, node: NodeSpec, cluster: ClusterSpec) -> Credentials:
        """A session of the node's role; raises LookupError when the role is gone."""
        role = self._state.ministack.role(node.role_arn)
        if role is None:
            raise LookupError(f"The role {node.role_arn} of node {node.name} in {cluster.name} does not exist.")
        return self._state.ministack.session(role, node.instance_id, seconds=NODE_SESSION)[0]


async def run(settings: Settings, ready: t.Callable[[str], None]) -> None:
    """Run a sandbox until SIGINT or SIGTERM; ``ready`` is told the endpoint once it answers.

    When this returns, every cluster and every process of it has ended. Raises PortTaken.
    """
    start_cluster = load_control_plane(settings.control_plane)
    with _listen(settings.port) as listener:
        port = listener.getsockname()[1]
        prepare_environment(port, settings.account, settings.region)
        knobs = Knobs()
        ministack = Ministack(settings.account, settings.region, knobs)
        await ministack.start()
        shutil.rmtree(settings.directory / "clusters", ignore_errors=True)
        state = State(ministack, knobs, start_cluster, settings.directory)
        endpoint = f"http://127.0.0.1:{port}"
        state.aws_side = Aws(endpoint, state)
        state.clusters_changed = _KubeconfigWriter(state, settings.directory / "kubeconfig")
        state.clusters_changed()
        _write_environment(settings, endpoint, ministack.administrator_keys)
        try:
            await _serve(state, listener, settings, endpoint, ready)
        finally:
            await state.clear()
            _remove_files(settings.directory)


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise PortTaken(f"Port {port} cannot be used: {error.strerror}.") from error


def load_control_plane(name: str) -> StartCluster:
    """The StartCluster of this control plane; imported only when it is chosen."""
    function = CONTROL_PLANES.get(name, name).partition(":")[2]
    return t.cast("StartCluster", getattr(_module(name), function))


def _config(listener: socket.socket) -> Config:
    config = Config()
    # asyncio switches Nagle's algorithm off on every connection.
    config.bind = [f"fd://{os.dup(listener.fileno())}"]
    config.accesslog = None
    config.graceful_timeout = GRACE
    config.keep_alive_timeout = 300
    # Otherwise a benchmark's connection is cut after 1,000 calls.
    config.keep_alive_max_requests = 1_000_000_000
    config.loglevel = "WARNING"
    return config


def pod_mode(name: str) -> str:
    """How this control plane runs pods here, in its own words, such as ``local processes``."""
    module = _module(name)
    return str(module.pod_mode()) if hasattr(module, "pod_mode") else "local processes"


def _preload(name: str) -> None:
    """Let the control plane load what its first cluster needs, if it wants to, while the user reads the start line."""
    module = _module(name)
    if hasattr(module, "preload"):
        module.preload()


def _module(name: str) -> types.ModuleType:
    return importlib.import_module(CONTROL_PLANES.get(name, name).partition(":")[0])


async def _serve(
    state: State,
    listener: socket.socket,
    settings: Settings,
    endpoint: str,
    ready: t.Callable[[str], None],
) -> None:
    # Imported here, because it imports all of EKS, which nobody needs who only asks for help.
    from eks_sandbox.aws.endpoint import Endpoint

    about = {
        "status": "ready",
        "endpoint": endpoint,
        "region": settings.region,
        "account": settings.account,
        "control_plane": settings.control_plane,
    }
    application = Endpoint(state, CallLog(), FaultTable(state.knobs), about)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    serving = loop.create_task(serve(application, _config(listener), shutdown_trigger=stop.wait))
    # The socket listens already, so from here on a client's first request waits instead of failing.
    await asyncio.sleep(0)
    ready(endpoint)
    await asyncio.to_thread(_preload, settings.control_plane)
    stopped = loop.create_task(stop.wait())
    await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not stop.is_set():
        stopped.cancel()
        await serving
    # Since Python 3.12 a closing server waits for ever for its connections, and hypercorn raises in the end.
    await asyncio.wait({serving}, timeout=4 * GRACE)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


class _KubeconfigWriter:
    """Keeps the kubeconfig in step with the clusters: one context for each that runs."""

    def __init__(self, state: State, path: pathlib.Path) -> None:
        self._state = state
        self._path = path

    def __call__(self) -> None:
        """Write the file anew."""
        running = [cluster for cluster in self._state.clusters.values() if cluster.runtime is not None]
        names = [cluster.spec.name for cluster in running]
        clusters, users, contexts = [], [], []
        for cluster in running:
            # The same name in two regions needs the ARN to tell them apart.
            name = cluster.spec.name if names.count(cluster.spec.name) == 1 else cluster.spec.arn
            assert cluster.runtime is not None
            authority = cluster.shape["certificateAuthority"]["data"]
            server = {"server": cluster.runtime.endpoint, "certificate-authority-data": authority}
            clusters.append({"name": name, "cluster": server})
            users.append({"name": name, "user": {"token": cluster.runtime.admin_token}})
            contexts.append({"name": name, "context": {"cluster": name, "user": name}})
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": contexts[0]["name"] if contexts else "",
            "clusters": clusters,
            "users": users,
            "contexts": contexts,
        }
        write_private(self._path, yaml.safe_dump(document, sort_keys=False))


def _write_environment(settings: Settings, endpoint: str, keys: Credentials) -> None:
    """How an AWS client reaches this sandbox: ``env`` for a shell, ``config`` for ``AWS_CONFIG_FILE``."""
    values = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": settings.region,
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
    }
    lines = ["unset AWS_PROFILE AWS_SESSION_TOKEN AWS_SECURITY_TOKEN"]
    lines += [f"export {name}='{value}'" for name, value in values.items()]
    write_private(settings.directory / "env", "\n".join(lines) + "\n")
    profile = {
        "region": settings.region,
        "endpoint_url": endpoint,
        "aws_access_key_id": keys.access_key,
        "aws_secret_access_key": keys.secret_key,
    }
    lines = ["[default]", *(f"{name} = {value}" for name, value in profile.items())]
    write_private(settings.directory / "config", "\n".join(lines) + "\n")


def write_private(path: pathlib.Path, text: str) -> None:
    """Write a file that only its owner may read; readers see the old or the new text, never half of it."""
    temporary = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - an open descriptor has no path
        file.write(text)
    temporary.replace(path)


def _remove_files(directory: pathlib.Path) -> None:
    """What is of no use once the sandbox is gone; the log stays."""
    for name in ("env", "config", "kubeconfig"):
        (directory / name).unlink(missing_ok=True)
    shutil.rmtree(directory / "clusters", ignore_errors=True)


def quiet_logging() -> None:
    """Our own messages, and of others only warnings, without request lines."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("eks_sandbox").setLevel(logging.INFO)
    logging.getLogger("ministack").setLevel(logging.WARNING)
