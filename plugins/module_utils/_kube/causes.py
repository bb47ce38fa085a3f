# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Why a pod would not get EKS Pod Identity, and what to do about it.

The words of the refusals are kube-apiserver's: RBAC's in ``endpoints/handlers/responsewriters``, the others in the
admission plugins (``plugin/pkg/admission`` and ``staging/src/k8s.io/apiserver/pkg/admission/plugin``).
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing as t

from .._diagnosis.reading import dig
from .._diagnosis.reading import listing
from .._diagnosis.reading import sentence
from .admitted import IRSA
from .admitted import POD_IDENTITY
from .admitted import Identity

WEBHOOK = "pod-identity-webhook"
#: The name of the one webhook in that configuration.
WEBHOOK_NAME = "iam-for-pods.amazonaws.com"
#: The words of RBAC, without a permission.
DENIED = re.compile(r'is forbidden: User ".*" cannot \w+ resource')
SERVICE_ACCOUNT_MISSING = "service_account_missing"


@dataclasses.dataclass(frozen=True)
class Refusal:
    """An answer of the API server that is no success, or none at all: then the status is 0."""

    status: int
    message: str


#: What an operator needs who may not do something in Kubernetes.
RBAC_ADVICE = "; allow it by RBAC, which the filter podidentity.eks.pod_identity_operator_rbac makes"


@dataclasses.dataclass(frozen=True)
class Cause:
    """Why not: a stable name, and one sentence with what is so and what to do."""

    name: str
    reason: str
    #: Whether it may go away while one waits.
    passes: bool = False


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a refusal means. In ``advice``, ``{0}`` stands for what the pattern has found."""

    name: str
    pattern: str
    advice: str
    passes: bool = False


#: The first that matches counts. What a webhook says may read like anything, so webhooks come first.
RULES = (
    Rule(
        "webhook_refused",
        r'admission webhook "([^"]+)" denied the request',
        "The admission webhook {0} refuses the probe's pod: let it admit such a pod, or look at what it wants of pods",
    ),
    Rule(
        "webhook_failed",
        r'failed calling webhook "([^"]+)"',
        "The admission webhook {0} does not answer, and its failurePolicy is Fail, so no pod is admitted: repair it",
        passes=True,
    ),
    Rule(
        "policy_refused",
        r"ValidatingAdmissionPolicy '([^']+)'",
        "The ValidatingAdmissionPolicy {0} refuses the probe's pod: look at what it wants of pods",
    ),
    Rule(
        "forbidden",
        r'User "([^"]*)" cannot create resource "pods"',
        "The user {0} may not create pods there, which a dry run needs as well: allow the verb create on pods by RBAC "
        "or an access policy",
    ),
    Rule(
        "namespace_terminating",
        r"new content in namespace (\S+) because it is being terminated",
        "The namespace {0} is being deleted: create it anew when it is gone",
    ),
    Rule(
        "namespace_missing",
        r'namespaces? "([^"]+)" not found',
        "There is no namespace {0}: create it, or correct the workload's namespace",
    ),
    Rule(
        SERVICE_ACCOUNT_MISSING,
        r'serviceaccount "([^"]+)" not found',
        "There is no service account {0} in the namespace: create it, or correct the workload's service_account",
    ),
    Rule(
        "pod_security",
        r'violates PodSecurity "([^"]+)"',
        "Pod Security ({0}) refuses the probe's pod, which is restricted by itself, so that another webhook must have "
        "changed it: look at what it adds to pods",
    ),
    Rule(
        "quota",
        r"(?:exceeded|failed) quota: ([^,:]+)|status unknown for quota: ([^,:]+)",
        "The quota {0} leaves no room for one more pod: raise it, or wait until other pods have ended",
        passes=True,
    ),
    Rule(
        "limits",
        r"((?:minimum|maximum) \S+ usage per \w+|\S+ max limit to request ratio per \w+)",
        "A LimitRange of the namespace does not admit the probe's small pod ({0}): let it admit 10m of CPU and 32Mi of "
        "memory",
    ),
)
#: By status, for what no rule knows.
STATUSES = {
    0: Rule("unreachable", "", "The API server cannot be reached: check host, proxy and the network", passes=True),
    401: Rule(
        "unauthorized",
        "",
        "The API server does not know these credentials: give their IAM principal an access entry of the cluster, or "
        "check api_key or kubeconfig",
    ),
    429: Rule("busy", "", "The API server has too much to do: lower concurrency, or look again later", passes=True),
}
SERVER_ERROR = Rule("server_error", "", "The API server failed: look again later", passes=True)
REFUSED = Rule("refused", "", "The API server refuses the probe's pod: see what it says")
#: What a wrong certificate is called by every version of the kubernetes client and urllib3.
CERTIFICATE = Rule("certificate", "", "The API server's certificate cannot be verified: check ca_cert and host")


def explained(refusal: Refusal) -> str:
    """What a refused call means, as a clause, with what to do where that is known."""
    if refusal.status == 401:
        return STATUSES[401].advice
    words = sentence(refusal.message)
    if refusal.status == 0:
        return f"the API server cannot be reached ({words})" if words else STATUSES[0].advice
    return words + (RBAC_ADVICE if DENIED.search(words) else "")


def refused(refusal: Refusal) -> Cause:
    """What a refused dry run means."""
    for rule in RULES:
        if match := re.search(rule.pattern, refusal.message):
            found = next(filter(None, match.groups()))
            return _cause(rule, refusal, rule.advice.replace("{0}", found))
    if refusal.status == 0 and re.search(r"SSL|certificate", refusal.message):
        return _cause(CERTIFICATE, refusal, CERTIFICATE.advice)
    rule = STATUSES.get(refusal.status) or (SERVER_ERROR if refusal.status >= 500 else REFUSED)
    return _cause(rule, refusal, rule.advice)


def _cause(rule: Rule, refusal: Refusal, advice: str) -> Cause:
    speaker = "the API server: " if refusal.status else ""
    return Cause(rule.name, f"{advice} ({speaker}{sentence(refusal.message)}).", rule.passes)


def with_near_miss(cause: Cause, wanted: str, present: t.Sequence[str] | Refusal) -> Cause:
    """A missing service account, with the name among those that are there which was probably meant."""
    if isinstance(present, Refusal):
        unseen = f"which ones are there could not be looked at ({sentence(present.message)})"
        return dataclasses.replace(cause, reason=f"{cause.reason.rstrip('.')}; {unseen}.")
    near = difflib.get_close_matches(wanted, present, n=1)
    if not near:
        return cause
    return dataclasses.replace(cause, reason=f"{cause.reason.rstrip('.')}; {near[0]} is there.")


def webhook_problem(answer: t.Any) -> Cause | None:
    """What is wrong with the MutatingWebhookConfiguration that injects identities.

    :param answer: the object, or a :class:`Refusal`; what nobody may read counts as right.
    """
    if isinstance(answer, Refusal):
        if answer.status != 404:
            return None
        reason = (
            f"The MutatingWebhookConfiguration {WEBHOOK} is missing, so no pod of the cluster is given an identity: "
            "somebody has deleted it, restore it or ask AWS to."
        )
        return Cause("webhook_missing", reason)
    webhooks = [webhook for webhook in listing(dig(answer, "webhooks")) if dig(webhook, "name") == WEBHOOK_NAME]
    if webhooks and not dig(webhooks[0], "namespaceSelector"):
        return None
    wrong = "selects namespaces" if webhooks else f"has no webhook {WEBHOOK_NAME}"
    reason = (
        f"The MutatingWebhookConfiguration {WEBHOOK} was edited and {wrong}, so that the pod was given no identity: "
        "restore it as EKS makes it."
    )
    return Cause("webhook_changed", reason)


def not_injected(identity: Identity, look_up_webhook: t.Callable[[], t.Any]) -> Cause | None:
    """Why an admitted pod does not have Pod Identity; None when it does.

    :param look_up_webhook: gives what :func:`webhook_problem` takes, and is called only where that must be known.
    """
    if identity.mechanism == POD_IDENTITY:
        return overridden(identity) if identity.stronger else None
    if identity.mechanism == IRSA:
        reason = (
            "The pod is given IRSA by its service account's annotation eks.amazonaws.com/role-arn and no Pod Identity, "
            "which would come first: create the association, or wait some seconds if it is there."
        )
        return Cause("irsa_only", reason, passes=True)
    webhook = look_up_webhook()
    if problem := webhook_problem(webhook):
        return problem
    unseen = ""
    if isinstance(webhook, Refusal):
        unseen = (
            f"; whether the MutatingWebhookConfiguration {WEBHOOK} is there could not be looked at "
            f"({sentence(webhook.message)})"
        )
    reason = (
        "The pod is given no identity, so as far as the API server knows there is no association for this service "
        f"account: create it, or wait some seconds if it is there{unseen}."
    )
    return Cause("not_associated", reason, passes=True)


def overridden(identity: Identity) -> Cause:
    """The pod has Pod Identity, and something that comes before it."""
    reason = (
        f"The pod is given Pod Identity, but another admission webhook sets {' and '.join(identity.stronger)}, which "
        "AWS SDKs take first: exempt the service account from that webhook."
    )
    return Cause("overridden", reason)
