# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
name: assumed_role
version_added: 0.2.0
short_description: Assume an IAM role, for tasks in another account
description:
  - Assumes an IAM role and returns its credentials under the names of the options that modules and lookups of
    C(amazon.aws) and of this collection take.
  - Evaluate the lookup in a variable, which Ansible evaluates anew for every task, and never keep its result in a fact.
    Then the credentials live for one task, and in no file, fact or artifact. A task asks STS once, however often the
    variable stands in its options.
author:
  - podidentity.eks contributors (@podidentity)
options:
  _terms:
    description:
      - ARNs of the roles.
    type: list
    elements: str
    required: true
  external_id:
    description: The external id that the roles' trust policies ask for.
    type: str
  duration:
    description: For how many seconds the credentials are good.
    type: int
    default: 3600
notes:
  - The options C(secret_key) and C(session_token) are never shown by the modules that take them.
extends_documentation_fragment:
  - amazon.aws.common.plugins
  - amazon.aws.region.plugins
  - amazon.aws.boto3
seealso:
  - plugin: podidentity.eks.aws_eks
    plugin_type: inventory
"""

EXAMPLES = r"""
# Needs: an AWS account.

- name: A role for deployments, as another account has one
  amazon.aws.iam_role:
    name: deployment
    create_instance_profile: false
    assume_role_policy_document:
      Version: "2012-10-17"
      Statement:
        - Effect: Allow
          Principal: {AWS: "111122223333"}
          Action: sts:AssumeRole
    managed_policies: [AmazonS3ReadOnlyAccess]
  register: made

- name: Say who we are with its credentials
  amazon.aws.aws_caller_info:
  module_defaults:
    group/podidentity.eks.aws:
      access_key: "{{ credentials.access_key }}"
      secret_key: "{{ credentials.secret_key }}"
      session_token: "{{ credentials.session_token }}"
  vars:
    credentials: "{{ lookup('podidentity.eks.assumed_role', made.iam_role.arn) }}"
  register: caller

- name: It is a session of the role
  ansible.builtin.assert:
    that: caller.arn is search(':assumed-role/deployment/')
"""

RETURN = r"""
_raw:
  description: For each role its C(access_key), C(secret_key) and C(session_token).
  type: list
  elements: dict
"""

import contextlib
import time
import typing as t

with contextlib.suppress(ImportError):  # AWSLookupBase reports it.
    import botocore.exceptions

from ansible_collections.amazon.aws.plugins.plugin_utils.lookup import AWSLookupBase
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import NO_CREDENTIALS

#: How a session of an assumed role is called in AWS's logs.
SESSION_NAME = "podidentity-eks"
#: Seconds before their end from which on credentials are made anew.
RESERVE = 300.0

Credentials = dict[str, str]
#: What this process has assumed, by role and options: a task asks once. Ansible makes a process for every task, so
#: nothing of it outlives one.
ASSUMED: dict[tuple[t.Any, ...], tuple[float, Credentials]] = {}


class LookupModule(AWSLookupBase):  # type: ignore[misc]  # amazon.aws has no types
    """The lookup ``podidentity.eks.assumed_role``."""

    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[Credentials]:
        """The credentials of each role."""
        super().run(terms, variables, **kwargs)
        return [self._credentials(str(arn)) for arn in terms]

    def _credentials(self, arn: str) -> Credentials:
        options = ("external_id", "duration", "profile", "access_key", "session_token", "region", "endpoint_url")
        key = (arn, *map(self.get_option, options))
        until, credentials = ASSUMED.get(key, (0.0, {}))
        if until < time.time() + RESERVE:
            until, credentials = ASSUMED[key] = self._assume(arn)
        return credentials

    def _assume(self, arn: str) -> tuple[float, Credentials]:
        external_id = self.get_option("external_id")
        external = {"ExternalId": external_id} if external_id else {}
        duration = int(self.get_option("duration"))
        try:
            answer = self.client("sts").assume_role(
                RoleArn=arn, RoleSessionName=SESSION_NAME, DurationSeconds=duration, **external
            )["Credentials"]
        except botocore.exceptions.NoCredentialsError:
            self.fail_aws(NO_CREDENTIALS)
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            self.fail_aws(f"Role {arn} could not be assumed", error)
        return answer["Expiration"].timestamp(), {
            "access_key": answer["AccessKeyId"],
            "secret_key": answer["SecretAccessKey"],
            "session_token": answer["SessionToken"],
        }
