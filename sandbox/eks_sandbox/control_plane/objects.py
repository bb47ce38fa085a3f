# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Helpers that inspect Kubernetes objects, for both sides of the API."""

from __future__ import annotations

import datetime
import re
import typing as t

#: A Kubernetes object, or a part of one, as JSON.
Object = dict[str, t.Any]


def timestamp(moment: datetime.datetime | None = None) -> str:
    """A point in time (default: now) the way Kubernetes writes it, in whole seconds of UTC."""
    moment = moment or datetime.datetime.now(datetime.UTC)
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime.datetime:
    """The point in time that Kubernetes wrote as ``text``."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def age(text: str) -> float:
    """Seconds since the time stamp ``text``."""
    return (datetime.datetime.now(datetime.UTC) - moment(text)).total_seconds()


def dig(value: t.Any, path: str) -> t.Any:
    """What stands at a dotted path, or None."""
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def identity(obj: Object) -> tuple[str, str]:
    """Namespace (empty for cluster-wide kinds) and name."""
    metadata = obj["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


def labels_of(obj: Object) -> dict[str, str]:
    """The labels, never None."""
    return obj.get("metadata", {}).get("labels") or {}


def is_owned_by(obj: Object, uid: str) -> bool:
    """Whether an owner reference names this uid."""
    return any(owner.get("uid") == uid for owner in obj["metadata"].get("ownerReferences") or [])


def controller_of(obj: Object) -> Object | None:
    """The owner reference of the controller that created this object."""
    owners = obj["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), None)


def condition(obj: Object, kind: str) -> Object | None:
    """The condition of this type in the object's status."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((entry for entry in conditions if entry.get("type") == kind), None)


def is_true(obj: Object, kind: str) -> bool:
    """Whether the condition of this type is True."""
    found = condition(obj, kind)
    return found is not None and found.get("status") == "True"


def is_finished(pod: Object) -> bool:
    """Whether none of a pod's containers runs any more, nor ever will."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def matches_expression(expression: Object, labels: t.Mapping[str, str]) -> bool:
    """One requirement of a label selector or of node affinity (which adds Gt and Lt)."""
    key, operator, values = expression.get("key", ""), expression.get("operator"), expression.get("values") or []
    value = labels.get(key)
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    if operator in ("Gt", "Lt") and values and value and re.fullmatch(r"-?\d+", value):
        return int(value) > int(values[0]) if operator == "Gt" else int(value) < int(values[0])
    return False


def matches_selector(selector: Object | None, labels: t.Mapping[str, str]) -> bool:
    """A LabelSelector object against labels; an empty selector matches everything, a missing one nothing."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(matches_expression(entry, labels) for entry in selector.get("matchExpressions") or [])
