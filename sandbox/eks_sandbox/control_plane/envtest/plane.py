# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler of one cluster, set up as EKS does."""

from __future__ import annotations

import asyncio
import json
import pathlib
import secrets
import socket
import time
import typing as t

import aiohttp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from eks_sandbox.control_plane.certificates import CertificateAuthority
from eks_sandbox.control_plane.certificates import write_private
from eks_sandbox.control_plane.envtest.daemon import Daemon
from eks_sandbox.interfaces import ClusterSpec

#: The user and the groups of a token in the token file.
ADMINISTRATOR = ("kubernetes-admin", "system:masters")
MANAGER, SCHEDULER = "kube-controller-manager", "kube-scheduler"
#: Seconds that the API server may take to be ready, on a busy machine.
START_TIMEOUT = 60.0
#: Seconds between looks whether it is.
PERIOD = 0.05
#: What EKS gives to services where a VPC does not use 10.0.0.0/8.
SERVICE_RANGE = "10.100.0.0/16"
#: How long kube-apiserver caches the answers of the token webhook. Its default of two minutes would keep access for a
#: user whose access entry is deleted; the sandbox's own API server uses the same time.
REVIEW_TTL = "5s"
#: As on EKS the webhook is the last authorizer. By default kube-apiserver keeps a yes 5 minutes and a no 30 seconds.
AUTHORIZATION = {
    "authorization-mode": "Node,RBAC,Webhook",
    "authorization-webhook-config-file": "authorization.kubeconfig",
    "authorization-webhook-version": "v1",
    "authorization-webhook-cache-authorized-ttl": "1s",
    "authorization-webhook-cache-unauthorized-ttl": "1s",
}
#: Requests of users and their programs are logged, without bodies. Requests of the cluster's own parts, nearly all
#: requests, are not.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "userGroups": [ADMINISTRATOR[1], "system:nodes", "system:serviceaccounts"]},
        {"level": "None", "users": [f"system:{name}" for name in (MANAGER, SCHEDULER, "apiserver", "anonymous")]},
        {"level": "Metadata"},
    ],
}
AUDIT = {"audit-policy-file": "audit-policy.json", "audit-log-path": "audit.log"}
#: etcd has no port: only this user's processes reach a socket in the cluster's directory. The form is etcd's own; the
#: paths are relative to the directory, because a socket's path may not be longer than 107 bytes.
ETCD_CLIENTS, ETCD_PEERS = "unix://etcd-clients:0", "unix://etcd-peers:0"


class RealControlPlane:
    """A ControlPlane of real programs."""

    def __init__(
        self, cluster: ClusterSpec, directory: pathlib.Path, authority: CertificateAuthority, binaries: pathlib.Path
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._cluster = cluster
        self._directory = directory
        self._authority = authority
        self._binaries = binaries
        self._port = _reserve_port()
        self._tokens = {name: secrets.token_urlsafe(32) for name in (ADMINISTRATOR[0], MANAGER, SCHEDULER)}
        self._daemons: list[Daemon] = []
        self.endpoint = f"https://127.0.0.1:{self._port.getsockname()[1]}"
        self.admin_token = self._tokens[ADMINISTRATOR[0]]
        self.has_controllers = (binaries / MANAGER).exists()
        self.has_scheduler = (binaries / SCHEDULER).exists()

    async def start(self, authentication_url: str, authorization_url: str) -> None:
        """Run; returns when the API server is ready.

        ``authentication_url`` reviews tokens that are not Kubernetes' own, ``authorization_url`` permissions that RBAC
        does not grant; both listen already.

        :raises DaemonError: one of the programs has ended.
        :raises TimeoutError: the API server is not ready in time.
        """
        await asyncio.to_thread(self._write_files, authentication_url, authorization_url)
        await self._start("etcd", _etcd_flags())
        await self._start("kube-apiserver", self._api_server_flags())
        await self._wait_until_ready()
        if self.has_controllers:
            await self._start(MANAGER, self._manager_flags())
        if self.has_scheduler:
            await self._start(SCHEDULER, self._client_flags(SCHEDULER))
        for daemon in self._daemons:
            daemon.watch()

    async def stop(self) -> None:
        """End all programs, clients before servers."""
        for daemon in reversed(self._daemons):
            await daemon.stop()
        self._daemons.clear()
        self._port.close()

    async def _start(self, name: str, flags: t.Mapping[str, str]) -> None:
        arguments = [f"--{flag}={value}" for flag, value in flags.items()]
        self._daemons.append(await Daemon.start(self._binaries / name, arguments, self._directory))

    async def _wait_until_ready(self) -> None:
        end = time.monotonic() + START_TIMEOUT
        connector = aiohttp.TCPConnector(ssl=self._authority.client_context())
        headers = {"Authorization": f"Bearer {self.admin_token}"}
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            while time.monotonic() < end:
                for daemon in self._daemons:
                    daemon.ensure_running()
                if await _is_ready(session, f"{self.endpoint}/readyz"):
                    return
                await asyncio.sleep(PERIOD)
        raise TimeoutError(f"kube-apiserver is not ready after {START_TIMEOUT:.0f} s; see {self._directory}")

    def _write_files(self, authentication_url: str, authorization_url: str) -> None:
        rows = [f'{self.admin_token},{ADMINISTRATOR[0]},administrator,"{ADMINISTRATOR[1]}"']
        rows += [f"{self._tokens[name]},system:{name},{name}" for name in (MANAGER, SCHEDULER)]
        write_private(self._directory / "tokens.csv", "\n".join(rows).encode())
        self._write_kubeconfig("authentication", authentication_url, {})
        self._write_kubeconfig("authorization", authorization_url, {})
        for name in (MANAGER, SCHEDULER):
            self._write_kubeconfig(name, self.endpoint, {"token": self._tokens[name]})
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_private(self._directory / "service-accounts.key", key)
        write_private(self._directory / "audit-policy.json", json.dumps(AUDIT_POLICY).encode())

    def _write_kubeconfig(self, name: str, server: str, user: t.Mapping[str, str]) -> None:
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [
                {"name": name, "cluster": {"server": server, "certificate-authority": str(self._authority.path)}}
            ],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        }
        write_private(self._directory / f"{name}.kubeconfig", json.dumps(document).encode())

    def _api_server_flags(self) -> dict[str, str]:
        certificate, key = self._authority.issue(
            "kube-apiserver", ("localhost", "kubernetes", "kubernetes.default.svc")
        )
        kubelet_certificate, kubelet_key = self._authority.issue("kube-apiserver-kubelet-client")
        issuer = self._cluster.issuer
        return {
            "etcd-servers": ETCD_CLIENTS,
            "bind-address": "127.0.0.1",
            "secure-port": str(self._port.getsockname()[1]),
            # See _reserve_port.
            "permit-port-sharing": "true",
            "tls-cert-file": str(certificate),
            "tls-private-key-file": str(key),
            "client-ca-file": str(self._authority.path),
            "token-auth-file": "tokens.csv",
            "authentication-token-webhook-config-file": "authentication.kubeconfig",
            "authentication-token-webhook-version": "v1",
            "authentication-token-webhook-cache-ttl": REVIEW_TTL,
            **AUTHORIZATION,
            **AUDIT,
            "allow-privileged": "true",
            "enable-admission-plugins": "NodeRestriction",
            # Only the real controllers take the taint of a new node away once it is ready.
            "disable-admission-plugins": "" if self.has_controllers else "TaintNodesByCondition",
            "service-account-issuer": issuer,
            "service-account-jwks-uri": f"{issuer}/keys",
            "service-account-key-file": "service-accounts.key",
            "service-account-signing-key-file": "service-accounts.key",
            "api-audiences": "https://kubernetes.default.svc",
            "service-cluster-ip-range": SERVICE_RANGE,
            # An address on loopback cannot be the endpoint of the service "kubernetes".
            "endpoint-reconciler-type": "none",
            "kubelet-certificate-authority": str(self._authority.path),
            "kubelet-client-certificate": str(kubelet_certificate),
            "kubelet-client-key": str(kubelet_key),
            "kubelet-preferred-address-types": "InternalIP",
            # The sandbox's kubelet uses websockets, as clients do, so these are forwarded unchanged.
            "feature-gates": "TranslateStreamCloseWebsocketRequests=false",
        }

    def _manager_flags(self) -> dict[str, str]:
        return self._client_flags(MANAGER) | {
            "use-service-account-credentials": "true",
            "root-ca-file": str(self._authority.path),
            "service-account-private-key-file": "service-accounts.key",
        }

    def _client_flags(self, name: str) -> dict[str, str]:
        return {
            "kubeconfig": f"{name}.kubeconfig",
            "leader-elect": "false",
            # No client sends requests to these programs.
            "secure-port": "0",
            # By default 20 calls a second: the start alone takes some hundreds.
            "kube-api-qps": "1000",
            "kube-api-burst": "1000",
        }


def _reserve_port() -> socket.socket:
    """A free port of loopback that no other program can take before the API server does.

    Two sockets of one user may share a port when both say so, and this one does not listen: every connection reaches
    the API server.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


def _etcd_flags() -> dict[str, str]:
    return {
        "data-dir": "etcd",
        "listen-client-urls": ETCD_CLIENTS,
        "advertise-client-urls": ETCD_CLIENTS,
        "listen-peer-urls": ETCD_PEERS,
        "initial-advertise-peer-urls": ETCD_PEERS,
        "initial-cluster": f"default={ETCD_PEERS}",
        # Milliseconds until the only member elects itself; by default it waits a second for others.
        "heartbeat-interval": "10",
        "election-timeout": "50",
        # The data is deleted with the sandbox, so it need not survive a power cut.
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }
