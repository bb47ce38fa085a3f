# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""IAM roles that trust a service, as anybody makes them with boto3."""

from __future__ import annotations

import json
import typing as t

#: What EKS Pod Identity needs; every other service is content with the first.
POD_ACTIONS = ("sts:AssumeRole", "sts:TagSession")
#: What a node's role needs.
NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryReadOnly")


def trust_policy(service: str, actions: t.Sequence[str] = POD_ACTIONS, **more: t.Any) -> str:
    """A trust policy with one statement, without conditions; ``more`` adds to the statement or replaces in it."""
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": list(actions), **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def make_role(iam: t.Any, name: str, service: str, *policies: str, actions: t.Sequence[str] = POD_ACTIONS) -> str:
    """A role with these managed policies of AWS; returns its ARN."""
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust_policy(service, actions))["Role"]["Arn"]
    for policy in policies:
        iam.attach_role_policy(RoleName=name, PolicyArn=f"arn:aws:iam::aws:policy/{policy}")
    return arn
