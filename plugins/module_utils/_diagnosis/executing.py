# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""A proof in running pods: in which ones, by which command, and what came of it."""

from __future__ import annotations

import base64
import dataclasses
import json
import typing as t
import zlib

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.causes_running import Execution
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.own_pods import Account
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.own_pods import Target
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.own_pods import choose
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.surroundings import is_ready
from ansible_collections.podidentity.eks.plugins.module_utils._kube.causes import Refusal
from ansible_collections.podidentity.eks.plugins.module_utils._kube.exec import Execution as ExecutionAnswer
from ansible_collections.podidentity.eks.plugins.module_utils._workload.prove import Workload

#: Runs the script that comes as the first argument with the others. They are packed, for the API server takes a command
#: as a part of a URL, and there may be proxies on the way that take no long ones.
BOOTSTRAP = """\
import base64, sys, zlib
if sys.version_info < (3, 9):
    sys.exit(sys.version.split()[0] + " is older than Python 3.9")
script, *sys.argv[1:] = [zlib.decompress(base64.urlsafe_b64decode(text)).decode() for text in sys.argv[1:]]
exec(compile(script, "prove.py", "exec"))
"""


def command(script: str, orders: t.Any) -> list[str]:
    """The command that runs the script with its orders in a container with python3, and writes nothing there."""
    return ["python3", "-B", "-c", BOOTSTRAP, pack(script), pack(json.dumps(orders))]


def pack(content: str) -> str:
    return base64.urlsafe_b64encode(zlib.compress(content.encode(), 9)).decode()


def places(
    workloads: t.Sequence[Workload], running: t.Mapping[Account, list[t.Any]], container: str
) -> dict[int, Target]:
    """Where to run the script, by the place of each workload that has a ready pod."""
    targets = enumerate(choose(running.get(workload.account, []), container) for workload in workloads)
    return {place: target for place, target in targets if target is not None}


def read_executions(
    workloads: t.Sequence[Workload],
    running: t.Mapping[Account, list[t.Any]],
    container: str,
    executed: t.Mapping[int, ExecutionAnswer],
) -> list[Execution]:
    """What the script said, for each workload, by what became of it at each of :func:`places`."""
    targets = places(workloads, running, container)
    executions = []
    for place, workload in enumerate(workloads):
        unready = sum(not is_ready(pod) for pod in running.get(workload.account, []))
        known = Execution(target=targets.get(place), unready=unready)
        executions.append(dataclasses.replace(known, **told_by(executed.get(place))))
    return executions


def told_by(answer: ExecutionAnswer | None) -> dict[str, t.Any]:
    """The fields of an :class:`Execution` that its answer gives."""
    if answer is None:
        return {}
    if isinstance(answer, Refusal):
        return {"failure": answer.message, "refused": True}
    return dataclasses.asdict(answer)
