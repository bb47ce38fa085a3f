# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
name: eks_token
version_added: 0.1.0
short_description: Make a token for the Kubernetes API of an EKS cluster
description:
  - Makes the bearer token that an EKS cluster knows an AWS identity by, as C(aws eks get-token) does.
  - The token is a signed URL, made locally, so no call is made and no C(aws) command is needed.
  - A cluster takes a token for about 15 minutes. Evaluate the lookup where it is used (in C(module_defaults) or in a
    variable, which Ansible evaluates anew for every task) and never keep its result in a fact.
author:
  - podidentity.eks contributors (@podidentity)
options:
  _terms:
    description:
      - Names of the clusters, a token for each.
    type: list
    elements: str
    required: true
notes:
  - The token is as good as a password while it lives. The modules of C(kubernetes.core) (6.6.0 and before) show it with
    C(-vvv) and put it into their results when they end with a traceback, as where the API server cannot be reached or
    refuses the credentials; from ansible-core 2.21 on also otherwise, unless the variable C(ansible_inject_invocation)
    is V(true). Set C(no_log=true) for a task that uses them, as every role of this collection does.
extends_documentation_fragment:
  - amazon.aws.common.plugins
  - amazon.aws.region.plugins
  - amazon.aws.boto3
seealso:
  - module: podidentity.eks.eks_cluster_info
  - name: Cluster authentication
    description: What the token is, in the documentation of the AWS IAM Authenticator for Kubernetes.
    link: https://github.com/kubernetes-sigs/aws-iam-authenticator#api-authorization-from-outside-a-cluster
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example".

- name: Look up the cluster
  podidentity.eks.eks_cluster_info:
    name: example
  register: found

- name: Ask its API for the namespaces
  kubernetes.core.k8s_info:
    kind: Namespace
    host: "{{ found.clusters[0].endpoint }}"
    ca_cert: "{{ lookup('podidentity.eks.eks_ca_file', found.clusters[0].certificate_authority) }}"
    api_key: "{{ lookup('podidentity.eks.eks_token', 'example') }}"
"""

RETURN = r"""
_raw:
  description: One token for each cluster.
  type: list
  elements: str
"""

import base64
import contextlib
import typing as t

with contextlib.suppress(ImportError):  # AWSLookupBase reports it.
    import botocore.exceptions

from ansible_collections.amazon.aws.plugins.plugin_utils.lookup import AWSLookupBase
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import NO_CREDENTIALS
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import NO_REGION
from ansible_collections.podidentity.eks.plugins.module_utils._eks.validation import cluster_name_problems

if t.TYPE_CHECKING:
    from mypy_boto3_sts.client import STSClient

#: Seconds; the authenticator takes no other value, and adds its own 15 minutes
#: (kubernetes-sigs/aws-iam-authenticator, ``pkg/token/token.go``).
EXPIRES = 60
#: The header whose signature binds the token to one cluster.
CLUSTER_HEADER = "x-k8s-aws-id"
PREFIX = "k8s-aws-v1."


class LookupModule(AWSLookupBase):  # type: ignore[misc]  # amazon.aws has no types
    """The lookup ``podidentity.eks.eks_token``."""

    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[str]:
        """One token for each cluster's name."""
        super().run(terms, variables, **kwargs)
        for problem in (problem for name in terms for problem in cluster_name_problems(str(name))):
            self.fail_aws(problem)
        if not self.region:
            self.fail_aws(NO_REGION)
        return [self._token(str(name)) for name in terms]

    def _token(self, cluster_name: str) -> str:
        # A client for each cluster, because the header is set by a hook of the client.
        client: STSClient = self.client("sts")

        def bind_to_cluster(request: t.Any, **_arguments: t.Any) -> None:
            request.headers[CLUSTER_HEADER] = cluster_name

        client.meta.events.register("before-sign.sts.GetCallerIdentity", bind_to_cluster)
        try:
            url = client.generate_presigned_url("get_caller_identity", ExpiresIn=EXPIRES, HttpMethod="GET")
        except botocore.exceptions.NoCredentialsError:
            self.fail_aws(NO_CREDENTIALS)
        except botocore.exceptions.BotoCoreError as error:
            self.fail_aws("The token could not be signed", error)
        return PREFIX + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
