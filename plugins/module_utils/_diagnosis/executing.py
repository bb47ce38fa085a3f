# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""A proof in running pods: in which ones, by which command, and what came of it."""

from __future__ import annotations

import base64
import json
import shlex
import typing as t
import zlib

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.causes_running import Execution
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.own_pods import Account
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.own_pods import by_account
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.own_pods import choose
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import dig
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import listing
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import mapping
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import number
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import text
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.surroundings import is_ready
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


def command(script: str, orders: t.Any) -> str:
    """The command that runs the script with its orders in a container with python3, and writes nothing there."""
    return shlex.join(["python3", "-B", "-c", BOOTSTRAP, pack(script), pack(json.dumps(orders))])


def pack(content: str) -> str:
    return base64.urlsafe_b64encode(zlib.compress(content.encode(), 9)).decode()


def places(workloads: t.Sequence[Workload], pods: t.Any, container: str) -> list[dict[str, t.Any]]:
    """Where to run the script, for the workloads that have a ready pod."""
    found, running = [], by_account(pods)
    for index, workload in enumerate(workloads):
        target = choose(running.get(workload.account, []), container)
        if target is not None:
            found.append(
                {"index": index, "namespace": target.namespace, "pod": target.pod, "container": target.container}
            )
    return found


def read_executions(
    workloads: t.Sequence[Workload], running: t.Mapping[Account, list[t.Any]], container: str, registered: t.Any
) -> list[Execution]:
    """What the script said, for each workload, by the registered result of a loop over :func:`places`."""
    results = {number(dig(result, "item", "index")): mapping(result) for result in listing(dig(registered, "results"))}
    executions = []
    for index, workload in enumerate(workloads):
        own, result = running.get(workload.account, []), results.get(index, {})
        executions.append(
            Execution(
                target=choose(own, container),
                unready=sum(not is_ready(pod) for pod in own),
                code=number(result.get("rc")),
                output=text(result.get("stdout")),
                errors=text(result.get("stderr")),
                failure="" if "rc" in result else text(result.get("msg")),
            )
        )
    return executions
