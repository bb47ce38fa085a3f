# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What the module ``eks_pod_identity_verify`` returns: the proofs, lines for people, and what failed by workload."""

from __future__ import annotations

import typing as t

from ..._diagnosis import report
from ..._workload.failure import failed_item
from ..._workload.failure import lines
from .spec import EXEC

if t.TYPE_CHECKING:
    import collections.abc as c

    from ..._workload.prove import Workload

Proof = dict[str, t.Any]


def of(proofs: c.Sequence[Proof], strict: bool) -> dict[str, t.Any]:
    """The module's result. Nothing is changed: a verification removes what it creates."""
    failed = failed_items(proofs, strict)
    found: dict[str, t.Any] = {
        "changed": False,
        "proofs": list(proofs),
        "report": report.report(proofs),
        "failed_items": failed,
    }
    return {**found, "msg": "\n".join(lines(failed))} if failed else found


def planned(workloads: c.Iterable[Workload], params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The result in check mode, which proves nothing."""
    where = "a ready pod" if params["mode"] == EXEC else "a Job"
    planned = []
    for one in workloads:
        calls = "".join(f", {call.expected} {call.service}.{call.operation}" for call in one.calls)
        planned.append(
            f"Without check mode, {where} in cluster {params['cluster_name']} would prove the identity of {one}{calls}."
        )
    return {"changed": False, "proofs": [], "report": planned, "failed_items": []}


def failed_items(proofs: c.Iterable[Proof], strict: bool) -> list[dict[str, str]]:
    """What is not proven, and where warnings count, what has one."""
    found = []
    for one in proofs:
        if not one["proven"]:
            found.append(item(one, f"not proven ({one['cause']['id']}): {one['cause']['text']} {one['advice']}"))
        if strict:
            found += [item(one, f"warning: {warning}") for warning in one["warnings"]]
    return found


def item(one: Proof, reason: str) -> dict[str, str]:
    """A failed item, as all modules return it."""
    return failed_item(f"{one['namespace']}/{one['service_account']}", "verify", reason)
