# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Values of options with which ansible-core's own check ends in a traceback: found before it runs.

These are a scalar where a mapping is expected, which YAML makes natural (``auto_mode: true``, ``scaling: 3``), keys of
such a mapping that are no texts (``yes:``), and numbers that are no finite ones (``wait_timeout: .inf``).
"""

from __future__ import annotations

import json
import math
import typing as t

from ansible.module_utils.basic import AnsibleModule

if t.TYPE_CHECKING:
    import collections.abc as c

ArgumentSpec = t.Mapping[str, t.Mapping[str, t.Any]]


class CheckedModule(AnsibleModule):  # type: ignore[misc]  # ansible-core has no types
    """A module that says in one sentence what ansible-core would end on with a traceback."""

    argument_spec: ArgumentSpec

    def __init__(self, **kwargs: t.Any) -> None:
        self._problems: list[str] = []
        super().__init__(**kwargs)
        if self._problems:
            self.fail_json(msg="\n".join(self._problems))

    def _load_params(self) -> None:
        """Takes the options, and what ansible-core cannot check out of the specification."""
        super()._load_params()
        wrong = list(problems(self.argument_spec, self.params))
        self._problems = [text for _name, text in wrong]
        self.argument_spec = loosened(self.argument_spec, [name for name, _text in wrong])


def shown(value: object) -> str:
    """A value as YAML has it."""
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return json.dumps(value, ensure_ascii=False, default=str)


def problems(spec: ArgumentSpec, params: t.Mapping[str, t.Any], path: str = "") -> c.Iterator[tuple[str, str]]:
    """The options that cannot be checked further, each with a sentence about what it takes."""
    for name, option in spec.items():
        for key in (name, *option.get("aliases", ())):
            if params.get(key) is not None:
                yield from ((name, text) for text in value_problems(option, params[key], f"{path}{key}"))


def value_problems(option: t.Mapping[str, t.Any], value: t.Any, where: str) -> c.Iterator[str]:
    """What is wrong with one value."""
    kind, inner = option.get("type"), option.get("options")
    if kind in ("int", "float") and isinstance(value, float) and not math.isfinite(value):
        yield f"{where} is {shown(value)}: give a finite number."
    elif kind == "dict" and inner is not None:
        yield from mapping_problems(inner, value, where)
    elif kind == "list" and option.get("elements") == "dict" and inner is None:
        for number, item in enumerate(value if isinstance(value, list) else [value], start=1):
            if not isinstance(item, dict | str):
                yield f"{where}[{number}] is {shown(item)}: give a mapping."
    elif kind == "list" and inner is not None:
        for number, item in enumerate(value if isinstance(value, list) else [value], start=1):
            yield from mapping_problems(inner, item, f"{where}[{number}]")


def mapping_problems(inner: ArgumentSpec, value: t.Any, where: str) -> c.Iterator[str]:
    """A text is left to ansible-core, which reads JSON and ``key=value`` in it."""
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                yield f"{where} has the key {shown(key)}, which is no text: put it in quotes, or take it out."
        yield from (text for _name, text in problems(inner, value, f"{where}."))
    elif not isinstance(value, str):
        yield f"{where} is {shown(value)}: give a mapping of {', '.join(inner)}."


def loosened(spec: ArgumentSpec, wrong: c.Container[str]) -> dict[str, t.Mapping[str, t.Any]]:
    """The specification with which the module can begin, so that it can say what is wrong."""
    return {name: {**option_of(option), "type": "raw"} if name in wrong else option for name, option in spec.items()}


def option_of(option: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """An option without what only its type understands."""
    typed = ("options", "elements", "choices", "mutually_exclusive", "required_one_of", "required_together")
    return {key: value for key, value in option.items() if key not in (*typed, "required_if", "required_by")}
