# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The API server: an ASGI application over the store."""

from __future__ import annotations

import json
import logging
import typing as t

import yaml

from eks_sandbox.control_plane.embedded import schema
from eks_sandbox.control_plane.embedded.access import Authenticator
from eks_sandbox.control_plane.embedded.access import Authorizer
from eks_sandbox.control_plane.embedded.discovery import Discovery
from eks_sandbox.control_plane.embedded.errors import ApiError
from eks_sandbox.control_plane.embedded.errors import PageNotFoundError
from eks_sandbox.control_plane.embedded.errors import bad_request
from eks_sandbox.control_plane.embedded.errors import not_implemented
from eks_sandbox.control_plane.embedded.errors import too_large
from eks_sandbox.control_plane.embedded.errors import unknown_resource
from eks_sandbox.control_plane.embedded.handlers import Handlers
from eks_sandbox.control_plane.embedded.negotiation import YAML
from eks_sandbox.control_plane.embedded.negotiation import Form
from eks_sandbox.control_plane.embedded.negotiation import negotiate
from eks_sandbox.control_plane.embedded.reads import Reader
from eks_sandbox.control_plane.embedded.requests import Request
from eks_sandbox.control_plane.embedded.requests import Target
from eks_sandbox.control_plane.embedded.requests import ensure_served
from eks_sandbox.control_plane.embedded.requests import ensure_verb
from eks_sandbox.control_plane.embedded.requests import target_of
from eks_sandbox.control_plane.embedded.requests import verb_of
from eks_sandbox.control_plane.embedded.resources import CREATE_ONLY
from eks_sandbox.control_plane.embedded.resources import SERVICE_ACCOUNTS
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.embedded.streams import STREAMS
from eks_sandbox.control_plane.embedded.streams import Kubelets
from eks_sandbox.control_plane.embedded.writes import Writer
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.serving import BODY_LIMIT
from eks_sandbox.control_plane.serving import BodyTooLargeError
from eks_sandbox.control_plane.serving import Receive
from eks_sandbox.control_plane.serving import Scope
from eks_sandbox.control_plane.serving import Send
from eks_sandbox.control_plane.serving import read_body
from eks_sandbox.control_plane.serving import respond

log = logging.getLogger(__name__)

PLAIN = Form()
HEALTH_PATHS = ("/healthz", "/livez", "/readyz")
#: A Warning header may not hold quotation marks unescaped, nor control characters (RFC 7234).
_ESCAPES = str.maketrans({**dict.fromkeys(range(32), " "), 127: " ", ord('"'): '\\"', ord("\\"): "\\\\"})


class ApiServer:
    """Authenticates, authorises and routes every request."""

    def __init__(
        self,
        authenticator: Authenticator,
        authorizer: Authorizer,
        discovery: Discovery,
        reader: Reader,
        writer: Writer,
        handlers: Handlers,
        kubelets: Kubelets,
    ) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._discovery = discovery
        self._reader = reader
        self._writer = writer
        self._handlers = handlers
        self._kubelets = kubelets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of ASGI."""
        guard = _Guard(send)
        try:
            if scope["type"] == "websocket":
                await receive()
                await self._websocket(scope, receive, guard)
            else:
                await self._http(Request.read(scope, await read_body(receive)), receive, guard)
        except ApiError as error:
            await guard.fail(scope, error)
        except BodyTooLargeError:
            await guard.fail(scope, too_large(f"limit is {BODY_LIMIT}"))
        except PageNotFoundError:
            await respond(guard, 404, b"404 page not found\n", "text/plain; charset=utf-8")
        except Exception as error:
            # The client gets a Status in every case; the sandbox's log has the error.
            log.exception("%s %s failed", scope.get("method", "websocket"), scope["path"])
            await guard.fail(scope, ApiError(500, "InternalError", f"Internal error occurred: {type(error).__name__}"))

    async def _http(self, request: Request, receive: Receive, send: _Guard) -> None:
        identity = await self._authenticator.identify(request.bearer_token)
        if "impersonate-user" in request.headers:
            self._authorizer.ensure_may(identity, "impersonate", _impersonated(request.headers["impersonate-user"]))
            raise not_implemented("impersonation")
        if request.path in HEALTH_PATHS:
            await respond(send, 200, b"ok", "text/plain; charset=utf-8")
            return
        document = self._discovery.answer(request.path)
        if document is not None or not request.path.startswith(("/api/", "/apis/")):
            self._authorizer.ensure_may_read_path(identity, request.path)
            if document is None:
                raise PageNotFoundError
            await _send(send, 200, document)
            return
        target = target_of(request.path)
        verb = verb_of(request, target)
        self._authorizer.ensure_may(identity, verb, target)
        ensure_verb(target, verb)
        await schema.ready()
        if target.subresource == "log" and verb == "get":
            await self._kubelets.log(target, request, send)
            return
        form = negotiate(request)
        if verb == "watch":
            await self._reader.watch(target, request, form, receive, send)
        elif verb == "list":
            await _send(send, 200, self._reader.listed(target, request, form), form)
        elif verb == "get" and target.subresource in ("", "status"):
            await _send(send, 200, form.one(target.resource, self._writer.existing(target)), form)
        elif target.subresource in STREAMS:
            raise bad_request("unable to upgrade: this request is no websocket")
        else:
            (status, body), warnings = await self._handlers.handle(verb, target, request, identity)
            # kubectl requests tables in answers to writes too (``kubectl create -o wide``).
            is_object = body.get("kind") == target.resource.kind and target.resource.verbs is not CREATE_ONLY
            shown = form.one(target.resource, body) if is_object else body
            await _send(send, status, shown, form, warnings)

    async def _websocket(self, scope: Scope, receive: Receive, send: _Guard) -> None:
        request = Request.read({**scope, "method": "GET"}, b"")
        identity = await self._authenticator.identify(request.bearer_token)
        target = target_of(request.path)
        self._authorizer.ensure_may(identity, "create", target)
        ensure_served(target)
        if target.subresource not in STREAMS:
            raise unknown_resource()
        await self._kubelets.execute(target, request, scope, receive, send)


def _impersonated(user: str) -> Target:
    """What one must be allowed to impersonate in order to act as this user."""
    if user.startswith("system:serviceaccount:") and user.count(":") == 3:
        return Target(SERVICE_ACCOUNTS, *user.split(":")[2:])
    return Target(Resource("", "users", "User", namespaced=False), name=user)


class _Guard:
    """Passes messages on, and knows whether an answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False

    async def __call__(self, message: dict[str, t.Any]) -> None:
        self._begun = True
        await self._send(message)

    async def fail(self, scope: Scope, error: ApiError) -> None:
        """Answer with a Status, if it is not too late for that."""
        if self._begun:
            if scope["type"] == "http":
                await self._send({"type": "http.response.body", "body": b""})
            return
        body = json.dumps(error.status()).encode()
        if scope["type"] == "http":
            await respond(self._send, error.code, body)
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        start = {"type": "websocket.http.response.start", "status": error.code, "headers": headers}
        await self._send(start)
        await self._send({"type": "websocket.http.response.body", "body": body})


async def _send(send: Send, status: int, document: Object, form: Form = PLAIN, warnings: t.Sequence[str] = ()) -> None:
    """An answer in the form that the client requested."""
    headers = [("warning", f'299 - "{text.translate(_ESCAPES)}"') for text in warnings]
    text = yaml.safe_dump(document) if form.media_type == YAML else json.dumps(document)
    await respond(send, status, text.encode(), form.media_type, headers)
