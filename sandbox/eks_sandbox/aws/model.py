# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service described by botocore's model: routes, parsing, validation, answers.

So the sandbox accepts what the real service's model accepts and refuses the rest, without a separate list.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import re
import typing as t
import urllib.parse

import botocore.model
import botocore.session
from botocore.validate import ParamValidator

from eks_sandbox.aws.errors import ServiceError
from eks_sandbox.aws.http import Answer
from eks_sandbox.aws.http import Request
from eks_sandbox.aws.http import json_answer

Parameters = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Route:
    """How one operation is addressed."""

    method: str
    pattern: re.Pattern[str]
    labels: int
    operation: str


@functools.cache
def service_model(name: str) -> botocore.model.ServiceModel:
    """The model of a service, by botocore's name for it; read once, since EC2's alone takes a quarter of a second."""
    return _session().get_service_model(name)


@functools.cache
def _session() -> botocore.session.Session:
    return botocore.session.get_session()


class ServiceModel:
    """The model of one rest-json service, such as ``eks``."""

    def __init__(self, service: str) -> None:
        self.service = service
        self._model: botocore.model.ServiceModel = service_model(service)
        routes = [self._route(name) for name in self._model.operation_names]
        # A literal path wins over one with a label in its place.
        self._routes = sorted(routes, key=_label_count)

    def _route(self, name: str) -> Route:
        http = self._model.operation_model(name).http
        path = http["requestUri"].split("?")[0]
        pattern = re.sub(r"\\\{(\w+)(?:\\\+)?\\\}", r"(?P<\1>[^/]+)", re.escape(path))
        return Route(http["method"], re.compile(pattern), path.count("{"), name)

    def match(self, method: str, raw_path: str) -> tuple[str, dict[str, str]] | None:
        """The operation at this address with the values of its labels, or None when the service has no such address."""
        for route in self._routes:
            found = route.pattern.fullmatch(raw_path) if route.method == method else None
            if found:
                return route.operation, {name: urllib.parse.unquote(value) for name, value in found.groupdict().items()}
        return None

    def parse(self, operation: str, labels: t.Mapping[str, str], request: Request) -> Parameters:
        """The operation's parameters from the address, the query and the body.

        Raises ServiceError (SerializationException) when the body is not a JSON object.
        """
        shape = self._model.operation_model(operation).input_shape
        if shape is None:
            return {}
        body = json_body(request.body)
        parameters: Parameters = {}
        for name, member in shape.members.items():
            location = member.serialization.get("location")
            key = member.serialization.get("name", name)
            if location == "uri":
                parameters[name] = labels[key]
            elif location == "querystring" and key in request.query:
                parameters[name] = _from_query(member, request.query[key])
            elif location is None and body.get(key) is not None:
                parameters[name] = body[key]
        return parameters

    def validate(self, operation: str, parameters: Parameters) -> None:
        """Refuse parameters that the model does not allow: required, type, length, range, pattern, enum.

        Raises ServiceError (InvalidParameterException) that names every violation.
        """
        shape = self._model.operation_model(operation).input_shape
        if shape is None:
            return
        report = ParamValidator().validate(parameters, shape)
        problems = [report.generate_report()] if report.has_errors() else list(violations(shape, parameters, ""))
        if problems:
            raise ServiceError("InvalidParameterException", "; ".join(problems), status=400)

    def answer(self, operation: str, result: Parameters) -> Answer:
        """A successful answer that holds what the output shape names, without empty members."""
        shape = self._model.operation_model(operation).output_shape
        return json_answer(200, _render(shape, result) if shape is not None else {})

    def error_answer(self, error: ServiceError) -> Answer:
        """An error answer; its status comes from the model unless the error sets one."""
        status = error.status
        if error.code in self._model.shape_names:
            metadata = self._model.shape_for(error.code).metadata
            status = metadata.get("error", {}).get("httpStatusCode", status)
        document = {"message": error.message, **error.members}
        return json_answer(status or 400, document, {"x-amzn-errortype": error.code})


def _label_count(route: Route) -> int:
    return route.labels


def json_body(body: bytes) -> Parameters:
    """The JSON object in a body; raises ServiceError (SerializationException)."""
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise ServiceError("SerializationException", "The request body is not valid JSON.", status=400) from error
    if not isinstance(document, dict):
        raise ServiceError("SerializationException", "The request body must be a JSON object.", status=400)
    return document


def _from_query(shape: botocore.model.Shape, values: list[str]) -> t.Any:
    if shape.type_name == "list":
        return values
    value = values[0]
    if shape.type_name in ("integer", "long"):
        # A value that is not a number stays text, so that validation reports it.
        return int(value) if re.fullmatch(r"-?\d+", value) else value
    if shape.type_name == "boolean":
        return {"true": True, "false": False}.get(value, value)
    return value


def violations(shape: botocore.model.Shape, value: t.Any, path: str) -> t.Iterator[str]:
    """What its shape does not allow in a value: required members, bounds, patterns and enumerations.

    Types are not checked; botocore's validator does that.
    """
    yield from _bound_violations(shape, value, path)
    if isinstance(shape, botocore.model.StructureShape):
        yield from _member_violations(shape, value, path)
    elif isinstance(shape, botocore.model.ListShape):
        for index, item in enumerate(value, start=1):
            yield from violations(shape.member, item, f"{path}.{index}.member")
    elif isinstance(shape, botocore.model.MapShape):
        for key, item in value.items():
            yield from violations(shape.key, key, f"{path}.{key}.key")
            yield from violations(shape.value, item, f"{path}.{key}.member")
    elif isinstance(shape, botocore.model.StringShape):
        yield from _string_violations(shape, value, path)


def _member_violations(shape: botocore.model.StructureShape, value: Parameters, path: str) -> t.Iterator[str]:
    for name, member in shape.members.items():
        where = f"{path}.{name}".lstrip(".")
        if value.get(name) is not None:
            yield from violations(member, value[name], where)
        elif name in shape.required_members:
            yield _constraint(member, None, where, "Member must not be null")


def _bound_violations(shape: botocore.model.Shape, value: t.Any, path: str) -> t.Iterator[str]:
    smallest, largest = shape.metadata.get("min"), shape.metadata.get("max")
    if isinstance(value, (str, list, dict)):
        measured, kind = len(value), "length"
    elif isinstance(value, int) and not isinstance(value, bool):
        measured, kind = value, "value"
    else:
        return
    if largest is not None and measured > largest:
        yield _constraint(shape, value, path, f"Member must have {kind} less than or equal to {largest}")
    if smallest is not None and measured < smallest:
        yield _constraint(shape, value, path, f"Member must have {kind} greater than or equal to {smallest}")


def _string_violations(shape: botocore.model.StringShape, value: str, path: str) -> t.Iterator[str]:
    if shape.enum and value not in shape.enum:
        yield _constraint(shape, value, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    pattern = shape.metadata.get("pattern")
    if pattern and not _compiled(pattern).fullmatch(value):
        yield _constraint(shape, value, path, f"Member must satisfy regular expression pattern: {pattern}")


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of the service as Python knows it: its classes of letters, digits and spaces have other names here."""
    translated = pattern
    for theirs, ours in ((r"\p{L}", r"\w"), (r"\p{N}", r"\d"), (r"\p{Z}", r"\s")):
        translated = translated.replace(theirs, ours)
    # Without Unicode classes, \w means ASCII to the services.
    return re.compile(translated, 0 if translated != pattern else re.ASCII)


def _constraint(shape: botocore.model.Shape, value: t.Any, path: str, constraint: str) -> str:
    shown = "null" if value is None else "'***'" if shape.metadata.get("sensitive") else f"'{value}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


def _render(shape: botocore.model.Shape, value: t.Any) -> t.Any:
    if isinstance(shape, botocore.model.StructureShape):
        return {
            name: _render(member, value[name]) for name, member in shape.members.items() if value.get(name) is not None
        }
    if isinstance(shape, botocore.model.ListShape):
        return [_render(shape.member, item) for item in value]
    if isinstance(value, datetime.datetime):
        # rest-json carries a timestamp in a body as a number of seconds.
        return value.timestamp()
    return value
