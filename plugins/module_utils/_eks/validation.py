# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What cannot be right, found before any call.

The EKS API takes most names as plain strings, so a wrong one is noticed late (no pod ever matches it) or never.
Every function yields one sentence for each problem: what, where, and what would be right.
"""

from __future__ import annotations

import json
import re
import typing as t

if t.TYPE_CHECKING:
    import collections.abc as c

#: Pattern and length of a cluster's name (CreateCluster, ``name``).
CLUSTER_NAME = re.compile(r"[0-9A-Za-z][A-Za-z0-9_-]{0,99}")
#: Pattern of a role's ARN: IAM's limits are 64 characters for the name and 512 for the path.
ROLE_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):iam::(?P<account>[0-9]{12}):role/([!-~]{1,510}/)?[\w+=,.@-]{1,64}"
)
#: A version of Kubernetes, as EKS names it.
KUBERNETES_VERSION = re.compile(r"1\.[1-9][0-9]")
#: Names of a namespace and of a service account (Kubernetes, "Object Names and IDs": a DNS label and a DNS subdomain).
NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
SERVICE_ACCOUNT = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
SERVICE_ACCOUNT_LIMIT = 253
#: What would be right, as the end of a sentence.
NAMESPACE_RULE = "use 1 to 63 lower-case letters, digits and hyphens, a letter or digit at both ends."
SERVICE_ACCOUNT_RULE = (
    f"use 1 to {SERVICE_ACCOUNT_LIMIT} lower-case letters, digits, hyphens and dots, a letter or digit at both ends of "
    "each part between dots."
)
TAGS_LIMIT = 50
TAG_KEY_LIMIT = 128
TAG_VALUE_LIMIT = 256


def minor_of(version: str) -> int:
    """``1.34`` -> 34"""
    return int(version.split(".")[1])


def quoted(value: object) -> str:
    """A value as it is shown in a message: in double quotes, with control characters escaped."""
    return json.dumps(str(value), ensure_ascii=False)


def cluster_name_problems(cluster_name: str, option: str = "cluster_name") -> c.Iterator[str]:
    """A cluster's name that EKS would refuse, or that would make another URL of the call."""
    if not CLUSTER_NAME.fullmatch(cluster_name):
        yield (
            f"{option} {quoted(cluster_name)} is no name of an EKS cluster: use 1 to 100 letters, digits, hyphens and "
            "underscores, the first one a letter or digit."
        )


def namespace_problems(namespace: str, where: str) -> c.Iterator[str]:
    """A name that no Kubernetes namespace can have."""
    if not NAMESPACE.fullmatch(namespace):
        yield f"namespace {quoted(namespace)} of {where} is no Kubernetes namespace: {NAMESPACE_RULE}"


def service_account_problems(service_account: str, where: str) -> c.Iterator[str]:
    """A name that no Kubernetes service account can have."""
    if len(service_account) > SERVICE_ACCOUNT_LIMIT or not SERVICE_ACCOUNT.fullmatch(service_account):
        yield (
            f"service_account {quoted(service_account)} of {where} is no Kubernetes service account: "
            f"{SERVICE_ACCOUNT_RULE}"
        )


def role_arn_problems(role_arn: str, option: str, where: str) -> c.Iterator[str]:
    """A text that is no ARN of an IAM role, a role's bare name included."""
    if not ROLE_ARN.fullmatch(role_arn):
        yield (
            f"{option} {quoted(role_arn)} of {where} is no ARN of an IAM role: give it in full, such as "
            '"arn:aws:iam::111122223333:role/name".'
        )


def tags_problems(tags: t.Mapping[str, str], where: str) -> c.Iterator[str]:
    """Tags over the limits of EKS and IAM: 50 of them, 128 characters a key, 256 a value, ``aws:`` is reserved."""
    if len(tags) > TAGS_LIMIT:
        yield f"tags of {where} are {len(tags)}: AWS keeps at most {TAGS_LIMIT} on a resource."
    for key, value in tags.items():
        if not 1 <= len(key) <= TAG_KEY_LIMIT:
            yield f"tags of {where} have the key {quoted(key)}: a key has 1 to {TAG_KEY_LIMIT} characters."
        if key.lower().startswith("aws:"):
            yield f'tags of {where} have the key {quoted(key)}: keys that begin with "aws:" are reserved by AWS.'
        if len(value) > TAG_VALUE_LIMIT:
            yield f"tags of {where} have {len(value)} characters for {quoted(key)}: at most {TAG_VALUE_LIMIT} fit."
