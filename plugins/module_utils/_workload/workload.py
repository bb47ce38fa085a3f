# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""A workload as its user declares it, and what follows from that: ARNs of roles and associations."""

from __future__ import annotations

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._workload.cluster import Cluster

if t.TYPE_CHECKING:
    pass

Workload = t.Mapping[str, t.Any]


def is_present(workload: Workload) -> bool:
    """Whether a workload is declared to be there; it is where nothing else is said."""
    return bool(workload.get("state", "present") == "present")


def role_arn(workload: Workload, cluster_arn: str, role_arns: t.Mapping[str, str] | None = None) -> str:
    """The role that EKS assumes for a workload: the given one, the known one of that name, or the one to be made.

    :raises TrustError: when the account is needed and ``cluster_arn`` does not tell it.
    """
    role = workload["role"]
    if role.get("arn"):
        return str(role["arn"])
    known = (role_arns or {}).get(role["name"])
    return known or made_arn(role, Cluster.from_arn(cluster_arn))


def target_role_arn(workload: Workload, cluster_arn: str) -> str | None:
    """The target role of a workload, given or to be made; None where nothing is said about one.

    :raises TrustError: when the account is needed and ``cluster_arn`` does not tell it.
    """
    if workload.get("target_role"):
        return made_arn(workload["target_role"], Cluster.from_arn(cluster_arn))
    given: str | None = workload.get("target_role_arn")
    return given


def made_arn(role: t.Mapping[str, t.Any], cluster: Cluster) -> str:
    """The ARN of a role that is declared by name: in the cluster's account where nothing else is said."""
    account = role.get("account") or cluster.account
    return f"arn:{cluster.partition}:iam::{account}:role{role.get('path') or '/'}{role['name']}"


def associations(
    workloads: t.Iterable[Workload], cluster_arn: str, role_arns: t.Mapping[str, str] | None = None
) -> list[dict[str, t.Any]]:
    """The associations that workloads declare, as the module ``eks_pod_identity_associations`` takes them.

    :param role_arns: ARNs of roles by name, for those that are not under the declared path.
    :raises TrustError: when the account of a role is needed and ``cluster_arn`` does not tell it.
    """
    return [
        association(workload, cluster_arn, role_arns)
        if is_present(workload)
        else {**_picked(workload, ("namespace", "service_account")), "state": "absent"}
        for workload in workloads
    ]


def association(workload: Workload, cluster_arn: str, role_arns: t.Mapping[str, str] | None = None) -> dict[str, t.Any]:
    """The association of one workload that must be present.

    The role and the association are decided by the same declaration, so a setting that is not declared has its default
    in both: session tags on, no target role, no session policy. Only tags that are not declared stay as they are.
    """
    return {
        **_picked(workload, ("namespace", "service_account")),
        "role_arn": role_arn(workload, cluster_arn, role_arns),
        "target_role_arn": target_role_arn(workload, cluster_arn) or "",
        "disable_session_tags": tags_disabled(workload),
        "policy": workload.get("policy") or "",
        **_picked(workload, ("tags",)),
        "state": "present",
    }


def tags_disabled(workload: Workload) -> bool:
    """Whether the sessions of a workload have no session tags; EKS adds them by default."""
    return bool(workload.get("disable_session_tags"))


def _picked(workload: Workload, keys: t.Sequence[str]) -> dict[str, t.Any]:
    return {key: workload[key] for key in keys if key in workload}
