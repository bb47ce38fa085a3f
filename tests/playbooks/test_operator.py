# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The story on a cluster of somebody else's, from the agent to the proof and back, with just the permissions for it.

Each step is run by a user who has the policy of its chapters and level, and before that by users who lack one action of
it. Told in order on one sandbox. The chapter ``cluster`` is told in test_operator_cluster.py.
"""

from __future__ import annotations

import contextlib
import json
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_operator_policy import pod_identity_operator_policy
from ansible_collections.podidentity.eks.plugins.plugin_utils.operator_policy import CHAPTERS
from support.existing_cluster import ROLE_PREFIX
from support.existing_cluster import make_account
from support.existing_cluster import make_cluster
from support.operators import ACCOUNT
from support.operators import DEPLOYMENT
from support.operators import EVERY_ACTION
from support.operators import OTHER
from support.operators import TARGET_PROFILE
from support.operators import Json
from support.operators import Step
from support.operators import Story
from support.operators import actions
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep

POLICY = f"arn:aws:iam::{ACCOUNT}:policy/"
LIST = {"allow": [{"service": "s3", "operation": "list_buckets"}]}
#: What the chapter target_role asks of the cluster, which is in the account of the associations.
CLUSTER_ACTIONS = {"eks:DescribeCluster", "eks:DescribePodIdentityAssociation", "eks:ListPodIdentityAssociations"}
DENY_POLICY = {
    "RoleName": "reader",
    "PolicyName": "theirs",
    "PolicyDocument": json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
    ),
}
ADDONS = ("agent", "addons")
#: The chapters that make something for workloads.
CREATING = ("iam_role", "service_account", "association", "target_role")
WORKLOADS = (*CREATING, "probe", "restart", "verify")


def policy(*allowed: str) -> Json:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(allowed), "Resource": "*"}]}


def workload(service_account: str, **more: t.Any) -> Json:
    return {"namespace": "shop", "service_account": service_account, **more}


def driver(version: str, **role: t.Any) -> Json:
    account = {"name": "ebs-csi-controller-sa", "role": role}
    return {"name": "aws-ebs-csi-driver", "version": version, "service_accounts": [account]}


FIRST: Json = {
    "eks_region": "eu-west-1",
    "cluster_manage": False,
    "agent_ipv6": False,
    "addons_list": [driver("v1.39.0-eksbuild.1", name="driver"), {"name": "metrics-server"}],
    "service_account_create_namespaces": True,
    "podidentity_accounts": {OTHER: {"profile": TARGET_PROFILE}},
    "podidentity_workloads": [
        workload("reader", role={"name": "reader", "managed_policies": ["team"]}),
        workload(
            "chained",
            role={"name": "chained", "boundary": f"{POLICY}boundary"},
            target_role={"name": "target", "account": OTHER, "managed_policies": ["team"]},
            prove=LIST,
        ),
        workload("short", role={"name": "short", "inline_policy": policy("s3:ListAllMyBuckets")}),
    ],
}
TARGET = {
    "name": "target",
    "account": OTHER,
    "boundary": f"arn:aws:iam::{OTHER}:policy/boundary",
    "description": "Reads",
    "inline_policy": policy("s3:ListAllMyBuckets"),
    "managed_policies": [],
    "tags": {"team": "shop"},
}
SECOND: Json = {
    **FIRST,
    "agent_tags": {"team": "shop"},
    "addons_list": [driver("default", arn=f"{ROLE_PREFIX}app"), {"name": "metrics-server", "state": "absent"}],
    "podidentity_workloads": [
        workload(
            "reader",
            role={
                "name": "reader",
                "boundary": f"{POLICY}boundary",
                "description": "Reads",
                "inline_policy": policy("s3:*"),
                "managed_policies": [],
                "tags": {"team": "shop"},
                "trust": "open",
            },
            disable_session_tags=True,
            tags={"team": "shop"},
            prove=LIST,
        ),
        workload("chained", role={"name": "chained", "boundary": ""}, target_role=TARGET),
        workload("late", role={"name": "late"}, target_role=TARGET),
    ],
}


def fill_profile(story: Story) -> None:
    """A role that is to go is put into an instance profile, from which it must be taken before."""
    iam = story.sandbox.client("iam")
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_instance_profile(InstanceProfileName="theirs")
    iam.add_role_to_instance_profile(InstanceProfileName="theirs", RoleName="short")


def remove_all(story: Story) -> None:
    """No workload has anything any more; a role that is open to all goes only where it is declared."""
    story.administrate("playbooks/workload.yml", SECOND, workload_state="absent")
    none = {**FIRST, "podidentity_workloads": []}
    story.administrate("playbooks/workload.yml", none, podidentity_purge="cluster")


def restore_first(story: Story) -> None:
    """The workloads are as they were made first, and somebody has done with one of their roles what they did then."""
    remove_all(story)
    story.administrate("playbooks/site.yml", FIRST, "--tags", ",".join(CREATING), association_mode="fast")
    fill_profile(story)


def apply_second(story: Story) -> None:
    """Everything is as it was changed."""
    story.administrate("playbooks/site.yml", SECOND, "--tags", ",".join((*ADDONS, *CREATING)))


def attach_policy(story: Story) -> None:
    """A role has a managed policy of the account, whose document is to be read."""
    story.sandbox.client("iam").attach_role_policy(RoleName="reader", PolicyArn=f"{POLICY}team")


def break_roles(story: Story) -> None:
    """A role loses what its pods need, and an association goes."""
    eks, names = story.sandbox.client("eks"), {"clusterName": "example", "namespace": "shop", "serviceAccount": "late"}
    story.sandbox.client("iam").put_role_policy(**DENY_POLICY)
    [one] = eks.list_pod_identity_associations(**names)["associations"]
    eks.delete_pod_identity_association(clusterName="example", associationId=one["associationId"])


def remove_agent(story: Story) -> None:
    """No pod gets credentials any more."""
    eks, agent = story.sandbox.client("eks"), {"clusterName": "example", "addonName": "eks-pod-identity-agent"}
    eks.delete_addon(**agent)
    eks.get_waiter("addon_deleted").wait(**agent, WaiterConfig={"Delay": 1})


STEPS = (
    Step(
        name="add-ons, check mode",
        chapters=ADDONS,
        level="check",
        arguments=("--tags", ",".join(ADDONS), "--check"),
        declared=FIRST,
        withheld=("eks:DescribeAddonVersions",),
    ),
    Step(
        name="add-ons, made",
        chapters=ADDONS,
        level="apply",
        arguments=("--tags", ",".join(ADDONS)),
        declared=FIRST,
        withheld=("eks:CreateAddon",),
    ),
    Step(
        name="workloads, check mode",
        chapters=WORKLOADS,
        level="check",
        arguments=("--tags", ",".join(WORKLOADS), "--check"),
        declared=FIRST,
        withheld=("iam:ListPolicies",),
    ),
    Step(
        name="workloads, made",
        chapters=WORKLOADS,
        level="apply",
        arguments=("--tags", ",".join(WORKLOADS)),
        declared=FIRST,
        extra={"association_mode": "fast"},
        restore=remove_all,
        withheld=("iam:CreateRole",),
        withheld_elsewhere=("iam:CreateRole",),
    ),
    Step(
        name="all again, by somebody who may only look",
        chapters=(*ADDONS, *WORKLOADS),
        level="check",
        declared={**FIRST, "podidentity_accounts": {OTHER: {"assume_role_arn": DEPLOYMENT}}},
        extra={"association_mode": "fast"},
        withheld=("eks:DescribeAddon",),
    ),
    Step(
        name="add-ons, changed",
        chapters=ADDONS,
        level="remove",
        arguments=("--tags", ",".join(ADDONS)),
        declared=SECOND,
        withheld=("eks:DeleteAddon",),
    ),
    Step(
        name="workloads, changed",
        chapters=WORKLOADS,
        level="remove",
        arguments=("--tags", ",".join((*WORKLOADS, "remove"))),
        declared=SECOND,
        extra={"podidentity_purge": "cluster", "podidentity_revoke_sessions": True, "association_mode": "fast"},
        before=fill_profile,
        restore=restore_first,
        withheld=("eks:UpdatePodIdentityAssociation",),
    ),
    Step(
        name="who may do what",
        chapters=("access",),
        level="check",
        playbook="playbooks/access.yml",
        declared=FIRST,
        before=attach_policy,
        withheld=("eks:ListPodIdentityAssociations",),
    ),
    Step(
        name="inventory",
        chapters=("inventory",),
        level="check",
        arguments=("--list-hosts",),
        declared={"plugin": "podidentity.eks.aws_eks", "regions": ["all"]},
        withheld=("ec2:DescribeRegions",),
    ),
    Step(
        name="what is wrong with roles",
        chapters=("verify",),
        level="check",
        playbook="playbooks/verify.yml",
        declared=SECOND,
        extra={"verify_grace": 0},
        before=break_roles,
        withheld=("iam:GetRole",),
        fails="policy_denies",
    ),
    Step(
        name="what is wrong with the agent",
        chapters=("verify",),
        level="check",
        playbook="playbooks/verify.yml",
        declared=SECOND,
        extra={"verify_grace": 0},
        before=remove_agent,
        withheld=("eks:DescribeAddon",),
        fails="agent_missing",
    ),
    Step(
        name="teardown",
        chapters=(*ADDONS, *WORKLOADS),
        level="remove",
        playbook="playbooks/teardown.yml",
        declared=SECOND,
        restore=apply_second,
        withheld=("iam:DeleteRole",),
    ),
)


@pytest.fixture(scope="module")
def story(sandbox: SandboxProcess, playbook: Playbooks, tmp_path_factory: pytest.TempPathFactory) -> Story:
    return begin(sandbox, playbook, tmp_path_factory)


def begin(sandbox: SandboxProcess, playbook: Playbooks, folders: pytest.TempPathFactory) -> Story:
    """The story before its first step, with what others have in the accounts."""
    sandbox.add_account(OTHER)
    make_cluster(sandbox, make_account(sandbox), nodes=1)
    eks = sandbox.client("eks")
    eks.update_cluster_config(name="example", accessConfig={"authenticationMode": "API_AND_CONFIG_MAP"})
    eks.get_waiter("cluster_active").wait(name="example", WaiterConfig={"Delay": 1})
    for account in ("default", OTHER):
        iam = sandbox.client("iam", **sandbox.profile(account))
        for name in ("boundary", "team"):
            iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(policy("s3:*", "sts:*")))
    return Story(sandbox, playbook, folders.mktemp("story"), "example")


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_level_policy_suffices_and_fails_without_an_action(story: Story, step: Step) -> None:
    story.run_step(step)
    assert (story.problems, story.unreached) == ([], [])


def test_policy_holds_exactly_the_actions_used(story: Story) -> None:
    chapters = [chapter for chapter in CHAPTERS if chapter != "cluster"]
    assert story.differences(chapters, "check") == set()
    assert story.differences(chapters, "check", "apply", "remove") == set()
    elsewhere = {name for (_step, account), used in story.used.items() if account == OTHER for name in used}
    unused = {"iam:DeleteRolePermissionsBoundary", "iam:RemoveRoleFromInstanceProfile"}
    assert actions(pod_identity_operator_policy(["target_role"])) - elsewhere == CLUSTER_ACTIONS | unused


@pytest.mark.skipif(not EVERY_ACTION, reason="takes long; EVERY_PERMISSION=1 asks for it")
def test_fails_without_any_single_action(
    story: Story, sandbox: SandboxProcess, playbook: Playbooks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sandbox.reset()
    again = begin(sandbox, playbook, tmp_path_factory)
    for step in STEPS:
        again.run_step(again.withholding_every_action(step, story))
    assert again.problems == []
    assert {action for _step, action in again.unreached} <= again.reached
    # What only looks says what it could not look at, fast mode goes on without the index of tags, and a policy that
    # could not be looked for is attached.
    told = [(step, action) for step, action in again.named if step not in ("inventory", "who may do what")]
    assert {action for _step, action in told} <= {"tag:GetResources", "iam:GetPolicy"}
