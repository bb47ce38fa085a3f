# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of requests in the query, checked as kube-apiserver checks them."""

from __future__ import annotations

import dataclasses
import typing as t

from eks_sandbox.control_plane.embedded.errors import ApiError
from eks_sandbox.control_plane.embedded.errors import Cause
from eks_sandbox.control_plane.embedded.errors import bad_request
from eks_sandbox.control_plane.embedded.errors import forbidden_field
from eks_sandbox.control_plane.embedded.errors import invalid
from eks_sandbox.control_plane.embedded.errors import invalid_value
from eks_sandbox.control_plane.embedded.errors import required
from eks_sandbox.control_plane.embedded.errors import too_long
from eks_sandbox.control_plane.embedded.errors import unsupported_value
from eks_sandbox.control_plane.embedded.patches import APPLY
from eks_sandbox.control_plane.embedded.requests import Request
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.interfaces import Identity

_KINDS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions", "DELETE": "DeleteOptions"}
_VALIDATIONS = ("", "Ignore", "Strict", "Warn")
_POLICIES = ("Foreground", "Background", "Orphan")
_MANAGER_LIMIT = 128


def _resource(kind: str) -> Resource:
    return Resource("meta.k8s.io", kind.lower(), kind)


@dataclasses.dataclass(frozen=True)
class WriteOptions:
    """The options of a write."""

    identity: Identity
    manager: str
    dry_run: bool = False
    force: bool = False
    #: ``Ignore``, ``Warn`` or ``Strict``: what happens to unknown fields.
    field_validation: str = "Warn"
    #: Filled with warnings for the client.
    warnings: list[str] = dataclasses.field(default_factory=list)
    #: Mistakes in the text of the body: duplicate fields.
    mistakes: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def read(cls, request: Request, identity: Identity) -> WriteOptions:
        """From a request's query.

        :raises ApiError: 422 for values that mean nothing.
        """
        causes = [*_dry_run(request.query.get("dryRun", [])), *_manager(request), *_force(request)]
        validation = request.value("fieldValidation")
        if validation not in _VALIDATIONS:
            causes.append(unsupported_value("fieldValidation", validation, _VALIDATIONS))
        if causes:
            raise invalid(_resource(_KINDS.get(request.method, "CreateOptions")), "", causes)
        is_dry = bool(request.query.get("dryRun"))
        manager, force = request.manager, request.flag("force")
        return cls(identity, manager, is_dry, force, validation or "Warn", mistakes=request.mistakes)


def _dry_run(values: t.Sequence[str]) -> t.Iterator[Cause]:
    if any(value != "All" for value in values):
        yield unsupported_value("dryRun", list(values), ("All",))


def _manager(request: Request) -> t.Iterator[Cause]:
    name = request.value("fieldManager")
    if len(name.encode()) > _MANAGER_LIMIT:
        yield too_long("fieldManager", _MANAGER_LIMIT)
    for place, character in enumerate(name):
        if not character.isprintable():
            why = f"invalid character U+{ord(character):04X} (at position {place})"
            yield invalid_value("fieldManager", name, why)
    if request.method == "PATCH" and request.media_type == APPLY and not name:
        yield required("fieldManager", "is required for apply patch")


def _force(request: Request) -> t.Iterator[Cause]:
    if request.method == "PATCH" and request.media_type != APPLY and "force" in request.query:
        yield forbidden_field("force", "may not be specified for non-apply patch")


@dataclasses.dataclass(frozen=True)
class DeleteOptions:
    """The options of a deletion."""

    grace: int | None = None
    #: Empty: the kind's own default.
    policy: str = ""
    dry_run: bool = False
    uid: str = ""
    version: str = ""

    @classmethod
    def read(cls, request: Request, body: Object) -> DeleteOptions:
        """From the body, or without a body from the query; the body's types have been checked.

        :raises ApiError: 400 or 422 for values that mean nothing.
        """
        if body:
            policy, orphan = body.get("propagationPolicy", ""), body.get("orphanDependents")
            dry_run, grace = body.get("dryRun") or [], body.get("gracePeriodSeconds")
        else:
            policy = request.value("propagationPolicy")
            orphan = request.flag("orphanDependents") if "orphanDependents" in request.query else None
            dry_run, grace = request.query.get("dryRun", []), request.number("gracePeriodSeconds")
        causes = list(_dry_run(dry_run))
        if policy and orphan is not None:
            why = "orphanDependents and deletionPropagation cannot be both set"
            causes.append(invalid_value("propagationPolicy", policy, why))
        elif policy and policy not in _POLICIES:
            causes.append(unsupported_value("propagationPolicy", policy, (*_POLICIES, "nil")))
        if causes:
            raise invalid(_resource("DeleteOptions"), "", causes)
        if orphan is not None:
            policy = "Orphan" if orphan else "Background"
        preconditions = body.get("preconditions") or {}
        uid, version = str(preconditions.get("uid") or ""), str(preconditions.get("resourceVersion") or "")
        return cls(grace, policy, bool(dry_run), uid, version)


def ensure_list_options(request: Request, *, is_watch: bool) -> None:
    """Refuse combinations of a list's or a watch's parameters that mean nothing.

    :raises ApiError: 400 or 422
    """
    causes = list(_watch_causes(request) if is_watch else _list_causes(request))
    if causes:
        raise invalid(_resource("ListOptions"), "", causes)
    version = request.value("resourceVersion")
    if version and not version.isdecimal():
        why = f'Invalid value: "{version}": strconv.ParseUint: parsing "{version}": invalid syntax'
        raise bad_request(f"invalid resource version: resourceVersion: {why}")
    if request.value("continue") and version not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")


def _list_causes(request: Request) -> t.Iterator[Cause]:
    match, version = request.value("resourceVersionMatch"), request.value("resourceVersion")
    field = "resourceVersionMatch"
    if match:
        if not version:
            yield forbidden_field(field, "resourceVersionMatch is forbidden unless resourceVersion is provided")
        if request.value("continue"):
            yield forbidden_field(field, "resourceVersionMatch is forbidden when continue is provided")
        if match not in ("Exact", "NotOlderThan"):
            yield unsupported_value(field, match, ("Exact", "NotOlderThan", ""))
        if match == "Exact" and version == "0":
            yield forbidden_field(field, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    if "sendInitialEvents" in request.query:
        yield forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list")


def _watch_causes(request: Request) -> t.Iterator[Cause]:
    match, field = request.value("resourceVersionMatch"), "resourceVersionMatch"
    if "sendInitialEvents" in request.query:
        if match != "NotOlderThan":
            yield forbidden_field(field, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
    elif match:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        yield forbidden_field(field, why)


def version_too_large(version: int, current: int) -> ApiError:
    """A client requests a state in the future."""
    details = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    message = f"Timeout: Too large resource version: {version}, current: {current}"
    return ApiError(504, "Timeout", message, details)
