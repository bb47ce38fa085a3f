# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Add-ons of EKS clusters: what is declared, what is there, the plan between the two, and the calls that carry it out.

Declared (:mod:`.declared`, :mod:`.versions`), observed (:mod:`.calls`, :mod:`.results`), compared (:mod:`.comparing`)
and planned (:mod:`.planning`, which is pure); :mod:`.examining` finds before the first write what EKS would refuse, and
:mod:`.ensuring` puts it all in order. :mod:`.looking` only looks. :mod:`.many` plans a whole list, on the controller:
what it imports must not import boto3, which takes longer than everything else of such a task.

Rules that come from AWS are those of the EKS API reference (CreateAddon, UpdateAddon, DescribeAddonVersions,
DescribeAddonConfiguration). Two are not written there: UpdateAddon brings back an add-on in ``CREATE_FAILED`` or
``UPDATE_FAILED`` (https://github.com/aws-controllers-k8s/eks-controller/pull/166), where years ago only deleting it
helped (https://github.com/aws/containers-roadmap/issues/1411); and an update that names no service account role takes
it away, while an empty one is refused (https://github.com/hashicorp/terraform-provider-aws/issues/30645).
"""
