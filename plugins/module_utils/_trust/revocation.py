# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Ending the sessions that pods of a workload have got from a role.

IAM has no call for it: a policy of the role denies what began before a point in time (IAM user guide, "Revoke IAM role
temporary security credentials"). The session tags of EKS Pod Identity narrow that to one workload.
"""

from __future__ import annotations

import datetime
import math
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._trust import document as trust
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import SID_PREFIX
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Statement
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Subject
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import condition

#: No session lives longer, whatever the role says (AssumeRole, ``DurationSeconds``).
LONGEST_SESSION = datetime.timedelta(hours=12)
BEGAN = "aws:TokenIssueTime"
TIME = "%Y-%m-%dT%H:%M:%SZ"


def timestamp(seconds: float) -> str:
    """A point in time as a policy says it. Sessions begin in whole seconds: the one that is running counts in full."""
    return datetime.datetime.fromtimestamp(math.ceil(seconds), tz=datetime.UTC).strftime(TIME)


def denial(sid: str, subject: Subject, now: str, scoped: bool) -> dict[str, t.Any]:
    """The statement that takes everything from the sessions that began before ``now``.

    :param scoped: only from those whose session tags name this workload.
    """
    conditions: dict[str, t.Any] = {"DateLessThan": {BEGAN: now}}
    if scoped:
        conditions["StringEquals"] = {
            "aws:PrincipalTag/eks-cluster-arn": subject.cluster.arn,
            "aws:PrincipalTag/kubernetes-namespace": subject.namespace,
            "aws:PrincipalTag/kubernetes-service-account": subject.service_account,
        }
    return {"Sid": sid, "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": conditions}


def rewritten(
    before: trust.Document | None, denials: t.Sequence[Statement], lifted: t.Container[str], now: str
) -> trust.Document | None:
    """The policy with these statements in it, and without those that are lifted or older than any session.

    It stays as it is, old statements included, when there is nothing to put in and nothing to lift.
    """
    there = trust.statements_of(before)
    if not denials and not any(item.get("Sid") in lifted for item in there):
        return before
    replaced = {item["Sid"] for item in denials}
    kept = [item for item in there if item.get("Sid") not in replaced and item.get("Sid") not in lifted]
    kept = [*(item for item in kept if not is_over(item, now)), *denials]
    return {"Version": trust.VERSION, "Statement": kept} if kept else None


def is_over(statement: Statement, now: str) -> bool:
    """Whether every session that a statement of ours denies has ended by itself."""
    if not str(statement.get("Sid", "")).startswith(SID_PREFIX):
        return False
    try:
        began = datetime.datetime.strptime(str(condition(statement, "DateLessThan").get(BEGAN)), TIME)
    except ValueError:
        return False
    return datetime.datetime.strptime(now, TIME) - began > LONGEST_SESSION
