# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""People with few permissions: IAM users that have just what the filter pod_identity_operator_policy says."""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.podidentity.eks.plugins.filter.pod_identity_operator_policy import pod_identity_operator_policy
from sandbox_process import SandboxProcess

ACCOUNT, OTHER = "111122223333", "444455556666"
CLUSTER_ADMIN = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
#: Asked by amazon.aws.aws_caller_info, which goes on without an answer; sts:GetCallerIdentity nobody needs to be allowed.
NOT_NEEDED = frozenset({"iam:ListAccountAliases", "sts:GetCallerIdentity"})

Policy = dict[str, t.Any]


def actions(policy: Policy) -> set[str]:
    """The actions of a policy document."""
    return {action for statement in policy["Statement"] for action in statement["Action"]}


def without(policy: Policy, action: str) -> Policy:
    """The policy without one action, wherever it stands in it."""
    kept = [{**one, "Action": [name for name in one["Action"] if name != action]} for one in policy["Statement"]]
    return {**policy, "Statement": [statement for statement in kept if statement["Action"]]}


class Operators:
    """The users of an account of the sandbox, and what each of them has been asked for."""

    def __init__(self, sandbox: SandboxProcess, account: str = ACCOUNT) -> None:
        self._sandbox = sandbox
        self._account = account
        self._iam = sandbox.client("iam", **sandbox.profile("default" if account == ACCOUNT else account))
        self._keys: dict[str, dict[str, str]] = {}

    def add(self, name: str, policy: Policy) -> None:
        """Make a user who has this policy alone, as a managed one; nothing for one who is there."""
        if name in self._keys:
            return
        self._iam.create_user(UserName=name)
        document = json.dumps(policy, separators=(",", ":"))
        made = self._iam.create_policy(PolicyName=name, PolicyDocument=document)["Policy"]
        self._iam.attach_user_policy(UserName=name, PolicyArn=made["Arn"])
        key = self._iam.create_access_key(UserName=name)["AccessKey"]
        self._keys[name] = {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }

    def of(self, chapters: t.Sequence[str], level: str, **parameters: t.Any) -> str:
        """The name of the user for these chapters, who is made if need be."""
        name = f"{'-'.join(chapters) or 'all'}.{level}"[:64]
        self.add(name, pod_identity_operator_policy(list(chapters), level=level, **parameters))
        return name

    def keys(self, name: str) -> dict[str, str]:
        """What the user has in the environment."""
        return self._keys[name]

    def admit(self, cluster: str, *names: str) -> None:
        """Make users administrators inside a cluster: what Kubernetes allows is another test's matter."""
        eks = self._sandbox.client("eks")
        for name in names:
            key = {"clusterName": cluster, "principalArn": f"arn:aws:iam::{self._account}:user/{name}"}
            eks.create_access_entry(**key)
            eks.associate_access_policy(**key, policyArn=CLUSTER_ADMIN, accessScope={"type": "cluster"})

    def used(self, name: str) -> set[str]:
        """The actions that the user has needed so far."""
        return set(self._sandbox.permissions(f"arn:aws:iam::{self._account}:user/{name}")) - NOT_NEEDED

    def denied(self, name: str) -> set[str]:
        """The actions that the user was refused."""
        asked = self._sandbox.permissions(f"arn:aws:iam::{self._account}:user/{name}")
        return {action for action, answers in asked.items() if answers["denied"]} - NOT_NEEDED


def complaints(output: str, host: str) -> str:
    """What a run says of a host's failures, in one line."""
    told = re.findall(rf"^(?:fatal|failed): \[{re.escape(host)}\].*?(?=^\S|\Z)", output, re.M | re.S)
    return " ".join(" ".join(told).split())
