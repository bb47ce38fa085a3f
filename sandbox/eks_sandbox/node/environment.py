# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The environment of a container, and the paths in it."""

from __future__ import annotations

import base64
import dataclasses
import pathlib
import re
import typing as t

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import dig
from eks_sandbox.node.client import CONFIG_MAPS
from eks_sandbox.node.client import SECRETS
from eks_sandbox.node.client import Client
from eks_sandbox.node.client import Collection

_REFERENCE = re.compile(r"\$\$|\$\(([^()]+)\)")
_SUBSCRIPT = re.compile(r"(metadata\.(?:labels|annotations))\['([^']+)'\]")


class ConfigurationError(Exception):
    """The pod refers to an object that does not exist (``CreateContainerConfigError``)."""


@dataclasses.dataclass(frozen=True)
class Translation:
    """Translates a pod's specification for a process of this machine.

    A pod without its own mount namespace sees the node's file system, so mount paths become real paths.
    """

    #: (text in the specification, text for the process), longest first.
    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, replacements: t.Mapping[str, str]) -> Translation:
        """Longer texts win over their own beginnings."""
        return cls(tuple(sorted(replacements.items(), key=_by_length, reverse=True)))

    def __call__(self, text: str) -> str:
        """The text with every mount path and address replaced, where it stands as a whole path."""
        if not self.pairs:
            return text
        wanted = "|".join(re.escape(old) for old, _ in self.pairs)
        known = dict(self.pairs)

        def replaced(found: re.Match[str]) -> str:
            return known[found[0]]

        return re.sub(rf"(?<![\w.\-/])(?:{wanted})(?![\w.\-])", replaced, text)


def _by_length(pair: tuple[str, str]) -> int:
    return len(pair[0])


async def content_of(client: Client, collection: Collection, namespace: str, name: str) -> dict[str, bytes] | None:
    """The keys of a ConfigMap or Secret, or None when there is none."""
    obj = await client.get(collection, namespace, name)
    if obj is None:
        return None
    if collection is SECRETS:
        return {key: base64.b64decode(value) for key, value in (obj.get("data") or {}).items()}
    texts = {key: value.encode() for key, value in (obj.get("data") or {}).items()}
    binaries = {key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}
    return texts | binaries


def field_of(pod: Object, path: str) -> str:
    """The value of a ``fieldRef``."""
    if found := _SUBSCRIPT.fullmatch(path):
        return str((dig(pod, found[1]) or {}).get(found[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        return "\n".join(f'{key}="{value}"' for key, value in sorted((dig(pod, path) or {}).items()))
    if path == "status.podIPs":
        return ",".join(entry["ip"] for entry in dig(pod, path) or [])
    return str(dig(pod, path) or "")


def expand(text: str, variables: t.Mapping[str, str]) -> str:
    """``$(NAME)`` becomes the variable's value, ``$$`` a dollar; unknown names stay as they are."""

    def replaced(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return variables.get(found[1], found[0])

    return _REFERENCE.sub(replaced, text)


async def variables_of(client: Client, pod: Object, container: Object) -> dict[str, str]:
    """The container's own variables: ``envFrom`` first, then ``env`` in its order.

    :raises ConfigurationError: a ConfigMap, Secret or key does not exist and is not optional.
    """
    namespace = pod["metadata"]["namespace"]
    variables: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        collection, reference = _source(source, "configMapRef", "secretRef")
        content = await _content(client, collection, namespace, reference)
        prefix = source.get("prefix", "")
        variables |= {prefix + key: value.decode(errors="replace") for key, value in content.items()}
    for entry in container.get("env") or []:
        value = await _value(client, pod, container, entry)
        if value is not None:
            variables[entry["name"]] = expand(value, variables)
    return variables


async def _value(client: Client, pod: Object, container: Object, entry: Object) -> str | None:
    source = entry.get("valueFrom")
    if not source:
        return str(entry.get("value") or "")
    if reference := source.get("fieldRef"):
        return field_of(pod, reference["fieldPath"])
    if reference := source.get("resourceFieldRef"):
        return str(dig(container, f"resources.{reference['resource']}") or "0")
    collection, reference = _source(source, "configMapKeyRef", "secretKeyRef")
    content = await _content(client, collection, pod["metadata"]["namespace"], reference)
    if reference["key"] in content:
        return content[reference["key"]].decode(errors="replace")
    if reference.get("optional"):
        return None
    kind = "secret" if collection is SECRETS else "configmap"
    raise ConfigurationError(
        f"couldn't find key {reference['key']} in {kind} {pod['metadata']['namespace']}/{reference['name']}"
    )


def _source(source: Object, config_map: str, secret: str) -> tuple[Collection, Object]:
    if config_map in source:
        return CONFIG_MAPS, source[config_map]
    return SECRETS, source[secret]


async def _content(client: Client, collection: Collection, namespace: str, reference: Object) -> dict[str, bytes]:
    content = await content_of(client, collection, namespace, reference["name"])
    if content is None and not reference.get("optional"):
        kind = "secret" if collection is SECRETS else "configmap"
        raise ConfigurationError(f'{kind} "{reference["name"]}" not found')
    return content or {}


def inside(folder: pathlib.Path, relative: str) -> pathlib.Path:
    """A path below a folder.

    :raises ConfigurationError: the path leads out of it.
    """
    path = folder.joinpath(relative.lstrip("/"))
    if ".." in pathlib.PurePosixPath(relative).parts:
        raise ConfigurationError(f'the path "{relative}" may not contain ".."')
    return path
