# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What all modules can do: the documentation fragment ``podidentity.eks.attributes`` in its forms."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes of the modules."""

    #: Modules that change something.
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Returns what would be done and how the object would look, and makes no call that writes.
    support: full
  diff_mode:
    description: Shows the object before and after the task, or in check mode as it would be after it.
    support: full
  action_group:
    description: Use C(group/podidentity.eks.aws) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - podidentity.eks.aws
"""

    #: Modules that only look.
    INFO = r"""
options: {}
attributes:
  check_mode:
    description: The module only looks, in check mode too.
    support: full
  diff_mode:
    description: There is nothing to show, since the module changes nothing.
    support: N/A
  action_group:
    description: Use C(group/podidentity.eks.aws) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - podidentity.eks.aws
"""

    #: Modules that change something in Kubernetes.
    KUBERNETES = r"""
options: {}
attributes:
  check_mode:
    description: Returns what would be done, and tries it by dry runs of the API server.
    support: full
  diff_mode:
    description: Shows what is created or deleted, or in check mode would be.
    support: full
  action_group:
    description: Use C(group/podidentity.eks.k8s) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - podidentity.eks.k8s
"""

    #: Modules that only look, at Kubernetes.
    KUBERNETES_INFO = r"""
options: {}
attributes:
  check_mode:
    description: The module only looks, in check mode too.
    support: full
  diff_mode:
    description: There is nothing to show, since the module changes nothing.
    support: N/A
  action_group:
    description: Use C(group/podidentity.eks.k8s) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - podidentity.eks.k8s
"""

    #: Modules that call AWS and change something in Kubernetes.
    CLUSTER = r"""
options: {}
attributes:
  check_mode:
    description: Returns what would be done, and makes no call that writes.
    support: full
  diff_mode:
    description: Shows what is changed and why, or in check mode would be.
    support: full
  action_group:
    description:
      - Use C(group/podidentity.eks.aws) and C(group/podidentity.eks.k8s) in C(module_defaults) to set defaults for this
        module.
    support: full
    membership:
      - podidentity.eks.aws
      - podidentity.eks.k8s
"""

    #: Modules that call AWS and Kubernetes, and leave everything as it was.
    CLUSTER_INFO = r"""
options: {}
attributes:
  check_mode:
    description: Returns what would be done, and makes no call that writes.
    support: full
  diff_mode:
    description: There is nothing to show, since the module changes nothing.
    support: N/A
  action_group:
    description:
      - Use C(group/podidentity.eks.aws) and C(group/podidentity.eks.k8s) in C(module_defaults) to set defaults for this
        module.
    support: full
    membership:
      - podidentity.eks.aws
      - podidentity.eks.k8s
"""
