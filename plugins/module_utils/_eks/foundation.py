# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What a cluster of ours stands on: network, roles, security groups and launch templates, all read at once.

A task costs about a second, a call a tenth of one: everything that the role ``cluster`` compares comes from one task,
whose calls go out side by side.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import typing as t

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.transformation import boto3_resource_to_ansible_dict

from . import cluster
from . import ownership
from .common import calling
from .common import refuse
from .nodegroup import observing as nodegroup
from .validation import cluster_name_problems

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_eks.client import EKSClient
    from mypy_boto3_iam.client import IAMClient

#: What the agent on a node, or Auto Mode's own, calls with the node's role.
POD_IDENTITY_ACTION = "eks-auth:AssumeRoleForPodIdentity"
#: The policies of AWS that contain it (https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html).
POD_IDENTITY_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEKSWorkerNodeMinimalPolicy")
#: What belongs to a network: the paginator of EC2, the key of its answer, and ours.
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoundationSpec:
    """Whose foundation is looked up, and what is looked up by name beside all that carries our tag."""

    cluster_name: str
    #: Names of IAM roles.
    roles: t.Sequence[str] = ()
    #: The one of them, or another one, that the nodes work with.
    node_role: str | None = None
    #: The one that a new cluster gets and that others have made; a cluster that exists has it already.
    cluster_role: str | None = None
    subnet_ids: t.Sequence[str] = ()
    security_groups: t.Sequence[str] = ()
    launch_templates: t.Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Clients:
    """The boto3 clients."""

    eks: EKSClient
    iam: IAMClient
    ec2: t.Any


def spec_from(params: t.Mapping[str, t.Any]) -> FoundationSpec:
    """The declaration in the options of the module ``eks_foundation_info``."""
    return FoundationSpec(**{field.name: params[field.name] for field in dataclasses.fields(FoundationSpec)})


def look_up(clients: Clients, spec: FoundationSpec, concurrency: int) -> Found:
    """The cluster, and what it stands on or will stand on.

    A cluster without our tag is somebody else's: nothing around it is looked at.

    :raises AnsibleEKSError: when the name cannot be one, or a call fails.
    """
    refuse(cluster_name_problems(spec.cluster_name))
    found = next(iter(cluster.look_up(clients.eks, spec.cluster_name)), None)
    foreign = found is not None and found["tags"].get(ownership.TAG) != spec.cluster_name
    if foreign:
        return {"cluster": found, "foreign": True, **{part: [] for part in PARTS}}
    with concurrent.futures.ThreadPoolExecutor(max_workers=concurrency) as pool:
        waiting = {part: pool.submit(call) for part, call in _calls(clients, spec, found is not None)}
        answers = {part: future.result() for part, future in waiting.items()}
    roles = [answers.pop(part) for part in list(answers) if part.startswith("role ")]
    return {"cluster": found, "foreign": False, **answers, "roles": [role for role in roles if role is not None]}


def unread(found: Found) -> list[str]:
    """One sentence for each thing that could not be found out."""
    return [
        f"Whether pods on nodes with the role {role['arn']} can get an identity is not known, since the caller may not "
        "call iam:SimulatePrincipalPolicy, and neither of AWS's own policies for nodes is attached to the role."
        for role in found["roles"]
        if role.get("pod_identity", False) is None
    ]


def _calls(clients: Clients, spec: FoundationSpec, exists: bool) -> c.Iterator[tuple[str, t.Callable[[], t.Any]]]:
    """Everything that is to be read, each with the name of its part."""
    ours = [{"Name": f"tag:{ownership.TAG}", "Values": [spec.cluster_name]}]
    for operation, key, part in NETWORK:
        yield part, functools.partial(_described, clients.ec2, operation, key, Filters=ours)
    yield "given_subnets", functools.partial(_given_subnets, clients.ec2, spec.subnet_ids)
    yield "security_groups", functools.partial(_security_groups, clients.ec2, ours, spec.security_groups)
    yield "launch_templates", functools.partial(_launch_templates, clients.ec2, ours, spec.launch_templates)
    yield "nodegroups", functools.partial(_nodegroups, clients.eks, spec.cluster_name if exists else None)
    if spec.cluster_role and not exists:
        yield f"role {spec.cluster_role}", functools.partial(_given_role, clients.iam, spec.cluster_role)
    for name in dict.fromkeys([*spec.roles, *([spec.node_role] if spec.node_role else [])]):
        yield f"role {name}", functools.partial(_role, clients.iam, name, name == spec.node_role)


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


def _security_groups(ec2: t.Any, ours: list[Found], names: t.Sequence[str]) -> list[Found]:
    """Those of ours, and those of anybody that have these names."""
    find = functools.partial(_described, ec2, "describe_security_groups", "SecurityGroups")
    named = find(Filters=[{"Name": "group-name", "Values": list(names)}]) if names else []
    return list({group["group_id"]: group for group in [*find(Filters=ours), *named]}.values())


def _launch_templates(ec2: t.Any, ours: list[Found], names: t.Sequence[str]) -> list[Found]:
    """The same of launch templates, each with the ``data`` of its latest version."""
    find = functools.partial(_described, ec2, "describe_launch_templates", "LaunchTemplates")
    named = find(Filters=[{"Name": "launch-template-name", "Values": list(names)}]) if names else []
    templates = {template["launch_template_id"]: template for template in [*find(Filters=ours), *named]}
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
    """A role of others that only has to be there, None where it is not; no ARN where the caller may not know."""
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
    may not ask.
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
    """Policies of somebody's own may contain the action as well, so that only IAM can tell."""
    if any(policy.rsplit("/", 1)[-1] in POD_IDENTITY_POLICIES for policy in policies):
        return True
    try:
        answer = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=[POD_IDENTITY_ACTION])
    except is_boto3_error_code(["AccessDenied", "AccessDeniedException"]):
        return None
    return all(result["EvalDecision"] == "allowed" for result in answer["EvaluationResults"])
