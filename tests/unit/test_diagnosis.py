# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each cause of a failed verification gives its own name, from observations as the module makes them."""

from __future__ import annotations

import copy
import json
import re
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_proof_report import pod_identity_proof_report
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis import call_causes
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.cases import read_cases
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.proof import prove
from ansible_collections.podidentity.eks.plugins.module_utils._kube.causes import Refusal
from ansible_collections.podidentity.eks.plugins.module_utils._workload.prove import read_workload
from support.environment import ROOT

Json = dict[str, t.Any]

ACCOUNT = "111122223333"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/teams/app-role"
TARGET_ARN = "arn:aws:iam::444455556666:role/target-role"
NODE = "ip-10-0-1-17.eu-west-1.compute.internal"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/app-role/eks-example-verify-app-0b3c"
WORKLOAD: Json = {
    "namespace": "team-a",
    "service_account": "app",
    "prove": {
        "allow": [{"service": "s3", "operation": "list_buckets", "show": "Buckets[].Name"}],
        "deny": [{"service": "s3", "operation": "create_bucket", "parameters": {"Bucket": "must-not-exist"}}],
    },
}
ASSOCIATION: Json = {
    "association_id": "a-1",
    "association_arn": f"arn:aws:eks:eu-west-1:{ACCOUNT}:podidentityassociation/example/a-1",
    "namespace": "team-a",
    "service_account": "app",
    "role_arn": ROLE_ARN,
    "target_role_arn": None,
    "disable_session_tags": False,
}
DENIED: Json = {"type": "ClientError", "code": "AccessDenied", "message": "not authorized to perform: s3:Something"}
DOCUMENT: Json = {
    "format": 1,
    "boto3": "1.40.4",
    "botocore": "1.40.4",
    "region": "eu-west-1",
    "variables": ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_REGION"],
    "pod_identity_injected": True,
    "credentials": {"method": "container-role", "error": None},
    "identity": {
        "arn": SESSION,
        "account": ACCOUNT,
        "role": "app-role",
        "session_name": "eks-example-verify-app-0b3c",
    },
    "identity_error": None,
    "calls": [
        {
            "service": "s3",
            "operation": "list_buckets",
            "expected": "allow",
            "outcome": "allowed",
            "error": None,
            "shown": ["customer-invoices", "customer-reports"],
            "ok": True,
        },
        {
            "service": "s3",
            "operation": "create_bucket",
            "expected": "deny",
            "outcome": "denied",
            "error": DENIED,
            "ok": True,
        },
    ],
}
TRUST: Json = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {
                "StringEquals": {
                    "aws:SourceAccount": ACCOUNT,
                    "aws:RequestTag/kubernetes-namespace": "team-a",
                    "aws:RequestTag/kubernetes-service-account": "app",
                },
                "ArnEquals": {"aws:SourceArn": f"arn:aws:eks:eu-west-1:{ACCOUNT}:cluster/example"},
            },
        }
    ],
}
NOT_TRIED = [
    {"service": "s3", "operation": operation, "expected": expected, "outcome": "not_tried", "error": None, "ok": False}
    for operation, expected in (("list_buckets", "allow"), ("create_bucket", "deny"))
]


def merged(base: Json, changes: Json) -> Json:
    """A deep copy with some values changed."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(value, dict) and isinstance(inner, dict) else value
    return result


def document(**changes: t.Any) -> Json:
    return merged(DOCUMENT, changes)


def without_identity(message: str, kind: str = "CredentialRetrievalError", **changes: t.Any) -> Json:
    """The document of a pod that got no credentials."""
    error = {"type": kind, "code": None, "message": message}
    base = document(identity=None, calls=NOT_TRIED, credentials={"method": None, "error": error})
    return merged(base, changes)


def agent_answer(body: str, status: int = 400) -> Json:
    """What boto3 makes of an answer of the agent; bodies as in facts/agent-cases.json."""
    return without_identity(
        "Error when retrieving credentials from container-role: Error retrieving metadata: "
        f"Received non 200 response {status} from container metadata: {body}\n"
    )


def pod(words: Json | str | None = None, **changes: t.Any) -> Json:
    """A pod that has ended, with its document as the termination message."""
    message = words if isinstance(words, str) else json.dumps(DOCUMENT if words is None else words)
    terminated = {"exitCode": 0, "reason": "Completed", "message": message}
    base: Json = {
        "metadata": {"name": "verify-app-1-abcde", "namespace": "team-a", "labels": {"podidentity.eks/workload": "0"}},
        "spec": {"nodeName": NODE},
        "status": {
            "phase": "Succeeded",
            "containerStatuses": [{"name": "prove", "state": {"terminated": terminated}}],
        },
    }
    return merged(base, changes)


def waiting_pod(reason: str, message: str) -> Json:
    state = {"waiting": {"reason": reason, "message": message}}
    return pod("", status={"phase": "Pending", "containerStatuses": [{"name": "prove", "state": state}]})


def ended_pod(exit_code: int, reason: str, message: str) -> Json:
    state = {"terminated": {"exitCode": exit_code, "reason": reason, "message": message}}
    return pod("", status={"phase": "Failed", "containerStatuses": [{"name": "prove", "state": state}]})


def observed(**changes: t.Any) -> Json:
    """What the module observes when all is well."""
    base: Json = {
        "cluster": "example",
        "timeout": 120,
        "associations": [ASSOCIATION],
        "jobs": ["verify-app-1"],
        "pods": [pod()],
    }
    return {**base, **changes}


def with_document(value: Json, **changes: t.Any) -> Json:
    return observed(pods=[pod(value)], **changes)


def addon(status: str = "ACTIVE", issues: t.Sequence[Json] = ()) -> list[Json]:
    return [{"status": status, "health": {"issues": list(issues)}}]


def agents(*nodes: str, since: str = "2026-11-01T00:00:00Z") -> list[Json]:
    ready = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": since}]}
    return [{"spec": {"nodeName": node}, "status": ready} for node in nodes]


def role(trust: t.Any = TRUST, policies: t.Sequence[str] = (), arn: str = ROLE_ARN, inline: Json | None = None) -> Json:
    """One role as eks_pod_identity_role_info returns it."""
    documents = {"extra": {}} if policies and inline is None else inline or {}
    managed = {f"arn:aws:iam::aws:policy/{name}": name for name in policies}
    return {"arn": arn, "trust_policy": trust, "managed_policies": managed, "inline_policies": documents}


def agent_pod(node: str, **container: Json) -> Json:
    """One that is not ready."""
    return {"spec": {"nodeName": node}, "status": {"conditions": [], "containerStatuses": [container]}}


def special_node(compute_type: str) -> list[Json]:
    """The verification's node, of a compute type without agents."""
    labels = {"eks.amazonaws.com/compute-type": compute_type}
    return [{"metadata": {"name": NODE, "labels": labels}}]


def webhook(*expressions: Json) -> Json:
    """The webhook's configuration with a namespaceSelector."""
    own = {"name": "iam-for-pods.amazonaws.com", "namespaceSelector": {"matchExpressions": list(expressions)}}
    return {"webhooks": [{"name": "other", "namespaceSelector": {}}, own]}


def network_policy(name: str, **spec: t.Any) -> Json:
    """One with egress for all pods of the namespace, and no rule that lets anything out."""
    return {
        "metadata": {"name": name, "namespace": "team-a"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], **spec},
    }


def roles(*found: Json, missing: t.Sequence[str] = (), unread: t.Sequence[Json] = ()) -> Json:
    """The roles of all accounts."""
    return {"roles": list(found), "missing": list(missing), "unread": list(unread)}


def prove_all(workloads: list[Json], seen: Json) -> list[Json]:
    return [prove(case) for case in read_cases(workloads, seen)]


def diagnose(seen: Json, workload: Json | None = None) -> Json:
    [proof] = prove_all([WORKLOAD if workload is None else workload], seen)
    assert pod_identity_proof_report([proof])
    return proof


UNREACHABLE = without_identity(
    "Error when retrieving credentials from container-role: Error retrieving metadata: Received error when attempting "
    'to retrieve container metadata: Could not connect to the endpoint URL: "http://169.254.170.23/v1/credentials"'
)
SLOW = without_identity(
    "Error when retrieving credentials from container-role: Error retrieving metadata: Received error when attempting "
    'to retrieve container metadata: Read timeout on endpoint URL: "http://169.254.170.23/v1/credentials"'
)
STARTED = {
    "containerStatuses": [
        {
            "name": "prove",
            "state": {"terminated": {"startedAt": "2026-11-23T10:15:30Z", "message": json.dumps(UNREACHABLE)}},
        }
    ]
}
NOT_AUTHORIZED = "not authorized to perform: s3:X on resource: y"
EXTERNAL_ID = f"eu-west-1/{ACCOUNT}/example/team-a/app"
CHAINED = {**ASSOCIATION, "target_role_arn": TARGET_ARN, "external_id": EXTERNAL_ID}
ASSOCIATION_OF_APPS = {**ASSOCIATION, "service_account": "apps"}
SOURCE = role(
    inline={
        "target": {
            "Statement": {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": TARGET_ARN}
        }
    }
)
TARGET = role(
    {
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
                "Action": "sts:AssumeRole",
                "Condition": {
                    "ArnEquals": {"aws:PrincipalArn": ROLE_ARN},
                    "StringEquals": {"sts:ExternalId": EXTERNAL_ID},
                },
            },
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
                "Action": "sts:TagSession",
                "Condition": {"ArnEquals": {"aws:PrincipalArn": ROLE_ARN}},
            },
        ]
    },
    arn=TARGET_ARN,
)
REFUSED = agent_answer(
    "[req-1]: (AccessDeniedException): Unauthorized Exception! EKS does not have permissions to assume the associated "
    "role., fault: client"
)
SHADOWED = document(
    variables=[*DOCUMENT["variables"], "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
    credentials={"method": "env"},
    identity=None,
    identity_error={"type": "ClientError", "code": "InvalidClientTokenId", "message": "The token is invalid."},
    calls=NOT_TRIED,
)


def call_outcome(place: int, outcome: str, error: Json | None = None) -> Json:
    calls = copy.deepcopy(DOCUMENT["calls"])
    calls[place] |= {"outcome": outcome, "error": error, "ok": False}
    return document(calls=calls)


def identity(**changes: str) -> Json:
    return document(identity=changes)


NOT_INJECTED: Json = {
    "pod_identity_injected": False,
    "variables": [],
    "credentials": {"method": None},
    "identity": None,
    "calls": NOT_TRIED,
}
CASES: list[tuple[str, Json, list[str]]] = [
    ("association_missing", observed(associations=[]), ["team-a/app", "example"]),
    ("association_missing", observed(associations=[{**ASSOCIATION, "namespace": "team-b"}]), ["team-a/app"]),
    (
        "association_missing",
        with_document(agent_answer("[r]: (ResourceNotFoundException): No associated role found, fault: client", 404)),
        ["team-a/app"],
    ),
    (
        "job_refused",
        observed(
            pods=[],
            refused={0: 'namespaces "team-a" not found'},
        ),
        ['namespaces "team-a" not found'],
    ),
    ("pod_not_created", observed(pods=[]), ["verify-app-1", "told no reason"]),
    (
        "pod_not_created",
        observed(
            pods=[],
            surroundings={
                "events": [
                    {
                        "type": "Warning",
                        "message": 'serviceaccount "app" not found',
                        "involvedObject": {"namespace": "team-a", "name": "verify-app-1"},
                    }
                ]
            },
        ),
        ['serviceaccount "app" not found'],
    ),
    (
        "image_pull_failed",
        observed(pods=[waiting_pod("ImagePullBackOff", "Back-off pulling image")]),
        ["ImagePullBackOff", "Back-off pulling image"],
    ),
    (
        "image_unusable",
        observed(pods=[ended_pod(128, "StartError", 'exec: "python3": executable file not found in $PATH')]),
        ["python3"],
    ),
    (
        "image_unusable",
        observed(pods=[ended_pod(127, "Error", "python3: command not found")]),
        ["python3: command not found"],
    ),
    (
        "pod_unschedulable",
        observed(
            pods=[
                pod(
                    "",
                    spec={"nodeName": None},
                    status={
                        "phase": "Pending",
                        "containerStatuses": None,
                        "conditions": [
                            {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
                        ],
                    },
                )
            ]
        ),
        ["0/3 nodes are available"],
    ),
    (
        "deadline_exceeded",
        observed(pods=[pod("", status={"phase": "Running", "containerStatuses": []})]),
        ["120 s", NODE],
    ),
    ("no_document", observed(pods=[ended_pod(137, "OOMKilled", "")]), ["OOMKilled", "137"]),
    (
        "image_without_boto3",
        with_document(
            {"format": 1, "boto3": None, "error": {"type": "ImportError", "message": "No module named 'boto3'"}}
        ),
        ["No module named 'boto3'"],
    ),
    ("not_injected", with_document(document(**NOT_INJECTED)), ["did not see the association yet"]),
    (
        "not_injected",
        with_document(document(**NOT_INJECTED), surroundings={"webhook": webhook()}),
        ["did not see the association yet"],
    ),
    (
        "webhook_missing",
        with_document(document(**NOT_INJECTED), surroundings={"webhook": {}}),
        ["has no MutatingWebhookConfiguration pod-identity-webhook"],
    ),
    (
        "webhook_changed",
        with_document(
            document(**NOT_INJECTED),
            surroundings={
                "webhook": webhook({"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["team-b"]})
            },
        ),
        ["namespaceSelector", "team-a"],
    ),
    (
        "injection_skipped",
        with_document(document(**{**NOT_INJECTED, "variables": ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]})),
        ["AWS_CONTAINER_ variable"],
    ),
    (
        "injection_skipped",
        observed(
            pods=[
                pod(
                    document(**NOT_INJECTED),
                    metadata={"annotations": {"eks.amazonaws.com/skip-containers": "proxy,prove"}},
                )
            ]
        ),
        ["annotation eks.amazonaws.com/skip-containers"],
    ),
    (
        "injection_skipped",
        observed(
            pods=[
                pod(
                    document(**NOT_INJECTED),
                    metadata={"labels": {"eks.amazonaws.com/skip-pod-identity-webhook": "true"}},
                )
            ]
        ),
        ["skip-pod-identity-webhook"],
    ),
    (
        "not_injected",
        with_document(
            document(
                pod_identity_injected=False,
                credentials={"method": "iam-role"},
                identity={"arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/node-role/i-1", "role": "node-role"},
                calls=NOT_TRIED,
                variables=[],
            )
        ),
        ["node-role"],
    ),
    ("credentials_shadowed", with_document(SHADOWED), ["AWS_ACCESS_KEY_ID"]),
    (
        "credentials_shadowed",
        with_document(
            document(
                variables=[*DOCUMENT["variables"], "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"],
                credentials={"method": "assume-role-with-web-identity"},
                identity={"role": "irsa-role", "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/irsa-role/botocore"},
                calls=NOT_TRIED,
            )
        ),
        ["AWS_WEB_IDENTITY_TOKEN_FILE", "irsa-role"],
    ),
    (
        "credentials_shadowed",
        with_document(
            without_identity(
                "The config profile (dev) could not be found",
                "ProfileNotFound",
                variables=[*DOCUMENT["variables"], "AWS_PROFILE"],
            )
        ),
        ["AWS_PROFILE"],
    ),
    ("sdk_too_old", with_document({**UNREACHABLE, "botocore": "1.34.40"}), ["1.34.40", "1.34.41"]),
    (
        "sdk_too_old",
        with_document(without_identity("Unsupported host '169.254.170.23'.  Can only retrieve", "ValueError")),
        ["1.40.4"],
    ),
    ("agent_unreachable", with_document(UNREACHABLE), [NODE, "169.254.170.23"]),
    (
        "agent_unreachable",
        with_document(UNREACHABLE, surroundings={"addons": addon(), "agent_pods": agents(NODE)}),
        [NODE],
    ),
    (
        "agent_missing",
        with_document(UNREACHABLE, surroundings={"addons": [], "agent_pods": agents()}),
        ["eks-pod-identity-agent", "example"],
    ),
    (
        "agent_not_active",
        with_document(
            UNREACHABLE,
            surroundings={
                "addons": addon(status="DEGRADED", issues=[{"code": "InsufficientNumberOfReplicas", "message": "few"}]),
                "agent_pods": agents(),
            },
        ),
        ["DEGRADED", "InsufficientNumberOfReplicas"],
    ),
    (
        "agent_not_on_node",
        with_document(UNREACHABLE, surroundings={"addons": addon(), "agent_pods": agents("another-node")}),
        [NODE],
    ),
    (
        "agent_not_on_node",
        with_document(UNREACHABLE, surroundings={"addons": addon(), "agent_pods": [agent_pod(NODE)]}),
        [NODE],
    ),
    (
        "agent_crashing",
        with_document(
            UNREACHABLE,
            surroundings={
                "addons": addon(status="DEGRADED"),
                "agent_pods": [
                    agent_pod(
                        NODE,
                        state={"waiting": {"reason": "CrashLoopBackOff"}},
                        lastState={"terminated": {"exitCode": 1, "message": "cannot assign requested address"}},
                    )
                ],
            },
        ),
        [NODE, "CrashLoopBackOff, exit code 1, cannot assign requested address", "-b 169.254.170.23"],
    ),
    (
        "agent_late",
        observed(
            pods=[pod(UNREACHABLE, status=STARTED)],
            surroundings={"addons": addon(), "agent_pods": agents(NODE, since="2026-11-23T10:15:31Z")},
        ),
        ["2026-11-23T10:15:31Z", "2026-11-23T10:15:30Z", "Run the verification again"],
    ),
    (
        "node_unsupported",
        with_document(
            UNREACHABLE,
            surroundings={"addons": addon(), "agent_pods": agents("other"), "nodes": special_node("fargate")},
        ),
        [NODE, "fargate", "EC2 nodes"],
    ),
    (
        "node_unsupported",
        with_document(
            UNREACHABLE,
            surroundings={"addons": addon(), "agent_pods": agents("other"), "nodes": special_node("hybrid")},
        ),
        [NODE, "hybrid", "enableCredentialsFile"],
    ),
    (
        "network_policy",
        with_document(
            UNREACHABLE,
            surroundings={
                "addons": addon(),
                "agent_pods": agents(NODE),
                "network_policies": [network_policy("default-deny")],
            },
        ),
        ["default-deny", "team-a", "169.254.170.23/32"],
    ),
    (
        "eks_auth_unreachable",
        with_document(SLOW, surroundings={"addons": addon(), "agent_pods": agents(NODE)}),
        ["gave no answer in time", NODE],
    ),
    ("agent_unreachable", with_document(SLOW), [NODE]),
    (
        "eks_auth_unreachable",
        with_document(agent_answer("dial tcp: lookup eks-auth.eu-west-1.api.aws: no such host", 500)),
        ["no such host", "interface endpoint"],
    ),
    (
        "node_role_forbidden",
        with_document(
            agent_answer(
                f"[r]: (AccessDeniedException): User: arn:aws:sts::{ACCOUNT}:assumed-role/example-node/i-1 is not "
                "authorized to perform: eks-auth:AssumeRoleForPodIdentity on resource: x, fault: client"
            )
        ),
        ["example-node", "AmazonEKSWorkerNodePolicy"],
    ),
    ("trust_refused", with_document(REFUSED), ["app-role", "could not be read"]),
    ("assume_refused", with_document(REFUSED, surroundings={"roles": roles(role())}), ["app-role", "looks right"]),
    (
        "trust_refused",
        with_document(REFUSED, surroundings={"roles": roles(role(arn="arn:aws:iam::999999999999:role/app-role"))}),
        ["could not be read"],
    ),
    (
        "target_permission_missing",
        with_document(REFUSED, associations=[CHAINED], surroundings={"roles": roles(role())}),
        ["app-role", "sts:AssumeRole and sts:TagSession", TARGET_ARN],
    ),
    (
        "target_permission_missing",
        with_document(REFUSED, associations=[CHAINED], surroundings={"roles": roles(role(policies=["A"]), TARGET)}),
        ["app-role", "its managed policies A were not read"],
    ),
    (
        "target_refused",
        with_document(REFUSED, associations=[CHAINED], surroundings={"roles": roles(role(policies=["A"]))}),
        ["app-role", TARGET_ARN, "could not be read"],
    ),
    (
        "target_refused",
        with_document(REFUSED, associations=[CHAINED], surroundings={"roles": roles(SOURCE, TARGET)}),
        ["the trust policies look right"],
    ),
    (
        "target_trust_refused",
        with_document(REFUSED, associations=[CHAINED], surroundings={"roles": roles(SOURCE)}),
        ["could not be read", "where sts:ExternalId is eu-west-1/"],
    ),
    (
        "target_trust_refused",
        with_document(
            REFUSED,
            associations=[{**CHAINED, "external_id": "another"}],
            surroundings={"roles": roles(SOURCE, TARGET)},
        ),
        ["its condition on sts:ExternalId asks for eu-west-1/", "and EKS sends another"],
    ),
    (
        "target_role_missing",
        with_document(REFUSED, associations=[CHAINED], surroundings={"roles": roles(SOURCE, missing=[TARGET_ARN])}),
        [TARGET_ARN, "no such role"],
    ),
    (
        "role_missing",
        with_document(REFUSED, surroundings={"roles": roles(missing=[ROLE_ARN])}),
        ["app-role", "no such role"],
    ),
    (
        "agent_throttled",
        with_document(agent_answer("[r]: (ThrottlingException): Rate exceeded, fault: client", 429)),
        ["Rate exceeded"],
    ),
    (
        "token_refused",
        with_document(agent_answer("Service account token failed basic claim validations: token is expired")),
        ["token is expired"],
    ),
    (
        "eks_auth_failed",
        with_document(agent_answer("[r]: (InternalServerException): internal, fault: server", 500)),
        ["InternalServerException"],
    ),
    (
        "identity_unknown",
        with_document(
            document(
                identity=None,
                calls=NOT_TRIED,
                identity_error={"type": "EndpointConnectionError", "message": "Could not connect to sts"},
            )
        ),
        ["Could not connect to sts"],
    ),
    (
        "wrong_account",
        with_document(identity(account="999999999999", arn=SESSION.replace(ACCOUNT, "999999999999"))),
        ["999999999999", ROLE_ARN],
    ),
    (
        "wrong_role",
        with_document(identity(role="other-role", arn=SESSION.replace("app-role", "other-role"))),
        ["other-role", ROLE_ARN],
    ),
    ("wrong_session", with_document(identity(session_name="me")), ["eks-"]),
    ("wrong_account", with_document(DOCUMENT, associations=[{**ASSOCIATION, "target_role_arn": TARGET_ARN}]), ["444"]),
    ("deny_allowed", with_document(call_outcome(1, "allowed")), ["s3.create_bucket", "has been done"]),
    ("permission_missing", with_document(call_outcome(0, "denied", DENIED)), ["s3.list_buckets", "app-role"]),
    (
        "permission_missing",
        with_document(
            call_outcome(0, "denied", DENIED), surroundings={"roles": roles(role(policies=["AmazonSQSFullAccess"]))}
        ),
        ["AmazonSQSFullAccess, extra (inline)"],
    ),
    (
        "permission_missing",
        with_document(call_outcome(0, "denied", DENIED), surroundings={"roles": roles(role())}),
        ["no policy is attached"],
    ),
    *(
        (cause, with_document(call_outcome(0, "denied", {**DENIED, "message": f"is {NOT_AUTHORIZED} {words}"})), told)
        for cause, words, told in [
            ("boundary_denies", "because no permissions boundary allows the s3:X action", ["permissions boundary of"]),
            ("session_policy_denies", "with an explicit deny in a session policy", ["session policy of"]),
            ("organization_denies", "because no service control policy allows the s3:X action", ["organization"]),
            ("organization_denies", "with an explicit deny in a resource control policy", ["organization"]),
            ("resource_policy_denies", "because no resource-based policy allows the s3:X action", ["of the resource"]),
            ("resource_policy_denies", "with an explicit deny in a VPC endpoint policy", ["VPC endpoint"]),
            ("policy_denies", "with an explicit deny in an identity-based policy", ["Take the Deny for s3:X"]),
            ("permission_missing", "because no identity-based policy allows the s3:X action", ["allows s3:X"]),
        ]
    ),
    (
        "session_tags_refused",
        with_document(
            call_outcome(0, "denied", {**DENIED, "message": "x is not authorized to perform: sts:TagSession on y"})
        ),
        ["disable_session_tags", "app-role"],
    ),
    (
        "session_too_large",
        with_document(call_outcome(0, "error", {**DENIED, "code": "PackedPolicyTooLarge", "message": "130 %"})),
        ["130 %", "disable_session_tags"],
    ),
    (
        "association_missing",
        observed(associations=[], surroundings={"associations": [ASSOCIATION_OF_APPS]}),
        ["team-a/apps"],
    ),
    (
        "call_failed",
        with_document(call_outcome(1, "error", {"type": "ClientError", "code": "InvalidBucketName", "message": "bad"})),
        ["s3.create_bucket", "InvalidBucketName"],
    ),
]


@pytest.mark.parametrize(
    ("cause", "seen", "told"), CASES, ids=[f"{place}-{case[0]}" for place, case in enumerate(CASES)]
)
def test_cause_is_identified_with_evidence(cause: str, seen: Json, told: list[str]) -> None:
    proof = diagnose(seen)
    assert proof["proven"] is False
    assert proof["cause"]["id"] == cause
    assert proof["advice"].endswith((".", ")"))
    assert [word for word in told if word not in proof["cause"]["text"] + proof["advice"]] == []


def test_documented_causes_are_those_implemented() -> None:
    readme = (ROOT / "roles" / "verify" / "README.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in readme.splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in row.split("`")[1::2]}
    sources = (ROOT / "plugins" / "module_utils" / "_diagnosis").glob("*.py")
    named = {name for path in sources for name in re.findall(r'Cause\(\s*"(\w+)"', path.read_text(encoding="utf-8"))}
    denials = {name for _words, name, _advice in call_causes.DENIALS} | {call_causes.NOT_ALLOWED[0]}
    assert documented == (named | denials) - {"unexplained"}
    assert {cause for cause, _seen, _told in CASES} <= documented


def test_good_observation_is_proven_and_shows_requested_output() -> None:
    proof = diagnose(observed())
    assert proof["proven"] is True
    assert "cause" not in proof
    assert proof["identity"]["session_name"].startswith("eks-")
    assert [(call["outcome"], call["ok"]) for call in proof["calls"]] == [("allowed", True), ("denied", True)]
    assert proof["calls"][0]["shown"] == ["customer-invoices", "customer-reports"]
    lines = "\n".join(pod_identity_proof_report([proof]))
    assert "PROVEN team-a/app" in lines
    assert "customer-invoices, customer-reports" in lines


def test_workload_without_calls_proves_identity() -> None:
    bare = {"namespace": "team-a", "service_account": "app"}
    assert diagnose(with_document(document(calls=[])), bare)["proven"] is True


def test_proof_expects_target_role() -> None:
    held = document(
        identity={
            "arn": "arn:aws:sts::444455556666:assumed-role/target-role/eks-x",
            "account": "444455556666",
            "role": "target-role",
        }
    )
    proof = diagnose(with_document(held, associations=[{**ASSOCIATION, "target_role_arn": TARGET_ARN}]))
    assert proof["proven"] is True
    assert (proof["role_arn"], proof["target_role_arn"]) == (ROLE_ARN, TARGET_ARN)


def test_document_is_read_from_log_if_status_is_truncated() -> None:
    log = f"noise\n-----BEGIN POD IDENTITY PROOF-----\n{json.dumps(DOCUMENT)}\n-----END POD IDENTITY PROOF-----\n"
    seen = observed(pods=[pod("cut of")], logs={0: log})
    assert diagnose(seen)["proven"] is True


def test_unreadable_log_is_a_warning() -> None:
    refused = Refusal(403, "pods is forbidden.")
    proof = diagnose(observed(pods=[pod("cut of")], logs={0: refused}))
    assert proof["proven"] is False
    assert proof["warnings"] == ["The log of the pod of Job verify-app-1 could not be read: pods is forbidden."]


def test_calls_of_other_spec_prove_nothing() -> None:
    calls = [merged(call, {"operation": "something_else"}) for call in DOCUMENT["calls"]]
    assert diagnose(with_document(document(calls=calls)))["proven"] is False
    assert diagnose(with_document(document(calls=DOCUMENT["calls"][:1])))["proven"] is False


def test_pods_match_workloads_by_label() -> None:
    other = {"namespace": "team-b", "service_account": "other"}
    proofs = prove_all([other, WORKLOAD], observed(pods=[pod(metadata=label("1"))]))
    assert [proof["proven"] for proof in proofs] == [False, True]
    assert proofs[0]["cause"]["id"] == "association_missing"
    report = pod_identity_proof_report(proofs)
    assert report[0].startswith("PROVEN team-a/app")
    assert any(line.startswith("NOT PROVEN team-b/other") for line in report)


def label(place: str) -> Json:
    return {"labels": {"podidentity.eks/workload": place}}


def test_failed_lookup_is_reported_in_advice() -> None:
    lookups = {"roles": roles(unread=[{"arn": ROLE_ARN, "message": "Failed to get role: AccessDenied iam:GetRole"}])}
    assert "AccessDenied iam:GetRole" in diagnose(with_document(REFUSED, surroundings=lookups))["advice"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(
            {"Principal": {"Service": "eks.amazonaws.com"}}, "it trusts eks.amazonaws.com", id="wrong service"
        ),
        pytest.param({"Principal": {"AWS": "*"}}, "no statement of it allows pods.eks", id="no service"),
        pytest.param({"Action": "sts:AssumeRole"}, "no sts:TagSession", id="no tag session"),
        pytest.param({"Action": ["sts:TagSession"]}, "no sts:AssumeRole", id="no assume role"),
        pytest.param(
            {"Condition": {"StringEquals": {"aws:RequestTag/kubernetes-namespace": "team-b"}}},
            "asks for team-b, and EKS sends team-a",
            id="namespace",
        ),
        pytest.param(
            {"Condition": {"StringLike": {"aws:RequestTag/kubernetes-service-account": ["web-*", "api-*"]}}},
            "asks for web-* or api-*, and EKS sends app",
            id="service account pattern",
        ),
        pytest.param(
            {"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:eks:*:111122223333:podidentityassociation/*"}}},
            "aws:SourceArn asks for",
            id="SourceArn of another form",
        ),
        pytest.param(
            {"Condition": {"StringEquals": {"aws:SourceAccount": "999999999999"}}}, "999999999999", id="account"
        ),
        pytest.param(
            {"Condition": {"StringEquals": {"aws:RequestTag/team": "a"}}}, "sends no such session tag", id="own tag"
        ),
    ],
)
def test_refusing_part_of_trust_policy_is_named(change: Json, told: str) -> None:
    trust = {"Version": "2012-10-17", "Statement": [{**TRUST["Statement"][0], **change}]}
    proof = diagnose(with_document(REFUSED, surroundings={"roles": roles(role(trust))}))
    assert proof["cause"]["id"] == "trust_refused"
    assert told in proof["cause"]["text"]


def test_session_tag_conditions_never_match_with_tags_disabled() -> None:
    association = {**ASSOCIATION, "disable_session_tags": True}
    proof = diagnose(with_document(REFUSED, associations=[association], surroundings={"roles": roles(role())}))
    assert "session tags disabled" in proof["cause"]["text"]


def test_one_matching_statement_is_enough() -> None:
    other = {**TRUST["Statement"][0], "Condition": {"StringEquals": {"aws:RequestTag/kubernetes-namespace": "b"}}}
    trust = {"Version": "2012-10-17", "Statement": [other, TRUST["Statement"][0]]}
    assert (
        "looks right" in diagnose(with_document(REFUSED, surroundings={"roles": roles(role(trust))}))["cause"]["text"]
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({"Principal": {"AWS": "999999999999"}}, f"no statement of it allows {ROLE_ARN}", id="other"),
        pytest.param({"Principal": {"AWS": "AROAEXAMPLEEXAMPLE123"}}, "a role that was deleted", id="deleted"),
        pytest.param({"Action": "sts:AssumeRole"}, f"allows {ROLE_ARN} no sts:TagSession", id="no tags"),
        pytest.param(
            {"Condition": {"ArnEquals": {"aws:PrincipalArn": SESSION}}}, f"and EKS sends {ROLE_ARN}", id="principal"
        ),
        pytest.param(
            {"Condition": {"StringEquals": {"aws:RequestTag/kubernetes-namespace": "team-b"}}},
            "asks for team-b",
            id="tag",
        ),
    ],
)
def test_refusing_part_of_target_trust_policy_is_named(change: Json, told: str) -> None:
    whole = {"Principal": {"AWS": ROLE_ARN}, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    trust = {"Statement": [{"Effect": "Allow", **whole, **change}]}
    looked_up = {"roles": roles(SOURCE, role(trust, arn=TARGET_ARN))}
    proof = diagnose(with_document(REFUSED, associations=[CHAINED], surroundings=looked_up))
    assert proof["cause"]["id"] == "target_trust_refused"
    assert told in proof["cause"]["text"]


@pytest.mark.parametrize(
    ("effects", "cause"),
    [
        (["Allow"], "target_refused"),
        (["Allow", "Deny"], "target_permission_missing"),
        (["Deny"], "target_permission_missing"),
    ],
)
def test_deny_overrides_source_role_permission(effects: list[str], cause: str) -> None:
    statements = [{"Effect": effect, "Action": "sts:*", "Resource": "arn:aws:iam::4444*:role/*"} for effect in effects]
    looked_up = {"roles": roles(role(inline={"own": {"Statement": statements}}), TARGET)}
    proof = diagnose(with_document(REFUSED, associations=[CHAINED], surroundings=looked_up))
    assert proof["cause"]["id"] == cause


@pytest.mark.parametrize(
    ("spec", "blocks"),
    [
        ({}, True),
        ({"podSelector": {"matchLabels": {"podidentity.eks/workload": "0"}}}, True),
        ({"podSelector": {"matchLabels": {"app": "other"}}}, False),
        ({"podSelector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}}, True),
        ({"policyTypes": ["Ingress"]}, False),
        ({"policyTypes": None, "egress": []}, True),
        ({"policyTypes": None}, False),
        ({"egress": [{}]}, False),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "169.254.170.23/32"}}]}]}, False),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "fd00:ec2::/64"}}]}]}, False),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}]}]}, True),
        ({"egress": [{"to": [{"namespaceSelector": {}}]}]}, True),
        ({"egress": [{"ports": [{"port": 443}]}]}, True),
        ({"egress": [{"ports": [{"port": 1, "endPort": 100}]}]}, False),
        ({"egress": [{"ports": [{"protocol": "UDP"}]}]}, True),
    ],
)
def test_network_policy_blocking_agent_is_named(spec: Json, blocks: bool) -> None:
    policies = [network_policy("limits", **spec)]
    looked_up = {"addons": addon(), "agent_pods": agents(NODE), "network_policies": policies}
    proof = diagnose(with_document(UNREACHABLE, surroundings=looked_up))
    assert proof["cause"]["id"] == ("network_policy" if blocks else "agent_unreachable")


def test_network_policies_are_additive() -> None:
    both = [network_policy("deny"), network_policy("allow", egress=[{}])]
    looked_up = {"addons": addon(), "agent_pods": agents(NODE), "network_policies": both}
    assert diagnose(with_document(UNREACHABLE, surroundings=looked_up))["cause"]["id"] == "agent_unreachable"


def test_declared_and_unattached_policy_is_advised() -> None:
    denied = with_document(call_outcome(0, "denied", DENIED), surroundings={"roles": roles(role(policies=["Other"]))})
    declared = WORKLOAD | {"role": {"name": "app-role", "managed_policies": ["AmazonS3ReadOnlyAccess", "Other"]}}
    proof = diagnose(denied, declared)
    assert proof["cause"]["id"] == "permission_missing"
    assert proof["advice"].startswith(
        "AmazonS3ReadOnlyAccess is declared and not attached as declared: run the playbook podidentity.eks.workload."
    )
    assert "run the playbook" not in diagnose(denied)["advice"]


@pytest.mark.parametrize(("found", "advised"), [(None, True), ("s3:GetObject", True), ("s3:ListBucket", False)])
def test_declared_inline_policy_that_differs_is_advised(found: str | None, advised: bool) -> None:
    def policy(action: str) -> Json:
        return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]}

    inline = {"podidentity.eks": policy(found)} if found else {}
    looked_up = {"roles": roles(role(policies=["Other"], inline=inline))}
    denied = with_document(call_outcome(0, "denied", DENIED), surroundings=looked_up)
    proof = diagnose(denied, WORKLOAD | {"role": {"name": "app-role", "inline_policy": policy("s3:ListBucket")}})
    advice = "Inline policy podidentity.eks is declared and not attached as declared: run the playbook"
    assert proof["advice"].startswith(advice) == advised


def test_policies_of_target_role_are_those_that_pods_hold() -> None:
    declared = {"role": {"name": "source", "managed_policies": ["A"]}, "target_role": {"name": "t"}}
    assert read_workload({**WORKLOAD, **declared}, "workload 1").managed_policies == ()
