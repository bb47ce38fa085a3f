# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the API server passes on to a node's kubelet: logs and exec."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import typing as t
import urllib.parse

import aiohttp

from eks_sandbox.control_plane.embedded.errors import ApiError
from eks_sandbox.control_plane.embedded.errors import bad_request
from eks_sandbox.control_plane.embedded.errors import forbidden_field
from eks_sandbox.control_plane.embedded.errors import invalid
from eks_sandbox.control_plane.embedded.errors import invalid_value
from eks_sandbox.control_plane.embedded.errors import not_found
from eks_sandbox.control_plane.embedded.requests import Request
from eks_sandbox.control_plane.embedded.requests import Target
from eks_sandbox.control_plane.embedded.resources import NODES
from eks_sandbox.control_plane.embedded.resources import PODS
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.embedded.store import Store
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import dig
from eks_sandbox.control_plane.serving import Receive
from eks_sandbox.control_plane.serving import Scope
from eks_sandbox.control_plane.serving import Send
from eks_sandbox.control_plane.serving import respond

#: Subresources that a client reaches by a websocket.
STREAMS = ("attach", "exec")
#: Newest first: v5 knows how to close stdin.
EXEC_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_LOG_QUERY = {
    "follow": "follow",
    "tailLines": "tailLines",
    "sinceSeconds": "sinceSeconds",
    "sinceTime": "sinceTime",
    "timestamps": "timestamps",
    "limitBytes": "limitBytes",
    "previous": "previous",
}
_LOG_OPTIONS = Resource("", "podlogoptions", "PodLogOptions")
_EXEC_QUERY = {"command": "command", "stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}


class Kubelets:
    """Reaches the kubelet of a pod's node, at the address and port that the Node names."""

    def __init__(self, store: Store, session: aiohttp.ClientSession, context: ssl.SSLContext) -> None:
        self._store = store
        self._session = session
        self._context = context

    async def log(self, target: Target, request: Request, send: Send) -> None:
        """Stream a container's log to the client.

        :raises ApiError: the container does not exist, or has no log yet.
        """
        _ensure_log_options(target, request)
        pod, container = self._container(target, request.value("container"))
        if not pod["spec"].get("nodeName"):
            await respond(send, 204, b"")
            return
        query = [(name, request.value(key)) for key, name in _LOG_QUERY.items() if key in request.query]
        url = self._url(pod, "containerLogs", container, query)
        try:
            answer = await self._session.get(url, ssl=self._context, timeout=aiohttp.ClientTimeout(connect=5))
        except aiohttp.ClientError as error:
            raise _unreachable(url, error) from error
        async with answer:
            if answer.status != 200:
                raise bad_request((await answer.text()).strip())
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
            with contextlib.suppress(aiohttp.ClientError):
                async for part in answer.content.iter_any():
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def execute(self, target: Target, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Connect the client's websocket with the kubelet's.

        :raises ApiError: the container does not exist.
        """
        pod, container = self._container(target, request.value("container"))
        if not pod["spec"].get("nodeName"):
            raise bad_request(f"pod {target.name} does not have a host assigned")
        query = [(name, value) for key, name in _EXEC_QUERY.items() for value in request.query.get(key, [])]
        url = self._url(pod, target.subresource, container, query)
        offered = [name for name in EXEC_PROTOCOLS if name in scope["subprotocols"]]
        try:
            connection = await self._session.ws_connect(url, ssl=self._context, protocols=offered, max_msg_size=0)
        except aiohttp.WSServerHandshakeError as error:
            raise bad_request(error.message or "the kubelet refuses to run the command") from error
        except aiohttp.ClientError as error:
            raise _unreachable(url, error) from error
        async with connection:
            await send({"type": "websocket.accept", "subprotocol": connection.protocol})
            upward = asyncio.create_task(_forward(receive, connection))
            try:
                async for message in connection:
                    if message.type == aiohttp.WSMsgType.BINARY:
                        await send({"type": "websocket.send", "bytes": message.data})
            finally:
                upward.cancel()
            await send({"type": "websocket.close", "code": 1000})

    def _container(self, target: Target, wanted: str) -> tuple[Object, str]:
        pod = self._store.find(PODS, target.namespace, target.name)
        if pod is None:
            raise not_found(PODS, target.name)
        spec = pod["spec"]
        names = [entry["name"] for entry in spec["containers"]]
        initial = [entry["name"] for entry in spec.get("initContainers") or []]
        default = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container", "")
        container = wanted or default or (names[0] if len(names) == 1 else "")
        if not container:
            listed = f"[{' '.join(names)}]"
            message = f"a container name must be specified for pod {target.name}, choose one of: {listed}"
            raise bad_request(f"{message} or one of the init containers: [{' '.join(initial)}]" if initial else message)
        if container not in [*names, *initial]:
            raise bad_request(f"container {container} is not valid for pod {target.name}")
        return pod, container

    def _url(self, pod: Object, what: str, container: str, query: list[tuple[str, str]]) -> str:
        name = pod["spec"]["nodeName"]
        node = self._store.find(NODES, "", name)
        if node is None:
            raise not_found(NODES, name)
        addresses = dig(node, "status.addresses") or []
        host = next((entry["address"] for entry in addresses if entry["type"] == "InternalIP"), "127.0.0.1")
        port = dig(node, "status.daemonEndpoints.kubeletEndpoint.Port")
        path = f"/{what}/{pod['metadata']['namespace']}/{pod['metadata']['name']}/{container}"
        return f"https://{host}:{port}{path}?{urllib.parse.urlencode(query)}"


def _ensure_log_options(target: Target, request: Request) -> None:
    causes = []
    for field in ("tailLines", "limitBytes", "sinceSeconds"):
        number = request.number(field)
        least = 0 if field == "tailLines" else 1
        if number is not None and number < least:
            why = "must be greater than 0" if least else "must be greater than or equal to 0"
            causes.append(invalid_value(field, number, why))
    if request.value("sinceSeconds") and request.value("sinceTime"):
        # Go's empty path.
        causes.append(forbidden_field("[]", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    if causes:
        raise invalid(_LOG_OPTIONS, target.name, causes)


def _unreachable(url: str, error: Exception) -> ApiError:
    address = url.partition("?")[0]
    return ApiError(500, "InternalError", f'Internal error occurred: Get "{address}": {error}')


async def _forward(receive: Receive, connection: aiohttp.ClientWebSocketResponse) -> None:
    """From the client to the kubelet, until the client disconnects."""
    while True:
        message: dict[str, t.Any] = await receive()
        if message["type"] != "websocket.receive":
            await connection.close()
            return
        content = message.get("bytes")
        await connection.send_bytes(content if content is not None else str(message.get("text") or "").encode())
