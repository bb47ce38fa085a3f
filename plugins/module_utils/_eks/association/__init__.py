# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Pod identity associations: what is declared, what is there, the plan between the two, and its calls.

One association and all associations of a cluster are the same code: observe (:mod:`.observing`), plan
(:mod:`.planning`, which is pure), apply (:mod:`.applying`); :mod:`.reconciling` puts them in order. Rules that come
from AWS are those of the EKS API reference (CreatePodIdentityAssociation, UpdatePodIdentityAssociation) and of the EKS
user guide's pages on EKS Pod Identity.
"""
