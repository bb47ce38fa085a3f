# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The settings of a node group that can change in place: what becomes of them, and what EKS is told.

All of it works on node groups as our modules return them.
"""

from __future__ import annotations

import typing as t

from ansible.module_utils.common.dict_transformations import snake_dict_to_camel_dict

Nodegroup = t.Mapping[str, t.Any]
Taint = t.Mapping[str, t.Any]
Settings = t.Mapping[str, t.Any]

#: The taint of a group that gives way to another: what is evicted from its nodes must not come back to them.
LEAVING: Taint = {"key": "podidentity.eks/replaced", "effect": "NO_SCHEDULE"}
#: EKS's own choices, which it does not always tell.
DEFAULTS = {"update_strategy": "DEFAULT", "enabled": False}


def scaled(old: Settings | None, declared: Settings | None) -> dict[str, int] | None:
    """The sizes that it will have. A desired size that is not declared belongs to others (an autoscaler): it moves only
    where the new limits leave it no choice."""
    if not declared:
        return None if old is None else dict(old)
    new: dict[str, int] = {**(old or {}), **declared}
    if "desired_size" not in declared and old:
        new["desired_size"] = min(max(old["desired_size"], new["min_size"]), new["max_size"])
    return new


def first_scaling(declared: Settings | None) -> dict[str, int] | None:
    """The sizes of a new group, which begins with its fewest nodes."""
    return None if declared is None else {"desired_size": declared["min_size"], **declared}


def merged(old: Settings | None, declared: Settings | None, rivals: t.Iterable[t.Sequence[str]]) -> dict[str, t.Any]:
    """Settings after what is declared has replaced them; of rivals, which exclude each other, the declared one stays.

    What only says EKS's default is no difference.
    """
    old, declared = old or {}, declared or {}
    losers = {key for pair in rivals if any(key in declared for key in pair) for key in pair}
    changed = {key: value for key, value in declared.items() if _unordered(value) != _unordered(_known(old, key))}
    return {**{key: value for key, value in old.items() if key not in losers or key in declared}, **changed}


def _known(old: Settings, key: str) -> t.Any:
    return old.get(key, DEFAULTS.get(key))


def _unordered(value: t.Any) -> t.Any:
    return sorted(map(str, value)) if isinstance(value, list) else value


def tainted(old: t.Sequence[Taint], declared: t.Sequence[Taint] | None) -> list[dict[str, t.Any]]:
    """The taints that it will have; as they are when only their order differs. That of a group which was to give way,
    and now is the one to stay, goes."""
    if declared is None:
        return [dict(taint) for taint in old if taint_key(taint) != taint_key(LEAVING)]
    return [dict(taint) for taint in (old if taint_values(declared) == taint_values(old) else declared)]


def label_parameters(old: t.Mapping[str, str], new: t.Mapping[str, str]) -> dict[str, t.Any]:
    """What UpdateNodegroupConfig is told of the way from the old labels to the new ones."""
    changed = {key: value for key, value in new.items() if old.get(key) != value}
    return _unless_empty("labels", {"addOrUpdateLabels": changed, "removeLabels": sorted(set(old) - set(new))})


def taint_parameters(old: t.Sequence[Taint], new: t.Sequence[Taint]) -> dict[str, t.Any]:
    """What UpdateNodegroupConfig is told of the way from the old taints to the new ones."""
    old_values, new_values = taint_values(old), taint_values(new)
    changed = [dict(taint) for taint in new if old_values.get(taint_key(taint)) != (taint.get("value") or "")]
    removed = [dict(taint) for taint in old if taint_key(taint) not in new_values]
    return _unless_empty("taints", {"addOrUpdateTaints": changed, "removeTaints": removed})


def _unless_empty(name: str, payload: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    filled = {key: value for key, value in payload.items() if value}
    return {name: filled} if filled else {}


def taint_key(taint: Taint) -> tuple[str, str]:
    """What tells taints apart."""
    return taint["key"], taint["effect"]


def taint_values(taints: t.Sequence[Taint]) -> dict[tuple[str, str], str]:
    """The values of taints; none is the same as an empty one."""
    return {taint_key(taint): taint.get("value") or "" for taint in taints}


def parameters(settings: Settings | None) -> dict[str, t.Any] | None:
    """Settings as the API spells them, None when there are none."""
    return snake_dict_to_camel_dict(dict(settings)) if settings else None
