# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pods as the official Python client sees them: containers, volumes, logs, exec, and the controllers that make them."""

from __future__ import annotations

import json
import typing as t

import kubernetes
import pytest
from kubernetes.stream import stream
from support.boto3_account import wait_for
from support.kubernetes_cluster import CLUSTER
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import eventually
from support.kubernetes_cluster import pod
from support.kubernetes_cluster import refused
from support.pods import execute
from support.pods import run_pod
from support.pods import running_processes
from support.sandbox_process import PYTHON

pytestmark = pytest.mark.client("kubernetes client")


def test_pod_reports_how_it_ended(cluster: Cluster, namespace: str) -> None:
    found = run_pod(cluster, namespace, pod("good", "sh", "-c", "echo out; echo err >&2"))
    assert found.status.phase == "Succeeded"
    [status] = found.status.container_statuses
    assert (status.state.terminated.exit_code, status.state.terminated.reason) == (0, "Completed")
    assert sorted(cluster.log("good", namespace).split()) == ["err", "out"]
    bad = run_pod(cluster, namespace, pod("bad", "sh", "-c", "exit 7"))
    assert bad.status.phase == "Failed"
    assert bad.status.container_statuses[0].state.terminated.exit_code == 7


def test_pod_sees_no_environment_of_the_host_user(cluster: Cluster, namespace: str) -> None:
    program = "import json, os, boto3; print(json.dumps(dict(os.environ)))"
    assert run_pod(cluster, namespace, pod("env", "python3", "-c", program)).status.phase == "Succeeded"
    environment = json.loads(cluster.log("env", namespace))
    assert environment["AWS_ENDPOINT_URL"] == cluster.sandbox.endpoint
    assert environment["HOSTNAME"] == "env"
    known = {"AWS_ENDPOINT_URL", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "HOME", "HOSTNAME", "LANG", "PATH", "TMPDIR"}
    assert {name for name in environment if not name.startswith("KUBERNETES_")} <= known
    assert environment["HOME"] == "/root" or environment["HOME"].startswith(str(cluster.sandbox.directory))


def test_amazon_linux_image_has_python_without_boto3(cluster: Cluster, namespace: str) -> None:
    image = "public.ecr.aws/amazonlinux/amazonlinux:2023"
    assert (
        run_pod(cluster, namespace, pod("plain", "python3", "-c", "import json", image=image)).status.phase
        == "Succeeded"
    )
    assert (
        run_pod(cluster, namespace, pod("none", "python3", "-c", "import boto3", image=image)).status.phase == "Failed"
    )
    assert "No module named 'boto3'" in cluster.log("none", namespace)


def waiting(cluster: Cluster, namespace: str, name: str, reason: str) -> str:
    """What the pod's container says, once it waits for this reason."""

    def read() -> t.Any:
        statuses = cluster.core.read_namespaced_pod(name, namespace).status.container_statuses
        waiting = statuses[0].state.waiting if statuses else None
        return waiting and waiting.reason == reason and (waiting.message or " ")

    return str(eventually(read))


def events(cluster: Cluster, namespace: str, name: str) -> dict[str, list[str]]:
    """The messages of an object's events, by their reasons."""
    found: dict[str, list[str]] = {}
    for event in cluster.core.list_namespaced_event(namespace, field_selector=f"involvedObject.name={name}").items:
        found.setdefault(event.reason, []).append(event.message)
    return found


def test_unknown_image_is_not_pulled(cluster: Cluster, namespace: str) -> None:
    cluster.core.create_namespaced_pod(namespace, pod("nginx", "true", image="nginx:1.27"))
    assert "docker.io/library/nginx:1.27: not found" in waiting(cluster, namespace, "nginx", "ImagePullBackOff")
    with refused(400, 'in pod \\"nginx\\" is waiting to start: trying and failing to pull image'):
        cluster.log("nginx", namespace)
    told = eventually(lambda: "BackOff" in (all := events(cluster, namespace, "nginx")) and all)
    assert told["Pulling"] == ['Pulling image "nginx:1.27"']
    assert told["BackOff"] == ['Back-off pulling image "nginx:1.27"']
    assert "Error: ErrImagePull" in told["Failed"]
    assert any(message.startswith('Failed to pull image "nginx:1.27": rpc error') for message in told["Failed"])
    cluster.core.delete_namespaced_pod("nginx", namespace)


def test_image_needs_valid_name_and_must_be_present(cluster: Cluster, namespace: str) -> None:
    cluster.core.create_namespaced_pod(namespace, pod("odd", "true", image="Python:3.12"))
    assert "invalid reference format" in waiting(cluster, namespace, "odd", "InvalidImageName")
    body = pod("never", "true", image="public.ecr.aws/docker/library/python:never-used")
    body["spec"]["containers"][0]["imagePullPolicy"] = "Never"
    cluster.core.create_namespaced_pod(namespace, body)
    assert "is not present with pull policy of Never" in waiting(cluster, namespace, "never", "ErrImageNeverPull")
    for name in ("odd", "never"):
        cluster.core.delete_namespaced_pod(name, namespace)


def test_busybox_has_a_shell(cluster: Cluster, namespace: str) -> None:
    found = run_pod(cluster, namespace, pod("shell", "sh", "-c", "echo ok | wc -l", image="busybox"))
    assert found.status.phase == "Succeeded"


@pytest.mark.skipif(not list(PYTHON.parents[1].glob("lib/*/site-packages/awscli")), reason="runs without the aws CLI")
def test_aws_cli_image_has_entry_point_and_command(cluster: Cluster, namespace: str) -> None:
    body = pod("cli", image="amazon/aws-cli:2.31.0")
    body["spec"]["containers"][0] |= {"command": None, "args": ["--version"]}
    assert run_pod(cluster, namespace, body).status.phase == "Succeeded", cluster.log("cli", namespace)
    assert cluster.log("cli", namespace).startswith("aws-cli/")
    named = pod("named", "aws", "s3", "ls", image="public.ecr.aws/aws-cli/aws-cli")
    assert run_pod(cluster, namespace, named).status.phase == "Failed"
    assert "Unable to locate credentials" in cluster.log("named", namespace)


def test_run_as_non_root_refuses_image_with_root_user(cluster: Cluster, namespace: str) -> None:
    body = pod("root", "true", securityContext={"runAsNonRoot": True})
    cluster.core.create_namespaced_pod(namespace, body)
    why = waiting(cluster, namespace, "root", "CreateContainerConfigError")
    assert why.startswith("container has runAsNonRoot and image will run as root")
    cluster.core.delete_namespaced_pod("root", namespace)


def test_container_above_its_memory_limit_is_killed(cluster: Cluster, namespace: str) -> None:
    body = pod("hungry", "python3", "-c", "import time; x = bytearray(b'x') * 300_000_000; time.sleep(60)")
    body["spec"]["containers"][0]["resources"] = {"limits": {"memory": "128Mi"}}
    ended_so = run_pod(cluster, namespace, body).status.container_statuses[0].state.terminated
    assert (ended_so.reason, ended_so.exit_code) == ("OOMKilled", 137)


def test_missing_program_is_a_start_error(cluster: Cluster, namespace: str) -> None:
    found = run_pod(cluster, namespace, pod("lost", "no-such-program"))
    terminated = found.status.container_statuses[0].state.terminated
    assert (terminated.reason, terminated.exit_code) == ("StartError", 128)
    assert "no-such-program" in terminated.message


def test_volumes_and_variables_reach_the_container(cluster: Cluster, namespace: str) -> None:
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
    assert run_pod(cluster, namespace, body).status.phase == "Succeeded", cluster.log("all", namespace)
    expected = ["from-map", "secret", "all", "x", f"from-map secret {namespace} from-map-secret-$(K)"]
    assert cluster.log("all", namespace).splitlines() == expected


def test_container_leaves_a_termination_message(cluster: Cluster, namespace: str) -> None:
    def last(name: str, script: str, **settings: t.Any) -> t.Any:
        body = pod(name, "sh", "-c", script)
        body["spec"]["containers"][0] |= settings
        return run_pod(cluster, namespace, body).status.container_statuses[0].state.terminated

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


def test_termination_message_belongs_to_one_run(cluster: Cluster, namespace: str) -> None:
    script = "test -e /shared/again && exit 0; touch /shared/again; printf first > /dev/termination-log; exit 1"
    body = pod("again", "sh", "-c", script, restartPolicy="OnFailure", volumes=[{"name": "shared", "emptyDir": {}}])
    body["spec"]["containers"][0]["volumeMounts"] = [{"name": "shared", "mountPath": "/shared"}]
    [status] = run_pod(cluster, namespace, body).status.container_statuses
    assert (status.last_state.terminated.message, status.state.terminated.message) == ("first", None)


def test_container_waits_for_its_config_map(cluster: Cluster, namespace: str) -> None:
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
    run_pod(cluster, namespace, body)
    assert cluster.log("order", namespace) == "1\n2\n"


def test_logs_can_be_followed_cut_and_dated(cluster: Cluster, namespace: str) -> None:
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


def test_log_keeps_every_written_line(cluster: Cluster, namespace: str) -> None:
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


def test_endless_log_stays_small(cluster: Cluster, namespace: str) -> None:
    # 25 MB, which kubelet's containerLogMaxSize cuts to what came last.
    program = "import sys\nfor i in range(250_000): sys.stdout.write(f'{i:098d}\\n')"
    assert run_pod(cluster, namespace, pod("talks", "python3", "-c", program)).status.phase == "Succeeded"
    log = cluster.log("talks", namespace)
    assert len(log) < 11 * 2**20
    assert log.splitlines()[-1] == f"{249_999:098d}"


def test_exec_has_a_terminal_on_request(cluster: Cluster, namespace: str) -> None:
    cluster.core.create_namespaced_pod(namespace, pod("open", "sleep", "60"))
    cluster.phase("open", "Running", namespace=namespace)
    script = "test -t 0 && echo terminal; read size; stty size; exit 4"
    session = execute(cluster, "open", namespace, "sh", "-c", script, stdin=True, tty=True)
    session.write_channel(4, json.dumps({"Width": 123, "Height": 45}))
    session.write_stdin("go\n")
    session.run_forever(timeout=20)
    shown = session.read_stdout()
    assert "terminal" in shown and "45 123" in shown, shown
    assert session.returncode == 4


def test_exec_runs_commands_over_a_websocket(cluster: Cluster, namespace: str) -> None:
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


@pytest.mark.parametrize("terminal", [False, True])
def test_client_attaches_to_a_container(cluster: Cluster, namespace: str, terminal: bool) -> None:
    script = "test -t 0 && echo terminal; read name; echo hello $name"
    body = pod("shell", "sh", "-c", script)
    body["spec"]["containers"][0] |= {"stdin": True, "tty": terminal}
    cluster.core.create_namespaced_pod(namespace, body)
    cluster.phase("shell", "Running", namespace=namespace)
    connect = cluster.core.connect_get_namespaced_pod_attach
    settings = {"stdin": True, "stdout": True, "stderr": True, "tty": terminal, "_preload_content": False}
    session = stream(connect, "shell", namespace, **settings)
    session.write_stdin("you\n")
    session.run_forever(timeout=20)
    assert "hello you" in session.read_stdout()
    assert cluster.phase("shell", "Succeeded", namespace=namespace)
    log = cluster.log("shell", namespace)
    assert ("terminal" in log, "hello you" in log) == (terminal, True)


def test_deleted_pod_ends_all_its_processes(cluster: Cluster, namespace: str) -> None:
    script = "(setsid sleep 4711.5 &) ; trap 'echo bye; exit 0' TERM; while true; do sleep 0.05; done"
    cluster.core.create_namespaced_pod(namespace, pod("ends", "sh", "-c", script, terminationGracePeriodSeconds=10))
    cluster.phase("ends", "Running", namespace=namespace)
    eventually(lambda: running_processes("4711.5"))
    cluster.core.delete_namespaced_pod("ends", namespace)
    eventually(
        lambda: "ends" not in [entry.metadata.name for entry in cluster.core.list_namespaced_pod(namespace).items]
    )
    assert not running_processes("4711.5")


def test_pod_fails_after_its_deadline(cluster: Cluster, namespace: str) -> None:
    found = run_pod(cluster, namespace, pod("late", "sleep", "60", activeDeadlineSeconds=1))
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


def test_jobs_succeed_fail_and_time_out(cluster: Cluster, namespace: str) -> None:
    cluster.batch.create_namespaced_job(namespace, job("good", "true", completions=3, parallelism=2))
    cluster.batch.create_namespaced_job(namespace, job("bad", "false", backoffLimit=1))
    cluster.batch.create_namespaced_job(namespace, job("slow", "sleep", "60", activeDeadlineSeconds=1))
    assert finished(cluster, namespace, "good").type == "Complete"
    assert cluster.batch.read_namespaced_job("good", namespace).status.succeeded == 3
    assert finished(cluster, namespace, "bad").reason == "BackoffLimitExceeded"
    assert cluster.batch.read_namespaced_job("bad", namespace).status.failed == 2
    assert finished(cluster, namespace, "slow").reason == "DeadlineExceeded"


def test_finished_job_is_deleted_after_its_ttl(cluster: Cluster, namespace: str) -> None:
    cluster.batch.create_namespaced_job(namespace, job("brief", "true", ttlSecondsAfterFinished=1))
    finished(cluster, namespace, "brief")
    eventually(lambda: not cluster.batch.list_namespaced_job(namespace).items)
    eventually(lambda: not cluster.core.list_namespaced_pod(namespace).items)


def test_job_reports_that_it_cannot_create_pods(cluster: Cluster, namespace: str) -> None:
    body = job("nobody", "true")
    body["spec"]["template"]["spec"]["serviceAccountName"] = "nobody"
    cluster.batch.create_namespaced_job(namespace, body)

    def failed_creations() -> t.Any:
        events = cluster.core.list_namespaced_event(namespace, field_selector="involvedObject.name=nobody").items
        return [event for event in events if event.reason == "FailedCreate" and "not found" in event.message]

    eventually(failed_creations)


def test_deployment_rolls_out_and_scales(cluster: Cluster, namespace: str) -> None:
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


def test_node_describes_its_instance_like_eks(cluster: Cluster) -> None:
    for node in cluster.core.list_node().items:
        labels = node.metadata.labels
        assert labels["eks.amazonaws.com/nodegroup"] == "nodes"
        assert labels["node.kubernetes.io/instance-type"] == "t3.medium"
        assert node.spec.provider_id.startswith(f"aws:///{labels['topology.kubernetes.io/zone']}/i-")
        assert node.status.capacity["pods"] == "17"
        # What EKS keeps for the node itself of 2 vCPUs and 4 GiB.
        assert (node.status.allocatable["cpu"], node.status.allocatable["memory"]) == ("1930m", "3554Mi")
        assert {entry.type: entry.status for entry in node.status.conditions}["Ready"] == "True"
        lease = kubernetes.client.CoordinationV1Api(cluster.api).read_namespaced_lease(
            node.metadata.name, "kube-node-lease"
        )
        assert lease.spec.holder_identity == node.metadata.name


def test_daemon_set_runs_on_every_node_that_fits(cluster: Cluster, namespace: str) -> None:
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


def test_unschedulable_pod_stays_pending(cluster: Cluster, namespace: str) -> None:
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


def test_pod_gets_its_role_only_with_the_agent(cluster: Cluster) -> None:
    addon = {"clusterName": CLUSTER, "addonName": "eks-pod-identity-agent"}
    program = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    cluster.service_account("s3-access-sa")
    cluster.account.eks.create_addon(**addon)
    wait_for(lambda: cluster.account.describe_addon(cluster=CLUSTER), "ACTIVE")
    try:
        body = pod("chain", "python3", "-c", program, serviceAccountName="s3-access-sa")
        assert run_pod(cluster, "default", body).status.phase == "Succeeded", cluster.log("chain")
        assert cluster.log("chain").startswith("arn:aws:sts::111122223333:assumed-role/workload/eks-")
    finally:
        cluster.account.eks.delete_addon(**addon)
    gone = {"label_selector": "app.kubernetes.io/name=eks-pod-identity-agent"}
    eventually(lambda: not cluster.core.list_namespaced_pod("kube-system", **gone).items)
    # Without the agent the injected address refuses connections.
    lonely = pod("lonely", "python3", "-c", program, serviceAccountName="s3-access-sa")
    assert run_pod(cluster, "default", lonely).status.phase == "Failed"
    assert "CredentialRetrievalError" in cluster.log("lonely")
