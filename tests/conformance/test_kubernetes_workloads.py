# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the controllers make of workloads, seen by the official Python client."""

from __future__ import annotations

import typing as t

import kubernetes
import pytest
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import eventually
from support.kubernetes_cluster import pod
from support.kubernetes_cluster import refused

pytestmark = pytest.mark.client("kubernetes client")

BACKGROUND = {"propagation_policy": "Background"}


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> t.Iterator[str]:
    """A namespace of the test's own."""
    name = request.node.name.removeprefix("test_").replace("_", "-")[:63].rstrip("-")
    cluster.core.create_namespace({"metadata": {"name": name}})
    eventually(lambda: cluster.core.list_namespaced_service_account(name).items)
    yield name
    cluster.core.delete_namespace(name)


def workload(name: str, replicas: int | None = 1, version: str = "1", **spec: t.Any) -> dict[str, t.Any]:
    """Something with a template whose pods sleep until they are asked to go."""
    labels = {"app": name}
    script = "import signal, time; signal.signal(15, lambda *_: exit()); time.sleep(600)"
    container: dict[str, t.Any] = {"name": "main", "image": "python:3.12", "command": ["python3", "-c", script]}
    container["env"] = [{"name": "VERSION", "value": version}]
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }
    whole = {"selector": {"matchLabels": labels}, "template": template, **spec}
    return {"metadata": {"name": name}, "spec": whole if replicas is None else {"replicas": replicas, **whole}}


def pods(cluster: Cluster, namespace: str) -> list[t.Any]:
    """The pods that are not on their way out."""
    found = cluster.core.list_namespaced_pod(namespace).items
    return [entry for entry in found if not entry.metadata.deletion_timestamp]


def version_of(entry: t.Any) -> str:
    """Which template a pod was made from."""
    return str(entry.spec.containers[0].env[0].value)


def ready(cluster: Cluster, namespace: str, count: int, version: str = "1") -> t.Any:
    """The pods, once this many of the version, and none of another, are ready."""

    def read() -> t.Any:
        found = pods(cluster, namespace)
        good = [
            entry
            for entry in found
            if version_of(entry) == version
            and any(state.type == "Ready" and state.status == "True" for state in entry.status.conditions or [])
        ]
        return found if len(good) == len(found) == count else None

    return eventually(read)


def conditions(obj: t.Any) -> dict[str, tuple[str, str]]:
    return {entry.type: (entry.status, entry.reason) for entry in obj.status.conditions or []}


def test_rollout_keeps_enough_pods_available(cluster: Cluster, namespace: str) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    cluster.apps.create_namespaced_deployment(namespace, workload("web", 2, strategy=strategy))
    ready(cluster, namespace, 2)
    # The Deployment's status follows its pods.
    eventually(lambda: cluster.apps.read_namespaced_deployment("web", namespace).status.available_replicas == 2)
    cluster.apps.patch_namespaced_deployment("web", namespace, workload("web", 2, "2", strategy=strategy))
    seen = []

    def rolled() -> bool:
        found = cluster.apps.read_namespaced_deployment("web", namespace)
        # The Deployment counts what its ReplicaSets report, which is late; what they are scaled to is the limit.
        sets = cluster.apps.list_namespaced_replica_set(namespace).items
        seen.append(((found.status.available_replicas or 0), sum(one.spec.replicas for one in sets)))
        done = conditions(found).get("Progressing") == ("True", "NewReplicaSetAvailable")
        return found.status.observed_generation == 2 and done and found.status.updated_replicas == 2

    eventually(rolled)
    assert min(available for available, _ in seen) >= 2
    assert max(total for _, total in seen) <= 3
    ready(cluster, namespace, 2, "2")
    deployment = cluster.apps.read_namespaced_deployment("web", namespace)
    assert deployment.metadata.annotations["deployment.kubernetes.io/revision"] == "2"
    sets = cluster.apps.list_namespaced_replica_set(namespace).items
    assert sorted(entry.spec.replicas for entry in sets) == [0, 2]


def test_recreate_ends_old_pods_before_new_ones_start(cluster: Cluster, namespace: str) -> None:
    strategy = {"type": "Recreate"}
    cluster.apps.create_namespaced_deployment(namespace, workload("web", 2, strategy=strategy))
    ready(cluster, namespace, 2)
    version = cluster.core.list_namespaced_pod(namespace).metadata.resource_version
    cluster.apps.patch_namespaced_deployment("web", namespace, workload("web", 2, "2", strategy=strategy))
    ready(cluster, namespace, 2, "2")
    events = kubernetes.watch.Watch().stream(
        cluster.core.list_namespaced_pod, namespace, resource_version=version, timeout_seconds=1
    )
    told = [(event["type"], version_of(event["object"]), event["object"]) for event in events]
    first = next(place for place, (what, version, _) in enumerate(told) if (what, version) == ("ADDED", "2"))
    # A pod that has ended makes room, even before it is forgotten.
    ended = {
        entry.metadata.name
        for what, version, entry in told[:first]
        if version == "1" and (what == "DELETED" or entry.status.phase in ("Succeeded", "Failed"))
    }
    assert len(ended) == 2


def test_paused_deployment_scales_without_rollout(cluster: Cluster, namespace: str) -> None:
    cluster.apps.create_namespaced_deployment(namespace, workload("web"))
    ready(cluster, namespace, 1)
    cluster.apps.patch_namespaced_deployment("web", namespace, workload("web", 2, "2", paused=True))

    def paused() -> bool:
        found = cluster.apps.read_namespaced_deployment("web", namespace)
        return conditions(found).get("Progressing") == ("Unknown", "DeploymentPaused")

    eventually(paused)
    assert {version_of(entry) for entry in ready(cluster, namespace, 2)} == {"1"}
    cluster.apps.patch_namespaced_deployment("web", namespace, {"spec": {"paused": False}})
    ready(cluster, namespace, 2, "2")


def test_stuck_deployment_reports_exceeded_deadline(cluster: Cluster, namespace: str) -> None:
    body = workload("web", progressDeadlineSeconds=1)
    body["spec"]["template"]["spec"]["nodeSelector"] = {"no": "such-node"}
    cluster.apps.create_namespaced_deployment(namespace, body)

    def timed_out() -> bool:
        found = cluster.apps.read_namespaced_deployment("web", namespace)
        return conditions(found).get("Progressing") == ("False", "ProgressDeadlineExceeded")

    eventually(timed_out)
    # It stays so, also when something else than its progress makes the controller look at it again.
    cluster.apps.patch_namespaced_deployment("web", namespace, {"spec": {"revisionHistoryLimit": 3}})

    def observed_again() -> bool:
        found = cluster.apps.read_namespaced_deployment("web", namespace)
        assert conditions(found).get("Progressing") == ("False", "ProgressDeadlineExceeded")
        return bool(found.status.observed_generation == 2)

    eventually(observed_again)
    assert timed_out()


def test_replica_set_replaces_pods_and_reports_failures(cluster: Cluster, namespace: str) -> None:
    cluster.apps.create_namespaced_replica_set(namespace, workload("set", 2))
    first = ready(cluster, namespace, 2)
    cluster.core.delete_namespaced_pod(first[0].metadata.name, namespace)
    second = ready(cluster, namespace, 2)
    assert {entry.metadata.uid for entry in first} != {entry.metadata.uid for entry in second}
    broken = workload("broken")
    broken["spec"]["template"]["spec"]["serviceAccountName"] = "nobody"
    cluster.apps.create_namespaced_replica_set(namespace, broken)

    def failed() -> bool:
        found = cluster.apps.read_namespaced_replica_set("broken", namespace)
        return conditions(found).get("ReplicaFailure") == ("True", "FailedCreate")

    eventually(failed)


def test_stateful_set_starts_in_order_and_ends_in_reverse(cluster: Cluster, namespace: str) -> None:
    version = cluster.core.list_namespaced_pod(namespace).metadata.resource_version
    cluster.apps.create_namespaced_stateful_set(namespace, workload("db", 3, serviceName="db"))
    found = ready(cluster, namespace, 3)
    assert sorted(entry.metadata.name for entry in found) == ["db-0", "db-1", "db-2"]
    assert {entry.metadata.name: entry.spec.hostname for entry in found}["db-1"] == "db-1"
    assert found[0].metadata.labels["statefulset.kubernetes.io/pod-name"] == found[0].metadata.name
    cluster.apps.patch_namespaced_stateful_set("db", namespace, {"spec": {"replicas": 1}})
    ready(cluster, namespace, 1)
    eventually(lambda: len(cluster.core.list_namespaced_pod(namespace).items) == 1)
    events = kubernetes.watch.Watch().stream(
        cluster.core.list_namespaced_pod, namespace, resource_version=version, timeout_seconds=1
    )
    told = [(event["type"], event["object"].metadata.name) for event in events]
    made = [name for kind, name in told if kind == "ADDED"]
    gone = [name for kind, name in told if kind == "DELETED"]
    assert (made, gone) == (["db-0", "db-1", "db-2"], ["db-2", "db-1"])


def test_stateful_set_rollout_stops_at_its_partition(cluster: Cluster, namespace: str) -> None:
    partition = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    body = workload("db", 2, serviceName="db", updateStrategy=partition)
    cluster.apps.create_namespaced_stateful_set(namespace, body)
    ready(cluster, namespace, 2)
    changed = workload("db", 2, "2", serviceName="db", updateStrategy=partition)
    cluster.apps.patch_namespaced_stateful_set("db", namespace, changed)

    def versions() -> dict[str, str]:
        return {entry.metadata.name: version_of(entry) for entry in pods(cluster, namespace)}

    eventually(lambda: versions() == {"db-0": "1", "db-1": "2"})
    whole = {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}}
    cluster.apps.patch_namespaced_stateful_set("db", namespace, whole)
    ready(cluster, namespace, 2, "2")

    def settled() -> bool:
        status = cluster.apps.read_namespaced_stateful_set("db", namespace).status
        return bool(status.current_revision == status.update_revision and status.updated_replicas == 2)

    eventually(settled)
    with refused(422, "updates to statefulset spec for fields other than"):
        cluster.apps.patch_namespaced_stateful_set("db", namespace, {"spec": {"serviceName": "other"}})


def test_daemon_set_covers_nodes_and_rolls_out(cluster: Cluster, namespace: str) -> None:
    nodes = {entry.metadata.name for entry in cluster.core.list_node().items}
    cluster.apps.create_namespaced_daemon_set(namespace, workload("daemon", None))
    found = ready(cluster, namespace, len(nodes))
    assert {entry.spec.node_name for entry in found} == nodes
    cluster.apps.patch_namespaced_daemon_set("daemon", namespace, workload("daemon", None, "2"))
    ready(cluster, namespace, len(nodes), "2")

    def settled() -> bool:
        status = cluster.apps.read_namespaced_daemon_set("daemon", namespace).status
        return bool(status.updated_number_scheduled == status.number_available == len(nodes))

    eventually(settled)
    assert len(cluster.apps.list_namespaced_controller_revision(namespace).items) == 2
    one = sorted(nodes)[0]
    change = {"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": one}}}}}
    cluster.apps.patch_namespaced_daemon_set("daemon", namespace, change)
    eventually(lambda: {entry.spec.node_name for entry in pods(cluster, namespace)} == {one})


def job(name: str, code: str, **spec: t.Any) -> dict[str, t.Any]:
    container = {"name": "main", "image": "python:3.12", "command": ["python3", "-c", code]}
    template = {"spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}}
    return {"metadata": {"name": name}, "spec": {"template": template, **spec}}


def ended(cluster: Cluster, namespace: str, name: str, kind: str) -> t.Any:
    def read() -> t.Any:
        found = cluster.batch.read_namespaced_job(name, namespace)
        return found if conditions(found).get(kind, ("", ""))[0] == "True" else None

    return eventually(read)


def test_job_reaches_its_completions(cluster: Cluster, namespace: str) -> None:
    cluster.batch.create_namespaced_job(namespace, job("many", "pass", completions=3, parallelism=2))
    found = ended(cluster, namespace, "many", "Complete")
    assert found.status.succeeded == 3
    assert found.status.completion_time >= found.status.start_time
    assert [entry.type for entry in found.status.conditions] == ["SuccessCriteriaMet", "Complete"]


def test_job_backs_off_and_fails_at_its_limit(cluster: Cluster, namespace: str) -> None:
    cluster.batch.create_namespaced_job(namespace, job("bad", "exit(1)", backoffLimit=0))
    assert conditions(ended(cluster, namespace, "bad", "Failed"))["Failed"] == ("True", "BackoffLimitExceeded")
    cluster.batch.create_namespaced_job(namespace, job("again", "exit(1)", backoffLimit=1))
    ended(cluster, namespace, "again", "Failed")
    tries = cluster.core.list_namespaced_pod(namespace, label_selector="job-name=again").items
    first, second = sorted(entry.metadata.creation_timestamp for entry in tries)
    assert (second - first).total_seconds() >= 10


def test_job_fails_after_its_deadline(cluster: Cluster, namespace: str) -> None:
    slow = job("slow", "import time; time.sleep(600)", activeDeadlineSeconds=1)
    cluster.batch.create_namespaced_job(namespace, slow)
    assert conditions(ended(cluster, namespace, "slow", "Failed"))["Failed"] == ("True", "DeadlineExceeded")
    eventually(lambda: not pods(cluster, namespace))


def test_job_is_deleted_after_its_ttl(cluster: Cluster, namespace: str) -> None:
    cluster.batch.create_namespaced_job(namespace, job("brief", "pass", ttlSecondsAfterFinished=1))
    eventually(lambda: not cluster.batch.list_namespaced_job(namespace).items)
    eventually(lambda: not cluster.core.list_namespaced_pod(namespace).items)


def test_suspended_job_has_no_pods(cluster: Cluster, namespace: str) -> None:
    cluster.batch.create_namespaced_job(namespace, job("later", "pass", suspend=True))

    def suspended() -> bool:
        return conditions(cluster.batch.read_namespaced_job("later", namespace)).get("Suspended") == (
            "True",
            "JobSuspended",
        )

    eventually(suspended)
    assert not pods(cluster, namespace)
    cluster.batch.patch_namespaced_job("later", namespace, {"spec": {"suspend": False}})
    found = ended(cluster, namespace, "later", "Complete")
    assert conditions(found)["Suspended"] == ("False", "JobResumed")


def test_delete_job_keeps_its_pods_by_default(cluster: Cluster, namespace: str) -> None:
    for name in ("kept", "taken"):
        cluster.batch.create_namespaced_job(namespace, job(name, "pass"))
        ended(cluster, namespace, name, "Complete")
    cluster.batch.delete_namespaced_job("kept", namespace)
    cluster.batch.delete_namespaced_job("taken", namespace, **BACKGROUND)
    eventually(lambda: not cluster.batch.list_namespaced_job(namespace).items)

    def remaining() -> set[str]:
        return {entry.metadata.labels["job-name"] for entry in cluster.core.list_namespaced_pod(namespace).items}

    eventually(lambda: remaining() == {"kept"})


def test_disruption_budget_blocks_evictions(cluster: Cluster, namespace: str) -> None:
    policy = kubernetes.client.PolicyV1Api(cluster.api)
    cluster.apps.create_namespaced_deployment(namespace, workload("web", 2))
    found = ready(cluster, namespace, 2)
    selector = {"matchLabels": {"app": "web"}}
    budget = {"metadata": {"name": "web"}, "spec": {"maxUnavailable": 1, "selector": selector}}
    policy.create_namespaced_pod_disruption_budget(namespace, budget)

    def allowed() -> int:
        status = policy.read_namespaced_pod_disruption_budget("web", namespace).status
        return status.disruptions_allowed or 0

    eventually(lambda: allowed() == 1)
    status = policy.read_namespaced_pod_disruption_budget("web", namespace).status
    assert (status.expected_pods, status.desired_healthy, status.current_healthy) == (2, 1, 2)
    policy.patch_namespaced_pod_disruption_budget("web", namespace, {"spec": {"maxUnavailable": 0}})
    eventually(lambda: allowed() == 0)
    name = found[0].metadata.name
    eviction = {"metadata": {"name": name, "namespace": namespace}}
    with refused(429, "Cannot evict pod as it would violate the pod's disruption budget", "DisruptionBudget"):
        cluster.core.create_namespaced_pod_eviction(name, namespace, eviction)
    policy.delete_namespaced_pod_disruption_budget("web", namespace)
    cluster.core.create_namespaced_pod_eviction(name, namespace, eviction)
    eventually(lambda: name not in {entry.metadata.name for entry in pods(cluster, namespace)})


def test_no_execute_taint_evicts_pods(cluster: Cluster, namespace: str) -> None:
    stays = [{"key": "test", "operator": "Exists"}]
    body = ("python3", "-c", "import time; time.sleep(600)")
    cluster.core.create_namespaced_pod(namespace, pod("stays", *body, tolerations=stays))
    node = cluster.phase("stays", "Running", namespace=namespace).spec.node_name
    here = {"kubernetes.io/hostname": node}
    cluster.core.create_namespaced_pod(namespace, pod("goes", *body, nodeSelector=here))
    cluster.phase("goes", "Running", namespace=namespace)
    taint = {"key": "test", "value": "now", "effect": "NoExecute"}
    cluster.core.patch_node(node, {"spec": {"taints": [taint]}})
    try:
        eventually(lambda: {entry.metadata.name for entry in pods(cluster, namespace)} == {"stays"})
    finally:
        cluster.core.patch_node(node, {"spec": {"taints": None}})
