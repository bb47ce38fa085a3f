# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How objects end: finalizers, graceful deletion of pods, garbage collection, namespaces."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import typing as t

from eks_sandbox.control_plane.embedded.errors import ApiError
from eks_sandbox.control_plane.embedded.errors import bad_request
from eks_sandbox.control_plane.embedded.errors import conflict
from eks_sandbox.control_plane.embedded.errors import forbidden
from eks_sandbox.control_plane.embedded.resources import NAMESPACES
from eks_sandbox.control_plane.embedded.resources import PODS
from eks_sandbox.control_plane.embedded.resources import REGISTRY
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.embedded.store import Store
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import identity
from eks_sandbox.control_plane.objects import is_owned_by
from eks_sandbox.control_plane.objects import timestamp

PROTECTED_NAMESPACES = ("default", "kube-system", "kube-public")
FOREGROUND = "foregroundDeletion"
POLICIES = ("Background", "Foreground", "Orphan")
#: Seconds between looks at a namespace that ends.
NAMESPACE_PERIOD = 0.1


@dataclasses.dataclass(frozen=True)
class DeleteOptions:
    """How a deletion was asked for."""

    grace: int | None = None
    policy: str = "Background"
    dry_run: bool = False
    uid: str = ""
    version: str = ""

    @classmethod
    def read(cls, query: t.Mapping[str, str], body: Object) -> DeleteOptions:
        """From the query and the body; the body wins.

        :raises ApiError: 400 for values that mean nothing.
        """
        grace = body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
        policy = body.get("propagationPolicy") or query.get("propagationPolicy") or "Background"
        if policy not in POLICIES:
            raise bad_request(f'invalid DeleteOptions: propagationPolicy: Unsupported value: "{policy}"')
        if body.get("orphanDependents") or query.get("orphanDependents") == "true":
            policy = "Orphan"
        dry_run = body.get("dryRun") or ([query["dryRun"]] if query.get("dryRun") else [])
        preconditions = body.get("preconditions") or {}
        try:
            seconds = None if grace is None else int(grace)
            uid, version = str(preconditions.get("uid") or ""), str(preconditions.get("resourceVersion") or "")
        except (TypeError, ValueError, AttributeError) as error:
            raise bad_request(f"invalid DeleteOptions: {error}") from error
        return cls(seconds, policy, "All" in dry_run, uid, version)


class Lifecycle:
    """Deletes objects, and what hangs on them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ending: set[asyncio.Task[None]] = set()

    def delete(self, resource: Resource, obj: Object, options: DeleteOptions) -> Object | None:
        """Begin or finish the end of an object.

        Returns the object while it goes on to exist (finalizers, a pod's grace period), None when it is gone.

        :raises ApiError: 403 for protected namespaces, 409 when a precondition fails.
        """
        self._ensure_preconditions(resource, obj, options)
        grace = self._grace(resource, obj, options)
        finalizers = self._finalizers(resource, obj, options)
        if options.dry_run:
            return None
        if options.policy == "Orphan":
            self._orphan(obj)
        if not finalizers and grace == 0:
            self.finish(resource, obj)
            return None
        marked = self._mark(resource, obj, grace, finalizers)
        if resource is NAMESPACES:
            self._end_namespace(marked)
        if FOREGROUND in finalizers:
            self._collect(marked["metadata"]["uid"])
            self._release_owner(resource, marked)
        return self._store.find(resource, *identity(obj))

    def finish(self, resource: Resource, obj: Object) -> None:
        """Remove an object for good, and collect what it owned."""
        if resource is NAMESPACES and "kubernetes" in ((obj.get("spec") or {}).get("finalizers") or []):
            return
        last = self._store.drop(resource, *identity(obj))
        if last is not None:
            self._collect(last["metadata"]["uid"])
            self._release_owners_of(last)

    async def stop(self) -> None:
        """Give up namespaces that have not ended yet."""
        for task in self._ending:
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _ensure_preconditions(self, resource: Resource, obj: Object, options: DeleteOptions) -> None:
        metadata = obj["metadata"]
        if options.uid and options.uid != metadata["uid"]:
            why = f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {metadata['uid']}"
            raise conflict(resource, metadata["name"], why)
        if options.version and options.version != metadata["resourceVersion"]:
            raise conflict(resource, metadata["name"])
        if resource is NAMESPACES and metadata["name"] in PROTECTED_NAMESPACES:
            raise forbidden(resource, metadata["name"], "this namespace may not be deleted")

    @staticmethod
    def _grace(resource: Resource, obj: Object, options: DeleteOptions) -> int:
        """Seconds until the object may be gone; 0 means at once."""
        if resource is not PODS:
            return 0
        finished = (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        if not obj["spec"].get("nodeName") or finished:
            return 0
        if options.grace is not None:
            return max(options.grace, 0)
        return int(obj["spec"].get("terminationGracePeriodSeconds", 30))

    @staticmethod
    def _finalizers(resource: Resource, obj: Object, options: DeleteOptions) -> list[str]:
        finalizers = list(obj["metadata"].get("finalizers") or [])
        if options.policy == "Foreground" and FOREGROUND not in finalizers and resource is not NAMESPACES:
            finalizers.append(FOREGROUND)
        return ["kubernetes", *finalizers] if resource is NAMESPACES else finalizers

    def _mark(self, resource: Resource, obj: Object, grace: int, finalizers: list[str]) -> Object:
        """Note that the object is to end; a second deletion can only shorten the time."""
        metadata = dict(obj["metadata"])
        if "deletionTimestamp" in metadata and grace >= metadata.get("deletionGracePeriodSeconds", 0):
            return obj
        due = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=grace)
        metadata |= {"deletionTimestamp": timestamp(due), "deletionGracePeriodSeconds": grace}
        kept = [entry for entry in finalizers if entry != "kubernetes"]
        if kept:
            metadata["finalizers"] = kept
        changed = {**obj, "metadata": metadata}
        if resource is NAMESPACES:
            changed["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
        return self._store.put(resource, changed)

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
        if FOREGROUND not in finalizers or self._dependents(owner["metadata"]["uid"]):
            return
        rest = [entry for entry in finalizers if entry != FOREGROUND]
        changed = self._store.put(resource, {**owner, "metadata": {**owner["metadata"], "finalizers": rest}})
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
            # Nothing inside a namespace is protected, so a refusal is a mistake of ours: do not loop over it.
            raise RuntimeError(f"{resource.plural} {obj['metadata']['name']} cannot be deleted: {error}") from error
