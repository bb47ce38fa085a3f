# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The service accounts that workloads name."""

from __future__ import annotations

import typing as t

from .workload import Workload
from .workload import is_present

if t.TYPE_CHECKING:
    import collections.abc as c

KEYS = ("namespace", "service_account")


def name_problems(workloads: c.Sequence[Workload]) -> c.Iterator[str]:
    """What is wrong with the names, for modules that read little else of a workload."""
    for number, one in enumerate(workloads, start=1):
        if not all(isinstance(one.get(key), str) and one[key] for key in KEYS):
            yield f"workloads[{number}] lacks {' or '.join(KEYS)}: give both."


def name_of(workload: Workload) -> str:
    """``namespace/service_account``, by which a workload is named everywhere."""
    return f"{workload['namespace']}/{workload['service_account']}"


def present(workloads: c.Iterable[Workload]) -> list[dict[str, str]]:
    """Namespace and service account of the workloads that are declared present, each once."""
    named = dict.fromkeys(tuple(str(one[key]) for key in KEYS) for one in workloads if is_present(one))
    return [dict(zip(KEYS, names, strict=True)) for names in named]


def is_managed(workload: Workload) -> bool:
    """Whether this collection creates and removes the service account."""
    return bool(workload.get("service_account_managed", True))
