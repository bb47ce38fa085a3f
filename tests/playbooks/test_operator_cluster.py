# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A cluster with its network, made, changed and removed with just the permissions of the chapter ``cluster``.

Each step is run by a user who has the policy of its level, and before that by users who lack one action of it. Told in
order on one sandbox.
"""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_operator_policy import pod_identity_operator_policy
from support.existing_cluster import CLUSTER_PLAY
from support.iam_roles import make_role
from support.iam_roles import trust_policy
from support.operators import ACCOUNT
from support.operators import EVERY_ACTION
from support.operators import EVERYTHING
from support.operators import OTHER
from support.operators import Json
from support.operators import Operators
from support.operators import Step
from support.operators import Story
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep

CLUSTER = "shop"


def workers(port: int, **more: t.Any) -> Json:
    """A node group that needs a launch template and a security group."""
    rules = [{"proto": "tcp", "ports": [port], "cidr_ip": "10.42.0.0/16"}]
    group = {"name": "workers", "scaling": {"min_size": 1, "max_size": 1}, "disk_type": "gp3"}
    return {**group, "additional_security_groups": [{"name": "metrics", "rules": rules}], **more}


def entry(principal: str, *policies: str, **more: t.Any) -> Json:
    arn = f"arn:aws:iam::{ACCOUNT}:{principal}"
    return {"principal_arn": arn, "policies": [{"policy": name} for name in policies], **more}


FIRST: Json = {
    "eks_region": "eu-west-1",
    "cluster_zones": ["eu-west-1a", "eu-west-1b"],
    "cluster_nat": "per_zone",
    "cluster_version": "1.34",
    "cluster_node_role_arn": f"arn:aws:iam::{ACCOUNT}:role/given-nodes",
    "cluster_access_entries": [entry("role/developers", "AmazonEKSViewPolicy"), entry("user/developer")],
    "cluster_nodegroups": [workers(9100)],
}
SECOND: Json = {
    **FIRST,
    "cluster_nat": "single",
    "cluster_version": "1.35",
    "cluster_permissions_boundary": f"arn:aws:iam::{ACCOUNT}:policy/boundary",
    "cluster_encryption_key_arn": f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "cluster_logging": ["audit"],
    "cluster_tags": {"team": "shop"},
    "cluster_access_entries": [
        entry("role/developers", kubernetes_groups=["developers"]),
        entry("user/developer", "AmazonEKSViewPolicy"),
    ],
    "cluster_nodegroups": [workers(9200, disk_size=30, labels={"pool": "workers"})],
}


def replace_trust_policy(story: Story) -> None:
    """The control plane's role gets another trust policy."""
    iam, document = story.sandbox.client("iam"), trust_policy("eks.amazonaws.com", Sid="Theirs")
    iam.update_assume_role_policy(RoleName=f"{CLUSTER}-cluster", PolicyDocument=document)


def recreate_user(story: Story) -> None:
    """Somebody who has access is another one of the same name now."""
    story.sandbox.client("iam").delete_user(UserName="developer")
    story.sandbox.client("iam").create_user(UserName="developer")


def block_role_deletion(story: Story) -> None:
    """The control plane's role gets what keeps IAM from deleting it."""
    iam, name = story.sandbox.client("iam"), f"{CLUSTER}-cluster"
    iam.put_role_policy(RoleName=name, PolicyName="theirs", PolicyDocument=json.dumps(EVERYTHING))
    iam.create_instance_profile(InstanceProfileName="theirs")
    iam.add_role_to_instance_profile(InstanceProfileName="theirs", RoleName=name)


CHAPTER = ("cluster",)
TAGS = ("--tags", "cluster")
STEPS = (
    Step(
        name="check mode on an empty account",
        chapters=CHAPTER,
        level="check",
        arguments=(*TAGS, "--check"),
        declared=FIRST,
        withheld=("ec2:DescribeVpcs",),
    ),
    Step(
        name="made",
        chapters=CHAPTER,
        level="apply",
        arguments=TAGS,
        declared=FIRST,
        withheld=("ec2:CreateTags",),
        new_cluster=True,
    ),
    Step(
        name="check mode before a change",
        chapters=CHAPTER,
        level="check",
        arguments=(*TAGS, "--check"),
        declared=SECOND,
        withheld=("eks:DescribeNodegroup",),
    ),
    Step(
        name="changed",
        chapters=CHAPTER,
        level="remove",
        arguments=TAGS,
        declared=SECOND,
        before=replace_trust_policy,
        withheld=("eks:UpdateClusterConfig",),
    ),
    Step(
        name="an access entry made anew",
        chapters=CHAPTER,
        level="apply",
        arguments=TAGS,
        declared=SECOND,
        before=recreate_user,
        withheld=("eks:DeleteAccessEntry",),
    ),
    Step(
        name="removed",
        chapters=CHAPTER,
        level="remove",
        playbook="play.yml",
        declared={**SECOND, "cluster_state": "absent"},
        before=block_role_deletion,
        withheld=("eks:DeleteNodegroup",),
    ),
)


@pytest.fixture(scope="module")
def story(sandbox: SandboxProcess, playbook: Playbooks, tmp_path_factory: pytest.TempPathFactory) -> Story:
    return begin(sandbox, playbook, tmp_path_factory)


def begin(sandbox: SandboxProcess, playbook: Playbooks, folders: pytest.TempPathFactory) -> Story:
    """The story before its first step, with what others have in the account."""
    sandbox.add_account(OTHER)
    iam = sandbox.client("iam")
    for name in ("developers", "given-nodes"):
        make_role(iam, name, "ec2.amazonaws.com")
    # Of its own, so that only IAM can tell whether it is enough.
    iam.put_role_policy(RoleName="given-nodes", PolicyName="all", PolicyDocument=json.dumps(EVERYTHING))
    iam.create_policy(PolicyName="boundary", PolicyDocument=json.dumps(EVERYTHING))
    iam.create_user(UserName="developer")
    folder = folders.mktemp("story")
    # The end of a cluster has no connection to it, so that the playbook site cannot tell it.
    (folder / "play.yml").write_text(json.dumps([CLUSTER_PLAY]), encoding="utf-8")
    return Story(sandbox, playbook, folder, CLUSTER)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_level_policy_suffices_and_fails_without_an_action(story: Story, step: Step) -> None:
    story.run_step(step)
    assert (story.problems, story.unreached) == ([], [])


def test_policy_holds_exactly_the_actions_used(story: Story) -> None:
    assert story.differences(CHAPTER, "check") == set()
    assert story.differences(CHAPTER, "check", "apply", "remove") == set()


def test_boundary_is_required_to_create_or_change_roles(sandbox: SandboxProcess) -> None:
    boundary, other = (f"arn:aws:iam::{ACCOUNT}:policy/{name}" for name in ("limit", "other"))
    admin, people = sandbox.client("iam"), Operators(sandbox)
    for arn in (boundary, other):
        admin.create_policy(PolicyName=arn.rpartition("/")[2], PolicyDocument=json.dumps(EVERYTHING))
    people.add("bounded", pod_identity_operator_policy(["cluster", "iam_role"], permissions_boundary=boundary))
    iam = sandbox.client("iam", **{name.lower(): value for name, value in people.keys["bounded"].items()})
    for name in ("bounded-cluster", "bounded-app"):
        new = {"RoleName": name, "AssumeRolePolicyDocument": trust_policy("eks.amazonaws.com")}
        role, policy = {"RoleName": name}, "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"
        with pytest.raises(iam.exceptions.ClientError, match="AccessDenied"):
            iam.create_role(**new)
        iam.create_role(**new, PermissionsBoundary=boundary)
        iam.attach_role_policy(**role, PolicyArn=policy)
        with pytest.raises(iam.exceptions.ClientError, match="AccessDenied"):
            iam.put_role_permissions_boundary(**role, PermissionsBoundary=other)
        with pytest.raises(iam.exceptions.ClientError, match="AccessDenied"):
            iam.delete_role_permissions_boundary(**role)
        admin.delete_role_permissions_boundary(**role)
        with pytest.raises(iam.exceptions.ClientError, match="AccessDenied"):
            iam.attach_role_policy(**role, PolicyArn=policy)
        iam.put_role_permissions_boundary(**role, PermissionsBoundary=boundary)


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
    warned = {"eks:ListAccessPolicies", "iam:GetUser", "iam:SimulatePrincipalPolicy"}
    assert {action for _step, action in again.named} <= warned, "what could not be looked at is a warning"
