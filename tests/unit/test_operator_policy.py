# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The policy of whoever runs the playbooks: what it allows, that AWS knows it so, and what is said of wrong parameters.

That it is enough, and that nothing of it is too much, is what tests/playbooks/test_operator.py shows.
"""

from __future__ import annotations

import fnmatch
import itertools
import json
import typing as t

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.filter import pod_identity_operator_policy as plugin
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_operator_policy import pod_identity_operator_policy
from ansible_collections.podidentity.eks.plugins.plugin_utils import operator_policy
from ansible_collections.podidentity.eks.plugins.plugin_utils import policy_library
from ansible_collections.podidentity.eks.plugins.plugin_utils.operator_policy import CHAPTERS
from ansible_collections.podidentity.eks.plugins.plugin_utils.operator_policy import LEVELS
from support.environment import ROOT

Document = dict[str, t.Any]

FILE = ROOT / "docs" / "permissions" / "operator-policy.json"
DATA = json.loads(operator_policy.FILE.read_text(encoding="utf-8"))
#: By action, from the service authorization reference: its level, the kinds of resources and the condition keys that
#: it knows; ["*"] for a dozen of kinds and more.
REFERENCE = json.loads((ROOT / "tests" / "data" / "service-authorization.json").read_text(encoding="utf-8"))
#: The reference has no resource for it, and yet AWS asks about the cluster's ARN: so says its refusal in
#: https://github.com/cortexlabs/cortex/issues/1232.
ON_CLUSTERS = {"eks:CreateCluster"}
BOUNDARY = "arn:aws:iam::111122223333:policy/boundary"
#: What all parameters together may be like.
NARROW: dict[str, t.Any] = {
    "region": "eu-central-1",
    "cluster_names": ["shop-*"],
    "cluster_role_names": ["shop-*"],
    "role_names": ["shop/*"],
    "policy_arns": ["arn:aws:iam::111122223333:policy/shop-*"],
    "permissions_boundary": BOUNDARY,
    "assume_role_arns": ["arn:aws:iam::444455556666:role/deployment"],
}


def statements(*chapters: str, level: str = "remove", **parameters: t.Any) -> list[Document]:
    found: list[Document] = pod_identity_operator_policy(list(chapters), level=level, **parameters)["Statement"]
    return found


def grants(policy: t.Iterable[Document]) -> set[tuple[str, str, str]]:
    """Each action with each of its resources and its conditions."""
    return {
        (action, resource, json.dumps(one.get("Condition")))
        for one in policy
        for action in one["Action"]
        for resource in one["Resource"]
    }


# --- the files --------------------------------------------------------------------------------------------------------


def test_policy_file_matches_filter_output() -> None:
    assert json.loads(FILE.read_text(encoding="utf-8")) == pod_identity_operator_policy([])


def test_sandbox_operator_uses_policy_file() -> None:
    assert (ROOT / "sandbox" / "eks_sandbox" / "data" / "operator-policy.json").resolve() == FILE


def test_whole_policy_fits_one_managed_policy() -> None:
    for document in (pod_identity_operator_policy([]), pod_identity_operator_policy([], **NARROW)):
        assert policy_library.size(document) <= operator_policy.MANAGED_LIMIT


def test_data_file_covers_chapters_levels_and_parameters() -> None:
    granted = [grant for statement in DATA["statements"] for grant in statement["grants"]]
    assert {grant["level"] for grant in granted} == set(LEVELS)
    assert set(itertools.chain(*(grant.get("chapters", ()) for grant in granted))) == set(CHAPTERS)
    used = set(policy_library.PLACEHOLDER.findall(json.dumps(DATA["statements"]))) - {"partition"}
    assert used == set(DATA["parameters"])
    assert len({statement["Sid"] for statement in DATA["statements"]}) == len(DATA["statements"])


def test_documentation_lists_parameters_with_defaults() -> None:
    options = yaml.safe_load(plugin.DOCUMENTATION)["options"]
    assert options["_input"]["choices"] == list(CHAPTERS)
    assert (options["level"]["choices"], options["level"]["default"]) == (list(LEVELS), "remove")
    parameters = {name: (each["type"], each["default"]) for name, each in DATA["parameters"].items()}
    documented = {name: (each["type"], each.get("default")) for name, each in options.items()}
    assert documented == {
        **parameters,
        "_input": ("list", None),
        "level": ("str", "remove"),
        "partition": ("str", "aws"),
    }


# --- chapters and levels ----------------------------------------------------------------------------------------------


def test_all_chapters_are_union_of_each() -> None:
    assert grants(statements()) == set().union(*(grants(statements(chapter)) for chapter in CHAPTERS))
    assert statements() == statements(*reversed(CHAPTERS))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_level_includes_previous_levels(chapter: str) -> None:
    check, apply, remove = (grants(statements(chapter, level=level)) for level in LEVELS)
    assert set() < check <= apply <= remove


def test_check_level_only_reads() -> None:
    actions = {action for one in statements(level="check") for action in one["Action"]}
    assert {REFERENCE[action]["level"] for action in actions} == {"Read", "List"}


def test_apply_level_deletes_only_settings() -> None:
    actions = {action for one in statements(level="apply") for action in one["Action"]}
    # Settings of what stays, and the entry of a principal that was made anew, which is made anew as well.
    settings = {"eks:DeleteAccessEntry", "iam:DeleteRolePermissionsBoundary", "iam:DeleteRolePolicy"}
    assert {action for action in actions if ":Delete" in action or ":Release" in action} == settings


def test_single_chapter_may_be_text() -> None:
    assert pod_identity_operator_policy("agent") == pod_identity_operator_policy(["agent"])


# --- what AWS knows ---------------------------------------------------------------------------------------------------


def kinds(statement: Document, action: str) -> set[str]:
    """The kinds of resources that a statement holds for an action."""
    service = action.partition(":")[0].replace("sts", "iam")
    arns = [resource.split(":", 5) for resource in statement["Resource"] if resource.startswith("arn:")]
    return {parts[5].partition("/")[0] for parts in arns if parts[2] == service}


@pytest.mark.parametrize("parameters", [{}, NARROW], ids=["default", "narrow"])
def test_aws_supports_resources_and_conditions_of_actions(parameters: dict[str, t.Any]) -> None:
    for statement in statements(**parameters):
        keys = [key for conditions in statement.get("Condition", {}).values() for key in conditions]
        for action in set(statement["Action"]) - ON_CLUSTERS:
            known = REFERENCE[action]
            assert [key for key in keys if not any(fnmatch.fnmatch(key, each) for each in known["keys"])] == []
            held = kinds(statement, action)
            assert statement["Resource"] == ["*"] or "*" in held or held & set(known["resources"]), action


def test_only_read_actions_are_allowed_on_all_resources() -> None:
    [look] = [statement for statement in statements() if "*" in statement["Resource"]]
    assert {REFERENCE[action]["level"] for action in look["Action"]} == {"Read", "List"}


# --- parameters -------------------------------------------------------------------------------------------------------


def test_names_narrow_every_writing_statement() -> None:
    free = {
        "SecurityGroups",
        "ServiceLinkedRoles",
        "TagNetworks",
        "InstanceProfiles",
        "TryTemplates",
    }
    for statement in statements(**NARROW):
        narrowed = "shop" in json.dumps(statement) or statement["Sid"] == "AssumeRoles"
        assert narrowed or statement["Sid"] in {"Look", *free}
        assert not narrowed or statement["Sid"] not in free


def test_boundary_condition_guards_role_permission_actions() -> None:
    guarded = {action for action in REFERENCE if "iam:PermissionsBoundary" in REFERENCE[action]["keys"]}
    free = {"iam:DeleteRole", "iam:GetRole"}
    for statement in statements("cluster", "iam_role", "association", permissions_boundary=BOUNDARY):
        condition = statement.get("Condition", {}).get("StringEquals", {}).get("iam:PermissionsBoundary")
        wanted = [BOUNDARY] if guarded & set(statement["Action"]) and not free & set(statement["Action"]) else None
        assert condition == wanted, statement["Sid"]
        assert "iam:DeleteRolePermissionsBoundary" not in statement["Action"]


def test_partition_is_in_every_arn() -> None:
    text = json.dumps(pod_identity_operator_policy([], partition="aws-cn"))
    assert '"arn:aws:' not in text
    assert '"arn:aws-cn:' in text


def test_assume_role_is_allowed_only_for_declared_roles() -> None:
    assert not [one for one in statements() if one["Action"] == ["sts:AssumeRole"]]
    [enter] = [one for one in statements("inventory", **NARROW) if one["Action"] == ["sts:AssumeRole"]]
    assert enter["Resource"] == NARROW["assume_role_arns"]


@pytest.mark.parametrize(
    ("chapters", "parameters", "told"),
    [
        (["clusters"], {}, 'There is no chapter "clusters" (did you mean cluster?). There are: cluster, agent, '),
        (7, {}, "The chapters are 7: give a list of cluster, agent, "),
        (["agent"], {"level": "read"}, 'level is "read": give one of check, apply, remove.'),
        ([], {"cluster_names": "shop"}, 'cluster_names is "shop": give a list, such as ["shop-*"].'),
        ([], {"cluster_names": ["shop/one"]}, 'cluster_names holds "shop/one": give one such as "shop-*".'),
        ([], {"role_names": ["/shop"]}, 'role_names holds "/shop": give one such as "shop-*".'),
        ([], {"boundary": "x"}, "boundary is no parameter of it"),
        ([], {"permissions_boundary": "boundary"}, 'permissions_boundary holds "boundary": give one such as "arn:'),
        ([], {"assume_role_arns": ["x"]}, 'assume_role_arns holds "x": give one such as "arn:aws:iam::4444'),
        (
            [],
            {"cluster_names": [f"{n:>036}" for n in range(9)]},
            "IAM keeps in a managed policy: give fewer values, or divide",
        ),
    ],
)
def test_invalid_parameter_is_reported(chapters: t.Any, parameters: dict[str, t.Any], told: str) -> None:
    with pytest.raises(AnsibleFilterError) as raised:
        pod_identity_operator_policy(chapters, **parameters)
    assert told in str(raised.value)


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(AnsibleFilterError) as raised:
        pod_identity_operator_policy(["agents", "roles"], level="all")
    assert len(str(raised.value).splitlines()) == 3
