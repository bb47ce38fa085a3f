# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Permissions that EC2 checks for a request: one for each resource that it names or creates; ministack checks ``*``.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html. An operation that is not here,
such as each Describe, is checked on ``*``.
"""

from __future__ import annotations

import re
import typing as t

from eks_sandbox.aws.permissions import Question
from eks_sandbox.aws.permissions import request_tag_keys
from eks_sandbox.aws.permissions import resource_tag_keys

#: Parameters as received: ``TagSpecification.1.Tag.1.Key=…``
Flat = t.Mapping[str, str]
Tags = dict[str, str]

#: What an operation makes.
MADE = {
    "AllocateAddress": "elastic-ip",
    "CreateInternetGateway": "internet-gateway",
    "CreateLaunchTemplate": "launch-template",
    "CreateNatGateway": "natgateway",
    "CreateRouteTable": "route-table",
    "CreateSecurityGroup": "security-group",
    "CreateSubnet": "subnet",
    "CreateVpc": "vpc",
}
_ADDRESS = ("AllocationId", "PublicIp")
_GROUP = ("GroupId", "GroupName")
_TEMPLATE = ("LaunchTemplateId", "LaunchTemplateName")
#: The parameters that name resources which the caller must be allowed to use or change.
NAMED: dict[str, tuple[str, ...]] = {
    "AssociateAddress": (*_ADDRESS, "InstanceId", "NetworkInterfaceId"),
    "AssociateRouteTable": ("RouteTableId", "SubnetId"),
    "AssociateSubnetCidrBlock": ("SubnetId",),
    "AssociateVpcCidrBlock": ("VpcId",),
    "AttachInternetGateway": ("InternetGatewayId", "VpcId"),
    "AuthorizeSecurityGroupEgress": _GROUP,
    "AuthorizeSecurityGroupIngress": _GROUP,
    "CreateLaunchTemplateVersion": _TEMPLATE,
    "CreateNatGateway": ("SubnetId", "AllocationId", "VpcId"),
    "CreateRoute": ("RouteTableId",),
    "CreateRouteTable": ("VpcId",),
    "CreateSecurityGroup": ("VpcId",),
    "CreateSubnet": ("VpcId",),
    "CreateTags": ("ResourceId",),
    "DeleteInternetGateway": ("InternetGatewayId",),
    "DeleteLaunchTemplate": _TEMPLATE,
    "DeleteLaunchTemplateVersions": _TEMPLATE,
    "DeleteNatGateway": ("NatGatewayId",),
    "DeleteRoute": ("RouteTableId",),
    "DeleteRouteTable": ("RouteTableId",),
    "DeleteSecurityGroup": _GROUP,
    "DeleteSubnet": ("SubnetId",),
    "DeleteTags": ("ResourceId",),
    "DeleteVpc": ("VpcId",),
    "DetachInternetGateway": ("InternetGatewayId", "VpcId"),
    "DisassociateAddress": ("AssociationId", "PublicIp"),
    "DisassociateRouteTable": ("AssociationId",),
    "ModifyLaunchTemplate": _TEMPLATE,
    "ModifySecurityGroupRules": _GROUP,
    "ModifySubnetAttribute": ("SubnetId",),
    "ModifyVpcAttribute": ("VpcId",),
    "ReleaseAddress": _ADDRESS,
    "ReplaceRoute": ("RouteTableId",),
    "ReplaceRouteTableAssociation": ("RouteTableId",),
    "RevokeSecurityGroupEgress": _GROUP,
    "RevokeSecurityGroupIngress": _GROUP,
}
#: The kind of a resource in ARNs, by the beginning of its id.
KINDS = {
    "acl": "network-acl",
    "dopt": "dhcp-options",
    "eigw": "egress-only-internet-gateway",
    "eipalloc": "elastic-ip",
    "eni": "network-interface",
    "i": "instance",
    "igw": "internet-gateway",
    "lt": "launch-template",
    "nat": "natgateway",
    "rtb": "route-table",
    "sg": "security-group",
    "sgr": "security-group-rule",
    "snap": "snapshot",
    "subnet": "subnet",
    "vol": "volume",
    "vpc": "vpc",
    "vpce": "vpc-endpoint",
}
_TAG_KEY = re.compile(r"((?:TagSpecification\.(\d+)\.)?Tag\.\d+)\.Key")


class Ec2Permissions:
    """Finds the questions of a request; ``ec2`` is ministack's module, which knows what exists in the account."""

    def __init__(self, ec2: t.Any) -> None:
        self._ec2 = ec2

    def questions(self, operation: str, flat: Flat) -> list[Question]:
        """All permissions that the request needs, in its account and region."""
        action, tags = f"ec2:{operation}", _tags(flat)
        asked = [
            Question(action, self._arn(one), {**self._resource_keys(one), **request_tag_keys(tags.get("", {}))})
            for parameter in NAMED.get(operation, ())
            for value in _values(flat, parameter)
            for one in self._ids(parameter, value)
        ]
        if operation in MADE:
            kind = MADE[operation]
            asked.append(Question(action, self._made(kind), {**self._region(), **request_tag_keys(tags.get(kind, {}))}))
        # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/supported-iam-actions-tagging.html: a request that
        # creates a resource with tags needs CreateTags too; ec2:CreateAction distinguishes it from tagging a resource.
        asked += [
            Question(
                "ec2:CreateTags",
                self._made(kind),
                {**self._region(), **request_tag_keys(given), "ec2:CreateAction": operation},
            )
            for kind, given in tags.items()
            if kind
        ]
        return asked or [Question(action, "*", self._region())]

    def launch(self, template: str, used: t.Sequence[str], image: str) -> list[Question]:
        """What RunInstances checks for this launch template: ``used`` subnets and security groups, and an image.

        https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/permissions-for-launch-templates.html
        """
        keys = {**self._region(), "ec2:LaunchTemplate": self._arn(template)}
        resources = [
            *((self._arn(one), self._resource_keys(one)) for one in (template, *used)),
            *((self._made(kind), {}) for kind in ("instance", "network-interface", "volume")),
            (f"arn:aws:ec2:{self._ec2.get_region()}::image/{image}", {}),
        ]
        return [Question("ec2:RunInstances", arn, {**keys, **own}) for arn, own in resources]

    def _ids(self, parameter: str, value: str) -> list[str]:
        """The ids of resources that a parameter names by id, name, address or association."""
        if parameter == "AssociationId":
            tables = [one for table in self._ec2._route_tables.values() for one in table["Associations"]]
            routed = [one for one in tables if one["RouteTableAssociationId"] == value]
            addresses = [one for one in self._ec2._addresses.values() if one.get("AssociationId") == value]
            ids = [(one["RouteTableId"], one.get("SubnetId")) for one in routed]
            return [one for pair in ids for one in pair if one] + [one["AllocationId"] for one in addresses]
        by_name = {
            "GroupName": (self._ec2._security_groups, "GroupName", "GroupId"),
            "LaunchTemplateName": (self._ec2._launch_templates, "LaunchTemplateName", "LaunchTemplateId"),
            "PublicIp": (self._ec2._addresses, "PublicIp", "AllocationId"),
        }
        if parameter not in by_name:
            return [value]
        store, member, identifier = by_name[parameter]
        return [record[identifier] for record in store.values() if record[member] == value]

    def _arn(self, identifier: str) -> str:
        kind = KINDS.get(identifier.partition("-")[0])
        return f"{self._prefix()}:{kind}/{identifier}" if kind else "*"

    def _made(self, kind: str) -> str:
        return f"{self._prefix()}:{kind}/*"

    def _prefix(self) -> str:
        return f"arn:aws:ec2:{self._ec2.get_region()}:{self._ec2.get_account_id()}"

    def _region(self) -> dict[str, str]:
        return {"ec2:Region": self._ec2.get_region()}

    def _resource_keys(self, identifier: str) -> dict[str, str]:
        """The condition keys of a resource that exists: its tags."""
        tags = {tag["Key"]: tag["Value"] for tag in self._ec2._tags.get(identifier) or []}
        return {**self._region(), **resource_tag_keys(tags, "ec2")}


def _values(flat: Flat, parameter: str) -> list[str]:
    """The values of a parameter, which may be a list."""
    return [value for name, value in flat.items() if re.fullmatch(rf"{parameter}(\.\d+)?", name) and value]


def _tags(flat: Flat) -> dict[str, Tags]:
    """The tags of a request by the kind of resource that they are for; "" for those of CreateTags and DeleteTags."""
    found: dict[str, Tags] = {}
    for name, key in flat.items():
        match = _TAG_KEY.fullmatch(name)
        if match:
            kind = flat.get(f"TagSpecification.{match[2]}.ResourceType", "") if match[2] else ""
            found.setdefault(kind, {})[key] = flat.get(f"{match[1]}.Value", "")
    return found
