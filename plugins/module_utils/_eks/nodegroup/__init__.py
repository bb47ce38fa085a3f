# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Managed node groups: what is declared, what is there, the plan between the two, and its calls.

Observe (:mod:`.observing`), plan (:mod:`.planning` for one group, :mod:`.replacing` for one that gives way to another;
both are pure), apply (:mod:`.reconciling`). Rules that come from AWS are those of the EKS API reference
(CreateNodegroup, UpdateNodegroupConfig, UpdateNodegroupVersion, DeleteNodegroup).
"""
