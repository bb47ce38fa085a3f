# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The AWS endpoint: one HTTP port for every service, and the sandbox's side door under ``/_sandbox/``."""

from __future__ import annotations

import json
import logging
import re
import typing as t
import urllib.parse

from eks_sandbox.aws import eks_auth
from eks_sandbox.aws import tagging
from eks_sandbox.aws.calls import CallLog
from eks_sandbox.aws.eks import access_entry
from eks_sandbox.aws.eks import addon
from eks_sandbox.aws.eks import association
from eks_sandbox.aws.eks import cluster
from eks_sandbox.aws.eks import nodegroup
from eks_sandbox.aws.eks import operations
from eks_sandbox.aws.eks import tags
from eks_sandbox.aws.eks import update
from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.errors import ServiceError
from eks_sandbox.aws.faults import FaultTable
from eks_sandbox.aws.faults import UnknownKnob
from eks_sandbox.aws.http import Answer
from eks_sandbox.aws.http import Message
from eks_sandbox.aws.http import Receive
from eks_sandbox.aws.http import Request
from eks_sandbox.aws.http import Scope
from eks_sandbox.aws.http import Send
from eks_sandbox.aws.http import json_answer
from eks_sandbox.aws.http import read_request
from eks_sandbox.aws.http import replay
from eks_sandbox.aws.http import send_answer
from eks_sandbox.aws.ministack import SERVICES
from eks_sandbox.aws.model import ServiceModel

#: Importing these registers their operations.
RESOURCES = (access_entry, addon, association, cluster, nodegroup, tags, update)
#: Nobody has this key; it stands in for keys that ministack would take for its root.
_NO_KEY = b"AKIAAAAAAAAAAAAAAAAA"
#: The access key in an Authorization header or in the query of a presigned request.
_CREDENTIAL = re.compile(rb"(Credential=)([^/%,&]*)(/|%2F)")

log = logging.getLogger(__name__)


class Endpoint:
    """The ASGI application behind the AWS port."""

    def __init__(self, state: State, calls: CallLog, faults: FaultTable, about: t.Mapping[str, str]) -> None:
        self._state = state
        self._calls = calls
        self._faults = faults
        #: What ``/_sandbox/health`` says.
        self._about = about
        self._models = {name: ServiceModel(name) for name in ("eks", "eks-auth")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event (ASGI)."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._handle(scope, receive, send)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await read_request(scope, receive)
        if request.raw_path.startswith("/_sandbox/"):
            await send_answer(send, await self._side_door(request))
            return
        request = self._without_root(request)
        service = request.signature.service if request.signature else ""
        if service in self._models:
            await send_answer(send, await self._modelled(service, request))
        elif service == "tagging":
            await send_answer(send, self._tagging(request))
        elif service in SERVICES:
            await self._ministack(service, request, receive, send)
        else:
            await send_answer(send, _refusal(service))

    def _without_root(self, request: Request) -> Request:
        """Take the power from keys such as ``test`` and account numbers, which ministack serves as root unchecked."""
        scope = dict(request.scope)
        scope["headers"] = [(name, _CREDENTIAL.sub(self._powerless, value)) for name, value in scope["headers"]]
        scope["query_string"] = _CREDENTIAL.sub(self._powerless, scope["query_string"])
        return Request(
            request.method,
            request.raw_path,
            urllib.parse.parse_qs(scope["query_string"].decode(), keep_blank_values=True),
            {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
            request.body,
            scope,
        )

    def _powerless(self, found: re.Match[bytes]) -> bytes:
        key = _NO_KEY if self._state.ministack.is_root_key(found[2].decode()) else found[2]
        return found[1] + key + found[3]

    async def _modelled(self, service: str, request: Request) -> Answer:
        """EKS and EKS Auth: find the operation, authenticate, validate, authorise, run."""
        model = self._models[service]
        name, caller_arn = "unknown", ""
        try:
            found = model.match(request.method, request.raw_path)
            if found is None:
                raise ServiceError("UnknownOperationException", f"{service} has no such operation.", status=404)
            name, labels = found
            caller = self._state.ministack.authenticate(request)
            caller_arn = caller.arn
            self._faults.check(service, name)
            parameters = model.parse(name, labels, request)
            model.validate(name, parameters)
            if service == "eks":
                result = await operations.run(name, self._state, caller, parameters)
            else:
                result = await eks_auth.assume_role_for_pod_identity(self._state, caller, parameters)
        except ServiceError as error:
            self._calls.add(f"{service}:{name}", caller_arn, error.code)
            return model.error_answer(error)
        except Exception:  # a fault of the sandbox itself must not look like an answer of AWS
            log.exception("%s:%s failed.", service, name)
            self._calls.add(f"{service}:{name}", caller_arn, "SandboxFault")
            return json_answer(500, {"message": "The sandbox itself failed."}, {"x-amzn-errortype": "SandboxFault"})
        self._calls.add(f"{service}:{name}", caller_arn, None)
        return model.answer(name, result)

    def _tagging(self, request: Request) -> Answer:
        name, caller_arn = tagging.operation_name(request), ""
        try:
            caller = self._state.ministack.authenticate(request)
            caller_arn = caller.arn
            self._faults.check("tagging", name)
            answer = tagging.answer(self._state, caller, request)
        except ServiceError as error:
            self._calls.add(f"tagging:{name}", caller_arn, error.code)
            return json_answer(error.status or 400, {"__type": error.code, "message": error.message})
        self._calls.add(f"tagging:{name}", caller_arn, None)
        return answer

    async def _ministack(self, service: str, request: Request, receive: Receive, send: Send) -> None:
        """Hand a request to ministack and look at its answer for the call log."""
        ministack = self._state.ministack
        refused: list[str] = []

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                refused.append(str(message["status"]))
            elif refused and message["type"] == "http.response.body":
                code = re.search(rb"<Code>([^<]+)</Code>", message.get("body", b""))
                refused[0] = code[1].decode() if code else refused[0]
            await send(message)

        assert request.signature is not None
        name = ministack.operation_name(request, service)
        caller_arn = ministack.caller_arn(request.signature.access_key)
        await ministack.application(request.scope, replay(request.body, receive), watched)
        self._calls.add(name, caller_arn, refused[0] if refused else None)

    async def _side_door(self, request: Request) -> Answer:
        """What the sandbox says about itself, and how it is told what to do."""
        doors: dict[tuple[str, str], t.Callable[[Request], t.Awaitable[Answer]]] = {
            ("GET", "/_sandbox/health"): self._health,
            ("POST", "/_sandbox/reset"): self._reset,
            ("GET", "/_sandbox/calls"): self._show_calls,
            ("DELETE", "/_sandbox/calls"): self._clear_calls,
            ("GET", "/_sandbox/knobs"): self._show_knobs,
            ("PATCH", "/_sandbox/knobs"): self._set_knobs,
        }
        door = doors.get((request.method, request.raw_path))
        if door is None:
            return json_answer(404, {"message": f"There is no {request.method} {request.raw_path}."})
        return await door(request)

    async def _health(self, _request: Request) -> Answer:
        return json_answer(200, {**self._about, "clusters": [one.spec.name for one in self._state.clusters.values()]})

    async def _reset(self, _request: Request) -> Answer:
        await self._state.clear()
        await self._state.ministack.reset()
        self._state.knobs.reset()
        self._faults.start_again()
        self._calls.clear()
        return json_answer(200, {})

    async def _show_calls(self, _request: Request) -> Answer:
        return json_answer(200, self._calls.document())

    async def _clear_calls(self, _request: Request) -> Answer:
        self._calls.clear()
        return json_answer(200, {})

    async def _show_knobs(self, _request: Request) -> Answer:
        return json_answer(200, self._state.knobs.document())

    async def _set_knobs(self, request: Request) -> Answer:
        try:
            changes = json.loads(request.body or b"{}")
            if not isinstance(changes, dict):
                raise UnknownKnob("Knobs are a JSON object.")
            self._state.knobs.update(changes)
        except ValueError as error:
            return json_answer(400, {"message": str(error)})
        if "faults" in changes:
            self._faults.start_again()
        return await self._show_knobs(request)


async def _lifespan(receive: Receive, send: Send) -> None:
    """Start and stop; ministack's own schedulers and container reaper are not wanted and not started."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _refusal(service: str) -> Answer:
    if not service:
        body = b"<Error><Code>AccessDenied</Code><Message>The sandbox answers signed requests only.</Message></Error>"
        return Answer(403, {"content-type": "application/xml"}, body)
    message = f"The sandbox does not offer the service {service}."
    return json_answer(501, {"message": message}, {"x-amzn-errortype": "NotImplementedInSandbox"})
