# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What is declared about an add-on, and what cannot be right about it."""

from __future__ import annotations

import collections
import dataclasses
import re
import typing as t

from ..validation import cluster_name_problems
from ..validation import namespace_problems
from ..validation import quoted
from ..validation import role_arn_problems
from ..validation import service_account_problems
from ..validation import tags_problems
from . import versions

if t.TYPE_CHECKING:
    import collections.abc as c

#: An add-on as our modules return it.
Addon = t.Mapping[str, t.Any]
#: A service account of an add-on and the role that it gets: ``service_account`` and ``role_arn``.
Identity = t.Mapping[str, str]

ADDON_NAME = re.compile(r"[0-9A-Za-z][A-Za-z0-9_-]{0,99}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AddonSpec:
    """What is declared about an add-on; ``None`` leaves a field as it is."""

    cluster_name: str
    name: str
    present: bool = True
    #: An exact version, a part of one such as ``v1.3``, ``default``, ``latest`` or ``keep``.
    version: str | None = None
    configuration: t.Mapping[str, t.Any] | None = None
    #: An empty text takes the role away.
    service_account_role_arn: str | None = None
    #: The associations that the add-on owns; empty for none.
    pod_identity_associations: t.Sequence[Identity] | None = None
    #: Where its software goes; EKS sets it at creation only.
    namespace: str | None = None
    #: ``none``, ``overwrite`` or ``preserve``: how to write, no part of what is compared.
    resolve_conflicts: str | None = None
    #: Whether deleting leaves the software in the cluster.
    preserve: bool = False
    tags: t.Mapping[str, str] | None = None
    purge_tags: bool = True
    #: Tags that it gets when it is made, and never later.
    creation_tags: t.Mapping[str, str] | None = None
    #: The cluster as a check run predicts it.
    planned_cluster: t.Mapping[str, t.Any] | None = None

    def __str__(self) -> str:
        return f"add-on {self.name} of cluster {self.cluster_name}"

    @property
    def first_tags(self) -> dict[str, str]:
        """The tags that a new add-on gets."""
        return {**(self.creation_tags or {}), **(self.tags or {})}

    @property
    def roles(self) -> list[str]:
        """The roles that its service accounts are to get."""
        found = [identity["role_arn"] for identity in self.pod_identity_associations or ()]
        return sorted({role for role in (*found, self.service_account_role_arn) if role})


def problems(spec: AddonSpec) -> c.Iterator[str]:
    """Everything that cannot be right about what is declared, one sentence each, without asking AWS."""
    yield from cluster_name_problems(spec.cluster_name)
    yield from name_problems(spec.name)
    if spec.version is not None and not (versions.is_word(spec.version) or versions.VERSION.fullmatch(spec.version)):
        yield (
            f"version {quoted(spec.version)} of {spec} is no version of an add-on: give an exact one such as "
            '"v1.3.8-eksbuild.2", the first numbers of one such as "v1.3", or "default", "latest" or "keep".'
        )
    if spec.namespace is not None:
        yield from namespace_problems(spec.namespace, str(spec))
    if spec.service_account_role_arn:
        yield from role_arn_problems(spec.service_account_role_arn, "service_account_role_arn", str(spec))
    yield from _identity_problems(spec)
    yield from tags_problems(spec.first_tags, str(spec))


def name_problems(name: str) -> c.Iterator[str]:
    """A text that is no name of an add-on."""
    if not ADDON_NAME.fullmatch(name):
        yield (
            f"name {quoted(name)} is no name of an EKS add-on: use one that "
            "`aws eks describe-addon-versions` lists, such as eks-pod-identity-agent."
        )


def _identity_problems(spec: AddonSpec) -> c.Iterator[str]:
    identities = spec.pod_identity_associations or ()
    for identity in identities:
        account = identity["service_account"]
        yield from service_account_problems(account, f"pod_identity_associations of {spec}")
        where = f"service account {account} of {spec}"
        yield from role_arn_problems(identity["role_arn"], "pod_identity_associations: role_arn", where)
    counts = collections.Counter(identity["service_account"] for identity in identities)
    for account, count in counts.items():
        if count > 1:
            yield (
                f"service_account {quoted(account)} is {count} times in pod_identity_associations of {spec}: a service "
                "account has one role, name it once."
            )
