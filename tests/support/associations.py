# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the tests of the modules for associations share: names, and what somebody else does meanwhile."""

from __future__ import annotations

import json
import typing as t

from support.iam_roles import make_role
from support.iam_roles import trust_policy
from support.module_runs import Account
from support.module_runs import Result

ROLE = "arn:aws:iam::111122223333:role/"
LIST, DESCRIBE = "eks:ListPodIdentityAssociations", "eks:DescribePodIdentityAssociation"
CREATE, UPDATE = "eks:CreatePodIdentityAssociation", "eks:UpdatePodIdentityAssociation"
DELETE, CLUSTER = "eks:DeletePodIdentityAssociation", "eks:DescribeCluster"
TAG, UNTAG, GET_RESOURCES = "eks:TagResource", "eks:UntagResource", "tagging:GetResources"
#: Their requests in the model of botocore.
WRITE_REQUESTS = ("CreatePodIdentityAssociationRequest", "UpdatePodIdentityAssociationRequest")
#: The tag of what is made here.
MANAGED_TAG = "podidentity.eks/cluster"


class Run(t.Protocol):
    """Runs a module in diff mode; ``calls`` of the result are the operations that it called, in order."""

    def __call__(self, module_name: str, /, *, check: bool = False, **params: t.Any) -> Result: ...


def create_role(account: Account, name: str, replaces: bool = False) -> None:
    """A role for pods; or one that is there becomes one."""
    iam = account.sandbox.client("iam")
    if replaces:
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust_policy("pods.eks.amazonaws.com"))
    else:
        make_role(iam, name, "pods.eks.amazonaws.com")


def create_unmanaged_association(account: Account, name: str, **fields: t.Any) -> dict[str, t.Any]:
    """Somebody else makes an association for ``namespace/service_account``."""
    namespace, service_account = name.split("/")
    parameters = {"namespace": namespace, "serviceAccount": service_account, "roleArn": f"{ROLE}app", **fields}
    answer = account.eks.create_pod_identity_association(clusterName="example", **parameters)
    association: dict[str, t.Any] = answer["association"]
    return association


def stored(account: Account, name: str) -> dict[str, t.Any]:
    """What EKS has for ``namespace/service_account``; empty where it has nothing."""
    namespace, service_account = name.split("/")
    filters = {"namespace": namespace, "serviceAccount": service_account}
    found = account.eks.list_pod_identity_associations(clusterName="example", **filters)["associations"]
    if not found:
        return {}
    identity = {"clusterName": "example", "associationId": found[0]["associationId"]}
    association: dict[str, t.Any] = account.eks.describe_pod_identity_association(**identity)["association"]
    return association


def stored_names(account: Account) -> list[str]:
    """``namespace/service_account`` of everything that EKS has, sorted."""
    pages = account.eks.get_paginator("list_pod_identity_associations").paginate(clusterName="example")
    return sorted(f"{one['namespace']}/{one['serviceAccount']}" for page in pages for one in page["associations"])


def limited_caller(account: Account, deny: str, resource: str = "*") -> dict[str, t.Any]:
    """Keys of a user who may do everything but this."""
    iam = account.sandbox.client("iam")
    iam.create_user(UserName="limited")
    statements = [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": deny, "Resource": resource},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName="limited", PolicyName="limits", PolicyDocument=document)
    keys = iam.create_access_key(UserName="limited")["AccessKey"]
    return {"access_key": keys["AccessKeyId"], "secret_key": keys["SecretAccessKey"]}
