# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is documented is what the modules take: options, types, defaults, choices and aliases."""

from __future__ import annotations

import collections.abc
import importlib
import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from support.environment import ROOT

MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
#: Modules that change nothing.
READ_ONLY = ("_info", "_plan", "_probe", "_verify")
#: What an option's specification and its documentation both say, and what it is when they say nothing.
SHARED = {"type": "str", "elements": None, "default": None, "choices": None, "required": False}


class SettingsTaken(Exception):
    """Carries what a module hands to Ansible."""


def record_settings(_module: AnsibleModule, **settings: t.Any) -> None:
    """Stands where Ansible checks the task's arguments."""
    raise SettingsTaken(settings)


def specification(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, t.Any]:
    monkeypatch.setattr(AnsibleModule, "__init__", record_settings)
    module = importlib.import_module(f"ansible_collections.podidentity.eks.plugins.modules.{name}")
    with pytest.raises(SettingsTaken) as asked:
        module.main()
    settings: dict[str, t.Any] = asked.value.args[0]
    return settings


@pytest.fixture(scope="module")
def documentation(tmp_path_factory: pytest.TempPathFactory) -> dict[str, t.Any]:
    """What ansible-doc shows, with all fragments, by module."""
    done = subprocess.run(
        [
            str(pathlib.Path(sys.executable).with_name("ansible-doc")),
            *("--json", "--type", "module"),
            *(f"podidentity.eks.{name}" for name in MODULES),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_HOME": str(tmp_path_factory.mktemp("home")),
        },
        text=True,
        capture_output=True,
        check=True,
    )
    return {name.rsplit(".", 1)[1]: found for name, found in json.loads(done.stdout).items()}


def check_options(where: str, documented: t.Mapping[str, t.Any], taken: t.Mapping[str, t.Any]) -> None:
    """Compare options and their suboptions."""
    assert set(documented) == set(taken), where
    for option, spec in taken.items():
        here, text = f"{where}.{option}", documented[option]
        for key, usual in SHARED.items():
            assert text.get(key, usual) == spec.get(key, usual), f"{here}: {key}"
        assert set(text.get("aliases") or ()) == set(spec.get("aliases") or ()), here
        assert text["description"], here
        check_options(here, text.get("suboptions") or {}, spec.get("options") or {})


@pytest.mark.parametrize("name", MODULES)
def test_documentation_and_argument_specification_agree(
    name: str, documentation: dict[str, t.Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = specification(name, monkeypatch)
    check_options(name, documentation[name]["doc"]["options"], settings["argument_spec"])
    assert settings["supports_check_mode"] is True


@pytest.mark.parametrize("name", MODULES)
def test_module_documents_support_examples_and_return_values(name: str, documentation: dict[str, t.Any]) -> None:
    found = documentation[name]
    attributes = found["doc"]["attributes"]
    assert attributes["check_mode"]["support"] == "full"
    assert attributes["diff_mode"]["support"] == ("N/A" if name.endswith(READ_ONLY) else "full")
    groups = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))["action_groups"]
    membership = [f"podidentity.eks.{group}" for group in ("aws", "k8s") if name in groups[group]]
    assert membership and attributes["action_group"]["membership"] == membership
    assert found["doc"]["version_added"]
    tasks = yaml.safe_load(found["examples"])
    assert isinstance(tasks, collections.abc.Sequence)
    assert f"podidentity.eks.{name}" in {key for task in tasks for key in task}
    assert found["return"]
