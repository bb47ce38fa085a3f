# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Liveness, readiness and startup probes."""

from __future__ import annotations

import asyncio
import contextlib
import typing as t

import aiohttp

from eks_sandbox.control_plane.objects import Object

#: Turns a port of the pod into the port of this machine where it is served.
PortMap = t.Callable[[int], int]
Execute = t.Callable[[t.Sequence[str]], t.Awaitable[int]]


class Prober:
    """Runs one probe of one container."""

    def __init__(self, probe: Object, container: Object, ports: PortMap, execute: Execute) -> None:
        self._probe = probe
        self._container = container
        self._ports = ports
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
            # A container that is not ready yet is asked more often than one that is.
            period = self._probe.get("periodSeconds", 10)
            await asyncio.sleep(period if outcome else min(period, 0.2))

    async def _once(self) -> bool:
        timeout = self._probe.get("timeoutSeconds", 1)
        with contextlib.suppress(TimeoutError, OSError, aiohttp.ClientError):
            return await asyncio.wait_for(self._ask(), timeout)
        return False

    async def _ask(self) -> bool:
        if action := self._probe.get("httpGet"):
            port = self._ports(self._number(action["port"]))
            url = f"http://127.0.0.1:{port}{action.get('path', '/')}"
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return 200 <= answer.status < 400
        if action := self._probe.get("tcpSocket"):
            _, writer = await asyncio.open_connection("127.0.0.1", self._ports(self._number(action["port"])))
            writer.close()
            return True
        if action := self._probe.get("exec"):
            return await self._execute(action.get("command") or []) == 0
        return False

    def _number(self, port: int | str) -> int:
        """A port by number or by name."""
        if isinstance(port, int):
            return port
        named = {entry.get("name"): entry["containerPort"] for entry in self._container.get("ports") or []}
        return int(named.get(port, 0))
