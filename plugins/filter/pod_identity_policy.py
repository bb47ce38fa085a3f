# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The IAM policy of a well-known controller."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_identity_policy
short_description: The IAM policy that a well-known controller needs
version_added: 0.2.0
author:
  - podidentity.eks contributors (@podidentity)
description:
  - Returns the policy document for a controller that many clusters have, such as external-dns or the EBS CSI driver,
    with what the given parameters allow and no more. A workload takes it as C(role.inline_policy).
  - Each follows what AWS or the makers of the controller document, and is narrower where the controller can do with
    less, for example by the tags that it sets on what it makes.
  - What cannot be right in the parameters is said at once, one sentence for each problem.
positional: _input
options:
  _input:
    description: The name of the policy; the notes list them.
    type: str
    required: true
  partition:
    description: The partition of the ARNs that are not given, such as V(aws-cn).
    type: str
    default: aws
  access_log_buckets:
    description:
      - Names of the buckets that it may let access logs be delivered to.
      - Of V(aws-gateway-controller).
    type: list
    elements: str
    default: []
  access_logs:
    description:
      - Whether it may deliver access logs to CloudWatch Logs and Firehose.
      - Of V(aws-gateway-controller).
    type: bool
    default: false
  auto_scaling_groups:
    description:
      - Names of the auto scaling groups whose lifecycle actions it completes, V(*) for any.
      - Of V(node-termination-handler).
    type: list
    elements: str
    default: ["*"]
  buckets:
    description:
      - Names of the buckets that file systems are linked with.
      - Names of the buckets.
      - Names of the buckets for backups.
      - Of V(fsx-lustre-csi), V(mountpoint-s3-csi), V(velero).
    type: list
    elements: str
  certificate_authority_arns:
    description:
      - ARNs of the certificate authorities.
      - Of V(privateca-issuer).
    type: list
    elements: str
  cluster_name:
    description:
      - Name of the cluster.
      - Of V(cloudwatch-observability), V(cluster-autoscaler), V(load-balancer-controller).
    type: str
  clusters:
    description:
      - Names of the database clusters (Aurora), V(*) for any.
      - Of V(pganalyze).
    type: list
    elements: str
    default: ["*"]
  file_systems:
    description:
      - IDs of the file systems, V(*) for any.
      - Of V(efs-csi).
    type: list
    elements: str
    default: ["*"]
  find:
    description:
      - Whether it may list all secrets and parameters of the account, as C(dataFrom.find) needs; not their values.
      - Of V(external-secrets).
    type: bool
    default: false
  hosted_zone_arns:
    description:
      - ARNs of the hosted zones whose records it may change.
      - Of V(cert-manager), V(external-dns).
    type: list
    elements: str
  instances:
    description:
      - Names of the database instances, V(*) for any.
      - Of V(pganalyze).
    type: list
    elements: str
    default: ["*"]
  ipv6:
    description:
      - Whether the cluster's addresses are of IPv6, instead of IPv4.
      - Of V(vpc-cni).
    type: bool
    default: false
  kms_key_arns:
    description:
      - ARNs of the keys that volumes are encrypted with.
      - ARNs of the keys of one's own that they are encrypted with.
      - ARNs of the keys that objects are encrypted with.
      - ARNs of the keys that backups in S3 are encrypted with.
      - Of V(ebs-csi), V(external-secrets), V(mountpoint-s3-csi), V(secrets-store-csi), V(velero).
    type: list
    elements: str
    default: []
  metric_namespaces:
    description:
      - Namespaces of CloudWatch that it may write metrics to.
      - Of V(cloudwatch-observability).
    type: list
    elements: str
    default: ["ApplicationSignals", "CWAgent", "ContainerInsights", "ContainerInsights/Prometheus"]
  network_policy_logs:
    description:
      - Whether it may write the logs of network policies to CloudWatch Logs.
      - Of V(vpc-cni).
    type: bool
    default: false
  parameter_arns:
    description:
      - ARNs of the parameters in Parameter Store that it may read, V(*) at the end included.
      - Of V(external-secrets), V(secrets-store-csi).
    type: list
    elements: str
    default: []
  prefix:
    description:
      - What the keys of the objects begin with, such as V(backups/). Empty for all objects.
      - Of V(mountpoint-s3-csi), V(velero).
    type: str
    default: ''
  protection:
    description:
      - Whether it may attach WAF and Shield, as it does unless told otherwise.
      - Of V(load-balancer-controller).
    type: bool
    default: true
  push:
    description:
      - Whether it may also write them (PushSecret), and delete those that it has made.
      - Of V(external-secrets).
    type: bool
    default: false
  query:
    description:
      - Whether it may also read metrics.
      - Of V(amazon-managed-prometheus).
    type: bool
    default: false
  queue_arns:
    description:
      - ARNs of the SQS queues.
      - Of V(node-termination-handler).
    type: list
    elements: str
  read_only:
    description:
      - Whether it may only read.
      - Of V(mountpoint-s3-csi).
    type: bool
    default: false
  secret_arns:
    description:
      - ARNs of the secrets in Secrets Manager that it may read, V(*) at the end included.
      - Of V(external-secrets), V(secrets-store-csi).
    type: list
    elements: str
    default: []
  snapshots:
    description:
      - Whether it may take and restore snapshots of volumes.
      - Of V(velero).
    type: bool
    default: true
  target_group_arns:
    description:
      - ARNs of the target groups.
      - Of V(load-balancer-controller-target-groups).
    type: list
    elements: str
  traces:
    description:
      - Whether it may send traces to X-Ray.
      - Of V(cloudwatch-observability).
    type: bool
    default: true
  volume_key_arns:
    description:
      - ARNs of the keys that volumes are encrypted with.
      - Of V(velero).
    type: list
    elements: str
    default: []
  workspace_arns:
    description:
      - ARNs of the workspaces.
      - Of V(amazon-managed-prometheus).
    type: list
    elements: str
notes:
  - V(amazon-managed-prometheus) - Sends metrics to Amazon Managed Service for Prometheus. Needs O(workspace_arns).
    Takes O(query). Usually prometheus/amp-iamproxy-ingest-service-account. See
    U(https://docs.aws.amazon.com/prometheus/latest/userguide/set-up-irsa.html).
  - V(aws-gateway-controller) - Makes VPC Lattice networks and services of the Gateway API. Takes O(access_logs),
    O(access_log_buckets). Usually aws-application-networking-system/gateway-api-controller. See
    U(https://github.com/aws/aws-application-networking-k8s/blob/main/files/controller-installation/recommended-inline-policy.json).
  - V(cert-manager) - Answers DNS01 challenges in Route 53; of records it may change only those of type TXT. Needs
    O(hosted_zone_arns). Usually cert-manager/cert-manager. See
    U(https://cert-manager.io/docs/configuration/acme/dns01/route53/).
  - V(cloudwatch-observability) - Sends metrics, logs and traces of a cluster to CloudWatch and X-Ray. Needs
    O(cluster_name). Takes O(metric_namespaces), O(traces). Usually amazon-cloudwatch/cloudwatch-agent. See
    U(https://docs.aws.amazon.com/aws-managed-policy/latest/reference/CloudWatchAgentServerPolicy.html).
  - V(cluster-autoscaler) - Changes the size of the auto scaling groups that carry the cluster's tags for it. Needs
    O(cluster_name). Usually kube-system/cluster-autoscaler. See
    U(https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/cloudprovider/aws/README.md).
  - V(ebs-csi) - Makes, attaches and deletes EBS volumes, and deletes only what the driver made. Takes
    O(kms_key_arns). Usually kube-system/ebs-csi-controller-sa. See
    U(https://github.com/kubernetes-sigs/aws-ebs-csi-driver/blob/master/docs/example-iam-policy.json).
  - V(efs-csi) - Makes access points of EFS file systems, and deletes only those that the driver made. Takes
    O(file_systems). Usually kube-system/efs-csi-controller-sa. See
    U(https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonEFSCSIDriverPolicy.html).
  - V(external-dns) - Keeps records of Route 53 for services and ingresses. Needs O(hosted_zone_arns). Usually
    external-dns/external-dns. See
    U(https://github.com/kubernetes-sigs/external-dns/blob/master/docs/tutorials/aws.md).
  - V(external-secrets) - Reads secrets and parameters into Secrets of Kubernetes. Takes O(secret_arns),
    O(parameter_arns), O(kms_key_arns), O(find), O(push). Usually external-secrets/external-secrets. See
    U(https://external-secrets.io/latest/provider/aws-secrets-manager/).
  - V(fsx-lustre-csi) - Makes file systems of FSx for Lustre, and changes only those that the driver made. Takes
    O(buckets). Usually kube-system/fsx-csi-controller-sa. See
    U(https://github.com/kubernetes-sigs/aws-fsx-csi-driver/blob/master/docs/install.md).
  - V(fsx-openzfs-csi) - Makes file systems, volumes and snapshots of FSx for OpenZFS, and deletes only those that the
    driver made. Usually kube-system/fsx-openzfs-csi-controller-sa. See
    U(https://github.com/kubernetes-sigs/aws-fsx-openzfs-csi-driver/blob/main/docs/example-iam-policy.json).
  - V(load-balancer-controller) - Makes load balancers for services and ingresses, and changes only those of its
    cluster. Needs O(cluster_name). Takes O(protection). Usually kube-system/aws-load-balancer-controller. See
    U(https://github.com/kubernetes-sigs/aws-load-balancer-controller/blob/main/docs/install/iam_policy.json).
  - V(load-balancer-controller-target-groups) - The load balancer controller where it only fills target groups that
    exist (TargetGroupBinding). Needs O(target_group_arns). Usually kube-system/aws-load-balancer-controller. See
    U(https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/deploy/installation/).
  - V(mountpoint-s3-csi) - Mounts buckets of S3 as file systems. Needs O(buckets). Takes O(prefix), O(read_only),
    O(kms_key_arns). Usually kube-system/s3-csi-driver-sa. See
    U(https://github.com/awslabs/mountpoint-s3/blob/main/doc/CONFIGURATION.md#iam-permissions).
  - V(node-termination-handler) - Drains nodes that are to go, told by a queue. Needs O(queue_arns). Takes
    O(auto_scaling_groups). Usually kube-system/aws-node-termination-handler. See
    U(https://github.com/aws/aws-node-termination-handler#5-create-an-iam-role-for-the-pods).
  - V(pganalyze) - Collects statistics and logs of PostgreSQL on RDS. Takes O(instances), O(clusters). Usually
    default/pganalyze-service-account. See U(https://pganalyze.com/docs/install/amazon_rds/03_install_collector_eks).
  - V(privateca-issuer) - Has certificates of cert-manager signed by AWS Private CA. Needs
    O(certificate_authority_arns). Usually aws-privateca-issuer/aws-privateca-issuer. See
    U(https://github.com/cert-manager/aws-privateca-issuer#configuration).
  - V(secrets-store-csi) - Mounts secrets and parameters into a pod by the provider of AWS; the service account is the
    pod's own. Takes O(secret_arns), O(parameter_arns), O(kms_key_arns). See
    U(https://docs.aws.amazon.com/secretsmanager/latest/userguide/ascp-pod-identity-integration.html).
  - V(velero) - Keeps backups in S3 and takes snapshots of EBS volumes, and deletes only its own. Needs O(buckets).
    Takes O(prefix), O(snapshots), O(kms_key_arns), O(volume_key_arns). Usually velero/velero. See
    U(https://github.com/velero-io/velero-plugin-for-aws#set-permissions-for-velero).
  - V(vpc-cni) - Gives pods their addresses. Takes O(ipv6), O(network_policy_logs). Usually kube-system/aws-node. See
    U(https://docs.aws.amazon.com/eks/latest/userguide/cni-iam-role.html).
seealso:
  - plugin: podidentity.eks.pod_identity_trust_policy
    plugin_type: filter
"""

EXAMPLES = r"""
# Needs: an AWS account.

- name: Check a declaration of external-dns that may change the records of one zone
  ansible.builtin.assert:
    that: workloads | podidentity.eks.pod_identity_workload_problems | length == 0
  vars:
    workloads:
      - namespace: external-dns
        service_account: external-dns
        role:
          name: external-dns
          inline_policy: >-
            {{ 'external-dns' | podidentity.eks.pod_identity_policy(
               hosted_zone_arns=['arn:aws:route53:::hostedzone/Z0123456789ABCDEFGHIJ']) }}

- name: A managed policy, for roles that are made elsewhere
  amazon.aws.iam_managed_policy:
    name: velero
    policy: "{{ 'velero' | podidentity.eks.pod_identity_policy(buckets=['our-backups'], prefix='production/') }}"
"""

RETURN = r"""
_value:
  description: The policy document.
  type: dict
  sample:
    Version: "2012-10-17"
    Statement:
      - Sid: FindZones
        Effect: Allow
        Action: ['route53:ListHostedZones']
        Resource: ['*']
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import plain
from ansible_collections.podidentity.eks.plugins.plugin_utils import policy_library


def pod_identity_policy(name: str, /, **parameters: t.Any) -> dict[str, t.Any]:
    """The filter; see its documentation above."""
    try:
        return policy_library.policy(name).document(plain(parameters))
    except policy_library.PolicyError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_identity_policy": pod_identity_policy}
