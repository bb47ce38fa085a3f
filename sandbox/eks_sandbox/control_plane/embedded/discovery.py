# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The discovery of the server: versions, groups, kinds, keys."""

from __future__ import annotations

import platform

from eks_sandbox.control_plane.embedded import openapi
from eks_sandbox.control_plane.embedded import resources
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.embedded.tokens import Tokens
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import timestamp

#: Kind, group and verbs of the subresources; ``status`` has the kind of its resource.
_SUBRESOURCES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "token": ("TokenRequest", resources.AUTHENTICATION, ("create",)),
    "exec": ("PodExecOptions", "", ("create", "get")),
    "attach": ("PodAttachOptions", "", ("create", "get")),
    "log": ("Pod", "", ("get",)),
    "scale": ("Scale", "autoscaling", ("get", "patch", "update")),
    "binding": ("Binding", "", ("create",)),
    "eviction": ("Eviction", "policy", ("create",)),
    "finalize": ("Namespace", "", ("update",)),
}
_STATUS_VERBS = ("get", "patch", "update")


class Discovery:
    """Answers the non-resource paths."""

    def __init__(self, version: str, tokens: Tokens) -> None:
        self._started = timestamp()
        self._version = version
        self._tokens = tokens

    def answer(self, path: str) -> Object | None:
        """The document at a path, or None if there is none."""
        path = path.rstrip("/") or "/"
        fixed = {
            "/": self._paths,
            "/version": self._server_version,
            "/api": self._core,
            "/apis": self._groups,
            "/openid/v1/jwks": self._tokens.key_set,
            "/.well-known/openid-configuration": self._tokens.discovery,
        }
        if path in fixed:
            return fixed[path]()
        if path == openapi.PREFIX or path.startswith(f"{openapi.PREFIX}/"):
            return openapi.answer(path)
        if path == "/api/v1":
            return _resource_list("")
        parts = path.split("/")
        if path.startswith("/apis/") and parts[2] in resources.groups():
            if len(parts) == 3:
                return {"kind": "APIGroup", "apiVersion": "v1", **_group(parts[2])}
            if parts[3:] == ["v1"]:
                return _resource_list(parts[2])
        return None

    def _paths(self) -> Object:
        versions = [path for group in resources.groups() for path in (f"/apis/{group}", f"/apis/{group}/v1")]
        return {"paths": ["/api", "/api/v1", "/apis", *versions, "/healthz", "/livez", "/readyz", "/version"]}

    def _server_version(self) -> Object:
        major, _, minor = self._version.partition(".")
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        return {
            "major": major,
            "minor": minor,
            "gitVersion": f"v{self._version}.0-eks-sandbox",
            "gitCommit": "0000000000000000000000000000000000000000",
            "gitTreeState": "clean",
            "buildDate": self._started,
            "goVersion": "go0.0",
            "compiler": "gc",
            "platform": f"linux/{machine}",
        }

    @staticmethod
    def _core() -> Object:
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}

    @staticmethod
    def _groups() -> Object:
        groups = [_group(name) for name in resources.groups()]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _group(name: str) -> Object:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def _resource_list(group: str) -> Object:
    served = [resource for resource in resources.REGISTRY if resource.group == group]
    entries = [entry for resource in served for entry in _entries(resource)]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": served[0].api_version, "resources": entries}


def _entries(resource: Resource) -> list[Object]:
    entry: Object = {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    return [entry, *(_subresource(resource, name) for name in resource.subresources)]


def _subresource(resource: Resource, name: str) -> Object:
    kind, group, verbs = _SUBRESOURCES.get(name, (resource.kind, "", _STATUS_VERBS))
    entry: Object = {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": kind,
        "verbs": list(verbs),
    }
    if group:
        entry |= {"group": group, "version": "v1"}
    return entry
