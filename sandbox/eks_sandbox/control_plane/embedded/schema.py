# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The types of fields, by the pydantic models of the official Kubernetes client."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import functools
import importlib
import threading
import typing as t

from eks_sandbox.control_plane.embedded.errors import Cause
from eks_sandbox.control_plane.embedded.errors import UndecodableError
from eks_sandbox.control_plane.embedded.errors import required
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.objects import Object

_GO_TYPES = {str: "string", int: "number", float: "number", bool: "bool", list: "array", dict: "object"}
_QUANTITIES = ("limits", "requests", "capacity", "allocatable", "sizeLimit", "divisor")
_TEXT_MAPS = ("annotations", "data", "labels", "matchLabels", "nodeSelector", "stringData")
#: The models that any cluster needs first.
_PRELOADED = ("V1Namespace", "V1Node", "V1ServiceAccount", "V1MutatingWebhookConfiguration", "V1Pod", "V1DaemonSet")


@functools.cache
def _loading() -> concurrent.futures.Future[None]:
    """The models take about a second to import, so that happens once, beside the start of the first cluster."""
    done: concurrent.futures.Future[None] = concurrent.futures.Future()

    def load() -> None:
        try:
            for name in _PRELOADED:
                _model(name)
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=load, name="kubernetes-models", daemon=True).start()
    return done


def preload() -> None:
    """Begin to load the models in the background."""
    _loading()


async def ready() -> None:
    """Wait until the models are loaded."""
    await asyncio.wrap_future(_loading())


def _model(name: str) -> t.Any:
    return getattr(importlib.import_module("kubernetes.client"), name)


@dataclasses.dataclass(frozen=True)
class Checked:
    """What the models found."""

    #: Dotted paths of fields that the kind does not have; they have been taken out of the object.
    unknown: list[str]
    #: Missing required fields.
    missing: list[Cause]


def without_nulls(value: t.Any, field: str = "") -> t.Any:
    """Go reads null as absent, and as the empty text in a map of texts."""
    if isinstance(value, dict):
        if field in _TEXT_MAPS:
            return {key: "" if entry is None else entry for key, entry in value.items()}
        return {key: without_nulls(entry, key) for key, entry in value.items() if entry is not None}
    if isinstance(value, list):
        return [without_nulls(entry) for entry in value]
    return value


def check(resource: Resource, obj: Object) -> Checked:
    """Compare the object with its kind's model; unknown fields are removed in place.

    :raises ApiError: 400 where a field has the wrong type, as kube-apiserver's JSON decoder does.
    """
    model = _model(resource.model_name)
    found = Checked([], [])
    try:
        model.model_validate(obj)
    except (RecursionError, OverflowError) as error:
        raise UndecodableError("the object is nested too deeply") from error
    except ValueError as error:
        errors = getattr(error, "errors", None)
        if errors is None:
            raise UndecodableError(f"{resource.kind} cannot be decoded: {error}") from error
        for entry in errors(include_url=False):
            _sort(resource, obj, entry, found)
    return found


def _sort(resource: Resource, obj: Object, entry: t.Mapping[str, t.Any], found: Checked) -> None:
    path, kind = tuple(entry["loc"]), str(entry["type"])
    if kind == "missing":
        found.missing.append(required(shown(path)))
    elif kind == "extra_forbidden":
        found.unknown.append(shown(path))
        _take_out(obj, path)
    elif kind == "string_type" and _is_quantity(path, entry["input"]):
        _replace(obj, path, str(entry["input"]))
    else:
        value = _GO_TYPES.get(type(entry["input"]), "value")
        target = f"{resource.kind}.{shown(path)}"
        raise UndecodableError(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
            f"json: cannot unmarshal {value} into Go struct field {target}: {entry['msg']}"
        )


def _is_quantity(path: tuple[t.Any, ...], value: t.Any) -> bool:
    """Go reads ``cpu: 1`` as the quantity "1"; the models require a string."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and any(element in _QUANTITIES for element in path)


def _take_out(obj: t.Any, path: tuple[t.Any, ...]) -> None:
    for element in path[:-1]:
        obj = obj[element]
    obj.pop(path[-1], None)


def _replace(obj: t.Any, path: tuple[t.Any, ...], value: str) -> None:
    for element in path[:-1]:
        obj = obj[element]
    obj[path[-1]] = value


def shown(path: t.Sequence[str | int]) -> str:
    """A path as messages show it: ``spec.containers[0].name``."""
    text = ""
    for element in path:
        text += f"[{element}]" if isinstance(element, int) else f".{element}"
    return text.removeprefix(".")
