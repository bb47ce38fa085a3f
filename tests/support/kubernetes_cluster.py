# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One cluster of one sandbox for all Kubernetes tests, used with clients that we did not write."""

from __future__ import annotations

import contextlib
import functools
import json
import pathlib
import ssl
import tempfile
import time
import typing as t
import urllib.error
import urllib.request

import kubernetes
import pytest
from kubernetes.client.exceptions import ApiException
from support.boto3_account import QUICK
from support.boto3_account import Account
from support.sandbox_process import SandboxProcess

CLUSTER = "kubernetes"
REGION = "us-west-2"
#: Who has a pod identity, as in ``tests/data/webhook-cases.json``.
IDENTITIES = (("default", "s3-access-sa"), ("default", "both-sa"), ("default", "exp-sa"), ("team-a", "app"))
#: Seconds that a pod gets to do what it should, on a busy machine.
PATIENCE = 40.0


class Cluster:
    """A cluster with two nodes, seen by the official Python client as the sandbox's administrator."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self.sandbox = sandbox
        self.account = Account(sandbox)
        self.account.cluster(CLUSTER)
        self.account.nodegroup(CLUSTER, scalingConfig={"minSize": 2, "maxSize": 3, "desiredSize": 2})
        self.role = self.account.pod_role()
        for namespace, name in IDENTITIES:
            self.account.associate(self.role, name, clusterName=CLUSTER, namespace=namespace)
        self.kubeconfig = sandbox.kubeconfig
        self.api = kubernetes.config.new_client_from_config(str(self.kubeconfig), context=None)
        self.core = kubernetes.client.CoreV1Api(self.api)
        self.apps = kubernetes.client.AppsV1Api(self.api)
        self.batch = kubernetes.client.BatchV1Api(self.api)

    def client(self, token: str) -> t.Any:
        """A client with another bearer token."""
        configuration = kubernetes.client.Configuration()
        configuration.host = self.api.configuration.host
        configuration.ssl_ca_cert = self.api.configuration.ssl_ca_cert
        configuration.api_key = {"authorization": f"Bearer {token}"}
        return kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(configuration))

    def service_account(self, name: str, namespace: str = "default", **annotations: str) -> None:
        """A service account; one that is there already stays."""
        body = {"metadata": {"name": name, "annotations": annotations}}
        with contextlib.suppress(ApiException):
            self.core.create_namespaced_service_account(namespace, body)

    def phase(self, name: str, *phases: str, namespace: str = "default") -> t.Any:
        """The pod, once its phase is one of these."""

        def read() -> t.Any:
            pod = self.core.read_namespaced_pod(name, namespace)
            return pod if pod.status.phase in phases else None

        try:
            return eventually(read)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.history(name, namespace)}") from error

    def history(self, name: str, namespace: str) -> str:
        """What has happened to a pod, for whoever reads a failure."""
        events = self.core.list_namespaced_event(namespace, field_selector=f"involvedObject.name={name}").items
        lines = [f"{event.reason}: {event.message}" for event in events]
        return "\n".join([*lines, str(self.core.read_namespaced_pod(name, namespace).status)])

    def log(self, name: str, namespace: str = "default") -> str:
        """What a pod has written."""
        text: str = self.core.read_namespaced_pod_log(name, namespace)
        return text


def pod(name: str, *command: str, image: str = "python:3.12", **spec: t.Any) -> dict[str, t.Any]:
    """A pod that runs a command once."""
    container = {"name": "main", "image": image, "command": list(command)}
    whole = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": whole}


def eventually(look: t.Callable[[], t.Any], seconds: float = PATIENCE) -> t.Any:
    """Look until there is something; fails when there is nothing in time."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"nothing after {seconds} s"
        time.sleep(0.05)
    return found


def send(
    cluster: Cluster, method: str, path: str, body: t.Any = None, *, known: bool = True, **headers: str
) -> tuple[int, bytes, t.Any]:
    """A request that the official client would not make: status, body and headers of the answer."""
    configuration = cluster.api.configuration
    if known:
        headers["Authorization"] = configuration.get_api_key_with_prefix("BearerToken")
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    sent = {name.replace("_", "-"): value for name, value in {"Content_Type": "application/json", **headers}.items()}
    request = urllib.request.Request(configuration.host + path, data, sent, method=method)
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=10) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


@contextlib.contextmanager
def refused(status: int, *words: str) -> t.Iterator[None]:
    """What happens inside must be refused with this status and these words."""
    with pytest.raises(ApiException) as caught:
        yield
    assert caught.value.status == status, caught.value
    assert all(word in caught.value.body for word in words), caught.value.body


@functools.cache
def start_cluster() -> tuple[Cluster, t.Callable[[], None]]:
    """The cluster that all test modules share, and how to end it."""
    directory = tempfile.TemporaryDirectory(prefix="sandbox-kubernetes-", dir="/tmp")
    sandbox = SandboxProcess("--region", REGION)
    sandbox.start(pathlib.Path(directory.name))

    def stop() -> None:
        sandbox.stop()
        directory.cleanup()

    try:
        sandbox.knobs(**QUICK)
        return Cluster(sandbox), stop
    except BaseException:
        stop()
        raise


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """The shared cluster; it ends with the test run."""
    is_first = start_cluster.cache_info().currsize == 0
    found, stop = start_cluster()
    if is_first:
        request.config.add_cleanup(stop)
    return found
