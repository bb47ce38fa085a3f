# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The IAM roles of a cluster and of its nodes, where none are given."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from .spec import Declaration

Mapping = t.Mapping[str, t.Any]
#: What the EKS user guide names for a cluster, without and with Auto Mode
#: (https://docs.aws.amazon.com/eks/latest/userguide/cluster-iam-role.html and auto-cluster-iam-role.html).
CLUSTER_POLICIES = ("AmazonEKSClusterPolicy",)
AUTO_MODE_POLICIES = (
    "AmazonEKSComputePolicy",
    "AmazonEKSBlockStoragePolicy",
    "AmazonEKSLoadBalancingPolicy",
    "AmazonEKSNetworkingPolicy",
)
#: The same for nodes. AmazonEKSWorkerNodePolicy and AmazonEKSWorkerNodeMinimalPolicy contain
#: eks-auth:AssumeRoleForPodIdentity, without which no pod gets credentials.
NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly")
AUTO_NODE_POLICIES = ("AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly")


def changes(declared: Declaration, observed: t.Sequence[Mapping]) -> list[dict[str, t.Any]]:
    """The roles that are missing or differ: ``name``, ``description``, ``trust``, ``policies`` and ``boundary``.

    :param observed: ``roles`` of :func:`.api.look_up`.
    """
    found = {role["name"]: role for role in observed}
    changed = []
    for role in made(declared):
        existing = found.get(role["name"], {})
        planned = _kept_trust(role, existing)
        if _differs(planned, existing):
            changed.append(planned)
    return changed


def made(declared: Declaration) -> list[dict[str, t.Any]]:
    """The declared roles for which no ARN is given."""
    cluster = {
        "name": declared.role_name,
        "description": f"Control plane of the EKS cluster {declared.name}",
        "trust": trust("eks.amazonaws.com", tag_session=declared.is_auto),
        "policies": (*CLUSTER_POLICIES, *(AUTO_MODE_POLICIES if declared.is_auto else ())),
    }
    nodes = {
        "name": declared.node_role_name,
        "description": f"Nodes of the EKS cluster {declared.name}",
        "trust": trust("ec2.amazonaws.com"),
        "policies": AUTO_NODE_POLICIES if declared.is_auto and not declared.nodegroups else NODE_POLICIES,
    }
    given = ((declared.role_arn, cluster), (declared.node_role_arn, nodes))
    prefix = f"arn:{declared.partition}:iam::aws:policy/"
    return [
        {
            **role,
            "policies": [f"{prefix}{policy}" for policy in role["policies"]],
            "boundary": declared.permissions_boundary,
        }
        for arn, role in given
        if not arn
    ]


def trust(service: str, tag_session: bool = False) -> dict[str, t.Any]:
    """A trust policy for a service of AWS."""
    action = ["sts:AssumeRole", "sts:TagSession"] if tag_session else "sts:AssumeRole"
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": action}
    return {"Version": "2012-10-17", "Statement": [statement]}


def _kept_trust(role: dict[str, t.Any], existing: Mapping) -> dict[str, t.Any]:
    """The trust policy for Auto Mode stays once a role has it: a cluster needs it until Auto Mode is off."""
    auto_mode = trust("eks.amazonaws.com", tag_session=True)
    of_cluster = role["trust"]["Statement"][0]["Principal"] == auto_mode["Statement"][0]["Principal"]
    return {**role, "trust": auto_mode} if of_cluster and existing.get("trust_policy") == auto_mode else role


def _differs(role: Mapping, existing: Mapping) -> bool:
    """Policies that others have attached stay, and so does a boundary where none is declared."""
    boundary = existing.get("permissions_boundary")
    return (
        existing.get("trust_policy") != role["trust"]
        or not set(role["policies"]) <= set(existing.get("managed_policies", ()))
        or boundary != (role["boundary"] or boundary)
    )
