# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The add-ons that EKS offers here, with their versions and configuration schemas.

Versions of the agent and what each brought: facts 3.2 and the add-on's chart in
https://github.com/aws/eks-pod-identity-agent. The add-ons besides the agent are listed so that callers find what a
cluster usually has; installing them puts nothing into the sandbox's cluster.
"""

from __future__ import annotations

import dataclasses
import typing as t

from eks_sandbox.aws.eks import versions
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.errors import invalid_parameter

AGENT = "eks-pod-identity-agent"
_SCHEMA = "http://json-schema.org/draft-06/schema#"


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
            "owner": "aws",
            "defaultNamespace": "kube-system",
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
            "$schema": _SCHEMA,
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
            {"aws-node": ["arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"]},
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
    )
}


def offer(name: str) -> Offer:
    """The add-on of this name; raises InvalidParameterException."""
    if name not in OFFERS:
        raise invalid_parameter("Addon specified is not supported", addonName=name)
    return OFFERS[name]
