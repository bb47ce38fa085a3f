# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The five faults of the eks_nodegroup of community.aws, as tests of ours."""

from __future__ import annotations

import typing as t

import pytest
from support.module_runs import NODE_ROLE
from support.module_runs import Account
from support.module_runs import Result
from support.module_runs import RunModule

BATCH = {"key": "dedicated", "value": "batch", "effect": "NO_SCHEDULE"}


@pytest.fixture
def cluster(account: Account) -> Account:
    """An account with the cluster ``example``, and an empty call log."""
    account.create_cluster()
    account.sandbox.clear_calls()
    return account


@pytest.fixture
def nodegroup(run_module: RunModule, cluster: Account) -> t.Callable[..., Result]:
    """The module for the node group ``general``, with what a new one needs."""
    needed = {"node_role_arn": NODE_ROLE, "subnet_ids": cluster.subnet_ids[:2]}

    def run(**params: t.Any) -> Result:
        return run_module("eks_nodegroup", **{"cluster_name": "example", "name": "general", **needed, **params})

    return run


def described(account: Account) -> dict[str, t.Any]:
    found: dict[str, t.Any] = account.eks.describe_nodegroup(clusterName="example", nodegroupName="general")
    return t.cast("dict[str, t.Any]", found["nodegroup"])


def test_taints_do_not_crash(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    """There an empty list is indexed by words as soon as a group that exists has taints."""
    assert not nodegroup(taints=[BATCH])["failed"]
    result = nodegroup(taints=[{**BATCH, "value": "night"}, {"key": "spot", "effect": "NO_EXECUTE"}])
    assert not result["failed"]
    assert described(cluster)["taints"] == [{**BATCH, "value": "night"}, {"key": "spot", "effect": "NO_EXECUTE"}]
    assert nodegroup(taints=[])["nodegroup"]["taints"] == []


def test_tags_can_be_removed(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    """There UntagResource gets a parameter with a name that it does not have."""
    nodegroup(tags={"team": "platform", "old": "1"})
    result = nodegroup(tags={"team": "platform"})
    assert (result["failed"], result["changed"]) == (False, True)
    assert described(cluster)["tags"] == {"team": "platform"}


@pytest.mark.parametrize(
    ("option", "before", "after"),
    [
        ("tags", {"team": "platform"}, {"team": "data"}),
        ("tags", {"team": "platform"}, {}),
        ("labels", {"pool": "general"}, {"pool": "general", "new": "1"}),
        ("labels", {"pool": "general"}, {}),
        ("taints", [BATCH], []),
        ("taints", [], [BATCH]),
    ],
)
def test_check_mode_detects_tags_labels_and_taints(
    nodegroup: t.Callable[..., Result], cluster: Account, option: str, before: t.Any, after: t.Any
) -> None:
    """There check mode says that nothing would change."""
    nodegroup(**{option: before})
    cluster.sandbox.clear_calls()
    predicted = nodegroup(**{option: after}, check_mode=True)
    assert predicted["changed"]
    assert predicted["nodegroup"][option] == after
    assert cluster.writes() == []
    assert nodegroup(**{option: after})["nodegroup"][option] == after


def test_changed_label_value_is_detected(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    """There only the keys of labels are compared."""
    nodegroup(labels={"pool": "general"})
    assert nodegroup(labels={"pool": "batch"})["changed"]
    assert described(cluster)["labels"] == {"pool": "batch"}


def test_messages_name_nodegroup_and_new_one_gets_tags(nodegroup: t.Callable[..., Result], cluster: Account) -> None:
    """There a message says "Nodegroup '{name}'", and tags of a new group come to nothing when it is waited for."""
    assert nodegroup(tags={"team": "platform"})["nodegroup"]["tags"] == {"team": "platform"}
    assert described(cluster)["tags"] == {"team": "platform"}
    message = nodegroup(disk_size=99)["msg"]
    assert "general" in message
    assert not set("{}") & set(message)
