# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How lists and maps of Kubernetes objects merge: the part of the OpenAPI schema that patches need.

Taken from the ``x-kubernetes-list-map-keys``, ``x-kubernetes-map-type`` and ``patchMergeKey`` marks of the core types.
"""

from __future__ import annotations

import typing as t

#: Lists whose items are identified by one key, in a strategic merge patch.
MERGE_KEYS: dict[str, str] = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "imagePullSecrets": "name",
    "secrets": "name",
    "conditions": "type",
    "ownerReferences": "uid",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "addresses": "type",
    "podIPs": "ip",
    "webhooks": "name",
}
#: The same lists for server-side apply, where some need two keys.
MAP_KEYS: dict[str, tuple[str, ...]] = {
    **{field: (key,) for field, key in MERGE_KEYS.items()},
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
#: Lists of plain values that merge as sets.
SETS = frozenset({"finalizers"})
#: Maps that belong to one owner as a whole.
ATOMIC = frozenset(
    {
        "selector",
        "nodeSelector",
        "matchLabels",
        "fieldRef",
        "resourceFieldRef",
        "configMapKeyRef",
        "secretKeyRef",
        "clientConfig",
        "labelSelector",
        "namespaceSelector",
        "objectSelector",
        "nodeSelectorTerms",
        "localObjectReference",
    }
)


def _ports_keys(items: t.Sequence[t.Any]) -> tuple[str, ...]:
    """Container ports and service ports share their field's name."""
    is_service = any(isinstance(item, dict) and "port" in item for item in items)
    return ("port", "protocol") if is_service else ("containerPort", "protocol")


def merge_key(field: str, items: t.Sequence[t.Any]) -> str | None:
    """The key of a strategic merge patch for the list in this field, or None when the list is atomic."""
    if field == "ports":
        return _ports_keys(items)[0]
    return MERGE_KEYS.get(field)


def map_keys(field: str, items: t.Sequence[t.Any]) -> tuple[str, ...] | None:
    """The keys of server-side apply for the list in this field, or None when it is atomic."""
    keys = _ports_keys(items) if field == "ports" else MAP_KEYS.get(field)
    if keys is None or not all(isinstance(item, dict) and keys[0] in item for item in items):
        return None
    return keys


def key_values(item: t.Mapping[str, t.Any], keys: t.Sequence[str]) -> dict[str, t.Any]:
    """What identifies this item; a port's default protocol is TCP."""
    values = {key: item.get(key) for key in keys}
    if values.get("protocol", "") is None:
        values["protocol"] = "TCP"
    return values
