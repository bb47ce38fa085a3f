# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module eks_access_entry: results, calls, and what it leaves alone."""

from __future__ import annotations

import time
import typing as t

import pytest
from support.associations import limited_caller
from support.aws_proxy import AwsProxy
from support.iam_roles import make_role
from support.module_runs import ACCOUNT
from support.module_runs import NODE_ROLE
from support.module_runs import Account
from support.module_runs import Result

MODULE = "eks_access_entry"
CLUSTER = "example"
PRINCIPAL_ARN = f"arn:aws:iam::{ACCOUNT}:role/people"
POLICY = "arn:aws:eks::aws:cluster-access-policy/"
KEY = {"cluster_name": CLUSTER, "principal_arn": PRINCIPAL_ARN}
NAMES = {"clusterName": CLUSTER, "principalArn": PRINCIPAL_ARN}

DESCRIBE = "eks:DescribeAccessEntry"
LIST_ASSOCIATED = "eks:ListAssociatedAccessPolicies"
GET_ROLE = "iam:GetRole"
CREATE = "eks:CreateAccessEntry"
UPDATE = "eks:UpdateAccessEntry"
DELETE = "eks:DeleteAccessEntry"
ASSOCIATE = "eks:AssociateAccessPolicy"
DISASSOCIATE = "eks:DisassociateAccessPolicy"
#: What a new entry takes before it is made: its cluster, and where there are policies, those of EKS.
BEFORE_CREATION = [DESCRIBE, "eks:DescribeCluster", GET_ROLE]
LIST_POLICIES = "eks:ListAccessPolicies"
#: Where a call on the entry, and on its policies, goes.
ENTRIES = "/access-entries"
POLICIES = "/access-policies"
#: What is not the same before and after a change.
TIMESTAMPS = {"modified_at"}

Run = t.Callable[..., Result]
Clients = dict[str, t.Any]


@pytest.fixture
def access_account(example: Account, clients: Clients) -> Account:
    """An account with the cluster ``example``, which has access entries, and the role ``people`` without one."""
    access = {"authenticationMode": "API_AND_CONFIG_MAP"}
    example.eks.update_cluster_config(name=CLUSTER, accessConfig=access)
    example.until_active(lambda: example.eks.describe_cluster(name=CLUSTER)["cluster"])
    make_role(clients["iam"], "people", "ec2.amazonaws.com")
    example.sandbox.clear_calls()
    return example


def declaration() -> dict[str, t.Any]:
    """An entry with every option set."""
    return {
        **KEY,
        "type": "STANDARD",
        "kubernetes_groups": ["viewers", "editors"],
        "user_name": "people:{{SessionName}}",
        "policies": [
            {"policy": "AmazonEKSViewPolicy"},
            {"policy": f"{POLICY}AmazonEKSEditPolicy", "namespaces": ["team-a", "team-b-*"]},
        ],
        "tags": {"CamelCase": "kept", "number": 1},
    }


def create_unmanaged_entry(
    account: Account, policies: t.Mapping[str, t.Sequence[str]] | None = None, **entry: t.Any
) -> None:
    """The entry of ``people``, made without our module; policy name -> namespaces."""
    account.eks.create_access_entry(**NAMES, **entry)
    for name, namespaces in (policies or {}).items():
        scope = {"type": "namespace", "namespaces": namespaces} if namespaces else {"type": "cluster"}
        account.eks.associate_access_policy(**NAMES, policyArn=f"{POLICY}{name}", accessScope=scope)


def stored(account: Account, **names: t.Any) -> dict[str, t.Any]:
    """An entry as EKS has it; empty when there is none."""
    try:
        found: dict[str, t.Any] = account.eks.describe_access_entry(**{**NAMES, **names})["accessEntry"]
    except account.eks.exceptions.ResourceNotFoundException:
        return {}
    return found


def policies(account: Account) -> dict[str, list[str]]:
    """Policy name -> namespaces, as EKS has them."""
    found = account.eks.list_associated_access_policies(**NAMES)["associatedAccessPolicies"]
    return {policy["policyArn"].removeprefix(POLICY): policy["accessScope"]["namespaces"] for policy in found}


def recreate_role(iam: t.Any, name: str = "people") -> None:
    """Delete a role and make it again, in a later second, since IAM keeps no fractions."""
    iam.delete_role(RoleName=name)
    time.sleep(1.1 - time.time() % 1)
    make_role(iam, name, "ec2.amazonaws.com")


def warnings(result: Result) -> list[str]:
    """What the module warns of, after what others of this process have warned of."""
    return [warning["event"]["msg"] for warning in result.get("warnings", [])]


# --- what is declared -------------------------------------------------------------------------------------------------


def test_cluster_name_and_principal_arn_are_required(run: Run) -> None:
    result = run(MODULE)
    assert "cluster_name, principal_arn" in result["msg"]
    assert result["calls"] == []


def test_all_invalid_options_are_reported_before_any_call(run: Run) -> None:
    wrong = {
        "cluster_name": "my cluster",
        "principal_arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/people/anna",
        "type": "EC2_LINUX",
        "kubernetes_groups": ["system:masters"],
        "user_name": "anna{{SessionName}}",
        "policies": [{"policy": "AmazonEKSViewPolicy", "namespaces": ["Team A"]}],
        "tags": {"aws:mine": "1"},
    }
    for check in (True, False):
        result = run(MODULE, check=check, **wrong)
        assert result["failed"]
        assert len(result["msg"].splitlines()) == 9
        assert f'give the ARN of the role, "arn:aws:iam::{ACCOUNT}:role/people"' in result["msg"]
        assert result["calls"] == []


def test_missing_cluster_fails_with_one_sentence(run: Run, access_account: Account) -> None:
    for check in (True, False):
        result = run(MODULE, check=check, **{**KEY, "cluster_name": "none"})
        assert result["msg"] == (
            'cluster_name "none" names no cluster in region eu-west-1: create the cluster first, '
            "or correct the name or the region."
        )
        assert result["calls"] == [DESCRIBE, "eks:DescribeCluster"]


def test_config_map_cluster_fails_with_advice(run: Run, access_account: Account) -> None:
    access_account.create_cluster("old", accessConfig={"authenticationMode": "CONFIG_MAP"})
    for check in (True, False):
        result = run(MODULE, check=check, **{**KEY, "cluster_name": "old"})
        assert "Cluster old has no access entries, since its authentication mode is CONFIG_MAP" in result["msg"]
        assert "authentication_mode of eks_cluster to API_AND_CONFIG_MAP" in result["msg"]
        assert result["calls"] == [DESCRIBE]
    absent = run(MODULE, **{**KEY, "cluster_name": "old"}, state="absent")
    assert (absent["failed"], absent["changed"]) == (False, False)


def test_unknown_access_policy_fails_before_any_write(run: Run, access_account: Account) -> None:
    for check in (True, False):
        result = run(MODULE, check=check, **KEY, policies=[{"policy": "AmazonEKSViewerPolicy"}])
        assert 'hold "AmazonEKSViewerPolicy", which EKS does not have: it has AmazonEKSAdminPolicy, ' in result["msg"]
        assert result["calls"] == [*BEFORE_CREATION, LIST_POLICIES]
    assert stored(access_account) == {}


def test_associate_works_without_list_policies_permission(run: Run, access_account: Account) -> None:
    wanted = {
        **KEY,
        "policies": [{"policy": "AmazonEKSViewPolicy"}],
        **limited_caller(access_account, deny=LIST_POLICIES),
    }
    for check in (True, False):
        result = run(MODULE, check=check, **wanted)
        assert result["changed"]
        warning = warnings(result)[-1]
        assert warning.startswith("Whether EKS has the policies of access entry")
        assert LIST_POLICIES in warning
    assert policies(access_account) == {"AmazonEKSViewPolicy": []}


# --- create, idempotence, update, delete ------------------------------------------------------------------------------


def test_check_mode_predicts_create_and_writes_nothing(run: Run, access_account: Account) -> None:
    result = run(MODULE, check=True, **declaration())
    assert result["changed"]
    assert result["actions"] == ["create_access_entry", "associate_access_policy", "associate_access_policy"]
    assert result["diff"] == {"before": {}, "after": result["access_entry"]}
    assert result["calls"] == [*BEFORE_CREATION, LIST_POLICIES]
    assert stored(access_account) == {}


def test_create_does_what_check_mode_predicted(run: Run, access_account: Account) -> None:
    predicted = run(MODULE, check=True, **declaration())
    result = run(MODULE, **declaration())
    assert (result["actions"], result["stale"]) == (predicted["actions"], False)
    assert result["calls"] == [*BEFORE_CREATION, LIST_POLICIES, CREATE, ASSOCIATE, ASSOCIATE]
    entry = result["access_entry"]
    assert {key: entry[key] for key in predicted["access_entry"]} == predicted["access_entry"]
    assert entry["policies"] == [
        {
            "policy": "AmazonEKSEditPolicy",
            "policy_arn": f"{POLICY}AmazonEKSEditPolicy",
            "namespaces": ["team-a", "team-b-*"],
        },
        {"policy": "AmazonEKSViewPolicy", "policy_arn": f"{POLICY}AmazonEKSViewPolicy", "namespaces": []},
    ]
    found = stored(access_account)
    assert (found["kubernetesGroups"], found["username"]) == (["viewers", "editors"], "people:{{SessionName}}")
    assert found["tags"] == {"CamelCase": "kept", "number": "1"}
    assert policies(access_account) == {"AmazonEKSEditPolicy": ["team-a", "team-b-*"], "AmazonEKSViewPolicy": []}


def test_second_run_changes_nothing_in_three_calls(run: Run, access_account: Account) -> None:
    first = run(MODULE, **declaration())
    wanted = declaration()
    second = run(MODULE, **{**wanted, "kubernetes_groups": wanted["kubernetes_groups"][::-1]})
    assert not second["changed"]
    assert second["access_entry"] == {**first["access_entry"], "modified_at": second["access_entry"]["modified_at"]}
    assert second["diff"]["before"] == second["diff"]["after"]
    assert second["calls"] == [DESCRIBE, GET_ROLE, LIST_ASSOCIATED]


def test_undeclared_options_cost_no_calls(run: Run, access_account: Account) -> None:
    run(MODULE, **declaration())
    result = run(MODULE, **KEY, check_principal=False)
    assert not result["changed"]
    assert result["access_entry"]["policies"] is None
    assert result["calls"] == [DESCRIBE]
    assert run(MODULE, **KEY)["calls"] == [DESCRIBE, GET_ROLE]


def test_second_run_leaves_default_entry_unchanged(run: Run, access_account: Account) -> None:
    created = run(MODULE, **KEY)
    assert created["access_entry"]["username"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/people/{{{{SessionName}}}}"
    assert created["access_entry"]["type"] == "STANDARD"
    assert not run(MODULE, **KEY)["changed"]
    assert not run(MODULE, **KEY, kubernetes_groups=[], policies=[])["changed"]


def test_update_changes_only_declared_options(run: Run, access_account: Account) -> None:
    run(MODULE, **declaration())
    before = stored(access_account)
    wanted = {
        **KEY,
        "kubernetes_groups": ["admins"],
        "policies": [
            {"policy": "AmazonEKSEditPolicy", "namespaces": ["team-a"]},
            {"policy": "AmazonEKSAdminPolicy", "namespaces": ["team-c"]},
        ],
        "tags": {"CamelCase": "changed"},
    }
    predicted = run(MODULE, check=True, **wanted)
    assert stored(access_account) == before
    result = run(MODULE, **wanted)
    assert result["actions"] == predicted["actions"]
    writes = ["eks:UntagResource", "eks:TagResource", UPDATE, ASSOCIATE, ASSOCIATE, DISASSOCIATE]
    assert result["calls"] == [DESCRIBE, GET_ROLE, LIST_ASSOCIATED, LIST_POLICIES, *writes]
    for side in ("before", "after"):
        assert {key: value for key, value in result["diff"][side].items() if key not in TIMESTAMPS} == {
            key: value for key, value in predicted["diff"][side].items() if key not in TIMESTAMPS
        }
    after = stored(access_account)
    assert (after["kubernetesGroups"], after["tags"]) == (["admins"], {"CamelCase": "changed"})
    assert policies(access_account) == {"AmazonEKSEditPolicy": ["team-a"], "AmazonEKSAdminPolicy": ["team-c"]}
    touched = {"kubernetesGroups", "tags", "modifiedAt"}
    assert {key: after[key] for key in after if key not in touched} == {
        key: before[key] for key in before if key not in touched
    }
    assert not run(MODULE, **wanted)["changed"]


def test_policy_scope_changes_to_cluster_and_back(run: Run, access_account: Account) -> None:
    create_unmanaged_entry(access_account, {"AmazonEKSViewPolicy": ["team-a"]})
    for namespaces in ([], ["team-b", "team-a"]):
        result = run(MODULE, **KEY, policies=[{"policy": "AmazonEKSViewPolicy", "namespaces": namespaces}])
        assert result["calls"] == [DESCRIBE, GET_ROLE, LIST_ASSOCIATED, ASSOCIATE], (
            "nobody asks whether a known policy exists"
        )
        assert policies(access_account) == {"AmazonEKSViewPolicy": sorted(namespaces)}
    result = run(MODULE, **KEY, policies=[{"policy": "AmazonEKSViewPolicy", "namespaces": ["team-a", "team-b"]}])
    assert not result["changed"]


def test_undeclared_policies_stay_without_purge_policies(run: Run, access_account: Account) -> None:
    create_unmanaged_entry(access_account, {"AmazonEKSViewPolicy": ["team-a"]})
    wanted = {**KEY, "policies": [{"policy": "AmazonEKSEditPolicy"}]}
    result = run(MODULE, **wanted, purge_policies=False)
    assert result["actions"] == ["associate_access_policy"]
    assert [policy["policy"] for policy in result["access_entry"]["policies"]] == [
        "AmazonEKSEditPolicy",
        "AmazonEKSViewPolicy",
    ]
    assert policies(access_account) == {"AmazonEKSViewPolicy": ["team-a"], "AmazonEKSEditPolicy": []}
    assert run(MODULE, **wanted)["actions"] == ["disassociate_access_policy"]
    assert run(MODULE, **KEY, policies=[])["actions"] == ["disassociate_access_policy"]
    assert policies(access_account) == {}


def test_creation_tags_mark_created_entries_only(run: Run, access_account: Account) -> None:
    marked = {**KEY, "tags": {"team": "a"}, "creation_tags": {"made": "here"}}
    assert run(MODULE, **marked)["access_entry"]["tags"] == {"team": "a", "made": "here"}
    assert not run(MODULE, **marked)["changed"], "purging leaves them"
    run(MODULE, **KEY, state="absent")
    create_unmanaged_entry(access_account, tags={"team": "b"})
    assert run(MODULE, **marked)["access_entry"]["tags"] == {"team": "a"}


def test_delete_removes_entry_once(run: Run, access_account: Account) -> None:
    create_unmanaged_entry(access_account, {"AmazonEKSViewPolicy": []})
    others = f"arn:aws:iam::{ACCOUNT}:user/sandbox-admin"  # who made the cluster
    assert others in access_account.eks.list_access_entries(clusterName=CLUSTER)["accessEntries"]
    predicted = run(MODULE, check=True, **KEY, state="absent")
    assert (predicted["actions"], predicted["access_entry"]) == (["delete_access_entry"], None)
    assert stored(access_account)
    result = run(MODULE, **KEY, state="absent")
    assert result["changed"]
    assert result["diff"]["before"]["principal_arn"] == PRINCIPAL_ARN
    assert result["diff"]["after"] == {}
    assert result["calls"] == [DESCRIBE, DELETE]
    again = run(MODULE, **KEY, state="absent")
    assert not again["changed"]
    assert again["calls"] == [DESCRIBE]
    left = access_account.eks.list_access_entries(clusterName=CLUSTER)["accessEntries"]
    assert left == [others]


def test_absent_succeeds_without_cluster_or_principal(run: Run, access_account: Account, clients: Clients) -> None:
    assert not run(MODULE, **{**KEY, "cluster_name": "none"}, state="absent")["changed"]
    create_unmanaged_entry(access_account)
    clients["iam"].delete_role(RoleName="people")
    assert run(MODULE, **KEY, state="absent")["changed"]


# --- types ------------------------------------------------------------------------------------------------------------


def test_type_change_is_refused_with_reason(run: Run, access_account: Account) -> None:
    create_unmanaged_entry(access_account, type="EC2_LINUX")
    result = run(MODULE, **KEY, type="STANDARD")
    assert "is EC2_LINUX and cannot become STANDARD: EKS sets it at creation only" in result["msg"]
    assert result["calls"] == [DESCRIBE, GET_ROLE]
    refused = run(MODULE, **KEY, kubernetes_groups=["a"], policies=[{"policy": "AmazonEKSViewPolicy"}])
    assert "kubernetes_groups of access entry" in refused["msg"]
    assert "policies of access entry" in refused["msg"]
    assert not run(MODULE, **KEY, type="EC2_LINUX", policies=[], kubernetes_groups=[])["changed"]
    assert stored(access_account)["kubernetesGroups"] == ["system:nodes"]


def test_nodegroup_access_entry_changes_only_when_declared(run: Run, access_account: Account) -> None:
    access_account.create_nodegroup()
    before = stored(access_account, principalArn=NODE_ROLE)
    assert before["type"] == "EC2_LINUX"
    run(MODULE, **declaration())
    assert stored(access_account, principalArn=NODE_ROLE) == before
    named = {"cluster_name": CLUSTER, "principal_arn": NODE_ROLE}
    assert run(MODULE, **named, tags={"team": "a"})["calls"][2:] == ["eks:TagResource"]


def test_ec2_entry_takes_auto_mode_node_policy(run: Run, access_account: Account) -> None:
    wanted = {**KEY, "type": "EC2", "policies": [{"policy": "AmazonEKSAutoNodePolicy"}]}
    assert run(MODULE, **wanted)["access_entry"]["kubernetes_groups"] == ["system:nodes"]
    assert not run(MODULE, **wanted)["changed"]
    assert policies(access_account) == {"AmazonEKSAutoNodePolicy": []}


# --- principals -------------------------------------------------------------------------------------------------------


def test_missing_principal_fails_before_any_write(run: Run, access_account: Account, clients: Clients) -> None:
    create_unmanaged_entry(access_account)
    clients["iam"].delete_role(RoleName="people")
    for principal, kind in ((PRINCIPAL_ARN, "role"), (f"arn:aws:iam::{ACCOUNT}:user/nobody", "user")):
        result = run(MODULE, cluster_name=CLUSTER, principal_arn=principal, kubernetes_groups=["a"])
        assert result["msg"] == (
            f'principal_arn "{principal}" names no IAM {kind}: create it first, or correct the ARN.'
        )
    assert access_account.writes() == []


def test_wrong_role_path_suggests_existing_role(run: Run, access_account: Account) -> None:
    result = run(MODULE, cluster_name=CLUSTER, principal_arn=f"arn:aws:iam::{ACCOUNT}:role/team/people")
    assert f'there is "{PRINCIPAL_ARN}", if that is meant' in result["msg"]
    assert access_account.writes() == []


def test_iam_user_is_accepted_as_principal(run: Run, access_account: Account, clients: Clients) -> None:
    clients["iam"].create_user(UserName="anna", Path="/team/")
    anna = {"cluster_name": CLUSTER, "principal_arn": f"arn:aws:iam::{ACCOUNT}:user/team/anna"}
    created = run(MODULE, **anna)
    assert created["calls"] == [DESCRIBE, "eks:DescribeCluster", "iam:GetUser", CREATE]
    assert created["access_entry"]["username"] == anna["principal_arn"]
    assert not run(MODULE, **anna)["changed"]


def test_entry_of_recreated_role_is_replaced_in_full(run: Run, access_account: Account, clients: Clients) -> None:
    entry = {"kubernetesGroups": ["viewers"], "username": "people:{{SessionName}}", "tags": {"team": "a"}}
    create_unmanaged_entry(access_account, {"AmazonEKSViewPolicy": [], "AmazonEKSEditPolicy": ["team-a"]}, **entry)
    assert not run(MODULE, **KEY)["stale"]
    recreate_role(clients["iam"])
    predicted = run(MODULE, check=True, **KEY)
    assert (predicted["changed"], predicted["stale"]) == (True, True)
    before = stored(access_account)
    result = run(MODULE, **KEY)
    assert (result["changed"], result["stale"]) == (True, True)
    assert result["actions"] == predicted["actions"]
    assert result["calls"] == [DESCRIBE, GET_ROLE, LIST_ASSOCIATED, DELETE, CREATE, ASSOCIATE, ASSOCIATE]
    warning = warnings(result)[-1]
    assert "lets nobody in, since it was made for another role of the same name" in warning
    assert result["diff"]["before"]["stale"] is True
    assert "stale" not in result["diff"]["after"]
    after = stored(access_account)
    assert after["createdAt"] > before["createdAt"]
    assert {key: after[key] for key in entry} == entry
    assert policies(access_account) == {"AmazonEKSViewPolicy": [], "AmazonEKSEditPolicy": ["team-a"]}
    again = run(MODULE, **KEY)
    assert (again["changed"], again["stale"], warnings(again)) == (False, False, warnings(result))


def test_stale_entry_can_change_type(run: Run, access_account: Account, clients: Clients) -> None:
    create_unmanaged_entry(access_account, type="EC2_LINUX")
    recreate_role(clients["iam"])
    result = run(MODULE, **KEY, type="STANDARD", kubernetes_groups=["viewers"])
    assert result["stale"]
    assert (result["access_entry"]["type"], stored(access_account)["kubernetesGroups"]) == ("STANDARD", ["viewers"])
    assert stored(access_account)["username"].startswith("arn:aws:sts::")


def test_stale_entry_stays_without_principal_check(run: Run, access_account: Account, clients: Clients) -> None:
    create_unmanaged_entry(access_account)
    recreate_role(clients["iam"])
    for settings in ({"check_principal": False}, limited_caller(access_account, deny="iam:GetRole")):
        result = run(MODULE, **KEY, **settings)
        assert (result["failed"], result["changed"], result["stale"]) == (False, False, False)
    warning = warnings(result)[-1]
    assert "was not looked at, since IAM did not answer: " in warning
    assert "iam:GetRole" in warning


def test_principal_of_another_account_is_not_checked(run: Run, access_account: Account) -> None:
    other = "444455556666"
    keys = access_account.sandbox.add_account(other)[other]
    role = make_role(access_account.sandbox.client("iam", **keys), "people", "ec2.amazonaws.com")
    for changed in (True, False):
        result = run(MODULE, cluster_name=CLUSTER, principal_arn=role)
        assert (result["failed"], result["changed"]) == (False, changed)
        warning = warnings(result)[-1]
        assert warning.endswith(f"was not looked at, since it is in the account {other}.")
        assert GET_ROLE not in result["calls"]
    nodes = run(MODULE, cluster_name=CLUSTER, principal_arn=role.replace("people", "nodes"), type="EC2_LINUX")
    assert f"the roles of nodes are in the cluster's account {ACCOUNT}" in nodes["msg"]


def test_create_works_without_describe_cluster_permission(run: Run, access_account: Account) -> None:
    result = run(MODULE, **KEY, **limited_caller(access_account, deny="eks:DescribeCluster"))
    assert result["changed"]
    assert result["calls"] == [*BEFORE_CREATION, CREATE]


def test_create_retries_until_eks_sees_principal(
    run: Run, access_account: Account, clients: Clients, aws_proxy: AwsProxy
) -> None:
    access_account.sandbox.knobs(iam_propagation_seconds=600)
    make_role(clients["iam"], "young", "ec2.amazonaws.com")
    aws_proxy.after("POST", f"{ENTRIES}$", lambda: access_account.sandbox.knobs(iam_propagation_seconds=0))
    young = f"arn:aws:iam::{ACCOUNT}:role/young"
    result = run(MODULE, endpoint_url=aws_proxy.endpoint, cluster_name=CLUSTER, principal_arn=young)
    assert result["changed"]
    assert result["calls"] == [*BEFORE_CREATION, CREATE, CREATE]


def test_principal_propagation_timeout_gives_advice(run: Run, access_account: Account) -> None:
    nobody = {"cluster_name": CLUSTER, "principal_arn": f"arn:aws:iam::{ACCOUNT}:role/nobody"}
    result = run(MODULE, **nobody, check_principal=False, iam_propagation_timeout=0)
    assert "EKS did not see the principal" in result["msg"]
    assert "within 0 seconds; create it, or correct principal_arn" in result["msg"]


def test_failed_recreate_reports_deleted_entry_settings(run: Run, access_account: Account, clients: Clients) -> None:
    create_unmanaged_entry(access_account, {"AmazonEKSViewPolicy": ["team-a"]}, kubernetesGroups=["viewers"])
    recreate_role(clients["iam"])
    result = run(MODULE, **KEY, **limited_caller(access_account, deny="eks:CreateAccessEntry"))
    assert result["failed"]
    for told in ("is deleted, but could not be made anew", "viewers", "AmazonEKSViewPolicy", "team-a"):
        assert told in result["msg"]


# --- others, between two calls ----------------------------------------------------------------------------------------


def test_entry_created_concurrently_is_updated(run: Run, access_account: Account, aws_proxy: AwsProxy) -> None:
    aws_proxy.before(
        "POST",
        f"{ENTRIES}$",
        lambda: create_unmanaged_entry(access_account, {"AmazonEKSAdminPolicy": []}, tags={"a": "1"}),
    )
    wanted = {**KEY, "kubernetes_groups": ["viewers"], "policies": [{"policy": "AmazonEKSViewPolicy"}]}
    result = run(MODULE, endpoint_url=aws_proxy.endpoint, **wanted)
    assert result["actions"] == ["update_access_entry", "associate_access_policy", "disassociate_access_policy"]
    assert (stored(access_account)["kubernetesGroups"], stored(access_account)["tags"]) == (["viewers"], {"a": "1"})
    assert policies(access_account) == {"AmazonEKSViewPolicy": []}


def test_entry_deleted_before_associate_is_recreated(run: Run, access_account: Account, aws_proxy: AwsProxy) -> None:
    create_unmanaged_entry(access_account, kubernetesGroups=["viewers"])
    aws_proxy.before("POST", f"{POLICIES}$", lambda: access_account.eks.delete_access_entry(**NAMES))
    wanted = {**KEY, "kubernetes_groups": ["editors"], "policies": [{"policy": "AmazonEKSViewPolicy"}]}
    result = run(MODULE, endpoint_url=aws_proxy.endpoint, **wanted)
    assert result["actions"] == ["update_access_entry", "create_access_entry", "associate_access_policy"]
    assert result["diff"]["before"]["kubernetes_groups"] == ["viewers"]
    assert stored(access_account)["kubernetesGroups"] == ["editors"]
    assert policies(access_account) == {"AmazonEKSViewPolicy": []}


def test_entry_deleted_before_list_is_recreated(run: Run, access_account: Account, aws_proxy: AwsProxy) -> None:
    create_unmanaged_entry(access_account, {"AmazonEKSViewPolicy": []})
    aws_proxy.before("GET", f"{POLICIES}", lambda: access_account.eks.delete_access_entry(**NAMES))
    result = run(MODULE, endpoint_url=aws_proxy.endpoint, **KEY, policies=[{"policy": "AmazonEKSViewPolicy"}])
    assert result["actions"] == ["create_access_entry", "associate_access_policy"]


def test_absent_accepts_entry_deleted_concurrently(run: Run, access_account: Account, aws_proxy: AwsProxy) -> None:
    create_unmanaged_entry(access_account)
    aws_proxy.before("DELETE", ENTRIES, lambda: access_account.eks.delete_access_entry(**NAMES))
    result = run(MODULE, endpoint_url=aws_proxy.endpoint, **KEY, state="absent")
    assert (result["failed"], stored(access_account)) == (False, {})


def test_create_succeeds_after_lost_response(run: Run, access_account: Account, aws_proxy: AwsProxy) -> None:
    aws_proxy.lose_answer("POST", f"{ENTRIES}$")
    result = run(MODULE, endpoint_url=aws_proxy.endpoint, **KEY, policies=[{"policy": "AmazonEKSViewPolicy"}])
    assert not result["failed"]
    assert policies(access_account) == {"AmazonEKSViewPolicy": []}


def test_operator_profile_permits_every_change(run: Run, access_account: Account, clients: Clients) -> None:
    keys = access_account.sandbox.profile("operator")
    operator = {"access_key": keys["aws_access_key_id"], "secret_key": keys["aws_secret_access_key"]}
    assert run(MODULE, **declaration(), **operator)["changed"]
    recreate_role(clients["iam"])
    assert run(MODULE, **declaration(), **operator)["stale"]
    assert run(MODULE, **{**declaration(), "policies": [], "kubernetes_groups": []}, **operator)["changed"]
    assert run(MODULE, **KEY, state="absent", **operator)["changed"]
