# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The module ``eks_pod_identity_associations``, between its options and its result."""

from __future__ import annotations

import functools
import typing as t

from .. import common
from . import results
from .declared import ownership_marks
from .declared import specs_of_many
from .planning import Purge
from .reconciling import Task
from .reconciling import reconcile

#: The service name of the tagging API.
TAGGING = "resourcegroupstaggingapi"


def run(module: common.AnsibleEKSModule) -> dict[str, t.Any]:
    """Reconcile the declared associations; returns the module's result.

    :raises common.AnsibleEKSError: when nothing was begun, with everything that cannot be right.
    """
    params = module.params
    make_tagging = functools.partial(module.watched_client, TAGGING)
    task = Task(
        client=module.eks_client(params["concurrency"]),
        traffic=module.traffic,
        cluster_name=params["cluster_name"],
        specs=specs_of_many(params),
        check_mode=module.check_mode,
        propagation_timeout=params["iam_propagation_timeout"],
        concurrency=params["concurrency"],
        purge=Purge(scope=params["purge"], marks=ownership_marks(params)),
        tagging=make_tagging if params["mode"] == "fast" else None,
        undeclared=make_tagging if params["report_undeclared"] else None,
        planned_cluster=params.get("planned_cluster"),
    )
    reconciled = reconcile(task)
    if reconciled.observed.fallback:
        module.warn(f"Every association was looked at, as in mode full: {reconciled.observed.fallback.rstrip('.')}.")
    result = {**results.result_of(reconciled), **module.traffic.result, "invocation": invocation(params)}
    if reconciled.applied.failures:
        result["msg"] = results.complaint(reconciled)
    if module.diff_mode:
        result["diff"] = results.diff(reconciled, task.cluster_name)
    return result


def invocation(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """How the module was called, without what was not set: a third of a long result would be options that are null."""
    associations = [common.without_none(item) for item in params["associations"]]
    return {"module_args": {**params, "associations": associations}}
