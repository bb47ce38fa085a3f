# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The add-ons that EKS offers here, with their versions and configuration schemas.

Versions of the agent and what each brought: facts 3.2 and the add-on's chart in
https://github.com/aws/eks-pod-identity-agent. The add-ons besides the agent are listed so that callers find what a
cluster usually has; installing them puts nothing into the sandbox's cluster.
"""

from __future__ import annotations

import dataclasses
import re
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
    properties: t.Mapping[str, t.Any]
    #: Service account -> managed policies that EKS recommends for it.
    service_accounts: t.Mapping[str, t.Sequence[str]] = dataclasses.field(default_factory=dict)

    def default_version(self, kubernetes: str) -> str:
        """The version that CreateAddon takes when none is given."""
        return self.defaults[kubernetes]

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

    def schema(self) -> Shape:
        """The JSON schema of ``configurationValues``."""
        title = "".join(word.capitalize() for word in re.split("-", self.name))
        definition = {"additionalProperties": False, "properties": dict(self.properties), "type": "object"}
        return {"$ref": f"#/definitions/{title}", "$schema": _SCHEMA, "definitions": {title: definition}}

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
_TEXT_MAP: Shape = {"type": "object", "additionalProperties": {"type": "string"}}
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
_SWITCH: Shape = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"create": {"type": "boolean"}},
}
_AGENT_PROPERTIES: Shape = {
    **_POD_SETTINGS,
    "agent": {"type": "object", "additionalProperties": False, "properties": {"additionalArgs": _TEXT_MAP}},
    "daemonsets": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"cloud": _SWITCH, "hybrid": _SWITCH},
    },
    "init": {"type": "object", "additionalProperties": False, "properties": {"additionalArgs": _TEXT_MAP}},
    "updateStrategy": {"type": "object"},
}


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
            _AGENT_PROPERTIES,
        ),
        Offer(
            "vpc-cni",
            "networking",
            {"v1.20.4-eksbuild.2": _ALL, "v1.20.4-eksbuild.1": _ALL, "v1.19.6-eksbuild.7": _ALL},
            dict.fromkeys(_ALL, "v1.20.4-eksbuild.1"),
            {**_POD_SETTINGS, "env": _TEXT_MAP, "enableNetworkPolicy": {"type": "string"}},
            {"aws-node": ["arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"]},
        ),
        Offer(
            "coredns",
            "networking",
            {"v1.12.4-eksbuild.1": _ALL, "v1.12.2-eksbuild.4": _ALL, "v1.11.4-eksbuild.24": _ALL},
            dict.fromkeys(_ALL, "v1.12.2-eksbuild.4"),
            {**_POD_SETTINGS, "corefile": {"type": "string"}, "replicaCount": {"type": "integer"}},
        ),
        Offer(
            "kube-proxy",
            "networking",
            _latest_and_default(_KUBE_PROXY, _KUBE_PROXY_DEFAULT),
            _KUBE_PROXY_DEFAULT,
            {**_POD_SETTINGS, "mode": {"type": "string", "enum": ["iptables", "ipvs", "nftables"]}},
        ),
    )
}


def offer(name: str) -> Offer:
    """The add-on of this name; raises InvalidParameterException."""
    if name not in OFFERS:
        raise invalid_parameter("Addon specified is not supported", addonName=name)
    return OFFERS[name]


def schema_problems(schema: Shape, value: t.Any, path: str = "$") -> list[str]:
    """What in a configuration its schema does not allow: type, enumeration, properties, items."""
    if "$ref" in schema:
        definitions = schema["definitions"]
        return schema_problems(definitions[schema["$ref"].rsplit("/", 1)[-1]], value, path)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is_type(kind, value) for kind in kinds):
        return [f"{path}: {type(value).__name__} found, {'/'.join(kinds)} expected"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{path}: does not have a value in the enumeration {schema['enum']}"]
    if isinstance(value, dict):
        return _property_problems(schema, value, path)
    if isinstance(value, list) and "items" in schema:
        return [
            problem
            for index, item in enumerate(value)
            for problem in schema_problems(schema["items"], item, f"{path}[{index}]")
        ]
    return []


def _property_problems(schema: Shape, value: Shape, path: str) -> list[str]:
    problems = []
    others = schema.get("additionalProperties", True)
    for name, item in value.items():
        inner = schema.get("properties", {}).get(name, others)
        if inner is False:
            problems.append(
                f"{path}.{name}: is not defined in the schema and the schema does not allow additional properties"
            )
        elif inner is not True:
            problems += schema_problems(inner, item, f"{path}.{name}")
    return problems


def _is_type(kind: str, value: t.Any) -> bool:
    if kind in ("integer", "number"):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    types = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    return isinstance(value, types[kind])
