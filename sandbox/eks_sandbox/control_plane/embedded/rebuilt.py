# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What objects must not request here, because only a real cluster does it: a refusal instead of a false success."""

from __future__ import annotations

import typing as t

from eks_sandbox.control_plane.embedded.errors import not_implemented
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import dig
from eks_sandbox.control_plane.objects import labels_of

#: The one webhook of EKS that every cluster has.
OWN_WEBHOOK = "pod-identity-webhook"
_POD_SECURITY = "pod-security.kubernetes.io/"
_JOB_FIELDS = ("backoffLimitPerIndex", "managedBy", "podFailurePolicy", "successPolicy")


def ensure_rebuilt(resource: Resource, obj: Object) -> None:
    """Refuse what would be stored and then ignored.

    :raises ApiError: 501
    """
    for what in _KINDS.get(resource.kind, _nothing)(obj):
        raise not_implemented(what)


def _nothing(obj: Object) -> t.Iterator[str]:
    del obj
    return iter(())


def _namespace(obj: Object) -> t.Iterator[str]:
    for label in labels_of(obj):
        if label.startswith(_POD_SECURITY):
            yield f"Pod Security admission (label {label})"


def _webhooks(obj: Object) -> t.Iterator[str]:
    if obj["metadata"].get("name") != OWN_WEBHOOK:
        yield "a webhook other than EKS's own"


def _stateful_set(obj: Object) -> t.Iterator[str]:
    if dig(obj, "spec.volumeClaimTemplates"):
        yield "a StatefulSet with volumeClaimTemplates (there are no persistent volumes)"


def _daemon_set(obj: Object) -> t.Iterator[str]:
    if dig(obj, "spec.updateStrategy.rollingUpdate.maxSurge") not in (None, 0, "0%"):
        yield "a DaemonSet's rolling update with maxSurge"


def _job(obj: Object) -> t.Iterator[str]:
    spec = obj.get("spec") or {}
    if spec.get("completionMode") == "Indexed":
        yield "a Job with completionMode Indexed"
    for field in _JOB_FIELDS:
        if field in spec:
            yield f"a Job with {field}"


def _pod(obj: Object) -> t.Iterator[str]:
    spec = obj.get("spec") or {}
    for field in ("resourceClaims", "schedulingGates"):
        if spec.get(field):
            yield f"a pod with {field}"


def _quota(obj: Object) -> t.Iterator[str]:
    yield f"a {obj['kind']}"


_KINDS: dict[str, t.Callable[[Object], t.Iterator[str]]] = {
    "DaemonSet": _daemon_set,
    "Job": _job,
    "LimitRange": _quota,
    "MutatingWebhookConfiguration": _webhooks,
    "Namespace": _namespace,
    "Pod": _pod,
    "ResourceQuota": _quota,
    "StatefulSet": _stateful_set,
}
