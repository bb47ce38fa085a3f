#!/usr/bin/python
# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: eks_addon
version_added: 0.1.0
short_description: Manage an add-on of an EKS cluster
description:
  - Creates, updates and deletes an Amazon EKS add-on, such as C(eks-pod-identity-agent).
  - Options that are not set leave that part of the add-on as it is; what the add-on has is sent again with every
    update, so that nothing is lost by an update of something else.
  - What EKS would refuse is found before the first call that writes, in check mode too. A configuration that is to be
    written is checked against the add-on's own JSON schema, which needs the Python package C(jsonschema), and service
    accounts that are to get a role against those that the add-on has.
  - An add-on whose creation or last update failed (C(CREATE_FAILED), C(UPDATE_FAILED)) is updated to what is declared,
    even if nothing differs, because that makes EKS try again. It is never deleted for that; where EKS refuses the
    update, the task fails, and deleting it with O(preserve=true) and creating it anew is the way out that keeps its
    software running.
  - With O(wait=true), an add-on that is C(DEGRADED) is waited for, since one without ready nodes is in that state for
    minutes. C(CREATE_FAILED), C(UPDATE_FAILED) and C(DELETE_FAILED) fail the task with EKS's health issues.
author:
  - podidentity.eks contributors (@podidentity)
options:
  cluster_name:
    description:
      - Name of the EKS cluster.
    type: str
    required: true
  name:
    description:
      - Name of the add-on, as C(aws eks describe-addon-versions) lists it.
    type: str
    required: true
  state:
    description:
      - V(present) makes sure that the add-on is installed as declared.
      - V(absent) makes sure that it is not. A cluster that does not exist has no add-on and nothing is changed.
    type: str
    choices: [present, absent]
    default: present
  version:
    description:
      - An exact version such as V(v1.3.8-eksbuild.2). The task fails when it does not exist or does not fit the
        cluster's Kubernetes version, and names the nearest ones that do. An older version than the one installed is
        installed as asked, with a warning.
      - The first numbers of a version, such as V(v1.3) or V(v1.3.8), mean the newest one that begins with them and fits
        (since 0.2.0). An installed one that is newer and begins with them stays, with a warning.
      - V(default) is the version that AWS recommends for the cluster's Kubernetes version, V(latest) the newest one.
        An installed version that is newer than that stays, with a warning.
      - V(keep) (since 0.2.0), or the option not set, gives a new add-on the default version and leaves the version of
        an installed one alone.
    type: str
  configuration:
    description:
      - Configuration values of the add-on; it replaces the whole configuration. What is allowed in it is returned by
        M(podidentity.eks.eks_addon_info).
      - Compared as data, so a configuration that was written as YAML or in another order is not a difference.
      - An empty mapping removes all configuration values.
    type: dict
  service_account_role_arn:
    description:
      - ARN of an IAM role for the add-on's service account (IRSA).
      - An empty string takes the role away (since 0.2.0).
    type: str
  pod_identity_associations:
    description:
      - The EKS Pod Identity associations that the add-on owns, one for each service account that gets a role. They live
        and end with the add-on, and changing them makes EKS restart its pods.
      - The list replaces all associations of the add-on; an empty list removes them. When not set they are left alone.
      - Which service accounts an add-on has, and which policies AWS recommends for their roles, is returned by
        M(podidentity.eks.eks_addon_info).
      - EKS hands no association over to an add-on. One that somebody else made for the same service account has to be
        deleted first; the task fails and names it.
    type: list
    elements: dict
    version_added: 0.2.0
    suboptions:
      service_account:
        description:
          - Name of the service account, in the add-on's namespace.
        type: str
        required: true
      role_arn:
        description:
          - ARN of the IAM role. Its trust policy must allow C(pods.eks.amazonaws.com) to call C(sts:AssumeRole) and
            C(sts:TagSession). A role that EKS does not see yet is waited for, up to two minutes.
        type: str
        required: true
  namespace:
    description:
      - Kubernetes namespace of the add-on's software. EKS sets it at creation only, so the task fails when the add-on
        is installed in another one.
      - When not set, a new add-on goes to the namespace that is its default.
    type: str
    version_added: 0.2.0
  resolve_conflicts:
    description:
      - What EKS does with fields of the add-on's Kubernetes objects that somebody else has changed.
      - It matters only in a call that creates or updates; EKS's own default is V(none). A creation has nothing to
        preserve, so V(preserve) is V(none) there.
    type: str
    choices: [none, overwrite, preserve]
  preserve:
    description:
      - With O(state=absent), whether the add-on's software stays in the cluster, managed by EKS no more.
    type: bool
    default: false
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - podidentity.eks.creation_tags
  - podidentity.eks.planned_cluster
  - amazon.aws.boto3
  - podidentity.eks.attributes
  - podidentity.eks.wait
seealso:
  - module: podidentity.eks.eks_addon_info
  - module: podidentity.eks.eks_cluster
  - name: Amazon EKS add-ons
    description: What add-ons are and which there are, in the EKS user guide.
    link: https://docs.aws.amazon.com/eks/latest/userguide/eks-add-ons.html
"""

EXAMPLES = r"""
# Needs: the EKS cluster "example" with a node group, and the IAM role "app" in its account 111122223333, whose trust
# policy allows pods.eks.amazonaws.com to call sts:AssumeRole and sts:TagSession.

- name: Install the EKS Pod Identity Agent at the version that AWS recommends
  podidentity.eks.eks_addon:
    cluster_name: example
    name: eks-pod-identity-agent
    version: default
    tags:
      team: platform
  register: agent

- name: Keep that version, and configure it
  podidentity.eks.eks_addon:
    cluster_name: example
    name: eks-pod-identity-agent
    version: "{{ agent.addon.version }}"
    configuration:
      resources:
        requests:
          cpu: 10m
    resolve_conflicts: overwrite

- name: Update it to the newest version 1.3 for the cluster
  podidentity.eks.eks_addon:
    cluster_name: example
    name: eks-pod-identity-agent
    version: v1.3

- name: Remove the configuration, whatever the version
  podidentity.eks.eks_addon:
    cluster_name: example
    name: eks-pod-identity-agent
    configuration: {}

- name: Install a driver that needs permissions, with a role for its service account
  podidentity.eks.eks_addon:
    cluster_name: example
    name: aws-ebs-csi-driver
    version: keep
    pod_identity_associations:
      - service_account: ebs-csi-controller-sa
        role_arn: arn:aws:iam::111122223333:role/app

- name: Take the role away from it
  podidentity.eks.eks_addon:
    cluster_name: example
    name: aws-ebs-csi-driver
    pod_identity_associations: []

- name: Delete both
  podidentity.eks.eks_addon:
    cluster_name: example
    name: "{{ item }}"
    state: absent
  loop:
    - aws-ebs-csi-driver
    - eks-pod-identity-agent
"""

RETURN = r"""
changes:
  description:
    - The fields that change, each with its value before and after; empty when nothing changes. It is the same in check
      mode.
  returned: success
  type: dict
  sample: {"version": {"before": "v1.3.8-eksbuild.2", "after": "v1.3.9-eksbuild.3"}}
plan_item:
  description:
    - The item of this resource in the plan of a run, with its C(kind) and C(name), the C(action), which is V(create),
      V(update), V(replace) or V(delete), and C(changes). It is the same in check mode.
    - Null when nothing changes.
  returned: success
  type: dict
  sample: {"kind": "add-on", "name": "metrics-server", "action": "create", "changes": {}}
addon:
  description:
    - The add-on as it is after the task, or in check mode as it would be; what only EKS can know is null then.
    - Null when O(state=absent) and the add-on is gone.
  returned: success
  type: dict
  contains:
    name:
      description: Name of the add-on.
      type: str
      sample: eks-pod-identity-agent
    cluster_name:
      description: Name of the cluster.
      type: str
      sample: example
    arn:
      description: ARN of the add-on.
      type: str
      sample: arn:aws:eks:eu-west-1:111122223333:addon/example/vpc-cni/12345678-90ab-cdef-1234-567890abcdef
    version:
      description: The version that is installed.
      type: str
      sample: v1.3.8-eksbuild.2
    status:
      description: State of the add-on.
      type: str
      sample: ACTIVE
    health:
      description: What EKS finds wrong with it.
      type: dict
      contains:
        issues:
          description: One entry for each issue.
          type: list
          elements: dict
          contains:
            code:
              description: Kind of the issue.
              type: str
              sample: InsufficientNumberOfReplicas
            message:
              description: What is wrong.
              type: str
              sample: The add-on is unhealthy because it doesn't have the desired number of replicas.
            resource_ids:
              description: The resources that are affected.
              type: list
              elements: str
              sample: []
    configuration:
      description: Configuration values of the add-on.
      type: dict
      sample: {"resources": {"requests": {"cpu": "10m"}}}
    namespace:
      description: Namespace of its software, null where botocore is too old to tell.
      type: str
      sample: kube-system
    service_account_role_arn:
      description: ARN of the IAM role of its service account, null when there is none.
      type: str
      sample: arn:aws:iam::111122223333:role/vpc-cni
    pod_identity_associations:
      description: The EKS Pod Identity associations that belong to the add-on, sorted by service account.
      type: list
      elements: dict
      contains:
        association_id:
          description: ID of the association.
          type: str
          sample: a-abcdefghijklmnop1
        association_arn:
          description: ARN of the association.
          type: str
          sample: arn:aws:eks:eu-west-1:111122223333:podidentityassociation/example/a-abcdefghijklmnop1
        service_account:
          description:
            - Name of the service account.
            - Null when O(pod_identity_associations) is not set, because it takes a call for each association.
          type: str
          sample: ebs-csi-controller-sa
        role_arn:
          description:
            - ARN of its role.
            - Null when O(pod_identity_associations) is not set, because it takes a call for each association.
          type: str
          sample: arn:aws:iam::111122223333:role/ebs-csi-driver
    tags:
      description: Tags of the add-on.
      type: dict
      sample: {"team": "platform"}
    created_at:
      description: When it was created.
      type: str
      sample: "2026-11-23T10:15:30+00:00"
    modified_at:
      description: When it was changed last.
      type: str
      sample: "2026-11-23T10:15:30+00:00"
"""

from ansible_collections.podidentity.eks.plugins.module_utils._eks import argspec
from ansible_collections.podidentity.eks.plugins.module_utils._eks import common
from ansible_collections.podidentity.eks.plugins.module_utils._eks.addon import ensuring

OPTIONS: argspec.ArgumentSpec = {
    "cluster_name": {"type": "str", "required": True},
    **argspec.PLANNED_CLUSTER,
    "name": {"type": "str", "required": True},
    "version": {"type": "str"},
    "configuration": {"type": "dict"},
    "service_account_role_arn": {"type": "str"},
    "pod_identity_associations": {
        "type": "list",
        "elements": "dict",
        "options": {
            "service_account": {"type": "str", "required": True},
            "role_arn": {"type": "str", "required": True},
        },
    },
    "namespace": {"type": "str"},
    "resolve_conflicts": {"type": "str", "choices": ["none", "overwrite", "preserve"]},
    "preserve": {"type": "bool", "default": False},
}


def main() -> None:
    module = common.AnsibleEKSModule(
        argument_spec=argspec.merged(OPTIONS, argspec.STATE, argspec.TAGS, argspec.CREATION_TAGS, argspec.WAIT),
        supports_check_mode=True,
    )
    try:
        spec = ensuring.spec_from(module.params)
        patience = argspec.patience(module.params)
        change, current, warnings = ensuring.ensure(module.eks_client(), spec, patience, module.check_mode)
    except common.AnsibleEKSError as error:
        module.fail_json_aws_error(error)
    for warning in warnings:
        module.warn(warning)
    module.exit_with(change, item=("add-on", spec.name), addon=current)


if __name__ == "__main__":
    main()
