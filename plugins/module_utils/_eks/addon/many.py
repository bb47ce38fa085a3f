# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""A declared list of add-ons beside what a cluster has: which differ, which go, and which IAM roles they need.

It is planned by the same comparison as one add-on in the module ``eks_addon``, which then carries it out.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from ..._workload.cluster import Cluster
from ..._workload.validation import role_problems
from ..._workload.validation import shared_role_problems
from ..._workload.validation import shown
from ..._workload.validation import unknown_keys
from ..ownership import TAG
from ..validation import SERVICE_ACCOUNT
from . import comparing
from . import declared
from . import versions

if t.TYPE_CHECKING:
    import collections.abc as c

Mapping = t.Mapping[str, t.Any]

ADDON_KEYS = (
    "name",
    "state",
    "version",
    "configuration",
    "resolve_conflicts",
    "preserve",
    "namespace",
    "service_accounts",
)
#: Those that are options of ``eks_addon`` as they are.
OPTIONS = ("version", "configuration", "namespace", "resolve_conflicts")
ACCOUNT_KEYS = ("name", "role")
#: Values that an item can have, where not everything of a type is one.
CHOICES = {"state": ("present", "absent"), "resolve_conflicts": ("none", "overwrite", "preserve")}
TYPES = {
    "configuration": (t.Mapping, "a mapping"),
    "namespace": (str, "a text"),
    "preserve": (bool, "true or false"),
    "version": (str, 'a text, in quotes, such as "v1.3"'),
}
#: Where most add-ons are.
USUAL_NAMESPACE = "kube-system"
#: Stands for the cluster's Kubernetes version: what EKS offers was asked for that one only.
THIS = "this"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What becomes of the add-ons of a cluster."""

    #: Why nothing can be done, one sentence each; the rest is empty then.
    problems: list[str] = dataclasses.field(default_factory=list)
    #: What a person should know.
    findings: list[str] = dataclasses.field(default_factory=list)
    #: Whether the plan needs to know what EKS offers.
    needs_available: bool = False
    #: Options of the module ``eks_addon`` for each add-on that differs, and for each that goes.
    changes: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    removals: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    #: Service accounts as the role ``iam_role`` takes workloads: those whose roles are made, and those whose roles go.
    workloads: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    former_workloads: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Known:
    """What was observed of one cluster."""

    cluster: Cluster
    #: By name: add-ons and offers as ``eks_addon_info`` returns them.
    installed: t.Mapping[str, Mapping]
    available: t.Mapping[str, Mapping]
    #: Name of a role that was made -> its ARN.
    role_arns: t.Mapping[str, str]
    tags: t.Mapping[str, str]

    def namespace(self, item: Mapping) -> str:
        """Where an add-on is, or goes."""
        is_there = self.installed.get(item["name"], {}).get("namespace")
        return str(
            is_there
            or item.get("namespace")
            or self.available.get(item["name"], {}).get("default_namespace")
            or USUAL_NAMESPACE
        )

    def role_arn(self, role: Mapping) -> str:
        """The ARN of a given role, or of one that is made here, in the cluster's account."""
        where = f"arn:{self.cluster.partition}:iam::{self.cluster.account}:role"
        made = f"{where}{role.get('path') or '/'}{role.get('name')}"
        return str(role.get("arn") or self.role_arns.get(role["name"], made))


# --- what is declared -------------------------------------------------------------------------------------------------


def problems(addons: object, cluster: Cluster) -> list[str]:
    """Everything that cannot be right about a list of add-ons, without asking AWS."""
    if not isinstance(addons, (list, tuple)):
        return [f"The add-ons are {shown(addons)}: give a list, one item for each add-on."]
    found: list[str] = []
    for number, item in enumerate(addons, start=1):
        if not isinstance(item, t.Mapping) or not isinstance(item.get("name"), str):
            found.append(f"Add-on number {number} is {shown(item)}: give a mapping with at least the add-on's name.")
            continue
        found += unknown_keys(item, ADDON_KEYS, f"Add-on {item['name']}")
        found += list(_value_problems(item)) or declared.problems(_spec(item, cluster.name))
        found += _account_problems(item, cluster.account)
    named = [item for item in addons if isinstance(item, t.Mapping) and isinstance(item.get("name"), str)]
    counts = collections.Counter(item["name"] for item in named)
    found += [
        f"Add-on {name} is declared {count} times: declare it once." for name, count in counts.items() if count > 1
    ]
    return [*found, *shared_role_problems([account for item in named for account in _accounts(item)])]


def _value_problems(item: Mapping) -> c.Iterator[str]:
    for key, choices in CHOICES.items():
        if key in item and item[key] not in choices:
            yield f"Add-on {item['name']} has {key} {shown(item[key])}: give one of {', '.join(choices)}."
    for key, (kind, words) in TYPES.items():
        if item.get(key) is not None and not isinstance(item[key], kind):
            yield f"Add-on {item['name']} has {key} {shown(item[key])}: give {words}."


def _account_problems(item: Mapping, account: str) -> c.Iterator[str]:
    given = item.get("service_accounts")
    if given is not None and (not isinstance(given, (list, tuple)) or len(_accounts(item)) < len(given)):
        yield f"Add-on {item['name']} has service_accounts {shown(given)}: give a list, each with name and role."
    names = [one.get("name") for one in _accounts(item)]
    for one in _accounts(item):
        where = f"Service account {one.get('name')} of add-on {item['name']}"
        yield from unknown_keys(one, ACCOUNT_KEYS, where)
        if not SERVICE_ACCOUNT.fullmatch(str(one.get("name"))):
            yield f"{where} has no name of a service account: give one that eks_addon_info lists for the add-on."
        if names.count(one.get("name")) > 1:
            yield f"{where} is declared {names.count(one.get('name'))} times: a service account has one role."
        yield from role_problems(one.get("role"), where, account)


def _accounts(item: Mapping) -> list[Mapping]:
    given = item.get("service_accounts")
    return [one for one in given if isinstance(one, t.Mapping)] if isinstance(given, (list, tuple)) else []


def _spec(item: Mapping, cluster_name: str, **more: t.Any) -> declared.AddonSpec:
    options: dict[str, t.Any] = {key: item.get(key) for key in OPTIONS}
    return declared.AddonSpec(cluster_name=cluster_name, name=item["name"], **options, **more)


# --- the plan ---------------------------------------------------------------------------------------------------------


def plan(addons: c.Sequence[Mapping], known: Known, state: str) -> Plan:
    """What becomes of the declared add-ons; others are not looked at.

    :param addons: without :func:`problems`.
    :param state: ``absent`` when all of them are to go, whatever each one says.
    """
    present = [item for item in addons if state == "present" and item.get("state", "present") == "present"]
    absent = [item for item in addons if item not in present]
    foreign = [item["name"] for item in absent if not _may_go(item, known)]
    found = [_decide(item, known) for item in present]
    return Plan(
        problems=[problem for item in present for problem in _unsupported(item, known)],
        findings=[finding for _options, finding in found if finding] + [_left(name, known) for name in foreign],
        needs_available=any(_needs_available(item, item in present) for item in addons),
        changes=_in_turn([options for options, _finding in found if options is not None], known),
        removals=[
            {"name": item["name"], "preserve": bool(item.get("preserve"))}
            for item in absent
            if item["name"] in known.installed and item["name"] not in foreign
        ],
        workloads=[one for item in present for one in _workloads(item, known)],
        # What stays in the cluster goes on needing its role.
        former_workloads=[
            one
            for item in absent
            if item["name"] not in foreign and not item.get("preserve")
            for one in _workloads(item, known)
        ],
    )


def _needs_available(item: Mapping, present: bool) -> bool:
    """Whether version, policies or namespace of an add-on are for EKS to tell."""
    made = [one["role"] for one in _accounts(item) if one["role"].get("name")]
    version = item.get("version") or versions.KEEP
    return (
        bool(made and not item.get("namespace"))
        or (present and any(_recommends(role) for role in made))
        # An exact version has a build number.
        or (present and version != versions.KEEP and "-" not in version)
    )


def _recommends(role: Mapping) -> bool:
    """Whether a role gets the policies that AWS recommends, because none are declared."""
    return role.get("managed_policies") is None and role.get("inline_policy") is None


def _workloads(item: Mapping, known: Known) -> c.Iterator[dict[str, t.Any]]:
    """The service accounts of an add-on whose roles are made here."""
    offered = known.available.get(item["name"], {}).get("pod_identity") or []
    policies = {one["service_account"]: list(one["recommended_policies"]) for one in offered}
    for one in _accounts(item):
        role = dict(one["role"])
        if not role.get("name"):
            continue
        if _recommends(role):
            role["managed_policies"] = policies.get(one["name"], [])
        yield {"namespace": known.namespace(item), "service_account": one["name"], "role": role}


def _unsupported(item: Mapping, known: Known) -> c.Iterator[str]:
    """What EKS would refuse, or nobody can know, after the roles were made; service accounts differ by version."""
    offer, before = known.available.get(item["name"]), known.installed.get(item["name"], {})
    if offer is None or "pod_identity" not in offer:
        return
    choice = _choice(_spec(item, known.cluster.name), before.get("version"), offer)
    version = (choice.version or before.get("version")) if choice else None
    has = [one["service_account"] for one in offer["pod_identity"]]
    for one in _accounts(item):
        where = f"Service account {one['name']} of add-on {item['name']}"
        if one["name"] not in has and version == offer["default_version"]:
            can = f"{', '.join(has)} can have one" if has else "none of it can have one"
            yield f"{where} cannot have a role by Pod Identity: {can}."
        elif one["name"] not in has and one["role"].get("name") and _recommends(one["role"]):
            yield f"{where} has no policies that AWS recommends for the default version: give role.managed_policies."


def _decide(item: Mapping, known: Known) -> tuple[dict[str, t.Any] | None, str | None]:
    """The options of ``eks_addon`` if the add-on differs from what is declared, and what a person should know."""
    identities = None
    if item.get("service_accounts") is not None:
        identities = [
            {"service_account": one["name"], "role_arn": known.role_arn(one["role"])} for one in _accounts(item)
        ]
    spec = _spec(item, known.cluster.name, tags=known.tags, pod_identity_associations=identities)
    differs, finding = _compare(spec, known.installed.get(spec.name), known.available.get(spec.name))
    options = {"name": spec.name, **{key: item[key] for key in OPTIONS if key in item}}
    if identities is not None:
        options["pod_identity_associations"] = identities
    return (options if differs else None), finding


def _in_turn(changes: list[dict[str, t.Any]], known: Known) -> list[dict[str, t.Any]]:
    """Whether each one is waited for: EKS works on several add-ons at a time, but does one thing with each."""
    busy = {name for name, addon in known.installed.items() if addon["status"] in comparing.BUSY}
    return [{**options, "wait": len(changes) == 1 or options["name"] in busy} for options in changes]


def _compare(spec: declared.AddonSpec, before: Mapping | None, offer: Mapping | None) -> tuple[bool, str | None]:
    """Whether the module has something to do, or to say: it knows more than the plan about what cannot be."""
    if before is None or before["status"] != "ACTIVE" or not (spec.tags or {}).items() <= before["tags"].items():
        return True, None
    if spec.namespace not in (None, before["namespace"]):
        return True, None
    choice = _choice(spec, before["version"], offer)
    differs = choice is None or comparing.needs_update(before, comparing.wanted(before, spec, choice.version))
    # What the module has to do with it, it says itself.
    return differs, None if choice is None or differs else choice.warning


def _choice(spec: declared.AddonSpec, installed: str | None, offer: Mapping | None) -> versions.Choice | None:
    """The version that is meant, None where nothing is known that could be."""
    if versions.is_settled(spec.version, installed):
        return versions.Choice()
    word = spec.version is None or versions.is_word(spec.version)
    offers = [one for one in _offers(offer) if word or versions.is_meant(one.version, str(spec.version))]
    return versions.choose(spec, offers, THIS, installed) if offers else None


def _offers(offer: Mapping | None) -> list[versions.Offer]:
    if offer is None:
        return []
    default = offer["default_version"]
    return [
        versions.Offer(version=version, default_for=frozenset([THIS] if version == default else []))
        for version in offer["versions"]
    ]


def _may_go(item: Mapping, known: Known) -> bool:
    """Whether an add-on may be removed here: it was installed here, or is gone already."""
    before = known.installed.get(item["name"])
    return before is None or before["tags"].get(TAG) == known.cluster.name


def _left(name: str, known: Known) -> str:
    return (
        f"Add-on {name} of cluster {known.cluster.name} was left, with the roles of its service accounts: it does not "
        f"carry our tag {TAG}, so somebody else installed it."
    )
