# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why an AWX cannot be set up as declared."""

from __future__ import annotations

DOCUMENTATION = r"""
name: awx_problems
short_description: Find why an AWX cannot be set up as declared
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Checks the variables of the playbook C(podidentity.eks.awx), and whether AWX has what they name, before anything is
    written. Made for that playbook; its arguments change with it.
positional: _input
options:
  _input:
    description: The playbook's variables by their name, without C(awx_).
    type: dict
    required: true
  found:
    description:
      - Names that AWX has, in lists by C(organizations), C(credentials), C(execution_environments) and
        C(notification_templates). Without it the variables alone are checked.
    type: dict
"""

EXAMPLES = r"""
- name: Refuse slices together with a limit
  ansible.builtin.assert:
    that:
      - problems | length == 1
      - problems[0] is search('awx_limit_on_launch is true and awx_job_slices is 3')
  vars:
    problems: "{{ settings | podidentity.eks.awx_problems }}"
    settings:
      organization: Default
      project_url: https://git.example.com/clusters.git
      aws_credential: our AWS keys
      aws_region: eu-west-1
      execution_environment: EKS Pod Identity
      job_slices: 3
      limit_on_launch: true
"""

RETURN = r"""
_value:
  description: One sentence for each problem; empty when all is well.
  type: list
  elements: str
"""

import re
import typing as t

from ansible.errors import AnsibleFilterError

REGION = re.compile(r"[a-z]{2,3}(-[a-z]+)+-[0-9]+")
#: Settings that must not be empty, and what they are.
NEEDED = {
    "organization": "the name of an organization of AWX",
    "project_url": "the repository with the playbooks and inventories; podidentity.eks.awx_project writes its files",
    "aws_credential": 'the name of a credential of the type "Amazon Web Services"',
    "execution_environment": (
        "the name of an execution environment with ansible-core 2.19 or newer; AWX's own has 2.15, with which this "
        "collection does not run"
    ),
}
#: Where AWX must have what settings name.
PLACES = {
    "organization": "organizations",
    "aws_credential": "credentials",
    "project_credential": "credentials",
    "execution_environment": "execution_environments",
    "notify_approvals": "notification_templates",
    "notify_failures": "notification_templates",
}
#: The way to what AWX lacks, where a playbook helps.
WAYS = {"execution_environment": ", or give its image in awx_execution_environment_image"}


def awx_problems(settings: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any] | None = None) -> list[str]:
    """The filter; see its documentation above."""
    if not isinstance(settings, t.Mapping):
        raise AnsibleFilterError(f"awx_problems checks a mapping of variables, and was given {settings!r}.")
    return list(setting_problems(settings)) if found is None else list(missing(settings, found))


def setting_problems(settings: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """What is wrong with the variables alone."""
    for name, what in NEEDED.items():
        if not settings.get(name):
            yield f"awx_{name} is empty: give {what}."
    region = str(settings.get("aws_region") or "")
    if not REGION.fullmatch(region):
        yield f'awx_aws_region is "{region}": give an AWS region such as eu-west-1.'
    slices = whole(settings.get("job_slices", 1))
    if slices < 1:
        yield f"awx_job_slices is {settings.get('job_slices')!r}: give a whole number of at least 1."
    if slices > 1 and settings.get("limit_on_launch"):
        yield (
            f"awx_limit_on_launch is true and awx_job_slices is {slices}: take one of them, because a limit that "
            "leaves a slice without a cluster fails that slice."
        )


def whole(value: object) -> int:
    """A whole number however it was written; 0 for anything else."""
    return int(str(value)) if re.fullmatch("[0-9]+", str(value)) else 0


def missing(settings: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """What AWX lacks; an execution environment with an image is registered by the playbook."""
    for name, place in PLACES.items():
        value = settings.get(name) or []
        names = value if isinstance(value, (list, tuple)) else [value]
        if name == "execution_environment" and settings.get("execution_environment_image"):
            continue
        for one in names:
            if one not in found.get(place, ()):
                kind = place.removesuffix("s").replace("_", " ")
                yield f'AWX has no {kind} "{one}", which awx_{name} names: create it first{WAYS.get(name, "")}.'


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"awx_problems": awx_problems}
