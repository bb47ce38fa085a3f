#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_pod_identity_role_info
version_added: 0.2.0
short_description: Look at IAM roles with the documents that decide about EKS Pod Identity
description:
  - Returns roles with their trust policies, the names of their managed policies and the documents of their inline
    policies, one or hundreds of them in one task.
  - A role that is not there, and one that may not be looked at, fails nothing. Each is named, in RV(missing) or in
    RV(unread).
  - A role costs the calls C(iam:GetRole), C(iam:ListAttachedRolePolicies) and C(iam:ListRolePolicies), and
    C(iam:GetRolePolicy) for each inline policy.
author:
  - podidentity.eks contributors (@podidentity)
options:
  arns:
    description:
      - ARNs of the roles. One of another account than that of the credentials is in RV(unread).
    type: list
    elements: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - podidentity.eks.attributes.info
  - podidentity.eks.assume_role
seealso:
  - module: podidentity.eks.eks_pod_identity_roles
"""

EXAMPLES = r"""
# Needs: the IAM role "app" in account 111122223333.

- name: Look at a role that is there and one that is not
  podidentity.eks.eks_pod_identity_role_info:
    arns:
      - arn:aws:iam::111122223333:role/app
      - arn:aws:iam::111122223333:role/forgotten
  register: looked_at

- name: Use what was found
  ansible.builtin.assert:
    that:
      - looked_at.roles | map(attribute='name') == ['app']
      - looked_at.roles[0].trust_policy.Statement[0].Principal.Service == 'pods.eks.amazonaws.com'
      - looked_at.missing == ['arn:aws:iam::111122223333:role/forgotten']
"""

RETURN = r"""
roles:
  description: The roles that were found, in the order of their ARNs in the task.
  returned: always
  type: list
  elements: dict
  contains:
    arn:
      description: ARN of the role.
      type: str
      sample: arn:aws:iam::111122223333:role/app
    name:
      description: Name of the role.
      type: str
      sample: app
    trust_policy:
      description: The trust policy.
      type: dict
      sample: {"Version": "2012-10-17", "Statement": []}
    managed_policies:
      description: Names of the managed policies by ARN.
      type: dict
      sample: {"arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess": "AmazonS3ReadOnlyAccess"}
    inline_policies:
      description: The documents of the inline policies by name.
      type: dict
      sample: {}
    boundary:
      description: ARN of the permissions boundary, null if there is none.
      type: str
      sample: null
missing:
  description: ARNs of roles that do not exist. A role of the same name with another path is another role.
  returned: always
  type: list
  elements: str
  sample: []
unread:
  description: Roles that could not be looked at.
  returned: always
  type: list
  elements: dict
  contains:
    arn:
      description: ARN of the role.
      type: str
      sample: arn:aws:iam::444455556666:role/reports
    message:
      description: Why it could not.
      type: str
      sample: The role is of account 444455556666, and these credentials are of 111122223333.
api_calls:
  description: How often each operation of AWS was called, attempts that failed included.
  returned: always
  type: dict
  sample: {"GetCallerIdentity": 1, "GetRole": 2, "ListAttachedRolePolicies": 1, "ListRolePolicies": 1}
throttled:
  description: How many calls AWS refused as too many, and how many seconds the task was held up for that.
  returned: always
  type: dict
  sample: {"calls": 0, "seconds": 0.0}
"""

from ansible_collections.podidentity.eks.plugins.module_utils._eks import argspec
from ansible_collections.podidentity.eks.plugins.module_utils._eks import common
from ansible_collections.podidentity.eks.plugins.module_utils._eks.role import looking

OPTIONS: argspec.ArgumentSpec = {
    "arns": {"type": "list", "elements": "str", "required": True},
    **argspec.ASSUME_ROLE,
}


def main() -> None:
    module = common.AnsibleEKSModule(argument_spec=OPTIONS, supports_check_mode=True)
    try:
        found = looking.run(module)
    except common.AnsibleEKSError as error:
        module.fail_json_aws_error(error)
    module.exit_json(changed=False, **found, **module.traffic.result)


if __name__ == "__main__":
    main()
