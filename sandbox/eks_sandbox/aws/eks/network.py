# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What EKS reads from EC2: subnets, security groups and launch templates."""

from __future__ import annotations

import ipaddress
import typing as t

from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.eks.state import random_id
from eks_sandbox.aws.errors import ServiceError
from eks_sandbox.aws.errors import invalid_parameter
from eks_sandbox.aws.ministack import Ministack
from eks_sandbox.aws.ministack import Where
from eks_sandbox.interfaces import ClusterSpec

#: Addresses that can never reach a public endpoint.
_NOT_PUBLIC = [
    ipaddress.IPv4Network(block)
    for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4")
]


async def subnets(ministack: Ministack, where: Where, ids: t.Sequence[str]) -> list[Shape]:
    """EC2's description of these subnets, in this order; raises InvalidParameterException for one that is missing."""
    found = []
    for subnet_id in ids:
        try:
            answer = await ministack.call("ec2", "DescribeSubnets", {"SubnetIds": [subnet_id]}, where)
        except ServiceError as error:
            raise invalid_parameter(f"The subnet ID '{subnet_id}' does not exist") from error
        if not answer["Subnets"]:
            raise invalid_parameter(f"The subnet ID '{subnet_id}' does not exist")
        found += answer["Subnets"]
    return found


async def vpc_config(ministack: Ministack, where: Where, given: Shape) -> tuple[Shape, list[Shape]]:
    """The VPC configuration of a new cluster with AWS's defaults, and EC2's description of its subnets.

    Raises InvalidParameterException: at least two subnets in two zones of one VPC, security groups that exist
    (https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html).
    """
    found = await _cluster_subnets(ministack, where, given.get("subnetIds", []))
    await check_security_groups(ministack, where, given.get("securityGroupIds", []))
    config = {
        "subnetIds": [subnet["SubnetId"] for subnet in found],
        "securityGroupIds": list(given.get("securityGroupIds", [])),
        "vpcId": found[0]["VpcId"],
        "endpointPublicAccess": given.get("endpointPublicAccess", True),
        "endpointPrivateAccess": given.get("endpointPrivateAccess", False),
        "publicAccessCidrs": list(given.get("publicAccessCidrs", ["0.0.0.0/0"])),
    }
    check_endpoint_access(config)
    return config, found


async def changed_vpc(ministack: Ministack, where: Where, before: Shape, given: Shape) -> Shape:
    """The VPC configuration with other subnets or security groups; the VPC itself cannot change."""
    after = dict(before)
    if given.get("subnetIds"):
        found = await _cluster_subnets(ministack, where, given["subnetIds"])
        if found[0]["VpcId"] != before["vpcId"]:
            raise invalid_parameter("Provided subnets belong to a different VPC than the cluster's VPC.")
        after["subnetIds"] = list(given["subnetIds"])
    if given.get("securityGroupIds"):
        await check_security_groups(ministack, where, given["securityGroupIds"])
        after["securityGroupIds"] = list(given["securityGroupIds"])
    return after


def check_endpoint_access(config: Shape) -> None:
    """A cluster's API server must be reachable one way or the other, and from addresses that are public."""
    if not config["endpointPublicAccess"] and not config["endpointPrivateAccess"]:
        raise invalid_parameter("Private and public endpoint access cannot be false")
    for cidr in config["publicAccessCidrs"]:
        try:
            block = ipaddress.IPv4Network(cidr)
        except ValueError as error:
            raise invalid_parameter(f"The following CIDRs are invalid in publicAccessCidrs: [{cidr}]") from error
        if any(block.subnet_of(closed) for closed in _NOT_PUBLIC):
            raise invalid_parameter(f"The following CIDRs are not allowed in publicAccessCidrs: [{cidr}]")


async def _cluster_subnets(ministack: Ministack, where: Where, ids: t.Sequence[str]) -> list[Shape]:
    found = await subnets(ministack, where, ids)
    if len({subnet["AvailabilityZone"] for subnet in found}) < 2:
        raise invalid_parameter("Subnets specified must be in at least two different AZs")
    if len({subnet["VpcId"] for subnet in found}) > 1:
        raise invalid_parameter("Subnets specified must belong to the same VPC")
    return found


async def create_cluster_security_group(ministack: Ministack, spec: ClusterSpec, vpc_id: str) -> str:
    """Create the cluster security group as EKS does, and return its id.

    https://docs.aws.amazon.com/eks/latest/userguide/sec-group-reqs.html
    """
    name = f"eks-cluster-sg-{spec.name}-{random_id(9)}"
    tags = {"Name": name, f"kubernetes.io/cluster/{spec.name}": "owned", "aws:eks:cluster-name": spec.name}
    description = "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes."
    made = await ministack.call(
        "ec2",
        "CreateSecurityGroup",
        {
            "GroupName": name,
            "Description": description,
            "VpcId": vpc_id,
            "TagSpecifications": [
                {
                    "ResourceType": "security-group",
                    "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
                }
            ],
        },
        spec,
    )
    group = str(made["GroupId"])
    itself = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    rule = {"GroupId": group, "IpPermissions": [itself]}
    await ministack.call("ec2", "AuthorizeSecurityGroupIngress", rule, spec)
    return group


async def delete_security_group(ministack: Ministack, where: Where, group: str) -> None:
    """Delete the cluster security group, if it still exists."""
    try:
        await ministack.call("ec2", "DeleteSecurityGroup", {"GroupId": group}, where)
    except ServiceError as error:
        if error.code != "InvalidGroup.NotFound":
            raise


async def launch_template(ministack: Ministack, where: Where, given: Shape) -> tuple[Shape, Shape]:
    """The launch template version that a node group names: its specification for EKS, and its data.

    Raises InvalidParameterException, also for a template or a version that does not exist.
    """
    if ("id" in given) == ("name" in given):
        raise invalid_parameter(
            "You must specify either the launch template ID or the launch template name, but not both."
        )
    key = {"LaunchTemplateId": given["id"]} if "id" in given else {"LaunchTemplateName": given["name"]}
    version = given.get("version", "$Default")
    shown = given.get("id") or given["name"]
    try:
        answer = await ministack.call("ec2", "DescribeLaunchTemplateVersions", {**key, "Versions": [version]}, where)
    except ServiceError as error:
        message = f"The specified launch template, with template ID {shown}, does not exist."
        raise invalid_parameter(message) from error
    if not answer["LaunchTemplateVersions"]:
        raise invalid_parameter(f"The specified launch template version {version} of {shown} does not exist.")
    found = answer["LaunchTemplateVersions"][0]
    resolved = {
        "id": found["LaunchTemplateId"],
        "name": found["LaunchTemplateName"],
        "version": str(found["VersionNumber"]),
    }
    return resolved, found.get("LaunchTemplateData", {})


async def check_security_groups(ministack: Ministack, where: Where, ids: t.Sequence[str]) -> None:
    """Refuse a security group that EC2 does not know; raises InvalidParameterException."""
    for group in ids:
        try:
            answer = await ministack.call("ec2", "DescribeSecurityGroups", {"GroupIds": [group]}, where)
        except ServiceError as error:
            raise invalid_parameter(f"The security group ID '{group}' does not exist") from error
        if not answer["SecurityGroups"]:
            raise invalid_parameter(f"The security group ID '{group}' does not exist")


async def check_key_pair(ministack: Ministack, where: Where, name: str | None) -> None:
    """Refuse an SSH key that EC2 does not know; raises InvalidParameterException."""
    if name is None:
        return
    try:
        await ministack.call("ec2", "DescribeKeyPairs", {"KeyNames": [name]}, where)
    except ServiceError as error:
        raise invalid_parameter(f"The key pair '{name}' does not exist") from error
