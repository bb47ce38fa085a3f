# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the API server said, out of what a module of kubernetes.core says about it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_refusal
short_description: Say in one sentence what the API server of Kubernetes refused
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - The modules of kubernetes.core tell a refusal with status, headers and body. This filter takes out of it the
    sentence that the API server said, and adds what would be right where somebody lacks a permission or has no access
    to the cluster at all.
  - No message at all means that the API server cannot be reached or does not know the credentials, for the modules of
    kubernetes.core end with a traceback then. Any other message stays as it is, a list of lines too.
positional: _input
options:
  _input:
    description: The C(msg) of a task that failed.
    type: raw
    required: true
seealso:
  - plugin: podidentity.eks.pod_identity_operator_rbac
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Look at what a task has said
  ansible.builtin.assert:
    that:
      - told is match('nodes is forbidden')
      - told is search('pod_identity_operator_rbac')
  vars:
    told: "{{ said | podidentity.eks.pod_identity_refusal }}"
    said: "403 Reason: Forbidden HTTP response body: {{ {'kind': 'Status', 'message': refusal} | to_json }}"
    refusal: >-
      nodes is forbidden: User "anna" cannot list resource "nodes" in API group "" at the cluster scope
"""

RETURN = r"""
_value:
  description: The sentence, without the full stop at its end where it was found in a message.
  type: raw
  sample: >-
    nodes is forbidden: User "anna" cannot list resource "nodes" in API group "" at the cluster scope; allow it by RBAC,
    which the filter podidentity.eks.pod_identity_operator_rbac makes
"""

import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import STATUS_MESSAGE
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import kubernetes_words
from ansible_collections.podidentity.eks.plugins.module_utils._kube.causes import DENIED
from ansible_collections.podidentity.eks.plugins.module_utils._kube.causes import RBAC_ADVICE
from ansible_collections.podidentity.eks.plugins.module_utils._kube.causes import STATUSES

#: A module that ends with a traceback leaves no message where ``failed_when`` is false.
UNTOLD = "the API server cannot be reached, or does not know these credentials"


def pod_identity_refusal(message: t.Any) -> t.Any:
    """The filter; see its documentation above. The message of an assertion may be a list."""
    if not isinstance(message, str):
        return message
    if not message:
        return UNTOLD
    words = kubernetes_words(message) if STATUS_MESSAGE.search(message) else message
    if words == "Unauthorized":
        return STATUSES[401].advice
    # A role that has told the sentence may be told by another one.
    return words + RBAC_ADVICE if DENIED.search(words) and RBAC_ADVICE not in words else words


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_refusal": pod_identity_refusal}
