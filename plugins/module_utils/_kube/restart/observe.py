# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What must be known to decide about restarts: pods and their owners, associations, roles, the agent."""

from __future__ import annotations

import typing as t

from ..._diagnosis.case import AGENT
from ..._eks import cluster
from ..._eks import common
from ..._eks.addon import looking as addons
from ..._eks.role import looking as roles
from ..causes import Refusal
from ..causes import explained
from ..observation import ClusterObserver
from ..observation import ObservationError
from ..observation import path_of

if t.TYPE_CHECKING:
    import collections.abc as c

#: Pods that have ended hold nothing any more.
LIVING = "status.phase!=Succeeded,status.phase!=Failed"


class Observer(ClusterObserver):
    """Reads pods, what they belong to, and what gives them their identity."""

    def pods(self) -> list[dict[str, t.Any]]:
        """The living pods. :raises ObservationError: where they may not be listed."""
        return self._listed("Pod", "pods", fields=LIVING)

    def owners(self, kinds: c.Iterable[str]) -> list[dict[str, t.Any]]:
        """All objects of these kinds. :raises ObservationError: with a sentence for each that may not be listed."""
        found: list[dict[str, t.Any]] = []
        failures = []
        for kind in kinds:
            try:
                found += self._listed(kind, f"objects of kind {kind}")
            except ObservationError as error:
                failures.append(str(error))
        if failures:
            raise ObservationError("\n".join(failures))
        return found

    def _listed(self, kind: str, what: str, fields: str = "") -> list[dict[str, t.Any]]:
        answer = self.api.objects(path_of(kind, self.namespace), fields=fields)
        if isinstance(answer, Refusal):
            raise ObservationError(f"The {what} of cluster {self.cluster_name} cannot be listed: {explained(answer)}.")
        return answer

    def roles(self, arns: c.Sequence[str]) -> dict[str, t.Any]:
        """The roles, as the module ``eks_pod_identity_role_info`` returns them; what may not be read says so."""
        try:
            return roles.read_all(self.module, arns, {})
        except common.AnsibleEKSError as error:
            return {"roles": [], "missing": [], "unread": [{"arn": arn, "message": str(error)} for arn in arns]}

    def agent(self) -> dict[str, t.Any]:
        """What :func:`agent_refusal` takes. An agent that may not be read keeps nothing from being restarted."""
        known: dict[str, t.Any] = {"managed": self.module.params["agent_managed"]}
        try:
            known["addons"] = addons.look_up(self.eks, self.cluster_name, [AGENT])
            if not known["addons"]:
                known["clusters"] = cluster.look_up(self.eks, self.cluster_name)
        except common.AnsibleEKSError as error:
            self.module.warn(f"The agent of cluster {self.cluster_name} was not checked: {error}")
        return known
