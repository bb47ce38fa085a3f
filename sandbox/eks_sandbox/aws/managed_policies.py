# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Managed policies of AWS that the stories here need and ministack does not hold.

The documents are those of the AWS Managed Policy Reference
(https://docs.aws.amazon.com/aws-managed-policy/latest/reference/).
"""

from __future__ import annotations

import typing as t

_ECR_PULL = ("ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer")


def _allow(sid: str, actions: t.Sequence[str], resource: str | list[str] = "*", **more: t.Any) -> dict[str, t.Any]:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}
    return {"Sid": sid, **statement} if sid else statement


#: Name of the policy -> (description, statements).
POLICIES: dict[str, tuple[str, list[dict[str, t.Any]]]] = {
    "AmazonEKSWorkerNodeMinimalPolicy": (
        "This policy allows Amazon EKS worker nodes to connect to Amazon EKS Clusters.",
        [_allow("WorkerNodePermissions", ["ec2:DescribeInstances", "eks-auth:AssumeRoleForPodIdentity"])],
    ),
    "AmazonEC2ContainerRegistryReadOnly": (
        "Provides read-only access to Amazon EC2 Container Registry repositories.",
        [
            _allow(
                "",
                [
                    *_ECR_PULL,
                    "ecr:GetRepositoryPolicy",
                    "ecr:DescribeRepositories",
                    "ecr:ListImages",
                    "ecr:DescribeImages",
                    "ecr:BatchGetImage",
                    "ecr:GetLifecyclePolicy",
                    "ecr:GetLifecyclePolicyPreview",
                    "ecr:ListTagsForResource",
                    "ecr:DescribeImageScanFindings",
                ],
            )
        ],
    ),
    "AmazonEC2ContainerRegistryPullOnly": (
        "Provides pull-only access to Amazon EC2 Container Registry repositories.",
        [
            _allow(
                "",
                [
                    "ecr:GetAuthorizationToken",
                    "ecr:BatchGetImage",
                    "ecr:GetDownloadUrlForLayer",
                    "ecr:BatchImportUpstreamImage",
                ],
            )
        ],
    ),
    "AmazonDynamoDBReadOnlyAccess": (
        "Provides read only access to Amazon DynamoDB via the AWS Management Console.",
        [
            _allow(
                "GeneralPermissions",
                [
                    "dynamodb:BatchGetItem",
                    "dynamodb:Describe*",
                    "dynamodb:List*",
                    "dynamodb:GetItem",
                    "dynamodb:GetResourcePolicy",
                    "dynamodb:Query",
                    "dynamodb:Scan",
                    "dynamodb:PartiQLSelect",
                ],
            )
        ],
    ),
    "AmazonSQSReadOnlyAccess": (
        "Provides read only access to Amazon SQS via the AWS Management Console.",
        [
            _allow(
                "",
                [
                    "sqs:GetQueueAttributes",
                    "sqs:GetQueueUrl",
                    "sqs:ListDeadLetterSourceQueues",
                    "sqs:ListQueues",
                    "sqs:ListMessageMoveTasks",
                    "sqs:ListQueueTags",
                ],
            )
        ],
    ),
}
