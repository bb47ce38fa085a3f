# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The eviction of pods, which respects PodDisruptionBudgets; their status is kept by a controller."""

from __future__ import annotations

import dataclasses

from eks_sandbox.control_plane.embedded import schema
from eks_sandbox.control_plane.embedded.errors import ApiError
from eks_sandbox.control_plane.embedded.errors import bad_request
from eks_sandbox.control_plane.embedded.lifecycle import Lifecycle
from eks_sandbox.control_plane.embedded.options import DeleteOptions
from eks_sandbox.control_plane.embedded.options import WriteOptions
from eks_sandbox.control_plane.embedded.requests import Request
from eks_sandbox.control_plane.embedded.requests import Target
from eks_sandbox.control_plane.embedded.resources import DISRUPTION_BUDGETS
from eks_sandbox.control_plane.embedded.resources import PODS
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.embedded.store import Store
from eks_sandbox.control_plane.embedded.writes import Writer
from eks_sandbox.control_plane.embedded.writes import ensure_kind
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import is_true
from eks_sandbox.control_plane.objects import labels_of
from eks_sandbox.control_plane.objects import matches_selector
from eks_sandbox.control_plane.objects import timestamp

_EVICTIONS = Resource("policy", "evictions", "Eviction")


class Evictions:
    """Evicts pods."""

    def __init__(self, store: Store, writer: Writer, lifecycle: Lifecycle) -> None:
        self._store = store
        self._writer = writer
        self._lifecycle = lifecycle

    async def evict(self, target: Target, request: Request, options: WriteOptions) -> tuple[int, Object]:
        """Delete a pod, unless that would leave too few.

        :raises ApiError: 429 while its budget does not allow it.
        """
        body: Object = schema.without_nulls(request.object())
        ensure_kind(_EVICTIONS, body)
        schema.check(_EVICTIONS, body)
        if (body.get("metadata") or {}).get("name") not in (None, "", target.name):
            raise bad_request("name in URL does not match name in Eviction object")
        asked = body.get("deleteOptions") or {}
        is_dry = options.dry_run or bool(asked.get("dryRun"))
        pod = self._writer.existing(target)
        budget = self._budget(pod)
        if budget is not None and _counts(pod):
            self._use(budget, pod, dry_run=is_dry)
        deletion = DeleteOptions.read(request, asked)
        self._lifecycle.delete(PODS, pod, dataclasses.replace(deletion, dry_run=is_dry))
        return 201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

    def _budget(self, pod: Object) -> Object | None:
        budgets = [
            budget
            for budget in self._store.select(DISRUPTION_BUDGETS, pod["metadata"]["namespace"])
            if matches_selector(budget["spec"].get("selector"), labels_of(pod))
        ]
        if len(budgets) > 1:
            why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            raise ApiError(500, "InternalError", why)
        return budgets[0] if budgets else None

    def _use(self, budget: Object, pod: Object, *, dry_run: bool) -> None:
        """Take one disruption from the budget."""
        status, name = budget.get("status") or {}, budget["metadata"]["name"]
        healthy, desired = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
        if not is_true(pod, "Ready") and (healthy >= desired > 0 or _always_evicts(budget)):
            return
        if status.get("observedGeneration", 0) < budget["metadata"]["generation"]:
            raise _refusal(f"The disruption budget {name} is still being processed by the server.")
        if status.get("disruptionsAllowed", 0) < 1:
            needs = f"needs {desired} healthy pods and has {healthy} currently"
            raise _refusal(f"The disruption budget {name} {needs}")
        if not dry_run:
            disrupted = {**(status.get("disruptedPods") or {}), pod["metadata"]["name"]: timestamp()}
            allowed = status["disruptionsAllowed"] - 1
            used = {**status, "disruptionsAllowed": allowed, "disruptedPods": disrupted}
            self._store.put(DISRUPTION_BUDGETS, {**budget, "status": used})


def _counts(pod: Object) -> bool:
    """Whether a budget guards the pod: a pod that has ended, is pending or is being deleted is not guarded."""
    phase = (pod.get("status") or {}).get("phase")
    return phase not in ("Succeeded", "Failed", "Pending") and not pod["metadata"].get("deletionTimestamp")


def _always_evicts(budget: Object) -> bool:
    return bool(budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow")


def _refusal(why: str) -> ApiError:
    message = "Cannot evict pod as it would violate the pod's disruption budget."
    return ApiError(429, "TooManyRequests", message, {"causes": [{"reason": "DisruptionBudget", "message": why}]})
