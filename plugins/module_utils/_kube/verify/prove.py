# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Running the script, in the pods of Jobs or in running pods; what comes of it is what ``read_cases`` takes."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import secrets
import string
import time
import typing as t

from ..._diagnosis import executing
from ..._diagnosis.cases import count_settled
from ..._diagnosis.cases import is_settled
from ..._diagnosis.cases import unread_pods
from ..._diagnosis.observed import CONTAINER
from ..._diagnosis.own_pods import RUN_LABEL
from ..._diagnosis.own_pods import by_account
from ..._diagnosis.reading import sentence
from ..._eks.common import CONCURRENCY
from ..._eks.progress import Report
from ..causes import Refusal
from ..causes import explained
from ..exec import Place
from ..observation import ObservationError
from ..observation import path_of
from .job import job_of
from .job import metadata_of

if t.TYPE_CHECKING:
    import collections.abc as c

    from ..._workload.prove import Workload
    from ..connection import Listing
    from ..exec import Execution
    from .job import Settings
    from .observe import Observer

#: Seconds between two looks at the pods.
POLL_SECONDS = 1.0
#: Seconds that a script in a running pod has beside its own limit.
SPARE = 15
NOT_FOUND = 404
#: Refusals that concern no single Job: there is no answer, or the credentials are unknown.
GENERAL = (0, 401)
A = t.TypeVar("A")
R = t.TypeVar("R")


def in_threads(act: c.Callable[[A], R], items: c.Iterable[A]) -> list[R]:
    with concurrent.futures.ThreadPoolExecutor(CONCURRENCY) as threads:
        return list(threads.map(act, items))


@dataclasses.dataclass
class JobProof:
    """One Job for each workload, all at once, and none left behind."""

    observer: Observer
    settings: Settings
    workloads: c.Sequence[t.Mapping[str, t.Any]]
    orders: c.Sequence[t.Any]

    def __post_init__(self) -> None:
        self._run = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _place in range(8))
        self._began = time.monotonic()
        self._names = [metadata_of(one, place, self._run) for place, one in enumerate(self.workloads)]
        self._refused: dict[int, str] = {}

    def run(self) -> dict[str, t.Any]:
        """:raises ObservationError: when the API server cannot be asked at all."""
        left: dict[int, str] = {}
        try:
            self._create()
            # The pods run meanwhile.
            own_pods = self.observer.own_pods() if self.settings.params["inspect_pods"] else []
            pods = self._wait()
            logs = self._logs(pods)
        finally:
            if not self.settings.params["keep"]:
                left = self._remove()
        names = [one["name"] for one in self._names]
        found = {"jobs": names, "refused": self._refused, "pods": pods, "logs": logs, "left": left}
        return {**found, "own_pods": own_pods}

    def _create(self) -> None:
        def create(place: int) -> Refusal | None:
            job = job_of(self.workloads[place], self._names[place], self.orders[place], self.settings)
            answer = self.observer.api.create(path_of("Job", job["metadata"]["namespace"]), job, dry_run=False)
            return answer if isinstance(answer, Refusal) else None

        answers = dict(enumerate(in_threads(create, range(len(self.workloads)))))
        refused = {place: answer for place, answer in answers.items() if answer is not None}
        self._refused = {place: sentence(answer.message) for place, answer in refused.items()}
        general = next((one for one in refused.values() if one.status in GENERAL), None)
        if general and len(refused) == len(answers):
            cluster = self.observer.cluster_name
            raise ObservationError(
                f"The Jobs of the verification cannot be created in cluster {cluster}: {explained(general)}."
            )

    def _wait(self) -> Listing:
        """The pods of the Jobs, when nothing more is to come."""
        expected = len(self.workloads) - len(self._refused)
        pods: Listing = []
        with Report(f"verification in cluster {self.observer.cluster_name}") as progress:
            while expected:
                labels = f"{RUN_LABEL}={self._run}"
                pods = self.observer.api.objects(path_of("Pod", self.observer.namespace), labels=labels)
                progress.note = f"{count_settled(pods)} of {expected} pods have ended"
                if is_settled(pods, expected, time.monotonic() - self._began, self.settings.params["timeout"]):
                    break
                time.sleep(POLL_SECONDS)
        return pods

    def _logs(self, pods: Listing) -> dict[int, str | Refusal]:
        """As a rule none: a result that fits came as the container's termination message, with the pod itself."""
        unread = unread_pods(pods)
        logs = in_threads(lambda pod: self.observer.api.log(pod.namespace, pod.name, CONTAINER), unread.values())
        return dict(zip(unread, logs, strict=True))

    def _remove(self) -> dict[int, str]:
        """Remove the Jobs; returns why one is left."""

        def remove(place: int) -> Refusal | None:
            job = self._names[place]
            answer = self.observer.api.delete(path_of("Job", job["namespace"], job["name"]), False, background=True)
            return answer if isinstance(answer, Refusal) and answer.status != NOT_FOUND else None

        places = [place for place in range(len(self._names)) if place not in self._refused]
        answers = zip(places, in_threads(remove, places), strict=True)
        return {place: sentence(answer.message) for place, answer in answers if answer is not None}


@dataclasses.dataclass
class ExecProof:
    """The script in a ready pod of each workload."""

    observer: Observer
    settings: Settings
    workloads: c.Sequence[Workload]
    orders: c.Sequence[t.Any]

    def run(self) -> dict[str, t.Any]:
        """Where the pods may not be listed, nothing is run."""
        own_pods = self.observer.own_pods()
        container, seconds = self.settings.params["exec_container"], self.settings.params["timeout"] + SPARE
        targets = executing.places(self.workloads, by_account(own_pods), container)
        ended: list[int] = []

        def execute(place: int) -> Execution:
            target, command = targets[place], executing.command(self.settings.script, self.orders[place])
            answer = self.observer.api.exec(Place(target.namespace, target.pod, target.container, command), seconds)
            ended.append(place)
            return answer

        subject = f"verification in cluster {self.observer.cluster_name}"
        with Report(subject, lambda: f"{len(ended)} of {len(targets)} scripts have ended"):
            executed = dict(zip(targets, in_threads(execute, targets), strict=True))
        return {"container": container, "executed": executed, "own_pods": own_pods}
