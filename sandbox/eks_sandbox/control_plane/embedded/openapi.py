# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""OpenAPI v3, as far as clients read it before they write: which paths take which parameters.

kubectl checks whether the server validates fields (``fieldValidation``) and then validates nothing itself.
Schemas of the kinds are not served, so ``kubectl explain`` has nothing to show.
"""

from __future__ import annotations

from eks_sandbox.control_plane.embedded import resources
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.objects import Object

PREFIX = "/openapi/v3"
_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation", "force", "pretty")


def _group_versions() -> dict[str, list[Resource]]:
    found: dict[str, list[Resource]] = {}
    for resource in resources.REGISTRY:
        place = f"apis/{resource.api_version}" if resource.group else f"api/{resource.api_version}"
        found.setdefault(place, []).append(resource)
    return found


def answer(path: str) -> Object | None:
    """The document at a path below ``/openapi/v3``, or None if there is none."""
    found = _group_versions()
    if path == PREFIX:
        return {"paths": {place: {"serverRelativeURL": f"{PREFIX}/{place}"} for place in found}}
    place = path.removeprefix(f"{PREFIX}/")
    if place not in found:
        return None
    paths = dict(_path(place, resource) for resource in found[place])
    information = {"title": "Kubernetes", "version": "v1"}
    return {"openapi": "3.0.0", "info": information, "paths": paths, "components": {"schemas": {}}}


def _path(place: str, resource: Resource) -> tuple[str, Object]:
    namespace = "namespaces/{namespace}/" if resource.namespaced else ""
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    parameters = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in _PARAMETERS]
    operations: Object = {}
    for method, verb in (("patch", "patch"), ("put", "update")):
        if verb in resource.verbs:
            action = {"x-kubernetes-action": method, "x-kubernetes-group-version-kind": kind}
            operations[method] = {**action, "parameters": parameters, "responses": {"200": {"description": "OK"}}}
    return f"/{place}/{namespace}{resource.plural}/{{name}}", operations
