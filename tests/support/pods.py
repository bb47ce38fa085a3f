# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pods of a test, run to their end, and commands in them."""

from __future__ import annotations

import re
import subprocess
import typing as t

import pytest
from kubernetes.stream import stream
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import eventually


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> t.Iterator[str]:
    """A namespace of the test's own."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:63].strip("-")
    cluster.core.create_namespace({"metadata": {"name": name}})
    eventually(lambda: cluster.core.list_namespaced_service_account(name).items)
    yield name
    cluster.core.delete_namespace(name)


def run_pod(cluster: Cluster, namespace: str, body: dict[str, t.Any]) -> t.Any:
    """The pod after it has run."""
    cluster.core.create_namespaced_pod(namespace, body)
    return cluster.phase(body["metadata"]["name"], "Succeeded", "Failed", namespace=namespace)


def execute(cluster: Cluster, name: str, namespace: str, *command: str, **more: t.Any) -> t.Any:
    """A command in a running pod; the client's own websocket."""
    settings = {"stdin": False, "stdout": True, "stderr": True, "tty": False, "_preload_content": False, **more}
    return stream(cluster.core.connect_get_namespaced_pod_exec, name, namespace, command=list(command), **settings)


def running_processes(text: str) -> list[str]:
    """Processes of this machine whose command line holds the text."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if text in line and "setsid" not in line and "ps -eo" not in line]
