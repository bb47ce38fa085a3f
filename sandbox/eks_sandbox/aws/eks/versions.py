# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kubernetes versions that EKS offers here: https://docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions.html."""

from __future__ import annotations

import datetime

from eks_sandbox.aws.eks.state import Shape

DEFAULT = "1.34"
#: Version -> (release on EKS, end of standard support, end of extended support), oldest first.
VERSIONS = {
    "1.31": ("2024-09-26", "2025-11-26", "2026-11-26"),
    "1.32": ("2025-01-23", "2026-03-23", "2027-03-23"),
    "1.33": ("2025-05-29", "2026-07-29", "2027-07-29"),
    "1.34": ("2025-10-02", "2026-12-02", "2027-12-02"),
    "1.35": ("2026-01-28", "2027-03-27", "2028-03-27"),
}


def successor(version: str) -> str | None:
    """The next minor version, the only one that a cluster may be updated to."""
    following = f"1.{minor(version) + 1}"
    return following if following in VERSIONS else None


def minor(version: str) -> int:
    """``1.34`` -> 34"""
    return int(version.partition(".")[2])


def releases(version: str) -> list[str]:
    """The images for the nodes of a version, as DescribeNodegroup names them, oldest first."""
    return [f"{version}.1-20251112", f"{version}.2-20260120"]


def release(version: str) -> str:
    """The newest image for the nodes of a version."""
    return releases(version)[-1]


def describe(parameters: Shape) -> list[Shape]:
    """ClusterVersionInformation of the requested versions, newest first."""
    wanted = parameters.get("clusterVersions")
    found = [_describe(version) for version in reversed(VERSIONS) if not wanted or version in wanted]
    if parameters.get("defaultOnly"):
        found = [version for version in found if version["defaultVersion"]]
    if parameters.get("versionStatus"):
        found = [version for version in found if version["versionStatus"] == parameters["versionStatus"]]
    return found


def _describe(version: str) -> Shape:
    released, standard, extended = (
        datetime.datetime.fromisoformat(day).replace(tzinfo=datetime.UTC) for day in VERSIONS[version]
    )
    status = "STANDARD_SUPPORT" if datetime.datetime.now(datetime.UTC) < standard else "EXTENDED_SUPPORT"
    return {
        "clusterVersion": version,
        "clusterType": "eks",
        "defaultPlatformVersion": "eks.9",
        "defaultVersion": version == DEFAULT,
        "releaseDate": released,
        "endOfStandardSupportDate": standard,
        "endOfExtendedSupportDate": extended,
        "status": status.lower().replace("_", "-"),
        "versionStatus": status,
        "kubernetesPatchVersion": f"{version}.2",
    }
