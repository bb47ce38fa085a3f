# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far a trust policy goes: from one workload to everybody, and never narrower than it is."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._access.scope import WIDTHS
from ansible_collections.podidentity.eks.plugins.module_utils._access.scope import statement_scope
from ansible_collections.podidentity.eks.plugins.module_utils._access.scope import trust_scope
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import explain_refusal
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import session_context
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Subject
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import trust_statement
from ansible_collections.podidentity.eks.plugins.module_utils._workload.cluster import Cluster
from hypothesis import given
from hypothesis import strategies as st
from support.access_reports import ACCOUNT
from support.access_reports import cluster
from support.access_reports import condition
from support.access_reports import document
from support.access_reports import statement

ARN = cluster()["arn"]
TAGGED = session_context(ARN, "shop", "reader", True)
UNTAGGED = session_context(ARN, "shop", "reader", False)
NAMESPACE, SERVICE_ACCOUNT = (f"aws:RequestTag/kubernetes-{name}" for name in ("namespace", "service-account"))

#: Conditions, and how far a statement with them goes.
CASES: list[tuple[dict[str, t.Any] | None, str]] = [
    (None, "open"),
    (condition(ARN, "shop", "reader"), "workload"),
    (
        {"ArnLike": {"aws:SourceArn": [ARN, ARN.replace("example", "b")]}, "StringEquals": {NAMESPACE: "shop"}},
        "cluster",
    ),
    ({"StringEquals": {"aws:RequestTag/eks-cluster-name": "example"}}, "cluster"),
    ({"stringequals": {"AWS:SOURCEARN": ARN}}, "cluster"),
    ({"StringEquals": {NAMESPACE: "shop", SERVICE_ACCOUNT: "reader"}}, "account"),
    ({"StringEquals": {"aws:SourceAccount": ACCOUNT}}, "account"),
    ({"StringEquals": {"aws:SourceOrgId": "o-abcdefghij"}}, "account"),
    ({"ArnLike": {"aws:SourceArn": f"arn:aws:eks:*:{ACCOUNT}:cluster/*"}}, "account"),
    ({"ArnLike": {"aws:SourceArn": "arn:aws:eks:*:*:cluster/*"}}, "open"),
    ({"StringLike": {NAMESPACE: "*", SERVICE_ACCOUNT: "*", "aws:SourceArn": "*"}}, "open"),
    ({"StringNotEquals": {"aws:SourceAccount": "000000000000"}}, "open"),
    ({"ForAllValues:StringEquals": {"aws:SourceAccount": ACCOUNT}}, "open"),
    ({"ForAnyValue:StringEquals": {"aws:SourceAccount": ACCOUNT}}, "account"),
    # EKS always sends the source, but an association can switch the session tags off.
    ({"ArnEqualsIfExists": {"aws:SourceArn": ARN}}, "cluster"),
    (
        {"StringEqualsIfExists": {NAMESPACE: "shop", SERVICE_ACCOUNT: "reader"}, "ArnEquals": {"aws:SourceArn": ARN}},
        "cluster",
    ),
]


@pytest.mark.parametrize(("conditions", "wanted"), CASES, ids=[str(number) for number in range(len(CASES))])
def test_conditions_determine_scope(conditions: dict[str, t.Any] | None, wanted: str) -> None:
    found = trust_scope(document(statement(conditions)), TAGGED)
    assert found.scope == wanted, found.reason


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [({}, "workload"), ({"session_tags": False}, "cluster"), ({"scoped": False}, "open")],
    ids=["scoped", "without session tags", "open"],
)
def test_generated_statement_has_expected_scope(settings: dict[str, bool], wanted: str) -> None:
    subject = Subject(Cluster.from_arn(ARN), "shop", "reader")
    trust = document(trust_statement(subject, **settings))
    context = UNTAGGED if settings.get("session_tags") is False else TAGGED
    assert trust_scope(trust, context).scope == wanted


def test_widest_matching_statement_determines_scope() -> None:
    own, other = statement(condition(ARN, "shop", "reader")), statement(condition(ARN, "shop", "other"))
    assert trust_scope(document(own, other), TAGGED).scope == "workload"
    assert trust_scope(document(own, statement()), TAGGED).scope == "open"
    only_tagging = statement(None, Action="sts:TagSession")
    assert trust_scope(document(own, only_tagging), TAGGED).scope == "workload", "it assumes nothing"


def test_refusing_trust_policy_gives_reason() -> None:
    found = trust_scope(document(statement(condition(ARN, "shop", "other"))), TAGGED)
    assert (found.scope, "asks for other, and EKS sends reader" in found.reason) == ("none", True)
    tags_off = trust_scope(document(statement(condition(ARN, "shop", "reader"))), UNTAGGED)
    assert (tags_off.scope, "session tags disabled" in tags_off.reason) == ("none", True)


def test_deny_statement_is_mentioned_but_not_evaluated() -> None:
    denying = {"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole"}
    found = trust_scope(document(statement(), denying), TAGGED)
    assert found.scope == "open" and "a Deny in it" in found.reason


OPERATORS = st.sampled_from(
    ["StringEquals", "StringLike", "ArnLike", "ArnEquals", "StringEqualsIfExists", "StringNotEquals", "Bool", "junk"]
)
KEYS = st.sampled_from(
    [*TAGGED, NAMESPACE, "aws:SourceOrgID", "aws:RequestTag/kubernetes-pod-name", "aws:PrincipalOrgID", "junk"]
)
VALUES = st.sampled_from([*TAGGED.values(), "*", "shop*", "o-abcdefghij", f"arn:aws:eks:*:{ACCOUNT}:cluster/*", ""])
CONDITIONS = st.dictionaries(
    OPERATORS, st.dictionaries(KEYS, st.one_of(VALUES, st.lists(VALUES, max_size=3)), max_size=3), max_size=3
)
STATEMENTS = st.builds(
    statement,
    CONDITIONS,
    Effect=st.sampled_from(["Allow", "Allow", "Deny"]),
    Action=st.sampled_from(["sts:AssumeRole", ["sts:AssumeRole", "sts:TagSession"], "sts:*", "*", None]),
)


@given(st.lists(STATEMENTS, max_size=4), st.sampled_from([TAGGED, UNTAGGED]))
def test_scope_none_means_refused_in_any_statement_order(
    statements: list[dict[str, t.Any]], context: dict[str, str]
) -> None:
    found = trust_scope(document(*statements), context)
    assert (found.scope == "none") == bool(explain_refusal(document(*statements), context))
    assert trust_scope(document(*reversed(statements)), context).scope == found.scope


@given(CONDITIONS, CONDITIONS)
def test_additional_condition_never_widens_statement(few: dict[str, t.Any], more: dict[str, t.Any]) -> None:
    both = {operator: {**more.get(operator, {}), **few.get(operator, {})} for operator in [*few, *more]}
    narrow, wide = statement_scope(statement(both)).scope, statement_scope(statement(few)).scope
    assert WIDTHS.index(narrow) <= WIDTHS.index(wide)


@given(st.lists(STATEMENTS, min_size=1, max_size=3), STATEMENTS)
def test_additional_statement_never_narrows_policy(statements: list[dict[str, t.Any]], more: dict[str, t.Any]) -> None:
    before = trust_scope(document(*statements), TAGGED).scope
    after = trust_scope(document(*statements, {**more, "Effect": "Allow"}), TAGGED).scope
    order = ("none", *WIDTHS)
    assert order.index(after) >= order.index(before)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["Statement", "Effect", "Condition", "Action", "Principal", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(JUNK)
def test_scope_accepts_any_document(junk: t.Any) -> None:
    assert trust_scope(junk, TAGGED).scope in ("none", *WIDTHS)
