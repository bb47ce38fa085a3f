# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The settings of a managed node group: AWS's defaults, the rules between them, and the effect of an update."""

from __future__ import annotations

import re
import typing as t
import uuid

from eks_sandbox.aws.eks import network
from eks_sandbox.aws.eks import versions
from eks_sandbox.aws.eks.state import Cluster
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.eks.state import State
from eks_sandbox.aws.eks.state import now
from eks_sandbox.aws.eks.state import resource_arn
from eks_sandbox.aws.errors import ServiceError
from eks_sandbox.aws.errors import invalid_parameter
from eks_sandbox.aws.errors import invalid_request

DEFAULT_SCALING = {"minSize": 1, "maxSize": 2, "desiredSize": 2}
DEFAULT_AMI_TYPE = "AL2023_x86_64_STANDARD"
#: The last minor version that there are Amazon Linux 2 images for.
LAST_AL2 = 32
TAINTS = 50

_RESERVED = ("kubernetes.io/", "k8s.io/", "eks.amazonaws.com/")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def check(cluster: Cluster, parameters: Shape) -> None:
    """The rules between the parameters of CreateNodegroup; raises InvalidParameterException."""
    if parameters.get("warmPoolConfig"):
        raise ServiceError("NotImplementedInSandbox", "The sandbox does not offer warmPoolConfig.", status=501)
    wanted, current = parameters.get("version", cluster.shape["version"]), cluster.shape["version"]
    # https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateNodegroup.html: the only accepted value.
    if wanted != current:
        raise invalid_parameter(f"Nodegroup version {wanted} must be the cluster's version {current}")
    if "releaseVersion" in parameters:
        check_release(parameters["releaseVersion"], current)
    check_repair(parameters.get("nodeRepairConfig", {}))
    kind = parameters.get("amiType", DEFAULT_AMI_TYPE)
    if kind.startswith("AL2_") and versions.minor(current) > LAST_AL2:
        raise invalid_parameter(f"Requested AMI for this version {current} is not supported")
    odd = [one for one in parameters.get("instanceTypes", []) if not re.fullmatch(r"[a-z][a-z0-9-]*\.[a-z0-9-]+", one)]
    if odd:
        raise invalid_parameter(f"The following supplied instance types do not exist: [{', '.join(odd)}]")
    check_labels(parameters.get("labels", {}))
    check_taints(parameters.get("taints", []))


def check_release(release: str, version: str, before: str | None = None) -> None:
    """An image of this Kubernetes version, and never an older one than before (UpdateNodegroupVersion).

    The words of the first refusal are those of https://github.com/eksctl-io/eksctl/issues/7976.
    """
    releases = versions.releases(version)
    if release not in releases:
        raise invalid_parameter(f"Requested release version {release} is not valid for kubernetes version {version}.")
    if before in releases and releases.index(release) < releases.index(before):
        raise invalid_parameter(f"Release version {before} cannot be rolled back to {release}.")


def check_repair(given: Shape) -> None:
    """Of a number and its percentage only one can be given (NodeRepairConfig)."""
    for stem in ("maxUnhealthyNodeThreshold", "maxParallelNodesRepaired"):
        if {f"{stem}Count", f"{stem}Percentage"} <= set(given):
            raise invalid_parameter(f"Only one of {stem}Count and {stem}Percentage can be given.")


def check_labels(labels: t.Mapping[str, str]) -> None:
    """Labels that a kubelet may give itself (https://github.com/kubernetes/cloud-provider-aws/issues/242)."""
    if any(prefix in key for key in labels for prefix in _RESERVED):
        raise invalid_parameter(f"Label cannot contain reserved prefixes [{', '.join(_RESERVED)}]")
    for value in labels.values():
        if not _LABEL_VALUE.fullmatch(value):
            raise invalid_parameter(
                f"Invalid value: {value} : field must consist of alphanumeric characters, '-', '_' or '.', and must "
                "start and end with an alphanumeric character"
            )


def check_taints(taints: t.Sequence[Shape]) -> None:
    """At most 50, each key and effect once."""
    if len(taints) > TAINTS:
        raise invalid_parameter(f"A nodegroup can have at most {TAINTS} taints.")
    keys = [_taint_key(taint) for taint in taints]
    if len(keys) != len(set(keys)):
        raise invalid_parameter("Taints must be unique by key and effect.")


def checked_scaling(scaling: Shape) -> Shape:
    """A scaling configuration with minimum <= desired <= maximum."""
    smallest, wanted, largest = scaling["minSize"], scaling["desiredSize"], scaling["maxSize"]
    if smallest > largest:
        raise invalid_parameter(f"Minimum capacity {smallest} can't be greater than maximum size {largest}")
    if smallest > wanted:
        raise invalid_parameter(f"Minimum capacity {smallest} can't be greater than desired size {wanted}")
    if wanted > largest:
        raise invalid_parameter(f"Desired capacity {wanted} can't be greater than max size {largest}")
    return scaling


def new_shape(cluster: Cluster, parameters: Shape, template: Shape | None, data: Shape) -> Shape:
    """What DescribeNodegroup answers, with AWS's defaults."""
    name = parameters["nodegroupName"]
    custom, newest = "ImageId" in data, versions.release(cluster.shape["version"])
    in_template = [data["InstanceType"]] if "InstanceType" in data else []
    instance_types = parameters.get("instanceTypes") or ([] if in_template else ["t3.medium"])
    shape = {
        "nodegroupName": name,
        "nodegroupArn": resource_arn(cluster.spec, "nodegroup", cluster.spec.name, name, str(uuid.uuid4())),
        "clusterName": cluster.spec.name,
        "version": parameters.get("version", cluster.shape["version"]),
        "releaseVersion": data["ImageId"] if custom else parameters.get("releaseVersion", newest),
        "createdAt": now(),
        "modifiedAt": now(),
        "status": "CREATING",
        "capacityType": parameters.get("capacityType", "ON_DEMAND"),
        "instanceTypes": instance_types,
        "subnets": list(parameters["subnets"]),
        "amiType": "CUSTOM" if custom else parameters.get("amiType", DEFAULT_AMI_TYPE),
        "nodeRole": parameters["nodeRole"],
        "labels": dict(parameters.get("labels", {})),
        "taints": list(parameters.get("taints", [])),
        "resources": {"autoScalingGroups": [{"name": f"eks-{name}-{uuid.uuid4()}"}]},
        "health": {"issues": []},
        "updateConfig": update_config(parameters.get("updateConfig", {})),
        "nodeRepairConfig": parameters.get("nodeRepairConfig"),
        "remoteAccess": parameters.get("remoteAccess"),
    }
    # The launch template, if there is one, sets the disk.
    return shape | ({"launchTemplate": template} if template else {"diskSize": parameters.get("diskSize", 20)})


def update_config(given: Shape) -> Shape:
    """How many nodes an update may remove at a time; the default is one."""
    if {"maxUnavailable", "maxUnavailablePercentage"} <= set(given):
        raise invalid_parameter("Only one of maxUnavailable and maxUnavailablePercentage can be given.")
    kept = {key: value for key, value in given.items() if value is not None}
    return kept if set(kept) - {"updateStrategy"} else {"maxUnavailable": 1, **kept}


async def subnets(state: State, cluster: Cluster, ids: t.Sequence[str]) -> list[Shape]:
    """EC2's description of subnets of the cluster's VPC."""
    if not ids:
        raise invalid_parameter("Subnets cannot be empty.", clusterName=cluster.spec.name)
    found = await network.subnets(state.ministack, cluster.spec, ids)
    vpc = cluster.shape["resourcesVpcConfig"]["vpcId"]
    foreign = [subnet["SubnetId"] for subnet in found if subnet["VpcId"] != vpc]
    if foreign:
        raise invalid_parameter(f"Subnets {', '.join(foreign)} do not belong to the cluster's VPC {vpc}.")
    return found


async def launch_template(state: State, cluster: Cluster, parameters: Shape) -> tuple[Shape | None, Shape]:
    """The launch template, and its rules.

    https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html
    """
    if "launchTemplate" not in parameters:
        _check_image(parameters, {})
        return None, {}
    template, data = await network.launch_template(state.ministack, cluster.spec, parameters["launchTemplate"])
    _check_image(parameters, data)
    if "diskSize" in parameters:
        raise invalid_request("Disk size must be specified within the launch template.")
    if "remoteAccess" in parameters:
        raise invalid_request("Remote access configuration cannot be specified with a launch template.")
    if "InstanceType" in data and parameters.get("instanceTypes"):
        raise invalid_request("Instance type cannot be specified both in the launch template and in the request.")
    if "IamInstanceProfile" in data:
        raise invalid_request(
            "Launch template should not specify an instance profile. The noderole in your request will be used to "
            "construct an instance profile."
        )
    if any(interface.get("SubnetId") for interface in data.get("NetworkInterfaces", [])):
        raise invalid_request("Launch template should not specify a subnet.")
    return template, data


def _check_image(parameters: Shape, data: Shape) -> None:
    """The image is EKS's own, or that of the launch template, whose version only its maker knows."""
    kind = parameters.get("amiType")
    if "ImageId" not in data:
        if kind == "CUSTOM":
            raise invalid_parameter("AMI type CUSTOM requires a launch template with an image.")
        return
    if kind not in (None, "CUSTOM") or {"version", "releaseVersion"} & set(parameters):
        raise invalid_request(
            "AMI type, version and release version cannot be specified with an image in the launch template."
        )


def changed_labels(before: dict[str, str], change: Shape) -> dict[str, str]:
    """Labels after an update."""
    check_labels(change.get("addOrUpdateLabels", {}))
    removed = set(change.get("removeLabels", []))
    kept = {key: value for key, value in before.items() if key not in removed}
    return {**kept, **change.get("addOrUpdateLabels", {})}


def changed_taints(before: list[Shape], change: Shape) -> list[Shape]:
    """Taints after an update; they are known by key and effect."""
    removed = [_taint_key(taint) for taint in change.get("removeTaints", []) + change.get("addOrUpdateTaints", [])]
    kept = [taint for taint in before if _taint_key(taint) not in removed]
    after = [*kept, *change.get("addOrUpdateTaints", [])]
    check_taints(after)
    return after


def _taint_key(taint: Shape) -> tuple[str, str]:
    if not taint.get("key") or not taint.get("effect"):
        raise invalid_parameter("A taint needs a key and an effect.")
    return taint["key"], taint["effect"]
