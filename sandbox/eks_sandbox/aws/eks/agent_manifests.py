# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the add-on eks-pod-identity-agent puts into a cluster.

The objects are those of the agent's chart (https://github.com/aws/eks-pod-identity-agent/tree/main/charts).
"""

from __future__ import annotations

import typing as t

from eks_sandbox.aws.eks.catalogue import AGENT
from eks_sandbox.aws.eks.catalogue import numbers
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.interfaces import ClusterSpec

_REGISTRY = "602401143452.dkr.ecr.{region}.amazonaws.com"
#: Add-on version -> version of the agent in it.
_AGENT_VERSIONS = {
    "v1.3.10": "v0.1.37",
    "v1.3.9": "v0.1.33",
    "v1.3.8": "v0.1.31",
    "v1.3.7": "0.1.29",
    "v1.3.5": "0.1.25",
    "v1.3.4": "0.1.21",
    "v1.3.2": "0.1.17",
    "v1.3.0": "0.1.15",
    "v1.2.0": "0.1.6",
    "v1.1.0": "0.1.0",
    "v1.0.0": "0.0.25",
}


def manifests(cluster: ClusterSpec, namespace: str, version: str, configuration: Shape) -> list[Shape]:
    """The agent's DaemonSet as this add-on version and configuration make it."""
    labels = {"app.kubernetes.io/name": AGENT, "app.kubernetes.io/instance": AGENT}
    agent_version = _AGENT_VERSIONS[version.split("-", maxsplit=1)[0]]
    metadata: Shape = {"labels": {**labels, **(configuration.get("podLabels") or {})}}
    if configuration.get("podAnnotations"):
        metadata["annotations"] = configuration["podAnnotations"]
    strategy = configuration.get("updateStrategy") or {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "10%"},
    }
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {
                "name": AGENT,
                "namespace": namespace,
                "labels": {
                    **labels,
                    "app.kubernetes.io/version": agent_version,
                    "app.kubernetes.io/managed-by": "Helm",
                    "helm.sh/chart": f"{AGENT}-{version.split('-', maxsplit=1)[0].removeprefix('v')}",
                },
            },
            "spec": {
                "updateStrategy": strategy,
                "selector": {"matchLabels": labels},
                "template": {"metadata": metadata, "spec": _pod(cluster, version, agent_version, configuration)},
            },
        }
    ]


def _pod(cluster: ClusterSpec, version: str, agent_version: str, configuration: Shape) -> Shape:
    image = f"{_REGISTRY.format(region=cluster.region)}/eks/{AGENT}:{agent_version}"
    init = {
        "name": f"{AGENT}-init",
        "image": image,
        "imagePullPolicy": "Always",
        "command": ["/go-runner", "/eks-pod-identity-agent", "initialize"],
        "securityContext": {"privileged": True},
    }
    pod: Shape = {
        "priorityClassName": configuration.get("priorityClassName", "system-node-critical"),
        "hostNetwork": True,
        "terminationGracePeriodSeconds": 30,
        "affinity": configuration.get("affinity") or _affinity(version),
        "initContainers": [init],
        "containers": [_container(cluster, image, configuration)],
    }
    # Tolerating everything came with v1.2.0: https://github.com/aws/containers-roadmap/issues/2261
    default_tolerations = [{"operator": "Exists"}] if numbers(version) >= (1, 2, 0) else []
    given = configuration.get("tolerations")
    tolerations = default_tolerations if given is None else given
    if tolerations:
        pod["tolerations"] = tolerations
    if configuration.get("nodeSelector"):
        pod["nodeSelector"] = configuration["nodeSelector"]
    return pod


def _container(cluster: ClusterSpec, image: str, configuration: Shape) -> Shape:
    additional = configuration.get("agent", {}).get("additionalArgs") or {}
    arguments = ["--port", "80", "--cluster-name", cluster.name, "--probe-port", "2703"]
    return {
        "name": AGENT,
        "image": image,
        "imagePullPolicy": "Always",
        "command": ["/go-runner", "/eks-pod-identity-agent", "server"],
        "args": [*arguments, *(part for pair in additional.items() for part in pair)],
        "ports": [
            {"containerPort": 80, "protocol": "TCP", "name": "proxy"},
            {"containerPort": 2703, "protocol": "TCP", "name": "probes-port"},
        ],
        "env": [{"name": "AWS_REGION", "value": cluster.region}],
        "securityContext": {"capabilities": {"add": ["CAP_NET_BIND_SERVICE"]}},
        "resources": configuration.get("resources", {}),
        "livenessProbe": {"failureThreshold": 3, "initialDelaySeconds": 30, **_probe("/healthz")},
        "readinessProbe": {"failureThreshold": 30, "initialDelaySeconds": 1, **_probe("/readyz")},
    }


def _probe(path: str) -> Shape:
    return {
        "httpGet": {"host": "localhost", "path": path, "port": "probes-port", "scheme": "HTTP"},
        "timeoutSeconds": 10,
    }


def _affinity(version: str) -> Shape:
    """Where the agent does not run; hybrid nodes have a DaemonSet of their own, Auto Mode has the agent built in."""
    excluded = ["fargate"]
    if numbers(version) >= (1, 3, 3):
        excluded.append("hybrid")
    if numbers(version) >= (1, 3, 4):
        excluded.append("auto")
    expressions = [
        {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
        {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64", "arm64"]},
        {"key": "eks.amazonaws.com/compute-type", "operator": "NotIn", "values": excluded},
    ]
    terms = [{"matchExpressions": expressions}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def is_ready(status: t.Mapping[str, int]) -> bool:
    """Whether a DaemonSet runs on at least one node and on every node that needs it."""
    wanted = status.get("desiredNumberScheduled", 0)
    return wanted > 0 and status.get("numberReady", 0) >= wanted
