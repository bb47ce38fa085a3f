# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""How what this collection has made is known again."""

from __future__ import annotations

#: The tag of everything that is made here, with the name of the cluster that it was made for. Nothing without it is
#: ever removed.
TAG = "podidentity.eks/cluster"
