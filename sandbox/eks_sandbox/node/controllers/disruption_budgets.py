# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""PodDisruptionBudgets: how many of their pods may be evicted now."""

from __future__ import annotations

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import age
from eks_sandbox.control_plane.objects import controller_of
from eks_sandbox.control_plane.objects import is_true
from eks_sandbox.control_plane.objects import labels_of
from eks_sandbox.control_plane.objects import matches_selector
from eks_sandbox.node.client import DEPLOYMENTS
from eks_sandbox.node.client import DISRUPTION_BUDGETS
from eks_sandbox.node.client import PODS
from eks_sandbox.node.client import REPLICA_SETS
from eks_sandbox.node.client import STATEFUL_SETS
from eks_sandbox.node.controller import Key
from eks_sandbox.node.controller import is_alive
from eks_sandbox.node.controllers.workload import WorkloadController
from eks_sandbox.node.controllers.workload import share
from eks_sandbox.node.controllers.workload import with_condition

#: Seconds that an eviction may take until the pod is seen to go.
_EVICTION_TIME = 120
_SCALED = {"Deployment": DEPLOYMENTS, "ReplicaSet": REPLICA_SETS, "StatefulSet": STATEFUL_SETS}


class DisruptionBudgetController(WorkloadController):
    """Keeps the status of PodDisruptionBudgets."""

    name = "disruption-controller"
    collection = DISRUPTION_BUDGETS
    kind = "PodDisruptionBudget"

    def setup(self) -> None:
        """Budgets, and the pods that they guard."""
        self._budgets = self.follow(DISRUPTION_BUDGETS, self.wake)
        self.follow(PODS, self._pod_changed)

    def _pod_changed(self, pod: Object, exists: bool) -> None:
        del exists
        for key, budget in self._budgets.objects.items():
            if key[0] == pod["metadata"]["namespace"] and _guards(budget, pod):
                self.enqueue(key)

    async def reconcile(self, key: Key) -> None:
        """Count, and write the status."""
        budget = await self.current(key)
        if budget is None:
            return
        pods = [pod for pod in await self.client.select(PODS, key[0]) if _guards(budget, pod) and is_alive(pod)]
        expected, desired = await self._goals(budget, pods)
        names = {pod["metadata"]["name"] for pod in pods}
        disrupted = {
            name: when
            for name, when in ((budget.get("status") or {}).get("disruptedPods") or {}).items()
            if name in names and age(when) < _EVICTION_TIME
        }
        if disrupted:
            self.enqueue_after(key, _EVICTION_TIME)
        healthy = sum(1 for pod in pods if is_true(pod, "Ready") and pod["metadata"]["name"] not in disrupted)
        allowed = max(healthy - desired, 0) if expected else 0
        state = {
            "type": "DisruptionAllowed",
            "status": str(allowed > 0),
            "reason": "SufficientPods" if allowed else "InsufficientPods",
            "message": "",
            "observedGeneration": budget["metadata"]["generation"],
        }
        status = {
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "disruptedPods": disrupted or None,
            "disruptionsAllowed": allowed,
            "expectedPods": expected,
            "observedGeneration": budget["metadata"]["generation"],
            "conditions": with_condition(budget, state),
        }
        await self.update_status(DISRUPTION_BUDGETS, budget, status)

    async def _goals(self, budget: Object, pods: list[Object]) -> tuple[int, int]:
        """How many pods there should be, and how many of them must stay healthy."""
        spec = budget["spec"]
        if "maxUnavailable" in spec:
            expected = await self._scale(pods)
            return expected, max(expected - share(spec["maxUnavailable"], expected, up=True), 0)
        least = spec.get("minAvailable", 1)
        if isinstance(least, int):
            return len(pods), least
        expected = await self._scale(pods)
        return expected, share(least, expected, up=True)

    async def _scale(self, pods: list[Object]) -> int:
        """The sum of the replicas of the pods' controllers; a pod without a controller counts as one."""
        total = 0
        owners = {}
        for pod in pods:
            owner = controller_of(pod)
            if owner is None or owner["kind"] not in _SCALED:
                total += 1
            else:
                owners[owner["uid"]] = (owner, pod["metadata"]["namespace"])
        for owner, namespace in owners.values():
            total += await self._wanted(owner, namespace)
        return total

    async def _wanted(self, owner: Object, namespace: str) -> int:
        found = await self.client.get(_SCALED[owner["kind"]], namespace, owner["name"])
        if found is None:
            return 0
        above = controller_of(found)
        if above is not None and above["kind"] in _SCALED:
            return await self._wanted(above, namespace)
        return int(found["spec"].get("replicas", 1))


def _guards(budget: Object, pod: Object) -> bool:
    return matches_selector(budget["spec"].get("selector"), labels_of(pod))
