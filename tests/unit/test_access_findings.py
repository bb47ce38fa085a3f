# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is said about workloads, about trust that nobody uses, and about roles that clusters share."""

from __future__ import annotations

import copy
import itertools
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import Policy
from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import Role
from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import rank
from ansible_collections.podidentity.eks.plugins.module_utils._access.orphans import left_over
from ansible_collections.podidentity.eks.plugins.module_utils._access.permissions import may_assume
from ansible_collections.podidentity.eks.plugins.module_utils._access.permissions import wildcards
from ansible_collections.podidentity.eks.plugins.module_utils._access.reports import ReportError
from ansible_collections.podidentity.eks.plugins.module_utils._access.reports import over_clusters
from ansible_collections.podidentity.eks.plugins.module_utils._access.reports import summary
from hypothesis import given
from hypothesis import strategies as st
from support.access_reports import ACCOUNT
from support.access_reports import ACTIONS
from support.access_reports import OTHER_ACCOUNT
from support.access_reports import Report
from support.access_reports import access
from support.access_reports import allowing
from support.access_reports import cluster
from support.access_reports import condition
from support.access_reports import document
from support.access_reports import report
from support.access_reports import role
from support.access_reports import statement

CLUSTER = cluster()
OPEN = document(statement())
TARGET = f"arn:aws:iam::{ACCOUNT}:role/target"


def scoped(namespace: str = "shop", service_account: str = "reader") -> dict[str, t.Any]:
    return document(statement(condition(CLUSTER["arn"], namespace, service_account)))


def ids(item: Report) -> list[str]:
    return [finding["id"] for finding in item["findings"]]


def inline(*actions: str, resource: str = "*") -> Policy:
    return Policy(name="inline", document=allowing(*actions, resource=resource))


def target_trust_policy(source: Role, **conditions: str) -> dict[str, t.Any]:
    """The trust policy of a target role, by the account and the role's ARN."""
    tests: dict[str, t.Any] = {"ArnEquals": {"aws:PrincipalArn": source.arn}}
    if conditions:
        tests["StringEquals"] = conditions
    principal = {"AWS": f"arn:aws:iam::{source.account}:root"}
    return document({"Effect": "Allow", "Principal": principal, "Action": ACTIONS, "Condition": tests})


# --- one workload -----------------------------------------------------------------------------------------------------


def test_correct_workload_has_no_findings() -> None:
    item = access(CLUSTER, "shop", "reader", role("reader", scoped(), "AmazonS3ReadOnlyAccess"))
    assert (item["trust"]["scope"], item["findings"]) == ("workload", [])


def test_missing_roles_are_the_only_findings() -> None:
    gone = Role(arn=TARGET, exists=False)
    item = access(CLUSTER, "shop", "reader", gone, Role(arn=TARGET, exists=False))
    assert ids(item) == ["role_missing", "target_role_missing"]
    assert (item["role"]["readable"], item["role"]["exists"]) == (True, False)


def test_session_tags_off_is_found_only_where_it_is_the_cause() -> None:
    off: dict[str, t.Any] = {"disable_session_tags": True}
    assert ids(access(CLUSTER, "shop", "reader", role("app", scoped()), **off)) == ["session_tags_off"]
    assert ids(access(CLUSTER, "shop", "other", role("app", scoped()), **off)) == ["trust_refuses"]
    assert ids(access(CLUSTER, "shop", "other", role("app", scoped()))) == ["trust_refuses"]


def test_open_trust_is_warning_and_account_trust_is_info() -> None:
    account = document(statement({"StringEquals": {"aws:SourceAccount": ACCOUNT}}))
    found = [access(CLUSTER, "shop", "reader", role("app", trust))["findings"] for trust in (OPEN, account)]
    assert [(one["id"], one["severity"]) for [one] in found] == [("trust_open", "warning"), ("trust_account", "info")]


def test_findings_name_broken_link_to_target_role() -> None:
    source = role("source", scoped(), inline(*ACTIONS, resource=TARGET))
    good = role("target", target_trust_policy(source), "AmazonS3ReadOnlyAccess")
    assert ids(access(CLUSTER, "shop", "reader", source, good)) == []
    assert ids(access(CLUSTER, "shop", "reader", source, role("target", OPEN))) == ["target_trust_refuses"]
    weak = role("source", scoped(), inline("sts:AssumeRole", resource=TARGET))
    found = access(CLUSTER, "shop", "reader", weak, good)["findings"]
    assert [one["id"] for one in found] == ["target_permission_missing"]
    assert "allows sts:TagSession on" in found[0]["text"]
    untagged = access(
        CLUSTER, "shop", "reader", role("source", OPEN, weak.policies[0]), good, disable_session_tags=True
    )
    assert "target_permission_missing" not in ids(untagged), "without session tags there is nothing to pass on"
    external = role("target", target_trust_policy(source, **{"sts:ExternalId": "theirs"}))
    refused = access(CLUSTER, "shop", "reader", source, external, external_id="ours")["findings"]
    assert "asks for theirs, and EKS sends ours" in refused[0]["text"]
    assert "sts:ExternalId ours" in refused[0]["advice"]


def test_unread_role_is_unreadable_and_not_missing() -> None:
    away = Role(arn=f"arn:aws:iam::{OTHER_ACCOUNT}:role/target", note="it is elsewhere")
    unread = role("source", scoped(), Policy(name="inline"))
    assert ids(access(CLUSTER, "shop", "reader", unread, away)) == ["target_role_unreadable"]
    unlisted = role("source", scoped(), note="User is not authorized to perform: iam:ListRolePolicies")
    assert ids(access(CLUSTER, "shop", "reader", unlisted, away)) == ["role_unreadable", "target_role_unreadable"]
    hidden = access(CLUSTER, "shop", "reader", Role(arn=TARGET, note="not authorized"))
    assert (hidden["trust"], ids(hidden)) == ({"scope": "unknown", "reason": "not authorized"}, ["role_unreadable"])


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        (Policy(name="AdministratorAccess", arn="arn:aws-cn:iam::aws:policy/AdministratorAccess"), True),
        (Policy(name="AdministratorAccess", arn=f"arn:aws:iam::{ACCOUNT}:policy/AdministratorAccess"), False),
        (Policy(name="AdministratorAccess"), False),
        (inline("*"), True),
        (inline("*:*"), True),
        (inline("s3:*"), False),
        (inline("*", resource="arn:aws:s3:::one"), False),
        (Policy(name="most", document=document({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"})), True),
        (Policy(name="none", document=document({"Effect": "Deny", "Action": "*", "Resource": "*"})), False),
    ],
)
def test_wildcard_policy_is_recognised_by_arn_or_document(policy: Policy, wanted: bool) -> None:
    assert bool(wildcards(policy.name, policy.arn, policy.document)) is wanted


def test_boundary_or_session_policy_narrows_wildcard_policy() -> None:
    plain = access(CLUSTER, "shop", "reader", role("app", scoped(), inline("*")))["findings"]
    bounded = access(CLUSTER, "shop", "reader", role("app", scoped(), inline("*"), permissions_boundary="b"))[
        "findings"
    ]
    assert [(one["id"], one["severity"]) for one in (*plain, *bounded)] == [
        ("wildcard_permissions", "warning"),
        ("wildcard_permissions", "info"),
    ]
    narrowed: dict[str, t.Any] = {"policy": allowing("s3:GetObject"), "disable_session_tags": True}
    assert "wildcard_permissions" not in ids(
        access(CLUSTER, "shop", "reader", role("app", OPEN, inline("*")), **narrowed)
    )
    target = role("target", OPEN)
    source = role("app", OPEN, inline("*"))
    assert "wildcard_permissions" in ids(access(CLUSTER, "shop", "reader", source, target, **narrowed)), (
        "with a target role the session policy narrows only the session of that"
    )


ACTION_LISTS = st.lists(st.sampled_from(["sts:AssumeRole", "sts:TagSession", "sts:*", "*", "s3:GetObject"]), max_size=3)


@given(st.lists(st.tuples(ACTION_LISTS, st.sampled_from([TARGET, "*", "arn:aws:iam::*:role/t*", "x"])), max_size=4))
def test_additional_policy_never_removes_permission(given_policies: list[tuple[list[str], str]]) -> None:
    policies = [inline(*actions, resource=resource) for actions, resource in given_policies]
    lacking = [
        set(may_assume(role("app", OPEN, *policies[:number]), TARGET, ACTIONS)) for number in range(len(policies) + 1)
    ]
    assert lacking[0] == set(ACTIONS), "a role without policies may do nothing"
    assert all(after <= before for before, after in itertools.pairwise(lacking))


# --- trust that nobody uses -------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c"])
WORKLOADS = st.tuples(NAMES, NAMES, NAMES)


@given(st.sets(WORKLOADS, max_size=6), st.sets(WORKLOADS, max_size=6))
def test_trusted_but_unused_workloads_are_left_over(
    trusted: set[tuple[str, str, str]], used: set[tuple[str, str, str]]
) -> None:
    trusts = [(name, scoped(namespace, service_account)) for name, namespace, service_account in sorted(trusted)]
    found = left_over(trusts, CLUSTER["arn"], used)
    named = [(item["role_name"], item["namespace"], item["service_account"]) for item in found]
    assert named == sorted(trusted - used)
    assert left_over(trusts, cluster("another")["arn"], set()) == []


def test_cluster_wide_trust_is_left_over_if_role_is_unused() -> None:
    whole = [("app", document(statement({"ArnEquals": {"aws:SourceArn": CLUSTER["arn"]}})))]
    assert left_over(whole, CLUSTER["arn"], {("app", "any", "thing")}) == []
    [found] = left_over(whole, CLUSTER["arn"], {("other", "any", "thing")})
    assert (found["namespace"], found["service_account"]) == (None, None)
    by_pattern = [
        ("app", document(statement({"ArnLike": {"aws:SourceArn": "arn:aws:eks:*:*:cluster/*"}}))),
        ("x", OPEN),
    ]
    assert left_over(by_pattern, CLUSTER["arn"], set()) == [], "it may be meant for another cluster"


# --- over clusters ----------------------------------------------------------------------------------------------------


def fleet() -> list[Report]:
    shared, own = role("shared", OPEN), role("own", OPEN)
    north, south = cluster("north"), cluster("south", "eu-central-1")
    return [
        report(south, access(south, "b", "two", shared), access(south, "a", "one", own)),
        report(north, access(north, "a", "one", shared)),
        {"cluster": {"name": "closed"}, "failed": True, "msg": "No credentials."},
    ]


def test_role_shared_by_clusters_is_found() -> None:
    closed, north, south = over_clusters(fleet())
    assert (closed["error"], closed["access"]) == ("No credentials.", [])
    assert [item["service_account"] for item in south["access"]] == ["one", "two"]
    assert [ids(item) for item in (*north["access"], *south["access"])] == [
        ["trust_open", "role_shared"],
        ["trust_open"],
        ["trust_open", "role_shared"],
    ]
    assert "serves 2 namespaces: north/a, south/b" in north["access"][0]["findings"][1]["text"]


def test_clusters_of_same_name_show_region_and_account() -> None:
    shared = role("shared", OPEN)
    near, far = cluster("prod"), cluster("prod", "us-east-1")
    one, _two = over_clusters(
        [report(near, access(near, "a", "b", shared)), report(far, access(far, "a", "b", shared))]
    )
    told = one["access"][0]["findings"][1]["text"]
    assert f"prod (eu-west-1, {ACCOUNT})/a, prod (us-east-1, {ACCOUNT})/a" in told


@given(st.permutations(fleet()))
def test_over_clusters_ignores_order_and_is_idempotent(reports: list[Report]) -> None:
    before = copy.deepcopy(reports)
    found = over_clusters(reports)
    assert found == over_clusters(fleet()) == over_clusters(found)
    assert reports == before, "what is given stays as it is"
    severities = [rank(finding["severity"]) for finding in found[1]["access"][0]["findings"]]
    assert severities == sorted(severities)


def test_summary_counts_shared_finding_once() -> None:
    assert summary(over_clusters(fleet())) == {
        "clusters": 3,
        "unread_clusters": 1,
        "workloads": 3,
        "roles": 2,
        "findings": {"error": 0, "warning": 2, "info": 1},
    }


@pytest.mark.parametrize(
    ("given_reports", "told"),
    [
        ("text", "no list"),
        ([{}], "Item 1 of the list lacks cluster, access"),
        ([{"cluster": CLUSTER, "access": [{}]}], "lacks association_id"),
        ([{"failed": True, "msg": "No."}], "lacks cluster"),
        ([report(CLUSTER), 7], "Item 2 of the list lacks cluster, access"),
    ],
)
def test_invalid_report_is_named(given_reports: t.Any, told: str) -> None:
    with pytest.raises(ReportError, match=told):
        over_clusters(given_reports)
