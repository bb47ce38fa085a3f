# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The options of a declared cluster, as the role ``cluster`` and the module ``eks_cluster_plan`` take them.

A test compares them with the argument specification of the role.
"""

from __future__ import annotations

from ..argspec import ArgumentSpec

NAMES = {"type": "list", "elements": "str"}
ACCESS_POLICY: ArgumentSpec = {
    "policy": {"type": "str", "required": True},
    "namespaces": {**NAMES, "default": []},
}
ACCESS_ENTRY: ArgumentSpec = {
    "principal_arn": {"type": "str", "required": True},
    "type": {
        "type": "str",
        "choices": [
            *("STANDARD", "EC2", "EC2_LINUX", "EC2_WINDOWS"),
            *("FARGATE_LINUX", "HYBRID_LINUX", "HYPERPOD_LINUX"),
        ],
    },
    "kubernetes_groups": NAMES,
    "user_name": {"type": "str"},
    "policies": {"type": "list", "elements": "dict", "options": ACCESS_POLICY},
}
SCALING: ArgumentSpec = {"min_size": {"type": "int"}, "desired_size": {"type": "int"}, "max_size": {"type": "int"}}
METADATA: ArgumentSpec = {
    "http_tokens": {"type": "str", "choices": ["required", "optional"], "no_log": False},
    "http_put_response_hop_limit": {"type": "int"},
}
REMOTE_ACCESS: ArgumentSpec = {
    "ec2_ssh_key": {"type": "str", "no_log": False},
    "source_security_group_ids": NAMES,
}
UPDATE: ArgumentSpec = {
    "update_strategy": {"type": "str", "choices": ["DEFAULT", "MINIMAL"]},
    "max_unavailable": {"type": "int"},
    "max_unavailable_percentage": {"type": "int"},
}
TAINT: ArgumentSpec = {
    "key": {"type": "str", "required": True, "no_log": False},
    "value": {"type": "str"},
    "effect": {"type": "str", "choices": ["NO_SCHEDULE", "NO_EXECUTE", "PREFER_NO_SCHEDULE"], "required": True},
}
NODEGROUP: ArgumentSpec = {
    "name": {"type": "str", "required": True},
    "instance_types": NAMES,
    "ami_type": {"type": "str"},
    "capacity_type": {"type": "str", "choices": ["ON_DEMAND", "SPOT"]},
    "scaling": {"type": "dict", "options": SCALING},
    "zones": NAMES,
    "subnet_ids": NAMES,
    "disk_size": {"type": "int"},
    "disk_type": {"type": "str", "choices": ["gp2", "gp3", "io1", "io2"]},
    "disk_iops": {"type": "int"},
    "disk_throughput": {"type": "int"},
    "disk_encrypted": {"type": "bool"},
    "disk_kms_key_id": {"type": "str", "no_log": False},
    "disk_device": {"type": "str", "default": "/dev/xvda"},
    "metadata_options": {"type": "dict", "options": METADATA},
    "version": {"type": "str"},
    "release_version": {"type": "str"},
    "force_update": {"type": "bool"},
    "replace": {"type": "bool"},
    "remote_access": {"type": "dict", "options": REMOTE_ACCESS},
    "repair_config": {"type": "dict"},
    "update_config": {"type": "dict", "options": UPDATE},
    "additional_security_groups": {"type": "list", "elements": "raw"},
    "labels": {"type": "dict"},
    "taints": {"type": "list", "elements": "dict", "options": TAINT},
    "tags": {"type": "dict"},
}
#: Names and values are those of the role's options; names and partition have defaults there that need a template.
CLUSTER: ArgumentSpec = {
    "cluster_state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "cluster_manage": {"type": "bool", "default": True},
    "cluster_name": {"type": "str", "required": True},
    "cluster_version": {"type": "str", "default": ""},
    "cluster_subnet_ids": {**NAMES, "default": []},
    "cluster_zones": {**NAMES, "default": []},
    "cluster_network": {"type": "str", "default": "10.42.0.0/16"},
    "cluster_nat": {"type": "str", "choices": ["single", "per_zone", "none"], "default": "single"},
    "cluster_role_arn": {"type": "str", "default": ""},
    "cluster_role_name": {"type": "str"},
    "cluster_node_role_arn": {"type": "str", "default": ""},
    "cluster_node_role_name": {"type": "str"},
    "cluster_permissions_boundary": {"type": "str", "default": ""},
    "cluster_partition": {"type": "str", "default": "aws"},
    "cluster_authentication_mode": {
        "type": "str",
        "choices": ["API", "API_AND_CONFIG_MAP", "CONFIG_MAP"],
        "default": "API",
    },
    "cluster_creator_is_admin": {"type": "bool", "default": True},
    "cluster_access_entries": {"type": "list", "elements": "dict", "default": [], "options": ACCESS_ENTRY},
    "cluster_auto_mode": {"type": "bool"},
    "cluster_deletion_protection": {"type": "bool"},
    "cluster_tags": {"type": "dict", "default": {}},
    "cluster_nodegroups": {"type": "list", "elements": "dict", "default": [], "options": NODEGROUP},
}
