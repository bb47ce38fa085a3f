# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Two runs at work on the same thing: what the other one has created or deleted meanwhile, the plan follows."""

from __future__ import annotations

import typing as t

from . import codes
from . import common

if t.TYPE_CHECKING:
    import collections.abc as c

R = t.TypeVar("R")


def name_taken(_error: common.AnsibleEKSError) -> bool:
    """What ResourceInUseException always means where names are all that creations compete for."""
    return True


def follow(
    reconcile: c.Callable[[list[common.Action]], R], exists: c.Callable[[common.AnsibleEKSError], bool] = name_taken
) -> R:
    """Observe, plan and apply, again where another run was quicker; returns what the last attempt gave.

    :param reconcile: appends each call that it has made to the list, which all attempts share.
    :param exists: whether a creation was refused because the resource is there by now.
    :raises common.AnsibleEKSError: what the last attempt failed with.
    """
    done: list[common.Action] = []
    for _attempt in range(common.MOST_RACES - 1):
        try:
            return reconcile(done)
        except common.AnsibleEKSError as error:
            operation = str(getattr(error.exception, "operation_name", ""))
            code = common.error_of(error)[0]
            created = operation.startswith("Create") and code == codes.IN_USE and exists(error)
            deleted = not operation.startswith(("Create", "Describe", "List")) and code in codes.NOT_FOUND
            if not (created or deleted):
                raise
    return reconcile(done)
