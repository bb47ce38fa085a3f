# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Liveness, readiness and startup probes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import typing as t

from eks_sandbox.control_plane.objects import Object

#: Connects with a port of the pod; raises OSError.
Connect = t.Callable[[int], t.Awaitable[socket.socket]]
Execute = t.Callable[[t.Sequence[str]], t.Awaitable[int]]


class Prober:
    """Runs one probe of one container."""

    def __init__(self, probe: Object, container: Object, connect: Connect, execute: Execute) -> None:
        self._probe = probe
        self._container = container
        self._connect = connect
        self._execute = execute

    async def run(self, report: t.Callable[[bool], t.Awaitable[None]]) -> None:
        """Report each change of the outcome, until cancelled."""
        await asyncio.sleep(self._probe.get("initialDelaySeconds", 0))
        outcome: bool | None = None
        successes = failures = 0
        while True:
            good = await self._once()
            successes, failures = (successes + 1, 0) if good else (0, failures + 1)
            decided = outcome
            if successes >= self._probe.get("successThreshold", 1):
                decided = True
            elif failures >= self._probe.get("failureThreshold", 3):
                decided = False
            if decided is not None and decided != outcome:
                outcome = decided
                await report(decided)
            # A container that is not ready is probed more often than a ready one.
            period = self._probe.get("periodSeconds", 10)
            await asyncio.sleep(period if outcome else min(period, 0.2))

    async def _once(self) -> bool:
        timeout = self._probe.get("timeoutSeconds", 1)
        with contextlib.suppress(TimeoutError, OSError, ValueError, asyncio.IncompleteReadError):
            return await asyncio.wait_for(self._ask(), timeout)
        return False

    async def _ask(self) -> bool:
        if action := self._probe.get("httpGet"):
            return await self._answers(action)
        if action := self._probe.get("tcpSocket"):
            (await self._connect(self._number(action["port"]))).close()
            return True
        if action := self._probe.get("exec"):
            return await self._execute(action.get("command") or []) == 0
        return False

    async def _answers(self, action: Object) -> bool:
        """Whether a GET gets a status from 200 to 399."""
        connection = await self._connect(self._number(action["port"]))
        # Like the kubelet, do not check the certificate.
        context = ssl._create_unverified_context() if action.get("scheme") == "HTTPS" else None
        reader, writer = await asyncio.open_connection(
            sock=connection, ssl=context, server_hostname="" if context else None
        )
        try:
            said = {entry["name"]: entry["value"] for entry in action.get("httpHeaders") or []}
            headers = {"Host": action.get("host") or "localhost", "User-Agent": "kube-probe/1", "Connection": "close"}
            lines = [
                f"GET {action.get('path') or '/'} HTTP/1.1",
                *(f"{k}: {v}" for k, v in {**headers, **said}.items()),
            ]
            writer.write("\r\n".join([*lines, "", ""]).encode())
            await writer.drain()
            _, status, *_ = (await reader.readuntil(b"\n")).split()
            return 200 <= int(status) < 400
        finally:
            writer.close()

    def _number(self, port: int | str) -> int:
        """A port by number or by name."""
        if isinstance(port, int):
            return port
        named = {entry.get("name"): entry["containerPort"] for entry in self._container.get("ports") or []}
        return int(named.get(port, 0))
