# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The side door under ``/_sandbox/``: it shows the state of the sandbox and controls it."""

from __future__ import annotations

import json
import typing as t

from eks_sandbox.aws.calls import CallFilter
from eks_sandbox.aws.calls import CallLog
from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.faults import Faults
from eks_sandbox.aws.http import Answer
from eks_sandbox.aws.http import Request
from eks_sandbox.aws.http import json_answer
from eks_sandbox.aws.users import Users

Document = dict[str, t.Any]


class SideDoor:
    """Answers requests that are for the sandbox itself; they need no signature."""

    def __init__(
        self, state: State, calls: CallLog, faults: Faults, users: Users, about: Document, knobs: Document
    ) -> None:
        self._state = state
        self._calls = calls
        self._faults = faults
        self._users = users
        #: What ``health`` returns besides the clusters.
        self._about = about
        #: The knobs that the sandbox was started with; a reset returns to them.
        self._first_knobs = knobs
        self._doors: dict[tuple[str, str], t.Callable[[Request], t.Awaitable[Document]]] = {
            ("GET", "/_sandbox/health"): self._health,
            ("POST", "/_sandbox/reset"): self._reset,
            ("GET", "/_sandbox/calls"): self._show_calls,
            ("DELETE", "/_sandbox/calls"): self._clear_calls,
            ("GET", "/_sandbox/permissions"): self._show_permissions,
            ("GET", "/_sandbox/knobs"): self._show_knobs,
            ("PATCH", "/_sandbox/knobs"): self._set_knobs,
            ("POST", "/_sandbox/accounts"): self._add_account,
        }

    async def answer(self, request: Request) -> Answer:
        """JSON; 400 with a sentence for a request that cannot be done."""
        door = self._doors.get((request.method, request.raw_path))
        if door is None:
            return json_answer(404, {"message": f"There is no {request.method} {request.raw_path}."})
        try:
            return json_answer(200, await door(request))
        except ValueError as error:
            return json_answer(400, {"message": str(error)})

    async def _health(self, _request: Request) -> Document:
        return {**self._about, "clusters": [one.spec.name for one in self._state.clusters.values()]}

    async def _reset(self, _request: Request) -> Document:
        await self._state.clear()
        await self._state.ministack.reset()
        self._state.knobs.reset(self._first_knobs)
        self._faults.start_again()
        self._forget_calls()
        return {}

    async def _show_calls(self, request: Request) -> Document:
        return self._calls.document(_filter(request))

    async def _clear_calls(self, _request: Request) -> Document:
        self._forget_calls()
        return {}

    def _forget_calls(self) -> None:
        self._calls.clear()
        self._state.ministack.permissions.clear()

    async def _show_permissions(self, request: Request) -> Document:
        unknown = sorted(set(request.query) - {"caller"})
        if unknown:
            raise ValueError(f"Permissions have no filter {', '.join(unknown)}; the only filter is caller.")
        return self._state.ministack.permissions.document(*request.query.get("caller", []))

    async def _show_knobs(self, _request: Request) -> Document:
        return self._state.knobs.document()

    async def _set_knobs(self, request: Request) -> Document:
        self._state.knobs.update(_json(request))
        self._faults.start_again()
        return self._state.knobs.document()

    async def _add_account(self, request: Request) -> Document:
        account = _json(request).get("account")
        users = await self._users.add_account(account if isinstance(account, str) else "")
        return {"account": account, "profiles": {user.profile: user.settings() for user in users}}


def _json(request: Request) -> Document:
    document = json.loads(request.body or b"{}")
    if not isinstance(document, dict):
        raise ValueError("The request's body must be a JSON object.")
    return document


def _filter(request: Request) -> CallFilter:
    """From the query: ``operation``, ``caller``, ``refused``, ``since`` and ``limit``.

    Raises ValueError.
    """
    given = {name: values[0] for name, values in request.query.items()}
    kinds = {"operation": str, "caller": str, "refused": str, "since": float, "limit": int}
    unknown = sorted(set(given) - set(kinds))
    if unknown:
        raise ValueError(f"Calls have no filter {', '.join(unknown)}; the filters are {', '.join(kinds)}.")
    return CallFilter(**{name: kinds[name](value) for name, value in given.items()})
