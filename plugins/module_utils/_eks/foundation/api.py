# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What exists of a cluster and of what it stands on, read at once.

A task costs about a second, a call a tenth of one: everything that is compared comes from one task, whose calls go out
side by side.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import typing as t

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.transformation import boto3_resource_to_ansible_dict

from .. import cluster
from .. import ownership
from ..common import calling
from ..nodegroup import observing as nodegroup
from ..ownership import is_managed

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_eks.client import EKSClient
    from mypy_boto3_iam.client import IAMClient

    from .spec import Declaration

#: What the agent on a node, or Auto Mode's own, calls with the node's role.
POD_IDENTITY_ACTION = "eks-auth:AssumeRoleForPodIdentity"
#: The policies of AWS that contain it (https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html).
POD_IDENTITY_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEKSWorkerNodeMinimalPolicy")
#: What belongs to a network: the paginator of EC2, the key of its answer, and the part of what is found.
NETWORK = (
    ("describe_vpcs", "Vpcs", "vpcs"),
    ("describe_subnets", "Subnets", "subnets"),
    ("describe_route_tables", "RouteTables", "route_tables"),
    ("describe_internet_gateways", "InternetGateways", "internet_gateways"),
    ("describe_nat_gateways", "NatGateways", "nat_gateways"),
    ("describe_addresses", "Addresses", "addresses"),
)
#: States in which EC2 still shows a NAT gateway that is gone, for about an hour.
ENDED = {"deleted", "failed"}

#: The parts of an answer beside the cluster.
PARTS = (
    *(part for _operation, _key, part in NETWORK),
    *("given_subnets", "security_groups", "launch_templates", "nodegroups", "roles"),
)

Found = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Clients:
    """The boto3 clients."""

    eks: EKSClient
    iam: IAMClient
    ec2: t.Any


def look_up(clients: Clients, declared: Declaration, concurrency: int) -> Found:
    """The cluster, and what it stands on or would stand on: everything with its tag, and what is declared by name.

    ``foreign`` is whether the cluster is not managed by this collection, because it has no tag or is declared so.
    Nothing around such a cluster is read.

    :raises AnsibleEKSError: when a call fails.
    """
    found = next(iter(cluster.look_up(clients.eks, declared.name)), None)
    foreign = not declared.manage or (found is not None and not is_managed(found, declared.name))
    if foreign:
        return {"cluster": found, "foreign": True, **{part: [] for part in PARTS}}
    with concurrent.futures.ThreadPoolExecutor(max_workers=concurrency) as pool:
        waiting = {part: pool.submit(call) for part, call in _calls(clients, declared, found is not None)}
        answers = {part: future.result() for part, future in waiting.items()}
    roles = [answers.pop(part) for part in list(answers) if part.startswith("role ")]
    return {"cluster": found, "foreign": False, **answers, "roles": [role for role in roles if role is not None]}


def unread(found: Found) -> list[str]:
    """One sentence for each thing that the caller may not read."""
    return [
        f"Whether pods on nodes with the role {role['arn']} can get an identity is not known, since the caller may not "
        "call iam:SimulatePrincipalPolicy, and neither of AWS's own policies for nodes is attached to the role."
        for role in found["roles"]
        if role.get("pod_identity", False) is None
    ]


def _calls(clients: Clients, declared: Declaration, exists: bool) -> c.Iterator[tuple[str, t.Callable[[], t.Any]]]:
    """Everything that is read, each with the name of its part; to remove a cluster, only what has its tag."""
    ec2, iam = clients.ec2, clients.iam
    tagged = [{"Name": f"tag:{ownership.TAG}", "Values": [declared.name]}]
    for operation, key, part in NETWORK:
        yield part, functools.partial(_described, ec2, operation, key, Filters=tagged)
    subnet_ids = declared.subnet_ids if declared.present else []
    groups = [group["full_name"] for group in declared.security_groups if declared.present]
    templates = declared.template_names if declared.present else []
    yield "given_subnets", functools.partial(_given_subnets, ec2, subnet_ids)
    yield "security_groups", functools.partial(_security_groups, ec2, tagged, groups)
    yield "launch_templates", functools.partial(_launch_templates, ec2, tagged, templates)
    yield "nodegroups", functools.partial(_nodegroups, clients.eks, declared.name if exists else None)
    given, of_nodes = declared.given_role_name, declared.needed_node_role
    if given and not exists:
        yield f"role {given}", functools.partial(_given_role, iam, given)
    for name in dict.fromkeys([*declared.made_role_names, *([of_nodes] if of_nodes else [])]):
        yield f"role {name}", functools.partial(_role, iam, name, name == of_nodes)


# --- EC2 --------------------------------------------------------------------------------------------------------------


@calling("describe what the cluster stands on")
def _described(ec2: t.Any, operation: str, key: str, **parameters: t.Any) -> list[Found]:
    if ec2.can_paginate(operation):
        found = [each for page in ec2.get_paginator(operation).paginate(**parameters) for each in page[key]]
    else:
        found = getattr(ec2, operation)(**parameters)[key]
    return [boto3_resource_to_ansible_dict(each) for each in found if each.get("State") not in ENDED]


def _given_subnets(ec2: t.Any, subnet_ids: t.Sequence[str]) -> list[Found]:
    return _described(ec2, "describe_subnets", "Subnets", SubnetIds=list(subnet_ids)) if subnet_ids else []


def _security_groups(ec2: t.Any, tagged: list[Found], names: t.Sequence[str]) -> list[Found]:
    """Those with the tag, and any that have these names."""
    find = functools.partial(_described, ec2, "describe_security_groups", "SecurityGroups")
    named = find(Filters=[{"Name": "group-name", "Values": list(names)}]) if names else []
    return list({group["group_id"]: group for group in [*find(Filters=tagged), *named]}.values())


def _launch_templates(ec2: t.Any, tagged: list[Found], names: t.Sequence[str]) -> list[Found]:
    """The same of launch templates, each with the ``data`` of its latest version."""
    find = functools.partial(_described, ec2, "describe_launch_templates", "LaunchTemplates")
    named = find(Filters=[{"Name": "launch-template-name", "Values": list(names)}]) if names else []
    templates = {template["launch_template_id"]: template for template in [*find(Filters=tagged), *named]}
    return [{**template, "data": _latest_data(ec2, template_id)} for template_id, template in templates.items()]


def _latest_data(ec2: t.Any, template_id: str) -> Found:
    [latest] = _described(
        ec2,
        "describe_launch_template_versions",
        "LaunchTemplateVersions",
        LaunchTemplateId=template_id,
        Versions=["$Latest"],
    )
    return dict(latest.get("launch_template_data") or {})


# --- EKS and IAM ------------------------------------------------------------------------------------------------------


def _nodegroups(eks: EKSClient, cluster_name: str | None) -> list[Found]:
    return [] if cluster_name is None else nodegroup.look_up(eks, cluster_name, None)


@calling("describe the IAM role")
def _given_role(iam: IAMClient, name: str) -> Found | None:
    """A given role that only has to exist, None where it does not; no ARN where the caller may not read it."""
    try:
        return {"name": name, "arn": iam.get_role(RoleName=name)["Role"]["Arn"], "tags": {}}
    except is_boto3_error_code("NoSuchEntity"):
        return None
    except is_boto3_error_code(["AccessDenied", "AccessDeniedException"]):
        return {"name": name, "arn": None, "tags": {}}


@calling("describe the IAM role")
def _role(iam: IAMClient, name: str, of_nodes: bool) -> Found | None:
    """The role with its trust policy and managed policies, None where there is none.

    The role of nodes has in addition ``pod_identity``: whether it may do what Pod Identity needs; None where the caller
    may not simulate that.
    """
    try:
        role = iam.get_role(RoleName=name)["Role"]
    except is_boto3_error_code("NoSuchEntity"):
        return None
    pages = iam.get_paginator("list_attached_role_policies").paginate(RoleName=name)
    policies = [policy["PolicyArn"] for page in pages for policy in page["AttachedPolicies"]]
    return {
        "name": role["RoleName"],
        "arn": role["Arn"],
        "trust_policy": role["AssumeRolePolicyDocument"],
        "managed_policies": sorted(policies),
        "permissions_boundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
        "tags": {tag["Key"]: tag["Value"] for tag in role.get("Tags", [])},
        **({"pod_identity": _allows_pod_identity(iam, role["Arn"], policies)} if of_nodes else {}),
    }


def _allows_pod_identity(iam: IAMClient, arn: str, policies: t.Sequence[str]) -> bool | None:
    """Other policies may contain the action as well, so that only IAM can tell."""
    if any(policy.rsplit("/", 1)[-1] in POD_IDENTITY_POLICIES for policy in policies):
        return True
    try:
        answer = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=[POD_IDENTITY_ACTION])
    except is_boto3_error_code(["AccessDenied", "AccessDeniedException"]):
        return None
    return all(result["EvalDecision"] == "allowed" for result in answer["EvaluationResults"])
