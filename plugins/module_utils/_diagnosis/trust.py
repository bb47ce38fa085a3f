# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Why EKS Pod Identity may not assume a role: trust policies read against one association.

EKS assumes the role as the service ``pods.eks.amazonaws.com`` with ``aws:SourceAccount`` and ``aws:SourceArn`` and, if
they are not switched off, six session tags (EKS user guide, "Grant Pods access to AWS resources based on tags").
"""

from __future__ import annotations

import fnmatch
import re
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import listing
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import mapping
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import SERVICE
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import WRONG_SERVICE
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import allows
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import as_list
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import services

#: What EKS does to a role, and then with it.
ASSUMING = ("sts:AssumeRole", "sts:TagSession")
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
    statements = statements_of(document)
    meant = [item for item in statements if item.get("Effect") == "Allow" and SERVICE in services(item)]
    return refusal(meant, context, SERVICE) if meant else wrong_principal(statements)


def statements_of(document: t.Any) -> list[t.Mapping[str, t.Any]]:
    return [item for item in as_list(mapping(document).get("Statement")) if isinstance(item, t.Mapping)]


def refusal(meant: t.Sequence[t.Mapping[str, t.Any]], context: t.Mapping[str, str], whom: str) -> str:
    """What the statements that are meant for somebody keep from him, as a clause; empty if they keep nothing."""
    for action in ASSUMING:
        granting = [item for item in meant if allows(item, action)]
        if not granting:
            return f"it allows {whom} no {action}"
        misses = [mismatch(item, context) for item in granting]
        if all(misses):
            return " and ".join(dict.fromkeys(misses))
    return ""


def chain_context(session: t.Mapping[str, str], source_arn: str, external_id: str) -> dict[str, str]:
    """The condition keys with which a session of the source role assumes the target role.

    ``session`` is its :func:`session_context`; of it the tags go on, and the service's own keys do not.
    """
    tags = {key: value for key, value in session.items() if key.startswith("aws:requesttag/")}
    account = (source_arn.split(":") + [""] * 5)[4]
    caller = {"aws:principalarn": source_arn, "aws:principalaccount": account}
    return tags | caller | ({"sts:externalid": external_id} if external_id else {})


def explain_target_refusal(document: t.Any, context: t.Mapping[str, str]) -> str:
    """What in a target role's trust policy keeps the source role out, as :func:`explain_refusal` says it."""
    source = context["aws:principalarn"]
    statements = statements_of(document)
    meant = [item for item in statements if item.get("Effect") == "Allow" and names_role(item, source)]
    if meant:
        return refusal(meant, context, source)
    gone = [one for item in statements for one in principals(item) if re.fullmatch(r"AROA[A-Z0-9]+", one)]
    if gone:
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
        return f"it trusts {' and '.join(gone)}, a role that was deleted, also if one of the same name was made since"
    return f"no statement of it allows {source}"


def principals(statement: t.Mapping[str, t.Any]) -> list[str]:
    """The AWS principals of a statement."""
    principal = statement.get("Principal")
    return [str(one) for one in as_list(principal.get("AWS") if isinstance(principal, t.Mapping) else principal)]


def names_role(statement: t.Mapping[str, t.Any], arn: str) -> bool:
    """Whether a statement is meant for a role: by its ARN, by its whole account, or for everybody."""
    partition, account = (arn.split(":") + [""] * 5)[1], (arn.split(":") + [""] * 5)[4]
    return not {"*", account, f"arn:{partition}:iam::{account}:root", arn}.isdisjoint(principals(statement))


def permits(documents: t.Iterable[t.Any], action: str, resource: str) -> bool:
    """Whether permission policies allow an action on a resource, conditions left aside; a Deny wins."""
    about = [
        item
        for document in documents
        for item in statements_of(document)
        if allows(item, action) and any(is_like(resource, str(one)) for one in as_list(item.get("Resource")))
    ]
    # A Deny with a condition may be about something else.
    denied = any(item.get("Effect") == "Deny" and not item.get("Condition") for item in about)
    return not denied and any(item.get("Effect") == "Allow" for item in about)


def is_like(text: str, pattern: str) -> bool:
    """IAM's wildcards, which know no character classes."""
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


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
