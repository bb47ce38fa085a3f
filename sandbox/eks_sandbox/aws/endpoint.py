# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The AWS endpoint: one HTTP port for every service, and the sandbox's side door under ``/_sandbox/``."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
import time

from eks_sandbox.aws.calls import Call
from eks_sandbox.aws.calls import CallLog
from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.errors import ServiceError
from eks_sandbox.aws.faults import Faults
from eks_sandbox.aws.http import Answer
from eks_sandbox.aws.http import BadRequest
from eks_sandbox.aws.http import Receive
from eks_sandbox.aws.http import Request
from eks_sandbox.aws.http import Scope
from eks_sandbox.aws.http import Send
from eks_sandbox.aws.http import json_answer
from eks_sandbox.aws.http import read_request
from eks_sandbox.aws.http import reset_connection
from eks_sandbox.aws.http import send_answer
from eks_sandbox.aws.http import wait_for_disconnect
from eks_sandbox.aws.knobs import Fault
from eks_sandbox.aws.ministack import Caller
from eks_sandbox.aws.services import Service
from eks_sandbox.aws.services import all_services
from eks_sandbox.aws.side_door import SideDoor

#: No principal has this key; it replaces keys that ministack would take for its root.
_NO_KEY = b"AKIAAAAAAAAAAAAAAAAA"
#: The access key in an Authorization header or in the query of a presigned request.
_CREDENTIAL = re.compile(rb"(Credential=)([^/%,&]*)(/|%2F)")
#: The result in the call log of calls that a fault left unanswered and undone.
_UNANSWERED = {"reset": "ConnectionReset", "timeout": "Timeout"}

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """How a call ended."""

    #: None: the client gets no answer.
    answer: Answer | None
    caller_arn: str = ""
    #: Error code, where it was not done.
    refused: str | None = None
    #: What a fault does with the answer.
    fault: Fault | None = None


class Endpoint:
    """The ASGI application behind the AWS port."""

    def __init__(self, state: State, calls: CallLog, faults: Faults, side_door: SideDoor) -> None:
        self._state = state
        self._calls = calls
        self._faults = faults
        self._side_door = side_door
        self._services = all_services(state)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request (ASGI)."""
        if scope["type"] != "http":
            # AWS has no websockets here.
            await send({"type": "websocket.close"})
            return
        try:
            answer = await self._handle(self._without_root(scope), receive)
        except BadRequest as error:
            # The rest of such a request may still come, so nothing else can follow on this connection.
            headers = {"x-amzn-errortype": error.code, "connection": "close"}
            answer = json_answer(error.status, {"message": error.message}, headers)
        except Exception:  # a fault of the sandbox itself must not look like an answer of AWS
            log.exception("%s %s failed.", scope["method"], scope["path"])
            answer = json_answer(500, {"message": "The sandbox itself failed."}, {"x-amzn-errortype": "SandboxFault"})
        if answer is not None:
            await send_answer(send, answer)

    async def _handle(self, scope: Scope, receive: Receive) -> Answer | None:
        """The answer, or None when the connection has ended without one."""
        request = await read_request(scope, receive, self._state.knobs.request_seconds)
        if request.raw_path.startswith("/_sandbox/"):
            return await self._side_door.answer(request)
        name = request.signature.service if request.signature else ""
        if name not in self._services:
            return _refusal(name)
        outcome = await self._call(self._services[name], request)
        if outcome.fault is None:
            return outcome.answer
        if outcome.fault.outcome == "late":
            await asyncio.sleep(outcome.fault.seconds)
            return outcome.answer
        if outcome.fault.outcome == "timeout":
            await wait_for_disconnect(receive)
        else:
            await reset_connection(scope, receive)
        return None

    async def _call(self, service: Service, request: Request) -> _Outcome:
        """Run one call and log it."""
        assert request.signature is not None
        began, operation = time.time(), service.operation(request)
        outcome = _Outcome(None, refused="SandboxFault")
        try:
            await asyncio.sleep(self._faults.latency(operation))
            outcome = await self._outcome(service, operation, request)
        finally:
            lost = outcome.fault is not None and outcome.fault.outcome == "lost"
            region = request.signature.region
            self._calls.add(Call(began, operation, region, outcome.caller_arn, outcome.refused, lost=lost))
        return outcome

    async def _outcome(self, service: Service, operation: str, request: Request) -> _Outcome:
        """What becomes of a call between its signature, the knobs and the service."""
        try:
            caller = service.caller(request)
        except ServiceError as error:
            return _Outcome(service.error(error), refused=error.code)
        if not caller.arn:
            # The service itself refuses unknown callers, regardless of the knobs.
            return await _run(service, request, caller)
        if self._faults.throttles(operation, caller.account, caller.region):
            return _Outcome(service.error(service.throttling), caller.arn, service.throttling.code)
        fault = self._faults.due(operation, caller.arn)
        if fault is not None and fault.outcome == "error":
            wanted = ServiceError(fault.code, fault.message, status=fault.status)
            return _Outcome(service.error(wanted), caller.arn, fault.code)
        if fault is not None and fault.outcome in _UNANSWERED:
            return _Outcome(None, caller.arn, _UNANSWERED[fault.outcome], fault)
        return dataclasses.replace(await _run(service, request, caller), fault=fault)

    def _without_root(self, scope: Scope) -> Scope:
        """Take the power from keys such as ``test`` and account numbers, which ministack serves as root unchecked."""
        headers = [(name, _CREDENTIAL.sub(self._powerless, value)) for name, value in scope["headers"]]
        return {**scope, "headers": headers, "query_string": _CREDENTIAL.sub(self._powerless, scope["query_string"])}

    def _powerless(self, found: re.Match[bytes]) -> bytes:
        key = _NO_KEY if self._state.ministack.is_root_key(found[2].decode("latin-1")) else found[2]
        return found[1] + key + found[3]


async def _run(service: Service, request: Request, caller: Caller) -> _Outcome:
    try:
        answer, refused = await service.answer(request, caller)
    except ServiceError as error:
        return _Outcome(service.error(error), caller.arn, error.code)
    return _Outcome(answer, caller.arn, refused)


def _refusal(service: str) -> Answer:
    if not service:
        body = b"<Error><Code>AccessDenied</Code><Message>The sandbox answers signed requests only.</Message></Error>"
        return Answer(403, {"content-type": "application/xml"}, body)
    message = f"The sandbox does not offer the service {service}."
    return json_answer(501, {"message": message}, {"x-amzn-errortype": "NotImplementedInSandbox"})
