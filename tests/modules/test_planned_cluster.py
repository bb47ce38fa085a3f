# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What modules predict in a cluster that the same run creates before them, and that nothing else changes by that."""

from __future__ import annotations

import typing as t

import pytest
from support.module_runs import ACCOUNT
from support.module_runs import NODE_ROLE
from support.module_runs import REGION
from support.module_runs import Account
from support.module_runs import RunModule

PLANNED = {"arn": f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/example", "version": "1.34"}
APP = f"arn:aws:iam::{ACCOUNT}:role/app"
#: Options of each module for something new in the cluster.
NEW: dict[str, dict[str, t.Any]] = {
    "eks_access_entry": {"principal_arn": APP},
    "eks_nodegroup": {"name": "general", "node_role_arn": NODE_ROLE, "subnet_ids": ["subnet-00000001"]},
    "eks_addon": {"name": "metrics-server"},
    "eks_pod_identity_associations": {
        "associations": [{"namespace": "default", "service_account": "app", "role_arn": APP}]
    },
}


@pytest.mark.parametrize("module", NEW)
def test_planned_cluster_counts_in_check_mode_only(run_module: RunModule, account: Account, module: str) -> None:
    params: dict[str, t.Any] = {"cluster_name": "example", **NEW[module]}
    refused = run_module(module, **params, check_mode=True)
    assert refused["failed"] and "names no cluster" in refused["msg"]
    real = run_module(module, **params, planned_cluster=PLANNED)
    assert real["failed"] and real["msg"] == refused["msg"]
    result = run_module(module, **params, planned_cluster=PLANNED, check_mode=True)
    assert (result["failed"], result["changed"], account.writes()) == (False, True, [])


def test_access_entry_has_the_user_name_of_eks(run_module: RunModule, account: Account) -> None:
    params: dict[str, t.Any] = {"cluster_name": "example", "principal_arn": APP}
    result = run_module("eks_access_entry", **params, planned_cluster=PLANNED, check_mode=True)
    name = result["access_entry"]["username"]
    account.create_cluster(accessConfig={"authenticationMode": "API"})
    made = run_module("eks_access_entry", **params)
    assert name == made["access_entry"]["username"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/app/{{{{SessionName}}}}"
    assert result["changes"]["username"] == {"before": None, "after": name} == made["changes"]["username"]


def test_addon_version_is_that_of_the_planned_cluster(run_module: RunModule, account: Account) -> None:
    params: dict[str, t.Any] = {"cluster_name": "example", "name": "eks-pod-identity-agent"}
    versions = {
        version: run_module("eks_addon", **params, planned_cluster=PLANNED | {"version": version}, check_mode=True)
        for version in ("1.33", "1.34")
    }
    for version, result in versions.items():
        offers = account.eks.describe_addon_versions(addonName=params["name"], kubernetesVersion=version)
        default = [
            one["addonVersion"]
            for one in offers["addons"][0]["addonVersions"]
            if any(each["defaultVersion"] for each in one["compatibilities"] if each["clusterVersion"] == version)
        ]
        assert [result["addon"]["version"]] == default
    unknown = run_module("eks_addon", **params, planned_cluster={"arn": PLANNED["arn"]}, check_mode=True)
    assert unknown["addon"]["version"] is None


def test_addons_are_offered_for_the_planned_cluster(run_module: RunModule, account: Account) -> None:
    params: dict[str, t.Any] = {"cluster_name": "example", "name": ["metrics-server"], "available": True}
    assert "names no cluster" in run_module("eks_addon_info", **params, check_mode=True)["msg"]
    result = run_module("eks_addon_info", **params, planned_cluster=PLANNED, check_mode=True)
    assert [one["name"] for one in result["available"]] == ["metrics-server"] and result["addons"] == []


def test_version_that_eks_does_not_offer_is_refused(run_module: RunModule, account: Account) -> None:
    params: dict[str, t.Any] = {"name": "example", "role_arn": f"arn:aws:iam::{ACCOUNT}:role/eks-cluster"}
    wanted: dict[str, t.Any] = {**params, "subnet_ids": account.subnet_ids[:2], "version": "1.99"}
    for check_mode in (True, False):
        result = run_module("eks_cluster", **wanted, check_mode=check_mode)
        assert 'version "1.99" of cluster example is none that EKS offers: give one of 1.31' in result["msg"]
    assert account.writes() == []


def test_new_cluster_is_predicted_with_the_default_version(run_module: RunModule, account: Account) -> None:
    params: dict[str, t.Any] = {"name": "example", "role_arn": f"arn:aws:iam::{ACCOUNT}:role/eks-cluster"}
    wanted: dict[str, t.Any] = {**params, "subnet_ids": account.subnet_ids[:2]}
    predicted = run_module("eks_cluster", **wanted, check_mode=True)["cluster"]
    account.sandbox.clear_calls()
    assert predicted["version"] == run_module("eks_cluster", **wanted)["cluster"]["version"]
    assert "eks:DescribeClusterVersions" not in account.sandbox.calls(), "EKS chooses it, so nothing can be wrong"


@pytest.mark.parametrize(
    ("module", "kind", "name"),
    [
        ("eks_access_entry", "access entry", APP),
        ("eks_nodegroup", "node group", "general"),
        ("eks_addon", "add-on", "metrics-server"),
    ],
)
def test_new_resource_is_an_item_of_the_plan(
    run_module: RunModule, account: Account, module: str, kind: str, name: str
) -> None:
    params: dict[str, t.Any] = {"cluster_name": "example", **NEW[module]}
    result = run_module(module, **params, planned_cluster=PLANNED, check_mode=True)
    item = result["plan_item"]
    assert (item["kind"], item["name"], item["action"]) == (kind, name, "create")
    assert item["changes"].items() <= result["changes"].items() and item["changes"]


def test_cluster_is_an_item_of_the_plan_while_it_changes(run_module: RunModule, account: Account) -> None:
    params: dict[str, t.Any] = {"name": "example", "role_arn": f"arn:aws:iam::{ACCOUNT}:role/eks-cluster"}
    created = run_module("eks_cluster", **params, subnet_ids=account.subnet_ids[:2], check_mode=True)
    assert created["plan_item"]["action"] == "create"
    account.create_cluster()
    assert run_module("eks_cluster", **params)["plan_item"] is None
    tagged = run_module("eks_cluster", **params, tags={"team": "a"}, check_mode=True)
    changes = {"tags": {"before": {}, "after": {"team": "a"}}}
    assert tagged["plan_item"] == {"kind": "cluster", "name": "example", "action": "update", "changes": changes}
