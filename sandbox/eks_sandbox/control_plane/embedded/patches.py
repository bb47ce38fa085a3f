# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The patch types that change an object as it stands; server-side apply is in ``managed_fields``."""

from __future__ import annotations

import copy
import types
import typing as t

import jsonpatch

from eks_sandbox.control_plane.embedded.errors import ApiError
from eks_sandbox.control_plane.embedded.errors import bad_request
from eks_sandbox.control_plane.embedded.errors import too_large
from eks_sandbox.control_plane.embedded.structure import SETS
from eks_sandbox.control_plane.embedded.structure import merge_key
from eks_sandbox.control_plane.objects import Object

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
TYPES = (JSON, MERGE, APPLY, STRATEGIC)
OPERATIONS_LIMIT = 10_000

_SET_ORDER = "$setElementOrder/"
_DELETE_FROM = "$deleteFromPrimitiveList/"
_RETAIN = "$retainKeys"


def apply_patch(media_type: str, current: Object, patch: t.Any) -> Object:
    """The object after a merge, strategic merge or JSON patch.

    :raises ApiError: 400 for a patch of the wrong form, 422 for one that does not fit the object.
    """
    if media_type == JSON:
        return _json_patch(current, patch)
    if not isinstance(patch, dict):
        raise bad_request("error decoding patch: json: cannot unmarshal the patch into an object")
    if media_type == MERGE:
        return t.cast(Object, merge(current, patch))
    # A strategic merge patch is read as the kind that it changes, regardless of the kind that it names.
    return {**strategic_merge(current, patch), **{key: current[key] for key in ("apiVersion", "kind")}}


def merge(current: t.Any, patch: t.Any) -> t.Any:
    """RFC 7386: objects merge, null deletes, all else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(current) if isinstance(current, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


class _Replace(jsonpatch.ReplaceOperation):
    """kube-apiserver's library replaces a missing member, which RFC 6902 forbids."""

    def apply(self, obj: t.Any) -> t.Any:
        """The document after the operation."""
        place, part = self.pointer.to_last(obj)
        if part is not None and isinstance(place, dict):
            place[part] = self.operation["value"]
            return obj
        return super().apply(obj)


class _JsonPatch(jsonpatch.JsonPatch):
    operations = types.MappingProxyType({**jsonpatch.JsonPatch.operations, "replace": _Replace})


def _json_patch(current: Object, operations: t.Any) -> Object:
    if not isinstance(operations, list) or not all(isinstance(entry, dict) for entry in operations):
        raise bad_request("error decoding patch: json: cannot unmarshal the patch into a list of operations")
    if len(operations) > OPERATIONS_LIMIT:
        why = f"The allowed maximum operations in a JSON patch is {OPERATIONS_LIMIT}, got {len(operations)}"
        raise too_large(why)
    # A value that is not given is null.
    complete = [{"value": None, **entry} for entry in operations]
    try:
        patched = _JsonPatch(complete).apply(current, in_place=False)
    except (
        jsonpatch.JsonPatchException,
        jsonpatch.JsonPointerException,
        AttributeError,
        KeyError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        why = "the server rejected our request due to an error in our request"
        raise ApiError(422, "Invalid", why, {}) from error
    if not isinstance(patched, dict):
        raise bad_request("the patch turns the object into something else")
    return patched


def strategic_merge(current: t.Any, patch: t.Any) -> t.Any:
    """A strategic merge patch: as a merge patch, but lists with a merge key merge item by item."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    _ensure_directive(patch)
    if patch.get("$patch") == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
    merged = dict(current) if isinstance(current, dict) else {}
    if _RETAIN in patch:
        retained = _list(patch[_RETAIN])
        merged = {key: value for key, value in merged.items() if key in retained}
    for key, value in patch.items():
        _merge_field(merged, key, value, patch.get(_SET_ORDER + key))
    return merged


def _list(value: t.Any) -> list[t.Any]:
    if not isinstance(value, list):
        raise bad_request("error decoding patch: a list is expected")
    return value


def _ensure_directive(patch: Object) -> None:
    if patch.get("$patch", "merge") not in ("merge", "replace", "delete"):
        raise bad_request(f"unknown patch type: {patch['$patch']} in map: {patch}")


def _merge_field(merged: Object, key: str, value: t.Any, order: t.Any) -> None:
    if key.startswith(_SET_ORDER) or key in (_RETAIN, "$patch"):
        return
    if key.startswith(_DELETE_FROM):
        field = key.removeprefix(_DELETE_FROM)
        merged[field] = [entry for entry in _list(merged.get(field) or []) if entry not in _list(value)]
    elif value is None:
        merged.pop(key, None)
    elif isinstance(value, list):
        merged[key] = _merge_list(key, merged.get(key), value, order)
    elif isinstance(value, dict) and value.get("$patch") == "delete":
        merged.pop(key, None)
    else:
        merged[key] = strategic_merge(merged.get(key), value)


def _merge_list(field: str, current: t.Any, patch: list[t.Any], order: t.Any) -> list[t.Any]:
    known = current if isinstance(current, list) else []
    if field in SETS:
        return known + [entry for entry in patch if entry not in known]
    key = merge_key(field, [*known, *patch])
    if key is None or not all(isinstance(entry, dict) for entry in [*known, *patch]):
        return copy.deepcopy(patch)
    if any(entry.get("$patch") == "replace" for entry in patch):
        return [copy.deepcopy(entry) for entry in patch if entry.get("$patch") != "replace"]
    merged = list(known)
    for entry in patch:
        if key not in entry:
            raise bad_request(f"map: {entry} does not contain declared merge key: {key}")
        _ensure_directive(entry)
        place = next((index for index, old in enumerate(merged) if old.get(key) == entry[key]), None)
        if entry.get("$patch") == "delete":
            merged = [old for old in merged if old.get(key) != entry[key]]
        elif place is None:
            merged.append(strategic_merge({}, entry))
        else:
            merged[place] = strategic_merge(merged[place], entry)
    wanted: list[t.Any] = []
    for entry in order if isinstance(order, list) else patch:
        value = entry.get(key) if isinstance(entry, dict) else None
        if value not in wanted:
            wanted.append(value)
    return _arranged(merged, key, [old.get(key) for old in known], wanted)


def _arranged(items: list[Object], key: str, before: list[t.Any], wanted: list[t.Any]) -> list[Object]:
    """The items in the patch's order, with unnamed items at their old positions; new items come first."""
    named = [item for value in wanted for item in items if item.get(key) == value]
    others = [item for item in items if item.get(key) not in wanted]

    def place(item: Object) -> int:
        return before.index(item.get(key)) if item.get(key) in before else -1

    arranged: list[Object] = []
    while named and others:
        arranged.append((named if place(named[0]) <= place(others[0]) else others).pop(0))
    return [*arranged, *named, *others]
