# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The IAM users that the sandbox hands out in each account: an administrator, and an operator with few permissions."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing as t

from eks_sandbox.aws.ministack import Ministack
from eks_sandbox.interfaces import Credentials

OPERATOR = "operator"
#: The permissions of the operator: those that the collection documents for its playbooks.
OPERATOR_POLICY = pathlib.Path(__file__).resolve().parents[1] / "data" / "operator-policy.json"


@dataclasses.dataclass(frozen=True)
class User:
    """An IAM user with its keys; never log it."""

    #: Its profile in the AWS config file: ``default`` and ``operator``, or ``<account>`` and ``<account>-operator``.
    profile: str
    keys: Credentials

    def settings(self) -> dict[str, str]:
        """Its keys as AWS clients name them in a config file."""
        return {"aws_access_key_id": self.keys.access_key, "aws_secret_access_key": self.keys.secret_key}


class Users:
    """The users of every account that the sandbox has; they and their keys outlive a reset."""

    def __init__(self, ministack: Ministack, changed: t.Callable[[t.Sequence[User]], None]) -> None:
        self._ministack = ministack
        self._changed = changed
        self._users: dict[str, list[User]] = {}

    async def add_account(self, account: str) -> list[User]:
        """The administrator and the operator of an account, which is created if it is new.

        Raises ValueError if this is not an account id.
        """
        if account not in self._users:
            main = account == self._ministack.account
            policy = json.loads(OPERATOR_POLICY.read_text(encoding="utf-8"))
            administrator = await self._ministack.add_account(account)
            operator = await self._ministack.add_user(account, OPERATOR, policy)
            self._users[account] = [
                User("default" if main else account, administrator),
                User(OPERATOR if main else f"{account}-{OPERATOR}", operator),
            ]
            self._changed([user for users in self._users.values() for user in users])
        return self._users[account]
