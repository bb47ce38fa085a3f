# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The module ``eks_pod_identity_verify``, between its options and its result: observe, prove, judge, diagnose."""

from __future__ import annotations

import inspect
import typing as t

from ansible_collections.kubernetes.core.plugins.module_utils.k8s.exceptions import CoreException

from ..._diagnosis import proof
from ..._diagnosis.cases import pod_orders
from ..._diagnosis.cases import read_cases
from ..._eks import common
from ..._workload.prove import read_workloads
from ..connection import ApiServer
from ..observation import ObservationError
from ..observation import only_namespace
from . import result
from . import script
from . import spec
from .job import Settings
from .observe import Observer
from .observe import Surroundings
from .prove import ExecProof
from .prove import JobProof

if t.TYPE_CHECKING:
    import collections.abc as c

    from ..module import AnsibleClusterModule

Declared = dict[str, t.Any]
Proof = dict[str, t.Any]


def run(module: AnsibleClusterModule) -> dict[str, t.Any]:
    """Verify the workloads; returns the module's result, in which ``msg`` says that something is not proven.

    :raises AnsibleEKSError: for wrong options.
    """
    env, params = spec.take_env(module), module.params
    common.refuse(spec.problems(params))
    verified, held = spec.split(params)
    if module.check_mode:
        return {**result.planned(read_workloads(verified), params), **module.traffic.result}
    verification = Verification(module, env, verified)
    proofs = [*verification.proofs(), *verification.judge(held, setup_failures=params["setup_failures"])]
    return {**result.of(proofs, params["strict"]), **module.traffic.result}


class Verification:
    """One run for the workloads of a cluster."""

    def __init__(
        self, module: AnsibleClusterModule, env: c.Sequence[Declared], workloads: c.Sequence[Declared]
    ) -> None:
        self._module = module
        self._params: t.Mapping[str, t.Any] = module.params
        self._workloads = workloads
        self._settings = Settings(module.params, env, inspect.getsource(script))
        self._associations: list[dict[str, t.Any]] = module.params["associations"]

    def proofs(self) -> list[Proof]:
        """The proofs of the workloads; where nothing could be found out, they say why."""
        failure: str = self._params["failure"]
        if not self._workloads or failure:
            return self.judge(self._workloads, failure=failure)
        try:
            return self._proven()
        except common.AnsibleEKSError as error:
            return self.judge(self._workloads, failure=common.explained(error))
        except (ObservationError, CoreException) as error:
            return self.judge(self._workloads, failure=str(error))

    def judge(self, workloads: c.Sequence[Declared], **observed: t.Any) -> list[Proof]:
        """The proofs of workloads by what was observed."""
        known = {
            "cluster": self._params["cluster_name"],
            "mode": self._params["mode"],
            "timeout": self._params["timeout"],
            "associations": self._associations,
        }
        return [proof.prove(case) for case in read_cases(workloads, {**known, **observed})]

    def _proven(self) -> list[Proof]:
        namespace = only_namespace(one["namespace"] for one in self._workloads)
        observer = Observer(self._module, ApiServer(self._module, common.CONCURRENCY, 1), namespace)
        self._associations = observer.associations
        observed = self._observed(observer)
        proofs = self.judge(self._workloads, **observed)
        unproven = [one for one in proofs if not one["proven"]]
        if not unproven:
            return proofs
        return self.judge(self._workloads, **observed, surroundings=Surroundings(observer, unproven).read())

    def _observed(self, observer: Observer) -> dict[str, t.Any]:
        workloads = read_workloads(self._workloads)
        region, grace, timeout = (self._params[key] for key in ("pod_region", "grace", "timeout"))
        orders = pod_orders(workloads, self._associations, region, grace, timeout)
        if self._params["mode"] == spec.EXEC:
            return ExecProof(observer, self._settings, workloads, orders).run()
        return JobProof(observer, self._settings, self._workloads, orders).run()
