# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Why EKS Pod Identity may not assume a role: the role's trust policy read against one association.

EKS assumes the role as the service ``pods.eks.amazonaws.com`` with ``aws:SourceAccount`` and ``aws:SourceArn`` and, if
they are not switched off, six session tags (EKS user guide, "Grant Pods access to AWS resources based on tags").
"""

from __future__ import annotations

import fnmatch
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import listing
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import mapping
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import SERVICE
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import WRONG_SERVICE
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import allows
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import as_list
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import services

#: Session tags whose values differ from pod to pod, so that a policy's value cannot be called wrong.
UNKNOWN_TAGS = {"aws:requesttag/kubernetes-pod-name", "aws:requesttag/kubernetes-pod-uid"}
#: Operators whose outcome is judged here. They match if any value does; the others are taken to match.
EXACT = {"stringequals", "arnequals", "stringequalsifexists", "arnequalsifexists"}
PATTERN = {"stringlike", "arnlike", "stringlikeifexists", "arnlikeifexists"}
#: ArnEquals and ArnLike behave identically (IAM user guide, "ARN condition operators").
ARN_OPERATORS = {"arnequals", "arnequalsifexists"}


def session_context(cluster_arn: str, namespace: str, service_account: str, tags: bool) -> dict[str, str]:
    """The condition keys that EKS sends when it assumes a role for a pod, in lower case as IAM compares them."""
    cluster = cluster_arn.rpartition("/")[2]
    context = {"aws:sourcearn": cluster_arn, "aws:sourceaccount": (cluster_arn.split(":") + [""] * 5)[4]}
    if tags:
        context |= {
            "aws:requesttag/eks-cluster-arn": cluster_arn,
            "aws:requesttag/eks-cluster-name": cluster,
            "aws:requesttag/kubernetes-namespace": namespace,
            "aws:requesttag/kubernetes-service-account": service_account,
        }
    return context


def explain_refusal(document: t.Any, context: t.Mapping[str, str]) -> str:
    """What in a trust policy keeps EKS Pod Identity out, as a clause; empty if nothing is to be seen in it."""
    statements = [item for item in as_list(mapping(document).get("Statement")) if isinstance(item, t.Mapping)]
    meant = [item for item in statements if item.get("Effect") == "Allow" and SERVICE in services(item)]
    if not meant:
        return wrong_principal(statements)
    for action in ("sts:AssumeRole", "sts:TagSession"):
        granting = [item for item in meant if allows(item, action)]
        if not granting:
            return f"it allows {SERVICE} no {action}"
        misses = [mismatch(item, context) for item in granting]
        if all(misses):
            return " and ".join(dict.fromkeys(misses))
    return ""


def wrong_principal(statements: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    """No statement allows the service: whom does the policy trust instead?"""
    if any(item.get("Effect") == "Allow" and WRONG_SERVICE in services(item) for item in statements):
        return f"it trusts {WRONG_SERVICE}, the EKS control plane, and not {SERVICE}"
    return f"no statement of it allows {SERVICE}"


def mismatch(statement: t.Mapping[str, t.Any], context: t.Mapping[str, str]) -> str:
    """The first condition of a statement that this association can never meet, as a clause; empty if there is none."""
    for operator, tests in mapping(statement.get("Condition")).items():
        for key, values in mapping(tests).items():
            wanted = [str(value) for value in (listing(values) or [values])]
            if not could_match(str(operator).lower(), str(key).lower(), wanted, context):
                return describe_mismatch(str(key), wanted, context)
    return ""


def could_match(operator: str, key: str, wanted: t.Sequence[str], context: t.Mapping[str, str]) -> bool:
    """Whether a condition may hold. What cannot be judged from here may."""
    known = key in context or (key.startswith("aws:requesttag/") and key not in UNKNOWN_TAGS)
    if operator not in EXACT | PATTERN or not (known or missing_tag(key, context)):
        return True
    if key not in context:
        return operator.endswith("ifexists")
    patterned = operator in PATTERN | ARN_OPERATORS
    return any(fnmatch.fnmatchcase(context[key], item) if patterned else item == context[key] for item in wanted)


def missing_tag(key: str, context: t.Mapping[str, str]) -> bool:
    """With session tags off none is sent, not even the pod's name."""
    return key in UNKNOWN_TAGS and not any(name.startswith("aws:requesttag/") for name in context)


def describe_mismatch(key: str, wanted: t.Sequence[str], context: t.Mapping[str, str]) -> str:
    sent = context.get(key.lower())
    if sent is not None:
        return f"its condition on {key} asks for {' or '.join(wanted)}, and EKS sends {sent}"
    if not any(name.startswith("aws:requesttag/") for name in context):
        return f"its condition on {key} never matches, since the association has session tags disabled"
    return f"its condition on {key} never matches, since EKS sends no such session tag"
