# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Why a verification failed: one function for each cause, asked in this order until one recognises its own.

The order goes from what must come first (an association) to what comes last (a call), so that the first answer is the
one to mend first. The causes are those of facts that users report again and again; the identifiers are part of the
collection's interface and stay as they are.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.declaration import Call
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.declaration import Workload
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import Association
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import CallResult
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import Document
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import Fault
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import Pod
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import Role
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import sentence
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.surroundings import Surroundings
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import explain_refusal
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import session_context

AGENT = "eks-pod-identity-agent"
#: The provider of boto3's chain that asks the EKS Pod Identity agent.
POD_IDENTITY_METHOD = "container-role"
#: The first botocore that accepts the agent's address (EKS user guide, "Use pod identity with the AWS SDK").
OLDEST_BOTOCORE = (1, 34, 41)
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


@dataclasses.dataclass(frozen=True)
class Cause:
    """Why a workload is not proven: a stable identifier, what is so, and what to do; one sentence each."""

    id: str
    text: str
    advice: str


@dataclasses.dataclass(frozen=True)
class Case:
    """All that is known about one verification."""

    cluster: str
    workload: Workload
    association: Association | None
    job: str = ""
    #: What the API server answered when it refused the Job.
    refused: str = ""
    pod: Pod | None = None
    document: Document | None = None
    log: str = ""
    #: For how long the pod was waited for, in seconds.
    timeout: int = 0
    surroundings: Surroundings = dataclasses.field(default_factory=Surroundings)

    @property
    def role(self) -> Role | None:
        """The role that the pod should hold."""
        return self.association.role if self.association else None


def results(case: Case) -> list[tuple[Call, CallResult]]:
    """The declared calls with what became of them; empty unless the pod tells about every one, in order."""
    declared = case.workload.calls
    found = case.document.calls if case.document else ()
    named = [(result.service, result.operation, result.expected) for result in found]
    if named != [(call.service, call.operation, call.expected) for call in declared]:
        return []
    return list(zip(declared, found, strict=True))


def is_met(call: Call, result: CallResult) -> bool:
    """Whether a call went as declared; ``deny`` is met by a refusal only, not by any other failure."""
    return result.outcome == {"allow": "allowed", "deny": "denied"}[call.expected]


def association_missing(case: Case) -> Cause | None:
    if case.association is not None and "ResourceNotFoundException" not in agent_answer(case):
        return None
    return Cause(
        "association_missing",
        f"There is no Pod Identity association for service account {case.workload} in cluster {case.cluster}.",
        "Create the association (the role podidentity.eks.association does), and check how namespace and service "
        "account are spelled.",
    )


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


def not_injected(case: Case) -> Cause | None:
    document = case.document
    if document is None or document.injected:
        return None
    if case.pod is not None and case.pod.skip_label:
        reason = "the pod carries the label eks.amazonaws.com/skip-pod-identity-webhook"
    elif any(name.startswith("AWS_CONTAINER_") for name in document.variables):
        reason = "its environment sets an AWS_CONTAINER_ variable already, which keeps the webhook away"
    else:
        reason = "the webhook did not see the association yet, or it does not run"
    held = f"; the pod was {document.identity.arn} instead" if document.identity else ""
    return Cause(
        "not_injected",
        f"The association exists, but the pod got no Pod Identity credentials, since {reason}{held}.",
        "Run the verification again in some seconds, and if it stays so check the MutatingWebhookConfiguration "
        "pod-identity-webhook, the pod's labels and verify_env; pods that were admitted too early must be restarted.",
    )


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
    held = f", so the pod was {document.identity.arn}" if document.identity else ""
    return Cause(
        "credentials_shadowed",
        f"Pod Identity loses to {source} in the pod, earlier in the SDK's credential chain{held}.",
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


def agent_answer(case: Case) -> str:
    """What boto3 said when it could not get credentials from the agent, empty for any other trouble."""
    fault = case.document.credentials_fault if case.document else None
    if fault is None or fault.type not in ("CredentialRetrievalError", "ValueError"):
        return ""
    return fault.message


def agent_down(case: Case) -> Cause | None:
    """No answer from the agent at all: not there, not ready, not on this node, or not to be reached."""
    if "Received error when attempting to retrieve container metadata" not in agent_answer(case):
        return None
    addon, nodes = case.surroundings.addon, case.surroundings.agent_nodes
    node = (case.pod.node if case.pod else "") or "unknown"
    if addon is not None and not addon.exists and not nodes:
        return Cause(
            "agent_missing",
            f"Nothing answered at the Pod Identity agent's address, and cluster {case.cluster} has no add-on {AGENT}.",
            f"Install the add-on {AGENT} (the role podidentity.eks.agent does) and run the verification again.",
        )
    if addon is not None and addon.exists and addon.status != "ACTIVE":
        issues = f" ({'; '.join(addon.issues)})" if addon.issues else ""
        return Cause(
            "agent_not_active",
            f"Nothing answered at the Pod Identity agent's address, and the add-on {AGENT} is {addon.status}{issues}.",
            f"Wait until the add-on {AGENT} is ACTIVE, or mend what its health issues name.",
        )
    if nodes is not None and node not in nodes:
        return Cause(
            "agent_not_on_node",
            f"Nothing answered at the Pod Identity agent's address, and no ready agent runs on the pod's node {node}.",
            f"Look at the DaemonSet {AGENT} and its pod on that node: taints, affinity, pod limit, port 80, IPv6.",
        )
    return Cause(
        "agent_unreachable",
        f"Nothing answered at the Pod Identity agent's address from the pod on node {node}.",
        "Allow egress to 169.254.170.23 and [fd00:ec2::23], port 80, in network policies and in security groups for "
        f"pods, and make sure that the DaemonSet {AGENT} runs on that node.",
    )


def node_role_forbidden(case: Case) -> Cause | None:
    answer = agent_answer(case)
    if "eks-auth:AssumeRoleForPodIdentity" not in answer:
        return None
    match = re.search(r"arn:[^\s:]+:sts::\d+:assumed-role/([^/\s]+)/", answer)
    role = f"node role {match[1]}" if match else "the node's role"
    return Cause(
        "node_role_forbidden",
        f"The agent may not ask EKS for credentials: {role} lacks eks-auth:AssumeRoleForPodIdentity.",
        f"Attach AmazonEKSWorkerNodePolicy or AmazonEKSWorkerNodeMinimalPolicy to {role}.",
    )


def role_refused(case: Case) -> Cause | None:
    """EKS may not assume the association's role: it does not exist, or its trust policy says no."""
    association = case.association
    if association is None or "(AccessDeniedException)" not in agent_answer(case):
        return None
    source = association.source_role
    name = source.name if source else association.role_arn
    facts = case.surroundings.role(association.role_arn)
    if facts is not None and not facts.exists:
        return Cause(
            "role_missing",
            f"EKS cannot assume role {name} of the association, for there is no such role.",
            f"Create role {name} again (the role podidentity.eks.iam_role does), or give the association another one.",
        )
    return trust_refused(case, association, name, facts.trust if facts else None)


def trust_refused(case: Case, association: Association, name: str, trust: t.Any) -> Cause:
    workload = case.workload
    context = session_context(
        association.cluster_arn, workload.namespace, workload.service_account, association.session_tags
    )
    why = explain_refusal(trust, context) if trust else ""
    target = Role.from_arn(association.target_role_arn)
    if why:
        reason = f", because of the role's trust policy: {why}"
    elif trust is None:
        reason = ", and its trust policy could not be read"
    elif target:
        reason = f" or, from it, target role {target.name}; the trust policy of {name} itself looks right"
    else:
        reason = ", though its trust policy looks right; a service control policy may forbid it"
    advice = f"Put the trust policy of role {name} right (the role podidentity.eks.iam_role does)"
    if target and not why:
        advice += f", allow {name} sts:AssumeRole and sts:TagSession on {target.name}, and let that one trust {name}"
    return Cause(
        "trust_refused",
        f"EKS may not assume role {name} for {workload}{reason}.",
        f"{advice}; a change of IAM needs some seconds.",
    )


def agent_refused(case: Case) -> Cause | None:
    """Any other answer of the agent, by the error code of EKS Auth or the agent's own words."""
    answer = agent_answer(case)
    if not answer:
        return None
    said = sentence(answer)
    if "ThrottlingException" in answer or " 429 " in answer:
        return Cause(
            "agent_throttled",
            f"The agent or EKS Auth took no more requests: {said}.",
            f"Run again later, start fewer pods at once, and keep the add-on {AGENT} up to date.",
        )
    if "oken" in answer:
        return Cause(
            "token_refused",
            f"The pod's service account token was refused: {said}.",
            "Check the clocks of the nodes, and that the token's volume was not changed by another webhook.",
        )
    return Cause(
        "eks_auth_failed",
        f"The agent could not get credentials from EKS: {said}.",
        "Make sure that the nodes reach the service eks-auth of the region, over a NAT or an interface endpoint.",
    )


def credentials_failed(case: Case) -> Cause | None:
    """No identity, and none of the reasons that are known by name."""
    document = case.document
    if document is None or document.identity is not None:
        return None
    fault = document.credentials_fault or document.identity_fault or Fault("no credentials", "", "the SDK found none")
    return Cause(
        "identity_unknown",
        f"The pod could not ask AWS who it is: {fault.type}: {sentence(fault.message)}.",
        "Make sure that pods reach STS of the region, and that the pod's region is right.",
    )


def wrong_identity(case: Case) -> Cause | None:
    """Credentials by Pod Identity, but not those that the association stands for."""
    identity = case.document.identity if case.document else None
    role = case.role
    if identity is None or role is None:
        return None
    held = f"the pod held {identity.arn}, and its association stands for {role.arn}"
    advice = (
        "Run again when the association's last change is some seconds old; if it stays so, restart the agent's pods."
    )
    if identity.account != role.account:
        return Cause("wrong_account", f"Another account: {held}.", advice)
    if identity.role != role.name:
        return Cause("wrong_role", f"Another role: {held}.", advice)
    if not identity.session_name.startswith("eks-"):
        return Cause(
            "wrong_session", f"Not a session of EKS Pod Identity, whose names begin with eks-: {held}.", advice
        )
    return None


def deny_allowed(case: Case) -> Cause | None:
    done = [call for call, result in results(case) if call.expected == "deny" and result.outcome == "allowed"]
    if not done:
        return None
    names = " and ".join(f"{call.service}.{call.operation}" for call in done)
    return Cause(
        "deny_allowed",
        f"{names} was to be denied and was allowed: role {role_name(case)} may do more than declared, and whatever the "
        f"call does has been done{attached(case)}.",
        f"Take that permission from role {role_name(case)}, and undo what {names} did.",
    )


def permission_missing(case: Case) -> Cause | None:
    denied = [pair for pair in results(case) if pair[0].expected == "allow" and pair[1].outcome == "denied"]
    if not denied:
        return None
    names = " and ".join(f"{call.service}.{call.operation}" for call, _ in denied)
    words = [aws_words(result.fault) for _, result in denied if result.fault]
    said = f"; AWS said: {words[0]}" if words else ""
    # What IAM calls the permission is often not what the SDK calls the operation (s3:ListAllMyBuckets).
    actions = [action for word in words for action in re.findall(r"not authorized to perform: ([\w-]+:\w+)", word)]
    return Cause(
        "permission_missing",
        f"Role {role_name(case)} was denied {names}{attached(case)}{said}.",
        f"Give role {role_name(case)} a policy that allows {' and '.join(dict.fromkeys(actions)) or names}; if it has "
        "one, look for a permissions boundary, a session policy or a service control policy that does not.",
    )


def aws_words(fault: Fault) -> str:
    """What AWS said, without what boto3 puts before it."""
    return sentence(re.sub(r"^An error occurred \(.*?\) when calling the \w+ operation[^:]*: ", "", fault.message))


def attached(case: Case) -> str:
    """The role's policies as a clause, empty if they are not known."""
    facts = case.surroundings.role(case.role.arn) if case.role else None
    if facts is None or not facts.exists:
        return ""
    return f"; attached to it: {', '.join(facts.policies)}" if facts.policies else "; no policy is attached to it"


def role_name(case: Case) -> str:
    return case.role.name if case.role else "unknown"


def call_failed(case: Case) -> Cause | None:
    failed = [pair for pair in results(case) if not is_met(*pair)]
    if not failed:
        return None
    call, result = failed[0]
    fault = result.fault or Fault("no answer", "", "the call was not made")
    return Cause(
        "call_failed",
        f"{call.service}.{call.operation} failed for another reason than a permission: "
        f"{fault.code or fault.type}: {aws_words(fault)}.",
        "Correct the call's parameters in the workload's prove, or what the message names, and run again.",
    )


def unexplained(_case: Case) -> Cause:
    return Cause(
        "unexplained",
        "The pod's answer does not fit what was declared.",
        "Run again with verify_keep set to true, and look at the pod's log.",
    )


#: From what must come first to what comes last.
CAUSES: tuple[t.Callable[[Case], Cause | None], ...] = (
    association_missing,
    job_refused,
    pod_not_created,
    image_pull_failed,
    image_unusable,
    pod_unschedulable,
    deadline_exceeded,
    no_document,
    image_without_boto3,
    not_injected,
    credentials_shadowed,
    sdk_too_old,
    agent_down,
    node_role_forbidden,
    role_refused,
    agent_refused,
    credentials_failed,
    wrong_identity,
    deny_allowed,
    permission_missing,
    call_failed,
)


def find_cause(case: Case) -> Cause:
    """The first cause that recognises its own, in the order of :data:`CAUSES`."""
    for recognise in CAUSES:
        cause = recognise(case)
        if cause is not None:
            return cause
    return unexplained(case)
