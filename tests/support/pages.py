# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pages of the documentation and their code blocks."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import typing as t

import yaml
from support.environment import ROOT

GUIDES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
ROLES = sorted((ROOT / "roles").glob("*/README.md"))
PAGES = [*GUIDES, *ROLES, ROOT / "sandbox" / "README.md"]
FENCE = re.compile(r"^```(?P<language>\w*) ?(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclasses.dataclass(frozen=True)
class Block:
    """A code block. What stands behind its language says how it is tested."""

    page: pathlib.Path
    language: str
    kind: str
    text: str

    @property
    def document(self) -> t.Any:
        return yaml.safe_load(self.text)

    @property
    def name(self) -> str:
        """Names it in a test's output."""
        return f"{self.page.relative_to(ROOT)}: {self.text.splitlines()[0]}"


def blocks(*pages: pathlib.Path) -> list[Block]:
    return [
        Block(page, found["language"], found["kind"], found["text"])
        for page in pages
        for found in FENCE.finditer(page.read_text(encoding="utf-8"))
    ]
