# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The module ``eks_pod_identity_probe``: options, input, looking, and what is returned."""

from __future__ import annotations

import collections
import concurrent.futures
import math
import threading
import time
import typing as t

from ansible_collections.kubernetes.core.plugins.module_utils.k8s.exceptions import CoreException

from .._eks.progress import Report
from .._eks.validation import namespace_problems
from .._eks.validation import service_account_problems
from .._workload.failure import all_failed
from .._workload.failure import failed_item
from .._workload.service_account import name_of
from .._workload.service_account import name_problems
from .admitted import identity_of
from .causes import SERVICE_ACCOUNT_MISSING
from .causes import Refusal
from .causes import not_injected
from .causes import refused
from .causes import with_near_miss
from .connection import Answer
from .connection import ApiServer
from .probing import Look
from .probing import Probe
from .probing import Progress
from .probing import Workload
from .probing import run

if t.TYPE_CHECKING:
    import collections.abc as c

OPTIONS: dict[str, dict[str, t.Any]] = {
    "workloads": {"type": "list", "elements": "dict", "required": True},
    "consecutive": {"type": "int", "default": 3},
    "wait": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 120},
    "concurrency": {"type": "int", "default": 16},
}
CONTAINER = "probe"
#: More lanes than a cluster has API servers tell nothing new.
MOST_LANES = 5


def problems(params: t.Mapping[str, t.Any]) -> c.Iterator[str]:
    """What cannot be right, one sentence each, without asking anybody."""
    for option in ("consecutive", "timeout", "concurrency"):
        if params[option] < 1:
            yield f"{option}: {params[option]} cannot be right, it must be 1 or more."
    unnamed = list(name_problems(params["workloads"]))
    yield from unnamed
    workloads = [] if unnamed else declared(params)
    for workload, count in collections.Counter(workloads).items():
        yield from namespace_problems(workload.namespace, str(workload))
        yield from service_account_problems(workload.service_account, str(workload))
        if count > 1:
            yield f"{workload} is in workloads {count} times: name each service account once."


def declared(params: t.Mapping[str, t.Any]) -> list[Workload]:
    """The workloads of the task."""
    return [Workload(item["namespace"], item["service_account"]) for item in params["workloads"]]


def pod_of(service_account: str) -> dict[str, t.Any]:
    """A pod of a service account that Pod Security admits everywhere, and quotas that want limits do, too."""
    container = {
        "name": CONTAINER,
        "image": "public.ecr.aws/eks-distro/kubernetes/pause:3.10",
        "resources": {key: {"cpu": "10m", "memory": "32Mi"} for key in ("requests", "limits")},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    names = {"app.kubernetes.io/name": "podidentity-probe", "app.kubernetes.io/managed-by": "podidentity.eks"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "podidentity-probe-", "labels": names},
        "spec": {
            "serviceAccountName": service_account,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        },
    }


class Looker:
    """Looks at workloads, and once at what else must be known to say why not."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._webhook: Answer | None = None
        self._service_accounts: dict[str, list[str] | Refusal] = {}

    def look(self, one: Progress, place: int) -> Look:
        """:param place: of the workload among all; those of one round share the lanes among them."""
        workload = one.workload
        answer = self._server.try_pod(workload.namespace, pod_of(workload.service_account), place + one.attempts)
        if isinstance(answer, Refusal):
            cause = refused(answer)
            if cause.name == SERVICE_ACCOUNT_MISSING:
                cause = with_near_miss(cause, workload.service_account, self._present(workload.namespace))
            return Look(cause=cause)
        identity = identity_of(answer, CONTAINER)
        return Look(identity.mechanism, not_injected(identity, self._injector))

    def _injector(self) -> Answer:
        with self._lock:
            if self._webhook is None:
                self._webhook = self._server.webhook()
            return self._webhook

    def _present(self, namespace: str) -> list[str] | Refusal:
        with self._lock:
            if namespace not in self._service_accounts:
                self._service_accounts[namespace] = self._server.service_accounts(namespace)
            return self._service_accounts[namespace]


def look_until(module: t.Any) -> dict[str, t.Any]:
    """What the module returns.

    :raises CoreException: for wrong input, before any call.
    """
    params = module.params
    if found := list(problems(params)):
        raise CoreException("\n".join(found))
    options = {key: params[key] for key in ("consecutive", "wait", "timeout", "concurrency")}
    try:
        items = probe(module, params["workloads"], **options)
    except CoreException as error:
        failed = all_failed(params["workloads"], "probe", str(error))
        return {"effective": False, "workloads": [], "failed_items": failed, "msg": str(error)}
    failed = [failed_item(name_of(item), "probe", item["reason"]) for item in items if not item["effective"]]
    result = {"effective": not failed, "workloads": items, "failed_items": failed}
    return result if result["effective"] or not params["wait"] else {**result, "msg": failure(items)}


def probe(
    module: t.Any,
    service_accounts: c.Sequence[t.Mapping[str, str]],
    *,
    timeout: int,
    consecutive: int = OPTIONS["consecutive"]["default"],
    wait: bool = True,
    concurrency: int = OPTIONS["concurrency"]["default"],
) -> list[dict[str, t.Any]]:
    """Ask for service accounts, until new pods of all would get their identity; returns what is known of each.

    :raises CoreException: when there is no usable connection.
    """
    looker = Looker(ApiServer(module, concurrency, min(consecutive, MOST_LANES)))
    workloads = [Workload(one["namespace"], one["service_account"]) for one in service_accounts]
    asked = Probe(workloads, consecutive, wait, time.monotonic())
    places = {workload: place for place, workload in enumerate(workloads)}
    with concurrent.futures.ThreadPoolExecutor(concurrency) as threads:

        def look_at(pending: c.Sequence[Progress]) -> c.Iterator[Look]:
            return threads.map(lambda one: looker.look(one, places[one.workload]), pending)

        with Report("pod identity", lambda: waited_for(asked)):
            run(asked, look_at, timeout if wait else math.inf)
    return [asked.result(one) for one in asked.progress]


def waited_for(probe: Probe) -> str:
    """How far the probe is, for whoever waits."""
    pending, count = probe.pending, len(probe.progress)
    first = f", such as {pending[0].workload}" if pending else ""
    return f"{count - len(pending)} of {count} workloads are through, waiting for {len(pending)}{first}"


def failure(items: c.Sequence[t.Mapping[str, t.Any]]) -> str:
    """The message of a task that has waited in vain."""
    bad = [item for item in items if not item["effective"]]
    seconds = max(item["seconds"] for item in bad)
    lines = [f"{item['namespace']}/{item['service_account']}: {item['reason']}" for item in bad]
    waited = f" after {seconds:.0f} seconds" if seconds >= 1 else ""
    head = f"{len(bad)} of {len(items)} workloads would not get EKS Pod Identity{waited}:"
    return "\n".join([head, *lines])
