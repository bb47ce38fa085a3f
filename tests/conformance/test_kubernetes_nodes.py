# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What becomes of nodes when their node group is updated."""

from __future__ import annotations

import typing as t

import pytest
from support.boto3_account import wait_for
from support.kubernetes_cluster import CLUSTER
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import eventually

pytestmark = pytest.mark.client("kubernetes client")

NAMES = {"clusterName": CLUSTER, "nodegroupName": "changing"}
OLD = "1.34.1-20251112"


@pytest.fixture
def group(cluster: Cluster) -> t.Iterator[t.Callable[[], list[t.Any]]]:
    """A node group with one node that nothing is scheduled to; gives its nodes as Kubernetes has them."""
    account = cluster.account
    role = account.describe_nodegroup(CLUSTER)["nodeRole"]
    closed = {"key": "closed", "effect": "NO_SCHEDULE"}
    one = {"minSize": 1, "maxSize": 1, "desiredSize": 1}
    more = {"taints": [closed], "labels": {"a": "1", "b": "2"}, "scalingConfig": one, "releaseVersion": OLD}
    account.nodegroup(CLUSTER, "changing", nodeRole=role, **more)
    yield lambda: cluster.core.list_node(label_selector="eks.amazonaws.com/nodegroup=changing").items
    account.eks.delete_nodegroup(**NAMES)
    account.eks.get_waiter("nodegroup_deleted").wait(**NAMES, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def wait_until_active(cluster: Cluster) -> None:
    wait_for(lambda: cluster.account.describe_nodegroup(CLUSTER, "changing"), "ACTIVE")


def test_label_and_taint_updates_reach_existing_nodes(cluster: Cluster, group: t.Callable[[], list[t.Any]]) -> None:
    [node] = group()
    mine = {"key": "mine", "effect": "NoSchedule"}
    cluster.core.patch_node(node.metadata.name, {"spec": {"taints": [mine, {"key": "closed", "effect": "NoSchedule"}]}})
    cluster.account.eks.update_nodegroup_config(
        **NAMES,
        labels={"addOrUpdateLabels": {"b": "3"}, "removeLabels": ["a"]},
        taints={
            "addOrUpdateTaints": [{"key": "leaving", "effect": "NO_SCHEDULE"}],
            "removeTaints": [{"key": "closed", "effect": "NO_SCHEDULE"}],
        },
    )
    wait_until_active(cluster)
    [changed] = group()
    assert changed.metadata.uid == node.metadata.uid
    assert (changed.metadata.labels.get("a"), changed.metadata.labels["b"]) == (None, "3")
    assert {taint.key for taint in changed.spec.taints} == {"mine", "leaving"}, "what others have set stays"


def test_version_update_replaces_nodes(cluster: Cluster, group: t.Callable[[], list[t.Any]]) -> None:
    [before] = group()
    cluster.account.eks.update_nodegroup_version(**NAMES)
    wait_until_active(cluster)
    [after] = eventually(lambda: found if len(found := group()) == 1 else None)
    assert after.metadata.uid != before.metadata.uid
