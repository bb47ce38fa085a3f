# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Access entries and access policies: who may do what in a cluster's Kubernetes API."""

from __future__ import annotations

import re
import typing as t
import uuid

from eks_sandbox.aws.eks import access_policies
from eks_sandbox.aws.eks.operations import Context
from eks_sandbox.aws.eks.operations import any_resource
from eks_sandbox.aws.eks.operations import cluster_resource
from eks_sandbox.aws.eks.operations import new_tags
from eks_sandbox.aws.eks.operations import operation
from eks_sandbox.aws.eks.operations import page
from eks_sandbox.aws.eks.state import AccessEntry
from eks_sandbox.aws.eks.state import Cluster
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.eks.state import now
from eks_sandbox.aws.eks.state import resource_arn
from eks_sandbox.aws.errors import in_use
from eks_sandbox.aws.errors import invalid_parameter
from eks_sandbox.aws.errors import invalid_request
from eks_sandbox.aws.errors import limit_exceeded
from eks_sandbox.aws.ministack import Caller
from eks_sandbox.aws.token import Holder
from eks_sandbox.interfaces import Access
from eks_sandbox.interfaces import Extra
from eks_sandbox.interfaces import Identity

ENTRIES_PER_CLUSTER = 3000
ADMINISTRATOR_GROUP = "system:masters"

#: Gives the unique id of a user or role, ``AIDA…`` or ``AROA…``, by ARN; None if there is none.
PrincipalIds = t.Callable[[str], str | None]

#: How neither groups nor user names may begin.
_RESERVED = ("system:", "eks:", "aws:", "amazon:", "iam:")
_SESSION_NAME = re.compile(r"\{\{SessionName(Raw)?\}\}")
_NODE_TYPES = {"EC2_LINUX", "EC2_WINDOWS", "FARGATE_LINUX", "HYBRID_LINUX", "HYPERPOD_LINUX", "EC2"}
#: https://docs.aws.amazon.com/eks/latest/userguide/creating-access-entries.html
_NAMED_BY_SESSION = {"FARGATE_LINUX", "HYBRID_LINUX"}
#: An EC2 entry can have AmazonEKSAutoNodePolicy:
#: https://docs.aws.amazon.com/eks/latest/userguide/create-node-class.html
_POLICY_TYPES = {"STANDARD", "EC2"}
#: https://github.com/aws-controllers-k8s/community/issues/2144
_STANDARD_ONLY = 'This operation can only be performed on Access Entries with a type of "STANDARD".'


def _entry_resource(_state: State, caller: Caller, parameters: Shape) -> str:
    kind, _, name = parameters["principalArn"].split(":", 5)[-1].partition("/")
    account = parameters["principalArn"].split(":")[4] if parameters["principalArn"].count(":") == 5 else ""
    return resource_arn(caller, "access-entry", parameters["clusterName"], kind, account, name, "*")


@operation("CreateAccessEntry", cluster_resource)
async def create_access_entry(context: Context, parameters: Shape) -> Shape:
    """Let a principal into a cluster."""
    cluster, principal = _cluster(context, parameters), parameters["principalArn"]
    principal_id = context.state.ministack.principal_id(principal) if _is_principal(principal) else None
    if principal_id is None:
        raise invalid_parameter("The specified principalArn is invalid: invalid principal.")
    # https://github.com/hashicorp/terraform-provider-aws/issues/36447
    if ":role/aws-service-role/" in principal:
        raise invalid_parameter(
            "The caller is not allowed to modify access entries with a principalArn value of a Service Linked Role"
        )
    if principal in cluster.access_entries:
        raise in_use("The specified access entry resource is already in use on this cluster.")
    if len(cluster.access_entries) >= ENTRIES_PER_CLUSTER:
        raise limit_exceeded("The maximum number of access entries for this cluster was reached.")
    kind, groups = parameters.get("type", "STANDARD"), parameters.get("kubernetesGroups", [])
    if kind != "STANDARD":
        _check_node_entry(context, parameters)
    _check_groups(groups)
    _check_username(parameters.get("username"))
    entry = _new_entry(cluster, principal, kind, groups, parameters.get("username"))
    entry.principal_id = principal_id
    entry.shape["tags"] = new_tags(parameters)
    return {"accessEntry": entry.shape}


@operation("DescribeAccessEntry", _entry_resource)
async def describe_access_entry(context: Context, parameters: Shape) -> Shape:
    """One access entry."""
    cluster = _cluster(context, parameters)
    return {"accessEntry": cluster.access_entry(parameters["principalArn"]).shape}


@operation("ListAccessEntries")
async def list_access_entries(context: Context, parameters: Shape) -> Shape:
    """The principals that have an access entry, all or those with one access policy."""
    cluster, policy = _cluster(context, parameters), parameters.get("associatedPolicyArn")
    principals = [arn for arn, entry in cluster.access_entries.items() if not policy or policy in entry.policies]
    found, token = page(principals, parameters)
    return {"accessEntries": found, "nextToken": token}


@operation("UpdateAccessEntry", _entry_resource)
async def update_access_entry(context: Context, parameters: Shape) -> Shape:
    """Replace groups or user name."""
    entry = _cluster(context, parameters).access_entry(parameters["principalArn"])
    if entry.shape["type"] != "STANDARD":
        raise invalid_parameter(_STANDARD_ONLY)
    _check_groups(parameters.get("kubernetesGroups", []))
    _check_username(parameters.get("username"))
    for member in ("kubernetesGroups", "username"):
        if member in parameters:
            entry.shape[member] = parameters[member]
    entry.shape["modifiedAt"] = now()
    return {"accessEntry": entry.shape}


@operation("DeleteAccessEntry", _entry_resource)
async def delete_access_entry(context: Context, parameters: Shape) -> Shape:
    """Shut a principal out again."""
    cluster = _cluster(context, parameters)
    cluster.access_entry(parameters["principalArn"])
    del cluster.access_entries[parameters["principalArn"]]
    return {}


@operation("AssociateAccessPolicy", _entry_resource)
async def associate_access_policy(context: Context, parameters: Shape) -> Shape:
    """Give an access entry a policy; doing it again replaces the scope (facts 2.4: idempotent)."""
    entry = _cluster(context, parameters).access_entry(parameters["principalArn"])
    policy, scope = parameters["policyArn"], parameters["accessScope"]
    if policy.removeprefix(access_policies.ARN) not in access_policies.POLICIES:
        raise invalid_parameter(f"The policyArn {policy} is not valid.")
    if entry.shape["type"] not in _POLICY_TYPES:
        raise invalid_parameter(_STANDARD_ONLY)
    if (scope.get("type") == "namespace") != bool(scope.get("namespaces")):
        raise invalid_parameter("Namespaces must be given for a scope of type namespace, and only then.")
    before = entry.policies.get(policy)
    associated = {
        "policyArn": policy,
        "accessScope": {"namespaces": [], **scope},
        "associatedAt": before["associatedAt"] if before else now(),
        "modifiedAt": now(),
    }
    entry.policies[policy] = associated
    return {
        "clusterName": parameters["clusterName"],
        "principalArn": parameters["principalArn"],
        "associatedAccessPolicy": associated,
    }


@operation("DisassociateAccessPolicy", _entry_resource)
async def disassociate_access_policy(context: Context, parameters: Shape) -> Shape:
    """Take a policy from an access entry; one that it does not have is not an error."""
    entry = _cluster(context, parameters).access_entry(parameters["principalArn"])
    entry.policies.pop(parameters["policyArn"], None)
    return {}


@operation("ListAssociatedAccessPolicies", _entry_resource)
async def list_associated_access_policies(context: Context, parameters: Shape) -> Shape:
    """The policies of an access entry."""
    entry = _cluster(context, parameters).access_entry(parameters["principalArn"])
    found, token = page(list(entry.policies.values()), parameters)
    return {
        "clusterName": parameters["clusterName"],
        "principalArn": parameters["principalArn"],
        "associatedAccessPolicies": found,
        "nextToken": token,
    }


@operation("ListAccessPolicies", any_resource)
async def list_access_policies(_context: Context, parameters: Shape) -> Shape:
    """The access policies that there are."""
    policies = [{"name": name, "arn": f"{access_policies.ARN}{name}"} for name in access_policies.POLICIES]
    found, token = page(policies, parameters)
    return {"accessPolicies": found, "nextToken": token}


def has_access_entries(cluster: Cluster) -> bool:
    """Whether the cluster's authentication mode uses access entries."""
    return bool(cluster.shape["accessConfig"]["authenticationMode"] != "CONFIG_MAP")


def _cluster(context: Context, parameters: Shape) -> Cluster:
    """The cluster; every request about its access entries is refused if it only reads the aws-auth ConfigMap."""
    cluster = context.cluster(parameters["clusterName"])
    if not has_access_entries(cluster):
        raise invalid_request(
            "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this "
            "operation."
        )
    return cluster


def add_administrator(cluster: Cluster) -> None:
    """The entry that bootstrapClusterCreatorAdminPermissions creates, once the cluster reads entries.

    If a cluster began with the aws-auth ConfigMap alone, the entry appears when the authentication mode changes
    (see the upgrade guide to 20.0 of terraform-aws-modules/terraform-aws-eks).
    """
    principal = principal_of(cluster.creator_arn)
    if cluster.bootstraps_creator and has_access_entries(cluster) and principal not in cluster.access_entries:
        _associate(_new_entry(cluster, principal, "STANDARD", [], None), "AmazonEKSClusterAdminPolicy")


def add_node_role(cluster: Cluster, role_arn: str) -> None:
    """The entry that a managed node group makes for its role, unless there is one."""
    if has_access_entries(cluster) and role_arn not in cluster.access_entries:
        _new_entry(cluster, role_arn, "EC2_LINUX", [], None)


def add_auto_node_role(cluster: Cluster, role_arn: str) -> None:
    """The entry that Auto Mode creates for the role of its nodes, unless it exists.

    https://docs.aws.amazon.com/eks/latest/userguide/auto-learn-iam.html
    """
    if role_arn not in cluster.access_entries:
        _associate(_new_entry(cluster, role_arn, "EC2", [], None), "AmazonEKSAutoNodePolicy")


def principal_of(caller_arn: str) -> str:
    """The IAM principal behind a caller: a user as it is, for a session its role."""
    if ":assumed-role/" not in caller_arn:
        return caller_arn
    account, resource = caller_arn.split(":")[4], caller_arn.split(":", 5)[5]
    return f"arn:aws:iam::{account}:role/{resource.split('/')[1]}"


def identity(cluster: Cluster, holder: Holder, principal_id: PrincipalIds) -> Identity | None:
    """The user that a token stands for in this cluster, or None for a principal without access.

    The access policies of an entry do not depend on its groups, see ``authorize``.
    """
    principal = principal_of(holder.arn)
    unique_id, _, session = holder.user_id.partition(":")
    uid = f"aws-iam-authenticator:{principal.split(':')[4]}:{unique_id}"
    # As `kubectl auth whoami` shows it on EKS, and aws-iam-authenticator (pkg/server) makes it.
    extra = {
        "accessKeyId": [holder.access_key],
        "arn": [holder.arn],
        "canonicalArn": [principal],
        "principalId": [unique_id],
        "sessionName": [session],
        "sigs.k8s.io/aws-iam-authenticator/principalId": [unique_id],
    }
    if not has_access_entries(cluster):
        is_creator = cluster.bootstraps_creator and principal == principal_of(cluster.creator_arn)
        groups = (ADMINISTRATOR_GROUP, "system:authenticated")
        return Identity(holder.arn, groups, uid, extra) if is_creator else None
    entry = _entry_of(cluster, principal, principal_id)
    if entry is None:
        return None
    username = entry.shape["username"].replace("{{SessionName}}", holder.arn.rsplit("/", 1)[-1])
    return Identity(username, (*entry.shape["kubernetesGroups"], "system:authenticated"), uid, extra)


def authorize(cluster: Cluster, extra: Extra, access: Access, principal_id: PrincipalIds) -> str | None:
    """Why an access policy allows this to the user with this ``extra``, in the words of EKS's audit log; else None."""
    principal = _first(extra, "canonicalArn")
    entry = _entry_of(cluster, principal, principal_id) if principal and has_access_entries(cluster) else None
    if entry is None:
        return None
    for arn, associated in entry.policies.items():
        place = access_policies.place_of_right(associated, access)
        if place is not None:
            name = f"{entry.shape['principalArn']}+{arn}"
            binding = f'ClusterRoleBinding "{name}"' if place == "*" else f'RoleBinding "{name}/{place}"'
            user = _first(extra, "principalId")
            return f'EKS Access Policy: allowed by {binding} of ClusterRole "{arn}" to User "{user}"'
    return None


def _first(extra: Extra, key: str) -> str:
    return next(iter(extra.get(key) or ()), "")


def _entry_of(cluster: Cluster, principal: str, principal_id: PrincipalIds) -> AccessEntry | None:
    """The entry of a principal; an entry for a deleted principal of the same name does not count (facts 2.4)."""
    entries = cluster.access_entries
    entry = entries.get(principal) or next((entry for arn, entry in entries.items() if _same(arn, principal)), None)
    if entry is None or entry.principal_id not in (None, principal_id(entry.shape["principalArn"])):
        return None
    return entry


def _associate(entry: AccessEntry, policy: str) -> None:
    """Give a policy for the whole cluster to an entry that EKS creates."""
    arn, scope = f"{access_policies.ARN}{policy}", {"type": "cluster", "namespaces": []}
    entry.policies[arn] = {"policyArn": arn, "accessScope": scope, "associatedAt": now(), "modifiedAt": now()}


def _new_entry(cluster: Cluster, principal: str, kind: str, groups: list[str], username: str | None) -> AccessEntry:
    node_groups = ["system:nodes"] if kind in _NODE_TYPES else []
    resource, _, name = principal.split(":", 5)[5].partition("/")
    arn = resource_arn(
        cluster.spec, "access-entry", cluster.spec.name, resource, principal.split(":")[4], name, str(uuid.uuid4())
    )
    entry = AccessEntry(
        {
            "clusterName": cluster.spec.name,
            "principalArn": principal,
            "kubernetesGroups": groups or node_groups,
            "accessEntryArn": arn,
            "createdAt": now(),
            "modifiedAt": now(),
            "tags": {},
            "username": username or _default_username(principal, kind),
            "type": kind,
        }
    )
    cluster.access_entries[principal] = entry
    return entry


def _default_username(principal: str, kind: str) -> str:
    if kind in _NAMED_BY_SESSION:
        return "system:node:{{SessionName}}"
    if kind in _NODE_TYPES:
        return "system:node:{{EC2PrivateDNSName}}"
    if ":role/" in principal:
        account, name = principal.split(":")[4], principal.rsplit("/", 1)[-1]
        return f"arn:aws:sts::{account}:assumed-role/{name}/{{{{SessionName}}}}"
    return principal


def _same(entry_arn: str, principal: str) -> bool:
    """An assumed-role ARN has lost its role's path, so only account and name of a role are compared."""
    if ":role/" not in entry_arn:
        return entry_arn == principal
    return entry_arn.split(":")[4:5] == principal.split(":")[4:5] and _last(entry_arn) == _last(principal)


def _last(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]


def _is_principal(arn: str) -> bool:
    parts = arn.split(":", 5)
    return len(parts) == 6 and parts[2] == "iam" and parts[5].startswith(("role/", "user/"))


def _check_node_entry(context: Context, parameters: Shape) -> None:
    kind, principal = parameters["type"], parameters["principalArn"]
    if parameters.get("kubernetesGroups") or parameters.get("username"):
        raise invalid_parameter(f"kubernetesGroups and username cannot be set for an access entry of type {kind}.")
    if ":role/" not in principal or principal.split(":")[4] != context.caller.account:
        raise invalid_parameter(
            f"The principalArn of an access entry of type {kind} must be an IAM role in the cluster's account."
        )


def _check_username(username: str | None) -> None:
    reserved = [prefix for prefix in _RESERVED if (username or "").startswith(prefix)]
    if reserved:
        raise invalid_parameter(f"The username must not begin with {reserved[0]}")
    session_name = _SESSION_NAME.search(username or "")
    if username and session_name and ":" not in username[: session_name.start()]:
        raise invalid_parameter(f"The username must contain a colon before {session_name.group()}")


def _check_groups(groups: list[str]) -> None:
    reserved = [group for group in groups if group.startswith(_RESERVED)]
    if reserved:
        message = f"The kubernetes group name {reserved[0]} is invalid, it cannot start with system:"
        raise invalid_parameter(message)
