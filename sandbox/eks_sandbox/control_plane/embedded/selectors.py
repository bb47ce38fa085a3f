# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Label and field selectors of a query string."""

from __future__ import annotations

import dataclasses
import re

from eks_sandbox.control_plane.embedded.errors import bad_request
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import dig
from eks_sandbox.control_plane.objects import labels_of
from eks_sandbox.control_plane.objects import matches_expression

_KEY = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?(/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s+\(([^()]*)\)")
_EQUALITY = re.compile(rf"({_KEY})\s*(==|=|!=)\s*(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]|)")
_COMPARISON = re.compile(rf"({_KEY})\s*([<>])\s*(-?[0-9]+)")
_PRESENCE = re.compile(rf"(!?)\s*({_KEY})")
_COMMA_OUTSIDE_PARENTHESES = re.compile(r",(?![^(]*\))")

#: The fields that kube-apiserver supports in selectors, besides metadata.name and metadata.namespace.
FIELDS: dict[str, tuple[str, ...]] = {
    "Pod": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "Event": (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "Namespace": ("status.phase",),
    "Node": ("spec.unschedulable",),
    "Secret": ("type",),
    "Job": ("status.successful",),
    "ReplicaSet": ("status.replicas",),
    "Service": ("spec.clusterIP", "spec.type"),
}


@dataclasses.dataclass(frozen=True)
class Selector:
    """Label requirements and field requirements; an object must meet all of them."""

    labels: tuple[Object, ...] = ()
    #: (path, value, whether it must be equal)
    fields: tuple[tuple[str, str, bool], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.labels or self.fields)

    def matches(self, obj: Object) -> bool:
        """Whether the object is selected."""
        labels = labels_of(obj)
        if not all(matches_expression(requirement, labels) for requirement in self.labels):
            return False
        return all((_field(obj, path) == value) == equal for path, value, equal in self.fields)


def _field(obj: Object, path: str) -> str:
    value = dig(obj, path)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def parse(resource: Resource, labels: str, fields: str) -> Selector:
    """Read both selectors of a request.

    :raises ApiError: 400 for an invalid selector.
    """
    return Selector(_parse_labels(labels), _parse_fields(resource, fields))


def _parse_labels(text: str) -> tuple[Object, ...]:
    parts = [part.strip() for part in _COMMA_OUTSIDE_PARENTHESES.split(text)] if text.strip() else []
    return tuple(_requirement(part, text) for part in parts)


def _requirement(part: str, whole: str) -> Object:
    if found := _SET.fullmatch(part):
        values = [value.strip() for value in found[6].split(",")]
        return {"key": found[1], "operator": "In" if found[5] == "in" else "NotIn", "values": values}
    if found := _EQUALITY.fullmatch(part):
        return {"key": found[1], "operator": "NotIn" if found[5] == "!=" else "In", "values": [found[6]]}
    if found := _COMPARISON.fullmatch(part):
        return {"key": found[1], "operator": "Gt" if found[5] == ">" else "Lt", "values": [found[6]]}
    if found := _PRESENCE.fullmatch(part):
        return {"key": found[2], "operator": "DoesNotExist" if found[1] else "Exists"}
    raise bad_request(f'unable to parse requirement: found "{part}" in the label selector "{whole}"')


def _parse_fields(resource: Resource, text: str) -> tuple[tuple[str, str, bool], ...]:
    requirements = []
    for part in text.split(",") if text.strip() else []:
        found = re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", part.strip())
        if not found:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        path = found[1].strip()
        if path not in ("metadata.name", "metadata.namespace", *FIELDS.get(resource.kind, ())):
            known = ", ".join(f'"{label}"' for label in ("metadata.name", "metadata.namespace"))
            special = resource.kind in FIELDS
            raise bad_request(
                f"field label not supported: {path}"
                if special
                else f'"{path}" is not a known field selector: only {known}'
            )
        requirements.append((path, found[3].strip(), found[2] != "!="))
    return tuple(requirements)
