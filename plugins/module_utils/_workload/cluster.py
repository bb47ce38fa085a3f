# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The EKS cluster of a workload, read from its ARN."""

from __future__ import annotations

import dataclasses
import json
import re

CLUSTER_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):eks:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):cluster/"
    r"(?P<name>[0-9A-Za-z][A-Za-z0-9_-]{0,99})"
)


class TrustError(ValueError):
    """What was asked for cannot be written as a trust policy; the message is one sentence for the user."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The EKS cluster whose pods may assume the role."""

    arn: str
    partition: str
    region: str
    account: str
    name: str

    @classmethod
    def from_arn(cls, arn: str) -> Cluster:
        """Read a cluster's ARN; :class:`TrustError` when it is none."""
        match = CLUSTER_ARN.fullmatch(arn)
        if not match:
            example = "arn:aws:eks:eu-west-1:111122223333:cluster/name"
            raise TrustError(f"{json.dumps(arn)} is no ARN of an EKS cluster: give it in full, such as {example}.")
        return cls(arn=arn, **match.groupdict())
