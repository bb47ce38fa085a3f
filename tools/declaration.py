# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write what follows from the specification of a workload and from the roles' options.

These are the ``options`` of every role that takes workloads, the page ``docs/declaration.md`` and the JSON Schema
``docs/declaration.schema.json``. A test compares all of them with what this program would write.
"""

from __future__ import annotations

import json
import pathlib
import re
import sys
import typing as t

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".cache" / "collections"))

from ansible_collections.podidentity.eks.plugins.module_utils._workload import spec  # noqa: E402

Options = dict[str, dict[str, t.Any]]

#: The option of each role that holds workloads.
TAKERS = {
    "association": "association_workloads",
    "iam_role": "iam_role_workloads",
    "restart": "restart_workloads",
    "service_account": "service_account_workloads",
    "target_role": "target_role_workloads",
    "verify": "verify_workloads",
    "workload": "workload_list",
}
PAGE = ROOT / "docs" / "declaration.md"
SCHEMA = ROOT / "docs" / "declaration.schema.json"
MARKUP = re.compile(r"[A-Z]\(((?:[^()\\]|\\.)*)\)")


def role_options(role: str) -> Options:
    """The options of a role, as its argument specification has them."""
    text = (ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    found: Options = yaml.safe_load(text)["argument_specs"]["main"]["options"]
    return found


# --- roles ------------------------------------------------------------------------------------------------------------


class Dumper(yaml.SafeDumper):
    """Indents lists and repeats what is used twice."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: t.Any) -> bool:  # noqa: ARG002
        return True


def role_text(role: str) -> str:
    """The argument specification of a role with the options of a workload."""
    lines = (ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8").splitlines()
    start = lines.index(f"      {TAKERS[role]}:")
    end = next((n for n, line in enumerate(lines[start + 1 :], start + 1) if re.match(r" {6}\S", line)), len(lines))
    own = lines[start:end]
    if "        options:" in own:
        own = own[: own.index("        options:")]
    dumped = yaml.dump(spec.argument_spec(spec.WORKLOAD), Dumper=Dumper, sort_keys=False, width=100, allow_unicode=True)
    options = ["        options:", *(f"          {line}" for line in dumped.splitlines())]
    return "\n".join([*lines[:start], *own, *options, *lines[end:]]) + "\n"


# --- page -------------------------------------------------------------------------------------------------------------


def plain(texts: t.Any) -> str:
    """Descriptions without Ansible's markup, as one paragraph."""
    whole = " ".join([texts] if isinstance(texts, str) else texts)
    return MARKUP.sub(lambda match: f"`{match[1].split('#')[-1].rpartition(':')[2]}`", whole).replace("|", "\\|")


def kind(option: t.Mapping[str, t.Any]) -> str:
    """The type of an option."""
    name = str(option.get("type", "str"))
    return f"{name} of {option['elements']}" if "elements" in option else name


def shown(value: t.Any) -> str:
    """A value in a table."""
    if value is None or value == "":
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{' '.join(text.split())}`".replace("|", "\\|")


def default_of(option: t.Mapping[str, t.Any]) -> str:
    return "required" if option.get("required") else shown(option.get("default"))


def key_rows(options: Options, path: str = "") -> t.Iterator[str]:
    """A row for each key of a workload, those inside of it after it."""
    for name, option in options.items():
        choices = f" One of {', '.join(f'`{one}`' for one in option['choices'])}." if "choices" in option else ""
        cells = [
            f"`{path}{name}`",
            kind(option),
            default_of(option),
            shown(option.get(spec.EXAMPLE)),
            str(option.get("version_added", "0.1.0")),
            plain(option["description"]) + choices,
        ]
        yield f"| {' | '.join(cells)} |"
        if "options" in option:
            yield from key_rows(option["options"], f"{path}{name}.")


def variable_rows(role: str) -> t.Iterator[str]:
    """A row for each option of a role."""
    for name, option in role_options(role).items():
        since = str(option.get("version_added", "0.1.0"))
        first = plain(option["description"]).split(". ")[0].rstrip(".")
        yield f"| `{name}` | {kind(option)} | {default_of(option)} | {since} | {first}. |"


def page() -> str:
    """The page ``docs/declaration.md``."""
    keys = "| Key | Type | Default | Example | Since | Meaning |\n|---|---|---|---|---|---|\n"
    lines = [
        "# The declaration",
        "",
        "Everything that you declare for a cluster, as host or group variables. This page is generated by",
        "`tools/declaration.py`. `ansible-doc -t role podidentity.eks.workload` shows the keys of a workload as well,",
        "and [declaration.schema.json](declaration.schema.json) checks them in editors that know JSON Schema. Put this",
        "line at the top of an inventory file:",
        "",
        "```text",
        "# yaml-language-server: $schema=../../docs/declaration.schema.json",
        "```",
        "",
        "## A workload",
        "",
        "The items of `podidentity_workloads`. A key that is not declared has its default in AWS as well: a role and",
        "its association never keep what an earlier declaration said.",
        "",
        keys + "\n".join(key_rows(spec.WORKLOAD)),
        "",
        "## Variables of the playbooks",
        "",
        "| Variable | Type | Default | Example | Meaning |\n|---|---|---|---|---|",
    ]
    for name, (meaning, type_name, default, example) in spec.VARIABLES.items():
        lines.append(f"| `{name}` | {type_name} | {shown(default)} | {shown(example)} | {meaning} |")
    for role in sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir()):
        lines += ["", f"## Variables of the role {role}", "", "| Variable | Type | Default | Since | Meaning |"]
        lines += ["|---|---|---|---|---|", *variable_rows(role)]
    return "\n".join(lines) + "\n"


# --- schema -----------------------------------------------------------------------------------------------------------

TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "dict": "object", "list": "array"}
#: Anything may be a template.
TEMPLATE = {"type": "string", "pattern": r"\{\{"}


def schema_of(option: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The JSON Schema of one option."""
    found: dict[str, t.Any] = {}
    if option.get("type", "str") in TYPES:
        found["type"] = TYPES[option.get("type", "str")]
    if "choices" in option:
        found["enum"] = option["choices"]
    if "options" in option and option["type"] == "dict":
        found |= object_schema(option["options"])
    elif option.get("elements"):
        found["items"] = schema_of({**option, "type": option["elements"], "elements": None, "description": []})
    text = plain(option.get("description") or [])
    # A template gives any type, and so may a variable that is not given at all.
    wrapped = found if found.get("type") == "string" and "enum" not in found else {"anyOf": [found, TEMPLATE]}
    return {"description": text, **wrapped} if text else wrapped


def object_schema(options: Options) -> dict[str, t.Any]:
    """The JSON Schema of a mapping with just these keys."""
    required = [name for name, option in options.items() if option.get("required")]
    return {
        "type": "object",
        "properties": {name: schema_of(option) for name, option in options.items()},
        "additionalProperties": False,
        **({"required": required} if required else {}),
    }


def variables_schema() -> dict[str, t.Any]:
    """The variables of a host or group; others are the user's own."""
    workload = {"type": "list", "elements": "dict", "options": spec.WORKLOAD, "description": "The workloads."}
    properties: dict[str, t.Any] = {}
    for name, (meaning, type_name, _default, _example) in spec.VARIABLES.items():
        properties[name] = schema_of({"type": type_name, "description": meaning})
    properties["podidentity_workloads"] = schema_of(workload)
    for role in sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir()):
        for name, option in role_options(role).items():
            properties[name] = schema_of({**option, "options": spec.WORKLOAD} if name in TAKERS.values() else option)
    return {"type": "object", "properties": properties}


def schema() -> str:
    """The JSON Schema of an inventory file in YAML, and of a file with variables of a host or group."""
    group = {"$ref": "#/$defs/group"}
    nullable = {"anyOf": [{"$ref": "#/$defs/variables"}, {"type": "null"}]}
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Declaration of podidentity.eks",
        "if": {"required": ["eks_clusters"]},
        "then": {"type": "object", "additionalProperties": group},
        "else": {"$ref": "#/$defs/variables"},
        "$defs": {
            "group": {
                "type": ["object", "null"],
                "properties": {
                    "hosts": {"type": ["object", "null"], "additionalProperties": nullable},
                    "vars": nullable,
                    "children": {"type": ["object", "null"], "additionalProperties": group},
                },
                "additionalProperties": False,
            },
            "variables": variables_schema(),
        },
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def files() -> dict[pathlib.Path, str]:
    """What every file that follows from the specification holds."""
    roles = {ROOT / "roles" / role / "meta" / "argument_specs.yml": role_text(role) for role in TAKERS}
    return {**roles, PAGE: page(), SCHEMA: schema()}


def main() -> None:
    # The page and the schema follow from the roles' options, so these come first.
    for role in TAKERS:
        (ROOT / "roles" / role / "meta" / "argument_specs.yml").write_text(role_text(role), encoding="utf-8")
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
