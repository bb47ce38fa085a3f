# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The content of a request, read from its method, path, query and headers."""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t
import urllib.parse

import yaml

from eks_sandbox.control_plane.embedded import protobuf
from eks_sandbox.control_plane.embedded import resources
from eks_sandbox.control_plane.embedded.errors import PageNotFoundError
from eks_sandbox.control_plane.embedded.errors import bad_request
from eks_sandbox.control_plane.embedded.errors import method_not_allowed
from eks_sandbox.control_plane.embedded.errors import not_implemented
from eks_sandbox.control_plane.embedded.errors import unknown_resource
from eks_sandbox.control_plane.embedded.errors import unsupported_media_type
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.serving import Scope

_PATH = re.compile(
    r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]*)(?=/(?!status$|finalize$)))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<subresource>[^/]+))?)?/?"
)
JSON_TYPES = ("application/json", "application/yaml")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_TRUE = ("1", "true", "True", "TRUE", "t", "T")


@dataclasses.dataclass(frozen=True)
class Target:
    """The resource that a path names."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""


@dataclasses.dataclass(frozen=True)
class Request:
    """One HTTP request."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    #: Fields that the body, once read, names twice; the last one counts.
    mistakes: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def read(cls, scope: Scope, body: bytes) -> Request:
        """From an ASGI scope."""
        query = urllib.parse.parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        return cls(str(scope.get("method", "GET")), str(scope["path"]), query, headers, body)

    def value(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return self.query.get(name, [default])[0]

    def flag(self, name: str) -> bool:
        """Whether a query parameter is true."""
        return self.value(name) in _TRUE

    def number(self, name: str) -> int | None:
        """A query parameter as a whole number.

        :raises ApiError: 400 when it is none.
        """
        text = self.value(name)
        if not text:
            return None
        if not re.fullmatch(r"-?\d{1,18}", text):
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        return int(text)

    @property
    def bearer_token(self) -> str | None:
        """The token of the Authorization header, or None without one."""
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if kind.lower() == "bearer" else None

    @property
    def media_type(self) -> str:
        """The content type without parameters."""
        return self.headers.get("content-type", "application/json").partition(";")[0].strip().lower()

    @property
    def manager(self) -> str:
        """The field manager: named, or the first part of the user agent."""
        named = self.value("fieldManager")
        return named or self.headers.get("user-agent", "unknown").partition("/")[0][:128] or "unknown"

    def document(self, accepted: t.Sequence[str] = JSON_TYPES) -> t.Any:
        """The body, decoded.

        :raises ApiError: 415 for another media type, 400 for a body that cannot be decoded.
        """
        if self.media_type == protobuf.MEDIA_TYPE and accepted is JSON_TYPES:
            return protobuf.decode(self.body)
        if self.media_type not in accepted:
            raise unsupported_media_type(accepted if accepted is not JSON_TYPES else (*JSON_TYPES, protobuf.MEDIA_TYPE))
        try:
            if self.media_type.endswith("yaml"):
                return _whole(yaml.load(self.body, _Loader))
            document = json.loads(self.body, parse_constant=_refuse_constant, object_pairs_hook=self._object)
            return _whole(document) if _SURROGATE.search(self.body) else document
        except (TypeError, ValueError, yaml.YAMLError, RecursionError) as error:
            kind = "yaml" if self.media_type.endswith("yaml") else "json"
            raise bad_request(f"couldn't get version/kind; {kind} parse error: {_first_line(error)}") from error

    def _object(self, pairs: list[tuple[str, t.Any]]) -> Object:
        found: Object = {}
        for key, value in pairs:
            if key in found:
                self.mistakes.append(f'duplicate field "{key}"')
            found[key] = value
        return found

    def object(self) -> Object:
        """The body as one Kubernetes object.

        :raises ApiError: 400 when it is none.
        """
        document = self.document()
        if document is None:
            return {}
        if not isinstance(document, dict):
            raise bad_request("couldn't get version/kind; json parse error: cannot unmarshal the body into an object")
        if not isinstance(document.get("metadata", {}), dict | None):
            raise bad_request("json: cannot unmarshal metadata into Go struct field ObjectMeta")
        return document


def _whole(value: t.Any) -> t.Any:
    """The document as Go's decoders give it: no halves of surrogate pairs, texts as keys, nothing that JSON lacks.

    :raises ValueError: for YAML's other types.
    """
    if isinstance(value, dict):
        return {_whole(key if isinstance(key, str) else json.dumps(key)): _whole(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_whole(entry) for entry in value]
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if value is None or isinstance(value, bool | int | float):
        return value
    raise ValueError(f"cannot represent a {type(value).__name__} as JSON")


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML as Kubernetes reads it: what looks like a time is a text."""

    yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _refuse_constant(name: str) -> t.NoReturn:
    raise ValueError(f"invalid number {name}")


def target_of(path: str) -> Target:
    """The resource of a path, which may be one that the sandbox does not support.

    :raises ApiError: 404 for resources that no cluster has.
    :raises PageNotFoundError: no API begins like this.
    """
    found = _PATH.fullmatch(path)
    if not found:
        raise unknown_resource() if path.startswith("/api/") else PageNotFoundError
    group, version = found["group"] or "", found["core"] or found["version"]
    if group and group not in resources.groups() and group not in resources.NOT_REBUILT:
        raise PageNotFoundError
    plural, subresource = found["plural"], urllib.parse.unquote(found["subresource"] or "")
    resource = resources.by_path(group, version, plural)
    if resource is None:
        if version != "v1" or plural not in resources.NOT_REBUILT.get(group, ()):
            raise unknown_resource()
        resource = Resource(group, plural, plural, verbs=())
    is_known = subresource in resource.subresources or _is_missing(resource, subresource)
    if subresource and not is_known:
        raise unknown_resource()
    namespace = urllib.parse.unquote(found["namespace"] or "")
    if bool(namespace) and not resource.namespaced:
        raise unknown_resource()
    name = urllib.parse.unquote(found["name"] or "")
    if name in (".", "..") or "%" in name:
        why = "may not contain '%'" if "%" in name else f"may not be '{name}'"
        raise bad_request(f'Name parameter invalid: "{name}": {why}')
    return Target(resource, namespace, name, subresource)


def _is_missing(resource: Resource, subresource: str) -> bool:
    """Whether real clusters have this, and this control plane does not."""
    is_of_pods = resource is resources.PODS and subresource in resources.POD_SUBRESOURCES_NOT_REBUILT
    return is_of_pods or resource.plural in resources.NOT_REBUILT.get(resource.group, ())


def ensure_served(target: Target) -> None:
    """Refuse what this control plane does not rebuild.

    :raises ApiError: 501
    """
    if _is_missing(target.resource, target.subresource):
        name = target.resource.qualified
        raise not_implemented(f"{name}/{target.subresource}" if target.subresource else name)


_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def verb_of(request: Request, target: Target) -> str:
    """The request's verb, as authorisation names it.

    :raises ApiError: 405 for other methods.
    """
    verb = _VERBS.get(request.method)
    if verb is None:
        raise method_not_allowed()
    if target.name:
        return verb
    if verb == "get":
        return "watch" if request.flag("watch") else "list"
    if verb == "delete":
        return "deletecollection"
    if verb in ("update", "patch"):
        raise method_not_allowed()
    return verb


def ensure_verb(target: Target, verb: str) -> None:
    """Refuse verbs that the kind does not have, and unsupported kinds.

    :raises ApiError: 405 or 501
    """
    ensure_served(target)
    if target.subresource:
        return
    if verb not in target.resource.verbs:
        raise method_not_allowed()
    if verb == "create" and (target.name or (target.resource.namespaced and not target.namespace)):
        raise method_not_allowed()
