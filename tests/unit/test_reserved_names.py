# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No artifact of AWX and no other extra variable can override what a playbook finds out or decides itself."""

from __future__ import annotations

import re
import typing as t

import pytest
import yaml
from ansible_collections.podidentity.eks.plugins.lookup.extra_variables import matching
from ansible_collections.podidentity.eks.plugins.module_utils._workload import spec
from support.environment import ROOT

#: What is published for other jobs; AWX hands it to them as extra variables.
PUBLISHED = {
    "podidentity_access_findings",
    "podidentity_proof",
    "podidentity_summary",
    "podidentity_undeclared",
}
TASK_FILES = sorted(
    path
    for pattern in ("playbooks/*.yml", "playbooks/tasks/*.yml", "roles/*/tasks/*.yml")
    for path in ROOT.glob(pattern)
    if not path.name.startswith("awx")
)
OF_PLAYS = [ROOT / "playbooks" / "vars" / f"{name}.yml" for name in ("connections", "reserved")]
VARIABLE_FILES = sorted([*ROOT.glob("roles/*/vars/*.yml"), *OF_PLAYS])
RESERVED: list[str] = yaml.safe_load((ROOT / "playbooks" / "vars" / "reserved.yml").read_text(encoding="utf-8"))[
    "podidentity_reserved"
]
#: The interpreter, which ansible-core documents, and connections, which users may set; teardown reserves its own.
ELSEWHERE = {
    "ansible_python_interpreter",
    "podidentity_aws",
    "podidentity_k8s",
    "workload_state",
    "workload_phases",
} | {f"{role}_state" for role in ("addons", "agent", "cluster")}


def mappings(node: t.Any) -> t.Iterator[dict[str, t.Any]]:
    """Every mapping of a document: plays, tasks, blocks and their parts."""
    if isinstance(node, dict):
        yield node
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from mappings(part)


def set_names() -> t.Iterator[str]:
    """Names of facts, registered results and variables of tasks, plays and roles."""
    for path in TASK_FILES:
        for node in mappings(yaml.safe_load(path.read_text(encoding="utf-8"))):
            yield from node.get("ansible.builtin.set_fact", ())
            yield from [node["register"]] if isinstance(node.get("register"), str) else []
            yield from node["vars"] if isinstance(node.get("vars"), dict) else ()
    for path in VARIABLE_FILES:
        yield from yaml.safe_load(path.read_text(encoding="utf-8"))


def published_names() -> set[str]:
    nodes = [node for path in TASK_FILES for node in mappings(yaml.safe_load(path.read_text(encoding="utf-8")))]
    return {name for node in nodes for name in (node.get("ansible.builtin.set_stats") or {}).get("data", ())}


def role_options() -> t.Iterator[str]:
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        yield from yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]


def test_every_name_that_a_task_sets_is_reserved() -> None:
    names = set(set_names()) - PUBLISHED - ELSEWHERE
    assert len(names) > 200
    assert sorted(names - set(matching(names, RESERVED))) == []


def test_names_that_users_set_are_not_reserved() -> None:
    page = (ROOT / "docs" / "declaration.md").read_text(encoding="utf-8")
    users = set(re.findall(r"^\| `((?:podidentity|eks)_\w+)` \|", page, re.M))
    assert len(users) > 10
    assert matching(users, RESERVED) == []


def test_published_names_are_neither_reserved_nor_options() -> None:
    assert published_names() == PUBLISHED
    assert matching(PUBLISHED, RESERVED) == []
    assert PUBLISHED & {*spec.VARIABLES, *role_options()} == set()


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_nothing_reads_a_published_name(name: str) -> None:
    """It may stand only where it is set, as a key."""
    word = re.compile(rf"\b{name}\b")
    files = [*TASK_FILES, *VARIABLE_FILES, *ROOT.glob("roles/*/defaults/*.yml"), *ROOT.glob("roles/*/templates/*")]
    lines = [
        (path.name, line.split(" #")[0].strip()) for path in files for line in path.read_text("utf-8").splitlines()
    ]
    readers = [(file, line) for file, line in lines if word.search(line) and not line.startswith((f"{name}:", "#"))]
    assert readers == []


def test_matching_takes_whole_names() -> None:
    assert matching(["b", "a", "ab"], []) == ["a", "ab", "b"]
    assert matching(["b", "a", "ab"], ["a", "c.*"]) == ["a"]
