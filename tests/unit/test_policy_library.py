# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The policies of well-known controllers: every data file, the filter that fills them in, and what documents them."""

from __future__ import annotations

import importlib
import json
import re
import typing as t

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_policy import pod_identity_policy
from ansible_collections.podidentity.eks.plugins.module_utils._eks.validation import NAMESPACE
from ansible_collections.podidentity.eks.plugins.module_utils._eks.validation import SERVICE_ACCOUNT
from ansible_collections.podidentity.eks.plugins.plugin_utils import policy_library
from ansible_collections.podidentity.eks.plugins.plugin_utils.policy_library import Policy
from support.environment import DATA

POLICIES = {name: policy_library.policy(name) for name in policy_library.names()}
CASES = json.loads((DATA / "policy-cases.json").read_text(encoding="utf-8"))
#: Characters of a managed policy (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html).
MANAGED_LIMIT = 6_144
ACTION = re.compile(r"[a-z0-9-]+:[A-Z][A-Za-z0-9]+\*?")
#: Actions on everything only look, or are of services that know no resources for them.
READ_ACTION = re.compile(r"[a-z0-9-]+:(Describe|List|Get|BatchGet)\w+")
WITHOUT_RESOURCES = re.compile(
    r"cloudwatch:PutMetricData|xray:Put\w+|shield:\w+|waf-regional:\w+|wafv2:\w+|tag:\w+|logs:(\w+LogDelivery|PutResourcePolicy)"
)
ZONE = "arn:aws:route53:::hostedzone/Z0123456789ABCDEFGHIJ"
every_policy = pytest.mark.parametrize("name", POLICIES)


def example_values(policy: Policy, *, only_needed: bool = False) -> dict[str, t.Any]:
    """The parameters' examples: of all of them, or of those that are needed."""
    values = {
        name: True if each.type == "bool" else each.like if each.type == "str" else [each.like]
        for name, each in policy.parameters.items()
    }
    needed = {name: values[name] for name, each in policy.parameters.items() if each.default is None}
    return needed if only_needed else values


def documents(name: str) -> list[dict[str, t.Any]]:
    """The documents for the parameters of all cases."""
    return [POLICIES[name].document(case["parameters"]) for case in CASES[name]]


@every_policy
def test_data_file_is_complete(name: str) -> None:
    policy = POLICIES[name]
    assert policy.name == name
    assert policy.description.endswith(".")
    assert policy.source.startswith("https://")
    if policy.service_account is not None:
        assert NAMESPACE.fullmatch(policy.service_account["namespace"])
        assert SERVICE_ACCOUNT.fullmatch(policy.service_account["name"])
    for parameter in policy.parameters.values():
        assert parameter.description.endswith(".")
        assert (parameter.type == "bool") == (parameter.pattern == "") == (parameter.like == "")
    assert policy.problems(example_values(policy)) == []


@every_policy
def test_statements_use_every_parameter_and_no_other(name: str) -> None:
    policy = POLICIES[name]
    text = json.dumps(policy.statements)
    switches = {statement[key] for statement in policy.statements for key in ("when", "unless") if key in statement}
    used = set(policy_library.PLACEHOLDER.findall(text)) | switches
    assert used - {"partition"} == set(policy.parameters)
    assert len({statement["Sid"] for statement in policy.statements}) == len(policy.statements)
    for statement in policy.statements:
        assert set(statement) - {"when", "unless", "Condition"} == {"Sid", "Effect", "Action", "Resource"}
        assert statement["Effect"] == "Allow"
        assert "arn:aws:" not in json.dumps(statement["Resource"]), "the partition is a parameter"


@every_policy
def test_actions_are_explicit_and_writes_are_scoped(name: str) -> None:
    for statement in POLICIES[name].statements:
        assert [action for action in statement["Action"] if not ACTION.fullmatch(action)] == []
        if statement["Resource"] == ["*"]:
            allowed = [READ_ACTION.fullmatch(each) or WITHOUT_RESOURCES.fullmatch(each) for each in statement["Action"]]
            assert all(allowed), statement


@every_policy
def test_policy_fits_inline_and_managed_limits(name: str) -> None:
    assert CASES[name], "a policy needs cases"
    sizes = [policy_library.size(document) for document in documents(name)]
    assert max(sizes) <= MANAGED_LIMIT <= policy_library.INLINE_LIMIT
    assert all("${" not in json.dumps(document) for document in documents(name))


@every_policy
def test_only_required_parameters_are_reported_missing(name: str) -> None:
    policy = POLICIES[name]
    needed = example_values(policy, only_needed=True)
    assert policy.problems(needed) == []
    assert [problem.split()[0] for problem in policy.problems({})] == list(needed)


def test_list_parameter_expands_to_resources() -> None:
    document = pod_identity_policy("velero", buckets=["one", "two"], prefix="daily/", snapshots=False)
    listing, backups = document["Statement"]
    assert listing["Resource"] == ["arn:aws:s3:::one", "arn:aws:s3:::two"]
    assert backups["Resource"] == ["arn:aws:s3:::one/daily/*", "arn:aws:s3:::two/daily/*"]


def test_iam_policy_variables_are_kept() -> None:
    statement = {
        "Sid": "Own",
        "Effect": "Allow",
        "Action": ["s3:GetObject"],
        "Resource": ["arn:${partition}:s3:::${buckets}/${aws:PrincipalTag/kubernetes-namespace}/*"],
    }
    buckets = policy_library.Parameter("list", "Buckets.", "[a-z]+", "data")
    policy = Policy("own", "Own.", "https://example.com", None, {"buckets": buckets}, [statement])
    [made] = policy.document({"buckets": ["data"]})["Statement"]
    assert made["Resource"] == ["arn:aws:s3:::data/${aws:PrincipalTag/kubernetes-namespace}/*"]


def test_unknown_policy_lists_similar_and_all_names() -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        pod_identity_policy("external-dn")
    said = str(caught.value)
    assert said.startswith('There is no policy "external-dn" (did you mean external-dns')
    assert said.endswith(f"There are: {', '.join(POLICIES)}.")


def test_all_parameter_problems_are_reported_at_once() -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        pod_identity_policy("velero", bucket=["x"], prefix="a*", snapshots="yes", kms_key_arns="k", partition="azure")
    assert str(caught.value).splitlines() == [
        "Policy velero: bucket is no parameter of it: give buckets, prefix, snapshots, kms_key_arns, "
        "volume_key_arns, partition (did you mean buckets?).",
        'Policy velero: buckets is missing: give a list, such as ["my-bucket"].',
        'Policy velero: prefix holds "a*": give one such as "backups/".',
        'Policy velero: snapshots is "yes": give true or false.',
        'Policy velero: kms_key_arns is "k": give a list, such as '
        '["arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"].',
        'Policy velero: partition holds "azure": give one such as "aws-us-gov".',
    ]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"hosted_zone_arns": []}, f'hosted_zone_arns is empty: give a list, such as ["{ZONE}"].'),
        ({"hosted_zone_arns": [ZONE, "Z1"]}, f'hosted_zone_arns holds "Z1": give one such as "{ZONE}".'),
        ({"hosted_zone_arns": [ZONE, None]}, f'hosted_zone_arns holds null: give one such as "{ZONE}".'),
        ({"hosted_zone_arns": [f"{ZONE}\n"]}, f'hosted_zone_arns holds "{ZONE}\\n": give one such as "{ZONE}".'),
    ],
)
def test_invalid_value_is_shown(parameters: dict[str, t.Any], said: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        pod_identity_policy("external-dns", **parameters)
    assert str(caught.value) == f"Policy external-dns: {said}"


def test_policy_that_allows_nothing_is_refused() -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        pod_identity_policy("secrets-store-csi")
    wanted = "give at least one of secret_arns, parameter_arns, kms_key_arns."
    assert str(caught.value) == f"Policy secrets-store-csi would allow nothing: {wanted}"


def test_policy_over_iam_size_limit_is_refused() -> None:
    zones = [f"{ZONE}{number}" for number in range(300)]
    with pytest.raises(AnsibleFilterError, match=r"more than the 10240 that IAM keeps in a role"):
        pod_identity_policy("external-dns", hosted_zone_arns=zones)


# --- the documentation ------------------------------------------------------------------------------------------------


def documentation() -> dict[str, t.Any]:
    module = importlib.import_module("ansible_collections.podidentity.eks.plugins.filter.pod_identity_policy")
    found: dict[str, t.Any] = yaml.safe_load(module.DOCUMENTATION)
    return found


def note(policy: Policy) -> str:
    """What the filter's documentation says of a policy."""
    needed = [f"O({name})" for name, each in policy.parameters.items() if each.default is None]
    taken = [f"O({name})" for name, each in policy.parameters.items() if each.default is not None]
    account = policy.service_account
    return " ".join(
        [
            f"V({policy.name}) - {policy.description}",
            *([f"Needs {', '.join(needed)}."] if needed else []),
            *([f"Takes {', '.join(taken)}."] if taken else []),
            *([f"Usually {account['namespace']}/{account['name']}."] if account else []),
            f"See U({policy.source}).",
        ]
    )


def test_documentation_lists_every_policy() -> None:
    assert documentation()["notes"] == [note(policy) for policy in POLICIES.values()]


def test_documentation_describes_every_parameter() -> None:
    options = documentation()["options"]
    names = {name for policy in POLICIES.values() for name in policy.parameters}
    assert set(options) == names | {"_input", "partition"}
    for name in names:
        having = [policy for policy in POLICIES.values() if name in policy.parameters]
        parameters = [policy.parameters[name] for policy in having]
        of = f"Of {', '.join(f'V({policy.name})' for policy in having)}."
        assert options[name]["description"] == [*dict.fromkeys(each.description for each in parameters), of]
        assert {each.type for each in parameters} == {options[name]["type"]}
        defaults = [each.default for each in parameters]
        same = all(default == defaults[0] for default in defaults)
        assert options[name].get("default") == (defaults[0] if same else None)
