# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What policies allow, as far as the overview has to know it."""

from __future__ import annotations

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import Policy
from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import Role
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import permits
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.trust import statements_of
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import as_list

#: AWS's own policies that allow nearly everything, known by their names where documents are not read.
ALMIGHTY = {
    "AdministratorAccess": "allows every action",
    "PowerUserAccess": "allows every action but those of IAM and Organizations",
}


def wildcards(name: str, arn: str | None, document: t.Any) -> str:
    """What a policy allows without any limit, as a clause; empty where there is nothing of that to be seen in it."""
    if arn and arn.partition(":policy/")[0].endswith(":iam::aws") and name in ALMIGHTY:
        return ALMIGHTY[name]
    for statement in statements_of(document):
        if statement.get("Effect") != "Allow" or not everywhere(statement):
            continue
        if {"*", "*:*"}.intersection(map(str, as_list(statement.get("Action")))):
            return "allows every action"
        if "NotAction" in statement:
            return f"allows every action but {', '.join(map(str, as_list(statement['NotAction'])))}"
    return ""


def everywhere(statement: t.Mapping[str, t.Any]) -> bool:
    """Whether a statement is about resources of all kinds."""
    return "NotResource" in statement or "*" in as_list(statement.get("Resource"))


def may_assume(role: Role, target_arn: str, actions: t.Sequence[str]) -> list[str]:
    """Which of the actions that lead from a role to its target role no policy of it allows.

    Empty as well where that cannot be told, because a policy was not read or says what it does not mean.
    """
    if not role.exists or role.note or any(map(unclear, role.policies)):
        return []
    documents = [policy.document for policy in role.policies]
    return [action for action in actions if not permits(documents, action, target_arn)]


def unclear(policy: Policy) -> bool:
    """Whether it cannot be told by what a policy's statements name that they allow nothing else."""
    return policy.document is None or any(
        {"NotAction", "NotResource"}.intersection(statement) for statement in statements_of(policy.document)
    )
