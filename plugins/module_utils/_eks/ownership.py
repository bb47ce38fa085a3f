# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""How what this collection has made is found again."""

from __future__ import annotations

import typing as t

#: The tag of everything that is made here, with the name of the cluster that it was made for. Nothing without it is
#: ever removed.
TAG = "podidentity.eks/cluster"


def is_managed(resource: t.Mapping[str, t.Any], cluster_name: str) -> bool:
    """Whether a resource was made for this cluster.

    :param resource: anything with ``tags`` as a mapping.
    """
    return bool((resource.get("tags") or {}).get(TAG) == cluster_name)
