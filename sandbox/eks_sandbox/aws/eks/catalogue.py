# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The add-ons that EKS offers here, with their versions and configuration schemas.

Versions of the agent and what each brought: facts 3.2 and the add-on's chart in
https://github.com/aws/eks-pod-identity-agent. Service accounts and recommended policies of the others:
https://docs.aws.amazon.com/eks/latest/userguide/retreive-iam-info.html and the add-ons' own pages. The add-ons besides
the agent are listed so that callers find what a cluster usually has; installing them puts nothing into the sandbox's
cluster.
"""

from __future__ import annotations

import dataclasses
import typing as t

from eks_sandbox.aws.eks import versions
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.errors import invalid_parameter

AGENT = "eks-pod-identity-agent"
#: The dialects of JSON schema that add-ons are described in.
_DRAFT_6 = "http://json-schema.org/draft-06/schema#"
_DRAFT_2019 = "https://json-schema.org/draft/2019-09/schema"


@dataclasses.dataclass(frozen=True)
class Offer:
    """One add-on of the catalogue."""

    name: str
    kind: str
    #: Newest first: version -> Kubernetes versions it runs on.
    versions: t.Mapping[str, t.Sequence[str]]
    #: Kubernetes version -> the add-on version that EKS installs by itself.
    defaults: t.Mapping[str, str]
    #: From the add-on's version to the definitions in its JSON schema, of which the add-on's own is the root.
    definitions: t.Callable[[str], Shape]
    #: Service account -> managed policies that EKS recommends for it.
    service_accounts: t.Mapping[str, t.Sequence[str]] = dataclasses.field(default_factory=dict)
    owner: str = "aws"
    namespace: str = "kube-system"
    dialect: str = _DRAFT_6

    def default_version(self, kubernetes: str) -> str:
        """The version that CreateAddon takes when none is given."""
        return self.defaults.get(kubernetes, "")

    def check_version(self, version: str, kubernetes: str) -> None:
        """Refuse a version that does not exist or does not fit the cluster."""
        if kubernetes not in self.versions.get(version, ()):
            raise invalid_parameter("Addon version specified is not supported", addonName=self.name)

    def describe(self, kubernetes: str | None) -> Shape:
        """AddonInfo, of all versions or those that fit one version of Kubernetes."""
        return {
            "addonName": self.name,
            "type": self.kind,
            "publisher": "eks",
            "owner": self.owner,
            "defaultNamespace": self.namespace,
            "addonVersions": [
                self._describe_version(version, fits)
                for version, fits in self.versions.items()
                if kubernetes is None or kubernetes in fits
            ],
        }

    def schema(self, version: str) -> Shape:
        """The JSON schema of ``configurationValues``."""
        title = "".join(word.capitalize() for word in self.name.split("-"))
        return {
            "$ref": f"#/definitions/{title}",
            "$schema": self.dialect,
            "definitions": {title: {"additionalProperties": False, "type": "object"}, **self.definitions(version)},
        }

    def _describe_version(self, version: str, fits: t.Sequence[str]) -> Shape:
        return {
            "addonVersion": version,
            "architecture": ["amd64", "arm64"],
            "computeTypes": ["ec2", "auto", "hybrid"] if self.name != AGENT else ["ec2", "hybrid"],
            "compatibilities": [
                {
                    "clusterVersion": kubernetes,
                    "platformVersions": ["*"],
                    "defaultVersion": self.defaults[kubernetes] == version,
                }
                for kubernetes in fits
            ],
            "requiresConfiguration": False,
            "requiresIamPermissions": bool(self.service_accounts),
        }


_ALL = tuple(versions.VERSIONS)
_TEXT_MAP: Shape = {"type": ["object", "null"], "additionalProperties": {"not": {"type": ["object", "array", "null"]}}}
_POD_SETTINGS: Shape = {
    "affinity": {"type": ["object", "null"]},
    "nodeSelector": _TEXT_MAP,
    "podAnnotations": _TEXT_MAP,
    "podLabels": _TEXT_MAP,
    "priorityClassName": {"type": "string"},
    "resources": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"limits": {"type": "object"}, "requests": {"type": "object"}},
    },
    "tolerations": {"type": "array", "items": {"type": "object"}},
}


def _object(properties: Shape, title: str = "") -> Shape:
    shape = {"additionalProperties": False, "properties": properties, "type": "object"}
    return {**shape, "title": title} if title else shape


def _agent_definitions(version: str) -> Shape:
    """Hybrid nodes came with 1.3.3, those of Bottlerocket with 1.3.9, labels with 1.3.10.

    https://github.com/aws/eks-pod-identity-agent/issues/31, https://github.com/aws/eks-hybrid/pull/763,
    https://github.com/aws/containers-roadmap/issues/2684
    """
    number = numbers(version)
    properties: Shape = {name: {"$ref": f"#/definitions/{title}"} for name, title in _AGENT_PARTS.items()}
    properties |= {name: _POD_SETTINGS[name] for name in ("nodeSelector", "podAnnotations", "priorityClassName")}
    properties |= {"resources": _POD_SETTINGS["resources"], "updateStrategy": {"type": ["object", "null"]}}
    daemonsets = [
        *(["hybrid"] if number >= (1, 3, 3) else []),
        *(["hybrid-bottlerocket"] if number >= (1, 3, 9) else []),
    ]
    if not daemonsets:
        del properties["daemonsets"]
    if number >= (1, 3, 10):
        properties["podLabels"] = _POD_SETTINGS["podLabels"]
    arguments = {"additionalArgs": {"type": ["object", "null"]}}
    switch = _object({"create": {"type": "boolean"}})
    return {
        "Affinity": {"title": "Affinity Schema", "type": ["object", "null"]},
        "Agent": _object(arguments, "Agent Schema"),
        "Init": _object(arguments, "Init Schema"),
        "Daemonsets": _object(dict.fromkeys(daemonsets, switch), "Daemonsets Schema"),
        "Tolerations": {"items": {"type": "object"}, "title": "Tolerations Schema", "type": ["array", "null"]},
        "EksPodIdentityAgent": _object(properties),
    }


_AGENT_PARTS = {
    "affinity": "Affinity",
    "agent": "Agent",
    "daemonsets": "Daemonsets",
    "init": "Init",
    "tolerations": "Tolerations",
}


def _fixed(title: str, **properties: Shape) -> t.Callable[[str], Shape]:
    """Definitions that are the same in every version: what every pod has, and these properties."""
    definitions = {title: _object({**_POD_SETTINGS, **properties})}

    def of_version(_version: str) -> Shape:
        return definitions

    return of_version


def numbers(version: str) -> tuple[int, ...]:
    """``v1.3.10-eksbuild.3`` -> ``(1, 3, 10)``"""
    return tuple(int(part) for part in version.split("-", maxsplit=1)[0].removeprefix("v").split("."))


def _per_version(pattern: str) -> dict[str, str]:
    return {kubernetes: pattern.format(kubernetes) for kubernetes in _ALL}


def _latest_and_default(latest: t.Mapping[str, str], default: t.Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    offered: dict[str, tuple[str, ...]] = {}
    for kubernetes in reversed(_ALL):
        for version in (latest[kubernetes], default[kubernetes]):
            offered[version] = (*offered.get(version, ()), kubernetes)
    return offered


def _deployment(title: str, part: str, **properties: Shape) -> t.Callable[[str], Shape]:
    """Definitions of an add-on with a separate part, such as a controller with replicas."""
    replicas = {"type": "integer", "minimum": 1}
    return _fixed(title, **{part: _object({**_POD_SETTINGS, "replicaCount": replicas}), **properties})


def _same(*offered: str) -> tuple[dict[str, t.Sequence[str]], dict[str, str]]:
    """Versions that fit every Kubernetes version, newest first, with the second one as the default."""
    return dict.fromkeys(offered, _ALL), dict.fromkeys(_ALL, offered[1])


_AWS_POLICY = "arn:aws:iam::aws:policy/"
_CLOUDWATCH_POLICIES = ("CloudWatchAgentServerPolicy", "AWSXrayWriteOnlyAccess")
_KUBE_PROXY = _per_version("v{}.3-eksbuild.2")
_KUBE_PROXY_DEFAULT = _per_version("v{}.0-eksbuild.2")

OFFERS = {
    offer.name: offer
    for offer in (
        Offer(
            AGENT,
            "security",
            {
                version: _ALL
                for version in (
                    "v1.3.10-eksbuild.3",
                    "v1.3.9-eksbuild.3",
                    "v1.3.8-eksbuild.2",
                    "v1.3.7-eksbuild.2",
                    "v1.3.5-eksbuild.2",
                    "v1.3.4-eksbuild.1",
                    "v1.3.2-eksbuild.2",
                    "v1.3.0-eksbuild.1",
                    "v1.2.0-eksbuild.1",
                    "v1.1.0-eksbuild.1",
                    "v1.0.0-eksbuild.1",
                )
            },
            dict.fromkeys(_ALL, "v1.3.9-eksbuild.3"),
            _agent_definitions,
        ),
        Offer(
            "vpc-cni",
            "networking",
            {"v1.20.4-eksbuild.2": _ALL, "v1.20.4-eksbuild.1": _ALL, "v1.19.6-eksbuild.7": _ALL},
            dict.fromkeys(_ALL, "v1.20.4-eksbuild.1"),
            _fixed("VpcCni", env=_TEXT_MAP, enableNetworkPolicy={"type": "string", "format": "boolean"}),
            {"aws-node": [f"{_AWS_POLICY}AmazonEKS_CNI_Policy"]},
        ),
        Offer(
            "coredns",
            "networking",
            {"v1.12.4-eksbuild.1": _ALL, "v1.12.2-eksbuild.4": _ALL, "v1.11.4-eksbuild.24": _ALL},
            dict.fromkeys(_ALL, "v1.12.2-eksbuild.4"),
            _fixed("Coredns", corefile={"type": "string"}, replicaCount={"type": "integer"}),
        ),
        Offer(
            "kube-proxy",
            "networking",
            _latest_and_default(_KUBE_PROXY, _KUBE_PROXY_DEFAULT),
            _KUBE_PROXY_DEFAULT,
            _fixed("KubeProxy", mode={"type": "string", "enum": ["iptables", "ipvs", "nftables"]}),
        ),
        Offer(
            "aws-ebs-csi-driver",
            "storage",
            *_same("v1.48.0-eksbuild.2", "v1.48.0-eksbuild.1", "v1.39.0-eksbuild.1"),
            _deployment(
                "AwsEbsCsiDriver",
                "controller",
                node=_object(_POD_SETTINGS),
                defaultStorageClass=_object({"enabled": {"type": "boolean"}}),
            ),
            {"ebs-csi-controller-sa": [f"{_AWS_POLICY}service-role/AmazonEBSCSIDriverPolicy"]},
            dialect=_DRAFT_2019,
        ),
        Offer(
            "aws-efs-csi-driver",
            "storage",
            *_same("v2.1.13-eksbuild.1", "v2.1.11-eksbuild.1", "v2.0.5-eksbuild.1"),
            _deployment("AwsEfsCsiDriver", "controller", node=_object(_POD_SETTINGS)),
            {"efs-csi-controller-sa": [f"{_AWS_POLICY}service-role/AmazonEFSCSIDriverPolicy"]},
        ),
        Offer(
            "snapshot-controller",
            "storage",
            *_same("v8.3.0-eksbuild.1", "v8.2.0-eksbuild.1"),
            _fixed("SnapshotController", replicaCount={"type": "integer", "minimum": 1}),
        ),
        Offer(
            "metrics-server",
            "observability",
            *_same("v0.8.0-eksbuild.2", "v0.7.2-eksbuild.4"),
            _fixed("MetricsServer", replicas={"type": "integer", "minimum": 1}),
            owner="community",
        ),
        Offer(
            "amazon-cloudwatch-observability",
            "observability",
            *_same("v4.4.0-eksbuild.1", "v4.3.1-eksbuild.1", "v3.1.0-eksbuild.1"),
            _fixed(
                "AmazonCloudwatchObservability",
                agent=_object({"config": {"type": "object"}}),
                containerLogs=_object({"enabled": {"type": "boolean"}}),
            ),
            {"cloudwatch-agent": [f"{_AWS_POLICY}{name}" for name in _CLOUDWATCH_POLICIES]},
            namespace="amazon-cloudwatch",
        ),
    )
}


def offer(name: str) -> Offer:
    """The add-on of this name; raises InvalidParameterException."""
    if name not in OFFERS:
        raise invalid_parameter("Addon specified is not supported", addonName=name)
    return OFFERS[name]
