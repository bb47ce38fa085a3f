# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ten thousand damaged requests to the embedded Kubernetes API: each is answered, and the server is well afterwards."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import pathlib
import ssl
import typing as t
import urllib.parse

import kubernetes
import pytest
from support.boto3_account import QUICK
from support.boto3_account import Account
from support.environment import DATA
from support.fuzzing import Damage
from support.fuzzing import Footprint
from support.kubernetes_cluster import eventually
from support.sandbox_process import CONTROL_PLANE
from support.sandbox_process import SandboxProcess

pytestmark = [
    pytest.mark.client("http"),
    pytest.mark.skipif(CONTROL_PLANE != "embedded", reason="kube-apiserver is tested by others"),
]

REQUESTS, SEED, WORKERS = 10_000, 20260, 4
JSON = "application/json"
TYPES = (
    *(JSON, "application/merge-patch+json", "application/strategic-merge-patch+json", "application/json-patch+json"),
    *("application/apply-patch+yaml", "application/vnd.kubernetes.protobuf", "application/yaml"),
    *("text/plain", "", "a/b;c=d"),
)
PARAMETERS = (
    *("dryRun", "fieldManager", "fieldValidation", "force", "labelSelector", "fieldSelector", "limit", "continue"),
    *("resourceVersion", "resourceVersionMatch", "sendInitialEvents", "includeObject", "gracePeriodSeconds"),
    *("propagationPolicy", "orphanDependents", "container", "tailLines", "sinceSeconds", "command"),
)


class Sample(t.NamedTuple):
    """A request that is right as it is, or nearly."""

    method: str
    path: str
    body: bytes | None = None
    content_type: str = JSON


def _samples() -> list[Sample]:
    """Requests that reach every part of the server."""
    samples = json.loads((DATA / "kubernetes-requests.json").read_text(encoding="utf-8"))
    return [
        Sample(
            sample["method"],
            sample["path"],
            json.dumps(sample["body"]).encode() if "body" in sample else None,
            sample.get("content_type", JSON),
        )
        for sample in samples
    ]


def _damaged(damage: Damage, sample: Sample) -> tuple[str, str, bytes | None, dict[str, str]]:
    """The sample with damage in its body, its path, its parameters or its headers."""
    chosen = damage.random
    body = sample.body
    if body is not None and chosen.random() < 0.85:
        body = damage.body(body)
    path, _, query = sample.path.partition("?")
    if chosen.random() < 0.15:
        path = "/" + "/".join(_part(damage, part) for part in path.split("/")[1:])
    parameters = urllib.parse.parse_qsl(query)
    if chosen.random() < 0.25:
        name = chosen.choice(PARAMETERS)
        parameters.append((name, chosen.choice(["All", "true", "-1", "1", "Strict", "a=b", damage.odd_text()])))
    method = sample.method if chosen.random() < 0.95 else chosen.choice(["GET", "POST", "PUT", "PATCH", "HEAD", "FOO"])
    # What lasts would only make the test longer; what deletes many would take the objects that the others need.
    parameters = [(name, value) for name, value in parameters if name not in ("watch", "follow", "timeoutSeconds")]
    headers = {"Content-Type": sample.content_type if chosen.random() < 0.93 else chosen.choice(TYPES)}
    if chosen.random() < 0.05:
        headers["Accept"] = chosen.choice([*TYPES, "application/json;as=Table;v=v1;g=meta.k8s.io", "*/*;q=x"])
    encoded = urllib.parse.urlencode(parameters, errors="surrogatepass")
    return method, f"{path}?{encoded}", body, headers


def _part(damage: Damage, part: str) -> str:
    if damage.random.random() < 0.75:
        return part
    return urllib.parse.quote(damage.odd_text(), safe="", errors="surrogatepass")


class Connection:
    """A connection that is made again when the server has closed it."""

    def __init__(self, configuration: t.Any) -> None:
        self._host = urllib.parse.urlparse(configuration.host).netloc
        self._context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        self._token = configuration.get_api_key_with_prefix("BearerToken")
        self._connection = self._connect()

    def _connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._host, context=self._context, timeout=20)

    def send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        """Status and body of the answer."""
        complete = {**headers, "Authorization": self._token}
        for is_last in (False, True):
            try:
                self._connection.request(method, path, body, complete)
                answer = self._connection.getresponse()
                return answer.status, answer.read()
            except (http.client.RemoteDisconnected, ConnectionError):
                self._connection.close()
                self._connection = self._connect()
                if is_last:
                    raise
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Let go."""
        self._connection.close()


def _send_damaged(configuration: t.Any, seed: int, count: int) -> list[str]:
    """Send damaged requests; returns what is wrong with the answers."""
    damage, samples, connection = Damage(seed), _samples(), Connection(configuration)
    wrong = []
    for _ in range(count):
        sample = damage.random.choice(samples)
        method, path, body, headers = _damaged(damage, sample)
        if method == "DELETE" and path.partition("?")[0].strip("/").count("/") < 5 and "dryRun=All" not in path:
            continue
        status, answer = connection.send(method, path, body, headers)
        if status >= 500 and status not in (501, 504):
            wrong.append(f"{status} {method} {path} {headers} {(body or b'')[:400]!r}: {answer[:300]!r}")
        elif status >= 400 and method != "HEAD" and not answer.startswith((b'{"kind": "Status"', b"404 page", b"kind")):
            wrong.append(f"{status} {method} {path}: no Status: {answer[:300]!r}")
    connection.close()
    return wrong


@pytest.fixture(scope="module")
def fuzzed_cluster(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[tuple[SandboxProcess, t.Any]]:
    """A sandbox of its own, with a cluster without nodes."""
    sandbox = SandboxProcess()
    sandbox.start(tmp_path_factory.mktemp("fuzz"))
    sandbox.knobs(**QUICK)
    Account(sandbox).cluster("fuzz")
    api = kubernetes.config.new_client_from_config(str(sandbox.kubeconfig))
    core = kubernetes.client.CoreV1Api(api)
    core.create_namespaced_config_map("default", {"metadata": {"name": "kept"}, "data": {"a": "b"}})
    container = {"name": "c", "image": "python:3.12"}
    pod = {"metadata": {"name": "kept"}, "spec": {"schedulerName": "nobody", "containers": [container]}}
    core.create_namespaced_pod("default", pod)
    yield sandbox, api
    sandbox.stop()


def test_server_answers_damaged_requests(fuzzed_cluster: tuple[SandboxProcess, t.Any]) -> None:
    sandbox, api = fuzzed_cluster
    _send_damaged(api.configuration, SEED - 1, 500)
    before = Footprint.of(sandbox.pid)
    share = REQUESTS // WORKERS
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as workers:
        running = [workers.submit(_send_damaged, api.configuration, SEED + number, share) for number in range(WORKERS)]
        wrong = [entry for work in running for entry in work.result()]
    assert not wrong, f"{len(wrong)} answers:\n" + "\n".join(wrong[:5])
    # Connections that nobody uses are closed after a while.
    most = before.open_files + WORKERS
    eventually(lambda: Footprint.of(sandbox.pid).open_files <= most)
    after = Footprint.of(sandbox.pid)
    log = sandbox.log
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]
    # What the requests made is kept, and the last 2,000 changes of each kind for watchers; nothing else grows.
    assert after.memory_mebibytes <= before.memory_mebibytes + 120, (before, after)


def test_server_works_after_damaged_requests(fuzzed_cluster: tuple[SandboxProcess, t.Any]) -> None:
    _, api = fuzzed_cluster
    core = kubernetes.client.CoreV1Api(api)
    version = core.list_namespaced_config_map("kube-public").metadata.resource_version
    core.create_namespaced_config_map("kube-public", {"metadata": {"name": "after"}})
    events = kubernetes.watch.Watch().stream(
        core.list_namespaced_config_map, "kube-public", resource_version=version, timeout_seconds=1
    )
    assert [(event["type"], event["object"].metadata.name) for event in events] == [("ADDED", "after")]
    core.create_namespace({"metadata": {"name": "after"}})
    assert pathlib.Path(f"/proc/{fuzzed_cluster[0].pid}").exists()
