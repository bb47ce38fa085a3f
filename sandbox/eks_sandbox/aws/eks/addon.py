# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Add-ons (facts 2.3)."""

from __future__ import annotations

import asyncio
import json
import typing as t
import uuid

import yaml

from eks_sandbox.aws import trust
from eks_sandbox.aws.eks import agent_manifests
from eks_sandbox.aws.eks import association
from eks_sandbox.aws.eks import catalogue
from eks_sandbox.aws.eks.cluster import require_active
from eks_sandbox.aws.eks.operations import Context
from eks_sandbox.aws.eks.operations import any_resource
from eks_sandbox.aws.eks.operations import child_resource
from eks_sandbox.aws.eks.operations import new_tags
from eks_sandbox.aws.eks.operations import operation
from eks_sandbox.aws.eks.operations import page
from eks_sandbox.aws.eks.operations import require_pod_identity_trust
from eks_sandbox.aws.eks.state import Addon
from eks_sandbox.aws.eks.state import Association
from eks_sandbox.aws.eks.state import Cluster
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.eks.state import Update
from eks_sandbox.aws.eks.state import new_update
from eks_sandbox.aws.eks.state import now
from eks_sandbox.aws.eks.state import resource_arn
from eks_sandbox.aws.errors import in_use
from eks_sandbox.aws.errors import invalid_parameter
from eks_sandbox.aws.errors import not_found

#: Seconds between two looks at an add-on's pods, while something is awaited and while all is well.
WATCH_INTERVAL, QUIET_INTERVAL = 0.2, 1.0
#: Pods that have a node get this many times the patience that an add-on without any node gets.
STARTING = 10

_resource = child_resource("addon", "addonName")
_UNREADY: Shape = {
    "code": "InsufficientNumberOfReplicas",
    "message": "The add-on is unhealthy because it doesn't have the desired number of replicas.",
    "resourceIds": [],
}


@operation("DescribeAddonVersions", any_resource)
async def describe_addon_versions(_context: Context, parameters: Shape) -> Shape:
    """The catalogue, or a part of it."""
    name = parameters.get("addonName")
    offers = [offer for offer in catalogue.OFFERS.values() if name in (None, offer.name)]
    if name and not offers:
        raise not_found(f"Addon {name} not found", addonName=name)
    filters = {"types": "type", "publishers": "publisher", "owners": "owner"}
    described = [offer.describe(parameters.get("kubernetesVersion")) for offer in offers]
    for parameter, member in filters.items():
        wanted = parameters.get(parameter)
        described = [info for info in described if not wanted or info[member] in wanted]
    found, token = page(described, parameters)
    return {"addons": found, "nextToken": token}


@operation("DescribeAddonConfiguration", any_resource)
async def describe_addon_configuration(_context: Context, parameters: Shape) -> Shape:
    """The JSON schema of an add-on's configuration, and the service accounts that can have an association."""
    offer = catalogue.offer(parameters["addonName"])
    if parameters["addonVersion"] not in offer.versions:
        raise not_found("Addon version specified is not supported", addonName=offer.name)
    return {
        "addonName": offer.name,
        "addonVersion": parameters["addonVersion"],
        "configurationSchema": json.dumps(offer.schema()),
        "podIdentityConfiguration": [
            {"serviceAccount": account, "recommendedManagedPolicies": list(policies)}
            for account, policies in offer.service_accounts.items()
        ],
    }


@operation("CreateAddon")
async def create_addon(context: Context, parameters: Shape) -> Shape:
    """Install an add-on; it is CREATING until its pods are ready."""
    cluster, name = context.cluster(parameters["clusterName"]), parameters["addonName"]
    require_active(cluster)
    offer = catalogue.offer(name)
    if name in cluster.addons:
        raise in_use("Addon already exists.", clusterName=cluster.spec.name, addonName=name)
    version = parameters.get("addonVersion") or offer.default_version(cluster.shape["version"])
    offer.check_version(version, cluster.shape["version"])
    configuration = _configuration(offer, parameters.get("configurationValues"))
    _check_service_account_role(context, parameters.get("serviceAccountRoleArn"))
    wanted = parameters.get("podIdentityAssociations", [])
    _check_service_accounts(offer, wanted)
    addon = Addon(_shape(cluster, parameters, version))
    addon.shape["podIdentityAssociations"] = _own_associations(context, cluster, addon, wanted)
    addon.manifests = _manifests(cluster, name, version, configuration)
    cluster.addons[name] = addon
    context.state.later(_install(context.state, cluster, addon, None))
    return {"addon": addon.shape}


@operation("DescribeAddon", _resource)
async def describe_addon(context: Context, parameters: Shape) -> Shape:
    """One add-on; its associations are told by ARN only."""
    return {"addon": context.cluster(parameters["clusterName"]).addon(parameters["addonName"]).shape}


@operation("ListAddons")
async def list_addons(context: Context, parameters: Shape) -> Shape:
    """The names of a cluster's add-ons."""
    found, token = page(sorted(context.cluster(parameters["clusterName"]).addons), parameters)
    return {"addons": found, "nextToken": token}


@operation("UpdateAddon", _resource)
async def update_addon(context: Context, parameters: Shape) -> Shape:
    """Change version, configuration, role or associations; what is not given stays."""
    cluster = context.cluster(parameters["clusterName"])
    addon = cluster.addon(parameters["addonName"])
    if addon.shape["status"] in ("CREATING", "UPDATING", "DELETING"):
        message = (
            f"Addon {parameters['addonName']} cannot be updated as it is currently in {addon.shape['status']} state"
        )
        raise in_use(message, clusterName=cluster.spec.name, addonName=parameters["addonName"])
    offer = catalogue.offer(parameters["addonName"])
    version = parameters.get("addonVersion") or addon.shape["addonVersion"]
    offer.check_version(version, cluster.shape["version"])
    values = parameters.get("configurationValues", addon.shape.get("configurationValues"))
    configuration = _configuration(offer, values)
    _check_service_account_role(context, parameters.get("serviceAccountRoleArn"))
    if parameters.get("podIdentityAssociations") is not None:
        _check_service_accounts(offer, parameters["podIdentityAssociations"])
        arns = _own_associations(context, cluster, addon, parameters["podIdentityAssociations"])
        addon.shape["podIdentityAssociations"] = arns
    for member in ("serviceAccountRoleArn", "configurationValues"):
        if parameters.get(member) is not None:
            addon.shape[member] = parameters[member]
    addon.shape.update(addonVersion=version, status="UPDATING", modifiedAt=now())
    addon.manifests = _manifests(cluster, parameters["addonName"], version, configuration)
    update = _new_update(cluster, addon, parameters)
    context.state.later(_install(context.state, cluster, addon, update))
    return {"update": update.shape}


@operation("DeleteAddon", _resource)
async def delete_addon(context: Context, parameters: Shape) -> Shape:
    """Remove an add-on, its software and its associations; ``preserve`` leaves the last two."""
    cluster = context.cluster(parameters["clusterName"])
    addon = cluster.addon(parameters["addonName"])
    if addon.shape["status"] != "DELETING":
        addon.shape["status"] = "DELETING"
        context.state.later(_delete(context.state, cluster, addon, parameters.get("preserve", False)))
    return {"addon": addon.shape}


async def _install(state: State, cluster: Cluster, addon: Addon, update: Update | None) -> None:
    """CREATING or UPDATING -> what the knobs or the pods say."""
    name = addon.shape["addonName"]
    outcome = state.knobs.addon_outcomes.get(name)
    # A knob for the creation says nothing about an update, and the other way round.
    if outcome in ("DEGRADED", "UPDATE_FAILED" if update else "CREATE_FAILED"):
        await asyncio.sleep(state.knobs.addon_seconds)
        _fail(addon, outcome, state.knobs.addon_issues.get(name, "InsufficientNumberOfReplicas"), update)
        return
    wait = asyncio.create_task(asyncio.sleep(state.knobs.addon_seconds))
    if cluster.runtime is not None and addon.manifests:
        await cluster.runtime.apply(addon.manifests)
    await wait
    await _watch(state, cluster, addon, update)


async def _watch(state: State, cluster: Cluster, addon: Addon, update: Update | None) -> None:
    """Follow an add-on's pods for as long as this installation lasts: ACTIVE with them, DEGRADED without."""
    loop = asyncio.get_running_loop()
    unready_since, manifests = loop.time(), addon.manifests
    while addon.manifests is manifests and addon.shape["status"] != "DELETING" and cluster.runtime is not None:
        pods = await _pods(cluster, addon)
        patience = state.knobs.addon_patience_seconds * (STARTING if pods.get("desiredNumberScheduled") else 1)
        if not addon.manifests or agent_manifests.is_ready(pods):
            unready_since = loop.time()
            addon.shape.update(status="ACTIVE", health={"issues": []})
            _finish(update, "Successful")
        elif loop.time() - unready_since >= patience:
            addon.shape.update(status="DEGRADED", health={"issues": [dict(_UNREADY)]})
            _finish(update, "Successful")
        if not addon.manifests:
            return
        await asyncio.sleep(QUIET_INTERVAL if addon.shape["status"] == "ACTIVE" else WATCH_INTERVAL)


async def _pods(cluster: Cluster, addon: Addon) -> dict[str, int]:
    """Status of the add-on's DaemonSet; empty for an add-on that has none."""
    if not addon.manifests or cluster.runtime is None:
        return {}
    metadata = addon.manifests[0]["metadata"]
    return await cluster.runtime.daemon_set_status(metadata["namespace"], metadata["name"])


async def _delete(state: State, cluster: Cluster, addon: Addon, preserve: bool) -> None:
    name = addon.shape["addonName"]
    await asyncio.sleep(state.knobs.addon_seconds)
    if state.knobs.addon_outcomes.get(name) == "DELETE_FAILED":
        _fail(addon, "DELETE_FAILED", state.knobs.addon_issues.get(name, "InternalFailure"), None)
        return
    for owned in _owned(cluster, addon):
        if preserve:
            owned.shape.pop("ownerArn")
        else:
            association.remove(cluster, owned)
    if not preserve and cluster.runtime is not None and addon.manifests:
        await cluster.runtime.remove(addon.manifests)
    cluster.addons.pop(name, None)


def _fail(addon: Addon, status: str, code: str, update: Update | None) -> None:
    message = f"The sandbox was told to let this add-on end {status}."
    addon.shape.update(status=status, health={"issues": [{"code": code, "message": message, "resourceIds": []}]})
    _finish(update, "Failed", [{"errorCode": code, "errorMessage": message, "resourceIds": []}])


def _finish(update: Update | None, status: str, errors: t.Sequence[Shape] = ()) -> None:
    if update is not None and update.shape["status"] == "InProgress":
        update.shape.update(status=status, errors=list(errors))


def _new_update(cluster: Cluster, addon: Addon, parameters: Shape) -> Update:
    shown = {
        "AddonVersion": addon.shape["addonVersion"],
        **{
            label: parameters[name]
            for label, name in (
                ("ServiceAccountRoleArn", "serviceAccountRoleArn"),
                ("ResolveConflicts", "resolveConflicts"),
                ("ConfigurationValues", "configurationValues"),
            )
            if parameters.get(name) is not None
        },
    }
    update = new_update("AddonUpdate", shown)
    update.addon = addon.shape["addonName"]
    cluster.updates[update.shape["id"]] = update
    return update


def _shape(cluster: Cluster, parameters: Shape, version: str) -> Shape:
    name = parameters["addonName"]
    namespace = parameters.get("namespaceConfig", {}).get("namespace", "kube-system")
    return {
        "addonName": name,
        "clusterName": cluster.spec.name,
        "status": "CREATING",
        "addonVersion": version,
        "health": {"issues": []},
        "addonArn": resource_arn(cluster.spec, "addon", cluster.spec.name, name, str(uuid.uuid4())),
        "createdAt": now(),
        "modifiedAt": now(),
        "serviceAccountRoleArn": parameters.get("serviceAccountRoleArn"),
        "tags": new_tags(parameters),
        "configurationValues": parameters.get("configurationValues"),
        "namespaceConfig": {"namespace": namespace},
    }


def _manifests(cluster: Cluster, name: str, version: str, configuration: Shape) -> list[Shape]:
    return agent_manifests.manifests(cluster.spec, version, configuration) if name == catalogue.AGENT else []


def _configuration(offer: catalogue.Offer, values: str | None) -> Shape:
    """The configuration, given as JSON or YAML, checked against the add-on's schema."""
    if not values:
        return {}
    prefix = "ConfigurationValue provided in request is not supported: "
    try:
        configuration = yaml.safe_load(values)
    except yaml.YAMLError as error:
        raise invalid_parameter(f"{prefix}it is neither JSON nor YAML", addonName=offer.name) from error
    problems = catalogue.schema_problems(offer.schema(), {} if configuration is None else configuration)
    if problems:
        message = f"{prefix}Json schema validation failed with error: [{', '.join(problems)}]"
        raise invalid_parameter(message, addonName=offer.name)
    return configuration or {}


def _check_service_account_role(context: Context, role_arn: str | None) -> None:
    if not role_arn:
        return
    try:
        context.pass_role(role_arn, "eks.amazonaws.com")
    except LookupError as error:
        raise invalid_parameter("Role provided in the request does not exist.") from error


def _check_service_accounts(offer: catalogue.Offer, wanted: t.Sequence[Shape]) -> None:
    for one in wanted:
        if one["serviceAccount"] not in offer.service_accounts:
            raise invalid_parameter(
                f"Service account {one['serviceAccount']} in pod identity configuration is not supported for addon "
                f"{offer.name}",
                addonName=offer.name,
            )


def _owned(cluster: Cluster, addon: Addon) -> list[Association]:
    arn = addon.shape["addonArn"]
    return [one for one in cluster.associations.values() if one.shape.get("ownerArn") == arn]


def _own_associations(context: Context, cluster: Cluster, addon: Addon, wanted: t.Sequence[Shape]) -> list[str]:
    """Make the add-on's associations exactly the wanted ones and return their ARNs.

    An association that somebody else made is never taken over: ResourceInUseException (facts 2.1).
    """
    namespace = addon.shape["namespaceConfig"]["namespace"]
    owned = {one.shape["serviceAccount"]: one for one in _owned(cluster, addon)}
    _check_wanted(context, cluster, namespace, wanted, set(owned))
    for account in set(owned) - {one["serviceAccount"] for one in wanted}:
        association.remove(cluster, owned[account])
    arns = []
    for one in wanted:
        before = owned.get(one["serviceAccount"])
        if before is None:
            parameters = {**one, "namespace": namespace}
            before = association.create(context, cluster, parameters, addon.shape["addonArn"])
        else:
            before.shape.update(roleArn=one["roleArn"], modifiedAt=now())
        arns.append(before.shape["associationArn"])
    return arns


def _check_wanted(
    context: Context, cluster: Cluster, namespace: str, wanted: t.Sequence[Shape], owned: set[str]
) -> None:
    """All that can go wrong is found before the first association changes."""
    for one in wanted:
        key = (namespace, one["serviceAccount"])
        if key in cluster.association_ids and one["serviceAccount"] not in owned:
            raise in_use(f"Association already exists: {cluster.association_ids[key]}", clusterName=cluster.spec.name)
        try:
            role = context.pass_role(one["roleArn"], trust.POD_IDENTITY_PRINCIPAL)
        except LookupError as error:
            raise invalid_parameter("Role provided in the request does not exist.") from error
        require_pod_identity_trust(role)
