# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The services of AWS behind the endpoint, each with its own way to name, answer and refuse a call."""

from __future__ import annotations

import re
import typing as t
import uuid
from xml.sax.saxutils import escape

from eks_sandbox.aws import eks_auth
from eks_sandbox.aws import tagging
from eks_sandbox.aws.eks import dispatch
from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.errors import ServiceError
from eks_sandbox.aws.http import Answer
from eks_sandbox.aws.http import Request
from eks_sandbox.aws.http import call_application
from eks_sandbox.aws.http import json_answer
from eks_sandbox.aws.knobs import operation_names
from eks_sandbox.aws.ministack import SERVICES
from eks_sandbox.aws.ministack import Caller
from eks_sandbox.aws.ministack import Ministack
from eks_sandbox.aws.model import ServiceModel

#: The name in the call log of an operation that the service does not have.
UNKNOWN = "unknown"

_QUERY_ERROR = """<ErrorResponse xmlns="{namespace}">
  <Error><Type>{side}</Type><Code>{code}</Code><Message>{message}</Message></Error>
  <RequestId>{request_id}</RequestId>
</ErrorResponse>"""
_EC2_ERROR = """<Response>
  <Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>
  <RequestID>{request_id}</RequestID>
</Response>"""
_S3_ERROR = """<Error>
  <Code>{code}</Code><Message>{message}</Message><RequestId>{request_id}</RequestId>
</Error>"""
_XML_ERRORS = {
    "iam": _QUERY_ERROR.replace("{namespace}", "https://iam.amazonaws.com/doc/2010-05-08/"),
    "sts": _QUERY_ERROR.replace("{namespace}", "https://sts.amazonaws.com/doc/2011-06-15/"),
    "ec2": _EC2_ERROR,
    "s3": _S3_ERROR,
}
_CODE = re.compile(rb"<Code>([^<]+)</Code>")


class Service(t.Protocol):
    """One service, as the endpoint uses it."""

    #: The error that throttled callers get.
    throttling: ServiceError

    def operation(self, request: Request) -> str:
        """``service:Operation`` for the call log and the knobs; ``service:unknown`` for a missing operation."""
        ...

    def caller(self, request: Request) -> Caller:
        """The caller; raises ServiceError if the signature is wrong, unless the service checks it later."""
        ...

    async def answer(self, request: Request, caller: Caller, /) -> tuple[Answer, str | None]:
        """The answer, and the error code if it is a refusal that was not raised as ServiceError."""
        ...

    def error(self, error: ServiceError) -> Answer:
        """An error in the form of this service."""
        ...


class Modelled:
    """EKS and EKS Auth: everything follows from botocore's model."""

    throttling = ServiceError("ThrottlingException", "Rate exceeded", status=429)

    def __init__(self, state: State, name: str) -> None:
        self._state = state
        self._name = name
        self._model = ServiceModel(name)

    def operation(self, request: Request) -> str:
        """By method and address."""
        found = self._model.match(request.method, request.raw_path)
        return f"{self._name}:{found[0] if found else UNKNOWN}"

    def caller(self, request: Request) -> Caller:
        """Who signed the request."""
        return self._state.ministack.authenticate(request)

    async def answer(self, request: Request, caller: Caller) -> tuple[Answer, str | None]:
        """Validate, authorise, run."""
        found = self._model.match(request.method, request.raw_path)
        if found is None:
            raise ServiceError("UnknownOperationException", f"{self._name} has no such operation.", status=404)
        name, labels = found
        parameters = self._model.parse(name, labels, request)
        self._model.validate(name, parameters)
        if self._name == "eks":
            result = await dispatch.run(name, self._state, caller, parameters)
        else:
            result = await eks_auth.assume_role_for_pod_identity(self._state, caller, parameters)
        return self._model.answer(name, result), None

    def error(self, error: ServiceError) -> Answer:
        """JSON, with the code in a header and the status of the model."""
        return self._model.error_answer(error)


class Tagging:
    """The tagging API."""

    throttling = ServiceError("ThrottledException", "Rate exceeded", status=400)

    def __init__(self, state: State) -> None:
        self._state = state

    def operation(self, request: Request) -> str:
        """By its target header."""
        name = tagging.operation_name(request)
        return f"tagging:{name if name in operation_names('tagging') else UNKNOWN}"

    def caller(self, request: Request) -> Caller:
        """Who signed the request."""
        return self._state.ministack.authenticate(request)

    async def answer(self, request: Request, caller: Caller) -> tuple[Answer, str | None]:
        """Validate, authorise, run."""
        return tagging.answer(self._state, caller, request), None

    def error(self, error: ServiceError) -> Answer:
        """JSON with the code in ``__type``."""
        return json_answer(error.status or 400, {"__type": error.code, "message": error.message})


class Hosted:
    """IAM, STS, S3 and EC2, which are ministack's: it verifies signatures and authorises by itself."""

    def __init__(self, ministack: Ministack, name: str) -> None:
        self._ministack = ministack
        self._name = name
        self.throttling = {
            "ec2": ServiceError("RequestLimitExceeded", "Request limit exceeded.", status=503),
            "s3": ServiceError("SlowDown", "Please reduce your request rate.", status=503),
        }.get(name, ServiceError("Throttling", "Rate exceeded", status=400))

    def operation(self, request: Request) -> str:
        """The name of the action in IAM; without an action ministack returns the method."""
        name = self._ministack.operation_name(request, self._name).partition(":")[2]
        known = name != request.method if self._name == "s3" else name in operation_names(self._name)
        return f"{self._name}:{name if known else UNKNOWN}"

    def caller(self, request: Request) -> Caller:
        """The caller that the request names; empty for an unknown key."""
        assert request.signature is not None
        arn = self._ministack.caller_arn(request.signature.access_key)
        account = arn.split(":")[4] if arn else ""
        return Caller(request.signature.access_key, arn, account, request.signature.region)

    async def answer(self, request: Request, _caller: Caller) -> tuple[Answer, str | None]:
        """The answer of ministack."""
        answer = await call_application(self._ministack.application, request, request.headers)
        if answer.status < 400:
            return answer, None
        code = _CODE.search(answer.body)
        return answer, code[1].decode() if code else str(answer.status)

    def error(self, error: ServiceError) -> Answer:
        """XML in the dialect of the service."""
        status = error.status or 400
        body = _XML_ERRORS[self._name].format(
            side="Sender" if status < 500 else "Receiver",
            code=escape(error.code),
            message=escape(error.message),
            request_id=uuid.uuid4(),
        )
        return Answer(status, {"content-type": "text/xml"}, body.encode())


def all_services(state: State) -> dict[str, Service]:
    """The services by the name in a signature's scope."""
    return {
        **{name: Modelled(state, name) for name in ("eks", "eks-auth")},
        "tagging": Tagging(state),
        **{name: Hosted(state.ministack, name) for name in SERVICES},
    }
