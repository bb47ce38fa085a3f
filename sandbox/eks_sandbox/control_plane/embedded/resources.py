# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which kinds the embedded API server serves."""

from __future__ import annotations

import dataclasses

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_NAMESPACE_VERBS = ("create", "delete", "get", "list", "patch", "update", "watch")
CREATE_ONLY = ("create",)


@dataclasses.dataclass(frozen=True)
class Resource:
    """One kind in one version of one group."""

    group: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    categories: tuple[str, ...] = ()
    #: Name of the pydantic model in ``kubernetes.client``, where it is not ``V1`` and the kind.
    model: str = ""
    version: str = "v1"

    @property
    def api_version(self) -> str:
        """``v1`` or ``<group>/v1``, as in objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """The plural with its group, as in messages."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def model_name(self) -> str:
        return self.model or f"V1{self.kind}"

    @property
    def has_status(self) -> bool:
        """Whether ordinary writes leave ``status`` alone."""
        return "status" in self.subresources


RBAC = "rbac.authorization.k8s.io"
AUTHENTICATION = "authentication.k8s.io"
AUTHORIZATION = "authorization.k8s.io"
ADMISSION = "admissionregistration.k8s.io"
ALL = ("all",)

NAMESPACES = Resource("", "namespaces", "Namespace", False, ("ns",), ("finalize", "status"), _NAMESPACE_VERBS)
NODES = Resource("", "nodes", "Node", False, ("no",), ("status",))
SERVICE_ACCOUNTS = Resource("", "serviceaccounts", "ServiceAccount", True, ("sa",), ("token",))
CONFIG_MAPS = Resource("", "configmaps", "ConfigMap", True, ("cm",))
SECRETS = Resource("", "secrets", "Secret")
PODS = Resource(
    "", "pods", "Pod", True, ("po",), ("status", "log", "exec", "attach", "binding", "eviction"), categories=ALL
)
SERVICES = Resource("", "services", "Service", True, ("svc",), ("status",), categories=ALL)
#: These two cannot be created here, so lists of them are empty; ``kubectl describe namespace`` needs these lists.
RESOURCE_QUOTAS = Resource("", "resourcequotas", "ResourceQuota", True, ("quota",))
LIMIT_RANGES = Resource("", "limitranges", "LimitRange", True, ("limits",))
EVENTS = Resource("", "events", "Event", True, ("ev",), model="CoreV1Event")
DEPLOYMENTS = Resource("apps", "deployments", "Deployment", True, ("deploy",), ("status", "scale"), categories=ALL)
REPLICA_SETS = Resource("apps", "replicasets", "ReplicaSet", True, ("rs",), ("status", "scale"), categories=ALL)
DAEMON_SETS = Resource("apps", "daemonsets", "DaemonSet", True, ("ds",), ("status",), categories=ALL)
CONTROLLER_REVISIONS = Resource("apps", "controllerrevisions", "ControllerRevision")
LEASES = Resource("coordination.k8s.io", "leases", "Lease")
STATEFUL_SETS = Resource("apps", "statefulsets", "StatefulSet", True, ("sts",), ("status", "scale"), categories=ALL)
DISRUPTION_BUDGETS = Resource("policy", "poddisruptionbudgets", "PodDisruptionBudget", True, ("pdb",), ("status",))
JOBS = Resource("batch", "jobs", "Job", True, (), ("status",), categories=ALL)
MUTATING_WEBHOOKS = Resource(ADMISSION, "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", False)
TOKEN_REVIEWS = Resource(AUTHENTICATION, "tokenreviews", "TokenReview", False, verbs=CREATE_ONLY)
SELF_SUBJECT_REVIEWS = Resource(AUTHENTICATION, "selfsubjectreviews", "SelfSubjectReview", False, verbs=CREATE_ONLY)
SELF_ACCESS_REVIEWS = Resource(
    AUTHORIZATION, "selfsubjectaccessreviews", "SelfSubjectAccessReview", False, verbs=CREATE_ONLY
)
ACCESS_REVIEWS = Resource(AUTHORIZATION, "subjectaccessreviews", "SubjectAccessReview", False, verbs=CREATE_ONLY)

REGISTRY: tuple[Resource, ...] = (
    NAMESPACES,
    NODES,
    SERVICE_ACCOUNTS,
    CONFIG_MAPS,
    SECRETS,
    PODS,
    SERVICES,
    RESOURCE_QUOTAS,
    LIMIT_RANGES,
    EVENTS,
    DEPLOYMENTS,
    REPLICA_SETS,
    DAEMON_SETS,
    STATEFUL_SETS,
    CONTROLLER_REVISIONS,
    JOBS,
    DISRUPTION_BUDGETS,
    LEASES,
    MUTATING_WEBHOOKS,
    TOKEN_REVIEWS,
    SELF_SUBJECT_REVIEWS,
    SELF_ACCESS_REVIEWS,
    ACCESS_REVIEWS,
)
#: What a real cluster has and this one does not: a request for it gets a 501 that says so.
NOT_REBUILT: dict[str, tuple[str, ...]] = {
    RBAC: ("roles", "rolebindings", "clusterroles", "clusterrolebindings"),
    ADMISSION: (
        "validatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    ),
    AUTHORIZATION: ("localsubjectaccessreviews", "selfsubjectrulesreviews"),
    "apiextensions.k8s.io": ("customresourcedefinitions",),
    "apiregistration.k8s.io": ("apiservices",),
    "autoscaling": ("horizontalpodautoscalers",),
    "batch": ("cronjobs",),
    "certificates.k8s.io": ("certificatesigningrequests",),
    "discovery.k8s.io": ("endpointslices",),
    "events.k8s.io": ("events",),
    "networking.k8s.io": ("networkpolicies", "ingresses", "ingressclasses"),
    "node.k8s.io": ("runtimeclasses",),
    "scheduling.k8s.io": ("priorityclasses",),
    "storage.k8s.io": ("storageclasses", "csidrivers", "csinodes", "volumeattachments"),
    "": (
        "bindings",
        "componentstatuses",
        "endpoints",
        "persistentvolumeclaims",
        "persistentvolumes",
        "podtemplates",
        "replicationcontrollers",
    ),
}
POD_SUBRESOURCES_NOT_REBUILT = ("portforward", "proxy", "ephemeralcontainers", "resize")

_BY_PATH = {(resource.group, resource.version, resource.plural): resource for resource in REGISTRY}


def by_path(group: str, version: str, plural: str) -> Resource | None:
    """The resource that a URL names."""
    return _BY_PATH.get((group, version, plural))


def groups() -> list[str]:
    """The named API groups that are served, in the order of discovery."""
    return sorted({resource.group for resource in REGISTRY if resource.group})
