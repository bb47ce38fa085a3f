# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How pytest-xdist shares the tests out: the longest pieces of work start first, so that no core idles at the end.

A piece of work is a test file, whose tests may depend on each other, or one Molecule scenario. How long each took is
in ``tests/data/seconds.json``; ``pytest --record-seconds`` writes what it measures there. A wrong figure costs a little
time and nothing else.
"""

from __future__ import annotations

import collections
import json
import typing as t

import pytest
from support.environment import DATA
from xdist.scheduler import LoadScopeScheduling

SECONDS = DATA / "seconds.json"
#: A piece of work that was never measured starts early.
UNKNOWN = 60.0


def piece_of(nodeid: str) -> str:
    """The piece of work that a test belongs to."""
    return nodeid if nodeid.startswith("tests/molecule/") else nodeid.partition("::")[0]


class PieceScheduling(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Gives whole pieces of work to the workers, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return piece_of(nodeid)


def longest_first(items: list[pytest.Item]) -> None:
    """Sort the pieces of work by their time, and leave the order of tests within each."""
    known = json.loads(SECONDS.read_text(encoding="utf-8"))
    items.sort(key=lambda item: -known.get(piece_of(item.nodeid), UNKNOWN))


def record(reports: t.Iterable[pytest.TestReport]) -> None:
    """Write the time of each piece of work in these reports; figures of pieces that did not run stay."""
    measured: dict[str, float] = collections.defaultdict(float)
    for report in reports:
        measured[piece_of(report.nodeid)] += report.duration
    known = json.loads(SECONDS.read_text(encoding="utf-8"))
    known |= {piece: round(seconds, 1) for piece, seconds in measured.items()}
    SECONDS.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")
