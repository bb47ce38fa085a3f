# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The service-linked roles of EKS by AWS's names; ministack invents the names.

https://docs.aws.amazon.com/eks/latest/userguide/using-service-linked-roles.html
"""

from __future__ import annotations

import typing as t

CLUSTERS = "eks.amazonaws.com"
NODE_GROUPS = "eks-nodegroup.amazonaws.com"
#: By service.
NAMES = {CLUSTERS: "AWSServiceRoleForAmazonEKS", NODE_GROUPS: "AWSServiceRoleForAmazonEKSNodegroup"}

#: Status, headers, body.
Answer = tuple[int, dict[str, str], t.Any]


def arn(account: str, service: str) -> str:
    """The ARN of a service's role, existing or not; ``*`` replaces an unknown name."""
    return f"arn:aws:iam::{account}:role/aws-service-role/{service}/{NAMES.get(service, '*')}"


def name_as_aws_does(iam: t.Any) -> None:
    """Put the names into ministack's CreateServiceLinkedRole."""
    theirs = iam._IAM_HANDLERS["CreateServiceLinkedRole"]

    def create(parameters: dict[str, list[str]]) -> Answer:
        service = iam._p(parameters, "AWSServiceName")
        name = NAMES.get(service)
        if name is None:
            return t.cast("Answer", theirs(parameters))
        if name in iam._roles:
            text = f"Service role name {name} has been taken in this account, please try a different suffix."
            return t.cast("Answer", iam._error(400, "InvalidInput", text, ns="iam"))
        before = set(iam._roles)
        theirs(parameters)
        [made] = set(iam._roles) - before
        role = iam._roles[made]
        del iam._roles[made]
        iam._roles[name] = {**role, "RoleName": name, "Arn": arn(iam.get_account_id(), service)}
        shown = f"<CreateServiceLinkedRoleResult><Role>{iam._role_xml(name)}</Role></CreateServiceLinkedRoleResult>"
        return t.cast("Answer", iam._xml(200, "CreateServiceLinkedRoleResponse", shown, ns="iam"))

    iam._IAM_HANDLERS["CreateServiceLinkedRole"] = create
