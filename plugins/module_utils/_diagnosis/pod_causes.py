# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Causes that lie before the agent is asked: the association, the Job, the image, what the pod was given and holds."""

from __future__ import annotations

import difflib
import re
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import POD_IDENTITY_METHOD
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import Case
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import Cause
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.case import agent_answer
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.network import matches
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import SKIP_CONTAINERS
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import SKIP_LABEL
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import Fault
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import dig
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import listing
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import mapping
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import sentence

#: The first botocore that accepts the agent's address (EKS user guide, "Use pod identity with the AWS SDK").
OLDEST_BOTOCORE = (1, 34, 41)
#: The configuration that EKS registers, and the webhook in it.
WEBHOOK, OWN_WEBHOOK = "pod-identity-webhook", "iam-for-pods.amazonaws.com"
#: From which share of equal letters on two names are taken for a slip (difflib's own measure for close matches is 0.6).
ALIKE = 0.75
#: Container states that do not pass by waiting.
IMAGE_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
START_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
#: What in a pod's environment makes a provider answer that stands before Pod Identity in boto3's chain.
SHADOWS: t.Mapping[str, tuple[str, ...]] = {
    "env": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    "assume-role-with-web-identity": ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
}
PROFILE_VARIABLES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE")
#: The error classes by which boto3 says that such a provider was chosen and has no credentials to give.
SHADOW_FAULTS: t.Mapping[str, str] = {
    "PartialCredentialsError": "env",
    "ProfileNotFound": "profile",
    "ConfigNotFound": "profile",
    "ConfigParseError": "profile",
    "WebIdentityTokenLoadError": "assume-role-with-web-identity",
}


def association_missing(case: Case) -> Cause | None:
    if case.association is not None and "ResourceNotFoundException" not in agent_answer(case):
        return None
    others = similar(case)
    there_is = f" There is one for {' and for '.join(others)}: is that the one that was meant?" if others else ""
    return Cause(
        "association_missing",
        f"There is no Pod Identity association for service account {case.workload} in cluster {case.cluster}.",
        "Create the association (the role podidentity.eks.association does), and check how namespace and service "
        f"account are spelled.{there_is}",
    )


def similar(case: Case) -> list[str]:
    """Up to three associations whose namespace or service account may have been confused with the workload's."""
    namespace, account = case.workload.namespace, case.workload.service_account
    return [
        "/".join(key)
        for key in case.surroundings.associated
        if key != (namespace, account) and alike(key[0], namespace, account == key[1]) and alike(key[1], account)
    ][:3]


def alike(one: str, other: str, certain: bool = False) -> bool:
    """Whether one name may be a slip for another; ``certain``: it may be any name."""
    return certain or difflib.SequenceMatcher(None, one, other).ratio() >= ALIKE


def job_refused(case: Case) -> Cause | None:
    if not case.refused:
        return None
    return Cause(
        "job_refused",
        f"Kubernetes refused the verification's Job in namespace {case.workload.namespace}: {sentence(case.refused)}.",
        "Make sure that the namespace exists and that the user who verifies may create Jobs and ConfigMaps in it.",
    )


def pod_not_created(case: Case) -> Cause | None:
    if case.pod is not None:
        return None
    event = case.surroundings.job_events.get((case.workload.namespace, case.job), "")
    told = f": {sentence(event)}" if event else ", and Kubernetes told no reason"
    return Cause(
        "pod_not_created",
        f"No pod was made for the verification's Job {case.workload.namespace}/{case.job}{told}.",
        f"Make sure that service account {case.workload} exists and that no quota, Pod Security standard or admission "
        "webhook of the namespace refuses the pod.",
    )


def image_pull_failed(case: Case) -> Cause | None:
    pod = case.pod
    if pod is None or pod.waiting_reason not in IMAGE_REASONS:
        return None
    return Cause(
        "image_pull_failed",
        f"The node could not get the verification's image ({pod.waiting_reason}): "
        f"{sentence(pod.waiting_message) or 'no message'}.",
        "Set verify_image to an image that the nodes can pull, such as a copy in a registry of your own.",
    )


def image_unusable(case: Case) -> Cause | None:
    pod = case.pod
    if pod is None or case.document is not None:
        return None
    not_started = pod.waiting_reason in START_REASONS or pod.ended_reason in ("StartError", "ContainerCannotRun")
    if not not_started and pod.exit_code not in (126, 127):
        return None
    said = sentence(pod.waiting_message or pod.last_words or case.log) or "no message"
    return Cause(
        "image_unusable",
        f"The verification's container could not be started: {said}.",
        "Set verify_image to an image with a shell, python3 and boto3, or without boto3 and verify_install to true.",
    )


def pod_unschedulable(case: Case) -> Cause | None:
    pod = case.pod
    if pod is None or pod.node or not pod.unschedulable:
        return None
    return Cause(
        "pod_unschedulable",
        f"No node took the verification's pod within {case.timeout} s: {sentence(pod.unschedulable)}.",
        "Add nodes, or fit verify_node_selector, verify_tolerations and verify_resources to those that are there.",
    )


def deadline_exceeded(case: Case) -> Cause | None:
    pod = case.pod
    late = pod is not None and (not pod.ended or pod.reason == "DeadlineExceeded")
    if pod is None or not late or case.document is not None:
        return None
    state = pod.waiting_reason or pod.phase or "in an unknown state"
    return Cause(
        "deadline_exceeded",
        f"The verification's pod did not finish within {case.timeout} s; it was {state}"
        f"{f' on node {pod.node}' if pod.node else ''}.",
        "Raise verify_timeout if the node is only slow to pull the image, otherwise look at the node and its network.",
    )


def no_document(case: Case) -> Cause | None:
    pod = case.pod
    if pod is None or case.document is not None:
        return None
    ended = pod.ended_reason or pod.reason or pod.phase or "unknown"
    said = sentence(case.log[-400:] or pod.last_words or pod.message)
    return Cause(
        "no_document",
        f"The verification's pod ended ({ended}, exit code {pod.exit_code}) without a result"
        f"{f'; its last words were: {said}' if said else ''}.",
        "Raise verify_resources if it ran out of memory, otherwise run again with verify_keep set to true and look at "
        "the pod.",
    )


def image_without_boto3(case: Case) -> Cause | None:
    fault = case.document.fault if case.document else None
    if fault is None:
        return None
    return Cause(
        "image_without_boto3",
        f"The verification's image has no usable boto3: {sentence(fault.message)}.",
        "Set verify_image to an image with boto3, or verify_install to true so that it is installed in the pod.",
    )


def injection_skipped(case: Case) -> Cause | None:
    """Something in the pod itself keeps the webhook away."""
    document, pod = case.document, case.pod
    if document is None or document.injected:
        return None
    if pod is not None and pod.skip_label:
        reason = f"it carries the label {SKIP_LABEL}"
    elif pod is not None and pod.container_skipped:
        reason = f"its annotation {SKIP_CONTAINERS} names the container"
    elif any(name.startswith("AWS_CONTAINER_") for name in document.variables):
        reason = "its environment sets an AWS_CONTAINER_ variable already"
    else:
        return None
    return Cause(
        "injection_skipped",
        f"The pod identity webhook left the pod alone, since {reason}{held(case)}.",
        "Take that away: verify_env sets variables of the pod, labels and annotations come from another admission "
        "webhook or a policy engine.",
    )


def webhook_missing(case: Case) -> Cause | None:
    document = case.document
    if document is None or document.injected or case.surroundings.webhook is None or own_webhooks(case):
        return None
    return Cause(
        "webhook_missing",
        f"Cluster {case.cluster} has no MutatingWebhookConfiguration {WEBHOOK} with webhook {OWN_WEBHOOK}, so no pod "
        f"gets its identity{held(case)}.",
        "EKS registers it in every cluster and brings it back when the control plane is updated; until then apply a "
        "copy of it from another cluster, and restart the pods that were admitted without it.",
    )


def webhook_changed(case: Case) -> Cause | None:
    """EKS registers the webhook for all namespaces; somebody has left this one out."""
    document, namespace = case.document, case.workload.namespace
    known = {"kubernetes.io/metadata.name": namespace}
    selected = [matches(dig(webhook, "namespaceSelector"), known) for webhook in own_webhooks(case)]
    if document is None or document.injected or not selected or any(selected):
        return None
    return Cause(
        "webhook_changed",
        f"The namespaceSelector of the MutatingWebhookConfiguration {WEBHOOK} leaves out namespace {namespace}, "
        f"so its pods get no identity{held(case)}.",
        "Empty its namespaceSelector, as EKS registers it, and restart the pods that were admitted without it.",
    )


def own_webhooks(case: Case) -> list[t.Any]:
    """What EKS registered, as far as it is still there."""
    webhooks = listing(mapping(case.surroundings.webhook).get("webhooks"))
    return [webhook for webhook in webhooks if dig(webhook, "name") == OWN_WEBHOOK]


def not_injected(case: Case) -> Cause | None:
    document = case.document
    if document is None or document.injected:
        return None
    return Cause(
        "not_injected",
        "The association exists, but the pod got no Pod Identity credentials, since the webhook did not see the "
        f"association yet, or it does not run{held(case)}.",
        "Run the verification again in some seconds, and if it stays so check the MutatingWebhookConfiguration "
        f"{WEBHOOK}; pods that were admitted too early must be restarted.",
    )


def held(case: Case) -> str:
    """Who the pod was in place of whom it should have been, as a clause; empty if it was nobody."""
    identity = case.document.identity if case.document else None
    return f"; the pod was {identity.arn} instead" if identity else ""


def failed_provider(fault: Fault | None) -> str:
    """The provider of boto3's chain that was chosen and failed, empty if that cannot be told."""
    if fault is None:
        return ""
    match = re.match(r"Error when retrieving credentials from ([a-z-]+):", fault.message)
    return match[1] if match else SHADOW_FAULTS.get(fault.type, "")


def credentials_shadowed(case: Case) -> Cause | None:
    document = case.document
    if document is None:
        return None
    method = document.method or failed_provider(document.credentials_fault)
    if method in ("", POD_IDENTITY_METHOD):
        return None
    known = SHADOWS.get(method, PROFILE_VARIABLES)
    names = [name for name in known if name in document.variables]
    source = " and ".join(names) or f"boto3's provider {method}"
    return Cause(
        "credentials_shadowed",
        f"Pod Identity loses to {source} in the pod, earlier in the SDK's credential chain{held(case)}.",
        f"Remove {source} from the pod's environment, from its image and from what is mounted into it.",
    )


def sdk_too_old(case: Case) -> Cause | None:
    document = case.document
    if document is None or document.identity is not None:
        return None
    version = tuple(int(part) for part in re.findall(r"\d{1,9}", document.botocore)[:3])
    refused = "Unsupported host" in agent_answer(case)
    if not refused and (not version or version >= OLDEST_BOTOCORE):
        return None
    return Cause(
        "sdk_too_old",
        f"botocore {document.botocore} of the verification's image does not know the Pod Identity agent's address.",
        f"Use an image with botocore {'.'.join(map(str, OLDEST_BOTOCORE))} or newer, and look at your workload's SDK.",
    )
