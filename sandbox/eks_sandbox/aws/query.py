# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Requests of the query protocol (IAM, STS): parameters by botocore's model, and what the model does not allow."""

from __future__ import annotations

import re
import typing as t

import botocore.model

from eks_sandbox.aws.errors import ServiceError
from eks_sandbox.aws.model import Parameters
from eks_sandbox.aws.model import violations

#: Parameters as received: ``Tags.member.1.Key=…``
Flat = t.Mapping[str, str]


def parse(operation: botocore.model.OperationModel, flat: Flat) -> Parameters:
    """The operation's parameters; raises ServiceError (ValidationError) for what its model does not allow."""
    shape = operation.input_shape
    if shape is None:
        return {}
    parameters: Parameters = _structure(shape, flat, "")
    problems = [_lower_path(problem) for problem in violations(shape, parameters, "")]
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
        raise ServiceError("ValidationError", count + "; ".join(problems), status=400)
    return parameters


def _structure(shape: botocore.model.StructureShape, flat: Flat, prefix: str) -> Parameters:
    found = {}
    for name, member in shape.members.items():
        value = _value(member, flat, prefix + str(member.serialization.get("name", name)))
        if value is not None:
            found[name] = value
    return found


def _value(shape: botocore.model.Shape, flat: Flat, key: str) -> t.Any:
    """The value at a key, or None where nothing is given."""
    if isinstance(shape, botocore.model.StructureShape):
        return _structure(shape, flat, f"{key}.") or None
    if isinstance(shape, botocore.model.ListShape):
        numbers = {
            int(found[1]) for name in flat if (found := re.match(re.escape(key) + r"\.member\.(\d+)(\.|$)", name))
        }
        items = [_value(shape.member, flat, f"{key}.member.{number}") for number in sorted(numbers)]
        return [item for item in items if item is not None] or None
    text = flat.get(key)
    if text is None:
        return None
    if shape.type_name in ("integer", "long"):
        if not re.fullmatch(r"-?\d+", text):
            raise ServiceError("MalformedInput", f"{key} must be a number.", status=400)
        return int(text)
    return text == "true" if shape.type_name == "boolean" else text


def _lower_path(problem: str) -> str:
    """IAM and STS name members in lower case: ``roleName``."""
    return re.sub(r"(?<= at ')[^']+(?=' failed)", _lower_segments, problem)


def _lower_segments(path: re.Match[str]) -> str:
    return ".".join(segment[:1].lower() + segment[1:] for segment in path[0].split("."))
