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
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Subject
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import statement_id
from ansible_collections.podidentity.eks.plugins.module_utils._workload.cluster import Cluster
from hypothesis import given
from hypothesis import strategies as st

ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/shop"
SHOP, OTHER = Cluster.from_arn(ARN), Cluster.from_arn(ARN.replace("shop", "other"))
ROLE, FAR = "arn:aws:iam::111122223333:role/", "arn:aws:iam::444455556666:role/"
NOW = "2026-11-26T10:00:00Z"
UNMANAGED = {"Sid": "Lambda", "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:*"}
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
UNMANAGED_STATEMENTS = st.lists(
    st.sampled_from([UNMANAGED, CONTROL_PLANE, {"Effect": "Deny", "Principal": "*", "Action": "sts:*"}])
)


# --- the trust of a target role ---------------------------------------------------------------------------------------


def test_chain_has_external_id_and_session_tags_statements() -> None:
    planned = target.ensure_chains(document(UNMANAGED), [chain("x"), chain("y")])
    foreign, first, second, tags = (planned or {})["Statement"]
    assert foreign == UNMANAGED
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


@given(UNMANAGED_STATEMENTS, CHAINS, CHAINS)
def test_chains_are_idempotent_and_keep_other_statements(
    theirs: list[Mapping], first: list[target.Chain], second: list[target.Chain]
) -> None:
    before = target.ensure_chains(document(*theirs), first)
    assert json.dumps(trust.statements_of(before)[: len(theirs)]) == json.dumps(theirs)
    again = target.ensure_chains(before, first)
    assert again == before
    changed = target.ensure_chains(before, second)
    statements = trust.statements_of(changed)
    assert target.ensure_chains(changed, second) == changed
    chains = {one["Sid"]: target.source_of(one) for one in statements if target.is_chain(one)}
    expected = {target.chain_id(one.subject): one.source_arn for one in (*first, *second)}
    assert chains == expected
    needing = {one.source_arn for one in second if one.session_tags}
    kept = {target.source_of(one) for one in statements if target.is_tags(one)}
    assert needing <= kept <= set(chains.values())
    everybody = {target.chain_id(one.subject) for one in (*first, *second)}
    gone = target.ensure_chains(changed, [], everybody)
    assert gone == (document(*theirs) if theirs else None)


@given(CHAINS)
def test_subject_is_read_from_chain_statement(chains: list[target.Chain]) -> None:
    for one in chains:
        statement = target.chain_statement(one)
        found = target.subject_of(statement, SHOP)
        assert found == (one.subject if one.subject.cluster == SHOP else None)
        assert target.subject_of({**statement, "Sid": "PodIdentityTargetAX00000000"}, SHOP) is None
        assert target.subject_of(target.tags_statement(one.source_arn), SHOP) is None


def test_session_tags_statement_of_other_cluster_is_kept() -> None:
    there = target.ensure_chains(None, [chain("x"), chain("y", cluster=OTHER)])
    left = target.ensure_chains(there, [], [target.chain_id(chain("x").subject)])
    assert [one["Action"] for one in trust.statements_of(left)] == ["sts:AssumeRole", "sts:TagSession"]


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


def test_observed_association_overrides_prediction() -> None:
    (planned,) = plan([workload()], associations=[association()])
    statement = trust.statements_of(after(planned).trust)[0]
    assert statement["Condition"]["StringEquals"] == {"sts:ExternalId": "of-x"}
    assert target.source_of(statement) == f"{ROLE}apps/source"
    assert planned.arn == f"{FAR}far" and planned.problems == ()


def test_declared_role_overrides_observed_association() -> None:
    moved = workload(role={"name": "new-source", "path": "/p/"}, disable_session_tags=True)
    (planned,) = plan([moved], associations=[association()])
    (statement,) = trust.statements_of(after(planned).trust)
    assert target.source_of(statement) == f"{ROLE}p/new-source"
    given = workload(role={"arn": f"{ROLE}given"})
    (planned,) = plan([given], associations=[association()])
    assert target.source_of(trust.statements_of(after(planned).trust)[0]) == f"{ROLE}given"


def test_missing_association_is_a_problem_or_is_predicted() -> None:
    (planned,) = plan([workload()])
    assert "cannot trust workload a/x" in planned.problems[0] and "make the association first" in planned.problems[0]
    (planned,) = plan([workload()], predict=True, associations=[association(external_id=None)])
    statement = trust.statements_of(after(planned).trust)[0]
    assert statement["Condition"]["StringEquals"]["sts:ExternalId"] == "eu-west-1/111122223333/shop/a/x"
    assert planned.problems == ()


def test_target_role_at_other_path_is_a_problem() -> None:
    (made,) = plan([workload()], associations=[association()])
    there = dataclasses.replace(after(made), arn=f"{FAR}p/far", path="/p/")
    (planned,) = plan([workload()], there, associations=[association()])
    assert "declare target_role.path /p/" in planned.problems[0]


def test_target_role_over_size_limit_is_refused() -> None:
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


def test_timestamp_rounds_up_to_full_second() -> None:
    assert revocation.timestamp(0.0) == "1970-01-01T00:00:00Z"
    assert revocation.timestamp(0.001) == "1970-01-01T00:00:01Z"


X, Y = Subject(SHOP, "a", "x"), Subject(SHOP, "a", "y")


def denial(subject: Subject, now: str = NOW, scoped: bool = True) -> Mapping:
    return revocation.denial(statement_id(subject), subject, now, scoped)


def test_denial_matches_workload_by_session_tags() -> None:
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
def test_expired_denials_are_removed_when_policy_is_written(began: str, kept: bool) -> None:
    there = document(denial(X, began), {"Sid": "Theirs", "Effect": "Deny", "Action": "s3:*", "Resource": "*"})
    written = revocation.rewritten(there, [denial(Y)], (), NOW)
    sids = [one["Sid"] for one in trust.statements_of(written)]
    assert sids == [*([statement_id(X)] if kept else []), "Theirs", statement_id(Y)]
    assert revocation.rewritten(there, [], (), NOW) is there, "nothing to write, nothing is tidied up"


def test_lifting_last_denial_removes_policy() -> None:
    assert revocation.rewritten(document(denial(X)), [], {statement_id(X)}, NOW) is None
    written = revocation.rewritten(document(denial(X), denial(Y)), [], {statement_id(X)}, NOW)
    assert [one["Sid"] for one in trust.statements_of(written)] == [statement_id(Y)]


# --- the order of the calls -------------------------------------------------------------------------------------------


def source(name: str, **more: t.Any) -> Mapping:
    declared = {"name": "app", "managed_policies": ["arn:aws:iam::aws:policy/One"], **more.pop("role", {})}
    return {"namespace": "a", "service_account": name, "role": declared, **more}


def operations(before: Role, planned: RolePlan, limit: int = 10) -> list[str]:
    return [call.operation for call in steps.calls(before, after(planned), limit)]


def test_sessions_are_revoked_before_statement_is_removed() -> None:
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


def test_policies_attach_before_detach_unless_quota_is_full() -> None:
    (made,) = plan([source("x")], kind="source")
    there = after(made)
    (planned,) = plan([source("x", role={"managed_policies": ["arn:aws:iam::aws:policy/Two"]})], there, kind="source")
    assert operations(there, planned) == ["attach_role_policy", "detach_role_policy"]
    assert operations(there, planned, limit=1) == ["detach_role_policy", "attach_role_policy"]


def test_role_is_emptied_before_deletion() -> None:
    (made,) = plan([source("x", role={"inline_policy": document(UNMANAGED)})], kind="source")
    called = [call.operation for call in steps.deletion(after(made), ["nodes"])]
    assert called == [
        "remove_role_from_instance_profile",
        "detach_role_policy",
        "delete_role_policy",
        "delete_role",
    ]
