# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The options of the module ``eks_pod_identity_restart``."""

from __future__ import annotations

import typing as t

from ..._diagnosis.reading import dig
from ..._diagnosis.reading import text
from ..._eks.validation import cluster_name_problems
from ..._workload.workload import is_present
from .plan import MODES
from .plan import STALE

if t.TYPE_CHECKING:
    import collections.abc as c

KEYS = ("namespace", "service_account")
DICTS: dict[str, t.Any] = {"type": "list", "elements": "dict"}
OPTIONS: dict[str, dict[str, t.Any]] = {
    "cluster_name": {"type": "str", "required": True},
    "workloads": {**DICTS, "required": True},
    "mode": {"type": "str", "choices": list(MODES), "default": STALE},
    "timeout": {"type": "int", "default": 600},
    "require_proof": {"type": "bool", "default": True},
    "proofs": {**DICTS, "default": []},
    "associations": {**DICTS, "default": []},
    "probed": {**DICTS, "default": []},
    "role_dates": {"type": "dict", "default": {}},
    "agent_managed": {"type": "bool", "default": True},
}


def problems(params: t.Mapping[str, t.Any]) -> c.Iterator[str]:
    """What is wrong with the options, one sentence each."""
    yield from cluster_name_problems(params["cluster_name"])
    yield from workload_problems(params["workloads"])
    if params["timeout"] < 1:
        yield f"timeout is {params['timeout']}: give a number of seconds of 1 or more."


def workload_problems(workloads: c.Sequence[t.Mapping[str, t.Any]]) -> c.Iterator[str]:
    """What is wrong with the names; the other keys of a workload are not read."""
    for number, one in enumerate(workloads, start=1):
        if not all(text(one.get(key)) for key in KEYS):
            yield f"workloads[{number}] lacks {' or '.join(KEYS)}: give both."


def accounts(params: t.Mapping[str, t.Any]) -> list[dict[str, str]]:
    """The service accounts of the declared workloads, each once."""
    named = [tuple(str(dig(one, key)) for key in KEYS) for one in params["workloads"] if is_present(one)]
    return [dict(zip(KEYS, names, strict=True)) for names in dict.fromkeys(named)]
