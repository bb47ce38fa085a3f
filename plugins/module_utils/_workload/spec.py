# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Every key of a workload, in the form of ansible-core's argument specifications: the one source.

From it come the ``options`` of every role that takes workloads, the page ``docs/declaration.md``, the JSON Schema for
editors (``tools/declaration.py`` writes all three), and the keys and types that :mod:`.validation` checks.
"""

from __future__ import annotations

import typing as t

#: The key of an option that only the page and the schema use: an example in YAML.
EXAMPLE = "example"

Options = dict[str, dict[str, t.Any]]

ROLE: Options = {
    "name": {
        "type": "str",
        "description": ["Name of the IAM role to create and manage. Give this or C(arn)."],
        EXAMPLE: "EKS-S3-Access-Role",
    },
    "arn": {
        "type": "str",
        "description": ["ARN of a role that exists and is used as it is. Nothing else can be declared with it."],
        EXAMPLE: "arn:aws:iam::111122223333:role/app",
    },
    "path": {"type": "str", "description": ["Path of the role in IAM."], "default": "/", EXAMPLE: "/workloads/"},
    "description": {
        "type": "str",
        "description": ["Description of the role, up to 1000 characters."],
        EXAMPLE: "Reads invoices",
    },
    "managed_policies": {
        "type": "list",
        "elements": "str",
        "description": [
            "Names or ARNs of managed policies. A role created here has exactly these.",
            "Workloads that share a role have all of them together.",
        ],
        EXAMPLE: ["AmazonS3ReadOnlyAccess"],
    },
    "inline_policy": {
        "type": "dict",
        "description": ["A policy document, written as the inline policy C(podidentity.eks)."],
        EXAMPLE: "\"{{ 'external-dns' | podidentity.eks.pod_identity_policy(zone_ids=['Z123']) }}\"",
    },
    "boundary": {
        "type": "str",
        "description": ["ARN of the managed policy that is the role's permissions boundary."],
        EXAMPLE: "arn:aws:iam::111122223333:policy/boundary",
    },
    "max_session_duration": {
        "type": "int",
        "description": ["Longest session of the role in seconds, 3600 to 43200."],
        "default": 3600,
        EXAMPLE: 43200,
    },
    "tags": {"type": "dict", "description": ["Tags of the role."], EXAMPLE: {"team": "payments"}},
    "trust": {
        "type": "str",
        "choices": ["scoped", "open"],
        "default": "scoped",
        "description": [
            "V(scoped) lets only this workload of this cluster use the role, V(open) every workload of every cluster "
            "of the account whose association names it.",
        ],
        EXAMPLE: "scoped",
    },
}

TARGET_ROLE: Options = {
    "account": {
        "type": "str",
        "description": [
            "Account of the target role where it is not the cluster's, in quotes. C(podidentity_accounts) says how to "
            "get there.",
        ],
        EXAMPLE: '"444455556666"',
    },
    **{key: option for key, option in ROLE.items() if key not in ("arn", "trust")},
    "name": {
        "type": "str",
        "required": True,
        "description": ["Name of the target role to create and manage."],
        EXAMPLE: "reports-reader",
    },
}

CALL: Options = {
    "service": {
        "type": "str",
        "required": True,
        "description": ["The service as boto3 names it."],
        EXAMPLE: "s3",
    },
    "operation": {
        "type": "str",
        "required": True,
        "description": ["The operation as boto3 names it."],
        EXAMPLE: "list_buckets",
    },
    "parameters": {
        "type": "dict",
        "description": ["Parameters of the call."],
        EXAMPLE: {"Bucket": "must-not-exist"},
    },
    "show": {
        "type": "str",
        "description": ["A JMESPath of what to show of the answer."],
        EXAMPLE: "'Buckets[].Name'",
    },
}

PROVE: Options = {
    "allow": {
        "type": "list",
        "elements": "dict",
        "options": CALL,
        "description": ["Calls that AWS must allow."],
        EXAMPLE: [{"service": "s3", "operation": "list_buckets"}],
    },
    "deny": {
        "type": "list",
        "elements": "dict",
        "options": CALL,
        "description": [
            "Calls that AWS must deny. One that succeeds has been made, so declare calls that do no harm.",
        ],
        EXAMPLE: [{"service": "s3", "operation": "create_bucket", "parameters": {"Bucket": "must-not-exist"}}],
    },
    "image": {
        "type": "str",
        "description": ["Image of the pod that proves this workload, in place of C(verify_image)."],
        EXAMPLE: "public.ecr.aws/lambda/python:3.13",
    },
    "node_selector": {
        "type": "dict",
        "description": ["Labels of the nodes on which its pod runs, in place of C(verify_node_selector)."],
        EXAMPLE: {"kubernetes.io/arch": "arm64"},
    },
    "tolerations": {
        "type": "list",
        "elements": "dict",
        "description": ["Tolerations of its pod, in place of C(verify_tolerations)."],
        EXAMPLE: [{"key": "gpu", "operator": "Exists"}],
    },
}

WORKLOAD: Options = {
    "namespace": {
        "type": "str",
        "required": True,
        "description": ["Namespace of the service account."],
        EXAMPLE: "payments",
    },
    "service_account": {
        "type": "str",
        "required": True,
        "description": ["Name of the service account."],
        EXAMPLE: "reports",
    },
    "service_account_managed": {
        "type": "bool",
        "default": True,
        "version_added": "0.2.0",
        "description": [
            "Whether the service account is created and removed here. V(false) where something else does, such as a "
            "Helm chart; while it does not exist, nothing is proven.",
        ],
        EXAMPLE: "false",
    },
    "state": {
        "type": "str",
        "choices": ["present", "absent"],
        "default": "present",
        "description": ["V(absent) removes what was created here for the workload."],
        EXAMPLE: "absent",
    },
    "role": {
        "type": "dict",
        "options": ROLE,
        "description": [
            "The IAM role of its pods, created here by C(name) or given by C(arn). Workloads may share a role; each "
            "setting is then declared once.",
        ],
        EXAMPLE: {"name": "payments-reports", "managed_policies": ["AmazonS3ReadOnlyAccess"]},
    },
    "target_role": {
        "type": "dict",
        "options": TARGET_ROLE,
        "version_added": "0.2.0",
        "description": [
            "A role, of another account as a rule, that is created here and assumed with the first one. Its pods hold "
            "this role.",
        ],
        EXAMPLE: {"name": "reports-reader", "account": "444455556666"},
    },
    "target_role_arn": {
        "type": "str",
        "description": ["ARN of a target role that exists and is used as it is."],
        EXAMPLE: "arn:aws:iam::444455556666:role/reports-reader",
    },
    "policy": {
        "type": "dict",
        "description": ["A session policy. EKS takes one only with C(disable_session_tags=true)."],
        EXAMPLE: {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]},
    },
    "disable_session_tags": {
        "type": "bool",
        "default": False,
        "description": ["Whether sessions have none of the six session tags that EKS adds."],
        EXAMPLE: "true",
    },
    "tags": {"type": "dict", "description": ["Tags of the association."], EXAMPLE: {"team": "payments"}},
    "prove": {
        "type": "dict",
        "options": PROVE,
        "description": ["What a pod of the workload proves, beside its identity, and where it runs."],
        EXAMPLE: {"allow": [{"service": "s3", "operation": "list_buckets", "show": "Buckets[].Name"}]},
    },
}


#: Variables of the playbooks: what they set, type, default, example.
VARIABLES: dict[str, tuple[str, str, str, str]] = {
    "eks_cluster_name": ("Name of the cluster of this host.", "str", "the host's name", "example"),
    "eks_region": ("Region of the cluster.", "str", "", "eu-west-1"),
    "eks_profile": ("AWS profile for this cluster.", "str", "", "production"),
    "eks_assume_role_arn": ("Role to assume for this cluster.", "str", "", "arn:aws:iam::111122223333:role/deploy"),
    "eks_assume_role_external_id": ("External ID for `eks_assume_role_arn`.", "str", "", "example"),
    "eks_account_id": ("Account of the cluster; the caller must be of it.", "str", "", '"111122223333"'),
    "podidentity_workloads": ("The workloads of the cluster.", "list", "[]", "see below"),
    "podidentity_purge": (
        "Whether what was created here and is no longer declared is removed: `none`, `namespace` (in the declared "
        "namespaces) or `cluster`.",
        "str",
        "none",
        "cluster",
    ),
    "podidentity_revoke_sessions": ("Whether sessions of removed workloads end at once.", "bool", "false", "true"),
    "podidentity_accounts": (
        "Ways into the accounts of target roles: by account ID a `profile`, or `assume_role_arn` and "
        "`assume_role_external_id`.",
        "dict",
        "{}",
        '{"444455556666": {profile: data}}',
    ),
    "podidentity_serial": ("How many clusters a play works on at a time.", "str", "100%", '"20%"'),
    "podidentity_proof_file": ("File on the controller for the proofs, as JSON.", "str", "", "proof.json"),
    "podidentity_junit_file": ("File on the controller for the proofs, as JUnit XML.", "str", "", "proof.xml"),
    "podidentity_plan_file": (
        "File on the controller for the plan of a check run as JSON, and beside it as Markdown.",
        "str",
        "",
        "plan.json",
    ),
    "podidentity_allowed_namespaces": (
        "Namespaces that a request of a survey may name, as patterns such as `team-*`. Without it any.",
        "list",
        "",
        '["team-*"]',
    ),
    "podidentity_allowed_role_names": (
        "Names of roles that a request may name, as patterns. Without it any.",
        "list",
        "",
        '["team-*"]',
    ),
    "podidentity_allowed_policies": (
        "Managed policies that a request may ask for, as patterns of names or ARNs. Without it any.",
        "list",
        "",
        "[AmazonS3ReadOnlyAccess]",
    ),
    "podidentity_own_variables": (
        "Variables of your own that look like misspelt ones of this collection and are meant.",
        "list",
        "[]",
        "[cluster_tag]",
    ),
}


def argument_spec(options: Options) -> Options:
    """The options as ansible-core's argument specifications take them, without examples."""
    found: Options = {}
    for name, option in options.items():
        found[name] = {key: value for key, value in option.items() if key != EXAMPLE}
        if "options" in option:
            found[name]["options"] = argument_spec(option["options"])
    return found
