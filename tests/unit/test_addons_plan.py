# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of the role `addons`: what differs, what goes, and which roles that needs."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.filter.eks_addons_plan import eks_addons_plan
from ansible_collections.podidentity.eks.plugins.module_utils._eks.addon import planning
from ansible_collections.podidentity.eks.plugins.module_utils._eks.addon.declared import AddonSpec
from ansible_collections.podidentity.eks.plugins.module_utils._eks.addon.many import OPTIONS

CLUSTER_ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/example"
POLICY = "arn:aws:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy"
GIVEN_ROLE, CREATED_ROLE = (f"arn:aws:iam::111122223333:role/{name}" for name in ("given", "made"))
SERVICE_ACCOUNT = "ebs-csi-controller-sa"
MANAGED_TAGS = {"podidentity.eks/cluster": "example"}
AVAILABLE = {
    "name": "driver",
    "default_namespace": "storage",
    "default_version": "v1.2.0-eksbuild.1",
    "versions": ["v1.3.0-eksbuild.1", "v1.2.0-eksbuild.1", "v1.1.0-eksbuild.2"],
    "pod_identity": [{"service_account": SERVICE_ACCOUNT, "recommended_policies": [POLICY]}],
}

Mapping = dict[str, t.Any]


def installed(**changes: t.Any) -> Mapping:
    return {
        "name": "driver",
        "arn": "arn:aws:eks:eu-west-1:111122223333:addon/example/driver/1",
        "status": "ACTIVE",
        "version": "v1.2.0-eksbuild.1",
        "configuration": {},
        "namespace": "kube-system",
        "service_account_role_arn": None,
        "pod_identity_associations": [],
        "tags": {},
    } | changes


def association(role_arn: str = GIVEN_ROLE) -> Mapping:
    arn = "arn:aws:eks:eu-west-1:111122223333:podidentityassociation/example/a-1"
    return {"association_id": "a-1", "association_arn": arn, "service_account": SERVICE_ACCOUNT, "role_arn": role_arn}


def plan(*addons: t.Any, **known: t.Any) -> Mapping:
    return eks_addons_plan(list(addons), CLUSTER_ARN, **known)


def driver(**changes: t.Any) -> Mapping:
    return {"name": "driver", **changes}


def with_role(**role: t.Any) -> Mapping:
    return driver(service_accounts=[{"name": SERVICE_ACCOUNT, "role": role}])


@pytest.mark.parametrize(
    ("declared", "there"),
    [
        ({}, {}),
        ({"version": "keep"}, {"version": "v0.1.0-eksbuild.1"}),
        ({"version": "v1.2.0-eksbuild.1"}, {}),
        ({"version": "default"}, {}),
        ({"version": "latest"}, {"version": "v1.3.0-eksbuild.1"}),
        ({"version": "v1.2"}, {}),
        ({"configuration": {"a": 1}}, {"configuration": {"a": 1}}),
        ({"namespace": "kube-system"}, {}),
        ({"service_accounts": []}, {}),
        ({"resolve_conflicts": "overwrite"}, {}),
        (with_role(arn=GIVEN_ROLE), {"pod_identity_associations": [association()]}),
        (with_role(name="made"), {"pod_identity_associations": [association(CREATED_ROLE)]}),
        ({}, {"pod_identity_associations": [association()]}),
    ],
)
def test_addon_without_drift_needs_no_task(declared: Mapping, there: Mapping) -> None:
    planned = plan(driver(**declared), installed=[installed(**there)], available=[AVAILABLE])
    assert (planned["problems"], planned["changes"], planned["findings"]) == ([], [], [])


@pytest.mark.parametrize(
    ("declared", "there"),
    [
        ({}, {"status": "DEGRADED"}),
        ({}, {"status": "UPDATE_FAILED"}),
        ({"version": "v1.1.0-eksbuild.2"}, {}),
        ({"version": "latest"}, {}),
        ({"version": "v1.3"}, {}),
        ({"version": "v9"}, {}),
        ({"configuration": {"a": 1}}, {"configuration": {"a": 2}}),
        ({"configuration": {}}, {"configuration": {"a": 2}}),
        ({"namespace": "elsewhere"}, {}),
        ({"service_accounts": []}, {"pod_identity_associations": [association()]}),
        (with_role(arn=GIVEN_ROLE), {}),
        (with_role(name="made"), {"pod_identity_associations": [association()]}),
    ],
)
def test_addon_with_drift_needs_task(declared: Mapping, there: Mapping) -> None:
    [change] = plan(driver(**declared), installed=[installed(**there)], available=[AVAILABLE])["changes"]
    options = {key: value for key, value in declared.items() if key in OPTIONS}
    assert change | {"name": "driver", "wait": True, **options} == change


def test_plan_agrees_with_module_on_differences() -> None:
    for there in (installed(), installed(configuration={"a": 1}), installed(status="CREATE_FAILED")):
        for configuration in (None, {}, {"a": 1}):
            declared = driver() if configuration is None else driver(configuration=configuration)
            spec = AddonSpec(cluster_name="example", name="driver", configuration=configuration)
            differs = bool(plan(declared, installed=[there])["changes"])
            assert differs is planning.plan(there, spec).changed


def test_tags_compare_as_text() -> None:
    there = installed(tags={"cost": "42", "other": "x"})
    assert plan(driver(), installed=[there], tags={"cost": 42})["changes"] == []
    assert plan(driver(), installed=[there], tags={"cost": 43})["changes"] != []


def test_newer_installed_version_is_kept_and_reported() -> None:
    there = installed(version="v1.4.0-eksbuild.1")
    planned = plan(driver(version="latest"), installed=[there], available=[AVAILABLE])
    assert planned["changes"] == []
    [finding] = planned["findings"]
    assert "stays at version v1.4.0-eksbuild.1" in finding


def test_several_changes_wait_only_for_busy_addon() -> None:
    busy = installed(name="busy", status="UPDATING")
    changes = plan(driver(), {"name": "new"}, {"name": "busy"}, installed=[busy])["changes"]
    assert {change["name"]: change["wait"] for change in changes} == {"driver": False, "new": False, "busy": True}


def test_new_addon_gets_role_with_recommended_policies() -> None:
    planned = plan(with_role(name="made"), available=[AVAILABLE])
    [workload] = planned["workloads"]
    assert workload == {
        "namespace": "storage",
        "service_account": SERVICE_ACCOUNT,
        "role": {"name": "made", "managed_policies": [POLICY]},
    }
    [change] = planned["changes"]
    assert change["pod_identity_associations"] == [{"service_account": SERVICE_ACCOUNT, "role_arn": CREATED_ROLE}]


@pytest.mark.parametrize(
    ("role", "policies"),
    [
        ({"managed_policies": ["Mine"]}, ["Mine"]),
        ({"managed_policies": []}, []),
        ({"inline_policy": {"Statement": []}}, None),
    ],
)
def test_declared_policies_replace_recommended_ones(role: Mapping, policies: list[str] | None) -> None:
    [workload] = plan(with_role(name="made", **role), available=[AVAILABLE])["workloads"]
    assert workload["role"].get("managed_policies") == policies


def test_given_role_is_not_created_and_known_role_arn_is_used() -> None:
    assert plan(with_role(arn=GIVEN_ROLE), available=[AVAILABLE])["workloads"] == []
    elsewhere = "arn:aws:iam::111122223333:role/elsewhere/made"
    for known, arn in (({}, CREATED_ROLE.replace("made", "x/made")), ({"made": elsewhere}, elsewhere)):
        [change] = plan(with_role(name="made", path="/x/"), available=[AVAILABLE], role_arns=known)["changes"]
        assert change["pod_identity_associations"][0]["role_arn"] == arn


@pytest.mark.parametrize(
    ("item", "needs"),
    [
        (driver(), False),
        (driver(version="keep"), False),
        (driver(version="v1.2.0-eksbuild.1"), False),
        (driver(version="default"), True),
        (driver(version="v1.2"), True),
        (driver(version="latest", state="absent"), False),
        (with_role(arn=GIVEN_ROLE), False),
        (with_role(name="made"), True),
        (with_role(name="made", managed_policies=[]), True),
        (with_role(name="made", managed_policies=[]) | {"namespace": "kube-system"}, False),
        (with_role(name="made") | {"namespace": "kube-system"}, True),
        (with_role(name="made") | {"namespace": "kube-system", "state": "absent"}, False),
    ],
)
def test_available_addons_are_read_only_if_needed(item: Mapping, needs: bool) -> None:
    assert plan(item)["needs_available"] is needs


@pytest.mark.parametrize("everything", [False, True])
def test_only_managed_addons_are_removed_with_their_roles(everything: bool) -> None:
    ours, foreign = installed(tags=MANAGED_TAGS), installed(name="foreign")
    items = [with_role(name="made"), {**with_role(name="theirs"), "name": "foreign"}, {"name": "gone"}]
    state = "absent" if everything else "present"
    if not everything:
        items = [{**item, "state": "absent"} for item in items]
    planned = plan(*items, installed=[ours, foreign], state=state)
    assert planned["changes"] == planned["workloads"] == []
    assert planned["removals"] == [{"name": "driver", "preserve": False}]
    assert [one["role"]["name"] for one in planned["former_workloads"]] == ["made"]
    [finding] = planned["findings"]
    assert "foreign of cluster example was left" in finding


def test_preserved_addon_keeps_its_role() -> None:
    item = {**with_role(name="made"), "state": "absent", "preserve": True}
    planned = plan(item, installed=[installed(tags=MANAGED_TAGS)])
    assert planned["removals"] == [{"name": "driver", "preserve": True}]
    assert planned["former_workloads"] == []


def test_role_of_already_removed_addon_is_removed() -> None:
    planned = plan({**with_role(name="made"), "state": "absent"})
    assert planned["removals"] == []
    assert [one["namespace"] for one in planned["former_workloads"]] == ["kube-system"]


def test_unsupported_service_account_is_a_problem() -> None:
    item = driver(service_accounts=[{"name": "nobody", "role": {"name": "made"}}])
    [problem] = plan(item, available=[AVAILABLE])["problems"]
    assert problem == (
        f"Service account nobody of add-on driver cannot have a role by Pod Identity: {SERVICE_ACCOUNT} can have one."
    )
    [problem] = plan(item, available=[{**AVAILABLE, "pod_identity": []}])["problems"]
    assert problem.endswith("none of it can have one.")


def test_service_accounts_of_other_versions_are_left_to_module() -> None:
    accounts = [{"name": "nobody", "role": {"arn": GIVEN_ROLE}}]
    planned = plan(driver(service_accounts=accounts, version="latest"), available=[AVAILABLE])
    assert (planned["problems"], len(planned["changes"])) == ([], 1)
    accounts = [{"name": "nobody", "role": {"name": "made"}}]
    [problem] = plan(driver(service_accounts=accounts, version="latest"), available=[AVAILABLE])["problems"]
    assert "no policies that AWS recommends for the default version: give role.managed_policies" in problem
    accounts[0]["role"] = {"name": "made", "managed_policies": ["Mine"]}
    assert plan(driver(service_accounts=accounts, version="latest"), available=[AVAILABLE])["problems"] == []


@pytest.mark.parametrize(
    ("addons", "says"),
    [
        ("driver", ['"driver"', "give a list"]),
        (["driver"], ["Add-on number 1", "give a mapping"]),
        ([{"version": "latest"}], ["Add-on number 1"]),
        ([driver(), driver()], ["Add-on driver is declared 2 times"]),
        ([driver(verison="latest")], ['"verison"', "did you mean version?"]),
        ([driver(state="gone")], ["state", "present, absent"]),
        ([driver(resolve_conflicts="OVERWRITE")], ["resolve_conflicts", "none, overwrite, preserve"]),
        ([driver(version=1.2)], ["version 1.2", "in quotes"]),
        ([driver(version="newest")], ['version "newest"', "latest"]),
        ([driver(configuration=[])], ["configuration []", "a mapping"]),
        ([driver(preserve="yes")], ["preserve", "true or false"]),
        ([driver(namespace="A")], ['namespace "A"']),
        ([driver(service_accounts={})], ["service_accounts {}", "give a list"]),
        ([driver(service_accounts=["a"])], ['service_accounts ["a"]', "each with name and role"]),
        ([driver(service_accounts=[{"name": "a"}])], ["Service account a of add-on driver needs a role"]),
        ([driver(service_accounts=[{"name": "A", "role": {"arn": GIVEN_ROLE}}])], ["has no name of a service account"]),
        ([with_role(arn=GIVEN_ROLE.replace("1111", "9999"))], ["the cluster is in 111122223333"]),
        ([with_role(arn=GIVEN_ROLE, managed_policies=[])], ["take managed_policies out"]),
    ],
)
def test_invalid_addon_is_one_problem_and_plans_nothing(addons: t.Any, says: list[str]) -> None:
    planned = eks_addons_plan(addons, CLUSTER_ARN)
    [problem] = planned["problems"]
    assert [part for part in says if part not in problem] == []
    assert (planned["changes"], planned["removals"], planned["workloads"]) == ([], [], [])


def test_shared_role_declared_differently_is_a_problem() -> None:
    items = [with_role(name="made", path="/a/"), {**with_role(name="made", path="/b/"), "name": "other"}]
    [problem] = plan(*items)["problems"]
    assert problem.startswith("Role made is declared with path")


def test_filter_refuses_invalid_cluster_arn() -> None:
    with pytest.raises(AnsibleFilterError, match="no ARN of an EKS cluster"):
        eks_addons_plan([], "example")
