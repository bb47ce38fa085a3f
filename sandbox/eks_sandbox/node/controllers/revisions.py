# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ControllerRevisions: the templates that DaemonSets and StatefulSets had, for ``kubectl rollout undo``."""

from __future__ import annotations

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import identity
from eks_sandbox.control_plane.objects import labels_of
from eks_sandbox.node.client import CONTROLLER_REVISIONS
from eks_sandbox.node.controller import owner_reference
from eks_sandbox.node.controllers.workload import WorkloadController
from eks_sandbox.node.controllers.workload import hash_of

REVISION_HASH = "controller-revision-hash"


async def latest(controller: WorkloadController, owner: Object) -> tuple[Object, list[Object]]:
    """The revision of the owner's template, created or renumbered if needed, and all others, oldest first."""
    template = {**owner["spec"]["template"], "$patch": "replace"}
    data = {"spec": {"template": template}}
    known = sorted(await controller.owned(owner, CONTROLLER_REVISIONS), key=_number)
    highest = _number(known[-1]) if known else 0
    found = next((entry for entry in known if entry.get("data") == data), None)
    if found is None:
        found = await controller.client.create(CONTROLLER_REVISIONS, _revision(controller, owner, data, highest + 1))
    elif _number(found) < highest:
        found = await controller.client.patch(CONTROLLER_REVISIONS, found, {"revision": highest + 1})
    others = [entry for entry in known if entry["metadata"]["uid"] != found["metadata"]["uid"]]
    return found, others


async def tidy(controller: WorkloadController, owner: Object, others: list[Object], used: set[str]) -> None:
    """Forget the oldest revisions that no pod has, beyond the number that the owner keeps."""
    unused = [entry for entry in others if entry["metadata"]["name"] not in used]
    for entry in unused[: max(len(unused) - owner["spec"].get("revisionHistoryLimit", 10), 0)]:
        await controller.client.delete(CONTROLLER_REVISIONS, *identity(entry))


def hash_label(revision: Object) -> str:
    """What the pods of a DaemonSet's revision are labelled with."""
    return labels_of(revision)[REVISION_HASH]


def _number(revision: Object) -> int:
    return int(revision.get("revision", 0))


def _revision(controller: WorkloadController, owner: Object, data: Object, number: int) -> Object:
    namespace, name = identity(owner)
    short = hash_of(data)
    labels = {**labels_of(owner["spec"]["template"]), REVISION_HASH: short}
    metadata = {
        "name": f"{name}-{short}",
        "namespace": namespace,
        "labels": labels,
        "annotations": owner["metadata"].get("annotations") or {},
        "ownerReferences": [owner_reference(owner, controller.collection, controller.kind)],
    }
    return {"metadata": metadata, "data": data, "revision": number}
