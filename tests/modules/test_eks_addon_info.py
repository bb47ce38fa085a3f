# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module eks_addon_info, over HTTP: results and calls."""

from __future__ import annotations

import collections
import functools
import typing as t

import pytest

MODULE = "eks_addon_info"
DRIVER, POLICY = "aws-ebs-csi-driver", "arn:aws:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy"
ROLE = "arn:aws:iam::111122223333:role/app"

#: ``Account`` of conftest.py, which cannot be imported.
Account = t.Any
Run = t.Any


@pytest.fixture
def installed(example: Account) -> Account:
    """A cluster with three add-ons, one of which owns an association."""
    own = [{"serviceAccount": "ebs-csi-controller-sa", "roleArn": ROLE}]
    for name, parameters in (("vpc-cni", {}), (DRIVER, {"podIdentityAssociations": own}), ("coredns", {})):
        names = {"clusterName": "example", "addonName": name}
        example.eks.create_addon(**names, **parameters)
        example.until_active(functools.partial(describe, example, names))
    return example


def describe(account: Account, names: dict[str, str]) -> dict[str, t.Any]:
    found: dict[str, t.Any] = account.eks.describe_addon(**names)["addon"]
    return found


def call_counts(result: dict[str, t.Any]) -> dict[str, int]:
    return dict(collections.Counter(call.removeprefix("eks:") for call in result["calls"]))


def test_missing_and_invalid_names_fail_before_any_call(run: Run) -> None:
    assert "cluster_name" in run(MODULE)["msg"]
    wrong = run(MODULE, cluster_name="a/b", name=["vpc-cni", "x?y"])
    assert [line.split()[0] for line in wrong["msg"].splitlines()] == ["cluster_name", "name"]
    assert wrong["calls"] == []


@pytest.mark.parametrize("check", [False, True])
def test_all_addons_take_minimal_calls(run: Run, installed: Account, check: bool) -> None:
    result = run(MODULE, check=check, cluster_name="example")
    assert call_counts(result) == {"ListAddons": 1, "DescribeAddon": 3, "DescribePodIdentityAssociation": 1}
    assert result["changed"] is False
    assert "available" not in result
    assert [addon["name"] for addon in result["addons"]] == [DRIVER, "coredns", "vpc-cni"]
    [own] = result["addons"][0]["pod_identity_associations"]
    assert (own["service_account"], own["role_arn"]) == ("ebs-csi-controller-sa", ROLE)
    assert own["association_arn"].endswith(own["association_id"])
    assert installed.writes() == []


def test_addons_by_name_need_no_list_call(run: Run, installed: Account) -> None:
    one = run(MODULE, cluster_name="example", name="coredns")
    assert [addon["name"] for addon in one["addons"]] == ["coredns"]
    assert call_counts(one) == {"DescribeAddon": 1}
    some = run(MODULE, cluster_name="example", name=["vpc-cni", "coredns", "metrics-server", "coredns"])
    assert [addon["name"] for addon in some["addons"]] == ["coredns", "vpc-cni"]
    assert call_counts(some) == {"DescribeAddon": 3}


def test_info_returns_same_addon_as_eks_addon(run: Run, installed: Account) -> None:
    own = [{"service_account": "ebs-csi-controller-sa", "role_arn": ROLE}]
    made = run("eks_addon", cluster_name="example", name=DRIVER, pod_identity_associations=own)
    assert run(MODULE, cluster_name="example", name=DRIVER)["addons"] == [made["addon"]]


def test_missing_addon_or_cluster_returns_empty_list(run: Run) -> None:
    assert run(MODULE, cluster_name="example")["addons"] == []
    assert run(MODULE, cluster_name="example", name="vpc-cni")["addons"] == []
    elsewhere = run(MODULE, cluster_name="elsewhere")
    assert (elsewhere["addons"], call_counts(elsewhere)) == ([], {"ListAddons": 1})


def test_available_addons_fit_kubernetes_version(run: Run) -> None:
    result = run(MODULE, cluster_name="example", available=True)
    assert call_counts(result) == {"ListAddons": 1, "DescribeCluster": 1, "DescribeAddonVersions": 1}
    names = [addon["name"] for addon in result["available"]]
    assert names == sorted(names)
    found = {addon["name"]: addon for addon in result["available"]}
    assert all(version.startswith("v1.33.") for version in found["kube-proxy"]["versions"])
    assert found[DRIVER] == {
        "name": DRIVER,
        "type": "storage",
        "publisher": "eks",
        "owner": "aws",
        "default_namespace": "kube-system",
        "default_version": "v1.48.0-eksbuild.1",
        "latest_version": "v1.48.0-eksbuild.2",
        "versions": ["v1.48.0-eksbuild.2", "v1.48.0-eksbuild.1", "v1.39.0-eksbuild.1"],
        "requires_configuration": False,
        "requires_iam_permissions": True,
    }


def test_available_by_name_includes_schema_and_policies(run: Run) -> None:
    result = run(MODULE, cluster_name="example", name=[DRIVER, "metrics-server", "none"], available=True)
    assert call_counts(result) == {
        "DescribeAddon": 3,
        "DescribeCluster": 1,
        "DescribeAddonVersions": 3,
        "DescribeAddonConfiguration": 2,
    }
    driver, metrics = result["available"]
    assert driver["pod_identity"] == [{"service_account": "ebs-csi-controller-sa", "recommended_policies": [POLICY]}]
    assert "controller" in driver["configuration_schema"]["definitions"]["AwsEbsCsiDriver"]["properties"]
    assert (metrics["name"], metrics["owner"], metrics["pod_identity"]) == ("metrics-server", "community", [])


def test_available_fails_for_missing_cluster(run: Run) -> None:
    result = run(MODULE, cluster_name="elsewhere", available=True)
    assert '"elsewhere" names no cluster in region eu-west-1' in result["msg"]


def test_all_pages_of_addons_are_read(run: Run, installed: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_collections.podidentity.eks.plugins.module_utils._eks.addon.calls.PAGE_SIZE", 2)
    result = run(MODULE, cluster_name="example", available=True)
    assert len(result["addons"]) == 3
    assert len(result["available"]) == 9
    assert (call_counts(result)["ListAddons"], call_counts(result)["DescribeAddonVersions"]) == (2, 5)
