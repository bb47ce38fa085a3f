# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What a cluster stands on: its network, IAM roles, security groups and launch templates.

The role ``cluster`` makes them by modules of amazon.aws, so this package only plans: what is declared (:mod:`.options`
and :mod:`.spec`), what exists (:mod:`.api`), what stops the run (:mod:`.obstacles`), and the plan between them
(:mod:`.plan`), which consists of :mod:`.roles`, :mod:`.network`, :mod:`.security_groups` and :mod:`.nodegroups`.
:mod:`.items` lists what the plan changes.
"""
