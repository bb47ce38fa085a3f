#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_caller_info
version_added: 0.2.0
short_description: Look up whose credentials a task has
description:
  - Returns the principal, the account and the partition of the credentials, with the one call C(sts:GetCallerIdentity),
    which needs no permission.
  - Names the Python libraries that other modules of this collection need and that the task's Python lacks.
author:
  - podidentity.eks contributors (@podidentity)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - podidentity.eks.attributes.info
seealso:
  - module: amazon.aws.aws_caller_info
"""

EXAMPLES = r"""
# Needs: an AWS account.

- name: Look up whose credentials these are
  podidentity.eks.eks_caller_info:
  register: caller

- name: Stop where they are of another account
  ansible.builtin.assert:
    that: caller.account == '111122223333'
"""

RETURN = r"""
arn:
  description: ARN of the principal.
  returned: always
  type: str
  sample: arn:aws:iam::111122223333:user/anna
account:
  description: Its account.
  returned: always
  type: str
  sample: "111122223333"
partition:
  description: The partition of AWS.
  returned: always
  type: str
  sample: aws
missing_libraries:
  description: Libraries that modules for Kubernetes need and this Python lacks.
  returned: always
  type: list
  elements: str
  sample: []
"""

import importlib.util

from ansible_collections.podidentity.eks.plugins.module_utils._eks import common
from ansible_collections.podidentity.eks.plugins.module_utils._eks.role import calls

#: Beside boto3, without which this module ends.
LIBRARIES = ("kubernetes",)


def main() -> None:
    module = common.AnsibleEKSModule(argument_spec={}, supports_check_mode=True)
    try:
        arn = calls.caller_arn(module.watched_client("sts"))
    except common.AnsibleEKSError as error:
        module.fail_json_aws_error(error)
    _arn, partition, _sts, _region, account, _name = arn.split(":", 5)
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    module.exit_json(changed=False, arn=arn, account=account, partition=partition, missing_libraries=missing)


if __name__ == "__main__":
    main()
