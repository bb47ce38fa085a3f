# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Documents of a role that several runs may write: the trust policy, and inline policies with statements of many.

IAM replaces such a document as a whole (UpdateAssumeRolePolicy, PutRolePolicy) and has no optimistic locking: of two
runs that read, merge and write at the same time the second one removes what the first one added, and both see success.
So each document is read immediately before it is written, under a lock that the runs of one controller share, and read
back when every run that had read the old one must have written. A statement that is missing then is written again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import pathlib
import random
import tempfile
import time
import typing as t

from ..._trust.role import REVOKED_POLICY_NAME
from ..._trust.role import TARGET_POLICY_NAME
from . import calls

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_iam.client import IAMClient

    from ..._trust.role import Role
    from ..common import Action

TRUST = "trust policy"
#: Inline policies to which every cluster, or every workload that goes, adds a statement.
SHARED_POLICIES = (TARGET_POLICY_NAME, REVOKED_POLICY_NAME)
#: Seconds between a write and its confirmation: much longer than another run takes from its read to its write.
SETTLE_SECONDS = 2.0
#: How often lost statements are written again; with the pauses below that is about two minutes.
MOST_ROUNDS = 12
#: Seconds of the pause before a document is written again at most: random, so that runs do not meet again.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0
#: Seconds to wait for the lock. Confirmation is what makes a write safe, so after that it is written without.
LOCK_TIMEOUT = 60.0
LOCK_INTERVAL = 0.05


def document(action: Action) -> str | None:
    """Which shared document a call writes or deletes, None where it is about something else."""
    if action.operation == "update_assume_role_policy":
        return TRUST
    if action.operation in ("put_role_policy", "delete_role_policy"):
        name = str(action.parameters["PolicyName"])
        return name if name in SHARED_POLICIES else None
    return None


def refreshed(iam: IAMClient, role: Role, documents: c.Collection[str]) -> Role | None:
    """The role with these documents as they are now; None where it is gone."""
    inline = dict(role.inline_policies)
    for name in documents:
        if name == TRUST:
            found = calls.get_role(iam, role.name)
            if found is None:
                return None
            role = dataclasses.replace(role, trust=calls.document_of(found["AssumeRolePolicyDocument"]))
        else:
            policy = calls.get_inline(iam, role.name, name)
            inline.pop(name, None)
            inline |= {} if policy is None else {name: policy}
    return dataclasses.replace(role, inline_policies=inline)


def pause(number: int) -> float:
    """Seconds before a document is written again for the ``number``-th time, with full jitter."""
    return random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**number))


@contextlib.contextmanager
def lock(arn: str) -> t.Iterator[None]:
    """Keep other runs of this user on this machine from writing the documents of a role."""
    folder = pathlib.Path(tempfile.gettempdir(), f"podidentity.eks.{os.getuid()}")
    name = hashlib.sha256(f"{arn.split(':')[4]}/{arn.rpartition('/')[2].lower()}".encode()).hexdigest()
    with contextlib.ExitStack() as stack:
        # Where the folder cannot be used, another user's for one, the confirmation alone has to do.
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.lstat().st_uid == os.getuid():
                _acquire(stack.enter_context((folder / f"{name}.lock").open("a")))
        yield


def _acquire(file: t.IO[str]) -> None:
    """Lock a file until it is closed.

    :raises OSError: when another run holds it for too long.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(LOCK_INTERVAL)
        else:
            return
