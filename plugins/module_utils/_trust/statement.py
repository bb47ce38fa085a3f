# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The trust statement of one workload on one cluster, and what can be read from other people's statements.

A statement is the JSON object of an IAM policy, as a mapping. Nothing here changes a mapping that it is given.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import json
import re
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._workload.cluster import Cluster

Statement = t.Mapping[str, t.Any]

#: Who assumes the role in Pod Identity; the EKS control plane's own principal is a mistake that many guides carry.
SERVICE = "pods.eks.amazonaws.com"
WRONG_SERVICE = "eks.amazonaws.com"
#: EKS refuses a role whose trust lacks either (CreatePodIdentityAssociation: "Trust policy of the role provided is
#: invalid").
ACTIONS = ("sts:AssumeRole", "sts:TagSession")
NAMESPACE_TAG = "aws:RequestTag/kubernetes-namespace"
SERVICE_ACCOUNT_TAG = "aws:RequestTag/kubernetes-service-account"
SID_PREFIX = "PodIdentity"
SID_WORD_LIMIT = 24
SID_HASH_LENGTH = 8


@dataclasses.dataclass(frozen=True)
class Subject:
    """One workload on one cluster: whose pods a statement is about."""

    cluster: Cluster
    namespace: str
    service_account: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service_account}"


def statement_id(subject: Subject) -> str:
    """The Sid by which the statement of a workload is found again.

    IAM allows letters and digits only, so the names alone would be ambiguous (``a-b``/``c`` and ``a``/``b-c``): the
    hash over cluster ARN, namespace and service account makes the Sid unique, the words make it readable.
    """
    words = (subject.namespace, subject.service_account)
    return made_sid(SID_PREFIX, words, (subject.cluster.arn, *words))


def made_sid(prefix: str, words: t.Iterable[str], identity: t.Iterable[str]) -> str:
    """A Sid that can be read by its words and is unique by the hash over what it stands for."""
    digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:SID_HASH_LENGTH]
    return "".join((prefix, *(camel_case(word)[:SID_WORD_LIMIT] for word in words), digest))


def subject_of(statement: Statement, cluster: Cluster) -> Subject | None:
    """Whose statement this is, if it is one of ours for a workload of this cluster and says so in its conditions.

    The Sid is made anew of what the conditions say: only where it is the same was the statement made here.
    """
    if not str(statement.get("Sid", "")).startswith(SID_PREFIX):
        return None
    equals = condition(statement, "StringEquals")
    namespace, service_account = equals.get(NAMESPACE_TAG), equals.get(SERVICE_ACCOUNT_TAG)
    if condition(statement, "ArnEquals").get("aws:SourceArn") != cluster.arn:
        return None
    if not isinstance(namespace, str) or not isinstance(service_account, str):
        return None
    found = Subject(cluster, namespace, service_account)
    return found if statement_id(found) == statement["Sid"] else None


def condition(statement: Statement, operator: str) -> t.Mapping[str, t.Any]:
    """The keys of one operator in a statement's conditions, values that are alone in a list as if they were not."""
    conditions = statement.get("Condition")
    keys = conditions.get(operator) if isinstance(conditions, t.Mapping) else None
    if not isinstance(keys, t.Mapping):
        return {}
    return {key: values[0] if isinstance(values, list) and len(values) == 1 else values for key, values in keys.items()}


def camel_case(name: str) -> str:
    """``s3-access-sa`` as ``S3AccessSa``."""
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^0-9A-Za-z]+", name))


def trust_statement(subject: Subject, session_tags: bool = True, scoped: bool = True) -> dict[str, t.Any]:
    """The statement that lets EKS Pod Identity give the role to the pods of one workload.

    Scoped, it holds for this cluster (``aws:SourceArn``, ``aws:SourceAccount``: the confused-deputy conditions of the
    EKS user guide) and for this namespace and service account by the session tags that EKS sends. Without session tags
    those two conditions would never match, so they are left out. Not scoped, it is the form that most guides show:
    whoever may pass the role can use it for any workload of any cluster of the account.
    """
    statement: dict[str, t.Any] = {
        "Sid": statement_id(subject),
        "Effect": "Allow",
        "Principal": {"Service": SERVICE},
        "Action": list(ACTIONS),
    }
    if not scoped:
        return statement
    equals = {"aws:SourceAccount": subject.cluster.account}
    if session_tags:
        equals |= {NAMESPACE_TAG: subject.namespace, SERVICE_ACCOUNT_TAG: subject.service_account}
    return statement | {"Condition": {"StringEquals": equals, "ArnEquals": {"aws:SourceArn": subject.cluster.arn}}}


def as_list(value: t.Any) -> list[t.Any]:
    """IAM takes one value or a list of them nearly everywhere."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def sole_service(statement: Statement) -> str | None:
    """The service principal that a statement allows to assume the role, if it allows that one principal only."""
    principal = statement.get("Principal")
    if statement.get("Effect") != "Allow" or not isinstance(principal, t.Mapping) or set(principal) != {"Service"}:
        return None
    services = as_list(principal["Service"])
    return services[0] if len(services) == 1 else None


def services(statement: Statement) -> list[str]:
    """All service principals of a statement."""
    principal = statement.get("Principal")
    return as_list(principal.get("Service")) if isinstance(principal, t.Mapping) else []


def allows(statement: Statement, action: str) -> bool:
    """Whether the statement's actions cover one, wildcards included; actions know no case."""
    patterns = (str(pattern).lower() for pattern in as_list(statement.get("Action")))
    return any(fnmatch.fnmatchcase(action.lower(), pattern) for pattern in patterns)


def only_assumes(statement: Statement) -> bool:
    """Whether a statement is about nothing but assuming the role, tagging the session included."""
    actions = {str(action).lower() for action in as_list(statement.get("Action"))}
    return bool(actions) and actions <= {action.lower() for action in ACTIONS}


def canonical(statement: Statement) -> str:
    """A text that is equal for statements that mean the same, or for whole documents.

    The order of a list, whether a single value is in one, and whether a value of a condition is written as a text do
    not matter.
    """
    return json.dumps(_canonical(statement), sort_keys=True)


def _canonical(value: t.Any) -> t.Any:
    if isinstance(value, t.Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = sorted((_canonical(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
        return items[0] if len(items) == 1 else items
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value
