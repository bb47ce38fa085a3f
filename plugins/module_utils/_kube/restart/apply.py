# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Rolling workloads out as ``kubectl rollout restart`` does, and waiting until that is done."""

from __future__ import annotations

import concurrent.futures
import datetime
import time
import typing as t

from ..causes import Refusal
from ..observation import path_of
from .rollout import WAITING
from .rollout import outcome

if t.TYPE_CHECKING:
    import collections.abc as c

    from ..._eks.progress import Report
    from ..connection import ApiServer

Restart = t.Mapping[str, t.Any]
CONCURRENCY = 10
#: Seconds between two looks at the rollouts.
POLL_SECONDS = 1.0
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


def begin(api: ApiServer, restarts: c.Sequence[Restart]) -> list[Refusal | None]:
    """Begin the rollout of each workload; returns for each why not."""
    # Dates of pods are whole seconds: none of the new ones may seem as old as a change in the second that has begun.
    time.sleep(1 - time.time() % 1)
    at = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: at}}}}}

    def restart(one: Restart) -> Refusal | None:
        answer = api.patch(path_of(one["kind"], one["namespace"], one["name"]), body)
        return answer if isinstance(answer, Refusal) else None

    with concurrent.futures.ThreadPoolExecutor(CONCURRENCY) as threads:
        return list(threads.map(restart, restarts))


def wait(
    list_objects: c.Callable[[c.Sequence[str]], list[dict[str, t.Any]]],
    restarts: c.Sequence[Restart],
    refusals: c.Sequence[Refusal | None],
    timeout: float,
    progress: Report,
) -> list[dict[str, t.Any]]:
    """The outcome of each restart, once all have ended or the time is up.

    :param list_objects: the objects of some kinds, without those that could not be listed.
    :param timeout: seconds.
    """
    deadline = time.monotonic() + timeout
    kinds = list(dict.fromkeys(one["kind"] for one in restarts))
    while True:
        found = outcome(restarts, refusals, list_objects(kinds))
        waiting = [one for one in found if one["state"] == WAITING]
        if not waiting or time.monotonic() >= deadline:
            return found
        first = waiting[0]
        what = f"{first['kind']} {first['name']}: {first['reason']}"
        progress.note = f"waiting for {len(waiting)} of {len(found)} rollouts, such as {what}"
        time.sleep(POLL_SECONDS)
