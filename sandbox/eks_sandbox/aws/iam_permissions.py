# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The permissions that IAM checks for its own requests, with the ARNs and condition keys that ministack leaves out.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
"""

from __future__ import annotations

import typing as t

from eks_sandbox.aws import service_linked_roles
from eks_sandbox.aws.permissions import Question
from eks_sandbox.aws.permissions import resource_tag_keys

#: Parameters as received: ``Tags.member.1.Key=…``
Flat = t.Mapping[str, str]
Keys = t.Mapping[str, t.Any]
Record = t.Mapping[str, t.Any]

#: The operations with iam:PermissionsBoundary: the boundary of the request, or else the existing one.
BOUNDED = {
    *("DeleteRole", "GetRole", "UpdateAssumeRolePolicy", "UpdateRole", "UpdateRoleDescription"),
    *(f"Create{kind}" for kind in ("Role", "User")),
    *(f"{verb}{kind}Policy" for verb in ("Attach", "Detach", "Put", "Delete") for kind in ("Role", "User")),
    *(f"{verb}{kind}PermissionsBoundary" for verb in ("Put", "Delete") for kind in ("Role", "User")),
}


class IamPermissions:
    """Finds the questions of a request; ``iam`` is ministack's module, which knows what exists in the account."""

    def __init__(self, iam: t.Any) -> None:
        #: By parameter, the one that decides first: the kind in ARNs, and what there is by name.
        self._kinds = {
            "InstanceProfileName": ("instance-profile", iam._instance_profiles),
            "GroupName": ("group", iam._groups),
            "RoleName": ("role", iam._roles),
            "UserName": ("user", iam._users),
        }
        self._iam = iam

    def questions(self, operation: str, flat: Flat, request_keys: Keys) -> list[Question]:
        """All permissions that the request needs; ``request_keys`` are aws:RequestTag and aws:TagKeys."""
        resource, record = self._resource(operation, flat)
        keys = {**request_keys, **_tag_keys(record), **_own_keys(operation, flat, record)}
        asked = [Question(f"iam:{operation}", resource, keys)]
        if operation.startswith("Create") and request_keys:
            # https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags_roles.html: creating one with tags needs both.
            asked.append(Question(f"iam:Tag{operation.removeprefix('Create')}", resource, request_keys))
        if operation == "AddRoleToInstanceProfile":
            role, record = self._named("RoleName", flat)
            passed = {**_tag_keys(record), "iam:PassedToService": "ec2.amazonaws.com"}
            asked.append(Question("iam:PassRole", role, passed))
        return asked

    def _resource(self, operation: str, flat: Flat) -> tuple[str, Record]:
        """The ARN that is checked, and its record; empty if it does not exist."""
        for parameter in self._kinds:
            if flat.get(parameter):
                return self._named(parameter, flat)
        if operation == "CreateServiceLinkedRole":
            return service_linked_roles.arn(self._iam.get_account_id(), flat.get("AWSServiceName", "")), {}
        if operation == "CreatePolicy":
            return self._arn("policy", flat.get("Path"), flat.get("PolicyName", "")), {}
        return flat.get("PolicyArn") or flat.get("PolicySourceArn") or "*", {}

    def _named(self, parameter: str, flat: Flat) -> tuple[str, Record]:
        kind, store = self._kinds[parameter]
        record: Record = store.get(flat[parameter]) or {}
        return record.get("Arn") or self._arn(kind, flat.get("Path"), flat[parameter]), record

    def _arn(self, kind: str, path: str | None, name: str) -> str:
        return f"arn:aws:iam::{self._iam.get_account_id()}:{kind}{path or '/'}{name}"


def _tag_keys(record: Record) -> dict[str, str]:
    return resource_tag_keys({tag["Key"]: tag["Value"] for tag in record.get("Tags") or []}, "iam")


def _own_keys(operation: str, flat: Flat, record: Record) -> dict[str, str]:
    """IAM's own condition keys that this operation knows."""
    boundary = flat.get("PermissionsBoundary") or record.get("PermissionsBoundary")
    keys = {
        "iam:PermissionsBoundary": boundary if operation in BOUNDED else None,
        "iam:AWSServiceName": flat.get("AWSServiceName"),
    }
    if operation.startswith(("Attach", "Detach")):
        keys["iam:PolicyARN"] = flat.get("PolicyArn")
    return {key: value for key, value in keys.items() if value}
