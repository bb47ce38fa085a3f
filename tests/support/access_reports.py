# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reports of clusters as the module eks_pod_identity_access_info returns them, judged by its own code, without AWS."""

from __future__ import annotations

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import Policy
from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import Role
from ansible_collections.podidentity.eks.plugins.module_utils._access.reports import access_of

ACCOUNT = "111122223333"
OTHER_ACCOUNT = "444455556666"
WHEN = "2026-11-23T10:15:30+00:00"
AWS_POLICY = "arn:aws:iam::aws:policy/"
ACTIONS = ["sts:AssumeRole", "sts:TagSession"]

Report = dict[str, t.Any]


def cluster(name: str = "example", region: str = "eu-west-1") -> dict[str, str]:
    arn = f"arn:aws:eks:{region}:{ACCOUNT}:cluster/{name}"
    return {"name": name, "arn": arn, "region": region, "account": ACCOUNT}


def statement(condition: t.Mapping[str, t.Any] | None = None, **more: t.Any) -> dict[str, t.Any]:
    """A statement that lets EKS Pod Identity in."""
    made = {"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": ACTIONS, **more}
    return {**made, "Condition": dict(condition)} if condition else made


def document(*statements: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allowing(*actions: str, resource: str = "*") -> dict[str, t.Any]:
    return document({"Effect": "Allow", "Action": list(actions), "Resource": resource})


def condition(cluster_arn: str, namespace: str, service_account: str) -> dict[str, t.Any]:
    """The conditions that name one workload."""
    tags = {"kubernetes-namespace": namespace, "kubernetes-service-account": service_account}
    return {
        "ArnEquals": {"aws:SourceArn": cluster_arn},
        "StringEquals": {f"aws:RequestTag/{key}": value for key, value in tags.items()},
    }


def role(name: str, trust: t.Any = None, *policies: str | Policy, account: str = ACCOUNT, **more: t.Any) -> Role:
    """A role that may be read; policies of AWS by their names."""
    held = [
        policy if isinstance(policy, Policy) else Policy(name=policy, arn=f"{AWS_POLICY}{policy}")
        for policy in policies
    ]
    known = {"exists": True, "create_date": WHEN, "max_session_duration": 3600, **more}
    return Role(arn=f"arn:aws:iam::{account}:role/{name}", trust=trust, policies=tuple(held), **known)


def access(
    where: dict[str, str], namespace: str, service_account: str, own: Role, target: Role | None = None, **more: t.Any
) -> Report:
    """One item of ``access``; ``more`` are fields of the association, and ``documents``."""
    documents = more.pop("documents", False)
    association = {
        "namespace": namespace,
        "service_account": service_account,
        "association_id": "a-abcdefghijklmnop1",
        "association_arn": f"{where['arn'].replace(':cluster/', ':podidentityassociation/')}/a-abcdefghijklmnop1",
        "role_arn": own.arn,
        "target_role_arn": target.arn if target else None,
        "owner_arn": None,
        "disable_session_tags": False,
        "policy": None,
        "external_id": None,
        "created_at": WHEN,
        "modified_at": WHEN,
        **more,
    }
    roles = {found.arn: found for found in (own, target) if found}
    return access_of(association, where, roles, managed=not association["owner_arn"], documents=documents)


def report(where: dict[str, str], *items: Report, **more: t.Any) -> Report:
    return {"cluster": where, "access": list(items), "orphans": [], "notes": [], **more}
