# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import pathlib
import re
import typing as t

import pytest
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
Function = ast.FunctionDef | ast.AsyncFunctionDef


def load(path: pathlib.Path) -> t.Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def name(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: pathlib.Path) -> list[Function]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


@pytest.mark.parametrize("role", ROLES)
def test_argument_specs_and_defaults_are_the_same(role: str) -> None:
    options = load(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    defaults = load(ROOT / "roles" / role / "defaults" / "main.yml")
    assert {key: option["default"] for key, option in options.items() if "default" in option} == defaults
    assert [key for key, option in options.items() if not option.get("description") or not option.get("type")] == []
    without_default = {key for key, option in options.items() if "default" not in option}
    assert {key for key in without_default if not options[key].get("required")} == set(), "neither default nor required"


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_readme_metadata_and_scenario(role: str) -> None:
    assert (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8").strip()
    assert load(ROOT / "roles" / role / "meta" / "main.yml")["galaxy_info"]["license"] == "GPL-3.0-or-later"
    assert (ROOT / "molecule" / role / "molecule.yml").exists()


@pytest.mark.parametrize("role", ROLES)
def test_tasks_main_is_a_table_of_contents(role: str) -> None:
    assert len((ROOT / "roles" / role / "tasks" / "main.yml").read_text(encoding="utf-8").splitlines()) <= 60


def test_every_module_is_in_one_of_our_action_groups() -> None:
    groups = load(ROOT / "meta" / "runtime.yml")["action_groups"]
    ours = [entry for group in ("aws", "k8s") for entry in groups[group] if isinstance(entry, str)]
    assert sorted(ours) == [path.stem for path in MODULES]
    assert {"metadata": {"extend_group": ["amazon.aws.aws"]}} in groups["aws"]
    assert {"metadata": {"extend_group": ["kubernetes.core.k8s"]}} in groups["k8s"]


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_is_documentation_and_a_short_main(path: pathlib.Path) -> None:
    found = functions(path)
    assert "main" in [function.name for function in found]
    lengths = {function.name: (function.end_lineno or 0) - function.lineno + 1 for function in found}
    assert lengths["main"] <= 25, lengths


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_functions_are_short_enough_to_see_whole(path: pathlib.Path) -> None:
    long = {
        function.name: (function.end_lineno or 0) - function.lineno + 1
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno + 1 > 40
    }
    assert long == {}


@pytest.mark.parametrize("path", SHIPPED, ids=name)
def test_what_is_shipped_does_not_know_the_sandbox(path: pathlib.Path) -> None:
    text = path.read_text(encoding="utf-8").lower()
    assert re.search(r"sandbox|ministack|127\.0\.0\.1|localhost:\d", text) is None


@pytest.mark.parametrize("path", [path for path in SHIPPED if path.suffix == ".py"] + SOURCES, ids=name)
def test_sources_carry_licence_and_type_annotations(path: pathlib.Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "GNU General Public License v3.0+" in text
    if any(not isinstance(node, ast.Expr) for node in ast.parse(text).body):
        assert "from __future__ import annotations" in text, "only a package's bare docstring needs none"


def test_version_of_galaxy_file_has_a_changelog() -> None:
    version = load(ROOT / "galaxy.yml")["version"]
    changelog = ROOT / "changelogs" / "changelog.yaml"
    released = set(load(changelog)["releases"]) if changelog.exists() else set()
    fragments = list((ROOT / "changelogs" / "fragments").glob("*.yml"))
    assert version in released or fragments
