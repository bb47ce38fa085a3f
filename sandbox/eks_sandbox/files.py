# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files in a sandbox's directory with the connection settings for clients; only their owner may read them."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import typing as t

import yaml

from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.users import User
from eks_sandbox.interfaces import Credentials


class Files:
    """``env``, ``config`` and ``kubeconfig`` of one sandbox, and ``clusters/`` with what its clusters keep."""

    def __init__(self, directory: pathlib.Path, endpoint: str, region: str) -> None:
        self._directory = directory
        self._endpoint = endpoint
        self._region = region

    def start_clean(self) -> None:
        """Delete what the clusters of an earlier sandbox left here."""
        shutil.rmtree(self._directory / "clusters", ignore_errors=True)

    def write_environment(self, keys: Credentials) -> None:
        """``env``: what a shell needs to be this user."""
        values = {
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_REGION": self._region,
            "AWS_DEFAULT_REGION": self._region,
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        }
        lines = ["unset AWS_PROFILE AWS_SESSION_TOKEN AWS_SECURITY_TOKEN"]
        lines += [f"export {name}='{value}'" for name, value in values.items()]
        _write_private(self._directory / "env", "\n".join(lines) + "\n")

    def write_config(self, users: t.Sequence[User]) -> None:
        """``config``: a profile for each user, for ``AWS_CONFIG_FILE``."""
        blocks = []
        for user in users:
            title = "default" if user.profile == "default" else f"profile {user.profile}"
            settings = {"region": self._region, "endpoint_url": self._endpoint, **user.settings()}
            blocks.append("\n".join([f"[{title}]", *(f"{name} = {value}" for name, value in settings.items())]) + "\n")
        _write_private(self._directory / "config", "\n".join(blocks))

    def write_kubeconfig(self, state: State) -> None:
        """``kubeconfig``: a context for each cluster that runs."""
        running = [cluster for cluster in state.clusters.values() if cluster.runtime is not None]
        names = [cluster.spec.name for cluster in running]
        clusters, users, contexts = [], [], []
        for cluster in running:
            # The same name in two regions or accounts needs the ARN as well.
            name = cluster.spec.name if names.count(cluster.spec.name) == 1 else cluster.spec.arn
            assert cluster.runtime is not None
            authority = cluster.shape["certificateAuthority"]["data"]
            server = {"server": cluster.runtime.endpoint, "certificate-authority-data": authority}
            clusters.append({"name": name, "cluster": server})
            users.append({"name": name, "user": {"token": cluster.runtime.admin_token}})
            contexts.append({"name": name, "context": {"cluster": name, "user": name}})
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": contexts[0]["name"] if contexts else "",
            "clusters": clusters,
            "users": users,
            "contexts": contexts,
        }
        _write_private(self._directory / "kubeconfig", yaml.safe_dump(document, sort_keys=False))

    def remove(self) -> None:
        """Delete the files that are useless without the sandbox; the log stays."""
        for name in ("env", "config", "kubeconfig"):
            (self._directory / name).unlink(missing_ok=True)
        shutil.rmtree(self._directory / "clusters", ignore_errors=True)


def _write_private(path: pathlib.Path, text: str) -> None:
    """Write a file that only its owner may read; readers see the old or the new text, never half of it."""
    temporary = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - an open descriptor has no path
        file.write(text)
    temporary.replace(path)
