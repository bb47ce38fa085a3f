# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small asynchronous client of the Kubernetes API."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import ssl
import typing as t

import aiohttp

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import identity
from eks_sandbox.control_plane.objects import timestamp

log = logging.getLogger(__name__)

MERGE_PATCH = "application/merge-patch+json"
#: Seconds between attempts to follow a kind again.
RETRY_DELAY = 0.2
#: Reasons of events that are not warnings.
NORMAL_EVENTS = (
    "Completed",
    "Created",
    "Killing",
    "Pulled",
    "Pulling",
    "ScalingReplicaSet",
    "Scheduled",
    "Started",
    "SuccessfulCreate",
    "SuccessfulDelete",
    "TaintManagerEviction",
)


@dataclasses.dataclass(frozen=True)
class Collection:
    """Where the objects of a kind are."""

    prefix: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path of the collection, of an object, or of a subresource."""
        parts = [self.prefix]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/" + "/".join(parts)

    @property
    def api_version(self) -> str:
        return self.prefix.removeprefix("apis/").removeprefix("api/")


NAMESPACES = Collection("api/v1", "namespaces", namespaced=False)
NODES = Collection("api/v1", "nodes", namespaced=False)
PODS = Collection("api/v1", "pods")
SERVICE_ACCOUNTS = Collection("api/v1", "serviceaccounts")
CONFIG_MAPS = Collection("api/v1", "configmaps")
SECRETS = Collection("api/v1", "secrets")
EVENTS = Collection("api/v1", "events")
JOBS = Collection("apis/batch/v1", "jobs")
DEPLOYMENTS = Collection("apis/apps/v1", "deployments")
REPLICA_SETS = Collection("apis/apps/v1", "replicasets")
STATEFUL_SETS = Collection("apis/apps/v1", "statefulsets")
CONTROLLER_REVISIONS = Collection("apis/apps/v1", "controllerrevisions")
DISRUPTION_BUDGETS = Collection("apis/policy/v1", "poddisruptionbudgets")
DAEMON_SETS = Collection("apis/apps/v1", "daemonsets")
MUTATING_WEBHOOKS = Collection(
    "apis/admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", namespaced=False
)
TOKEN_REVIEWS = Collection("apis/authentication.k8s.io/v1", "tokenreviews", namespaced=False)


class KubernetesError(Exception):
    """The API refused."""

    def __init__(self, code: int, reason: str, message: str, causes: t.Sequence[Object] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        #: ``details.causes`` of the API's answer.
        self.causes = causes


class Client:
    """Requests as one user."""

    def __init__(self, endpoint: str, certificate_authority: str, token: str, agent: str) -> None:
        context = ssl.create_default_context(cadata=certificate_authority)
        #: ``https://127.0.0.1:<port>``
        self.endpoint = endpoint
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0),
            headers={"Authorization": f"Bearer {token}", "User-Agent": f"{agent}/sandbox"},
            timeout=aiohttp.ClientTimeout(total=30),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: t.Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        """One request.

        :raises KubernetesError: an answer of 400 or more.
        :raises aiohttp.ClientError: the server does not answer.
        """
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type} if data is not None else {}
        url = self.endpoint + path
        async with self._session.request(method, url, params=query, data=data, headers=headers) as answer:
            document: Object = await answer.json(content_type=None)
        if answer.status >= 400:
            reason, message = str(document.get("reason", "")), str(document.get("message", ""))
            causes = (document.get("details") or {}).get("causes", ())
            raise KubernetesError(answer.status, reason, message, causes)
        return document

    async def get(self, collection: Collection, namespace: str, name: str) -> Object | None:
        """One object, or None."""
        try:
            return await self.request("GET", collection.path(namespace, name))
        except KubernetesError as error:
            if error.code == 404:
                return None
            raise

    async def select(self, collection: Collection, namespace: str = "", **query: str) -> list[Object]:
        """The objects of a kind."""
        document = await self.request("GET", collection.path(namespace), query=query)
        return list(document["items"])

    async def create(self, collection: Collection, obj: Object) -> Object:
        """A new object."""
        namespace = obj["metadata"].get("namespace", "")
        return await self.request("POST", collection.path(namespace), obj)

    async def create_if_missing(self, collection: Collection, obj: Object) -> None:
        """Create an object, unless one with its name exists."""
        try:
            await self.create(collection, obj)
        except KubernetesError as error:
            if error.reason != "AlreadyExists":
                raise

    async def patch(self, collection: Collection, obj: Object, change: Object, subresource: str = "") -> Object:
        """Merge a change into an object."""
        path = collection.path(*identity(obj), subresource)
        return await self.request("PATCH", path, change, content_type=MERGE_PATCH)

    async def delete(self, collection: Collection, namespace: str, name: str, **options: t.Any) -> None:
        """Delete an object, if it exists; ``options`` are those of DeleteOptions."""
        try:
            await self.request("DELETE", collection.path(namespace, name), options or None)
        except KubernetesError as error:
            if error.code not in (404, 409):
                raise

    async def watch(
        self, collection: Collection, version: str, query: t.Mapping[str, str]
    ) -> t.AsyncGenerator[tuple[str, Object], None]:
        """Changes since a resource version, until the server ends the stream.

        :raises KubernetesError: 410 when the version is too old.
        """
        parameters = {**query, "watch": "true", "resourceVersion": version}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        url = self.endpoint + collection.path()
        # A line is one object, which may be larger than aiohttp's default limit for lines.
        async with self._session.get(url, params=parameters, timeout=timeout, read_bufsize=2**22) as answer:
            if answer.status >= 400:
                raise KubernetesError(answer.status, "", await answer.text())
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise KubernetesError(int(status.get("code", 500)), status.get("reason", ""), status["message"])
                yield event["type"], event["object"]


class Informer:
    """A copy of a kind's objects that follows the API."""

    def __init__(self, client: Client, collection: Collection, **query: str) -> None:
        self._client = client
        self._collection = collection
        self._query = query
        self._listeners: list[t.Callable[[Object, bool], None]] = []
        self.objects: dict[tuple[str, str], Object] = {}
        #: Set once the first list has arrived.
        self.synced = asyncio.Event()

    def listen(self, listener: t.Callable[[Object, bool], None]) -> None:
        """Call this with each object that came or changed (True) or went (False)."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """Follow until cancelled; reconnect after a broken connection."""
        while True:
            try:
                await self._follow()
            except (aiohttp.ClientError, KubernetesError, TimeoutError, ValueError) as error:
                log.debug("following %s again: %s", self._collection.plural, error)
            await asyncio.sleep(RETRY_DELAY)

    async def _follow(self) -> None:
        document = await self._client.request("GET", self._collection.path(), query=self._query)
        current = {identity(obj): obj for obj in document["items"]}
        for key in self.objects.keys() - current.keys():
            self._notify(self.objects.pop(key), exists=False)
        for obj in current.values():
            self._put(obj)
        self.synced.set()
        version = document["metadata"]["resourceVersion"]
        async with contextlib.aclosing(self._client.watch(self._collection, version, self._query)) as events:
            async for kind, obj in events:
                if kind == "DELETED":
                    self.objects.pop(identity(obj), None)
                    self._notify(obj, exists=False)
                elif kind in ("ADDED", "MODIFIED"):
                    self._put(obj)

    def _put(self, obj: Object) -> None:
        self.objects[identity(obj)] = obj
        self._notify(obj, exists=True)

    def _notify(self, obj: Object, *, exists: bool) -> None:
        for listener in self._listeners:
            listener(obj, exists)


async def record_event(client: Client, obj: Object, kind: str, reason: str, message: str, *, component: str) -> None:
    """Leave an Event at an object, as ``kubectl describe`` shows it; events are best effort, so failures only log."""
    namespace, name = identity(obj)
    now = timestamp()
    event = {
        "metadata": {"generateName": f"{name[:50]}.", "namespace": namespace or "default"},
        "involvedObject": {
            "kind": kind,
            "namespace": namespace,
            "name": name,
            "uid": obj["metadata"]["uid"],
        },
        "reason": reason,
        "message": message,
        "type": "Normal" if reason in NORMAL_EVENTS else "Warning",
        "source": {"component": component},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    try:
        await client.create(EVENTS, event)
    except (KubernetesError, aiohttp.ClientError, TimeoutError) as error:
        log.debug("event %s of %s is lost: %s", reason, name, error)
