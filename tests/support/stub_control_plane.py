# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A control plane that runs nothing, for tests that call AWS and never Kubernetes.

It runs in the sandbox's process. A cluster whose name begins with ``broken`` does not start, so it becomes FAILED.
"""

from __future__ import annotations

import base64
import json
import pathlib
import typing as t

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIBstub\n-----END CERTIFICATE-----\n"


class StubCluster:
    """Knows its nodes and the objects that EKS applied; whatever should run there counts as ready on every node."""

    endpoint = "https://127.0.0.1:1"
    certificate_authority = CERTIFICATE
    admin_token = "stub"

    def __init__(self) -> None:
        self._nodes: list[t.Any] = []
        self._objects: set[tuple[str, str]] = set()

    async def stop(self) -> None:
        """Nothing runs."""

    async def set_nodes(self, nodes: t.Sequence[t.Any]) -> None:
        self._nodes = list(nodes)

    async def wanted_nodes(self, _offers: t.Sequence[t.Any]) -> list[t.Any]:
        return []

    async def apply(self, manifests: t.Sequence[dict[str, t.Any]], *, force: bool = True) -> None:  # noqa: ARG002
        self._objects |= {_key(manifest) for manifest in manifests}

    async def remove(self, manifests: t.Sequence[dict[str, t.Any]]) -> None:
        self._objects -= {_key(manifest) for manifest in manifests}

    async def daemon_set_status(self, namespace: str, name: str) -> dict[str, int]:
        if (namespace, name) not in self._objects:
            return {}
        keys = ("desired", "current", "updated")
        scheduled = {f"{key}NumberScheduled": len(self._nodes) for key in keys}
        return {**scheduled, "numberReady": len(self._nodes), "numberAvailable": len(self._nodes)}

    async def review_token(self, token: str, _audience: str) -> dict[str, t.Any] | None:
        """What a token claims for itself is taken for true, since nobody here signs any."""
        part = token.split(".")[1]
        claims: dict[str, t.Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return claims


def _key(manifest: dict[str, t.Any]) -> tuple[str, str]:
    return manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"]


async def start_cluster(cluster: t.Any, _aws: t.Any, _directory: pathlib.Path) -> StubCluster:
    """Start at once, or never."""
    if cluster.name.startswith("broken"):
        raise RuntimeError("the stub refuses to start")
    return StubCluster()
