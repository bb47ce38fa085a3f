# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The module ``eks_pod_identity_associations``, between its options and its result."""

from __future__ import annotations

import datetime
import functools
import json
import typing as t

from ..._workload.cluster import TrustError
from ..._workload.failure import all_failed
from ..._workload.service_account import name_problems
from ..._workload.validation import workload_problems
from ..._workload.workload import associations
from .. import common
from . import results
from .declared import ownership_marks
from .declared import specs_of_many
from .planning import Purge
from .reconciling import Task
from .reconciling import reconcile

if t.TYPE_CHECKING:
    from ..._workload.failure import FailedItem

#: The service name of the tagging API.
TAGGING = "resourcegroupstaggingapi"
#: The options of one association that no workload declares.
UNDECLARED = {"association_id": None, "role_arn": None, "target_role_arn": None, "disable_session_tags": None}
UNSET = {**UNDECLARED, "policy": None, "tags": None, "purge_tags": None, "force_owned": False}


def run(module: common.AnsibleEKSModule) -> dict[str, t.Any]:
    """Reconcile the declared associations; returns the module's result.

    :raises common.AnsibleEKSError: when nothing was begun, with everything that cannot be right.
    """
    params = {**module.params, "associations": declared(module.params)}
    make_tagging = functools.partial(module.watched_client, TAGGING)
    kept = frozenset((one.partition("/")[0], one.partition("/")[2]) for one in params["also_declared"])
    task = Task(
        client=module.eks_client(params["concurrency"]),
        traffic=module.traffic,
        cluster_name=params["cluster_name"],
        specs=specs_of_many(params),
        check_mode=module.check_mode,
        propagation_timeout=params["iam_propagation_timeout"],
        concurrency=params["concurrency"],
        purge=Purge(scope=params["purge"], marks=ownership_marks(params), kept=kept),
        tagging=make_tagging if params["mode"] == "fast" else None,
        undeclared=make_tagging if params["report_undeclared"] else None,
        planned_cluster=params.get("planned_cluster"),
    )
    reconciled = reconcile(task)
    if reconciled.observed.fallback:
        module.warn(f"Every association was looked at, as in mode full: {reconciled.observed.fallback.rstrip('.')}.")
    result = {**results.result_of(reconciled), **module.traffic.result, "invocation": invocation(params)}
    result["undeclared"] = [name for name in result["undeclared"] if name not in params["also_declared"]]
    result["report"] = results.report(result, params)
    if module.check_mode:
        date_changes(result)
    if reconciled.applied.failures:
        result["msg"] = results.complaint(reconciled)
    if module.diff_mode:
        result["diff"] = results.diff(reconciled, task.cluster_name)
    return result


def invocation(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """How the module was called, without what was not set: a third of a long result would be options that are null."""
    associations = [common.without_none(item) for item in params["associations"]]
    return {"module_args": {**params, "associations": associations}}


def declared(params: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """The associations of the task, given as such or by workloads.

    :raises common.AnsibleEKSError: for a workload whose association cannot be derived.
    """
    given: list[dict[str, t.Any]] | None = params["associations"]
    if given is not None:
        return given
    workloads, account = params["workloads"], "".join((params["cluster_arn"] or "").split(":")[4:5])
    common.refuse(workload_problems(workloads, account))
    if params["state"] == "absent":
        workloads = [{**one, "state": "absent"} for one in workloads]
    try:
        derived = associations(workloads, params["cluster_arn"] or "", params["role_arns"])
    except TrustError as error:
        raise common.AnsibleEKSError(
            f"cluster_arn: {error} It tells the account of the roles; or give role_arns, or role.arn in place of "
            "role.name."
        ) from error
    return [{**UNSET, **one, "policy": as_text(one.get("policy"))} for one in derived]


def as_text(policy: t.Any) -> str | None:
    """A session policy as the option of an association takes it."""
    return policy if policy is None or isinstance(policy, str) else json.dumps(policy)


def date_changes(result: t.Mapping[str, t.Any]) -> None:
    """In check mode, date what would change to now, so that tasks after this one see that pods would be older."""
    now = datetime.datetime.now(datetime.UTC).isoformat()
    changing = {one["association_id"] for one in result["plan"] if "update_pod_identity_association" in one["calls"]}
    for one in result["associations"]:
        if one["association_id"] in changing:
            one["modified_at"] = now


def all_items(params: t.Mapping[str, t.Any], error: common.AnsibleEKSError) -> list[FailedItem]:
    """``failed_items`` where nothing was begun."""
    named = [one for one in params["associations"] or params["workloads"] or [] if not list(name_problems([one]))]
    return all_failed(named, "association", common.explained(error))
