# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The trust policy of an IAM role for EKS Pod Identity."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_trust_policy
short_description: The trust policy that lets EKS Pod Identity give a role to a workload
version_added: 0.1.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Returns the trust policy document of an IAM role with one statement for one workload on one cluster.
  - The statement trusts V(pods.eks.amazonaws.com) for V(sts:AssumeRole) and V(sts:TagSession), on the conditions that
    the request comes from this account and cluster and from this namespace and service account.
  - Merged into a given document, every other statement stays as it is, and the statement of this workload is found
    again by its Sid and brought to what is asked for.
positional: _input, namespace, service_account
options:
  _input:
    description: The ARN of the EKS cluster.
    type: str
    required: true
  namespace:
    description: The workload's namespace.
    type: str
    required: true
  service_account:
    description: The workload's service account.
    type: str
    required: true
  session_tags:
    description:
      - Whether the association sends session tags. Without them the conditions on namespace and service account would
        never match, so they are left out.
    type: bool
    default: true
  trust:
    description:
      - V(open) leaves all conditions out. Then whoever may pass the role can use it for any workload of any cluster in
        the account.
    type: str
    choices: [scoped, open]
    default: scoped
  into:
    description: The role's present trust policy, as a mapping or as JSON, to merge the statement into.
    type: raw
seealso:
  - module: podidentity.eks.eks_pod_identity_roles
"""

EXAMPLES = r"""
# Needs: an AWS account.

- name: A role for one workload
  amazon.aws.iam_role:
    name: EKS-S3-Access-Role
    create_instance_profile: false
    assume_role_policy_document: >-
      {{ 'arn:aws:eks:eu-west-1:111122223333:cluster/eks-pod-identity-boto3'
         | podidentity.eks.pod_identity_trust_policy(namespace='default', service_account='s3-access-sa') }}
"""

RETURN = r"""
_value:
  description: The trust policy document.
  type: dict
  sample:
    Version: "2012-10-17"
    Statement:
      - Sid: PodIdentityDefaultS3AccessSa6cb7b6ca
        Effect: Allow
        Principal: {Service: pods.eks.amazonaws.com}
        Action: ['sts:AssumeRole', 'sts:TagSession']
        Condition:
          StringEquals:
            aws:SourceAccount: "111122223333"
            aws:RequestTag/kubernetes-namespace: default
            aws:RequestTag/kubernetes-service-account: s3-access-sa
          ArnEquals:
            aws:SourceArn: arn:aws:eks:eu-west-1:111122223333:cluster/eks-pod-identity-boto3
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.module_utils._trust.document import Document
from ansible_collections.podidentity.eks.plugins.module_utils._trust.document import ensure_statements
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import Subject
from ansible_collections.podidentity.eks.plugins.module_utils._trust.statement import trust_statement
from ansible_collections.podidentity.eks.plugins.module_utils._workload.cluster import Cluster
from ansible_collections.podidentity.eks.plugins.module_utils._workload.cluster import TrustError
from ansible_collections.podidentity.eks.plugins.module_utils._workload.validation import TRUSTS


def pod_identity_trust_policy(
    cluster_arn: str,
    namespace: str,
    service_account: str,
    *,
    session_tags: bool = True,
    trust: str = "scoped",
    into: Document | str | None = None,
) -> dict[str, t.Any] | None:
    """The filter; see its documentation above."""
    named = {"cluster_arn": cluster_arn, "namespace": namespace, "service_account": service_account}
    for option, value in named.items():
        if not isinstance(value, str):
            raise AnsibleFilterError(f"{option} is {value!r}: give a text, in quotes where it looks like a number.")
    if trust not in TRUSTS:
        raise AnsibleFilterError(f"trust is {trust!r}: give scoped or open.")
    try:
        subject = Subject(Cluster.from_arn(cluster_arn), namespace, service_account)
        statement = trust_statement(subject, session_tags=session_tags, scoped=trust == "scoped")
        return ensure_statements(into, [statement]).document
    except TrustError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_trust_policy": pod_identity_trust_policy}
