# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Add-ons (facts 2.3)."""

from __future__ import annotations

import json
import re
import uuid

import yaml

from eks_sandbox.aws.eks import addon_associations
from eks_sandbox.aws.eks import agent_manifests
from eks_sandbox.aws.eks import catalogue
from eks_sandbox.aws.eks import configuration_schema
from eks_sandbox.aws.eks.addon_states import Installation
from eks_sandbox.aws.eks.addon_states import delete
from eks_sandbox.aws.eks.addon_states import install
from eks_sandbox.aws.eks.cluster import require_active
from eks_sandbox.aws.eks.operations import Context
from eks_sandbox.aws.eks.operations import any_resource
from eks_sandbox.aws.eks.operations import child_resource
from eks_sandbox.aws.eks.operations import new_tags
from eks_sandbox.aws.eks.operations import operation
from eks_sandbox.aws.eks.operations import page
from eks_sandbox.aws.eks.state import Addon
from eks_sandbox.aws.eks.state import Cluster
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.eks.state import Update
from eks_sandbox.aws.eks.state import new_update
from eks_sandbox.aws.eks.state import now
from eks_sandbox.aws.eks.state import resource_arn
from eks_sandbox.aws.errors import in_use
from eks_sandbox.aws.errors import invalid_parameter
from eks_sandbox.aws.errors import not_found

_resource = child_resource("addon", "addonName")


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
        "configurationSchema": json.dumps(offer.schema(parameters["addonVersion"])),
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
    if parameters.get("resolveConflicts") == "PRESERVE":
        raise invalid_parameter("Resolve conflicts option preserve is not supported for operation CreateAddon")
    version = parameters.get("addonVersion") or offer.default_version(cluster.shape["version"])
    offer.check_version(version, cluster.shape["version"])
    configuration = _configuration(offer, version, parameters.get("configurationValues"))
    _check_service_account_role(context, parameters.get("serviceAccountRoleArn"))
    wanted = parameters.get("podIdentityAssociations", [])
    addon_associations.check(offer, version, wanted)
    addon = Addon(_shape(cluster, parameters, version))
    addon.shape["podIdentityAssociations"] = addon_associations.own(context, cluster, addon, wanted)
    manifests = _manifests(cluster, addon, version, configuration)
    cluster.addons[name] = addon
    installation = Installation(manifests, parameters.get("resolveConflicts", "NONE"), {}, None)
    context.state.later(install(context.state, cluster, addon, installation))
    return {"addon": addon.shape}


@operation("DescribeAddon", _resource)
async def describe_addon(context: Context, parameters: Shape) -> Shape:
    """One add-on; it shows only the ARNs of its associations."""
    return {"addon": context.cluster(parameters["clusterName"]).addon(parameters["addonName"]).shape}


@operation("ListAddons")
async def list_addons(context: Context, parameters: Shape) -> Shape:
    """The names of a cluster's add-ons."""
    found, token = page(sorted(context.cluster(parameters["clusterName"]).addons), parameters)
    return {"addons": found, "nextToken": token}


@operation("UpdateAddon", _resource)
async def update_addon(context: Context, parameters: Shape) -> Shape:
    """Change version, configuration, role or associations; parameters that are not given stay, except for the role.

    An update without a role takes the role away (https://github.com/hashicorp/terraform-provider-aws/pull/19403,
    https://github.com/hashicorp/terraform-provider-aws/issues/30645).
    """
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
    configuration = _configuration(offer, version, values)
    _check_service_account_role(context, parameters.get("serviceAccountRoleArn"))
    if parameters.get("podIdentityAssociations") is not None:
        addon_associations.check(offer, version, parameters["podIdentityAssociations"])
        arns = addon_associations.own(context, cluster, addon, parameters["podIdentityAssociations"])
        addon.shape["podIdentityAssociations"] = arns
    changed = {"addonVersion": version, "serviceAccountRoleArn": parameters.get("serviceAccountRoleArn")}
    if parameters.get("configurationValues") is not None:
        changed["configurationValues"] = parameters["configurationValues"]
    addon.shape.update(status="UPDATING", modifiedAt=now())
    manifests = _manifests(cluster, addon, version, configuration)
    update = _new_update(cluster, addon, {**parameters, "addonVersion": version})
    installation = Installation(manifests, parameters.get("resolveConflicts", "NONE"), changed, update)
    context.state.later(install(context.state, cluster, addon, installation))
    return {"update": update.shape}


@operation("DeleteAddon", _resource)
async def delete_addon(context: Context, parameters: Shape) -> Shape:
    """Remove an add-on, its software and its associations; ``preserve`` leaves the last two."""
    cluster = context.cluster(parameters["clusterName"])
    addon = cluster.addon(parameters["addonName"])
    if not parameters.get("preserve"):
        addon_associations.may_remove(context, addon_associations.owned(cluster, addon))
    if addon.shape["status"] != "DELETING":
        addon.shape["status"] = "DELETING"
        context.state.later(delete(context.state, cluster, addon, parameters.get("preserve", False)))
    return {"addon": addon.shape}


def _new_update(cluster: Cluster, addon: Addon, parameters: Shape) -> Update:
    """The update that UpdateAddon begins; it shows the requested parameters."""
    shown = {
        name[:1].upper() + name[1:]: parameters[name]
        for name in ("addonVersion", "serviceAccountRoleArn", "resolveConflicts", "configurationValues")
        if parameters.get(name) is not None
    }
    if parameters.get("podIdentityAssociations") is not None:
        shown["PodIdentityAssociations"] = json.dumps(parameters["podIdentityAssociations"])
    update = new_update("AddonUpdate", shown)
    update.addon = addon.shape["addonName"]
    cluster.updates[update.shape["id"]] = update
    return update


def _shape(cluster: Cluster, parameters: Shape, version: str) -> Shape:
    name = parameters["addonName"]
    namespace = parameters.get("namespaceConfig", {}).get("namespace", catalogue.offer(name).namespace)
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", namespace):
        raise invalid_parameter(f"Namespace {namespace} is not a valid Kubernetes namespace", addonName=name)
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
        "publisher": "eks",
        "owner": catalogue.offer(name).owner,
        "namespaceConfig": {"namespace": namespace},
    }


def _manifests(cluster: Cluster, addon: Addon, version: str, configuration: Shape) -> list[Shape]:
    """What the add-on puts into the cluster; only the agent's is known here."""
    if addon.shape["addonName"] != catalogue.AGENT:
        return []
    namespace = addon.shape["namespaceConfig"]["namespace"]
    return agent_manifests.manifests(cluster.spec, namespace, version, configuration)


def _configuration(offer: catalogue.Offer, version: str, values: str | None) -> Shape:
    """The configuration, given as JSON or YAML, checked against the add-on's schema."""
    if not values:
        return {}
    prefix = "ConfigurationValue provided in request is not supported: "
    try:
        configuration = yaml.safe_load(values)
    except yaml.YAMLError as error:
        raise invalid_parameter(f"{prefix}it is neither JSON nor YAML", addonName=offer.name) from error
    problems = configuration_schema.problems(offer.schema(version), {} if configuration is None else configuration)
    if problems:
        message = f"{prefix}Json schema validation failed with error: [{', '.join(problems)}]"
        raise invalid_parameter(message, addonName=offer.name)
    return configuration or {}


def _check_service_account_role(context: Context, role_arn: str | None) -> None:
    if role_arn is None:
        return
    try:
        context.pass_role(role_arn, "eks.amazonaws.com")
    except LookupError as error:
        raise invalid_parameter("Role provided in the request does not exist.") from error
