# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each access policy allows in a cluster, and where.

The rules are those of https://docs.aws.amazon.com/eks/latest/userguide/access-policy-permissions.html, row by row.
"""

from __future__ import annotations

import dataclasses
import re

from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.interfaces import Access

ARN = "arn:aws:eks::aws:cluster-access-policy/"


@dataclasses.dataclass(frozen=True)
class Rule:
    """Verbs on resources of one API group, each written ``plural`` or ``plural/subresource``, or on other paths.

    Texts with blanks between the words; ``*`` is everything.
    """

    group: str
    resources: str
    verbs: str
    paths: str = ""

    def allows(self, access: Access) -> bool:
        """Whether this rule allows it, in any namespace."""
        if not _has(self.verbs, access.verb):
            return False
        if access.path:
            return _has(self.paths, access.path)
        return self.group in ("*", access.group) and _has(self.resources, access.resource)


def _has(words: str, word: str) -> bool:
    return words == "*" or word in words.split()


_READ, _WRITE = "get list watch", "create delete deletecollection patch update"

_VIEW = (
    Rule(
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets "
        "replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
        _READ,
    ),
    Rule("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", _READ),
    Rule("batch", "cronjobs cronjobs/status jobs jobs/status", _READ),
    Rule("discovery.k8s.io", "endpointslices", _READ),
    Rule(
        "extensions",
        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status "
        "networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale",
        _READ,
    ),
    Rule("networking.k8s.io", "ingresses ingresses/status networkpolicies", _READ),
    Rule("policy", "poddisruptionbudgets poddisruptionbudgets/status", _READ),
    Rule(
        "",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
        "replicationcontrollers/scale serviceaccounts services services/status",
        _READ,
    ),
    Rule(
        "",
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status "
        "resourcequotas resourcequotas/status",
        _READ,
    ),
    Rule("", "namespaces", _READ),
)
_SECRETS = (Rule("", "secrets", _READ),)
_EDIT = (
    *_VIEW,
    *_SECRETS,
    Rule(
        "apps",
        "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets "
        "statefulsets/scale",
        _WRITE,
    ),
    Rule("autoscaling", "horizontalpodautoscalers", _WRITE),
    Rule("batch", "cronjobs jobs", _WRITE),
    Rule(
        "extensions",
        "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies replicasets "
        "replicasets/scale replicationcontrollers/scale",
        _WRITE,
    ),
    Rule("networking.k8s.io", "ingresses networkpolicies", _WRITE),
    Rule("policy", "poddisruptionbudgets", _WRITE),
    Rule("", "pods/attach pods/exec pods/portforward pods/proxy services/proxy", _READ),
    Rule("", "serviceaccounts", "impersonate"),
    Rule("", "pods pods/attach pods/exec pods/portforward pods/proxy", _WRITE),
    Rule(
        "",
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets "
        "serviceaccounts services services/proxy",
        _WRITE,
    ),
)
_ADMIN = (
    *_EDIT,
    Rule("authorization.k8s.io", "localsubjectaccessreviews", "create"),
    Rule("rbac.authorization.k8s.io", "rolebindings roles", f"{_READ} {_WRITE}"),
)
#: AWS describes only in prose what the components of an Auto Mode node do with it.
_AUTO_NODE = (
    Rule("", "endpoints namespaces nodes pods services", _READ),
    Rule("discovery.k8s.io", "endpointslices", _READ),
    Rule("", "events", "create patch update"),
    Rule("events.k8s.io", "events", "create patch update"),
    Rule("", "persistentvolumeclaims persistentvolumes", _READ),
    Rule("storage.k8s.io", "csidrivers csinodes storageclasses volumeattachments", _READ),
    Rule("eks.amazonaws.com", "cninodes cninodes/status", f"{_READ} patch update"),
    Rule("eks.amazonaws.com", "nodediagnostics nodediagnostics/status", f"{_READ} patch update"),
)

POLICIES: dict[str, tuple[Rule, ...]] = {
    "AmazonEKSAdminPolicy": _ADMIN,
    "AmazonEKSAdminViewPolicy": (Rule("*", "*", _READ),),
    "AmazonEKSAutoNodePolicy": _AUTO_NODE,
    "AmazonEKSClusterAdminPolicy": (Rule("*", "*", "*", paths="*"),),
    "AmazonEKSEditPolicy": _EDIT,
    "AmazonEKSSecretReaderPolicy": _SECRETS,
    "AmazonEKSViewPolicy": _VIEW,
}


def place_of_right(associated: Shape, access: Access) -> str | None:
    """Where an associated access policy allows this: ``*`` in the whole cluster, or its namespace; None where not.

    Resources in no namespace, or in all of them, need a policy whose scope is the cluster.
    """
    scope = associated["accessScope"]
    if not any(rule.allows(access) for rule in POLICIES[associated["policyArn"].removeprefix(ARN)]):
        return None
    if scope["type"] == "cluster":
        return "*"
    is_inside = any(_matches(pattern, access.namespace) for pattern in scope["namespaces"])
    return access.namespace if access.namespace and is_inside else None


def _matches(pattern: str, namespace: str) -> bool:
    """``dev-*`` is every namespace that begins with ``dev-``.

    https://docs.aws.amazon.com/eks/latest/userguide/access-policies.html
    """
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), namespace) is not None
