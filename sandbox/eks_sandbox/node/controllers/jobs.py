# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jobs."""

from __future__ import annotations

import asyncio
import datetime

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import age
from eks_sandbox.control_plane.objects import condition
from eks_sandbox.control_plane.objects import identity
from eks_sandbox.control_plane.objects import is_finished
from eks_sandbox.control_plane.objects import is_true
from eks_sandbox.control_plane.objects import moment
from eks_sandbox.control_plane.objects import timestamp
from eks_sandbox.node.client import JOBS
from eks_sandbox.node.client import PODS
from eks_sandbox.node.client import record_event
from eks_sandbox.node.controller import Key
from eks_sandbox.node.controller import is_alive
from eks_sandbox.node.controllers.workload import MANAGER
from eks_sandbox.node.controllers.workload import WorkloadController
from eks_sandbox.node.controllers.workload import counts
from eks_sandbox.node.controllers.workload import pod_from
from eks_sandbox.node.controllers.workload import with_condition

#: Seconds before a failed pod gets a successor: doubling with each failure, from the first to the second.
FIRST_BACKOFF, LONGEST_BACKOFF = 10.0, 360.0


class JobController(WorkloadController):
    """Runs the pods of Jobs until enough have succeeded or too many have failed."""

    name = "job-controller"
    collection = JOBS
    kind = "Job"

    def setup(self) -> None:
        """Jobs and their pods."""
        self.follow(JOBS, self.wake)
        self.follow_owned(PODS, "Job")

    async def reconcile(self, key: Key) -> None:
        """Count, decide, create, and write the status."""
        job = await self.current(key)
        if job is None:
            return
        if is_true(job, "Complete") or is_true(job, "Failed"):
            await self._expire(key, job)
            return
        pods = await self.owned(job)
        succeeded, failed = _in_phase(pods, "Succeeded"), _in_phase(pods, "Failed")
        active = [pod for pod in pods if is_alive(pod)]
        outcome = self._outcome(key, job, pods, len(succeeded), len(failed))
        if outcome is not None or job["spec"].get("suspend"):
            await self._delete_pods(job, active)
            active = []
        elif not any(_is_leaving(pod) for pod in pods) and self._may_start(key, failed):
            missing = self._missing(job["spec"], len(succeeded), len(active))
            await asyncio.gather(*(self.create_pod(job, pod_from(job, JOBS, "Job")) for _ in range(missing)))
            if missing:
                # Its own pods wake the controller again; the status counts what is known now.
                active = [pod for pod in await self.owned(job) if is_alive(pod)]
            surplus = active[max(job["spec"].get("parallelism", 1), 0) :]
            await self._delete_pods(job, surplus)
        await self._write(job, active, len(succeeded), len(failed), outcome)

    def _may_start(self, key: Key, failed: list[Object]) -> bool:
        """Whether the time after the last failure is over; looks again when it is."""
        if not failed:
            return True
        wait = min(FIRST_BACKOFF * 2 ** (len(failed) - 1), LONGEST_BACKOFF)
        left = wait - min(age(_ended(pod)) for pod in failed)
        if left > 0:
            self.enqueue_after(key, left + 0.05)
        return bool(left <= 0)

    @staticmethod
    def _missing(spec: Object, succeeded: int, active: int) -> int:
        parallelism, completions = spec.get("parallelism", 1), spec.get("completions")
        if completions is None:
            # A work queue: when one pod has succeeded, no new ones start.
            return 0 if succeeded else int(max(parallelism - active, 0))
        return int(max(min(parallelism, completions - succeeded) - active, 0))

    def _outcome(self, key: Key, job: Object, pods: list[Object], succeeded: int, failed: int) -> Object | None:
        """The condition that ends the job, or None while it runs."""
        spec, status = job["spec"], job.get("status") or {}
        completions = spec.get("completions")
        running = any(is_alive(pod) for pod in pods)
        # Without a number of completions, the first success and the end of the others are enough.
        if succeeded >= completions if completions is not None else succeeded and not running:
            return _job_condition("Complete", "CompletionsReached", "Reached expected number of succeeded pods")
        restarts = sum(_restarts(pod) for pod in pods if is_alive(pod))
        if failed > spec["backoffLimit"] or (restarts and failed + restarts > spec["backoffLimit"]):
            return _job_condition("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        deadline = spec.get("activeDeadlineSeconds")
        if deadline is not None and status.get("startTime"):
            left = deadline - age(status["startTime"])
            if left <= 0:
                message = "Job was active longer than specified deadline"
                return _job_condition("Failed", "DeadlineExceeded", message)
            self.enqueue_after(key, left + 0.05)
        return None

    async def _write(
        self, job: Object, active: list[Object], succeeded: int, failed: int, outcome: Object | None
    ) -> None:
        before = job.get("status") or {}
        status: Object = counts(active=len(active), succeeded=succeeded, failed=failed)
        status |= {"ready": sum(1 for pod in active if is_true(pod, "Ready")), "terminating": 0}
        status["uncountedTerminatedPods"] = {}
        if job["spec"].get("suspend"):
            status["startTime"] = None
        elif not before.get("startTime"):
            status["startTime"] = timestamp()
        if suspension := _suspension(job):
            status["conditions"] = with_condition(job, {**suspension, "lastProbeTime": timestamp()})
        if outcome is not None:
            # The target's condition comes first, as in the real controller.
            target = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[outcome["type"]]
            status["conditions"] = [*(before.get("conditions") or []), {**outcome, "type": target}, outcome]
            if outcome["type"] == "Complete":
                status["completionTime"] = timestamp()
            await self._report(job, outcome)
        await self.update_status(JOBS, job, status)
        deadline, start = job["spec"].get("activeDeadlineSeconds"), status.get("startTime") or before.get("startTime")
        if deadline is not None and start and outcome is None:
            self.enqueue_after(identity(job), deadline - age(start) + 0.05)

    async def _report(self, job: Object, outcome: Object) -> None:
        is_good = outcome["type"] == "Complete"
        reason, message = ("Completed", "Job completed") if is_good else (outcome["reason"], outcome["message"])
        await record_event(self.client, job, self.kind, reason, message, component=MANAGER)

    async def _delete_pods(self, job: Object, pods: list[Object]) -> None:
        await asyncio.gather(*(self.delete_pod(job, pod) for pod in pods))

    async def _expire(self, key: Key, job: Object) -> None:
        """ttlSecondsAfterFinished."""
        seconds = job["spec"].get("ttlSecondsAfterFinished")
        if seconds is None:
            return
        finished = condition(job, "Complete") or condition(job, "Failed") or {}
        due = moment(finished["lastTransitionTime"]) + datetime.timedelta(seconds=seconds)
        left = (due - datetime.datetime.now(datetime.UTC)).total_seconds()
        if left > 0:
            self.enqueue_after(key, left + 0.05)
        else:
            await self.client.delete(JOBS, *key, propagationPolicy="Background")


def _in_phase(pods: list[Object], phase: str) -> list[Object]:
    return [pod for pod in pods if (pod.get("status") or {}).get("phase") == phase]


def _is_leaving(pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp")) and not is_finished(pod)


def _ended(pod: Object) -> str:
    """When a failed pod ended, as far as its status says."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    ends = [((entry.get("state") or {}).get("terminated") or {}).get("finishedAt") for entry in statuses]
    return max(filter(None, ends), default=str(pod["metadata"]["creationTimestamp"]))


def _suspension(job: Object) -> Object | None:
    """The condition of a job that is suspended, or was."""
    if job["spec"].get("suspend"):
        return {"type": "Suspended", "status": "True", "reason": "JobSuspended", "message": "Job suspended"}
    if is_true(job, "Suspended"):
        return {"type": "Suspended", "status": "False", "reason": "JobResumed", "message": "Job resumed"}
    return None


def _restarts(pod: Object) -> int:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return sum(entry.get("restartCount", 0) for entry in statuses)


def _job_condition(kind: str, reason: str, message: str) -> Object:
    now = timestamp()
    times = {"lastProbeTime": now, "lastTransitionTime": now}
    return {"type": kind, "status": "True", "reason": reason, "message": message, **times}
