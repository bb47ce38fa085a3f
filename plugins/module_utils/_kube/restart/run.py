# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The module ``eks_pod_identity_restart``, between its options and its result: observe, plan, apply, prove."""

from __future__ import annotations

import typing as t

from ansible_collections.kubernetes.core.plugins.module_utils.k8s.exceptions import CoreException

from ..._eks import common
from ..._eks.progress import Report
from ..._workload.failure import all_failed
from ..._workload.service_account import present
from .. import probe
from ..connection import ApiServer
from ..observation import ObservationError
from ..observation import only_namespace
from . import apply
from . import result
from . import spec
from .observe import Observer
from .plan import Plan
from .plan import plan
from .plan import require_proof

if t.TYPE_CHECKING:
    import collections.abc as c

    from ..module import AnsibleClusterModule

Account = t.Mapping[str, str]


def run(module: AnsibleClusterModule) -> dict[str, t.Any]:
    """Restart what lacks its identity; returns the module's result, in which ``msg`` says that something failed."""
    params = module.params
    common.refuse(spec.problems(params))
    accounts = present(params["workloads"]) if params["mode"] != "never" else []
    try:
        found = Restart(module, accounts).run() if accounts else result.of(Plan(), [])
    except (ObservationError, CoreException, common.AnsibleEKSError) as error:
        words = common.explained(error) if isinstance(error, common.AnsibleEKSError) else str(error)
        found = result.of(Plan(), all_failed(accounts, "restart", words), words)
    if module.diff_mode:
        found["diff"] = result.diff(found["restarts"], params["cluster_name"])
    return {**found, **module.traffic.result}


class Restart:
    """One run for the workloads of a cluster."""

    def __init__(self, module: AnsibleClusterModule, accounts: c.Sequence[Account]) -> None:
        self._module = module
        self._params: t.Mapping[str, t.Any] = module.params
        self._accounts = accounts
        self._api = ApiServer(module, apply.CONCURRENCY, 1)
        self._observer = Observer(module, self._api, only_namespace(one["namespace"] for one in accounts))

    def run(self) -> dict[str, t.Any]:
        """Observe, plan, apply, and observe again.

        :raises ObservationError: when it cannot be known what to restart; nothing was restarted then.
        """
        effective, ineffective = self._probed()
        planned, check_mode = self._plan(effective), self._module.check_mode
        if check_mode or not planned.restarts:
            failed = [] if check_mode else result.failed_items(ineffective, planned)
            return result.of(planned, failed, check_mode=check_mode)
        outcome = self._apply(planned)
        lacking = result.lacking_after(self._plan(effective), outcome)
        failed = result.failed_items(ineffective, planned, outcome, lacking, self._params["timeout"])
        return result.of(planned, failed, outcome=outcome)

    def _probed(self) -> tuple[list[Account], list[Account]]:
        """The service accounts whose new pods would get their identity, and the others.

        Pods of a restart that comes too early would stay without it. Check mode predicts that a run will wait.
        """
        if self._module.check_mode:
            return list(self._accounts), []
        timeout: int = self._params["timeout"]
        answers = self._params["probed"] or probe.probe(self._module, self._accounts, timeout=timeout)
        return [one for one in answers if one["effective"]], [one for one in answers if not one["effective"]]

    def _plan(self, effective: c.Sequence[Account]) -> Plan:
        pods = self._observer.pods()
        associations = self._observer.associations if self._params["mode"] == "stale" else []
        kinds = self._decide(effective, pods, associations, ()).kinds
        owners = self._observer.owners(kinds)
        planned = self._decide(effective, pods, associations, owners)
        # Check mode has proven nothing, and predicts that a run will.
        if not planned.restarts or not self._params["require_proof"] or self._module.check_mode:
            return planned
        associations, proofs = self._observer.associations, self._params["proofs"]
        wanted = require_proof(planned, proofs, associations, None)
        if not wanted.unproven:
            return wanted
        roles = self._observer.roles(list(dict.fromkeys(one["role_arn"] for one in wanted.unproven)))
        planned = self._decide(effective, pods, associations, owners)
        return require_proof(planned, proofs, associations, roles, self._observer.agent())

    def _decide(self, effective: t.Any, pods: t.Any, associations: t.Any, owners: t.Any) -> Plan:
        params = self._params
        return plan(effective, pods, associations, owners, params["mode"], params["role_dates"])

    def _apply(self, planned: Plan) -> list[dict[str, t.Any]]:
        refusals = apply.begin(self._api, planned.restarts)
        with Report(f"restarts in cluster {self._params['cluster_name']}") as progress:
            return apply.wait(self._visible, planned.restarts, refusals, self._params["timeout"], progress)

    def _visible(self, kinds: c.Sequence[str]) -> list[dict[str, t.Any]]:
        """The objects whose rollout is waited for; while they cannot be listed, they count as waiting."""
        try:
            return self._observer.owners(kinds)
        except ObservationError:
            return []
