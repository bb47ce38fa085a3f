# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Why a call of IAM was refused, and what to do about it."""

from __future__ import annotations

import typing as t

from .. import codes
from .. import common
from . import applying

if t.TYPE_CHECKING:
    from ..._trust.planning import RolePlan

QUOTAS = {
    "create_role": "delete roles that nobody needs, or have the quota 'Roles per account' raised",
    "update_assume_role_policy": "set trust_size_limit to the account's quota 'Role trust policy length', or raise it",
    "attach_role_policy": "set managed_policies_limit to the account's quota 'Managed policies per role', or raise it",
}
#: Cause and advice by error code.
CAUSES = {
    applying.EXISTS: (
        "There is a role whose name is {name} but for upper and lower case",
        "spell role.name as that role is spelt, or give another name",
    ),
    applying.CONFLICT: ("Somebody else has put something into the role meanwhile", "run it again"),
    "UnmodifiableEntity": (
        "Role {name} belongs to a service of AWS, which alone may change it",
        "give role.name another name",
    ),
}


def render(plan: RolePlan, failure: applying.Failure) -> dict[str, t.Any]:
    """A failure as the module returns it."""
    code, message = common.error_of(failure.error)
    cause, advice = cause_and_advice(plan, failure.operation, code, message)
    return {
        "name": plan.name,
        "action": plan.action,
        "operation": failure.operation,
        "code": code or type(failure.error.exception or failure.error).__name__,
        "message": message or str(failure.error.exception or failure.error),
        "cause": cause or str(failure.error.message),
        "advice": advice,
    }


def cause_and_advice(plan: RolePlan, operation: str, code: str, message: str) -> tuple[str, str]:
    """What is wrong and what to do, one clause each; empty where nobody knows more than the service says."""
    if code in codes.ACCESS_DENIED:
        action = "".join(word.capitalize() for word in operation.split("_"))
        return f"The caller may not call iam:{action}", f"allow it on {plan.arn}"
    if code == codes.NO_SUCH_ENTITY and applying.ABOUT_POLICY.search(message):
        return "A managed policy does not exist", "correct its ARN, or make the policy first"
    if code == "LimitExceeded" and operation in QUOTAS:
        return "A quota of IAM is used up", QUOTAS[operation]
    cause, advice = CAUSES.get(code, ("", ""))
    return cause.format(name=plan.name), advice
