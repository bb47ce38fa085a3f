# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whatever pods, logs and APIs say, the diagnosis gives an answer, and never proves what was not seen.

The observations are those of a good verification in which values at some places were exchanged for any others.
"""

from __future__ import annotations

import copy
import json
import typing as t

import hypothesis
import hypothesis.strategies as st
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_proof_report import pod_identity_proof_report
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.cases import is_settled
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.cases import read_cases
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.cases import unread_pods
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.proof import prove

Json = t.Any
Path = tuple[t.Any, ...]

ROLE_ARN = "arn:aws:iam::111122223333:role/app-role"
WORKLOAD = {
    "namespace": "team-a",
    "service_account": "app",
    "prove": {"allow": [{"service": "s3", "operation": "list_buckets"}]},
}
CALL = {"service": "s3", "operation": "list_buckets", "expected": "allow", "outcome": "allowed", "error": None}
DOCUMENT: Json = {
    "format": 1,
    "boto3": "1.40.0",
    "botocore": "1.40.0",
    "region": "eu-west-1",
    "variables": ["AWS_REGION"],
    "pod_identity_injected": True,
    "credentials": {"method": "container-role", "error": None},
    "identity": {
        "arn": "arn:aws:sts::111122223333:assumed-role/app-role/eks-1",
        "account": "111122223333",
        "role": "app-role",
        "session_name": "eks-1",
    },
    "identity_error": None,
    "error": None,
    "calls": [CALL],
}
STATE = {"name": "prove", "state": {"terminated": {"exitCode": 0, "reason": "Completed", "message": ""}}}
OBSERVED: Json = {
    "cluster": "example",
    "timeout": 120,
    "associations": [
        {
            "association_id": "a-1",
            "association_arn": "arn:aws:eks:eu-west-1:111122223333:podidentityassociation/example/a-1",
            "namespace": "team-a",
            "service_account": "app",
            "role_arn": ROLE_ARN,
            "target_role_arn": None,
        }
    ],
    "jobs": ["verify-1"],
    "refused": {},
    "left": {0: ""},
    "own_pods": [],
    "pods": [
        {
            "metadata": {"name": "verify-1-x", "namespace": "team-a", "labels": {"podidentity.eks/workload": "0"}},
            "spec": {"nodeName": "node-1"},
            "status": {
                "phase": "Succeeded",
                "reason": "",
                "conditions": [{"type": "PodScheduled", "status": "True", "message": ""}],
                "containerStatuses": [STATE],
            },
        }
    ],
    "logs": {0: ""},
    "surroundings": {
        "addons": [{"arn": "arn:aws:eks:x", "status": "ACTIVE", "health": {"issues": [{"code": "", "message": ""}]}}],
        "agent_pods": [
            {"spec": {"nodeName": "node-1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        ],
        "nodes": [{"metadata": {"name": "node-1", "labels": {"eks.amazonaws.com/compute-type": "auto"}}}],
        "network_policies": [
            {
                "metadata": {"name": "deny", "namespace": "team-a"},
                "spec": {
                    "podSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]},
                    "policyTypes": ["Egress"],
                    "egress": [
                        {
                            "to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": []}}],
                            "ports": [{"port": 80, "endPort": 90}],
                        }
                    ],
                },
            }
        ],
        "webhook": {
            "webhooks": [
                {
                    "name": "iam-for-pods.amazonaws.com",
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "team-a"}},
                }
            ]
        },
        "associations": [{"namespace": "team-a", "service_account": "apps"}],
        "roles": {
            "roles": [
                {
                    "arn": ROLE_ARN,
                    "trust_policy": {
                        "Statement": [
                            {
                                "Effect": "Allow",
                                "Principal": {"Service": "pods.eks.amazonaws.com"},
                                "Action": ["sts:AssumeRole", "sts:TagSession"],
                                "Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"}},
                            }
                        ]
                    },
                    "managed_policies": {"arn:aws:iam::aws:policy/A": "A"},
                    "inline_policies": {
                        "B": {
                            "Statement": [
                                {"Effect": "Allow", "Action": ["sts:AssumeRole"], "Resource": ["arn:aws:iam::*"]}
                            ]
                        }
                    },
                }
            ],
            "missing": [],
            "unread": [{"arn": "", "message": ""}],
        },
        "events": [{"type": "Warning", "message": "", "involvedObject": {"name": "x"}}],
        "unknown": [""],
    },
}
#: Words that mean something at one place or another.
KNOWN_TEXTS = (
    "",
    "env",
    "iam-role",
    "denied",
    "error",
    "other",
    "999999999999",
    "1.30.0",
    "Failed",
    "False",
    "Running",
    "Received error when attempting to retrieve container metadata",
    "[r]: (AccessDeniedException): Unauthorized",
    "token",
)
FAULT = {"type": "CredentialRetrievalError", "code": None, "message": "refused"}


def error_with(message: str) -> Json:
    return {**FAULT, "message": message}


def value_paths(value: Json, above: Path = ()) -> t.Iterator[Path]:
    """The way to every value inside a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*above, key)
        yield from value_paths(inner, (*above, key))


def exchange(value: Json, changes: t.Sequence[tuple[Path, Json]]) -> Json:
    """A copy with other values at some places; a place that an earlier exchange took away is passed over."""
    result = copy.deepcopy(value)
    for path, replacement in changes:
        inner = result
        for key in path[:-1]:
            inner = inner[key] if has_key(inner, key) else None
        if has_key(inner, path[-1]):
            inner[path[-1]] = replacement
    return result


def has_key(value: Json, key: t.Any) -> bool:
    if isinstance(value, dict):
        return key in value
    return isinstance(value, list) and isinstance(key, int) and key < len(value)


anything: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.sampled_from(KNOWN_TEXTS),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
) | st.sampled_from(KNOWN_TEXTS).map(error_with)


def exchanged(value: Json) -> st.SearchStrategy[Json]:
    change = st.tuples(st.sampled_from(sorted(value_paths(value), key=str)), anything)
    return st.lists(change, max_size=3).map(changed_by(value))


def changed_by(value: Json) -> t.Callable[[t.Sequence[tuple[Path, Json]]], Json]:
    def change(changes: t.Sequence[tuple[Path, Json]]) -> Json:
        return exchange(value, changes)

    return change


@st.composite
def observations(draw: st.DrawFn) -> Json:
    """A verification with a few values exchanged, in what the pod says and in all around it."""
    words = json.dumps(draw(exchanged(DOCUMENT))) if draw(st.integers(0, 9)) else draw(st.text(max_size=20))
    seen = copy.deepcopy(OBSERVED)
    [container] = seen["pods"][0]["status"]["containerStatuses"]
    container["state"]["terminated"]["message"] = words
    return draw(exchanged(seen))


many_examples = hypothesis.settings(max_examples=500, suppress_health_check=list(hypothesis.HealthCheck))


@many_examples
@hypothesis.given(observations())
def test_only_expected_identity_is_ever_proven(seen: Json) -> None:
    proofs = [prove(case) for case in read_cases([WORKLOAD], seen)]
    assert pod_identity_proof_report(proofs)
    [proof] = proofs
    hypothesis.event("proven" if proof["proven"] else proof["cause"]["id"])
    if proof["proven"]:
        # A role ARN of another account or name would have needed the same exchange twice, in pod and association.
        assert proof["role_arn"] == ROLE_ARN
        assert (proof["identity"]["account"], proof["identity"]["role"]) == ("111122223333", "app-role")
        assert proof["identity"]["session_name"].startswith("eks-")
        assert [(call["operation"], call["outcome"]) for call in proof["calls"]] == [("list_buckets", "allowed")]
    else:
        assert proof["cause"]["id"]
        assert proof["cause"]["text"]
        assert proof["advice"]


@many_examples
@hypothesis.given(exchanged(OBSERVED["pods"]), st.integers(0, 3))
def test_pods_settle_at_timeout_and_not_while_missing(found: Json, expected: int) -> None:
    assert is_settled(found, expected, elapsed=120.0, timeout=120.0) is True
    assert is_settled([], expected + 1, elapsed=5.0, timeout=120.0) is False
    assert all(isinstance(pod.name, str) and isinstance(pod.namespace, str) for pod in unread_pods(found).values())
