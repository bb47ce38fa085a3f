# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The planner of add-ons: versions are chosen without surprises, and a plan reaches what is declared."""

from __future__ import annotations

import json
import typing as t

import pytest
import yaml
from ansible_collections.podidentity.eks.plugins.module_utils._eks import addon as subject
from ansible_collections.podidentity.eks.plugins.module_utils._eks.addon import AddonSpec
from ansible_collections.podidentity.eks.plugins.module_utils._eks.addon import Offer
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSError
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import Change
from hypothesis import given
from hypothesis import strategies as st

ARN = "arn:aws:eks:eu-west-1:111122223333:addon/example/agent/1"
ROLES = ["arn:aws:iam::111122223333:role/a", "arn:aws:iam::111122223333:role/b"]
VERSIONS = ["v1.0.0-eksbuild.1", "v1.2.9-eksbuild.1", "v1.2.10-eksbuild.1", "v1.2.10-eksbuild.12", "v1.10.0-eksbuild.2"]
CONFIGURATIONS: list[dict[str, t.Any]] = [{}, {"agent": {"additionalArgs": {"-b": "169.254.170.23"}}}, {"replicas": 2}]
OFFERS = [
    Offer(
        version=version,
        fits=frozenset({"1.33", "1.34"} if number else {"1.33"}),
        default_for=frozenset({"1.34"} if number == 2 else ()),
    )
    for number, version in enumerate(VERSIONS)
]
FITTING = [offer for offer in OFFERS if "1.34" in offer.fits]
TAGS = st.dictionaries(st.sampled_from(["team", "cost"]), st.sampled_from(["x", "y"]))


def a_spec(**changes: t.Any) -> AddonSpec:
    return AddonSpec(**{"cluster_name": "example", "name": "eks-pod-identity-agent", **changes})


@st.composite
def addons(draw: st.DrawFn) -> dict[str, t.Any]:
    """What DescribeAddon answers."""
    configuration = draw(st.sampled_from(CONFIGURATIONS))
    as_json, as_yaml = json.dumps(configuration), yaml.safe_dump(configuration)
    return {
        "clusterName": "example",
        "addonName": "eks-pod-identity-agent",
        "addonArn": ARN,
        "addonVersion": draw(st.sampled_from(VERSIONS)),
        "status": draw(st.sampled_from(["ACTIVE", "DEGRADED", "CREATE_FAILED", "UPDATE_FAILED"])),
        "health": {"issues": []},
        "tags": draw(TAGS),
        **draw(st.sampled_from([{}, {"configurationValues": as_json}, {"configurationValues": as_yaml}])),
        **draw(st.sampled_from([{}, {"serviceAccountRoleArn": ROLES[0]}])),
    }


@st.composite
def specs(draw: st.DrawFn) -> AddonSpec:
    return a_spec(
        present=draw(st.sampled_from([True, True, True, False])),
        configuration=draw(st.none() | st.sampled_from(CONFIGURATIONS)),
        service_account_role_arn=draw(st.none() | st.sampled_from(ROLES)),
        resolve_conflicts=draw(st.sampled_from([None, "none", "overwrite", "preserve"])),
        preserve=draw(st.booleans()),
        tags=draw(st.none() | TAGS),
        purge_tags=draw(st.booleans()),
    )


def carried_out(addon: dict[str, t.Any] | None, change: Change) -> dict[str, t.Any] | None:
    """What EKS would hold after the calls of a plan. An update forgets what it is not told, as EKS may do."""
    for call in change.actions:
        parameters = {key: value for key, value in call.parameters.items() if key != "resolveConflicts"}
        if call.operation == "create_addon":
            assert addon is None, "EKS would answer 409"
            addon = {**parameters, "addonArn": ARN, "status": "ACTIVE"}
        elif call.operation == "delete_addon":
            assert addon is not None
            addon = None
        elif call.operation == "update_addon":
            assert addon is not None
            kept: dict[str, t.Any] = {key: addon[key] for key in ("addonArn", "tags") if key in addon}
            addon = {**kept, **parameters, "status": "ACTIVE"}
        else:
            assert addon is not None
            addon = {**addon, "tags": tagged(addon.get("tags", {}), call.operation, parameters)}
    return addon


def tagged(tags: dict[str, str], operation: str, parameters: dict[str, t.Any]) -> dict[str, str]:
    assert parameters["resourceArn"] == ARN
    if operation == "tag_resource":
        return {**tags, **parameters["tags"]}
    assert operation == "untag_resource"
    return {key: value for key, value in tags.items() if key not in parameters["tagKeys"]}


def visible(addon: dict[str, t.Any] | None) -> dict[str, t.Any] | None:
    return None if addon is None else subject.normalized(addon)


@given(st.none() | addons(), specs(), st.none() | st.sampled_from(VERSIONS))
def test_carrying_out_a_plan_reaches_what_is_declared_and_a_second_plan_is_empty(
    before: dict[str, t.Any] | None, spec: AddonSpec, version: str | None
) -> None:
    change = subject.plan(visible(before), spec, version)
    after = carried_out(before, change)
    if not spec.present:
        assert after is None
        return
    assert after is not None
    shown = subject.normalized(after)
    wanted = {
        "version": version,
        "configuration": spec.configuration,
        "service_account_role_arn": spec.service_account_role_arn,
    }
    left = visible(before) or dict.fromkeys(wanted) | {"configuration": {}}
    assert {key: shown[key] for key in wanted} == {
        key: left[key] if value is None else value for key, value in wanted.items()
    }
    assert spec.tags is None or spec.tags.items() <= shown["tags"].items()
    assert not subject.plan(shown, spec, version).changed


@given(st.none() | addons(), specs(), st.none() | st.sampled_from(VERSIONS))
def test_a_plan_predicts_what_there_will_be_and_has_no_call_too_many(
    before: dict[str, t.Any] | None, spec: AddonSpec, version: str | None
) -> None:
    change = subject.plan(visible(before), spec, version)
    real = visible(carried_out(before, change))
    if real and before is None:
        real["arn"] = None
    assert change.after == real
    operations = [call.operation for call in change.actions]
    assert len(operations) == len(set(operations))
    if before and spec.present:
        assert bool(operations) == (change.before != change.after)


def test_a_configuration_written_as_yaml_in_another_order_is_no_difference() -> None:
    text = "resources:\n  limits: {memory: 64Mi, cpu: 50m}\nreplicas: 2\n"
    declared = {"replicas": 2, "resources": {"limits": {"cpu": "50m", "memory": "64Mi"}}}
    before = subject.normalized(
        {"clusterName": "e", "addonName": "a", "status": "ACTIVE", "addonArn": ARN, "configurationValues": text}
    )
    assert not subject.plan(before, a_spec(configuration=declared)).changed


def test_an_addon_whose_creation_failed_is_updated_even_if_nothing_differs() -> None:
    before = subject.normalized({"clusterName": "e", "addonName": "a", "status": "CREATE_FAILED", "addonArn": ARN})
    change = subject.plan(before, a_spec())
    assert [call.operation for call in change.actions] == ["update_addon"]


def test_a_deletion_in_progress_is_not_ordered_again() -> None:
    before = subject.normalized({"clusterName": "e", "addonName": "a", "status": "DELETING", "addonArn": ARN})
    assert not subject.plan(before, a_spec(present=False)).changed


def test_versions_are_sorted_by_their_numbers() -> None:
    assert sorted(reversed(VERSIONS), key=subject.version_key) == VERSIONS


@pytest.mark.parametrize(
    ("declared", "installed", "chosen", "warns"),
    [
        (None, None, VERSIONS[2], False),
        ("default", None, VERSIONS[2], False),
        ("latest", None, VERSIONS[4], False),
        ("default", VERSIONS[1], VERSIONS[2], False),
        ("default", VERSIONS[3], VERSIONS[3], True),
        ("latest", VERSIONS[3], VERSIONS[4], False),
        ("latest", "v2.0.0-eksbuild.1", "v2.0.0-eksbuild.1", True),
        (VERSIONS[3], VERSIONS[1], VERSIONS[3], False),
        (VERSIONS[1], VERSIONS[3], VERSIONS[1], True),
    ],
)
def test_a_version_is_chosen_and_no_downgrade_is_silent(
    declared: str | None, installed: str | None, chosen: str, warns: bool
) -> None:
    choice = subject.choose(a_spec(version=declared), FITTING, "1.34", installed)
    assert choice.version == chosen
    assert bool(choice.warning) == warns


@given(st.sampled_from([None, "default", "latest"]), st.sampled_from([None, *VERSIONS]), st.permutations(FITTING))
def test_default_and_latest_never_lead_to_an_older_version(
    declared: str | None, installed: str | None, offers: list[Offer]
) -> None:
    choice = subject.choose(a_spec(version=declared), offers, "1.34", installed)
    assert choice.version is not None
    assert installed is None or subject.version_key(choice.version) >= subject.version_key(installed)


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("v1.2.11-eksbuild.1", ["does not exist", *VERSIONS[1:], f"default means {VERSIONS[2]}"]),
        ("v9.0.0-eksbuild.1", ["does not exist", VERSIONS[4], f"latest means {VERSIONS[4]}"]),
        (VERSIONS[0], ["does not fit Kubernetes 1.34 (it fits 1.33)", VERSIONS[1]]),
    ],
)
def test_a_version_that_cannot_be_is_one_sentence_with_the_nearest_that_can(version: str, says: list[str]) -> None:
    (problem,) = subject.version_problems(a_spec(version=version), FITTING, OFFERS, "1.34")
    assert [part for part in says if part not in problem] == []
    assert problem.endswith(".")


def test_a_version_that_fits_is_no_problem() -> None:
    assert list(subject.version_problems(a_spec(version=VERSIONS[3]), FITTING, OFFERS, "1.34")) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cluster_name": "a/b"}, "cluster_name"),
        ({"name": ""}, "name"),
        ({"name": "agent?x=1"}, "name"),
        ({"version": "newest"}, "version"),
        ({"version": ""}, "version"),
        ({"service_account_role_arn": "role"}, "service_account_role_arn"),
        ({"tags": {"aws:x": "y"}}, "reserved"),
    ],
)
def test_what_cannot_be_right_is_one_sentence(changes: dict[str, t.Any], says: str) -> None:
    (problem,) = subject.problems(a_spec(**changes))
    assert says in problem
    assert problem.endswith(".")


def test_a_configuration_that_is_no_mapping_is_an_error_of_ours_not_a_traceback() -> None:
    with pytest.raises(AnsibleEKSError, match="mapping"):
        subject.configuration_of({"addonName": "agent", "configurationValues": "just text"})
