# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pod identity associations (facts 2.1 and 2.2)."""

from __future__ import annotations

from eks_sandbox.aws import trust
from eks_sandbox.aws.eks.operations import Context
from eks_sandbox.aws.eks.operations import is_role_arn
from eks_sandbox.aws.eks.operations import new_tags
from eks_sandbox.aws.eks.operations import operation
from eks_sandbox.aws.eks.operations import page
from eks_sandbox.aws.eks.operations import require_pod_identity_trust
from eks_sandbox.aws.eks.state import Association
from eks_sandbox.aws.eks.state import Cluster
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.eks.state import now
from eks_sandbox.aws.eks.state import random_id
from eks_sandbox.aws.eks.state import resource_arn
from eks_sandbox.aws.errors import in_use
from eks_sandbox.aws.errors import invalid_parameter
from eks_sandbox.aws.errors import invalid_request
from eks_sandbox.aws.errors import limit_exceeded
from eks_sandbox.aws.ministack import Caller
from eks_sandbox.aws.policy_documents import Malformed
from eks_sandbox.aws.policy_documents import check_permissions

#: Fields that ListPodIdentityAssociations returns; all others need a Describe.
SUMMARY = ("clusterName", "namespace", "serviceAccount", "associationArn", "associationId", "ownerArn")
POLICY_SIZE = 2048


def _association_resource(_state: State, caller: Caller, parameters: Shape) -> str:
    return resource_arn(caller, "podidentityassociation", parameters["clusterName"], parameters["associationId"])


@operation("CreatePodIdentityAssociation")
async def create_association(context: Context, parameters: Shape) -> Shape:
    """Create an association; neither its namespace nor its service account must exist."""
    cluster = context.cluster(parameters["clusterName"])
    association = create(context, cluster, parameters)
    return {"association": association.shape}


@operation("DescribePodIdentityAssociation", _association_resource)
async def describe_association(context: Context, parameters: Shape) -> Shape:
    """All of one association."""
    cluster = context.cluster(parameters["clusterName"])
    return {"association": cluster.association(parameters["associationId"]).shape}


@operation("ListPodIdentityAssociations")
async def list_associations(context: Context, parameters: Shape) -> Shape:
    """Summaries, optionally of one namespace or service account."""
    cluster = context.cluster(parameters["clusterName"])
    filters = [name for name in ("namespace", "serviceAccount") if parameters.get(name)]
    summaries = [
        {name: association.shape.get(name) for name in SUMMARY}
        for association in cluster.associations.values()
        if all(association.shape[name] == parameters[name] for name in filters)
    ]
    found, token = page(summaries, parameters)
    return {"associations": found, "nextToken": token}


@operation("UpdatePodIdentityAssociation", _association_resource)
async def update_association(context: Context, parameters: Shape) -> Shape:
    """Change role, target role, session tags or policy; ``""`` unsets target role and policy, absent leaves them."""
    association = context.cluster(parameters["clusterName"]).association(parameters["associationId"])
    changes = {
        name: parameters[name]
        for name in ("roleArn", "targetRoleArn", "disableSessionTags", "policy")
        if parameters.get(name) is not None
    }
    if not changes:
        raise invalid_request("You must change at least one of roleArn, targetRoleArn, disableSessionTags or policy.")
    after = {name: value for name, value in {**association.shape, **changes}.items() if value != ""}
    _check_fields(after)
    if "roleArn" in changes:
        _check_role(context, changes["roleArn"])
    _set_external_id(after)
    association.shape.clear()
    association.shape.update(after, modifiedAt=now())
    return {"association": association.shape}


@operation("DeletePodIdentityAssociation", _association_resource)
async def delete_association(context: Context, parameters: Shape) -> Shape:
    """Delete an association; existing sessions stay valid. Returns the whole association."""
    cluster = context.cluster(parameters["clusterName"])
    association = cluster.association(parameters["associationId"])
    remove(cluster, association)
    return {"association": association.shape}


def create(context: Context, cluster: Cluster, parameters: Shape, owner_arn: str | None = None) -> Association:
    """Create an association, for a caller or on behalf of an add-on (``owner_arn``).

    Raises ServiceError as CreatePodIdentityAssociation does.
    """
    if cluster.shape["status"] not in ("ACTIVE", "UPDATING"):
        raise invalid_request(f"Cluster '{cluster.spec.name}' is not in ACTIVE status", clusterName=cluster.spec.name)
    if not parameters["namespace"] or not parameters["serviceAccount"]:
        raise invalid_parameter("Namespace and service account must not be empty.")
    key = (parameters["namespace"], parameters["serviceAccount"])
    if key in cluster.association_ids:
        raise in_use(f"Association already exists: {cluster.association_ids[key]}", clusterName=cluster.spec.name)
    if len(cluster.associations) >= context.state.knobs.associations_per_cluster:
        raise limit_exceeded("Pod identity association limit exceeded for cluster.", clusterName=cluster.spec.name)
    shape = _shape(cluster, parameters, owner_arn)
    _check_fields(shape)
    _check_role(context, parameters["roleArn"])
    _set_external_id(shape)
    association = Association(shape)
    cluster.associations[shape["associationId"]] = association
    cluster.association_ids[key] = shape["associationId"]
    cluster.identities.added(key)
    return association


def remove(cluster: Cluster, association: Association) -> None:
    """Remove an association from its cluster."""
    del cluster.associations[association.shape["associationId"]]
    del cluster.association_ids[association.key]
    cluster.identities.removed(association.key)


def _shape(cluster: Cluster, parameters: Shape, owner_arn: str | None) -> Shape:
    association_id = f"a-{random_id()}"
    optional = {
        "targetRoleArn": parameters.get("targetRoleArn"),
        "policy": parameters.get("policy"),
        "ownerArn": owner_arn,
    }
    return {
        "clusterName": cluster.spec.name,
        "namespace": parameters["namespace"],
        "serviceAccount": parameters["serviceAccount"],
        "roleArn": parameters["roleArn"],
        "associationArn": resource_arn(cluster.spec, "podidentityassociation", cluster.spec.name, association_id),
        "associationId": association_id,
        "tags": new_tags(parameters),
        "createdAt": now(),
        "modifiedAt": now(),
        "disableSessionTags": parameters.get("disableSessionTags", False),
        **{name: value for name, value in optional.items() if value},
    }


def _check_fields(shape: Shape) -> None:
    """The rules between the fields (facts 2.2)."""
    target = shape.get("targetRoleArn")
    if target and not is_role_arn(target):
        raise invalid_parameter(f"Invalid target role ARN: {target}")
    policy = shape.get("policy")
    if not policy:
        return
    if not shape["disableSessionTags"]:
        raise invalid_parameter("A policy can only be specified when disableSessionTags is true.")
    if len(policy) > POLICY_SIZE:
        raise invalid_parameter(f"The policy must have length less than or equal to {POLICY_SIZE}.")
    try:
        check_permissions(policy)
    except Malformed as error:
        raise invalid_parameter(f"The policy is malformed: {error}") from error


def _check_role(context: Context, role_arn: str) -> None:
    try:
        role = context.pass_role(role_arn, trust.POD_IDENTITY_PRINCIPAL)
    except LookupError as error:
        raise invalid_parameter("Role provided in the request does not exist.") from error
    require_pod_identity_trust(role)


def _set_external_id(shape: Shape) -> None:
    """The external id is for the trust policy of a target role, so it exists only with one."""
    if not shape.get("targetRoleArn"):
        shape.pop("externalId", None)
        return
    _, _, _, region, account, _ = shape["associationArn"].split(":", 5)
    parts = (region, account, shape["clusterName"], shape["namespace"], shape["serviceAccount"])
    shape["externalId"] = "/".join(parts)
