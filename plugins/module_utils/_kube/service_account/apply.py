# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Creating and deleting service accounts and their namespaces; what fails with one does not stop the others."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import typing as t

from ..causes import Refusal
from ..causes import explained
from .plan import Item

if t.TYPE_CHECKING:
    import collections.abc as c

    from ..connection import ApiServer

MISSING, CONFLICT, FORBIDDEN = 404, 409, 403
CREATE, DELETE, NONE = "create", "delete", "none"
CONCURRENCY = 10


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was done with an item, or would be in check mode."""

    item: Item
    #: ``create``, ``delete`` or ``none``.
    action: str
    #: Why not, empty where it was done.
    error: str = ""
    #: Whether check mode could not try it, because it takes the permission that doing it takes.
    untried: bool = False

    @property
    def changes(self) -> bool:
        return self.action != "none" and (self.untried or not self.error)

    def render(self) -> dict[str, t.Any]:
        """As the module returns it."""
        return {
            "kind": self.item.kind,
            "name": str(self.item),
            "action": self.action,
            "error": self.error,
            "untried": self.untried,
        }


def create(api: ApiServer, items: c.Sequence[Item], check_mode: bool) -> list[Outcome]:
    """Create each item where it does not exist, namespaces before what is in them.

    Check mode tries without creating. In a namespace that does not exist yet nothing can be tried.
    """
    spaces = [item for item in items if not item.name]
    new = {item.namespace for item in spaces} if check_mode else set[str]()
    outcomes = [_create(api, item, check_mode, untestable=False) for item in spaces]
    with concurrent.futures.ThreadPoolExecutor(CONCURRENCY) as threads:
        accounts = [item for item in items if item.name]
        return outcomes + list(
            threads.map(lambda item: _create(api, item, check_mode, untestable=item.namespace in new), accounts)
        )


def delete(api: ApiServer, items: c.Sequence[Item], check_mode: bool) -> list[Outcome]:
    """Delete each item, or only try it."""
    with concurrent.futures.ThreadPoolExecutor(CONCURRENCY) as threads:
        return list(threads.map(lambda item: _delete(api, item, check_mode), items))


def _create(api: ApiServer, item: Item, check_mode: bool, *, untestable: bool) -> Outcome:
    answer = {} if untestable else api.create(item.collection, item.body, check_mode)
    if isinstance(answer, Refusal) and answer.status == CONFLICT:
        return Outcome(item, NONE)
    return _refused(item, CREATE, answer, check_mode) if isinstance(answer, Refusal) else Outcome(item, CREATE)


def _delete(api: ApiServer, item: Item, check_mode: bool) -> Outcome:
    answer = api.delete(item.path, check_mode)
    if isinstance(answer, Refusal) and answer.status == MISSING:
        return Outcome(item, NONE)
    return _refused(item, DELETE, answer, check_mode) if isinstance(answer, Refusal) else Outcome(item, DELETE)


def _refused(item: Item, action: str, refusal: Refusal, check_mode: bool) -> Outcome:
    return Outcome(item, action, explained(refusal), untried=check_mode and refusal.status == FORBIDDEN)
