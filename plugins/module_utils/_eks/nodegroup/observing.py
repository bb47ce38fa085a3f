# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What is there: node groups as EKS answers them and as our modules return them, and which of them are one declared."""

from __future__ import annotations

import re
import typing as t

from ..common import finding
from ..common import refuse
from ..common import to_ansible
from ..threads import at_once
from ..validation import cluster_name_problems
from .declared import name_problems

if t.TYPE_CHECKING:
    from mypy_boto3_eks.client import EKSClient

#: The tag of a group that has replaced another one: the name that is declared. Names are unique in a cluster, so the
#: group itself has another one.
DECLARED_NAME = "podidentity.eks/nodegroup"
#: How much of the declared name fits before a hyphen and the hash in the 63 characters of a name.
NAME_LENGTH = 54
HASH_LENGTH = 8

Look = t.Callable[[str], "dict[str, t.Any] | None"]


@finding("describe the node group")
def describe(client: EKSClient, cluster_name: str, name: str) -> t.Mapping[str, t.Any]:
    """The node group as EKS answers it, or None."""
    return client.describe_nodegroup(clusterName=cluster_name, nodegroupName=name)["nodegroup"]


@finding("list the node groups")
def names(client: EKSClient, cluster_name: str) -> list[str]:
    """The names of all node groups of a cluster, None where there is no such cluster."""
    pages = client.get_paginator("list_nodegroups").paginate(clusterName=cluster_name)
    return [name for page in pages for name in page["nodegroups"]]


def normalized(nodegroup: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A node group as our module returns it."""
    result = to_ansible(nodegroup)
    for key in ("tags", "labels"):
        result[key] = result.get(key) or {}
    result["taints"] = result.get("taints") or []
    return result


def looking(client: EKSClient, cluster_name: str) -> Look:
    """Describes the cluster's node groups by name."""

    def look(name: str) -> dict[str, t.Any] | None:
        found = describe(client, cluster_name, name)
        return None if found is None else normalized(found)

    return look


def look_up(client: EKSClient, cluster_name: str, name: str | None) -> list[dict[str, t.Any]]:
    """The node group that is declared by that name, or all of the cluster by name; what is not there, or no longer, is
    left out.

    :raises AnsibleEKSError: also when a name cannot be one.
    """
    refuse([*cluster_name_problems(cluster_name), *(() if name is None else name_problems(name))])
    look = looking(client, cluster_name)
    if name is not None:
        return one_or_candidates(client, cluster_name, name, look)
    return at_once(look, sorted(names(client, cluster_name) or ()))


def one_or_candidates(client: EKSClient, cluster_name: str, name: str, look: Look) -> list[dict[str, t.Any]]:
    """The node group of that name; only where there is none, those that have replaced it."""
    found = look(name)
    return candidates(client, cluster_name, name, look) if found is None else [found]


def candidates(client: EKSClient, cluster_name: str, name: str, look: Look) -> list[dict[str, t.Any]]:
    """Every node group that is the declared one: that of its name, and those that have replaced it.

    Costs one list and a look at each; groups whose name cannot be that of a replacement are not looked at.
    """
    pattern = re.compile(f"{re.escape(name[:NAME_LENGTH])}-[0-9a-f]{{{HASH_LENGTH}}}")
    wanted = [each for each in names(client, cluster_name) or () if each == name or pattern.fullmatch(each)]
    found = [look(each) for each in sorted(wanted)]
    return [group for group in found if group is not None and is_declared(group, name)]


def is_declared(group: t.Mapping[str, t.Any], name: str) -> bool:
    """Whether a node group is the one that is declared by that name."""
    return name in (group["nodegroup_name"], group["tags"].get(DECLARED_NAME))
