# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What modules that call AWS and Kubernetes read of a cluster."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from .._eks import common
from .._eks.association import looking
from .._eks.association.objects import render
from .._eks.association.objects import with_arns

if t.TYPE_CHECKING:
    from .connection import ApiServer
    from .module import AnsibleClusterModule

#: The API of each kind that is read or written, and the name of its objects there.
RESOURCES = {
    "Pod": ("/api/v1", "pods"),
    "Event": ("/api/v1", "events"),
    "Node": ("/api/v1", "nodes"),
    "Job": ("/apis/batch/v1", "jobs"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "ReplicaSet": ("/apis/apps/v1", "replicasets"),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "StatefulSet": ("/apis/apps/v1", "statefulsets"),
    "DaemonSet": ("/apis/apps/v1", "daemonsets"),
    "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets"),
}


class ObservationError(Exception):
    """Something without which nothing can be decided could not be read; one sentence."""


def path_of(kind: str, namespace: str, name: str = "") -> str:
    """Where an object is in the API, or all objects of its kind; without a namespace those of all namespaces."""
    api, resource = RESOURCES[kind]
    place = f"{api}/namespaces/{namespace}/{resource}" if namespace else f"{api}/{resource}"
    return f"{place}/{name}" if name else place


def only_namespace(namespaces: t.Iterable[str]) -> str:
    """The one namespace, so that no permission for others is needed; empty where there are several."""
    found = set(namespaces)
    return found.pop() if len(found) == 1 else ""


@dataclasses.dataclass
class ClusterObserver:
    """Reads the API server, and AWS only where something is left to decide."""

    module: AnsibleClusterModule
    api: ApiServer
    #: The one namespace of the workloads; empty where there are several.
    namespace: str

    @property
    def cluster_name(self) -> str:
        return str(self.module.params["cluster_name"])

    @functools.cached_property
    def eks(self) -> t.Any:
        return self.module.eks_client()

    @functools.cached_property
    def associations(self) -> list[dict[str, t.Any]]:
        """The given associations, or those that EKS has."""
        given: list[dict[str, t.Any]] = self.module.params["associations"]
        if given:
            return with_arns(given, self.cluster_name, self.module.region or "")
        return self.listed_associations(namespace=self.namespace or None)

    def listed_associations(self, **query: t.Any) -> list[dict[str, t.Any]]:
        """Those that EKS has. :raises AnsibleEKSError: where they may not be read."""
        wanted = {**looking.EVERYTHING, "cluster_name": self.cluster_name, **query}
        return [render(one) for one in looking.look_up(self.eks, wanted, common.CONCURRENCY)]
