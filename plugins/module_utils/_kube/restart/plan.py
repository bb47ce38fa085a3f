# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Which workloads must be rolled so that their pods hold the identity of their associations.

A pod gets its identity when it is admitted, or never, and the agent may serve what an association said before for as
long as the pod lives.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import typing as t

from ..._diagnosis.judgement import agent_refusal
from ..._diagnosis.judgement import associated
from ..._diagnosis.judgement import judged
from ..._diagnosis.judgement import refusals
from ..._diagnosis.reading import dig
from ..._diagnosis.reading import listing
from ..._diagnosis.reading import mapping
from ..._diagnosis.reading import text
from ..admitted import CREDENTIALS_URI
from ..admitted import POD_IDENTITY
from ..admitted import TOKEN_VARIABLES
from ..admitted import identity_of
from .rollout import Place
from .rollout import obstacle
from .rollout import place_of

MISSING, STALE = "missing", "stale"
#: What each mode restarts.
MODES = {"never": (), MISSING: (MISSING,), STALE: (MISSING, STALE)}
ROLLED = ("Deployment", "StatefulSet", "DaemonSet")
BUDGET = "PodDisruptionBudget"
#: What must be looked at to know what to do about pods of such an owner.
LOOKED_AT = {
    "ReplicaSet": ("ReplicaSet", "Deployment"),
    "Deployment": ("ReplicaSet", "Deployment"),
    "StatefulSet": ("StatefulSet",),
    "DaemonSet": ("DaemonSet",),
}
SKIP_POD = "eks.amazonaws.com/skip-pod-identity-webhook"
SKIP_CONTAINERS = "eks.amazonaws.com/skip-containers"
#: A container that has one of them already is left alone by the webhook.
OWN_VARIABLES = (CREDENTIALS_URI, TOKEN_VARIABLES[POD_IDENTITY])
#: How many pods a reason names.
SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Lack:
    """A pod that does not hold what its association says."""

    pod: Place
    owner: Place
    service_account: str
    #: ``missing`` or ``stale``.
    why: str
    #: What the pod's credentials are older than, empty where it lacks them altogether.
    since: str = ""
    #: Why a pod in its place would have no identity either, empty where it would.
    refusal: str = ""


@dataclasses.dataclass
class Plan:
    """What is to be done; every entry has the fields of ``entry`` below."""

    #: The pods for which all this is.
    pods: list[dict[str, str]] = dataclasses.field(default_factory=list)
    #: Workloads to roll.
    restarts: list[dict[str, str]] = dataclasses.field(default_factory=list)
    #: Workloads that should be rolled and cannot.
    blocked: list[dict[str, str]] = dataclasses.field(default_factory=list)
    #: What is nobody's to roll, such as bare pods and Jobs.
    reported: list[dict[str, str]] = dataclasses.field(default_factory=list)
    #: Service accounts of ``restarts`` whose identity no pod has proven, each with its role.
    unproven: list[dict[str, str]] = dataclasses.field(default_factory=list)
    #: Kinds of the objects without which it is not known what to do about the pods.
    kinds: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Change:
    """What credentials of before do not have."""

    #: What happened, for a reason: ``the association last changed``.
    what: str
    #: When, in ISO 8601; anything else counts as never.
    at: str

    def outdates(self, admitted: datetime.datetime) -> bool:
        """Whether a pod that was admitted then has credentials of before."""
        at = instant(self.at)
        # Kubernetes tells whole seconds only; of two in the same second, the pod may have been the first.
        return at is not None and admitted <= at.replace(microsecond=0)

    def __str__(self) -> str:
        return f"{self.what} ({self.at})"


def plan(
    workloads: t.Any, pods: t.Any, associations: t.Any, objects: t.Any, mode: str, role_dates: t.Any = None
) -> Plan:
    """The plan. Without ``objects`` (those of its ``kinds``) only its ``pods`` and its ``kinds`` are right."""
    made = Plan()
    known = {place_of(one): one for one in listing(objects)}
    by_owner: dict[Place, list[Lack]] = collections.defaultdict(list)
    changes = changes_of(associations, role_dates)
    for lack in lacks(workloads, pods, changes, known):
        if lack.why not in MODES[mode]:
            continue
        if lack.refusal:
            made.reported.append(entry(lack.pod, lack, lack.refusal))
            continue
        made.pods.append(entry(lack.pod, lack, reason_of([lack])))
        by_owner[lack.owner].append(lack)
    made.kinds = kinds_of(by_owner)
    budgets = [one for place, one in known.items() if place.kind == BUDGET]
    for owner, lacking in sorted(by_owner.items(), key=lambda item: dataclasses.astuple(item[0])):
        reason = reason_of(lacking)
        if owner not in known or owner.kind not in ROLLED:
            made.reported.append(entry(owner, lacking[0], f"{reason}; {remedy(owner)}"))
        elif why_not := obstacle(known[owner], budgets):
            made.blocked.append(entry(owner, lacking[0], f"{reason}; {why_not}"))
        else:
            made.restarts.append(entry(owner, lacking[0], reason))
    return made


def require_proof(made: Plan, proofs: t.Any, associations: t.Any, roles: t.Any, agent: t.Any = None) -> Plan:
    """The plan in which nothing is restarted onto an identity that new pods would not get.

    A proof of this run decides. Where no pod could be asked, association, role and agent are judged by reading.

    :param proofs: as the module ``eks_pod_identity_verify`` returns them.
    :param roles: what ``eks_pod_identity_role_info`` returns; None before it is known which ones to read.
    :param agent: what was read about the agent, as :func:`agent_refusal` takes it.
    """
    proven, refuted = judged(proofs)
    accounts = dict.fromkeys((one["namespace"], one["service_account"]) for one in made.restarts)
    untried = [account for account in accounts if account not in proven and account not in refuted]
    known = associated(associations)
    made.unproven = [
        {"namespace": account[0], "service_account": account[1], "role_arn": known[account].role_arn}
        for account in untried
        if account in known
    ]
    without_agent = dict.fromkeys(untried, agent_refusal(agent))
    refused = refuted if roles is None else {**refuted, **without_agent, **refusals(untried, associations, roles)}
    wanted, made.restarts = made.restarts, []
    for one in wanted:
        why_not = refused.get((one["namespace"], one["service_account"]))
        if why_not:
            made.blocked.append({**one, "reason": f"{one['reason']}; new pods would not get the identity: {why_not}"})
        else:
            made.restarts.append(one)
    return made


def entry(place: Place, lack: Lack, reason: str) -> dict[str, str]:
    """One line of a plan."""
    found = dataclasses.asdict(place)
    return {**found, "service_account": lack.service_account, "why": lack.why, "reason": reason}


def changes_of(associations: t.Any, role_dates: t.Any) -> dict[tuple[str, str], list[Change]]:
    """What has happened to each service account's credentials, by namespace and name.

    A role that was deleted and made again under its name is another one: sessions of the former are worth nothing. Its
    policies act on sessions at once, and its trust policy on none that there is, so neither is looked at.
    """
    dates, found = mapping(role_dates), {}
    for one in listing(associations):
        roles = [text(dig(one, key)) for key in ("role_arn", "target_role_arn")]
        found[text(dig(one, "namespace")), text(dig(one, "service_account"))] = [
            Change("the association last changed", text(dig(one, "modified_at"))),
            *(Change(f"the role {role} was made", text(dates.get(role))) for role in roles),
        ]
    return found


def lacks(
    workloads: t.Any,
    pods: t.Any,
    changes: t.Mapping[tuple[str, str], t.Sequence[Change]],
    known: t.Mapping[Place, t.Any],
) -> list[Lack]:
    """The living pods of these service accounts that lack something."""
    wanted = {(text(dig(one, "namespace")), text(dig(one, "service_account"))) for one in listing(workloads)}
    found = []
    for pod in listing(pods):
        account = text(dig(pod, "spec", "serviceAccountName")) or "default"
        key = (text(dig(pod, "metadata", "namespace")), account)
        if key not in wanted or not lives(pod):
            continue
        place, owner = place_of(pod, "Pod"), owner_of(pod, known)
        if not has_identity(pod):
            found.append(Lack(place, owner, account, MISSING, refusal=refusal_of(pod)))
        elif since := outdated(pod, changes.get(key, ())):
            found.append(Lack(place, owner, account, STALE, since))
    return found


def lives(pod: t.Any) -> bool:
    """Whether a pod runs or will run."""
    return dig(pod, "status", "phase") not in ("Succeeded", "Failed") and not dig(pod, "metadata", "deletionTimestamp")


def has_identity(pod: t.Any) -> bool:
    """Whether a pod was admitted with the identity. One container is enough: others can be kept from it."""
    names = [text(dig(one, "name")) for one in listing(dig(pod, "spec", "containers"))]
    return any(identity_of(pod, name).mechanism == POD_IDENTITY for name in names)


def outdated(pod: t.Any, changes: t.Sequence[Change]) -> str:
    """What happened after a pod was admitted, so that its credentials are those of before; empty for nothing."""
    admitted = instant(text(dig(pod, "metadata", "creationTimestamp")))
    if admitted is None:
        return ""
    return next((str(change) for change in changes if change.outdates(admitted)), "")


def instant(value: str) -> datetime.datetime | None:
    """A point in time by its ISO 8601 form with a time zone; None for anything else."""
    try:
        parsed = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return None
    return parsed if parsed.tzinfo else None


def refusal_of(pod: t.Any) -> str:
    """Why the webhook leaves such a pod alone (pkg/handler of the webhook), empty where it would not."""
    if SKIP_POD in mapping(dig(pod, "metadata", "labels")):
        return f"it lacks the identity because its label {SKIP_POD} asks for that"
    skipped = [name.strip() for name in text(dig(pod, "metadata", "annotations", SKIP_CONTAINERS)).split(",")]
    for container in listing(dig(pod, "spec", "containers")):
        own = any(dig(variable, "name") in OWN_VARIABLES for variable in listing(dig(container, "env")))
        if dig(container, "name") not in skipped and not own:
            return ""
    return (
        f"it lacks the identity because each of its containers sets {' or '.join(OWN_VARIABLES)} itself or is named in "
        f"its annotation {SKIP_CONTAINERS}"
    )


def owner_of(pod: t.Any, known: t.Mapping[Place, t.Any]) -> Place:
    """Who makes such pods: the controller of the pod, or that of its ReplicaSet; the pod itself where there is none."""
    place, found = place_of(pod, "Pod"), pod
    for _step in range(2):
        controllers = [one for one in listing(dig(found, "metadata", "ownerReferences")) if dig(one, "controller")]
        if not controllers:
            break
        place = Place(text(dig(controllers[0], "kind")), place.namespace, text(dig(controllers[0], "name")))
        if place.kind != "ReplicaSet":
            break
        found = known.get(place)
    return place


def kinds_of(owners: t.Iterable[Place]) -> list[str]:
    """Kinds of the objects to look at; the owner of a ReplicaSet is known only when that is."""
    kinds = {kind for owner in owners for kind in LOOKED_AT.get(owner.kind, ())}
    return sorted({*kinds, BUDGET} if kinds else ())


def remedy(owner: Place) -> str:
    """What somebody has to do about pods that this collection does not replace."""
    if owner.kind == "Pod":
        return "it has no controller that would make it anew: delete and create it yourself"
    if owner.kind == "Job":
        return "a Job is not restarted: let it end, or delete and create it yourself"
    return f"a {owner.kind} is not restarted from here: restart it by its own means, or replace its pods"


def reason_of(lacking: t.Sequence[Lack]) -> str:
    """What is wrong with the pods of one owner."""
    told = []
    for why in (MISSING, STALE):
        names = sorted(lack.pod.name for lack in lacking if lack.why == why)
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            shown = f"{'pod' if len(names) == 1 else 'pods'} {', '.join(names[:SHOWN])}{more}"
            since = next(lack.since for lack in lacking if lack.why == why)
            what = "without the identity" if why == MISSING else f"before {since}"
            told.append(f"{shown} {'was' if len(names) == 1 else 'were'} admitted {what}")
    return ", and ".join(told)
