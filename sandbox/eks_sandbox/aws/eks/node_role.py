# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role of a node group's nodes: what EKS checks, and what happens to nodes whose role lacks permissions.

CreateNodegroup checks only the trust policy. If permissions are missing, the nodes do not start, and the group becomes
CREATE_FAILED with NodeCreationFailure. The API reference (Issue) names as common causes "insufficient node IAM role
permissions or lack of outbound internet access".
"""

from __future__ import annotations

import typing as t

from eks_sandbox.aws import trust
from eks_sandbox.aws.eks.operations import Context
from eks_sandbox.aws.eks.state import Cluster
from eks_sandbox.aws.errors import ServiceError
from eks_sandbox.aws.errors import invalid_parameter
from eks_sandbox.aws.ministack import Caller
from eks_sandbox.aws.ministack import Ministack

#: https://github.com/eksctl-io/eksctl/issues/4509
NOT_JOINED = "Instances failed to join the kubernetes cluster"
#: https://github.com/terraform-aws-modules/terraform-aws-eks/issues/2041
UNHEALTHY = "Unhealthy nodes in the kubernetes cluster"
#: What a node reads from EC2 before it can register (nodeadm and the kubelet: its own name and instance type).
_JOINING = ("ec2:DescribeInstances",)
#: What the containers of a node need before it is Ready: images, and addresses from the network plugin.
_IMAGES = ("ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
_ADDRESSES = ("ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:AttachNetworkInterface")
#: The network plugin's service account, which may have its own identity.
_NETWORK_PLUGIN = ("kube-system", "aws-node")


def check(context: Context, role_arn: str) -> None:
    """Refuse a role that does not exist or that EC2 may not assume."""
    try:
        # EKS gets it and hands it on: https://docs.aws.amazon.com/step-functions/latest/dg/eks-iam.html
        role = context.pass_role(role_arn, "eks.amazonaws.com")
    except LookupError as error:
        name = role_arn.rsplit("/", 1)[-1]
        raise invalid_parameter(f"The role with name {name} cannot be found.") from error
    if not trust.names_service(role.trust_policy, "ec2.amazonaws.com", ["sts:AssumeRole"]):
        raise invalid_parameter(
            "Following required service principals [ec2.amazonaws.com] were not found in the trust relationships of "
            f"nodeRole {role_arn}"
        )


def failure(ministack: Ministack, cluster: Cluster, role_arn: str) -> str | None:
    """The error of EKS if nodes with this role do not start, None if they do."""
    role = ministack.role(role_arn)
    if role is None:
        return NOT_JOINED
    credentials, session_arn, _end = ministack.session(role, "i-0123456789abcdef0", seconds=60)
    caller = ministack.session_caller(credentials, session_arn)
    if not _allows(ministack, caller, _JOINING):
        return NOT_JOINED
    needed = _IMAGES if _network_plugin_has_identity(cluster) else (*_IMAGES, *_ADDRESSES)
    return None if _allows(ministack, caller, needed) else UNHEALTHY


def _network_plugin_has_identity(cluster: Cluster) -> bool:
    addon = cluster.addons.get("vpc-cni")
    role = addon.shape.get("serviceAccountRoleArn") if addon else None
    return role is not None or _NETWORK_PLUGIN in cluster.association_ids


def _allows(ministack: Ministack, caller: Caller, actions: t.Sequence[str]) -> bool:
    try:
        for action in actions:
            ministack.authorise(caller, action, "*")
    except ServiceError:
        return False
    return True
