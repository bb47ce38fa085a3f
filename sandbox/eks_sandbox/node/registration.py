# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Node object of an instance, as EKS's nodes show themselves."""

from __future__ import annotations

import os
import platform
import typing as t
import uuid

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import timestamp
from eks_sandbox.interfaces import NodeSpec
from eks_sandbox.node.instance_types import Resources
from eks_sandbox.node.machine import ADDRESS

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Registration:
    """The description of a node, sent first and then repeatedly."""

    def __init__(self, spec: NodeSpec, version: str, pod_mode: str, port: int) -> None:
        self._spec = spec
        self._version = version
        self._pod_mode = pod_mode
        self._port = port
        self._architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
        self._boot_id = str(uuid.uuid4())
        self._since = timestamp()

    def node(self) -> Object:
        """The Node without its status."""
        spec = self._spec
        region = spec.zone.rstrip("abcdef")
        labels = {
            "beta.kubernetes.io/arch": self._architecture,
            "beta.kubernetes.io/instance-type": spec.instance_type,
            "beta.kubernetes.io/os": "linux",
            "failure-domain.beta.kubernetes.io/region": region,
            "failure-domain.beta.kubernetes.io/zone": spec.zone,
            "kubernetes.io/arch": self._architecture,
            "kubernetes.io/hostname": spec.name,
            "kubernetes.io/os": "linux",
            "node.kubernetes.io/instance-type": spec.instance_type,
            "topology.kubernetes.io/region": region,
            "topology.kubernetes.io/zone": spec.zone,
            **spec.labels,
        }
        taints = [dict(taint) for taint in spec.taints]
        provider = f"aws:///{spec.zone}/{spec.instance_id}"
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": spec.name, "labels": labels},
            "spec": {"providerID": provider, **({"taints": taints} if taints else {})},
        }

    def ready(self) -> Object:
        """The Node as it will be once it runs."""
        return {**self.node(), "status": self.status(())}

    def status(self, images: t.Iterable[str]) -> Object:
        """The status now; ``images`` are those that the node has."""
        resources = Resources.of(self._spec.instance_type)
        return {
            "addresses": [
                {"type": "InternalIP", "address": ADDRESS},
                {"type": "Hostname", "address": self._spec.name},
                {"type": "InternalDNS", "address": self._spec.name},
            ],
            "allocatable": resources.allocatable(),
            "capacity": resources.capacity(),
            "conditions": self._conditions(),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
            "images": [{"names": [image]} for image in sorted(images)],
            "nodeInfo": {
                "architecture": self._architecture,
                "bootID": self._boot_id,
                "containerRuntimeVersion": f"{self._pod_mode}://1.0",
                "kernelVersion": os.uname().release,
                "kubeProxyVersion": "",
                "kubeletVersion": f"v{self._version}.0-eks-sandbox",
                "machineID": self._spec.instance_id,
                "operatingSystem": "linux",
                "osImage": f"EKS sandbox (pods in {self._pod_mode})",
                "systemUUID": self._spec.instance_id,
            },
        }

    def _conditions(self) -> list[Object]:
        pressures = (
            ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        )
        facts = [(kind, "False", reason, message) for kind, reason, message in pressures]
        facts.append(("Ready", "True", "KubeletReady", "kubelet is posting ready status"))
        times = {"lastHeartbeatTime": timestamp(), "lastTransitionTime": self._since}
        return [
            {"type": kind, "status": status, "reason": reason, "message": message, **times}
            for kind, status, reason, message in facts
        ]

    def lease(self) -> Object:
        """The node's sign of life; the API's clock has microseconds here."""
        name = self._spec.name
        now = timestamp().replace("Z", ".000000Z")
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now},
        }
