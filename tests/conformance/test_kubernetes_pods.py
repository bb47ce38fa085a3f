# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pods as the official Python client sees them: containers, volumes, logs, exec, and the controllers that make them."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

import kubernetes
import pytest
from conformance.conftest import QUICK
from conformance.conftest import Account
from conformance.conftest import wait_for
from conformance.kubernetes_cluster import CLUSTER
from conformance.kubernetes_cluster import Cluster
from conformance.kubernetes_cluster import cluster
from conformance.kubernetes_cluster import eventually
from conformance.kubernetes_cluster import pod
from conformance.kubernetes_cluster import refused
from kubernetes.stream import stream
from sandbox_process import SandboxProcess

__all__ = ["cluster"]


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> t.Iterator[str]:
    """A namespace of the test's own."""
    name = request.node.name.replace("_", "-")[:63].rstrip("-")
    cluster.core.create_namespace({"metadata": {"name": name}})
    eventually(lambda: cluster.core.list_namespaced_service_account(name).items)
    yield name
    cluster.core.delete_namespace(name)


def ended(cluster: Cluster, namespace: str, body: dict[str, t.Any]) -> t.Any:
    """The pod after it has run."""
    cluster.core.create_namespaced_pod(namespace, body)
    return cluster.phase(body["metadata"]["name"], "Succeeded", "Failed", namespace=namespace)


def execute(cluster: Cluster, name: str, namespace: str, *command: str, **more: t.Any) -> t.Any:
    """A command in a running pod; the client's own websocket."""
    settings = {"stdin": False, "stdout": True, "stderr": True, "tty": False, "_preload_content": False, **more}
    return stream(cluster.core.connect_get_namespaced_pod_exec, name, namespace, command=list(command), **settings)


def test_a_pod_runs_and_tells_how_it_ended(cluster: Cluster, namespace: str) -> None:
    found = ended(cluster, namespace, pod("good", "sh", "-c", "echo out; echo err >&2"))
    assert found.status.phase == "Succeeded"
    [status] = found.status.container_statuses
    assert (status.state.terminated.exit_code, status.state.terminated.reason) == (0, "Completed")
    assert sorted(cluster.log("good", namespace).split()) == ["err", "out"]
    bad = ended(cluster, namespace, pod("bad", "sh", "-c", "exit 7"))
    assert bad.status.phase == "Failed"
    assert bad.status.container_statuses[0].state.terminated.exit_code == 7


def test_a_pod_sees_nothing_of_the_machine_s_user(cluster: Cluster, namespace: str) -> None:
    program = "import json, os, boto3; print(json.dumps(dict(os.environ)))"
    assert ended(cluster, namespace, pod("env", "python3", "-c", program)).status.phase == "Succeeded"
    environment = json.loads(cluster.log("env", namespace))
    assert environment["AWS_ENDPOINT_URL"] == cluster.sandbox.endpoint
    assert environment["HOSTNAME"] == "env"
    known = {"AWS_ENDPOINT_URL", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "HOME", "HOSTNAME", "LANG", "PATH", "TMPDIR"}
    assert {name for name in environment if not name.startswith("KUBERNETES_")} <= known
    assert environment["HOME"] != os.environ.get("HOME")


def test_a_plain_amazon_linux_has_a_python_without_boto3(cluster: Cluster, namespace: str) -> None:
    image = "public.ecr.aws/amazonlinux/amazonlinux:2023"
    assert (
        ended(cluster, namespace, pod("plain", "python3", "-c", "import json", image=image)).status.phase == "Succeeded"
    )
    assert ended(cluster, namespace, pod("none", "python3", "-c", "import boto3", image=image)).status.phase == "Failed"
    assert "No module named 'boto3'" in cluster.log("none", namespace)


def test_an_unknown_image_is_not_pulled(cluster: Cluster, namespace: str) -> None:
    cluster.core.create_namespaced_pod(namespace, pod("nginx", "true", image="nginx:1.27"))

    def reason() -> t.Any:
        statuses = cluster.core.read_namespaced_pod("nginx", namespace).status.container_statuses
        waiting = statuses[0].state.waiting if statuses else None
        return waiting and waiting.reason == "ImagePullBackOff"

    eventually(reason)
    with refused(400, 'in pod \\"nginx\\" is waiting to start: trying and failing to pull image'):
        cluster.log("nginx", namespace)
    cluster.core.delete_namespaced_pod("nginx", namespace)


def test_a_program_that_is_not_there_says_so(cluster: Cluster, namespace: str) -> None:
    found = ended(cluster, namespace, pod("lost", "no-such-program"))
    terminated = found.status.container_statuses[0].state.terminated
    assert (terminated.reason, terminated.exit_code) == ("StartError", 128)
    assert "no-such-program" in terminated.message


def test_volumes_and_variables(cluster: Cluster, namespace: str) -> None:
    cluster.core.create_namespaced_config_map(namespace, {"metadata": {"name": "cm"}, "data": {"k": "from-map"}})
    cluster.core.create_namespaced_secret(namespace, {"metadata": {"name": "sec"}, "stringData": {"s": "secret"}})
    volumes = [
        {"name": "map", "configMap": {"name": "cm", "items": [{"key": "k", "path": "deep/file"}]}},
        {"name": "secret", "secret": {"secretName": "sec"}},
        {"name": "scratch", "emptyDir": {}},
        {"name": "self", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ]
    mounts = [{"name": volume["name"], "mountPath": f"/mnt/{volume['name']}"} for volume in volumes]
    script = (
        "cat /mnt/map/deep/file; echo; cat /mnt/secret/s; echo; cat /mnt/self/name; echo; "
        "echo x > /mnt/scratch/y && cat /mnt/scratch/y; echo $K $S $N $BOTH"
    )
    body = pod("all", "sh", "-c", script, volumes=volumes)
    body["spec"]["containers"][0] |= {
        "volumeMounts": mounts,
        "envFrom": [{"configMapRef": {"name": "cm"}}],
        "env": [
            {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}},
            {"name": "S", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "s"}}},
            {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "BOTH", "value": "$(K)-$(S)-$$(K)"},
        ],
    }
    assert ended(cluster, namespace, body).status.phase == "Succeeded", cluster.log("all", namespace)
    expected = ["from-map", "secret", "all", "x", f"from-map secret {namespace} from-map-secret-$(K)"]
    assert cluster.log("all", namespace).splitlines() == expected


def test_a_volume_at_tmp_leaves_other_paths_alone(cluster: Cluster, namespace: str) -> None:
    # The sandbox's own folder is below /tmp, as pytest's tmp_path is: its paths must not be taken for the pod's.
    assert cluster.sandbox.directory.is_relative_to("/tmp")
    script = "echo $A > /tmp/a; cat /tmp/a; echo /tmpfoo /var/tmp /tmp-x /tmp; pwd; test -d /tmp/../tmp; echo $(B)"
    volumes = [{"name": "tmp", "emptyDir": {}}, {"name": "deep", "emptyDir": {}}]
    body = pod("tmp", "sh", "-c", script, volumes=volumes)
    mounts = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "deep", "mountPath": "/tmp/deep/"}]
    variables = [{"name": "A", "value": "/tmp/x:/var/tmp:/tmp/deep/y"}, {"name": "B", "value": "--to=/tmp/deep"}]
    body["spec"]["containers"][0] |= {"volumeMounts": mounts, "env": variables, "workingDir": "/tmp"}
    assert ended(cluster, namespace, body).status.phase == "Succeeded"
    listed, plain, folder, expanded = cluster.log("tmp", namespace).splitlines()
    _, _, _, real = plain.split()
    deep = str(pathlib.Path(real).with_name("deep"))
    assert real.endswith("/volumes/tmp")
    assert plain == f"/tmpfoo /var/tmp /tmp-x {real}"
    assert listed == f"{real}/x:/var/tmp:{deep}/y"
    assert folder == real
    assert expanded == f"--to={deep}"


def test_each_container_has_mounts_of_its_own(cluster: Cluster, namespace: str) -> None:
    volumes: list[dict[str, t.Any]] = [{"name": name, "emptyDir": {}} for name in ("one", "two")]
    body = pod("mounts", "sh", "-c", "echo /data", volumes=volumes)
    [first] = body["spec"]["containers"]
    body["spec"]["containers"] = [
        {**first, "name": name, "volumeMounts": [{"name": name, "mountPath": "/data"}]} for name in ("one", "two")
    ]
    assert ended(cluster, namespace, body).status.phase == "Succeeded"
    for name in ("one", "two"):
        log = cluster.core.read_namespaced_pod_log("mounts", namespace, container=name)
        assert log.endswith(f"/volumes/{name}\n")


def test_a_container_leaves_a_last_message(cluster: Cluster, namespace: str) -> None:
    def last(name: str, script: str, **settings: t.Any) -> t.Any:
        body = pod(name, "sh", "-c", script)
        body["spec"]["containers"][0] |= settings
        return ended(cluster, namespace, body).status.container_statuses[0].state.terminated

    fallback = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    assert last("words", "echo logged; printf done > /dev/termination-log").message == "done"
    assert last("none", "echo logged; exit 1").message is None
    named = {"terminationMessagePath": "/tmp/last", "env": [{"name": "LAST", "value": "/tmp/last"}]}
    assert last("named", 'printf "by name" > "$LAST"; exit 3', **named).message == "by name"
    # Only the end of a long message is taken, and only a failed container's log stands in for a missing one.
    long = last("long", 'python3 -c \'print("a" * 5000 + "b", end="")\' > /dev/termination-log')
    assert long.message == "a" * 4095 + "b"
    assert last("good", "echo logged", **fallback).message is None
    assert last("bad", "seq 200; exit 1", **fallback).message == "".join(f"{number}\n" for number in range(121, 201))
    written = last("both", "echo logged; printf written > /dev/termination-log; exit 1", **fallback)
    assert (written.exit_code, written.message) == (1, "written")


def test_a_message_is_of_one_run_only(cluster: Cluster, namespace: str) -> None:
    script = "test -e /shared/again && exit 0; touch /shared/again; printf first > /dev/termination-log; exit 1"
    body = pod("again", "sh", "-c", script, restartPolicy="OnFailure", volumes=[{"name": "shared", "emptyDir": {}}])
    body["spec"]["containers"][0]["volumeMounts"] = [{"name": "shared", "mountPath": "/shared"}]
    [status] = ended(cluster, namespace, body).status.container_statuses
    assert (status.last_state.terminated.message, status.state.terminated.message) == ("first", None)


def test_a_container_waits_for_its_configuration(cluster: Cluster, namespace: str) -> None:
    body = pod("waits", "sh", "-c", "echo $K")
    reference = {"configMapKeyRef": {"name": "late", "key": "k"}}
    body["spec"]["containers"][0]["env"] = [{"name": "K", "valueFrom": reference}]
    cluster.core.create_namespaced_pod(namespace, body)

    def waiting() -> t.Any:
        statuses = cluster.core.read_namespaced_pod("waits", namespace).status.container_statuses
        return statuses and statuses[0].state.waiting and "late" in (statuses[0].state.waiting.message or "")

    eventually(waiting)
    cluster.core.create_namespaced_config_map(namespace, {"metadata": {"name": "late"}, "data": {"k": "now"}})
    cluster.phase("waits", "Succeeded", namespace=namespace)
    assert cluster.log("waits", namespace) == "now\n"


def test_init_containers_run_first_and_in_order(cluster: Cluster, namespace: str) -> None:
    body = pod("order", "sh", "-c", "cat /shared/steps", volumes=[{"name": "shared", "emptyDir": {}}])
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    body["spec"]["containers"][0]["volumeMounts"] = mounts
    body["spec"]["initContainers"] = [
        {
            "name": f"step{number}",
            "image": "python:3.12",
            "command": ["sh", "-c", f"echo {number} >> /shared/steps"],
            "volumeMounts": mounts,
        }
        for number in (1, 2)
    ]
    ended(cluster, namespace, body)
    assert cluster.log("order", namespace) == "1\n2\n"


def test_logs_are_followed_cut_and_dated(cluster: Cluster, namespace: str) -> None:
    script = "for i in 1 2 3 4; do echo line $i; sleep 0.2; done"
    cluster.core.create_namespaced_pod(namespace, pod("talks", "sh", "-c", script))
    cluster.phase("talks", "Running", "Succeeded", namespace=namespace)
    followed = kubernetes.watch.Watch().stream(
        cluster.core.read_namespaced_pod_log, name="talks", namespace=namespace, follow=True
    )
    assert list(followed) == [f"line {number}" for number in (1, 2, 3, 4)]
    assert cluster.core.read_namespaced_pod_log("talks", namespace, tail_lines=2) == "line 3\nline 4\n"
    dated = cluster.core.read_namespaced_pod_log("talks", namespace, timestamps=True).splitlines()[0]
    assert dated.endswith("Z line 1")
    assert cluster.core.read_namespaced_pod_log("talks", namespace, limit_bytes=6) == "line 1"


def test_a_log_is_what_was_written_line_by_line(cluster: Cluster, namespace: str) -> None:
    # In pieces of lines, by both streams at once, with a line that the runtime splits, and without a last line end.
    program = (
        "import sys, time\n"
        "def put(stream, text): stream.write(text); stream.flush(); time.sleep(0.004)\n"
        "for i in range(60): put(sys.stdout, f'o{i}'); put(sys.stderr, f'e{i}\\n'); put(sys.stdout, 'x\\n')\n"
        "put(sys.stdout, 'y' * 16384); put(sys.stdout, '\\n' + 'z' * 40000 + '\\nend')\n"
    )
    cluster.core.create_namespaced_pod(namespace, pod("writes", "python3", "-c", program))
    cluster.phase("writes", "Running", "Succeeded", namespace=namespace)
    followed = cluster.core.read_namespaced_pod_log("writes", namespace, follow=True)
    cluster.phase("writes", "Succeeded", namespace=namespace)
    assert cluster.log("writes", namespace) == followed
    lines = followed.split("\n")
    assert [line for line in lines if line.startswith("o")] == [f"o{i}x" for i in range(60)]
    assert [line for line in lines if line.startswith("e")] == [*(f"e{i}" for i in range(60)), "end"]
    assert [len(line) for line in lines if line.startswith(("y", "z"))] == [16384, 40000]
    assert len(lines) == 123


def test_commands_run_in_a_pod_over_a_websocket(cluster: Cluster, namespace: str) -> None:
    cluster.core.create_namespaced_pod(namespace, pod("open", "sleep", "60"))
    cluster.phase("open", "Running", namespace=namespace)
    session = execute(cluster, "open", namespace, "sh", "-c", "echo out; echo err >&2; exit 5")
    session.run_forever(timeout=20)
    assert (session.read_stdout(), session.read_stderr(), session.returncode) == ("out\n", "err\n", 5)
    typed = execute(cluster, "open", namespace, "head", "-n1", stdin=True)
    typed.write_stdin("hello\n")
    typed.run_forever(timeout=20)
    assert (typed.read_stdout(), typed.returncode) == ("hello\n", 0)
    big = execute(cluster, "open", namespace, "python3", "-c", "print('x' * 300_000)")
    big.run_forever(timeout=20)
    assert len(big.read_stdout()) == 300_001


def test_a_pod_that_is_deleted_ends_with_everything_it_started(cluster: Cluster, namespace: str) -> None:
    script = "(setsid sleep 4711.5 &) ; trap 'echo bye; exit 0' TERM; while true; do sleep 0.05; done"
    cluster.core.create_namespaced_pod(namespace, pod("ends", "sh", "-c", script, terminationGracePeriodSeconds=10))
    cluster.phase("ends", "Running", namespace=namespace)
    eventually(lambda: running("4711.5"))
    cluster.core.delete_namespaced_pod("ends", namespace)
    eventually(
        lambda: "ends" not in [entry.metadata.name for entry in cluster.core.list_namespaced_pod(namespace).items]
    )
    assert not running("4711.5")


def running(text: str) -> list[str]:
    """Processes of this machine whose command line holds the text."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if text in line and "setsid" not in line and "ps -eo" not in line]


def test_a_deadline_ends_a_pod(cluster: Cluster, namespace: str) -> None:
    found = ended(cluster, namespace, pod("late", "sleep", "60", activeDeadlineSeconds=1))
    assert (found.status.phase, found.status.reason) == ("Failed", "DeadlineExceeded")


def job(name: str, *command: str, **spec: t.Any) -> dict[str, t.Any]:
    template = {"spec": pod("x", *command)["spec"]}
    return {"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": template, **spec}}


def finished(cluster: Cluster, namespace: str, name: str) -> t.Any:
    """The job's last condition, once it has one."""

    def read() -> t.Any:
        conditions = cluster.batch.read_namespaced_job(name, namespace).status.conditions
        return conditions and next((entry for entry in conditions if entry.type in ("Complete", "Failed")), None)

    return eventually(read)


def test_jobs_succeed_fail_and_run_out_of_time(cluster: Cluster, namespace: str) -> None:
    cluster.batch.create_namespaced_job(namespace, job("good", "true", completions=3, parallelism=2))
    cluster.batch.create_namespaced_job(namespace, job("bad", "false", backoffLimit=1))
    cluster.batch.create_namespaced_job(namespace, job("slow", "sleep", "60", activeDeadlineSeconds=1))
    assert finished(cluster, namespace, "good").type == "Complete"
    assert cluster.batch.read_namespaced_job("good", namespace).status.succeeded == 3
    assert finished(cluster, namespace, "bad").reason == "BackoffLimitExceeded"
    assert cluster.batch.read_namespaced_job("bad", namespace).status.failed == 2
    assert finished(cluster, namespace, "slow").reason == "DeadlineExceeded"


def test_a_finished_job_goes_after_its_time(cluster: Cluster, namespace: str) -> None:
    cluster.batch.create_namespaced_job(namespace, job("brief", "true", ttlSecondsAfterFinished=1))
    finished(cluster, namespace, "brief")
    eventually(lambda: not cluster.batch.list_namespaced_job(namespace).items)
    eventually(lambda: not cluster.core.list_namespaced_pod(namespace).items)


def test_a_job_that_may_not_create_pods_says_so(cluster: Cluster, namespace: str) -> None:
    body = job("nobody", "true")
    body["spec"]["template"]["spec"]["serviceAccountName"] = "nobody"
    cluster.batch.create_namespaced_job(namespace, body)

    def told() -> t.Any:
        events = cluster.core.list_namespaced_event(namespace, field_selector="involvedObject.name=nobody").items
        return [event for event in events if event.reason == "FailedCreate" and "not found" in event.message]

    eventually(told)


def test_a_deployment_rolls_without_losing_its_pods(cluster: Cluster, namespace: str) -> None:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {**pod("x", "sleep", "600")["spec"], "restartPolicy": "Always"}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    cluster.apps.create_namespaced_deployment(namespace, {"metadata": {"name": "web"}, "spec": spec})

    def rolled(generation: int) -> t.Any:
        status = cluster.apps.read_namespaced_deployment("web", namespace).status
        done = (status.observed_generation, status.updated_replicas, status.available_replicas, status.replicas)
        return done == (generation, 2, 2, 2)

    eventually(lambda: rolled(1))
    before = {entry.metadata.name for entry in cluster.core.list_namespaced_pod(namespace).items}
    change = {"spec": {"template": {"metadata": {"annotations": {"restarted": "now"}}}}}
    cluster.apps.patch_namespaced_deployment("web", namespace, change)
    eventually(lambda: rolled(2))
    # The last of the old pods may still be ending, and counts no more while it does.
    eventually(
        lambda: not before & {entry.metadata.name for entry in cluster.core.list_namespaced_pod(namespace).items}
    )
    cluster.apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 1}})
    eventually(lambda: len(cluster.core.list_namespaced_pod(namespace).items) == 1)


def test_a_daemon_runs_on_every_node_that_fits(cluster: Cluster, namespace: str) -> None:
    nodes = [node.metadata.name for node in cluster.core.list_node().items]
    assert len(nodes) == 2
    cluster.core.patch_node(nodes[0], {"spec": {"taints": [{"key": "kept", "value": "x", "effect": "NoSchedule"}]}})
    try:
        create_daemon(cluster, namespace, "shy")
        create_daemon(cluster, namespace, "bold", tolerations=[{"operator": "Exists"}])
        eventually(lambda: daemon_counts(cluster, namespace, "bold") == (2, 2))
        eventually(lambda: daemon_counts(cluster, namespace, "shy") == (1, 1))
    finally:
        cluster.core.patch_node(nodes[0], {"spec": {"taints": None}})
    eventually(lambda: daemon_counts(cluster, namespace, "shy") == (2, 2))


def create_daemon(cluster: Cluster, namespace: str, name: str, **more: t.Any) -> None:
    labels = {"app": name}
    spec = {**pod("x", "sleep", "600")["spec"], "restartPolicy": "Always", **more}
    template = {"metadata": {"labels": labels}, "spec": spec}
    body = {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
    cluster.apps.create_namespaced_daemon_set(namespace, body)


def daemon_counts(cluster: Cluster, namespace: str, name: str) -> tuple[int, int]:
    status = cluster.apps.read_namespaced_daemon_set(name, namespace).status
    return status.desired_number_scheduled or 0, status.number_ready or 0


def test_a_pod_that_fits_nowhere_stays_pending(cluster: Cluster, namespace: str) -> None:
    cluster.core.create_namespaced_pod(namespace, pod("picky", "true", nodeSelector={"disk": "fast"}))

    def reason() -> t.Any:
        conditions = cluster.core.read_namespaced_pod("picky", namespace).status.conditions or []
        return next((entry for entry in conditions if entry.reason == "Unschedulable"), None)

    assert "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector" in eventually(reason).message
    [node, *_] = cluster.core.list_node().items
    cluster.core.patch_node(node.metadata.name, {"metadata": {"labels": {"disk": "fast"}}})
    found = cluster.phase("picky", "Succeeded", namespace=namespace)
    assert found.spec.node_name == node.metadata.name
    cluster.core.patch_node(node.metadata.name, {"metadata": {"labels": {"disk": None}}})


def test_the_whole_chain_gives_a_pod_its_role(cluster: Cluster) -> None:
    addon = {"clusterName": CLUSTER, "addonName": "eks-pod-identity-agent"}
    program = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    cluster.service_account("s3-access-sa")
    cluster.account.eks.create_addon(**addon)
    wait_for(lambda: cluster.account.describe_addon(cluster=CLUSTER), "ACTIVE")
    try:
        body = pod("chain", "python3", "-c", program, serviceAccountName="s3-access-sa")
        assert ended(cluster, "default", body).status.phase == "Succeeded", cluster.log("chain")
        assert cluster.log("chain").startswith("arn:aws:sts::111122223333:assumed-role/workload/eks-")
    finally:
        cluster.account.eks.delete_addon(**addon)
    gone = {"label_selector": "app.kubernetes.io/name=eks-pod-identity-agent"}
    eventually(lambda: not cluster.core.list_namespaced_pod("kube-system", **gone).items)
    # Without the agent the injected address refuses connections.
    lonely = pod("lonely", "python3", "-c", program, serviceAccountName="s3-access-sa")
    assert ended(cluster, "default", lonely).status.phase == "Failed"
    assert "CredentialRetrievalError" in cluster.log("lonely")


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux has them")
def test_no_pod_outlives_a_killed_sandbox(tmp_path: pathlib.Path) -> None:
    sandbox = SandboxProcess()
    sandbox.start(tmp_path)
    try:
        sandbox.knobs(**QUICK)
        account = Account(sandbox)
        account.cluster("doomed")
        account.nodegroup("doomed")
        api = kubernetes.config.new_client_from_config(str(sandbox.kubeconfig))
        core = kubernetes.client.CoreV1Api(api)
        script = "(setsid sleep 4712.5 &); sleep 4713.5"
        core.create_namespaced_pod("default", pod("doomed", "sh", "-c", script))
        eventually(lambda: running("4712.5") and running("4713.5"))
    finally:
        sandbox.kill()
    eventually(lambda: not running("4712.5") and not running("4713.5"), seconds=5)
