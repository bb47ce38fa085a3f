# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What was observed of one verification: association, pod, the document that the pod's script left."""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import dig
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import listing
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import mapping
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import number
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import text

#: The container of the verification's pods, as the role's template names it.
CONTAINER = "prove"
SKIP_LABEL = "eks.amazonaws.com/skip-pod-identity-webhook"
#: Names of containers, with commas between them.
SKIP_CONTAINERS = "eks.amazonaws.com/skip-containers"
#: The lines between which the script prints its document; container runtimes differ in how they end lines.
PROOF = re.compile(r"^-----BEGIN POD IDENTITY PROOF-----\s+(?P<document>.*)\s+-----END POD IDENTITY PROOF-----", re.M)
ROLE_ARN = re.compile(r"arn:(?P<partition>aws[a-z-]*):iam::(?P<account>[0-9]{12}):role/(?:.*/)?(?P<name>[^/]+)")


@dataclasses.dataclass(frozen=True)
class Role:
    """An IAM role by its ARN. The path is no part of what a session's ARN shows, so it is no part of this."""

    arn: str
    account: str
    name: str

    @classmethod
    def from_arn(cls, arn: str) -> Role | None:
        """None if the text is no ARN of a role."""
        match = ROLE_ARN.fullmatch(arn)
        return cls(arn, match["account"], match["name"]) if match else None


@dataclasses.dataclass(frozen=True)
class Association:
    """A Pod Identity association as EKS describes it."""

    id: str
    arn: str
    role_arn: str
    target_role_arn: str
    session_tags: bool
    #: What a target role's trust policy may ask for as sts:ExternalId.
    external_id: str = ""

    @property
    def role(self) -> Role | None:
        """The role that a pod ends up with: the target role where there is one."""
        return Role.from_arn(self.target_role_arn or self.role_arn)

    @property
    def source_role(self) -> Role | None:
        """The role that EKS Pod Identity itself assumes."""
        return Role.from_arn(self.role_arn)

    @property
    def cluster_arn(self) -> str:
        """The cluster by its association's ARN, ``...:podidentityassociation/CLUSTER/ID``; empty if it is none."""
        match = re.fullmatch(r"(arn:[^:]+:eks:[^:]+:[^:]+):podidentityassociation/([^/]+)/.+", self.arn)
        return f"{match[1]}:cluster/{match[2]}" if match else ""


@dataclasses.dataclass(frozen=True)
class Pod:
    """The pod of a verification's Job, as Kubernetes describes it."""

    name: str = ""
    namespace: str = ""
    node: str = ""
    phase: str = ""
    reason: str = ""
    message: str = ""
    #: Why it is not scheduled, empty if it is.
    unschedulable: str = ""
    #: Why its container waits.
    waiting_reason: str = ""
    waiting_message: str = ""
    #: Whether its container ended, with which code and why.
    ended: bool = False
    exit_code: int | None = None
    ended_reason: str = ""
    last_words: str = ""
    #: When its container started, as Kubernetes writes times.
    started: str = ""
    labels: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: Whether an annotation keeps the pod identity webhook away from its container.
    container_skipped: bool = False

    @property
    def skip_label(self) -> bool:
        """Whether a label keeps the pod identity webhook away from it."""
        return SKIP_LABEL in self.labels


@dataclasses.dataclass(frozen=True)
class Fault:
    """An error inside the pod: its class, AWS's code where there is one, and its message."""

    type: str
    code: str
    message: str


@dataclasses.dataclass(frozen=True)
class Identity:
    """Who AWS says the pod is."""

    arn: str
    account: str
    role: str
    session_name: str


@dataclasses.dataclass(frozen=True)
class CallResult:
    """What became of one declared call."""

    service: str
    operation: str
    expected: str
    outcome: str
    fault: Fault | None
    shown: t.Any
    show_error: str


@dataclasses.dataclass(frozen=True)
class Document:
    """What the script in the pod found."""

    boto3: str
    botocore: str
    region: str
    variables: frozenset[str]
    #: Variables that name a proxy which other SDKs would ask for the agent's address.
    proxies: tuple[str, ...]
    injected: bool
    method: str
    credentials_fault: Fault | None
    identity: Identity | None
    identity_fault: Fault | None
    fault: Fault | None
    calls: tuple[CallResult, ...]


def read_association(described: t.Any) -> Association:
    """One item of ``eks_pod_identity_association_info``."""
    return Association(
        id=text(dig(described, "association_id")),
        arn=text(dig(described, "association_arn")),
        role_arn=text(dig(described, "role_arn")),
        target_role_arn=text(dig(described, "target_role_arn")),
        session_tags=dig(described, "disable_session_tags") is not True,
        external_id=text(dig(described, "external_id")),
    )


def read_pod(described: t.Any) -> Pod:
    """One pod as the Kubernetes API returns it."""
    status = mapping(dig(described, "status"))
    state = container_state(status)
    ended = mapping(state.get("terminated"))
    return Pod(
        name=text(dig(described, "metadata", "name")),
        namespace=text(dig(described, "metadata", "namespace")),
        node=text(dig(described, "spec", "nodeName")),
        phase=text(status.get("phase")),
        reason=text(status.get("reason")),
        message=text(status.get("message")),
        unschedulable=unschedulable(status),
        waiting_reason=text(dig(state, "waiting", "reason")),
        waiting_message=text(dig(state, "waiting", "message")),
        ended=bool(ended) or status.get("phase") in ("Succeeded", "Failed"),
        exit_code=number(ended.get("exitCode")),
        ended_reason=text(ended.get("reason")),
        last_words=text(ended.get("message")),
        started=text(ended.get("startedAt")) or text(dig(state, "running", "startedAt")),
        labels=mapping(dig(described, "metadata", "labels")),
        container_skipped=CONTAINER in text(dig(described, "metadata", "annotations", SKIP_CONTAINERS)).split(","),
    )


def container_state(status: t.Mapping[str, t.Any]) -> t.Mapping[str, t.Any]:
    """The state of our own container, for a service mesh may have added another."""
    for container in listing(status.get("containerStatuses")):
        if dig(container, "name") == CONTAINER:
            return mapping(dig(container, "state"))
    return {}


def unschedulable(status: t.Mapping[str, t.Any]) -> str:
    """What the scheduler says when no node takes the pod."""
    for condition in listing(status.get("conditions")):
        if (dig(condition, "type"), dig(condition, "status")) == ("PodScheduled", "False"):
            return text(dig(condition, "message")) or text(dig(condition, "reason")) or "no node was found"
    return ""


def read_document(last_words: str, log: str) -> Document | None:
    """The script's document, from the container's termination message or, where it was too long for that, the log."""
    match = PROOF.search(log)
    for candidate in (last_words, match["document"] if match else ""):
        try:
            parsed = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(parsed, dict) and "format" in parsed:
            return parse_document(parsed)
    return None


def parse_document(parsed: t.Mapping[str, t.Any]) -> Document:
    """The document's fields; what is missing or of a wrong type is absent."""
    return Document(
        boto3=text(parsed.get("boto3")),
        botocore=text(parsed.get("botocore")),
        region=text(parsed.get("region")),
        variables=frozenset(text(name) for name in listing(parsed.get("variables"))),
        proxies=tuple(map(text, listing(parsed.get("proxies")))),
        injected=parsed.get("pod_identity_injected") is True,
        method=text(dig(parsed, "credentials", "method")),
        credentials_fault=parse_fault(dig(parsed, "credentials", "error")),
        identity=parse_identity(parsed.get("identity")),
        identity_fault=parse_fault(parsed.get("identity_error")),
        fault=parse_fault(parsed.get("error")),
        calls=tuple(parse_call(call) for call in listing(parsed.get("calls"))),
    )


def parse_fault(value: t.Any) -> Fault | None:
    if not mapping(value):
        return None
    return Fault(*(text(dig(value, key)) for key in ("type", "code", "message")))


def parse_identity(value: t.Any) -> Identity | None:
    if not text(dig(value, "arn")):
        return None
    return Identity(*(text(dig(value, key)) for key in ("arn", "account", "role", "session_name")))


def parse_call(value: t.Any) -> CallResult:
    return CallResult(
        service=text(dig(value, "service")),
        operation=text(dig(value, "operation")),
        expected=text(dig(value, "expected")),
        outcome=text(dig(value, "outcome")),
        fault=parse_fault(dig(value, "error")),
        shown=dig(value, "shown"),
        show_error=text(dig(value, "show_error")),
    )
