# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EKS Auth: AssumeRoleForPodIdentity, what the agent calls (facts 3.3 and 4)."""

from __future__ import annotations

import base64
import binascii
import json
import time
import typing as t
import uuid

from eks_sandbox.aws import trust
from eks_sandbox.aws.eks.state import Association
from eks_sandbox.aws.eks.state import Cluster
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.eks.state import cluster_arn
from eks_sandbox.aws.errors import ServiceError
from eks_sandbox.aws.errors import access_denied
from eks_sandbox.aws.ministack import Caller
from eks_sandbox.aws.ministack import Ministack
from eks_sandbox.aws.ministack import Role
from eks_sandbox.aws.permissions import request_tag_keys
from eks_sandbox.interfaces import Credentials

#: Lifetime in seconds of credentials of the association's role, and of a target role (facts 2.2).
ROLE_SESSION = 6 * 3600
TARGET_ROLE_SESSION = 3600
#: IAM's limit for session names.
SESSION_NAME = 64

Session = tuple[Credentials, str, float]
_UNAUTHORIZED = "Unauthorized Exception! EKS does not have permissions to assume the associated role."


async def assume_role_for_pod_identity(state: State, caller: Caller, parameters: Shape) -> Shape:
    """Credentials of the role that is associated with the service account in the token.

    Raises ServiceError: AccessDeniedException, ResourceNotFoundException, InvalidTokenException, ExpiredTokenException.
    """
    name = parameters["clusterName"]
    state.ministack.authorise(caller, "eks-auth:AssumeRoleForPodIdentity", cluster_arn(caller, name))
    cluster = state.cluster(caller, name)
    claims = await _verified_claims(cluster, parameters["token"])
    pod = claims["kubernetes.io"]
    key = (pod["namespace"], pod["serviceaccount"]["name"])
    if key not in cluster.association_ids:
        message = "No associated role found for the specified service account"
        raise ServiceError("ResourceNotFoundException", message)
    association = cluster.associations[cluster.association_ids[key]]
    tags = {} if association.shape["disableSessionTags"] else _session_tags(cluster, pod)
    session_name = _session_name(name, pod["pod"]["name"])
    role, (credentials, session_arn, end) = _assume(state.ministack, cluster, association, tags, session_name)
    return {
        "subject": {"namespace": key[0], "serviceAccount": key[1]},
        "audience": trust.POD_IDENTITY_PRINCIPAL,
        "podIdentityAssociation": {
            "associationArn": association.shape["associationArn"],
            "associationId": association.shape["associationId"],
        },
        "assumedRoleUser": {"arn": session_arn, "assumeRoleId": f"{role.id}:{session_name}"},
        "credentials": {
            "accessKeyId": credentials.access_key,
            "secretAccessKey": credentials.secret_key,
            "sessionToken": credentials.session_token,
            "expiration": end,
        },
    }


async def _verified_claims(cluster: Cluster, token: str) -> Shape:
    if _expiry(token) < time.time():
        raise ServiceError("ExpiredTokenException", "The token included in the request is expired.")
    claims = None
    if cluster.runtime is not None:
        claims = await cluster.runtime.review_token(token, trust.POD_IDENTITY_PRINCIPAL)
    if claims is None or "pod" not in claims.get("kubernetes.io", {}):
        raise ServiceError("InvalidTokenException", "The token included in the request is invalid.")
    return claims


def _expiry(token: str) -> float:
    """The end that the token claims for itself; whether it is true is checked afterwards."""
    part = token.split(".")[1]
    try:
        return float(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["exp"])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise ServiceError("InvalidTokenException", "The token included in the request is invalid.") from error


def _session_tags(cluster: Cluster, pod: t.Mapping[str, t.Any]) -> dict[str, str]:
    """The six tags, all transitive: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html."""
    return {
        "eks-cluster-arn": cluster.spec.arn,
        "eks-cluster-name": cluster.spec.name,
        "kubernetes-namespace": pod["namespace"],
        "kubernetes-service-account": pod["serviceaccount"]["name"],
        "kubernetes-pod-name": pod["pod"]["name"],
        "kubernetes-pod-uid": pod["pod"]["uid"],
    }


def _session_name(cluster: str, pod: str) -> str:
    """``eks-<cluster>-<pod>-<uuid>``, with cluster and pod cut so that it fits."""
    return f"eks-{cluster[:10]}-{pod[:10]}-{uuid.uuid4()}"[:SESSION_NAME]


def _assume(
    ministack: Ministack, cluster: Cluster, association: Association, tags: dict[str, str], session_name: str
) -> tuple[Role, Session]:
    """Assume the association's role, and from there its target role when it has one."""
    shape = association.shape
    target_arn = shape.get("targetRoleArn")
    role = ministack.role(shape["roleArn"])
    source = {"aws:SourceAccount": cluster.spec.account, "aws:SourceArn": cluster.spec.arn}
    if role is None or not ministack.trusts_service(role, trust.POD_IDENTITY_PRINCIPAL, source, tags):
        raise access_denied(_UNAUTHORIZED)
    # With a target role the session policy applies to that role's session only (facts 2.2).
    policy = None if target_arn else shape.get("policy")
    first = ministack.session(role, session_name, seconds=ROLE_SESSION, session_tags=tags, policy=policy)
    if not target_arn:
        return role, first
    target = ministack.role(target_arn)
    if target is None:
        raise access_denied(_UNAUTHORIZED)
    _check_chain(ministack, role, first, target, shape, tags)
    policy = shape.get("policy")
    return target, ministack.session(
        target, session_name, seconds=TARGET_ROLE_SESSION, session_tags=tags, policy=policy
    )


def _check_chain(
    ministack: Ministack,
    source: Role,
    first: Session,
    target: Role,
    shape: Shape,
    tags: dict[str, str],
) -> None:
    """Both sides must agree: the source role's policies, and the target role's trust."""
    credentials, session_arn, _end = first
    caller = ministack.session_caller(credentials, session_arn)
    external_id = shape["externalId"]
    context: Shape = {**request_tag_keys(tags), "sts:ExternalId": external_id}
    try:
        for action in ("sts:AssumeRole", *(("sts:TagSession",) if tags else ())):
            ministack.authorise(caller, action, target.arn, context)
    except ServiceError as error:
        raise access_denied(_UNAUTHORIZED) from error
    if not ministack.trusts_session(target, session_arn, source, external_id, tags):
        raise access_denied(_UNAUTHORIZED)
