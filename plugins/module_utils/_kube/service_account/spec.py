# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The options of the module ``eks_pod_identity_service_accounts``."""

from __future__ import annotations

import typing as t

from ..._eks.argspec import OPERATIONS
from ..._eks.argspec import PLANNED_CLUSTER
from ..._eks.validation import cluster_name_problems
from ..._workload.service_account import name_problems

if t.TYPE_CHECKING:
    import collections.abc as c

APPLY, REMOVE = "apply", "remove"
OPTIONS: dict[str, dict[str, t.Any]] = {
    "cluster_name": {"type": "str", "required": True},
    **PLANNED_CLUSTER,
    "workloads": {"type": "list", "elements": "dict", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    **OPERATIONS,
    "create_namespaces": {"type": "bool", "default": False},
    "purge": {"type": "str", "choices": ["none", "namespace", "cluster"], "default": "none"},
    "also_declared": {"type": "list", "elements": "str", "default": []},
    "report_undeclared": {"type": "bool", "default": True},
}


def problems(params: t.Mapping[str, t.Any]) -> c.Iterator[str]:
    """What is wrong with the options, one sentence each."""
    yield from cluster_name_problems(params["cluster_name"])
    yield from name_problems(params["workloads"])
