# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Looking at several things side by side, since most of a look is waiting for the answer."""

from __future__ import annotations

import concurrent.futures
import typing as t

from .common import CONCURRENCY

if t.TYPE_CHECKING:
    import collections.abc as c

A = t.TypeVar("A")
R = t.TypeVar("R")


def at_once(look: c.Callable[[A], R | None], what: c.Iterable[A], concurrency: int = CONCURRENCY) -> list[R]:
    """What a look at each of several things tells, in their order; what is not there, or no longer, is left out."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=concurrency) as pool:
        return [found for found in pool.map(look, what) if found is not None]
