# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole story under the policies that the filter pod_identity_operator_policy makes, and no permission beyond them.

Each step is run by a user who has the policy of its chapters and its level alone. Told in order on one sandbox.
"""

from __future__ import annotations

import collections
import json
import pathlib
import typing as t

import pytest
import yaml
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_operator_policy import pod_identity_operator_policy
from iam_roles import make_role
from iam_roles import trust_policy
from playbooks.conftest import Playbooks
from playbooks.conftest import Run
from playbooks.operators import ACCOUNT
from playbooks.operators import OTHER
from playbooks.operators import Operators
from playbooks.operators import actions
from sandbox_process import SandboxProcess

HOST = "story"
SITE = "playbooks/site.yml"
DEPLOYMENT = f"arn:aws:iam::{OTHER}:role/deployment"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/"
WORKLOADS = ("iam_role", "service_account", "association", "target_role", "probe", "restart", "verify")
POLICY = f"arn:aws:iam::{ACCOUNT}:policy/"
#: Those who have to do with Kubernetes as well.
INSIDE: tuple[tuple[t.Sequence[str], str], ...] = (
    ([], "check"),
    ([], "remove"),
    (["agent", "addons"], "apply"),
    (["agent", "addons"], "remove"),
    (WORKLOADS, "apply"),
    (WORKLOADS, "remove"),
    (["verify"], "check"),
)
LIST = {"service": "s3", "operation": "list_buckets"}


def policy(*allowed: str) -> dict[str, t.Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": list(allowed), "Resource": "*"}],
    }


def workers(port: int, **more: t.Any) -> dict[str, t.Any]:
    """A node group that needs a launch template and a security group."""
    rules = [{"proto": "tcp", "ports": [port], "cidr_ip": "10.42.0.0/16"}]
    return {
        "name": "workers",
        "instance_types": ["m5.large"],
        "scaling": {"min_size": 1, "max_size": 1},
        "disk_type": "gp3",
        "additional_security_groups": [{"name": "metrics", "rules": rules}],
        **more,
    }


def workload(service_account: str, **more: t.Any) -> dict[str, t.Any]:
    return {"namespace": "shop", "service_account": service_account, **more}


def entry(principal: str, *policies: str, **more: t.Any) -> dict[str, t.Any]:
    arn = f"arn:aws:iam::{ACCOUNT}:{principal}"
    return {"principal_arn": arn, "policies": [{"policy": name} for name in policies], **more}


def driver(version: str, **role: t.Any) -> dict[str, t.Any]:
    account = {"name": "ebs-csi-controller-sa", "role": role}
    return {"name": "aws-ebs-csi-driver", "version": version, "service_accounts": [account]}


#: As it is made.
FIRST: dict[str, t.Any] = {
    "eks_region": "eu-west-1",
    "cluster_zones": ["eu-west-1a", "eu-west-1b"],
    "cluster_nat": "per_zone",
    "cluster_version": "1.34",
    "cluster_node_role_arn": f"{ROLE}given-nodes",
    "cluster_access_entries": [entry("role/developers", "AmazonEKSViewPolicy"), entry("user/developer")],
    "cluster_nodegroups": [workers(9100)],
    "agent_ipv6": False,
    "addons_list": [driver("v1.39.0-eksbuild.1", name="driver"), {"name": "metrics-server"}],
    "service_account_create_namespaces": True,
    "podidentity_accounts": {OTHER: {"profile": "other"}},
    "podidentity_workloads": [
        workload("reader", role={"name": "reader", "managed_policies": ["team"]}),
        workload(
            "chained",
            role={"name": "chained", "boundary": f"{POLICY}boundary"},
            target_role={"name": "target", "account": OTHER, "inline_policy": policy("s3:ListAllMyBuckets")},
            prove={"allow": [LIST]},
        ),
        workload("short", role={"name": "short", "inline_policy": policy("s3:ListAllMyBuckets")}),
    ],
}
#: As it is changed.
SECOND: dict[str, t.Any] = {
    **FIRST,
    "cluster_nat": "single",
    "cluster_version": "1.35",
    "cluster_encryption_key_arn": KEY,
    "cluster_logging": ["audit"],
    "cluster_tags": {"team": "shop"},
    "cluster_access_entries": [entry("role/developers", kubernetes_groups=["developers"])],
    "cluster_nodegroups": [workers(9200, disk_size=30, labels={"pool": "workers"})],
    "agent_tags": {"team": "shop"},
    "addons_list": [driver("default", arn=f"{ROLE}given"), {"name": "metrics-server", "state": "absent"}],
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
            tags={"team": "shop"},
        ),
        workload("chained", role={"name": "chained", "boundary": ""}),
    ],
}
SETTINGS = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}


class Story:
    """Runs steps of the story, each as a user who has the policy of its chapters and level, and keeps what they used."""

    def __init__(self, sandbox: SandboxProcess, playbook: Playbooks, folder: pathlib.Path) -> None:
        self.sandbox, self._playbook, self._folder = sandbox, playbook, folder
        self.people = Operators(sandbox)
        sandbox.add_account(OTHER)
        self.elsewhere = Operators(sandbox, OTHER)
        #: By chapters and level.
        self.used: dict[tuple[tuple[str, ...], str], set[str]] = collections.defaultdict(set)
        self._prepare()

    def _prepare(self) -> None:
        """What others have in the two accounts."""
        iam = self.sandbox.client("iam")
        for name, service in (("developers", "ec2"), ("given", "pods.eks"), ("given-nodes", "ec2")):
            make_role(iam, name, f"{service}.amazonaws.com")
        iam.put_role_policy(RoleName="given-nodes", PolicyName="all", PolicyDocument=json.dumps(policy("*")))
        iam.create_user(UserName="developer")
        for name in ("boundary", "team"):
            iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(policy("s3:*")))

    def inventory(self, **declared: t.Any) -> str:
        path = self._folder / "hosts.yml"
        path.write_text(yaml.safe_dump({"eks_clusters": {"hosts": {HOST: declared}, "vars": SETTINGS}}), "utf-8")
        return str(path)

    def environment(self, user: str) -> dict[str, str]:
        """The keys of a user, and the profile ``other`` of one for target roles."""
        other = self.elsewhere.keys(self.elsewhere.of(["target_role"], "remove"))
        lines = "\n".join(f"{name.lower()} = {value}" for name, value in other.items())
        config = self._folder / "config"
        config.write_text(f"[profile other]\n{lines}\n", encoding="utf-8")
        return {**self.people.keys(user), "AWS_CONFIG_FILE": str(config)}

    def run(
        self,
        chapters: t.Sequence[str],
        level: str,
        playbook: str,
        *arguments: str,
        declared: t.Mapping[str, t.Any] | None = None,
        inventory: str = "",
        **extra: t.Any,
    ) -> Run:
        user = self.people.of(chapters, level)
        self.sandbox.clear_calls()
        done = self._playbook(
            playbook,
            *arguments,
            env=self.environment(user),
            inventory=inventory or self.inventory(**(declared or FIRST)),
            **extra,
        )
        self.used[tuple(chapters), level] |= self.people.used(user)
        self.used[("target_role",), "elsewhere"] |= self.elsewhere.used("target_role.remove")
        assert self.people.denied(user) | self.elsewhere.denied("target_role.remove") == set()
        return done


@pytest.fixture(scope="module")
def story(sandbox: SandboxProcess, playbook: Playbooks, tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(sandbox, playbook, tmp_path_factory.mktemp("story"))


def xtest_check_mode_on_an_empty_account(story: Story) -> None:
    assert story.run([], "check", SITE, "--check", "--diff").code == 0


def test_a_cluster_is_made(story: Story) -> None:
    assert story.run(["cluster"], "apply", SITE, "--tags", "cluster").code == 0
    story.people.admit(HOST, *(story.people.of(chapters, level) for chapters, level in INSIDE))


def test_add_ons_are_installed(story: Story) -> None:
    assert story.run(["agent", "addons"], "apply", SITE, "--tags", "agent,addons").code == 0


def test_workloads_are_made_and_proven(story: Story) -> None:
    assert story.run(WORKLOADS, "apply", SITE, "--tags", ",".join(WORKLOADS)).code == 0


def test_a_second_run_only_reads(story: Story) -> None:
    run = story.run([], "check", SITE)
    assert (run.code, run.count("changed", HOST)) == (0, 0)


def test_a_cluster_is_changed(story: Story) -> None:
    iam = story.sandbox.client("iam")
    iam.update_assume_role_policy(RoleName=f"{HOST}-cluster", PolicyDocument=trust_policy("eks.amazonaws.com"))
    assert story.run(["cluster"], "remove", SITE, "--tags", "cluster", declared=SECOND).code == 0


def test_add_ons_are_changed_and_removed(story: Story) -> None:
    assert story.run(["agent", "addons"], "remove", SITE, "--tags", "agent,addons", declared=SECOND).code == 0


def test_workloads_are_changed_and_removed(story: Story) -> None:
    in_profile(story.sandbox.client("iam"), "short")
    options = {"podidentity_purge": "cluster", "podidentity_revoke_sessions": True, "association_mode": "fast"}
    tags = ",".join((*WORKLOADS, "remove"))
    assert story.run(WORKLOADS, "remove", SITE, "--tags", tags, declared=SECOND, **options).code == 0


def in_profile(iam: t.Any, role: str) -> None:
    """Put a role into an instance profile, from which it must be taken before it can go."""
    iam.create_instance_profile(InstanceProfileName=f"of-{role}")
    iam.add_role_to_instance_profile(InstanceProfileName=f"of-{role}", RoleName=role)


def test_who_may_do_what_is_looked_up(story: Story) -> None:
    assert story.run(["access"], "check", "playbooks/access.yml").code == 0


def test_clusters_are_found(story: Story, tmp_path: pathlib.Path) -> None:
    inventory = tmp_path / "aws_eks.yml"
    inventory.write_text(yaml.safe_dump({"plugin": "podidentity.eks.aws_eks", "regions": ["all"]}), encoding="utf-8")
    run = story.run(["inventory"], "check", SITE, "--list-hosts", inventory=str(inventory))
    assert HOST in run.output


def test_the_causes_of_a_failed_proof_are_found(story: Story) -> None:
    eks, agent = story.sandbox.client("eks"), {"clusterName": HOST, "addonName": "eks-pod-identity-agent"}
    eks.delete_addon(**agent)
    eks.get_waiter("addon_deleted").wait(**agent, WaiterConfig={"Delay": 1})
    run = story.run(["verify"], "check", "playbooks/verify.yml", declared=SECOND, verify_grace=0)
    assert run.code != 0
    assert "agent_missing" in run.output


def test_everything_is_removed(story: Story) -> None:
    in_profile(story.sandbox.client("iam"), f"{HOST}-cluster")
    assert story.run([], "remove", "playbooks/teardown.yml", declared=SECOND).code == 0


def test_every_permission_was_needed_and_no_other(story: Story) -> None:
    for (chapters, level), used in story.used.items():
        print(chapters, level, len(used))
        if level == "elsewhere":
            print("   elsewhere", sorted(used))
            continue
        allowed = actions(pod_identity_operator_policy(list(chapters), level=level))
        print("   not used", sorted(allowed - used), "not allowed", sorted(used - allowed))
    every = set().union(*story.used.values())
    assert every == actions(pod_identity_operator_policy([]))
