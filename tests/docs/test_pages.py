# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Links of all pages lead somewhere, and ansible-doc shows every plugin and role."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import typing as t
import urllib.parse

import pytest
from support.environment import ROOT
from support.environment import clean_environment
from support.pages import FENCE
from support.pages import PAGES

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
REPOSITORY_URL = "https://github.com/podidentity/eks/blob/main/"
#: Kinds of plugins, as ansible-doc calls them, by their folders.
KINDS = {"modules": "module", "lookup": "lookup", "filter": "filter", "inventory": "inventory"}


def anchors(path: pathlib.Path) -> set[str]:
    """The anchors of a page's headings, as they are made on the web."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: pathlib.Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        address = urllib.parse.urlsplit(link)
        if address.scheme and not link.startswith(REPOSITORY_URL):
            assert address.scheme == "https", link
            assert "." in address.netloc, link
            continue
        path = address.path.removeprefix("/podidentity/eks/blob/main/")
        target = (ROOT / path if address.scheme else page.parent / path) if path else page
        assert target.exists(), link
        assert not address.fragment or address.fragment in anchors(target), link


def test_ansible_doc_shows_every_plugin_and_role(tmp_path: pathlib.Path) -> None:
    done = subprocess.run(
        ["ansible-doc", "--metadata-dump", "--no-fail-on-errors", "podidentity.eks"],
        env=clean_environment(tmp_path),
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=True,
    )
    shown: dict[str, dict[str, t.Any]] = json.loads(done.stdout)["all"]
    for folder, kind in KINDS.items():
        expected = {f"podidentity.eks.{path.stem}" for path in (ROOT / "plugins" / folder).glob("*.py")}
        assert set(shown[kind]) == expected, kind
    assert set(shown["role"]) == {f"podidentity.eks.{path.name}" for path in (ROOT / "roles").iterdir()}
    wrong = {name: found for names in shown.values() for name, found in names.items() if "error" in found}
    assert wrong == {}
