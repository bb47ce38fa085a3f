# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How objects end: finalizers, graceful deletion of pods, garbage collection, namespaces."""

from __future__ import annotations

import asyncio
import datetime

from eks_sandbox.control_plane.embedded.errors import ApiError
from eks_sandbox.control_plane.embedded.errors import conflict
from eks_sandbox.control_plane.embedded.errors import forbidden
from eks_sandbox.control_plane.embedded.options import DeleteOptions
from eks_sandbox.control_plane.embedded.resources import JOBS
from eks_sandbox.control_plane.embedded.resources import NAMESPACES
from eks_sandbox.control_plane.embedded.resources import PODS
from eks_sandbox.control_plane.embedded.resources import REGISTRY
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.embedded.store import Store
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import identity
from eks_sandbox.control_plane.objects import is_finished
from eks_sandbox.control_plane.objects import is_owned_by
from eks_sandbox.control_plane.objects import timestamp

PROTECTED_NAMESPACES = ("default", "kube-system", "kube-public")
FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
#: Seconds between checks of a namespace that is being deleted.
NAMESPACE_PERIOD = 0.1


class Lifecycle:
    """Deletes objects, and what hangs on them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ending: set[asyncio.Task[None]] = set()

    def delete(self, resource: Resource, obj: Object, options: DeleteOptions) -> Object | None:
        """Begin or finish the deletion of an object.

        Returns the object while it still exists (finalizers, a pod's grace period), and a pod's last state; None for
        other objects that are gone.

        :raises ApiError: 403 for protected namespaces, 409 when a precondition fails.
        """
        self._ensure_preconditions(resource, obj, options)
        grace = self._grace(resource, obj, options)
        finalizers = self._finalizers(resource, obj, options)
        if options.dry_run:
            return self._marked(resource, obj, grace, finalizers) if finalizers else None
        if not finalizers and grace == 0:
            self.finish(resource, obj)
            return self._marked(resource, obj, 0, []) if resource is PODS else None
        marked = self._marked(resource, obj, grace, finalizers)
        if marked is not obj:
            marked = self._store.put(resource, marked)
        self._collect_later(resource, marked, finalizers)
        return marked

    def _collect_later(self, resource: Resource, marked: Object, finalizers: list[str]) -> None:
        """Work that belongs to the garbage collector happens after the answer, as in a real cluster."""
        if resource is NAMESPACES:
            self._end_namespace(marked)
        if FOREGROUND in finalizers or ORPHAN in finalizers:
            asyncio.get_running_loop().call_soon(self._work_off, resource, *identity(marked))

    def _work_off(self, resource: Resource, namespace: str, name: str) -> None:
        owner = self._store.find(resource, namespace, name)
        if owner is None:
            return
        if ORPHAN in (owner["metadata"].get("finalizers") or []):
            self._orphan(owner)
            self._release(resource, owner, ORPHAN)
        else:
            self._collect(owner["metadata"]["uid"])
            self._release_owner(resource, owner)

    def created(self, resource: Resource, obj: Object) -> None:
        """Collect an object that came too late: every owner that it names is gone."""
        owners = obj["metadata"].get("ownerReferences") or []
        if owners and not any(self._exists(owner.get("uid")) for owner in owners):
            asyncio.get_running_loop().call_soon(self._delete_quietly, resource, obj)

    def _exists(self, uid: str | None) -> bool:
        return any(obj["metadata"]["uid"] == uid for _, obj in self._store.everything())

    def finish(self, resource: Resource, obj: Object) -> None:
        """Remove an object finally, and delete the objects that it owned."""
        if resource is NAMESPACES and "kubernetes" in ((obj.get("spec") or {}).get("finalizers") or []):
            return
        last = self._store.drop(resource, *identity(obj))
        if last is not None:
            self._collect(last["metadata"]["uid"])
            self._release_owners_of(last)

    async def stop(self) -> None:
        """Stop waiting for namespaces that are still being deleted."""
        for task in self._ending:
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _ensure_preconditions(self, resource: Resource, obj: Object, options: DeleteOptions) -> None:
        metadata = obj["metadata"]
        if options.uid and options.uid != metadata["uid"]:
            why = f"the UID in the precondition ({options.uid}) does not match the UID in record ({metadata['uid']})"
            more = "The object might have been deleted and then recreated"
            raise conflict(resource, metadata["name"], f"{why}. {more}")
        if options.version and options.version != metadata["resourceVersion"]:
            versions = options.version, metadata["resourceVersion"]
            why = "the ResourceVersion in the precondition (%s) does not match the ResourceVersion in record (%s)"
            raise conflict(resource, metadata["name"], f"{why % versions}. The object might have been modified")
        if resource is NAMESPACES and metadata["name"] in PROTECTED_NAMESPACES:
            raise forbidden(resource, metadata["name"], "this namespace may not be deleted")

    @staticmethod
    def _grace(resource: Resource, obj: Object, options: DeleteOptions) -> int:
        """Seconds until the object may be removed; 0 means immediately."""
        if resource is not PODS:
            return 0
        if not obj["spec"].get("nodeName") or is_finished(obj):
            return 0
        if options.grace is not None:
            return max(options.grace, 0)
        return int(obj["spec"].get("terminationGracePeriodSeconds", 30))

    @staticmethod
    def _finalizers(resource: Resource, obj: Object, options: DeleteOptions) -> list[str]:
        finalizers = list(obj["metadata"].get("finalizers") or [])
        if resource is NAMESPACES:
            return ["kubernetes", *finalizers]
        # Jobs of batch/v1 leave their pods behind unless the request says otherwise.
        policy = options.policy or ("Orphan" if resource is JOBS else "Background")
        wanted = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(policy)
        kept = [entry for entry in finalizers if entry not in (FOREGROUND, ORPHAN)]
        return [*kept, wanted] if wanted else kept

    @staticmethod
    def _marked(resource: Resource, obj: Object, grace: int, finalizers: list[str]) -> Object:
        """The object, noted to end; a second deletion can only shorten the time."""
        metadata = dict(obj["metadata"])
        kept = [entry for entry in finalizers if entry != "kubernetes"]
        is_known = "deletionTimestamp" in metadata and grace >= metadata.get("deletionGracePeriodSeconds", 0)
        if is_known and kept == (metadata.get("finalizers") or []):
            return obj
        due = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=grace)
        metadata["deletionTimestamp"] = timestamp(due)
        if resource is not NAMESPACES:
            metadata["deletionGracePeriodSeconds"] = grace
        if "generation" in metadata:
            metadata["generation"] += 1
        metadata.pop("finalizers", None)
        if kept:
            metadata["finalizers"] = kept
        changed = {**obj, "metadata": metadata}
        if resource is NAMESPACES:
            changed["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
        return changed

    def _dependents(self, uid: str) -> list[tuple[Resource, Object]]:
        return [(resource, obj) for resource, obj in self._store.everything() if is_owned_by(obj, uid)]

    def _collect(self, uid: str) -> None:
        for resource, obj in self._dependents(uid):
            if "deletionTimestamp" not in obj["metadata"]:
                self.delete(resource, obj, DeleteOptions())

    def _orphan(self, obj: Object) -> None:
        uid = obj["metadata"]["uid"]
        for resource, dependent in self._dependents(uid):
            owners = [owner for owner in dependent["metadata"]["ownerReferences"] if owner.get("uid") != uid]
            metadata = {key: value for key, value in dependent["metadata"].items() if key != "ownerReferences"}
            if owners:
                metadata["ownerReferences"] = owners
            self._store.put(resource, {**dependent, "metadata": metadata})

    def _release_owners_of(self, obj: Object) -> None:
        """An owner that waits in the foreground may end with its last dependent."""
        for owner in obj["metadata"].get("ownerReferences") or []:
            for resource in REGISTRY:
                if resource.kind == owner.get("kind"):
                    namespace = identity(obj)[0] if resource.namespaced else ""
                    found = self._store.find(resource, namespace, owner["name"])
                    if found is not None and found["metadata"]["uid"] == owner["uid"]:
                        self._release_owner(resource, found)

    def _release_owner(self, resource: Resource, owner: Object) -> None:
        finalizers = owner["metadata"].get("finalizers") or []
        if FOREGROUND in finalizers and not self._dependents(owner["metadata"]["uid"]):
            self._release(resource, owner, FOREGROUND)

    def _release(self, resource: Resource, owner: Object, finalizer: str) -> None:
        rest = [entry for entry in owner["metadata"].get("finalizers") or [] if entry != finalizer]
        metadata = {key: value for key, value in owner["metadata"].items() if key != "finalizers"}
        if rest:
            metadata["finalizers"] = rest
        changed = self._store.put(resource, {**owner, "metadata": metadata})
        if not rest:
            self.finish(resource, changed)

    def _end_namespace(self, namespace: Object) -> None:
        name = namespace["metadata"]["name"]
        task = asyncio.create_task(self._empty_namespace(name), name=f"namespace-{name}")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _empty_namespace(self, name: str) -> None:
        while content := [entry for entry in self._store.everything() if identity(entry[1])[0] == name]:
            for resource, obj in content:
                if "deletionTimestamp" not in obj["metadata"]:
                    self._delete_quietly(resource, obj)
            await asyncio.sleep(NAMESPACE_PERIOD)
        namespace = self._store.find(NAMESPACES, "", name)
        if namespace is not None:
            released = self._store.put(NAMESPACES, {**namespace, "spec": {"finalizers": []}})
            if not released["metadata"].get("finalizers"):
                self.finish(NAMESPACES, released)

    def _delete_quietly(self, resource: Resource, obj: Object) -> None:
        current = self._store.find(resource, *identity(obj))
        if current is None:
            return
        try:
            self.delete(resource, current, DeleteOptions())
        except ApiError as error:
            # Nothing inside a namespace is protected, so a refusal is a bug of the sandbox: do not loop over it.
            raise RuntimeError(f"{resource.plural} {obj['metadata']['name']} cannot be deleted: {error}") from error
