# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Error codes of AWS that decide what happens next. Messages drift, codes do not."""

from __future__ import annotations

ACCESS_DENIED = ("AccessDeniedException", "AccessDenied")
#: From an update call it means that another update of the same resource is in progress. From a create call it means
#: that the thing exists, and from a delete call that others still depend on it.
IN_USE = "ResourceInUseException"
INVALID_PARAMETER = "InvalidParameterException"
#: The tagging operations of EKS have an error family of their own, and so has IAM.
NO_SUCH_ENTITY = "NoSuchEntity"
NOT_FOUND = ("ResourceNotFoundException", "NotFoundException", NO_SUCH_ENTITY)
