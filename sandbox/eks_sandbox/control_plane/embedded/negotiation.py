# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The form of an answer: JSON or YAML, complete, as a Table, or the metadata alone."""

from __future__ import annotations

import dataclasses

from eks_sandbox.control_plane.embedded.errors import ApiError
from eks_sandbox.control_plane.embedded.errors import bad_request
from eks_sandbox.control_plane.embedded.requests import Request
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.embedded.tables import table
from eks_sandbox.control_plane.objects import Object

JSON, YAML = "application/json", "application/yaml"
_ANY = ("*/*", "application/*")
_FORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
_INCLUDES = ("", "Metadata", "Object", "None")


@dataclasses.dataclass(frozen=True)
class Form:
    """One form of an answer."""

    media_type: str = JSON
    #: ``Table``, ``PartialObjectMetadata``, ``PartialObjectMetadataList``, or empty for the object as it is.
    shape: str = ""
    #: The requested version of meta.k8s.io.
    version: str = "v1"
    #: What the rows of a table carry.
    include: str = "Metadata"

    @property
    def api_version(self) -> str:
        """Of the shape."""
        return f"meta.k8s.io/{self.version}"

    def one(self, resource: Resource, obj: Object) -> Object:
        """One object in this form."""
        if self.shape == "Table":
            metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            return {**table(resource, [obj], metadata, self.include), "apiVersion": self.api_version}
        return self._metadata(obj) if self.shape == "PartialObjectMetadata" else obj

    def many(self, resource: Resource, found: list[Object], metadata: Object) -> Object:
        """A list in this form."""
        if self.shape == "Table":
            return {**table(resource, found, metadata, self.include), "apiVersion": self.api_version}
        if self.shape == "PartialObjectMetadataList":
            items = [self._metadata(obj) for obj in found]
            return {"kind": self.shape, "apiVersion": self.api_version, "metadata": metadata, "items": items}
        # Items of a list carry neither kind nor version, as in kube-apiserver.
        items = [{key: value for key, value in obj.items() if key not in ("kind", "apiVersion")} for obj in found]
        kind = f"{resource.kind}List"
        return {"kind": kind, "apiVersion": resource.api_version, "metadata": metadata, "items": items}

    def _metadata(self, obj: Object) -> Object:
        return {"kind": "PartialObjectMetadata", "apiVersion": self.api_version, "metadata": obj["metadata"]}


def negotiate(request: Request) -> Form:
    """The first form of the Accept header that is served here.

    :raises ApiError: 406 if there is none, 400 for an unknown kind of rows.
    """
    include = request.value("includeObject")
    accept = request.headers.get("accept", "") or JSON
    for clause in sorted(accept.split(","), key=_quality, reverse=True):
        form = _form(clause, include)
        if form is not None:
            if form.shape == "Table" and include not in _INCLUDES:
                why = f"includeObject: Invalid value: \"{include}\": must be 'Metadata', 'Object', 'None', or empty"
                raise bad_request(f"Unable to convert to Table as requested: {why}")
            return form
    raise ApiError(406, "NotAcceptable", f"only the following media types are accepted: {JSON}, {YAML}", {})


def _parameters(clause: str) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in clause.split(";")[1:])
    return {name: value for name, _, value in pairs}


def _quality(clause: str) -> float:
    try:
        return float(_parameters(clause).get("q", "1"))
    except ValueError:
        return 0.0


def _form(clause: str, include: str) -> Form | None:
    media_type, parameters = clause.partition(";")[0].strip().lower(), _parameters(clause)
    if media_type in _ANY:
        media_type = JSON
    if media_type not in (JSON, YAML):
        return None
    if "as" not in parameters:
        return Form(media_type)
    shape, version = parameters["as"], parameters.get("v", "")
    if shape not in _FORMS or parameters.get("g") != "meta.k8s.io" or version not in ("v1", "v1beta1"):
        return None
    return Form(media_type, shape, version, include or "Metadata")
