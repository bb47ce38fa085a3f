# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module eks_addon, over HTTP: results and calls."""

from __future__ import annotations

import functools
import json
import sys
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
        return {**result, "calls": calls, "steps": without_repetition(calls)}

    return run


def without_repetition(calls: list[str]) -> list[str]:
    """The calls with each row of equal ones, as waiting makes them, as one."""
    return [call for number, call in enumerate(calls) if number == 0 or calls[number - 1] != call]


@pytest.fixture(autouse=True)
def everything_else_is_left_alone(example: Account) -> t.Iterator[None]:
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


def others_create(account: Account, **fields: t.Any) -> dict[str, t.Any]:
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


def test_check_mode_predicts_the_addon_and_writes_nothing(run: Run, example: Account) -> None:
    result = run(check=True, **AGENT, version="latest", configuration=CONFIGURATION, tags={"team": "a"})
    assert result["changed"]
    addon = result["addon"]
    assert (addon["version"], addon["configuration"], addon["tags"]) == (LATEST, CONFIGURATION, {"team": "a"})
    assert (addon["status"], addon["arn"]) == ("ACTIVE", None)
    assert result["diff"] == {"before": {}, "after": addon}
    assert result["calls"] == [DESCRIBE, CLUSTER, VERSIONS, SCHEMA]
    assert stored(example) == {}


def test_an_addon_is_created_as_predicted_and_active(run: Run, example: Account) -> None:
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


def test_a_new_addon_gets_the_default_version(run: Run, example: Account) -> None:
    assert run(check=True, **AGENT)["addon"]["version"] == DEFAULT
    assert run(**AGENT)["addon"]["version"] == DEFAULT
    assert stored(example)["addonVersion"] == DEFAULT


def test_a_second_run_changes_nothing_and_takes_one_call(run: Run) -> None:
    declared = {**AGENT, "version": OLD, "configuration": CONFIGURATION, "tags": {"team": "a"}}
    first = run(**declared)
    for check in (False, True):
        again = run(check=check, **declared)
        assert not again["changed"]
        assert again["addon"] == first["addon"]
        assert again["diff"]["before"] == again["diff"]["after"]
        assert again["calls"] == [DESCRIBE]


@pytest.mark.parametrize("version", ["default", "latest", "v1.3", "v1.3.9"])
def test_a_version_that_is_asked_for_by_what_it_is_takes_three_calls(run: Run, version: str) -> None:
    run(**AGENT, version=version)
    again = run(**AGENT, version=version)
    assert (again["changed"], again["calls"]) == (False, [DESCRIBE, CLUSTER, VERSIONS])


def test_options_that_are_not_set_leave_their_part_alone(run: Run, example: Account) -> None:
    role = "arn:aws:iam::111122223333:role/app"
    values = json.dumps(CONFIGURATION)
    before = others_create(example, configurationValues=values, serviceAccountRoleArn=role, tags={"team": "b"})
    assert run(**AGENT)["calls"] == [DESCRIBE]
    assert stored(example) == before
    assert run(**AGENT, version=DEFAULT)["addon"]["version"] == DEFAULT
    after = stored(example)
    changes = {"addonVersion": DEFAULT, "modifiedAt": after["modifiedAt"]}
    assert {**after, "configurationValues": values} == {**before, **changes}
    assert json.loads(after["configurationValues"]) == CONFIGURATION


def test_a_configuration_that_says_the_same_in_yaml_is_no_difference(run: Run, example: Account) -> None:
    text = "podAnnotations: {team: a}\nresources:\n  requests:\n    cpu: 10m\n"
    before = others_create(example, configurationValues=text)
    result = run(**AGENT, configuration=CONFIGURATION)
    assert (result["changed"], result["calls"]) == (False, [DESCRIBE])
    assert stored(example) == before


# --- update -----------------------------------------------------------------------------------------------------------


def test_version_and_configuration_are_updated_in_one_call_as_predicted(run: Run, example: Account) -> None:
    before = others_create(example)
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


def test_an_empty_mapping_removes_the_configuration(run: Run, example: Account) -> None:
    others_create(example, configurationValues=json.dumps(CONFIGURATION))
    assert run(**AGENT, configuration={})["addon"]["configuration"] == {}
    assert json.loads(stored(example)["configurationValues"]) == {}
    assert run(**AGENT, configuration={})["calls"] == [DESCRIBE]


def test_tags_alone_do_not_update_the_addon(run: Run, example: Account) -> None:
    others_create(example, tags={"team": "b", "Name": "x"})
    kept = run(**AGENT, tags={"team": "a"}, purge_tags=False)
    assert kept["actions"] == ["tag_resource"]
    assert kept["addon"]["tags"] == stored(example)["tags"] == {"team": "a", "Name": "x"}
    purged = run(**AGENT, tags={"team": "a"})
    assert purged["actions"] == ["untag_resource"]
    assert stored(example)["tags"] == {"team": "a"}


def test_creation_tags_mark_what_is_created_here_and_stay(run: Run, example: Account) -> None:
    marked = {**AGENT, "tags": {"team": "a"}, "creation_tags": {"made": "here"}}
    predicted = run(check=True, **marked)
    assert run(**marked)["addon"]["tags"] == predicted["addon"]["tags"] == {"team": "a", "made": "here"}
    assert stored(example)["tags"] == {"team": "a", "made": "here"}
    assert run(**marked)["changed"] is False, "purging leaves them"
    assert run(**{**marked, "creation_tags": {"made": "again"}})["changed"] is False


@pytest.mark.parametrize("purge", [False, True])
def test_creation_tags_never_mark_what_others_made(run: Run, example: Account, purge: bool) -> None:
    others_create(example, tags={"team": "b"})
    marked = {**AGENT, "version": DEFAULT, "tags": {"team": "a"}, "creation_tags": {"made": "here"}}
    result = run(**marked, purge_tags=purge)
    assert (result["addon"]["version"], result["addon"]["tags"]) == (DEFAULT, {"team": "a"})
    assert stored(example)["tags"] == {"team": "a"}


def test_default_never_goes_back_and_says_so(run: Run, example: Account) -> None:
    others_create(example, addonVersion=LATEST)
    result = run(**AGENT, version="default")
    assert (result["changed"], result["addon"]["version"]) == (False, LATEST)
    assert f"stays at version {LATEST}" in json.dumps(result["warnings"])
    assert stored(example)["addonVersion"] == LATEST


def test_an_older_version_that_is_asked_for_is_installed_and_warned_about(run: Run, example: Account) -> None:
    others_create(example, addonVersion=LATEST)
    result = run(**AGENT, version=OLD)
    assert result["addon"]["version"] == stored(example)["addonVersion"] == OLD
    assert f"goes back from version {LATEST} to the older {OLD}" in json.dumps(result["warnings"])


def test_the_first_numbers_of_a_version_mean_the_newest_that_begins_with_them(run: Run, example: Account) -> None:
    assert run(**AGENT, version="v1.0")["addon"]["version"] == OLD
    updated = run(**AGENT, version="v1.3")
    assert (updated["actions"], updated["addon"]["version"]) == (["update_addon"], LATEST)
    kept = run(**AGENT, version="v1.3.9")
    assert (kept["changed"], kept["addon"]["version"]) == (True, DEFAULT), "it is another one that is asked for"
    assert f"goes back from version {LATEST} to the older {DEFAULT}" in json.dumps(kept["warnings"])
    assert "does not exist" in run(**AGENT, version="v1.4")["msg"]
    assert stored(example)["addonVersion"] == DEFAULT


def test_keep_installs_the_default_version_and_never_asks_again(run: Run, example: Account) -> None:
    assert run(**AGENT, version="keep")["addon"]["version"] == DEFAULT
    assert run(**AGENT, version="keep")["calls"] == [DESCRIBE]
    run(**AGENT, version=OLD)
    assert run(**AGENT, version="keep")["addon"]["version"] == OLD
    assert stored(example)["addonVersion"] == OLD


def test_an_empty_role_of_the_service_account_takes_it_away(run: Run, example: Account) -> None:
    role = "arn:aws:iam::111122223333:role/app"
    others_create(example, serviceAccountRoleArn=role)
    predicted = run(check=True, **AGENT, service_account_role_arn="")
    result = run(**AGENT, service_account_role_arn="")
    assert result["diff"] == predicted["diff"]
    assert result["diff"]["before"]["service_account_role_arn"] == role
    assert result["addon"]["service_account_role_arn"] is None
    assert "serviceAccountRoleArn" not in stored(example)
    assert run(**AGENT, service_account_role_arn="")["calls"] == [DESCRIBE]


def test_a_namespace_is_for_a_new_addon_only(run: Run, example: Account) -> None:
    declared = {**CLOUDWATCH, "namespace": "watching"}
    assert run(check=True, **declared)["addon"]["namespace"] == "watching"
    assert run(**declared)["addon"]["namespace"] == "watching"
    assert run(**declared)["calls"] == [DESCRIBE]
    assert run(**CLOUDWATCH)["calls"] == [DESCRIBE]
    for check in (False, True):
        moved = run(check=check, **{**CLOUDWATCH, "namespace": "elsewhere"})
        assert '"watching" and cannot become "elsewhere"' in moved["msg"]
        assert moved["calls"] == [DESCRIBE]


def test_the_namespace_that_is_an_addons_default_is_predicted(run: Run) -> None:
    assert run(check=True, **CLOUDWATCH)["addon"]["namespace"] == "amazon-cloudwatch"
    assert run(**CLOUDWATCH)["addon"]["namespace"] == "amazon-cloudwatch"


def test_a_new_addon_has_nothing_to_preserve(run: Run) -> None:
    assert run(**AGENT, resolve_conflicts="preserve")["actions"] == ["create_addon"]
    assert run(**AGENT, resolve_conflicts="preserve")["changed"] is False


def test_without_waiting_the_task_ends_when_eks_has_accepted(run: Run, example: Account) -> None:
    example.sandbox.knobs(addon_seconds=60)
    created = run(**AGENT, version=OLD, wait=False)
    assert (created["changed"], created["addon"]["status"]) == (True, "CREATING")
    assert created["calls"] == [DESCRIBE, CLUSTER, VERSIONS, CREATE, DESCRIBE]
    busy = run(**AGENT, version=LATEST, wait=False)
    assert "is CREATING" in busy["msg"]
    assert "wait=true" in busy["msg"]
    assert UPDATE not in busy["calls"]


def test_an_update_waits_for_what_is_going_on(run: Run, example: Account) -> None:
    example.sandbox.knobs(addon_seconds=0.3)
    run(**AGENT, version=OLD, wait=False)
    waited = run(**AGENT, version=LATEST)
    assert (waited["addon"]["status"], waited["addon"]["version"]) == ("ACTIVE", LATEST)
    assert waited["actions"] == ["update_addon"]


def test_an_unchanged_addon_that_is_still_being_created_is_waited_for(run: Run, example: Account) -> None:
    example.sandbox.knobs(addon_seconds=0.3)
    run(**AGENT, version=OLD, wait=False)
    result = run(**AGENT, version=OLD)
    assert (result["changed"], result["addon"]["status"]) == (False, "ACTIVE")
    assert result["steps"] == [DESCRIBE]


# --- delete, delete again ---------------------------------------------------------------------------------------------


def test_deleting_is_predicted_done_once_and_then_finds_nothing_to_do(run: Run, example: Account) -> None:
    before = others_create(example)
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


def test_a_deletion_in_progress_is_waited_for_and_not_ordered_again(run: Run, example: Account) -> None:
    others_create(example)
    example.sandbox.knobs(addon_seconds=1)
    begun = run(**AGENT, state="absent", wait=False)
    assert begun["addon"]["status"] == "DELETING"
    result = run(**AGENT, state="absent")
    assert (result["changed"], result["steps"]) == (False, [DESCRIBE])
    assert stored(example) == {}


def test_an_addon_that_is_being_deleted_is_not_created_without_waiting(run: Run, example: Account) -> None:
    others_create(example)
    example.sandbox.knobs(addon_seconds=60)
    run(**AGENT, state="absent", wait=False)
    assert run(check=True, **AGENT)["actions"] == ["create_addon"]
    refused = run(**AGENT, wait=False)
    assert "is DELETING" in refused["msg"]
    assert CREATE not in refused["calls"]


def test_an_addon_that_is_being_deleted_is_created_anew_when_it_is_gone(run: Run, example: Account) -> None:
    gone = others_create(example)
    example.sandbox.knobs(addon_seconds=0.3)
    run(**AGENT, state="absent", wait=False)
    result = run(**AGENT)
    assert result["actions"] == ["create_addon"]
    assert stored(example)["addonArn"] != gone["addonArn"]


def test_preserving_leaves_the_associations_of_the_addon(run: Run, example: Account) -> None:
    own = [{"serviceAccount": "aws-node", "roleArn": "arn:aws:iam::111122223333:role/app"}]
    example.eks.create_addon(clusterName="example", addonName="vpc-cni", podIdentityAssociations=own)
    result = run(cluster_name="example", name="vpc-cni", state="absent", preserve=True)
    assert (result["changed"], result["diff"]["before"]["pod_identity_associations"] != []) == (True, True)
    left = example.eks.list_pod_identity_associations(clusterName="example")["associations"]
    assert [(one["serviceAccount"], "ownerArn" in one) for one in left] == [("aws-node", False)]


def test_a_cluster_that_does_not_exist_has_no_addon_to_delete(run: Run) -> None:
    result = run(**{**AGENT, "cluster_name": "elsewhere"}, state="absent")
    assert (result["changed"], result["addon"], result["calls"]) == (False, None, [DESCRIBE])


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [False, True])
def test_everything_that_cannot_be_right_is_said_at_once_before_any_call(run: Run, check: bool) -> None:
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
def test_a_version_that_does_not_exist_names_the_nearest_that_do(run: Run, example: Account, check: bool) -> None:
    result = run(check=check, **AGENT, version="v1.3.99-eksbuild.1")
    assert "does not exist" in result["msg"]
    assert LATEST in result["msg"]
    assert f"default means {DEFAULT}" in result["msg"]
    assert "\n" not in result["msg"]
    before = others_create(example)
    assert "does not exist" in run(check=check, **AGENT, version="v1.3.99-eksbuild.1")["msg"]
    assert stored(example) == before


def test_a_version_for_another_kubernetes_names_where_it_fits(run: Run) -> None:
    result = run(cluster_name="example", name="kube-proxy", version="v1.34.0-eksbuild.2")
    assert "does not fit Kubernetes 1.33 (it fits 1.34)" in result["msg"]
    assert "v1.33." in result["msg"]
    assert CREATE not in result["calls"]


def test_an_addon_that_eks_does_not_offer_is_one_sentence(run: Run) -> None:
    result = run(cluster_name="example", name="no-such-addon")
    assert '"no-such-addon" names no add-on' in result["msg"]
    assert CREATE not in result["calls"]


def test_a_cluster_that_does_not_exist_is_one_sentence(run: Run) -> None:
    result = run(**{**AGENT, "cluster_name": "elsewhere"})
    assert '"elsewhere" names no cluster in region eu-west-1' in result["msg"]
    assert result["calls"] == [DESCRIBE, CLUSTER]


# --- the configuration beside its schema ------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [False, True])
def test_all_that_the_schema_does_not_allow_is_said_before_a_write(run: Run, example: Account, check: bool) -> None:
    before = others_create(example)
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


def test_a_schema_of_another_dialect_is_read_and_a_new_addon_is_not_made(run: Run, example: Account) -> None:
    result = run(**DRIVER, configuration={"controller": {"replicaCount": 0}})
    assert "configuration.controller.replicaCount of add-on aws-ebs-csi-driver" in result["msg"]
    assert "less than the minimum of 1" in result["msg"]
    assert result["calls"] == [DESCRIBE, CLUSTER, VERSIONS, SCHEMA]
    assert example.eks.list_addons(clusterName="example")["addons"] == ["coredns"]


def test_what_an_update_writes_again_is_checked_for_the_new_version(run: Run, example: Account) -> None:
    values = json.dumps({"podLabels": {"team": "a"}})
    before = others_create(example, addonVersion=LATEST, configurationValues=values)
    result = run(**AGENT, version=OLD)
    assert (
        f"configuration.podLabels of add-on eks-pod-identity-agent of cluster example in version {OLD}"
        in (result["msg"])
    )
    assert stored(example) == before


def test_the_missing_library_is_named_and_only_who_writes_a_configuration_needs_it(
    run: Run, example: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    result = run(**AGENT, configuration=CONFIGURATION)
    assert "Failed to import the required Python library (jsonschema)" in result["msg"]
    assert stored(example) == {}
    assert run(**AGENT)["addon"]["status"] == "ACTIVE"


# --- associations that the add-on owns --------------------------------------------------------------------------------

ACCOUNT = "ebs-csi-controller-sa"
ROLE, OTHER_ROLE = (f"arn:aws:iam::111122223333:role/{name}" for name in ("app", "other"))


def own(role: str = ROLE, service_account: str = ACCOUNT) -> list[dict[str, str]]:
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


def test_an_addon_is_created_with_its_association_as_predicted(run: Run, example: Account) -> None:
    predicted = run(check=True, **DRIVER, pod_identity_associations=own())
    assert predicted["calls"] == [DESCRIBE, CLUSTER, VERSIONS, SCHEMA, ASSOCIATIONS]
    nothing_known = {"association_id": None, "association_arn": None}
    assert predicted["addon"]["pod_identity_associations"] == [{**nothing_known, **own()[0]}]
    assert associations(example) == {}
    result = run(**DRIVER, pod_identity_associations=own())
    assert result["steps"] == [*predicted["calls"], CREATE, DESCRIBE, DESCRIBE_ASSOCIATION]
    [made] = result["addon"]["pod_identity_associations"]
    assert made | own()[0] == made
    assert made["association_arn"].endswith(made["association_id"])
    assert associations(example) == {ACCOUNT: ROLE}


def test_an_unchanged_association_takes_one_call_more_and_only_when_it_is_declared(run: Run, example: Account) -> None:
    made = run(**DRIVER, pod_identity_associations=own())["addon"]["pod_identity_associations"]
    again = run(**DRIVER, pod_identity_associations=own())
    assert (again["changed"], again["calls"]) == (False, [DESCRIBE, DESCRIBE_ASSOCIATION])
    assert again["addon"]["pod_identity_associations"] == made
    left = run(**DRIVER, version="keep")
    assert (left["changed"], left["calls"]) == (False, [DESCRIBE])
    assert left["addon"]["pod_identity_associations"] == [{**made[0], "service_account": None, "role_arn": None}]
    assert associations(example) == {ACCOUNT: ROLE}


def test_a_role_is_changed_and_taken_away_as_predicted(run: Run, example: Account, other_role: None) -> None:
    run(**DRIVER, pod_identity_associations=own())
    for wanted, roles, looks in ((own(OTHER_ROLE), {ACCOUNT: OTHER_ROLE}, [SCHEMA]), ([], {}, [])):
        predicted = run(check=True, **DRIVER, pod_identity_associations=wanted)
        assert predicted["actions"] == ["update_addon"]
        result = run(**DRIVER, pod_identity_associations=wanted)
        assert result["steps"][:4] == [DESCRIBE, DESCRIBE_ASSOCIATION, *looks, UPDATE, DESCRIBE_UPDATE][:4]
        assert result["diff"] == predicted["diff"]
        assert associations(example) == roles
    assert run(**DRIVER, pod_identity_associations=[])["calls"] == [DESCRIBE]


def test_an_update_of_something_else_does_not_name_the_associations(run: Run, example: Account) -> None:
    run(**DRIVER, version="v1.39", pod_identity_associations=own())
    run(**DRIVER, version="latest", pod_identity_associations=own())
    [update] = example.eks.list_updates(name="example", addonName=DRIVER["name"])["updateIds"]
    told = example.eks.describe_update(name="example", addonName=DRIVER["name"], updateId=update)["update"]
    assert "PodIdentityAssociations" not in [parameter["type"] for parameter in told["params"]]
    assert associations(example) == {ACCOUNT: ROLE}


def test_an_association_that_vanished_is_made_again(run: Run, example: Account) -> None:
    [made] = run(**DRIVER, pod_identity_associations=own())["addon"]["pod_identity_associations"]
    example.eks.delete_pod_identity_association(clusterName="example", associationId=made["association_id"])
    assert run(**DRIVER, pod_identity_associations=own())["actions"] == ["update_addon"]
    assert associations(example) == {ACCOUNT: ROLE}


@pytest.mark.parametrize("check", [False, True])
def test_service_accounts_that_the_addon_does_not_have_are_refused_with_those_that_it_has(
    run: Run, example: Account, check: bool
) -> None:
    result = run(check=check, **DRIVER, pod_identity_associations=own(service_account="driver"))
    assert '"driver" in pod_identity_associations' in result["msg"]
    assert f"{ACCOUNT} can have an association" in result["msg"]
    without = run(check=check, **AGENT, pod_identity_associations=own())
    assert "takes no EKS Pod Identity association" in without["msg"]
    assert CREATE not in [*result["calls"], *without["calls"]]
    assert associations(example) == {}


@pytest.mark.parametrize("check", [False, True])
def test_an_association_of_somebody_else_is_named_and_left(run: Run, example: Account, check: bool) -> None:
    names = {"clusterName": "example", "namespace": "kube-system", "serviceAccount": ACCOUNT}
    theirs = example.eks.create_pod_identity_association(**names, roleArn=ROLE)["association"]["associationId"]
    for _state in ("new", "installed"):
        result = run(check=check, **DRIVER, pod_identity_associations=own())
        assert (
            f"kube-system/{ACCOUNT} has the association {theirs} already, which belongs to no add-on" in (result["msg"])
        )
        assert "eks_pod_identity_association with state=absent" in result["msg"]
        assert not {CREATE, UPDATE} & set(result["calls"])
        run(**DRIVER)
    assert associations(example) == {ACCOUNT: ROLE}


def test_an_association_that_others_make_meanwhile_is_named_too(
    run: Run, example: Account, aws_proxy: AwsProxy
) -> None:
    names = {"clusterName": "example", "namespace": "kube-system", "serviceAccount": ACCOUNT}
    make = functools.partial(example.eks.create_pod_identity_association, **names, roleArn=ROLE)
    aws_proxy.after("GET", "/pod-identity-associations", make)
    result = run(endpoint_url=aws_proxy.endpoint, **DRIVER, pod_identity_associations=own())
    assert "already, which belongs to no add-on" in result["msg"]
    assert result["error"]["code"] == "ResourceInUseException"


def test_a_role_that_eks_does_not_see_yet_is_waited_for(
    run: Run, example: Account, clients: dict[str, t.Any], aws_proxy: AwsProxy
) -> None:
    example.sandbox.knobs(iam_propagation_seconds=3)
    # A moment before the add-on is created.
    make = functools.partial(make_role, clients["iam"], "other", "pods.eks.amazonaws.com")
    aws_proxy.after("GET", "/pod-identity-associations", make)
    result = run(endpoint_url=aws_proxy.endpoint, **DRIVER, pod_identity_associations=own(OTHER_ROLE))
    assert result["calls"].count(CREATE) > 1
    assert associations(example) == {ACCOUNT: OTHER_ROLE}


def test_a_role_that_never_comes_is_told_with_what_it_needs(
    run: Run, example: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ensuring, "PROPAGATION_TIMEOUT", 0.2)
    result = run(**DRIVER, pod_identity_associations=own(OTHER_ROLE))
    assert f"after 0.2 seconds: {OTHER_ROLE} must exist" in result["msg"]
    assert result["error"]["code"] == "InvalidParameterException"
    assert associations(example) == {}


# --- failure states ---------------------------------------------------------------------------------------------------


def test_degraded_is_waited_for_until_it_is_active(run: Run, example: Account, aws_proxy: AwsProxy) -> None:
    agent = {"eks-pod-identity-agent": "DEGRADED"}
    example.sandbox.knobs(addon_outcomes=agent)
    run(**AGENT, wait=False)
    example.sandbox.knobs(addon_outcomes={})
    names = {"clusterName": "example", "addonName": "eks-pod-identity-agent"}
    until_degraded(example)
    # Somebody cures it while the module waits, after its first look.
    aws_proxy.after("GET", "/addons/", functools.partial(example.eks.update_addon, **names, addonVersion=DEFAULT))
    result = run(endpoint_url=aws_proxy.endpoint, **AGENT)
    assert (result["changed"], result["addon"]["status"]) == (False, "ACTIVE")


def until_degraded(account: Account) -> None:
    for _attempt in range(500):
        if stored(account)["status"] == "DEGRADED":
            return
    raise AssertionError(stored(account))


def test_a_wait_that_is_over_says_which_state_was_reached_and_why(run: Run, example: Account) -> None:
    broken = {"eks-pod-identity-agent": "InsufficientNumberOfReplicas"}
    example.sandbox.knobs(addon_outcomes={"eks-pod-identity-agent": "DEGRADED"}, addon_issues=broken)
    for _run in ("creating", "waiting"):
        result = run(**AGENT, wait_timeout=1)
        assert result["failed"]
        assert "Waited 1 seconds" in result["msg"]
        assert "DEGRADED (InsufficientNumberOfReplicas: " in result["msg"]
    assert result["steps"] == [DESCRIBE]


def test_a_creation_that_failed_says_why_and_the_next_run_repairs_it(run: Run, example: Account) -> None:
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


def test_a_failed_addon_that_eks_does_not_update_is_explained_and_not_deleted(run: Run, example: Account) -> None:
    example.sandbox.knobs(addon_outcomes={"eks-pod-identity-agent": "CREATE_FAILED"})
    run(**AGENT)
    refusal = {"operation": "UpdateAddon", "code": "InvalidRequestException", "message": "Not in CREATE_FAILED state."}
    example.sandbox.knobs(faults=[refusal])
    result = run(**AGENT)
    assert "is CREATE_FAILED (InsufficientNumberOfReplicas: " in result["msg"]
    assert "state=absent and preserve=true" in result["msg"]
    assert DELETE not in result["calls"]
    assert stored(example)["status"] == "CREATE_FAILED"


def test_an_update_that_failed_says_why_and_the_next_run_tries_again(run: Run, example: Account) -> None:
    others_create(example)
    issue = {"eks-pod-identity-agent": "AdmissionRequestDenied"}
    example.sandbox.knobs(addon_outcomes={"eks-pod-identity-agent": "UPDATE_FAILED"}, addon_issues=issue)
    result = run(**AGENT, version=LATEST)
    assert result["failed"]
    assert "Failed (AdmissionRequestDenied: " in result["msg"]
    example.sandbox.knobs(addon_outcomes={})
    again = run(**AGENT, version=LATEST)
    assert (again["changed"], again["addon"]["status"]) == (True, "ACTIVE")


def test_a_deletion_that_failed_says_why(run: Run, example: Account) -> None:
    proxy: dict[str, t.Any] = {"cluster_name": "example", "name": "kube-proxy"}
    run(**proxy)
    example.sandbox.knobs(addon_outcomes={"kube-proxy": "DELETE_FAILED"})
    result = run(**proxy, state="absent")
    assert "DELETE_FAILED (InternalFailure: " in result["msg"]
    present = run(**proxy)
    assert "delete it again with state=absent" in present["msg"]
    assert UPDATE not in present["calls"]


@pytest.mark.parametrize("code", ["ThrottlingException", "ServerException"])
def test_a_busy_service_is_asked_again(run: Run, example: Account, code: str) -> None:
    example.sandbox.knobs(faults=[{"operation": "DescribeAddon", "code": code, "calls": [1, 2]}])
    assert run(**AGENT)["addon"]["status"] == "ACTIVE"


def test_an_answer_that_is_no_permission_stays_as_it_is(run: Run, example: Account) -> None:
    message = "User is not authorized to perform: eks:CreateAddon"
    fault = {"operation": "CreateAddon", "code": "AccessDeniedException", "message": message, "status": 403}
    example.sandbox.knobs(faults=[fault])
    result = run(**AGENT)
    assert "eks:CreateAddon" in result["msg"]
    assert result["error"]["code"] == "AccessDeniedException"
    assert stored(example) == {}
