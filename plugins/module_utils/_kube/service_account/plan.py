# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Which service accounts are created and deleted: pure, over what was observed."""

from __future__ import annotations

import dataclasses
import typing as t

from ..._diagnosis.reading import dig
from ..._diagnosis.reading import text
from ..._workload.service_account import is_managed
from ..._workload.service_account import name_of
from ..._workload.workload import is_present
from .spec import APPLY
from .spec import REMOVE

if t.TYPE_CHECKING:
    import collections.abc as c

    from ..._workload.workload import Workload

#: The label of what this collection created, and may delete.
LABEL = "podidentity.eks/managed"
LABELS = {LABEL: "true"}
IRSA = "eks.amazonaws.com/role-arn"
#: What every new cluster has.
FIRST_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


@dataclasses.dataclass(frozen=True)
class Item:
    """A namespace, or a service account in one."""

    namespace: str
    name: str = ""
    labels: t.Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, name: str) -> Item:
        """A service account with our label, by ``namespace/name``."""
        namespace, _slash, account = name.partition("/")
        return cls(namespace, account, LABELS)

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
class Found:
    """A service account that exists."""

    managed: bool
    #: The role of its IRSA annotation, empty without one.
    irsa: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What is declared, by ``namespace/name``."""

    #: Those to create where they do not exist.
    wanted: tuple[str, ...]
    #: Those that something else creates, a Helm chart for example, and this collection neither creates nor deletes.
    unmanaged: tuple[str, ...]
    #: Those of them that must exist for their workloads to run.
    awaited: tuple[str, ...]
    #: Those to delete.
    unwanted: tuple[str, ...]
    #: What counts as declared besides.
    also_declared: frozenset[str]
    purge: str
    operations: tuple[str, ...]
    create_namespaces: bool

    @property
    def declared(self) -> frozenset[str]:
        return self.also_declared.union(self.wanted, self.unmanaged, self.unwanted)

    @property
    def namespaces(self) -> frozenset[str]:
        return frozenset(namespace_of(name) for name in (*self.wanted, *self.unmanaged, *self.unwanted))

    @property
    def place(self) -> str:
        """The one namespace to read, so that no permission for others is needed; empty for all."""
        return next(iter(self.namespaces)) if len(self.namespaces) == 1 and self.purge != "cluster" else ""

    @property
    def needs_nothing(self) -> bool:
        """Whether nothing has to be known of the cluster."""
        removes = REMOVE in self.operations and bool(self.unwanted or self.purge != "none")
        return not removes and not (APPLY in self.operations and (self.wanted or self.awaited))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done, and what should be known."""

    create: tuple[Item, ...] = ()
    delete: tuple[Item, ...] = ()
    #: To be deleted, and not managed by this collection.
    kept: tuple[str, ...] = ()
    #: Unmanaged ones that do not exist.
    absent: tuple[str, ...] = ()
    #: Managed ones that are not declared.
    undeclared: tuple[str, ...] = ()
    #: The IRSA annotations of declared ones.
    irsa: t.Mapping[str, str] = dataclasses.field(default_factory=dict)


def request_of(params: t.Mapping[str, t.Any]) -> Request:
    """What the options of the module ask for."""
    workloads: c.Sequence[Workload] = params["workloads"]
    unmanaged = dict.fromkeys(name_of(one) for one in workloads if not is_managed(one))
    managed = [one for one in workloads if is_managed(one)]
    stays = params["state"] == "present"
    wanted = dict.fromkeys(name_of(one) for one in managed if stays and is_present(one))
    return Request(
        wanted=tuple(wanted),
        unmanaged=tuple(unmanaged),
        awaited=tuple(name_of(one) for one in workloads if stays and is_present(one) and not is_managed(one)),
        unwanted=tuple(dict.fromkeys(name_of(one) for one in managed if name_of(one) not in wanted)),
        also_declared=frozenset(params["also_declared"]),
        purge=params["purge"],
        operations=tuple(params["operations"]),
        create_namespaces=params["create_namespaces"],
    )


def found_of(objects: c.Iterable[t.Any]) -> dict[str, Found]:
    """The service accounts of a list of the API server."""
    found = {}
    for one in objects:
        metadata = dig(one, "metadata")
        managed = dig(metadata, "labels", LABEL) == "true"
        irsa = text(dig(metadata, "annotations", IRSA))
        found[f"{text(dig(metadata, 'namespace'))}/{text(dig(metadata, 'name'))}"] = Found(managed, irsa)
    return found


def plan(request: Request, found: t.Mapping[str, Found], namespaces: c.Container[str] | None = None) -> Plan:
    """The plan. What exists is never changed: with the label, an account of another owner would become managed.

    :param namespaces: those that exist; None where none are to be created.
    """
    creates, removes = APPLY in request.operations, REMOVE in request.operations
    missing = [name for name in request.wanted if name not in found] if creates else []
    new = [] if namespaces is None else [one for one in spaces(missing) if one not in namespaces]
    doomed = [name for name in request.unwanted if name in found] if removes else []
    purged = [name for name in found if removes and is_purged(name, request)]
    named = (*request.wanted, *request.awaited)
    return Plan(
        create=(*map(Item, new), *map(Item.of, missing)),
        delete=tuple(Item.of(name) for name in dict.fromkeys((*doomed, *purged)) if found[name].managed),
        kept=tuple(name for name in doomed if not found[name].managed),
        absent=tuple(name for name in request.awaited if name not in found) if creates else (),
        undeclared=tuple(name for name in found if found[name].managed and name not in request.declared),
        irsa={name: found[name].irsa for name in named if creates and name in found and found[name].irsa},
    )


def is_purged(name: str, request: Request) -> bool:
    """Whether an account is deleted because nothing declares it."""
    if request.purge == "none" or name in request.declared:
        return False
    return request.purge == "cluster" or namespace_of(name) in request.namespaces


def predicted(request: Request) -> Plan:
    """The plan for a cluster that does not exist yet."""
    return plan(request, {}, FIRST_NAMESPACES if request.create_namespaces else None)


def spaces(names: c.Iterable[str]) -> list[str]:
    """The namespaces of these, each once."""
    return list(dict.fromkeys(map(namespace_of, names)))


def namespace_of(name: str) -> str:
    return name.partition("/")[0]
