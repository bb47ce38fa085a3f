# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Names that are too long together, known from the declaration alone.

Each name is within its own limit, and the trust policy of a target role, which names them all, is not.
"""

from __future__ import annotations

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._trust import document as trust
from ansible_collections.podidentity.eks.plugins.module_utils._trust import target
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Subject
from ansible_collections.podidentity.eks.plugins.module_utils._workload.cluster import Cluster
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import Workload
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import is_present
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import role_arn
from ansible_collections.podidentity.eks.plugins.module_utils._workload.workload import tags_disabled

if t.TYPE_CHECKING:
    import collections.abc as c

#: What is not known before the cluster is: the shortest that it can be.
SHORTEST_CLUSTER = "arn:aws:eks:us-east-1:{account}:cluster/c"


def problems(workloads: t.Iterable[Workload], account: str, limit: int = trust.SIZE_LIMIT) -> c.Iterator[str]:
    """One sentence for each workload whose target role could not even trust this workload alone.

    :param workloads: without any other problem.
    """
    cluster = Cluster.from_arn(SHORTEST_CLUSTER.format(account=account or "0" * 12))
    for workload in workloads:
        if workload.get("target_role") and is_present(workload):
            characters = alone(workload, cluster)
            if characters > limit:
                yield complaint(workload, characters, limit)


def alone(workload: Workload, cluster: Cluster) -> int:
    """Characters of the trust policy of a target role that one workload has for itself, at least."""
    subject = Subject(cluster, workload["namespace"], workload["service_account"])
    chain = target.Chain(
        subject=subject,
        source_arn=role_arn(workload, cluster.arn),
        external_id=target.external_id(subject),
        session_tags=not tags_disabled(workload),
    )
    document = target.ensure_chains(None, [chain])
    return trust.size(document or {})


def complaint(workload: Workload, characters: int, limit: int) -> str:
    """Which names make it too long, the longest first."""
    role = workload["role"]
    named = {
        "role.arn": role.get("arn"),
        "role.path": role.get("path"),
        "role.name": role.get("name"),
        "service_account": workload["service_account"],
        "namespace": workload["namespace"],
    }
    lengths = sorted(((len(str(text)), name) for name, text in named.items() if text), reverse=True)
    longest = " or ".join(f"{name} ({length} characters)" for length, name in lengths[:2])
    return (
        f"Workload {workload['namespace']}/{workload['service_account']} has names that are too long together: the "
        f"trust policy of its target role would have at least {characters} characters, and IAM takes {limit}. Shorten "
        f"{longest}."
    )
