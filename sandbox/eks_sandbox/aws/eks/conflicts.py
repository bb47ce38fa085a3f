# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""resolveConflicts of an add-on: what happens to fields of its objects that another manager has set.

https://docs.aws.amazon.com/eks/latest/APIReference/API_UpdateAddon.html
"""

from __future__ import annotations

import copy
import json
import re
import typing as t

from eks_sandbox.interfaces import ApplyConflict
from eks_sandbox.interfaces import ClusterRuntime

Object = dict[str, t.Any]
_STEP = re.compile(r"\.([^.\[]+)|\[([^\]]+)\]")


async def apply(runtime: ClusterRuntime, manifests: t.Sequence[Object], resolve: str) -> None:
    """Apply an add-on's objects.

    OVERWRITE: the add-on's values win. PRESERVE: the existing values stay. NONE: raises ApplyConflict.
    """
    if resolve == "OVERWRITE":
        await runtime.apply(manifests)
        return
    try:
        await runtime.apply(manifests, force=False)
    except ApplyConflict as conflict:
        if resolve != "PRESERVE":
            raise
        await runtime.apply([_without(manifest, conflict) for manifest in manifests], force=False)


def message(conflict: ApplyConflict) -> str:
    """A conflict in the words of EKS."""
    lines = [
        f"{kind}{'.apps' if kind in ('DaemonSet', 'Deployment') else ''} {name} - {field}"
        for (kind, _namespace, name), fields in conflict.fields.items()
        for field in fields
    ]
    words = "Conflicts found when trying to apply. Will not continue due to resolve conflicts mode. Conflicts:"
    return "\n".join([words, *lines])


def _without(manifest: Object, conflict: ApplyConflict) -> Object:
    """The object without the fields that others manage."""
    metadata = manifest["metadata"]
    key = (manifest["kind"], metadata.get("namespace", ""), metadata["name"])
    reduced = copy.deepcopy(manifest)
    for path in conflict.fields.get(key, ()):
        _remove(reduced, [plain or selector for plain, selector in _STEP.findall(path)])
    return reduced


def _remove(value: t.Any, steps: list[str]) -> None:
    """Delete what a path leads to; steps are names of members or selectors of list items, such as ``name="a"``."""
    *way, last = steps
    for step in way:
        value = _member(value, step)
    if isinstance(value, dict):
        value.pop(last, None)
    elif isinstance(value, list):
        value.remove(_member(value, last))


def _member(value: t.Any, step: str) -> t.Any:
    if isinstance(value, dict):
        return value[step]
    wanted = {name: json.loads(text) for name, text in (part.split("=", 1) for part in step.split(","))}
    return next(item for item in value if all(item.get(name) == found for name, found in wanted.items()))
