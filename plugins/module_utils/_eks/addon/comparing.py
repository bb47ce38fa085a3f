# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What an add-on shall have, beside what it has."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from .declared import Addon
    from .declared import AddonSpec

#: States in which EKS works on the add-on and refuses to update or create it (409).
BUSY = frozenset({"CREATING", "UPDATING", "DELETING"})
#: States that an update ends.
REPAIRED_BY_UPDATE = frozenset({"CREATE_FAILED", "UPDATE_FAILED"})


def wanted(before: Addon, spec: AddonSpec, version: str | None) -> dict[str, t.Any]:
    """All that an update can change, as it shall be.

    :param version: the exact version that the declared one means, None to leave the version as it is.
    """
    role = spec.service_account_role_arn
    return {
        "version": version or before["version"],
        "configuration": before["configuration"] if spec.configuration is None else dict(spec.configuration),
        "service_account_role_arn": before["service_account_role_arn"] if role is None else role or None,
        "pod_identity_associations": associations(before["pod_identity_associations"], spec),
    }


def associations(before: t.Sequence[t.Mapping[str, t.Any]], spec: AddonSpec) -> list[dict[str, t.Any]]:
    """The associations that the add-on shall own; a service account keeps its association when its role changes."""
    if spec.pod_identity_associations is None:
        return [dict(one) for one in before]
    known = {one["service_account"]: one for one in before}
    return sorted(
        (
            {
                "association_id": known.get(identity["service_account"], {}).get("association_id"),
                "association_arn": known.get(identity["service_account"], {}).get("association_arn"),
                "service_account": identity["service_account"],
                "role_arn": identity["role_arn"],
            }
            for identity in spec.pod_identity_associations
        ),
        key=lambda one: str(one["service_account"]),
    )


def needs_update(before: Addon, wanted: t.Mapping[str, t.Any]) -> bool:
    """Whether there is something to update; an add-on that has failed is updated even if nothing differs."""
    return before["status"] in REPAIRED_BY_UPDATE or any(before[key] != value for key, value in wanted.items())
