# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The planner of associations: any observed and any declared ones lead to what is declared, and to nothing else."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association import declared as declarations
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association import planning as subject
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association.index import SPEC_TAG
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association.index import spec_hash
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association.objects import Association
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association.objects import AssociationSpec
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association.objects import Key
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association.objects import Plan
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association.objects import Step
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association.objects import render
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association.planning import Purge
from hypothesis import assume
from hypothesis import given
from hypothesis import strategies as st

ACCOUNT = "111122223333"
ROLES = [f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in ("a", "path/b")]
TARGET = "arn:aws:iam::444455556666:role/target"


def session_policy(*actions: str) -> dict[str, t.Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}


READ = session_policy("s3:Get*", "s3:List*")
READ_IN_ANOTHER_ORDER = json.dumps(session_policy("s3:List*", "s3:Get*"), indent=1, sort_keys=True)
POLICIES = [json.dumps(READ), READ_IN_ANOTHER_ORDER, json.dumps(session_policy("s3:Put*"))]
TAGS = st.dictionaries(st.sampled_from(["team", "cost", "aws:made-by"]), st.sampled_from(["x", "y"]))
#: What is made here carries, and what the fast mode adds.
MARKS = {"podidentity.eks/cluster": "example"}
KEPT_TAGS = {*MARKS, SPEC_TAG}


KEYS = list(itertools.product(["default", "team-a"], ["app", "job", "web"]))


def association_id(namespace: str, service_account: str) -> str:
    return f"a-{namespace}-{service_account}"


def arn_of(identity: str) -> str:
    return f"arn:aws:eks:eu-west-1:{ACCOUNT}:podidentityassociation/example/{identity}"


@st.composite
def associations(draw: st.DrawFn, namespace: str, service_account: str) -> Association:
    identity = association_id(namespace, service_account)
    tags_off = draw(st.booleans())
    return Association(
        cluster_name="example",
        namespace=namespace,
        service_account=service_account,
        association_id=identity,
        association_arn=arn_of(identity),
        role_arn=draw(st.sampled_from(ROLES)),
        target_role_arn=draw(st.sampled_from([None, TARGET])),
        disable_session_tags=tags_off,
        policy=draw(st.sampled_from([None, *POLICIES])) if tags_off else None,
        owner_arn=draw(st.sampled_from([None, None, "arn:aws:eks:eu-west-1:111122223333:addon/example/vpc-cni/1"])),
        tags={**draw(TAGS), **draw(st.sampled_from([{}, MARKS, {**MARKS, SPEC_TAG: "old"}]))},
    )


@st.composite
def specs(draw: st.DrawFn, namespace: str, service_account: str, common: dict[str, t.Any]) -> AssociationSpec:
    tags_off = draw(st.sampled_from([None, False, True]))
    return AssociationSpec(
        cluster_name="example",
        namespace=namespace,
        service_account=service_account,
        present=draw(st.sampled_from([True, True, False])),
        role_arn=draw(st.sampled_from(ROLES)),
        target_role_arn=draw(st.sampled_from([None, "", TARGET])),
        disable_session_tags=tags_off,
        policy=draw(st.sampled_from([None, "", *(POLICIES if tags_off else [])])),
        tags=draw(st.none() | TAGS.map(without_reserved)),
        purge_tags=draw(st.booleans()),
        force_owned=draw(st.booleans()),
        association_id=draw(st.sampled_from([None, None, None, *(association_id(*key) for key in KEYS)])),
        **common,
    )


def without_reserved(tags: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if not key.startswith("aws:")}


@dataclasses.dataclass(frozen=True)
class Situation:
    """What is there, what is declared, and what happens to the rest."""

    observed: list[Association]
    declared: list[AssociationSpec]
    purge: Purge

    def plan(self, observed: list[Association] | None = None) -> Plan:
        """The plan; one with problems is of no interest to the tests that take any situation."""
        plan = subject.plan(self.observed if observed is None else observed, self.declared, purge=self.purge)
        assume(not plan.problems)
        return plan

    def covered(self, key: Key) -> bool:
        """Whether an association that is not declared is to be purged if it is ours."""
        namespaces = {spec.namespace for spec in self.declared}
        return self.purge.scope == "cluster" or (self.purge.scope == "namespace" and key[0] in namespaces)


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    observed = [draw(associations(*key)) for key in KEYS if draw(st.booleans())]
    # One association, as its own module declares it, or all of a cluster.
    common: dict[str, t.Any] = {}
    if draw(st.booleans()):
        common = {"marks": MARKS, "creation_tags": MARKS}
        common |= {name: draw(st.booleans()) for name in ("adopt", "update_foreign", "indexed")}
    declared = [draw(specs(*key, common)) for key in draw(st.permutations(KEYS)) if draw(st.booleans())]
    ids = [spec.association_id for spec in declared if spec.association_id]
    assume(len(ids) == len(set(ids)))
    scopes: list[t.Literal["none", "namespace", "cluster"]] = ["none", "namespace", "cluster"]
    return Situation(observed, declared, Purge(scope=draw(st.sampled_from(scopes)), marks=MARKS))


def apply_steps(observed: list[Association], steps: t.Iterable[Step]) -> list[Association]:
    """What EKS would hold after the calls of these steps, by the rules of its API."""
    account = {association.key: association for association in observed}
    for call in [call for step in steps for call in step.calls]:
        parameters = dict(call.parameters)
        if call.operation == "create_pod_identity_association":
            made = created(parameters)
            assert made.key not in account, "EKS would answer 409"
            account[made.key] = made
            continue
        (there,) = [one for one in account.values() if addressed(one, parameters)]
        if call.operation == "delete_pod_identity_association":
            del account[there.key]
        else:
            account[there.key] = changed(there, call.operation, parameters)
    return list(account.values())


def addressed(association: Association, parameters: dict[str, t.Any]) -> bool:
    names = ("association_id", "associationId"), ("association_arn", "resourceArn")
    return any(parameters.get(parameter) == getattr(association, name) for name, parameter in names)


def fields_of(parameters: dict[str, t.Any]) -> dict[str, t.Any]:
    names = {"roleArn", "targetRoleArn", "disableSessionTags", "policy"} & set(parameters)
    return {re.sub("([A-Z])", r"_\1", name).lower(): parameters[name] for name in names}


def created(parameters: dict[str, t.Any]) -> Association:
    assert "" not in parameters.values(), "there is nothing to remove yet"
    identity = association_id(parameters["namespace"], parameters["serviceAccount"])
    return Association(
        cluster_name=parameters["clusterName"],
        namespace=parameters["namespace"],
        service_account=parameters["serviceAccount"],
        association_id=identity,
        association_arn=arn_of(identity),
        tags=parameters.get("tags", {}),
        **fields_of(parameters),
    )


def changed(association: Association, operation: str, parameters: dict[str, t.Any]) -> Association:
    if operation == "tag_resource":
        return dataclasses.replace(association, tags={**(association.tags or {}), **parameters["tags"]})
    if operation == "untag_resource":
        assert set(parameters["tagKeys"]) <= set(association.tags or {})
        assert not any(key.startswith("aws:") for key in parameters["tagKeys"]), "EKS would refuse"
        kept = {key: value for key, value in (association.tags or {}).items() if key not in parameters["tagKeys"]}
        return dataclasses.replace(association, tags=kept)
    assert operation == "update_pod_identity_association"
    fields: dict[str, t.Any] = {name: value or None for name, value in fields_of(parameters).items()}
    assert fields, "You must change at least one"
    fields["disable_session_tags"] = bool(fields.get("disable_session_tags", association.disable_session_tags))
    return dataclasses.replace(association, **fields)


def satisfied(association: Association | None, spec: AssociationSpec) -> bool:
    """Whether an association is what a declaration asks for, field by field."""
    if not spec.present or association is None:
        return not spec.present and association is None
    wanted = {
        "role_arn": spec.role_arn,
        "target_role_arn": spec.target_role_arn,
        "disable_session_tags": spec.disable_session_tags,
    }
    plain = all(
        (getattr(association, name) or "") == (value or "") for name, value in wanted.items() if value is not None
    )
    return plain and policy_satisfied(association, spec) and tags_satisfied(association, spec)


def policy_satisfied(association: Association, spec: AssociationSpec) -> bool:
    if not spec.policy:
        return spec.policy is None or not association.policy
    return actions(association.policy) == actions(spec.policy)


def actions(policy: str | None) -> set[str]:
    return {action for statement in json.loads(policy or "{}").get("Statement", []) for action in statement["Action"]}


def tags_satisfied(association: Association, spec: AssociationSpec) -> bool:
    tags = association.tags or {}
    if spec.adopt and not association.owner_arn and not MARKS.items() <= tags.items():
        return False
    if spec.tags is None:
        return True
    if spec.purge_tags:
        lasting = KEPT_TAGS if spec.marks else {SPEC_TAG}
        rest = {key: value for key, value in tags.items() if key not in lasting}
        return without_reserved(rest) == spec.tags
    return spec.tags.items() <= (association.tags or {}).items()


@given(situations())
def test_applied_plan_reaches_specs_and_second_plan_is_empty(situation: Situation) -> None:
    plan = situation.plan()
    after = apply_steps(situation.observed, plan.steps)
    skipped = {step.spec.key for step in plan.steps_that("skipped")}
    there = {association.key: association for association in after}
    unsatisfied = [spec for spec in situation.declared if not satisfied(there.get(spec.key), spec)]
    assert [spec for spec in unsatisfied if spec.key not in skipped] == []
    again = situation.plan(after)
    assert not again.changed
    assert {step.spec.key for step in again.steps_that("skipped")} == skipped


@given(situations())
def test_plan_predicts_result(situation: Situation) -> None:
    plan = situation.plan()
    there = {association.key: association for association in apply_steps(situation.observed, plan.steps)}
    for step in plan.steps:
        expected, real = step.after, there.get(step.spec.key)
        if step.action == "skipped":
            assert expected == step.before
            continue
        if expected and real and expected.association_id is None:
            real = dataclasses.replace(real, association_id=None, association_arn=None)
        assert rendered(expected) == rendered(real)


def rendered(association: Association | None) -> dict[str, t.Any] | None:
    return render(association) if association else None


@given(situations())
def test_plan_leaves_undeclared_and_unmanaged_associations_alone(situation: Situation) -> None:
    plan = situation.plan()
    steps = [step.spec.key for step in plan.steps]
    assert len(steps) == len(set(steps)), "every association gets one step at most"
    assert {spec.key for spec in situation.declared} <= set(steps), "every declaration gets one"
    for step in plan.steps_that("update", "adopt", "replace", "delete"):
        assert step.before in situation.observed
        assert step.before
        assert may_change(step.before, step)
    for step in plan.steps_that("skipped"):
        assert step.reason
        assert step.after == step.before
        assert step.calls == ()


def may_change(association: Association, step: Step) -> bool:
    """Whether a step may change or delete an association, by the rules that the documentation gives."""
    spec = step.spec
    if spec.force_owned:
        return True
    if association.owner_arn:
        return False
    ours = spec.marks is None or MARKS.items() <= (association.tags or {}).items()
    return ours or (step.action in ("update", "adopt") and (spec.adopt or spec.update_foreign))


@given(situations())
def test_purge_deletes_only_managed_associations(situation: Situation) -> None:
    plan = situation.plan()
    there = {association.key for association in apply_steps(situation.observed, plan.steps)}
    declared = {spec.key for spec in situation.declared}
    moved = {step.before.key for step in plan.steps_that("replace", "skipped") if step.before}
    for association in situation.observed:
        if association.key in declared | moved:
            continue
        ours = MARKS.items() <= (association.tags or {}).items() and not association.owner_arn
        assert (association.key in there) is not (ours and situation.covered(association.key))


@given(situations())
def test_plan_has_no_redundant_calls(situation: Situation) -> None:
    plan = situation.plan()
    assert {len(step.calls) for step in plan.steps_that("create", "delete")} <= {1}
    assert [step for step in plan.steps_that("unchanged", "skipped") if step.calls] == []
    for step in plan.steps_that("update", "adopt"):
        operations = [call.operation for call in step.calls]
        assert len(operations) == len(set(operations)) > 0
        for call in step.calls:
            assert changed(t.cast("Association", step.before), call.operation, dict(call.parameters)) != step.before
            told = fields_of(dict(call.parameters))
            assert [name for name, value in told.items() if (getattr(step.before, name) or "") == (value or "")] == []
    for step in plan.steps_that("replace"):
        assert step.calls[0].operation == "delete_pod_identity_association"


@given(situations())
def test_spec_hash_is_never_wrong_after_interrupted_run(situation: Situation) -> None:
    for step in situation.plan().steps_that("update", "adopt"):
        there = t.cast("Association", step.before)
        right = spec_hash(subject.declared_fields(step.spec))
        without_tags = dataclasses.replace(step.spec, tags=None, adopt=False)
        assume(satisfied(there, without_tags) or (there.tags or {}).get(SPEC_TAG) != right)
        fields_before = dataclasses.replace(there, tags=None)
        for call in step.calls:
            there = changed(there, call.operation, dict(call.parameters))
            found = (there.tags or {}).get(SPEC_TAG)
            if found == right:
                assert satisfied(there, without_tags)
            elif found is not None:
                assert dataclasses.replace(there, tags=None) == fields_before, "an old hash with new fields"


def association_spec(**changes: t.Any) -> AssociationSpec:
    values = {"cluster_name": "example", "namespace": "default", "service_account": "app", "role_arn": ROLES[0]}
    return AssociationSpec(**{**values, **changes})


def observed_association(**changes: t.Any) -> Association:
    values = {"cluster_name": "example", "namespace": "default", "service_account": "app", "role_arn": ROLES[0]}
    return Association(**{**values, **changes})


def test_valid_spec_has_no_problems() -> None:
    longest = {"namespace": "a" * 63, "service_account": ".".join(["b" * 63] * 4)[:253]}
    assert (
        declarations.problems(
            [association_spec(), association_spec(**longest), association_spec(service_account="app.v1")]
        )
        == []
    )
    china = "arn:aws-cn:iam::111122223333:role/service-role/with+=,.@-_chars"
    assert declarations.problems([association_spec(role_arn=china, target_role_arn="", policy="")]) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cluster_name": ""}, "cluster_name"),
        ({"cluster_name": "-example"}, "cluster_name"),
        ({"cluster_name": "e" * 101}, "cluster_name"),
        ({"namespace": "Team_A"}, "namespace"),
        ({"namespace": "a" * 64}, "namespace"),
        ({"namespace": "a.b"}, "namespace"),
        ({"namespace": "default\n"}, "namespace"),
        ({"service_account": "system:serviceaccount:default:app"}, "service_account"),
        ({"service_account": "a" * 254}, "service_account"),
        ({"service_account": "app."}, "service_account"),
        ({"service_account": "*"}, "service_account"),
        ({"role_arn": None}, "role_arn"),
        ({"role_arn": "EKS-S3-Access-Role"}, "role_arn"),
        ({"role_arn": "arn:aws:iam::1111:role/app"}, "role_arn"),
        ({"role_arn": "arn:aws:iam::111122223333:user/app"}, "role_arn"),
        ({"role_arn": "arn:aws:sts::111122223333:assumed-role/app/session"}, "role_arn"),
        ({"target_role_arn": "target"}, "target_role_arn"),
        ({"policy": "no JSON", "disable_session_tags": True}, "policy"),
        ({"policy": "[]", "disable_session_tags": True}, "policy"),
        ({"policy": '{"Version": "2012-10-17"}', "disable_session_tags": True}, "policy"),
        ({"policy": json.dumps({"Statement": ["x" * 2048]}), "disable_session_tags": True}, "2048"),
        ({"policy": json.dumps(READ)}, "disable_session_tags"),
        ({"policy": json.dumps(READ), "disable_session_tags": False}, "disable_session_tags"),
        ({"tags": {f"tag{number}": "" for number in range(51)}}, "at most 50"),
        ({"tags": {"": "value"}}, "128"),
        ({"tags": {"k" * 129: "value"}}, "128"),
        ({"tags": {"key": "v" * 257}}, "256"),
        ({"tags": {"AWS:key": "value"}}, "reserved"),
    ],
)
def test_invalid_spec_is_one_problem_naming_option(changes: dict[str, t.Any], says: str) -> None:
    (problem,) = declarations.problems([association_spec(**changes)])
    assert says in problem
    assert problem.endswith(".")
    assert "\n" not in problem


def test_all_problems_are_reported_at_once() -> None:
    found = declarations.problems(
        [
            association_spec(namespace="A", service_account="B", role_arn="C", target_role_arn="D", policy="E"),
            association_spec(),
            association_spec(),
        ]
    )
    assert len(found) == 7
    assert "declared 2 times" in found[-1]


def test_policy_limit_ignores_white_space() -> None:
    wide = json.dumps({"Version": "2012-10-17", "Statement": [{"Sid": "x" * 1900}]}, indent=200)
    assert len(wide) > declarations.POLICY_LIMIT
    assert declarations.problems([association_spec(policy=wide, disable_session_tags=True)]) == []


def test_plan_refuses_role_of_other_account_if_account_is_known() -> None:
    foreign = association_spec(role_arn="arn:aws:iam::444455556666:role/app")
    assert subject.plan([], [foreign]).problems == ()
    (problem,) = subject.plan([], [foreign], account=ACCOUNT).problems
    assert "444455556666" in problem
    assert "target_role_arn" in problem
    arn = f"arn:aws:eks:eu-west-1:{ACCOUNT}:podidentityassociation/example/a-1"
    assert subject.plan([observed_association(association_arn=arn)], [foreign]).problems == (problem,)


def test_plan_refuses_session_tags_with_session_policy() -> None:
    restricted = observed_association(disable_session_tags=True, policy=json.dumps(READ))
    (problem,) = subject.plan([restricted], [association_spec(disable_session_tags=False)]).problems
    assert 'policy: ""' in problem
    assert subject.plan([restricted], [association_spec(disable_session_tags=False, policy="")]).problems == ()


def test_addon_owned_association_is_updated_only_with_force() -> None:
    owned = observed_association(owner_arn="arn:aws:eks:eu-west-1:111122223333:addon/example/vpc-cni/1")
    assert len(subject.plan([owned], [association_spec()]).steps_that("unchanged")) == 1
    (skipped,) = subject.plan([owned], [association_spec(role_arn=ROLES[1])]).steps_that("skipped")
    assert "force_owned" in skipped.reason
    assert len(subject.plan([owned], [association_spec(role_arn=ROLES[1], force_owned=True)]).steps_that("update")) == 1
    assert len(subject.plan([owned], [association_spec(present=False)]).steps_that("skipped")) == 1
