# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is declared about a cluster: the role's options are the module's, and what is wrong is named in one go."""

from __future__ import annotations

import json
import typing as t

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.podidentity.eks.plugins.module_utils._eks.foundation import options
from ansible_collections.podidentity.eks.plugins.module_utils._eks.foundation import spec
from hypothesis import given
from hypothesis import strategies as st
from support.environment import ROOT

Mapping = dict[str, t.Any]
ACCOUNT = "arn:aws:iam::111122223333"
#: What an option is, beside its description.
KEYS = ("type", "elements", "choices", "required")
GROUP: Mapping = {"name": "workers"}


def declaration(**declared: t.Any) -> spec.Declaration:
    """A declaration as the module reads it, with names that have no ``cluster_``."""
    given = {"cluster_name": "example", **{f"cluster_{name}": value for name, value in declared.items()}}
    result = ArgumentSpecValidator(options.CLUSTER).validate(json.loads(json.dumps(given)))
    assert result.error_messages == []
    return spec.spec_from(result.validated_parameters)


def problems(**declared: t.Any) -> list[str]:
    return list(spec.problems(declaration(**declared)))


def shape(taken: t.Mapping[str, t.Any]) -> Mapping:
    """Options without what only documentation or only modules have."""
    return {
        name: {key: option[key] for key in KEYS if key in option} | {"options": shape(option.get("options", {}))}
        for name, option in taken.items()
    }


def test_module_takes_the_options_of_the_role() -> None:
    path = ROOT / "roles" / "cluster" / "meta" / "argument_specs.yml"
    role = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
    # The role has a default for it, the name of the host.
    module = {**options.CLUSTER, "cluster_name": {"type": "str"}}
    assert shape(module) == shape({name: role[name] for name in module})
    defaults = {name: option.get("default") for name, option in module.items()}
    templated = {name for name in module if "{{" in str(role[name].get("default"))}
    assert templated == {
        *("cluster_name", "cluster_role_name", "cluster_node_role_name", "cluster_partition"),
    }
    assert {name: value for name, value in defaults.items() if name not in templated} == {
        name: role[name].get("default") for name in module if name not in templated
    }


def test_roles_are_named_after_the_cluster() -> None:
    assert declaration().made_role_names == ["example-cluster", "example-nodes"]
    assert declaration(role_arn=f"{ACCOUNT}:role/given").made_role_names == ["example-nodes"]


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        ({}, ""),
        ({"auto_mode": True}, "example-nodes"),
        ({"nodegroups": [GROUP], "node_role_arn": f"{ACCOUNT}:role/path/given"}, "given"),
    ],
)
def test_role_of_nodes_is_needed_with_nodes_only(declared: Mapping, name: str) -> None:
    assert declaration(**declared).needed_node_role == name


def test_options_that_are_not_set_are_left_out() -> None:
    [group] = declaration(nodegroups=[GROUP | {"scaling": {"min_size": 0}, "labels": {}}]).nodegroups
    assert group == {"name": "workers", "scaling": {"min_size": 0}, "labels": {}, "disk_device": "/dev/xvda"}


def test_security_group_of_several_nodegroups_is_made_once() -> None:
    metrics, other = {"name": "metrics", "rules": []}, {"name": "metrics", "rules": [{}]}
    groups = [GROUP | {"additional_security_groups": [metrics, "sg-1"]}, {"name": "more"}]
    groups.append({"name": "others", "additional_security_groups": [other]})
    assert declaration(nodegroups=groups).security_groups == [metrics | {"full_name": "example-metrics"}]


TEMPLATED = GROUP | {"disk_type": "gp3", "remote_access": {"ec2_ssh_key": "operators"}}
WRONG: list[tuple[Mapping, str]] = [
    ({"name": "a b", "role_name": "c", "node_role_name": "n"}, 'cluster_name is "a b": give 1 to 100 letters'),
    ({"version": "1.3"}, 'cluster_version of cluster example is "1.3": give a Kubernetes version in quotes'),
    ({"subnet_ids": ["subnet-1"]}, "cluster_subnet_ids of cluster example are ['subnet-1']: give at least two"),
    ({"subnet_ids": ["subnet-1", "vpc-1"]}, "cluster_subnet_ids of cluster example are"),
    ({"zones": ["eu-west-1"]}, "cluster_zones of cluster example are ['eu-west-1']: give availability zones"),
    ({"role_arn": "given"}, "cluster_role_arn and cluster_node_role_arn of cluster example are ['given']: give ARNs"),
    ({"node_role_name": "a b"}, "The roles to be made for cluster example are named ['example-cluster', 'a b']"),
    ({"role_name": ""}, "The roles to be made for cluster example are named ['', 'example-nodes']"),
    ({"permissions_boundary": "boundary"}, 'cluster_permissions_boundary of cluster example is "boundary": give the'),
    ({"nodegroups": [GROUP, GROUP]}, "The node groups of cluster example are named ['workers', 'workers']: give each"),
    ({"nodegroups": [TEMPLATED]}, "Node groups ['workers'] of cluster example have remote_access together with what"),
    (
        {"nodegroups": [GROUP | {"additional_security_groups": [{"rules": []}]}]},
        "additional_security_groups of node group workers of cluster example have {'rules': []}: give the id",
    ),
    ({"auto_mode": True, "authentication_mode": "CONFIG_MAP"}, "cluster_auto_mode of cluster example needs access"),
    (
        {"creator_is_admin": False, "authentication_mode": "CONFIG_MAP"},
        "cluster_creator_is_admin of cluster example is false, which EKS takes only with access entries",
    ),
    (
        {"access_entries": [{"principal_arn": "a"}], "authentication_mode": "CONFIG_MAP"},
        "cluster_access_entries of cluster example have no effect with cluster_authentication_mode CONFIG_MAP",
    ),
    (
        {"access_entries": [{"principal_arn": "a"}, {"principal_arn": "a"}]},
        "cluster_access_entries of cluster example name the principals ['a', 'a']: give each principal one",
    ),
    (
        {"zones": ["eu-west-1a"], "nodegroups": [GROUP | {"zones": ["eu-west-1a", "eu-west-1b"]}]},
        "Node groups of cluster example name the zones ['eu-west-1b'], which are not among its cluster_zones",
    ),
]


@pytest.mark.parametrize(("declared", "sentence"), WRONG)
def test_wrong_value_is_named_in_one_sentence(declared: Mapping, sentence: str) -> None:
    [problem] = problems(**declared)
    assert problem.startswith(sentence)


@pytest.mark.parametrize(
    "declared",
    [
        {"manage": False, "auto_mode": True, "authentication_mode": "CONFIG_MAP"},
        {"manage": False, "creator_is_admin": False, "authentication_mode": "CONFIG_MAP"},
        {"subnet_ids": ["subnet-1", "subnet-2"], "nodegroups": [GROUP | {"zones": ["eu-west-1b"]}]},
        {"state": "absent", "nodegroups": [GROUP | {"zones": ["eu-west-1b"]}]},
        {"nodegroups": [GROUP | {"disk_size": 30, "remote_access": {"ec2_ssh_key": "operators"}}]},
    ],
)
def test_what_has_no_effect_is_no_problem(declared: Mapping) -> None:
    assert problems(**declared) == []


#: What is wrong about one option whatever the others are.
APART = [wrong for wrong in WRONG if list(wrong[0]) in (["version"], ["zones"], ["permissions_boundary"], ["role_arn"])]


@given(st.lists(st.sampled_from(APART), unique_by=lambda wrong: wrong[1]))
def test_all_problems_are_named_at_once(wrong: list[tuple[Mapping, str]]) -> None:
    found = problems(**{name: value for declared, _sentence in wrong for name, value in declared.items()})
    assert len(found) == len(wrong)
    assert all(any(problem.startswith(sentence) for problem in found) for _declared, sentence in wrong)
