# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stories told by IAM users who have just what the filter pod_identity_operator_policy says.

``EVERY_PERMISSION=1`` in the environment takes away every single action of each step in turn, which takes half an hour
a story; otherwise a step names the ones that are taken away.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import typing as t

import yaml
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_operator_policy import pod_identity_operator_policy
from support.playbooks import Playbooks
from support.playbooks import Run
from support.sandbox_process import SandboxProcess

ACCOUNT, OTHER = "111122223333", "444455556666"
EVERY_ACTION = bool(os.environ.get("EVERY_PERMISSION"))
CLUSTER_ADMIN = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
#: amazon.aws.aws_caller_info goes on without an answer to the first; nobody needs to be allowed the second.
NOT_NEEDED = frozenset({"iam:ListAccountAliases", "sts:GetCallerIdentity"})
#: The profile of somebody who takes care of the target roles in the other account.
TARGET_PROFILE = "elsewhere"
#: A role there that the users may assume.
DEPLOYMENT = f"arn:aws:iam::{OTHER}:role/deployment"
SETTINGS = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}

Json = dict[str, t.Any]
EVERYTHING: Json = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def actions(policy: Json) -> set[str]:
    """The actions of a policy document."""
    return {action for statement in policy["Statement"] for action in statement["Action"]}


def without(policy: Json, action: str) -> Json:
    """The policy without one action, wherever it stands in it."""
    kept = [{**one, "Action": [name for name in one["Action"] if name != action]} for one in policy["Statement"]]
    return {**policy, "Statement": [statement for statement in kept if statement["Action"]]}


class Operators:
    """The users of an account of the sandbox."""

    def __init__(self, sandbox: SandboxProcess, account: str = ACCOUNT) -> None:
        self._sandbox = sandbox
        self._account = account
        self._iam = sandbox.client("iam", **sandbox.profile("default" if account == ACCOUNT else account))
        self.keys: dict[str, dict[str, str]] = {}

    def add(self, name: str, policy: Json) -> None:
        """Make a user who has this policy alone, as a managed one; nothing where there is one of that name."""
        if name in self.keys:
            return
        self._iam.create_user(UserName=name)
        document = json.dumps(policy, separators=(",", ":"))
        made = self._iam.create_policy(PolicyName=name, PolicyDocument=document)["Policy"]
        self._iam.attach_user_policy(UserName=name, PolicyArn=made["Arn"])
        key = self._iam.create_access_key(UserName=name)["AccessKey"]
        self.keys[name] = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    def used_actions(self, name: str) -> dict[str, bool]:
        """Of each action that the user needed since the log was cleared, in order, whether it was always allowed."""
        asked = self._sandbox.permissions(f"arn:aws:iam::{self._account}:user/{name}")
        return {action: not answers["denied"] for action, answers in asked.items() if action not in NOT_NEEDED}


def refusals(*asked: t.Mapping[str, bool]) -> set[str]:
    """The actions that were not always allowed, of several users."""
    return {action for answers in asked for action, allowed in answers.items() if not allowed}


def no_preparation(_story: Story) -> None:
    """A step that needs no preparation."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One run of a playbook."""

    name: str
    chapters: tuple[str, ...]
    level: str
    playbook: str = "playbooks/site.yml"
    arguments: tuple[str, ...] = ()
    #: The variables of the host.
    declared: Json
    extra: Json = dataclasses.field(default_factory=dict)
    #: What others do before.
    before: t.Callable[[Story], object] = no_preparation
    #: Actions that are taken away, each for a run of its own, before the step is run with all of them: from its user,
    #: and from the one who takes care of target roles in the other account.
    withheld: tuple[str, ...] = ()
    withheld_elsewhere: tuple[str, ...] = ()
    #: Whether each of these runs is about another cluster, since one that exists needs less.
    new_cluster: bool = False
    #: What makes the state before the step anew, since a run that is refused something does all the rest; where every
    #: action is taken away in turn it is done before each (``before_each``).
    restore: t.Callable[[Story], object] = no_preparation
    before_each: t.Callable[[Story], object] = no_preparation
    #: What a run says that is to fail even so.
    fails: str = ""


def make_deployment_role(sandbox: SandboxProcess) -> None:
    """A role in the other account for those who only look at target roles there."""
    iam = sandbox.client("iam", **sandbox.profile(OTHER))
    statement = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
    trust = {"Version": "2012-10-17", "Statement": [statement]}
    iam.create_role(RoleName="deployment", AssumeRolePolicyDocument=json.dumps(trust))
    document = json.dumps(pod_identity_operator_policy(["target_role"], level="check"))
    iam.put_role_policy(RoleName="deployment", PolicyName="deployment", PolicyDocument=document)


class Story:
    """Steps on one cluster, in order, each by a user who has the policy of the step's chapters and level alone."""

    def __init__(self, sandbox: SandboxProcess, playbook: Playbooks, folder: pathlib.Path, cluster: str) -> None:
        self.sandbox, self.cluster = sandbox, cluster
        self._playbook, self._folder = playbook, folder
        self.people = Operators(sandbox)
        self.elsewhere = Operators(sandbox, OTHER)
        make_deployment_role(sandbox)
        #: Those who are administrators inside the cluster: what Kubernetes allows is another test's matter.
        self._admitted: set[str] = set()
        #: By step and account, the actions that its runs needed, in order.
        self.used: dict[tuple[str, str], dict[str, bool]] = collections.defaultdict(dict)
        self._levels: dict[str, set[str]] = collections.defaultdict(set)
        #: What was tried without, by chapters.
        self._tried: set[tuple[tuple[str, ...], str]] = set()
        #: Steps and actions without which a run succeeded, and named what it could not look at.
        self.named: list[tuple[str, str]] = []
        #: Those without which a run was not refused alone, or did not say so.
        self.problems: list[tuple[str, str]] = []
        #: Those that a run had no use for any more: one that is refused something does all the rest.
        self.unreached: list[tuple[str, str]] = []
        #: Those that some run has asked for and not got.
        self.reached: set[str] = set()

    def run_step(self, step: Step) -> Run:
        """Run a step, first without single actions, then with all that its user has: then nothing is denied."""
        step.before(self)
        for action in step.withheld:
            self._try_without(step, action, ACCOUNT)
        for action in step.withheld_elsewhere:
            self._try_without(step, action, OTHER)
        user, other = self._user(step), self._other_user()
        run = self._run(step, user, other, self.cluster)
        asked, elsewhere = self.people.used_actions(user), self.elsewhere.used_actions(other)
        self._note(step, asked, elsewhere)
        denied = refusals(asked, elsewhere)
        assert not denied, denied
        assert (run.code == 0) == (not step.fails), run.code
        assert step.fails in run.output
        return run

    def administrate(self, playbook: str, declared: Json, *arguments: str, **extra: t.Any) -> None:
        """Run a playbook as somebody who may do everything."""
        env = {"AWS_CONFIG_FILE": self._config(self._other_user())}
        inventory = self._inventory(declared, self.cluster)
        assert self._playbook(playbook, *arguments, env=env, inventory=inventory, **extra).code == 0

    def withholding_every_action(self, step: Step, story: Story) -> Step:
        """The step with all actions to take away that its user needed when the story was told, in the same order.

        What a run has done before it was refused is done, so that the next one gets further. An action that an earlier
        step of the same chapters was tried without is left out.
        """
        needed = story.used[step.name, ACCOUNT]
        new = (name for name in needed if (step.chapters, name) not in self._tried)
        # Without the index of tags a run does everything; so it comes last.
        withheld = tuple(sorted(new, key=lambda name: name == "tag:GetResources"))
        self._tried |= {(step.chapters, name) for name in needed}
        return dataclasses.replace(step, withheld=withheld, withheld_elsewhere=(), before_each=step.restore)

    def differences(self, chapters: t.Sequence[str], *levels: str) -> set[str]:
        """What the steps of these levels needed beyond the policy of the last one, and what it holds beyond that."""
        used = set().union(*(self._levels[level] for level in levels)) - {"sts:AssumeRole"}
        return used ^ actions(pod_identity_operator_policy(list(chapters), level=levels[-1]))

    def _try_without(self, step: Step, action: str, account: str) -> None:
        """Run a step where one action is lacking: it is refused, and the run names it."""
        step.before_each(self)
        own = account == ACCOUNT
        user, other = self._user(step, action if own else ""), self._other_user("" if own else action)
        cluster = f"{self.cluster}-{len(self.people.keys)}" if step.new_cluster else self.cluster
        run = self._run(step, user, other, cluster)
        asked, elsewhere = self.people.used_actions(user), self.elsewhere.used_actions(other)
        self._note(step, asked, elsewhere)
        denied = refusals(asked, elsewhere)
        print(f"WITHOUT {action} in {account}, {step.name}: exit code {run.code}, denied {denied}", flush=True)
        if action not in (asked if own else elsewhere):
            self.unreached.append((step.name, action))
            return
        self.reached.add(action)
        if denied != {action} or action not in run.output:
            self.problems.append((step.name, action))
        elif run.code == 0:
            self.named.append((step.name, action))

    def _note(self, step: Step, asked: t.Mapping[str, bool], elsewhere: t.Mapping[str, bool]) -> None:
        """Remember what a run needed."""
        self.used[step.name, ACCOUNT].update(asked)
        self.used[step.name, OTHER].update(elsewhere)
        self._levels[step.level] |= set(asked)

    def _user(self, step: Step, lacking: str = "") -> str:
        """The name of the user for a step, who is made if need be."""
        name = "-".join(filter(None, ["-".join(step.chapters)[:20], step.level, lacking.replace(":", "_")]))
        policy = pod_identity_operator_policy(list(step.chapters), level=step.level, assume_role_arns=[DEPLOYMENT])
        self.people.add(name, without(policy, lacking))
        return name

    def _other_user(self, lacking: str = "") -> str:
        """The same for the one who takes care of target roles."""
        name = "-".join(filter(None, ["target_role", lacking.replace(":", "_")]))
        self.elsewhere.add(name, without(pod_identity_operator_policy(["target_role"]), lacking))
        return name

    def _run(self, step: Step, user: str, other: str, cluster: str) -> Run:
        self._grant_admin_access(user)
        self.sandbox.clear_calls()
        return self._playbook(
            str(self._folder / step.playbook) if step.playbook == "play.yml" else step.playbook,
            *step.arguments,
            env={**self.people.keys[user], "AWS_CONFIG_FILE": self._config(other)},
            inventory=self._inventory(step.declared, cluster),
            **step.extra,
        )

    def _grant_admin_access(self, user: str) -> None:
        eks = self.sandbox.client("eks")
        if user not in self._admitted and self.cluster in eks.list_clusters()["clusters"]:
            key = {"clusterName": self.cluster, "principalArn": f"arn:aws:iam::{ACCOUNT}:user/{user}"}
            # Whoever made the cluster has an entry.
            with contextlib.suppress(eks.exceptions.ResourceInUseException):
                eks.create_access_entry(**key)
            eks.associate_access_policy(**key, policyArn=CLUSTER_ADMIN, accessScope={"type": "cluster"})
            self._admitted.add(user)

    def _config(self, other: str) -> str:
        """An AWS config file with a profile for the other account."""
        lines = [f"{name.lower()} = {value}" for name, value in self.elsewhere.keys[other].items()]
        path = self._folder / "config"
        path.write_text("\n".join([f"[profile {TARGET_PROFILE}]", *lines, ""]), encoding="utf-8")
        return str(path)

    def _inventory(self, declared: Json, cluster: str) -> str:
        """An inventory that is declared itself, or one with the cluster as its host."""
        hosts = {"eks_clusters": {"hosts": {cluster: declared}, "vars": SETTINGS}}
        path = self._folder / ("aws_eks.yml" if "plugin" in declared else "hosts.yml")
        path.write_text(yaml.safe_dump(declared if "plugin" in declared else hosts), encoding="utf-8")
        return str(path)
