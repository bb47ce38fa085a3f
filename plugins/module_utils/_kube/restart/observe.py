# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What must be known to decide about restarts: pods and their owners, associations, roles, the agent."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from ..._diagnosis.case import AGENT
from ..._eks import cluster
from ..._eks import common
from ..._eks.addon import looking as addons
from ..._eks.association import looking as associations
from ..._eks.association.objects import render
from ..._eks.association.objects import with_arns
from ..._eks.role import looking as roles
from ..causes import Refusal
from ..causes import explained
from .plan import BUDGET

if t.TYPE_CHECKING:
    import collections.abc as c

    from ..connection import ApiServer
    from ..module import AnsibleClusterModule

#: Pods that have ended hold nothing any more.
LIVING = "status.phase!=Succeeded,status.phase!=Failed"
#: The API of each kind that is listed, and the name of its objects there.
RESOURCES = {
    "Pod": ("/api/v1", "pods"),
    "ReplicaSet": ("/apis/apps/v1", "replicasets"),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "StatefulSet": ("/apis/apps/v1", "statefulsets"),
    "DaemonSet": ("/apis/apps/v1", "daemonsets"),
    BUDGET: ("/apis/policy/v1", "poddisruptionbudgets"),
}


class ObservationError(Exception):
    """Something without which nothing can be decided could not be read; one sentence."""


def path_of(kind: str, namespace: str, name: str = "") -> str:
    """Where an object is in the API, or all objects of its kind; without a namespace those of all namespaces."""
    api, resource = RESOURCES[kind]
    place = f"{api}/namespaces/{namespace}/{resource}" if namespace else f"{api}/{resource}"
    return f"{place}/{name}" if name else place


@dataclasses.dataclass
class Observer:
    """Reads the API server, and AWS only where something is left to decide."""

    module: AnsibleClusterModule
    api: ApiServer
    #: The one namespace of the workloads, so that no permission for others is needed; empty where there are several.
    namespace: str

    @property
    def cluster_name(self) -> str:
        return str(self.module.params["cluster_name"])

    @functools.cached_property
    def eks(self) -> t.Any:
        return self.module.eks_client()

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

    @functools.cached_property
    def associations(self) -> list[dict[str, t.Any]]:
        """The given associations, or those that EKS has."""
        given: list[dict[str, t.Any]] = self.module.params["associations"]
        if given:
            return with_arns(given, self.cluster_name, self.module.region or "")
        query = {**associations.EVERYTHING, "cluster_name": self.cluster_name, "namespace": self.namespace or None}
        return [render(one) for one in associations.look_up(self.eks, query, common.CONCURRENCY)]

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
            known["addons"] = {"addons": addons.look_up(self.eks, self.cluster_name, [AGENT])}
            if not known["addons"]["addons"]:
                known["clusters"] = {"clusters": cluster.look_up(self.eks, self.cluster_name)}
        except common.AnsibleEKSError as error:
            self.module.warn(f"The agent of cluster {self.cluster_name} was not checked: {error}")
        return known
