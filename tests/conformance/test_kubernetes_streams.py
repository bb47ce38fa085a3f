# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Watches and the dynamic client of the official Python package."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
import typing as t
import urllib.parse

import kubernetes
import pytest
from kubernetes.client.exceptions import ApiException
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import eventually
from support.kubernetes_cluster import pod
from support.kubernetes_cluster import send
from support.sandbox_process import CONTROL_PLANE

pytestmark = pytest.mark.client("kubernetes client")
NAMESPACE = "streams"


@pytest.fixture(scope="module", autouse=True)
def namespace(cluster: Cluster) -> t.Iterator[None]:
    """A namespace of the module's own."""
    cluster.core.create_namespace({"metadata": {"name": NAMESPACE}})
    eventually(lambda: cluster.core.list_namespaced_service_account(NAMESPACE).items)
    yield
    cluster.core.delete_namespace(NAMESPACE)


def watch_events(cluster: Cluster, query: str) -> list[dict[str, t.Any]]:
    """The events of a watch of ConfigMaps that lasts a second."""
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps?watch=true&timeoutSeconds=1&{query}"
    status, text, _ = send(cluster, "GET", path)
    assert status == 200, text
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.client("http")
def test_watch_can_start_with_existing_objects(cluster: Cluster) -> None:
    body = {"metadata": {"name": "one", "labels": {"watched": "yes"}}}
    cluster.core.create_namespaced_config_map(NAMESPACE, body)
    query = "labelSelector=watched&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    events = watch_events(cluster, query)
    assert [event["type"] for event in events[:2]] == ["ADDED", "BOOKMARK"]
    bookmark = events[1]["object"]
    assert (bookmark["kind"], bookmark["apiVersion"]) == ("ConfigMap", "v1")
    assert bookmark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(bookmark["metadata"]["resourceVersion"]) >= int(events[0]["object"]["metadata"]["resourceVersion"])


@pytest.mark.client("http")
def test_watch_without_version_starts_with_current_objects(cluster: Cluster) -> None:
    cluster.core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "now", "labels": {"present": "yes"}}})
    [event] = watch_events(cluster, "labelSelector=present")
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "now")
    [event] = watch_events(cluster, "labelSelector=present&resourceVersion=0")
    assert event["type"] == "ADDED"


@pytest.mark.client("http")
@pytest.mark.skipif(CONTROL_PLANE != "embedded", reason="etcd compacts its history every five minutes only")
def test_watch_reports_expired_version(cluster: Cluster) -> None:
    name = {"metadata": {"name": "busy"}}
    cluster.core.create_namespaced_secret(NAMESPACE, name)
    for number in range(2_001):
        cluster.core.patch_namespaced_secret("busy", NAMESPACE, {"metadata": {"labels": {"n": str(number)}}})
    path = f"/api/v1/namespaces/{NAMESPACE}/secrets?watch=true&resourceVersion=2&timeoutSeconds=1"
    status, text, _ = send(cluster, "GET", path)
    event = json.loads(text)
    assert (status, event["type"]) == (200, "ERROR")
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


def test_watch_runs_until_it_is_stopped(cluster: Cluster) -> None:
    watch = kubernetes.watch.Watch()
    version = cluster.core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    seen: list[tuple[str, str]] = []

    def follow() -> None:
        for event in watch.stream(cluster.core.list_namespaced_config_map, NAMESPACE, resource_version=version):
            seen.append((event["type"], event["object"].metadata.name))
            if event["type"] == "DELETED":
                watch.stop()

    following = threading.Thread(target=follow, daemon=True)
    following.start()
    cluster.core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "seen"}})
    cluster.core.patch_namespaced_config_map("seen", NAMESPACE, {"data": {"a": "b"}})
    cluster.core.delete_namespaced_config_map("seen", NAMESPACE)
    following.join(20)
    assert not following.is_alive()
    assert seen == [("ADDED", "seen"), ("MODIFIED", "seen"), ("DELETED", "seen")]


def test_exec_runs_commands_in_a_pod(cluster: Cluster) -> None:
    cluster.core.create_namespaced_pod(NAMESPACE, pod("shell", "sh", "-c", "sleep 600"))
    cluster.phase("shell", "Running", namespace=NAMESPACE)
    execute, read = kubernetes.stream.stream, cluster.core.connect_get_namespaced_pod_exec
    script = ["sh", "-c", "echo out; echo err >&2; read line; echo got $line; exit 4"]
    settings = {"stdin": True, "stdout": True, "stderr": True, "tty": False, "_preload_content": False}
    session = execute(read, "shell", NAMESPACE, command=script, **settings)
    session.write_stdin("typed\n")
    session.run_forever(timeout=20)
    assert session.read_stdout() == "out\ngot typed\n"
    assert session.read_stderr() == "err\n"
    assert session.returncode == 4
    with pytest.raises(ApiException) as caught:
        execute(read, "nowhere", NAMESPACE, command=["true"], stdout=True)
    assert "404" in str(caught.value)


def test_dynamic_client_works(cluster: Cluster) -> None:
    dynamic = kubernetes.dynamic.DynamicClient(cluster.api)
    maps = dynamic.resources.get(api_version="v1", kind="ConfigMap")
    deployments = dynamic.resources.get(api_version="apps/v1", kind="Deployment")
    assert (maps.name, deployments.name) == ("configmaps", "deployments")
    made = maps.create(body={"metadata": {"name": "dynamic"}, "data": {"a": "1"}}, namespace=NAMESPACE)
    assert made.data.a == "1"
    patched = maps.patch(
        body={"data": {"b": "2"}}, name="dynamic", namespace=NAMESPACE, content_type="application/merge-patch+json"
    )
    assert patched.data.to_dict() == {"a": "1", "b": "2"}
    assert [
        entry.metadata.name for entry in maps.get(namespace=NAMESPACE, field_selector="metadata.name=dynamic").items
    ]
    version = patched.metadata.resourceVersion
    maps.delete(name="dynamic", namespace=NAMESPACE)
    events = maps.watch(namespace=NAMESPACE, resource_version=version, timeout=2)
    assert ("DELETED", "dynamic") in [(event["type"], event["object"].metadata.name) for event in events]
    with pytest.raises(kubernetes.dynamic.exceptions.NotFoundError):
        maps.get(name="dynamic", namespace=NAMESPACE)
    with pytest.raises(kubernetes.dynamic.exceptions.ResourceNotFoundError):
        dynamic.resources.get(api_version="example.com/v1", kind="Unicorn")


@pytest.mark.client("http")
def test_unclosed_tls_connection_is_no_error(cluster: Cluster) -> None:
    configuration = cluster.api.configuration
    address = urllib.parse.urlsplit(configuration.host)
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    before = len(cluster.sandbox.log)
    with (
        socket.create_connection((address.hostname or "", address.port or 0)) as plain,
        context.wrap_socket(plain, server_hostname=address.hostname) as connection,
    ):
        connection.sendall(b"GET /version HTTP/1.1\r\nHost: kubernetes\r\nConnection: close\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 ")
        # The server ends TLS after its answer, and waits half a second for the client to do the same.
        time.sleep(1.5)
        assert "ERROR" not in cluster.sandbox.log[before:]
