# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules for trust policies: what IAM accepts, and what EKS Pod Identity requires of a role."""

from __future__ import annotations

import functools
import json
import re
import typing as t

import botocore.session

from eks_sandbox.aws.policy_documents import SYNTAX
from eks_sandbox.aws.policy_documents import Malformed
from eks_sandbox.aws.policy_documents import as_list
from eks_sandbox.aws.policy_documents import parse
from eks_sandbox.aws.policy_documents import statements

POD_IDENTITY_PRINCIPAL = "pods.eks.amazonaws.com"

_ELEMENTS = {"Sid", "Effect", "Principal", "Action", "NotAction", "Condition"}
_PROHIBITED = {"Resource", "NotResource", "NotPrincipal"}
_PRINCIPAL_TYPES = {"AWS", "Service", "Federated", "CanonicalUser"}
_ACCOUNT_PRINCIPAL = re.compile(r"\*|\d{12}|A[A-Z0-9]{15,}|arn:aws[a-z-]*:(iam|sts)::\d{12}:.+")
#: Service principals that are not the name of an endpoint of AWS's.
_FURTHER_SERVICES = {
    *("pods.eks", "eks-fargate-pods", "eks-fargate", "eks-nodegroup", "eks-connector", "ecs-tasks", "edgelambda"),
    *("spotfleet", "ec2fleet", "spot", "vpc-flow-logs", "delivery.logs", "replicator.lambda", "ops.apigateway"),
    *("export.rds", "monitoring.rds", "opensearchservice", "transitgateway", "nlb.elasticloadbalancing"),
}


def check(document: str, exists: t.Callable[[str], bool]) -> None:
    """Refuse what IAM refuses as a trust policy.

    ``exists`` returns whether the user or role of an ARN exists. Raises Malformed with IAM's words.
    """
    policy = parse(document, _ELEMENTS | _PROHIBITED, "This policy contains invalid Json")
    for statement in statements(policy):
        if {"Resource", "NotResource"} & set(statement):
            raise Malformed("Has prohibited field Resource")
        if "NotPrincipal" in statement:
            raise Malformed("AssumeRole policy must not contain NotPrincipal field.")
        _check_principal(statement.get("Principal"), exists)
        _check_actions(statement)


def for_service(document: str, service: str) -> dict[str, t.Any]:
    """The part of a trust policy for a service principal: statements that name it, and that deny all principals.

    An Allow for ``*`` does not let a service in.
    """
    kept = []
    for statement in statements(json.loads(document)):
        principal = statement.get("Principal")
        named = isinstance(principal, dict) and service in as_list(principal.get("Service"))
        everybody = principal == "*" or (isinstance(principal, dict) and "*" in as_list(principal.get("AWS")))
        if named or (everybody and statement["Effect"] == "Deny"):
            kept.append({**statement, "Principal": "*"})
    return {"Version": "2012-10-17", "Statement": kept}


def names_service(document: str, service: str, actions: t.Iterable[str]) -> bool:
    """Whether a trust policy allows this service principal all these actions, conditions left aside."""
    allowed = [
        pattern
        for statement in for_service(document, service)["Statement"]
        if statement["Effect"] == "Allow"
        for pattern in as_list(statement.get("Action"))
    ]
    return all(any(_action_matches(pattern, action) for pattern in allowed) for action in actions)


def _action_matches(pattern: str, action: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, action, re.IGNORECASE) is not None


def _check_principal(principal: t.Any, exists: t.Callable[[str], bool]) -> None:
    if not principal:
        raise Malformed("Missing required field Principal")
    if principal == "*":
        return
    if not isinstance(principal, dict) or set(principal) - _PRINCIPAL_TYPES:
        raise Malformed(SYNTAX)
    for service in as_list(principal.get("Service")):
        if not isinstance(service, str) or not _is_service(service):
            raise Malformed(f'Invalid principal in policy: "SERVICE":"{service}"')
    for one in as_list(principal.get("AWS")):
        if not _ACCOUNT_PRINCIPAL.fullmatch(str(one)) or not exists(str(one)):
            raise Malformed(f'Invalid principal in policy: "AWS":"{one}"')


def _is_service(principal: str) -> bool:
    """Whether AWS has this service principal: ``<service>.amazonaws.com``, or with a region in the middle."""
    found = re.fullmatch(r"(?P<name>[a-z0-9.-]+?)(\.[a-z]{2}(-[a-z]+)+-\d)?\.amazonaws\.com(\.cn)?", principal)
    return found is not None and (found["name"] in _FURTHER_SERVICES or found["name"] in _services())


@functools.cache
def _services() -> frozenset[str]:
    """The names that AWS's services have in their endpoints, as botocore lists them."""
    session = botocore.session.get_session()
    endpoints = session.get_component("data_loader").load_data("endpoints")
    return frozenset((*endpoints["partitions"][0]["services"], *session.get_available_services()))


def _check_actions(statement: dict[str, t.Any]) -> None:
    actions = as_list(statement.get("Action", statement.get("NotAction")))
    if not actions:
        raise Malformed("Missing required field Action")
    if not all(isinstance(action, str) and re.match(r"(?i)sts:.|\*$", action) for action in actions):
        raise Malformed("AssumeRole policy may only specify STS AssumeRole actions.")
