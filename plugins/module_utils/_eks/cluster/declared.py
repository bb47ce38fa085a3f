# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What is declared about a cluster, and what cannot be right about it."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t

from ..common import first_tags
from ..common import parameter_problems
from ..common import text_tags
from ..validation import KUBERNETES_VERSION
from ..validation import cluster_name_problems
from ..validation import quoted
from ..validation import role_arn_problems
from ..validation import tags_problems

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_eks.client import EKSClient

#: Authentication modes in the only direction that EKS allows, one step at a time
#: (https://docs.aws.amazon.com/eks/latest/userguide/setting-up-access-entries.html).
AUTHENTICATION_MODES = ("CONFIG_MAP", "API_AND_CONFIG_MAP", "API")
LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")
NODE_POOLS = ("general-purpose", "system")
#: EKS takes an alias, too, but answers with the key, so the two could not be compared.
KMS_KEY_ARN = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+")
SECURITY_GROUPS_LIMIT = 5
#: Where the addresses of services may lie, and the shortest and longest prefix (KubernetesNetworkConfigRequest).
SERVICE_BLOCKS = tuple(ipaddress.IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
SERVICE_PREFIXES = (12, 24)
#: The first botocore with each option that is younger than those this collection needs anyway: the operation and its
#: parameter, found by reading the models in botocore's releases.
FEATURES = {
    "bootstrap_self_managed_addons": ("CreateCluster", "bootstrapSelfManagedAddons", "1.34.134"),
    "support_type": ("UpdateClusterConfig", "upgradePolicy", "1.34.149"),
    "zonal_shift": ("UpdateClusterConfig", "zonalShiftConfig", "1.35.45"),
    "auto_mode": ("UpdateClusterConfig", "computeConfig", "1.35.72"),
    "force_version_update": ("UpdateClusterVersion", "force", "1.37.20"),
    "deletion_protection": ("UpdateClusterConfig", "deletionProtection", "1.40.3"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoMode:
    """What is declared about EKS Auto Mode; ``None`` leaves a field as it is."""

    enabled: bool
    node_pools: t.Sequence[str] | None = None
    #: The role of the nodes in these pools.
    node_role_arn: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """What is declared about a cluster; ``None`` leaves a field as it is, or to EKS's default in a new cluster."""

    name: str
    present: bool = True
    role_arn: str | None = None
    version: str | None = None
    #: Whether the version is updated in spite of what EKS's readiness checks find.
    force_version_update: bool = False
    support_type: str | None = None
    subnet_ids: t.Sequence[str] | None = None
    security_group_ids: t.Sequence[str] | None = None
    endpoint_public_access: bool | None = None
    endpoint_private_access: bool | None = None
    public_access_cidrs: t.Sequence[str] | None = None
    service_ipv4_cidr: str | None = None
    ip_family: str | None = None
    authentication_mode: str | None = None
    bootstrap_cluster_creator_admin_permissions: bool | None = None
    bootstrap_self_managed_addons: bool | None = None
    auto_mode: AutoMode | None = None
    #: The types of log that are on; an empty list turns all off.
    logging: t.Sequence[str] | None = None
    #: ARN of a KMS key; empty: none.
    encryption_key_arn: str | None = None
    zonal_shift: bool | None = None
    deletion_protection: bool | None = None
    tags: t.Mapping[str, str] | None = None
    purge_tags: bool = True
    #: Tags that it gets when it is made, and never later.
    creation_tags: t.Mapping[str, str] | None = None

    def __str__(self) -> str:
        return f"cluster {self.name}"

    @property
    def wants_auto_mode(self) -> bool:
        """Whether Auto Mode is declared to be on."""
        return self.auto_mode is not None and self.auto_mode.enabled


def spec_from(params: t.Mapping[str, t.Any]) -> ClusterSpec:
    """The declaration in the options of the module ``eks_cluster``."""
    changed = {
        "present": params["state"] == "present",
        "auto_mode": None if params["auto_mode"] is None else AutoMode(**params["auto_mode"]),
        "tags": text_tags(params["tags"]),
        "creation_tags": text_tags(params["creation_tags"]),
    }
    fields = {field.name for field in dataclasses.fields(ClusterSpec)}
    plain = {option: value for option, value in params.items() if option in fields}
    return ClusterSpec(**{**plain, **changed})


def problems(spec: ClusterSpec) -> c.Iterator[str]:
    """Everything that cannot be right about what is declared, one sentence each, without asking AWS."""
    yield from cluster_name_problems(spec.name, "name")
    if spec.role_arn is not None:
        yield from role_arn_problems(spec.role_arn, "role_arn", str(spec))
    if spec.version is not None and not KUBERNETES_VERSION.fullmatch(spec.version):
        yield (
            f"version {quoted(spec.version)} of {spec} is no Kubernetes version of EKS: "
            'give it in quotes, such as "1.34".'
        )
    if spec.encryption_key_arn and not KMS_KEY_ARN.fullmatch(spec.encryption_key_arn):
        yield (
            f"encryption_key_arn {quoted(spec.encryption_key_arn)} of {spec} is no ARN of a KMS key: give it in full, "
            'such as "arn:aws:kms:eu-west-1:111122223333:key/01234567-89ab-cdef-0123-456789abcdef", and no alias.'
        )
    yield from _network_problems(spec)
    yield from _endpoint_problems(spec)
    yield from _service_problems(spec)
    yield from _auto_mode_problems(spec)
    yield from tags_problems(first_tags(spec.tags, spec.creation_tags), str(spec))


def _network_problems(spec: ClusterSpec) -> c.Iterator[str]:
    if spec.subnet_ids is not None and len(set(spec.subnet_ids)) < 2:
        yield f"subnet_ids of {spec} are {len(set(spec.subnet_ids))}: EKS wants at least 2, in different zones."
    groups = len(set(spec.security_group_ids or ()))
    if groups > SECURITY_GROUPS_LIMIT:
        yield f"security_group_ids of {spec} are {groups}: EKS takes at most {SECURITY_GROUPS_LIMIT}."


def _endpoint_problems(spec: ClusterSpec) -> c.Iterator[str]:
    if spec.endpoint_public_access is False:
        if spec.endpoint_private_access is False:
            yield (
                f"endpoint_public_access and endpoint_private_access of {spec} are both false: nobody could reach it, "
                "set one of them to true."
            )
        if spec.public_access_cidrs is not None:
            yield (
                f"public_access_cidrs of {spec} limit a public endpoint, but endpoint_public_access is false: "
                "leave one of the two out."
            )
    elif spec.public_access_cidrs is not None and not spec.public_access_cidrs:
        yield (
            f"public_access_cidrs of {spec} are empty: name who may reach the public endpoint, "
            "or close it with endpoint_public_access: false."
        )
    for cidr in spec.public_access_cidrs or ():
        try:
            block = ipaddress.ip_network(cidr)
        except ValueError as error:
            yield f"public_access_cidrs of {spec} hold {quoted(cidr)}, which is no CIDR block: {error}."
            continue
        if isinstance(block, ipaddress.IPv4Network) and any(block.subnet_of(inside) for inside in SERVICE_BLOCKS):
            yield (
                f"public_access_cidrs of {spec} hold {quoted(cidr)}, a private block, from which nobody reaches the "
                "public endpoint: leave it out, and set endpoint_private_access: true for access inside the VPC."
            )


def _service_problems(spec: ClusterSpec) -> c.Iterator[str]:
    cidr = spec.service_ipv4_cidr
    if cidr is None:
        return
    if spec.ip_family == "ipv6":
        yield (
            f"service_ipv4_cidr of {spec} is set, but ip_family is ipv6: EKS chooses the addresses of services then, "
            "leave one of the two out."
        )
    try:
        block = ipaddress.IPv4Network(cidr)
    except ValueError as error:
        yield f"service_ipv4_cidr {quoted(cidr)} of {spec} is no IPv4 CIDR block: {error}."
        return
    shortest, longest = SERVICE_PREFIXES
    if not (shortest <= block.prefixlen <= longest and any(block.subnet_of(inside) for inside in SERVICE_BLOCKS)):
        yield (
            f"service_ipv4_cidr {quoted(cidr)} of {spec} cannot be: it has to lie in 10.0.0.0/8, 172.16.0.0/12 or "
            f"192.168.0.0/16, and its prefix between /{shortest} and /{longest}."
        )


def _auto_mode_problems(spec: ClusterSpec) -> c.Iterator[str]:
    """The rules of https://docs.aws.amazon.com/eks/latest/userguide/automode-get-started-cli.html."""
    mode = spec.auto_mode
    if mode is None:
        return
    if mode.node_role_arn is not None:
        yield from role_arn_problems(mode.node_role_arn, "auto_mode.node_role_arn", str(spec))
    if not mode.enabled:
        for option in ("node_pools", "node_role_arn"):
            if getattr(mode, option):
                yield f"auto_mode.{option} of {spec} is set, but auto_mode.enabled is false: leave one of the two out."
        return
    if mode.node_pools and not mode.node_role_arn:
        yield f"auto_mode.node_role_arn of {spec} is missing: the nodes of auto_mode.node_pools need an IAM role."
    if mode.node_role_arn and not mode.node_pools:
        yield (
            f"auto_mode.node_pools of {spec} are missing: EKS takes auto_mode.node_role_arn only with node pools of "
            "its own, general-purpose or system."
        )
    if spec.authentication_mode == "CONFIG_MAP":
        yield f"{auto_mode_needs_access_entries(spec)}, not CONFIG_MAP."
    if spec.bootstrap_self_managed_addons:
        yield (
            f"bootstrap_self_managed_addons of {spec} is true, but EKS Auto Mode has networking of its own: "
            "leave it out, or set it to false."
        )


def auto_mode_needs_access_entries(spec: ClusterSpec) -> str:
    """The sentence without its end, because what is there instead is known here or only from EKS."""
    return f"auto_mode of {spec} needs authentication_mode API_AND_CONFIG_MAP or API"


def feature_problems(client: EKSClient, spec: ClusterSpec) -> c.Iterator[str]:
    """Options that are used and that the installed botocore does not know, with the version that does."""
    unset = {field.name: field.default for field in dataclasses.fields(spec)}
    for option, (operation, parameter, since) in FEATURES.items():
        if getattr(spec, option) != unset[option]:
            yield from parameter_problems(client, operation, parameter, option, since)
