# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""How a plan for a cluster is carried out."""

from __future__ import annotations

import functools
import time
import typing as t

from ansible_collections.amazon.aws.plugins.module_utils.exceptions import is_ansible_aws_error_code

from .. import codes
from .. import races
from ..common import Action
from ..common import AnsibleEKSError
from ..common import Change
from ..common import perform
from ..common import refuse
from ..waiters import CLUSTER_ACTIVE
from ..waiters import CLUSTER_DELETED
from ..waiters import CLUSTER_SETTLED
from ..waiters import Patience
from ..waiters import Watch
from ..waiters import wait_for_update
from .declared import feature_problems
from .declared import problems
from .observed import describe
from .observed import normalized
from .offered import examined
from .planning import plan

if t.TYPE_CHECKING:
    from mypy_boto3_eks.client import EKSClient

    from .declared import ClusterSpec

#: What EKS answers to an update of the version when its readiness checks have found something.
NOT_READY_CODE = "InvalidStateException"
#: Parameters of an action that say of what, not what.
NAMES = {"name", "clusterName", "resourceArn"}


def ensure(
    client: EKSClient, spec: ClusterSpec, patience: Patience, check_mode: bool
) -> tuple[Change, t.Mapping[str, t.Any] | None]:
    """Make the cluster what is declared; returns the plan, and the cluster as it is then (in check mode: would be).

    :raises AnsibleEKSError: for whatever goes wrong; nothing is written after a problem that can be found before.
    """
    refuse([*problems(spec), *feature_problems(client, spec)])
    look = functools.partial(describe, client, spec.name)
    watch = Watch(spec.name, look, CLUSTER_SETTLED, CLUSTER_ACTIVE, CLUSTER_DELETED, patience)

    def reconcile(done: list[Action]) -> tuple[Change, t.Mapping[str, t.Any] | None]:
        before = _normalized(look() if check_mode else watch.before())
        change = examined(client, spec, plan(before, spec), check_mode)
        if check_mode:
            return change, change.after
        carry_out(client, change, watch, done)
        # A deletion that an earlier run began is waited for, too.
        ended = change.changed or (before is not None and change.after is None)
        return change.carried_out(done), _normalized(watch.after(change)) if ended else before

    return races.follow(reconcile)


def carry_out(client: EKSClient, change: Change, watch: Watch, done: list[Action]) -> None:
    """Make the calls of a plan one after another, and wait for each update by its id.

    EKS takes one update of a cluster at a time, so only the last call can be left to itself when nobody wants to wait.

    :param done: gets each call that was made.
    :raises AnsibleEKSError: when a call or its update fails, with what was done before and what was not begun.
    """
    for position, action in enumerate(change.actions):
        try:
            answer = _begin(client, action, watch)
            done.append(action)
            if "update" in answer and (watch.patience.wait or action is not change.actions[-1]):
                wait_for_update(client, watch.name, answer["update"], watch.patience.timeout)
        except AnsibleEKSError as error:
            raise _with_the_rest(error, change.actions, position) from error


def _begin(client: EKSClient, action: Action, watch: Watch) -> dict[str, t.Any]:
    """Make one call. An update that others have begun meanwhile may take longer than a call is sent again, so it is
    waited for like one that was there before."""
    deadline = time.monotonic() + watch.patience.timeout
    while True:
        try:
            return perform(client, action)
        except is_ansible_aws_error_code(codes.IN_USE):
            patient = watch.patience.wait and time.monotonic() < deadline
            if not patient or not action.operation.startswith(("update_", "associate_")):
                raise
        watch.before()


def _with_the_rest(error: AnsibleEKSError, actions: t.Sequence[Action], position: int) -> AnsibleEKSError:
    """An error that tells how far the plan has come; EKS's own words, if there are any, are shown after it."""
    notes = []
    if isinstance(error, is_ansible_aws_error_code(NOT_READY_CODE, error)):
        notes.append("force_version_update: true would override the checks of EKS")
    if len(actions) > 1:
        done, left = (", ".join(map(_step, some)) for some in (actions[:position], actions[position + 1 :]))
        notes += [f"done before it: {done or 'nothing'}", f"not begun: {left or 'nothing'}"]
        notes.append("the next run does what is missing")
    if not notes:
        return error
    return AnsibleEKSError(message=f"{error.message.rstrip('.')} ({'; '.join(notes)})", exception=error.exception)


def _step(action: Action) -> str:
    """``update_cluster_config logging``"""
    return " ".join([action.operation, *(name for name in action.parameters if name not in NAMES)])


def _normalized(cluster: t.Mapping[str, t.Any] | None) -> dict[str, t.Any] | None:
    return None if cluster is None else normalized(cluster)
