# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What EKS does in the caller's name when it makes clusters and node groups, and needs the caller's permission for.

https://docs.aws.amazon.com/step-functions/latest/dg/eks-iam.html and
https://github.com/aws-controllers-k8s/community/issues/2164 name what a node group needs; passing and reading the roles
of pods is :meth:`Context.pass_role`.
"""

from __future__ import annotations

import typing as t

from eks_sandbox.aws import service_linked_roles
from eks_sandbox.aws.eks.operations import Context
from eks_sandbox.aws.eks.state import Cluster
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.errors import ServiceError
from eks_sandbox.aws.errors import invalid_request


async def make_cluster_role(context: Context) -> None:
    """EKS's service-linked role, which the first cluster of an account brings.

    Raises AccessDeniedException.
    """
    if context.state.ministack.service_linked_role(context.caller, service_linked_roles.CLUSTERS) is None:
        await _make_role(context, service_linked_roles.CLUSTERS)


async def make_nodegroup_role(context: Context) -> None:
    """The service-linked role of node groups, which EKS creates if it does not exist.

    Raises InvalidRequestException, in the words of https://github.com/terraform-aws-modules/terraform-aws-eks/issues/823
    and https://github.com/XenitAB/terraform-modules/pull/396.
    """
    name = service_linked_roles.NAMES[service_linked_roles.NODE_GROUPS]
    found = context.state.ministack.service_linked_role(context.caller, service_linked_roles.NODE_GROUPS)
    try:
        # IAM does not know the path of a role that does not exist.
        context.authorise("iam:GetRole", found or f"arn:aws:iam::{context.caller.account}:role/{name}")
    except ServiceError as error:
        message = f"Failed to validate if SLR: {name} already exists due to missing permissions for 'iam:GetRole'"
        raise invalid_request(message) from error
    if found is not None:
        return
    try:
        await _make_role(context, service_linked_roles.NODE_GROUPS)
    except ServiceError as error:
        missing = "due to missing permissions for 'iam:CreateServiceLinkedRole'"
        raise invalid_request(f"Failed to create service linked role: {name} {missing}") from error


async def _make_role(context: Context, service: str) -> None:
    arn = service_linked_roles.arn(context.caller.account, service)
    context.authorise("iam:CreateServiceLinkedRole", arn, {"iam:AWSServiceName": service})
    await context.state.ministack.call("iam", "CreateServiceLinkedRole", {"AWSServiceName": service}, context.caller)


def read_node_role(context: Context, role_arn: str) -> None:
    """Check that the caller may read the role of a node group, its policies, and the subnets.

    Raises AccessDeniedException, or for the subnets InvalidRequestException; no source documents this code.
    """
    for action in ("iam:GetRole", "iam:ListAttachedRolePolicies"):
        context.authorise(action, role_arn)
    try:
        context.authorise("ec2:DescribeSubnets", "*")
    except ServiceError as error:
        message = f"You are not authorized to perform ec2:DescribeSubnets. {error.message}"
        raise invalid_request(message) from error


def launch(context: Context, cluster: Cluster, template: Shape, data: Shape, subnets: t.Sequence[str]) -> None:
    """A launch template is tried with a dry run of RunInstances.

    Raises InvalidRequestException (https://github.com/scylladb/scylla-cluster-tests/issues/12172).
    """
    groups = data.get("SecurityGroupIds") or [cluster.shape["resourcesVpcConfig"]["clusterSecurityGroupId"]]
    image = data.get("ImageId", "*")
    try:
        for question in context.state.ministack.launch_questions(
            context.caller, template["id"], [*subnets, *groups], image
        ):
            context.authorise(question.action, question.resource, question.keys)
    except ServiceError as error:
        message = f"You are not authorized to launch instances with this launch template. {error.message}"
        raise invalid_request(message) from error
