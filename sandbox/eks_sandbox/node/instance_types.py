# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an EC2 instance type gives a node: processors, memory, and how many pods its network interfaces carry."""

from __future__ import annotations

import dataclasses

_GIB = 2**30
#: Size -> vCPUs, network interfaces and addresses of each, of the general families since the fifth generation
#: (https://docs.aws.amazon.com/ec2/latest/instancetypes/).
_SIZES = {
    "medium": (1, 2, 4),
    "large": (2, 3, 10),
    "xlarge": (4, 4, 15),
    "2xlarge": (8, 4, 15),
    "4xlarge": (16, 8, 30),
    "8xlarge": (32, 8, 30),
    "12xlarge": (48, 8, 30),
    "16xlarge": (64, 15, 50),
    "24xlarge": (96, 15, 50),
    "metal": (96, 15, 50),
}
#: GiB for each vCPU, by the family's letter: for computing, general, for memory.
_MEMORY = {"c": 2, "m": 4, "r": 8}
#: The same of burstable types: vCPUs, GiB, network interfaces, addresses of each.
_BURSTABLE = {
    "nano": (2, 0.5, 2, 2),
    "micro": (2, 1, 2, 2),
    "small": (2, 2, 3, 4),
    "medium": (2, 4, 3, 6),
    "large": (2, 8, 3, 12),
    "xlarge": (4, 16, 4, 15),
    "2xlarge": (8, 32, 4, 15),
}
#: Thousandths of a processor that EKS keeps for the node itself: of the first, of the second, of the third and the
#: fourth each, and of any other.
_RESERVED_PROCESSOR = (60, 10, 5, 5)
_RESERVED_OF_OTHERS = 2.5
#: Mebibytes that EKS keeps: for the node, for each pod, and before it evicts
#: (https://docs.aws.amazon.com/eks/latest/userguide/choosing-instance-type.html, nodeadm's kubelet configuration).
_RESERVED_MEMORY, _RESERVED_FOR_A_POD, _EVICTION = 255, 11, 100


@dataclasses.dataclass(frozen=True)
class Resources:
    """What a node has."""

    processors: int
    #: Bytes.
    memory: int
    pods: int

    @classmethod
    def of(cls, instance_type: str) -> Resources:
        """Those of an instance type; one that is not known here has those of m5.large."""
        family, _, size = instance_type.partition(".")
        if family.startswith("t") and size in _BURSTABLE:
            processors, gigabytes, interfaces, addresses = _BURSTABLE[size]
        else:
            processors, interfaces, addresses = _SIZES.get(size, _SIZES["large"])
            gigabytes = processors * _MEMORY.get(family[:1], _MEMORY["m"])
        # Each interface needs its own address; two pods need none, as they use the host's network.
        return cls(processors, int(gigabytes * _GIB), interfaces * (addresses - 1) + 2)

    def capacity(self) -> dict[str, str]:
        """In the form of a Node's status."""
        return self._listed(f"{self.processors}", self.memory)

    def allocatable(self) -> dict[str, str]:
        """The capacity that remains for pods."""
        others = max(self.processors - len(_RESERVED_PROCESSOR), 0)
        reserved = sum(_RESERVED_PROCESSOR[: self.processors]) + int(others * _RESERVED_OF_OTHERS)
        kept = (_RESERVED_MEMORY + _RESERVED_FOR_A_POD * self.pods + _EVICTION) * 2**20
        return self._listed(f"{self.processors * 1000 - reserved}m", max(self.memory - kept, 0))

    def _listed(self, processors: str, memory: int) -> dict[str, str]:
        more = {"pods": str(self.pods), "ephemeral-storage": "20959212Ki", "hugepages-2Mi": "0", "hugepages-1Gi": "0"}
        return {"cpu": processors, "memory": f"{memory // 1024}Ki", **more}
