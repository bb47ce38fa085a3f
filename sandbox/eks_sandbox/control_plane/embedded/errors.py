# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The API's refusals, in the words of a real kube-apiserver."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.objects import Object


@dataclasses.dataclass(frozen=True)
class Cause:
    """One error of one field."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"

    def text(self) -> str:
        return f"{self.field}: {self.message}"


class ApiError(Exception):
    """A Status with ``status: Failure``."""

    def __init__(self, code: int, reason: str, message: str, details: Object | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def status(self) -> Object:
        """The body of the answer."""
        body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details is not None:
            body["details"] = self.details
        return body


class UndecodableError(ApiError):
    """400: an object does not have its kind's form."""

    def __init__(self, message: str) -> None:
        super().__init__(400, "BadRequest", message)


class PageNotFoundError(Exception):
    """A path outside of every API: answered with plain text, as Go's HTTP servers do."""


def details_of(resource: Resource, name: str | None) -> Object:
    """The ``details`` that name an object."""
    pairs = {"name": name, "group": resource.group, "kind": resource.plural}
    return {key: value for key, value in pairs.items() if value}


def unknown_resource() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def not_found(resource: Resource, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{resource.qualified} "{name}" not found', details_of(resource, name))


def already_exists(resource: Resource, name: str) -> ApiError:
    message = f'{resource.qualified} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, details_of(resource, name))


def conflict(resource: Resource, name: str, why: str = "") -> ApiError:
    why = why or ("the object has been modified; please apply your changes to the latest version and try again")
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, details_of(resource, name))


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def forbidden(resource: Resource, name: str, why: str) -> ApiError:
    message = f'{resource.qualified} "{name}" is forbidden: {why}'
    return ApiError(403, "Forbidden", message, details_of(resource, name))


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def unsupported_media_type(accepted: t.Sequence[str]) -> ApiError:
    message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted)
    return ApiError(415, "UnsupportedMediaType", message)


def too_large(why: str) -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: {why}")


def not_implemented(what: str) -> ApiError:
    """For requests that only a real kube-apiserver handles; never a false success."""
    message = (
        f"{what} is not implemented by the sandbox's embedded control plane; start the sandbox with "
        "--control-plane envtest, which runs a real kube-apiserver, to use it"
    )
    return ApiError(501, "NotImplemented", message)


def method_not_allowed() -> ApiError:
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def invalid(resource: Resource, name: str, causes: t.Sequence[Cause]) -> ApiError:
    """422, with one cause for each field that is wrong."""
    # The message names each mistake once, the causes hold them all, as in kube-apiserver.
    texts = list(dict.fromkeys(cause.text() for cause in causes))
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details = {
        **details_of(resource, name),
        "kind": resource.kind,
        "causes": [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes],
    }
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {listed}', details)


def _shown(value: t.Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def invalid_patch(patched: Object, error: UndecodableError) -> ApiError:
    """422: the patched object does not have the form of its kind."""
    cause = invalid_value("patch", _shown(patched), error.message)
    listed = [{"reason": cause.reason, "message": cause.message, "field": cause.field}]
    return ApiError(422, "Invalid", f' "" is invalid: {cause.text()}', {"causes": listed})


def required(field: str, why: str = "") -> Cause:
    return Cause(field, f"Required value{': ' + why if why else ''}", "FieldValueRequired")


def invalid_value(field: str, value: t.Any, why: str) -> Cause:
    return Cause(field, f"Invalid value: {_shown(value)}: {why}", "FieldValueInvalid")


def duplicate(field: str, value: t.Any) -> Cause:
    return Cause(field, f"Duplicate value: {_shown(value)}", "FieldValueDuplicate")


def field_not_found(field: str, value: t.Any) -> Cause:
    return Cause(field, f"Not found: {_shown(value)}", "FieldValueNotFound")


def unsupported_value(field: str, value: t.Any, supported: t.Sequence[str]) -> Cause:
    listed = ", ".join(f'"{choice}"' for choice in supported)
    return Cause(field, f"Unsupported value: {_shown(value)}: supported values: {listed}", "FieldValueNotSupported")


def too_long(field: str, limit: int) -> Cause:
    return Cause(field, f"Too long: may not be more than {limit} bytes", "FieldValueTooLong")


def forbidden_field(field: str, why: str) -> Cause:
    return Cause(field, f"Forbidden: {why}", "FieldValueForbidden")
