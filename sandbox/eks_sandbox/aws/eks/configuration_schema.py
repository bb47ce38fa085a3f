# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a JSON schema does not allow, in the words of EKS, whose validator is Java's com.networknt.

Only the keywords that the schemas of the catalogue use are known; another one in a schema raises KeyError.
"""

from __future__ import annotations

import typing as t

from eks_sandbox.aws.eks.state import Shape

_ANNOTATIONS = {"$schema", "$ref", "definitions", "title", "description", "format"}


def problems(schema: Shape, value: t.Any) -> list[str]:
    """Every problem with its path, such as ``$.tolerations: object found, array expected``."""
    return _problems(schema, schema, value, "$")


def _problems(root: Shape, schema: Shape, value: t.Any, path: str) -> list[str]:
    if "$ref" in schema:
        return _problems(root, root["definitions"][schema["$ref"].rsplit("/", 1)[-1]], value, path)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is_type(kind, value) for kind in kinds):
        wanted = kinds[0] if len(kinds) == 1 else f"[{', '.join(kinds)}]"
        return [f"{path}: {_type_name(value)} found, {wanted} expected"]
    found = []
    for keyword in schema.keys() - _ANNOTATIONS - {"type"}:
        found += _KEYWORDS[keyword](root, schema, value, path)
    return sorted(found)


def _properties(root: Shape, schema: Shape, value: t.Any, path: str) -> list[str]:
    if not isinstance(value, dict):
        return []
    known = schema["properties"]
    return [
        problem
        for name in value.keys() & known.keys()
        for problem in _problems(root, known[name], value[name], f"{path}.{name}")
    ]


def _additional_properties(root: Shape, schema: Shape, value: t.Any, path: str) -> list[str]:
    additional = sorted(value.keys() - schema.get("properties", {}).keys()) if isinstance(value, dict) else []
    allowed = schema["additionalProperties"]
    if allowed is False:
        words = "is not defined in the schema and the schema does not allow additional properties"
        return [f"{path}.{name}: {words}" for name in additional]
    if allowed is True:
        return []
    return [problem for name in additional for problem in _problems(root, allowed, value[name], f"{path}.{name}")]


def _items(root: Shape, schema: Shape, value: t.Any, path: str) -> list[str]:
    if not isinstance(value, list):
        return []
    return [
        problem
        for index, item in enumerate(value)
        for problem in _problems(root, schema["items"], item, f"{path}[{index}]")
    ]


def _enum(_root: Shape, schema: Shape, value: t.Any, path: str) -> list[str]:
    if value in schema["enum"]:
        return []
    return [f"{path}: does not have a value in the enumeration [{', '.join(map(str, schema['enum']))}]"]


def _minimum(_root: Shape, schema: Shape, value: t.Any, path: str) -> list[str]:
    too_small = _is_type("number", value) and value < schema["minimum"]
    return [f"{path}: must have a minimum value of {schema['minimum']}"] if too_small else []


def _required(_root: Shape, schema: Shape, value: t.Any, path: str) -> list[str]:
    missing = [name for name in schema["required"] if name not in value] if isinstance(value, dict) else []
    return [f"{path}.{name}: is missing but it is required" for name in missing]


def _not(root: Shape, schema: Shape, value: t.Any, path: str) -> list[str]:
    return [] if _problems(root, schema["not"], value, path) else [f"{path}: should not be valid to the schema"]


Keyword = t.Callable[[Shape, Shape, t.Any, str], list[str]]
_KEYWORDS: dict[str, Keyword] = {
    "properties": _properties,
    "additionalProperties": _additional_properties,
    "items": _items,
    "enum": _enum,
    "minimum": _minimum,
    "required": _required,
    "not": _not,
}
_TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def _is_type(kind: str, value: t.Any) -> bool:
    return kind in (_type_name(value), "number" if _type_name(value) == "integer" else None)


def _type_name(value: t.Any) -> str:
    for name, python_type in _TYPES.items():
        if isinstance(value, python_type):
            return name
    return "integer" if isinstance(value, int) else "number"
