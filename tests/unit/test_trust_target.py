# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Trust policies of target roles, sessions that are revoked, and the order of the calls."""

from __future__ import annotations

import dataclasses
import json
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._eks.role import steps
from ansible_collections.podidentity.eks.plugins.module_utils._trust import document as trust
from ansible_collections.podidentity.eks.plugins.module_utils._trust import planning
from ansible_collections.podidentity.eks.plugins.module_utils._trust import revocation
from ansible_collections.podidentity.eks.plugins.module_utils._trust import target
from ansible_collections.podidentity.eks.plugins.module_utils._trust.planning import RolePlan
from ansible_collections.podidentity.eks.plugins.module_utils._trust.role import REVOKED_POLICY_NAME
from ansible_collections.podidentity.eks.plugins.module_utils._trust.role import Role
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Cluster
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Subject
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import statement_id
from hypothesis import given
from hypothesis import strategies as st

ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/shop"
SHOP, OTHER = Cluster.from_arn(ARN), Cluster.from_arn(ARN.replace("shop", "other"))
ROLE, FAR = "arn:aws:iam::111122223333:role/", "arn:aws:iam::444455556666:role/"
NOW = "2026-11-26T10:00:00Z"
FOREIGN = {"Sid": "Lambda", "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:*"}
#: On a target role this is nobody's mistake.
CONTROL_PLANE = {"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:AssumeRole"}
Mapping = dict[str, t.Any]


def document(*statements: t.Mapping[str, t.Any]) -> Mapping:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def chain(name: str, source: str = "source", tags: bool = True, cluster: Cluster = SHOP) -> target.Chain:
    subject = Subject(cluster, "a", name)
    return target.Chain(subject, f"{ROLE}{source}", target.external_id(subject), tags)


CHAINS = st.lists(
    st.builds(
        chain,
        st.sampled_from(["x", "y", "z"]),
        st.sampled_from(["source", "path/other"]),
        st.booleans(),
        st.sampled_from([SHOP, OTHER]),
    ),
    unique_by=lambda one: one.subject,
)
THEIRS = st.lists(st.sampled_from([FOREIGN, CONTROL_PLANE, {"Effect": "Deny", "Principal": "*", "Action": "sts:*"}]))


# --- the trust of a target role ---------------------------------------------------------------------------------------


def test_a_chain_is_a_statement_by_external_id_and_one_for_the_source_roles_tags() -> None:
    planned = target.ensure_chains(document(FOREIGN), [chain("x"), chain("y")])
    foreign, first, second, tags = (planned.document or {})["Statement"]
    assert foreign == FOREIGN
    assert first["Condition"] == {
        "ArnEquals": {"aws:PrincipalArn": f"{ROLE}source"},
        "StringEquals": {"sts:ExternalId": "eu-west-1/111122223333/shop/a/x"},
    }
    assert second["Condition"]["StringEquals"]["sts:ExternalId"].endswith("/a/y")
    assert tags["Condition"] == {"ArnEquals": {"aws:PrincipalArn": f"{ROLE}source"}}
    assert (first["Action"], second["Action"], tags["Action"]) == ("sts:AssumeRole", "sts:AssumeRole", "sts:TagSession")
    assert {json.dumps(one["Principal"]) for one in (first, second, tags)} == {
        '{"AWS": "arn:aws:iam::111122223333:root"}'
    }
    assert first["Sid"].startswith("PodIdentityTargetAX") and tags["Sid"].startswith("PodIdentityTargetTagsSource")
    assert all(one["Sid"].isalnum() for one in (first, second, tags))


@given(THEIRS, CHAINS, CHAINS)
def test_chains_are_found_again_and_leave_everything_else_as_it_was(
    theirs: list[Mapping], first: list[target.Chain], second: list[target.Chain]
) -> None:
    before = target.ensure_chains(document(*theirs), first)
    assert json.dumps(trust.statements_of(before.document)[: len(theirs)]) == json.dumps(theirs)
    assert before.findings == ()
    again = target.ensure_chains(before.document, first)
    assert again.changes == () and again.document == before.document
    changed = target.ensure_chains(before.document, second)
    statements = trust.statements_of(changed.document)
    assert target.ensure_chains(changed.document, second).changes == ()
    chains = {one["Sid"]: target.source_of(one) for one in statements if target.is_chain(one)}
    expected = {target.chain_id(one.subject): one.source_arn for one in (*first, *second)}
    assert chains == expected
    needing = {one.source_arn for one in second if one.session_tags}
    kept = {target.source_of(one) for one in statements if target.is_tags(one)}
    assert needing <= kept <= set(chains.values())
    everybody = {target.chain_id(one.subject) for one in (*first, *second)}
    gone = target.ensure_chains(changed.document, [], everybody)
    assert gone.document == (document(*theirs) if theirs else None)


@given(CHAINS)
def test_whose_a_statement_is_can_be_read_from_it(chains: list[target.Chain]) -> None:
    for one in chains:
        statement = target.chain_statement(one)
        found = target.subject_of(statement, SHOP)
        assert found == (one.subject if one.subject.cluster == SHOP else None)
        assert target.subject_of({**statement, "Sid": "PodIdentityTargetAX00000000"}, SHOP) is None
        assert target.subject_of(target.tags_statement(one.source_arn), SHOP) is None


def test_tags_that_another_clusters_statement_may_need_are_kept() -> None:
    there = target.ensure_chains(None, [chain("x"), chain("y", cluster=OTHER)]).document
    left = target.ensure_chains(there, [], [target.chain_id(chain("x").subject)])
    assert [one["Action"] for one in trust.statements_of(left.document)] == ["sts:AssumeRole", "sts:TagSession"]


# --- plans of target roles --------------------------------------------------------------------------------------------


def workload(name: str = "x", **more: t.Any) -> Mapping:
    role = {"role": {"name": "source"}, "target_role": {"name": "far", "account": "444455556666"}}
    return {"namespace": "a", "service_account": name, **role, **more}


def association(name: str = "x", **more: t.Any) -> Mapping:
    known = {"role_arn": f"{ROLE}apps/source", "external_id": f"of-{name}", "disable_session_tags": False}
    return {"namespace": "a", "service_account": name, **known, **more}


def plan(workloads: t.Sequence[Mapping], before: Role | None = None, **options: t.Any) -> list[RolePlan]:
    options = {"kind": "target", "account": "444455556666", **options}
    known = {(one["namespace"], one["service_account"]): one for one in options.pop("associations", ())}
    request = planning.Request(cluster=SHOP, workloads=tuple(workloads), now=NOW, associations=known, **options)
    return [planning.plan_role(one, before, request) for one in planning.concerned(request, {})]


def after(planned: RolePlan) -> Role:
    assert planned.after is not None
    return planned.after


def test_what_the_association_says_comes_before_what_is_predicted() -> None:
    (planned,) = plan([workload()], associations=[association()])
    statement = trust.statements_of(after(planned).trust)[0]
    assert statement["Condition"]["StringEquals"] == {"sts:ExternalId": "of-x"}
    assert target.source_of(statement) == f"{ROLE}apps/source"
    assert planned.arn == f"{FAR}far" and planned.problems == ()


def test_a_declaration_that_is_ahead_of_the_association_comes_first() -> None:
    moved = workload(role={"name": "new-source", "path": "/p/"}, disable_session_tags=True)
    (planned,) = plan([moved], associations=[association()])
    (statement,) = trust.statements_of(after(planned).trust)
    assert target.source_of(statement) == f"{ROLE}p/new-source"
    given = workload(role={"arn": f"{ROLE}given"})
    (planned,) = plan([given], associations=[association()])
    assert target.source_of(trust.statements_of(after(planned).trust)[0]) == f"{ROLE}given"


def test_without_an_association_there_is_a_problem_or_in_check_mode_a_prediction() -> None:
    (planned,) = plan([workload()])
    assert "cannot trust workload a/x" in planned.problems[0] and "make the association first" in planned.problems[0]
    (planned,) = plan([workload()], predict=True, associations=[association(external_id=None)])
    statement = trust.statements_of(after(planned).trust)[0]
    assert statement["Condition"]["StringEquals"]["sts:ExternalId"] == "eu-west-1/111122223333/shop/a/x"
    assert planned.problems == ()


def test_a_target_role_at_another_path_is_a_problem_since_eks_would_not_find_it() -> None:
    (made,) = plan([workload()], associations=[association()])
    there = dataclasses.replace(after(made), arn=f"{FAR}p/far", path="/p/")
    (planned,) = plan([workload()], there, associations=[association()])
    assert "declare target_role.path /p/" in planned.problems[0]


def test_too_many_associations_for_one_target_role_are_refused() -> None:
    names = [f"worker-{number}" for number in range(10)]
    workloads, known = [workload(name) for name in names], [association(name) for name in names]
    (planned,) = plan(workloads, associations=known)
    assert "IAM takes 2048" in planned.problems[0]
    assert plan(workloads, associations=known, trust_limit=8192)[0].problems == ()


def test_only_target_roles_of_the_account_are_planned() -> None:
    near = workload("y", target_role={"name": "near"})
    assert [one.name for one in plan([workload(), near], associations=[association()])] == ["far"]
    assert [one.name for one in plan([workload(), near], account="111122223333", predict=True)] == ["near"]


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_a_point_in_time_counts_the_running_second_in_full() -> None:
    assert revocation.timestamp(0.0) == "1970-01-01T00:00:00Z"
    assert revocation.timestamp(0.001) == "1970-01-01T00:00:01Z"


X, Y = Subject(SHOP, "a", "x"), Subject(SHOP, "a", "y")


def denial(subject: Subject, now: str = NOW, scoped: bool = True) -> Mapping:
    return revocation.denial(statement_id(subject), subject, now, scoped)


def test_a_denial_names_the_workload_by_the_sessions_tags() -> None:
    assert denial(X)["Condition"] == {
        "DateLessThan": {"aws:TokenIssueTime": NOW},
        "StringEquals": {
            "aws:PrincipalTag/eks-cluster-arn": ARN,
            "aws:PrincipalTag/kubernetes-namespace": "a",
            "aws:PrincipalTag/kubernetes-service-account": "x",
        },
    }
    assert denial(X, scoped=False)["Condition"] == {"DateLessThan": {"aws:TokenIssueTime": NOW}}
    assert (denial(X)["Effect"], denial(X)["Action"], denial(X)["Resource"]) == ("Deny", "*", "*")


@pytest.mark.parametrize(("began", "kept"), [("2026-11-25T22:00:00Z", True), ("2026-11-25T21:59:59Z", False)])
def test_denials_older_than_any_session_go_when_the_policy_is_written(began: str, kept: bool) -> None:
    there = document(denial(X, began), {"Sid": "Theirs", "Effect": "Deny", "Action": "s3:*", "Resource": "*"})
    written = revocation.rewritten(there, [denial(Y)], (), NOW)
    sids = [one["Sid"] for one in trust.statements_of(written)]
    assert sids == [*([statement_id(X)] if kept else []), "Theirs", statement_id(Y)]
    assert revocation.rewritten(there, [], (), NOW) is there, "nothing to write, nothing is tidied up"


def test_lifting_the_last_denial_takes_the_policy_away() -> None:
    assert revocation.rewritten(document(denial(X)), [], {statement_id(X)}, NOW) is None
    written = revocation.rewritten(document(denial(X), denial(Y)), [], {statement_id(X)}, NOW)
    assert [one["Sid"] for one in trust.statements_of(written)] == [statement_id(Y)]


# --- the order of the calls -------------------------------------------------------------------------------------------


def source(name: str, **more: t.Any) -> Mapping:
    declared = {"name": "app", "managed_policies": ["arn:aws:iam::aws:policy/One"], **more.pop("role", {})}
    return {"namespace": "a", "service_account": name, "role": declared, **more}


def operations(before: Role, planned: RolePlan, limit: int = 10) -> list[str]:
    return [call.operation for call in steps.calls(before, after(planned), limit)]


def test_sessions_are_revoked_before_the_statement_goes() -> None:
    (made,) = plan([source("x"), source("y")], kind="source")
    there = after(made)
    gone = [source("x", state="absent"), source("y")]
    (planned,) = plan(gone, there, kind="source", revoke=True)
    assert operations(there, planned) == ["put_role_policy", "update_assume_role_policy"]
    first, _second = steps.calls(there, after(planned), 10)
    assert first.parameters["PolicyName"] == REVOKED_POLICY_NAME
    assert [one["Sid"] for one in json.loads(first.parameters["PolicyDocument"])["Statement"]] == [statement_id(X)]
    # Killed between the two, and again a day later: the statement is renewed, since sessions have begun since.
    half = dataclasses.replace(there, inline_policies=after(planned).inline_policies)
    (again,) = plan(gone, half, kind="source", revoke=True)
    assert "update_assume_role_policy" in operations(half, again)
    assert plan(gone, after(planned), kind="source", revoke=True)[0].changes == ()


def test_what_comes_is_there_before_what_it_replaces_goes_unless_there_is_no_room() -> None:
    (made,) = plan([source("x")], kind="source")
    there = after(made)
    (planned,) = plan([source("x", role={"managed_policies": ["arn:aws:iam::aws:policy/Two"]})], there, kind="source")
    assert operations(there, planned) == ["attach_role_policy", "detach_role_policy"]
    assert operations(there, planned, limit=1) == ["detach_role_policy", "attach_role_policy"]


def test_a_role_is_deleted_when_it_has_nothing_any_more() -> None:
    (made,) = plan([source("x", role={"inline_policy": document(FOREIGN)})], kind="source")
    called = [call.operation for call in steps.deletion(after(made), ["nodes"])]
    assert called == [
        "remove_role_from_instance_profile",
        "detach_role_policy",
        "delete_role_policy",
        "delete_role",
    ]
