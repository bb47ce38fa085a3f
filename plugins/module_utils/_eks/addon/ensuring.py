# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Making an add-on what is declared: observe, plan, examine, apply."""

from __future__ import annotations

import functools
import typing as t

from .. import codes
from .. import common
from .. import races
from ..association import calls as associations
from ..association import causes
from ..cluster import require
from ..validation import quoted
from ..waiters import ABSENT
from ..waiters import ADDON_ACTIVE
from ..waiters import ADDON_DELETED
from ..waiters import Patience
from ..waiters import Wait
from ..waiters import Watch
from ..waiters import carry_out
from ..waiters import while_unseen
from . import calls
from . import versions
from .comparing import BUSY
from .comparing import REPAIRED_BY_UPDATE
from .declared import AddonSpec
from .declared import problems
from .examining import examine
from .examining import in_the_way
from .planning import plan
from .results import association_ids
from .results import normalized
from .results import told

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_eks.client import EKSClient

    from .declared import Addon

ADDON_SETTLED = Wait(
    "add-on",
    "come to rest",
    frozenset({"ACTIVE", "DEGRADED", "CREATE_FAILED", "UPDATE_FAILED", "DELETE_FAILED", ABSENT}),
    frozenset[str](),
)
#: The code of the health issue of an add-on whose objects something else has set.
CONFLICT = "ConfigurationConflict"
AGENT = "eks-pod-identity-agent"
#: The first version of botocore whose CreateAddon takes a namespace.
NAMESPACE_SINCE = "1.40.14"
#: Seconds to go on while EKS does not see a new role or trust policy, as the association modules do by default.
PROPAGATION_TIMEOUT = 120.0


def spec_from(params: t.Mapping[str, t.Any]) -> AddonSpec:
    """The declaration in the options of the module ``eks_addon``."""
    tags = {option: common.text_tags(params[option]) for option in ("tags", "creation_tags")}
    options = {name: value for name, value in params.items() if name in AddonSpec.__dataclass_fields__}
    return AddonSpec(**{**options, **tags, "present": params["state"] == "present"})


def ensure(
    client: EKSClient, spec: AddonSpec, patience: Patience, check_mode: bool
) -> tuple[common.Change, Addon | None, list[str]]:
    """Make the add-on what is declared.

    Returns the plan, the add-on as it is then (in check mode: would be), and warnings. A cluster that does not exist
    has no add-ons, so there ``state=absent`` is reached already.

    :raises common.AnsibleEKSError: for whatever goes wrong; what can be found before a write is found before it.
    """
    common.refuse(problems(spec))
    if spec.present and spec.namespace:
        common.require_parameter(client, "CreateAddon", "namespaceConfig", "namespace", NAMESPACE_SINCE)
    look = functools.partial(calls.describe, client, spec.cluster_name, spec.name)
    watch = Watch(str(spec).removeprefix("add-on "), look, ADDON_SETTLED, ADDON_ACTIVE, ADDON_DELETED, patience)
    return races.follow(
        functools.partial(_reconcile, client, spec, watch, check_mode),
        # In the way may be an association of one of its service accounts instead.
        lambda error: not causes.ASSOCIATION_ID.search(common.error_of(error)[1]),
    )


def _reconcile(
    client: EKSClient, spec: AddonSpec, watch: Watch, check_mode: bool, done: list[common.Action]
) -> tuple[common.Change, Addon | None, list[str]]:
    """One attempt; ``done`` gets the calls that were made."""
    look = watch.describe
    # A deletion is not held up by what is going on: EKS takes it in any state.
    before = _observed(client, spec, watch.before() if spec.present and not check_mode else look())
    if check_mode and spec.present and before and before["status"] == "DELETING":
        before = None
    choice = choice_for(client, spec, before)
    change = plan(before, spec, choice.version, choice.namespace)
    common.refuse(obstacles(before, spec, change, check_mode))
    warnings = [choice.warning] if choice.warning else []
    warnings += examine(client, spec, change)
    if check_mode:
        return change, change.after, warnings
    try:
        if change.changed:
            _carry_out(client, spec, change, watch.patience, done)
        return change.carried_out(done), _outcome(client, spec, watch, change), warnings
    except common.AnsibleEKSError as error:
        if error.exception is None and CONFLICT in str(error):
            raise common.AnsibleEKSError(f"{error} {conflict_advice(spec)}") from error
        raise


def conflict_advice(spec: AddonSpec) -> str:
    """What to do where something else has installed what the add-on brings, in the terms of module and role."""
    of_role = spec.name == AGENT
    overwrite = " (agent_resolve_conflicts of the role agent)" if of_role else ""
    leave = " (agent_managed: false of the role agent)" if of_role else ""
    return (
        f"Something else has installed or changed it, such as a Helm chart: set resolve_conflicts: overwrite"
        f"{overwrite} to replace that, or leave the add-on to it{leave}."
    )


def _observed(client: EKSClient, spec: AddonSpec, addon: t.Mapping[str, t.Any] | None) -> dict[str, t.Any] | None:
    """The add-on with what is declared of it; its associations are described only when they are."""
    if addon is None:
        return None
    if not spec.present or spec.pod_identity_associations is None:
        return normalized(addon)
    return normalized(addon, associations.describe_associations(client, spec.cluster_name, association_ids(addon)))


def choice_for(client: EKSClient, spec: AddonSpec, before: Addon | None) -> versions.Choice:
    """The version to install; asks EKS for versions only where that can change something.

    :raises common.AnsibleEKSError: when there is no such cluster, add-on or version.
    """
    installed = before["version"] if before else None
    if not spec.present or versions.is_settled(spec.version, installed):
        return versions.Choice()
    kubernetes = require(client, spec.cluster_name, spec.planned_cluster).get("version")
    if kubernetes is None:
        unknown = f"The version of {spec} is not known, since that of Kubernetes is known only once the cluster exists."
        return versions.Choice(warning=unknown)
    offers = calls.list_offers(client, spec.name, kubernetes)
    if not offers:
        raise common.AnsibleEKSError(
            f"name {quoted(spec.name)} names no add-on that EKS offers for Kubernetes {kubernetes}: use one that "
            f"`aws eks describe-addon-versions --kubernetes-version {kubernetes}` lists."
        )
    declared = spec.version
    if declared and not (versions.is_word(declared) or any(versions.is_meant(one.version, declared) for one in offers)):
        common.refuse(versions.version_problems(spec, offers, calls.list_offers(client, spec.name), kubernetes))
    return versions.choose(spec, offers, kubernetes, installed)


def obstacles(before: Addon | None, spec: AddonSpec, change: common.Change, check_mode: bool) -> c.Iterator[str]:
    """Why a plan cannot be carried out now, and what can be done."""
    if before is None or not spec.present:
        return
    if spec.namespace and before["namespace"] not in (None, spec.namespace):
        yield (
            f"namespace of {spec} is {quoted(before['namespace'])} and cannot become {quoted(spec.namespace)}: EKS "
            "sets it at creation only; delete the add-on with state=absent, then create it again."
        )
    if before["status"] == "DELETE_FAILED":
        yield f"{spec} is {told(before)}: delete it again with state=absent, then create it."
    # With wait=true it has come to rest before the plan was made.
    if before["status"] in BUSY and not check_mode and (change.changed or before["status"] == "DELETING"):
        yield (
            f"{spec} is {before['status']} and EKS does one thing at a time: set wait=true to wait for it, "
            "or run again later."
        )


def _carry_out(
    client: EKSClient, spec: AddonSpec, change: common.Change, patience: Patience, done: list[common.Action]
) -> None:
    """Make the calls of a plan, again while EKS does not yet see what was done to a role in IAM a moment ago."""
    calls_of_plan = functools.partial(carry_out, client, change, patience, spec.cluster_name, done, addonName=spec.name)
    note = f"waits until EKS sees {', '.join(spec.roles)}"
    try:
        while_unseen(calls_of_plan, causes.is_not_seen_yet, PROPAGATION_TIMEOUT, str(spec), note)
    except common.AnsibleEKSError as error:
        raise explained(client, spec, change, error) from error


def explained(
    client: EKSClient, spec: AddonSpec, change: common.Change, error: common.AnsibleEKSError
) -> common.AnsibleEKSError:
    """The error of a call with its cause and what to do about it, where that is known."""
    code, message = common.error_of(error)
    if causes.is_not_seen_yet(error):
        cause = (
            f"EKS refuses a role of {spec} even after {PROPAGATION_TIMEOUT:g} seconds: {', '.join(spec.roles)} must "
            "exist, and for an association allow pods.eks.amazonaws.com both sts:AssumeRole and sts:TagSession"
        )
    elif code == codes.IN_USE and (named := causes.ASSOCIATION_ID.search(message)):
        found = associations.describe_association(client, spec.cluster_name, named.group())
        if found is None:
            return error
        cause = in_the_way(spec, found).removesuffix(".")
    elif change.before is not None and change.before["status"] in REPAIRED_BY_UPDATE and error.exception is not None:
        cause = (
            f"{spec} is {told(change.before)} and EKS takes no update of it; delete it with state=absent and "
            "preserve=true, which leaves its software running, and create it again"
        )
    else:
        return error
    return common.AnsibleEKSError(cause, exception=error.exception)


def _outcome(client: EKSClient, spec: AddonSpec, watch: Watch, change: common.Change) -> Addon | None:
    """The add-on after the calls; one that is not ACTIVE is waited for, even if nothing had to be done."""
    current = change.before
    at_rest = current is None if change.after is None else current is not None and current["status"] == "ACTIVE"
    if change.changed or not at_rest:
        return _observed(client, spec, watch.after(change))
    return current
