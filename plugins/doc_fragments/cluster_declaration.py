# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of a declared cluster, as the role ``cluster`` has them: ``podidentity.eks.cluster_declaration``."""

from __future__ import annotations


class ModuleDocFragment:
    """What is declared of a cluster and of what it stands on; a test compares it with the role's options."""

    DOCUMENTATION = r"""
options:
  cluster_state:
    description:
      - V(absent) removes the cluster and all that was made with it, in the right order.
      - A cluster with node groups without the tag is left, since EKS removes none that has node groups. They are named,
        and the task fails.
    type: str
    choices: [present, absent]
    default: present
  cluster_manage:
    description:
      - V(false) for a cluster that something else manages. It is only observed, whatever else is declared, but for
        O(cluster_access_entries), and its absence is a failure.
    type: bool
    default: true
  cluster_name:
    description:
      - The cluster's name.
    type: str
    required: true
  cluster_version:
    description:
      - The Kubernetes version, such as V("1.35").
      - Empty, a new cluster gets the default of AWS and an existing one keeps its version.
      - EKS takes one minor version at a time, and none backwards. The node groups follow, unless their own C(version)
        says otherwise.
    type: str
    default: ""
  cluster_subnet_ids:
    description:
      - Existing subnets for the cluster, at least two, in different zones. Empty, a network is made.
    type: list
    elements: str
    default: []
  cluster_zones:
    description:
      - Availability zones of the network that is made, at least two. An existing cluster keeps the subnets of its
        control plane when there are more; new node groups can use them.
    type: list
    elements: str
    default: []
  cluster_network:
    description:
      - Address range of the network that is made. Each subnet gets a sixteenth of it.
    type: str
    default: 10.42.0.0/16
  cluster_nat:
    description:
      - How nodes in the network that is made reach the internet. With V(single) they are in private subnets behind one
        NAT gateway; with V(per_zone) behind one in each zone, so that no zone depends on another.
      - With V(none) there are public subnets only, and the nodes have public addresses.
      - NAT gateways and their addresses cost money for each hour.
      - To a network of public subnets, as version 0.1.0 made it, private ones are added. Node groups that exist stay
        where they are, since EKS cannot move them, unless they are declared with C(replace).
    type: str
    choices: [single, per_zone, none]
    default: single
  cluster_role_arn:
    description:
      - An existing role for the cluster. Empty, a role is made.
    type: str
    default: ""
  cluster_role_name:
    description:
      - Name of the cluster's role that is made, C(<cluster>-cluster) if it is not set.
    type: str
  cluster_node_role_arn:
    description:
      - An existing role for the nodes. Empty, a role is made.
      - It needs C(eks-auth:AssumeRoleForPodIdentity), without which no pod gets an identity.
    type: str
    default: ""
  cluster_node_role_name:
    description:
      - Name of the nodes' role that is made, C(<cluster>-nodes) if it is not set.
    type: str
  cluster_permissions_boundary:
    description:
      - ARN of the managed policy that the roles made here get as their permissions boundary. Empty, they keep the one
        that they have, if any.
      - It has to let the nodes do what C(AmazonEKSWorkerNodePolicy) allows, and the control plane what
        C(AmazonEKSClusterPolicy) does.
    type: str
    default: ""
  cluster_partition:
    description:
      - The AWS partition, which is part of the names of AWS's own policies.
    type: str
    default: aws
  cluster_authentication_mode:
    description:
      - What the cluster asks for a caller's permissions, access entries (V(API)) or the old config map.
    type: str
    choices: [API, API_AND_CONFIG_MAP, CONFIG_MAP]
    default: API
  cluster_creator_is_admin:
    description:
      - Whether the identity that makes the cluster becomes its administrator.
    type: bool
    default: true
  cluster_access_entries:
    description:
      - Who has access to the cluster beside its creator. Entries that are not declared are left alone.
      - They are also created on a cluster that is not managed here. With O(cluster_state=absent) those are removed that
        this collection has created.
    type: list
    elements: dict
    default: []
    suboptions:
      principal_arn:
        description:
          - ARN of the IAM role or user.
        type: str
        required: true
      type:
        description:
          - What the principal is. A new entry is V(STANDARD), for people and programs, if it is left out.
        type: str
        choices: [STANDARD, EC2, EC2_LINUX, EC2_WINDOWS, FARGATE_LINUX, HYBRID_LINUX, HYPERPOD_LINUX]
      kubernetes_groups:
        description:
          - Its groups in Kubernetes.
        type: list
        elements: str
      user_name:
        description:
          - Its name in Kubernetes, instead of the one that EKS makes of the ARN.
        type: str
      policies:
        description:
          - Its EKS access policies; others that it has are taken away.
        type: list
        elements: dict
        suboptions:
          policy:
            description:
              - Name of the access policy, such as V(AmazonEKSViewPolicy), or its ARN.
            type: str
            required: true
          namespaces:
            description:
              - The namespaces that it counts in. Empty, the whole cluster.
            type: list
            elements: str
            default: []
  cluster_auto_mode:
    description:
      - Whether EKS Auto Mode provides nodes, volumes and load balancers, in place of or beside node groups. It has the
        agent of EKS Pod Identity built in.
      - Not set (null), an existing cluster keeps what it has, and a new one has none.
    type: bool
  cluster_deletion_protection:
    description:
      - Whether the cluster is protected from deletion, by this role too. Not set (null), it stays as it is.
      - With O(cluster_state=absent), V(false) has a protected cluster removed all the same.
    type: bool
  cluster_tags:
    description:
      - Tags for everything that is made here.
    type: dict
    default: {}
  cluster_nodegroups:
    description:
      - The managed node groups.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - The node group's name.
        type: str
        required: true
      instance_types:
        description:
          - Instance types of its nodes.
        type: list
        elements: str
      ami_type:
        description:
          - Kind of machine image, such as V(AL2023_x86_64_STANDARD). AWS chooses where it is left out.
        type: str
      capacity_type:
        description:
          - How the instances are bought.
        type: str
        choices: [ON_DEMAND, SPOT]
      scaling:
        description:
          - How many nodes there are.
        type: dict
        suboptions:
          min_size:
            description:
              - The fewest.
            type: int
          desired_size:
            description:
              - How many now.
            type: int
          max_size:
            description:
              - The most.
            type: int
      zones:
        description:
          - The zones of its nodes. Left out, all zones of the network are used.
        type: list
        elements: str
      subnet_ids:
        description:
          - The subnets of its nodes, in place of zones.
        type: list
        elements: str
      disk_size:
        description:
          - Size of each node's volume in GiB.
        type: int
      disk_type:
        description:
          - Type of the volume. This option and the next four need a launch template, which is made as well.
        type: str
        choices: [gp2, gp3, io1, io2]
      disk_iops:
        description:
          - Input and output operations that the volume is to do in a second.
        type: int
      disk_throughput:
        description:
          - What a V(gp3) volume is to carry in a second, in MiB.
        type: int
      disk_encrypted:
        description:
          - Whether the volume is encrypted.
        type: bool
      disk_kms_key_id:
        description:
          - The KMS key that it is encrypted with, in place of the account's default.
        type: str
      disk_device:
        description:
          - The volume's device name in a launch template. It depends on the machine image (Bottlerocket keeps its data
            on V(/dev/xvdb)).
        type: str
        default: /dev/xvda
      metadata_options:
        description:
          - How the nodes offer their instance metadata. It needs a launch template, which is made as well.
          - What is left out of it is as EKS has it for nodes without one, V(required) and V(2).
        type: dict
        suboptions:
          http_tokens:
            description:
              - Whether each request needs a token (IMDSv2).
            type: str
            choices: [required, optional]
          http_put_response_hop_limit:
            description:
              - How many network hops the answer may go. With V(1) no pod but those of the host network reaches it, and
                so none gets the role of its node.
            type: int
      version:
        description:
          - Kubernetes version of the nodes, in place of C(cluster_version). It can be behind the cluster's, never
            beyond it.
        type: str
      release_version:
        description:
          - Version of the machine image. Left out, it stays until the nodes are replaced for other reasons.
        type: str
      force_update:
        description:
          - Whether an update ends pods that a disruption budget keeps from being evicted.
        type: bool
      replace:
        description:
          - Whether a node group that EKS cannot change as declared is replaced by another one. The new one is made
            first. It moves the nodes of an older network into its private subnets, too.
        type: bool
      remote_access:
        description:
          - Access to the nodes by SSH. It cannot be had together with a launch template.
        type: dict
        suboptions:
          ec2_ssh_key:
            description:
              - Name of the EC2 key pair.
            type: str
          source_security_group_ids:
            description:
              - Security groups from which the nodes can be reached.
            type: list
            elements: str
      repair_config:
        description:
          - Whether and how EKS repairs nodes that are not healthy, as C(podidentity.eks.eks_nodegroup) takes it.
        type: dict
      update_config:
        description:
          - How many nodes may be unavailable while the group is updated.
        type: dict
        suboptions:
          update_strategy:
            description:
              - Whether new nodes start before old ones end (V(DEFAULT)), or after (V(MINIMAL)).
            type: str
            choices: [DEFAULT, MINIMAL]
          max_unavailable:
            description:
              - A number of nodes.
            type: int
          max_unavailable_percentage:
            description:
              - A share of the nodes.
            type: int
      additional_security_groups:
        description:
          - Security groups beside the cluster's own. Each is the id of an existing group, or a mapping with C(name),
            C(description) and C(rules) as C(amazon.aws.ec2_security_group) takes them, which is made in the cluster's
            VPC and named after the cluster, C(<cluster>-<name>).
          - They need a launch template, which is made as well.
        type: list
        elements: raw
      labels:
        description:
          - Kubernetes labels of its nodes.
        type: dict
      taints:
        description:
          - Kubernetes taints of its nodes.
        type: list
        elements: dict
        suboptions:
          key:
            description:
              - The taint's key.
            type: str
            required: true
          value:
            description:
              - The taint's value.
            type: str
          effect:
            description:
              - What it does.
            type: str
            choices: [NO_SCHEDULE, NO_EXECUTE, PREFER_NO_SCHEDULE]
            required: true
      tags:
        description:
          - Tags of the node group.
        type: dict
"""
