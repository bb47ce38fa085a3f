# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Clusters as they are: how EKS tells of them, and how our modules return them."""

from __future__ import annotations

import base64
import functools
import re
import typing as t

from ..common import AnsibleEKSError
from ..common import calling
from ..common import finding
from ..common import refuse
from ..common import to_ansible
from ..threads import at_once
from ..validation import cluster_name_problems
from ..validation import minor_of
from ..validation import quoted

if t.TYPE_CHECKING:
    from mypy_boto3_eks.client import EKSClient

#: A cluster as our modules return it.
Cluster = t.Mapping[str, t.Any]

#: Minor version of Kubernetes -> the first platform version with EKS Pod Identity; older versions never had it, younger
#: ones have it always (https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html).
FIRST_PLATFORM_VERSIONS = {24: 13, 25: 10, 26: 9, 27: 8, 28: 4}
PLATFORM_VERSION = re.compile(r"eks\.(\d+)")


@finding("describe the cluster")
def describe(client: EKSClient, name: str) -> t.Mapping[str, t.Any]:
    """The cluster as EKS answers it, or None."""
    return client.describe_cluster(name=name)["cluster"]


@calling("list the clusters")
def names(client: EKSClient) -> list[str]:
    """The names of all clusters of the region."""
    pages = client.get_paginator("list_clusters").paginate()
    return [name for page in pages for name in page["clusters"]]


def observe(client: EKSClient, name: str) -> dict[str, t.Any] | None:
    """The cluster as it is, or None."""
    found = describe(client, name)
    return None if found is None else normalized(found)


def look_up(client: EKSClient, name: str | None) -> list[dict[str, t.Any]]:
    """The cluster of that name, or all clusters of the region by name; what is not there, or no longer, is left out.

    :raises AnsibleEKSError: also when the name cannot be one.
    """
    if name is not None:
        refuse(cluster_name_problems(name, "name"))
    wanted = sorted(names(client)) if name is None else [name]
    return at_once(functools.partial(observe, client), wanted)


def require(client: EKSClient, name: str, planned: Cluster | None = None) -> dict[str, t.Any]:
    """The cluster that something else needs.

    :param planned: as a check run predicts it, where the same run creates or updates it before.
    :raises AnsibleEKSError: when it does not exist.
    """
    found = dict(planned) if planned else observe(client, name)
    if found is None:
        raise AnsibleEKSError(
            f"cluster_name {quoted(name)} names no cluster in region {client.meta.region_name}: "
            "create the cluster first, or correct the name or the region."
        )
    return found


def normalized(cluster: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A cluster as our modules return it; ``certificate_authority`` is PEM text, None until EKS has made it."""
    result = to_ansible({key: value for key, value in cluster.items() if key != "clientRequestToken"})
    data = cluster.get("certificateAuthority", {}).get("data")
    result["certificate_authority"] = base64.b64decode(data).decode() if data else None
    result.setdefault("tags", {})
    return concluded(result)


def concluded(cluster: Cluster) -> dict[str, t.Any]:
    """A cluster with what follows from the rest of it: ``auto_mode``, ``oidc_issuer`` and ``pod_identity``."""
    return {
        **cluster,
        "auto_mode": has_auto_mode(cluster),
        "oidc_issuer": ((cluster.get("identity") or {}).get("oidc") or {}).get("issuer"),
        "pod_identity": pod_identity(cluster),
    }


def has_auto_mode(cluster: Cluster) -> bool:
    """Whether EKS Auto Mode is on."""
    return bool((cluster.get("compute_config") or {}).get("enabled"))


def pod_identity(cluster: Cluster) -> dict[str, t.Any]:
    """Whether pods of a cluster can have EKS Pod Identity, why, and where its agent comes from.

    What is not known yet of a cluster that is to be made counts as the newest.
    """
    obstacle = _pod_identity_obstacle(cluster)
    if obstacle:
        return {"supported": False, "reason": obstacle, "agent": None}
    if has_auto_mode(cluster):
        return {
            "supported": True,
            "reason": "The nodes of EKS Auto Mode have the agent built in; other nodes need the add-on.",
            "agent": "built-in",
        }
    return {
        "supported": True,
        "reason": "This Kubernetes version has EKS Pod Identity; nodes need the add-on eks-pod-identity-agent.",
        "agent": "add-on",
    }


def _pod_identity_obstacle(cluster: Cluster) -> str:
    if cluster.get("outpost_config"):
        return "Local clusters on AWS Outposts do not have EKS Pod Identity."
    if cluster.get("connector_config"):
        return "EKS only shows this cluster and does not run it, so it does not have EKS Pod Identity."
    minor = minor_of(cluster["version"]) if cluster.get("version") else None
    if minor is None or minor > max(FIRST_PLATFORM_VERSIONS):
        return ""
    first = FIRST_PLATFORM_VERSIONS.get(minor)
    if first is None:
        return f"Kubernetes {cluster['version']} does not have EKS Pod Identity; 1.24 is the first that has it."
    platform = PLATFORM_VERSION.fullmatch(cluster.get("platform_version") or "")
    if platform is not None and int(platform.group(1)) < first:
        return (
            f"Kubernetes {cluster['version']} has EKS Pod Identity from platform version eks.{first} on, "
            f"and this cluster has {cluster['platform_version']}."
        )
    return ""
