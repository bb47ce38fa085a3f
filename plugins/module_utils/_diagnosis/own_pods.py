# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The running pods of a workload itself: one to prove in, and what in them gets in the way of Pod Identity.

Of variables only names leave this file.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t
import urllib.parse

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.observed import SKIP_LABEL
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import dig
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import listing
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import mapping
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import text
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.surroundings import is_ready
from ansible_collections.podidentity.eks.plugins.module_utils._kube.admitted import CREDENTIALS_URI
from ansible_collections.podidentity.eks.plugins.module_utils._kube.admitted import POD_IDENTITY
from ansible_collections.podidentity.eks.plugins.module_utils._kube.admitted import identity_of

#: The label of the pods of verifications, which are none of the workload's own.
RUN_LABEL = "podidentity.eks/run"
#: Variables by which every AWS SDK may find other credentials before it asks for those of Pod Identity.
STRONGER = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
)
#: The agent is asked over HTTP.
PROXY_VARIABLES, EXCEPTION_VARIABLES = ("HTTP_PROXY", "http_proxy"), ("NO_PROXY", "no_proxy")
#: Of more pods than these only the number is told.
SHOWN = 3
#: Namespace and name.
Account = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Target:
    """The container of a running pod in which to prove."""

    namespace: str
    pod: str
    container: str
    #: Whether that container was given Pod Identity credentials when its pod was admitted.
    injected: bool


def by_account(pods: t.Any) -> dict[Account, list[t.Any]]:
    """The running pods of each service account, without those of verifications, the newest first."""
    found: dict[Account, list[t.Any]] = {}
    for pod in listing(pods):
        if dig(pod, "status", "phase") == "Running" and not is_passing(mapping(dig(pod, "metadata"))):
            account = text(dig(pod, "spec", "serviceAccountName")) or "default"
            found.setdefault((text(dig(pod, "metadata", "namespace")), account), []).append(pod)
    for own in found.values():
        own.sort(key=lambda pod: text(dig(pod, "metadata", "creationTimestamp")), reverse=True)
    return found


def is_passing(metadata: t.Mapping[str, t.Any]) -> bool:
    """Whether a pod is a verification's, or about to end."""
    return RUN_LABEL in mapping(metadata.get("labels")) or bool(metadata.get("deletionTimestamp"))


def name_of(one: t.Any) -> str:
    return text(dig(one, "name"))


def choose(pods: t.Sequence[t.Any], container: str) -> Target | None:
    """The newest ready pod, and in it the named container, or else the first one with Pod Identity credentials."""
    pod = next(filter(is_ready, pods), None)
    if pod is None:
        return None
    names = [name_of(one) for one in listing(dig(pod, "spec", "containers"))]
    injected = [name for name in names if identity_of(pod, name).mechanism == POD_IDENTITY]
    chosen = container or next(iter([*injected, *names]), "")
    metadata = mapping(dig(pod, "metadata"))
    return Target(text(metadata.get("namespace")), text(metadata.get("name")), chosen, chosen in injected)


def warnings_about(pods: t.Sequence[t.Any], *, associated: bool) -> list[str]:
    """What in a workload's own pods keeps it from what a verification proved; replicas are told of together."""
    found: dict[str, list[str]] = {}
    for pod in pods:
        for complaint in complaints(pod, associated):
            found.setdefault(complaint, []).append(text(dig(pod, "metadata", "name")))
    return [f"{shown(sorted(names))}: {complaint}." for complaint, names in found.items()]


def shown(names: t.Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{'Pod' if len(names) == 1 else 'Pods'} {', '.join(names[:SHOWN])}{more}"


def complaints(pod: t.Any, associated: bool) -> t.Iterator[str]:
    """One sentence, without its full stop, for each thing in a pod that gets in the way."""
    containers = listing(dig(pod, "spec", "containers"))
    injected = [name for name in map(name_of, containers) if identity_of(pod, name).mechanism == POD_IDENTITY]
    if associated and not injected and SKIP_LABEL not in mapping(dig(pod, "metadata", "labels")):
        yield "admitted without Pod Identity credentials; the role podidentity.eks.restart restarts such pods"
    for container in containers:
        variables = variables_of(container)
        stronger = [name for name in STRONGER if variables.get(name) != "" and name in variables]
        if stronger:
            what = f"container {name_of(container)} sets {' and '.join(stronger)}"
            yield f"{what}, which AWS SDKs may obey before Pod Identity"
        if name_of(container) in injected and (proxy := proxy_in_the_way(variables)):
            what = f"container {name_of(container)} sets {proxy} without naming the agent's address in NO_PROXY"
            yield f"{what}, so SDKs that obey proxies ask the proxy instead of the agent (boto3 does not)"


def variables_of(container: t.Any) -> dict[str, str | None]:
    """A container's own variables; None stands for a value that comes from elsewhere."""
    return {
        name_of(entry): None if dig(entry, "valueFrom") else text(dig(entry, "value"))
        for entry in listing(dig(container, "env"))
    }


def proxy_in_the_way(variables: t.Mapping[str, str | None]) -> str:
    """The variable that sends requests for the agent to a proxy; empty if none does, or if that cannot be told."""
    proxy = next((name for name in PROXY_VARIABLES if variables.get(name) != "" and name in variables), "")
    exceptions = [variables[name] for name in EXCEPTION_VARIABLES if name in variables]
    agent = agent_address(variables.get(CREDENTIALS_URI) or "")
    unclear = any(value is None for value in exceptions)
    return "" if unclear or any(excepts(value or "", agent) for value in exceptions) else proxy


def agent_address(uri: str) -> str:
    try:
        return urllib.parse.urlsplit(uri).hostname or ""
    except ValueError:  # brackets around what is no address
        return ""


def excepts(no_proxy: str, address: str) -> bool:
    """Whether NO_PROXY names an address: itself, in a network, or as everything."""
    return any(entry == "*" or contains(entry.strip("[]"), address) for entry in re.split(r"[,\s]+", no_proxy))


def contains(entry: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
