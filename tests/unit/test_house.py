# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rules of this project that no linter knows; each test names every place that breaks its rule."""

from __future__ import annotations

import ast
import pathlib
import re
import typing as t

import yaml
from support.environment import ROOT

ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
MODULES = sorted(path for path in (ROOT / "plugins" / "modules").glob("*.py"))
SHIPPED = sorted(
    path
    for folder in ("plugins", "roles", "playbooks")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
)
SOURCES = sorted(
    path
    for folder in ("plugins", "roles", "sandbox", "tests", "tools")
    for path in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in path.parts
)
ALL_SOURCES = sorted({*SOURCES, *(path for path in SHIPPED if path.suffix == ".py")})
#: Files and folders in plain English; add a path here once its text is plain.
PLAIN = ("CONTRIBUTING.md", "README.md", "docs", "inventories", "molecule", "sandbox")
#: Generated from the option descriptions of plugins/ and roles/.
GENERATED = {ROOT / "docs" / "declaration.md", ROOT / "docs" / "declaration.schema.json"}
TEXT = {".json", ".md", ".py", ".yml"}
#: A colon follows the Unix user ``nobody`` in /etc/passwd.
DIALECT = re.compile(
    r"\b(?:somebody|nobody(?!:)|whoever|whom|anew|cannot\s+be\s+right|(?:is|are)\s+told|looked\s+at)\b", re.IGNORECASE
)
#: Lines of a role's vars/main.yml; the cluster has more of everything.
MOST_VARS = {"cluster": 150}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def load(path: pathlib.Path) -> t.Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def name(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: pathlib.Path) -> list[Function]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def length(function: Function) -> tuple[str, int]:
    """The name of a function and its lines."""
    return function.name, (function.end_lineno or 0) - function.lineno + 1


def test_argument_specs_equal_defaults() -> None:
    wrong = {}
    for role in ROLES:
        options = load(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
        defaults = load(ROOT / "roles" / role / "defaults" / "main.yml")
        declared = {key: option["default"] for key, option in options.items() if "default" in option}
        if declared != defaults:
            keys = sorted(declared.keys() | defaults.keys())
            wrong[role] = [key for key in keys if declared.get(key, ...) != defaults.get(key, ...)]
    assert wrong == {}


def test_role_options_have_description_type_and_default() -> None:
    wrong = {}
    for role in ROLES:
        options = load(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
        for key, option in options.items():
            missing = [name for name in ("description", "type") if not option.get(name)]
            if "default" not in option and not option.get("required"):
                missing.append("default or required")
            if missing:
                wrong[f"{role}: {key}"] = missing
    assert wrong == {}


def test_roles_have_readme_metadata_and_scenario() -> None:
    wrong = []
    for role in ROLES:
        readme, meta = ROOT / "roles" / role / "README.md", load(ROOT / "roles" / role / "meta" / "main.yml")
        scenario = ROOT / "molecule" / role / "molecule.yml"
        whole = readme.is_file() and readme.read_text(encoding="utf-8").strip() and scenario.exists()
        if not whole or meta["galaxy_info"]["license"] != "GPL-3.0-or-later":
            wrong.append(role)
    assert wrong == []


def test_role_tasks_are_a_table_of_contents() -> None:
    lines = {
        role: len((ROOT / "roles" / role / "tasks" / "main.yml").read_text(encoding="utf-8").splitlines())
        for role in ROLES
    }
    assert {role: count for role, count in lines.items() if count > 60} == {}


def test_roles_hold_no_programs_in_jinja() -> None:
    files = [path for role in ROLES for path in (ROOT / "roles" / role).rglob("*.yml")]
    assert len(files) > len(ROLES)
    assert [name(path) for path in files if "{%" in path.read_text(encoding="utf-8")] == []


def test_vars_of_roles_are_short() -> None:
    files = {path.parents[1].name: path for path in (ROOT / "roles").glob("*/vars/main.yml")}
    lines = {role: len(path.read_text(encoding="utf-8").splitlines()) for role, path in files.items()}
    assert {role: count for role, count in lines.items() if count > MOST_VARS.get(role, 45)} == {}


def tasks(entries: list[dict[str, t.Any]]) -> t.Iterator[dict[str, t.Any]]:
    """All tasks, those inside blocks included."""
    for entry in entries:
        for part in ("block", "rescue", "always", "tasks"):
            yield from tasks(entry.get(part, []))
        yield entry


def test_tasks_of_kubernetes_core_log_nothing() -> None:
    """Their action plugins show the arguments of a module that ends with a traceback, the token included."""
    files = [*(ROOT / "roles").glob("*/tasks/*.yml"), *(ROOT / "playbooks").rglob("*.yml")]
    found = [
        (name(path), task)
        for path in files
        if isinstance(entries := load(path), list)
        for task in tasks(entries)
        if any(key.startswith("kubernetes.core.") for key in task)
    ]
    assert found
    assert [(path, task["name"]) for path, task in found if task.get("no_log") is not True] == []


def test_modules_are_in_our_action_groups() -> None:
    groups = load(ROOT / "meta" / "runtime.yml")["action_groups"]
    modules = [entry for group in ("aws", "k8s") for entry in groups[group] if isinstance(entry, str)]
    assert sorted(set(modules)) == [path.stem for path in MODULES]
    assert {"metadata": {"extend_group": ["amazon.aws.aws"]}} in groups["aws"]
    assert {"metadata": {"extend_group": ["kubernetes.core.k8s"]}} in groups["k8s"]


def test_modules_have_a_short_main() -> None:
    lengths = {name(path): dict(map(length, functions(path))).get("main") for path in MODULES}
    assert {module: lines for module, lines in lengths.items() if lines is None or lines > 25} == {}


def test_functions_are_at_most_40_lines() -> None:
    found = [(name(path), *length(function)) for path in SOURCES for function in functions(path)]
    assert [(path, function, lines) for path, function, lines in found if lines > 40] == []


def test_shipped_files_do_not_mention_the_sandbox() -> None:
    word = re.compile(r"sandbox|ministack|127\.0\.0\.1|localhost:\d", re.IGNORECASE)
    assert [name(path) for path in SHIPPED if word.search(path.read_text(encoding="utf-8"))] == []


def plain_files() -> list[pathlib.Path]:
    paths = [ROOT / path for path in PLAIN]
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return sorted(file for file in files if file.suffix in TEXT and file not in GENERATED)


def test_plain_files_have_no_dialect() -> None:
    files = plain_files()
    assert {path for path in PLAIN if not any(file.is_relative_to(ROOT / path) for file in files)} == set()
    found = {name(file): DIALECT.findall(file.read_text(encoding="utf-8")) for file in files}
    assert {file: words for file, words in found.items() if words} == {}


def test_sources_carry_the_licence() -> None:
    licence = "GNU General Public License v3.0+"
    assert [name(path) for path in ALL_SOURCES if licence not in path.read_text(encoding="utf-8")] == []


def test_sources_import_annotations_from_future() -> None:
    line = "from __future__ import annotations"
    wrong = []
    for path in ALL_SOURCES:
        text = path.read_text(encoding="utf-8")
        # A package with a docstring alone needs none.
        if line not in text and any(not isinstance(node, ast.Expr) for node in ast.parse(text).body):
            wrong.append(name(path))
    assert wrong == []


def test_test_names_have_at_most_60_characters() -> None:
    names = [
        f"{name(path)}: {function.name}"
        for path in SOURCES
        if path.name.startswith("test_")
        for function in functions(path)
        if function.name.startswith("test_") and len(function.name) > 60
    ]
    assert names == []


def test_galaxy_version_has_a_changelog() -> None:
    version = load(ROOT / "galaxy.yml")["version"]
    changelog = ROOT / "changelogs" / "changelog.yaml"
    released = set(load(changelog)["releases"]) if changelog.exists() else set()
    fragments = list((ROOT / "changelogs" / "fragments").glob("*.yml"))
    assert version in released or fragments
