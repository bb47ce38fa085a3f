# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What other tools for EKS Pod Identity are known to get wrong, as tests of ours."""

from __future__ import annotations

import typing as t

from support.associations import DESCRIBE
from support.associations import LIST
from support.associations import ROLE
from support.associations import Run
from support.associations import create_unmanaged_association
from support.associations import stored
from support.associations import stored_names
from support.module_runs import Account

ONE, MANY = "eks_pod_identity_association", "eks_pod_identity_associations"
INFO = "eks_pod_identity_association_info"
KEY: dict[str, t.Any] = {"cluster_name": "example", "namespace": "team-a", "service_account": "app"}


def item(namespace: str, service_account: str, **fields: t.Any) -> dict[str, t.Any]:
    return {"namespace": namespace, "service_account": service_account, "role_arn": f"{ROLE}app", **fields}


def test_associations_beyond_first_page_are_found(run: Run, example: Account) -> None:
    """eksctl lists one page only."""
    many = [item("team-a", f"app-{number:03}") for number in range(130)]
    run(MANY, cluster_name="example", associations=many)
    again = run(MANY, cluster_name="example", associations=many)
    assert (again["changed"], len(again["unchanged"])) == (False, 130)
    purged = run(MANY, cluster_name="example", associations=many[:1], purge="cluster")
    assert len(purged["deleted"]) == 129


def test_names_equal_when_joined_are_distinct(run: Run, example: Account) -> None:
    """eksctl takes namespace "a-b" with "c" for namespace "a" with "b-c"."""
    both = [item("a-b", "c"), item("a", "b-c", role_arn=f"{ROLE}app-v2")]
    assert len(run(MANY, cluster_name="example", associations=both)["created"]) == 2
    assert stored_names(example) == ["a-b/c", "a/b-c"]
    run(MANY, cluster_name="example", associations=both[:1], purge="cluster")
    assert stored_names(example) == ["a-b/c"]


def test_second_run_writes_nothing(run: Run, example: Account) -> None:
    """Others write every association again to find out that nothing has changed."""
    items = [item("team-a", "app", tags={"a": "b"}), item("team-b", "app", target_role_arn=f"{ROLE}target")]
    run(MANY, cluster_name="example", associations=items)
    again = run(MANY, cluster_name="example", associations=items)
    assert sorted(again["calls"]) == sorted([LIST, DESCRIBE, DESCRIBE])


def test_target_role_is_set_and_cleared(run: Run, example: Account) -> None:
    """terraform never clears one; community.aws's draft ignores the option."""
    run(MANY, cluster_name="example", associations=[item("team-a", "app", target_role_arn=f"{ROLE}target")])
    assert stored(example, "team-a/app")["targetRoleArn"] == f"{ROLE}target"
    run(MANY, cluster_name="example", associations=[item("team-a", "app")])
    assert stored(example, "team-a/app")["targetRoleArn"] == f"{ROLE}target", "what is not declared stays"
    run(MANY, cluster_name="example", associations=[item("team-a", "app", target_role_arn="")])
    assert "targetRoleArn" not in stored(example, "team-a/app")


def test_unmanaged_association_is_skipped(run: Run, example: Account) -> None:
    """terraform does not look whose an association is."""
    create_unmanaged_association(example, "team-a/app")
    result = run(MANY, cluster_name="example", associations=[item("team-a", "app", role_arn=f"{ROLE}app-v2")])
    assert len(result["skipped_associations"]) == 1
    assert stored(example, "team-a/app")["roleArn"] == f"{ROLE}app"


def test_tag_keys_keep_their_spelling(run: Run, example: Account) -> None:
    """community.aws's draft makes snake case of them."""
    tags = {"CostCenter": "1", "cost-center": "2", "Cost Center": "3", "kubernetes.io/Name": "4"}
    result = run(ONE, **KEY, role_arn=f"{ROLE}app", tags=tags)
    assert result["association"]["tags"] == tags == stored(example, "team-a/app")["tags"]
    assert run(INFO, cluster_name="example")["associations"][0]["tags"] == tags


def test_result_shape_is_always_the_same(run: Run, example: Account) -> None:
    """community.aws's draft returns another one for each branch."""
    declared = {**KEY, "role_arn": f"{ROLE}app"}
    changed = {**KEY, "role_arn": f"{ROLE}app-v2"}
    results = [
        run(ONE, check=True, **declared),
        run(ONE, **declared),
        run(ONE, **declared),
        run(ONE, **changed),
    ]
    assert len({frozenset(result["association"]) for result in results}) == 1
    results += [run(ONE, **KEY, state="absent"), run(ONE, **KEY, state="absent")]
    assert len({frozenset(result) for result in results}) == 1
    many = [run(MANY, cluster_name="example", associations=items) for items in ([], [item("team-a", "app")])]
    assert set(many[0]) == set(many[1])


def test_info_without_matches_does_not_fail(run: Run, example: Account) -> None:
    """community.aws's draft fails when nothing is found."""
    assert run(INFO, cluster_name="example")["associations"] == []
    assert run(INFO, cluster_name="example", role_arn=f"{ROLE}nobody", tags={"no": "tag"})["associations"] == []


def test_one_failure_does_not_stop_the_others(run: Run, example: Account) -> None:
    """Others stop half-way when EKS says "Rate exceeded", or at the first role that is not there."""
    items = [item("team-a", f"app-{number}") for number in range(20)]
    items[3]["role_arn"] = f"{ROLE}missing"
    faults = [{"operation": "CreatePodIdentityAssociation", "code": "ThrottlingException", "calls": [5, 6, 7]}]
    example.sandbox.knobs(faults=faults)
    result = run(MANY, cluster_name="example", associations=items, iam_propagation_timeout=0)
    assert (len(result["created"]), len(result["failed_associations"])) == (19, 1)
