# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Add-ons of EKS clusters: what is declared, what is there, the plan between the two, and the calls that carry it out.

Rules that come from AWS are those of the EKS API reference (CreateAddon, UpdateAddon, DescribeAddonVersions). One is
not written there: UpdateAddon brings back an add-on in ``CREATE_FAILED`` or ``UPDATE_FAILED``
(https://github.com/aws-controllers-k8s/eks-controller/pull/166), where years ago only deleting it helped
(https://github.com/aws/containers-roadmap/issues/1411).
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import json
import re
import typing as t

try:
    import yaml
except ImportError:
    yaml = None  # type: ignore[assignment]  # needed only for an add-on that others configured by YAML

from . import common
from .cluster import require
from .validation import cluster_name_problems
from .validation import quoted
from .validation import role_arn_problems
from .validation import tags_problems
from .waiters import ABSENT
from .waiters import ADDON_ACTIVE
from .waiters import ADDON_DELETED
from .waiters import Patience
from .waiters import Wait
from .waiters import Watch
from .waiters import carry_out

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_eks.client import EKSClient

#: An add-on as our modules return it.
Addon = t.Mapping[str, t.Any]

#: Versions that are asked for by what they are.
DEFAULT = "default"
LATEST = "latest"
ADDON_NAME = re.compile(r"[0-9A-Za-z][A-Za-z0-9_-]{0,99}")
EXACT_VERSION = re.compile(r"v?[0-9][\w.+-]*")
#: States in which EKS works on the add-on and refuses to update or create it (409).
BUSY = frozenset({"CREATING", "UPDATING", "DELETING"})
#: States that an update ends.
REPAIRED_BY_UPDATE = frozenset({"CREATE_FAILED", "UPDATE_FAILED"})
ADDON_SETTLED = Wait(
    "add-on",
    "come to rest",
    frozenset({"ACTIVE", "DEGRADED", "CREATE_FAILED", "UPDATE_FAILED", "DELETE_FAILED", ABSENT}),
    frozenset[str](),
)
#: How many versions a message offers in place of one that does not fit.
OFFERED_VERSIONS = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class AddonSpec:
    """What is declared about an add-on; ``None`` leaves a field as it is."""

    cluster_name: str
    name: str
    present: bool = True
    #: An exact version, ``default`` or ``latest``.
    version: str | None = None
    configuration: t.Mapping[str, t.Any] | None = None
    service_account_role_arn: str | None = None
    #: ``none``, ``overwrite`` or ``preserve``: how to write, no part of what is compared.
    resolve_conflicts: str | None = None
    #: Whether deleting leaves the software in the cluster.
    preserve: bool = False
    tags: t.Mapping[str, str] | None = None
    purge_tags: bool = True
    #: Tags that it gets when it is made, and never later.
    creation_tags: t.Mapping[str, str] | None = None

    def __str__(self) -> str:
        return f"add-on {self.name} of cluster {self.cluster_name}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Offer:
    """A version of an add-on that EKS offers."""

    version: str
    #: The Kubernetes versions that it fits, and those for which AWS recommends it.
    fits: frozenset[str] = frozenset()
    default_for: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """The exact version that a declaration means; None leaves it as it is."""

    version: str | None = None
    #: What a person should know about it.
    warning: str | None = None


def spec_from(params: t.Mapping[str, t.Any]) -> AddonSpec:
    """The declaration in the options of the module ``eks_addon``."""
    fields = {field.name for field in dataclasses.fields(AddonSpec)}
    options = {option: value for option, value in params.items() if option in fields}
    tags = {option: common.text_tags(params[option]) for option in ("tags", "creation_tags")}
    return AddonSpec(**{**options, **tags, "present": params["state"] == "present"})


# --- what is declared -------------------------------------------------------------------------------------------------


def problems(spec: AddonSpec) -> c.Iterator[str]:
    """Everything that cannot be right about what is declared, one sentence each, without asking AWS."""
    yield from cluster_name_problems(spec.cluster_name)
    if not ADDON_NAME.fullmatch(spec.name):
        yield (
            f"name {quoted(spec.name)} is no name of an EKS add-on: use one that `aws eks describe-addon-versions` "
            "lists, such as eks-pod-identity-agent."
        )
    if spec.version is not None and not (symbolic(spec.version) or EXACT_VERSION.fullmatch(spec.version)):
        yield (
            f"version {quoted(spec.version)} of {spec} is no version of an add-on: give an exact one such as "
            '"v1.3.8-eksbuild.2", or "default", or "latest".'
        )
    if spec.service_account_role_arn is not None:
        yield from role_arn_problems(spec.service_account_role_arn, "service_account_role_arn", str(spec))
    yield from tags_problems(common.first_tags(spec.tags, spec.creation_tags), str(spec))


def symbolic(version: str) -> bool:
    """Whether a version is asked for by what it is, not by its number."""
    return version in (DEFAULT, LATEST)


# --- versions ---------------------------------------------------------------------------------------------------------


def version_key(version: str) -> tuple[tuple[int, ...], ...]:
    """A sort key for versions of add-ons: ``v1.10.0-eksbuild.2`` comes after ``v1.9.3-eksbuild.11``."""
    return tuple(tuple(int(number) for number in re.findall(r"[0-9]+", part)) for part in version.split("-", 1))


def by_version(offers: c.Iterable[Offer]) -> list[Offer]:
    return sorted(offers, key=_offer_key)


def _offer_key(offer: Offer) -> tuple[tuple[int, ...], ...]:
    return version_key(offer.version)


def choose(spec: AddonSpec, offers: c.Sequence[Offer], kubernetes: str, installed: str | None) -> Choice:
    """The version that a declaration means for a Kubernetes version; no downgrade is silent.

    :param offers: versions that fit this Kubernetes version, at least one.
    :raises common.AnsibleEKSError: when an exact version is declared that is not among them.
    """
    ordered = by_version(offers)
    recommended = [offer for offer in ordered if kubernetes in offer.default_for] or ordered
    chosen = (ordered if spec.version == LATEST else recommended)[-1].version
    exact = spec.version is not None and not symbolic(spec.version)
    if exact:
        chosen = str(spec.version)
    older = installed is not None and version_key(chosen) < version_key(installed)
    if older and not exact:
        return Choice(
            version=installed,
            warning=f"{spec} stays at version {installed}, which is newer than {spec.version} ({chosen}).",
        )
    return Choice(
        version=chosen,
        warning=f"{spec} goes back from version {installed} to the older {chosen}, as declared." if older else None,
    )


def version_problems(
    spec: AddonSpec, offers: c.Sequence[Offer], elsewhere: c.Sequence[Offer], kubernetes: str
) -> c.Iterator[str]:
    """Why an exact version cannot be installed, and what could be instead.

    :param offers: versions that fit the cluster's Kubernetes version.
    :param elsewhere: versions for any Kubernetes version.
    """
    version = str(spec.version)
    if version in [offer.version for offer in offers]:
        return
    fits = sorted({fit for offer in elsewhere if offer.version == version for fit in offer.fits})
    fault = f"does not fit Kubernetes {kubernetes} (it fits {', '.join(fits)})" if fits else "does not exist"
    default = choose(dataclasses.replace(spec, version=DEFAULT), offers, kubernetes, None).version
    latest = choose(dataclasses.replace(spec, version=LATEST), offers, kubernetes, None).version
    yield (
        f"version {quoted(version)} of {spec} {fault}: the nearest for Kubernetes {kubernetes} are "
        f"{', '.join(nearest(version, offers))}; default means {default} and latest means {latest}."
    )


def nearest(version: str, offers: c.Sequence[Offer]) -> list[str]:
    """The versions next to one that is not offered, oldest first."""
    ordered = by_version(offers)
    place = bisect.bisect([_offer_key(offer) for offer in ordered], version_key(version))
    first = max(0, min(place - OFFERED_VERSIONS // 2, len(ordered) - OFFERED_VERSIONS))
    return [offer.version for offer in ordered[first : first + OFFERED_VERSIONS]]


# --- the plan ---------------------------------------------------------------------------------------------------------


def plan(before: Addon | None, spec: AddonSpec, version: str | None = None) -> common.Change:
    """What must be done to an add-on so that the declared one is there.

    :param before: the add-on as it is, None where there is none.
    :param version: the exact version that the declared one means, None to leave the version as it is.
    """
    names = {"clusterName": spec.cluster_name, "addonName": spec.name}
    if not spec.present:
        deletes = before is not None and before["status"] != "DELETING"
        parameters = {**names, "preserve": True} if spec.preserve else names
        return common.Change(before, None, (common.Action("delete_addon", parameters),) if deletes else ())
    if before is None:
        return _plan_creation(spec, version, names)
    return _plan_update(before, spec, version, names)


def _plan_creation(spec: AddonSpec, version: str | None, names: t.Mapping[str, str]) -> common.Change:
    parameters = common.without_none(
        {
            **names,
            "addonVersion": version,
            "configurationValues": json.dumps(spec.configuration) if spec.configuration else None,
            "serviceAccountRoleArn": spec.service_account_role_arn,
            "resolveConflicts": _conflicts(spec),
            "tags": common.first_tags(spec.tags, spec.creation_tags) or None,
        }
    )
    expected = normalized({**parameters, "status": "ACTIVE"})
    return common.Change(None, expected, (common.Action("create_addon", parameters),))


def _plan_update(before: Addon, spec: AddonSpec, version: str | None, names: t.Mapping[str, str]) -> common.Change:
    wanted = {
        "version": version or before["version"],
        "configuration": before["configuration"] if spec.configuration is None else dict(spec.configuration),
        "service_account_role_arn": spec.service_account_role_arn or before["service_account_role_arn"],
    }
    tags, actions = common.plan_tags(before["arn"], before["tags"], spec.tags, spec.purge_tags, spec.creation_tags)
    after = {**before, "tags": tags}
    if before["status"] in REPAIRED_BY_UPDATE or any(before[key] != value for key, value in wanted.items()):
        parameters = {**names, **_update_parameters(before, wanted), "resolveConflicts": _conflicts(spec)}
        # The tags first: they cannot be written while an update is in progress that nobody waits for.
        actions = (*actions, common.Action("update_addon", common.without_none(parameters)))
        after = {**after, **wanted, "status": "ACTIVE", "health": {"issues": []}}
    return common.Change(before, after, actions)


def _update_parameters(before: Addon, wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Everything that the add-on shall have, because what an update leaves out goes back to a default."""
    configured = wanted["configuration"] or before["configuration"]
    return {
        "addonVersion": wanted["version"],
        "configurationValues": json.dumps(wanted["configuration"]) if configured else None,
        "serviceAccountRoleArn": wanted["service_account_role_arn"],
    }


def _conflicts(spec: AddonSpec) -> str | None:
    return spec.resolve_conflicts.upper() if spec.resolve_conflicts else None


# --- results ----------------------------------------------------------------------------------------------------------


def normalized(addon: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """An add-on as modules return it: always with the same keys, the configuration as a mapping."""
    values = common.to_ansible({key: value for key, value in addon.items() if key != "configurationValues"})
    return {
        "name": values["addon_name"],
        "cluster_name": values["cluster_name"],
        "arn": values.get("addon_arn"),
        "version": values.get("addon_version"),
        "status": values["status"],
        "health": {"issues": values.get("health", {}).get("issues", [])},
        "configuration": configuration_of(addon),
        "service_account_role_arn": values.get("service_account_role_arn"),
        "pod_identity_associations": values.get("pod_identity_associations") or [],
        "tags": values.get("tags") or {},
        "created_at": values.get("created_at"),
        "modified_at": values.get("modified_at"),
    }


def told(addon: Addon) -> str:
    """The state of an add-on with EKS's health issues, for a message."""
    issues = [
        f"{issue['code']}: {issue['message']}" + (f" [{', '.join(ids)}]" if (ids := issue.get("resource_ids")) else "")
        for issue in addon["health"]["issues"]
    ]
    return f"{addon['status']} ({'; '.join(issues) or 'EKS names no issue'})"


def configuration_of(addon: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The configuration values of an add-on as data; EKS keeps the text that somebody wrote, JSON or YAML.

    :raises common.AnsibleEKSError: when they cannot be read.
    """
    text = addon.get("configurationValues") or "{}"
    try:
        values = json.loads(text)
    except ValueError:
        values = _from_yaml(addon["addonName"], text)
    if not isinstance(values or {}, dict):
        raise common.AnsibleEKSError(f"The configuration of add-on {addon['addonName']} in EKS is no mapping.")
    return dict(values or {})


def _from_yaml(name: str, text: str) -> t.Any:
    if yaml is None:
        raise common.AnsibleEKSError(
            f"The configuration of add-on {name} was written as YAML: install PyYAML to compare it."
        )
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise common.AnsibleEKSError(f"The configuration of add-on {name} in EKS is no YAML: {error}.") from error


# --- the calls --------------------------------------------------------------------------------------------------------


@common.finding("describe the add-on")
def describe(client: EKSClient, cluster_name: str, name: str) -> t.Mapping[str, t.Any]:
    """The add-on as EKS answers it, None where there is none, or no such cluster."""
    return client.describe_addon(clusterName=cluster_name, addonName=name)["addon"]


@common.finding("list the versions of the add-on")
def list_offers(client: EKSClient, name: str, kubernetes: str | None = None) -> list[Offer]:
    """The versions of an add-on, for one Kubernetes version or for any; None or empty where EKS has no such add-on."""
    query = common.without_none({"addonName": name, "kubernetesVersion": kubernetes})
    pages = client.get_paginator("describe_addon_versions").paginate(**query)
    return [_offer(version) for page in pages for addon in page["addons"] for version in addon["addonVersions"]]


def _offer(answer: t.Mapping[str, t.Any]) -> Offer:
    compatibilities = answer.get("compatibilities", [])
    return Offer(
        version=answer["addonVersion"],
        fits=frozenset(each["clusterVersion"] for each in compatibilities),
        default_for=frozenset(each["clusterVersion"] for each in compatibilities if each.get("defaultVersion")),
    )


def choice_for(client: EKSClient, spec: AddonSpec, before: Addon | None) -> Choice:
    """The version to install; asks EKS for versions only where that can change something.

    :raises common.AnsibleEKSError: when there is no such cluster, add-on or version.
    """
    installed = before["version"] if before else None
    if not spec.present or (before and spec.version in (None, installed)):
        return Choice()
    kubernetes = require(client, spec.cluster_name)["version"]
    offers = list_offers(client, spec.name, kubernetes)
    if not offers:
        raise common.AnsibleEKSError(
            f"name {quoted(spec.name)} names no add-on that EKS offers for Kubernetes {kubernetes}: use one that "
            f"`aws eks describe-addon-versions --kubernetes-version {kubernetes}` lists."
        )
    if spec.version and not symbolic(spec.version) and spec.version not in [offer.version for offer in offers]:
        common.refuse(version_problems(spec, offers, list_offers(client, spec.name) or [], kubernetes))
    return choose(spec, offers, kubernetes, installed)


def ensure(
    client: EKSClient, spec: AddonSpec, patience: Patience, check_mode: bool
) -> tuple[common.Change, Addon | None, str | None]:
    """Make the add-on what is declared.

    Returns the plan, the add-on as it is then (in check mode: would be), and a warning. A cluster that does not exist
    has no add-ons, so there ``state=absent`` is reached already.

    :raises common.AnsibleEKSError: for whatever goes wrong; what can be found before a write is found before it.
    """
    common.refuse(problems(spec))
    look = functools.partial(describe, client, spec.cluster_name, spec.name)
    watch = Watch(str(spec).removeprefix("add-on "), look, ADDON_SETTLED, ADDON_ACTIVE, ADDON_DELETED, patience)
    # A deletion is not held up by what is going on: EKS takes it in any state.
    before = _normalized(watch.before() if spec.present and not check_mode else look())
    if check_mode and spec.present and before and before["status"] == "DELETING":
        before = None
    choice = choice_for(client, spec, before)
    change = plan(before, spec, choice.version)
    common.refuse(obstacles(before, spec, change, check_mode))
    if check_mode:
        return change, change.after, choice.warning
    _carry_out(client, spec, change, patience)
    return change, _outcome(watch, change), choice.warning


def obstacles(before: Addon | None, spec: AddonSpec, change: common.Change, check_mode: bool) -> c.Iterator[str]:
    """Why a plan cannot be carried out now, and what can be done."""
    if before is None or not spec.present:
        return
    if before["status"] == "DELETE_FAILED":
        yield f"{spec} is {told(before)}: delete it again with state=absent, then create it."
    # With wait=true it has come to rest before the plan was made.
    if before["status"] in BUSY and not check_mode and (change.changed or before["status"] == "DELETING"):
        yield (
            f"{spec} is {before['status']} and EKS does one thing at a time: set wait=true to wait for it, "
            "or run again later."
        )


def _carry_out(client: EKSClient, spec: AddonSpec, change: common.Change, patience: Patience) -> None:
    try:
        carry_out(client, change, patience, spec.cluster_name, addonName=spec.name)
    except common.AnsibleEKSError as error:
        failed = change.before is not None and change.before["status"] in REPAIRED_BY_UPDATE
        if not failed or error.exception is None or change.before is None:
            raise
        raise common.AnsibleEKSError(
            f"{spec} is {told(change.before)} and EKS takes no update of it; delete it with state=absent and "
            "preserve=true, which leaves its software running, and create it again",
            exception=error.exception,
        ) from error


def _outcome(watch: Watch, change: common.Change) -> Addon | None:
    """The add-on after the calls; one that is not ACTIVE is waited for, even if nothing had to be done."""
    current = change.before
    at_rest = current is None if change.after is None else current is not None and current["status"] == "ACTIVE"
    if change.changed or not at_rest:
        return _normalized(watch.after(change))
    return current


def _normalized(addon: t.Mapping[str, t.Any] | None) -> dict[str, t.Any] | None:
    return None if addon is None else normalized(addon)
