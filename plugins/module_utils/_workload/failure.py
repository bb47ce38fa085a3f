# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What failed, by workload: the contract of all modules that take a list of workloads.

A module does what it can, then returns ``failed_items`` beside what succeeded. So a role needs no rescue to go on with
the other workloads.
"""

from __future__ import annotations

import typing as t

from .service_account import name_of

if t.TYPE_CHECKING:
    import collections.abc as c

    from .workload import Workload

FailedItem = dict[str, str]
#: How many names one line has.
SHOWN = 5


def failed_item(workload: str, phase: str, reason: str) -> FailedItem:
    """One entry of ``failed_items``.

    :param workload: ``namespace/service_account``; empty for what belongs to no declared workload.
    :param phase: the step, by the name of its role.
    :param reason: one sentence with what failed and what to do.
    """
    namespace, _slash, service_account = workload.partition("/")
    return {
        "workload": workload,
        "namespace": namespace,
        "service_account": service_account,
        "phase": phase,
        "reason": reason,
    }


def all_failed(workloads: c.Iterable[Workload], phase: str, reason: str) -> list[FailedItem]:
    """The entries where nothing could be done for any workload."""
    return [failed_item(name, phase, reason) for name in dict.fromkeys(map(name_of, workloads))]


def lines(items: c.Sequence[t.Mapping[str, str]]) -> list[str]:
    """One line for each reason, with the workloads that it is about."""
    names: dict[str, list[str]] = {}
    for one in items:
        names.setdefault(one["reason"], []).append(one["workload"])
    return [": ".join(filter(None, [some_of(found), reason])) for reason, found in names.items()]


def some_of(names: c.Iterable[str], most: int = SHOWN) -> str:
    """The first few names, and how many more there are; nothing for what belongs to no workload."""
    found = list(dict.fromkeys(filter(None, names)))
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return f"{', '.join(found[:most])}{more}"
