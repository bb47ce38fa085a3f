# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The planner of add-ons: versions are chosen without surprises, and a plan reaches what is declared."""

from __future__ import annotations

import json
import sys
import typing as t

import pytest
import yaml
from ansible_collections.podidentity.eks.plugins.module_utils._eks.addon import declared
from ansible_collections.podidentity.eks.plugins.module_utils._eks.addon import ensuring
from ansible_collections.podidentity.eks.plugins.module_utils._eks.addon import examining
from ansible_collections.podidentity.eks.plugins.module_utils._eks.addon import planning
from ansible_collections.podidentity.eks.plugins.module_utils._eks.addon import results
from ansible_collections.podidentity.eks.plugins.module_utils._eks.addon import schema
from ansible_collections.podidentity.eks.plugins.module_utils._eks.addon import versions
from ansible_collections.podidentity.eks.plugins.module_utils._eks.addon.calls import Configuration
from ansible_collections.podidentity.eks.plugins.module_utils._eks.addon.declared import AddonSpec
from ansible_collections.podidentity.eks.plugins.module_utils._eks.addon.versions import Offer
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association.objects import Association
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
#: Service account -> role.
IDENTITIES = st.dictionaries(st.sampled_from(["controller", "node"]), st.sampled_from(ROLES))
PREFIX = "arn:aws:eks:eu-west-1:111122223333:podidentityassociation/example/a-"
TAGS = st.dictionaries(st.sampled_from(["team", "cost"]), st.sampled_from(["x", "y"]))


def addon_spec(**changes: t.Any) -> AddonSpec:
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
        "identities": draw(IDENTITIES),
    }


@st.composite
def specs(draw: st.DrawFn) -> AddonSpec:
    return addon_spec(
        present=draw(st.sampled_from([True, True, True, False])),
        configuration=draw(st.none() | st.sampled_from(CONFIGURATIONS)),
        service_account_role_arn=draw(st.none() | st.sampled_from([*ROLES, ""])),
        pod_identity_associations=draw(st.none() | IDENTITIES.map(declared_identities)),
        namespace=draw(st.sampled_from([None, "kube-system"])),
        resolve_conflicts=draw(st.sampled_from([None, "none", "overwrite", "preserve"])),
        preserve=draw(st.booleans()),
        tags=draw(st.none() | TAGS),
        purge_tags=draw(st.booleans()),
    )


def declared_identities(roles: dict[str, str]) -> list[dict[str, str]]:
    return [{"service_account": account, "role_arn": role} for account, role in roles.items()]


def identities_of(parameters: dict[str, t.Any], before: dict[str, str]) -> dict[str, str]:
    """What an update makes of an add-on's associations: not named, they stay, and named, they replace all."""
    named = parameters.pop("podIdentityAssociations", None)
    return before if named is None else {one["serviceAccount"]: one["roleArn"] for one in named}


def apply_plan(addon: dict[str, t.Any] | None, change: Change) -> dict[str, t.Any] | None:
    """What EKS would hold after the calls of a plan. An update forgets what it is not told, as EKS may do."""
    for call in change.actions:
        parameters = {key: value for key, value in call.parameters.items() if key != "resolveConflicts"}
        if call.operation == "create_addon":
            assert addon is None, "EKS would answer 409"
            assert call.parameters.get("resolveConflicts") != "PRESERVE", "EKS would refuse it"
            identities = identities_of(parameters, {})
            addon = {**parameters, "identities": identities, "addonArn": ARN, "status": "ACTIVE"}
        elif call.operation == "delete_addon":
            assert addon is not None
            addon = None
        elif call.operation == "update_addon":
            assert addon is not None
            assert parameters.get("serviceAccountRoleArn") != "", "botocore would refuse it"
            kept: dict[str, t.Any] = {
                key: addon[key] for key in ("addonArn", "tags", "namespaceConfig") if key in addon
            }
            identities = identities_of(parameters, addon["identities"])
            addon = {**kept, **parameters, "identities": identities, "status": "ACTIVE"}
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


def rendered(addon: dict[str, t.Any] | None) -> dict[str, t.Any] | None:
    if addon is None:
        return None
    described = [
        Association(
            cluster_name="example",
            namespace="kube-system",
            service_account=account,
            association_arn=f"{PREFIX}{account}",
            role_arn=role,
        )
        for account, role in addon["identities"].items()
    ]
    return results.normalized(
        {**addon, "podIdentityAssociations": [one.association_arn for one in described]}, described
    )


def roles_of(addon: dict[str, t.Any]) -> dict[str, str]:
    return {one["service_account"]: one["role_arn"] for one in addon["pod_identity_associations"]}


ROLE = "service_account_role_arn"


@given(st.none() | addons(), specs(), st.none() | st.sampled_from(VERSIONS))
def test_applied_plan_reaches_spec_and_second_plan_is_empty(
    before: dict[str, t.Any] | None, spec: AddonSpec, version: str | None
) -> None:
    change = planning.plan(rendered(before), spec, version)
    after = apply_plan(before, change)
    if not spec.present:
        assert after is None
        return
    shown = rendered(after)
    assert shown is not None
    wanted = {
        "version": version,
        "configuration": spec.configuration,
        "service_account_role_arn": spec.service_account_role_arn,
    }
    left = rendered(before) or dict.fromkeys(wanted) | {"configuration": {}, "pod_identity_associations": []}
    expected = {key: left[key] if value is None else value for key, value in wanted.items()}
    assert {key: shown[key] for key in wanted} == {**expected, "service_account_role_arn": expected[ROLE] or None}
    identities = spec.pod_identity_associations
    assert roles_of(shown) == (
        roles_of(left) if identities is None else {one["service_account"]: one["role_arn"] for one in identities}
    )
    assert spec.tags is None or spec.tags.items() <= shown["tags"].items()
    assert not planning.plan(shown, spec, version).changed


@given(st.none() | addons(), specs(), st.none() | st.sampled_from(VERSIONS))
def test_plan_predicts_result_without_redundant_calls(
    before: dict[str, t.Any] | None, spec: AddonSpec, version: str | None
) -> None:
    change = planning.plan(rendered(before), spec, version)
    real = rendered(apply_plan(before, change))
    if real and before is None:
        real["arn"] = None
    for one in real["pod_identity_associations"] if real else ():
        if one["service_account"] not in (before or {}).get("identities", {}):
            one["association_id"] = one["association_arn"] = None
    assert change.after == real
    operations = [call.operation for call in change.actions]
    assert len(operations) == len(set(operations))
    if before and spec.present:
        assert bool(operations) == (change.before != change.after)


def test_reordered_yaml_configuration_is_no_difference() -> None:
    text = "resources:\n  limits: {memory: 64Mi, cpu: 50m}\nreplicas: 2\n"
    declared = {"replicas": 2, "resources": {"limits": {"cpu": "50m", "memory": "64Mi"}}}
    before = results.normalized(
        {"clusterName": "e", "addonName": "a", "status": "ACTIVE", "addonArn": ARN, "configurationValues": text}
    )
    assert not planning.plan(before, addon_spec(configuration=declared)).changed


def test_plan_updates_create_failed_addon_without_drift() -> None:
    before = results.normalized({"clusterName": "e", "addonName": "a", "status": "CREATE_FAILED", "addonArn": ARN})
    change = planning.plan(before, addon_spec())
    assert [call.operation for call in change.actions] == ["update_addon"]


def test_deleting_addon_is_not_deleted_again() -> None:
    before = results.normalized({"clusterName": "e", "addonName": "a", "status": "DELETING", "addonArn": ARN})
    assert not planning.plan(before, addon_spec(present=False)).changed


def test_versions_sort_by_number() -> None:
    assert sorted(reversed(VERSIONS), key=versions.version_key) == VERSIONS


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
        ("keep", None, VERSIONS[2], False),
        ("v1.2", None, VERSIONS[3], False),
        ("v1.2.9", None, VERSIONS[1], False),
        ("v1", VERSIONS[1], VERSIONS[4], False),
        ("v1.2", VERSIONS[1], VERSIONS[3], False),
        ("v1.2", "v1.2.11-eksbuild.1", "v1.2.11-eksbuild.1", True),
        ("v1.2", VERSIONS[4], VERSIONS[3], True),
    ],
)
def test_choose_picks_version_and_warns_about_downgrade(
    declared: str | None, installed: str | None, chosen: str, warns: bool
) -> None:
    choice = versions.choose(addon_spec(version=declared), FITTING, "1.34", installed)
    assert choice.version == chosen
    assert bool(choice.warning) == warns


@pytest.mark.parametrize(("version", "declared", "meant"), [("v1.30.0", "v1.3", False), ("v1.3-x", "v1.3", True)])
def test_version_prefix_matches_whole_numbers(version: str, declared: str, meant: bool) -> None:
    assert versions.is_meant(version, declared) is meant


@given(
    st.sampled_from([None, "default", "latest", "keep", "v1"]),
    st.sampled_from([None, *VERSIONS]),
    st.permutations(FITTING),
)
def test_default_latest_keep_and_major_never_downgrade(
    declared: str | None, installed: str | None, offers: list[Offer]
) -> None:
    choice = versions.choose(addon_spec(version=declared), offers, "1.34", installed)
    assert choice.version is not None
    assert installed is None or versions.version_key(choice.version) >= versions.version_key(installed)


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("v1.2.11-eksbuild.1", ["does not exist", *VERSIONS[1:], f"default means {VERSIONS[2]}"]),
        ("v9.0.0-eksbuild.1", ["does not exist", VERSIONS[4], f"latest means {VERSIONS[4]}"]),
        (VERSIONS[0], ["does not fit Kubernetes 1.34 (it fits 1.33)", VERSIONS[1]]),
        ("v1.0", ["does not fit Kubernetes 1.34 (it fits 1.33)", VERSIONS[1]]),
        ("v1.3", ["does not exist", VERSIONS[3], VERSIONS[4]]),
    ],
)
def test_unavailable_version_problem_names_nearest_ones(version: str, says: list[str]) -> None:
    (problem,) = versions.version_problems(addon_spec(version=version), FITTING, OFFERS, "1.34")
    assert [part for part in says if part not in problem] == []
    assert problem.endswith(".")


@pytest.mark.parametrize("version", [VERSIONS[3], "v1.2"])
def test_compatible_version_has_no_problems(version: str) -> None:
    assert list(versions.version_problems(addon_spec(version=version), FITTING, OFFERS, "1.34")) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cluster_name": "a/b"}, "cluster_name"),
        ({"name": ""}, "name"),
        ({"name": "agent?x=1"}, "name"),
        ({"version": "newest"}, "version"),
        ({"version": ""}, "version"),
        ({"service_account_role_arn": "role"}, "service_account_role_arn"),
        ({"namespace": "Kube_System"}, "namespace"),
        ({"pod_identity_associations": declared_identities({"Controller": ROLES[0]})}, '"Controller"'),
        ({"pod_identity_associations": declared_identities({"controller": "role"})}, "service account controller"),
        ({"pod_identity_associations": declared_identities({"node": ROLES[0]}) * 2}, '"node" is 2 times'),
        ({"tags": {"aws:x": "y"}}, "reserved"),
    ],
)
def test_invalid_spec_is_one_problem(changes: dict[str, t.Any], says: str) -> None:
    (problem,) = declared.problems(addon_spec(**changes))
    assert says in problem
    assert problem.endswith(".")


def test_non_mapping_configuration_raises_module_error() -> None:
    with pytest.raises(AnsibleEKSError, match="mapping"):
        results.configuration_of({"addonName": "agent", "configurationValues": "just text"})


# --- what EKS would refuse --------------------------------------------------------------------------------------------

SCHEMA: dict[str, t.Any] = {
    "$schema": "http://json-schema.org/draft-06/schema#",
    "$ref": "#/definitions/Driver",
    "definitions": {
        "Driver": {
            "type": "object",
            "additionalProperties": False,
            "required": ["controller"],
            "properties": {
                "controller": {"$ref": "#/definitions/Controller"},
                "mode": {"enum": ["fast", "slow"]},
                "tolerations": {"type": ["array", "null"]},
                "size": {"anyOf": [{"type": "integer", "minimum": 1}, {"enum": ["auto"]}]},
            },
        },
        "Controller": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"replicaCount": {"type": "integer", "minimum": 1}},
        },
    },
}


@pytest.mark.parametrize(
    ("configuration", "says"),
    [
        ({"controller": {"replicaCount": 2}, "tolerations": None, "size": 3}, []),
        ({}, ["configuration of X lacks controller: set what is required."]),
        (
            {"controller": {"replicas": 2}},
            ["configuration.controller.replicas of X is no option of it: did you mean replicaCount?"],
        ),
        (
            {"controller": {}, "colour": "blue"},
            ["configuration.colour of X is no option of it: known there are controller, mode, size, tolerations."],
        ),
        (
            {"controller": [], "mode": "Fast", "tolerations": {}},
            [
                "configuration.controller of X is a list: it must be a mapping.",
                'configuration.mode of X is "Fast": it must be one of "fast", "slow".',
                "configuration.tolerations of X is a mapping: it must be a list or null.",
            ],
        ),
        (
            {"controller": {"replicaCount": "2"}},
            ['configuration.controller.replicaCount of X is "2": it must be a whole number.'],
        ),
        (
            {"controller": {"replicaCount": 0}},
            ["configuration.controller.replicaCount of X cannot be right: 0 is less than the minimum of 1."],
        ),
    ],
)
def test_schema_problems_are_reported_together_with_paths(configuration: dict[str, t.Any], says: list[str]) -> None:
    assert schema.problems(configuration, SCHEMA, "X") == says


def test_any_of_violation_is_one_problem() -> None:
    (problem,) = schema.problems({"controller": {}, "size": 0}, SCHEMA, "X")
    assert problem.startswith("configuration.size of X ")


@pytest.mark.parametrize(("dialect", "count"), [("http://json-schema.org/draft-04/schema#", 1), (None, 0)])
def test_schema_dialect_is_taken_from_schema(dialect: str | None, count: int) -> None:
    """Draft 4 has no const and draft 2020-12 no boolean exclusiveMaximum."""
    document = {"properties": {"a": {"maximum": 1, "exclusiveMaximum": True}}}
    if dialect is None:
        document = {"properties": {"a": {"maximum": 1}}}
    found = schema.problems({"a": 1}, {**document, **({"$schema": dialect} if dialect else {})}, "X")
    assert len(found) == count


@pytest.mark.parametrize(
    "broken", [{"type": "colour"}, {"$ref": "#/definitions/none"}, {"patternProperties": {"(": {}}}, {"required": 1}]
)
def test_unreadable_schema_raises_value_error(broken: dict[str, t.Any]) -> None:
    with pytest.raises(ValueError, match="X cannot be read"):
        schema.problems({"a": 1}, broken, "X")


def test_missing_jsonschema_is_reported_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(AnsibleEKSError, match=r"Failed to import the required Python library \(jsonschema\)"):
        schema.problems({}, SCHEMA, "X")


@pytest.mark.parametrize(
    ("accounts", "says"),
    [
        ({"controller": []}, []),
        ({"node": [], "webhook": []}, ['"controller"', "node, webhook can have"]),
        ({}, ["name controller", "version v1 of it takes no"]),
    ],
)
def test_unsupported_service_account_problem_lists_supported(accounts: dict[str, list[str]], says: list[str]) -> None:
    spec = addon_spec(pod_identity_associations=declared_identities({"controller": ROLES[0]}))
    found = examining.unsupported(spec, Configuration(version="v1", schema=None, service_accounts=accounts))
    assert len(found) == bool(says)
    assert [part for part in says if part not in found[0]] == []


@pytest.mark.parametrize(
    ("owner", "says"),
    [
        (None, ["belongs to no add-on", "delete it (eks_pod_identity_association with state=absent)"]),
        (ARN.replace("agent", "other"), ["belongs to add-on other", "take it out of that add-on's"]),
    ],
)
def test_conflicting_association_names_owner_and_remedy(owner: str | None, says: list[str]) -> None:
    association = Association(
        cluster_name="example", namespace="n", service_account="s", association_id="a-1", owner_arn=owner
    )
    sentence = examining.in_the_way(addon_spec(), association)
    assert [part for part in ["n/s has the association a-1 already", *says] if part not in sentence] == []


def test_namespace_cannot_change() -> None:
    before = results.normalized(
        {"clusterName": "e", "addonName": "a", "status": "ACTIVE", "namespaceConfig": {"namespace": "old"}}
    )
    spec = addon_spec(namespace="new")
    (problem,) = ensuring.obstacles(before, spec, Change(before, before), check_mode=True)
    assert '"old" and cannot become "new"' in problem
