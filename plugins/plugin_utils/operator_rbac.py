# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What whoever runs the playbooks may do in Kubernetes: the rights of each chapter, and RBAC objects made of them.

The rights are those that whole runs use, as the audit log of a real kube-apiserver has them, each needed: without it
the chapter fails, or says what it could not read (``tests/cluster/test_operator_rbac.py``). Discovery is not among
them, since every cluster lets all authenticated users look at what it serves (ClusterRole ``system:discovery``). RBAC
knows no dry run: who tries whether something could be created needs the right to create it.
"""

from __future__ import annotations

import collections
import dataclasses
import re
import typing as t

from ..module_utils._eks.validation import NAMESPACE
from ..module_utils._eks.validation import NAMESPACE_RULE
from ..module_utils._workload.validation import shown
from ..module_utils._workload.validation import unknown_keys
from .operator_policy import CHAPTERS
from .operator_policy import LEVELS
from .operator_policy import chapter_problems
from .operator_policy import level_problems

VERIFY_MODES = ("job", "exec")
API_GROUP = "rbac.authorization.k8s.io"
#: In this order verbs are written.
VERBS = ("get", "list", "create", "patch", "delete")
#: The namespace of the agent.
AGENT = "kube-system"
#: Other places: the whole cluster, as for what is in no namespace; the namespaces of workloads; and these again where
#: the roles list what is in them, which they do at once for the whole cluster as soon as there are two.
CLUSTER, WORKLOADS, LISTED = "cluster", "workloads", "listed"

Object = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Right:
    """What a chapter does with a resource, written ``plural`` or ``plural/subresource``."""

    resource: str
    verbs: tuple[str, ...]
    place: str = WORKLOADS
    group: str = ""
    #: The one object that is meant.
    name: str = ""
    level: str = "apply"
    #: The option, or the value of ``verify_mode``, that makes it necessary.
    when: str = ""


_WEBHOOK = Right(
    "mutatingwebhookconfigurations", ("get",), CLUSTER, "admissionregistration.k8s.io", "pod-identity-webhook"
)
_PROBE = (Right("pods", ("create",)), Right("serviceaccounts", ("list",)), _WEBHOOK)
_ROLLED = ("daemonsets", "deployments", "statefulsets")
_RIGHTS: t.Mapping[str, tuple[Right, ...]] = {
    "agent": (
        Right("nodes", ("list",), CLUSTER, level="check"),
        Right("pods", ("list",), AGENT, level="check"),
        Right("daemonsets", ("get",), AGENT, "apps", "eks-pod-identity-agent", level="check"),
    ),
    "service_account": (
        Right("serviceaccounts", ("list",), LISTED, level="check"),
        Right("namespaces", ("list",), CLUSTER, level="check", when="create_namespaces"),
        Right("namespaces", ("create",), CLUSTER, when="create_namespaces"),
        Right("serviceaccounts", ("create",)),
        Right("serviceaccounts", ("delete",), level="remove"),
    ),
    "probe": _PROBE,
    "restart": (
        Right("pods", ("list",), LISTED, level="check"),
        *(Right(resource, ("list",), LISTED, "apps", level="check") for resource in (*_ROLLED, "replicasets")),
        Right("poddisruptionbudgets", ("list",), LISTED, "policy", level="check"),
        # Run alone it probes by itself.
        *_PROBE,
        *(Right(resource, ("patch",), group="apps") for resource in _ROLLED),
    ),
    "verify": (
        Right("pods", ("list",), LISTED),
        Right("jobs", ("create", "delete"), group="batch", when="job"),
        Right("pods/log", ("get",), when="job"),
        # Up to Kubernetes 1.34 `get` alone is asked for; later ones want `create` as well.
        Right("pods/exec", ("get", "create"), when="exec"),
        # What a diagnosis looks at.
        Right("pods", ("list",), AGENT),
        Right("nodes", ("list",), CLUSTER),
        Right("networkpolicies", ("list",), group="networking.k8s.io"),
        Right("events", ("list",), when="job"),
        _WEBHOOK,
    ),
}


class RbacError(ValueError):
    """RBAC that cannot be made; the message has one sentence for each reason."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What the filter is told."""

    group: str = "pod-identity-operators"
    #: Of all the objects; empty for that of the group.
    name: str = ""
    #: Those of the workloads; none stands for all.
    namespaces: t.Sequence[str] = ()
    level: str = "remove"
    verify_mode: str = "job"
    create_namespaces: bool = False

    def wants(self, right: Right) -> bool:
        """Whether a right of the chosen chapters is needed."""
        if LEVELS.index(right.level) > LEVELS.index(self.level):
            return False
        return right.when in ("", self.verify_mode) or (right.when == "create_namespaces" and self.create_namespaces)


class Grant(t.NamedTuple):
    """One verb on one resource."""

    #: Empty for the whole cluster.
    namespace: str
    group: str
    resource: str
    #: Empty for all objects.
    name: str
    verb: str


def objects(chapters: t.Any, given: t.Mapping[str, t.Any]) -> list[Object]:
    """ClusterRole and Roles with what these chapters need, and what binds them to the group; raises RbacError."""
    if found := list(problems(chapters, given)):
        raise RbacError("\n".join(found))
    options = Options(**given)
    by_namespace: dict[str, list[Grant]] = collections.defaultdict(list)
    for grant in grants([chapters] if isinstance(chapters, str) else chapters, options):
        by_namespace[grant.namespace].append(grant)
    return [one for namespace in sorted(by_namespace) for one in bound(namespace, by_namespace[namespace], options)]


def grants(chapters: t.Iterable[str], options: Options) -> list[Grant]:
    """All that is needed, without what another one includes."""
    chosen = [right for chapter in chapters or CHAPTERS for right in _RIGHTS.get(chapter, ()) if options.wants(right)]
    found = {
        Grant(namespace, right.group, right.resource, right.name, verb)
        for right in chosen
        for namespace in places(right, options.namespaces)
        for verb in right.verbs
    }

    return sorted(grant for grant in found if found.isdisjoint(wider(grant)))


def wider(grant: Grant) -> set[Grant]:
    """The grants that would include it."""
    namespaces, names = ("", grant.namespace), ("", grant.name)
    return {grant._replace(namespace=place, name=name) for place in namespaces for name in names} - {grant}


def places(right: Right, namespaces: t.Sequence[str]) -> t.Sequence[str]:
    """The namespaces where a right is needed; an empty one stands for the whole cluster."""
    if right.place == AGENT:
        return [AGENT]
    if right.place == CLUSTER or not namespaces or (right.place == LISTED and len(namespaces) > 1):
        return [""]
    return namespaces


def bound(namespace: str, granted: t.Sequence[Grant], options: Options) -> list[Object]:
    """A role with these rights, and the binding that gives it to the group."""
    kind, name = "Role" if namespace else "ClusterRole", options.name or options.group
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    role = {"apiGroup": API_GROUP, "kind": kind, "name": name}
    group = {"apiGroup": API_GROUP, "kind": "Group", "name": options.group}
    version = f"{API_GROUP}/v1"
    return [
        {"apiVersion": version, "kind": kind, "metadata": metadata, "rules": rules(granted)},
        {
            "apiVersion": version,
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "roleRef": role,
            "subjects": [group],
        },
    ]


def rules(granted: t.Sequence[Grant]) -> list[Object]:
    """The rules of a role, one for all resources of an API group with which the same is done."""
    verbs: dict[tuple[str, str, str], list[str]] = collections.defaultdict(list)
    for grant in granted:
        verbs[grant.group, grant.resource, grant.name].append(grant.verb)
    resources: dict[tuple[str, str, tuple[str, ...]], list[str]] = collections.defaultdict(list)
    for (group, resource, name), done in verbs.items():
        resources[group, name, tuple(sorted(done, key=VERBS.index))].append(resource)
    return [
        {
            "apiGroups": [group],
            "resources": named,
            **({"resourceNames": [name]} if name else {}),
            "verbs": list(done),
        }
        for (group, name, done), named in resources.items()
    ]


def problems(chapters: t.Any, given: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """One sentence for each reason why these cannot be the chapters and options."""
    yield from chapter_problems([chapters] if isinstance(chapters, str) else chapters)
    options = {field.name: field.default for field in dataclasses.fields(Options)}
    yield from unknown_keys(given, list(options), "The call of pod_identity_operator_rbac")
    options |= given
    yield from _name_problems(options["group"], options["name"])
    yield from level_problems(options["level"])
    if options["verify_mode"] not in VERIFY_MODES:
        yield f"verify_mode is {shown(options['verify_mode'])}: give one of {', '.join(VERIFY_MODES)}."
    if not isinstance(options["create_namespaces"], bool):
        yield f"create_namespaces is {shown(options['create_namespaces'])}: give true or false."
    if not isinstance(options["namespaces"], (list, tuple)):
        yield f'namespaces is {shown(options["namespaces"])}: give a list, such as ["team-a"].'
        return
    for namespace in options["namespaces"]:
        if not isinstance(namespace, str) or not NAMESPACE.fullmatch(namespace):
            yield f"namespaces holds {shown(namespace)}: {NAMESPACE_RULE}"


def _name_problems(group: t.Any, name: t.Any) -> t.Iterator[str]:
    """The group as EKS takes it, and the name as Kubernetes does: a part of a path."""
    if not isinstance(group, str) or not group or group.startswith("system:"):
        yield (
            f'group is {shown(group)}: give a group of your own, since EKS keeps those that begin with "system:" to '
            "itself."
        )
        return
    made = name or group
    if not isinstance(made, str) or made in (".", "..") or re.search("[/%]", made):
        yield f"name is {shown(made)}, which no object can have: give one without / and %."
