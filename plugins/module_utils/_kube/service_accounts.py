# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Creating and deleting service accounts, and the namespaces that they need, with each of them named in the result."""

from __future__ import annotations

import dataclasses
import typing as t

from .causes import Refusal
from .connection import ApiServer

if t.TYPE_CHECKING:
    import collections.abc as c

OPTIONS: dict[str, dict[str, t.Any]] = {
    "cluster_name": {"type": "str", "required": True},
    "service_accounts": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {"namespace": {"type": "str", "required": True}, "name": {"type": "str", "required": True}},
    },
    "namespaces": {"type": "list", "elements": "str", "default": []},
    "labels": {"type": "dict", "default": {}},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}
MISSING, CONFLICT, FORBIDDEN = 404, 409, 403


@dataclasses.dataclass(frozen=True)
class Item:
    """A namespace, or a service account in one."""

    namespace: str
    name: str = ""
    labels: t.Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def kind(self) -> str:
        return "ServiceAccount" if self.name else "Namespace"

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.name else self.namespace

    @property
    def collection(self) -> str:
        """Where it is created."""
        return f"/api/v1/namespaces/{self.namespace}/serviceaccounts" if self.name else "/api/v1/namespaces"

    @property
    def path(self) -> str:
        return f"{self.collection}/{self.name or self.namespace}"

    @property
    def body(self) -> dict[str, t.Any]:
        place = {"name": self.name, "namespace": self.namespace} if self.name else {"name": self.namespace}
        metadata = {**place, **({"labels": dict(self.labels)} if self.labels else {})}
        return {"apiVersion": "v1", "kind": self.kind, "metadata": metadata}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was done with an item, or would be in check mode."""

    item: Item
    #: ``create``, ``delete`` or ``none``.
    action: str
    #: Why not, empty where it was done.
    error: str = ""
    #: Whether check mode could not try it, because it takes the permission that doing it takes.
    untried: bool = False

    @property
    def changes(self) -> bool:
        return self.action != "none" and (self.untried or not self.error)

    def render(self) -> dict[str, t.Any]:
        """As the module returns it."""
        return {
            "kind": self.item.kind,
            "name": str(self.item),
            "action": self.action,
            "error": self.error,
            "untried": self.untried,
        }


def items_of(params: t.Mapping[str, t.Any]) -> list[Item]:
    """What the task names, namespaces first."""
    labels = {str(key): str(value) for key, value in params["labels"].items()}
    spaces = [Item(namespace) for namespace in params["namespaces"]] if params["state"] == "present" else []
    return [*spaces, *(Item(one["namespace"], one["name"], labels) for one in params["service_accounts"])]


def reconcile(api: ApiServer, items: c.Sequence[Item], state: str, check_mode: bool) -> list[Outcome]:
    """Make each item present or absent; what fails with one does not stop the others.

    Check mode tries without doing. In a namespace that does not exist yet nothing can be tried.
    """
    outcomes: list[Outcome] = []
    planned = {item.namespace for item in items if not item.name} if check_mode else set[str]()
    for item in items:
        found = api.read(item.path)
        if state == "absent":
            outcomes.append(_delete(api, item, found, check_mode))
        else:
            untestable = bool(item.name) and item.namespace in planned
            outcomes.append(_create(api, item, found, check_mode, untestable))
    return outcomes


def _create(api: ApiServer, item: Item, found: object, check_mode: bool, untestable: bool) -> Outcome:
    if not isinstance(found, Refusal):
        return Outcome(item, "none")
    if found.status != MISSING:
        return _refused(item, "create", found, check_mode)
    answer = {} if untestable else api.create(item.collection, item.body, check_mode)
    if isinstance(answer, Refusal) and answer.status == CONFLICT:
        return Outcome(item, "none")
    return _refused(item, "create", answer, check_mode) if isinstance(answer, Refusal) else Outcome(item, "create")


def _delete(api: ApiServer, item: Item, found: object, check_mode: bool) -> Outcome:
    answer = found if isinstance(found, Refusal) else api.delete(item.path, check_mode)
    if isinstance(answer, Refusal) and answer.status == MISSING:
        return Outcome(item, "none")
    return _refused(item, "delete", answer, check_mode) if isinstance(answer, Refusal) else Outcome(item, "delete")


def _refused(item: Item, action: str, refusal: Refusal, check_mode: bool) -> Outcome:
    return Outcome(item, action, refusal.message, untried=check_mode and refusal.status == FORBIDDEN)


def _named(outcomes: c.Sequence[Outcome], action: str) -> dict[str, dict[str, str]]:
    """What is created or deleted, with its labels."""
    changed = [one.item for one in outcomes if one.changes and one.action == action]
    return {f"{item.kind} {item}": dict(item.labels) for item in changed}


def result_of(outcomes: c.Sequence[Outcome], diff: bool, cluster_name: str) -> dict[str, t.Any]:
    """What the module returns; the diff shows what changes by name."""
    result: dict[str, t.Any] = {
        "changed": any(one.changes for one in outcomes),
        "objects": [one.render() for one in outcomes],
    }
    if diff:
        headers = dict.fromkeys(("before_header", "after_header"), f"cluster {cluster_name}")
        before, after = (_named(outcomes, action) for action in ("delete", "create"))
        result["diff"] = {**headers, "before": before, "after": after}
    return result
