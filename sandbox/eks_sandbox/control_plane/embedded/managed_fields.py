# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The owners of fields: ``metadata.managedFields`` and server-side apply.

A field's path is a tuple of the elements that FieldsV1 uses: ``f:<name>``, ``k:<keys>`` for an item of a keyed list,
``v:<value>`` for an item of a set.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import typing as t

from eks_sandbox.control_plane.embedded.errors import ApiError
from eks_sandbox.control_plane.embedded.structure import ATOMIC
from eks_sandbox.control_plane.embedded.structure import SETS
from eks_sandbox.control_plane.embedded.structure import key_values
from eks_sandbox.control_plane.embedded.structure import map_keys
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import timestamp

Path = tuple[str, ...]

#: Fields whose value is a map of free keys, or a structure that may be absent as a whole.
_MAPS = frozenset({"f:annotations", "f:binaryData", "f:data", "f:labels", "f:limits", "f:requests", "f:rollingUpdate"})
#: A list that every pod has, so that no manager adds it.
_ALWAYS_THERE = "f:containers"

#: Fields without an owner, because the API server itself writes them.
_UNOWNED_METADATA = frozenset(
    {
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "selfLink",
    }
)


@dataclasses.dataclass(frozen=True)
class Manager:
    """The manager that writes, and how it writes."""

    name: str
    operation: t.Literal["Apply", "Update"]
    api_version: str
    subresource: str = ""

    def wrote(self, entry: Object) -> bool:
        """Whether this entry of managedFields is this manager's."""
        return (entry.get("manager"), entry.get("operation"), entry.get("subresource", "")) == (
            self.name,
            self.operation,
            self.subresource,
        )


def leaves(obj: Object, subresource: str = "") -> dict[Path, t.Any]:
    """Every field that a writer of the object, or of its status, can own, with its value."""
    found: dict[Path, t.Any] = {}
    unowned = ("apiVersion", "kind", "spec") if subresource == "status" else ("apiVersion", "kind", "status")
    for key, value in obj.items():
        if key in unowned:
            continue
        owned = value
        if key == "metadata":
            owned = {name: entry for name, entry in value.items() if name not in _UNOWNED_METADATA}
        if key != "metadata" or owned:
            _collect(found, (f"f:{key}",), key, owned)
    return found


def _collect(found: dict[Path, t.Any], path: Path, field: str, value: t.Any) -> None:
    if isinstance(value, dict) and value and field not in ATOMIC:
        for key, entry in value.items():
            _collect(found, (*path, f"f:{key}"), key, entry)
    elif isinstance(value, list) and value and field in SETS:
        for entry in value:
            found[(*path, f"v:{json.dumps(entry)}")] = entry
    elif isinstance(value, list) and value and (keys := map_keys(field, value)):
        for entry in value:
            place = (*path, _item(entry, keys))
            found[place] = None
            for key, inner in entry.items():
                _collect(found, (*place, f"f:{key}"), key, inner)
    else:
        found[path] = value


def _item(entry: Object, keys: t.Sequence[str]) -> str:
    return "k:" + json.dumps(key_values(entry, keys), separators=(",", ":"), sort_keys=True)


def encode(paths: t.Iterable[Path]) -> Object:
    """FieldsV1 of a set of paths."""
    encoded: Object = {}
    ordered = sorted(paths)
    containers = {path[:length] for path in ordered for length in range(1, len(path))}
    for path in ordered:
        place = encoded
        for element in path:
            place = place.setdefault(element, {})
        if path[-1].startswith("k:") or path in containers:
            place["."] = {}
    return encoded


def decode(fields: Object, above: Path = ()) -> set[Path]:
    """The paths of a FieldsV1."""
    found: set[Path] = set()
    for element, inner in fields.items():
        if element == ".":
            found.add(above)
            continue
        path = (*above, element)
        below = decode(inner, path) if inner else set()
        found |= below or {path}
    return found


def _entry(manager: Manager, paths: t.Iterable[Path]) -> Object:
    entry: Object = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": manager.api_version,
        "time": timestamp(),
        "fieldsType": "FieldsV1",
        "fieldsV1": encode(paths),
    }
    if manager.subresource:
        entry["subresource"] = manager.subresource
    return entry


def _entries(obj: Object | None) -> list[Object]:
    return list(((obj or {}).get("metadata") or {}).get("managedFields") or [])


def with_entries(obj: Object, entries: list[Object]) -> Object:
    """The object with these managedFields."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    if entries:
        metadata["managedFields"] = sorted(entries, key=_order)
    return {**obj, "metadata": metadata}


def _order(entry: Object) -> tuple[str, ...]:
    fields = ("operation", "time", "manager", "apiVersion", "subresource")
    return tuple(str(entry.get(field, "")) for field in fields)


def record_update(old: Object | None, new: Object, manager: Manager) -> Object:
    """``new`` with the fields that changed since ``old`` owned by this manager."""
    if (new["metadata"].get("managedFields") or [None])[0] == {}:
        # Clients send a list that begins with an empty entry to remove all owners.
        return with_entries(new, [])
    part = manager.subresource
    before, after = leaves(old, part) if old else {}, leaves(new, part)
    changed = {path for path, value in after.items() if path not in before or before[path] != value}
    changed |= _new_containers(before, changed)
    gone = before.keys() - after.keys()
    entries, own = [], set(changed)
    for entry in _entries(old):
        held = decode(entry["fieldsV1"])
        if manager.wrote(entry):
            own |= held - gone
        elif kept := held - changed - gone:
            # An owner whose fields did not change keeps its entry as it is, its time included.
            entries.append(entry if kept == held else {**entry, "fieldsV1": encode(kept)})
    if own:
        unchanged = next((entry for entry in _entries(old) if manager.wrote(entry)), None)
        same = unchanged is not None and decode(unchanged["fieldsV1"]) == own and not changed
        entries.append(unchanged if same and unchanged else _entry(manager, own))
    return with_entries(new, entries)


def _new_containers(before: t.Iterable[Path], changed: t.Iterable[Path]) -> set[Path]:
    """The new maps and keyed lists around new fields; the manager that created them owns them too."""
    known = {path[:length] for path in before for length in range(1, len(path))}
    above = {path[:length] for path in changed for length in range(1, len(path))} - known
    lists = {path[:-1] for path in (*above, *changed) if path[-1].startswith("k:")}
    return {path for path in above if path[-1] in _MAPS or (path in lists and path[-1] != _ALWAYS_THERE)}


def apply(live: Object | None, config: Object, manager: Manager, *, force: bool) -> Object:
    """The object after server-side apply.

    :raises ApiError: 409 when other managers own fields that ``config`` would change, and ``force`` is not given.
    """
    wanted = leaves(config, manager.subresource)
    if live is None:
        return with_entries(config, [_entry(manager, wanted)])
    current = leaves(live, manager.subresource)
    changing = {path for path, value in wanted.items() if path in current and current[path] != value}
    others = [(entry, decode(entry["fieldsV1"])) for entry in _entries(live) if not manager.wrote(entry)]
    clashes = [(entry, sorted(held & changing)) for entry, held in others if held & changing]
    if clashes and not force:
        raise _conflicts(clashes, manager)
    merged = _merge(live, config)
    held_by_others = set().union(*(held - changing for _, held in others)) if others else set()
    mine = next((decode(entry["fieldsV1"]) for entry in _entries(live) if manager.wrote(entry)), set())
    # Remove an item of a list before its fields, because their values identify it.
    for path in sorted(mine - wanted.keys() - held_by_others, key=len):
        remove(merged, path)
    entries = [
        entry if not held & changing else {**entry, "fieldsV1": encode(held - changing)}
        for entry, held in others
        if held - changing
    ]
    previous = next((entry for entry in _entries(live) if manager.wrote(entry)), None)
    keeps = previous is not None and mine == wanted.keys() and not changing
    return with_entries(merged, [*entries, previous if keeps and previous else _entry(manager, wanted)])


def _merge(live: t.Any, config: t.Any, field: str = "") -> t.Any:
    if isinstance(live, dict) and isinstance(config, dict) and field not in ATOMIC:
        merged = dict(live)
        for key, value in config.items():
            merged[key] = _merge(live.get(key), value, key)
        return merged
    if isinstance(live, list) and isinstance(config, list):
        if field in SETS:
            return live + [entry for entry in config if entry not in live]
        if keys := map_keys(field, [*live, *config]):
            return _merge_items(live, config, keys)
    return copy.deepcopy(config)


def _merge_items(live: list[Object], config: list[Object], keys: t.Sequence[str]) -> list[Object]:
    merged = list(live)
    for entry in config:
        key = _item(entry, keys)
        place = next((index for index, old in enumerate(merged) if _item(old, keys) == key), None)
        if place is None:
            merged.append(copy.deepcopy(entry))
        else:
            merged[place] = _merge(merged[place], entry)
    return merged


def remove(obj: Object, path: Path) -> None:
    """Take a field out of the object (whose containers may be shared: they are copied on the way)."""
    place: t.Any = obj
    for element in path[:-1]:
        place = _step(place, element)
        if place is None:
            return
    last = path[-1]
    if last.startswith("f:") and isinstance(place, dict):
        place.pop(last[2:], None)
    elif isinstance(place, list):
        wanted = json.loads(last[2:])
        place[:] = [entry for entry in place if not _is_item(entry, wanted, last)]


def _step(place: t.Any, element: str) -> t.Any:
    """One element down, through a copy of the existing content."""
    if element.startswith("f:") and isinstance(place, dict):
        key = element[2:]
        if isinstance(place.get(key), dict | list):
            place[key] = copy.copy(place[key])
            return place[key]
    elif element.startswith("k:") and isinstance(place, list):
        wanted = json.loads(element[2:])
        for index, entry in enumerate(place):
            if _is_item(entry, wanted, element):
                place[index] = dict(entry)
                return place[index]
    return None


def _is_item(entry: t.Any, wanted: t.Any, element: str) -> bool:
    if element.startswith("v:"):
        return bool(entry == wanted)
    return isinstance(entry, dict) and key_values(entry, list(wanted)) == wanted


def shown(path: Path) -> str:
    """A path as messages show it: ``.spec.containers[name="c"].image``."""
    text = ""
    for element in path:
        if element.startswith("f:"):
            text += f".{element[2:]}"
        elif element.startswith("k:"):
            keys = json.loads(element[2:])
            text += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in keys.items()) + "]"
        else:
            text += f"[={element[2:]}]"
    return text


def _conflicts(clashes: list[tuple[Object, list[Path]]], manager: Manager) -> ApiError:
    causes, lines = [], []
    for entry, paths in clashes:
        who = f'"{entry["manager"]}"'
        if entry.get("subresource"):
            who += f' with subresource "{entry["subresource"]}"'
        if entry["operation"] == "Update" or entry["apiVersion"] != manager.api_version:
            who += f" using {entry['apiVersion']}"
        causes += [
            {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": shown(path)}
            for path in paths
        ]
        if len(paths) == 1:
            lines.append(f"conflict with {who}: {shown(paths[0])}")
        else:
            lines.append(f"conflicts with {who}:\n" + "\n".join(f"- {shown(path)}" for path in paths))
    count = len(causes)
    message = f"Apply failed with {count} conflict{'s' if count > 1 else ''}: " + "\n".join(lines)
    return ApiError(409, "Conflict", message, {"causes": causes})
