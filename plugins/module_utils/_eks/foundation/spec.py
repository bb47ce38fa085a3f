# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What is declared about a cluster and its surroundings, and what is wrong about it, without a call."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .. import ownership
from ..common import text_tags
from ..validation import CLUSTER_NAME
from ..validation import KUBERNETES_VERSION
from ..validation import ROLE_ARN
from . import options
from .nodegroups import needs_template
from .nodegroups import template_name

if t.TYPE_CHECKING:
    import collections.abc as c

    from ..argspec import ArgumentSpec

ZONE = re.compile(r"[a-z0-9-]+[0-9][a-z]")
ROLE_NAME = re.compile(r"[a-zA-Z0-9_+=,.@-]{1,64}")
POLICY_ARN = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[!-~]+")
#: EKS wants subnets in at least two zones.
FEWEST_ZONES = 2
#: How a mode with access entries is recommended where one without is declared.
OTHER_MODE = "make it API or API_AND_CONFIG_MAP"

Mapping = t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Declaration:
    """A cluster as it is declared; the fields are the options of :mod:`.options` without ``cluster_``."""

    state: str
    manage: bool
    name: str
    version: str
    subnet_ids: t.Sequence[str]
    zones: t.Sequence[str]
    #: Address range of the network that is made.
    network: str
    nat: str
    role_arn: str
    role_name: str
    node_role_arn: str
    node_role_name: str
    permissions_boundary: str
    partition: str
    authentication_mode: str
    creator_is_admin: bool
    access_entries: t.Sequence[Mapping]
    #: None leaves it as it is, and off in a new cluster.
    auto_mode: bool | None
    deletion_protection: bool | None
    tags: t.Mapping[str, str]
    #: What is not set is missing in them.
    nodegroups: t.Sequence[Mapping]

    @property
    def present(self) -> bool:
        return self.state == "present"

    @property
    def is_auto(self) -> bool:
        return bool(self.auto_mode)

    @property
    def all_tags(self) -> dict[str, str]:
        """The tags of everything that is made, by which it is found again."""
        return {**self.tags, ownership.TAG: self.name}

    @property
    def makes_network(self) -> bool:
        return not self.subnet_ids

    @property
    def given_role_name(self) -> str:
        """Name of the cluster's role where its ARN is given, and empty otherwise."""
        return self.role_arn.rsplit("/", 1)[-1]

    @property
    def made_role_names(self) -> list[str]:
        """Names of the roles for which no ARN is given."""
        names = ((self.role_arn, self.role_name), (self.node_role_arn, self.node_role_name))
        return [name for arn, name in names if not arn]

    @property
    def needed_node_role(self) -> str:
        """Name of the nodes' role, empty where no nodes are declared."""
        has_nodes = bool(self.nodegroups) or self.is_auto
        return (self.node_role_arn.rsplit("/", 1)[-1] or self.node_role_name) if has_nodes else ""

    @property
    def node_zones(self) -> list[str]:
        """The zones that node groups name, each once."""
        return list(dict.fromkeys(zone for group in self.nodegroups for zone in group.get("zones", ())))

    @property
    def security_groups(self) -> list[dict[str, t.Any]]:
        """The security groups that node groups need and that are made, each with its ``full_name`` in AWS."""
        made: dict[str, dict[str, t.Any]] = {}
        for group in self.nodegroups:
            for each in group.get("additional_security_groups", ()):
                if not isinstance(each, str):
                    made.setdefault(each["name"], {**each, "full_name": f"{self.name}-{each['name']}"})
        return list(made.values())

    @property
    def template_names(self) -> list[str]:
        """Names of the launch templates that node groups need."""
        return [template_name(self.name, group) for group in self.nodegroups if needs_template(group)]


def spec_from(params: Mapping) -> Declaration:
    """The declaration in the options of the module ``eks_cluster_plan``."""
    fields = {option.removeprefix("cluster_"): params[option] for option in options.CLUSTER}
    name = fields["name"]
    changed = {
        "role_name": f"{name}-cluster" if fields["role_name"] is None else fields["role_name"],
        "node_role_name": f"{name}-nodes" if fields["node_role_name"] is None else fields["node_role_name"],
        "tags": text_tags(fields["tags"]) or {},
        "nodegroups": [set_options(group, options.NODEGROUP) for group in fields["nodegroups"]],
    }
    return Declaration(**{**fields, **changed})


def set_options(values: Mapping, spec: ArgumentSpec) -> dict[str, t.Any]:
    """Values without those that are not set, at each level that has a specification."""
    return {option: set_value(value, spec[option]) for option, value in values.items() if value is not None}


def set_value(value: t.Any, option: Mapping) -> t.Any:
    """One value of :func:`set_options`."""
    if "options" not in option:
        return value
    if isinstance(value, list):
        return [set_options(item, option["options"]) for item in value]
    return set_options(value, option["options"])


# --- what is wrong ----------------------------------------------------------------------------------------------------


def problems(declared: Declaration) -> c.Iterator[str]:
    """Everything that is wrong about a declaration, one sentence each, without asking AWS."""
    yield from _cluster_problems(declared)
    yield from _role_problems(declared)
    yield from _nodegroup_problems(declared)
    yield from _access_problems(declared)
    yield from _zone_problems(declared)


def _cluster_problems(declared: Declaration) -> c.Iterator[str]:
    name = declared.name
    if not CLUSTER_NAME.fullmatch(name):
        yield (
            f'cluster_name is "{name}": give 1 to 100 letters, digits, hyphens and underscores, the first one a letter '
            "or digit."
        )
    if declared.version and not KUBERNETES_VERSION.fullmatch(declared.version):
        yield (
            f'cluster_version of cluster {name} is "{declared.version}": give a Kubernetes version in quotes, such as '
            '"1.35", or leave it out.'
        )
    ids = list(declared.subnet_ids)
    if len(ids) == 1 or not all(each.startswith("subnet-") for each in ids):
        yield (
            f"cluster_subnet_ids of cluster {name} are {ids}: give at least two ids such as subnet-0a1b2c3d4e5f60718, "
            "in different zones, or none."
        )
    if not all(map(ZONE.fullmatch, declared.zones)):
        yield (
            f"cluster_zones of cluster {name} are {list(declared.zones)}: give availability zones such as eu-west-1a."
        )


def _role_problems(declared: Declaration) -> c.Iterator[str]:
    arns = [arn for arn in (declared.role_arn, declared.node_role_arn) if arn]
    if not all(map(ROLE_ARN.fullmatch, arns)):
        yield (
            f"cluster_role_arn and cluster_node_role_arn of cluster {declared.name} are {arns}: give ARNs of IAM roles "
            "in full, such as arn:aws:iam::111122223333:role/name."
        )
    names = declared.made_role_names
    if not all(map(ROLE_NAME.fullmatch, names)):
        yield (
            f"The roles to be made for cluster {declared.name} are named {names}: give cluster_role_name and "
            "cluster_node_role_name of 1 to 64 letters, digits and any of +=,.@_-"
        )
    boundary = declared.permissions_boundary
    if boundary and not POLICY_ARN.fullmatch(boundary):
        yield (
            f'cluster_permissions_boundary of cluster {declared.name} is "{boundary}": give the ARN of a managed '
            "policy in full, such as arn:aws:iam::111122223333:policy/boundary."
        )


def _nodegroup_problems(declared: Declaration) -> c.Iterator[str]:
    names = [group["name"] for group in declared.nodegroups]
    if len(set(names)) < len(names):
        yield f"The node groups of cluster {declared.name} are named {names}: give each a name of its own."
    closed = [group["name"] for group in declared.nodegroups if needs_template(group) and "remote_access" in group]
    if closed:
        yield (
            f"Node groups {closed} of cluster {declared.name} have remote_access together with what needs a launch "
            "template (additional_security_groups, metadata_options, or more of the volume than disk_size): EKS takes "
            "only one of the two."
        )
    for group in declared.nodegroups:
        for each in group.get("additional_security_groups", ()):
            if not isinstance(each, str) and not (isinstance(each, dict) and isinstance(each.get("name"), str)):
                yield (
                    f"additional_security_groups of node group {group['name']} of cluster {declared.name} have "
                    f"{each!r}: give the id of a security group, or a mapping with name, description and rules."
                )


def _access_problems(declared: Declaration) -> c.Iterator[str]:
    """What EKS takes only with access entries; the mode of a cluster that is not managed is not declared."""
    name, mode = declared.name, declared.authentication_mode
    has_entries = mode != "CONFIG_MAP"
    if declared.manage and declared.is_auto and not has_entries:
        yield (
            f"cluster_auto_mode of cluster {name} needs access entries, but its cluster_authentication_mode is {mode}: "
            f"{OTHER_MODE}."
        )
    if declared.manage and not declared.creator_is_admin and not has_entries:
        yield (
            f"cluster_creator_is_admin of cluster {name} is false, which EKS takes only with access entries, but its "
            f"cluster_authentication_mode is {mode}: {OTHER_MODE}."
        )
    if declared.access_entries and not has_entries:
        yield (
            f"cluster_access_entries of cluster {name} have no effect with cluster_authentication_mode {mode}: "
            f"{OTHER_MODE}, or leave the entries out."
        )
    principals = [entry["principal_arn"] for entry in declared.access_entries]
    if len(set(principals)) < len(principals):
        yield (
            f"cluster_access_entries of cluster {name} name the principals {principals}: give each principal one entry."
        )


def _zone_problems(declared: Declaration) -> c.Iterator[str]:
    """With given subnets the zones are those of the subnets, which only AWS knows."""
    others = [zone for zone in declared.node_zones if zone not in declared.zones]
    if others and declared.makes_network and declared.present:
        yield (
            f"Node groups of cluster {declared.name} name the zones {others}, which are not among its cluster_zones "
            f"{list(declared.zones)}: add them there, or take others."
        )
