# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module eks_addon, over HTTP: results and calls."""

from __future__ import annotations

import functools
import json
import sys
import time
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._eks.addon import ensuring
from support.aws_proxy import AwsProxy
from support.iam_roles import make_role

MODULE = "eks_addon"
DESCRIBE, CLUSTER, VERSIONS = "eks:DescribeAddon", "eks:DescribeCluster", "eks:DescribeAddonVersions"
CREATE, UPDATE, DELETE = "eks:CreateAddon", "eks:UpdateAddon", "eks:DeleteAddon"
DESCRIBE_UPDATE, SCHEMA = "eks:DescribeUpdate", "eks:DescribeAddonConfiguration"
DESCRIBE_ASSOCIATION, ASSOCIATIONS = "eks:DescribePodIdentityAssociation", "eks:ListPodIdentityAssociations"
AGENT: dict[str, t.Any] = {"cluster_name": "example", "name": "eks-pod-identity-agent"}
CLOUDWATCH: dict[str, t.Any] = {"cluster_name": "example", "name": "amazon-cloudwatch-observability"}
DRIVER: dict[str, t.Any] = {"cluster_name": "example", "name": "aws-ebs-csi-driver"}
OLD, DEFAULT, LATEST = "v1.0.0-eksbuild.1", "v1.3.9-eksbuild.3", "v1.3.10-eksbuild.3"
CONFIGURATION = {"resources": {"requests": {"cpu": "10m"}}, "podAnnotations": {"team": "a"}}

#: ``Account`` of conftest.py, which cannot be imported.
Account = t.Any
Result = dict[str, t.Any]


class Run(t.Protocol):
    """Runs the module in diff mode; ``calls`` of the result are the operations that it called, in order."""

    def __call__(self, *, check: bool = False, **params: t.Any) -> Result: ...


@pytest.fixture
def example(account: Account) -> Account:
    """An account with the cluster ``example`` and a node group."""
    account.create_cluster()
    account.create_nodegroup()
    return account


@pytest.fixture
def run(example: Account, run_module: t.Any) -> Run:
    def run(*, check: bool = False, **params: t.Any) -> Result:
        example.sandbox.clear_calls()
        # A test that waits for long has failed.
        result: Result = run_module(MODULE, check_mode=check, diff=True, **{"wait_timeout": 20, **params})
        calls = [call["operation"] for call in example.sandbox.call_log()]
        return {**result, "calls": calls, "steps": collapse_repeats(calls)}

    return run


def collapse_repeats(calls: list[str]) -> list[str]:
    """The calls with each row of equal ones, as waiting makes them, as one."""
    return [call for number, call in enumerate(calls) if number == 0 or calls[number - 1] != call]


@pytest.fixture(autouse=True)
def other_addon_stays_unchanged(example: Account) -> t.Iterator[None]:
    """Whatever a test does to the agent, another add-on stays as it is."""
    identity = {"clusterName": "example", "addonName": "coredns"}
    example.eks.create_addon(**identity, tags={"owner": "others"})
    look = functools.partial(example.eks.describe_addon, **identity)
    bystander = example.until_active(lambda: look()["addon"])
    yield
    assert look()["addon"] == bystander


@pytest.fixture
def aws_proxy(example: Account) -> t.Iterator[AwsProxy]:
    """A proxy through which others act between the module's calls."""
    with AwsProxy(example.sandbox.endpoint) as proxy:
        yield proxy


def stored(account: Account) -> dict[str, t.Any]:
    """The add-on as EKS has it; empty where it has none."""
    if "eks-pod-identity-agent" not in account.eks.list_addons(clusterName="example")["addons"]:
        return {}
    answer = account.eks.describe_addon(clusterName="example", addonName="eks-pod-identity-agent")
    addon: dict[str, t.Any] = answer["addon"]
    return addon


def create_unmanaged_addon(account: Account, **fields: t.Any) -> dict[str, t.Any]:
    """Somebody else installs the add-on, and it is ACTIVE."""
    parameters = {"clusterName": "example", "addonName": "eks-pod-identity-agent", "addonVersion": OLD, **fields}
    account.eks.create_addon(**parameters)
    found: dict[str, t.Any] = account.until_active(functools.partial(stored, account))
    return found


# --- missing parameters, check mode, create, idempotence --------------------------------------------------------------


def test_missing_parameters_are_named_before_any_call(run: Run) -> None:
    for missing in AGENT:
        result = run(**{name: value for name, value in AGENT.items() if name != missing})
        assert missing in result["msg"]
        assert result["calls"] == []


def test_check_mode_predicts_create_and_writes_nothing(run: Run, example: Account) -> None:
    result = run(check=True, **AGENT, version="latest", configuration=CONFIGURATION, tags={"team": "a"})
    assert result["changed"]
    addon = result["addon"]
    assert (addon["version"], addon["configuration"], addon["tags"]) == (LATEST, CONFIGURATION, {"team": "a"})
    assert (addon["status"], addon["arn"]) == ("ACTIVE", None)
    assert result["diff"] == {"before": {}, "after": addon}
    assert result["calls"] == [DESCRIBE, CLUSTER, VERSIONS, SCHEMA]
    assert stored(example) == {}


def test_create_matches_prediction_and_waits_for_active(run: Run, example: Account) -> None:
    declared = {**AGENT, "version": OLD, "configuration": CONFIGURATION, "tags": {"team": "a", "Cost-Center": 42}}
    predicted = run(check=True, **declared)
    result = run(**declared)
    assert result["changed"]
    assert result["actions"] == ["create_addon"]
    assert result["steps"] == [DESCRIBE, CLUSTER, VERSIONS, SCHEMA, CREATE, DESCRIBE]
    real = stored(example)
    assert (real["status"], real["addonVersion"]) == ("ACTIVE", OLD)
    assert real["tags"] == {"team": "a", "Cost-Center": "42"}
    assert json.loads(real["configurationValues"]) == CONFIGURATION
    assert result["addon"]["arn"] == real["addonArn"]
    known = {name: value for name, value in predicted["addon"].items() if value is not None}
    assert result["addon"] | known == result["addon"]


def test_new_addon_gets_default_version(run: Run, example: Account) -> None:
    assert run(check=True, **AGENT)["addon"]["version"] == DEFAULT
    assert run(**AGENT)["addon"]["version"] == DEFAULT
    assert stored(example)["addonVersion"] == DEFAULT


def test_second_run_changes_nothing_in_one_call(run: Run) -> None:
    declared = {**AGENT, "version": OLD, "configuration": CONFIGURATION, "tags": {"team": "a"}}
    first = run(**declared)
    for check in (False, True):
        again = run(check=check, **declared)
        assert not again["changed"]
        assert again["addon"] == first["addon"]
        assert again["diff"]["before"] == again["diff"]["after"]
        assert again["calls"] == [DESCRIBE]


@pytest.mark.parametrize("version", ["default", "latest", "v1.3", "v1.3.9"])
def test_second_run_with_symbolic_version_takes_three_calls(run: Run, version: str) -> None:
    run(**AGENT, version=version)
    again = run(**AGENT, version=version)
    assert (again["changed"], again["calls"]) == (False, [DESCRIBE, CLUSTER, VERSIONS])


def test_unset_options_leave_addon_settings_alone(run: Run, example: Account) -> None:
    role = "arn:aws:iam::111122223333:role/app"
    values = json.dumps(CONFIGURATION)
    before = create_unmanaged_addon(example, configurationValues=values, serviceAccountRoleArn=role, tags={"team": "b"})
    assert run(**AGENT)["calls"] == [DESCRIBE]
    assert stored(example) == before
    assert run(**AGENT, version=DEFAULT)["addon"]["version"] == DEFAULT
    after = stored(example)
    changes = {"addonVersion": DEFAULT, "modifiedAt": after["modifiedAt"]}
    assert {**after, "configurationValues": values} == {**before, **changes}
    assert json.loads(after["configurationValues"]) == CONFIGURATION


def test_equal_yaml_configuration_is_unchanged(run: Run, example: Account) -> None:
    text = "podAnnotations: {team: a}\nresources:\n  requests:\n    cpu: 10m\n"
    before = create_unmanaged_addon(example, configurationValues=text)
    result = run(**AGENT, configuration=CONFIGURATION)
    assert (result["changed"], result["calls"]) == (False, [DESCRIBE])
    assert stored(example) == before


# --- update -----------------------------------------------------------------------------------------------------------


def test_version_and_configuration_update_in_one_call(run: Run, example: Account) -> None:
    before = create_unmanaged_addon(example)
    declared = {**AGENT, "version": "default", "configuration": CONFIGURATION, "resolve_conflicts": "overwrite"}
    predicted = run(check=True, **declared)
    assert predicted["calls"] == [DESCRIBE, CLUSTER, VERSIONS, SCHEMA]
    assert stored(example) == before
    result = run(**declared)
    assert result["steps"] == [DESCRIBE, CLUSTER, VERSIONS, SCHEMA, UPDATE, DESCRIBE_UPDATE, DESCRIBE]
    assert result["diff"] == predicted["diff"]
    assert (result["diff"]["before"]["version"], result["diff"]["after"]["version"]) == (OLD, DEFAULT)
    assert result["addon"] == {**predicted["addon"], "modified_at": result["addon"]["modified_at"]}
    assert stored(example)["status"] == "ACTIVE"
    assert run(**declared)["changed"] is False


def test_empty_mapping_removes_configuration(run: Run, example: Account) -> None:
    create_unmanaged_addon(example, configurationValues=json.dumps(CONFIGURATION))
    assert run(**AGENT, configuration={})["addon"]["configuration"] == {}
    assert json.loads(stored(example)["configurationValues"]) == {}
    assert run(**AGENT, configuration={})["calls"] == [DESCRIBE]


def test_tags_alone_do_not_update_the_addon(run: Run, example: Account) -> None:
    create_unmanaged_addon(example, tags={"team": "b", "Name": "x"})
    kept = run(**AGENT, tags={"team": "a"}, purge_tags=False)
    assert kept["actions"] == ["tag_resource"]
    assert kept["addon"]["tags"] == stored(example)["tags"] == {"team": "a", "Name": "x"}
    purged = run(**AGENT, tags={"team": "a"})
    assert purged["actions"] == ["untag_resource"]
    assert stored(example)["tags"] == {"team": "a"}


def test_creation_tags_mark_created_addon_and_stay(run: Run, example: Account) -> None:
    marked = {**AGENT, "tags": {"team": "a"}, "creation_tags": {"made": "here"}}
    predicted = run(check=True, **marked)
    assert run(**marked)["addon"]["tags"] == predicted["addon"]["tags"] == {"team": "a", "made": "here"}
    assert stored(example)["tags"] == {"team": "a", "made": "here"}
    assert run(**marked)["changed"] is False, "purging leaves them"
    assert run(**{**marked, "creation_tags": {"made": "again"}})["changed"] is False


@pytest.mark.parametrize("purge", [False, True])
def test_creation_tags_never_mark_existing_addon(run: Run, example: Account, purge: bool) -> None:
    create_unmanaged_addon(example, tags={"team": "b", "cost": "1"})
    marked = {**AGENT, "version": DEFAULT, "tags": {"team": "a"}, "creation_tags": {"made": "here"}}
    result = run(**marked, purge_tags=purge)
    left = {"team": "a"} if purge else {"team": "a", "cost": "1"}
    assert (result["addon"]["version"], result["addon"]["tags"]) == (DEFAULT, left)
    assert stored(example)["tags"] == left


def test_default_version_never_downgrades_and_warns(run: Run, example: Account) -> None:
    create_unmanaged_addon(example, addonVersion=LATEST)
    result = run(**AGENT, version="default")
    assert (result["changed"], result["addon"]["version"]) == (False, LATEST)
    assert f"stays at version {LATEST}" in json.dumps(result["warnings"])
    assert stored(example)["addonVersion"] == LATEST


def test_declared_older_version_downgrades_with_warning(run: Run, example: Account) -> None:
    create_unmanaged_addon(example, addonVersion=LATEST)
    result = run(**AGENT, version=OLD)
    assert result["addon"]["version"] == stored(example)["addonVersion"] == OLD
    assert f"goes back from version {LATEST} to the older {OLD}" in json.dumps(result["warnings"])


def test_version_prefix_selects_newest_match(run: Run, example: Account) -> None:
    assert run(**AGENT, version="v1.0")["addon"]["version"] == OLD
    updated = run(**AGENT, version="v1.3")
    assert (updated["actions"], updated["addon"]["version"]) == (["update_addon"], LATEST)
    kept = run(**AGENT, version="v1.3.9")
    assert (kept["changed"], kept["addon"]["version"]) == (True, DEFAULT), "it is another one that is asked for"
    assert f"goes back from version {LATEST} to the older {DEFAULT}" in json.dumps(kept["warnings"])
    assert "does not exist" in run(**AGENT, version="v1.4")["msg"]
    assert stored(example)["addonVersion"] == DEFAULT


def test_version_keep_installs_default_and_never_updates(run: Run, example: Account) -> None:
    assert run(**AGENT, version="keep")["addon"]["version"] == DEFAULT
    assert run(**AGENT, version="keep")["calls"] == [DESCRIBE]
    run(**AGENT, version=OLD)
    assert run(**AGENT, version="keep")["addon"]["version"] == OLD
    assert stored(example)["addonVersion"] == OLD


def test_empty_service_account_role_removes_it(run: Run, example: Account) -> None:
    role = "arn:aws:iam::111122223333:role/app"
    create_unmanaged_addon(example, serviceAccountRoleArn=role)
    predicted = run(check=True, **AGENT, service_account_role_arn="")
    result = run(**AGENT, service_account_role_arn="")
    assert result["diff"] == predicted["diff"]
    assert result["diff"]["before"]["service_account_role_arn"] == role
    assert result["addon"]["service_account_role_arn"] is None
    assert "serviceAccountRoleArn" not in stored(example)
    assert run(**AGENT, service_account_role_arn="")["calls"] == [DESCRIBE]


def test_namespace_is_set_at_creation_only(run: Run, example: Account) -> None:
    declared = {**CLOUDWATCH, "namespace": "watching"}
    assert run(check=True, **declared)["addon"]["namespace"] == "watching"
    assert run(**declared)["addon"]["namespace"] == "watching"
    assert run(**declared)["calls"] == [DESCRIBE]
    assert run(**CLOUDWATCH)["calls"] == [DESCRIBE]
    for check in (False, True):
        moved = run(check=check, **{**CLOUDWATCH, "namespace": "elsewhere"})
        assert '"watching" and cannot become "elsewhere"' in moved["msg"]
        assert moved["calls"] == [DESCRIBE]


def test_check_mode_predicts_default_namespace(run: Run) -> None:
    assert run(check=True, **CLOUDWATCH)["addon"]["namespace"] == "amazon-cloudwatch"
    assert run(**CLOUDWATCH)["addon"]["namespace"] == "amazon-cloudwatch"


def test_resolve_conflicts_preserve_works_for_new_addon(run: Run) -> None:
    assert run(**AGENT, resolve_conflicts="preserve")["actions"] == ["create_addon"]
    assert run(**AGENT, resolve_conflicts="preserve")["changed"] is False


def test_wait_false_returns_before_addon_is_active(run: Run, example: Account) -> None:
    example.sandbox.knobs(addon_seconds=60)
    created = run(**AGENT, version=OLD, wait=False)
    assert (created["changed"], created["addon"]["status"]) == (True, "CREATING")
    assert created["calls"] == [DESCRIBE, CLUSTER, VERSIONS, CREATE, DESCRIBE]
    busy = run(**AGENT, version=LATEST, wait=False)
    assert "is CREATING" in busy["msg"]
    assert "wait=true" in busy["msg"]
    assert UPDATE not in busy["calls"]


def test_update_waits_for_create_in_progress(run: Run, example: Account) -> None:
    example.sandbox.knobs(addon_seconds=0.3)
    run(**AGENT, version=OLD, wait=False)
    waited = run(**AGENT, version=LATEST)
    assert (waited["addon"]["status"], waited["addon"]["version"]) == ("ACTIVE", LATEST)
    assert waited["actions"] == ["update_addon"]


def test_unchanged_addon_waits_for_create_in_progress(run: Run, example: Account) -> None:
    example.sandbox.knobs(addon_seconds=0.3)
    run(**AGENT, version=OLD, wait=False)
    result = run(**AGENT, version=OLD)
    assert (result["changed"], result["addon"]["status"]) == (False, "ACTIVE")
    assert result["steps"] == [DESCRIBE]


# --- delete, delete again ---------------------------------------------------------------------------------------------


def test_delete_matches_prediction_and_runs_once(run: Run, example: Account) -> None:
    before = create_unmanaged_addon(example)
    predicted = run(check=True, **AGENT, state="absent")
    assert (predicted["changed"], predicted["addon"], predicted["calls"]) == (True, None, [DESCRIBE])
    assert stored(example) == before
    result = run(**AGENT, state="absent")
    assert (result["changed"], result["addon"]) == (True, None)
    assert result["diff"] == predicted["diff"]
    assert result["steps"] == [DESCRIBE, DELETE, DESCRIBE]
    assert stored(example) == {}
    again = run(**AGENT, state="absent")
    assert (again["changed"], again["calls"]) == (False, [DESCRIBE])


def test_absent_waits_for_delete_in_progress(run: Run, example: Account) -> None:
    create_unmanaged_addon(example)
    example.sandbox.knobs(addon_seconds=1)
    begun = run(**AGENT, state="absent", wait=False)
    assert begun["addon"]["status"] == "DELETING"
    result = run(**AGENT, state="absent")
    assert (result["changed"], result["steps"]) == (False, [DESCRIBE])
    assert stored(example) == {}


def test_create_without_wait_refuses_addon_being_deleted(run: Run, example: Account) -> None:
    create_unmanaged_addon(example)
    example.sandbox.knobs(addon_seconds=60)
    run(**AGENT, state="absent", wait=False)
    assert run(check=True, **AGENT)["actions"] == ["create_addon"]
    refused = run(**AGENT, wait=False)
    assert "is DELETING" in refused["msg"]
    assert CREATE not in refused["calls"]


def test_create_waits_for_delete_in_progress(run: Run, example: Account) -> None:
    gone = create_unmanaged_addon(example)
    example.sandbox.knobs(addon_seconds=0.3)
    run(**AGENT, state="absent", wait=False)
    result = run(**AGENT)
    assert result["actions"] == ["create_addon"]
    assert stored(example)["addonArn"] != gone["addonArn"]


def test_preserve_keeps_addon_associations(run: Run, example: Account) -> None:
    own = [{"serviceAccount": "aws-node", "roleArn": "arn:aws:iam::111122223333:role/app"}]
    example.eks.create_addon(clusterName="example", addonName="vpc-cni", podIdentityAssociations=own)
    result = run(cluster_name="example", name="vpc-cni", state="absent", preserve=True)
    assert (result["changed"], result["diff"]["before"]["pod_identity_associations"] != []) == (True, True)
    left = example.eks.list_pod_identity_associations(clusterName="example")["associations"]
    assert [(one["serviceAccount"], "ownerArn" in one) for one in left] == [("aws-node", False)]


def test_absent_accepts_missing_cluster(run: Run) -> None:
    result = run(**{**AGENT, "cluster_name": "elsewhere"}, state="absent")
    assert (result["changed"], result["addon"], result["calls"]) == (False, None, [DESCRIBE])


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [False, True])
def test_all_invalid_options_are_reported_before_any_call(run: Run, check: bool) -> None:
    result = run(
        check=check,
        cluster_name="../example",
        name="agent/x",
        version="newest",
        service_account_role_arn="role",
        namespace="Kube_System",
        pod_identity_associations=[{"service_account": "A", "role_arn": "arn:aws:iam::111122223333:role/app"}],
        tags={"aws:team": "a"},
    )
    assert result["calls"] == []
    named = ["cluster_name", "name", "version", "namespace", "service_account_role_arn", "service_account", "tags"]
    assert [line.split()[0] for line in result["msg"].splitlines()] == named


@pytest.mark.parametrize("check", [False, True])
def test_unknown_version_suggests_existing_versions(run: Run, example: Account, check: bool) -> None:
    result = run(check=check, **AGENT, version="v1.3.99-eksbuild.1")
    assert "does not exist" in result["msg"]
    assert LATEST in result["msg"]
    assert f"default means {DEFAULT}" in result["msg"]
    assert "\n" not in result["msg"]
    before = create_unmanaged_addon(example)
    assert "does not exist" in run(check=check, **AGENT, version="v1.3.99-eksbuild.1")["msg"]
    assert stored(example) == before


def test_incompatible_version_names_its_kubernetes_version(run: Run) -> None:
    result = run(cluster_name="example", name="kube-proxy", version="v1.34.0-eksbuild.2")
    assert "does not fit Kubernetes 1.33 (it fits 1.34)" in result["msg"]
    assert "v1.33." in result["msg"]
    assert CREATE not in result["calls"]


def test_unknown_addon_fails_before_create(run: Run) -> None:
    result = run(cluster_name="example", name="no-such-addon")
    assert '"no-such-addon" names no add-on' in result["msg"]
    assert CREATE not in result["calls"]


def test_missing_cluster_fails_with_one_sentence(run: Run) -> None:
    result = run(**{**AGENT, "cluster_name": "elsewhere"})
    assert '"elsewhere" names no cluster in region eu-west-1' in result["msg"]
    assert result["calls"] == [DESCRIBE, CLUSTER]


# --- the configuration beside its schema ------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [False, True])
def test_all_schema_errors_are_reported_before_any_write(run: Run, example: Account, check: bool) -> None:
    before = create_unmanaged_addon(example)
    wrong = {"colour": "blue", "tolerations": "all", "agent": {"additionalArg": {}}}
    result = run(check=check, **AGENT, configuration=wrong)
    assert result["msg"].splitlines() == [
        f"configuration.colour of add-on eks-pod-identity-agent of cluster example in version {OLD} is no option of "
        "it: known there are affinity, agent, init, nodeSelector, podAnnotations, priorityClassName, resources, "
        "tolerations, updateStrategy.",
        f"configuration.agent.additionalArg of add-on eks-pod-identity-agent of cluster example in version {OLD} is no "
        "option of it: did you mean additionalArgs?",
        f"configuration.tolerations of add-on eks-pod-identity-agent of cluster example in version {OLD} is "
        '"all": it must be a list or null.',
    ]
    assert result["calls"] == [DESCRIBE, SCHEMA]
    assert stored(example) == before


def test_other_schema_dialect_is_checked_before_create(run: Run, example: Account) -> None:
    result = run(**DRIVER, configuration={"controller": {"replicaCount": 0}})
    assert "configuration.controller.replicaCount of add-on aws-ebs-csi-driver" in result["msg"]
    assert "less than the minimum of 1" in result["msg"]
    assert result["calls"] == [DESCRIBE, CLUSTER, VERSIONS, SCHEMA]
    assert example.eks.list_addons(clusterName="example")["addons"] == ["coredns"]


def test_kept_configuration_is_checked_for_new_version(run: Run, example: Account) -> None:
    values = json.dumps({"podLabels": {"team": "a"}})
    before = create_unmanaged_addon(example, addonVersion=LATEST, configurationValues=values)
    result = run(**AGENT, version=OLD)
    assert (
        f"configuration.podLabels of add-on eks-pod-identity-agent of cluster example in version {OLD}"
        in (result["msg"])
    )
    assert stored(example) == before


def test_jsonschema_is_required_for_configuration_only(
    run: Run, example: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    result = run(**AGENT, configuration=CONFIGURATION)
    assert "Failed to import the required Python library (jsonschema)" in result["msg"]
    assert stored(example) == {}
    assert run(**AGENT)["addon"]["status"] == "ACTIVE"


# --- associations that the add-on owns --------------------------------------------------------------------------------

SERVICE_ACCOUNT = "ebs-csi-controller-sa"
ROLE, OTHER_ROLE = (f"arn:aws:iam::111122223333:role/{name}" for name in ("app", "other"))


def association_option(role: str = ROLE, service_account: str = SERVICE_ACCOUNT) -> list[dict[str, str]]:
    """The option for one service account."""
    return [{"service_account": service_account, "role_arn": role}]


def associations(account: Account) -> dict[str, str]:
    """Service account -> role of all associations of the cluster."""
    listed = account.eks.list_pod_identity_associations(clusterName="example")["associations"]
    ids = [one["associationId"] for one in listed]
    look = account.eks.describe_pod_identity_association
    found = [look(clusterName="example", associationId=each)["association"] for each in ids]
    return {one["serviceAccount"]: one["roleArn"] for one in found}


@pytest.fixture
def other_role(clients: dict[str, t.Any], example: Account) -> None:
    make_role(clients["iam"], "other", "pods.eks.amazonaws.com")


def test_create_with_association_matches_prediction(run: Run, example: Account) -> None:
    predicted = run(check=True, **DRIVER, pod_identity_associations=association_option())
    assert predicted["calls"] == [DESCRIBE, CLUSTER, VERSIONS, SCHEMA, ASSOCIATIONS]
    nothing_known = {"association_id": None, "association_arn": None}
    assert predicted["addon"]["pod_identity_associations"] == [{**nothing_known, **association_option()[0]}]
    assert associations(example) == {}
    result = run(**DRIVER, pod_identity_associations=association_option())
    assert result["steps"] == [*predicted["calls"], CREATE, DESCRIBE, DESCRIBE_ASSOCIATION]
    [made] = result["addon"]["pod_identity_associations"]
    assert made | association_option()[0] == made
    assert made["association_arn"].endswith(made["association_id"])
    assert associations(example) == {SERVICE_ACCOUNT: ROLE}


def test_only_declared_association_costs_one_more_call(run: Run, example: Account) -> None:
    made = run(**DRIVER, pod_identity_associations=association_option())["addon"]["pod_identity_associations"]
    again = run(**DRIVER, pod_identity_associations=association_option())
    assert (again["changed"], again["calls"]) == (False, [DESCRIBE, DESCRIBE_ASSOCIATION])
    assert again["addon"]["pod_identity_associations"] == made
    left = run(**DRIVER, version="keep")
    assert (left["changed"], left["calls"]) == (False, [DESCRIBE])
    assert left["addon"]["pod_identity_associations"] == [{**made[0], "service_account": None, "role_arn": None}]
    assert associations(example) == {SERVICE_ACCOUNT: ROLE}


def test_association_update_and_removal_match_prediction(run: Run, example: Account, other_role: None) -> None:
    run(**DRIVER, pod_identity_associations=association_option())
    for wanted, roles, looks in (
        (association_option(OTHER_ROLE), {SERVICE_ACCOUNT: OTHER_ROLE}, [SCHEMA]),
        ([], {}, []),
    ):
        predicted = run(check=True, **DRIVER, pod_identity_associations=wanted)
        assert predicted["actions"] == ["update_addon"]
        result = run(**DRIVER, pod_identity_associations=wanted)
        assert result["steps"][:4] == [DESCRIBE, DESCRIBE_ASSOCIATION, *looks, UPDATE, DESCRIBE_UPDATE][:4]
        assert result["diff"] == predicted["diff"]
        assert associations(example) == roles
    assert run(**DRIVER, pod_identity_associations=[])["calls"] == [DESCRIBE]


def test_version_update_does_not_send_associations(run: Run, example: Account) -> None:
    run(**DRIVER, version="v1.39", pod_identity_associations=association_option())
    run(**DRIVER, version="latest", pod_identity_associations=association_option())
    [update] = example.eks.list_updates(name="example", addonName=DRIVER["name"])["updateIds"]
    told = example.eks.describe_update(name="example", addonName=DRIVER["name"], updateId=update)["update"]
    assert "PodIdentityAssociations" not in [parameter["type"] for parameter in told["params"]]
    assert associations(example) == {SERVICE_ACCOUNT: ROLE}


def test_deleted_association_is_recreated(run: Run, example: Account) -> None:
    [made] = run(**DRIVER, pod_identity_associations=association_option())["addon"]["pod_identity_associations"]
    example.eks.delete_pod_identity_association(clusterName="example", associationId=made["association_id"])
    assert run(**DRIVER, pod_identity_associations=association_option())["actions"] == ["update_addon"]
    assert associations(example) == {SERVICE_ACCOUNT: ROLE}


@pytest.mark.parametrize("check", [False, True])
def test_unknown_service_account_fails_with_known_ones(run: Run, example: Account, check: bool) -> None:
    result = run(check=check, **DRIVER, pod_identity_associations=association_option(service_account="driver"))
    assert '"driver" in pod_identity_associations' in result["msg"]
    assert f"{SERVICE_ACCOUNT} can have an association" in result["msg"]
    without = run(check=check, **AGENT, pod_identity_associations=association_option())
    assert "takes no EKS Pod Identity association" in without["msg"]
    assert CREATE not in [*result["calls"], *without["calls"]]
    assert associations(example) == {}


@pytest.mark.parametrize("check", [False, True])
def test_unmanaged_association_is_reported_and_kept(run: Run, example: Account, check: bool) -> None:
    names = {"clusterName": "example", "namespace": "kube-system", "serviceAccount": SERVICE_ACCOUNT}
    theirs = example.eks.create_pod_identity_association(**names, roleArn=ROLE)["association"]["associationId"]
    for _state in ("new", "installed"):
        result = run(check=check, **DRIVER, pod_identity_associations=association_option())
        assert (
            f"kube-system/{SERVICE_ACCOUNT} has the association {theirs} already, which belongs to no add-on"
            in (result["msg"])
        )
        assert "eks_pod_identity_association with state=absent" in result["msg"]
        assert not {CREATE, UPDATE} & set(result["calls"])
        run(**DRIVER)
    assert associations(example) == {SERVICE_ACCOUNT: ROLE}


def test_association_created_concurrently_is_reported(run: Run, example: Account, aws_proxy: AwsProxy) -> None:
    names = {"clusterName": "example", "namespace": "kube-system", "serviceAccount": SERVICE_ACCOUNT}
    make = functools.partial(example.eks.create_pod_identity_association, **names, roleArn=ROLE)
    aws_proxy.after("GET", "/pod-identity-associations", make)
    result = run(endpoint_url=aws_proxy.endpoint, **DRIVER, pod_identity_associations=association_option())
    assert "already, which belongs to no add-on" in result["msg"]
    assert result["error"]["code"] == "ResourceInUseException"


def test_create_retries_until_role_exists(
    run: Run, example: Account, clients: dict[str, t.Any], aws_proxy: AwsProxy
) -> None:
    example.sandbox.knobs(iam_propagation_seconds=3)
    # A moment before the add-on is created.
    make = functools.partial(make_role, clients["iam"], "other", "pods.eks.amazonaws.com")
    aws_proxy.after("GET", "/pod-identity-associations", make)
    result = run(endpoint_url=aws_proxy.endpoint, **DRIVER, pod_identity_associations=association_option(OTHER_ROLE))
    assert result["calls"].count(CREATE) > 1
    assert associations(example) == {SERVICE_ACCOUNT: OTHER_ROLE}


def test_missing_role_fails_with_requirements(run: Run, example: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensuring, "PROPAGATION_TIMEOUT", 0.2)
    result = run(**DRIVER, pod_identity_associations=association_option(OTHER_ROLE))
    assert f"after 0.2 seconds: {OTHER_ROLE} must exist" in result["msg"]
    assert result["error"]["code"] == "InvalidParameterException"
    assert associations(example) == {}


# --- failure states ---------------------------------------------------------------------------------------------------


def test_wait_continues_while_addon_is_degraded(run: Run, example: Account, aws_proxy: AwsProxy) -> None:
    agent = {"eks-pod-identity-agent": "DEGRADED"}
    example.sandbox.knobs(addon_outcomes=agent)
    run(**AGENT, wait=False)
    example.sandbox.knobs(addon_outcomes={})
    names = {"clusterName": "example", "addonName": "eks-pod-identity-agent"}
    wait_until_degraded(example)
    # Somebody cures it while the module waits, after its first look.
    aws_proxy.after("GET", "/addons/", functools.partial(example.eks.update_addon, **names, addonVersion=DEFAULT))
    result = run(endpoint_url=aws_proxy.endpoint, **AGENT)
    assert (result["changed"], result["addon"]["status"]) == (False, "ACTIVE")


def wait_until_degraded(account: Account) -> None:
    deadline = time.monotonic() + 30
    while (found := stored(account))["status"] != "DEGRADED":
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def test_wait_timeout_reports_status_and_issues(run: Run, example: Account) -> None:
    broken = {"eks-pod-identity-agent": "InsufficientNumberOfReplicas"}
    example.sandbox.knobs(addon_outcomes={"eks-pod-identity-agent": "DEGRADED"}, addon_issues=broken)
    for _run in ("creating", "waiting"):
        result = run(**AGENT, wait_timeout=1)
        assert result["failed"]
        assert "Waited 1 seconds" in result["msg"]
        assert "DEGRADED (InsufficientNumberOfReplicas: " in result["msg"]
    assert result["steps"] == [DESCRIBE]


def test_create_failure_is_reported_and_next_run_repairs(run: Run, example: Account) -> None:
    issue = {"eks-pod-identity-agent": "ConfigurationConflict"}
    example.sandbox.knobs(addon_outcomes={"eks-pod-identity-agent": "CREATE_FAILED"}, addon_issues=issue)
    result = run(**AGENT)
    assert "CREATE_FAILED (ConfigurationConflict: " in result["msg"]
    failed = stored(example)
    assert failed["status"] == "CREATE_FAILED"
    predicted = run(check=True, **AGENT)
    assert predicted["actions"] == ["update_addon"]
    assert predicted["diff"]["before"]["health"]["issues"][0]["code"] == "ConfigurationConflict"
    repaired = run(**AGENT, resolve_conflicts="overwrite")
    assert (repaired["changed"], repaired["addon"]["status"]) == (True, "ACTIVE")
    assert repaired["addon"]["arn"] == failed["addonArn"], "it was not deleted for that"
    assert run(**AGENT)["changed"] is False


def test_unrepairable_failed_addon_is_not_deleted(run: Run, example: Account) -> None:
    example.sandbox.knobs(addon_outcomes={"eks-pod-identity-agent": "CREATE_FAILED"})
    run(**AGENT)
    refusal = {"operation": "UpdateAddon", "code": "InvalidRequestException", "message": "Not in CREATE_FAILED state."}
    example.sandbox.knobs(faults=[refusal])
    result = run(**AGENT)
    assert "is CREATE_FAILED (InsufficientNumberOfReplicas: " in result["msg"]
    assert "state=absent and preserve=true" in result["msg"]
    assert DELETE not in result["calls"]
    assert stored(example)["status"] == "CREATE_FAILED"


def test_update_failure_is_reported_and_next_run_retries(run: Run, example: Account) -> None:
    create_unmanaged_addon(example)
    issue = {"eks-pod-identity-agent": "AdmissionRequestDenied"}
    example.sandbox.knobs(addon_outcomes={"eks-pod-identity-agent": "UPDATE_FAILED"}, addon_issues=issue)
    result = run(**AGENT, version=LATEST)
    assert result["failed"]
    assert "Failed (AdmissionRequestDenied: " in result["msg"]
    example.sandbox.knobs(addon_outcomes={})
    again = run(**AGENT, version=LATEST)
    assert (again["changed"], again["addon"]["status"]) == (True, "ACTIVE")


def test_delete_failure_is_reported_with_issue(run: Run, example: Account) -> None:
    proxy: dict[str, t.Any] = {"cluster_name": "example", "name": "kube-proxy"}
    run(**proxy)
    example.sandbox.knobs(addon_outcomes={"kube-proxy": "DELETE_FAILED"})
    result = run(**proxy, state="absent")
    assert "DELETE_FAILED (InternalFailure: " in result["msg"]
    present = run(**proxy)
    assert "delete it again with state=absent" in present["msg"]
    assert UPDATE not in present["calls"]


@pytest.mark.parametrize("code", ["ThrottlingException", "ServerException"])
def test_describe_retries_throttling_and_server_errors(run: Run, example: Account, code: str) -> None:
    example.sandbox.knobs(faults=[{"operation": "DescribeAddon", "code": code, "calls": [1, 2]}])
    assert run(**AGENT)["addon"]["status"] == "ACTIVE"


def test_access_denied_error_is_reported_unchanged(run: Run, example: Account) -> None:
    message = "User is not authorized to perform: eks:CreateAddon"
    fault = {"operation": "CreateAddon", "code": "AccessDeniedException", "message": message, "status": 403}
    example.sandbox.knobs(faults=[fault])
    result = run(**AGENT)
    assert "eks:CreateAddon" in result["msg"]
    assert result["error"]["code"] == "AccessDeniedException"
    assert stored(example) == {}
