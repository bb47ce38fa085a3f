# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The volumes of a pod, as folders of the node."""

from __future__ import annotations

import asyncio
import dataclasses
import pathlib
import time
import typing as t

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import identity
from eks_sandbox.node.client import CONFIG_MAPS
from eks_sandbox.node.client import SECRETS
from eks_sandbox.node.client import SERVICE_ACCOUNTS
from eks_sandbox.node.client import Client
from eks_sandbox.node.client import Collection
from eks_sandbox.node.environment import ConfigurationError
from eks_sandbox.node.environment import content_of
from eks_sandbox.node.environment import field_of
from eks_sandbox.node.environment import inside

#: A token is renewed when this part of its life is over, as kubelet does it.
RENEWAL = 0.8
#: Seconds between updates of the volumes of a running pod.
REFRESH_PERIOD = 30.0
_DEFAULT_MODE = 0o644
_UNSUPPORTED = ConfigurationError("the sandbox has the volumes configMap, secret, projected, downwardAPI and emptyDir")


@dataclasses.dataclass(frozen=True)
class File:
    """One file of a volume."""

    path: str
    content: bytes
    mode: int = _DEFAULT_MODE


class Volumes:
    """Makes and refreshes the volumes of one pod."""

    def __init__(self, client: Client, pod: Object, directory: pathlib.Path) -> None:
        self._client = client
        self._pod = pod
        self._directory = directory
        #: When tokens are due, as seconds since 1970, by volume and path.
        self._due: dict[tuple[str, str], float] = {}

    def folder(self, name: str) -> pathlib.Path:
        """Where a volume is."""
        return self._directory / name

    async def prepare(self) -> None:
        """Make every volume.

        :raises ConfigurationError: an object that a volume needs does not exist.
        """
        for volume in self._pod["spec"].get("volumes") or []:
            await self._fill(volume)

    async def refresh(self) -> None:
        """Renew tokens that are due, and follow ConfigMaps and Secrets, until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_PERIOD)
            for volume in self._pod["spec"].get("volumes") or []:
                if "emptyDir" not in volume:
                    await self._fill(volume)

    async def _fill(self, volume: Object) -> None:
        folder = self.folder(volume["name"])
        folder.mkdir(parents=True, exist_ok=True)
        if "emptyDir" in volume:
            return
        for file in await self._files(volume):
            _write(inside(folder, file.path), file)

    async def _files(self, volume: Object) -> list[File]:
        if "projected" in volume:
            source = volume["projected"]
            mode = source.get("defaultMode", _DEFAULT_MODE)
            files = []
            for entry in source.get("sources") or []:
                files += await self._projected(volume["name"], entry, mode)
            return files
        if "configMap" in volume:
            return await self._content(CONFIG_MAPS, volume["configMap"], volume["configMap"]["name"])
        if "secret" in volume:
            return await self._content(SECRETS, volume["secret"], volume["secret"]["secretName"])
        if "downwardAPI" in volume:
            return self._downward(volume["downwardAPI"], volume["downwardAPI"].get("defaultMode", _DEFAULT_MODE))
        raise _UNSUPPORTED

    async def _projected(self, volume: str, entry: Object, mode: int) -> list[File]:
        if "serviceAccountToken" in entry:
            return await self._token(volume, entry["serviceAccountToken"], mode)
        if "configMap" in entry:
            return await self._content(CONFIG_MAPS, entry["configMap"], entry["configMap"]["name"], mode)
        if "secret" in entry:
            return await self._content(SECRETS, entry["secret"], entry["secret"]["name"], mode)
        if "downwardAPI" in entry:
            return self._downward(entry["downwardAPI"], mode)
        raise _UNSUPPORTED

    async def _content(self, collection: Collection, source: Object, name: str, mode: int | None = None) -> list[File]:
        namespace, _ = identity(self._pod)
        content = await content_of(self._client, collection, namespace, name)
        kind = "secret" if collection is SECRETS else "configmap"
        if content is None:
            if source.get("optional"):
                return []
            raise ConfigurationError(f'{kind} "{name}" not found')
        mode = source.get("defaultMode", _DEFAULT_MODE) if mode is None else mode
        items = source.get("items")
        if items is None:
            return [File(key, value, mode) for key, value in content.items()]
        missing = [item["key"] for item in items if item["key"] not in content]
        if missing and not source.get("optional"):
            raise ConfigurationError(f"references non-existent {kind} key: {missing[0]}")
        return [File(i["path"], content[i["key"]], i.get("mode", mode)) for i in items if i["key"] in content]

    def _downward(self, source: Object, mode: int) -> list[File]:
        files = []
        for item in source.get("items") or []:
            if "fieldRef" not in item:
                raise _UNSUPPORTED
            value = field_of(self._pod, item["fieldRef"]["fieldPath"])
            files.append(File(item["path"], value.encode(), item.get("mode", mode)))
        return files

    async def _token(self, volume: str, source: Object, mode: int) -> list[File]:
        now = time.time()
        key = (volume, source["path"])
        if self._due.get(key, 0) > now:
            return []
        namespace, name = identity(self._pod)
        lifetime = source.get("expirationSeconds", 3600)
        reference = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": self._pod["metadata"]["uid"]}
        spec: dict[str, t.Any] = {"expirationSeconds": lifetime, "boundObjectRef": reference}
        spec["audiences"] = [source["audience"]] if source.get("audience") else []
        path = SERVICE_ACCOUNTS.path(namespace, self._pod["spec"]["serviceAccountName"], "token")
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "spec": spec}
        answer = await self._client.request("POST", path, body)
        self._due[key] = now + RENEWAL * lifetime
        # The pod's process runs as the sandbox's user, so no other user needs to read a token.
        return [File(source["path"], answer["status"]["token"].encode(), mode & 0o600)]


def _write(path: pathlib.Path, file: File) -> None:
    """Write a file; a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_bytes(file.content)
    fresh.chmod(file.mode | 0o400)
    fresh.replace(path)
