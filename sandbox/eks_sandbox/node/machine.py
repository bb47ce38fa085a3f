# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One node as its pods see it: the link-local address of the agent, and the node role's credentials."""

from __future__ import annotations

import asyncio
import logging
import pathlib
import socket

from eks_sandbox.control_plane.certificates import write_private
from eks_sandbox.interfaces import AwsSide
from eks_sandbox.interfaces import ClusterSpec
from eks_sandbox.interfaces import NodeSpec
from eks_sandbox.node.images import Image

log = logging.getLogger(__name__)

#: Where the agent answers on a real node, by IPv4 and IPv6.
AGENT_ADDRESSES = ("169.254.170.23", "[fd00:ec2::23]")
AGENT_PORT, PROBE_PORT = 80, 2703
#: Seconds between writes of the node role's credentials.
CREDENTIALS_PERIOD = 900.0


class ReservedPort:
    """A loopback port that nobody listens on, until a process that shares it does.

    While the agent is away, connections are refused, as on a node without it; and no other program gets the port.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def release(self) -> None:
        """Give the port back."""
        self._socket.close()


class Machine:
    """What belongs to one node and not to Kubernetes."""

    def __init__(self, node: NodeSpec, cluster: ClusterSpec, aws: AwsSide, directory: pathlib.Path) -> None:
        self.node = node
        self._cluster = cluster
        self._aws = aws
        self._agent = ReservedPort()
        self._agent_probe = ReservedPort()
        self._closed = ReservedPort()
        self._credentials_file = directory / "node-role"
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def addresses(self) -> dict[str, str]:
        """What link-local addresses are for a process of this machine."""
        here = f"http://127.0.0.1:{self._agent.number}"
        plain = {f"http://{address}": here for address in AGENT_ADDRESSES}
        return plain | {f"http://{address}:{AGENT_PORT}": here for address in AGENT_ADDRESSES}

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
            f"127.0.0.1:{self._agent.number}",
            "--probe-listen",
            f"127.0.0.1:{self._agent_probe.number}",
        ]

    async def environment(self, image: Image) -> dict[str, str]:
        """Variables of every process of this node: where AWS is, as if its names led there."""
        variables = {
            "AWS_ENDPOINT_URL": self._aws.endpoint,
            # The instance metadata service is out of reach, as with a hop limit of 1; and never a real machine's.
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{self._closed.number}",
        }
        if image.is_agent:
            self._write_credentials()
            variables |= {
                "AWS_REGION": self._cluster.region,
                "AWS_SHARED_CREDENTIALS_FILE": str(self._credentials_file),
                "AWS_EC2_METADATA_DISABLED": "true",
            }
        return variables

    async def refresh(self) -> None:
        """Keep the node role's credentials fresh, until cancelled."""
        while True:
            await asyncio.sleep(CREDENTIALS_PERIOD)
            if self._credentials_file.exists():
                self._write_credentials()

    def _write_credentials(self) -> None:
        try:
            session = self._aws.node_credentials(self.node, self._cluster)
        except LookupError as error:
            # Without its role the node goes on, and the agent says that it has no credentials.
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
