# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EKS clusters of many regions and accounts as inventory hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: aws_eks
version_added: 0.2.0
short_description: EKS clusters as inventory hosts
description:
  - Makes each EKS cluster of the given accounts and regions a host of the group C(eks_clusters), which is what the
    playbooks of this collection work on.
  - Needs a YAML file whose name ends with C(aws_eks.yml) or C(aws_eks.yaml).
  - All accounts and regions are asked side by side. One that cannot be asked is told in a warning and in the variable
    C(eks_unreachable) of the group, and the clusters of the others are there; see O(fail_on_unreachable).
  - Tasks of a cluster run where C(ansible-playbook) runs, so each host gets C(ansible_connection=local) and this
    Python as its interpreter; O(compose) may say otherwise.
  - A host has the variables C(eks_cluster_name), C(eks_region) and C(eks_account_id), C(eks_profile) where its account
    has O(accounts[].profile), C(eks_assume_role_arn) and C(eks_assume_role_external_id) where it has
    O(accounts[].assume_role_arn), and C(eks_cluster) with endpoint, version, platform version, tags, Auto Mode and all
    else that M(podidentity.eks.eks_cluster_info) returns of it.
author:
  - podidentity.eks contributors (@podidentity)
options:
  plugin:
    description: Says that the file is for this plugin.
    type: str
    required: true
    choices: [podidentity.eks.aws_eks]
  regions:
    description:
      - The regions to look in. V(all) stands for those that are enabled in the account (C(ec2:DescribeRegions)).
      - Without it the region of the options, the environment or the profile.
    type: list
    elements: str
    default: []
  accounts:
    description:
      - The accounts to look in, each by a profile, by a role that is assumed, or by both, when the role is assumed with
        the profile's credentials. An empty item is the account whose credentials are used.
      - Without it that account alone, or the one of O(assume_role_arn), which is short for the only item of this list.
    type: list
    elements: dict
    default: []
    suboptions:
      profile:
        description: A profile of the AWS configuration.
        type: str
      assume_role_arn:
        description: ARN of a role to assume.
        type: str
      assume_role_external_id:
        description: The external id that the role's trust policy asks for.
        type: str
      regions:
        description: The regions of this account, in place of O(regions).
        type: list
        elements: str
  filters:
    description:
      - Which clusters become hosts. A cluster must meet all that is given here.
    type: dict
    default: {}
    suboptions:
      names:
        description: Patterns as in a shell, such as V(prod-*); one of them must fit.
        type: list
        elements: str
      statuses:
        description: The states of which it must be in one, such as V(ACTIVE).
        type: list
        elements: str
      versions:
        description: The Kubernetes versions of which it must have one, such as V(1.35).
        type: list
        elements: str
      tags:
        description:
          - Tags that it must have. A value is a pattern or a list of patterns of which one must fit; V(*) asks only
            for the tag.
        type: dict
  hostname:
    description:
      - A Jinja2 expression over a host's variables that gives its name.
      - Clusters of different regions or accounts may have the same name. Two hosts of one name are refused, and an
        expression such as V(eks_cluster_name ~ '.' ~ eks_region) tells them apart.
    type: str
    default: eks_cluster_name
  fail_on_unreachable:
    description:
      - Whether an account or region that cannot be asked is an error. To be set where a host that is not there is
        forgotten, as by AWX with I(Overwrite).
      - If none can be asked it is always one.
    type: bool
    default: false
  concurrency:
    description: How many calls are sent at the same time.
    type: int
    default: 16
notes:
  - Needs C(eks:ListClusters) and C(eks:DescribeCluster), C(sts:AssumeRole) for O(accounts[].assume_role_arn), and
    C(ec2:DescribeRegions) for the regions V(all).
  - Templates are evaluated in O(regions), O(accounts), O(filters) and the options of the connection.
  - The cache holds what EKS says about clusters and no credentials. A look that was not complete is not kept.
extends_documentation_fragment:
  - inventory_cache
  - constructed
  - amazon.aws.boto3
  - amazon.aws.common.plugins
  - amazon.aws.region.plugins
  - amazon.aws.assume_role.plugins
"""

EXAMPLES = r"""
# inventories/fleet/aws_eks.yml: every cluster of two accounts, in groups by stage and by version.
plugin: podidentity.eks.aws_eks
regions:
  - eu-west-1
  - us-east-1
accounts:
  - profile: production
  - assume_role_arn: arn:aws:iam::444455556666:role/inventory
    assume_role_external_id: inventory-7
    regions:
      - eu-central-1
filters:
  statuses: [ACTIVE, UPDATING]
  tags:
    stage: [production, staging]
hostname: eks_cluster_name ~ '.' ~ eks_region
keyed_groups:
  - key: eks_cluster.tags.stage
    prefix: stage
  - key: eks_cluster.version
    prefix: kubernetes
groups:
  auto_mode: eks_cluster.auto_mode
compose:
  cluster_version: eks_cluster.version
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: build/inventory-cache
cache_timeout: 600
"""

import sys
import typing as t

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible_collections.amazon.aws.plugins.plugin_utils.inventory import AWSInventoryBase
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import NO_REGION
from ansible_collections.podidentity.eks.plugins.plugin_utils import fleet

if t.TYPE_CHECKING:
    from ansible.inventory.data import InventoryData
    from ansible.parsing.dataloader import DataLoader

GROUP = "eks_clusters"
#: The options of amazon.aws in which templates may stand, and ours.
TEMPLATED = (*AWSInventoryBase.TemplatedOptions.TEMPLATABLE_OPTIONS, "accounts")


class InventoryModule(AWSInventoryBase):  # type: ignore[misc]  # amazon.aws has no types
    """The inventory plugin ``podidentity.eks.aws_eks``."""

    NAME = "podidentity.eks.aws_eks"
    INVENTORY_FILE_SUFFIXES = ("aws_eks.yml", "aws_eks.yaml")

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        """Fill the inventory from one file."""
        super().parse(inventory, loader, path, cache=cache)
        try:
            accounts = fleet.read_accounts(self.get_option("accounts"), self.get_option("assume_role_arn"))
            selection = fleet.read_filters(self.get_option("filters"))
            cached, found = self.get_cached_result(path, cache)
            if not cached:
                found = self._observe(accounts)
        except fleet.FleetError as error:
            raise AnsibleParserError(str(error)) from error
        if not found["unreachable"]:
            self.update_cached_result(path, cache, found)
        self._populate(fleet.select(found["hosts"], selection))
        self._tell(found["unreachable"], nobody=not found["reached"])

    def get_option(self, option: str, hostvars: t.Any = None) -> t.Any:
        """An option; in some a template may stand, such as a look-up of the environment.

        Not as amazon.aws (10.1) has it, which for lists and mappings calls what ansible-core deprecates.
        """
        value = BaseInventoryPlugin.get_option(self, option, hostvars)
        return self.templar.template(value) if option in TEMPLATED else value

    def get_options(self, hostvars: t.Any = None) -> dict[str, t.Any]:
        """All options."""
        return t.cast("dict[str, t.Any]", BaseInventoryPlugin.get_options(self, hostvars))

    def _set_frozen_credentials(self) -> None:
        """Not for all accounts at once, as amazon.aws does it: each has a role of its own."""

    def _observe(self, accounts: t.Sequence[fleet.Account]) -> dict[str, t.Any]:
        """What all accounts and regions say, in the form that is cached."""
        regions = self.get_option("regions") or ([self.region] if self.region else [])
        if not all(account.regions or regions for account in accounts):
            raise fleet.FleetError(NO_REGION)
        return fleet.observe(self.client, accounts, regions, int(self.get_option("concurrency")))

    def _populate(self, hosts: t.Sequence[t.Mapping[str, t.Any]]) -> None:
        """Hosts with their variables and groups."""
        strict = self.get_option("strict")
        self.inventory.add_group(GROUP)
        for variables in hosts:
            name = self._name(variables)
            self.inventory.add_host(name, group=GROUP)
            everything = {**LOCAL, **variables}
            for key, value in everything.items():
                self.inventory.set_variable(name, key, value)
            self._set_composite_vars(self.get_option("compose"), everything, name, strict=strict)
            self._add_host_to_composed_groups(self.get_option("groups"), everything, name, strict=strict)
            self._add_host_to_keyed_groups(self.get_option("keyed_groups"), everything, name, strict=strict)

    def _name(self, variables: t.Mapping[str, t.Any]) -> str:
        """The host's name; one that is taken is refused, since the clusters would become one host."""
        expression = self.get_option("hostname")
        try:
            name = str(self._compose(expression, variables))
        except Exception as error:  # Jinja2 and Ansible have many classes for what an expression may do wrong
            raise AnsibleParserError(f"The option hostname is no expression for a cluster's name: {error}") from error
        present = self.inventory.hosts.get(name)
        other = present.vars.get("eks_cluster") if present else None
        if other and other["arn"] != variables["eks_cluster"]["arn"]:
            raise AnsibleParserError(
                f"Clusters {other['arn']} and {variables['eks_cluster']['arn']} both become host {name}: tell them "
                "apart by the option hostname, such as hostname: eks_cluster_name ~ '.' ~ eks_region."
            )
        return name

    def _tell(self, unreachable: t.Sequence[t.Mapping[str, str]], nobody: bool) -> None:
        """Say who could not be asked: as an error where that is asked for or nobody could, as a warning otherwise."""
        self.inventory.set_variable(GROUP, "eks_unreachable", list(unreachable))
        sentences = [fleet.describe(item) for item in unreachable]
        if sentences and (nobody or self.get_option("fail_on_unreachable")):
            raise AnsibleParserError("\n".join(sentences))
        for sentence in sentences:
            self.warn(sentence)


#: A cluster is no machine: its tasks run here.
LOCAL: t.Mapping[str, t.Any] = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
