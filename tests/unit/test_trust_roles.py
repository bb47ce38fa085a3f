# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plans for the IAM roles of workloads: who is changed, how, and who is left alone."""

from __future__ import annotations

import dataclasses
import json
import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_trust_policy import pod_identity_trust_policy
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_workload_problems import (
    pod_identity_workload_problems,
)
from ansible_collections.podidentity.eks.plugins.module_utils._trust import document as trust
from ansible_collections.podidentity.eks.plugins.module_utils._trust import planning
from ansible_collections.podidentity.eks.plugins.module_utils._trust.planning import RolePlan
from ansible_collections.podidentity.eks.plugins.module_utils._trust.role import Role
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Subject
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import statement_id
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import trust_statement
from ansible_collections.podidentity.eks.plugins.module_utils._workload.cluster import Cluster
from ansible_collections.podidentity.eks.plugins.module_utils._workload.cluster import TrustError
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import associations
from hypothesis import given
from hypothesis import strategies as st

ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/shop"
SHOP = Cluster.from_arn(ARN)
AWS = "arn:aws:iam::aws:policy/"
#: What a list of the account's policies tells.
KNOWN = {name: f"{AWS}{name}" for name in ("AmazonS3ReadOnlyAccess", "AmazonSQSFullAccess", "Theirs")}
S3 = f"{AWS}AmazonS3ReadOnlyAccess"
UNMANAGED = {"Sid": "Lambda", "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:*"}
Mapping = dict[str, t.Any]


def workload(service_account: str = "s3-access-sa", **role: t.Any) -> Mapping:
    declared = {"name": "EKS-S3-Access-Role", "managed_policies": ["AmazonS3ReadOnlyAccess"]} | role
    return {"namespace": "default", "service_account": service_account, "role": declared}


def plan(workloads: t.Sequence[Mapping], *observed: Role, arn: str = ARN, **options: t.Any) -> list[RolePlan]:
    """The plans for the declared roles, and for those with leftovers, in an account with just these roles."""
    request = planning.Request(
        cluster=Cluster.from_arn(arn), account="111122223333", workloads=tuple(workloads), now=NOW, **options
    )
    listed = [(role.name, role.trust) for role in observed]
    leftovers = planning.find_leftovers(request, listed) if request.purge != "none" else {}
    found = {role.name: role for role in observed}
    return [
        planning.plan_role(declared, found.get(declared.name), request, leftovers, KNOWN)
        for declared in planning.concerned(request, leftovers)
    ]


NOW = "2026-11-26T10:00:00Z"


def created_role(workloads: t.Sequence[Mapping], **changes: t.Any) -> Role:
    """The role after the plan for an empty account was applied."""
    (planned,) = plan(workloads)
    assert planned.after is not None
    return dataclasses.replace(planned.after, **changes)


def statements(planned: RolePlan) -> list[Mapping]:
    assert planned.after is not None
    return [dict(statement) for statement in trust.statements_of(planned.after.trust)]


def document(*several: Mapping) -> Mapping:
    return {"Version": "2012-10-17", "Statement": list(several)}


def test_missing_role_is_created_with_managed_tag() -> None:
    (planned,) = plan([workload(tags={"team": "shop"})])
    assert planned.action == "create" and planned.after is not None
    assert planned.arn == planned.after.arn == "arn:aws:iam::111122223333:role/EKS-S3-Access-Role"
    assert planned.after.tags == {"team": "shop", "podidentity.eks/managed": "true"}
    assert planned.after.managed_policies == {S3: "AmazonS3ReadOnlyAccess"}
    assert planned.changes[0] == "create the role" and planned.problems == ()


def test_predicted_role_arn_contains_path() -> None:
    (planned,) = plan([workload(path="/apps/")])
    assert planned.arn == "arn:aws:iam::111122223333:role/apps/EKS-S3-Access-Role"
    assert planned.after is not None and planned.after.path == "/apps/"


def test_second_plan_changes_nothing() -> None:
    workloads = [workload(), workload("other-sa")]
    (planned,) = plan(workloads, created_role(workloads))
    assert planned.action == "none" and planned.changes == () and planned.findings == ()


@pytest.mark.parametrize(
    ("role", "change"),
    [
        ({"description": "New"}, "set description to New"),
        ({"max_session_duration": 7200}, "set max_session_duration to 7200"),
        ({"boundary": "arn:aws:iam::111122223333:policy/edge"}, "set boundary to"),
        ({"tags": {"team": "shop"}}, "set tag team=shop"),
        ({"managed_policies": ["AmazonS3ReadOnlyAccess", "AmazonSQSFullAccess"]}, "attach AmazonSQSFullAccess"),
        ({"managed_policies": []}, "detach AmazonS3ReadOnlyAccess"),
        ({"inline_policy": document(UNMANAGED)}, "write inline policy podidentity.eks"),
        ({"trust": "open"}, "change trust statement PodIdentityDefaultS3AccessSa"),
    ],
)
def test_drift_is_named_in_changes(role: Mapping, change: str) -> None:
    (planned,) = plan([workload(**role)], created_role([workload()]))
    assert planned.action == "update"
    assert len(planned.changes) == 1 and planned.changes[0].startswith(change)


def test_undeclared_settings_stay_and_empty_ones_are_removed() -> None:
    before = created_role([workload(description="Old", max_session_duration=7200, boundary=S3, tags={"a": "b"})])
    assert plan([workload()], before)[0].action == "none"
    (planned,) = plan([workload(boundary="", description="")], before)
    assert planned.changes == ("set description to ", "remove boundary")


def test_policy_declared_by_arn_matches_attached_one() -> None:
    (planned,) = plan([workload(managed_policies=[S3])], created_role([workload()]))
    assert planned.action == "none"


def test_plan_rejects_unknown_policy_name_unless_attached() -> None:
    (planned,) = plan([workload(managed_policies=["None"])], created_role([workload()]))
    assert "neither AWS nor account 111122223333 has one of that name" in planned.problems[0]
    ours = {"arn:aws:iam::111122223333:policy/apps/Ours": "Ours"}
    (planned,) = plan([workload(managed_policies=["Ours"])], created_role([workload()], managed_policies=ours))
    assert planned.action == "none" and planned.problems == ()


def test_unmanaged_role_keeps_policies_and_gets_no_managed_tag() -> None:
    foreign = created_role([workload()], tags={"owner": "them"}, managed_policies={f"{AWS}Theirs": "Theirs"})
    (planned,) = plan([workload(managed_policies=["AmazonSQSFullAccess"])], foreign)
    assert planned.changes == ("attach AmazonSQSFullAccess",)
    assert planned.after is not None and planned.after.tags == {"owner": "them"}


def test_control_plane_principal_is_corrected() -> None:
    wrong = {"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    (planned,) = plan([workload()], created_role([workload()], trust=document(wrong), tags={}))
    (statement,) = statements(planned)
    assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert len(planned.findings) == 1
    assert [change.split()[0] for change in planned.changes] == ["remove", "add"]


def test_cluster_role_keeps_its_trust_statement() -> None:
    wrong = {"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policies = {f"{AWS}AmazonEKSClusterPolicy": "AmazonEKSClusterPolicy"}
    (planned,) = plan([workload()], created_role([workload()], trust=document(wrong), managed_policies=policies))
    assert statements(planned)[0] == wrong


def test_shared_role_has_statement_per_workload() -> None:
    other = workload("other-sa", managed_policies=["AmazonSQSFullAccess"]) | {"disable_session_tags": True}
    (planned,) = plan([workload(), other])
    first, second = statements(planned)
    assert len(first["Condition"]["StringEquals"]) == 3 and len(second["Condition"]["StringEquals"]) == 1
    assert planned.after is not None
    assert list(planned.after.managed_policies.values()) == ["AmazonS3ReadOnlyAccess", "AmazonSQSFullAccess"]


def test_role_given_by_arn_is_not_planned() -> None:
    given = {"namespace": "a", "service_account": "b", "role": {"arn": "arn:aws:iam::111122223333:role/x"}}
    assert plan([given]) == []


def test_undeclared_managed_inline_policy_is_removed() -> None:
    policy = document({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    theirs = created_role([workload()], inline_policies={"podidentity.eks": policy, "theirs": None})
    (planned,) = plan([workload()], theirs)
    assert planned.changes == ("remove inline policy podidentity.eks",)
    assert planned.after is not None and planned.after.inline_policies == {"theirs": None}


def test_path_change_is_reported_as_impossible() -> None:
    (planned,) = plan([workload(path="/apps/")], created_role([workload()]))
    assert planned.action == "none" and "IAM cannot change it" in planned.findings[0]


# --- size -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "fit"), [(2048, 4), (8192, 20)])
def test_shared_role_is_limited_by_trust_policy_size(limit: int, fit: int) -> None:
    workloads = [workload(f"worker-{number}") for number in range(30)]
    for count in range(1, 26):
        (planned,) = plan(workloads[:count], trust_limit=limit)
        size = trust.size(document(*statements(planned)))
        assert bool(planned.problems) == (size > limit)
        assert (count <= fit) == (not planned.problems), (count, size)
    # The statements of other clusters count as well.
    there = created_role(workloads[:fit], trust=document(*statements(plan(workloads[:fit], trust_limit=limit)[0])))
    (planned,) = plan(workloads[:1], there, arn=ARN.replace("shop", "other"), trust_limit=limit)
    assert f"IAM takes {limit}" in planned.problems[0] and "a role of their own" in planned.problems[0]
    assert plan(workloads[:fit], there, trust_limit=limit)[0].problems == ()


def test_unchanged_trust_policy_over_limit_is_no_problem() -> None:
    workloads = [workload(f"worker-{number}") for number in range(9)]
    there = created_role(workloads)
    assert plan(workloads, there)[0].problems == ()
    assert plan([*workloads, workload("one-more")], there)[0].problems != ()


def test_managed_policy_quota_is_checked() -> None:
    arns = [f"arn:aws:iam::111122223333:policy/p{number}" for number in range(11)]
    (planned,) = plan([workload(managed_policies=arns)])
    assert "would have 11 managed policies, IAM takes 10" in planned.problems[0] and "to 20" in planned.problems[0]
    assert plan([workload(managed_policies=arns)], policies_limit=11)[0].problems == ()
    assert plan([workload(managed_policies=arns)], created_role([workload(managed_policies=arns)]))[0].problems == ()


# --- conditions that never match --------------------------------------------------------------------------------------

SOURCE = "aws:SourceArn"
ASSOCIATIONS = "arn:aws:eks:eu-west-1:111122223333:podidentityassociation/shop/*"
NAMESPACE = "aws:RequestTag/kubernetes-namespace"


@pytest.mark.parametrize(
    ("condition", "tags_off", "why"),
    [
        ({"ArnLike": {SOURCE: ASSOCIATIONS}}, False, f"its condition on {SOURCE} asks for {ASSOCIATIONS}"),
        ({"StringEquals": {"aws:SourceAccount": "999999999999"}}, False, "asks for 999999999999"),
        ({"StringEquals": {NAMESPACE: "default"}}, True, "session tags disabled"),
        ({"StringEquals": {NAMESPACE: "default"}}, False, ""),
        ({"StringEquals": {NAMESPACE: "of-somebody-else"}, "ArnLike": {SOURCE: ASSOCIATIONS}}, False, ""),
        ({"ArnLike": {SOURCE: "arn:aws:eks:*:111122223333:cluster/other"}}, False, ""),
        ({"ArnLike": {SOURCE: "arn:aws:eks:*:111122223333:cluster/*"}}, False, ""),
    ],
)
def test_statement_that_never_matches_workload_is_reported(condition: Mapping, tags_off: bool, why: str) -> None:
    actions = ["sts:AssumeRole", "sts:TagSession"]
    theirs = {"Sid": "Theirs", "Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": actions}
    declared = workload() | {"disable_session_tags": tags_off}
    (planned,) = plan([declared], created_role([declared], trust=document(theirs | {"Condition": condition})))
    assert statements(planned)[0] == theirs | {"Condition": condition}
    if why:
        (finding,) = planned.findings
        assert (
            finding.startswith("Trust statement Theirs can never match for default/s3-access-sa: ") and why in finding
        )
    else:
        assert planned.findings == ()


# --- taken away -------------------------------------------------------------------------------------------------------


def test_absent_deletes_managed_role_without_other_workloads() -> None:
    (planned,) = plan([workload()], created_role([workload()]), state="absent")
    assert planned.action == "delete" and planned.changes == ("delete the role",)


def test_absent_keeps_role_shared_with_other_workloads() -> None:
    there = created_role([workload(), workload("other-sa")])
    (planned,) = plan([workload()], there, state="absent")
    assert planned.action == "update"
    assert statements(planned) == trust.statements_of(there.trust)[1:]


def test_absent_never_deletes_unmanaged_role() -> None:
    (planned,) = plan([workload()], created_role([workload()], tags={}), state="absent")
    assert planned.action == "none" and "was not made here" in planned.findings[0]


def test_role_given_to_workload_by_arn_is_not_deleted() -> None:
    gone = workload() | {"state": "absent"}
    given = {"namespace": "a", "service_account": "b", "role": {"arn": created_role([workload()]).arn}}
    (planned,) = plan([gone, given], created_role([workload()]))
    assert planned.action == "none" and "is given to a/b by its ARN" in planned.findings[0]
    assert plan([gone, given], created_role([workload()]), state="absent")[0].action == "delete"


def test_absent_without_role_or_statement_changes_nothing() -> None:
    (planned,) = plan([workload()], state="absent")
    assert planned.action == "none" and planned.findings == ()
    stripped = created_role([workload()], trust=document(UNMANAGED))
    (planned,) = plan([workload()], stripped, state="absent")
    assert planned.action == "none"


def test_absent_workload_is_removed_and_others_stay_declared() -> None:
    gone = workload("other-sa") | {"state": "absent"}
    there = created_role([workload(), workload("other-sa")], managed_policies={})
    (planned,) = plan([workload(), gone], there)
    assert planned.changes[1:] == ("attach AmazonS3ReadOnlyAccess",) and len(statements(planned)) == 1
    (removed,) = plan([workload(), gone], there, state="remove_only")
    assert len(removed.changes) == 1 and statements(removed) == statements(planned)
    assert plan([workload()], there, state="remove_only") == []


SUBJECTS = st.tuples(st.sampled_from(["a", "b", "a-b"]), st.sampled_from(["x", "y", "b-x"]))
ROLES = st.sampled_from(["one", "two", "three"])


@given(st.dictionaries(SUBJECTS, ROLES), st.dictionaries(SUBJECTS, ROLES), st.sampled_from(["namespace", "cluster"]))
def test_purge_removes_exactly_undeclared_subjects_of_cluster(
    there: dict[tuple[str, str], str], declared: dict[tuple[str, str], str], purge: str
) -> None:
    other = Cluster.from_arn(ARN.replace("shop", "other"))
    roles = []
    for name in dict.fromkeys(there.values()):
        ours = [trust_statement(Subject(SHOP, *names)) for names, role in there.items() if role == name]
        theirs = [{**one, "Sid": "PodIdentityOfThem"} for one in ours[:1]]
        foreign = [trust_statement(Subject(other, *names)) for names, role in there.items() if role == name]
        roles.append(created_role([workload(name=name)], trust=document(UNMANAGED, *ours, *theirs, *foreign)))
    workloads = [
        {"namespace": names[0], "service_account": names[1], "role": {"name": role}} for names, role in declared.items()
    ]
    namespaces = {names[0] for names in declared}
    after = {planned.name: planned for planned in plan(workloads, *roles, state="remove_only", purge=purge)}
    for role in roles:
        kept = trust.statements_of(after[role.name].after.trust if role.name in after else role.trust)  # type: ignore[union-attr]
        going = {
            statement_id(Subject(SHOP, *names))
            for names, name in there.items()
            if name == role.name and declared.get(names) != name and (purge == "cluster" or names[0] in namespaces)
        }
        expected = [one for one in trust.statements_of(role.trust) if one.get("Sid") not in going]
        assert json.dumps(kept) == json.dumps(expected)


# --- properties -------------------------------------------------------------------------------------------------------

ACTIONS = ["sts:AssumeRole", "sts:TagSession"]
UNMANAGED_STATEMENTS = st.sampled_from(
    [
        UNMANAGED,
        {"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole"},
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": ["sts:AssumeRole"]},
        {"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": ACTIONS},
        trust_statement(Subject(Cluster.from_arn(ARN.replace("shop", "other")), "a", "b")),
    ]
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "description": st.sampled_from(["", "One", "Two"]),
        "boundary": st.sampled_from(["", S3]),
        "max_session_duration": st.sampled_from([3600, 7200]),
        "tags": st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["x", 1])),
        "managed_policies": st.lists(st.sampled_from([*KNOWN, S3]), max_size=3),
        "inline_policy": st.just(document({"Effect": "Allow", "Action": ["s3:*"], "Resource": "*"})),
        "trust": st.sampled_from(["scoped", "open"]),
    },
)
WORKLOADS = st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True, min_size=1).flatmap(
    lambda names: st.tuples(*(st.tuples(st.just(name), SETTINGS, st.booleans(), st.booleans()) for name in names))
)


def declared_workloads(drawn: t.Iterable[tuple[str, Mapping, bool, bool]]) -> list[Mapping]:
    return [
        workload(name, **role)
        | {"disable_session_tags": tags_off}
        | ({"target_role_arn": f"arn:aws:iam::444455556666:role/{name}"} if chained else {})
        for name, role, tags_off, chained in drawn
    ]


@given(st.lists(UNMANAGED_STATEMENTS, max_size=3), st.booleans(), WORKLOADS, WORKLOADS)
def test_second_plan_is_empty_and_unmanaged_parts_stay(
    theirs: list[Mapping], ours: bool, first: t.Any, second: t.Any
) -> None:
    tags = {"podidentity.eks/managed": "true"} if ours else {"owner": "them"}
    before = created_role(
        declared_workloads(first), trust=document(*theirs), tags=tags, inline_policies={"theirs": None}
    )
    declared = declared_workloads(second)
    (planned,) = plan(declared, before, trust_limit=8192)
    assert planned.after is not None
    assert json.dumps(statements(planned)[: len(theirs)]) == json.dumps(theirs)
    assert "theirs" in planned.after.inline_policies
    assert ours or planned.after.managed_policies.items() >= before.managed_policies.items()
    (again,) = plan(declared, planned.after, trust_limit=8192)
    assert again.changes == () and again.after == planned.after
    (gone,) = plan(declared, planned.after, state="absent")
    if theirs:
        assert json.dumps(statements(gone)) == json.dumps(theirs)
    elif ours:
        assert gone.action == "delete"
    else:
        assert gone.action == "none"


# --- what follows from a declaration ----------------------------------------------------------------------------------


def test_associations_are_derived_from_workloads() -> None:
    policy = document({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    given = {"arn": "arn:aws:iam::111122223333:role/p/x"}
    target = {"name": "far", "path": "/p/", "account": "444455556666"}
    workloads = [
        workload(path="/apps/") | {"tags": {"a": "b"}, "prove": {}},
        workload("b", name="known") | {"target_role": target, "disable_session_tags": True, "policy": policy},
        workload("c") | {"role": given, "target_role_arn": ""},
        workload("d") | {"target_role": {"name": "near"}},
        {"namespace": "default", "service_account": "e", "state": "absent"},
    ]
    first, second, third, fourth, fifth = associations(workloads, ARN, {"known": "arn:known"})
    assert first == {
        "namespace": "default",
        "service_account": "s3-access-sa",
        "role_arn": "arn:aws:iam::111122223333:role/apps/EKS-S3-Access-Role",
        "target_role_arn": "",
        "disable_session_tags": False,
        "policy": "",
        "tags": {"a": "b"},
        "state": "present",
    }, "what is not declared has its default, as in the role"
    assert (second["role_arn"], second["target_role_arn"]) == (
        "arn:known",
        "arn:aws:iam::444455556666:role/p/far",
    )
    assert second["disable_session_tags"] is True and second["policy"] == policy
    assert (third["role_arn"], third["target_role_arn"]) == (given["arn"], ""), "an empty text takes it away"
    assert fourth["target_role_arn"] == "arn:aws:iam::111122223333:role/near"
    assert fifth == {"namespace": "default", "service_account": "e", "state": "absent"}
    assert associations([workloads[2]], "")[0]["role_arn"] == given["arn"], "no cluster is needed for it"


def test_invalid_cluster_arn_is_refused() -> None:
    with pytest.raises(TrustError, match="no ARN of an EKS cluster"):
        associations([workload()], "shop")
    with pytest.raises(AnsibleFilterError, match="no ARN of an EKS cluster"):
        pod_identity_trust_policy("shop", "a", "b")
    with pytest.raises(AnsibleFilterError, match="scoped or open"):
        pod_identity_trust_policy(ARN, "a", "b", trust="wide")


def test_trust_filter_merges_into_given_policy() -> None:
    first = pod_identity_trust_policy(ARN, "default", "a")
    second = pod_identity_trust_policy(ARN, "default", "b", into=first)
    assert second is not None and first is not None
    assert second["Statement"][0] == first["Statement"][0] and len(second["Statement"]) == 2


def test_valid_workloads_have_no_problems() -> None:
    given = {"namespace": "a", "service_account": "b.c", "role": {"arn": "arn:aws:iam::111122223333:role/p/x"}}
    assert pod_identity_workload_problems([workload(), given], account="111122223333") == []
    gone = {"namespace": "a", "service_account": "gone", "state": "absent"}
    far = workload("far") | {"target_role": {"name": "EKS-S3-Access-Role", "account": "444455556666"}}
    assert pod_identity_workload_problems([gone, far], account="111122223333") == []
    assert pod_identity_workload_problems([]) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"namespace": "Default"}, 'the namespace "Default"'),
        ({"namespace": "a" * 64}, "1 to 63"),
        ({"namespace": None}, "the namespace null"),
        ({"service_account": "s3_sa"}, 'the service_account "s3_sa"'),
        ({"service_account": "a" * 254}, "1 to 253"),
        ({"role": None}, "needs a role"),
        ({"role": {"name": "a", "arn": "b"}}, "either role.name"),
        ({"role": {"arn": "EKS-S3-Access-Role"}}, "give an IAM role's ARN in full"),
        ({"role": {"arn": "arn:aws:iam::999999999999:role/x"}}, "the cluster is in 111122223333"),
        ({"role": {"arn": "arn:aws:iam::111122223333:role/x", "boundary": "y"}}, "take boundary out"),
        ({"role": {"name": "with space"}}, 'role.name "with space"'),
        ({"role": {"name": "a", "path": "apps"}}, "begin and end it with a slash"),
        ({"role": {"name": "a", "trust": "wide"}}, "give scoped or open"),
        ({"role": {"name": "a", "managed_policies": "AmazonS3ReadOnlyAccess"}}, "give a list"),
        ({"role": {"name": "a", "managed_policies": ["not a policy"]}}, 'managed policy "not a policy"'),
        ({"role": {"name": "a", "inline_policy": "{}"}}, "as a mapping"),
        ({"role": {"name": "a", "boundary": "edge"}}, "ARN of a managed policy"),
        ({"role": {"name": "a", "max_session_duration": 60}}, "3600 to 43200"),
        ({"role": {"name": "a", "managed_policy": []}}, "did you mean managed_policies?"),
        ({"target_role_arn": "x"}, "target_role_arn"),
        ({"policy": {"Statement": []}}, "disable_session_tags: true"),
        ({"state": "gone"}, "give present or absent"),
        ({"role": {"name": "a", "tags": "x"}}, "give a mapping of keys to values"),
        ({"role": {"name": "a", "tags": {"a": "b,c"}}}, 'has "b,c" in role.tags'),
        ({"role": {"name": "a", "description": "a \u2013 b"}}, "none beyond those of Latin-1"),
        ({"role": {"name": "a", "description": "x" * 1001}}, "up to 1000 characters"),
        ({"target_role": "x"}, "give a mapping with name"),
        ({"target_role": {"account": "444455556666"}}, "a target_role without name"),
        ({"target_role": {"name": "a", "account": "4444"}}, "the account's 12 digits, in quotes"),
        ({"target_role": {"name": "a", "trust": "open"}}, 'unknown key "trust"'),
        ({"target_role": {"name": "a", "boundary": "edge"}}, "target_role.boundary"),
        ({"target_role": {"name": "a"}, "target_role_arn": "arn:aws:iam::444455556666:role/x"}, "or the ARN of one"),
        ({"target_role": {"name": "EKS-S3-Access-Role"}}, "give one of them another name"),
        ({"serviceaccount": "x"}, "did you mean service_account?"),
        ({"prove": {"alow": []}}, "a mapping of allow, deny, image, node_selector, tolerations"),
        ({"prove": {"deny": [{"service": "s3"}]}}, "a service and an operation"),
    ],
)
def test_invalid_workload_is_one_problem(change: Mapping, sentence: str) -> None:
    problems = pod_identity_workload_problems([workload() | change], account="111122223333")
    assert len(problems) == 1, problems
    assert sentence in problems[0]


def test_misspelt_key_is_reported_once_and_value_is_checked() -> None:
    given = workload() | {"role": {"nme": "a"}}
    given["service_acount"] = given.pop("service_account")
    unknown, unknown_of_role = pod_identity_workload_problems([given])
    assert unknown.startswith("Workload default/") and unknown.endswith("did you mean service_account?")
    assert unknown_of_role.endswith('the unknown key "nme": did you mean name?')
    given["service_acount"] = "S3"
    assert len(pod_identity_workload_problems([given])) == 3


def test_all_workloads_are_checked_at_once() -> None:
    wrong = [workload() | {"namespace": "A"}, "x", workload("B"), workload(), workload()]
    problems = pod_identity_workload_problems(wrong)
    assert len(problems) == 4
    assert "is declared 2 times" in problems[3]
    assert "give a list" in pod_identity_workload_problems("x")[0]


def test_conflicting_declarations_of_shared_role_are_refused() -> None:
    contradicting = [workload(description="one"), workload("b", description="two")]
    (problem,) = pod_identity_workload_problems(contradicting)
    assert 'description "one" and with "two"' in problem


def test_conflicting_target_roles_and_role_case_are_refused() -> None:
    target = {"name": "far", "account": "444455556666"}
    one = workload() | {"target_role": target | {"description": "one"}}
    two = workload("b") | {"target_role": target | {"description": "two"}}
    (problem,) = pod_identity_workload_problems([one, two])
    assert 'Role far is declared with description "one" and with "two"' in problem
    path = workload("b") | {"target_role": target | {"path": "/apps/"}}
    (problem,) = pod_identity_workload_problems([one, path])
    assert 'with path "/" and with "/apps/"' in problem
    near = workload("b") | {"target_role": {"name": "far", "description": "two"}}
    assert pod_identity_workload_problems([one, near], account="111122223333") == []
    (problem,) = pod_identity_workload_problems([workload(name="app"), workload("b", name="App")])
    assert "Roles app and App differ in upper and lower case only" in problem
    gone = workload("b", description="two") | {"state": "absent"}
    assert pod_identity_workload_problems([workload(description="one"), gone]) == []


def test_workload_cannot_be_present_and_absent() -> None:
    (problem,) = pod_identity_workload_problems([workload(), workload() | {"state": "absent"}])
    assert "is declared 2 times" in problem


def test_plan_rejects_reserved_tags_unless_observed() -> None:
    tags = {"aws:cloudformation:stack-name": "theirs"}
    assert plan([workload()], created_role([workload()], tags=tags))[0].problems == ()
    (planned,) = plan([workload(tags={"aws:x": "y"})])
    assert "reserved by AWS" in planned.problems[0]
