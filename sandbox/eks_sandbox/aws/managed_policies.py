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


def _if(operator: str, key: str, value: str) -> dict[str, t.Any]:
    """A condition in the form of the last argument of :func:`_allow`."""
    return {"Condition": {operator: {key: value}}}


_VOLUMES, _SNAPSHOTS, _INSTANCES = (f"arn:aws:ec2:*:*:{kind}/*" for kind in ("volume", "snapshot", "instance"))
_EBS_TAG, _EFS_TAG = "ebs.csi.aws.com/cluster", "efs.csi.aws.com/cluster"
#: As of July 2025; AWS has changed it several times since.
_EBS_CSI = [
    _allow(
        "",
        [
            "ec2:DescribeAvailabilityZones",
            "ec2:DescribeInstances",
            "ec2:DescribeSnapshots",
            "ec2:DescribeTags",
            "ec2:DescribeVolumes",
            "ec2:DescribeVolumesModifications",
            "ec2:DescribeVolumeStatus",
        ],
    ),
    _allow("", ["ec2:CreateSnapshot", "ec2:ModifyVolume"], _VOLUMES),
    _allow("", ["ec2:AttachVolume", "ec2:DetachVolume"], [_VOLUMES, _INSTANCES]),
    _allow("", ["ec2:CreateVolume", "ec2:EnableFastSnapshotRestores"], _SNAPSHOTS),
    _allow(
        "",
        ["ec2:CreateTags"],
        [_VOLUMES, _SNAPSHOTS],
        Condition={"StringEquals": {"ec2:CreateAction": ["CreateVolume", "CreateSnapshot"]}},
    ),
    _allow("", ["ec2:DeleteTags"], [_VOLUMES, _SNAPSHOTS]),
    _allow("", ["ec2:CreateVolume"], _VOLUMES, **_if("StringLike", f"aws:RequestTag/{_EBS_TAG}", "true")),
    _allow("", ["ec2:CreateVolume"], _VOLUMES, **_if("StringLike", "aws:RequestTag/CSIVolumeName", "*")),
    _allow("", ["ec2:DeleteVolume"], _VOLUMES, **_if("StringLike", f"ec2:ResourceTag/{_EBS_TAG}", "true")),
    _allow("", ["ec2:DeleteVolume"], _VOLUMES, **_if("StringLike", "ec2:ResourceTag/CSIVolumeName", "*")),
    _allow(
        "",
        ["ec2:DeleteVolume"],
        _VOLUMES,
        **_if("StringLike", "ec2:ResourceTag/kubernetes.io/created-for/pvc/name", "*"),
    ),
    _allow("", ["ec2:CreateSnapshot"], _SNAPSHOTS, **_if("StringLike", "aws:RequestTag/CSIVolumeSnapshotName", "*")),
    _allow("", ["ec2:CreateSnapshot"], _SNAPSHOTS, **_if("StringLike", f"aws:RequestTag/{_EBS_TAG}", "true")),
    _allow("", ["ec2:DeleteSnapshot"], _SNAPSHOTS, **_if("StringLike", "ec2:ResourceTag/CSIVolumeSnapshotName", "*")),
    _allow("", ["ec2:DeleteSnapshot"], _SNAPSHOTS, **_if("StringLike", f"ec2:ResourceTag/{_EBS_TAG}", "true")),
]
_EFS_REQUEST_TAG = {"Null": {f"aws:RequestTag/{_EFS_TAG}": "false"}}
_EFS_ONLY_TAG = {"ForAllValues:StringEquals": {"aws:TagKeys": _EFS_TAG}}
_EFS_CSI = [
    _allow(
        "AllowDescribe",
        [
            "elasticfilesystem:DescribeAccessPoints",
            "elasticfilesystem:DescribeFileSystems",
            "elasticfilesystem:DescribeMountTargets",
            "ec2:DescribeAvailabilityZones",
        ],
    ),
    _allow(
        "AllowCreateAccessPoint",
        ["elasticfilesystem:CreateAccessPoint"],
        Condition={**_EFS_REQUEST_TAG, **_EFS_ONLY_TAG},
    ),
    _allow(
        "AllowTagNewAccessPoints",
        ["elasticfilesystem:TagResource"],
        Condition={
            "StringEquals": {"elasticfilesystem:CreateAction": "CreateAccessPoint"},
            **_EFS_REQUEST_TAG,
            **_EFS_ONLY_TAG,
        },
    ),
    _allow(
        "AllowDeleteAccessPoint",
        ["elasticfilesystem:DeleteAccessPoint"],
        Condition={"Null": {f"aws:ResourceTag/{_EFS_TAG}": "false"}},
    ),
]


def _only(key: str, value: str) -> dict[str, t.Any]:
    return {"Condition": {"StringEquals": {key: value}}}


#: Name of the policy, with its path -> (description, statements).
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
    "service-role/AmazonEBSCSIDriverPolicy": (
        "IAM Policy that allows the CSI driver service account to make calls to related services such as EC2 on your "
        "behalf.",
        _EBS_CSI,
    ),
    "service-role/AmazonEFSCSIDriverPolicy": (
        "Provides management access to EFS resources and read access to EC2",
        _EFS_CSI,
    ),
    "AWSXrayWriteOnlyAccess": (
        "AWS X-Ray write only managed policy",
        [
            _allow(
                "",
                [
                    "xray:PutTraceSegments",
                    "xray:PutTelemetryRecords",
                    "xray:GetSamplingRules",
                    "xray:GetSamplingTargets",
                    "xray:GetSamplingStatisticSummaries",
                ],
            )
        ],
    ),
    # The policies of Auto Mode, which EKS uses outside of the sandbox, without their conditions.
    "AmazonEKSComputePolicy": (
        "Policy attached to the EKS Cluster Role that grants permissions to manage cluster compute resources.",
        [
            _allow("", ["ec2:CreateFleet", "ec2:RunInstances", "ec2:CreateLaunchTemplate", "ec2:CreateTags"]),
            _allow("", ["iam:CreateInstanceProfile", "iam:TagInstanceProfile", "iam:AddRoleToInstanceProfile"]),
            _allow("", ["iam:PassRole"], **_only("iam:PassedToService", "ec2.amazonaws.com")),
        ],
    ),
    "AmazonEKSBlockStoragePolicy": (
        "Policy attached to the EKS Cluster Role that grants permissions to manage cluster block storage resources.",
        [
            _allow("", ["ec2:AttachVolume", "ec2:DetachVolume", "ec2:ModifyVolume", "ec2:EnableFastSnapshotRestores"]),
            _allow("", ["ec2:CreateVolume", "ec2:CreateSnapshot", "ec2:DeleteSnapshot", "ec2:CreateTags"]),
        ],
    ),
    "AmazonEKSLoadBalancingPolicy": (
        "Policy attached to the EKS Cluster Role that grants permissions to manage cluster load balancing resources.",
        [
            _allow(
                "", ["elasticloadbalancing:Create*", "elasticloadbalancing:Modify*", "elasticloadbalancing:AddTags"]
            ),
            _allow("", ["ec2:CreateSecurityGroup", "ec2:AuthorizeSecurityGroupIngress", "ec2:CreateTags"]),
        ],
    ),
    "AmazonEKSNetworkingPolicy": (
        "Policy attached to the EKS Cluster Role that grants permissions to manage cluster networking resources.",
        [
            _allow("", ["ec2:CreateNetworkInterface", "ec2:AttachNetworkInterface", "ec2:DeleteNetworkInterface"]),
            _allow("", ["ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses", "ec2:CreateTags"]),
        ],
    ),
}
