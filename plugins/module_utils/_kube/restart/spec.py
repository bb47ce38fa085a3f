# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The options of the module ``eks_pod_identity_restart``."""

from __future__ import annotations

import typing as t

from ..._eks.validation import cluster_name_problems
from ..._workload.service_account import name_problems
from .plan import MODES
from .plan import STALE

if t.TYPE_CHECKING:
    import collections.abc as c

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
    yield from name_problems(params["workloads"])
    if params["timeout"] < 1:
        yield f"timeout is {params['timeout']}: give a number of seconds of 1 or more."
