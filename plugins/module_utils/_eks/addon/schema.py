# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""A configuration beside the JSON schema of its add-on: every problem in a sentence, before EKS is asked to take it."""

from __future__ import annotations

import difflib
import json
import re
import typing as t

from ansible.module_utils.basic import missing_required_lib

from ..common import AnsibleEKSError
from ..validation import quoted

if t.TYPE_CHECKING:
    import collections.abc as c

#: Names of the types of JSON schema, as people who write YAML say them.
TYPES = {"object": "a mapping", "array": "a list", "string": "a text", "boolean": "true or false", "null": "null"}
TYPES |= {"integer": "a whole number", "number": "a number"}
#: How many known options a message names.
TOLD_OPTIONS = 12

Error = t.Any


def problems(configuration: t.Mapping[str, t.Any], schema: t.Mapping[str, t.Any], where: str) -> list[str]:
    """What the schema does not allow, one sentence for each problem, in the order of the paths.

    The dialect is the one that the schema's ``$schema`` names.

    :param where: whose configuration it is.
    :raises AnsibleEKSError: when the Python package jsonschema is missing.
    :raises ValueError: when the schema cannot be read: then EKS has to judge.
    """
    jsonschema = _library()
    try:
        validator = jsonschema.validators.validator_for(schema)(schema)
        errors = sorted(validator.iter_errors(configuration), key=lambda error: [str(step) for step in error.path])
        best = [jsonschema.exceptions.best_match([error]) for error in errors]
    # Whatever a schema holds that the library does not know: nothing is wrong with what the user has declared.
    except Exception as error:
        raise ValueError(f"The schema of {where} cannot be read: {error}") from error
    return list(dict.fromkeys(sentence for error in best for sentence in sentences(error, where)))


def _library() -> t.Any:
    try:
        import jsonschema
    except ImportError as error:
        reason = "to check a configuration before it is written"
        raise AnsibleEKSError(missing_required_lib("jsonschema", reason=reason)) from error
    return jsonschema


def sentences(error: Error, where: str) -> c.Iterator[str]:
    """One error of the library in words."""
    path, value, allowed = _path(error), error.instance, error.validator_value
    if error.validator == "additionalProperties" and allowed is False:
        yield from _unknown_options(error, path, where)
    elif error.validator == "type":
        kinds = " or ".join(TYPES.get(kind, kind) for kind in ([allowed] if isinstance(allowed, str) else allowed))
        yield f"{path} of {where} is {_shown(value)}: it must be {kinds}."
    elif error.validator in ("enum", "const"):
        choices = allowed if error.validator == "enum" else [allowed]
        yield f"{path} of {where} is {_shown(value)}: it must be one of {', '.join(map(_shown, choices))}."
    elif error.validator == "required":
        missing = [name for name in allowed if name not in value]
        yield f"{path} of {where} lacks {', '.join(missing)}: set what is required."
    else:
        yield f"{path} of {where} cannot be right: {error.message}."


def _unknown_options(error: Error, path: str, where: str) -> c.Iterator[str]:
    known, patterns = sorted(error.schema.get("properties", {})), error.schema.get("patternProperties", {})
    for name in sorted(set(error.instance) - set(known)):
        if any(re.search(pattern, name) for pattern in patterns):
            continue
        meant = difflib.get_close_matches(name, known, n=1)
        told = ", ".join(known[:TOLD_OPTIONS]) + (", ..." if len(known) > TOLD_OPTIONS else "")
        right = f"did you mean {meant[0]}?" if meant else f"known there are {told}." if known else "nothing can be set."
        yield f"{path}.{name} of {where} is no option of it: {right}"


def _path(error: Error) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    return f"configuration{''.join(steps)}"


def _shown(value: t.Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, (dict, list)):
        return TYPES["object" if isinstance(value, dict) else "array"]
    return json.dumps(value, default=str)
