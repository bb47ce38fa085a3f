# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a pod sees and may do where pods run in namespaces, asked from inside the pod."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from support.environment import ROOT
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import eventually
from support.kubernetes_cluster import pod
from support.pods import execute
from support.pods import run_pod
from support.sandbox_process import POD_MODE
from support.sandbox_process import PYTHON

pytestmark = [
    pytest.mark.client("kubernetes client"),
    pytest.mark.skipif(POD_MODE == "processes", reason="pods run as plain processes"),
]
#: A restricted container, as the Pod Security Standards want it.
RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65531,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}


@pytest.fixture(autouse=True)
def _require_namespaces(cluster: Cluster) -> None:
    """Where a machine has no namespaces the sandbox runs pods without, and says so."""
    runtime = cluster.core.list_node().items[0].status.node_info.container_runtime_version
    if not runtime.startswith("namespaces://"):
        assert POD_MODE == "auto"
        pytest.skip("this machine has no namespaces for ordinary users")


def program_output(cluster: Cluster, namespace: str, program: str, **container: t.Any) -> t.Any:
    """What a Python program in a pod finds out: it prints one JSON document."""
    body = pod("asks", "python3", "-c", program, **container.pop("spec", {}))
    body["spec"]["containers"][0] |= container
    found = run_pod(cluster, namespace, body)
    log = cluster.log("asks", namespace)
    assert found.status.phase == "Succeeded", log
    return json.loads(log)


def test_container_sees_only_its_own_files(cluster: Cluster, namespace: str) -> None:
    hidden = [
        str(ROOT),
        str(PYTHON),
        str(cluster.sandbox.directory),
        str(pathlib.Path.home() / ".ssh"),
        "/var/lib",
        "/boot",
    ]
    program = f"""
import json, os
def written(path):
    try:
        open(path, 'w').close()
    except OSError as error:
        return error.strerror
    return 'written'
print(json.dumps({{
    'seen': [path for path in {hidden!r} if os.path.exists(path)],
    'temporary': os.listdir('/tmp'),
    'usr': written('/usr/share/x'),
    'python': written('/opt/python/lib/x'),
    'tmp': written('/tmp/x'),
    'root': written('/anything'),
    'hosts': open('/etc/hosts').read(),
    'devices': sorted(os.listdir('/dev')),
    'removed': os.system('umount /usr 2>/dev/null') != 0,
}}))
"""
    found = program_output(cluster, namespace, program)
    assert found["seen"] == []
    assert found["temporary"] == []
    assert (found["tmp"], found["root"]) == ("written", "written")
    assert (found["usr"], found["python"]) == ("Read-only file system",) * 2
    address = cluster.core.read_namespaced_pod("asks", namespace).status.pod_ip
    assert f"{address}\tasks\n" in found["hosts"]
    assert "mem" not in found["devices"] and "null" in found["devices"]
    assert found["removed"]


def test_container_sees_only_its_own_processes(cluster: Cluster, namespace: str) -> None:
    program = (
        "import json, os, socket\n"
        "seen = [int(name) for name in os.listdir('/proc') if name.isdigit()]\n"
        "print(json.dumps([os.getpid(), seen, socket.gethostname(), os.umask(0)]))"
    )
    assert program_output(cluster, namespace, program) == [1, [1], "asks", 0o022]


def test_volumes_tokens_and_messages_have_their_real_paths(cluster: Cluster, namespace: str) -> None:
    program = """
import json, os
token = '/var/run/secrets/kubernetes.io/serviceaccount/token'
open('/scratch/deep/x', 'w').write('kept')
open('/last/words', 'w').write('bye')
def refusal(path):
    try:
        open(path, 'w')
    except OSError as error:
        return error.strerror
print(json.dumps([len(open(token).read().split('.')), refusal(token), refusal('/fixed/x'), os.listdir('/map')]))
"""
    cluster.core.create_namespaced_config_map(namespace, {"metadata": {"name": "cm"}, "data": {"k": "v"}})
    volumes = [{"name": "scratch", "emptyDir": {"medium": "Memory"}}, {"name": "map", "configMap": {"name": "cm"}}]
    mounts = [
        {"name": "scratch", "mountPath": "/scratch"},
        {"name": "scratch", "mountPath": "/scratch/deep", "subPath": "inner"},
        {"name": "scratch", "mountPath": "/fixed", "readOnly": True},
        {"name": "map", "mountPath": "/map"},
    ]
    found = program_output(
        cluster,
        namespace,
        program,
        volumeMounts=mounts,
        spec={"volumes": volumes},
        terminationMessagePath="/last/words",
    )
    assert found == [3, "Read-only file system", "Read-only file system", ["k"]]
    [status] = cluster.core.read_namespaced_pod("asks", namespace).status.container_statuses
    assert status.state.terminated.message == "bye"


def test_pod_reaches_only_allowed_addresses(cluster: Cluster, namespace: str) -> None:
    program = """
import errno, json, os, socket, ssl, urllib.request
def attempt(host, port):
    try:
        with socket.create_connection((host, port), 5) as connection:
            connection.sendall(b'GET /v1/credentials HTTP/1.0\\r\\n\\r\\n')
            return connection.recv(1).decode() or 'closed'
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
endpoint = urllib.request.urlopen(os.environ['AWS_ENDPOINT_URL'] + '/_sandbox/health').status
context = ssl.create_default_context(cafile='/var/run/secrets/kubernetes.io/serviceaccount/ca.crt')
api = 'https://{KUBERNETES_SERVICE_HOST}:{KUBERNETES_SERVICE_PORT}/version'.format(**os.environ)
version = json.load(urllib.request.urlopen(api, context=context))['major']
places = [('169.254.170.23', 80), ('169.254.169.254', 80), ('192.0.2.1', 80), ('127.0.0.1', 22)]
print(json.dumps([endpoint, version, [attempt(*place) for place in places]]))
"""
    # Nobody has installed the agent: its address answers nothing. The metadata service is a network away.
    expected = ["ECONNRESET", "ENETUNREACH", "ENETUNREACH", "ECONNREFUSED"]
    assert program_output(cluster, namespace, program) == [200, "1", expected]


def test_containers_of_a_pod_share_only_their_network(cluster: Cluster, namespace: str) -> None:
    serve = "import http.server as h; h.HTTPServer(('', 8080), h.SimpleHTTPRequestHandler).serve_forever()"
    ask = (
        "import os, time, urllib.request\n"
        "for _ in range(100):\n"
        "    try: print(urllib.request.urlopen('http://127.0.0.1:8080/').status, os.path.exists('/tmp/x')); break\n"
        "    except OSError: time.sleep(0.1)\n"
        "time.sleep(600)"
    )
    body = pod("pair", "python3", "-c", f"open('/tmp/x', 'w'); {serve}")
    [server] = body["spec"]["containers"]
    probe = {"httpGet": {"port": 8080, "path": "/"}, "periodSeconds": 1}
    body["spec"]["containers"] = [
        {**server, "readinessProbe": probe},
        {"name": "client", "image": "python:3.12", "command": ["python3", "-uc", ask]},
    ]
    cluster.core.create_namespaced_pod(namespace, body)
    # A pod is Running from its first container on; before it starts, a container has no log.
    eventually(
        lambda: all(
            one.state.running for one in cluster.phase("pair", "Running", namespace=namespace).status.container_statuses
        )
    )
    eventually(lambda: cluster.core.read_namespaced_pod_log("pair", namespace, container="client") == "200 False\n")
    # The kubelet's probe reaches the pod by its own address.
    eventually(
        lambda: all(s.ready for s in cluster.core.read_namespaced_pod("pair", namespace).status.container_statuses)
    )


def test_security_context_is_enforced(cluster: Cluster, namespace: str) -> None:
    program = """
import json, os
def refusal(path):
    try:
        open(path, 'w')
    except OSError as error:
        return error.strerror
status = dict(line.split(':\\t', 1) for line in open('/proc/self/status'))
print(json.dumps([os.getuid(), os.getgid(), refusal('/tmp/x'), refusal('/work/x'), status['NoNewPrivs'].strip(),
                  status['CapEff'].strip(), os.environ['HOME']]))
"""
    spec = {"volumes": [{"name": "work", "emptyDir": {}}]}
    mounts = [{"name": "work", "mountPath": "/work"}]
    found = program_output(cluster, namespace, program, securityContext=RESTRICTED, volumeMounts=mounts, spec=spec)
    assert found == [65532, 65531, "Read-only file system", None, "1", "0" * 16, "/"]


def test_root_has_the_capabilities_of_a_container_runtime(cluster: Cluster, namespace: str) -> None:
    program = (
        "import json; print(json.dumps([line.split()[1] for line in open('/proc/self/status') if 'CapEff' in line]))"
    )
    # containerd's default set, without what is dropped and with what is added.
    assert program_output(cluster, namespace, program) == ["00000000a80425fb"]
    body = pod("changed", "grep", "CapEff", "/proc/self/status")
    changes = {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}
    body["spec"]["containers"][0]["securityContext"] = changes
    run_pod(cluster, namespace, body)
    assert cluster.log("changed", namespace).split()[1] == "0000000000000400"


def test_exec_runs_inside_its_container(cluster: Cluster, namespace: str) -> None:
    body = pod("open", "sleep", "600", volumes=[{"name": "work", "emptyDir": {}}])
    body["spec"]["containers"][0] |= {
        "volumeMounts": [{"name": "work", "mountPath": "/work"}],
        "securityContext": {"runAsUser": 1234},
    }
    cluster.core.create_namespaced_pod(namespace, body)
    cluster.phase("open", "Running", namespace=namespace)
    own_address = "grep -c 169.254.170.23 /proc/net/fib_trie"
    script = f"tr '\\0' ' ' < /proc/1/cmdline; hostname; id -u; touch /work/x; ls /work; {own_address}"
    session = execute(cluster, "open", namespace, "sh", "-c", script)
    session.run_forever(timeout=20)
    command, user, listed, count = session.read_stdout().splitlines()
    assert (command, user, listed) == ("sleep 600 open", "1234", "x"), session.read_stderr()
    assert int(count) > 0


def test_container_has_a_process_limit(cluster: Cluster, namespace: str) -> None:
    program = """
import json, os, time
children = []
try:
    for _ in range(5000):
        child = os.fork()
        if child == 0:
            time.sleep(600)
        children.append(child)
except OSError as error:
    print(json.dumps([error.strerror, len(children)]), flush=True)
os._exit(0)
"""
    why, count = program_output(cluster, namespace, program)
    assert (why, 500 < count < 1100) == ("Resource temporarily unavailable", True), count
