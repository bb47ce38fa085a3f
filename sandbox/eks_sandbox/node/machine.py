# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One node as its pods see it: the link-local address of the agent, and the node role's credentials."""

from __future__ import annotations

import asyncio
import logging
import pathlib
import socket
import urllib.parse

from eks_sandbox.control_plane.certificates import write_private
from eks_sandbox.interfaces import AwsSide
from eks_sandbox.interfaces import ClusterSpec
from eks_sandbox.interfaces import NodeSpec
from eks_sandbox.node.images import Image

log = logging.getLogger(__name__)

Address = tuple[str, int]

#: Where the agent answers on a real node, by IPv4 and IPv6.
AGENT_ADDRESSES = ("169.254.170.23", "fd00:ec2::23")
AGENT_PORT, PROBE_PORT = 80, 2703
#: This machine, for its processes.
ADDRESS = "127.0.0.1"
#: What a pod in its own network reaches beyond the sandbox: the Python packages that a guide's pod installs. The
#: addresses come from the range for benchmarks, which no host uses.
OUTSIDE = {"pypi.org": "198.18.0.1", "files.pythonhosted.org": "198.18.0.2"}
HTTPS_PORT = 443
#: Seconds between writes of the node role's credentials.
CREDENTIALS_PERIOD = 900.0


class ReservedPort:
    """A loopback port without a listener, until a process that shares it listens.

    Without the agent, connections are refused, as on a node without it, and no other program gets the port.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind((ADDRESS, 0))
        self.number: int = self._socket.getsockname()[1]

    def release(self) -> None:
        """Give the port back."""
        self._socket.close()


class Machine:
    """What belongs to one node and not to Kubernetes."""

    def __init__(self, node: NodeSpec, cluster: ClusterSpec, aws: AwsSide, directory: pathlib.Path) -> None:
        self.node = node
        self.cluster = cluster
        self._aws = aws
        self._agent = ReservedPort()
        self._agent_probe = ReservedPort()
        self._closed = ReservedPort()
        self._credentials_file = directory / "role" / "credentials"
        self._credentials_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        #: The API server, as host and port; the kubelet knows them.
        self.api_server = (ADDRESS, 0)
        #: Names of the images that pods of this node have used.
        self.images: set[str] = set()

    @property
    def pod_mode(self) -> str:
        """``namespaces`` or ``processes``."""
        return self.cluster.pod_mode

    def translated_addresses(self) -> dict[str, str]:
        """What the agent's addresses are for a process in this machine's network."""
        here = f"http://{ADDRESS}:{self._agent.number}"
        hosts = [f"[{address}]" if ":" in address else address for address in AGENT_ADDRESSES]
        return {f"http://{host}{port}": here for host in hosts for port in ("", f":{AGENT_PORT}")}

    def forwards(self) -> dict[Address, Address]:
        """What a pod in its own network can connect to, and the address of each."""
        agent = {(address, AGENT_PORT): (ADDRESS, self._agent.number) for address in AGENT_ADDRESSES}
        here = (self._aws_endpoint, self.api_server)
        outside = {(address, HTTPS_PORT): (name, HTTPS_PORT) for name, address in OUTSIDE.items()}
        return {**agent, **{address: address for address in here}, **outside}

    @staticmethod
    def host_names() -> dict[str, str]:
        """Names that such a pod can resolve."""
        return dict(OUTSIDE)

    def folders(self, image: Image) -> list[pathlib.Path]:
        """Folders of the node that a container of this image sees."""
        return [self._credentials_file.parent] if image.is_agent else []

    @property
    def _aws_endpoint(self) -> Address:
        parts = urllib.parse.urlsplit(self._aws.endpoint)
        return parts.hostname or ADDRESS, parts.port or HTTPS_PORT

    def port(self, number: int, *, host_network: bool) -> int:
        """The port of this machine for a port of a pod."""
        shared = {AGENT_PORT: self._agent.number, PROBE_PORT: self._agent_probe.number}
        return shared.get(number, number) if host_network else number

    def agent_arguments(self, image: Image) -> list[str]:
        """Where the agent listens instead of the link-local address."""
        if not image.is_agent:
            return []
        return [
            "--listen",
            f"{ADDRESS}:{self._agent.number}",
            "--probe-listen",
            f"{ADDRESS}:{self._agent_probe.number}",
        ]

    def environment(self, image: Image, *, own_network: bool) -> dict[str, str]:
        """Variables of every container of this node: where AWS is, as if its names led there, and the API server."""
        host, port = self.api_server
        variables = {
            "AWS_ENDPOINT_URL": self._aws.endpoint,
            "KUBERNETES_SERVICE_HOST": host,
            "KUBERNETES_SERVICE_PORT": str(port),
            "KUBERNETES_SERVICE_PORT_HTTPS": str(port),
        }
        if not own_network:
            # The instance metadata service is out of reach, as with a hop limit of 1; and never a real machine's.
            variables["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = f"http://{ADDRESS}:{self._closed.number}"
        if image.is_agent:
            self._write_credentials()
            variables |= {
                "AWS_REGION": self.cluster.region,
                "AWS_SHARED_CREDENTIALS_FILE": str(self._credentials_file),
                "AWS_EC2_METADATA_DISABLED": "true",
            }
        return variables

    async def has_agent(self) -> bool:
        """Whether an agent answers now."""
        try:
            _, writer = await asyncio.open_connection(ADDRESS, self._agent.number)
        except OSError:
            return False
        writer.close()
        return True

    async def refresh(self) -> None:
        """Keep the node role's credentials fresh, until cancelled."""
        while True:
            await asyncio.sleep(CREDENTIALS_PERIOD)
            if self._credentials_file.exists():
                self._write_credentials()

    def _write_credentials(self) -> None:
        try:
            session = self._aws.node_credentials(self.node, self.cluster)
        except LookupError as error:
            # Without its role the node keeps running, and the agent reports that it has no credentials.
            log.warning("%s", error)
            self._credentials_file.unlink(missing_ok=True)
            return
        lines = (
            "[default]",
            f"aws_access_key_id = {session.access_key}",
            f"aws_secret_access_key = {session.secret_key}",
            f"aws_session_token = {session.session_token}",
        )
        fresh = self._credentials_file.with_suffix(".new")
        write_private(fresh, "\n".join([*lines, ""]).encode())
        fresh.replace(self._credentials_file)

    def close(self) -> None:
        """Give back what the node held."""
        for port in (self._agent, self._agent_probe, self._closed):
            port.release()
        self._credentials_file.unlink(missing_ok=True)
