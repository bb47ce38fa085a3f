# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From one declaration to the next: at no moment does the role refuse what the association asks for."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis import trust as judge
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association import declared as association_spec
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association.objects import Association
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association.objects import render
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association.planning import decide
from ansible_collections.podidentity.eks.plugins.module_utils._trust import planning
from ansible_collections.podidentity.eks.plugins.module_utils._trust.document import statements_of
from ansible_collections.podidentity.eks.plugins.module_utils._trust.planning import RolePlan
from ansible_collections.podidentity.eks.plugins.module_utils._trust.role import TARGET_POLICY_NAME
from ansible_collections.podidentity.eks.plugins.module_utils._trust.role import Role
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Subject
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import trust_statement
from ansible_collections.podidentity.eks.plugins.module_utils._workload.cluster import Cluster
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import associations
from hypothesis import given
from hypothesis import strategies as st

ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/shop"
SHOP = Cluster.from_arn(ARN)
ROLE = "arn:aws:iam::111122223333:role/"
TARGETS = (None, "arn:aws:iam::444455556666:role/one", "arn:aws:iam::444455556666:role/two")
KEY = ("default", "app")
UNMANAGED = {"Sid": "Lambda", "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:*"}
Workload = dict[str, t.Any]


def workload(account: str, tags_off: bool, scope: str, target: str | None) -> Workload:
    declared: Workload = {"namespace": "default", "service_account": account, "role": {"name": "app", "trust": scope}}
    declared |= {"disable_session_tags": True} if tags_off else {}
    return declared | ({"target_role_arn": target} if target else {})


def workloads(account: str = "app") -> st.SearchStrategy[Workload]:
    return st.builds(
        workload, st.just(account), st.booleans(), st.sampled_from(["scoped", "open"]), st.sampled_from(TARGETS)
    )


def plan(declared: t.Sequence[Workload], before: Role | None, known: planning.Associations) -> RolePlan:
    request = planning.Request(
        cluster=SHOP, account="111122223333", workloads=tuple(declared), associations=known, now="2026-11-26T10:00:00Z"
    )
    (one,) = planning.concerned(request, {})
    return planning.plan_role(one, before, request)


def role_after(planned: RolePlan) -> Role:
    assert planned.after is not None and planned.problems == ()
    return planned.after


@st.composite
def roles(draw: st.DrawFn) -> Role | None:
    """What an earlier declaration, or another tool, has made of the role, which may also be missing."""
    if draw(st.booleans()):
        return None
    earlier = draw(st.lists(workloads() | workloads("other"), max_size=2, unique_by=lambda one: one["service_account"]))
    document: dict[str, t.Any] = {"Version": "2012-10-17", "Statement": [UNMANAGED]}
    if draw(st.booleans()):
        # A statement of ours in whichever form.
        tags, scoped = draw(st.booleans()), draw(st.booleans())
        document["Statement"].append(trust_statement(Subject(SHOP, *KEY), session_tags=tags, scoped=scoped))
    base = Role(name="app", arn=f"{ROLE}app", trust=document)
    return role_after(plan(earlier, base, {})) if earlier else base


def observed_associations() -> st.SearchStrategy[Association | None]:
    made = st.builds(
        Association,
        cluster_name=st.just("shop"),
        namespace=st.just(KEY[0]),
        service_account=st.just(KEY[1]),
        association_id=st.just("a-abcdefghijklmnop1"),
        role_arn=st.sampled_from([f"{ROLE}app", f"{ROLE}before"]),
        target_role_arn=st.sampled_from(TARGETS),
        disable_session_tags=st.booleans(),
        policy=st.none(),
        tags=st.just({}),
    )
    return st.none() | made


def may_use(role: Role | None, association: Association) -> bool:
    """Whether EKS gets the role for the workload, and its session the target role where there is one."""
    if role is None:
        return False
    context = judge.session_context(ARN, *KEY, tags=not association.disable_session_tags)
    chained = [one for one in [role.inline_policies.get(TARGET_POLICY_NAME)] if one]
    target = association.target_role_arn
    return not judge.explain_refusal(role.trust, context) and (
        not target or judge.permits(chained, "sts:AssumeRole", target)
    )


def association_after(declared: Workload, before: Association | None) -> Association:
    """The association after the module for associations has done its part."""
    item = {"association_id": None, "force_owned": False, "tags": None, "purge_tags": None}
    item |= associations([declared], ARN)[0]
    params = {"cluster_name": "shop", "tags": None, "purge_tags": False, "adopt": False, "update_foreign": True}
    spec = association_spec.spec_of_item(item, params | {"mode": "full"}, {})
    step = decide(before, spec)
    assert step.after is not None
    return step.after


@given(
    declared=workloads(),
    other=st.none() | workloads("other"),
    role=roles(),
    association=observed_associations(),
    readable=st.booleans(),
)
def test_workload_can_use_its_role_at_every_moment(
    declared: Workload, other: Workload | None, role: Role | None, association: Association | None, readable: bool
) -> None:
    present = [declared, *([other] if other else [])]
    seen = {KEY: render(association) if association else {}, ("default", "other"): {}}
    first = plan(present, role, seen if readable else {})
    between = role_after(first)
    if association and association.role_arn == between.arn and may_use(role, association):
        assert may_use(between, association), "the role comes first, and takes nothing from running pods"
    after = association_after(declared, association)
    assert may_use(between, after)
    second = plan(present, between, {KEY: render(after), ("default", "other"): {}})
    assert may_use(role_after(second), after) and second.waiting == ()
    assert plan(present, role_after(second), {KEY: render(after), ("default", "other"): {}}).changes == ()
    if not readable or not first.waiting:
        return
    assert any("until it is updated" in finding for finding in first.findings)
    assert second.action == "update", "what was kept for a while is narrowed then"


def test_role_is_narrowed_when_session_tags_are_back() -> None:
    """Case 07b: the line ``disable_session_tags: true`` is taken out of the declaration."""
    before = role_after(plan([workload("app", True, "scoped", None)], None, {}))
    association = association_after(workload("app", True, "scoped", None), None)
    declared = workload("app", False, "scoped", None)
    first = plan([declared], before, {KEY: render(association)})
    assert first.changes == () and first.waiting == (Subject(SHOP, *KEY),)
    after = association_after(declared, association)
    assert after.disable_session_tags is False
    second = plan([declared], before, {KEY: render(after)})
    assert [one[:23] for one in second.changes] == ["change trust statement "]
    (statement,) = statements_of(role_after(second).trust)
    assert "aws:RequestTag/kubernetes-namespace" in statement["Condition"]["StringEquals"]


@pytest.mark.parametrize("association", [{}, {"role_arn": f"{ROLE}another", "disable_session_tags": True}])
def test_role_without_user_is_narrowed_at_once(association: dict[str, t.Any]) -> None:
    before = role_after(plan([workload("app", True, "scoped", TARGETS[1])], None, {}))
    planned = plan([workload("app", False, "scoped", None)], before, {KEY: association})
    assert planned.waiting == () and len(planned.changes) == 2
    assert role_after(planned).inline_policies == {}


def test_removed_target_role_stays_allowed_until_update() -> None:
    declared = [workload("app", False, "scoped", None), workload("other", False, "scoped", TARGETS[2])]
    before = role_after(plan([declared[0] | {"target_role_arn": TARGETS[1]}, declared[1]], None, {}))
    association = association_after(declared[0] | {"target_role_arn": TARGETS[1]}, None)
    first = plan(declared, before, {KEY: render(association), ("default", "other"): {}})
    assert first.changes == () and first.waiting == (Subject(SHOP, *KEY),)
    updated = render(dataclasses.replace(association, target_role_arn=None))
    second = plan(declared, before, {KEY: updated, ("default", "other"): {}})
    assert second.changes == ("write inline policy podidentity.eks-target",)
