# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One specification of a workload: what follows from it is equal everywhere, and each mistake is one sentence."""

from __future__ import annotations

import json
import typing as t

import jsonschema
import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_plan_markdown import pod_identity_plan_markdown
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_requested import pod_identity_requested
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_trust_policy import pod_identity_trust_policy
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_workload_problems import (
    pod_identity_workload_problems,
)
from ansible_collections.podidentity.eks.plugins.lookup.pod_identity_host_problems import host_problems
from ansible_collections.podidentity.eks.plugins.lookup.pod_identity_host_problems import role_options
from ansible_collections.podidentity.eks.plugins.module_utils._eks.association import many
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSError
from ansible_collections.podidentity.eks.plugins.module_utils._workload import spec
from hypothesis import given
from hypothesis import strategies as st
from support.environment import ROOT

from tools import declaration

ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/example"
ROLE = "arn:aws:iam::111122223333:role/x"
Workload = dict[str, t.Any]
HERE = {"eks_region": "eu-west-1"}


def workload(**changes: t.Any) -> Workload:
    return {"namespace": "a", "service_account": "b", "role": {"name": "x"}, **changes}


# --- one source -------------------------------------------------------------------------------------------------------


def test_roles_page_and_schema_follow_from_specification() -> None:
    """``python tools/declaration.py`` writes them."""
    different = [path.name for path, text in declaration.files().items() if path.read_text(encoding="utf-8") != text]
    assert different == []


def test_page_shows_every_key_and_variable() -> None:
    page = declaration.PAGE.read_text(encoding="utf-8")
    keys = [row.split("`")[1] for row in declaration.key_rows(spec.WORKLOAD)]
    assert {"role.name", "prove.allow.parameters", "target_role.account"} <= set(keys)
    assert [name for name in [*keys, *spec.VARIABLES, *role_options()] if f"| `{name}` |" not in page] == []


def test_keys_have_type_description_and_example() -> None:
    def incomplete(options: spec.Options, path: str = "") -> t.Iterator[str]:
        for name, option in options.items():
            if not all(option.get(key) for key in ("type", "description", spec.EXAMPLE)):
                yield f"{path}{name}"
            yield from incomplete(option.get("options", {}), f"{path}{name}.")

    assert list(incomplete(spec.WORKLOAD)) == []


def test_examples_of_keys_are_valid() -> None:
    """The page's example of each key, in a workload that takes it."""

    def example_of(options: spec.Options, name: str) -> t.Any:
        value = options[name][spec.EXAMPLE]
        return yaml.safe_load(value) if isinstance(value, str) else value

    tags_off = {"disable_session_tags": True}
    for name in spec.WORKLOAD:
        declared = workload(**(tags_off if name == "policy" else {})) | {name: example_of(spec.WORKLOAD, name)}
        assert pod_identity_workload_problems([declared]) == [], name
    for name in spec.ROLE:
        role = {"arn": ROLE} if name == "arn" else {"name": "x", name: example_of(spec.ROLE, name)}
        if name != "inline_policy":  # a template
            assert pod_identity_workload_problems([workload(role=role)]) == [], name


def test_example_inventory_matches_the_schema() -> None:

    path = ROOT / "inventories" / "example" / "hosts.yml"
    text = path.read_text(encoding="utf-8")
    assert "# yaml-language-server: $schema=../../docs/declaration.schema.json" in text
    schema = json.loads(declaration.SCHEMA.read_text(encoding="utf-8"))
    jsonschema.validate(yaml.safe_load(text), schema)
    hosts = {"eks_clusters": {"hosts": {"one": {"podidentity_workloads": [{"namespace": "a", "service_acount": "b"}]}}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(hosts, schema)


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        (None, "Workload number 1 is null: give a mapping"),
        (workload(role={"arn": ROLE, True: 1}), "The role of workload a/b has the key true, which is no text: YAML"),
        (workload(role={"arn": ROLE, 5: "x"}), "The role of workload a/b has the key 5, which is no text"),
        (workload() | {False: 1}, "Workload a/b has the key false, which is no text"),
        (workload(role="reader"), 'Workload a/b has the role "reader": give a mapping with name (created here) or arn'),
        (workload(role=5), "Workload a/b has the role 5: give a mapping"),
        (workload(namespace=5), "has the namespace 5: give a text, in quotes where it looks like a number."),
        (workload(service_account=True), "has the service_account true: give a text"),
        (workload(role={"name": 7}), "has role.name 7: give a text, in quotes"),
        (workload(namespace="preview-*"), 'has the namespace "preview-*": an association takes exact names'),
        (workload(service_account="s3-*"), "StringLike on aws:RequestTag/kubernetes-namespace or -service-account"),
        (workload(tags={"team": None}), 'Workload a/b has no value for "team" in tags: give a text'),
        (workload(role={"name": "x", "tags": {"team": None}}), 'has no value for "team" in role.tags'),
        (workload(disable_session_tags="yes"), 'has disable_session_tags "yes": give true or false.'),
        (workload(service_account_managed=0), "has service_account_managed 0: give true or false."),
        (workload(create_service_account=False), "did you mean service_account_managed?"),
        (workload(role={"name": "x", "max_session_duration": float("inf")}), "has role.max_session_duration Infinity"),
        (workload(role={"name": "x", "max_session_duration": True}), "has role.max_session_duration true"),
        (workload(prove={"allow": 5}), "a/b: prove.allow is to be a list of calls"),
        (workload(prove={True: []}), "prove is to be a mapping of allow, deny"),
    ],
)
def test_odd_yaml_is_one_sentence(declared: t.Any, sentence: str) -> None:
    problems = pod_identity_workload_problems([declared])
    assert len(problems) == 1 and sentence in problems[0]


def call(service: str = "s3", operation: str = "list_buckets", **more: t.Any) -> Workload:
    return workload(prove={"allow": [{"service": service, "operation": operation, **more}]})


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        (call("secretmanager"), "knows no service secretmanager: did you mean secretsmanager?"),
        (call(operation="list_bucket"), "has no operation list_bucket: did you mean list_buckets?"),
        (call(operation="head_bucket"), 'with wrong parameters: Missing required parameter in input: "Bucket".'),
        (call(operation="head_bucket", parameters={"Bucket": 5}), "Invalid type for parameter Bucket, value: 5"),
        (call("sts", "get_caller_identity", parameters={"x": 1}), 'Unknown parameter in input: "x"'),
        (call(show="Buckets[.Name"), 'with show "Buckets[.Name", which is no JMESPath: '),
    ],
)
def test_impossible_call_is_one_sentence(declared: Workload, sentence: str) -> None:
    problems = pod_identity_workload_problems([declared])
    assert len(problems) == 1 and problems[0].startswith("Workload a/b: prove.allow names ")
    assert sentence in problems[0]


def test_possible_calls_are_accepted() -> None:
    calls = [
        {"service": "s3", "operation": "create_bucket", "parameters": {"Bucket": "must-not-exist"}},
        {"service": "ec2", "operation": "run_instances", "parameters": {"MinCount": 1, "MaxCount": 1, "DryRun": True}},
    ]
    assert pod_identity_workload_problems([workload(prove={"deny": calls})]) == []


def test_names_too_long_together_are_refused_with_the_longest() -> None:
    path = "/" + "p" * 510 + "/"
    declared = {
        "namespace": "n" * 63,
        "service_account": ("a" * 63 + ".") * 3 + "b" * 61,
        "role": {"name": "r" * 64, "path": path},
        "target_role": {"name": "t" * 64, "path": path},
    }
    [problem] = pod_identity_workload_problems([declared], "111122223333")
    assert "the trust policy of its target role would have at least 2069 characters, and IAM takes 2048" in problem
    assert problem.endswith("Shorten role.path (512 characters) or service_account (253 characters).")
    assert pod_identity_workload_problems([declared | {"target_role": None}], "111122223333") == []


def test_long_values_are_shortened_in_messages() -> None:
    [problem] = pod_identity_workload_problems([workload(role={"name": "x", "boundary": "b" * 5000})])
    assert len(problem) < 300 and '"bbb' in problem and "..." in problem


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.booleans() | st.integers() | st.sampled_from(list(spec.ROLE)), inner)
    ),
    max_leaves=8,
)


@given(
    declared=st.lists(anything | st.dictionaries(st.sampled_from(list(spec.WORKLOAD)), anything), max_size=3) | anything
)
def test_whatever_yaml_gives_is_never_a_traceback(declared: t.Any) -> None:
    problems = pod_identity_workload_problems(declared)
    assert all(isinstance(problem, str) and problem for problem in problems)
    if isinstance(declared, list) and all(isinstance(one, dict) for one in declared):
        # As ansible-core gives it to a module.
        options: dict[str, t.Any] = {
            "associations": None,
            "workloads": declared,
            "cluster_arn": ARN,
            "role_arns": {},
            "state": "present",
        }
        try:
            many.declared(options)
        except AnsibleEKSError as error:
            assert str(error)
        else:
            assert problems == []


def test_filters_say_in_one_sentence_what_they_take() -> None:
    with pytest.raises(AnsibleFilterError, match="give a mapping"):
        pod_identity_requested(None)  # type: ignore[arg-type]
    with pytest.raises(AnsibleFilterError, match="service_account is 1: give a text"):
        pod_identity_trust_policy(ARN, "a", 1)  # type: ignore[arg-type]


# --- variables --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("podidentity_workload", "podidentity_workloads"),
        ("cluster_nodegroup", "cluster_nodegroups"),
        ("addon_list", "addons_list"),
        ("podidentity_pruge", "podidentity_purge"),
        ("verify_timeuot", "verify_timeout"),
    ],
)
def test_misspelt_variable_is_named(name: str, meant: str) -> None:
    [problem] = host_problems("one", [name], HERE)
    assert problem.startswith(f"Host one sets the variable {name}, which nothing reads: did you mean {meant}?")
    assert host_problems("one", [name], {**HERE, "podidentity_own_variables": [name]}) == []


def test_known_and_other_variables_are_no_mistakes() -> None:
    names = [
        *spec.VARIABLES,
        *role_options(),
        "cluster_current",
        "podidentity_cluster",
        "podidentity_declared",
        "service_account_absent",
        "mine",
    ]
    assert host_problems("one", names, HERE) == []


def test_defaults_of_every_role_are_values_of_their_options() -> None:
    defaults = {name: option["default"] for name, option in role_options().items() if "default" in option}
    values = {name: value for name, value in defaults.items() if "{{" not in str(value)}
    assert len(values) > 50
    assert host_problems("one", values, {**values, **HERE}) == []


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("restart_mode", "sometimes", 'has the restart_mode "sometimes": give never, missing or stale.'),
        ("restart_mode", "", 'has the restart_mode "": give never, missing or stale.'),
        ("agent_managed", "maybe", 'has the agent_managed "maybe": give true or false.'),
        ("verify_timeout", "soon", 'has the verify_timeout "soon": give a whole number.'),
        ("verify_timeout", float("inf"), "verify_timeout is .inf: give a finite number."),
        ("agent_version", "1.3", 'has the agent_version "1.3": give default, latest, keep, the first numbers of a '),
        ("workload_phases", ["verify", "prove"], "has a value in workload_phases that it does not take: "),
        ("cluster_nodegroups", 3, "cluster_nodegroups"),
        ("verify_tolerations", "all", "verify_tolerations"),
        ("cluster_access_entries", [{False: None}], "cluster_access_entries[1] has the key false, which is no text: "),
    ],
)
def test_value_that_no_option_takes_is_named(name: str, value: t.Any, problem: str) -> None:
    [found] = host_problems("one", [name], {**HERE, name: value})
    assert found.startswith("Host one")
    assert problem in found


@given(st.dictionaries(st.sampled_from(sorted(role_options())), anything, max_size=3))
def test_any_value_gets_sentences_and_no_traceback(values: dict[str, t.Any]) -> None:
    for problem in host_problems("one", values, {**HERE, **values}):
        assert problem.startswith("Host one")


@pytest.mark.parametrize(
    "region", ["eu-west-1", "us-gov-west-1", "cn-northwest-1", "eusc-de-east-1", "us-iso-east-1", "us-isob-east-1"]
)
def test_regions_of_every_partition_are_known(region: str) -> None:
    assert host_problems("one", [], {"eks_region": region}) == []


@pytest.mark.parametrize("region", ["", None, 5, "europe", "eu_west_1"])
def test_no_region_is_refused(region: t.Any) -> None:
    [problem] = host_problems("one", [], {"eks_region": region})
    assert problem.endswith("give the AWS region of the cluster, such as eu-west-1, as a host variable.")


def test_unknown_region_is_refused_with_the_nearest() -> None:
    [problem] = host_problems("one", [], {"eks_region": "ue-west-1"})
    assert "does not know: did you mean us-west-1?" in problem


# --- the plan of a check run ------------------------------------------------------------------------------------------


def test_plan_is_shown_as_markdown() -> None:
    change = {"before": "arn:old", "after": "arn:new"}
    new = {"cidr_block": {"before": None, "after": "10.0.0.0/20"}, "tags": {"before": None, "after": {}}}
    step = {"action": "update", "namespace": "a", "service_account": "b", "changes": {"role_arn": change}}
    restart = {"kind": "Deployment", "namespace": "a", "name": "web", "reason": "pod x was admitted too early"}
    plans: list[dict[str, t.Any]] = [
        {
            "cluster": "one",
            "roles": [{"name": "reader", "changes": ["create the role", "attach ReadOnly"]}],
            "resources": [{"kind": "subnet", "name": "public in z", "action": "create", "changes": new}],
            "addons": [{"kind": "add-on", "name": "cni", "action": "update", "changes": {"version": change}}],
            "service_accounts": [{"kind": "ServiceAccount", "name": "a/b", "action": "create"}],
            "associations": [step],
            "restarts": [restart],
            "undeclared": ["one/a/old"],
        },
        {"cluster": "two"},
    ]
    assert pod_identity_plan_markdown(plans).splitlines() == [
        "# Plan of podidentity.eks",
        "",
        "## Cluster one",
        "",
        "- subnet public in z: create (cidr_block `10.0.0.0/20`)",
        "- add-on cni: update (version `arn:old` -> `arn:new`)",
        "- role reader: create the role; attach ReadOnly",
        "- ServiceAccount a/b: create",
        "- association a/b: update (role_arn `arn:old` -> `arn:new`)",
        "- Deployment a/web: restart, pod x was admitted too early",
        "",
        "No longer declared, and left: `one/a/old`.",
        "",
        "## Cluster two",
        "",
        "Nothing would change.",
    ]
