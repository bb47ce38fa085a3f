# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The module ``eks_pod_identity_roles``, between its options and its result: observe, plan, apply."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ..._trust import findings
from ..._trust import planning
from ..._trust import revocation
from ..._trust import role
from ..._trust import transition
from ..._trust.document import LARGEST_SIZE_LIMIT
from ..._trust.findings import MOST_POLICIES
from ..._workload.cluster import Cluster
from ..._workload.cluster import TrustError
from ..._workload.failure import all_failed
from ..._workload.service_account import name_problems
from ..._workload.validation import workload_problems
from ..._workload.workload import is_present
from .. import codes
from .. import common
from .. import ownership
from .. import progress
from ..association.calls import describe_associations
from ..association.calls import list_associations
from ..association.objects import render
from ..threads import at_once
from . import accounts
from . import calls
from . import results
from .applying import Outcome
from .applying import Worker

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_eks.client import EKSClient
    from mypy_boto3_iam.client import IAMClient

    from ..._trust.planning import Leftovers
    from ..._trust.planning import Request
    from ..._trust.planning import RolePlan
    from ..._trust.statement import Subject
    from ..._workload.failure import FailedItem

MOST_THREADS = 256


def run(module: common.AnsibleEKSModule) -> dict[str, t.Any]:
    """Make the roles be as declared; returns the module's result.

    :raises common.AnsibleEKSError: when nothing was begun, with everything that is wrong.
    """
    params = module.params
    cluster = cluster_of(params["cluster_arn"])
    common.refuse([*workload_problems(params["workloads"], cluster.account), *option_problems(params)])
    with progress.Report(f"roles of cluster {cluster.name}", module.traffic.summary):
        if params["accounts"] is None:
            return {**in_account(module, cluster, other_credentials(module)), **module.traffic.result}
        found = [in_one_of(module, cluster, *place) for place in accounts.places(module, cluster).items()]
    return {**results.merged(found), **module.traffic.result}


def in_one_of(
    module: common.AnsibleEKSModule, cluster: Cluster, account: str, credentials: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    """The roles of one account of several; a failure there does not stop the others."""
    try:
        return in_account(module, cluster, credentials)
    except common.AnsibleEKSError as error:
        users = [one for one in module.params["workloads"] if account in accounts.concerned([one], cluster, (), False)]
        words = f"account {account}: {common.explained(error)}"
        return results.failed(all_failed(users, "target_role", words), words)


def in_account(
    module: common.AnsibleEKSModule, cluster: Cluster, credentials: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    """Observe, plan and apply the roles of one account.

    :raises common.AnsibleEKSError: when nothing was begun.
    """
    params = module.params
    iam: IAMClient = module.watched_client("iam", params["concurrency"], **credentials)
    request = request_of(module, cluster, credentials)
    task = Task(iam, request, params["concurrency"], lambda: eks_client(module, credentials))
    task.observe()
    task.plan()
    for sentence in task.unchecked:
        module.warn(sentence)
    if any(plan.action == "create" for plan in task.plans):
        common.refuse(account_problems(module, task.request, credentials))
    outcomes = task.predicted() if module.check_mode else task.apply()
    result = results.result_of(outcomes, params["workloads"], params["kind"])
    result["findings"] += [
        {"name": name, "findings": [findings.still_associated(name, subjects)]}
        for name, subjects in task.staying.items()
    ]
    if module.check_mode:
        result["changed"] = any(plan.changes for plan in task.plans)
    if module.diff_mode:
        result["diff"] = results.diff(task.plans, cluster.name)
    return result


def all_items(params: t.Mapping[str, t.Any], error: common.AnsibleEKSError) -> list[FailedItem]:
    """``failed_items`` where nothing was begun."""
    phase = "iam_role" if params["kind"] == "source" else "target_role"
    named = [one for one in params["workloads"] if not list(name_problems([one]))]
    return all_failed(named, phase, common.explained(error))


# --- what is asked for ------------------------------------------------------------------------------------------------


def cluster_of(arn: str) -> Cluster:
    """:raises common.AnsibleEKSError: when it is no ARN of a cluster."""
    try:
        return Cluster.from_arn(arn)
    except TrustError as error:
        raise common.AnsibleEKSError(f"cluster_arn: {error}") from error


def option_problems(params: t.Mapping[str, t.Any]) -> c.Iterator[str]:
    """Numbers that cannot be right, and options that do not go together."""
    ranges = {
        "concurrency": (1, MOST_THREADS),
        "trust_size_limit": (1, LARGEST_SIZE_LIMIT),
        "managed_policies_limit": (1, MOST_POLICIES),
    }
    for option, (low, high) in ranges.items():
        if not low <= params[option] <= high:
            yield f"{option}: {params[option]} cannot be right, it must be from {low} to {high}."
    if params["accounts"] is not None and params["kind"] == "source":
        yield "accounts: roles that EKS assumes itself are in the cluster's account, give accounts with kind: target."
    if params["assume_role_external_id"] and not params["assume_role_arn"]:
        yield "assume_role_external_id: it is of no use without assume_role_arn, give that too."
    for number, association in enumerate(params["associations"], start=1):
        if not all(isinstance(association.get(key), str) for key in ("namespace", "service_account")):
            yield f"associations: number {number} lacks namespace or service_account, give what EKS describes."


def request_of(module: common.AnsibleEKSModule, cluster: Cluster, credentials: t.Mapping[str, t.Any]) -> Request:
    """What the planner is to know of the task."""
    params = module.params
    removes = "remove" in params["operations"]
    return planning.Request(
        cluster=cluster,
        workloads=tuple(one for one in params["workloads"] if removes or is_present(one)),
        kind=params["kind"],
        state=params["state"] if "apply" in params["operations"] or params["state"] == "absent" else "remove_only",
        purge=params["purge"] if removes else "none",
        revoke=params["revoke_sessions"],
        now=revocation.timestamp(time.time()),
        account=account_of(module, credentials) if params["kind"] == "target" else cluster.account,
        associations={(one["namespace"], one["service_account"]): one for one in params["associations"]},
        predict=module.check_mode,
        trust_limit=params["trust_size_limit"],
        policies_limit=params["managed_policies_limit"],
    )


def eks_client(module: common.AnsibleEKSModule, credentials: t.Mapping[str, t.Any]) -> EKSClient:
    """A client in the cluster's region."""
    region = cluster_of(module.params["cluster_arn"]).region
    client = module.watched_client("eks", module.params["concurrency"], **credentials, region=region)
    return t.cast("EKSClient", client)


# --- whose credentials ------------------------------------------------------------------------------------------------


def other_credentials(module: common.AnsibleEKSModule) -> dict[str, t.Any]:
    """Settings of a client with the credentials of ``assume_role_arn``, empty where the task's own are meant."""
    params = module.params
    if not params["assume_role_arn"]:
        return {}
    return calls.assume(module.watched_client("sts"), params["assume_role_arn"], params["assume_role_external_id"])


def account_of(module: common.AnsibleEKSModule, credentials: t.Mapping[str, t.Any]) -> str:
    """The account in which roles are made."""
    return calls.caller_account(module.watched_client("sts", **credentials))


def account_problems(
    module: common.AnsibleEKSModule, request: Request, credentials: t.Mapping[str, t.Any]
) -> c.Iterator[str]:
    """Roles that would be made in an account in which nobody looks for them."""
    if request.kind == "target":
        return
    account = account_of(module, credentials)
    if account != request.cluster.account:
        yield (
            f"These credentials are of account {account}, cluster {request.cluster.name} is in "
            f"{request.cluster.account}, and so must be the roles of its workloads: use credentials of that account."
        )


# --- the task ---------------------------------------------------------------------------------------------------------


class Task:
    """Observes, plans and applies all roles of a request, in threads."""

    def __init__(self, iam: IAMClient, request: Request, concurrency: int, eks: c.Callable[[], EKSClient]) -> None:
        """:param eks: makes a client of EKS, which is needed only where something is to be purged."""
        self._iam = iam
        self._eks = eks
        self.request = request
        self._concurrency = concurrency
        self._leftovers: Leftovers = {}
        self.staying: dict[str, list[Subject]] = {}
        #: What could not be checked before, and why.
        self.unchecked: list[str] = []
        self._declared: list[role.Declared] = []
        self._found: dict[str, role.Role | None] = {}
        self._policies: dict[str, str] = {}
        self.plans: list[RolePlan] = []

    def observe(self) -> None:
        """Look at all roles that the request is about."""
        request = self.request
        if request.purge != "none":
            found = planning.find_leftovers(request, calls.list_trusts(self._iam))
            others = self._associations_of_others(found) if found else set()
            self._leftovers, self.staying = planning.still_used(found, others)
        self._declared = planning.concerned(request, self._leftovers)
        names = [
            declared.name for declared in self._declared if planning.is_looked_at(declared, request, self._leftovers)
        ]
        self._found = dict(at_once(lambda name: (name, calls.look_up(self._iam, name)), names, self._concurrency))
        if request.kind == "source":
            self.request = dataclasses.replace(request, associations=self._associations_that_matter())

    def _associations_that_matter(self) -> planning.Associations:
        """Those of workloads whose roles can only be narrowed when their associations allow it; none as a rule."""
        keys = [
            (workload["namespace"], workload["service_account"])
            for declared in self._managed()
            for workload in transition.unsettled(declared, self._found.get(declared.name))
        ]
        given = self.request.associations
        if given or not keys:
            return {key: given.get(key) for key in keys}
        try:
            found = self._read_associations(keys)
        except common.AnsibleEKSError as error:
            # Who may not look at associations narrows nothing.
            if common.error_of(error)[0] not in codes.ACCESS_DENIED:
                raise
            return dict.fromkeys(keys)
        return {key: found.get(key, {}) for key in keys}

    def _read_associations(self, keys: c.Collection[tuple[str, str]]) -> dict[tuple[str, str], dict[str, t.Any]]:
        """The associations of these workloads as modules return them; without a cluster there are none."""
        eks, name = self._eks(), self.request.cluster.name
        summaries = [one for one in list_associations(eks, name) or [] if one.key in keys]
        ids = [str(one.association_id) for one in summaries]
        return {one.key: render(one) for one in describe_associations(eks, name, ids, self._concurrency)}

    def _associations_of_others(self, leftovers: Leftovers) -> set[tuple[str, str]]:
        """The associations of these workloads that nobody purges: an add-on's, and those that do not carry our tag."""
        name, mark = self.request.cluster.name, {ownership.TAG: self.request.cluster.name}
        if self.request.kind == "target":
            # These credentials may be another account's than the cluster's.
            known = self.request.associations.items()
            return {
                key
                for key, one in known
                if one and (one.get("owner_arn") or not mark.items() <= (one.get("tags") or {}).items())
            }
        eks = self._eks()
        keys = {(one.namespace, one.service_account) for found in leftovers.values() for one in found.values()}
        summaries = [one for one in list_associations(eks, name) or [] if one.key in keys]
        unowned = [str(one.association_id) for one in summaries if not one.owner_arn]
        ours = {one.key for one in describe_associations(eks, name, unowned, self._concurrency) if one.carries(mark)}
        return {one.key for one in summaries} - ours

    def plan(self) -> None:
        """Plan all roles; what a plan needs to know further is looked up first.

        :raises common.AnsibleEKSError: with everything that forbids to carry the plans out.
        """
        if any(role.unresolved(one, self._found.get(one.name), {}) for one in self._managed()):
            self._policies = calls.policies_by_name(self._iam)
        self.plans = [self._plan(declared, self._found.get(declared.name)) for declared in self._declared]
        self._read_what_counts()
        problems = [problem for plan in self.plans for problem in plan.problems]
        common.refuse([*problems, *self._missing_policies(), *self._missing_boundaries(), *self._missing_given()])

    def _missing_policies(self) -> c.Iterator[str]:
        """Managed policies that are to be attached by their ARN and do not exist; unchanged roles cost no call."""
        wanted: dict[str, str] = {}
        for plan in self.plans:
            attached = plan.before.managed_policies if plan.before else {}
            for arn in plan.after.managed_policies if plan.after else ():
                if arn not in attached and arn not in self._policies.values():
                    wanted.setdefault(arn, plan.name)
        for arn in self._absent(wanted, lambda arn: calls.get_policy(self._iam, arn), "iam:GetPolicy"):
            yield (
                f"Role {wanted[arn]} is declared with the managed policy {arn}, which does not exist: correct its ARN, "
                "or create the policy first."
            )

    def _missing_boundaries(self) -> c.Iterator[str]:
        """Permissions boundaries that are to be set and do not exist; unchanged roles cost no call."""
        wanted: dict[str, str] = {}
        for plan in self.plans:
            boundary = plan.after.boundary if plan.after else None
            if boundary and boundary != (plan.before.boundary if plan.before else None):
                wanted.setdefault(boundary, plan.name)
        for arn in self._absent(wanted, lambda arn: calls.get_policy(self._iam, arn), "iam:GetPolicy"):
            yield (
                f"Role {wanted[arn]} is declared with the permissions boundary {arn}, which does not exist: correct "
                "its ARN, or create the policy first."
            )

    def _missing_given(self) -> c.Iterator[str]:
        """Given roles that do not exist, in check mode; a run learns it from EKS, which refuses their associations."""
        request = self.request
        if not request.predict or request.kind != "source" or request.state != "present":
            return
        given = {one.arn: one for one in role.declared_roles(request.workloads, request.cluster) if one.given}

        def look(arn: str) -> bool:
            found = calls.get_role(self._iam, given[arn].name)
            return found is not None and found["Arn"] == arn

        for arn in self._absent(given, look, "iam:GetRole"):
            users = ", ".join(str(given[arn].subject(workload)) for workload in given[arn].given)
            yield f"Workload {users} has role.arn {arn}, which does not exist: create the role, or correct the ARN."

    def _absent(self, arns: c.Iterable[str], look: c.Callable[[str], object], action: str) -> list[str]:
        """The ARNs for which a look finds nothing; who lacks the action learns it from the call that needs it."""

        def missing(arn: str) -> str | None:
            try:
                return None if look(arn) else arn
            except common.AnsibleEKSError as error:
                if common.error_of(error)[0] not in codes.ACCESS_DENIED:
                    raise
                self.unchecked.append(f"Whether {arn} exists could not be checked, for want of {action}.")
                return None

        return at_once(missing, arns, self._concurrency)

    def _managed(self) -> list[role.Declared]:
        """The roles whose policies are to be as declared."""
        return self._declared if self.request.state == "present" else []

    def _plan(self, declared: role.Declared, found: role.Role | None) -> RolePlan:
        return planning.plan_role(declared, found, self.request, self._leftovers, self._policies)

    def _read_what_counts(self) -> None:
        """Where an inline policy is to be written beside those of others, these count towards the limit."""
        partly = [
            plan.before
            for plan in self.plans
            if plan.before and plan.after and plan.after.inline_policies != plan.before.inline_policies
            if any(calls.unread(plan.before))
        ]
        if partly:
            whole = at_once(lambda one: calls.with_all_inline(self._iam, one), partly, self._concurrency)
            self._found |= {one.name: one for one in whole}
            self.plans = [self._plan(declared, self._found.get(declared.name)) for declared in self._declared]

    def predicted(self) -> list[Outcome]:
        """What would come of the plans, if all goes well."""
        return [Outcome(plan=plan, role=plan.after) for plan in self.plans]

    def apply(self) -> list[Outcome]:
        """Carry out all plans; one that fails hinders no other."""
        return at_once(self._apply, list(zip(self._declared, self.plans, strict=True)), self._concurrency)

    def _apply(self, job: tuple[role.Declared, RolePlan]) -> Outcome:
        declared, plan = job
        worker = Worker(self._iam, plan, lambda found: self._plan(declared, found), self.request.policies_limit)
        return worker.apply()
